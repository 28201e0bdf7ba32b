//! Commands in the schedule.

use crate::fields::{Fields, Value};
use crate::ops::command_json;

/// A command as its block file has it, or as hex where that is impossible.
#[must_use]
pub fn command(bytes: &[u8]) -> Value {
    let decoded = command_json(bytes).and_then(|json| serde_json::from_str(&json).ok());
    decoded.unwrap_or_else(|| Fields::new().with("undecodable", hex::encode(bytes)).into())
}
