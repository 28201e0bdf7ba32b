//! Simulations: clients, and a network and machines that fail all the time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coalmine_core::Name;
use coalmine_node::Node;
use coalmine_raft::{NodeId, Order, Role};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::sleep;

use super::check::{Ack, check, create, send, settle};
use super::world::{Disk, SIGNERS, World, place, simulate};

/// The nodes that can be asked now.
type Asked = Arc<Mutex<Vec<(NodeId, Node)>>>;

fn show(world: &World, asked: &Asked) {
    *asked.lock().unwrap() = world.up.iter().map(|(id, running)| (*id, running.node.clone())).collect();
}

/// A client: one transaction after the other, each given to one node after the other until one acknowledges it.
async fn client(signer: u8, count: u64, asked: Asked, mut rng: StdRng, acks: Arc<Mutex<Vec<Ack>>>) {
    for sequence in 1..=count {
        let name: Name = format!("f-{signer}-{sequence}").parse().unwrap();
        loop {
            sleep(Duration::from_millis(rng.gen_range(1..300))).await;
            let choice = {
                let asked = asked.lock().unwrap();
                (!asked.is_empty()).then(|| asked[rng.gen_range(0..asked.len())].clone())
            };
            let Some((by, node)) = choice else { continue };
            let envelope = create(&node, signer, sequence, &name);
            if let Some(ack) = send(by, &node, &envelope, &name, Duration::from_secs(4)).await {
                acks.lock().unwrap().push(ack);
                drop(node);
                break;
            }
            // A node that came by a snapshot does not know what became of it, only that it is there.
            let is_there = node.read(|state| state.feature(&name).is_some());
            drop(node);
            if is_there {
                break;
            }
        }
        // What was acknowledged is there for whoever asks for what is last.
        let choice = {
            let asked = asked.lock().unwrap();
            (!asked.is_empty()).then(|| asked[rng.gen_range(0..asked.len())].clone())
        };
        if let Some((by, node)) = choice
            && node.linearizable().await.is_ok()
        {
            assert!(node.read(|state| state.feature(&name).is_some()), "{name} is acknowledged, and not at node {by}");
        }
    }
}

/// Faults for a while.
async fn faults(world: &mut World, asked: &Asked, rng: &mut StdRng, steps: usize) {
    let ids: Vec<NodeId> = world.disks.keys().copied().collect();
    let any = |rng: &mut StdRng| ids[rng.gen_range(0..ids.len())];
    for _ in 0..steps {
        sleep(Duration::from_millis(rng.gen_range(200..2_500))).await;
        match rng.gen_range(0..8) {
            0 => world.isolate(any(rng)),
            1 => {
                let leader = world.up.iter().find(|(_, running)| running.cluster.is_leader());
                leader.map(|(id, _)| *id).into_iter().for_each(|id| world.isolate(id));
            }
            2 => {
                for a in &ids {
                    for b in &ids {
                        if rng.gen_bool(0.3) {
                            world.cut_off(*a, *b);
                        }
                    }
                }
            }
            3 => world.cut_one_way(any(rng), any(rng)),
            4 | 5 => {
                let id = any(rng);
                asked.lock().unwrap().retain(|(other, _)| *other != id);
                world.crash(id).await;
            }
            6 => world.net.lock().unwrap().delay_max = rng.gen_range(1..120),
            _ => world.heal(),
        }
        for id in &ids {
            if !world.up.contains_key(id) && rng.gen_bool(0.4) {
                world.start(*id).await;
            }
        }
        show(world, asked);
    }
}

