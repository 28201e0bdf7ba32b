//! Nodes on disk, through their program: started, ended, backed up, restored, exported.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use coalmine_node::database::Database;
use coalmine_store::{Snapshots as _, Tip, View as _};

use crate::cli::{Running, check, program, text};

/// Starts the node of a home, lets it run for a while, and ends it.
fn run_for(home: &Path, millis: u64, arguments: &[&str]) {
    let mut child = program(&["start", "--home", text(home), "--listen", "127.0.0.1:0", "--block-interval", "20ms"]);
    let child = child.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let running = Running(child);
    let until = Instant::now() + Duration::from_secs(20);
    while !home.join("data/CURRENT").exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(millis));
    running.signal("-INT");
    assert_eq!(running.end(), Some(0));
}

fn tip(home: &Path) -> Tip {
    let (_, records) = Database::open_read_only(&home.join("data")).unwrap();
    records.snapshot().tip().unwrap().unwrap()
}

#[test]
fn a_node_is_run_backed_up_and_restored() {
    let temp = tempfile::tempdir().unwrap();
    let (home, new) = (temp.path().join("home"), temp.path().join("new"));
    check(&["init", "--home", text(&home)], 0, "chain");
    run_for(&home, 1_500, &[]);
    let first = tip(&home);
    assert!(first.height > Some(20), "{first}");
    run_for(&home, 500, &["--keep-blocks", "5"]);
    let second = tip(&home);
    assert!(second.height > first.height, "{first}, {second}");

    let file = text(&temp.path().join("state.cmd")).to_owned();
    check(&["snapshot", "create", &file, "--home", text(&home)], 0, &format!("root {}", second.root));
    check(&["snapshot", "create", &file, "--home", text(&home)], 3, "state.cmd");
    check(&["snapshot", "restore", &file, "--home", text(&home)], 2, "there is a ledger already");
    check(&["init", "--home", text(&new)], 0, "chain");
    check(&["snapshot", "restore", &file, "--home", text(&new)], 2, "it is of chain");
    fs::copy(home.join("genesis.json"), new.join("genesis.json")).unwrap();
    let other = "00".repeat(32);
    check(&["snapshot", "restore", &file, "--home", text(&new), "--root", &other], 2, "its root is");
    let mut damaged = fs::read(&file).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    let bad = text(&temp.path().join("bad.cmd")).to_owned();
    fs::write(&bad, damaged).unwrap();
    check(&["snapshot", "restore", &bad, "--home", text(&new)], 2, "damaged");
    check(&["snapshot", "restore", &file, "--home", text(&new), "--root", &second.root.to_string()], 0, "root");
    assert_eq!(tip(&new), second);
    run_for(&new, 300, &[]);
    assert!(tip(&new).height > second.height);
    let blocks = text(&temp.path().join("new.blocks")).to_owned();
    check(&["export", "--blocks", &blocks, "--home", text(&new)], 2, "are no longer here");
    assert!(!Path::new(&blocks).exists());
}

#[test]
fn what_is_exported_while_the_node_runs_verifies() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("home");
    check(&["init", "--home", text(&home)], 0, "chain");
    run_for(&home, 300, &[]);
    let mut child = program(&["start", "--home", text(&home), "--listen", "127.0.0.1:0", "--block-interval", "20ms"]);
    let running = Running(child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    std::thread::sleep(Duration::from_millis(800));
    let second = check(&["start", "--home", text(&home), "--listen", "127.0.0.1:0"], 3, "locked");
    assert_eq!(second, "");
    let blocks = temp.path().join("all.blocks");
    let out = check(&["export", "--blocks", text(&blocks), "--home", text(&home)], 0, "blocks 2");
    let value = |name: &str| out.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let tip = Tip { height: value("height").parse().ok(), root: value("root").parse().unwrap() };
    crate::export::verified(&blocks, tip).unwrap();
    check(
        &["export", "--blocks", text(&temp.path().join("a.txt")), "--home", text(&home)],
        2,
        ".blocks, .jsonl or .json",
    );
    let file = text(&temp.path().join("state.cmd")).to_owned();
    check(&["snapshot", "create", &file, "--home", text(&home)], 0, "height");
    // Killed, it comes back.
    running.signal("-KILL");
    assert_eq!(running.end(), None);
    run_for(&home, 300, &[]);
    // With another genesis it does not.
    let genesis = fs::read_to_string(home.join("genesis.json")).unwrap();
    fs::write(home.join("genesis.json"), genesis.replace("\"admin\"", "\"admin\", \"operator\"")).unwrap();
    check(
        &["start", "--home", text(&home), "--listen", "127.0.0.1:0"],
        2,
        "the database is of the ledger with genesis",
    );
}

#[test]
fn a_node_that_is_damaged_does_not_start() {
    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("home");
    check(&["init", "--home", text(&home)], 0, "chain");
    run_for(&home, 300, &[]);
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    check(&["start", "--home", text(&home), "--listen", &address], 2, "cannot listen on");
    fs::write(home.join("data/COALMINE_TIP"), "coalmine tip").unwrap();
    check(&["start", "--home", text(&home), "--listen", "127.0.0.1:0"], 3, "COALMINE_TIP is damaged");
}
