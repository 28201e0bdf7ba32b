//! The tests of the replay tool, as one program: a module for each subject.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests"
)]

mod cli;
mod golden;
mod readme;
mod scenarios;
mod vectors;
mod watch;
