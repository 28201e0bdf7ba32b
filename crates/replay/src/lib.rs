//! The replay tool: feeds block sequences from files to coalmine, checks, compares, shows and proves.
//!
//! The binary `replay` is a thin wrapper around [`cli`]. The parts that tests,
//! benchmarks and `feed` use are public: [`runner`] feeds block files to a ledger, [`generate`] makes
//! synthetic ones; [`dump`] reads dumps.
//!
//! It has no rule of the state machine, no JSON form and no format of a store.

pub mod cli;
pub mod dump;
pub mod error;
pub mod generate;
pub mod runner;
pub mod tool;

mod commands;
mod difference;
mod expect;
mod input;
mod kept;
mod output;
mod source;
mod terminal;
mod users;
