//! The JSON and the text of everything that coalmine takes and gives: commands, transactions, blocks and a genesis;
//! records, events, receipts and verdicts.
//!
//! [`blockfile`] reads and writes block files; [`render`] turns what a state holds into named values, which print as
//! text and as JSON. It has no rule of the state machine and no command line.

mod command;
mod error;
mod fields;
mod genesis;
mod inspect;
mod json;
mod ops;

pub mod blockfile;
pub mod render;

pub use command::{read_command, read_commands, read_transactions, write_command, write_transaction};
pub use error::JsonError;
pub use genesis::{read_genesis, write_genesis};
pub use inspect::{Inspection, Malformed, inspect_command, inspect_transaction};
pub use ops::{Applied, Op, Setting, SettingOf, schema};
