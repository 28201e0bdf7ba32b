//! What a node knows of the other nodes, if there are any.

use std::fmt;
use std::pin::Pin;

/// The other nodes, for an engine that replicates.
pub(crate) trait Replicas: fmt::Debug + Send + Sync {
    /// Makes sure that this node has everything that any node has acknowledged, or says why it cannot.
    fn linearize(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;

    /// Why the node is not ready, if it is not.
    fn trouble(&self) -> Option<String>;

    /// Whether this node leads: what only one of them does, such as telling others, is done there.
    fn is_leader(&self) -> bool;
}
