//! How nodes reach each other.

use std::future::Future;
use std::time::Duration;

use crate::types::{Identity, Member, NodeId};
use crate::wire::{Request, Response};

/// Why a call has no answer. It may have been heard all the same.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// Nobody is there, or the connection broke.
    #[error("node {to} at {address} cannot be reached: {why}")]
    Unreachable {
        /// Who was called.
        to: NodeId,
        /// Where.
        address: String,
        /// What the system says.
        why: String,
    },
    /// Nothing came in time.
    #[error("node {to} at {address} does not answer in time")]
    Late {
        /// Who was called.
        to: NodeId,
        /// Where.
        address: String,
    },
    /// Who is there is not who was called, or does not want to be called by this node.
    #[error("{0}")]
    Refused(String),
}

/// The way to the other nodes.
pub trait Link: Clone + Send + Sync + 'static {
    /// Sends a request to a member, and waits for its answer.
    fn call(
        &self,
        to: NodeId,
        member: &Member,
        request: Request,
        within: Duration,
    ) -> impl Future<Output = Result<Response, CallError>> + Send;

    /// Asks a node that is no member yet who it is.
    fn meet(
        &self,
        to: NodeId,
        address: &str,
        within: Duration,
    ) -> impl Future<Output = Result<Identity, CallError>> + Send;
}
