//! Bytes, as one argument.

/// Any bytes.
#[derive(Debug, Clone)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// Parses hex digits.
pub(crate) fn bytes(text: &str) -> Result<Bytes, String> {
    hex::decode(text).map(Bytes).map_err(|error| error.to_string())
}
