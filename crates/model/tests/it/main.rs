//! The tests of the model and of what core may use, as one program: a module for each subject.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

#[cfg(unix)]
mod core;
mod read;
mod vectors;
