//! `--format json`: every line is an object that says what it is, on standard error too. And what a file may look like.

use serde_json::Value;

use super::*;

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn types(text: &str) -> Vec<String> {
    objects(text).iter().map(|object| object["type"].as_str().unwrap_or_else(|| panic!("{object}")).into()).collect()
}

#[test]
fn every_object_has_a_type() {
    let world = World::new();
    world.write("other.json", CANARY.replace("\"repeat\": 3", "\"repeat\": 2"));
    let root = world.root("canary.json");
    world.write("users", format!("{USER}\n"));
    world.check("prove canary.json feature base -o proof.json", 0);
    world.check("dump canary.json -o canary.dump", 0);
    for (args, code, kinds) in [
        ("run canary.json --events --root-every 4 --until 130", 0, "event rejected root summary"),
        ("run canary.json --receipts --events --root-every 4 --until 130", 0, "event receipt root summary"),
        ("verify canary.json", 0, "verified"),
        ("show canary.json features", 0, "feature"),
        ("show canary.json feature base", 0, "feature"),
        ("show canary.json feature base --at 100", 0, "feature"),
        ("show canary.dump feature base --at 100", 0, "feature"),
        ("show canary.json metrics base", 0, "metrics"),
        ("show canary.json history base", 0, "change"),
        ("show canary.json overrides top", 0, "override"),
        ("show canary.json roles", 0, "roles"),
        ("show canary.json schedule", 0, "scheduled"),
        ("show canary.json global", 0, "global"),
        ("show canary.json rules", 0, "rules"),
        ("show canary.json feed", 0, "feed"),
        ("show canary.json stale", 0, "stale"),
        ("show plugins.json plugins", 0, "plugin"),
        ("show plugins.json plugin app", 0, "plugin"),
        ("show plugins.json plugin-history app", 0, "plugin_change"),
        (&format!("check canary.json base {USER}"), 0, "verdict"),
        ("route plugins.json app 0x00", 0, "route"),
        ("check canary.json base --users users", 0, "verdict"),
        ("route plugins.json app --users users", 0, "route"),
        ("explain canary.json feature base", 0, "explanation"),
        ("explain plugins.json plugin app", 0, "explanation"),
        ("calendar canary.json", 0, "stale upcoming"),
        (
            "preview canary.json [{\"op\":\"disable\",\"name\":\"base\"},{\"op\":\"reset_breaker\"}]",
            0,
            "event feature preview receipt record upcoming",
        ),
        (
            "preview plugins.json {\"op\":\"resume\",\"plugin\":\"app\"} --blocks 0",
            0,
            "event plugin preview receipt record",
        ),
        ("what-if canary.json --set feature.base.increment_percent=50 --drop 100:3", 0, "difference receipt summary"),
        ("what-if canary.json --sweep params.quorum=1,2", 0, "sweep"),
        ("bisect --outcomes canary.json other.json", 1, "bisected"),
        ("plan plugins.json app", 0, "planned"),
        ("plan plugins.json lib", 0, "refused"),
        ("diff canary.json other.json", 1, "difference"),
        ("bisect canary.json other.json", 1, "bisected difference"),
        (&format!("verify-proof proof.json --root {root}"), 0, "proven"),
    ] {
        let (out, _) = world.check(&format!("{args} --format json"), code);
        let mut found = types(&out);
        found.sort();
        found.dedup();
        assert_eq!(found.join(" "), kinds, "{args}");
    }
}

#[test]
fn errors_and_failures_are_objects() {
    let world = World::new();
    world.write("wrong.json", CANARY.replace("\"rollout_percent\": 55", "\"rollout_percent\": 56"));
    let (_, err) = world.check("run wrong.json --quiet --format json", 1);
    let found = objects(&err);
    assert_eq!(types(&err), ["failure", "error"]);
    let expected = serde_json::json!({
        "type": "failure", "place": "wrong.json:25", "block": 125, "what": "features.base.rollout_percent",
        "expected": "56", "got": "55",
    });
    assert_eq!(found[0], expected);
    assert_eq!(found[1]["message"], "1 expectation failed");
    assert_eq!(found[1]["exit_code"], 1);

    world.write("bad.jsonl", format!("{HEADER}\n{{\"height\":7,\"txs\":[{{\"op\":\"enable\"}}]}}\n"));
    let (_, err) = world.check("--format=json show bad.jsonl features", 2);
    let expected = serde_json::json!({
        "type": "error", "message": "bad.jsonl:2:20: block 7, transaction 0: enable: \"name\" is missing", "exit_code": 2,
        "file": "bad.jsonl", "line": 2, "column": 20, "block": 7, "tx": 0, "problem": "enable: \"name\" is missing",
    });
    assert_eq!(objects(&err), [expected]);

    for (args, code) in [
        ("show canary.json feature nobody", 2),
        ("show nowhere.json features", 2),
        ("show canary.json features --at no", 2),
        ("verify wrong.json", 1),
        ("diff canary.json wrong.dump", 2),
    ] {
        let (_, err) = world.check(&format!("{args} --format json"), code);
        let last = err.lines().last().unwrap();
        let object = &objects(last)[0];
        assert_eq!((&object["type"], &object["exit_code"]), (&"error".into(), &code.into()), "{args}: {err}");
        assert!(!object["message"].as_str().unwrap().is_empty(), "{args}");
    }
}

