//! `help ops`, `schema`, `encode`, `decode`, `completions` and `man`.

use coalmine_core::CommandKind;
use serde_json::Value;

use super::*;

#[test]
fn help_shows_an_op_in_full() {
    let world = World::new();
    let (page, _) = world.check("help ops start_rollout", 0);
    for part in [
        "start_rollout name target_percent\n  Lets a canary grow to a target, step by step. The trial goes on.\n",
        "\nSent by: operator; admin may send everything\nMay be scheduled: yes\n",
        "\n  target_percent  integer, 0 to 100 (required)\n                  percent at which it ends\n",
        "\n  target         above the percent of the canary, or 100 -> invalid_percent\n",
        "\n  error_rate_exceeded      the error rate of this trial is above max_error_rate;",
        "\nEvents: status_changed\n\nExample:\n  {\"op\":\"start_rollout\",\"name\":\"search_v3\",\"target_percent\":100}\n",
    ] {
        assert!(page.contains(part), "{part:?} is not in:\n{page}");
    }
    // The checks stand in their order.
    let checks = page.split_once("\nChecks, ").unwrap().1;
    let places: Vec<Option<usize>> = [
        "signer",
        "price",
        "name ",
        "percent ",
        "wait",
        "existence",
        "breaker",
        "status",
        "prerequisites",
        "successes",
    ]
    .iter()
    .map(|guard| checks.find(&format!("\n  {guard:13}")))
    .collect();
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?}\n{page}");

    for (op, parts) in [
        (
            "create_feature",
            &[
                "[policy]",
                "increment_blocks   integer, 1 to 4294967295 (default 8640)",
                "min_samples             integer, 0 to 4294967295 (default 10)",
                "prerequisites           list of names, at most 16 names (default [])",
            ][..],
        ),
        (
            "configure_feature",
            &["max_error_rate     integer, 0 to 10000 (left as it is by default)", "(left as it is by default)"],
        ),
        (
            "deploy",
            &[
                "strategy  canary | rolling | blue_green | ab_test | custom (required)",
                "Fields of strategy ab_test:",
                "duration_blocks  integer, 0 to 4294967295 (default 8640)",
                "error_threshold_bps    integer, 0 to 10000 (default: canary=100 rolling=500 blue_green=500",
                "Fields of a stage:",
                "gate          time | manual | health (default \"time\")",
            ],
        ),
        (
            "report",
            &[
                "trial               integer, 0 to 4294967295 (by default whichever is current)",
                "Sent by: reporter; admin",
            ],
        ),
        ("grant_role", &["Sent by: admin\n", "role     admin | operator | reporter | guardian | feeder (required)"]),
        ("feed_put", &["Fields of an item:", "part          only | first | more | last (default \"only\")"]),
        ("record_error", &["record_error name [count] [latency]", "count    integer, 0 to 4294967295 (default 1)"]),
        ("reset_breaker", &["Fields: none"]),
    ] {
        let (page, _) = world.check(&format!("help ops {op}"), 0);
        for part in parts {
            assert!(page.contains(part), "{part:?} is not in:\n{page}");
        }
    }
    world.fails("help ops start_canery", 2, "there is no op \"start_canery\"; the nearest is start_canary");
    world.fails("help ops x", 2, "there is no op \"x\"; help ops lists all of them");
}

#[test]
fn help_lists_every_op() {
    let world = World::new();
    let (text, _) = world.check("help ops", 0);
    let (json, _) = world.check("help ops --format json", 0);
    let objects: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), CommandKind::ALL.len() + 3);
    for object in objects {
        let op = object["op"].as_str().unwrap();
        assert!(
            text.contains(&format!("\n{op} ")) || text.contains(&format!("\n{op}\n")) || text.starts_with(op),
            "{op}"
        );
        assert_eq!((object["type"].as_str(), object["example"]["op"].as_str()), (Some("op"), Some(op)));
        assert!(
            object["checks"].as_array().unwrap().len() > 1 && !object["about"].as_str().unwrap().is_empty(),
            "{op}"
        );
        for field in object["fields"].as_array().unwrap().iter().flat_map(|group| group["fields"].as_array().unwrap()) {
            let about = field["about"].as_str().unwrap();
            assert!(!about.is_empty() && !about.ends_with('.'), "{op}: {field}");
        }
        // What the table says of examples holds.
        encoded(&world, &object["example"].to_string(), "--bare");
    }
    let (help, _) = world.check("help", 0);
    assert!(help.contains("Usage: replay ") && help.contains("\n  encode "), "{help}");
    assert_eq!(help, world.check("--help", 0).0);
    let (help, _) = world.check("help show feature", 0);
    assert!(help.contains("Usage: replay show <SOURCE> feature"), "{help}");
    let (help, _) = world.check("help run --format json", 0);
    let help: Value = serde_json::from_str(&help).unwrap();
    assert_eq!((&help["type"], &help["command"]), (&"help".into(), &"run".into()));
    world.fails("help frobnicate", 2, "there is no command \"frobnicate\"; help lists all of them");
}

