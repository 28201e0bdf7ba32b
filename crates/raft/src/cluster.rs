//! One node of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use openraft::error::{ClientWriteError, InitializeError, RaftError};
use openraft::{ChangeMembers, Config, Raft, ServerState, Snapshot, SnapshotPolicy};
use tokio::time::{Instant, timeout, timeout_at};

use crate::link::{CallError, Link};
use crate::log::{LogStore, Rows};
use crate::machine::{BoxError, Machine, StateMachine, lock};
use crate::membership::{MemberStatus, Order, Role, Status, state_name};
use crate::network::Network;
use crate::snapshot::SnapshotFile;
use crate::types::{Applied, Identity, Incarnation, Member, NodeId, Outcome, Proposal, TypeConfig};
use crate::wire::{Hello, Request, Response, VERSION};

/// How long another node may take for a short answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long an order may take: a learner has to fetch everything first.
pub(crate) const ORDER_MAX: Duration = Duration::from_secs(10 * 60);
/// How many entries a learner may be behind when it is to vote.
const LAG_MAX: u64 = 1_000;

/// Takes in what other nodes forward.
pub trait Intake: Send + Sync + 'static {
    /// Takes a signed transaction, or says why not.
    ///
    /// # Errors
    /// It will not become part of a block of this node.
    fn take(&self, envelope: &[u8]) -> Result<(), String>;
}

/// What a node is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who it is.
    pub identity: Identity,
    /// The hash of the genesis.
    pub genesis: [u8; 32],
    /// Where the others reach it.
    pub address: String,
    /// Where snapshots lie while they are sent.
    pub folder: Option<PathBuf>,
    /// How often a leader says that it is there. All nodes have the same three times.
    pub heartbeat: Duration,
    /// The time of silence after which a leader is taken for lost, at least and at most.
    pub election: (Duration, Duration),
    /// After how many entries there is a new snapshot.
    pub snapshot_every: u64,
    /// How many entries stay in the log that a snapshot has already.
    pub keep_entries: u64,
}

impl Settings {
    /// The usual ones.
    #[must_use]
    pub const fn new(identity: Identity, genesis: [u8; 32], address: String) -> Self {
        Self {
            identity,
            genesis,
            address,
            folder: None,
            heartbeat: Duration::from_millis(250),
            election: (Duration::from_millis(1_000), Duration::from_millis(2_000)),
            snapshot_every: 5_000,
            keep_entries: 1_000,
        }
    }

    fn config(&self) -> Result<Config, OpenError> {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let config = Config {
            cluster_name: hex::encode(self.genesis.get(..8).unwrap_or_default()),
            heartbeat_interval: ms(self.heartbeat),
            election_timeout_min: ms(self.election.0),
            election_timeout_max: ms(self.election.1),
            install_snapshot_timeout: ms(ORDER_MAX),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: self.keep_entries,
            ..Config::default()
        };
        config.validate().map_err(|error| OpenError::Settings(error.to_string()))
    }
}

/// Why a node does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Times that do not fit together.
    #[error("the times of raft do not fit together: {0}")]
    Settings(String),
    /// The machine.
    #[error("the state cannot be opened: {0}")]
    Machine(BoxError),
    /// Log or state.
    #[error("raft does not start: {0}")]
    Raft(String),
}

/// Why something could not be done. It may have been done all the same, if the connection broke.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClusterError {
    /// Another node leads, or nobody does just now.
    #[error("this node does not lead{}", .0.as_ref().map_or_else(String::new, |(id, member)| format!("; node {id} at {member} does")))]
    NotLeader(Option<(NodeId, Member)>),
    /// More than an entry takes.
    #[error("a block of {size} bytes does not fit into an entry of at most {}", Proposal::SIZE_MAX)]
    TooLarge {
        /// How many bytes it has.
        size: usize,
    },
    /// Nothing came in time.
    #[error("no majority of the nodes answers in time")]
    Late,
    /// Another node cannot be reached.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An order that makes no sense now.
    #[error("{0}")]
    Refused(String),
    /// This node has stopped.
    #[error("raft has stopped: {0}")]
    Stopped(String),
}

