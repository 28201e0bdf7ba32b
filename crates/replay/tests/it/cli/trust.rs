//! Rule sets, sequences and rounds.

use super::*;

/// Rounds of ten blocks with pools of every kind of entry, sequences, and a change of rules that this build does not know.
const TRUST: &str = r#"{
  "format": "coalmine-blocks/1",
  "genesis": {
    "roles": {
      "0x1111111111111111111111111111111111111111": ["admin"],
      "0x2222222222222222222222222222222222222222": ["guardian"],
      "0x3333333333333333333333333333333333333333": ["reporter"],
      "0x4444444444444444444444444444444444444444": ["reporter"]
    },
    "params": { "round_blocks": 10, "quorum": 2, "timelock": 5 }
  },
  "blocks": [
    { "height": 20,
      "txs": [
        { "op": "create_feature", "name": "f", "description": "" },
        { "op": "register_version", "plugin": "api", "version": "1.0.0", "code_hash": "abababababababababababababababababababababababababababababababab" },
        { "op": "schedule", "at": 30, "commands": [ { "op": "start_canary", "name": "f", "percent": 5 }, { "op": "register_version", "plugin": "api", "version": "1.0.0+x", "code_hash": "abababababababababababababababababababababababababababababababab", "requirements": { "lib": "^1" } } ] },
        { "op": "schedule", "at": 31, "commands": [ { "op": "start_canary", "name": "f", "percent": 5 }, { "op": "register_version", "plugin": "api", "version": "1.0.0", "code_hash": "abababababababababababababababababababababababababababababababab" } ] },
        { "op": "schedule", "at": 32, "commands": [ { "op": "start_canary", "name": "f", "percent": 5 } ] },
        { "op": "schedule", "at": 32, "commands": [ { "op": "register_version", "plugin": "api", "version": "1.0.0", "code_hash": "abababababababababababababababababababababababababababababababab" } ] },
        { "op": "schedule", "at": 700, "commands": [ { "op": "set_rules", "rules": 1 } ] },
        { "op": "schedule", "at": 800, "commands": [ { "op": "disable", "name": "f" }, { "op": "set_rules", "rules": 7 } ] }
      ],
      "expect": { "receipts": ["ok", "timelock_required", "ok", "ok", "ok", "ok", "ok", "ok"] } },
    { "height": 33,
      "txs": [
        { "signer": "0x3333333333333333333333333333333333333333", "sequence": 9, "op": "report", "name": "f", "successes": 5, "errors": 1, "latency_total": 60, "latency_peak": 20, "invariant_checks": 2, "invariant_failures": 1 },
        { "signer": "0x3333333333333333333333333333333333333333", "sequence": 9, "op": "report", "name": "f", "successes": 5, "errors": 1, "latency_total": 60, "latency_peak": 20, "invariant_checks": 2, "invariant_failures": 1 },
        { "signer": "0x3333333333333333333333333333333333333333", "sequence": 10, "valid_until": 32, "op": "record_error", "name": "f" },
        { "signer": "0x4444444444444444444444444444444444444444", "sequence": 1, "valid_until": 33, "op": "record_success", "name": "f", "count": 2 },
        { "signer": "0x3333333333333333333333333333333333333333", "op": "report_version", "plugin": "api", "version": "1.0.0+y", "requests": 10, "errors": 1, "latency_total": 90 },
        { "signer": "0x5555555555555555555555555555555555555555", "sequence": 1, "op": "enable", "name": "f" },
        { "signer": "0x2222222222222222222222222222222222222222", "op": "pause_rollout", "name": "f" }
      ],
      "expect": { "receipts": ["ok", "bad_sequence", "expired", "ok", "ok", "unauthorized", "invalid_transition"] } },
    { "height": 41,
      "txs": [
        { "signer": "0x3333333333333333333333333333333333333333", "op": "record_error", "name": "f", "count": 20 },
        { "signer": "0x4444444444444444444444444444444444444444", "op": "record_error", "name": "f", "count": 30 }
      ] },
    { "height": 799 }
  ]
}"#;

