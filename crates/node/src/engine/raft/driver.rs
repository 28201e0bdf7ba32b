//! What runs the engine: blocks when this node leads, forwarding when it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use coalmine_auth::ENVELOPE_SIZE_MAX;
use coalmine_core::{DecodeError, Hash};
use coalmine_raft::{Cluster, ClusterError, Intake, Link, NodeId, OpenError, Outcome, Proposal, Settings, WeakCluster};
use coalmine_store::StoreError;
use tokio::time::{Instant, sleep, timeout};

use super::clock::{HeightClock, Mark};
use super::machine::{BlockMachine, Reason};
use super::rows::RaftRows;
use crate::chain::{Chain, Stopped, choose, is_due};
use crate::engine::clock::Clock;
use crate::node::Node;
use crate::replicas::Replicas;
use crate::tables::Table;

/// The most bytes of transactions in a block: it has to reach the others between two heartbeats.
const BLOCK_BYTES: usize = 1 << 20;
/// How often the height moves while nothing happens.
const IDLE_WRITE: Duration = Duration::from_secs(10);
/// How often a node looks for what it has to hand on, at most.
const FORWARD: Duration = Duration::from_millis(20);
/// After which time it hands on again what is in no block yet.
const FORWARD_AGAIN: Duration = Duration::from_secs(2);
/// How long a reader waits for a majority.
const LINEARIZE_MAX: Duration = Duration::from_secs(5);
/// How long a leader may be without a majority before it is not ready.
const QUORUM_MAX_MS: u64 = 3_000;
/// How long founding waits between two attempts.
const FOUND_AGAIN: Duration = Duration::from_millis(500);

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mark of the clock does not decode.
    #[error("the mark \"raft-clock\" of the node is damaged ({0}); restore a copy")]
    Mark(DecodeError),
    /// Log or state.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The engine of one node.
#[derive(Debug)]
pub struct RaftEngine<L, C> {
    node: Node,
    cluster: Cluster<L>,
    clock: C,
    heights: HeightClock,
    interval: Duration,
    reason: Reason,
}

/// Takes in what other nodes hand on.
struct Pool(Node);

impl Intake for Pool {
    fn take(&self, envelope: &[u8]) -> Result<(), String> {
        self.0.submit(envelope).map(|_| ()).map_err(|error| error.to_string())
    }
}

/// The cluster as its node knows it: each has the other, and one of the two must not keep it open.
struct Others<L>(WeakCluster<L>);

impl<L> fmt::Debug for Others<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Others")
    }
}

impl<L: Link> Replicas for Others<L> {
    fn linearize(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async {
            let cluster = self.0.upgrade().ok_or("raft has stopped")?;
            cluster.linearize(LINEARIZE_MAX).await.map_err(|error| error.to_string())
        })
    }

    fn trouble(&self) -> Option<String> {
        let status = self.0.upgrade()?.status();
        if status.leader.is_none() {
            return Some("no leader is known".into());
        }
        let is_cut_off = status.quorum_heard_ms.is_some_and(|heard| heard > QUORUM_MAX_MS);
        is_cut_off.then(|| "no majority of the nodes answers".into())
    }

    fn is_leader(&self) -> bool {
        self.0.upgrade().is_some_and(|cluster| cluster.is_leader())
    }
}

