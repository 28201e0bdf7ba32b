//! What it takes to sign for one ledger, and to check what was signed: a genesis and a key.

use std::io::{self, BufReader, Read as _};
use std::path::Path;

use coalmine_auth::{Domain, SecretKey, read_key};
use coalmine_core::Genesis;
use coalmine_json::blockfile::{BlockReader, FileError, Form, Limits, Place};
use coalmine_json::{JsonError, read_genesis};

use crate::error::Error;
use crate::input::open_file;

/// A genesis by itself has at most so many bytes: 65 535 addresses with all roles.
const GENESIS_SIZE_MAX: u64 = 16 * 1_024 * 1_024;

/// The ledger that a genesis begins, as signatures name it.
pub(crate) fn domain(file: &str) -> Result<Domain, Error> {
    genesis(file).map(|genesis| Domain::of(&genesis))
}

/// The genesis of a block file in any form, or one that stands alone in a file.
fn genesis(file: &str) -> Result<Genesis, Error> {
    let (name, input) = open_file(file)?;
    let mut input = BufReader::new(input);
    let mut start = Vec::new();
    let read = input.by_ref().take(GENESIS_SIZE_MAX).read_to_end(&mut start);
    read.map_err(|error| Error::Input(format!("{name}: cannot be read: {error}")))?;
    // A block file names its format; in a genesis that stands alone the roles are not inside of something.
    if let Ok(text) = str::from_utf8(&start)
        && is_alone(text)
    {
        return read_genesis(text).map_err(|error| at(&name, error));
    }
    let reader =
        BlockReader::new(&name, io::Cursor::new(start).chain(input), Form::of(Path::new(file)), Limits::default())?;
    Ok(reader.header().genesis.clone())
}

fn is_alone(text: &str) -> bool {
    let object =
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text.trim_start_matches('\u{feff}'));
    object.is_ok_and(|object| object.contains_key("roles") && !object.contains_key("format"))
}

/// Reads a key file.
pub(crate) fn key(path: &Path) -> Result<SecretKey, Error> {
    read_key(path).map_err(|error| Error::Input(error.to_string()))
}

/// The error of a text, with the name of where it comes from.
pub(crate) fn at(name: &str, JsonError { line, column, message }: JsonError) -> Error {
    let place = Place::Text { line, column };
    FileError { file: name.into(), place, block: None, tx: None, message, unknown_rules: None }.into()
}
