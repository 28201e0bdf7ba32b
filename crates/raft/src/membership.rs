//! Who takes part, and the orders that change it.

use std::fmt;

use openraft::ServerState;
use serde::{Deserialize, Serialize};

use crate::types::NodeId;

/// What an operator wants of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// How the cluster is, as the leader sees it.
    Status,
    /// How the cluster is, as the node that is asked sees it.
    LocalStatus,
    /// A new node that gets everything and votes on nothing.
    AddLearner {
        /// Its id, which no node ever had.
        id: NodeId,
        /// Where the others reach it.
        address: String,
    },
    /// Lets a learner vote.
    Promote(NodeId),
    /// Takes a node out, for ever if its database goes with it.
    Remove(NodeId),
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It leads.
    Leader,
    /// It votes.
    Voter,
    /// It gets everything and votes on nothing.
    Learner,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Learner => "learner",
        })
    }
}

/// A member, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its id.
    pub id: NodeId,
    /// Where the others reach it.
    pub address: String,
    /// What it does.
    pub role: Role,
    /// The last entry that it is known to have; only the leader knows.
    pub has: Option<u64>,
}

/// How a cluster is, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The node.
    pub node: NodeId,
    /// What it is doing now.
    pub state: String,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The term.
    pub term: u64,
    /// The last entry in its log.
    pub last: Option<u64>,
    /// The last entry that it has applied.
    pub applied: Option<u64>,
    /// The last entry that its snapshot has.
    pub snapshot: Option<u64>,
    /// How long ago a majority was last heard of, in milliseconds; only the leader knows.
    pub quorum_heard_ms: Option<u64>,
    /// Whether a change of the members is not over yet.
    pub is_changing: bool,
    /// The members, by id.
    pub members: Vec<MemberStatus>,
}

/// The name of a state.
pub(crate) const fn state_name(state: ServerState) -> &'static str {
    match state {
        ServerState::Learner => "learner",
        ServerState::Follower => "follower",
        ServerState::Candidate => "candidate",
        ServerState::Leader => "leader",
        ServerState::Shutdown => "stopped",
    }
}
