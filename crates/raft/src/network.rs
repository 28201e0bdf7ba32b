//! The link as openraft wants it.

use std::future::Future;
use std::time::Duration;

use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{AnyError, OptionalSend, Snapshot, StorageIOError, Vote};

use crate::link::{CallError, Link};
use crate::types::{Member, NodeId, TypeConfig};
use crate::wire::{Request, Response};

/// How long a node that cannot be reached is left alone.
const BACKOFF: Duration = Duration::from_millis(200);
/// How long a snapshot may take.
const SNAPSHOT_MAX: Duration = Duration::from_secs(60 * 60);

/// Makes the ways to the members.
#[derive(Debug, Clone)]
pub(crate) struct Network<L>(pub(crate) L);

/// The way to one member.
#[derive(Debug)]
pub(crate) struct Way<L> {
    link: L,
    to: NodeId,
    member: Member,
}

impl<L: Link> RaftNetworkFactory<TypeConfig> for Network<L> {
    type Network = Way<L>;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Way<L> {
        Way { link: self.0.clone(), to: target, member: node.clone() }
    }
}

type Failed = RPCError<NodeId, Member, RaftError<NodeId>>;

impl<L: Link> Way<L> {
    async fn call(&self, request: Request, within: Duration) -> Result<Response, Unreachable> {
        let answered = self.link.call(self.to, &self.member, request, within).await;
        answered.map_err(|error| {
            // Everything else is the daily life of a network, about which openraft speaks.
            if let CallError::Refused(why) = &error {
                tracing::warn!(node = self.to, %why, "a node is not what it should be");
            }
            Unreachable::new(&error)
        })
    }
}

/// Not the answer to what was asked.
fn unexpected(response: Response) -> Unreachable {
    let why = if let Response::Failed(why) = response { why } else { "this is no answer to what was asked".into() };
    Unreachable::new(&AnyError::error(why))
}

impl<L: Link> RaftNetwork<TypeConfig> for Way<L> {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, Failed> {
        let response = self.call(Request::Append(rpc), option.hard_ttl()).await?;
        if let Response::Append(response) = response { Ok(response) } else { Err(unexpected(response).into()) }
    }

    async fn vote(&mut self, rpc: VoteRequest<NodeId>, option: RPCOption) -> Result<VoteResponse<NodeId>, Failed> {
        let response = self.call(Request::Vote(rpc), option.hard_ttl()).await?;
        if let Response::Vote(response) = response { Ok(response) } else { Err(unexpected(response).into()) }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<NodeId>,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        let failed = |error| openraft::StorageError::from(StorageIOError::read_snapshot(None, AnyError::new(&error)));
        let file = *snapshot.snapshot;
        let size = file.size().map_err(failed)?;
        let request = Request::Snapshot { vote, meta: snapshot.meta, size, file: Some(file) };
        let response = tokio::select! {
            biased;
            closed = cancel => return Err(closed.into()),
            response = self.call(request, SNAPSHOT_MAX) => response?,
        };
        if let Response::Snapshot(response) = response { Ok(response) } else { Err(unexpected(response).into()) }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}
