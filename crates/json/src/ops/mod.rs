//! The ops: the commands, and sugar for reports, each described once.
//!
//! `table.rs` has the table. `to_bytes.rs` and `to_json.rs` read and write JSON by it, `help.rs` explains it,
//! `schema.rs` makes a JSON Schema of it. A new command adds a row there and, if needed, a `Kind`. The validity of
//! values is not checked: whatever fits the width becomes bytes. Defaults are those of core, never written down here.

mod checks;
mod help;
mod kind;
mod schema;
mod setting;
mod table;
mod to_bytes;
mod to_json;

use std::num::NonZeroU32;

use coalmine_core::{Address, CommandKind, Decode, Encode, Params, ParamsChanges, Payload, Reader, Writer};

pub use help::Op;
pub(crate) use kind::role_names;
pub use schema::schema;
pub use setting::{Applied, Setting, SettingOf};
pub(crate) use to_bytes::{SEQUENCED, command_bytes, transaction_bytes};
pub(crate) use to_json::field_at;

use crate::json::{Problem, Val};
use table::Shorthand;

/// The names of all ops.
fn names() -> Vec<&'static str> {
    let commands = CommandKind::ALL.iter().map(|kind| kind.name());
    commands.chain(Shorthand::ALL.into_iter().map(Shorthand::name)).collect()
}

/// The parameters of a genesis: an object with the keys of set_params, in which those left out have their defaults.
pub(crate) fn params(value: Val<'_>) -> Result<Params, Problem> {
    let object = value.object().map_err(|problem| problem.in_key("params"))?;
    let mut changes = Writer::default();
    to_bytes::object_bytes(&object, "params", table::command(CommandKind::SetParams).fields, &[], 0, &mut changes)?;
    let changes = ParamsChanges::from_bytes(changes.as_bytes()).map_err(|error| value.problem(error.to_string()))?;
    Ok(changes.apply_to(&Params::default()))
}

/// All parameters as a compact object.
pub(crate) fn params_json(params: &Params) -> String {
    let Params { max_due_per_block, breaker_rollbacks, breaker_window, timelock, sequenced, round_blocks, quorum } =
        *params;
    let blocks = |blocks: Option<NonZeroU32>| Some(blocks.map_or(0, NonZeroU32::get));
    let all = ParamsChanges {
        max_due_per_block: Some(max_due_per_block),
        breaker_rollbacks: blocks(breaker_rollbacks),
        breaker_window: Some(breaker_window),
        timelock: blocks(timelock),
        sequenced: Some(sequenced),
        round_blocks: blocks(round_blocks),
        quorum: Some(quorum),
    };
    let mut out = String::from("{");
    let bytes = all.to_bytes();
    let fields = table::command(CommandKind::SetParams).fields;
    let is_written = to_json::object_fields(fields, &mut Reader::new(&bytes), 0, &mut out);
    debug_assert!(is_written.is_some(), "the table and the encoding of core have the same fields");
    out.push('}');
    out
}

/// A command as a compact object; `None` if the JSON form cannot express it.
pub(crate) fn command_json(bytes: &[u8]) -> Option<String> {
    let mut out = String::from("{");
    to_json::command_fields(bytes, 0, &mut out)?;
    out.push('}');
    Some(out)
}

/// A payload as a compact entry of `txs`, without its closing brace. It is `raw` if the JSON form would not give the
/// same bytes again.
pub(crate) fn transaction_json(payload: &Payload, signer: &Address) -> String {
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
