//! Errors of block files, with their places.

use std::fmt;
use std::io;

use coalmine_core::{Height, RuleSet};

/// A place in a block file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    #[default]
    File,
    /// A character of a JSON form. Line and column count from 1.
    Text {
        /// The line.
        line: u64,
        /// The column, in characters.
        column: u64,
    },
    /// A frame of the binary form.
    Frame {
        /// 0 is the genesis, so block frames count from 1.
        number: u64,
        /// The offset of the frame, in bytes.
        offset: u64,
    },
}

/// Writes the place as it follows the name of the file: `:3:14`, or `: frame 2 at byte 71`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Text { line, column } => write!(f, ":{line}:{column}"),
            Self::Frame { number, offset } => write!(f, ": frame {number} at byte {offset}"),
        }
    }
}

/// JSON that is not what it should be, with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1, in characters.
    pub column: u64,
    /// The problem, and what to do about it.
    pub message: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, message } = self;
        write!(f, "line {line}, column {column}: {message}")
    }
}

impl std::error::Error for JsonError {}

/// A block file that cannot be read: `FILE:LINE:COLUMN: block HEIGHT, transaction INDEX: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The name of the file, as given.
    pub file: String,
    /// The place in it.
    pub place: Place,
    /// The height of the block, if the place is inside one.
    pub block: Option<Height>,
    /// The index of the entry of `txs`, from 0, if the place is inside one.
    pub tx: Option<usize>,
    /// The problem, and what to do about it.
    pub message: String,
    /// The rule set that the file needs, if the problem is that this build does not know it.
    pub unknown_rules: Option<u16>,
}

/// The message about a rule set that this build does not know.
pub(crate) fn unknown_rules(rules: u16) -> String {
    let latest = RuleSet::LATEST.number();
    format!("rule set {rules} is needed, and this build knows those up to {latest}; use a newer build")
}

impl FileError {
    pub(crate) fn new(file: &str, place: Place, message: impl Into<String>) -> Self {
        Self { file: file.into(), place, block: None, tx: None, message: message.into(), unknown_rules: None }
    }

    pub(crate) fn io(file: &str, error: &io::Error) -> Self {
        Self::new(file, Place::File, format!("cannot be read: {error}"))
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: ", self.file, self.place)?;
        match (self.block, self.tx) {
            (Some(block), Some(tx)) => write!(f, "block {block}, transaction {tx}: ")?,
            (Some(block), None) => write!(f, "block {block}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for FileError {}
