//! The `replay` binary from outside: arguments and files in, text and exit codes out.

mod compare;
mod feed;
mod files;
mod foresight;
mod json;
mod ops;
mod output;
mod plot;
mod plugins;
mod prove;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod run;
mod show;
#[cfg(unix)]
mod signed;
mod trust;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const ADMIN: &str = "0x1111111111111111111111111111111111111111";
const USER: &str = "0x00000000000000000000000000000000000000aa";
const HEADER: &str = r#"{"format":"coalmine-blocks/1","name":"canary","genesis":{"chain":"example-1","roles":{"0x1111111111111111111111111111111111111111":["admin"]}}}"#;

/// A canary that rolls out, with an override, a prerequisite, a schedule and a stale policy.
const CANARY: &str = r#"{
  "format": "coalmine-blocks/1",
  "name": "canary",
  "genesis": {
    "chain": "example-1",
    "roles": { "0x1111111111111111111111111111111111111111": ["admin"], "0x2222222222222222222222222222222222222222": ["operator", "guardian"] }
  },
  "blocks": [
    { "height": 100,
      "txs": [
        { "op": "create_feature", "name": "base", "description": "two words", "increment_percent": 25, "increment_blocks": 10, "min_success_count": 3 },
        { "op": "start_canary", "name": "base", "percent": 5 },
        { "op": "record_success", "name": "base", "repeat": 3 },
        { "op": "enable", "name": "nothing" }
      ],
      "expect": { "receipts": ["ok", "ok", "ok", "ok", "ok", "feature_not_found"], "events": ["feature_created", "status_changed"] } },
    { "height": 101,
      "txs": [
        { "op": "create_feature", "name": "top", "description": "", "policy": { "prerequisites": ["base"], "expires_at": 120, "lifetime": "release" } },
        { "commands": [ { "op": "enable", "name": "top" }, { "op": "start_rollout", "name": "base", "target_percent": 100 } ] },
        { "op": "set_override", "name": "top", "user": "0x00000000000000000000000000000000000000aa", "enabled": true },
        { "op": "schedule", "at": 200, "commands": [ { "op": "rollback", "name": "top", "reason": "manual" } ] }
      ],
      "expect": { "features": { "base": { "status": "rolling_out", "rollout_percent": 5 } } } },
    { "height": 125, "expect": { "features": { "base": { "rollout_percent": 55 } } } },
    { "height": 130 }
  ],
  "expect": { "height": 130, "features": { "base": { "status": "rolling_out" } } }
}"#;

/// Three plugins: a deployment at a manual gate, a library that is being loaded, and one that the host is too old for.
const PLUGINS: &str = r#"{
  "format": "coalmine-blocks/1",
  "name": "plugins",
  "genesis": {
    "chain": "example-1",
    "roles": { "0x1111111111111111111111111111111111111111": ["admin"], "0x2222222222222222222222222222222222222222": ["operator"] }
  },
  "blocks": [
    { "height": 10,
      "txs": [
        { "op": "register_version", "plugin": "lib", "version": "1.2.0", "code_hash": "abababababababababababababababababababababababababababababababab" },
        { "op": "register_version", "plugin": "app", "version": "1.0.0+linux", "code_hash": "abababababababababababababababababababababababababababababababab", "requirements": { "lib": "^1" } },
        { "op": "register_version", "plugin": "web", "version": "1.0.0", "code_hash": "abababababababababababababababababababababababababababababababab", "host": ">=9.0.0" },
        { "op": "deploy", "plugin": "app", "version": "2.0.0", "strategy": "rolling" }
      ],
      "expect": { "receipts": ["ok", "ok", "ok", "version_not_found"] } },
    { "height": 11,
      "txs": [
        { "op": "register_version", "plugin": "app", "version": "2.0.0", "code_hash": "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd", "requirements": { "lib": "^1" }, "config": "00ff", "metadata": { "team": "two words" } },
        { "signer": "0x2222222222222222222222222222222222222222", "op": "deploy", "plugin": "app", "version": "2.0.0", "strategy": "custom", "stages": [ { "share_bps": 5000, "blocks": 4, "gate": "manual" }, { "share_bps": 10000, "blocks": 6 } ] },
        { "op": "report_version", "plugin": "app", "version": "2.0.0", "requests": 100, "errors": 5, "latency_total": 700 },
        { "op": "schedule", "at": 40, "commands": [ { "op": "deploy", "plugin": "lib", "version": "1.2.0", "strategy": "blue_green" }, { "op": "unload", "plugin": "lib" } ] },
        { "op": "load", "plugin": "lib" }
      ],
      "expect": {
        "receipts": ["ok", "ok", "ok", "ok", "ok"],
        "plugins": { "app": { "status": "active", "canary": "2.0.0", "versions": { "1.0.0": "active", "2.0.0": "canary", "3.0.0": null } } },
        "routes": [ { "plugin": "app", "unit": "0x00", "version": "2.0.0" }, { "plugin": "nothing", "unit": "0x", "version": null } ]
      } },
    { "height": 15, "expect": { "events": ["waiting"] } },
    { "height": 20 }
  ],
  "expect": { "height": 20, "plugins": { "app": { "waiting": true } } }
}"#;

