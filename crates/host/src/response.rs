//! What comes of a request: an answer, or one of the errors, which say whose fault it is.

use std::fmt;
use std::time::Duration;

use coalmine_core::{Name, Version};

/// What comes of a request, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The version that the ledger routes the unit to; `None` if it routes it to none.
    pub version: Option<Version>,
    /// Which side of a deployment that is.
    pub arm: Option<Arm>,
    /// The answer, or why there is none.
    pub outcome: Result<Vec<u8>, CallError>,
    /// The fuel that it took, that of the plugins it called included.
    pub fuel: u64,
    /// The time that it took, in a queue too.
    pub time: Duration,
}

/// A side of a deployment. Without a deployment all is production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arm {
    /// The current version.
    Production,
    /// The new version.
    Canary,
}

/// Why a plugin does not answer, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request is at fault: told to the caller, not counted.
    Refused(String),
    /// The plugin is at fault: an error of the version.
    Failed(String),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The ledger knows no such plugin.
    #[error("there is no plugin {0}")]
    NoPlugin(Name),
    /// The ledger does not have the plugin loaded.
    #[error("plugin {0} is not loaded; an operator loads it with the command load")]
    NotLoaded(Name),
    /// This node cannot serve the version: it lacks the code, has not got it ready yet, or failed to.
    #[error("this node cannot serve {0} {1}, to which the ledger routes; ask another node, and see its log for why")]
    NotHere(Name, Version),
    /// Plugins call each other more than [`DEPTH_MAX`](crate::DEPTH_MAX) deep.
    #[error("plugins call each other more than 8 deep")]
    TooDeep,
    /// So many calls of the version run and wait that one more must not.
    #[error("plugin {0} has too many calls waiting; try again later")]
    Busy(Name),
    /// The request is longer than the limit.
    #[error("the request has {len} bytes, and at most {max} are taken")]
    RequestTooLarge {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The host is shutting down.
    #[error("the host is shutting down; ask another node")]
    Stopped,
    /// The plugin finds fault with the request.
    #[error("refused: {0}")]
    Refused(String),
    /// An error of the version, which counts in its reports.
    #[error("{0}")]
    Version(VersionError),
}

impl CallError {
    /// Whether it counts as an error of the version in reports to the ledger.
    #[must_use]
    pub const fn is_of_version(&self) -> bool {
        match self {
            Self::Version(_) => true,
            Self::NoPlugin(_)
            | Self::NotLoaded(_)
            | Self::NotHere(..)
            | Self::TooDeep
            | Self::Busy(_)
            | Self::RequestTooLarge { .. }
            | Self::Stopped
            | Self::Refused(_) => false,
        }
    }

    /// Whether the version was asked at all, and so has one more request.
    pub(crate) const fn is_counted(&self) -> bool {
        match self {
            Self::Version(_) | Self::Refused(_) => true,
            Self::NoPlugin(_)
            | Self::NotLoaded(_)
            | Self::NotHere(..)
            | Self::TooDeep
            | Self::Busy(_)
            | Self::RequestTooLarge { .. }
            | Self::Stopped => false,
        }
    }
}

/// An error of a version: what kind, what was said, and the last lines that it logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionError {
    /// What kind.
    pub kind: ErrorKind,
    /// What the plugin or the engine says.
    pub message: String,
    /// The last lines that the plugin logged in this call, the oldest first.
    pub log: Vec<String>,
}

impl VersionError {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), log: Vec::new() }
    }
}

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        self.log.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for VersionError {}

/// The kinds of errors of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// It says so itself.
    Failed,
    /// It stopped in the middle: a panic, an access out of bounds, a value that its types do not have.
    Trap,
    /// It used up its fuel.
    OutOfFuel,
    /// It asked for more memory than it may have, and stopped.
    OutOfMemory,
    /// It called itself too deep.
    StackOverflow,
    /// Its answer is longer than the limit.
    ResponseTooLarge,
    /// It has trapped so often in a row that it is not asked for a while.
    Quarantined,
}

impl ErrorKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Failed,
        Self::Trap,
        Self::OutOfFuel,
        Self::OutOfMemory,
        Self::StackOverflow,
        Self::ResponseTooLarge,
        Self::Quarantined,
    ];

    /// The name in messages and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Trap => "trap",
            Self::OutOfFuel => "out of fuel",
            Self::OutOfMemory => "out of memory",
            Self::StackOverflow => "stack overflow",
            Self::ResponseTooLarge => "response too large",
            Self::Quarantined => "quarantined",
        }
    }

    /// Whether the instance is in an unknown state afterwards. A streak of these quarantines a version.
    pub(crate) const fn is_trap(self) -> bool {
        match self {
            Self::Trap | Self::OutOfFuel | Self::OutOfMemory | Self::StackOverflow => true,
            Self::Failed | Self::ResponseTooLarge | Self::Quarantined => false,
        }
    }
}