impl<L: Link, C: Clock> RaftEngine<L, C> {
    /// Opens log and state of a node, and takes over its blocks.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        chain: Chain,
        clock: C,
        interval: Duration,
        settings: Settings,
        link: L,
    ) -> Result<Self, StartError> {
        let node = chain.node().clone();
        node.inner().runs("raft");
        let mark = node.inner().database().get(Table::Meta, Mark::KEY)?;
        let mark = mark.map(|row| Mark::from_row(&row)).transpose().map_err(StartError::Mark)?;
        let heights = HeightClock::new(interval, mark, clock.wall(), clock.monotonic());
        let rows = Arc::new(RaftRows(node.inner().database().clone()));
        let machine = BlockMachine::new(chain);
        let reason = machine.reason();
        let cluster = Cluster::open(settings, rows, machine, link, Pool(node.clone())).await?;
        node.inner().replicates(Arc::new(Others(cluster.downgrade())));
        Ok(Self { node, cluster, clock, heights, interval, reason })
    }

    /// The cluster, for the other nodes and for orders.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster<L> {
        &self.cluster
    }

    /// Makes blocks, or hands on, until the node stops. Founds the cluster first, if it is told with whom.
    ///
    /// # Errors
    /// There are no more blocks.
    pub async fn run(mut self, founders: &BTreeMap<NodeId, String>) -> Result<(), Stopped> {
        let (mut stop, cluster) = (self.node.stop(), self.cluster.clone());
        let ended = tokio::select! {
            why = cluster.failed_for() => Err(self.why(why)),
            ended = async {
                self.found(founders).await;
                self.work().await
            } => ended,
            () = stop.stopped() => Ok(()),
        };
        if let Err(error) = &ended {
            tracing::error!(%error, "no more blocks");
            self.node.inner().halted(error.to_string());
        }
        self.cluster.shut_down().await;
        ended
    }

    fn why(&self, text: String) -> Stopped {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).take();
        reason.unwrap_or(Stopped::Log(text))
    }

    async fn found(&self, founders: &BTreeMap<NodeId, String>) {
        if founders.is_empty() {
            return;
        }
        let mut said = String::new();
        while let Err(error) = self.cluster.found(founders).await {
            let why = error.to_string();
            if why != said {
                tracing::info!(%why, "the cluster is not complete yet");
                said = why;
            }
            sleep(FOUND_AGAIN).await;
        }
    }

    async fn work(&mut self) -> Result<(), Stopped> {
        let mut forwarded = Forwarded::default();
        let mut next = Instant::now();
        loop {
            if self.cluster.is_leader() {
                if next <= Instant::now() {
                    next = Instant::now().checked_add(self.interval).unwrap_or(next);
                    self.lead().await?;
                }
                sleep(next.saturating_duration_since(Instant::now()).min(FORWARD)).await;
            } else {
                forwarded.hand_on(&self.node, &self.cluster).await;
                sleep(FORWARD).await;
            }
        }
    }

    /// Proposes a block, if there is anything to do.
    async fn lead(&mut self) -> Result<(), Stopped> {
        let now = self.clock.monotonic();
        let tip = self.node.tip().height;
        let since = self.heights.hear(tip, now);
        let height = self.heights.height(now).ok_or(Stopped::Heights)?;
        let has_work = self.node.pending() > 0;
        if !has_work && tip.is_some() && since < IDLE_WRITE && !is_due(&self.node, height)? {
            return Ok(());
        }
        let envelopes = if has_work { self.chosen()? } else { Vec::new() };
        let proposal = Proposal { height: Some(height), time: self.clock.wall(), envelopes };
        match self.cluster.propose(proposal).await {
            Ok(Outcome { .. }) => Ok(()),
            Err(ClusterError::Stopped(why)) => Err(self.why(why)),
            Err(error) => {
                // What was in it waits here still, and whoever leads gets it.
                tracing::info!(%error, "a block was not acknowledged");
                Ok(())
            }
        }
    }

    /// What the next block has. It is tried at the height after the tip: what has no room there waits.
    fn chosen(&self) -> Result<Vec<Vec<u8>>, Stopped> {
        let next = self.node.tip().height.map_or(Some(1), |tip| tip.checked_add(1)).ok_or(Stopped::Heights)?;
        let (chosen, _) = choose(&self.node, next, BLOCK_BYTES)?;
        Ok(chosen.iter().map(|waiting| waiting.envelope.clone()).collect())
    }
}

/// What was handed on, and to whom.
#[derive(Debug, Default)]
struct Forwarded {
    to: Option<NodeId>,
    since: Option<Instant>,
    ids: BTreeSet<Hash>,
}

impl Forwarded {
    async fn hand_on<L: Link>(&mut self, node: &Node, cluster: &Cluster<L>) {
        if node.pending() == 0 {
            self.ids.clear();
            return;
        }
        let leader = cluster.leader().map(|(id, _)| id);
        let is_old = self.since.is_some_and(|since| since.elapsed() > FORWARD_AGAIN);
        if self.to != leader || is_old {
            *self = Self { to: leader, since: Some(Instant::now()), ids: BTreeSet::new() };
        }
        if leader.is_none() {
            return;
        }
        let waiting = node.inner().pool().select(usize::MAX, usize::MAX);
        let (mut ids, mut envelopes, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        for waiting in waiting.iter().filter(|waiting| !self.ids.contains(&waiting.id)) {
            if bytes.saturating_add(waiting.envelope.len()) > BLOCK_BYTES.max(ENVELOPE_SIZE_MAX) {
                break;
            }
            bytes = bytes.saturating_add(waiting.envelope.len());
            ids.push(waiting.id);
            envelopes.push(waiting.envelope.clone());
        }
        if envelopes.is_empty() {
            return;
        }
        match timeout(FORWARD_AGAIN, cluster.forward(envelopes)).await {
            Ok(Ok(_)) => self.ids.extend(ids),
            Ok(Err(error)) => tracing::debug!(%error, "nothing was handed on"),
            Err(_) => tracing::debug!("nothing was handed on in time"),
        }
    }
}
