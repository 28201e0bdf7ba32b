//! What the fuzz targets check, as plain functions of bytes that panic when something is wrong.
//!
//! The targets in `fuzz/fuzz_targets` feed them with a fuzzer on nightly; `tests/it/seeds.rs` feeds
//! them with the committed seeds on stable. Not here: anything that makes bytes.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a check fails by a panic"
)]

mod block;
mod blockfile;
mod decode;
mod dump;
mod execute;
mod feed;
mod load;
mod proof;
mod restore;
mod version;
mod worlds;

pub use block::block;
pub use blockfile::blockfile;
pub use decode::{DECODERS, Decoder, decode, round_trip};
pub use dump::{binary_dumps, dump};
pub use execute::{EXECUTE_WORLDS, execute, lived_blocks};
pub use feed::feed;
pub use load::{kind_of_record, lived_keys, load};
pub use proof::{genuine_bundles, genuine_proofs, proof};
pub use restore::{dumps, restore};
pub use version::version;

/// A check of any bytes.
pub type Check = fn(&[u8]);

/// Every target and its check.
pub const TARGETS: [(&str, Check); 10] = [
    ("block", block),
    ("blockfile", blockfile),
    ("decode", decode),
    ("dump", dump),
    ("execute", execute),
    ("feed", feed),
    ("load", load),
    ("proof", proof),
    ("restore", restore),
    ("version", version),
];
