//! `dump`, `diff` and `bisect`.

use super::*;

#[test]
fn dumps_are_sources_and_are_checked() {
    let world = World::new();
    world.golden("dump canary.json -o canary.dump", 0, "", "");
    let dump = world.read("canary.dump");
    let lines: Vec<&str> = dump.lines().collect();
    assert!(lines[0].starts_with("{\"format\":\"coalmine-dump/1\",\"height\":130,\"root\":\""), "{}", lines[0]);
    assert!(lines[1].starts_with("{\"key\":\"d062617365\",\"value\":\"00000004626173650000000974776f20776f726473"));
    assert!(lines[1..].is_sorted(), "keys ascend");
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
    world.fails(&old, 2, "canary.dump: check as of height 110 is not known: a store or dump has");
    for what in ["metrics base", "overrides base", "roles", "schedule", "global", "stale"] {
        world.fails(&format!("show canary.dump {what} --at 110"), 2, "is not known");
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
        ("twice.dump", dump.replace(lines[2], lines[1]), 2, "twice.dump:3: the keys must ascend"),
        ("key.dump", dump.replace("\"d062617365\"", "\"0062617365\""), 2, "key.dump:2: not a key of the state"),
        ("hex.dump", dump.replace("\"d062617365\"", "\"d06261736\""), 2, "hex.dump:2: key: invalid hex"),
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
        // The global record begins with the numbers of format and rules.
        (
            "rules.dump",
            dump.replace("{\"key\":\"d4\",\"value\":\"00010001", "{\"key\":\"d4\",\"value\":\"00010002"),
            4,
            "rules.dump: the state has format 1 and rules 2, this build knows format 1 and rules up to 1",
        ),
        ("torn.dump", dump[..dump.len() - 9].into(), 2, "torn.dump"),
    ] {
        world.write(name, content);
        world.fails(&format!("show {name} features"), code, words);
    }
}

