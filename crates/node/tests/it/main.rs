//! Tests of the node.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::type_complexity,
    clippy::unwrap_used,
    reason = "tests"
)]

mod blocks;
mod cli;
#[cfg(feature = "rocksdb")]
mod disk;
mod export;
mod http;
mod mempool;
mod notify;
#[cfg(feature = "raft")]
mod raft;
mod reporter;
#[cfg(feature = "rocksdb")]
mod survival;
