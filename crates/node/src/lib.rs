//! The node: takes signed transactions, makes blocks of them, keeps them, answers and tells.
//!
//! [`Node`] is what everything that asks or tells is written on. Blocks come from an [`engine`], which alone may
//! commit; they are executed and kept in one way, whatever the engine. Time enters a block only as the choice of its
//! height.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests"))]

pub mod beside;
mod block;
mod chain;
pub mod cli;
pub mod config;
pub mod dashboard;
pub mod database;
pub mod engine;
pub mod export;
pub mod home;
pub mod http;
mod mempool;
mod node;
pub mod notify;
mod outgoing;
mod replicas;
pub mod reporter;
pub mod secret;
pub mod tables;
#[cfg(feature = "testing")]
pub mod testing;
mod timings;
mod warnings;

pub use chain::{Chain, ReplaceError, Stamp, Stopped};
pub use mempool::{Limits, Refusal};
pub use node::{
    Behind, Health, Node, NotLinearizable, NotSettled, OpenError, Options, Sequences, StopSignal, SubmitError,
    Submitted, TxState,
};
pub use tables::{BlockRecord, TxOutcome, TxRecord};
