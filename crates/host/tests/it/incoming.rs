//! The folder `incoming`: what is whole goes into the store, and whatever else is dropped there stays.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;

use coalmine_core::Hash;
use coalmine_host::code::{CodeStore, Found, Incoming, code_hash};

use crate::code::word;

const CODE: &[u8] = b"some code";

struct Folders {
    _folder: tempfile::TempDir,
    store: CodeStore,
    incoming: Incoming,
}

impl Folders {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = CodeStore::open_with(folder.path().join("code"), 100).unwrap();
        let incoming = Incoming::open(folder.path().join("incoming")).unwrap();
        Self { _folder: folder, store, incoming }
    }

    /// One line for each thing that is found.
    fn scan(&mut self, is_named: impl Fn(&Hash) -> bool) -> Vec<String> {
        let line = |found| match found {
            Found::Placed { file, hash } => {
                assert!(self.store.get(&hash).is_ok());
                format!("placed {}", file.file_name().unwrap().display())
            }
            Found::Refused(error) => {
                format!("refused {}: {}", error.at().file_name().unwrap().display(), word(error.problem()))
            }
        };
        self.incoming.scan(&self.store, is_named).unwrap().into_iter().map(line).collect()
    }
}

fn age(path: &Path) {
    assert!(Command::new("touch").args(["-h", "-d", "5 seconds ago"]).arg(path).status().unwrap().success());
}

/// What is dropped, whether the ledger names [`CODE`], and what is said of it at the first scan.
type Drop = (&'static str, fn(&Path), bool, &'static [&'static str]);

const DROPS: [Drop; 10] = [
    ("code that the ledger names", |folder| fs::write(folder.join("a.wasm"), CODE).unwrap(), true, &["placed a.wasm"]),
    ("code that it does not name, just now", |folder| fs::write(folder.join("a.wasm"), CODE).unwrap(), false, &[]),
    (
        "code that it does not name, a while ago",
        |folder| {
            fs::write(folder.join("a.wasm"), CODE).unwrap();
            age(&folder.join("a.wasm"));
        },
        false,
        &["placed a.wasm"],
    ),
    ("half of what it names", |folder| fs::write(folder.join("a.wasm"), &CODE[..4]).unwrap(), true, &[]),
    ("a file that begins", |folder| fs::write(folder.join("a.wasm"), b"").unwrap(), true, &[]),
    (
        "an empty file of long ago",
        |folder| {
            fs::write(folder.join("a.wasm"), b"").unwrap();
            age(&folder.join("a.wasm"));
        },
        true,
        &["refused a.wasm: empty"],
    ),
    ("too much", |folder| fs::write(folder.join("big"), [7; 101]).unwrap(), true, &["refused big: too large"]),
    (
        "a link out of the folder, to code that it names",
        |folder| {
            fs::write(folder.parent().unwrap().join("secret"), CODE).unwrap();
            symlink(folder.parent().unwrap().join("secret"), folder.join("link")).unwrap();
        },
        true,
        &["refused link: not a file"],
    ),
    ("a folder", |folder| fs::create_dir(folder.join("folder")).unwrap(), true, &["refused folder: not a file"]),
    ("what a tool is still writing", |folder| fs::write(folder.join(".a.wasm.tmp"), CODE).unwrap(), true, &[]),
];

#[test]
fn what_is_dropped_is_placed_or_stays() {
    for (what, put, is_named, expected) in DROPS {
        let mut folders = Folders::new();
        put(folders.incoming.path());
        let count = || fs::read_dir(folders.incoming.path()).unwrap().count();
        assert_eq!(count(), 1);
        assert!(folders.incoming.has_changed(), "{what}");
        assert_eq!(folders.scan(|hash| is_named && *hash == code_hash(CODE)), expected, "{what}");
        let placed = expected.iter().any(|line| line.starts_with("placed"));
        assert_eq!(fs::read_dir(folders.incoming.path()).unwrap().count(), usize::from(!placed), "{what}");
        assert_eq!(folders.store.contains(&code_hash(CODE)), placed, "{what}");
        // It is said once.
        assert_eq!(folders.scan(|_| false), Vec::<String>::new(), "{what}");
    }
}

/// A refused file that becomes good where it is, is taken.
#[test]
fn a_refused_file_can_be_mended() {
    let mut folders = Folders::new();
    let path = folders.incoming.path().join("a.wasm");
    fs::write(&path, [7; 101]).unwrap();
    assert_eq!(folders.scan(|_| true), ["refused a.wasm: too large"]);
    assert!(folders.incoming.has_changed());
    fs::write(&path, CODE).unwrap();
    assert_eq!(folders.scan(|_| true), ["placed a.wasm"]);
}

/// Somebody writes while the file is looked at: whatever is placed is what the ledger names, and nothing is removed that
/// was not placed.
#[test]
fn a_file_that_changes_under_us() {
    let mut folders = Folders::new();
    let path = folders.incoming.path().join("a.wasm");
    let full = vec![b'x'; 90];
    let writer = thread::spawn({
        let (path, full) = (path.clone(), full.clone());
        move || {
            for _ in 0..200 {
                let mut file = fs::File::create(&path).unwrap();
                for part in full.chunks(10) {
                    file.write_all(part).unwrap();
                }
            }
        }
    });
    let mut placed = 0;
    while !writer.is_finished() {
        placed += folders.scan(|hash| *hash == code_hash(&full)).len();
    }
    writer.join().unwrap();
    placed += folders.scan(|hash| *hash == code_hash(&full)).len();
    assert!(placed > 0);
    assert_eq!(folders.store.hashes().unwrap().into_iter().collect::<Vec<_>>(), [code_hash(&full)]);
    assert_eq!(fs::read_dir(folders.incoming.path()).unwrap().count(), 0);
}

/// An empty folder costs one look at its time; a file dropped in at any moment is seen.
#[test]
fn an_empty_folder_is_left_alone() {
    let mut folders = Folders::new();
    folders.scan(|_| true);
    assert!(folders.incoming.has_changed(), "a file might come within the grain of the clock");
    let folder = folders.incoming.path().to_owned();
    age(&folder);
    folders.scan(|_| true);
    assert!(!folders.incoming.has_changed());
    fs::write(folder.join("a.wasm"), CODE).unwrap();
    assert!(folders.incoming.has_changed());
    assert_eq!(folders.scan(|_| true), ["placed a.wasm"]);
}

/// The store has no room: the file stays, and is taken once there is.
#[test]
fn a_store_that_cannot_take_it_loses_nothing() {
    let mut folders = Folders::new();
    fs::write(folders.incoming.path().join("a.wasm"), CODE).unwrap();
    fs::remove_dir(folders.store.folder()).unwrap();
    assert_eq!(folders.scan(|_| true).len(), 1);
    assert!(!folders.incoming.has_changed(), "after a pause, not at once");
    assert_eq!(fs::metadata(folders.incoming.path().join("a.wasm")).unwrap().len(), 9);
    fs::create_dir(folders.store.folder()).unwrap();
    assert_eq!(folders.scan(|_| true), ["placed a.wasm"]);
}