const FOO: &str = "11111111111111111111111111111111111111110100050f03666f6f";

#[test]
fn what_is_encoded_is_decoded() {
    let world = World::new();
    for op in coalmine_json::Op::all() {
        let bytes = encoded(&world, op.example(), &format!("--signer {ADMIN}"));
        let (json, _) = world.check(&format!("decode {bytes} --format json"), 0);
        let decoded: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(decoded["size"], bytes.len() / 2);
        assert_eq!(decoded["signer"], ADMIN);
        let again = encoded(&world, &decoded["commands"][0]["command"].to_string(), &format!("--signer {ADMIN}"));
        assert_eq!(again, bytes, "{}", op.name());
    }
    world.write("txs.json", format!("[{{\"op\":\"enable\",\"name\":\"foo\"}},\n{{\"op\":\"disable\",\"name\":\"foo\",\"signer\":\"{USER}\",\"repeat\":2}}]\n"));
    let (hex, _) = world.check(&format!("encode txs.json --signer {ADMIN} --sequence 7 --valid-until 9"), 0);
    let lines: Vec<&str> = hex.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], FOO.replace("0100050f", "8100000000000000070000000900050f"));
    assert!(lines[1].contains("000000000000000800000009") && lines[2].contains("000000000000000900000009"), "{hex}");
    world.write("txs.hex", &hex);
    let (text, _) = world.check("decode txs.hex", 0);
    assert!(
        text.contains(
            "line 2\nsize 40\nsigner 0x00000000000000000000000000000000000000aa\nsequence 8\nvalid_until 9\n"
        ),
        "{text}"
    );
    let (base64, _) = world.check(&format!("encode txs.json --signer {ADMIN} --to base64"), 0);
    world.write("txs.base64", &base64);
    assert!(
        world.check("decode txs.base64 --from base64", 0).0.contains("commands.0 offset=23 size=5 command.op=enable")
    );
    world.write("marked.json", "\u{feff}{\"op\":\"enable\",\"name\":\"foo\"}");
    world.golden("encode marked.json --bare", 0, "0f03666f6f\n", "");
    let (json, _) = world.check("encode {\"op\":\"enable\",\"name\":\"foo\"} --bare --format json", 0);
    assert_eq!(json, "{\"type\":\"encoded\",\"op\":\"enable\",\"size\":5,\"bytes\":\"0f03666f6f\"}\n");

    let foo = "size 28\nsigner 0x1111111111111111111111111111111111111111\nsequence none\nvalid_until none\n\
               commands.0 offset=23 size=5 command.op=enable command.name=foo reject=none\nmalformed none\n";
    let base64 = encoded(&world, r#"{"op":"enable","name":"foo"}"#, &format!("--signer {ADMIN} --to base64"));
    assert!(base64.ends_with('='));
    let unpadded = base64.trim_end_matches('=').to_owned();
    for bytes in [FOO.to_owned(), format!("0x{FOO}"), FOO.to_uppercase(), base64, unpadded] {
        world.golden(&format!("decode {bytes}"), 0, foo, "");
    }
    let mut command = world.command("decode -");
    world.write("stdin", format!("\n {FOO} \n"));
    let output = command.stdin(fs::File::open(world.path("stdin")).unwrap()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), foo);
    // The values of a command may break a rule; that is shown, and no error.
    let (text, _) = world.check("decode --bare 0c016165", 0);
    assert!(text.contains("command.percent=101 reject=invalid_percent"), "{text}");
}