/// Plays one seed, and returns what was acknowledged, and the root in the end.
fn play(nodes: NodeId, seed: u64, snapshot_every: u64) -> String {
    println!("seed {seed}");
    simulate(seed, async |mut rng: StdRng| {
        let mut world = World::new(nodes, &mut rng).await;
        world.snapshot_every = snapshot_every;
        world.start_all().await;
        let (asked, acks) = (Asked::default(), Arc::<Mutex<Vec<Ack>>>::default());
        show(&world, &asked);
        let mut clients = Vec::new();
        for signer in 1..=SIGNERS {
            let rng = StdRng::seed_from_u64(rng.r#gen());
            clients.push(tokio::spawn(client(signer, 12, Arc::clone(&asked), rng, Arc::clone(&acks))));
        }
        faults(&mut world, &asked, &mut rng, 25).await;
        world.heal();
        world.net.lock().unwrap().delay_max = 5;
        for id in 1..=nodes {
            if !world.up.contains_key(&id) {
                world.start(id).await;
            }
        }
        show(&world, &asked);
        for client in clients {
            client.await.unwrap();
        }
        settle(&world).await.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        let acks = acks.lock().unwrap().clone();
        check(&world, &acks).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        // Who is told first of two that wait for the same block is the scheduler's choice.
        let mut told: Vec<_> = acks.iter().map(|ack| format!("{} {} {}", ack.by, ack.name, ack.height)).collect();
        told.sort();
        format!("{} acks, {:?}; {}", acks.len(), world.up[&1].node.tip(), told.join(", "))
    })
}

/// How many seeds; more with COALMINE_SEEDS.
fn seeds(usual: u64) -> u64 {
    std::env::var("COALMINE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

#[test]
fn three_nodes_lose_nothing() {
    for seed in 0..seeds(3) {
        play(3, seed, 5_000);
    }
}

#[test]
fn five_nodes_lose_nothing() {
    for seed in 1_000..1_000 + seeds(1) {
        play(5, seed, 5_000);
    }
}

#[test]
fn nodes_that_catch_up_by_snapshots_lose_nothing() {
    for seed in 2_000..2_000 + seeds(1) {
        play(3, seed, 8);
    }
}

#[test]
fn the_same_seed_plays_the_same() {
    assert_eq!(play(3, 7, 20), play(3, 7, 20));
}

#[test]
fn nodes_come_and_go() {
    simulate(42, async |mut rng: StdRng| {
        let mut world = World::new(3, &mut rng).await;
        world.snapshot_every = 10;
        world.start_all().await;
        let mut acks = Vec::new();
        let mut sequence = 0;
        let mut put = async |world: &World, by: NodeId| {
            sequence += 1;
            let name: Name = format!("f-{sequence}").parse().unwrap();
            let node = &world.up[&by].node;
            let envelope = create(node, 1, sequence, &name);
            let ack = send(by, node, &envelope, &name, Duration::from_secs(20)).await;
            ack.unwrap_or_else(|| panic!("{name} by node {by}: {:?}", node.health()))
        };
        world.leader().await;
        for _ in 0..20 {
            acks.push(put(&world, 1).await);
        }
        // A learner gets everything, by a snapshot since the log no longer has it, and answers.
        world.disks.insert(4, Disk::new());
        world.start(4).await;
        let order = |world: &World, by: NodeId, order: Order| {
            let cluster = world.up[&by].cluster.clone();
            async move { cluster.order(order).await }
        };
        let status = order(&world, 2, Order::AddLearner { id: 4, address: place(4) }).await.unwrap();
        assert_eq!(status.members.iter().find(|member| member.id == 4).unwrap().role, Role::Learner);
        acks.push(put(&world, 4).await);
        settle(&world).await.unwrap();
        check(&world, &acks).unwrap();
        assert!(world.up[&4].node.oldest_outcome() > 0, "it came by a snapshot");
        world.up[&4].node.linearizable().await.unwrap();

        // It votes, and node 1 goes.
        let status = order(&world, 3, Order::Promote(4)).await.unwrap();
        assert!(status.members.iter().all(|member| member.role != Role::Learner) && !status.is_changing);
        let status = order(&world, 2, Order::Remove(1)).await;
        // Node 1 may have led, and be gone with its answer.
        if let Ok(status) = status {
            assert!(status.members.iter().all(|member| member.id != 1));
        }
        world.crash(1).await;
        world.disks.remove(&1);
        world.leader().await;
        acks.push(put(&world, 2).await);
        settle(&world).await.unwrap();
        check(&world, &acks).unwrap();

        // Node 2 loses its disk. Under its old id nobody listens to it, and nobody takes it in again.
        world.crash(2).await;
        world.disks.insert(2, Disk::new());
        world.founders.clear();
        world.start(2).await;
        let leader = world.leader().await;
        acks.push(put(&world, leader).await);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(world.up[&2].node.tip().height, None, "a wiped node gets nothing");
        order(&world, leader, Order::Remove(2)).await.unwrap();
        let refused = order(&world, leader, Order::AddLearner { id: 2, address: place(2) }).await.unwrap_err();
        assert!(refused.to_string().contains("never used") || refused.to_string().contains("lost"), "{refused}");
        world.crash(2).await;
        world.disks.remove(&2);
        world.disks.insert(5, Disk::new());
        world.start(5).await;
        order(&world, leader, Order::AddLearner { id: 5, address: place(5) }).await.unwrap();
        settle(&world).await.unwrap();
        check(&world, &acks).unwrap();
    });
}
