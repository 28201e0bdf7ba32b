//! Every public vector file that is at hand runs as it expects, and leaves the bytes it should.
//!
//! The files lie outside of the repository; without them these tests say so and pass.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use coalmine_core::Read;
use coalmine_store::{Ledger, MemoryStore};

use crate::watch::run;

/// The files of a folder of vectors, in order; none where there is no such folder.
fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(folder);
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("skipped: there is no folder {}", folder.display());
        return Vec::new();
    };
    let is_wanted = |path: &PathBuf| path.extension().is_some_and(|ext| extensions.iter().any(|want| ext == *want));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(is_wanted).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no vectors", folder.display());
    files
}

/// Folders of block files whose expectations cover everything that comes of them.
const FOLDERS: [&str; 4] = ["rules/features", "rules/plugins", "rules/feed", "attacks"];

#[test]
fn files_of_the_rules_hold() {
    for file in FOLDERS.iter().flat_map(|folder| files(folder, &["json"])) {
        let (_, watch) = run(&file);
        assert_eq!(watch.failures, [], "{}", file.display());
    }
}

#[test]
fn files_of_the_rules_are_verified() {
    for folder in FOLDERS {
        let files = files(folder, &["json"]);
        if files.is_empty() {
            continue;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_replay")).arg("verify").args(files).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn reference_files_leave_the_bytes_of_the_reference() {
    for file in files("reference", &["json"]) {
        let (ledger, watch) = run(&file);
        assert_eq!(watch.failures, [], "{}", file.display());

        let want = fs::read_to_string(file.with_extension("want")).unwrap();
        let want: Vec<(String, String, u64)> = serde_json::from_str(&want).unwrap();
        let mut want: Vec<(String, String)> = want.into_iter().map(|(key, value, _)| (key, value)).collect();
        want.sort();
        let mut found = Vec::new();
        let collect = &mut |key: &[u8], value: &[u8]| {
            found.push((hex::encode(key), hex::encode(value)));
            ControlFlow::Continue(())
        };
        ledger.store().scan(&[0xd0], &[0xd2], collect).unwrap();
        let keys = |entries: &[(String, String)]| entries.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(&found), keys(&want), "{}", file.display());
        for ((key, found), (_, want)) in found.iter().zip(&want) {
            // A feature is the reference's record; metrics begin with it.
            let found = if key.starts_with("d1") { &found[..want.len()] } else { found };
            assert_eq!(found, want, "{}: {key}", file.display());
        }
    }
}

/// Every key and value under a prefix, in hex.
fn records(ledger: &Ledger<MemoryStore>, prefix: u8) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let collect = &mut |key: &[u8], value: &[u8]| {
        found.push((hex::encode(key), hex::encode(value)));
        ControlFlow::Continue(())
    };
    ledger.store().scan(&[prefix], &[prefix + 1], collect).unwrap();
    found
}

#[test]
fn feed_files_leave_their_records() {
    for file in files("rules/feed", &["json"]) {
        let (ledger, _) = run(&file);
        let want = fs::read_to_string(file.with_extension("want")).unwrap();
        let want: Vec<(String, String)> = serde_json::from_str(&want).unwrap();
        assert_eq!(records(&ledger, 0xde), want, "{}", file.display());
    }
}

#[test]
fn ledger_files_hold_and_skip_their_gaps() {
    for file in files("ledger", &["jsonl"]) {
        let (_, watch) = run(&file);
        assert_eq!(watch.failures, [], "{}", file.display());
        // Up to 485 million heights; a run that walked them would not end, and this is what it costs.
        assert!(watch.outcomes.len() < 2_000, "{}: {} heights were executed", file.display(), watch.outcomes.len());
    }
}
