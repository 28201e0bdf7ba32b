//! ARCHITECTURE.md names the files that there are.

use std::fs;
use std::path::{Path, PathBuf};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The words in backticks that end like a file or a folder of code.
fn named(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs") || word.ends_with('/'))
}

#[test]
fn what_it_names_is_there() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut all = files(&root().join("crates"));
    all.extend(files(&root().join("fixtures")));
    let missing = |word: &&str| {
        let is_there = |path: &PathBuf| match word.strip_suffix('/') {
            Some(folder) => path.parent().is_some_and(|parent| parent.ancestors().any(|one| one.ends_with(folder))),
            None => path.ends_with(word),
        };
        !all.iter().any(is_there) && !root().join(word).exists()
    };
    let missing: Vec<&str> = named(&text).filter(missing).collect();
    assert_eq!(missing, Vec::<&str>::new());
    assert!(named(&text).count() > 60);
}

#[test]
fn the_code_map_has_all_of_core() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let map = text.split("## Code map").nth(1).unwrap().split("**The other crates**").next().unwrap();
    let entries = fs::read_dir(root().join("crates/core/src")).unwrap().map(|entry| entry.unwrap());
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() { format!("{name}/") } else { name }
    };
    let missing: Vec<String> =
        entries.map(name).filter(|name| name != "lib.rs" && !named(map).any(|word| word == name)).collect();
    assert_eq!(missing, Vec::<String>::new());
}
