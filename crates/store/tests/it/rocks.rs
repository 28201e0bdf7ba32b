//! RocksDB stores that fail: each failure is an error that says where and what to do, and nothing
//! that was committed is lost.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::common::{FIRST, blocks, genesis, large_block, name};
use coalmine_core::{Block, Encode as _, Fault, Hash, Key, Read as _};
use coalmine_store::{
    COLUMN, CommitError, Durability, Ledger, MemoryStore, OpenError, Problem, RocksStore, Snapshots as _, Staging as _,
    Store as _, TIP_KEY, verify,
};
use rocksdb::{DB, Options, WriteBatch, WriteOptions};
use tempfile::TempDir;

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A ledger of the first blocks in a new folder.
fn ledger(folder: &Path, count: usize) -> Ledger<RocksStore> {
    let store = RocksStore::create(folder, Durability::Synced).unwrap();
    let mut ledger = Ledger::create(store, &genesis()).unwrap();
    for block in &blocks()[..count] {
        let execution = ledger.execute(block).unwrap();
        ledger.commit(execution).unwrap();
    }
    ledger
}

fn reopen(folder: &Path) -> Result<Ledger<RocksStore>, OpenError> {
    Ledger::open(RocksStore::open(folder, Durability::Synced)?)
}

/// The refusal says where, and each of `words`.
#[track_caller]
fn refused<T>(result: Result<T, impl std::fmt::Display>, folder: &Path, words: &[&str]) {
    let Err(error) = result else { panic!("not refused") };
    let text = error.to_string();
    for word in words.iter().chain([&folder.to_str().unwrap()]) {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn paths_without_a_store_are_told_apart() {
    let temp = temp();
    let open = |folder: &Path| RocksStore::open(folder, Durability::Synced);
    let create = |folder: &Path| RocksStore::create(folder, Durability::Synced);

    let missing = temp.path().join("missing");
    refused(open(&missing), &missing, &["no store here", "create one"]);
    assert!(!missing.exists(), "looking creates nothing");
    let file = temp.path().join("file");
    fs::write(&file, "text").unwrap();
    refused(open(&file), &file, &["not a folder"]);
    refused(create(&file), &file, &["not a folder"]);
    let empty = temp.path().join("empty");
    fs::create_dir(&empty).unwrap();
    refused(open(&empty), &empty, &["holds no RocksDB store"]);
    fs::write(empty.join("COALMINE_TIP"), "").unwrap();
    refused(open(&empty), &empty, &["interrupted", "delete the folder"]);
    fs::write(empty.join("notes"), "text").unwrap();
    refused(create(&empty), &empty, &["not empty"]);
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 2, "looking creates nothing");

    let good = temp.path().join("a/b/store");
    assert!(!RocksStore::exists(&good));
    drop(create(&good).unwrap());
    assert!(RocksStore::exists(&good));
    refused(create(&good), &good, &["not empty", "open the one"]);
    // A store that was created and never used is empty, and takes a genesis.
    assert!(matches!(reopen(&good), Err(OpenError::Empty)));
    drop(Ledger::create(open(&good).unwrap(), &genesis()).unwrap());
    assert_eq!(reopen(&good).unwrap().last_committed().height, None);
}

#[test]
fn databases_of_other_programs_are_left_alone() {
    let temp = temp();
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let other = temp.path().join("other");
    drop(DB::open(&options, &other).unwrap());
    refused(
        RocksStore::open(&other, Durability::Synced),
        &other,
        &["no column family \"coalmine\"", "another program"],
    );
    let host = temp.path().join("host");
    drop(DB::open_cf(&options, &host, ["blocks", COLUMN]).unwrap());
    refused(RocksStore::open(&host, Durability::Synced), &host, &["blocks", "own handle"]);
    let db = Arc::new(DB::open_cf(&options, &host, ["blocks", COLUMN]).unwrap());
    refused(RocksStore::with_handle(db, "flags", Durability::Synced), &host, &["no column family \"flags\""]);
}

#[test]
fn other_formats_and_rules_are_refused_before_anything_changes() {
    let temp = temp();
    let folder = temp.path().join("store");
    let tip = {
        let ledger = ledger(&folder, 2);
        let column = ledger.store().db().cf_handle(COLUMN).unwrap();
        let record = ledger.store().db().get_cf(column, TIP_KEY).unwrap().unwrap();
        let put = |key: &[u8], value: &[u8]| ledger.store().db().put_cf(column, key, value).unwrap();
        put(&TIP_KEY, &[&[0, 2], &record[2..]].concat());
        record
    };
    refused(
        RocksStore::open(&folder, Durability::Synced),
        &folder,
        &["format 2", "knows format 1", "build that wrote it"],
    );

    let raw = |key: &[u8], value: &[u8]| {
        let db = DB::open_cf(&Options::default(), &folder, [COLUMN]).unwrap();
        db.put_cf(db.cf_handle(COLUMN).unwrap(), key, value).unwrap();
    };
    raw(&TIP_KEY, &tip[..20]);
    refused(RocksStore::open(&folder, Durability::Synced), &folder, &["record of the tip is damaged"]);
    raw(&TIP_KEY, &tip);
    let global = Key::Global.to_bytes();
    let value = reopen(&folder).unwrap().store().get(&global).unwrap().unwrap();
    raw(&global, &[&[0, 1, 0, 9], &value[4..]].concat());
    let error = reopen(&folder).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Rules { format: 1, rules: 9 }), "{error}");
    raw(&global, &value);
    reopen(&folder).unwrap();
}