/// One node of a cluster. Clones are handles of the same node.
pub struct Cluster<L>(Arc<Inner<L>>);

/// A node of a cluster for somebody who must not keep it open.
pub struct WeakCluster<L>(Weak<Inner<L>>);

impl<L> WeakCluster<L> {
    /// The node, if it is still open.
    #[must_use]
    pub fn upgrade(&self) -> Option<Cluster<L>> {
        self.0.upgrade().map(Cluster)
    }
}

impl<L> Clone for Cluster<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L> std::fmt::Debug for Cluster<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

struct Inner<L> {
    raft: Raft<TypeConfig>,
    link: L,
    settings: Settings,
    applied: Arc<Mutex<Applied>>,
    intake: Box<dyn Intake>,
    /// Orders are carried out one at a time.
    orders: tokio::sync::Mutex<()>,
}

impl<L: Link> Cluster<L> {
    /// Opens a node on its log and its machine.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open<R: Rows, M: Machine>(
        settings: Settings,
        rows: Arc<R>,
        machine: M,
        link: L,
        intake: impl Intake,
    ) -> Result<Self, OpenError> {
        let machine = StateMachine::open(machine, settings.folder.clone()).map_err(OpenError::Machine)?;
        let (applied, config) = (machine.applied(), Arc::new(settings.config()?));
        let raft = Raft::new(settings.identity.id, config, Network(link.clone()), LogStore::new(rows), machine).await;
        let raft = raft.map_err(|error| OpenError::Raft(error.to_string()))?;
        let (intake, orders) = (Box::new(intake), tokio::sync::Mutex::new(()));
        Ok(Self(Arc::new(Inner { raft, link, settings, applied, intake, orders })))
    }

    /// The node for somebody who must not keep it open.
    #[must_use]
    pub fn downgrade(&self) -> WeakCluster<L> {
        WeakCluster(Arc::downgrade(&self.0))
    }

    /// What is below, for tests and figures.
    #[must_use]
    pub fn raft(&self) -> &Raft<TypeConfig> {
        &self.0.raft
    }

    /// The id of this node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.settings.identity.id
    }

    /// Whether this node has ever been part of a cluster.
    ///
    /// # Errors
    /// It has stopped.
    pub async fn is_initialized(&self) -> Result<bool, ClusterError> {
        self.0.raft.is_initialized().await.map_err(|error| ClusterError::Stopped(error.to_string()))
    }

    /// Founds the cluster of these nodes, this one among them. Every founder may do it, with the same nodes; nothing
    /// happens where it was done before.
    ///
    /// # Errors
    /// A node is not there yet, or is not who it should be.
    pub async fn found(&self, nodes: &BTreeMap<NodeId, String>) -> Result<(), ClusterError> {
        if self.is_initialized().await? {
            return Ok(());
        }
        let mut members = BTreeMap::new();
        for (id, address) in nodes {
            let there = if *id == self.id() {
                self.0.settings.identity
            } else {
                self.0.link.meet(*id, address, ANSWER_MAX).await?
            };
            members.insert(*id, Member { address: address.clone(), incarnation: there.incarnation });
        }
        match self.0.raft.initialize(members).await {
            // Another founder was faster.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotInMembers(error))) => {
                Err(ClusterError::Refused(error.to_string()))
            }
            Err(RaftError::Fatal(error)) => Err(ClusterError::Stopped(error.to_string())),
        }
    }

    /// Who leads, as far as this node knows.
    #[must_use]
    pub fn leader(&self) -> Option<(NodeId, Member)> {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader?;
        let mut nodes = metrics.membership_config.nodes();
        nodes.find(|(id, _)| **id == leader).map(|(id, member)| (*id, member.clone()))
    }

    /// Whether this node leads, as far as it knows: one that is cut off believes it for a while.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0.raft.metrics().borrow().state == ServerState::Leader
    }

    /// Puts a block into the log, and waits until it is committed and applied here.
    ///
    /// # Errors
    /// [`ClusterError`]. Unless the block is too large it may become part of the ledger all the same.
    pub async fn propose(&self, proposal: Proposal) -> Result<Outcome, ClusterError> {
        let size = proposal.size();
        if size > Proposal::SIZE_MAX {
            return Err(ClusterError::TooLarge { size });
        }
        match self.0.raft.client_write(proposal).await {
            Ok(written) => Ok(written.data),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: RaftError<NodeId, ClientWriteError<NodeId, Member>>) -> ClusterError {
        match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
                ClusterError::NotLeader(to.leader_id.zip(to.leader_node).filter(|(id, _)| *id != self.id()))
            }
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
                ClusterError::Refused(error.to_string())
            }
            RaftError::Fatal(error) => ClusterError::Stopped(error.to_string()),
        }
    }

    /// Makes sure that this node has applied everything that was acknowledged before this call, by whatever node.
    ///
    /// # Errors
    /// There is no majority in time, or this node has stopped.
    pub async fn linearize(&self, within: Duration) -> Result<(), ClusterError> {
        let deadline = Instant::now().checked_add(within).unwrap_or_else(Instant::now);
        let index = loop {
            let asked = timeout_at(deadline, self.read_index()).await.map_err(|_| ClusterError::Late)?;
            match asked {
                Ok(index) => break index,
                Err(ClusterError::Stopped(why)) => return Err(ClusterError::Stopped(why)),
                Err(error) if Instant::now() >= deadline => return Err(error),
                // Somebody else may lead in a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let Some(index) = index else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        let applied = self.0.raft.wait(Some(left)).applied_index_at_least(Some(index), "linearizable read").await;
        applied.map(|_| ()).map_err(|_| ClusterError::Late)
    }

    async fn read_index(&self) -> Result<Option<u64>, ClusterError> {
        if self.is_leader() {
            return self.own_read_index().await;
        }
        let response = self.ask_leader(Request::ReadIndex, ANSWER_MAX).await?;
        if let Response::ReadIndex(index) = response { Ok(index) } else { Err(self.not_that(response)) }
    }

    async fn own_read_index(&self) -> Result<Option<u64>, ClusterError> {
        match self.0.raft.get_read_log_id().await {
            Ok((read, _)) => Ok(read.map(|read| read.index)),
            Err(RaftError::APIError(_)) => Err(ClusterError::NotLeader(None)),
            Err(RaftError::Fatal(error)) => Err(ClusterError::Stopped(error.to_string())),
        }
    }

    async fn ask_leader(&self, request: Request, within: Duration) -> Result<Response, ClusterError> {
        let other = self.leader().filter(|(id, _)| *id != self.id());
        let (id, member) = other.ok_or(ClusterError::NotLeader(None))?;
        Ok(self.0.link.call(id, &member, request, within).await?)
    }

    fn not_that(&self, response: Response) -> ClusterError {
        match response {
            Response::NotLeader(leader) => ClusterError::NotLeader(leader.filter(|(id, _)| *id != self.id())),
            Response::Failed(why) => ClusterError::Refused(why),
            Response::Append(_)
            | Response::Vote(_)
            | Response::Snapshot(_)
            | Response::ReadIndex(_)
            | Response::Submit(_)
            | Response::Order(_) => ClusterError::Refused("the leader answers something else".into()),
        }
    }

    /// Hands transactions to the leader. Those that it does not take are refused by this node too, as soon as it has the
    /// same state.
    ///
    /// # Errors
    /// The leader is not known, or cannot be reached.
    pub async fn forward(&self, envelopes: Vec<Vec<u8>>) -> Result<u32, ClusterError> {
        let response = self.ask_leader(Request::Submit(envelopes), ANSWER_MAX).await?;
        if let Response::Submit(taken) = response { Ok(taken) } else { Err(self.not_that(response)) }
    }

    /// Whether a caller is listened to.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, hello: &Hello) -> Result<Identity, String> {
        let Settings { identity, genesis, .. } = &self.0.settings;
        if hello.version != VERSION {
            return Err(format!("it speaks version {}, this node version {VERSION}", hello.version));
        }
        if hello.genesis != *genesis {
            return Err(format!(
                "it is of the ledger with genesis {}, this node of {}",
                hex::encode(hello.genesis),
                hex::encode(genesis)
            ));
        }
        if hello.to != identity.id {
            return Err(format!("it calls node {}, and this is node {}", hello.to, identity.id));
        }
        let known = lock(&self.0.applied).seen.get(&hello.from).copied();
        match known.zip(hello.incarnation) {
            Some((known, claimed)) if known != claimed => Err(format!(
                "node {} has lost its database; remove it, and add it under an id that was never used",
                hello.from
            )),
            Some(_) | None => Ok(*identity),
        }
    }

    /// A file for a snapshot that arrives.
    pub(crate) fn new_snapshot(&self) -> io::Result<SnapshotFile> {
        SnapshotFile::create(self.0.settings.folder.as_deref())
    }

    /// Answers another node.
    pub async fn answer(&self, request: Request) -> Response {
        let raft = &self.0.raft;
        let text = |error: &dyn std::fmt::Display| Response::Failed(error.to_string());
        match request {
            Request::Append(request) => {
                raft.append_entries(request).await.map_or_else(|error| text(&error), Response::Append)
            }
            Request::Vote(request) => raft.vote(request).await.map_or_else(|error| text(&error), Response::Vote),
            Request::Snapshot { vote, meta, file: Some(file), .. } => {
                let snapshot = Snapshot { meta, snapshot: Box::new(file) };
                let installed = raft.install_full_snapshot(vote, snapshot).await;
                installed.map_or_else(|error| text(&error), Response::Snapshot)
            }
            Request::Snapshot { file: None, .. } => Response::Failed("there is no snapshot".into()),
            Request::ReadIndex => {
                self.own_read_index().await.map_or_else(|error| self.said(error), Response::ReadIndex)
            }
            Request::Submit(envelopes) if self.is_leader() => {
                let taken = envelopes.iter().filter(|envelope| self.0.intake.take(envelope).is_ok()).count();
                Response::Submit(u32::try_from(taken).unwrap_or(u32::MAX))
            }
            Request::Submit(_) => Response::NotLeader(self.leader()),
            Request::Order(order) => self.carry_out(order).await.map_or_else(|error| self.said(error), Response::Order),
        }
    }

    fn said(&self, error: ClusterError) -> Response {
        match error {
            ClusterError::NotLeader(_) => Response::NotLeader(self.leader()),
            ClusterError::TooLarge { .. }
            | ClusterError::Late
            | ClusterError::Call(_)
            | ClusterError::Refused(_)
            | ClusterError::Stopped(_) => Response::Failed(error.to_string()),
        }
    }

    /// Carries out an order, or has the leader do it.
    ///
    /// # Errors
    /// [`ClusterError`]: read the status before you try again, if the connection broke.
    pub async fn order(&self, order: Order) -> Result<Status, ClusterError> {
        if order == Order::LocalStatus || self.is_leader() {
            return self.carry_out(order).await;
        }
        let response = self.ask_leader(Request::Order(order), ORDER_MAX).await?;
        if let Response::Order(status) = response { Ok(status) } else { Err(self.not_that(response)) }
    }

    async fn carry_out(&self, order: Order) -> Result<Status, ClusterError> {
        if order == Order::LocalStatus {
            return Ok(self.status());
        }
        if !self.is_leader() {
            return Err(ClusterError::NotLeader(self.leader()));
        }
        if order == Order::Status {
            return Ok(self.status());
        }
        let carried_out = async {
            let _alone = self.0.orders.lock().await;
            self.finish_change().await?;
            match order {
                Order::AddLearner { id, address } => self.add_learner(id, address).await?,
                Order::Promote(id) => self.promote(id).await?,
                Order::Remove(id) => self.remove(id).await?,
                Order::Status | Order::LocalStatus => {}
            }
            Ok(self.status())
        };
        timeout(ORDER_MAX, carried_out).await.map_err(|_| ClusterError::Late)?
    }

    async fn change(&self, change: ChangeMembers<NodeId, Member>, retain: bool) -> Result<(), ClusterError> {
        let changed = self.0.raft.change_membership(change, retain).await;
        changed.map(|_| ()).map_err(|error| self.failed(error))
    }

    /// Ends a change that a leader began and did not finish.
    async fn finish_change(&self) -> Result<(), ClusterError> {
        if !self.status().is_changing {
            return Ok(());
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::new()), true).await
    }

    async fn add_learner(&self, id: NodeId, address: String) -> Result<(), ClusterError> {
        let members = self.status().members;
        if members.iter().any(|member| member.id != id && member.address == address) {
            return Err(ClusterError::Refused(format!("another member is at {address}")));
        }
        if members.iter().any(|member| member.id == id && member.address != address) {
            let why = format!("node {id} is a member at another address; remove it first");
            return Err(ClusterError::Refused(why));
        }
        let there = self.0.link.meet(id, &address, ANSWER_MAX).await?;
        let used = lock(&self.0.applied).seen.get(&id).is_some_and(|seen| *seen != there.incarnation);
        if used {
            let why = format!("the id {id} was that of a node whose database is lost; take one that was never used");
            return Err(ClusterError::Refused(why));
        }
        let member = Member { address, incarnation: there.incarnation };
        let added = self.0.raft.add_learner(id, member, true).await;
        added.map(|_| ()).map_err(|error| self.failed(error))
    }

    async fn promote(&self, id: NodeId) -> Result<(), ClusterError> {
        let status = self.status();
        let Some(member) = status.members.iter().find(|member| member.id == id) else {
            return Err(ClusterError::Refused(format!("node {id} is no member; add it as a learner first")));
        };
        if member.role != Role::Learner {
            return Ok(());
        }
        let behind = status.last.unwrap_or_default().saturating_sub(member.has.unwrap_or_default());
        if behind > LAG_MAX {
            let why = format!("node {id} is {behind} entries behind, and may vote when it is at most {LAG_MAX} behind");
            return Err(ClusterError::Refused(why));
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await
    }

    async fn remove(&self, id: NodeId) -> Result<(), ClusterError> {
        let status = self.status();
        let Some(member) = status.members.iter().find(|member| member.id == id) else { return Ok(()) };
        if member.role == Role::Learner {
            return self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id])), false).await;
        }
        if status.members.iter().filter(|member| member.role != Role::Learner).count() == 1 {
            return Err(ClusterError::Refused("this is the last node that votes".into()));
        }
        self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id])), false).await
    }

    /// How the cluster is, as this node sees it.
    #[must_use]
    pub fn status(&self) -> Status {
        // Whoever holds the metrics holds up the node.
        let metrics = self.0.raft.metrics().borrow().clone();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let role = |id: &NodeId| match (Some(*id) == metrics.current_leader, voters.contains(id)) {
            (true, _) => Role::Leader,
            (false, true) => Role::Voter,
            (false, false) => Role::Learner,
        };
        let has = |id: &NodeId| {
            let replication = metrics.replication.as_ref()?;
            replication.get(id).copied().flatten().map(|last| last.index)
        };
        let members = membership.nodes().map(|(id, member)| MemberStatus {
            id: *id,
            address: member.address.clone(),
            role: role(id),
            has: has(id),
        });
        Status {
            node: metrics.id,
            state: state_name(metrics.state).into(),
            leader: metrics.current_leader,
            term: metrics.current_term,
            last: metrics.last_log_index,
            applied: metrics.last_applied.map(|applied| applied.index),
            snapshot: metrics.snapshot.map(|snapshot| snapshot.index),
            quorum_heard_ms: metrics.millis_since_quorum_ack,
            is_changing: membership.get_joint_config().len() > 1,
            members: members.collect(),
        }
    }

    /// Waits until this node can do no more, and says why: its database fails, or a block cannot be executed.
    pub async fn failed_for(&self) -> String {
        let mut metrics = self.0.raft.metrics();
        loop {
            let running = metrics.borrow_and_update().running_state.clone();
            if let Err(fatal) = running {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "it was shut down".into();
            }
        }
    }

    /// Ends this node. What was acknowledged stays.
    pub async fn shut_down(&self) {
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "raft did not end well");
        }
    }

    /// Which life of a node was admitted, if it ever was a member.
    #[must_use]
    pub fn seen(&self, id: NodeId) -> Option<Incarnation> {
        lock(&self.0.applied).seen.get(&id).copied()
    }
}
