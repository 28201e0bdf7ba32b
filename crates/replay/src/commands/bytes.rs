//! An argument of bytes.

/// Bytes, in the type of one argument: clap takes a `Vec` for several.
#[derive(Debug, Clone)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// Parses hex digits.
pub(crate) fn bytes(text: &str) -> Result<Bytes, String> {
    hex::decode(text).map(Bytes).map_err(|error| error.to_string())
}

/// Parses a unit: 0x and hex digits are bytes, anything else is text.
pub(crate) fn unit(text: &str) -> Result<Bytes, String> {
    match text.strip_prefix("0x") {
        Some(digits) => bytes(digits),
        None => Ok(Bytes(text.into())),
    }
}
