//! The errors of the tool and their exit codes.
//!
//! The codes are part of the interface: 0 success, 1 an expectation, root or comparison failed,
//! 2 bad usage or a bad input file, 3 the store failed or has a corrupt record, 4 rules that this
//! build does not know. As shells have it, 130 after an interrupt, and 141 when the reader of standard output went away.

use std::io;

use coalmine_core::{BlockError, Fault};
use coalmine_json::blockfile::{FileError, Place};
use coalmine_json::render::Fields;
use coalmine_proof::{ProofError, ProveError};
use coalmine_store::{CommitError, OpenError, Problem, StoreError};

/// Why the tool did not finish, or what it found to be wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An expectation, a root or a comparison failed.
    #[error("{0}")]
    Differs(String),
    /// Bad usage, or a bad input other than a block file.
    #[error("{0}")]
    Input(String),
    /// A bad block file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A block that does not follow the tip, or a fault of the tree.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A ledger that could not be created or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A block that could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A store that failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A corrupt record, or a store that failed while it was read.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A proof that cannot be made.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The output could not be written.
    #[error("{to}: cannot be written: {error}")]
    Output {
        /// The name of the output.
        to: String,
        /// The error of the system.
        error: io::Error,
    },
    /// SIGINT or SIGTERM ended a run after the block in hand.
    #[error("interrupted; everything up to here is committed")]
    Interrupted,
    /// An error and the place where it occurred.
    #[error("{place}: {error}")]
    At {
        /// A file, or a line of it.
        place: String,
        /// The error.
        error: Box<Self>,
    },
}

impl From<ProveError> for Error {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Fault(fault) => fault.into(),
            ProveError::Proof(error) => error.into(),
        }
    }
}

impl Error {
    /// Adds the place where the error occurred.
    #[must_use]
    pub fn at(self, place: impl Into<String>) -> Self {
        Self::At { place: place.into(), error: Box::new(self) }
    }

    /// Adds the source in which a record is corrupt or the root is wrong. The message of a store
    /// that failed names the store already.
    #[must_use]
    pub fn in_source(self, source: &str) -> Self {
        let is_named = matches!(self, Self::Open(OpenError::Store(_)));
        let is_about_it = matches!(self, Self::Fault(Fault::Corrupt { .. }) | Self::Open(_));
        if is_about_it && !is_named { self.at(source) } else { self }
    }

    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Differs(_) => 1,
            Self::Open(OpenError::Root { .. } | OpenError::Anchor { .. } | OpenError::Chain { .. }) => 1,
            Self::Open(OpenError::NotEmpty(_)) => 2,
            Self::Open(OpenError::Rules { .. }) | Self::Block(BlockError::UnknownRules { .. }) => 4,
            Self::File(error) if error.unknown_rules.is_some() => 4,
            Self::Input(_) | Self::File(_) => 2,
            Self::Block(BlockError::Height { .. } | BlockError::NotAbove { .. }) => 2,
            Self::Store(error) | Self::Open(OpenError::Store(error)) => store_code(error),
            Self::Block(BlockError::Tree(_) | BlockError::Broken(_))
            | Self::Open(_)
            | Self::Commit(_)
            | Self::Fault(_)
            | Self::Proof(_) => 3,
            Self::Output { .. } if self.is_broken_pipe() => 141,
            Self::Output { .. } => 3,
            Self::Interrupted => 130,
            Self::At { error, .. } => error.exit_code(),
        }
    }

    /// The same as named values: the message, the exit code, and the place in a block file.
    pub(crate) fn fields(&self) -> Fields {
        let fields = Fields::new().text("message", self).with("exit_code", self.exit_code());
        let Some(FileError { file, place, block, tx, message, .. }) = self.file_error() else { return fields };
        let fields = fields.with("file", file.as_str());
        let fields = match place {
            Place::File => fields,
            Place::Text { line, column } => fields.with("line", *line).with("column", *column),
            Place::Frame { number, offset } => fields.with("frame", *number).with("offset", *offset),
        };
        let tx = tx.map(|tx| u64::try_from(tx).unwrap_or(u64::MAX));
        fields.with("block", *block).with("tx", tx).with("problem", message.as_str())
    }

    fn file_error(&self) -> Option<&FileError> {
        match self {
            Self::File(error) => Some(error),
            Self::At { error, .. } => error.file_error(),
            Self::Differs(_)
            | Self::Input(_)
            | Self::Block(_)
            | Self::Open(_)
            | Self::Commit(_)
            | Self::Store(_)
            | Self::Fault(_)
            | Self::Proof(_)
            | Self::Output { .. }
            | Self::Interrupted => None,
        }
    }

    /// Whether the reader of standard output went away, which needs no message.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Output { error, .. } => error.kind() == io::ErrorKind::BrokenPipe,
            Self::At { error, .. } => error.is_broken_pipe(),
            Self::Differs(_)
            | Self::Input(_)
            | Self::File(_)
            | Self::Block(_)
            | Self::Open(_)
            | Self::Commit(_)
            | Self::Store(_)
            | Self::Fault(_)
            | Self::Proof(_)
            | Self::Interrupted => false,
        }
    }
}

/// A folder that is not empty where a store is to be created is bad usage; other problems are the store's.
fn store_code(error: &StoreError) -> u8 {
    if matches!(error.problem(), Problem::NotEmpty) { 2 } else { 3 }
}
