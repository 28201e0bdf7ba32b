//! Bytes as arguments and as text.

use std::io::Read as _;
use std::path::Path;

use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine as _};
use clap::ValueEnum;
use coalmine_core::BLOCK_SIZE_MAX;

use crate::error::Error;
use crate::input::open_file;

/// Bytes, in the type of one argument: clap takes a `Vec` for several.
#[derive(Debug, Clone)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// Parses hex digits.
pub(crate) fn bytes(text: &str) -> Result<Bytes, String> {
    hex::decode(text).map(Bytes).map_err(|error| error.to_string())
}

/// Parses a unit: 0x and hex digits are bytes, anything else is text.
pub(crate) fn unit(text: &str) -> Result<Bytes, String> {
    coalmine_answers::unit_from_text(text).map(Bytes).map_err(|error| error.to_string())
}

/// How bytes are written as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    /// Two digits a byte.
    Hex,
    /// The standard alphabet, with padding.
    Base64,
}

/// Writes the padding, and reads text with and without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Encoding {
    /// Bytes as text.
    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => BASE64.encode(bytes),
        }
    }

    /// Text as bytes; hex may have its `0x`.
    pub(crate) fn decode(self, text: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Hex => hex::decode(text.strip_prefix("0x").unwrap_or(text)).map_err(|error| error.to_string()),
            Self::Base64 => BASE64.decode(text).map_err(|error| error.to_string()),
        }
    }

    /// The encoding that a text looks like: hex if it can be.
    pub(crate) fn of(text: &str) -> Self {
        if Self::Hex.decode(text).is_ok() { Self::Hex } else { Self::Base64 }
    }
}

/// A text that an argument names: standard input for `-`, a file, or with `is_text` the argument itself. Returns the
/// name for messages, too.
pub(crate) fn read_text(argument: &str, is_text: impl FnOnce(&str) -> bool) -> Result<(String, String), Error> {
    if argument != "-" && is_text(argument) {
        return Ok(("argument".into(), argument.into()));
    }
    // A block in hex has twice its size.
    let most = u64::try_from(BLOCK_SIZE_MAX).unwrap_or(u64::MAX).saturating_mul(4);
    let (name, input) = open_file(argument)?;
    let mut text = String::new();
    let read = input.take(most.saturating_add(1)).read_to_string(&mut text);
    read.map_err(|error| Error::Input(format!("{name}: cannot be read: {error}")))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > most {
        return Err(Error::Input(format!("{name}: it has more than {most} bytes")));
    }
    // Some editors begin a text with it.
    Ok((name, text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}

/// Whether there is a file of this name.
pub(crate) fn is_file(argument: &str) -> bool {
    Path::new(argument).exists()
}
