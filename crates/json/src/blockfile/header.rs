//! The form, the limits and the header of a block file.

use std::path::Path;

use coalmine_core::{Address, Genesis, Role};

use super::expect::FinalExpect;
use crate::error::FileError;

/// The value of `format` in the JSON forms.
pub const FORMAT: &str = "coalmine-blocks/1";
/// The first bytes of a `.blocks` file.
pub const MAGIC: [u8; 4] = *b"CMB1";
/// The longest line of a `.jsonl` file, in bytes.
pub const LINE_SIZE_MAX: u64 = 128 * 1_024 * 1_024;
/// The longest `.json` file, in bytes; it is kept in memory.
pub const DOCUMENT_SIZE_MAX: u64 = 1_024 * 1_024 * 1_024;

/// The three forms of a block file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `.json`: one document, for people.
    Json,
    /// `.jsonl`: the document without its blocks, then one block a line.
    Jsonl,
    /// `.blocks`: binary frames.
    Blocks,
}

impl Form {
    /// The form that the extension of `path` names.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "jsonl" => Some(Self::Jsonl),
            "blocks" => Some(Self::Blocks),
            _ => None,
        }
    }
}

/// How much of a JSON file may be in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest line of a `.jsonl` file, in bytes.
    pub line_size_max: u64,
    /// The longest `.json` file, in bytes.
    pub document_size_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line_size_max: LINE_SIZE_MAX, document_size_max: DOCUMENT_SIZE_MAX }
    }
}

/// A block file without its blocks. Only the genesis exists in every form.
#[derive(Debug, Clone)]
pub struct Header {
    /// A short name.
    pub name: Option<String>,
    /// A free text.
    pub description: Option<String>,
    /// The state before the first block.
    pub genesis: Genesis,
    /// The signer of transactions that name none: the first admin in the order of the file.
    pub signer: Address,
    /// The expectations at the end.
    pub expect: Option<FinalExpect>,
    /// What is allowed, but is likely to be a mistake.
    pub warnings: Vec<FileError>,
}

impl Header {
    /// A header without texts and expectations. The signer is the first admin by address.
    #[must_use]
    pub fn new(genesis: Genesis) -> Self {
        let signer = first_admin(&genesis);
        Self { name: None, description: None, signer, genesis, expect: None, warnings: Vec::new() }
    }
}

/// The first admin by address; every genesis has one.
pub(super) fn first_admin(genesis: &Genesis) -> Address {
    let mut admins = genesis.roles().iter().filter(|(_, roles)| roles.contains(Role::Admin));
    admins.next().map_or(Address::ZERO, |(address, _)| *address)
}
