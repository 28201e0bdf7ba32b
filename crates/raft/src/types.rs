//! What is in the log, and who is in the cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use openraft::impls::OneshotResponder;
use openraft::{LogId, StoredMembership};
use rand::RngCore as _;
use serde::{Deserialize, Serialize};

use crate::log::{Rows, Write};
use crate::runtime::Runtime;
use crate::snapshot::SnapshotFile;

/// The id of a node. Never used for another node, nor for the same one after its database was lost.
pub type NodeId = u64;

/// The types that openraft works with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Proposal;
    type R = Outcome;
    type NodeId = NodeId;
    type Node = Member;
    type Entry = openraft::Entry<Self>;
    type SnapshotData = SnapshotFile;
    type AsyncRuntime = Runtime;
    type Responder = OneshotResponder<Self>;
}

/// A block as it is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The height to aim at. The block gets it if it is above the tip, or else the height after the tip.
    pub height: Option<u32>,
    /// When the leader made it, in milliseconds since 1970.
    pub time: u64,
    /// Its transactions, as they were signed.
    pub envelopes: Vec<Vec<u8>>,
}

impl Proposal {
    /// The most bytes that a proposal may have: it has to pass between two heartbeats.
    pub const SIZE_MAX: usize = 2 << 20;

    /// How many bytes it has, about.
    #[must_use]
    pub fn size(&self) -> usize {
        self.envelopes.iter().fold(32, |size, envelope| size.saturating_add(envelope.len()).saturating_add(8))
    }
}

/// What came of an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The height of its block; none of an entry that is no block.
    pub height: Option<u32>,
    /// The root after it.
    pub root: [u8; 32],
}

/// Which life of a node this is: drawn when its database is made.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

/// A node as the membership has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// Where the other nodes reach it: `host:port`.
    pub address: String,
    /// Which life of the node was admitted.
    pub incarnation: Incarnation,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// Who a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its id.
    pub id: NodeId,
    /// Which life of it this is.
    pub incarnation: Incarnation,
}

/// Why a database cannot be that of a node.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database fails.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It belongs to another node.
    #[error("the database is of node {found}, not of node {wanted}; give every node a home of its own")]
    Other {
        /// The id that was asked for.
        wanted: NodeId,
        /// That of the database.
        found: NodeId,
    },
}

impl Identity {
    const KEY: &'static [u8] = b"node";

    /// The identity of a database, drawn now if it has none.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn open(rows: &impl Rows, id: NodeId) -> Result<Self, IdentityError> {
        if let Some(row) = rows.get(Self::KEY)? {
            let found: Self = postcard::from_bytes(&row).map_err(io::Error::other)?;
            let is_same = found.id == id;
            return if is_same { Ok(found) } else { Err(IdentityError::Other { wanted: id, found: found.id }) };
        }
        let mut incarnation = Incarnation::default();
        rand::rngs::OsRng.try_fill_bytes(&mut incarnation.0).map_err(io::Error::other)?;
        let identity = Self { id, incarnation };
        let row = postcard::to_stdvec(&identity).map_err(io::Error::other)?;
        rows.write(vec![(Self::KEY.to_vec(), Some(row))], Write::Synced)?;
        Ok(identity)
    }
}

/// How far a machine is: written together with what it says, and part of each snapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The last entry that was applied.
    pub last: Option<LogId<NodeId>>,
    /// The last membership that was.
    pub membership: StoredMembership<NodeId, Member>,
    /// Every node that ever was a member, so that no id is used twice.
    pub seen: BTreeMap<NodeId, Incarnation>,
}

impl Applied {
    /// Its bytes.
    ///
    /// # Errors
    /// Never, but for a bug below.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        postcard::to_stdvec(self).map_err(io::Error::other)
    }

    /// Decodes it.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        postcard::from_bytes(bytes).map_err(io::Error::other)
    }
}
