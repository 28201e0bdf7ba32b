//! The tests of the JSON forms, as one program: a module for each subject.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests"
)]

mod blockfile;
mod bytes;
mod dependencies;
mod schema;
mod setting;
