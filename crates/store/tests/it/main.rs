//! The tests of the stores and of the ledger, as one program: a module for each subject.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod common;

mod builds;
mod conformance;
mod dump;
#[cfg(feature = "rocksdb")]
mod durability;
mod ledger;
#[cfg(feature = "rocksdb")]
mod recovery;
#[cfg(feature = "rocksdb")]
mod rocks;