/// What `run` prints for [`CANARY`].
const SUMMARY: &str = "\
height 130
blocks 4
transactions 10
ok 9
rejected 1
events 9
root ROOT
";

struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        world.write("canary.json", CANARY);
        world.write("plugins.json", PLUGINS);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
        command.args(args.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &str) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs and checks the exit code; gives standard output and standard error.
    #[track_caller]
    fn check(&self, args: &str, code: i32) -> (String, String) {
        let output = self.run(args);
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "replay {args}\n{out}\n{err}");
        if code == 0 || code == 1 {
            assert!(!err.contains("error:"), "replay {args}\n{err}");
        } else {
            assert!(!err.is_empty(), "replay {args} says nothing");
        }
        (out, err)
    }

    /// Runs, and checks exit code, all of standard output, and a part of standard error.
    #[track_caller]
    fn golden(&self, args: &str, code: i32, out: &str, err: &str) {
        let (found, found_err) = self.check(args, code);
        assert_eq!(found, out, "replay {args}\n{found_err}");
        assert!(found_err.contains(err), "replay {args}: {err:?} is not in:\n{found_err}");
    }

    /// Runs and checks that it fails with these words.
    #[track_caller]
    fn fails(&self, args: &str, code: i32, words: &str) {
        let (_, err) = self.check(args, code);
        assert!(err.contains(words), "replay {args}: {words:?} is not in:\n{err}");
    }

    /// The root at the end of a source.
    fn root(&self, source: &str) -> String {
        let (dump, _) = self.check(&format!("dump {source}"), 0);
        let header: serde_json::Value = serde_json::from_str(dump.lines().next().unwrap()).unwrap();
        header["root"].as_str().unwrap().into()
    }
}

/// The commands that the help of the tool lists.
fn commands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    lines.map(|line| line.split_whitespace().next().unwrap()).collect()
}

#[test]
fn help_has_an_example_for_every_command() {
    let world = World::new();
    let (help, _) = world.check("--help", 0);
    let commands = commands(&help);
    assert_eq!(commands.len(), 26, "{commands:?}");
    for command in commands {
        let (help, _) = world.check(&format!("{command} --help"), 0);
        assert!(help.contains(&format!("Example:\n  replay {command} ")), "{command}: {help}");
    }
    world.fails("", 2, "Usage");
    world.fails("frobnicate", 2, "unrecognized subcommand");
    world.fails("show canary.json feature _bad", 2, "a name is 1 to 64");
    world.fails("check canary.json base 0x12", 2, "an address is 0x");
    world.fails("run canary.json --root-every 0", 2, "0 is not in 1..");
    world.fails("run canary.json --until 4294967296", 2, "is not in 0..=4294967295");
}

#[cfg(not(feature = "rocksdb"))]
#[test]
fn without_rocksdb_the_tool_says_so() {
    let world = World::new();
    let words = "this build has no RocksDB; build it with --features rocksdb";
    world.check("dump canary.json -o canary.dump", 0);
    for args in [
        "run canary.json --store rocksdb:s",
        "show rocksdb:s features",
        "verify-store rocksdb:s",
        "restore canary.dump rocksdb:s",
        "diff canary.json rocksdb:s",
    ] {
        world.fails(args, 2, words);
    }
    let (out, err) = world.check("verify canary.json", 0);
    assert!(out.ends_with("runs=memory,memory-reopened\n") && out.starts_with("canary.json held height=130"), "{out}");
    assert!(err.contains("this build has no RocksDB: memory is compared"), "{err}");
}