#[test]
fn rounds_and_sequences_are_shown() {
    let world = World::new();
    world.write("trust.json", TRUST);
    world.golden("run trust.json --quiet", 0, "", "");
    world.golden(
        "show trust.json pools --at 33",
        0,
        "\
40 report f none reporter=0x3333333333333333333333333333333333333333 successes=5 errors=1 latency_total=60 latency_peak=20 invariant_checks=2 invariant_failures=1
40 report f none reporter=0x4444444444444444444444444444444444444444 successes=2 errors=0 latency_total=0 latency_peak=0 invariant_checks=0 invariant_failures=0
40 report_version api 1.0.0 reporter=0x3333333333333333333333333333333333333333 requests=10 errors=1 latency_sum=90
",
        "",
    );
    world.golden("show trust.json pools --at 40", 0, "", "");
    let (json, _) = world.check("show trust.json pools --at 33 --format json", 0);
    assert_eq!(
        json.lines().next().unwrap(),
        r#"{"type":"pool","due":40,"kind":"report","subject":"f","version":null,"reporter":"0x3333333333333333333333333333333333333333","successes":5,"errors":1,"latency_total":60,"latency_peak":20,"invariant_checks":2,"invariant_failures":1}"#
    );
    world.golden(
        "show trust.json roles --at 40",
        0,
        "\
0x1111111111111111111111111111111111111111 roles=admin
0x2222222222222222222222222222222222222222 roles=guardian
0x3333333333333333333333333333333333333333 roles=reporter sequence=9
0x4444444444444444444444444444444444444444 roles=reporter sequence=1
",
        "",
    );
    let (global, _) = world.check("show trust.json global", 0);
    assert!(global.ends_with("timelock 5\nsequenced false\nround_blocks 10\nquorum 2\n"), "{global}");
    assert!(global.starts_with("rules 1\nchain \"\"\nadmins 1\nscheduled 1\n"), "{global}");

    // What a rollback was decided by stays in the history.
    let (history, _) = world.check("show trust.json history f", 0);
    assert_eq!(
        history.lines().last().unwrap(),
        "50 0 status=rolled_back percent=0 cause=rolled_back reason=error_rate actor=automatic rule=error_rate \
         errors=31 successes=5 value=8611 threshold=100"
    );
    let (history, _) = world.check("show trust.json history f --format json --at 32", 0);
    assert!(
        history.ends_with(&format!("\"cause\":\"canary_started\",\"actor\":\"{ADMIN}\"}}\n")),
        "no evidence: {history}"
    );

    // Sequences and pools are records as all others.
    let blocks_below = |height: u32| {
        let end = TRUST.find(&format!("    {{ \"height\": {height},")).unwrap();
        &TRUST[..end]
    };
    world.write("before.json", format!("{} {{ \"height\": 40 }} ] }}", blocks_below(33)));
    world.write("after.json", format!("{} {{ \"height\": 39 }} ] }}", blocks_below(41)));
    let (out, _) = world.check("diff before.json after.json", 1);
    let records: Vec<&str> = out.lines().collect();
    assert_eq!(
        records,
        [
            "+ round 40 report f none",
            "+ round 40 report_version api 1.0.0",
            "+ sequence 0x3333333333333333333333333333333333333333 sequence=9",
            "+ sequence 0x4444444444444444444444444444444444444444 sequence=1",
            "+ pool_entry report f none 0x3333333333333333333333333333333333333333 successes=5 errors=1 latency_total=60 latency_peak=20 invariant_checks=2 invariant_failures=1",
            "+ pool_entry report f none 0x4444444444444444444444444444444444444444 successes=2 errors=0 latency_total=0 latency_peak=0 invariant_checks=0 invariant_failures=0",
            "+ pool_entry report_version api 1.0.0 0x3333333333333333333333333333333333333333 requests=10 errors=1 latency_sum=90",
        ]
    );
}

#[test]
fn changes_of_rules_are_announced_and_unknown_ones_stop_the_tool() {
    let world = World::new();
    world.write("trust.json", TRUST);
    world.golden(
        "show trust.json rules --at 42",
        0,
        &format!(
            "\
rules 1
known 1
scheduled.0 at=700 id=5 rules=1 is_known=true actor={ADMIN}
scheduled.1 at=800 id=6 rules=7 is_known=false actor={ADMIN}
"
        ),
        "from block 800 on rule set 7 is needed, which this build does not know: get a newer build in time, or cancel \
         entry 6 of the schedule",
    );
    world.golden(
        "show trust.json rules --format json",
        0,
        &format!("{{\"type\":\"rules\",\"rules\":1,\"known\":[1],\"scheduled\":[{{\"at\":800,\"id\":6,\"rules\":7,\"is_known\":false,\"actor\":\"{ADMIN}\"}}]}}\n"),
        "rule set 7 is needed",
    );
    world.golden("show canary.json rules", 0, "rules 1\nknown 1\nscheduled none\n", "");
    world.golden(
        "show trust.json schedule",
        0,
        &format!(
            "800 6 actor={ADMIN} commands.0.op=disable commands.0.name=f commands.1.op=set_rules commands.1.rules=7\n"
        ),
        "",
    );

    // Blocks before the change are good for every command, the change itself for none.
    let words = "block 800 changes to rule set 7, which this build does not know; go on with a newer build";
    world.check("run trust.json --until 799", 0);
    world.fails("run trust.json --until 800", 4, words);
    world.fails("show trust.json features --at 900", 4, words);
    // The rules that core may have for its own tests are unknown to a tool, however it is built.
    world.write("test.json", TRUST.replace("\"rules\": 7", "\"rules\": 65535"));
    world.fails("run test.json --until 800", 4, "65535");
    world.write("over.json", TRUST.replace("{ \"height\": 799 }", "{ \"height\": 799 }, { \"height\": 5000 }"));
    world.check("convert over.json over.blocks", 0);
    for args in ["run over.json", "run over.blocks", "verify over.json", "dump over.json", "diff over.json canary.json"]
    {
        world.fails(args, 4, words);
    }
    // A genesis of other rules.
    world.write("later.json", CANARY.replace("\"chain\": \"example-1\",", "\"rules\": 2,"));
    let words = "later.json:5:14: rule set 2 is needed, and this build knows those up to 1; use a newer build";
    for args in [
        "run later.json",
        "verify later.json",
        "dump later.json",
        "show later.json rules",
        "convert later.json l.blocks",
    ] {
        world.fails(args, 4, words);
    }
}
