//! The compile cache: what is compiled once is found again, whatever is wrong with it is as if it were not there, and a
//! folder that is open to others is none.
//!
//! A process has one engine, so each row is a process of its own: this test program, which finds its row in the environment.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use coalmine_host::wasm::{EngineOptions, WasmRuntime};
use coalmine_host::{Limits, Runtime};

use crate::plugins::tester;

const CACHE: &str = "COALMINE_TEST_CACHE";

/// Loads the tester with the cache in the environment, and prints what came of it.
#[test]
fn in_a_process_of_its_own() {
    let Ok(cache) = std::env::var(CACHE) else { return };
    let options = EngineOptions { cache: Some(PathBuf::from(cache)), instances: 10, ..EngineOptions::default() };
    match WasmRuntime::new(&options) {
        Ok(runtime) => {
            let loaded = runtime.load(&tester(), &Limits::default()).map(|_| ());
            println!("SAID loaded {loaded:?}, hits and misses {:?}", runtime.cache_hits_and_misses());
            let other = WasmRuntime::new(&EngineOptions::default()).map(|_| ()).map_err(|error| error.to_string());
            println!("SAID {}", other.unwrap_err());
        }
        Err(error) => println!("SAID {error}"),
    }
}

fn run(cache: &Path) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["cache::in_a_process_of_its_own", "--exact", "--nocapture"]).env(CACHE, cache);
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| Some(line.split_once("SAID ")?.1.to_owned())).collect()
}

/// All files below a folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { self::entries(&path) } else { vec![path] }).collect()
}

fn each(cache: &Path, change: impl Fn(&mut Vec<u8>)) {
    for path in entries(cache) {
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
    }
}

const HIT: &str = "loaded Ok(()), hits and misses (1, 0)";
const MISS: &str = "loaded Ok(()), hits and misses (0, 1)";

/// What is done to a cache that has the tester, and what the next process says.
type Row = (&'static str, fn(&Path), &'static str);

const ROWS: [Row; 9] = [
    ("nothing", |_| {}, HIT),
    ("its files are empty", |cache| each(cache, Vec::clear), MISS),
    ("its files are cut in half", |cache| each(cache, |bytes| bytes.truncate(bytes.len() / 2)), MISS),
    ("its files are something else", |cache| each(cache, |bytes| bytes.fill(0xa5)), MISS),
    (
        "its files are of another engine",
        |cache| {
            // The name of a folder says which: "wasmtime-48.0.8" or the like.
            let folder = entries(cache)[0].parent().unwrap().to_owned();
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(name.contains("48.0"), "{name}");
            fs::rename(&folder, folder.with_file_name(name.replace("48.0", "47.0"))).unwrap();
        },
        MISS,
    ),
    (
        "others may read it",
        |cache| fs::set_permissions(cache, fs::Permissions::from_mode(0o750)).unwrap(),
        "its mode is 0750, and what is in it is run as it is: nobody else may have access (chmod 0700)",
    ),
    (
        "others may write it",
        |cache| fs::set_permissions(cache, fs::Permissions::from_mode(0o702)).unwrap(),
        "its mode is 0702, and what is in it is run as it is: nobody else may have access (chmod 0700)",
    ),
    (
        "it is a file",
        |cache| {
            fs::remove_dir_all(cache).unwrap();
            fs::write(cache, "").unwrap();
        },
        "this is not a folder; choose another path",
    ),
    (
        "it is a link to somewhere else",
        |cache| {
            let other = cache.with_file_name("other");
            fs::rename(cache, &other).unwrap();
            symlink(other, cache).unwrap();
        },
        "this is not a folder; choose another path",
    ),
];

#[test]
fn a_cache_is_of_use_or_as_if_it_were_not_there() {
    for (what, damage, expected) in ROWS {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let said = run(&cache);
        let other =
            "this process already runs plugins with other options; one process has one engine, so use the same ones";
        assert_eq!(said, [MISS, other], "{what}");
        assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
        damage(&cache);
        let said = run(&cache);
        assert!(said[0].ends_with(expected), "{what}: {said:?}");
    }
}

#[test]
fn a_cache_of_somebody_else() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    if std::os::unix::fs::chown(&cache, Some(12_345), None).is_err() {
        eprintln!("SKIPPED: a folder cannot be given to somebody else here (it takes root)");
        return;
    }
    let said = run(&cache);
    assert!(said[0].contains("it belongs to user 12345"), "{said:?}");
}