#[test]
fn what_cannot_be_encoded_or_decoded_is_refused() {
    let world = World::new();
    world.write("bad.json", "[{\"op\":\"enable\",\"name\":\"foo\"},\n {\"op\":\"enable\",\"name\":7}]");
    world.write("empty.json", " \n");
    for (args, words) in [
        (
            "encode {\"op\":\"enable\",\"name\":\"a\"}",
            "argument:1:1: \"signer\" is missing; write it, or name one with --signer",
        ),
        (&format!("encode bad.json --signer {ADMIN}"), "bad.json:2:24: name: expected a string, found a number"),
        ("encode bad.json --bare", "bad.json:2:24: name: expected a string, found a number"),
        ("encode empty.json --bare", "empty.json: there is nothing to encode"),
        ("encode nowhere.json --bare", "nowhere.json: cannot be read"),
        (
            "encode {\"op\":\"start_canary\",\"name\":\"a\",\"percent\":101} --bare",
            "argument:1:1: invalid_percent: the percent is above 100",
        ),
        (
            &format!("encode {{\"op\":\"start_canary\",\"name\":\"a\",\"percent\":101}} --signer {ADMIN}"),
            "argument: transaction 0: command 0, start_canary: invalid_percent: the percent is above 100",
        ),
        (
            &format!(
                "encode {{\"op\":\"create_feature\",\"name\":\"a\",\"description\":\"\",\"policy\":{{\"prerequisites\":[\"b\",\"b\"]}}}} --signer {ADMIN}"
            ),
            "argument: transaction 0: malformed: at byte 86: set not strictly ascending, in the field policy",
        ),
        (
            "encode {\"op\":\"create_feature\",\"name\":\"a\",\"description\":\"\",\"policy\":{\"prerequisites\":[\"b\",\"b\"]}} --bare",
            "argument:1:1: policy: set not strictly ascending",
        ),
        (
            &format!("encode {{\"commands\":[]}} --signer {ADMIN}"),
            "malformed: at byte 20: a transaction has 1 to 16 commands, not 0",
        ),
        ("encode {\"op\":\"enable\"", "argument:1:15: not valid JSON: EOF"),
        ("encode {} --bare --signer 0x1111111111111111111111111111111111111111", "cannot be used with"),
        ("encode {} --valid-until 7", "--sequence"),
        ("decode zz", "argument: it is not hex or base64"),
        ("decode 123 --from hex", "argument: it is not hex: Odd number of digits"),
        ("decode empty.json", "empty.json: there is nothing to decode"),
    ] {
        world.fails(args, 2, words);
    }
    for (bytes, shown, problem) in [
        (
            FOO.replace("050f", "05ff"),
            "commands none\nmalformed.offset 24\nmalformed.reason \"unknown tag\"\nmalformed.field none\n",
            "argument: malformed: at byte 24: unknown tag",
        ),
        (FOO[..54].into(), "malformed.offset 23\n", "at byte 23: the input ends too early"),
        (
            format!("{FOO}00"),
            "commands.0 offset=23 size=5 command.op=enable command.name=foo reject=none\nmalformed.offset 28\n",
            "at byte 28: bytes are left over",
        ),
        ("1111".into(), "size 2\ncommands none\nmalformed.offset 0\n", "at byte 0: the input ends too early"),
    ] {
        let (out, err) = world.check(&format!("decode {bytes}"), 2);
        assert!(out.contains(shown) && err.contains(problem), "{bytes}\n{out}\n{err}");
    }
    let (out, err) = world.check("decode --bare 0c016105ff --format json", 2);
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["malformed"], serde_json::json!({ "offset": 4, "reason": "bytes are left over", "field": null }));
    assert!(err.contains("\"type\":\"error\""), "{err}");
}

#[test]
fn the_schema_is_written() {
    let world = World::new();
    let (pretty, _) = world.check("schema", 0);
    let (compact, _) = world.check("schema --format json -o schema.json", 0);
    assert_eq!(compact, "");
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(read(&pretty), read(&world.read("schema.json")));
    assert_eq!(world.read("schema.json").lines().count(), 1);
    let percent = &read(&pretty)["definitions"]["start_canary"]["properties"]["percent"];
    assert_eq!(percent["description"], "integer: percent of users for whom it is on; 0 to 100");
    let blocks = &read(&pretty)["definitions"]["create_feature"]["properties"]["increment_blocks"];
    assert_eq!(blocks["default"], 8640);
}

#[test]
fn shells_and_readers_of_manuals_are_served() {
    let world = World::new();
    for (shell, words) in [
        ("bash", "complete -F _replay"),
        ("zsh", "#compdef replay"),
        ("fish", "complete -c replay"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion"),
    ] {
        let (script, _) = world.check(&format!("completions {shell}"), 0);
        assert!(script.contains(words) && script.contains("bisect"), "{shell}");
    }
    world.check("completions bash -o script.bash", 0);
    let script = "source script.bash; COMP_WORDS=(replay show canary.json hist); COMP_CWORD=3; \
                  _replay replay hist canary.json; echo ${COMPREPLY[@]}";
    match Command::new("bash").args(["-c", script]).current_dir(world.folder.path()).output() {
        Ok(output) => assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "history"),
        Err(error) => eprintln!("SKIPPED: there is no bash: {error}"),
    }
    world.fails("completions tcsh", 2, "possible values: bash, elvish, fish, powershell, zsh");

    world.check("man pages/man1", 0);
    let page = world.read("pages/man1/replay-what.1".replace("what", "encode").as_str());
    assert!(page.contains(".TH replay") && page.contains("\\-\\-sequence"), "{page}");
    let (help, _) = world.check("help", 0);
    for command in super::commands(&help) {
        assert!(world.path(&format!("pages/man1/replay-{command}.1")).exists(), "{command}");
    }
    assert!(world.read("pages/man1/replay.1").contains("Exit codes"), "what stands below the options");
    world.fails("man pages -o page", 2, "man writes into DIR, not to -o");
    world.fails("man canary.json", 3, "canary.json: cannot be written");
}

/// What `encode` prints for one argument that may have spaces, and more that have none.
#[track_caller]
fn encoded(world: &World, json: &str, more: &str) -> String {
    let mut command = world.command("encode");
    let output = command.arg(json).args(more.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{json}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}