/// A file may begin with a byte order mark, a list of prerequisites may have any order, a hash may have its 0x; a
/// genesis without a chain is likely to be a mistake.
#[test]
fn what_people_write_is_taken() {
    let world = World::new();
    let root = world.root("canary.json");
    world.write("marked.json", format!("\u{feff}{CANARY}"));
    let lines = world.check("convert canary.json - --to jsonl", 0).0;
    world.write("marked.jsonl", format!("\u{feff}{lines}"));
    for file in ["marked.json", "marked.jsonl", "-"] {
        let mut command = world.command(&format!("dump {file}"));
        command.stdin(fs::File::open(world.path("marked.json")).unwrap());
        let output = command.output().unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().contains(&root), "{file}");
    }
    world.write("marked.txt", "\u{feff}");
    world.fails("show marked.txt features", 2, "the file is empty");
    world.check("prove canary.json feature base -o proof.json", 0);
    world.check(&format!("verify-proof proof.json --root 0x{root}"), 0);

    let three = |order: &str| {
        let create = |name: &str| format!(r#"{{"op":"create_feature","name":"{name}","description":""}}"#);
        let top = format!(
            r#"{{"op":"create_feature","name":"top","description":"","policy":{{"prerequisites":[{order}]}}}}"#
        );
        format!(
            "{HEADER}\n{{\"height\":1,\"txs\":[{},{},{top}],\"expect\":{{\"receipts\":[\"ok\",\"ok\",\"ok\"]}}}}\n",
            create("a"),
            create("b")
        )
    };
    world.write("ascending.jsonl", three(r#""a","b""#));
    world.write("descending.jsonl", three(r#""b","a""#));
    world.check("run ascending.jsonl", 0);
    world.check("diff ascending.jsonl descending.jsonl", 0);
    world.write("twice.jsonl", three(r#""a","a""#));
    world.fails("run twice.jsonl", 1, "receipts[2]: expected ok, got malformed");

    world.write("nameless.json", CANARY.replace("    \"chain\": \"example-1\",\n", ""));
    let warning = "replay: warning: nameless.json:4:14: the genesis has no \"chain\"";
    for args in ["run nameless.json", "verify nameless.json", "convert nameless.json nameless.blocks"] {
        let (_, err) = world.check(args, 0);
        assert_eq!(err.matches(warning).count(), 1, "{args}: {err}");
        let (_, err) = world.check(&args.replace("nameless", "canary"), 0);
        assert!(!err.contains("warning"), "{args}: {err}");
    }
    assert!(world.check("show nameless.json features", 0).1.contains(warning));
}

/// The records of the ledger that `expect` can check, as they are and as they are not.
#[test]
fn expectations_on_the_ledger_are_checked() {
    const GENESIS: &str = r#"{"format":"coalmine-blocks/1","genesis":{"chain":"x","roles":{"0x1111111111111111111111111111111111111111":["admin"],"0x2222222222222222222222222222222222222222":["guardian","operator"]}}"#;
    let world = World::new();
    let txs = format!(
        r#"{{"op":"create_feature","name":"f","description":""}},
           {{"op":"set_override","name":"f","user":"{USER}","enabled":true}},
           {{"op":"set_params","timelock":0,"quorum":3}},
           {{"op":"set_registry_params","max_versions":9}},
           {{"op":"set_host_version","version":"1.2.0+a"}},
           {{"op":"schedule","at":50,"commands":[{{"op":"enable","name":"f"}},{{"op":"disable","name":"f"}}]}},
           {{"op":"schedule","at":40,"commands":[{{"op":"load","plugin":"p"}}]}},
           {{"op":"trip_breaker","reason":"performance","until":90,"drain":false,"signer":"0x2222222222222222222222222222222222222222"}}"#
    );
    let write = |expect: &str| {
        let blocks = format!(r#"[{{"height":7,"txs":[{txs}]}},{{"height":8,"expect":{{"breaker":null}}}}]"#);
        let blocks = blocks.replace(r#"{"breaker":null}"#, expect);
        world.write("f.json", format!("{GENESIS},\n\"blocks\":{blocks}}}"));
    };
    write(&format!(
        r#"{{"breaker":{{"draining":false,"since":7,"until":90,"reason":"performance","actor":"0x2222222222222222222222222222222222222222"}},
            "roles":{{"{ADMIN}":["admin"],"0x2222222222222222222222222222222222222222":["operator","guardian"],"{USER}":[]}},
            "overrides":{{"f":{{"{USER}":{{"enabled":true,"since":7,"actor":"{ADMIN}"}},"{ADMIN}":null}},"none":{{"{USER}":null}}}},
            "schedule":[{{"at":40,"id":2,"commands":[{{"op":"load","plugin":"p"}}]}},
                        {{"at":50,"actor":"{ADMIN}","commands":[{{"op":"enable","name":"f"}},{{"name":"f","op":"disable"}}]}}],
            "params":{{"max_due_per_block":1000,"breaker_rollbacks":0,"breaker_window":0,"timelock":0,"sequenced":false,"round_blocks":0,"quorum":3}},
            "registry":{{"host_version":"1.2.0","max_versions":9,"auto_load":false}}}}"#
    ));
    world.check("verify f.json", 0);
    for (expect, failures) in [
        (r#"{"breaker":null}"#, vec!["breaker: expected closed, got open"]),
        (
            r#"{"breaker":{"until":91,"actor":"automatic"}}"#,
            vec![
                "breaker.until: expected 91, got 90",
                "breaker.actor: expected automatic, got 0x2222222222222222222222222222222222222222",
            ],
        ),
        (
            r#"{"roles":{"0x1111111111111111111111111111111111111111":[]}}"#,
            vec!["roles.0x1111111111111111111111111111111111111111: expected none, got admin"],
        ),
        (
            r#"{"roles":{"0x2222222222222222222222222222222222222222":["guardian"]}}"#,
            vec!["roles.0x2222222222222222222222222222222222222222: expected guardian, got operator,guardian"],
        ),
        (
            r#"{"overrides":{"f":{"0x00000000000000000000000000000000000000aa":null}}}"#,
            vec!["overrides.f.0x00000000000000000000000000000000000000aa: expected none, got on"],
        ),
        (
            r#"{"overrides":{"f":{"0x1111111111111111111111111111111111111111":{}}}}"#,
            vec!["overrides.f.0x1111111111111111111111111111111111111111: expected an override, got none"],
        ),
        (
            r#"{"overrides":{"f":{"0x00000000000000000000000000000000000000aa":{"enabled":false}}}}"#,
            vec!["overrides.f.0x00000000000000000000000000000000000000aa.enabled: expected false, got true"],
        ),
        (r#"{"schedule":[]}"#, vec!["schedule: expected 0 entries, got more"]),
        (r#"{"schedule":[{},{},{}]}"#, vec!["schedule: expected 3 entries, got 2 entries"]),
        (
            r#"{"schedule":[{"at":41},{"commands":[{"op":"enable","name":"g"}]}]}"#,
            vec![
                "schedule[0].at: expected 41, got 40",
                "schedule[1].commands: expected 1 entries, got 2 entries",
                "schedule[1].commands[0]: expected op=enable name=g, got op=enable name=f",
            ],
        ),
        (r#"{"params":{"quorum":1}}"#, vec!["params.quorum: expected 1, got 3"]),
        (
            r#"{"registry":{"max_versions":5,"host_version":"1.2.1"}}"#,
            vec!["registry.max_versions: expected 5, got 9", "registry.host_version: expected 1.2.1, got 1.2.0"],
        ),
    ] {
        write(expect);
        let (_, err) = world.check("run f.json --quiet", 1);
        let found: Vec<&str> = err.lines().filter_map(|line| line.strip_prefix("f.json:9: block 8: ")).collect();
        assert_eq!(found, failures, "{expect}");
    }
}
