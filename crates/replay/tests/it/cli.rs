//! The `replay` binary from outside: arguments and files in, text and exit codes out.

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
    { "height": 125, "expect": { "features": { "base": { "rollout_percent": 55 } } } }
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
    { "height": 15, "expect": { "events": ["waiting"] } }
  ],
  "expect": { "height": 20, "plugins": { "app": { "waiting": true } } }
}"#;

/// What `run` prints for [`CANARY`].
const SUMMARY: &str = "\
height 130
blocks 3
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

#[test]
fn help_has_an_example_for_every_command() {
    let world = World::new();
    let (help, _) = world.check("--help", 0);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|command| *command != "help")
        .collect();
    assert_eq!(commands.len(), 15, "{commands:?}");
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

#[test]
fn run_prints_a_summary_and_what_is_asked_for() {
    let world = World::new();
    let root = world.root("canary.json");
    let summary = SUMMARY.replace("ROOT", &root);
    world.golden("run canary.json", 0, &summary, "transactions/s");
    world.golden("run canary.json --quiet", 0, "", "");
    let (json, _) = world.check("run --format json canary.json", 0);
    assert_eq!(
        json,
        format!(
            "{{\"height\":130,\"blocks\":3,\"transactions\":10,\"ok\":9,\"rejected\":1,\"events\":9,\"root\":\"{root}\"}}\n"
        )
    );
    world.golden(
        "run canary.json --quiet --receipts --events --until 111",
        0,
        &format!(
            "\
100 receipt 0 ok
100 receipt 1 ok
100 receipt 2 ok
100 receipt 3 ok
100 receipt 4 ok
100 receipt 5 feature_not_found command=0
100 event feature_created name=base
100 event status_changed name=base from=disabled to=canary percent=5 cause=canary_started actor={ADMIN}
101 receipt 0 ok
101 receipt 1 ok
101 receipt 2 ok
101 receipt 3 ok
101 event feature_created name=top
101 event status_changed name=top from=disabled to=enabled percent=100 cause=enabled actor={ADMIN}
101 event status_changed name=base from=canary to=rolling_out percent=5 cause=rollout_started actor={ADMIN}
101 event override_set name=top user={USER} enabled=true
101 event scheduled id=1 at=200
111 event stepped name=base from_percent=5 to_percent=30
"
        ),
        "",
    );
    world.golden(
        "run canary.json --quiet --receipts --format json --until 100",
        0,
        "\
{\"height\":100,\"type\":\"receipt\",\"tx\":0,\"result\":\"ok\"}
{\"height\":100,\"type\":\"receipt\",\"tx\":1,\"result\":\"ok\"}
{\"height\":100,\"type\":\"receipt\",\"tx\":2,\"result\":\"ok\"}
{\"height\":100,\"type\":\"receipt\",\"tx\":3,\"result\":\"ok\"}
{\"height\":100,\"type\":\"receipt\",\"tx\":4,\"result\":\"ok\"}
{\"height\":100,\"type\":\"receipt\",\"tx\":5,\"result\":\"feature_not_found\",\"command\":0}
",
        "",
    );

    // Gaps count up to --until, and roots come at every N-th block.
    let (out, _) = world.check("run canary.json --until 300 --root-every 2", 0);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("101 root "), "{out}");
    assert_eq!(&lines[1..3], ["height 300", "blocks 3"], "{out}");
    let (out, _) = world.check("run canary.json --until 100", 0);
    assert!(out.starts_with("height 100\nblocks 1\ntransactions 6\n"), "{out}");

    // Output to a file, input from standard input.
    world.golden("run canary.json -o out.txt", 0, "", "");
    assert_eq!(world.read("out.txt"), summary);
    let mut child = world.command("run -").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(CANARY.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), summary);
}

#[test]
fn run_takes_several_files() {
    let world = World::new();
    let block = |height: u32| format!("{{\"height\":{height},\"txs\":[{{\"op\":\"reset_breaker\"}}]}}\n");
    world.write("a.jsonl", format!("{HEADER}\n{}", block(1)));
    world.write("b.jsonl", format!("{HEADER}\n{}", block(5)));
    world.write("other.jsonl", format!("{}\n{}", HEADER.replace("example-1", "example-2"), block(9)));
    let (out, _) = world.check("run a.jsonl b.jsonl", 0);
    assert!(out.starts_with("height 5\nblocks 2\ntransactions 2\nok 0\nrejected 2\n"), "{out}");
    world.fails("run b.jsonl a.jsonl", 2, "a.jsonl:2: height 1 is not above the tip 5");
    world.fails("run a.jsonl a.jsonl", 2, "a.jsonl:2: height 1 is not above the tip 1");
    world.fails("run a.jsonl other.jsonl", 2, "other.jsonl: its genesis is not that of the first file");
}

#[test]
fn every_expectation_that_fails_is_told() {
    let world = World::new();
    world.write(
        "wrong.jsonl",
        format!(
            "{}\n{}\n{}\n",
            HEADER.replace(
                "}}}",
                "}},\"expect\":{\"height\":101,\"root\":\"0000000000000000000000000000000000000000000000000000000000000000\"}}"
            ),
            r#"{"height":100,"txs":[{"op":"create_feature","name":"f","description":""},{"op":"enable","name":"f"}],"expect":{"receipts":["ok","not_due"],"events":["feature_created","stepped","stepped"]}}"#,
            format_args!(
                "{}{USER}{}",
                r#"{"height":102,"expect":{"features":{"f":{"status":"canary","rollout_percent":100},"g":{}},"metrics":{"f":{"total_operations":1}},"history":{"f":[{"height":100,"status":"canary","percent":0}]},"enabled":[{"name":"f","user":""#,
                r#"","value":false}]}}"#
            )
        ),
    );
    let (out, err) = world.check("run wrong.jsonl", 1);
    let lines: Vec<&str> = err.lines().filter(|line| line.starts_with("wrong.jsonl:")).collect();
    let root = out.lines().last().unwrap().split_once(' ').unwrap().1;
    let zero = "0".repeat(64);
    assert_eq!(
        lines,
        [
            "wrong.jsonl:2: block 100: receipts[1]: expected not_due, got ok",
            "wrong.jsonl:2: block 100: events: expected 3 entries, got 2 entries",
            "wrong.jsonl:2: block 100: events[1]: expected stepped, got status_changed",
            "wrong.jsonl:3: block 102: features.f.status: expected canary, got enabled",
            "wrong.jsonl:3: block 102: features.g: expected a feature, got none",
            "wrong.jsonl:3: block 102: metrics.f.total_operations: expected 1, got 0",
            "wrong.jsonl:3: block 102: history.f: expected 1 entries, got more",
            "wrong.jsonl:3: block 102: history.f[0]: expected 100 canary 0 %, got 100 disabled 0 %",
            &format!("wrong.jsonl:3: block 102: enabled.f.{USER}: expected false, got true"),
            "wrong.jsonl:1: end: height: expected 101, got 102",
            &format!("wrong.jsonl:1: end: root: expected {zero}, got {root}"),
        ]
    );
    assert!(err.contains("11 expectations failed"), "{err}");
    world.fails("verify wrong.jsonl canary.json", 1, "1 of 2 files did not hold");
}

#[test]
fn bad_files_are_refused_with_their_place() {
    let world = World::new();
    world.write("empty.json", "");
    world.write("unknown.jsonl", format!("{HEADER}\n{{\"height\":1,\"tsx\":[]}}\n"));
    world.write("falling.jsonl", format!("{HEADER}\n{{\"height\":2}}\n{{\"height\":2}}\n"));
    for (file, words) in [
        ("missing.json", "missing.json: cannot be read: No such file"),
        ("empty.json", "empty.json: the file is empty"),
        ("unknown.jsonl", "unknown.jsonl:2:13: block 1: unknown key \"tsx\""),
        ("falling.jsonl", "falling.jsonl:3:11: block 2: heights rise"),
    ] {
        for command in ["run", "verify", "dump"] {
            world.fails(&format!("{command} {file}"), 2, words);
        }
    }
    world.fails("run canary.json -o canary.json", 2, "this is an input as well");
    assert_eq!(world.read("canary.json"), CANARY);
    world.fails("run canary.json -o no/such/folder", 2, "no/such/folder: cannot be written");
    world.fails("run canary.json --store disk", 2, "it is memory, or rocksdb:PATH");
}

#[test]
fn convert_keeps_everything() {
    let world = World::new();
    world.golden("convert canary.json canary.blocks", 0, "", "");
    world.golden("convert canary.blocks back.jsonl", 0, "", "");
    world.golden("convert canary.json same.jsonl", 0, "", "");
    world.golden("convert back.jsonl again.out --to blocks", 0, "", "");
    assert_eq!(fs::read(world.path("canary.blocks")).unwrap(), fs::read(world.path("again.out")).unwrap());
    // Expectations live in JSON only, and so does the last height that one of them asks for.
    assert_eq!(world.root("canary.json"), world.root("same.jsonl"));
    assert!(world.read("same.jsonl").contains("\"expect\":{\"height\":130"));
    let (out, _) = world.check("run back.jsonl", 0);
    assert!(out.starts_with("height 125\n"), "{out}");

    world.fails("convert canary.json out.txt", 2, "say --to json, jsonl or blocks");
    world.fails("convert canary.json canary.json", 2, "this is an input as well");
    world.fails("convert canary.json out.json --to xml", 2, "write json, jsonl or blocks");

    // The blocks before the damage are kept.
    let mut bytes = fs::read(world.path("canary.blocks")).unwrap();
    bytes.truncate(bytes.len() - 1);
    world.write("torn.blocks", &bytes);
    world.fails("convert torn.blocks kept.jsonl", 2, "torn.blocks: frame 3 at byte");
    assert_eq!(world.read("kept.jsonl").lines().count(), 3);
    world.fails("run torn.blocks", 2, "the file ends within this frame");
}

#[test]
fn show_and_check_tell_what_is_there() {
    let world = World::new();
    for (args, out) in [
        ("features", "base status=rolling_out percent=55\ntop status=enabled percent=100\n".into()),
        ("features --at 100", "base status=canary percent=5\n".into()),
        ("features --at 50", String::new()),
        ("features --at 200", "base status=enabled percent=100\ntop status=rolled_back percent=0\n".into()),
        (
            "feature base",
            format!(
                "\
name base
description \"two words\"
status rolling_out
rollout_percent 55
target_percent 100
increment_percent 25
increment_blocks 10
start_block 100
last_increment_block 121
error_count 0
success_count 3
max_error_rate 100
min_success_count 3
enabled_by {ADMIN}
rollback_reason manual
blocks_to_step 1
errors_left 6
step_due 131
policy.bucketing sha256
policy.advance automatic
policy.salt 0
policy.min_samples 10
policy.window_blocks 0
policy.step_min_operations 0
policy.max_invariant_failures 0
policy.max_latency 0
policy.lifetime permanent
policy.expires_at 0
policy.prerequisites none
"
            ),
        ),
        (
            "metrics base",
            "\
name base
total_operations 3
successful_ops 3
failed_ops 0
average_latency 0
peak_latency 0
invariant_checks 0
invariant_failures 0
latency_sum 0
trial_invariant_failures 0
trial_latency_sum 0
trial_operations 3
step_operations 0
window_start 0
current_successes 0
current_errors 0
previous_successes 0
previous_errors 0
"
            .into(),
        ),
        (
            "history base --at 111",
            format!(
                "\
100 0 status=disabled percent=0 cause=created reason=manual actor={ADMIN}
100 1 status=canary percent=5 cause=canary_started reason=manual actor={ADMIN}
101 0 status=rolling_out percent=5 cause=rollout_started reason=manual actor={ADMIN}
111 0 status=rolling_out percent=30 cause=stepped reason=manual actor=0x{}
",
                "0".repeat(40)
            ),
        ),
        ("overrides top", format!("{USER} enabled=true since=101 actor={ADMIN}\n")),
        ("overrides base", String::new()),
        ("roles", format!("{ADMIN} roles=admin\n0x{} roles=operator,guardian\n", "2".repeat(40))),
        (
            "schedule",
            format!("200 1 actor={ADMIN} commands.0.op=rollback commands.0.name=top commands.0.reason=manual\n"),
        ),
        (
            "global",
            "\
chain example-1
admins 1
breaker none
next_schedule_id 2
rollback_window_start 0
rollbacks_in_window 0
max_due_per_block 1000
breaker_rollbacks 0
breaker_window 0
"
            .into(),
        ),
        ("stale", "top status=enabled percent=100 lifetime=release expires_at=120\n".into()),
        ("stale --at 119", String::new()),
    ] {
        world.golden(&format!("show canary.json {args}"), 0, &out, "");
    }
    world.golden(
        "show canary.json features --format json --at 100",
        0,
        "{\"name\":\"base\",\"status\":\"canary\",\"percent\":5}\n",
        "",
    );
    for what in ["feature", "metrics", "history", "overrides"] {
        world.fails(&format!("show canary.json {what} nobody"), 2, "canary.json: there is no feature nobody");
    }

    let (other, nobody) = (format!("0x{}", "4".repeat(40)), format!("0x{}", "0".repeat(40)));
    for (args, why) in [
        (
            format!("base {other}"),
            "on false\ndecided_by base\nis_prerequisite false\nwhy bucket\nbucket 8307\nshare 5500\n",
        ),
        (
            format!("base {nobody}"),
            "on true\ndecided_by base\nis_prerequisite false\nwhy bucket\nbucket 3844\nshare 5500\n",
        ),
        (
            format!("top {other}"),
            "on false\ndecided_by base\nis_prerequisite true\nwhy bucket\nbucket 8307\nshare 5500\n",
        ),
        (format!("top {nobody}"), "on true\ndecided_by top\nis_prerequisite false\nwhy status\nstatus enabled\n"),
        (
            format!("top {USER} --at 200"),
            "on false\ndecided_by top\nis_prerequisite false\nwhy status\nstatus rolled_back\n",
        ),
        (format!("top {USER} --at 151"), "on true\ndecided_by top\nis_prerequisite false\nwhy override\n"),
        (format!("none {USER}"), "on false\ndecided_by none\nis_prerequisite false\nwhy unknown\n"),
    ] {
        let (out, _) = world.check(&format!("check canary.json {args}"), 0);
        assert!(out.contains(why), "check {args}\n{out}");
    }
}

/// An item of each state, an open put, and messages that do nothing.
const FEED: &str = r#"{
  "format": "coalmine-blocks/1",
  "genesis": { "roles": { "0x1111111111111111111111111111111111111111": ["admin"] } },
  "blocks": [
    { "height": 1,
      "txs": [
        { "op": "feed_put", "environments": { "b": { "version": 2, "body": "" }, "a": { "version": 1, "body": "ff00" } }, "filters": { "f": { "version": 1, "body": "aa" } } },
        { "commands": [ { "op": "feed_patch", "kind": "filter", "id": "f", "version": 2, "body": "bb" }, { "op": "feed_delete", "kind": "environment", "id": "gone", "version": 7 } ] },
        { "op": "feed_put", "part": "last" },
        { "op": "feed_put", "part": "first", "environments": { "a": { "version": 0, "body": "" } } }
      ],
      "expect": { "feed": { "environments": { "a": { "version": 1, "state": "live", "body": "ff00" }, "never": null, "no id": null }, "filters": { "f": { "version": 2 } } } } },
    { "height": 2, "txs": [ { "op": "feed_put", "filters": { "f": { "version": 2, "body": "" } } } ] }
  ]
}"#;

#[test]
fn the_feed_is_told() {
    let world = World::new();
    world.write("feed.json", FEED);
    let receipts = "\
1 receipt 0 ok
1 receipt 1 ok notes.0.kind=filter notes.0.id=f notes.0.action=noop notes.1.kind=environment notes.1.id=gone notes.1.action=noop
1 receipt 2 feed_put_not_open command=0
1 receipt 3 ok notes.0.kind=environment notes.0.id=a notes.0.action=noop
1 event feed_insert kind=environment id=a version=1
1 event feed_insert kind=environment id=b version=2
1 event feed_insert kind=filter id=f version=1
1 event feed_received_all
";
    world.golden("run feed.json --receipts --events --quiet --until 1", 0, receipts, "");
    let (json, _) = world.check("run feed.json --receipts --quiet --until 1 --format json", 0);
    let note = r#"{"height":1,"type":"receipt","tx":3,"result":"ok","notes":[{"kind":"environment","id":"a","action":"noop"}]}"#;
    assert_eq!(json.lines().nth(3), Some(note));
    assert_eq!(json.lines().next(), Some(r#"{"height":1,"type":"receipt","tx":0,"result":"ok"}"#));
    let open = "\
open=true live_environments=2 live_filters=1 environments=3 filters=1 listed=1
environment a version=1 state=live body=ff00
environment b version=2 state=live body=\"\"
environment gone version=7 state=deleted body=\"\"
filter f version=2 state=live body=aa
";
    world.golden("show feed.json feed --at 1", 0, open, "");
    let filter = "{\"kind\":\"filter\",\"id\":\"f\",\"version\":2,\"state\":\"live\",\"body\":\"aa\"}\n";
    assert!(world.check("show feed.json feed --format json", 0).0.ends_with(filter));
    world.check("dump feed.json -o after.dump", 0);
    world.fails("show after.dump feed --at 1", 2, "cannot be told");

    world.write(
        "before.json",
        FEED.replace("\"filters\": { \"f\": { \"version\": 2, \"body\": \"\" } }", "\"part\": \"more\""),
    );
    let differences = "\
~ feed open: true -> false, live_environments: 2 -> 0, listed: 1 -> 0
~ feed_item environment a state: live -> forgotten, body: ff00 -> \"\"
~ feed_item environment b state: live -> forgotten
~ feed_item environment gone state: deleted -> forgotten
- feed_index environment a
- feed_index environment b
- feed_index environment gone
- feed_listed environment a
";
    world.golden("diff before.json after.dump", 1, differences, "8 records differ");
    world.check("convert feed.json feed.blocks", 0);
    assert_eq!(world.root("feed.blocks"), world.root("feed.json"));

    let wrong = FEED
        .replace(r#""state": "live", "body": "ff00" }"#, r#""state": "deleted", "body": "ff01" }"#)
        .replace(r#""filters": { "f": { "version": 2 } }"#, r#""filters": { "f": null, "g": { "version": 9 } }"#);
    world.write("wrong.json", wrong);
    let (_, told) = world.check("run wrong.json --quiet", 1);
    let told: Vec<&str> =
        told.lines().filter_map(|line| line.split_once(": block 1: ")).map(|(_, told)| told).collect();
    let expected = [
        "feed.environments.a.state: expected deleted, got live",
        "feed.environments.a.body: expected ff01, got ff00",
        "feed.filters.f: expected no record, got live",
        "feed.filters.g: expected a record, got none",
    ];
    assert_eq!(told, expected);
    world.check("generate --features 3 --blocks 3 --txs-per-block 20 --mix feed=1 -o load.blocks", 0);
    let (summary, _) = world.check("run load.blocks", 0);
    assert!(summary.contains("rejected 0\n"), "{summary}");
}

#[test]
fn show_tells_of_plugins() {
    let world = World::new();
    let (code, other) = ("ab".repeat(32), "cd".repeat(32));
    let old = format!(
        "versions.0 version=1.0.0+linux status=active code_hash={code} registered=10 reported=0 requests=0 errors=0 \
         latency_sum=0 host=none requirements.0.plugin=lib requirements.0.constraint=\"^1\" config=\"\" metadata=none \
         health_bps=10000\n"
    );
    let app = "name app\ncurrent 1.0.0+linux\nprevious none\nrule none\nload_state unloaded\nloaded none\n";
    for (args, out) in [
        (
            "plugins",
            "\
app current=1.0.0 previous=none status=active canary=2.0.0 paused=false waiting=true share_bps=5000 stage=0 load_state=unloaded
lib current=1.2.0 previous=none status=none canary=none paused=false waiting=false share_bps=0 stage=0 load_state=loading
web current=1.0.0 previous=none status=none canary=none paused=false waiting=false share_bps=0 stage=0 load_state=unloaded
"
            .into(),
        ),
        ("plugins --at 9", String::new()),
        ("plugin app --at 10", format!("{app}deployments 0\ndependents 0\n{old}deployment none\n")),
        (
            "plugin app",
            format!(
                "{app}\
deployments 1
dependents 0
{old}\
versions.1 version=2.0.0 status=canary code_hash={other} registered=11 reported=11 requests=100 errors=5 latency_sum=700 \
host=none requirements.0.plugin=lib requirements.0.constraint=\"^1\" config=00ff metadata.0.key=team \
metadata.0.text=\"two words\" health_bps=7600
deployment.strategy custom
deployment.old 1.0.0+linux
deployment.new 2.0.0
deployment.status active
deployment.hold manual_gate
deployment.held none
deployment.healthy false
deployment.stage 0
deployment.share_bps 5000
deployment.stage_height 11
deployment.start 11
deployment.due 91
deployment.salt 47244640257
deployment.canary.requests 100
deployment.canary.errors 5
deployment.canary.latency_sum 700
deployment.production.requests 0
deployment.production.errors 0
deployment.production.latency_sum 0
deployment.stage_requests 100
deployment.stage_errors 5
deployment.plan.stages.0 share_bps=5000 blocks=4 min_requests=0 gate=manual
deployment.plan.stages.1 share_bps=10000 blocks=6 min_requests=0 gate=time
deployment.plan.error_threshold_bps 500
deployment.plan.success_threshold_bps 9500
deployment.plan.min_requests 100
deployment.plan.max_blocks 80
deployment.plan.auto_promote true
deployment.plan.auto_rollback true
deployment.plan.regression_z_centi 0
deployment.plan.on_complete promote
"
            ),
        ),
        (
            "plugin-history app",
            format!(
                "\
10 0 action=registered version=1.0.0+linux success=true share_bps=0 duration=0 reason=none actor={ADMIN}
11 0 action=registered version=2.0.0 success=true share_bps=0 duration=0 reason=none actor={ADMIN}
11 1 action=deployed version=2.0.0 success=true share_bps=5000 duration=0 reason=manual actor=0x{}
",
                "2".repeat(40)
            ),
        ),
        (
            "schedule",
            format!(
                "40 1 actor={ADMIN} commands.0.op=deploy commands.0.plugin=lib commands.0.version=1.2.0 \
                 commands.0.strategy=blue_green commands.0.health_blocks=60 commands.0.bake_blocks=60 \
                 commands.0.error_threshold_bps=500 commands.0.success_threshold_bps=0 commands.0.min_requests=50 \
                 commands.0.max_blocks=960 commands.0.auto_promote=true commands.0.auto_rollback=true \
                 commands.0.regression_z_centi=0 commands.1.op=unload commands.1.plugin=lib commands.1.force=false\n"
            ),
        ),
    ] {
        world.golden(&format!("show plugins.json {args}"), 0, &out, "");
    }
    for what in ["plugin", "plugin-history"] {
        world.fails(&format!("show plugins.json {what} nobody"), 2, "plugins.json: there is no plugin nobody");
        world.fails(&format!("show plugins.json {what} _bad"), 2, "a name is 1 to 64");
    }

    let json = |args: &str| -> serde_json::Value {
        let (out, _) = world.check(&format!("show plugins.json {args} --format json"), 0);
        serde_json::from_str(out.lines().next().unwrap()).unwrap()
    };
    let card = json("plugin app");
    assert_eq!(card["versions"][0]["requirements"], serde_json::json!([{ "plugin": "lib", "constraint": "^1" }]));
    assert_eq!(card["deployment"]["plan"]["stages"][1]["share_bps"], 10_000);
    assert_eq!(card["rule"], serde_json::Value::Null);
    assert_eq!(json("plugins")["canary"], "2.0.0");
    assert_eq!(json("plugin-history app")["action"], "registered");

    // A dump knows the history of the past, and nothing else of it.
    world.check("dump plugins.json -o plugins.dump", 0);
    let past = world.check("show plugins.json plugin-history app --at 10", 0).0;
    assert_eq!(past.lines().count(), 1);
    world.golden("show plugins.dump plugin-history app --at 10", 0, &past, "");
    for what in ["plugins", "plugin app"] {
        world.fails(&format!("show plugins.dump {what} --at 10"), 2, "cannot be told");
        let now = world.check(&format!("show plugins.json {what}"), 0).0;
        world.golden(&format!("show plugins.dump {what} --at 20"), 0, &now, "");
    }
}

#[test]
fn route_and_plan_answer() {
    let world = World::new();
    world.check("dump plugins.json -o plugins.dump", 0);
    for source in ["plugins.json", "plugins.dump"] {
        for (args, out) in [
            ("app 0x00", "plugin app\nunit 0x00\nversion 2.0.0\nbucket 698\nshare_bps 5000\nheight 20\n"),
            ("app 0x01", "plugin app\nunit 0x01\nversion 1.0.0+linux\nbucket 9069\nshare_bps 5000\nheight 20\n"),
            (
                "app order-4711",
                "plugin app\nunit 0x6f726465722d34373131\nversion 2.0.0\nbucket 3861\nshare_bps 5000\nheight 20\n",
            ),
            ("web 0x", "plugin web\nunit 0x\nversion 1.0.0\nbucket none\nshare_bps none\nheight 20\n"),
        ] {
            world.golden(&format!("route {source} {args}"), 0, out, "");
        }
        for (args, out) in [
            ("app", "app version=1.0.0+linux load_state=pending\n"),
            ("lib", "refused already_loaded\nplugin lib\n"),
            ("web", "refused host_too_old\nplugin web\n"),
            ("nobody", "refused plugin_not_found\nplugin nobody\n"),
        ] {
            world.golden(&format!("plan {source} {args}"), 0, out, "");
        }
    }
    let before = "plugin app\nunit 0x00\nversion 1.0.0+linux\nbucket none\nshare_bps none\nheight 10\n";
    world.golden("route plugins.json app 0x00 --at 10", 0, before, "");
    world.golden(
        "route plugins.json app 0x00 --format json",
        0,
        "{\"plugin\":\"app\",\"unit\":\"0x00\",\"version\":\"2.0.0\",\"bucket\":698,\"share_bps\":5000,\"height\":20}\n",
        "",
    );
    let both = "lib version=1.2.0 load_state=loading\napp version=1.0.0+linux load_state=pending\n";
    world.golden("plan plugins.json app --at 10", 0, both, "");
    world.golden("plan plugins.json web --format json", 0, "{\"refused\":\"host_too_old\",\"plugin\":\"web\"}\n", "");

    world.fails("route plugins.json nobody 0x00", 2, "plugins.json: there is no plugin nobody");
    world.fails("route plugins.json app 0x0", 2, "Odd number of digits");
    world.fails("route plugins.json app 0xzz", 2, "Invalid character 'z' at position 0");
    world.fails("route plugins.json _bad 0x00", 2, "a name is 1 to 64");
    world.fails("route plugins.json app", 2, "<UNIT>");
    world.fails("plan plugins.json _bad", 2, "a name is 1 to 64");
    world.fails("route missing.json app 0x00", 2, "missing.json: cannot be read");
    world.fails("plan missing.json app", 2, "missing.json: cannot be read");
    world.fails("route plugins.dump app 0x00 --at 11", 2, "plugins.dump: route as of height 11 cannot be told");
    world.fails("plan plugins.dump app --at 11", 2, "plugins.dump: plan as of height 11 cannot be told");
}

#[test]
fn every_expectation_on_plugins_that_fails_is_told() {
    let world = World::new();
    let expect = r#"{"plugins":{"app":{"current":"1.0.0+mac","previous":"0.9.0","status":"none","canary":null,"paused":true,"waiting":true,
        "share_bps":0,"stage":1,"load_state":"loaded","versions":{"1.0.0":"canary","2.0.0":null,"3.0.0":"failed","4.0.0":null}},"nobody":{}},
        "routes":[{"plugin":"app","unit":"0x00","version":"1.0.0"},{"plugin":"app","unit":"0x01","version":null},{"plugin":"nobody","unit":"0x","version":"1.0.0"}]}"#;
    let document: serde_json::Value = serde_json::from_str(PLUGINS).unwrap();
    let [genesis, blocks] = ["genesis", "blocks"].map(|key| document[key].clone());
    let lines: Vec<String> = [
        serde_json::json!({ "format": "coalmine-blocks/1", "genesis": genesis }),
        blocks[0].clone(),
        serde_json::json!({ "height": 11, "txs": blocks[1]["txs"] }),
        serde_json::json!({ "height": 12, "expect": serde_json::from_str::<serde_json::Value>(expect).unwrap() }),
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    world.write("wrong.jsonl", lines.join("\n"));
    let (_, err) = world.check("run wrong.jsonl", 1);
    let mut found: Vec<&str> = err.lines().filter_map(|line| line.strip_prefix("wrong.jsonl:4: block 12: ")).collect();
    let mut expected = [
        "plugins.app.previous: expected 0.9.0, got null",
        "plugins.app.status: expected none, got active",
        "plugins.app.canary: expected null, got 2.0.0",
        "plugins.app.paused: expected true, got false",
        "plugins.app.waiting: expected true, got false",
        "plugins.app.share_bps: expected 0, got 5000",
        "plugins.app.stage: expected 1, got 0",
        "plugins.app.load_state: expected loaded, got unloaded",
        "plugins.app.versions.1.0.0: expected canary, got active",
        "plugins.app.versions.2.0.0: expected not registered, got canary",
        "plugins.app.versions.3.0.0: expected failed, got not registered",
        "plugins.nobody: expected a plugin, got none",
        "routes.app.0x00: expected 1.0.0, got 2.0.0",
        "routes.app.0x01: expected null, got 1.0.0",
        "routes.nobody.0x: expected 1.0.0, got null",
    ];
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(err.contains("15 expectations failed"), "{err}");
}

#[test]
fn records_of_plugins_are_compared_and_proven() {
    let world = World::new();
    world.write("other.json", PLUGINS.replace("\"errors\": 5", "\"errors\": 6"));
    let (out, _) = world.check("diff plugins.json other.json", 1);
    let lines: Vec<&str> = out.lines().map(|line| line.split(" strategy=").next().unwrap()).collect();
    assert_eq!(
        lines,
        [
            "- deployment_due 91 app",
            "~ plugin_version app 2.0.0 status: canary -> failed, errors: 5 -> 6",
            "- deployment app",
            &format!(
                "+ plugin_change app 11 2 action=rolled_back version=2.0.0 success=false share_bps=5000 duration=0 \
                 reason=error_rate actor=0x{}",
                "0".repeat(40)
            ),
        ]
    );
    let (out, _) = world.check("bisect plugins.json other.json", 1);
    assert!(out.starts_with("height 11\ndiffer blocks,events,root\ntransaction 2\n"), "{out}");

    let root = world.root("plugins.json");
    for (name, proves) in
        [("app", "key d9617070\nis_present true\n"), ("nobody", "key d96e6f626f6479\nis_present false\nvalue none\n")]
    {
        world.golden(&format!("prove plugins.json plugin {name} -o proof.json"), 0, "", "");
        let (out, _) = world.check(&format!("verify-proof proof.json --root {root}"), 0);
        assert!(out.starts_with(&format!("root {root}\nproves plugin\nname {name}\n{proves}")), "{name}\n{out}");
    }
    let bundle: serde_json::Value = serde_json::from_str(&world.read("proof.json")).unwrap();
    for (key, value) in
        [("plugin", "app"), ("feature", "nobody"), ("user", USER), ("chain", "example-1"), ("kind", "feature")]
    {
        let mut changed = bundle.clone();
        changed[key] = serde_json::json!(value);
        world.write("changed.json", changed.to_string());
        world.check(&format!("verify-proof changed.json --root {root}"), 1);
    }
    for (key, proves) in [
        (
            "d9617070",
            "is_present true\nvalue 0b312e302e302b6c696e7578000000000002000000010000\nof.record plugin\nof.plugin app\n",
        ),
        ("d96e6f626f6479", "is_present false\nvalue none\nof.record plugin\nof.plugin nobody\nrecord none\n"),
        ("db617070", "of.record deployment\nof.plugin app\nrecord.strategy custom\n"),
        ("da03617070322e302e30", "of.record plugin_version\nof.plugin app\nof.version 2.0.0\nrecord.version 2.0.0\n"),
        ("dd006c6962", "value \"\"\nof.record dependent\nof.dependency host\nof.plugin lib\n"),
        ("d9", "is_present false\nvalue none\nof.record registry\nrecord none\n"),
    ] {
        world.golden(&format!("prove plugins.json key {key} -o proof.json"), 0, "", "");
        let (out, _) = world.check(&format!("verify-proof proof.json --root {root}"), 0);
        assert!(out.contains(&format!("key {key}\n")) && out.contains(proves), "{key}\n{out}");
    }
}

#[test]
fn dumps_are_sources_and_are_checked() {
    let world = World::new();
    world.golden("dump canary.json -o canary.dump", 0, "", "");
    let dump = world.read("canary.dump");
    let lines: Vec<&str> = dump.lines().collect();
    assert!(lines[0].starts_with("{\"format\":\"coalmine-dump/1\",\"height\":130,\"root\":\""), "{}", lines[0]);
    assert!(lines[1].starts_with("{\"key\":\"d062617365\",\"value\":\"00000004626173650000000974776f20776f726473"));
    assert!(lines[1..].is_sorted(), "keys rise");
    world.golden("dump canary.dump", 0, &dump, "");
    world.golden("diff canary.json canary.dump", 0, "", "");
    world.golden(
        "show canary.dump features --at 110",
        0,
        "base status=canary percent=5\ntop status=enabled percent=100\n".replace("canary", "rolling_out").as_str(),
        "",
    );
    world.golden("show canary.dump feature base --at 100", 0, "name base\nstatus canary\nrollout_percent 5\n", "");
    world.fails("show canary.dump feature top --at 100", 2, "top was created later");
    world.fails("show canary.dump features --at 131", 2, "it ends at height 130, before height 131");
    let old = format!("check canary.dump base {USER} --at 110");
    world.fails(&old, 2, "canary.dump: check as of height 110 cannot be told: a store or dump keeps");
    for what in ["metrics base", "overrides base", "roles", "schedule", "global", "stale"] {
        world.fails(&format!("show canary.dump {what} --at 110"), 2, "cannot be told");
        world.check(&format!("show canary.dump {what} --at 130"), 0);
    }

    let without = |line: usize| {
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| *line).collect();
        kept.join("\n")
    };
    let role = lines.iter().position(|line| line.contains("\"d62222")).unwrap();
    for (name, content, code, words) in [
        ("no-header.dump", without(0), 2, "no-header.dump:2:1: not valid JSON"),
        ("less.dump", without(role), 1, "its records have root"),
        ("orphan.dump", without(lines.iter().position(|line| line.contains("\"d162")).unwrap()), 3, "corrupt record"),
        ("twice.dump", dump.replace(lines[2], lines[1]), 2, "twice.dump:3: keys rise"),
        ("key.dump", dump.replace("\"d062617365\"", "\"0062617365\""), 2, "key.dump:2: this is no key of the state"),
        ("hex.dump", dump.replace("\"d062617365\"", "\"d06261736\""), 2, "hex.dump:2: key: wrong hex"),
        (
            "extra.dump",
            dump.replacen("{\"key\"", "{\"x\":1,\"key\"", 1),
            2,
            "extra.dump:2: column 4: unknown field `x`",
        ),
        ("format.dump", dump.replace("dump/1\"", "dump/1x\""), 2, "format.dump:1: unknown format"),
        (
            "value.dump",
            dump.replacen("d062617365\",\"value\":\"00000004", "d062617365\",\"value\":\"00000005", 1),
            3,
            "corrupt record under key d062617365",
        ),
        ("torn.dump", dump[..dump.len() - 9].into(), 2, "torn.dump"),
    ] {
        world.write(name, content);
        world.fails(&format!("show {name} features"), code, words);
    }
}

#[test]
fn diff_and_bisect_find_what_differs() {
    let world = World::new();
    let a = format!("{HEADER}\n{}", r#"{"height":1,"txs":[{"op":"create_feature","name":"f","description":"a"}]}"#);
    let b = a.replace("\"a\"", "\"b\"");
    let tail = |text: &str| format!("{text}\n{}\n", r#"{"height":5,"txs":[{"op":"enable","name":"f"}]}"#);
    world.write("a.jsonl", tail(&a));
    world.write("b.jsonl", tail(&b));
    world.write("short.jsonl", &a);
    world.write(
        "gaps.jsonl",
        format!("{a}\n{{\"height\":2}}\n{}\n{{\"height\":90}}\n", r#"{"height":5,"txs":[{"op":"enable","name":"f"}]}"#),
    );
    world.write("late.jsonl", format!("{a}\n{}\n", r#"{"height":6,"txs":[{"op":"enable","name":"f"}]}"#));
    world.write(
        "silent.jsonl",
        format!("{a}\n{}\n", r#"{"height":5,"txs":[{"op":"enable","name":"f"},{"op":"enable","name":"f"}]}"#),
    );
    world.write("genesis.jsonl", tail(&a).replace("example-1", "example-2"));

    world.golden("diff a.jsonl gaps.jsonl", 0, "", "");
    world.golden("diff a.jsonl b.jsonl", 1, "~ feature f description: a -> b\n", "1 record differs");
    world.golden(
        "diff short.jsonl a.jsonl",
        1,
        &format!(
            "~ feature f status: disabled -> enabled, rollout_percent: 0 -> 100\n\
             + change f 5 0 status=enabled percent=100 cause=enabled reason=manual actor={ADMIN}\n"
        ),
        "2 records differ",
    );
    let (json, _) = world.check("diff short.jsonl a.jsonl --format json", 1);
    let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["record"], "feature");
    assert_eq!(first["first"]["status"], "disabled");
    assert_eq!(first["differ"], serde_json::json!(["status", "rollout_percent"]));

    for (second, code, out) in [
        ("gaps.jsonl", 0, "height 5\ndiffer none\n".into()),
        ("b.jsonl", 1, "height 1\ndiffer blocks,root\ntransaction 0\nfirst_receipt ok\nsecond_receipt ok\n".into()),
        (
            "short.jsonl",
            1,
            "height 5\ndiffer blocks,receipts,events,root\ntransaction 0\nfirst_receipt ok\nsecond_receipt none\n"
                .into(),
        ),
        ("late.jsonl", 1, String::from("height 5\ndiffer blocks,receipts,events,root\n")),
        (
            "silent.jsonl",
            1,
            "height 5\ndiffer blocks,receipts\ntransaction 1\nfirst_receipt none\nsecond_receipt invalid_transition\n"
                .into(),
        ),
        ("genesis.jsonl", 1, "height none\ndiffer root\n".into()),
    ] {
        let (found, _) = world.check(&format!("bisect a.jsonl {second}"), code);
        assert!(found.starts_with(&out), "bisect a.jsonl {second}\n{found}");
    }
    let (found, _) = world.check("bisect a.jsonl b.jsonl", 1);
    assert!(found.ends_with("~ feature f description: a -> b\n"), "{found}");

    world.check("dump b.jsonl -o b.dump", 0);
    world.golden("bisect b.jsonl b.dump", 0, "height 5\ndiffer none\n", "");
    let (found, err) = world.check("bisect b.dump short.jsonl", 1);
    assert!(found.starts_with("height 5\ndiffer root\nhistories_differ_from 5\n"), "{found}");
    assert!(err.contains("keeps no roots of earlier heights"), "{err}");
    world.fails("bisect b.dump b.dump", 2, "compare two states with diff");
}

#[test]
fn proofs_hold_and_nothing_else_does() {
    let world = World::new();
    let root = world.root("canary.json");
    let nobody = format!("0x{}", "0".repeat(40));
    for (claim, proves) in [
        ("feature base".into(), "proves feature\nname base\nkey d062617365\nis_present true\n"),
        (
            "feature nothing".into(),
            "proves feature\nname nothing\nkey d06e6f7468696e67\nis_present false\nvalue none\n",
        ),
        ("key d4".into(), "proves key\nkey d4\nis_present true\n"),
        ("key d462".into(), "proves key\nkey d462\nis_present false\n"),
        // The index of active features has an empty value.
        ("key d862617365".into(), "proves key\nkey d862617365\nis_present true\nvalue \"\"\n"),
        (
            format!("is-enabled top {nobody}"),
            "on true\ndecided_by top\nis_prerequisite false\nwhy status\nstatus enabled\n",
        ),
        (format!("is-enabled top {USER}"), "why"),
        (format!("is-enabled nothing {USER}"), "on false\ndecided_by nothing\nis_prerequisite false\nwhy unknown\n"),
    ] {
        world.golden(&format!("prove canary.json {claim} -o proof.json"), 0, "", "");
        let (out, _) = world.check(&format!("verify-proof proof.json --root {root}"), 0);
        assert!(out.starts_with(&format!("root {root}\nproves ")) && out.contains(proves), "{claim}\n{out}");
        world.fails(&format!("verify-proof proof.json --root {}", "0".repeat(64)), 1, "it is about root");
    }

    // Whatever is changed in a bundle, it does not hold. The height alone is the prover's word.
    world.check(&format!("prove canary.json is-enabled top {USER} -o proof.json"), 0);
    let bundle: serde_json::Value = serde_json::from_str(&world.read("proof.json")).unwrap();
    let verify = |bundle: &serde_json::Value| {
        world.write("changed.json", bundle.to_string());
        world.run(&format!("verify-proof changed.json --root {root}")).status.code()
    };
    assert_eq!(verify(&bundle), Some(0));
    let count = bundle["proofs"].as_array().unwrap().len();
    assert_eq!(count, 7, "global, and three records of each of the two features");
    for key in bundle.as_object().unwrap().keys() {
        for value in [serde_json::json!(null), serde_json::json!("x"), serde_json::json!([])] {
            let mut changed = bundle.clone();
            changed[key] = value;
            let holds = key == "height" && changed[key].is_null();
            assert_eq!(verify(&changed), Some(if holds { 0 } else { 1 }), "{key}: {changed}");
        }
        let mut changed = bundle.clone();
        changed.as_object_mut().unwrap().remove(key);
        assert_eq!(verify(&changed), Some(1), "without {key}");
    }
    for index in 0..count {
        let mut changed = bundle.clone();
        let removed = changed["proofs"].as_array_mut().unwrap().remove(index);
        assert_eq!(verify(&changed), Some(1), "without proof {index}");
        changed["proofs"].as_array_mut().unwrap().extend([removed.clone(), removed]);
        assert_eq!(verify(&changed), Some(1), "with proof {index} twice");
        for (key, value) in [
            ("key", serde_json::json!("d0")),
            ("value", serde_json::json!("00")),
            ("proof", bundle["proofs"][(index + 1) % count]["proof"].clone()),
            ("more", serde_json::json!(1)),
        ] {
            let mut changed = bundle.clone();
            changed["proofs"][index][key] = value;
            assert_eq!(verify(&changed), Some(1), "{key} of proof {index}");
        }
    }
    for (key, value) in [("feature", "base"), ("user", &nobody), ("chain", "example-2"), ("kind", "feature")] {
        let mut changed = bundle.clone();
        changed[key] = serde_json::json!(value);
        assert_eq!(verify(&changed), Some(1), "{key}");
    }
    let mut changed = bundle.clone();
    changed["more"] = serde_json::json!(1);
    assert_eq!(verify(&changed), Some(1), "an unknown key");

    world.fails("verify-proof missing.json --root 00", 2, "a hash is 64");
    world.fails(&format!("verify-proof missing.json --root {root}"), 2, "cannot be read");
    world.fails("prove canary.json key xyz", 2, "invalid value");
}

#[test]
fn released_bundles_are_written_again() {
    let world = World::new();
    let fixtures = fs::canonicalize(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")).unwrap();
    let user = "0x000000000000000000000000000000000000000a";
    for (scenario, claim, file) in [
        ("overrides-and-prerequisites.json", "key d4", "key.json"),
        ("overrides-and-prerequisites.json", "key d462", "key-absent.json"),
        ("overrides-and-prerequisites.json", "feature wallet_v2", "feature.json"),
        ("overrides-and-prerequisites.json", "feature nothing", "feature-absent.json"),
        ("overrides-and-prerequisites.json", &format!("is-enabled checkout_v2 {user}"), "is-enabled.json"),
        ("overrides-and-prerequisites.json", &format!("is-enabled nothing {user}"), "is-enabled-absent.json"),
        ("plugin-auto-load.json", "plugin lib", "plugin.json"),
        ("plugin-auto-load.json", "plugin nothing", "plugin-absent.json"),
    ] {
        let released = fs::read_to_string(fixtures.join("proofs").join(file)).unwrap();
        let scenario = fixtures.join("scenarios").join(scenario);
        world.golden(&format!("prove {} {claim}", scenario.display()), 0, &released, "");
    }
}

#[test]
fn routes_are_proven() {
    let world = World::new();
    let root = world.root("plugins.json");
    for (plugin, unit, proves) in [
        ("app", "0x00", "unit 0x00\nversion 2.0.0\n"),
        ("app", "0x01", "unit 0x01\nversion 1.0.0+linux\n"),
        ("lib", "order-4711", "unit 0x6f726465722d34373131\nversion 1.2.0\n"),
        ("nobody", "0x00", "unit 0x00\nversion none\n"),
    ] {
        world.golden(&format!("prove plugins.json route {plugin} {unit} -o proof.json"), 0, "", "");
        let expected = format!("root {root}\nproves route\nchain example-1\nplugin {plugin}\n{proves}");
        world.golden(&format!("verify-proof proof.json --root {root}"), 0, &expected, "");
    }
    let bundle: serde_json::Value = serde_json::from_str(&world.read("proof.json")).unwrap();
    for (key, value) in [("plugin", "app"), ("unit", "0x00"), ("user", USER), ("chain", "other"), ("kind", "plugin")] {
        let mut changed = bundle.clone();
        changed[key] = serde_json::json!(value);
        world.write("changed.json", changed.to_string());
        world.check(&format!("verify-proof changed.json --root {root}"), 1);
    }
    world.fails("prove plugins.json route app 0xa", 2, "invalid value");
}

#[test]
fn generated_workloads_are_reproducible_and_run() {
    let world = World::new();
    let args = "generate --features 20 --users 50 --blocks 10 --txs-per-block 200 --seed 7";
    for form in ["json", "jsonl", "blocks"] {
        world.golden(&format!("{args} -o load.{form}"), 0, "", "");
    }
    world.check(&format!("{args} -o again.blocks"), 0);
    let bytes = fs::read(world.path("load.blocks")).unwrap();
    assert_eq!(bytes, fs::read(world.path("again.blocks")).unwrap());
    assert_eq!(crc32c::crc32c(&bytes), GENERATED, "the bytes of a seed stay the same for ever");
    let (json, _) = world.check("run load.json", 0);
    assert_eq!(json, world.check("run load.blocks", 0).0);
    assert_eq!(json, world.check("run load.jsonl", 0).0);
    assert!(json.starts_with("height 11\nblocks 11\ntransactions 2003\n"), "{json}");
    world.check("verify load.jsonl", 0);
    world.check(&format!("{args} --seed 8 -o other.blocks"), 2);

    let (jsonl, _) = world.check("generate --features 1 --blocks 1 --txs-per-block 3 --mix success=1", 0);
    assert_eq!(jsonl.matches("\"successes\":1").count(), 3, "{jsonl}");
    // Plugins are registered, deployed, reported, promoted and rolled back.
    let args = "generate --features 5 --blocks 60 --txs-per-block 40 --seed 3 \
                --mix version_success=80,version_error=3,deploy=10,register=2,health=5";
    world.check(&format!("{args} -o plugins.blocks"), 0);
    world.check(&format!("{args} -o plugins.jsonl"), 0);
    let (events, _) = world.check("run plugins.blocks --events --quiet", 0);
    assert_eq!(events, world.check("run plugins.jsonl --events --quiet", 0).0);
    for event in ["deployed", "staged", "promoted", "concluded", "deployment_rolled_back", "health_attested"] {
        assert!(events.contains(&format!(" event {event} ")), "{event}");
    }
    world.check("verify plugins.blocks", 0);
    for (mix, words) in [
        ("succes=1", "unknown kind \"succes\"; there are success, error"),
        ("success", "is not KIND=WEIGHT"),
        ("success=-1", "is not KIND=WEIGHT"),
        ("success=0", "at least one weight is not 0"),
    ] {
        world.fails(&format!("generate --mix {mix}"), 2, words);
    }
    world.fails("generate --features 0", 2, "0 is not in 1..=1000000");
    world.fails("generate --txs-per-block 65537", 2, "65537 is not in 0..=65536");
    world.fails("generate -o load.txt", 2, "ends in .json, .jsonl or .blocks");
}

/// The checksum of a generated file.
const GENERATED: u32 = 3_123_770_554;

#[test]
fn a_closed_standard_output_ends_the_tool_quietly() {
    let world = World::new();
    world.check("generate --blocks 5 --txs-per-block 5000 -o load.blocks", 0);
    let mut child = world
        .command("run load.blocks --receipts --quiet")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_ends_a_run_after_the_block_in_hand() {
    let world = World::new();
    let mut child =
        world.command("run -").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{HEADER}\n{{\"height\":1}}").unwrap();
    let status = |field: &str| {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned();
        u64::from_str_radix(&value, 16).unwrap()
    };
    const SIGINT: u64 = 1 << 1;
    while status("SigCgt:") & SIGINT == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    // Blocks come until the run takes no more of them; without the signal it would take all.
    let last = (2..500).find(|height| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        writeln!(input, "{{\"height\":{height}}}").is_err()
    });
    assert!(last.is_some(), "the run went on");
    drop(input);
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{out}");
    let height: u32 = out.lines().next().unwrap().strip_prefix("height ").unwrap().parse().unwrap();
    assert!(height < last.unwrap() && out.lines().nth(1).unwrap() == format!("blocks {height}"), "{out}");
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

#[cfg(feature = "rocksdb")]
mod rocksdb {
    use super::*;

    #[test]
    fn a_run_continues_where_the_store_stands() {
        let world = World::new();
        let root = world.root("canary.json");
        let (out, _) = world.check("run canary.json --store rocksdb:s --until 110", 0);
        assert!(out.starts_with("height 110\nblocks 2\n"), "{out}");
        let (out, err) = world.check("run canary.json --store rocksdb:s --root-every 3", 0);
        assert!(
            out.contains("125 root ")
                && out.contains(&format!(
                    "height 130\nblocks 1\ntransactions 0\nok 0\nrejected 0\nevents 2\nroot {root}\n"
                )),
            "{out}"
        );
        assert!(err.contains("rocksdb:s: 2 blocks skipped, the store is at height 110"), "{err}");
        let (out, err) = world.check("run canary.json --store rocksdb:s", 0);
        assert!(out.starts_with("height 130\nblocks 0\n"), "{out}");
        assert!(err.contains("3 blocks skipped"), "{err}");
        let (out, _) = world.check("run canary.json --store rocksdb:s --until 120", 0);
        assert!(out.starts_with("height 130\nblocks 0\n"), "nothing is taken back: {out}");

        // Blocks that are not those of the store, and a file that begins above it.
        world.write("other.json", CANARY.replace("two words", "three words"));
        world.fails("run other.json --store rocksdb:s", 1, "they are not its blocks");
        world.write("next.jsonl", format!("{HEADER}\n{{\"height\":500}}\n"));
        world.check("run next.jsonl --store rocksdb:s", 0);
        world.fails("run next.jsonl --store rocksdb:s", 1, "name every file from the genesis on");
        world.write("chain.jsonl", format!("{}\n{{\"height\":600}}\n", HEADER.replace("example-1", "x")));
        world.fails(
            "run chain.jsonl --store rocksdb:s",
            1,
            "the store is of chain \"example-1\", the files are of \"x\"",
        );
    }

    #[test]
    fn stores_are_verified_dumped_and_restored() {
        let world = World::new();
        let root = world.root("canary.json");
        world.check("run canary.json --store rocksdb:s", 0);
        let (out, _) = world.check("verify-store rocksdb:s", 0);
        assert!(out.starts_with(&format!("height 130\nroot {root}\nrecords ")), "{out}");
        world.check(&format!("verify-store rocksdb:s --expect 130:{root}"), 0);
        world.fails(&format!("verify-store rocksdb:s --expect 131:{root}"), 1, "expected height 131");
        world.fails(&format!("verify-store rocksdb:s --expect 130:{}", "0".repeat(64)), 1, "expected height 130");
        world.fails("verify-store rocksdb:s --expect 130", 2, "write HEIGHT:ROOT");
        world.fails("verify-store canary.json", 2, "verify-store reads rocksdb:PATH");

        world.check("dump rocksdb:s -o s.dump", 0);
        assert_eq!(world.read("s.dump"), world.check("dump canary.json", 0).0);
        let (out, _) = world.check("restore s.dump rocksdb:t", 0);
        assert!(out.starts_with(&format!("height 130\nroot {root}\n")), "{out}");
        world.golden("diff rocksdb:s rocksdb:t", 0, "", "");
        world.fails("restore s.dump rocksdb:t", 2, "rocksdb:t: this folder is not empty");
        world.fails("restore s.dump memory", 2, "restore writes to rocksdb:PATH");
        world.write("bad.dump", world.read("s.dump").replace(&root, &"0".repeat(64)));
        world.fails("restore bad.dump rocksdb:u", 1, "its records have root");
        assert!(!world.path("u").exists(), "a dump that is refused leaves nothing behind");
        world.check("run canary.json --store rocksdb:t --until 200", 0);

        for args in ["features", "feature base", "metrics base", "history base", "roles", "schedule", "global", "stale"]
        {
            let expected = world.check(&format!("show canary.json {args}"), 0).0;
            assert_eq!(world.check(&format!("show rocksdb:s {args}"), 0).0, expected, "{args}");
        }
        world.golden("show rocksdb:s features --at 100", 0, "base status=canary percent=5\n", "");
        world.fails(&format!("check rocksdb:s base {USER} --at 100"), 2, "cannot be told");
        world.check(&format!("prove rocksdb:s is-enabled top {USER} -o proof.json"), 0);
        world.check(&format!("verify-proof proof.json --root {root}"), 0);
        let (out, _) = world.check("bisect canary.json rocksdb:s", 0);
        assert_eq!(out, "height 130\ndiffer none\n");
        world.check("bisect rocksdb:t canary.json", 0);

        let (out, _) = world.check("verify canary.json", 0);
        assert!(out.ends_with("runs=memory,rocksdb,rocksdb-reopened\n"), "{out}");
    }

    #[test]
    fn a_store_that_fails_gives_exit_code_3() {
        let world = World::new();
        world.fails("show rocksdb:missing features", 3, "there is no store here");
        world.fails("verify-store rocksdb:canary.json", 3, "not a folder");
        world.check("run canary.json --store rocksdb:s", 0);
        let log = log_of(&world.path("s"));
        let mut bytes = fs::read(&log).unwrap();
        bytes[20] ^= 1;
        fs::write(&log, bytes).unwrap();
        let (_, err) = world.check("verify-store rocksdb:s", 3);
        assert!(err.contains("RocksDB store s"), "{err}");
    }

    /// The log that holds the records of a store.
    fn log_of(folder: &std::path::Path) -> PathBuf {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let logs = files.filter(|path| path.extension().is_some_and(|ext| ext == "log"));
        logs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    }
}
