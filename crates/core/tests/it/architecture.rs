//! ARCHITECTURE.md names the files that there are, and no file depends on itself through others.

use std::collections::{BTreeMap, BTreeSet};
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

// Circles.

/// The source files of a crate by module path, and the code of each without comments and tests.
fn modules(krate: &str) -> BTreeMap<String, String> {
    let src = root().join("crates").join(krate).join("src");
    let mut found = BTreeMap::new();
    for path in files(&src) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
        let code: Vec<&str> = code.lines().filter_map(|line| line.split("//").next()).collect();
        let path = path.strip_prefix(&src).unwrap().with_extension("");
        let mut parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
        parts.pop_if(|last| *last == "mod");
        found.insert(parts.join("::"), code.join("\n"));
    }
    // The root of a crate declares all modules and passes on what they offer; the entry point of a program likewise.
    found.retain(|module, _| module != "lib" && module != "main");
    found
}

/// The modules that a module asks for by `use crate::` or a path in its code.
fn uses(code: &str, all: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for place in code.split("crate::").skip(1) {
        let end = place.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(place.len());
        let (path, rest) = place.split_at(end);
        let path = path.trim_end_matches(':');
        let list = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
        for name in list.unwrap_or_default().split(',').map(str::trim) {
            // The longest front part of the path that is a module.
            let mut full: Vec<&str> = path.split("::").chain([name]).filter(|part| !part.is_empty()).collect();
            while !full.is_empty() && !all.contains_key(&full.join("::")) {
                full.pop();
            }
            found.extend((!full.is_empty()).then(|| full.join("::")));
        }
    }
    found
}

/// Modules that lead back to themselves, each with a way.
fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut left = arrows.clone();
    // What leads nowhere is in no circle, and neither is what leads only there.
    loop {
        let ends: Vec<String> = left.iter().filter(|(_, to)| to.is_empty()).map(|(module, _)| module.clone()).collect();
        if ends.is_empty() {
            return left.into_iter().map(|(module, to)| format!("{module} -> {to:?}")).collect();
        }
        for end in ends {
            left.remove(&end);
            for to in left.values_mut() {
                to.remove(&end);
            }
        }
    }
}

/// The arrows between files, or between folders, of a crate.
fn arrows(modules: &BTreeMap<String, String>, of: impl Fn(&str) -> String) -> BTreeMap<String, BTreeSet<String>> {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, code) in modules {
        let to = uses(code, modules).into_iter().map(|to| of(&to)).filter(|to| *to != of(module));
        arrows.entry(of(module)).or_default().extend(to);
    }
    arrows
}

#[test]
fn no_file_depends_on_itself_through_others() {
    for krate in ["core", "json", "store", "proof", "replay", "feed"] {
        let modules = modules(krate);
        assert!(modules.len() > 2, "{krate}");
        assert_eq!(circles(&arrows(&modules, str::to_owned)), Vec::<String>::new(), "{krate}");
    }
}

#[test]
fn no_folder_of_core_depends_on_itself_through_others() {
    let folder = |module: &str| module.split("::").next().unwrap().to_owned();
    let modules = modules("core");
    assert_eq!(circles(&arrows(&modules, folder)), Vec::<String>::new());
}

#[test]
fn a_circle_is_seen() {
    let code = |text: &str| text.to_owned();
    let mut modules = BTreeMap::from([
        ("a".to_owned(), code("use crate::b::c::{One, Two};")),
        ("b::c".to_owned(), code("fn f() -> crate::d::Three {}")),
        ("d".to_owned(), code("use crate::elsewhere::Four;")),
    ]);
    assert_eq!(circles(&arrows(&modules, str::to_owned)), Vec::<String>::new());
    modules.insert("d".to_owned(), code("use crate::{a, z};"));
    assert_eq!(circles(&arrows(&modules, str::to_owned)).len(), 3);
}
