//! Tests of the dashboard: what pages answer, and how they look and behave in a browser.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests"
)]

mod browser;
mod driver;
mod pages;
mod world;
