//! The tests of the checks, as one program. Only `allocation` is a program of its own, because it counts the
//! bytes of a whole process.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod seeds;
