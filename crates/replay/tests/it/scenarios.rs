//! Every story of `fixtures/scenarios` and every attack of `fixtures/attacks` holds, and the reference model arrives at
//! the same end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use coalmine_core::{Block, Read, STATE_KEYS};
use coalmine_json::blockfile::{BlockReader, FileBlock, Limits};
use coalmine_model::Model;
use coalmine_store::{Ledger, MemoryStore};

use crate::watch::run;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The stories, then the attacks, in the order of their names.
fn stories() -> Vec<PathBuf> {
    let files = |folder: &str| {
        let entries = fs::read_dir(fixtures().join(folder)).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() > 20, "{folder}");
        files
    };
    [files("scenarios"), files("attacks")].concat()
}

fn records(ledger: &Ledger<MemoryStore>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut records = BTreeMap::new();
    let collect = &mut |key: &[u8], value: &[u8]| {
        records.insert(key.into(), value.into());
        ControlFlow::Continue(())
    };
    ledger.store().scan(&[STATE_KEYS.start], &[STATE_KEYS.end], collect).unwrap();
    records
}

#[test]
fn stories_hold_and_the_model_tells_the_same() {
    for file in stories() {
        let name = file.display();
        let (ledger, mut watch) = run(&file);
        assert_eq!(watch.failures, [], "{name}");

        let mut reader = BlockReader::open(&file, Limits::default()).unwrap();
        let mut model = Model::genesis(&reader.header().genesis);
        let blocks = reader.by_ref().map(|block| {
            let FileBlock { block, .. } = block.unwrap_or_else(|error| panic!("{error}"));
            (block.height(), block)
        });
        let blocks: BTreeMap<u32, Block> = blocks.collect();
        let (first, _) = blocks.first_key_value().unwrap();
        for height in *first..=ledger.state().tip().unwrap() {
            let block = blocks.get(&height).cloned().unwrap_or_else(|| Block::empty(height));
            // Heights that the run has skipped are empty blocks of which nothing comes.
            let expected = watch.outcomes.remove(&height).unwrap_or_default();
            assert_eq!(model.execute(&block).unwrap(), expected, "{name} at height {height}");
        }
        assert_eq!(records(&ledger), model.entries(), "{name}");
        assert_eq!(ledger.state().root(), model.root(), "{name}");
    }
}

#[test]
fn stories_are_verified() {
    let output = Command::new(env!("CARGO_BIN_EXE_replay")).arg("verify").args(stories()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_story_is_in_the_list() {
    let readme = fs::read_to_string(fixtures().join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(".json` | "));
    let listed: BTreeSet<String> = rows.map(|(name, _)| name.into()).collect();
    let names = stories().into_iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned());
    assert_eq!(listed, names.collect());
}
