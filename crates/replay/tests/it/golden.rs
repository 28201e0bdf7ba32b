//! Golden history: what came of every block of `fixtures/golden` when it was released still comes of it.
//!
//! A released file never changes. Each batch lists its files with their hashes, and the hash of the
//! list stands here, so that a change of consensus cannot be hidden by writing the files anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use coalmine_core::{Encode, Event, EventCode, Execution, Outcome};
use coalmine_json::blockfile::{BlockReader, Form, Limits};
use coalmine_replay::error::Error;
use coalmine_replay::runner::{self, BlockSource, Failure, Goal, Observer};
use coalmine_store::{Ledger, MemoryStore};
use sha2::{Digest, Sha256};

/// Every batch, and the SHA-256 of its `SHA256SUMS`. A row is added for a new batch; none changes.
const BATCHES: [(&str, &str); 1] = [("1", "cd9b1cd97e877b5d98e373e03354c31bd7bfdea94174971c7be880a67df164b2")];
/// The list of the files of a batch and their hashes.
const SUMS: &str = "SHA256SUMS";
/// The list of the block files of a batch and the hashes of what came of them.
const OUTCOMES: &str = "outcomes.txt";

type Files = BTreeMap<String, Vec<u8>>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden")
}

fn files(batch: &str) -> Files {
    let entries = fs::read_dir(folder().join(batch)).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The rows of a list as `sha256sum` prints it: names and hashes.
fn list(bytes: &[u8]) -> BTreeMap<String, String> {
    let rows = std::str::from_utf8(bytes).unwrap().lines().map(|line| line.split_once("  ").unwrap());
    rows.map(|(hash, name)| (name.into(), hash.into())).collect()
}

/// What is wrong with the files of a batch whose list has this hash.
fn changes(files: &Files, pin: &str) -> Vec<String> {
    let mut files = files.clone();
    let sums = files.remove(SUMS).unwrap_or_default();
    let mut changes = Vec::new();
    if sha256(&sums) != pin {
        changes.push(format!("{SUMS} changed"));
    }
    let mut sums = list(&sums);
    for (name, file) in &files {
        match sums.remove(name) {
            None => changes.push(format!("{name} is new")),
            Some(sum) if sum != sha256(file) => changes.push(format!("{name} changed")),
            Some(_) => {}
        }
    }
    changes.extend(sums.keys().map(|name| format!("{name} is gone")));
    changes
}

/// What came of the blocks that were executed, and the expectations that failed.
#[derive(Default)]
struct Watch {
    outcomes: Sha256,
    events: BTreeSet<EventCode>,
    failures: Vec<String>,
}

impl Observer for Watch {
    fn executed(&mut self, _goal: Goal<'_>, execution: &Execution) -> Result<(), Error> {
        // Whether a height without any outcome is executed or skipped makes no difference.
        if *execution.outcome() != Outcome::default() {
            self.outcomes.update(execution.height().to_be_bytes());
            self.outcomes.update(execution.outcome().to_bytes());
            self.events.extend(execution.outcome().events.iter().map(Event::code));
        }
        Ok(())
    }

    fn failed(&mut self, failure: Failure) {
        self.failures.push(failure.to_string());
    }
}

fn reader(name: &str, file: &[u8]) -> Result<BlockReader, String> {
    let reader = BlockReader::new(name, Cursor::new(file.to_vec()), Some(Form::Jsonl), Limits::default());
    reader.map_err(|error| error.to_string())
}

fn run(name: &str, file: &[u8]) -> Result<Watch, String> {
    let mut blocks = BlockSource::of(name, reader(name, file)?);
    let mut ledger = Ledger::create(MemoryStore::new(), blocks.genesis()).map_err(|error| error.to_string())?;
    let mut watch = Watch::default();
    runner::run(&mut ledger, &mut blocks, None, &mut watch).map_err(|error| error.to_string())?;
    Ok(watch)
}

/// What of a file is not as it was when `outcomes` was the hash of all that came of it.
fn differences(name: &str, file: &[u8], outcomes: &str) -> Vec<String> {
    match run(name, file) {
        Err(error) => vec![error],
        Ok(Watch { outcomes: found, failures: mut differences, .. }) => {
            if hex::encode(found.finalize()) != outcomes {
                differences.push(format!("{name}: other receipts or events"));
            }
            differences
        }
    }
}

#[test]
fn every_file_runs_as_it_did() {
    let mut count = 0;
    for (batch, _) in BATCHES {
        let mut files = files(batch);
        let outcomes = list(&files.remove(OUTCOMES).unwrap());
        files.remove(SUMS);
        assert!(files.keys().eq(outcomes.keys()), "batch {batch}: a file without outcomes, or outcomes without a file");
        for (name, file) in &files {
            let differences = differences(name, file, &outcomes[name]);
            let again =
                format!("cargo run --release -p coalmine-replay -- run --events fixtures/golden/{batch}/{name}");
            assert_eq!(differences, [""; 0], "{again}");
        }
        count += files.len();
    }
    assert!(count >= 200, "{count} files");
}

#[test]
fn every_block_has_its_receipts_and_its_root() {
    for (batch, _) in BATCHES {
        for (name, file) in files(batch).iter().filter(|(name, _)| name.ends_with(".jsonl")) {
            for block in reader(name, file).unwrap() {
                let block = block.unwrap();
                let expect = block.expect.unwrap_or_else(|| panic!("{name}: {}", block.block.height()));
                assert!(expect.receipts.is_some() && expect.state.root.is_some(), "{name}: {}", block.block.height());
            }
        }
    }
}

/// What no released file tells could change without notice.
#[test]
fn every_kind_of_event_is_in_the_history() {
    let mut events = BTreeSet::new();
    for (batch, _) in BATCHES {
        for (name, file) in files(batch).iter().filter(|(name, _)| name.ends_with(".jsonl")) {
            events.extend(run(name, file).unwrap().events);
        }
    }
    // There is one rule set only.
    let expected = EventCode::ALL.iter().copied().filter(|code| *code != EventCode::RulesSet);
    assert_eq!(events, expected.collect());
}

#[test]
fn what_is_released_stays() {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let found: BTreeSet<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let batches = BATCHES.iter().map(|(batch, _)| (*batch).to_owned());
    assert_eq!(found, batches.chain(["README.md".to_owned()]).collect());
    for (batch, pin) in BATCHES {
        assert_eq!(changes(&files(batch), pin), [""; 0], "batch {batch}: released files never change");
    }
}

/// A block file of the first batch that begins with a transaction that succeeds.
fn sample() -> (String, String) {
    let files = files("1").into_iter().filter(|(name, _)| name.ends_with(".jsonl"));
    let mut files = files.map(|(name, file)| (name, String::from_utf8(file).unwrap()));
    files.find(|(_, file)| file.lines().nth(1).unwrap().contains(FIRST_RECEIPT)).unwrap()
}

const FIRST_RECEIPT: &str = "\"receipts\":[\"ok\"";

#[test]
fn every_change_of_a_batch_is_seen() {
    let (released, pin) = (files("1"), BATCHES[0].1);
    let (name, _) = sample();
    let check = |change: &dyn Fn(&mut Files), expected: &[String]| {
        let mut files = released.clone();
        change(&mut files);
        assert_eq!(changes(&files, pin), expected);
    };
    let flip = |files: &mut Files, name: &str| *files.get_mut(name).unwrap().last_mut().unwrap() ^= 1;
    let adopt = |files: &mut Files| {
        let sums = files.iter().filter(|(name, _)| *name != SUMS);
        let sums: String = sums.map(|(name, file)| format!("{}  {name}\n", sha256(file))).collect();
        files.insert(SUMS.into(), sums.into_bytes());
    };
    check(&|_| {}, &[]);
    check(&|files| flip(files, &name), &[format!("{name} changed")]);
    check(&|files| flip(files, OUTCOMES), &[format!("{OUTCOMES} changed")]);
    check(&|files| drop(files.remove(&name)), &[format!("{name} is gone")]);
    check(&|files| drop(files.insert("other.jsonl".into(), Vec::new())), &["other.jsonl is new".into()]);
    // A list that fits the changed files again is a changed list.
    check(
        &|files| {
            flip(files, &name);
            adopt(files);
        },
        &[format!("{SUMS} changed")],
    );
    check(
        &|files| {
            files.remove(&name);
            adopt(files);
        },
        &[format!("{SUMS} changed")],
    );
}

#[test]
fn every_change_of_what_comes_of_a_block_is_seen() {
    let (name, file) = sample();
    let outcomes = list(&files("1")[OUTCOMES])[&name].clone();
    let check = |file: &str, outcomes: &str, expected: &[&str]| {
        let found = differences(&name, file.as_bytes(), outcomes);
        let is_expected = found.iter().zip(expected).all(|(found, part)| found.contains(part));
        assert!(found.len() == expected.len() && is_expected, "expected {expected:?}, found {found:?}");
    };
    check(&file, &outcomes, &[]);

    // One digit of one root.
    let at = file.find("\"root\":\"").unwrap() + 8;
    let digit = if &file[at..=at] == "0" { "1" } else { "0" };
    check(&[&file[..at], digit, &file[at + 1..]].concat(), &outcomes, &["root: expected"]);

    // One receipt.
    let rejected = FIRST_RECEIPT.replace("ok", "malformed");
    check(&file.replacen(FIRST_RECEIPT, &rejected, 1), &outcomes, &["receipts[0]: expected"]);

    // Something in an event, which no root covers.
    check(&file, &sha256(b""), &["other receipts or events"]);

    // A byte that makes it no block file.
    check(&file[1..], &outcomes, &[&*name]);
}

/// A transaction that is lost shows in every root from there on.
#[test]
fn a_lost_transaction_is_seen() {
    let (name, file) = sample();
    let mut lines: Vec<&str> = file.lines().collect();
    let (before, after) = lines[1].split_once("\"txs\":[{").unwrap();
    let (_, after) = after.split_once("},{\"signer\"").unwrap();
    let shorter = [before, "\"txs\":[{\"signer\"", after].concat();
    lines[1] = &shorter;
    let outcomes = list(&files("1")[OUTCOMES])[&name].clone();
    let found = differences(&name, lines.join("\n").as_bytes(), &outcomes);
    let roots = found.iter().filter(|found| found.contains("root: expected"));
    assert_eq!(roots.count(), lines.len() - 1, "{found:?}");
}
