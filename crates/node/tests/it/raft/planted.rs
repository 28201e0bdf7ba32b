//! Planted faults: what the checks are for is found by them.

use std::time::Duration;

use coalmine_core::Name;
use coalmine_raft::NodeId;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::check::{Ack, check, create, send, settle};
use super::world::{World, simulate};

/// A leader and the two others.
async fn three(rng: &mut StdRng) -> (World, NodeId, NodeId, NodeId) {
    let mut world = World::new(3, rng).await;
    world.start_all().await;
    let leader = world.leader().await;
    let mut others = (1..=3).filter(|id| *id != leader);
    let (b, c) = (others.next().unwrap(), others.next().unwrap());
    (world, leader, b, c)
}

async fn put(world: &World, by: NodeId, sequence: u64) -> Option<Ack> {
    let name: Name = format!("f-{sequence}").parse().unwrap();
    let node = &world.up[&by].node;
    send(by, node, &create(node, 1, sequence, &name), &name, Duration::from_secs(10)).await
}

async fn found(world: &World, acks: &[Ack]) -> Result<(), String> {
    settle(world).await?;
    check(world, acks)
}

/// One acknowledged transaction more, which only the leader and perhaps `b` have; then the leader is cut off, and the
/// other two go on.
async fn go_on_without(world: &World, leader: NodeId, b: NodeId, acks: &mut Vec<Ack>) {
    world.heal();
    world.isolate(leader);
    for _ in 0..30 {
        if world.up[&b].cluster.leader().is_some_and(|(id, _)| id != leader) {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    acks.extend(put(world, b, 3).await);
    world.heal();
}

/// Whether the same story is found to be wrong, by whether it is wrong.
#[test]
fn a_follower_that_loses_the_tail_of_its_log_is_found() {
    for loses in [false, true] {
        let result = simulate(5, async |mut rng: StdRng| {
            let (mut world, leader, b, c) = three(&mut rng).await;
            let mut acks = vec![put(&world, leader, 1).await.unwrap()];
            settle(&world).await.unwrap();
            world.isolate(c);
            let before = world.disks[&b].copy(&world.up[&b].node);
            acks.push(put(&world, leader, 2).await.expect("two of three are a majority"));
            world.crash(b).await;
            if loses {
                world.disks.insert(b, before);
            }
            world.isolate(leader);
            world.start(b).await;
            go_on_without(&world, leader, b, &mut acks).await;
            found(&world, &acks).await
        });
        assert_eq!(result.is_err(), loses, "{result:?}");
    }
}

#[test]
fn an_acknowledgement_before_the_commit_is_found() {
    for lies in [false, true] {
        let result = simulate(6, async |mut rng: StdRng| {
            let (world, leader, b, c) = three(&mut rng).await;
            let mut acks = vec![put(&world, leader, 1).await.unwrap()];
            settle(&world).await.unwrap();
            world.net.lock().unwrap().lies = lies;
            world.cut_one_way(leader, b);
            world.cut_one_way(leader, c);
            let second = put(&world, leader, 2).await;
            assert_eq!(second.is_some(), lies, "nothing is acknowledged without a majority: {second:?}");
            acks.extend(second);
            world.net.lock().unwrap().lies = false;
            go_on_without(&world, leader, b, &mut acks).await;
            found(&world, &acks).await
        });
        assert_eq!(result.is_err(), lies, "{result:?}");
    }
}
