//! Support for tests, fuzz checks and benches. It is not part of the model: it drives core and may use all of its code.
#![allow(
    missing_docs,
    clippy::new_without_default,
    clippy::string_slice,
    clippy::wildcard_enum_match_arm,
    reason = "tests; a command in short is named as the command"
)]

pub mod commands;
mod lockstep;
pub mod plugins;
mod random;
mod records;
mod world;

pub use lockstep::{Agreed, Lockstep, assert_same};
pub use random::Random;
pub use records::Records;
pub use world::{World, bring_feature, genesis, refused, writes};
