//! `preview`, `calendar`, `explain` and `what-if`: what they say, and what is said of bad input.

use super::*;

const BY: &str = "by 0x1111111111111111111111111111111111111111";

#[test]
fn the_calendar_says_what_comes_without_traffic() {
    let world = World::new();
    let due = format!(
        "\
stale top: its expires_at was height 120
131 base grows from 55 % to 80 %
141 base grows from 80 % to 100 %
141 base reaches its target: enabled at 100 %
200 top is rolled back {BY}, rule command, with 0 errors and 0 successes in the trial; reason manual
200 entry 1 of the schedule succeeds (rollback {BY})
"
    );
    let until = |height: &str| -> String {
        due.lines().take_while(|line| !line.starts_with(height)).map(|line| format!("{line}\n")).collect()
    };
    for (args, out) in [
        ("canary.json", due.clone()),
        ("canary.json --blocks 70", due.clone()),
        ("canary.json --blocks 69", until("200")),
        ("canary.json --blocks 0", until("131")),
        ("canary.json --at 200", "stale top: its expires_at was height 120\n".into()),
        ("canary.json --at 101 --blocks 19", "111 base grows from 5 % to 30 %\n120 top passes its expires_at\n".into()),
        (
            "canary.json --blocks 5 --block-time 0.5 --now 2026-12-01T09:00:00+01:00",
            until("131") + "131 2026-12-01T08:00:00Z base grows from 55 % to 80 %\n",
        ),
        (
            "canary.json --blocks 5 --format json --block-time 60 --now 2026-12-01T08:00:00Z",
            "{\"type\":\"stale\",\"name\":\"top\",\"expires_at\":120}\n{\"type\":\"upcoming\",\"height\":131,\"events\":[{\"event\":\"stepped\",\
             \"name\":\"base\",\"from_percent\":55,\"to_percent\":80,\"sentence\":\"base grows from 55 % to 80 %\"}],\
             \"scheduled\":[],\"stale\":[],\"unknown_rules\":null,\"time\":\"2026-12-01T08:01:00Z\"}\n"
                .into(),
        ),
        (
            "plugins.json --blocks 100",
            format!(
                "40 entry 1 of the schedule is rejected: version_in_use of command 0 (deploy, unload {BY})\n91 app 2.0.0 is \
                 rolled back, reason timeout: max_blocks 80 have passed, with 5 errors in 100 requests of the new version\n"
            ),
        ),
    ] {
        world.golden(&format!("calendar {args}"), 0, &out, "");
    }
    // The same from a dump.
    world.check("dump canary.json -o canary.dump", 0);
    world.golden("calendar canary.dump", 0, &due, "");

    let (ics, _) = world.check("calendar canary.json --format ics --block-time 6 --now 2026-12-01T08:00:00Z", 0);
    assert!(ics.starts_with("BEGIN:VCALENDAR\r\n") && ics.ends_with("END:VCALENDAR\r\n"), "{ics}");
    assert!(ics.split("\r\n").all(|line| line.len() <= 75 && !line.contains('\n')), "{ics}");
    for (line, count) in [
        ("BEGIN:VEVENT\r\n", 3),
        ("END:VEVENT\r\n", 3),
        ("UID:height-131@coalmine\r\n", 1),
        ("DTSTART:20261201T080006Z\r\n", 1),
        ("SUMMARY:base grows from 55 % to 80 %\r\n", 1),
        ("SUMMARY:base grows from 80 % to 100 %\\, and 1 more\r\n", 1),
    ] {
        assert_eq!(ics.matches(line).count(), count, "{line:?} in {ics}");
    }
    for (args, words) in [
        ("calendar canary.json --format ics", "--format ics needs --block-time"),
        ("show canary.json features --format ics", "ics is a form of calendar alone"),
        ("calendar canary.json --block-time 0", "0 is no number of seconds above 0"),
        ("calendar canary.json --block-time 1.2345", "1.2345 is no number of seconds"),
        ("calendar canary.json --block-time soon", "soon is no number of seconds"),
        ("calendar canary.json --block-time 99999999999999999999", "is no number of seconds"),
        ("calendar canary.json --now 2026-12-01T08:00:00Z", "--block-time"),
        ("calendar canary.json --block-time 6 --now yesterday", "write it as 2026-12-01T08:00:00Z"),
        ("calendar canary.dump --at 100", "canary.dump: this as of height 100 is not known"),
        ("calendar canary.dump --at 500", "canary.dump: it ends at height 130, before height 500"),
        ("calendar missing.json", "missing.json: cannot be read"),
    ] {
        world.fails(args, 2, words);
    }
}

