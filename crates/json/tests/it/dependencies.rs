//! A host that wants a command from JSON pays with few crates.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The most crates that come with this one to a host that has core already, build scripts and macros included.
const MOST: usize = 12;

/// What a package is built of, by name and version, itself included.
fn tree(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", package, "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    names.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

#[test]
fn a_host_gets_few_crates_more() {
    let (core, all) = (tree("coalmine-core"), tree("coalmine-json"));
    let more: BTreeSet<&String> = all.difference(&core).filter(|name| *name != "coalmine-json").collect();
    assert!(core.contains("coalmine-core") && more.contains(&"serde_json".to_owned()), "{more:?}");
    assert!(more.len() <= MOST, "{} crates: {more:?}", more.len());
    for name in ["clap", "syn", "serde_derive", "coalmine-store"] {
        assert!(!more.contains(&name.to_owned()), "{name}");
    }
}
