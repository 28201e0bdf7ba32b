//! The JSON and the bytes of each command, described once for both directions.
//!
//! `table.rs` has the table, which `to_bytes.rs` and `to_json.rs` interpret. A new command adds a row there and, if
//! needed, a `Kind`. The validity of values is not checked: whatever fits the width becomes bytes.

mod table;
mod to_bytes;
mod to_json;

use coalmine_core::{Address, Encode, Payload};

pub(super) use table::role_names;
pub(super) use to_bytes::transaction_bytes;

use super::json::Val;

/// A payload as a compact entry of `txs`, without its closing brace. It is `raw` if the JSON form would not give the
/// same bytes again.
pub(super) fn transaction_json(payload: &Payload, signer: &Address) -> String {
    let bytes = payload.to_bytes();
    let mut out = String::new();
    let is_written = to_json::transaction_fields(&bytes, signer, &mut out).is_some_and(|()| {
        out.push('}');
        let again = transaction_bytes(Val::document(&out), signer);
        out.pop();
        again.is_ok_and(|(again, _)| again == bytes)
    });
    if is_written { out } else { format!("{{\"raw\":\"{}\"", hex::encode(&bytes)) }
}