#[test]
fn an_explanation_says_what_it_is_and_why() {
    let world = World::new();
    let both = format!("0x{} and 0x{}", "1".repeat(40), "2".repeat(40));
    let base = format!(
        "\
base is rolling out since height 101: on for 55 % of users since height 121, on its way to 100 %.
At height 100, base was created {BY}.
Its trial has 0 errors and 3 successes; max_error_rate is 100 per 10 000 (1 %).
It waits for its step to 80 %, which is due at height 131.
Next, without traffic, at height 131: base grows from 55 % to 80 %.
It can take 6 more errors in the next block; one more than that rolls it back.
advance_rollout, enable and disable could be sent by {both}.
pause_rollout and rollback could be sent by {both}.
"
    );
    world.golden("explain canary.json feature base", 0, &base, "");
    world.check("dump canary.json -o canary.dump", 0);
    world.golden("explain canary.dump feature base", 0, &base, "");
    // That many errors are borne, and one more is not.
    for (errors, is_rolled_back) in [(6, false), (7, true)] {
        let file = CANARY.replace(
            r#"{ "height": 130 }"#,
            &format!(r#"{{ "height": 130 }}, {{ "height": 131, "txs": [ {{ "op": "record_error", "name": "base", "count": {errors} }} ] }}"#),
        );
        world.write(
            "errors.json",
            file.replace(r#""height": 130, "features": { "base": { "status": "rolling_out" } }"#, r#""height": 131"#),
        );
        let (out, _) = world.check("explain errors.json feature base", 0);
        let verdict = "rolled back, rule error_rate: 7 errors and 3 successes in the trial are 7000 per 10 000 (70 %), above \
                       max_error_rate 100 per 10 000 (1 %); reason error_rate.\n";
        assert_eq!(out.contains(verdict), is_rolled_back, "{errors}: {out}");
    }
    for (args, lines) in [
        (
            "canary.json feature top --at 250",
            &[
                "top is rolled back since height 200: on for nobody.",
                "It waits for a command: start_canary or enable.",
                "It takes no reports: it is on for nobody.",
                "Nothing happens to it by itself up to height 10250.",
                "It was meant to be gone by height 120 (release), which passed.",
            ][..],
        ),
        ("canary.json feature top", &["Entry 1 of the schedule has rollback for height 200.", "It waits for nothing."]),
        (
            "plugins.json plugin app",
            &[
                "It waits at a manual gate for resume.",
                "It can take 0 more errors in the next block; one more than that rolls it back.",
                "It is rolled back at height 91 if it is not done by then.",
            ],
        ),
        (
            "plugins.json plugin lib",
            &["lib is at 1.2.0 since height 10; it is loading.", "It takes no reports: nothing is being deployed."],
        ),
    ] {
        let (out, _) = world.check(&format!("explain {args}"), 0);
        for line in lines {
            assert!(out.lines().any(|found| found == *line), "{line}\n{out}");
        }
    }
    let (json, _) = world.check("explain canary.json feature top --at 250 --format json", 0);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["type"], "explanation");
    assert_eq!(json["verdicts"][0]["rule"], "command");
    assert_eq!(json["errors_left"], serde_json::Value::Null);
    for (args, words) in [
        ("explain canary.json feature bsae", "canary.json: there is no feature bsae; the nearest is base"),
        ("explain canary.json feature base --at 50", "canary.json: there is no feature base"),
        ("explain plugins.json plugin ap", "plugins.json: there is no plugin ap; the nearest is app"),
        ("explain canary.dump feature base --at 100", "canary.dump: this as of height 100 is not known"),
        ("explain canary.json feature base --at 4294967296", "is not in 0..=4294967295"),
    ] {
        world.fails(args, 2, words);
    }
}

#[test]
fn a_preview_says_what_would_happen_and_to_whom() {
    let world = World::new();
    world.write("users", format!("\u{feff}{USER}\n\n0x{}\r\n0x{}\n", "4".repeat(40), "0".repeat(40)));
    world.write("commands.json", r#"{"op": "disable", "name": "base"}"#);
    let out = format!(
        "\
block 131, asked of 3 users: each of the list
tx 0 ok
event: base grows from 55 % to 80 % (due anyway)
event: base is disabled {BY}
~ feature base status: rolling_out -> disabled, rollout_percent: 55 -> 0, last_increment_block: 121 -> 131
+ change base 131 0 status=rolling_out percent=80 cause=stepped actor=automatic
+ change base 131 1 status=disabled percent=0 cause=disabled actor=0x1111111111111111111111111111111111111111
- step 131 base
- active base
feature base: rolling_out 55 % -> disabled 0 %; on for 2 -> 0 of 3 users: 0 switched on, 2 off
  off {USER}
  off 0x0000000000000000000000000000000000000000
feature top: enabled 100 % -> enabled 100 %; on for 2 -> 0 of 3 users: 0 switched on, 2 off
  off {USER}
  off 0x0000000000000000000000000000000000000000
due - 141 base grows from 80 % to 100 %
due - 141 base reaches its target: enabled at 100 %
due   200 top is rolled back {BY}, rule command, with 0 errors and 0 successes in the trial; reason manual
due   200 entry 1 of the schedule succeeds (rollback {BY})
"
    );
    world.golden("preview canary.json commands.json --users users", 0, &out, "");
    // Records and who is on are those of the run that really holds the command.
    let file = CANARY.replace(
        r#"{ "height": 130 }"#,
        r#"{ "height": 130 }, { "height": 131, "txs": [ { "op": "disable", "name": "base" } ] }"#,
    );
    world.write(
        "held.json",
        file.replace(r#""height": 130, "features": { "base": { "status": "rolling_out" } }"#, r#""height": 131"#),
    );
    let (preview, _) = world.check("preview canary.json commands.json --users users", 0);
    let (diff, _) = world.check("diff canary.json held.json", 1);
    let is_record = |line: &&str| ["~ ", "+ ", "- "].iter().any(|mark| line.starts_with(mark));
    assert_eq!(
        preview.lines().filter(is_record).collect::<Vec<_>>(),
        diff.lines().filter(is_record).collect::<Vec<_>>()
    );

    for (args, lines) in [
        (
            r#"canary.json {"op":"enable","name":"bsae"}"#,
            &[
                "block 131, asked of 1000 users: an estimate of derived addresses",
                "tx 0 enable bsae by 0x1111111111111111111111111111111111111111: feature_not_found (there is no feature bsae; the nearest is base)",
            ][..],
        ),
        (
            r#"canary.json {"op":"reset_breaker"} --signer 0x2222222222222222222222222222222222222222"#,
            &[
                "tx 0 reset_breaker by 0x2222222222222222222222222222222222222222: unauthorized (holds operator, guardian, needs admin)",
            ],
        ),
        (
            r#"plugins.json {"op":"resume","plugin":"app"} --sample 10 --blocks 60"#,
            &[
                "plugin app: 1.0.0+linux, 2.0.0 at 5000 bps (manual_gate) -> 1.0.0+linux, 2.0.0 at 10000 bps (running)",
                "due + 27 app 2.0.0 takes over from 1.0.0+linux",
            ],
        ),
        (
            r#"canary.json [{"commands":[{"op":"disable","name":"top"},{"op":"reset_breaker"}]}] --blocks 0"#,
            &[
                "feature base: rolling_out 55 % -> rolling_out 80 %; on for about 564 -> 809 of 1000 users: 245 switched on, 0 off",
            ],
        ),
    ] {
        let (out, _) = world.check(&format!("preview {args}"), 0);
        for line in lines {
            assert!(out.lines().any(|found| found == *line), "{line}\n{out}");
        }
    }
    world.write("bad", format!("{USER}\nnobody\n"));
    world.write("empty", "\n");
    world.write("long", format!("{}\n", "1".repeat(5_000)));
    world.check("dump canary.json -o canary.dump", 0);
    for (args, words) in [
        (r#"canary.json {"op":"disable","name":"base"} --users bad"#, "bad:2: an address is 0x"),
        (r#"canary.json {"op":"disable","name":"base"} --users empty"#, "empty: there is no address in it"),
        (r#"canary.json {"op":"disable","name":"base"} --users long"#, "long:1: the line is longer"),
        (r#"canary.json {"op":"disable","name":"base"} --users missing"#, "missing: cannot be read"),
        (r#"canary.json {"op":"disable","name":"base"} --users bad --sample 5"#, "cannot be used with"),
        (r#"canary.json {"op":"disable","name":"base"} --sample 0"#, "0 is not in 1.."),
        (r#"canary.json {"op":"disabel","name":"base"}"#, "COMMANDS: line 1, column 7: unknown op \"disabel\""),
        (r#"canary.json {"op":"disable","name":7}"#, "expected a string, found a number"),
        ("canary.json missing", "missing: cannot be read"),
        (r#"canary.dump {"op":"reset_breaker"} --at 100"#, "canary.dump: a preview as of height 100 is not known"),
    ] {
        world.fails(&format!("preview {args}"), 2, words);
    }
    world.fails("preview canary.json commands.json -o commands.json", 2, "this is an input as well");
    world.fails("preview canary.json commands.json --users users -o users", 2, "this is an input as well");
    assert_eq!(world.read("commands.json"), r#"{"op": "disable", "name": "base"}"#);
}

#[test]
fn what_if_compares_decisions_side_by_side() {
    let world = World::new();
    let errors = CANARY.replace(
        r#"{ "height": 125, "expect": { "features": { "base": { "rollout_percent": 55 } } } }"#,
        r#"{ "height": 125, "txs": [ { "op": "record_error", "name": "base", "count": 9 }, { "op": "record_success", "name": "base" } ] }"#,
    );
    world.write("errors.json", errors.replace(r#", "features": { "base": { "status": "rolling_out" } }"#, ""));
    let verdict = "rule error_rate: 9 errors and 3 successes in the trial are 7500 per 10 000 (75 %), above max_error_rate 100 \
                   per 10 000 (1 %); reason error_rate";
    let out = format!(
        "\
125 feature base
  was:  base is rolled back, {verdict} [rolled_back 0 %, 9 errors, 3 successes]
  then: nothing [rolling_out 55 %, 9 errors, 4 successes]
131 feature base
  was:  nothing [rolled_back 0 %, 9 errors, 3 successes]
  then: base grows from 55 % to 80 % [rolling_out 80 %, 9 errors, 4 successes]
      rolled back at  fully on at  breaker at  errors served
was   125             -            -           9
then  -               -            -           9
decisions that differ: 2; reports with other receipts: 1
"
    );
    world.golden("what-if errors.json --set feature.base.max_error_rate=7500 --until 131", 0, &out, "");
    let sweep = "\
feature.base.max_error_rate  rolled back at  fully on at  breaker at  errors served
was                          125             -            -           9
0                            125             -            -           9
7499                         125             -            -           9
7500                         -               141          -           9
";
    world.golden("what-if errors.json --sweep feature.base.max_error_rate=0,7499,7500 --until 150", 0, sweep, "");
    let same = "      rolled back at  fully on at  breaker at  errors served
was   125             -            -           9
then  125             -            -           9
no decision differs
";
    for set in ["feature.base.max_error_rate=100", "policy.base.min_samples=10", "feature.base.increment_percent=25"] {
        world.golden(&format!("what-if errors.json --set {set}"), 0, same, "");
    }
    for (args, lines) in [
        (
            r#"canary.json --insert 110:{"op":"disable","name":"base"}"#,
            &[
                "110 added: not sent -> ok",
                "  then: base is disabled by 0x1111111111111111111111111111111111111111 [disabled 0 %, 0 errors, 3 successes]",
            ][..],
        ),
        ("canary.json --drop 100:5", &["100 tx 5: feature_not_found -> not sent", "no decision differs"]),
        ("plugins.json --set deploy.app.error_threshold_bps=499", &["11 plugin app"]),
        (
            "errors.json --set params.breaker_rollbacks=1 --set params.breaker_window=10",
            &[
                "125 ledger",
                "  then: the circuit breaker opens (error_rate), until it is reset, and rolls back what is not fully on",
            ],
        ),
    ] {
        let (out, _) = world.check(&format!("what-if {args}"), 0);
        for line in lines {
            assert!(out.lines().any(|found| found == *line), "{line}\n{out}");
        }
    }
    let many = vec!["1"; 33].join(",");
    for (args, words) in [
        ("canary.json".to_owned(), "nothing is changed: give --set, --insert, --drop or --sweep"),
        ("canary.json --set base".into(), "--set base: write PATH=VALUE"),
        (
            "canary.json --set feature.base.error_rate=1".into(),
            "--set there is no setting feature.base.error_rate; feature has description, increment_percent, increment_blocks, max_error_rate, min_success_count",
        ),
        ("canary.json --set feature.base.max_error_rate=lots".into(), "max_error_rate takes integer (0 to 10000)"),
        (
            "canary.json --set feature.bsae.max_error_rate=1".into(),
            "canary.json: no command creates bsae; the nearest is base",
        ),
        ("canary.json --set policy.bsae.salt=1".into(), "canary.json: no command creates bsae; the nearest is base"),
        (
            "plugins.json --set deploy.ap.min_requests=1".into(),
            "plugins.json: no command deploys ap; the nearest is app",
        ),
        (
            "plugins.json --set deploy.app.share_bps=1".into(),
            "plugins.json: no deployment of app has the field of deploy.app.share_bps=1; its strategy is another one",
        ),
        ("canary.json --set params.quorum=0".into(), "quorum takes integer (1 to 64)"),
        ("canary.json --drop 100".into(), "--drop 100: write HEIGHT:TX"),
        (
            "canary.json --drop 100:6".into(),
            "there is no transaction 6 at height 100 to leave out: the block has transactions 0 to 5",
        ),
        (
            "canary.json --drop 105:0".into(),
            "there is no transaction 0 at height 105 to leave out: no block has that height",
        ),
        (
            "canary.json --drop 500:0".into(),
            "there is no transaction 0 at height 500 to leave out: no block has that height",
        ),
        (
            "canary.json --insert 50:{\"op\":\"reset_breaker\"}".into(),
            "height 50 is before the first block, at height 100",
        ),
        ("canary.json --insert 110:{\"op\":\"reset\"}".into(), "line 1, column 7"),
        ("canary.json --insert soon:{}".into(), "soon is no height"),
        (format!("canary.json --sweep params.quorum={many}"), "33 values are too many; give 32 at most"),
        ("canary.json --sweep params.quorum=1,x".into(), "params.quorum=x: quorum takes integer (1 to 64)"),
        ("canary.json --set params.quorum=2 -o canary.json".into(), "this is an input as well"),
    ] {
        world.fails(&format!("what-if {args}"), 2, words);
    }
}
