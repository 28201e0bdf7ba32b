//! Nodes in one process on a network that delays, cuts and loses, with one thread and a clock that stands still until
//! everybody waits: what happens is a function of the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coalmine_core::{Genesis, Role};
use coalmine_node::database::{Batch, Database, LedgerStore, Sync};
use coalmine_node::engine::Clock;
use coalmine_node::engine::raft::{RaftEngine, RaftRows};
use coalmine_node::tables::Table;
use coalmine_node::testing::{address, key};
use coalmine_node::{Chain, Node, Options, Stopped};
use coalmine_raft::openraft::raft::AppendEntriesResponse;
use coalmine_raft::{CallError, Cluster, Hello, Identity, Link, Member, NodeId, Request, Response, Settings};
use coalmine_store::dump::{Dump, read};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// How many keys sign.
pub(super) const SIGNERS: u8 = 4;

/// A genesis in which every key of the clients may do everything.
pub(super) fn genesis() -> Genesis {
    let signers = (1..=SIGNERS).map(|number| (address(&key(number)), Role::Admin.into()));
    Genesis::new("raft-1", signers.collect::<Vec<_>>()).unwrap()
}

/// Simulated time.
#[derive(Debug, Clone)]
struct SimClock(Instant);

impl Clock for SimClock {
    fn wall(&self) -> u64 {
        1_700_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The network.
pub(super) struct Net {
    rng: StdRng,
    up: BTreeMap<NodeId, (u64, Cluster<SimLink>)>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// The longest delay of a message, in milliseconds.
    pub(super) delay_max: u64,
    /// Whether a node that cannot be reached is taken for one that has everything: a planted fault.
    pub(super) lies: bool,
}

#[derive(Clone)]
pub(super) struct SimLink {
    net: Arc<Mutex<Net>>,
    from: Identity,
    epoch: u64,
}

impl SimLink {
    async fn delay(&self) {
        let delay = {
            let mut net = self.net.lock().unwrap();
            let max = net.delay_max;
            net.rng.gen_range(0..=max)
        };
        sleep(Duration::from_millis(delay)).await;
    }

    /// The node at the other end, if it can be reached.
    fn there(&self, to: NodeId) -> Option<Cluster<SimLink>> {
        let net = self.net.lock().unwrap();
        let is_alive = net.up.get(&self.from.id).is_none_or(|(epoch, _)| *epoch == self.epoch);
        let (_, there) = net.up.get(&to)?;
        (is_alive && !net.cut.contains(&(self.from.id, to))).then(|| there.clone())
    }

    async fn exchange(&self, to: NodeId, member: &Member, request: Request) -> Option<Result<Response, CallError>> {
        self.delay().await;
        let there = self.there(to)?;
        let hello = Hello {
            version: 1,
            genesis: coalmine_auth::Domain::of(&genesis()).genesis().0,
            from: self.from.id,
            incarnation: Some(self.from.incarnation),
            to,
        };
        match there.admit(&hello) {
            Ok(identity) if identity.incarnation == member.incarnation => {}
            Ok(_) => return Some(Err(CallError::Refused("it is another one".into()))),
            Err(why) => return Some(Err(CallError::Refused(why))),
        }
        // Who asked may give up meanwhile; who was asked goes on.
        let response = tokio::spawn(async move { there.answer(request).await }).await.ok()?;
        self.delay().await;
        let net = self.net.lock().unwrap();
        (!net.cut.contains(&(to, self.from.id))).then_some(Ok(response))
    }
}

impl Link for SimLink {
    async fn call(
        &self,
        to: NodeId,
        member: &Member,
        request: Request,
        within: Duration,
    ) -> Result<Response, CallError> {
        let lies = self.net.lock().unwrap().lies && matches!(request, Request::Append(_));
        let address = member.address.clone();
        match timeout(within, self.exchange(to, member, request)).await {
            Ok(Some(answer)) => answer,
            Ok(None) if lies => Ok(Response::Append(AppendEntriesResponse::Success)),
            Ok(None) => Err(CallError::Unreachable { to, address, why: "cut off".into() }),
            Err(_) => Err(CallError::Late { to, address }),
        }
    }

    async fn meet(&self, to: NodeId, address: &str, _within: Duration) -> Result<Identity, CallError> {
        self.delay().await;
        let there = self.there(to);
        let unreachable = CallError::Unreachable { to, address: address.into(), why: "cut off".into() };
        let there = there.ok_or(unreachable)?;
        let hello = Hello {
            version: 1,
            genesis: coalmine_auth::Domain::of(&genesis()).genesis().0,
            from: self.from.id,
            incarnation: Some(self.from.incarnation),
            to,
        };
        there.admit(&hello).map_err(CallError::Refused)
    }
}

/// A node that runs.
pub(super) struct Running {
    pub(super) node: Node,
    pub(super) cluster: Cluster<SimLink>,
    pub(super) task: JoinHandle<Result<(), Stopped>>,
}

/// What outlives a crash.
#[derive(Clone)]
pub(super) struct Disk(Database);

impl Disk {
    pub(super) fn new() -> Self {
        Self(Database::memory().0)
    }

    async fn open(&self) -> (Database, LedgerStore) {
        // Tasks of the node that crashed may take a moment to end.
        for _ in 0..1_000 {
            if let Ok(store) = self.0.reopened() {
                return (self.0.clone(), store);
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("a node that crashed still has its database");
    }

    /// A copy of it as it is now.
    pub(super) fn copy(&self, node: &Node) -> Self {
        let (copy, store) = Database::memory();
        let mut batch = Batch::default();
        for table in Table::ALL {
            let mut put = |key: &[u8], value: &[u8]| {
                batch.put(table, key, value);
                std::ops::ControlFlow::Continue(())
            };
            self.0.scan(table, &[], &[0xff; 40], &mut put).unwrap();
        }
        copy.write(batch, Sync::Now).unwrap();
        let mut dump = Vec::new();
        node.records(|records| Dump::new(records).unwrap().write_to(&mut dump).unwrap());
        read(dump.as_slice()).unwrap().into_ledger(store).unwrap();
        Self(copy)
    }
}

/// All nodes, those that are up and those that are not.
pub(super) struct World {
    pub(super) net: Arc<Mutex<Net>>,
    pub(super) disks: BTreeMap<NodeId, Disk>,
    pub(super) up: BTreeMap<NodeId, Running>,
    pub(super) founders: BTreeMap<NodeId, String>,
    pub(super) snapshot_every: u64,
    clock: SimClock,
    epoch: u64,
}

pub(super) fn place(id: NodeId) -> String {
    format!("node-{id}")
}

/// Runs a simulation: one thread, and time that passes when all wait.
pub(super) fn simulate<T>(seed: u64, work: impl AsyncFnOnce(StdRng) -> T) -> T {
    coalmine_raft::seed_elections(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work(StdRng::seed_from_u64(seed)))
}

impl World {
    /// Nodes 1 to `count`, founded together.
    pub(super) async fn new(count: NodeId, rng: &mut StdRng) -> Self {
        let net = Net {
            rng: StdRng::seed_from_u64(rng.r#gen()),
            up: BTreeMap::new(),
            cut: BTreeSet::new(),
            delay_max: 5,
            lies: false,
        };
        let mut world = Self {
            net: Arc::new(Mutex::new(net)),
            disks: BTreeMap::new(),
            up: BTreeMap::new(),
            founders: (1..=count).map(|id| (id, place(id))).collect(),
            snapshot_every: 5_000,
            clock: SimClock(Instant::now()),
            epoch: 0,
        };
        for id in 1..=count {
            world.disks.insert(id, Disk::new());
        }
        world
    }

    pub(super) async fn start_all(&mut self) {
        for id in self.disks.keys().copied().collect::<Vec<_>>() {
            self.start(id).await;
        }
    }

    /// Starts a node on what it has on disk.
    pub(super) async fn start(&mut self, id: NodeId) {
        self.epoch += 1;
        let database = self.disks[&id].open().await;
        let identity = Identity::open(&RaftRows(database.0.clone()), id).unwrap();
        let chain = Chain::open(database, &genesis(), Options::default()).unwrap();
        let node = chain.node().clone();
        let link = SimLink { net: Arc::clone(&self.net), from: identity, epoch: self.epoch };
        let mut settings = Settings::new(identity, node.domain().genesis().0, place(id));
        settings.snapshot_every = self.snapshot_every;
        settings.keep_entries = 5;
        let engine = RaftEngine::start(chain, self.clock.clone(), Duration::from_millis(200), settings, link).await;
        let engine = engine.unwrap();
        let cluster = engine.cluster().clone();
        self.net.lock().unwrap().up.insert(id, (self.epoch, cluster.clone()));
        let founders = if self.founders.contains_key(&id) { self.founders.clone() } else { BTreeMap::new() };
        let task = tokio::spawn(async move { engine.run(&founders).await });
        self.up.insert(id, Running { node, cluster, task });
    }

    /// Ends a node without a word: nothing that it says from now on is heard.
    pub(super) async fn crash(&mut self, id: NodeId) {
        let Some(Running { node, cluster, task }) = self.up.remove(&id) else { return };
        self.net.lock().unwrap().up.remove(&id);
        for other in self.disks.keys() {
            self.cut_off(id, *other);
        }
        task.abort();
        let _ended = task.await;
        cluster.shut_down().await;
        drop((node, cluster));
        for other in self.disks.keys() {
            self.join(id, *other);
        }
    }

    /// Cuts two nodes off each other.
    pub(super) fn cut_off(&self, a: NodeId, b: NodeId) {
        self.net.lock().unwrap().cut.extend([(a, b), (b, a)]);
    }

    /// Cuts one direction alone.
    pub(super) fn cut_one_way(&self, from: NodeId, to: NodeId) {
        self.net.lock().unwrap().cut.insert((from, to));
    }

    fn join(&self, a: NodeId, b: NodeId) {
        let mut net = self.net.lock().unwrap();
        net.cut.remove(&(a, b));
        net.cut.remove(&(b, a));
    }

    /// Cuts a node off all others.
    pub(super) fn isolate(&self, id: NodeId) {
        self.disks.keys().filter(|other| **other != id).for_each(|other| self.cut_off(id, *other));
    }

    pub(super) fn heal(&self) {
        self.net.lock().unwrap().cut.clear();
    }

    /// The node that leads, and knows it, and is heard by a majority.
    pub(super) async fn leader(&self) -> NodeId {
        for _ in 0..600 {
            let leads = |running: &Running| running.cluster.is_leader();
            let mut leaders: Vec<_> = self.up.iter().filter(|(_, running)| leads(running)).collect();
            leaders.sort_by_key(|(_, running)| running.cluster.status().term);
            if let Some((id, running)) = leaders.last()
                && running.cluster.status().quorum_heard_ms.is_some_and(|heard| heard < 1_000)
            {
                return **id;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("nobody leads after a minute");
    }
}
