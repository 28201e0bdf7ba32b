//! What can be wrong with code and the folders it is in, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use coalmine_core::Hash;
use rustix::io::Errno;

/// A problem with code, and where it is.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", at.display())]
pub struct CodeError {
    at: PathBuf,
    problem: CodeProblem,
}

impl CodeError {
    pub(crate) fn new(at: &Path, problem: CodeProblem) -> Self {
        Self { at: at.to_owned(), problem }
    }

    pub(crate) fn io(at: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::new(at, CodeProblem::from(error))
    }

    /// The file or folder.
    #[must_use]
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn problem(&self) -> &CodeProblem {
        &self.problem
    }
}

/// What is wrong with code, or with a folder that it is in.
#[derive(Debug, thiserror::Error)]
pub enum CodeProblem {
    /// There is no such file.
    #[error("the code is not here; fetch it, or drop the file into the folder incoming")]
    Missing,
    /// A link, a folder, a pipe or a device.
    #[error("this is not a plain file; links are not followed, so put the file itself here")]
    NotAFile,
    /// A file where a folder should be.
    #[error("this is not a folder; choose another path")]
    NotAFolder,
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// More bytes than code may have.
    #[error("the code has {len} bytes or more, and at most {max} are taken; build it smaller, or raise the limit")]
    TooLarge {
        /// How many were seen.
        len: u64,
        /// How many are taken.
        max: u64,
    },
    /// The bytes are not those of the name.
    #[error(
        "the bytes have the hash {found}, which is not that of the name; the file was put aside and counts as missing"
    )]
    Damaged {
        /// What the bytes have instead.
        found: Hash,
    },
    /// Somebody writes to the file while it is read.
    #[error("the file changed while it was read; it is looked at again once it stays as it is")]
    Changed,
    /// The disk is full.
    #[error("the disk is full; make room, and it is tried again")]
    DiskFull,
    /// Others than the owner have access to the compile cache.
    #[error("its mode is {mode:04o}, and what is in it is run as it is: nobody else may have access (chmod 0700)")]
    Open {
        /// The permission bits.
        mode: u32,
    },
    /// The compile cache belongs to somebody else.
    #[error("it belongs to user {owner}, and what is in it is run as it is: only a folder of one's own will do")]
    NotOurs {
        /// The user id of the owner.
        owner: u32,
    },
    /// Anything else that the system says.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for CodeProblem {
    fn from(error: io::Error) -> Self {
        // What O_NOFOLLOW says of a link.
        if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
            return Self::NotAFile;
        }
        let kind = error.kind();
        if kind == io::ErrorKind::NotFound {
            Self::Missing
        } else if kind == io::ErrorKind::IsADirectory {
            Self::NotAFile
        } else if kind == io::ErrorKind::NotADirectory {
            Self::NotAFolder
        } else if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            Self::DiskFull
        } else {
            Self::Io(error)
        }
    }
}
