//! What must hold of the database that a node has left.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufWriter;
use std::path::Path;

use coalmine_core::Hash;
use coalmine_json::blockfile::Form;
use coalmine_node::database::Database;
use coalmine_node::testing::{address, key};
use coalmine_node::{Chain, Options, TxState, export};
use coalmine_store::Tip;

use super::child::{Acknowledged, REPORTERS, feature, genesis};

/// All that was ever acknowledged, by id.
pub(super) type Known = BTreeMap<Hash, Acknowledged>;

/// Adds what a child has acknowledged: the same transaction always gets the same answer.
pub(super) fn learn(known: &mut Known, heard: &[Acknowledged]) -> Result<(), String> {
    for one in heard {
        let before = known.insert(one.id, *one);
        if let Some(before) = before.filter(|before| before != one && before.height > 0) {
            return Err(format!("{before:?} was acknowledged, then {one:?}"));
        }
    }
    Ok(())
}

/// Opens a copy of the database, and compares it with what was acknowledged.
pub(super) fn judge(folder: &Path, known: &Known) -> Result<Tip, String> {
    let wrong = |error: &dyn std::fmt::Display| error.to_string();
    let database = Database::open(folder).map_err(|error| wrong(&error))?;
    let chain = Chain::open(database, &genesis(), Options::default()).map_err(|error| wrong(&error))?;
    let node = chain.node();
    for one in known.values() {
        match node.transaction(&one.id).map_err(|error| wrong(&error))? {
            TxState::Committed(found) => {
                let found = (found.height, found.index, found.receipt.code());
                if one.height > 0 && found != (one.height, one.index, one.code) {
                    return Err(format!("{one:?} was acknowledged, but it is {found:?}"));
                }
            }
            TxState::Pending | TxState::Unknown(_) => return Err(format!("{one:?} was acknowledged, and is lost")),
        }
    }
    let height = known.values().map(|one| one.height).max().unwrap_or_default();
    let tip = chain.committed();
    if tip.height.unwrap_or_default() < height {
        return Err(format!("height {height} was acknowledged, and the node is at {tip}"));
    }
    // Sequences leave no gaps, and each report counts one success: as many as there are, whatever was sent again.
    let sent: u64 = REPORTERS.map(|number| node.sequence(&address(&key(number))).last).sum();
    let counted = node.read(|state| state.feature(&feature()).map_or(0, |feature| feature.success_count));
    if sent != counted {
        return Err(format!("{sent} reports were sent, and {counted} executed"));
    }
    Ok(tip)
}

/// Exports all blocks, and has the replay tool execute them.
pub(super) fn verify_export(folder: &Path, file: &Path, tip: Tip) -> Result<(), String> {
    let (database, _) = Database::open_read_only(folder).map_err(|error| error.to_string())?;
    let out = BufWriter::new(fs::File::create(file).unwrap());
    let (_, out) =
        export::blocks(&database, &genesis(), tip.height, out, Form::Blocks).map_err(|error| error.to_string())?;
    drop(out.into_inner().unwrap());
    crate::export::verified(file, tip)
}

/// Copies a folder.
pub(super) fn copy(from: &Path, to: &Path) {
    let _absent = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
