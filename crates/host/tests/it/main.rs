//! The tests of the host, as one program: a module for each subject.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

#[cfg(feature = "wasm")]
mod cache;
#[cfg(feature = "wasm")]
mod calls;
mod code;
mod common;
#[cfg(feature = "fetch")]
mod fetch;
mod follow;
#[cfg(feature = "wasm")]
mod fresh;
mod incoming;
mod load;
#[cfg(feature = "wasm")]
mod plugins;
#[cfg(feature = "wasm")]
mod soak;
