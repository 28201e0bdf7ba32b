//! The tests of the host, as one program: a module for each subject.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod code;
#[cfg(feature = "fetch")]
mod fetch;
mod incoming;