#[test]
fn a_corrupt_record_is_a_fault_that_names_its_key() {
    let temp = temp();
    let folder = temp.path().join("store");
    let ledger = ledger(&folder, blocks().len());
    let column = || ledger.store().db().cf_handle(COLUMN).unwrap();
    let put = |key: &[u8], value: &[u8]| ledger.store().db().put_cf(column(), key, value).unwrap();
    let mut keys = Vec::new();
    ledger
        .store()
        .scan(&[0], &[0xff], &mut |key, value| {
            keys.push((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    for (key, value) in keys {
        // Garbage does not decode, and a record that decodes to something else gives another root.
        put(&key, &[value.as_slice(), &[0]].concat());
        let error = verify(ledger.store()).unwrap_err();
        assert!(matches!(&error, OpenError::Fault(Fault::Corrupt { key: named, .. }) if *named == key), "{error}");
        put(&key, &value);
    }
    assert_eq!(verify(ledger.store()).unwrap().tip, ledger.last_committed());

    let feature = Key::Feature(name("a")).to_bytes();
    let mut value = ledger.store().get(&feature).unwrap().unwrap();
    let errors = value.len() - 5 - 1 - 20 - 8 - 4 - 8 - 1;
    value[errors] ^= 1;
    put(&feature, &value);
    let error = verify(&ledger.store().reader().snapshot()).unwrap_err();
    assert!(matches!(error, OpenError::Root { tip, .. } if tip == ledger.last_committed()), "{error}");
    drop(ledger);
    assert!(matches!(reopen(&folder), Err(OpenError::Root { .. })));
}

#[test]
fn the_note_of_the_tip_is_checked() {
    let temp = temp();
    let folder = temp.path().join("store");
    let at = ledger(&folder, 4).last_committed();
    let note = folder.join("COALMINE_TIP");
    let text = fs::read_to_string(&note).unwrap();
    assert_eq!(text, format!("coalmine tip {:>10} {}\n", FIRST + 3, at.root));

    fs::write(&note, "nonsense").unwrap();
    refused(RocksStore::open(&folder, Durability::Synced), &folder, &["COALMINE_TIP is damaged", "salvage"]);
    // The same height with another root is another ledger.
    fs::write(&note, text.replace(&at.root.to_string(), &Hash([2; 32]).to_string())).unwrap();
    refused(RocksStore::open(&folder, Durability::Synced), &folder, &["blocks are lost"]);
    // A copy made by RocksDB's own tools lacks the file; it opens, and has it again from the next commit on.
    fs::remove_file(&note).unwrap();
    let mut ledger = reopen(&folder).unwrap();
    assert_eq!(ledger.last_committed(), at);
    let execution = ledger.execute(&blocks()[4]).unwrap();
    ledger.commit(execution).unwrap();
    assert!(fs::read_to_string(&note).unwrap().contains(&format!(" {} ", FIRST + 4)));
}

#[test]
fn one_store_is_open_once() {
    if let Ok(folder) = std::env::var(CHILD) {
        hold_open(&folder);
        return;
    }
    let temp = temp();
    let folder = temp.path().join("store");
    let at = ledger(&folder, 2).last_committed();
    let words = ["locked", "another process", "open a copy"];

    let first = reopen(&folder).unwrap();
    refused(RocksStore::open(&folder, Durability::Synced), &folder, &words);
    refused(RocksStore::salvage(&folder, Durability::Synced), &folder, &words);
    drop(first);
    // Somebody who knows nothing of our file, in this process and in another one.
    let raw = DB::open_cf(&Options::default(), &folder, [COLUMN]).unwrap();
    refused(RocksStore::open(&folder, Durability::Synced), &folder, &words);
    drop(raw);
    for how in ["store", "raw"] {
        let mut child = spawn(&format!("{how}:{}", folder.display()));
        refused(RocksStore::open(&folder, Durability::Synced), &folder, &words);
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        assert_eq!(reopen(&folder).unwrap().last_committed(), at);
    }
}

const CHILD: &str = "COALMINE_STORE_HOLD";

/// Starts this test as another process and waits until it has opened the store.
fn spawn(what: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "rocks::one_store_is_open_once", "--nocapture"])
        .env(CHILD, what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "holding"));
    std::thread::spawn(move || lines.count());
    child
}

/// Holds a store open until standard input ends.
fn hold_open(what: &str) {
    let (how, folder) = what.split_once(':').unwrap();
    let wait = || {
        println!("\nholding");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    };
    if how == "raw" {
        let _db = DB::open_cf(&Options::default(), folder, [COLUMN]).unwrap();
        wait();
    } else {
        let _store = RocksStore::open(folder, Durability::Synced).unwrap();
        wait();
    }
}

/// A file system of its own, or none where the test may not mount one.
struct Disk(TempDir);

impl Disk {
    fn new(options: &str) -> Option<Self> {
        let disk = Self(temp());
        disk.mount(&["-t", "tmpfs", "-o", options, "tmpfs"]).then_some(disk)
    }

    fn mount(&self, args: &[&str]) -> bool {
        let mount = Command::new("mount").args(args).arg(self.0.path()).stderr(Stdio::null()).status();
        mount.is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).stderr(Stdio::null()).status();
    }
}

