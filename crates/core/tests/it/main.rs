//! The tests of core from outside, as one program: a module for each subject.
//!
//! `cargo test -p coalmine-core --test it lifecycle::` runs one of them.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::too_many_lines,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod common;

mod architecture;
mod bounds;
mod buckets;
mod edges;
mod events;
mod feed;
mod format;
mod guardian;
mod lifecycle;
mod model;
mod planted;
mod plugin_loading;
mod plugin_properties;
mod plugin_vectors;
mod plugins;
mod robust;
mod roles;
mod rules;
mod search;
mod texts;
mod tree;
mod trust;
mod vectors;
mod versions;
mod work;
