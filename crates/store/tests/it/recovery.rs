//! What is left of a RocksDB store whose log was damaged. What kills, failing calls and power cuts leave is in
//! `durability`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{blocks, genesis};
use coalmine_core::Block;
use coalmine_store::{COLUMN, Durability, Ledger, Problem, RocksStore, Tip, View as _};

/// A folder with a closed store of the first `count` blocks, and the tip of each height.
fn store_of(folder: &Path, count: usize) -> Vec<Tip> {
    let store = RocksStore::create(folder, Durability::Synced).unwrap();
    let mut ledger = Ledger::create(store, &genesis()).unwrap();
    let mut tips = vec![ledger.last_committed()];
    for block in &blocks()[..count] {
        commit(&mut ledger, block);
        tips.push(ledger.last_committed());
    }
    tips
}

fn commit(ledger: &mut Ledger<RocksStore>, block: &Block) {
    let execution = ledger.execute(block).unwrap();
    ledger.commit(execution).unwrap();
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The one log that holds anything.
fn log(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let is_log =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "log") && fs::metadata(path).unwrap().len() > 0;
    let logs: Vec<_> = files.filter(is_log).collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    logs[0].clone()
}

#[test]
fn a_damaged_log_is_an_error_and_changes_nothing_until_it_is_salvaged() {
    let temp = tempfile::tempdir().unwrap();
    let (whole, damaged) = (temp.path().join("whole"), temp.path().join("damaged"));
    let tips = store_of(&whole, blocks().len());
    let name = log(&whole).file_name().unwrap().to_owned();
    let bytes = fs::read(whole.join(&name)).unwrap();
    let cut = |at: usize| bytes[..at].to_vec();
    let zeroed = |at: usize| [&bytes[..at], &vec![0; bytes.len() - at]].concat();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let mut salvaged = Vec::new();
    let damages: [&dyn Fn(usize) -> Vec<u8>; 3] = [&cut, &zeroed, &flipped];
    for damage in damages {
        for at in (0..bytes.len()).step_by(67).chain([bytes.len() - 1]) {
            copy(&whole, &damaged);
            fs::write(damaged.join(&name), damage(at)).unwrap();
            let error = RocksStore::open(&damaged, Durability::Synced).map(|_| ()).unwrap_err();
            assert!(matches!(error.problem(), Problem::Behind { .. } | Problem::Damaged(_)), "{at}: {error}");
            assert!(error.to_string().contains("salvage"), "{error}");
            assert_eq!(fs::read(damaged.join(&name)).unwrap(), damage(at), "refused, but changed");

            let store = RocksStore::salvage(&damaged, Durability::Synced).unwrap();
            let left = store.tip().unwrap();
            salvaged.push(left.and_then(|tip| tip.height));
            let Some(left) = left else { continue };
            assert!(tips.contains(&left) && left != tips[tips.len() - 1], "{left}");
            // It is a store like any other again, and takes the lost blocks once more.
            drop(store);
            let mut ledger = Ledger::open_at(RocksStore::open(&damaged, Durability::Synced).unwrap(), left).unwrap();
            for block in blocks().iter().filter(|block| Some(block.height()) > left.height) {
                commit(&mut ledger, block);
            }
            assert_eq!(ledger.last_committed(), tips[tips.len() - 1]);
        }
    }
    salvaged.sort_unstable();
    salvaged.dedup();
    assert!(salvaged.len() > 5, "the damages reach different heights: {salvaged:?}");
}

#[test]
fn a_block_cut_short_before_it_was_acknowledged_is_dropped() {
    let temp = tempfile::tempdir().unwrap();
    let (before, after, torn) = (temp.path().join("before"), temp.path().join("after"), temp.path().join("torn"));
    let count = blocks().len();
    store_of(&before, count - 1);
    let tips = store_of(&after, count);
    let (short, long) = (fs::read(log(&before)).unwrap(), fs::read(log(&after)).unwrap());
    assert!(long.starts_with(&short), "one log goes on where the other ends");
    for len in short.len()..=long.len() {
        copy(&before, &torn);
        fs::write(log(&torn), &long[..len]).unwrap();
        let expected = if len == long.len() { tips[count] } else { tips[count - 1] };
        let ledger = Ledger::open(RocksStore::open(&torn, Durability::Synced).unwrap()).unwrap();
        assert_eq!(ledger.last_committed(), expected, "{len} of {}..{}", short.len(), long.len());
    }
}