#[test]
fn binary_dumps_are_sources_and_are_checked() {
    let world = World::new();
    world.golden("dump canary.json --binary -o canary.dump", 0, "", "");
    let bytes = fs::read(world.path("canary.dump")).unwrap();
    assert!(bytes.starts_with(b"CMD1"));
    assert_eq!(world.run("dump canary.json --binary").stdout, bytes, "also on standard output");
    assert_eq!(world.run("dump canary.dump --binary").stdout, bytes, "and from itself");
    let (text, _) = world.check("dump canary.json", 0);
    world.golden("dump canary.dump", 0, &text, "");
    world.write("text.dump", &text);
    assert_eq!(world.run("dump text.dump --binary").stdout, bytes, "and from the text");
    world.golden("diff canary.json canary.dump", 0, "", "");
    let (past, _) = world.check("dump canary.json --at 110", 0);
    world.check("dump canary.json --at 110 --binary -o past.dump", 0);
    world.golden("dump past.dump", 0, &past, "");
    world.check("show canary.dump features --at 110", 0);
    world.fails("show canary.dump features --at 131", 2, "it ends at height 130, before height 131");
    world.fails("dump canary.dump --at 110 --binary", 2, "is not known");

    // The header stands behind the magic and its length, and its hash behind it.
    let start = 8 + usize::try_from(u32::from_be_bytes(*bytes[4..].first_chunk().unwrap())).unwrap() + 32;
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (name, content, words) in [
        ("header.dump", flipped(20), "header.dump: the header is damaged: its hash does not match; take another copy"),
        ("chunk.dump", flipped(start + 20), "chunk.dump: chunk 1 of 1 is damaged: its hash does not match"),
        ("torn.dump", bytes[..bytes.len() - 9].to_vec(), "torn.dump: the dump is cut off: chunk 1 of 1 has"),
        ("more.dump", [&bytes[..], b"\n"].concat(), "more.dump: bytes follow the last chunk"),
        ("empty.dump", b"CMD1".to_vec(), "empty.dump: the dump is cut off: the header has 0 of its 4 bytes"),
    ] {
        fs::write(world.path(name), content).unwrap();
        world.fails(&format!("show {name} features"), 2, words);
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
             + change f 5 0 status=enabled percent=100 cause=enabled actor={ADMIN}\n"
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

/// The state of an earlier height, of a block file; a store or dump has only that of its tip.
#[test]
fn heights_of_the_past_are_sources() {
    let world = World::new();
    let until = |height: u32| {
        let blocks = CANARY.replace("\"height\": 130 }", "\"height\": 130, \"expect\": {} }");
        let mut document: serde_json::Value = serde_json::from_str(&blocks).unwrap();
        document["blocks"].as_array_mut().unwrap().retain(|block| block["height"].as_u64().unwrap() <= height.into());
        document.as_object_mut().unwrap().remove("expect");
        document.to_string()
    };
    world.write("early.json", until(101));
    let (early, _) = world.check("dump early.json", 0);
    world.golden("dump canary.json --at 101", 0, &early, "");
    let roots = ["early.json", "canary.json"].map(|source| world.root(source));
    world.golden("diff early.json canary.json --at 101", 0, "", "");

    // One file at two heights, two files, and a dump at its tip.
    let (between, _) = world.check("diff canary.json --at 101 --and 125", 1);
    assert!(between.contains("~ feature base ") && between.contains("rollout_percent: 5 -> 55"), "{between}");
    world.golden("diff early.json canary.json --at 101 --and 125", 1, &between, "records differ");
    world.golden("diff canary.json --at 120 --and 120", 0, "", "");
    world.check("dump canary.json --at 101 -o early.dump", 0);
    world.golden("diff early.dump canary.json --at 101", 0, "", "");

    world.check("prove canary.json --at 101 feature base -o proof.json", 0);
    world.check("prove canary.json feature base --at 101 -o again.json", 0);
    assert_eq!(world.read("proof.json"), world.read("again.json"));
    let (proven, _) = world.check(&format!("verify-proof proof.json --root {}", roots[0]), 0);
    world.golden("verify-proof proof.json --source canary.json --at 101", 0, &proven, "");
    world.golden("verify-proof proof.json --source early.json", 0, &proven, "");
    world.golden("verify-proof proof.json --source early.dump", 0, &proven, "");
    world.fails("verify-proof proof.json --source canary.json", 1, "it is about root");
    world.fails(&format!("verify-proof proof.json --root {}", roots[1]), 1, "it is about root");

    for (args, code, words) in [
        ("dump early.dump --at 100", 2, "early.dump: the state as of height 100 is not known"),
        ("dump early.dump --at 102", 2, "it ends at height 101, before height 102"),
        ("diff early.dump canary.json --at 100", 2, "is not known"),
        ("diff early.dump --at 100 --and 101", 2, "is not known"),
        ("prove early.dump --at 100 feature base", 2, "is not known"),
        ("verify-proof proof.json --source early.dump --at 100", 2, "is not known"),
        ("diff canary.json", 2, "required"),
        ("diff canary.json --and 100", 2, "required"),
        ("diff - --at 100 --and 101", 2, "standard input is read once"),
        ("verify-proof proof.json", 2, "required"),
        ("verify-proof proof.json --at 100", 2, "required"),
        ("verify-proof - --source -", 2, "standard input is read once"),
        ("verify-proof proof.json --source proof.json -o proof.json", 2, "proof.json"),
        ("verify-proof proof.json --source early.dump -o early.dump", 2, "this is an input as well"),
    ] {
        world.fails(args, code, words);
    }
}

/// Blocks may differ: what counts is where receipts or events begin to.
#[test]
fn outcomes_are_bisected() {
    let world = World::new();
    let write = |name: &str, rate: u32, errors: u32, late: bool| {
        let late = if late {
            r#"{"height":9,"txs":[{"op":"rollback","name":"f","reason":"manual"}]}"#
        } else {
            r#"{"height":9}"#
        };
        world.write(
            name,
            format!(
                "{HEADER}\n{}\n{}\n{late}\n{}\n",
                format_args!(
                    r#"{{"height":1,"txs":[{{"op":"create_feature","name":"f","description":"","increment_percent":50,"increment_blocks":5,"min_success_count":0,"max_error_rate":{rate}}},{{"op":"start_canary","name":"f","percent":5}},{{"op":"start_rollout","name":"f","target_percent":100}}]}}"#
                ),
                format_args!(r#"{{"height":2,"txs":[{{"op":"record_success","name":"f","count":20}},{{"op":"record_error","name":"f","count":{errors}}}]}}"#),
                r#"{"height":30,"txs":[{"op":"record_success","name":"f"}]}"#,
            ),
        );
    };
    write("base.jsonl", 9_000, 2, false);
    write("stricter.jsonl", 8_000, 2, false);
    write("strict.jsonl", 100, 2, false);
    write("late.jsonl", 9_000, 2, true);
    // Blocks and roots differ from the first one on, and nothing that they do.
    world.golden("bisect --outcomes base.jsonl stricter.jsonl", 0, "height 30\ndiffer none\n", "");
    let (out, _) = world.check("bisect base.jsonl stricter.jsonl", 1);
    assert!(out.starts_with("height 1\ndiffer blocks,root\n"), "{out}");
    // The guard rolls back.
    let (out, _) = world.check("bisect --outcomes base.jsonl strict.jsonl", 1);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..3], ["height 2", "differ events", "event 0"], "{out}");
    assert!(
        lines[3] == "first_event none" && lines[4].starts_with("second_event \"rolled_back name=f rule=error_rate"),
        "{out}"
    );
    // A step is due between the blocks of the files.
    let (out, _) = world.check("bisect --outcomes base.jsonl late.jsonl", 1);
    assert!(
        out.starts_with("height 9\ndiffer receipts,events\ntransaction 0\nfirst_receipt none\nsecond_receipt ok\n"),
        "{out}"
    );
    let (json, _) = world.check("bisect --outcomes late.jsonl base.jsonl --format json", 1);
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((object["type"].as_str(), object["height"].as_u64()), (Some("bisected"), Some(9)), "{json}");
    world.write("gap.jsonl", world.read("base.jsonl").replace("\"increment_blocks\":5", "\"increment_blocks\":6"));
    let (out, _) = world.check("bisect --outcomes base.jsonl gap.jsonl", 1);
    assert!(out.starts_with("height 6\ndiffer events\nevent 0\nfirst_event \"stepped name=f"), "{out}");
    world.check("dump base.jsonl -o base.dump", 0);
    for pair in ["base.dump base.jsonl", "base.jsonl base.dump", "base.dump base.dump"] {
        world.fails(&format!("bisect --outcomes {pair}"), 2, "--outcomes needs two block files");
    }
}
