//! The tests of the stream client and of the tool, as one program: a module for each subject.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod common;

mod cli;
mod manager;
mod server;
mod stream;
mod vectors;
