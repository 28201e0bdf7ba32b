//! The errors of the command line and their exit codes, which are part of the interface.

use std::io;
use std::path::PathBuf;

use coalmine_auth::KeyFileError;
use coalmine_core::BlockError;
use coalmine_store::StoreError;
use coalmine_store::dump::DumpError;

use crate::beside::BesideError;
use crate::chain::Stopped;
use crate::config::ConfigError;
use crate::engine::StartError;
use crate::export::ExportError;
use crate::home::HomeError;
use crate::node::OpenError;
use crate::{notify, reporter};

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The ledger said no, or nothing in time.
    #[error("{0}")]
    Rejected(String),
    /// Bad usage or bad input.
    #[error("{0}")]
    Input(String),
    /// The node cannot be reached, or gives an answer that makes no sense.
    #[error("{0}")]
    Remote(String),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A node that does not open.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// An engine that does not start.
    #[error(transparent)]
    Start(Box<StartError>),
    /// An engine that has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Blocks that cannot be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A snapshot that cannot be made or restored.
    #[error("{}: {error}", .path.display())]
    Dump {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<DumpError>,
    },
    /// Sinks or reporters that do not start.
    #[error(transparent)]
    Beside(Box<BesideError>),
    /// What is to be written.
    #[error("{to}: cannot be written: {error}")]
    Output {
        /// Where to.
        to: String,
        /// The error of the system.
        error: io::Error,
    },
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl From<StartError> for Error {
    fn from(error: StartError) -> Self {
        Self::Start(Box::new(error))
    }
}

impl From<BesideError> for Error {
    fn from(error: BesideError) -> Self {
        Self::Beside(Box::new(error))
    }
}

impl Error {
    pub(super) fn input(error: impl std::fmt::Display) -> Self {
        Self::Input(error.to_string())
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Rejected(_) => 1,
            Self::Input(_) | Self::Config(_) | Self::Home(_) | Self::Key(_) => 2,
            Self::Open(error) => open_code(error),
            Self::Beside(error) => beside_code(error),
            Self::Export(ExportError::Pruned(_)) => 2,
            Self::Dump { error, .. } => dump_code(error),
            Self::Export(_) => 3,
            Self::Start(error) => match &**error {
                StartError::Clock { .. } => 2,
                StartError::Stopped(error) => stopped_code(error),
                StartError::Store(_) | StartError::Mark(_) => 3,
            },
            Self::Stopped(error) => stopped_code(error),
            Self::Remote(_) | Self::Store(_) => 3,
            Self::Output { .. } if self.is_broken_pipe() => 141,
            Self::Output { .. } => 3,
        }
    }

    pub(super) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output { error, .. } if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn beside_code(error: &BesideError) -> u8 {
    match error {
        BesideError::Notify(notify::StartError::Store(_)) | BesideError::Reporter(reporter::StartError::Store(_)) => 3,
        BesideError::Notify(_)
        | BesideError::Reporter(_)
        | BesideError::Listen(_)
        | BesideError::Sink(_)
        | BesideError::ReporterConfig(_) => 2,
    }
}

fn open_code(error: &OpenError) -> u8 {
    match error {
        OpenError::Ledger(error) => ledger_code(error),
        OpenError::Genesis { .. } | OpenError::Reserved(_) => 2,
        OpenError::Store(_) | OpenError::Mark(_) => 3,
    }
}

fn ledger_code(error: &coalmine_store::OpenError) -> u8 {
    if matches!(error, coalmine_store::OpenError::Rules { .. }) {
        return 4;
    }
    if matches!(error, coalmine_store::OpenError::Root { .. }) {
        return 5;
    }
    if matches!(error, coalmine_store::OpenError::Chain { .. } | coalmine_store::OpenError::NotEmpty(_)) {
        2
    } else {
        3
    }
}

/// A damaged file is bad input; a database that fails is not.
fn dump_code(error: &DumpError) -> u8 {
    if let DumpError::Open(error) = error {
        return ledger_code(error);
    }
    if matches!(error, DumpError::Output(_)) { 3 } else { 2 }
}

fn stopped_code(error: &Stopped) -> u8 {
    match error {
        Stopped::Block(BlockError::UnknownRules { .. }) => 4,
        Stopped::Block(_)
        | Stopped::Limit(_)
        | Stopped::Store(_)
        | Stopped::Commit(_)
        | Stopped::Heights
        | Stopped::Log(_) => 3,
    }
}
