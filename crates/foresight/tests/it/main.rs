//! The tests of foresight, as one program: what is foretold is what comes, in random worlds and all stories.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod calendar;
mod errors_left;
mod explain;
mod preview;
mod stories;
mod what_if;
mod why;
