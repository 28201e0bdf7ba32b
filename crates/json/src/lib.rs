//! The JSON and the text of everything that coalmine takes and gives: commands, transactions, blocks and a genesis;
//! records, events, receipts and verdicts.
//!
//! [`blockfile`] reads and writes block files; [`render`] turns what a state holds into named values, which print as
//! text and as JSON. It has no rule of the state machine and no command line.

mod error;
mod fields;
mod json;
mod ops;

pub mod blockfile;
pub mod render;

pub use ops::Op;
