//! `run`: what it prints and checks, and how it ends.

use super::*;

#[test]
fn run_prints_a_summary_and_what_is_asked_for() {
    let world = World::new();
    let root = world.root("canary.json");
    let rejected = format!("100 tx 5 enable nothing by {ADMIN}: feature_not_found (there is no feature nothing)\n");
    let summary = format!("{rejected}{}", SUMMARY.replace("ROOT", &root));
    world.golden("run canary.json", 0, &summary, "transactions/s");
    world.golden("run canary.json --quiet", 0, "", "");
    let (json, _) = world.check("run --format json canary.json", 0);
    assert_eq!(
        json,
        format!(
            "{{\"type\":\"rejected\",\"height\":100,\"tx\":5,\"result\":\"feature_not_found\",\"command\":0,\"op\":\"enable\",\"subject\":\"nothing\",\"signer\":\"{ADMIN}\",\"why\":\"there is no feature nothing\"}}\n{{\"type\":\"summary\",\"height\":130,\"blocks\":4,\"transactions\":10,\"ok\":9,\"rejected\":1,\"events\":9,\"root\":\"{root}\"}}\n"
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
100 receipt 5 feature_not_found command=0 op=enable subject=nothing signer={ADMIN} why=\"there is no feature nothing\"
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
        &"\
{\"type\":\"receipt\",\"height\":100,\"tx\":0,\"result\":\"ok\"}
{\"type\":\"receipt\",\"height\":100,\"tx\":1,\"result\":\"ok\"}
{\"type\":\"receipt\",\"height\":100,\"tx\":2,\"result\":\"ok\"}
{\"type\":\"receipt\",\"height\":100,\"tx\":3,\"result\":\"ok\"}
{\"type\":\"receipt\",\"height\":100,\"tx\":4,\"result\":\"ok\"}
{\"type\":\"receipt\",\"height\":100,\"tx\":5,\"result\":\"feature_not_found\",\"command\":0,\"op\":\"enable\",\"subject\":\"nothing\",\"signer\":\"ADMIN\",\"why\":\"there is no feature nothing\"}
"
        .replace("ADMIN", ADMIN),
        "",
    );

    // Gaps count up to --until, and roots come at every N-th block.
    let (out, _) = world.check("run canary.json --until 300 --root-every 2", 0);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[1].starts_with("101 root "), "{out}");
    assert_eq!(&lines[3..5], ["height 300", "blocks 4"], "{out}");
    let (out, _) = world.check("run canary.json --until 100", 0);
    assert!(out.starts_with(&format!("{rejected}height 100\nblocks 1\ntransactions 6\n")), "{out}");

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
    let reset =
        |height| format!("{height} tx 0 reset_breaker by {ADMIN}: invalid_transition (the breaker is closed)\n");
    let expected = format!("{}{}height 5\nblocks 2\ntransactions 2\nok 0\nrejected 2\n", reset(1), reset(5));
    assert!(out.starts_with(&expected), "{out}");
    world.fails("run b.jsonl a.jsonl", 2, "a.jsonl:2: height 1 is not above the tip 5");
    world.fails("run a.jsonl a.jsonl", 2, "a.jsonl:2: height 1 is not above the tip 1");
    world.fails("run a.jsonl other.jsonl", 2, "other.jsonl: its genesis is not that of the first file");
}

#[test]
fn every_expectation_that_fails_is_reported() {
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
    world.fails("verify wrong.jsonl canary.json", 1, "1 of 2 files failed");
}

/// What a file expects at its end is checked at the end of its last block, and moves nothing.
#[test]
fn a_final_height_is_checked_and_moves_nothing() {
    let world = World::new();
    // The height that is expected, the blocks and options of the run, how it ends and where.
    for (expected, blocks, options, end, problem) in [
        (101, &[100, 101][..], "", "height 101\nblocks 2\n", None),
        (101, &[100, 101], " --until 200", "height 200\nblocks 2\n", None),
        (101, &[100, 101], " --until 100", "height 100\nblocks 1\n", None),
        (101, &[100], "", "height 100\nblocks 1\n", Some("end: height: expected 101, got 100")),
        (101, &[100], " --until 101", "height 101\nblocks 1\n", Some("end: height: expected 101, got 100")),
        (99, &[100], "", "height 100\nblocks 1\n", Some("end: height: expected 99, got 100")),
        (0, &[0], "", "height 0\nblocks 1\n", None),
        (0, &[], "", "height none\nblocks 0\n", Some("end: height: expected 0, got none")),
        (u32::MAX, &[5], "", "height 5\nblocks 1\n", Some("end: height: expected 4294967295, got 5")),
    ] {
        let header = HEADER.replace("}}}", &format!("}}}},\"expect\":{{\"height\":{expected}}}}}"));
        let blocks: String = blocks.iter().map(|height| format!("{{\"height\":{height}}}\n")).collect();
        world.write("f.jsonl", format!("{header}\n{blocks}"));
        let (out, err) = world.check(&format!("run f.jsonl{options}"), i32::from(problem.is_some()));
        assert!(out.starts_with(end), "{expected} {blocks:?}{options}: {out}");
        let found = err.lines().find_map(|line| line.strip_prefix("f.jsonl:1: "));
        assert_eq!(found, problem, "{expected} {blocks:?}{options}");
    }
    // Each file has its own last block.
    world.write("a.jsonl", format!("{}\n{{\"height\":1}}\n", HEADER.replace("}}}", "}},\"expect\":{\"height\":1}}")));
    world.write("b.jsonl", format!("{}\n{{\"height\":7}}\n", HEADER.replace("}}}", "}},\"expect\":{\"height\":7}}")));
    world.check("run a.jsonl b.jsonl", 0);
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
        ("falling.jsonl", "falling.jsonl:3:11: block 2: heights must ascend"),
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

/// A story of rejects: who, what and why, in `run`, in receipts and in JSON alike.
#[test]
fn a_rejected_transaction_says_who_what_and_why() {
    let world = World::new();
    let guardian = "0xdddddddddddddddddddddddddddddddddddddddd";
    let header = HEADER.replace("[\"admin\"]}", &format!("[\"admin\"],\"{guardian}\":[\"guardian\"]}}"));
    world.write(
        "rejects.jsonl",
        format!(
            "{header}\n{}\n{}\n",
            r#"{"height":89,"txs":[{"op":"create_feature","name":"search_v3","description":""}]}"#,
            [
                r#"{"height":90,"txs":[{"op":"start_canary","name":"search_v3","percent":5},"#,
                r#"{"signer":"GUARDIAN","op":"start_canary","name":"search_v3","percent":9},"#,
                r#"{"op":"start_canary","name":"serach_v3","percent":5},"#,
                r#"{"op":"start_canary","name":"search_v3","percent":101},"#,
                r#"{"op":"set_params","timelock":2000000},"#,
                r#"{"op":"start_rollout","name":"search_v3","target_percent":50},"#,
                r#"{"commands":[{"op":"disable","name":"search_v3"},{"op":"disable","name":"search_v3"}]}]}"#
            ]
            .concat()
            .replace("GUARDIAN", guardian)
        ),
    );
    let rows = [
        ("1", "start_canary", "search_v3", guardian, "unauthorized", "holds guardian, needs operator", 0),
        (
            "2",
            "start_canary",
            "serach_v3",
            ADMIN,
            "feature_not_found",
            "there is no feature serach_v3; the nearest is search_v3",
            0,
        ),
        ("3", "start_canary", "search_v3", ADMIN, "invalid_percent", "percent 101 is above 100", 0),
        ("4", "set_params", "", ADMIN, "invalid_parameter", "timelock 2000000 is above 1000000", 0),
        (
            "5",
            "start_rollout",
            "search_v3",
            ADMIN,
            "insufficient_data",
            "the trial of search_v3 has 0 successes and needs 100",
            0,
        ),
        ("6", "disable", "search_v3", ADMIN, "invalid_transition", "search_v3 is disabled", 1),
    ];
    let (text, err) = world.check("run rejects.jsonl", 0);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("90 tx")).collect();
    let (json, _) = world.check("run rejects.jsonl --format json", 0);
    let (receipts, _) = world.check("run rejects.jsonl --receipts --quiet --format json", 0);
    let objects = |text: &str, kind: &str| -> Vec<serde_json::Value> {
        let all = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        all.filter(|object| object["type"] == kind && object["result"] != "ok").collect()
    };
    let (rejected, receipts) = (objects(&json, "rejected"), objects(&receipts, "receipt"));
    assert_eq!((lines.len(), rejected.len(), receipts.len()), (rows.len(), rows.len(), rows.len()), "{text}{err}");
    for (((tx, op, subject, signer, result, why, command), line), objects) in
        rows.into_iter().zip(&lines).zip(rejected.iter().zip(&receipts))
    {
        let about = if subject.is_empty() { String::new() } else { format!(" {subject}") };
        assert_eq!(*line, format!("90 tx {tx} {op}{about} by {signer}: {result} ({why})"));
        for object in [objects.0, objects.1] {
            let text = |key: &str| object[key].as_str().unwrap_or_default();
            assert_eq!((text("op"), text("subject"), text("signer")), (op, subject, signer));
            assert_eq!((text("result"), text("why"), object["command"].as_u64()), (result, why, Some(command)));
        }
    }
    world.golden("run rejects.jsonl --quiet", 0, "", "");
    world.fails("run rejects.jsonl --quiet --fail-on-reject", 1, "6 transactions were rejected");
    world.fails("run canary.json --fail-on-reject", 1, "1 transaction was rejected");
    world.check("run rejects.jsonl --until 89 --fail-on-reject", 0);
    let (_, err) = world.check("run rejects.jsonl --quiet --fail-on-reject --format json", 1);
    assert!(err.contains(r#""type":"error""#) && err.contains(r#""exit_code":1"#), "{err}");
}