#[test]
fn a_log_with_holes_opens_at_an_earlier_block_without_sync_only() {
    let temp = tempfile::tempdir().unwrap();
    let (synced, unsynced) = (temp.path().join("synced"), temp.path().join("unsynced"));
    let tips = store_of(&synced, 3);
    copy(&synced, &unsynced);
    // Blocks above the last synced one, of which the log then loses the middle.
    let mut ledger = Ledger::open(RocksStore::open(&unsynced, Durability::Unsynced).unwrap()).unwrap();
    for block in &blocks()[3..] {
        commit(&mut ledger, block);
    }
    drop(ledger);
    let path = log(&unsynced);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 16].fill(0);
    fs::write(&path, &bytes).unwrap();

    let error = RocksStore::open(&unsynced, Durability::Synced).map(|_| ()).unwrap_err();
    assert!(matches!(error.problem(), Problem::Damaged(_)), "{error}");
    let mut ledger = Ledger::open(RocksStore::open(&unsynced, Durability::Unsynced).unwrap()).unwrap();
    let left = ledger.last_committed();
    assert!(left.height >= tips[3].height && left.height < Some(blocks().last().unwrap().height()), "{left}");
    for block in blocks().iter().filter(|block| Some(block.height()) > left.height) {
        commit(&mut ledger, block);
    }
    // What the host made durable is a floor from then on.
    ledger.store().sync().unwrap();
    let top = ledger.last_committed();
    drop(ledger);
    fs::write(log(&unsynced), []).unwrap();
    let error = RocksStore::open(&unsynced, Durability::Unsynced).map(|_| ()).unwrap_err();
    assert!(matches!(error.problem(), Problem::Behind { acknowledged, .. } if *acknowledged == top), "{error}");
}

/// The header of a record has checksum, length and type. The type that a flipped bit makes here is one that
/// RocksDB's reader never gets past.
#[test]
fn a_record_of_a_type_that_is_not_written_is_an_error() {
    let temp = tempfile::tempdir().unwrap();
    let (whole, damaged) = (temp.path().join("whole"), temp.path().join("damaged"));
    let tips = store_of(&whole, 3);
    let after = |bytes: &[u8], at: usize| at + 7 + usize::from(bytes[at + 4]) + 256 * usize::from(bytes[at + 5]);
    let log = log(&whole).file_name().unwrap().to_owned();
    for (file, left) in [(log.to_str().unwrap(), true), ("MANIFEST-000005", false)] {
        let bytes = fs::read(whole.join(file)).unwrap();
        // The first of a log is the genesis, and without it there is no tip.
        let (second, third) = (after(&bytes, 0), after(&bytes, after(&bytes, 0)));
        for (at, tip) in [(0, None), (second, Some(tips[0])), (third, Some(tips[1]))] {
            copy(&whole, &damaged);
            let mut bytes = bytes.clone();
            bytes[at + 6] ^= 4;
            fs::write(damaged.join(file), &bytes).unwrap();
            let error = RocksStore::open(&damaged, Durability::Synced).map(|_| ()).unwrap_err();
            assert!(matches!(error.problem(), Problem::Damaged(_)), "{file} {at}: {error}");
            assert!(error.to_string().contains(file), "{error}");
            assert_eq!(fs::read(damaged.join(file)).unwrap(), bytes, "refused, but changed");

            match RocksStore::salvage(&damaged, Durability::Synced) {
                Ok(store) if left => assert_eq!(store.tip().unwrap(), tip, "{file} {at}"),
                Err(error) if !left => assert!(matches!(error.problem(), Problem::Damaged(_)), "{error}"),
                _ => panic!("{file} {at}: salvaging a log helps, and a manifest not"),
            }
        }
    }
}