fn skipped(what: &str) {
    // Not by the macro, whose output the test runner keeps to itself.
    let text = format!("SKIPPED: {what} (needs the right to mount a file system)\n");
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let Some(disk) = Disk::new("size=64m") else { return skipped("read-only folder") };
    let folder = disk.0.path().join("store");
    let at = ledger(&folder, 3).last_committed();
    assert!(disk.mount(&["-o", "remount,ro"]));
    refused(RocksStore::open(&folder, Durability::Synced), &folder, &["cannot be written", "make it writable"]);
    let new = disk.0.path().join("new");
    refused(RocksStore::create(&new, Durability::Synced), &new, &["cannot be written"]);
    assert!(disk.mount(&["-o", "remount,rw"]));
    assert_eq!(reopen(&folder).unwrap().last_committed(), at);
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let Some(disk) = Disk::new("size=32m") else { return skipped("full disk") };
    let folder = disk.0.path().join("store");
    let mut ledger = Ledger::create(RocksStore::create(&folder, Durability::Synced).unwrap(), &genesis()).unwrap();
    // The same ledger in memory has what was acknowledged.
    let mut memory = Ledger::create(MemoryStore::new(), &genesis()).unwrap();
    let mut blocks = (FIRST..).map(large_block);
    let (block, error) = loop {
        let block = blocks.next().unwrap();
        assert!(block.height() < FIRST + 1_000, "the disk never fills");
        let execution = ledger.execute(&block).unwrap();
        if let Err(error) = ledger.commit(execution) {
            break (block, error);
        }
        let execution = memory.execute(&block).unwrap();
        memory.commit(execution).unwrap();
    };
    refused(Err::<(), _>(&error), &folder, &["disk is full", "free space", "reopen"]);
    assert!(matches!(&error, CommitError::Store(error) if matches!(error.problem(), Problem::Full(_))), "{error}");
    let again = ledger.execute(&block).unwrap();
    assert!(matches!(ledger.commit(again), Err(CommitError::Failed)));
    let (at, mut store) = (ledger.last_committed(), ledger.into_store());
    let error = store.stage(Some(&at), &at, [], &mut WriteBatch::default()).unwrap_err();
    assert!(matches!(error.problem(), Problem::Failed), "{error}");
    drop(store);

    // Still full: that is what the refusal says, or the store opens with everything in it.
    if let Err(error) = RocksStore::open(&folder, Durability::Synced) {
        refused(Err::<(), _>(&error), &folder, &["disk is full"]);
    }
    assert!(disk.mount(&["-o", "remount,size=256m"]));
    let mut ledger = reopen(&folder).unwrap();
    if ledger.last_committed() == memory.last_committed() {
        let execution = ledger.execute(&block).unwrap();
        ledger.commit(execution).unwrap();
    }
    let execution = memory.execute(&block).unwrap();
    memory.commit(execution).unwrap();
    for block in blocks.take(3) {
        assert_eq!(ledger.last_committed(), memory.last_committed());
        let execution = ledger.execute(&block).unwrap();
        ledger.commit(execution).unwrap();
        let execution = memory.execute(&block).unwrap();
        memory.commit(execution).unwrap();
    }
    drop(ledger);
    assert_eq!(reopen(&folder).unwrap().last_committed(), memory.last_committed());
}

