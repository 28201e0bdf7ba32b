//! The replay tool: feeds block sequences from files to coalmine, checks, compares, shows and proves.
//!
//! The binary `replay` is a thin wrapper around [`cli`]. The parts that are of use elsewhere, in
//! tests and benchmarks, are public: [`blockfile`] reads and writes block files, [`runner`] feeds
//! them to a ledger, [`generate`] makes synthetic ones; [`dump`] reads dumps.
//!
//! Rules of the state machine are not here; neither is a format of a store.

pub mod blockfile;
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
mod output;
mod render;
mod source;
mod terminal;
