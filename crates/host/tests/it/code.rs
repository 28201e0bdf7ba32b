//! The code store: whole files under their hashes, or none, and never anything else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use coalmine_core::Hash;
use coalmine_host::code::{CodeProblem, CodeStore, code_hash};

const CODE: &[u8] = b"\0asm and so on";

/// What is wrong, in a word.
pub(crate) fn word(problem: &CodeProblem) -> &'static str {
    match problem {
        CodeProblem::Missing => "missing",
        CodeProblem::NotAFile => "not a file",
        CodeProblem::NotAFolder => "not a folder",
        CodeProblem::Empty => "empty",
        CodeProblem::TooLarge { .. } => "too large",
        CodeProblem::Damaged { .. } => "damaged",
        CodeProblem::Changed => "changed",
        CodeProblem::DiskFull => "disk full",
        CodeProblem::Open { .. } => "open",
        CodeProblem::NotOurs { .. } => "not ours",
        CodeProblem::Io(_) => "other",
    }
}

fn get(store: &CodeStore, hash: &Hash) -> &'static str {
    store.get(hash).map_or_else(|error| word(error.problem()), |code| if code == CODE { "whole" } else { "other code" })
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a damage does to the file of some code, and what is said of it then.
type Damage = (&'static str, fn(&Path), &'static str);

const DAMAGES: [Damage; 9] = [
    ("nothing", |_| {}, "whole"),
    ("it is gone", |path| fs::remove_file(path).unwrap(), "missing"),
    ("one bit is flipped", |path| fs::write(path, b"\0asm and so om").unwrap(), "damaged"),
    ("half of it is there", |path| fs::write(path, &CODE[..7]).unwrap(), "damaged"),
    ("more is there", |path| fs::write(path, [CODE, b"."].concat()).unwrap(), "damaged"),
    ("nothing is in it", |path| fs::write(path, b"").unwrap(), "empty"),
    ("a gigabyte that takes no room", |path| fs::File::create(path).unwrap().set_len(1 << 30).unwrap(), "too large"),
    (
        "a link out of the folder, to the very bytes",
        |path| {
            let outside = path.parent().unwrap().parent().unwrap().join("outside");
            fs::rename(path, &outside).unwrap();
            symlink(outside, path).unwrap();
        },
        "not a file",
    ),
    (
        "a pipe that nobody writes to",
        |path| {
            fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        },
        "not a file",
    ),
];

#[test]
fn code_is_what_its_name_says_or_not_there() {
    for (what, damage, expected) in DAMAGES {
        let folder = tempfile::tempdir().unwrap();
        let store = CodeStore::open(folder.path().join("code")).unwrap();
        let hash = store.put(CODE).unwrap();
        assert_eq!(hash, code_hash(CODE));
        damage(&store.folder().join(hash.to_string()));
        assert_eq!(get(&store, &hash), expected, "{what}");
        // A file with other bytes counts as missing from then on, and whatever it is, the code can be put again.
        assert_eq!(store.contains(&hash), matches!(expected, "whole" | "empty" | "too large"), "{what}");
        assert_eq!(store.put(CODE).unwrap(), hash, "{what}");
        assert_eq!(get(&store, &hash), "whole", "{what}");
        assert_eq!(store.hashes().unwrap().into_iter().collect::<Vec<_>>(), [hash], "{what}");
        store.remove(&hash).unwrap();
        store.remove(&hash).unwrap();
        assert_eq!(get(&store, &hash), "missing", "{what}");
    }
}

#[test]
fn what_is_no_code_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let store = CodeStore::open_with(folder.path(), 20).unwrap();
    for (code, expected) in
        [(&b""[..], Err("empty")), (&[1; 20], Ok(())), (&[1; 21], Err("too large")), (&[2; 1 << 20], Err("too large"))]
    {
        let put = store.put(code).map(|hash| assert_eq!(hash, code_hash(code)));
        assert_eq!(put.map_err(|error| word(error.problem())), expected, "{} bytes", code.len());
    }
    assert_eq!(files(folder.path()), [code_hash(&[1; 20]).to_string()]);
}

#[test]
fn a_store_is_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for (path, expected) in [
        ("new", Ok(())),
        ("new", Ok(())),
        ("a/b/c", Ok(())),
        ("file", Err("not a folder")),
        ("file/below", Err("not a folder")),
    ] {
        let opened = CodeStore::open(folder.path().join(path)).map(|_| ());
        assert_eq!(opened.map_err(|error| word(error.problem())), expected, "{path}");
    }
}

/// Partial files of a crash go, those of another process that is writing now stay, and neither counts.
#[test]
fn partial_files_count_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (hash, other) = (code_hash(CODE), code_hash(b"other"));
    let (old, new) = (format!("{hash}.1.0.partial"), format!("{other}.2.0.partial"));
    fs::write(folder.path().join(&old), "half").unwrap();
    fs::write(folder.path().join(&new), "half").unwrap();
    let touched = Command::new("touch").args(["-d", "3 hours ago"]).arg(folder.path().join(&old)).status();
    assert!(touched.unwrap().success());
    let store = CodeStore::open(folder.path()).unwrap();
    assert_eq!(files(folder.path()), [new]);
    assert!(store.hashes().unwrap().is_empty());
}

/// Mounts a tiny file system, or says why the test is skipped.
struct Tiny(tempfile::TempDir);

impl Tiny {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: a tiny file system cannot be mounted here (it takes root)");
        None
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let Some(tiny) = Tiny::mount() else { return };
    let store = CodeStore::open(tiny.0.path().join("code")).unwrap();
    let kept = store.put(&[1; 20_000]).unwrap();
    let refused = store.put(&[2; 60_000]).unwrap_err();
    assert_eq!(word(refused.problem()), "disk full", "{refused}");
    assert_eq!(files(store.folder()), [kept.to_string()]);
    assert_eq!(store.get(&kept).unwrap(), [1; 20_000]);
    // There is room again.
    store.remove(&kept).unwrap();
    let hash = store.put(&[2; 60_000]).unwrap();
    assert_eq!(store.get(&hash).unwrap(), [2; 60_000]);
}

#[test]
fn an_error_says_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = CodeStore::open(folder.path()).unwrap();
    let hash = store.put(CODE).unwrap();
    let path = folder.path().join(hash.to_string());
    fs::write(&path, "x").unwrap();
    let said = store.get(&hash).unwrap_err().to_string();
    let found = code_hash(b"x");
    let expected = format!(
        "{}: the bytes have the hash {found}, which is not that of the name; the file was put aside and counts as missing",
        path.display()
    );
    assert_eq!(said, expected);
    assert_eq!(fs::read(folder.path().join(format!("{hash}.damaged"))).unwrap(), b"x");
}
