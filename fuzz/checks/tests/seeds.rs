//! Every committed seed of every target holds on stable, and so does a little damage to it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use coalmine_fuzz_checks::{Check, TARGETS};

/// A panic names the seed.
fn check(check: Check, seed: &Path, what: &str, bytes: &[u8]) {
    assert!(catch_unwind(|| check(bytes)).is_ok(), "{}{what} does not hold: {bytes:02x?}", seed.display());
}

fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_seed_holds() {
    for (target, function) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 10 || target == "blockfile" && seeds.len() >= 3, "few seeds of {target}");
        for seed in seeds {
            check(function, &seed, "", &fs::read(&seed).unwrap());
        }
    }
}

/// Some of what a fuzzer does first, so that a check that can not fail does not go unnoticed.
#[test]
fn every_seed_holds_when_it_is_damaged() {
    for (target, function) in TARGETS {
        for seed in seeds(target) {
            let bytes = fs::read(&seed).unwrap();
            for at in (0..bytes.len()).step_by(bytes.len() / 8 + 1) {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                check(function, &seed, &format!(" with byte {at} changed"), &flipped);
                check(function, &seed, &format!(" up to byte {at}"), &bytes[..at]);
            }
        }
    }
}

#[test]
fn every_target_has_its_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        let program = fs::read_to_string(folder.join("fuzz_targets").join(target).with_extension("rs")).unwrap();
        assert!(program.contains(&format!("coalmine_fuzz_checks::{target}(bytes)")), "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
    assert_eq!(fs::read_dir(folder.join("fuzz_targets")).unwrap().count(), TARGETS.len());
}
