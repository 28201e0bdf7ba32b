//! What each command is in JSON and in bytes, told once for both directions.
//!
//! The table is in `table.rs`; `to_bytes.rs` and `to_json.rs` walk through it. A new command adds a row there and, if
//! need be, a `Kind`. Rules of values are not checked: whatever fits the width becomes bytes.

mod table;
mod to_bytes;
mod to_json;

use coalmine_core::{Address, Encode, Payload};

pub(super) use table::role_names;
pub(super) use to_bytes::transaction_bytes;

use super::json::Val;

/// A payload as an entry of `txs`, compact, without its closing brace.
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
