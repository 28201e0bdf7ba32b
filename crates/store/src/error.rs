//! What can go wrong in a store, in words: where it is, what happened, and what to do.

use std::fmt;

use coalmine_core::{DecodeError, Fault};

use crate::tip::{STORE_FORMAT, Tip};

/// A store that failed: where it is, and what is wrong.
#[derive(Debug)]
pub struct StoreError {
    at: String,
    problem: Problem,
}

impl StoreError {
    /// An error of the store at this place, for stores of other kinds.
    #[must_use]
    pub fn new(at: impl Into<String>, problem: Problem) -> Self {
        Self { at: at.into(), problem }
    }

    /// What is wrong, without the place.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        self.problem
    }

    /// What is wrong.
    #[must_use]
    pub const fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.problem)
    }
}

impl std::error::Error for StoreError {}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing is there.
    #[error("there is no store here; check the path, or create one")]
    Missing,
    /// Something else is there.
    #[error("this is not a folder, so it cannot hold a store; choose another path")]
    NotAFolder,
    /// A folder without a store.
    #[error(
        "this folder holds no RocksDB store; check the path, or, if creating one was interrupted here, delete the folder and create it again"
    )]
    NotAStore,
    /// A new store was asked for where something is already.
    #[error("this folder is not empty; create the store in a new folder, or open the one that is here")]
    NotEmpty,
    /// The folder or a file in it may not be written.
    #[error("the folder or a file in it cannot be written ({0}); make it writable for this user, or open a copy")]
    NotWritable(String),
    /// Somebody else has it open.
    #[error(
        "it is locked: another process, or another handle of this one, has it open; stop that one, or open a copy of the folder"
    )]
    Locked,
    /// Another handle of this process has it open.
    #[error(
        "another store of this process uses it already, and a second one would overwrite its blocks; use that one and read through its reader, or drop it first"
    )]
    InUse,
    /// Something else has written to it.
    #[error(
        "it is at {}, but this block builds on {}: something else has written to it, and this block was not written; reopen the ledger, and keep every other writer away from the store",
        shown(found),
        shown(expected)
    )]
    Moved {
        /// The tip on which the block builds.
        expected: Option<Tip>,
        /// The tip of the store.
        found: Option<Tip>,
    },
    /// The disk is full.
    #[error("the disk is full ({0}); free space, then reopen the store: every acknowledged block is in it")]
    Full(String),
    /// The database has no column family of this name.
    #[error(
        "the database has no column family \"{0}\": it belongs to another program, or its creation was interrupted; check the path, or delete it and create it again"
    )]
    NoColumn(String),
    /// The database has column families that are not ours.
    #[error("the database belongs to another program ({0}); use it through that program's own handle")]
    Foreign(String),
    /// The records of another build.
    #[error(
        "the store has format {0}, this build knows format {STORE_FORMAT}; open it with the build that wrote it, or dump it there and restore it here"
    )]
    Format(u16),
    /// The record of the tip does not decode.
    #[error("the record of the tip is damaged ({0}); restore the store from a copy")]
    TipRecord(DecodeError),
    /// Less is there than was acknowledged.
    #[error(
        "blocks are lost: the store acknowledged {acknowledged}, but its log ends at {}; nothing was changed; \
         restore a copy, or salvage the store and replay the blocks above",
        shown(found)
    )]
    Behind {
        /// The tip that the store had acknowledged.
        acknowledged: Tip,
        /// The tip that is left.
        found: Option<Tip>,
    },
    /// The file that tells the acknowledged tip makes no sense.
    #[error("the file {0} is damaged; restore a copy, or salvage the store and compare its tip with another node")]
    TipFile(&'static str),
    /// A file of the store is damaged.
    #[error(
        "the store is damaged ({0}); restore a copy, or, if only the log is damaged, salvage the store and replay the blocks above its tip"
    )]
    Damaged(String),
    /// The MANIFEST has lost tables.
    #[error(
        "the MANIFEST is damaged: it does not list {tables}, and without them the records are not those of the tip ({why}); nothing was changed; restore the MANIFEST or the whole store from a copy"
    )]
    Unlisted {
        /// The tables in the folder that it does not list.
        tables: String,
        /// What is wrong without them.
        why: String,
    },
    /// A commit failed before; what is on disk is known only after reopening.
    #[error(
        "an earlier commit failed, so this handle refuses to write; reopen the store: every acknowledged block is in it"
    )]
    Failed,
    /// The host said that its batch is written, but the store has another tip.
    #[error("the batch with {expected} has not been written: the store is at {}; reopen the store", shown(found))]
    NotWritten {
        /// The tip of the block.
        expected: Tip,
        /// The tip of the store.
        found: Option<Tip>,
    },
    /// Anything else, in the words of the system below.
    #[error("{0}")]
    Other(String),
}

fn shown(tip: &Option<Tip>) -> String {
    tip.map_or_else(|| "nothing".into(), |tip| tip.to_string())
}
