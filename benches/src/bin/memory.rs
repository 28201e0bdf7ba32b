//! Prints what a state takes in memory: per feature, override, plugin, history entry and key of the tree, and for a large
//! ledger as a whole. `memory FEATURES OVERRIDES` only the latter, of another size.
//!
//! Each figure is the growth of the resident memory of a process of its own: by a copy of a state, or by loading one.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a measurement stops where it stands"
)]

use std::env;
use std::fs;
use std::hint::black_box;
use std::process::Command;

use coalmine_benches::memory::{Kind, load};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            println!("| of a state | bytes each |\n|---|---:|");
            for kind in Kind::ALL {
                own_process(&["--of", kind.name()]);
            }
            own_process(&["--load", "1000000", "10000000"]);
        }
        ["--of", name] => {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == *name).expect("the name is of a kind");
            let state = kind.filled();
            let before = resident("VmRSS");
            let copy = black_box(state.clone());
            println!("| {name} | {} |", (resident("VmRSS") - before) / kind.count());
            drop(copy);
        }
        ["--load", features, overrides] | [features, overrides] => {
            let (features, overrides) = (features.parse().unwrap(), overrides.parse().unwrap());
            let state = black_box(load(features, overrides));
            let (now, peak) = (mib(resident("VmRSS")), mib(resident("VmHWM")));
            println!(
                "\n{features} features, {overrides} overrides, {} keys: {now} MiB, {peak} MiB at most while loading",
                state.tree().len()
            );
        }
        _ => {
            eprintln!("usage: memory [FEATURES OVERRIDES]");
            std::process::exit(2);
        }
    }
}

fn own_process(args: &[&str]) {
    let program = env::current_exe().unwrap();
    assert!(Command::new(program).args(args).status().unwrap().success(), "{args:?} has failed");
}

/// A line of `/proc/self/status`, in bytes.
fn resident(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')).expect("the line is there");
    value.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

const fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
