//! A build that does not know the next rules leaves its store to one that does, and that one goes on as if there had been no
//! other. The builds are real: cargo makes the example `rule_sets` with the feature `test-rules` and without.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::rules::{CHANGE, LAST};

/// Makes the program, and keeps it under a name.
fn build(features: &[&str], name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rules");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--offline", "--locked", "--quiet", "-p", "coalmine-store", "--example", "rule_sets"]);
    cargo.args(features).arg("--target-dir").arg(&target).current_dir(env!("CARGO_MANIFEST_DIR"));
    // What a run of a harness sets for its own program is not meant for this one.
    cargo
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("LLVM_PROFILE_FILE");
    assert!(cargo.status().unwrap().success(), "the example rule_sets does not build {features:?}");
    let program = target.join(name);
    fs::copy(target.join("debug/examples/rule_sets"), &program).unwrap();
    program
}

/// Exit code, tips and errors of a run on a file.
fn run(program: &Path, file: &Path) -> (Option<i32>, Vec<String>, String) {
    let output = Command::new(program).arg(file).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout).lines().map(Into::into).collect(), text(&output.stderr))
}

#[test]
fn a_build_leaves_its_store_to_one_that_knows_the_next_rules() {
    let (old, new) = (build(&[], "old"), build(&["--features", "test-rules"], "new"));
    let folder = tempfile::tempdir().unwrap();
    let [handed_on, straight] = ["handed on", "straight"].map(|name| folder.path().join(name));
    let count = |first: u32, last: u32| usize::try_from(last + 1 - first).unwrap();

    // The old one stops before the block that changes the rules, however often it is started.
    let (code, tips, error) = run(&old, &handed_on);
    assert_eq!((code, tips.len()), (Some(4), count(1, CHANGE - 1)), "{error}");
    assert!(error.contains("65535") && error.contains(&CHANGE.to_string()), "{error}");
    let left = fs::read(&handed_on).unwrap();
    assert_eq!(run(&old, &handed_on), (Some(4), vec![], error));
    assert!(fs::read(&handed_on).unwrap() == left, "the store is not as it was");

    // The new one takes it over, and has what it has by itself.
    let (code, all, error) = run(&new, &straight);
    assert_eq!((code, all.len()), (Some(0), count(1, LAST)), "{error}");
    assert_eq!(all[..tips.len()], tips, "the blocks under the first rules");
    #[cfg(all(feature = "rocksdb", feature = "test-rules"))]
    rocksdb_goes_on(&handed_on, &all[tips.len()..]);
    assert_eq!(run(&new, &handed_on), (Some(0), all[tips.len()..].to_vec(), String::new()));
    assert!(fs::read(&handed_on).unwrap() == fs::read(&straight).unwrap(), "the records differ");

    // There is no way back.
    let (code, tips, error) = run(&old, &handed_on);
    assert_eq!((code, tips), (Some(4), vec![]));
    assert!(error.contains("rules 65535") && error.contains("rules up to 1"), "{error}");
    assert!(fs::read(&handed_on).unwrap() == fs::read(&straight).unwrap(), "the store is not as it was");
}

/// The same store in RocksDB, reopened after each block.
#[cfg(all(feature = "rocksdb", feature = "test-rules"))]
fn rocksdb_goes_on(left: &Path, tips: &[String]) {
    use coalmine_store::{Durability, RocksStore};

    use crate::common::rules::{go_on, read_file};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let ledger = read_file(left, RocksStore::create(&path, Durability::Synced).unwrap()).unwrap();
    let reopened = |store: RocksStore| {
        drop(store);
        RocksStore::open(&path, Durability::Synced).unwrap()
    };
    let (_, course) = go_on(ledger, reopened);
    assert_eq!(course.stopped, None);
    assert_eq!(course.tips.iter().map(ToString::to_string).collect::<Vec<_>>(), tips);
}
