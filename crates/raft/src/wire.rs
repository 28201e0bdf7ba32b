//! What nodes say to each other: frames of a length and a message in the form of postcard. A snapshot follows its frame.

use std::io;

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{SnapshotMeta, Vote};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::membership::{Order, Status};
use crate::snapshot::SnapshotFile;
use crate::types::{Identity, Incarnation, Member, NodeId, TypeConfig};

/// The longest frame, in bytes: above the most that is sent at once.
const FRAME_SIZE_MAX: u32 = 8 << 20;
/// The version of all this.
pub(crate) const VERSION: u16 = 1;

/// The first thing that a connection says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of the messages.
    pub version: u16,
    /// The hash of the genesis: nodes of other ledgers are not listened to.
    pub genesis: [u8; 32],
    /// Who is calling.
    pub from: NodeId,
    /// Which life of it; none if it is an operator at that node, who gives orders and takes no part.
    pub incarnation: Option<Incarnation>,
    /// Who is being called.
    pub to: NodeId,
}

/// What is said to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Welcome {
    /// Who is there.
    Here(Identity),
    /// Why the caller is not listened to.
    Refused(String),
}

/// What one node asks of another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Entries, or none as a heartbeat.
    Append(AppendEntriesRequest<TypeConfig>),
    /// A vote.
    Vote(VoteRequest<NodeId>),
    /// A snapshot, which follows.
    Snapshot {
        /// The vote of the leader.
        vote: Vote<NodeId>,
        /// What it is of.
        meta: SnapshotMeta<NodeId, Member>,
        /// How long it is, in bytes.
        size: u64,
        /// The file, on each side.
        #[serde(skip)]
        file: Option<SnapshotFile>,
    },
    /// Up to where one has to read, for all that was acknowledged until now.
    ReadIndex,
    /// Transactions for the next blocks.
    Submit(Vec<Vec<u8>>),
    /// What an operator wants.
    Order(Order),
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Response {
    /// To entries.
    Append(AppendEntriesResponse<NodeId>),
    /// To a vote.
    Vote(VoteResponse<NodeId>),
    /// To a snapshot.
    Snapshot(SnapshotResponse<NodeId>),
    /// The index of an entry; none before the first.
    ReadIndex(Option<u64>),
    /// How many of the transactions wait now, or have become part of a block.
    Submit(u32),
    /// What an order led to.
    Order(Status),
    /// Who was asked does not lead; perhaps this node does.
    NotLeader(Option<(NodeId, Member)>),
    /// It did not work out.
    Failed(String),
}

/// Writes a message.
pub(crate) async fn send<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let mut frame = vec![0; 4];
    frame = postcard::to_extend(message, frame).map_err(io::Error::other)?;
    let size = u32::try_from(frame.len().saturating_sub(4)).ok().filter(|size| *size <= FRAME_SIZE_MAX);
    let size = size.ok_or_else(|| io::Error::other("the message is too long to be sent"))?;
    frame.iter_mut().zip(size.to_be_bytes()).for_each(|(at, byte)| *at = byte);
    to.write_all(&frame).await?;
    to.flush().await
}

/// Reads a message.
pub(crate) async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<T> {
    let size = from.read_u32().await?;
    if size > FRAME_SIZE_MAX {
        let why = format!("a message of {size} bytes, more than {FRAME_SIZE_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut frame = Vec::new();
    from.take(size.into()).read_to_end(&mut frame).await?;
    if frame.len() < usize::try_from(size).unwrap_or(usize::MAX) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (message, rest) =
        postcard::take_from_bytes(&frame).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if rest.is_empty() { Ok(message) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "leftover bytes")) }
}
