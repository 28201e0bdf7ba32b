//! Replicates a log of blocks with Raft, by the library openraft.
//!
//! Each entry of the log is one block: transactions and a height to aim at. A host gives two things: [`Rows`], a table of
//! its database for log and vote, and a [`Machine`], which applies blocks together with a mark of how far it is. It gets
//! back a [`Cluster`]: proposals, forwarding, linearizable reads, membership. Nodes talk over a [`Link`]: [`TcpLink`] with
//! mutual TLS, or what a test puts in its place.
//!
//! What must stay true:
//! - A vote and an entry are durable before anybody is told of them.
//! - What a machine says it has applied is in its database together with the mark that says so.
//! - A node whose database was lost never comes back under its old id: its incarnation would be another one.
//!
//! Not here: what blocks do, where they are kept, and which transactions are in them.
// The errors are openraft's own, and come once in the life of a node.
#![allow(clippy::result_large_err, reason = "the traits of openraft return them")]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests"))]

mod cluster;
mod link;
mod log;
mod machine;
mod membership;
mod network;
mod runtime;
mod snapshot;
mod tcp;
mod tls;
mod types;
mod wire;

pub use cluster::{Cluster, ClusterError, Intake, OpenError, Settings, WeakCluster};
pub use link::{CallError, Link};
pub use log::{LogStore, Rows, Write};
pub use machine::{BoxError, Machine, Source, StateMachine};
pub use membership::{MemberStatus, Order, Role, Status};
pub use runtime::Runtime;
#[cfg(feature = "testing")]
pub use runtime::seed_elections;

pub use snapshot::SnapshotFile;
pub use tcp::{Listener, TcpLink};
pub use tls::{Security, SecurityError};
pub use types::{Applied, Identity, IdentityError, Incarnation, Member, NodeId, Outcome, Proposal, TypeConfig};
pub use wire::{Hello, Request, Response};

/// The library below, for those who test on it.
pub use openraft;
