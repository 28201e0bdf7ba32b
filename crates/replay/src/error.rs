//! What can end the tool early, and the exit code that stands for it.
//!
//! The codes are part of the interface: 0 all held, 1 an expectation, root or comparison failed,
//! 2 bad usage or a bad input file, 3 the store failed or holds a corrupt record. Beyond these, as
//! shells have it: 130 after an interrupt, 141 when the reader of standard output went away.

use std::io;

use coalmine_core::{BlockError, Fault};
use coalmine_proof::{ProofError, ProveError};
use coalmine_store::{CommitError, OpenError, Problem, StoreError};

use crate::blockfile::FileError;

/// Why the tool ends before it is done, or with something that did not hold.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An expectation, a root or a comparison failed.
    #[error("{0}")]
    Differs(String),
    /// Bad usage, or an input that is not what it should be.
    #[error("{0}")]
    Input(String),
    /// A bad block file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A block that does not follow, or a fault of the tree.
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
        /// Where to.
        to: String,
        /// What the system says.
        error: io::Error,
    },
    /// SIGINT or SIGTERM ended a run after the block in hand.
    #[error("interrupted; everything up to here is committed")]
    Interrupted,
    /// An error and the place to which it belongs.
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
    /// The error with the place to which it belongs.
    #[must_use]
    pub fn at(self, place: impl Into<String>) -> Self {
        Self::At { place: place.into(), error: Box::new(self) }
    }

    /// The error with the source in which a record is corrupt or the root is wrong. A store that
    /// failed has its place in its words already.
    #[must_use]
    pub fn in_source(self, source: &str) -> Self {
        let is_told = matches!(self, Self::Open(OpenError::Store(_)));
        let is_about_it = matches!(self, Self::Fault(Fault::Corrupt { .. }) | Self::Open(_));
        if is_about_it && !is_told { self.at(source) } else { self }
    }

    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Differs(_) => 1,
            Self::Open(OpenError::Root { .. } | OpenError::Anchor { .. } | OpenError::Chain { .. }) => 1,
            Self::Open(OpenError::NotEmpty(_)) => 2,
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

    /// Whether the reader of standard output went away, which is nobody's fault.
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

/// Something else stands where a new store should be: bad usage. All other problems are the store's.
fn store_code(error: &StoreError) -> u8 {
    if matches!(error.problem(), Problem::NotEmpty) { 2 } else { 3 }
}
