//! Store errors in words: where the store is, what is wrong, and what to do about it.

use std::fmt;

use coalmine_core::Fault;

use crate::tip::{Tip, TipError};

/// A problem of a store, and where that store is.
#[derive(Debug)]
pub struct StoreError {
    at: String,
    problem: Problem,
}

impl StoreError {
    /// Creates an error of the store at `at`; other implementations of a store use it too.
    #[must_use]
    pub fn new(at: impl Into<String>, problem: Problem) -> Self {
        Self { at: at.into(), problem }
    }

    /// Returns the problem, without the place.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        self.problem
    }

    /// Returns the problem.
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
    /// The path does not exist.
    #[error("there is no store here; check the path, or create one")]
    Missing,
    /// The path is not a folder.
    #[error("this is not a folder, so it cannot hold a store; choose another path")]
    NotAFolder,
    /// The folder holds no database.
    #[error(
        "this folder holds no RocksDB store; check the path, or, if creating one was interrupted here, delete the folder and create it again"
    )]
    NotAStore,
    /// A store was to be created in a folder that is not empty.
    #[error("this folder is not empty; create the store in a new folder, or open the one that is here")]
    NotEmpty,
    /// The folder, or a file in it, is read-only.
    #[error("the folder or a file in it cannot be written ({0}); make it writable for this user, or open a copy")]
    NotWritable(String),
    /// Another process, or another database handle of this one, holds the lock.
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
    /// The database lacks the column family.
    #[error(
        "the database has no column family \"{0}\": it belongs to another program, or its creation was interrupted; check the path, or delete it and create it again"
    )]
    NoColumn(String),
    /// The database has column families of another program.
    #[error("the database belongs to another program ({0}); use it through that program's own handle")]
    Foreign(String),
    /// The tip record does not decode.
    #[error(transparent)]
    Tip(#[from] TipError),
    /// Acknowledged blocks are missing.
    #[error(
        "blocks are lost: the store acknowledged {acknowledged}, but its log ends at {}; nothing was changed; \
         restore a copy, or salvage the store and replay the blocks above",
        shown(found)
    )]
    Behind {
        /// The last tip that the store acknowledged.
        acknowledged: Tip,
        /// The tip that the log leads to.
        found: Option<Tip>,
    },
    /// The file with the acknowledged tip does not parse.
    #[error("the file {0} is damaged; restore a copy, or salvage the store and compare its tip with another node")]
    TipFile(&'static str),
    /// A database file is damaged.
    #[error(
        "the store is damaged ({0}); restore a copy, or, if only the log is damaged, salvage the store and replay the blocks above its tip"
    )]
    Damaged(String),
    /// The MANIFEST has lost table files.
    #[error(
        "the MANIFEST is damaged: it does not list {tables}, and without them the records are not those of the tip ({why}); nothing was changed; restore the MANIFEST or the whole store from a copy"
    )]
    Unlisted {
        /// The table files in the folder that it does not list.
        tables: String,
        /// What is wrong without them.
        why: String,
    },
    /// An earlier commit failed; only reopening shows what is on disk.
    #[error(
        "an earlier commit failed, so this handle refuses to write; reopen the store: every acknowledged block is in it"
    )]
    Failed,
    /// The host reported a batch as written, but the store is not at its tip.
    #[error("the batch with {expected} has not been written: the store is at {}; reopen the store", shown(found))]
    NotWritten {
        /// The tip of the staged block.
        expected: Tip,
        /// The tip of the store.
        found: Option<Tip>,
    },
    /// Anything else, in the words of the operating system or of RocksDB.
    #[error("{0}")]
    Other(String),
}

fn shown(tip: &Option<Tip>) -> String {
    tip.map_or_else(|| "nothing".into(), |tip| tip.to_string())
}