/// What a folder holds, by name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = |file: std::io::Result<fs::DirEntry>| {
        let file = file.unwrap();
        (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(file).collect()
}

/// A store with three tables, and the last block in the log.
fn store_with_tables(folder: &Path) -> Tip {
    store_of(folder, 2);
    let mut tip = None;
    for block in &blocks()[2..5] {
        // Opening moves the log into a table. Compaction could merge it with others, or not yet.
        let store = RocksStore::open(folder, Durability::Synced).unwrap();
        let column = store.db().cf_handle(COLUMN).unwrap();
        store.db().set_options_cf(column, &[("disable_auto_compactions", "true")]).unwrap();
        let mut ledger = Ledger::open(store).unwrap();
        commit(&mut ledger, block);
        tip = Some(ledger.last_committed());
    }
    tip.unwrap()
}

fn tables(folder: &Path) -> Vec<String> {
    contents(folder).into_keys().filter(|name| name.ends_with(".sst")).collect()
}

#[test]
fn a_damaged_manifest_loses_no_table() {
    let temp = tempfile::tempdir().unwrap();
    let (whole, damaged) = (temp.path().join("whole"), temp.path().join("damaged"));
    let tip = store_with_tables(&whole);
    let files = contents(&whole);
    assert_eq!(tables(&whole).len(), 3);
    let (name, manifest) = files.iter().find(|(name, _)| name.starts_with("MANIFEST-")).unwrap();

    let mut ends = vec![0];
    while let Some(header) = manifest.get(ends[ends.len() - 1]..).filter(|rest| rest.len() >= 7) {
        ends.push(ends[ends.len() - 1] + 7 + usize::from(header[4]) + 256 * usize::from(header[5]));
    }
    assert_eq!(ends.last(), Some(&manifest.len()), "one block, which ends with a record");
    let cut = |at: usize| manifest[..at].to_vec();
    let flipped = |at: usize| {
        let mut bytes = manifest.clone();
        bytes[at] ^= 1 << (at % 8);
        bytes
    };
    let damages =
        ends.iter().map(|end| cut(*end)).chain((0..manifest.len()).step_by(7).flat_map(|at| [cut(at), flipped(at)]));
    let (mut refused, mut unlisted, mut harmless) = (0, 0, 0);
    for damage in damages {
        copy(&whole, &damaged);
        fs::write(damaged.join(name), &damage).unwrap();
        let before = contents(&damaged);
        let open = [RocksStore::open, RocksStore::salvage][refused % 2];
        match open(&damaged, Durability::Synced) {
            Ok(store) => {
                // Only a cut behind the last table.
                assert_eq!(Ledger::open(store).unwrap().last_committed(), tip);
                harmless += 1;
            }
            Err(error) => {
                assert_eq!(contents(&damaged), before, "refused, but changed: {error}");
                fs::write(damaged.join(name), manifest).unwrap();
                let ledger = Ledger::open(RocksStore::open(&damaged, Durability::Synced).unwrap()).unwrap();
                assert_eq!(ledger.last_committed(), tip, "{error}");
                refused += 1;
                unlisted += usize::from(matches!(error.problem(), Problem::Unlisted { .. }));
            }
        }
    }
    println!("{refused} refused, {unlisted} of them by their tables, {harmless} harmless");
    assert!(refused > 50 && unlisted > 3, "{refused} {unlisted} {harmless}");
}

/// What a kill in the middle of a flush or compaction leaves.
#[test]
fn a_table_that_is_not_needed_is_no_damage() {
    let temp = tempfile::tempdir().unwrap();
    let (whole, folder) = (temp.path().join("whole"), temp.path().join("copy"));
    let tip = store_with_tables(&whole);
    let left_over = folder.join("000099.sst");
    for table in tables(&whole) {
        copy(&whole, &folder);
        fs::copy(whole.join(&table), &left_over).unwrap();
        let ledger = Ledger::open(RocksStore::open(&folder, Durability::Synced).unwrap()).unwrap();
        assert_eq!(ledger.last_committed(), tip);
        assert!(!left_over.exists(), "{table}");
    }
}