/// A host: its own database, its own column family, its own batch.
#[test]
fn the_data_of_a_host_commits_together_with_ours() {
    let temp = temp();
    let folder = temp.path().join("host");
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let open = || Arc::new(DB::open_cf(&options, &folder, ["blocks", "flags"]).unwrap());
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    let key = |block: &Block| block.height().to_be_bytes();

    let db = open();
    let store = RocksStore::with_handle(Arc::clone(&db), "flags", Durability::Synced).unwrap();
    let mut ledger = Ledger::create(store, &genesis()).unwrap();
    let blocks = blocks();
    for block in &blocks[..4] {
        let execution = ledger.execute(block).unwrap();
        let mut batch = WriteBatch::default();
        batch.put_cf(db.cf_handle("blocks").unwrap(), key(block), block.to_bytes());
        let staged = ledger.stage(execution, &mut batch).unwrap();
        db.write_opt(batch, &synced).unwrap();
        ledger.committed(staged).unwrap();
    }
    let at = ledger.last_committed();
    assert_eq!(at.height, Some(blocks[3].height()));

    // A stale execution does not get into a batch.
    let stale = ledger.execute(&blocks[4]).unwrap();
    let execution = ledger.execute(&blocks[4]).unwrap();
    ledger.commit(execution).unwrap();
    let mut batch = WriteBatch::default();
    assert!(matches!(ledger.stage(stale, &mut batch), Err(CommitError::Stale(_))));
    assert!(batch.is_empty());

    // The host says that it has written, but it has not.
    let execution = ledger.execute(&blocks[5]).unwrap();
    let mut batch = WriteBatch::default();
    let staged = ledger.stage(execution.clone(), &mut batch).unwrap();
    refused(ledger.committed(staged), &folder, &["has not been written", "reopen", "\"flags\""]);
    assert!(matches!(ledger.stage(execution.clone(), &mut batch), Err(CommitError::Failed)));
    assert!(matches!(ledger.commit(execution), Err(CommitError::Failed)));

    drop(ledger);

    // Writing fails, so the host drops the token; after reopening all goes on from what is there.
    let again =
        |db: &Arc<DB>| Ledger::open(RocksStore::with_handle(Arc::clone(db), "flags", Durability::Synced).unwrap());
    let mut ledger = again(&db).unwrap();
    let execution = ledger.execute(&blocks[5]).unwrap();
    drop(ledger.stage(execution.clone(), &mut WriteBatch::default()).unwrap());
    let error = ledger.commit(execution).unwrap_err();
    assert!(matches!(error, CommitError::Dropped), "{error}");
    assert!(error.to_string().contains("reopen the database"), "{error}");
    // One store for each column family.
    let second = RocksStore::with_handle(Arc::clone(&db), "flags", Durability::Synced);
    refused(second, &folder, &["another store of this process", "\"flags\"", "reader"]);
    drop((ledger, db));

    let db = open();
    let ledger = again(&db).unwrap();
    assert_eq!(ledger.last_committed().height, Some(blocks[4].height()));
    for block in &blocks[..4] {
        assert_eq!(db.get_cf(db.cf_handle("blocks").unwrap(), key(block)).unwrap(), Some(block.to_bytes()));
    }
    assert!(!folder.join("COALMINE_TIP").exists(), "the folder is the host's");
}
