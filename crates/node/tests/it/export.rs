//! What a node exports: the replay tool executes it and comes to the same root.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};

use coalmine_core::Command as Sent;
use coalmine_json::blockfile::{BlockReader, FileBlock, Form, Limits};
use coalmine_node::database::{Database, Sync};
use coalmine_node::export::{ExportError, blocks};
use coalmine_node::testing::{address, genesis, key, signed};
use coalmine_node::{Chain, Options, Stamp};
use coalmine_store::{Ledger, MemoryStore, Tip};

/// The block file that the other process verifies.
const FILE: &str = "COALMINE_NODE_VERIFY";

/// Not a test by itself: what [`verified`] runs in another process, since the tool wants the signals for itself.
#[test]
fn replay_verify() {
    let Ok(file) = std::env::var(FILE) else { return };
    std::process::exit(coalmine_replay::cli::main(["replay", "verify", &file].map(OsString::from)).into());
}

/// Has the replay tool verify a block file, and compares the root of its end.
pub(crate) fn verified(file: &Path, tip: Tip) -> Result<(), String> {
    let mut replay = Command::new(std::env::current_exe().unwrap());
    replay.args(["--exact", "export::replay_verify", "--nocapture"]).env(FILE, file);
    let Output { status, stdout, stderr } = replay.output().unwrap();
    if !status.success() || !String::from_utf8_lossy(&stdout).contains(&tip.root.to_string()) {
        let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        return Err(format!("replay verify ends with {status}: {out}{err}"));
    }
    let mut reader = BlockReader::open(file, Limits::default()).map_err(|error| error.to_string())?;
    let mut ledger = Ledger::create(MemoryStore::new(), &reader.header().genesis).map_err(|error| error.to_string())?;
    for block in reader.by_ref() {
        let FileBlock { block, .. } = block.map_err(|error| error.to_string())?;
        let before = block.height().saturating_sub(1);
        if ledger.state().tip().is_some_and(|tip| tip < before) {
            ledger.advance_to(before, |_| ()).map_err(|error| error.to_string())?;
        }
        let execution = ledger.execute(&block).map_err(|error| error.to_string())?;
        ledger.commit(execution).map_err(|error| error.to_string())?;
    }
    let found = ledger.last_committed();
    if found == tip { Ok(()) } else { Err(format!("the export comes to {found}, the node is at {tip}")) }
}

fn stamp(time: u64) -> Stamp {
    Stamp { time, marks: Vec::new() }
}

#[test]
fn an_export_comes_to_the_same_root() {
    for form in [Form::Blocks, Form::Jsonl, Form::Json] {
        let (database, store) = Database::memory();
        let mut chain = Chain::open((database.clone(), store), &genesis(), Options::default()).unwrap();
        let node = chain.node().clone();
        let name = "a".parse().unwrap();
        chain.advance(5, &stamp(1)).unwrap();
        let later =
            Sent::Schedule { at: 30, commands: coalmine_core::Valid::new(vec![Sent::Enable { name }]).unwrap() };
        let create = Sent::create_feature(name, "").unwrap();
        for (sequence, commands) in [(1, vec![create.clone()]), (2, vec![later]), (3, vec![create])] {
            node.submit(&signed(&node, &key(1), sequence, commands)).unwrap();
        }
        chain.make(9, &stamp(2)).unwrap();
        // What is no envelope, is of nobody with a role, or was changed on the way, is in the block all the same.
        let good = signed(&node, &key(1), 9, vec![Sent::create_feature("b".parse().unwrap(), "").unwrap()]);
        let mut changed = good.clone();
        changed[30] ^= 1;
        let stranger = signed(&node, &key(2), 1, vec![Sent::Disable { name }]);
        let id = |number: u8| coalmine_core::Hash([number; 32]);
        let envelopes: Vec<(_, &[u8])> =
            vec![(id(1), &changed), (id(2), b"no envelope"), (id(3), &stranger), (id(4), &good)];
        chain.commit(20, &envelopes, &stamp(3), Sync::Now).unwrap();
        let codes: Vec<u16> = node.outcome(20).unwrap().unwrap().txs.iter().map(|tx| tx.receipt.code()).collect();
        assert_eq!(codes, [1, 1, 2, 0], "malformed, malformed, unauthorized, ok");
        chain.advance(40, &stamp(4)).unwrap();
        assert!(node.read(|state| state.is_enabled(&name, &address(&key(7)))), "what was scheduled has run");

        let tip = chain.committed();
        let (count, bytes) = blocks(&database, &genesis(), tip.height, Vec::new(), form).unwrap();
        assert_eq!(count, 4, "the first, two with transactions, and the last");
        let suffix = match form {
            Form::Blocks => ".blocks",
            Form::Jsonl => ".jsonl",
            Form::Json => ".json",
        };
        let file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        verified(file.path(), tip).unwrap();
        assert!(verified(file.path(), Tip { height: Some(41), ..tip }).is_err());
    }
}

#[test]
fn what_is_pruned_cannot_be_exported() {
    let (database, store) = Database::memory();
    let options = Options { keep_blocks: std::num::NonZeroU32::new(3), ..Options::default() };
    let mut chain = Chain::open((database.clone(), store), &genesis(), options).unwrap();
    for height in 1..=6 {
        chain.advance(height, &stamp(1)).unwrap();
    }
    let error = blocks(&database, &genesis(), Some(6), Vec::new(), Form::Blocks).unwrap_err();
    assert!(matches!(error, ExportError::Pruned(4)), "{error}");
}
