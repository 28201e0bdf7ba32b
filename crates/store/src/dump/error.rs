//! What can be wrong with a dump, or with making one.

use std::fmt;
use std::io;

use coalmine_core::{DecodeError, Fault};

use super::header::{CHUNK_SIZE_MAX, HEADER_SIZE_MAX};
use crate::error::StoreError;
use crate::ledger::OpenError;

/// A part of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything before the records.
    Header,
    /// A chunk.
    Chunk {
        /// Its place, from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::Chunk { index, count } => write!(f, "chunk {} of {count}", index.saturating_add(1)),
        }
    }
}

/// Why a dump could not be made, read or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Input(io::Error),
    /// Writing failed.
    #[error("cannot be written: {0}")]
    Output(io::Error),
    /// The first bytes are others.
    #[error("this is no binary dump: it does not begin with CMD1")]
    Magic,
    /// The dump ends too early.
    #[error("the dump is cut off: {part} has {found} of its {expected} bytes; take a complete copy")]
    Cut {
        /// Where it ends.
        part: Part,
        /// How many bytes of that part there are.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// The header claims to be longer than any.
    #[error("the header is damaged: it cannot have {0} bytes, the most is {HEADER_SIZE_MAX}; take another copy")]
    HeaderSize(u32),
    /// The header is not the one whose hash follows it.
    #[error("the header is damaged: its hash does not match; take another copy")]
    HeaderHash,
    /// The header does not decode.
    #[error("the header does not decode: {0}; take another copy, or a newer build")]
    Header(DecodeError),
    /// A chunk is not the one whose hash is in the header. The one that is may still be given.
    #[error("{0} is damaged: its hash does not match; get it again, or take another copy")]
    Hash(Part),
    /// A chunk has the hash that the header gives, but cannot be part of a dump.
    #[error("{part}, byte {offset}: {problem}; whoever wrote this dump is at fault, take one of another origin")]
    Record {
        /// The chunk.
        part: Part,
        /// The byte of the chunk at which the record begins.
        offset: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// The header contradicts the records.
    #[error("the header says {what} {header}, but the records {records}; take a dump of another origin")]
    Contradiction {
        /// What they are about.
        what: &'static str,
        /// What the header says.
        header: String,
        /// What the records say.
        records: String,
    },
    /// There are bytes after the last chunk.
    #[error("bytes follow the last chunk; take another copy")]
    Leftover,
    /// Not all chunks have been given.
    #[error("the dump is incomplete: {found} of {count} chunks are there")]
    Incomplete {
        /// How many have been given.
        found: usize,
        /// How many there are.
        count: usize,
    },
    /// A chunk that the dump does not have.
    #[error("there is no chunk {index}: the dump has {count}, counted from 0")]
    NoChunk {
        /// The index asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The store holds something in the place of a record that is none.
    #[error(
        "the record with key {0} is in no state: its key is too long, or it does not fit into {CHUNK_SIZE_MAX} bytes; verify the store"
    )]
    Foreign(String),
    /// The records are no longer those of the header.
    #[error("the store has changed since the dump was begun; dump a snapshot of it instead")]
    Changed,
    /// The dump would have more chunks than fit into a header.
    #[error("the state is too large for a dump")]
    TooLarge,
    /// The store failed, or its records are no state of this tip.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<StoreError> for DumpError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

impl From<Fault> for DumpError {
    fn from(fault: Fault) -> Self {
        Self::Open(fault.into())
    }
}
