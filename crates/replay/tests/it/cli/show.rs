//! `show` and `check`.

use std::fs::File;

use super::*;

#[test]
fn show_and_check_find_the_records() {
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
100 0 status=disabled percent=0 cause=created actor={ADMIN}
100 1 status=canary percent=5 cause=canary_started actor={ADMIN}
101 0 status=rolling_out percent=5 cause=rollout_started actor={ADMIN}
111 0 status=rolling_out percent=30 cause=stepped actor=automatic
"
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
rules 1
chain example-1
admins 1
scheduled 1
breaker none
next_schedule_id 2
rollback_window_start 0
rollbacks_in_window 0
max_due_per_block 1000
breaker_rollbacks 0
breaker_window 0
timelock 0
sequenced false
round_blocks 0
quorum 1
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
        "{\"type\":\"feature\",\"name\":\"base\",\"status\":\"canary\",\"percent\":5}\n",
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
    ] {
        let (out, _) = world.check(&format!("check canary.json {args}"), 0);
        assert!(out.contains(why), "check {args}\n{out}");
    }
}

/// A name that is not there is bad usage wherever it is given, and the nearest that is there is told. To prove that something
/// is not there is an answer.
#[test]
fn a_name_that_is_not_there_has_a_nearest() {
    let world = World::new();
    world.check("dump canary.json -o canary.dump", 0);
    world.check("dump plugins.json -o plugins.dump", 0);
    world.write("users", format!("{USER}\n"));
    for source in ["canary.json", "canary.dump"] {
        for args in [
            format!("check {source} basse {USER}"),
            format!("check {source} basse --users users"),
            format!("show {source} feature basse"),
            format!("show {source} metrics basse"),
            format!("show {source} history basse"),
            format!("show {source} overrides basse"),
        ] {
            world.fails(&args, 2, &format!("{source}: there is no feature basse; the nearest is base"));
        }
        let (_, err) = world.check(&format!("check {source} payments {USER}"), 2);
        assert!(err.contains("there is no feature payments") && !err.contains("nearest"), "{err}");
        world.check(&format!("prove {source} feature basse"), 0);
    }
    for source in ["plugins.json", "plugins.dump"] {
        for args in [
            format!("route {source} apq 0x00"),
            format!("route {source} apq --users users"),
            format!("plan {source} apq"),
            format!("show {source} plugin apq"),
            format!("show {source} plugin-history apq"),
        ] {
            world.fails(&args, 2, &format!("{source}: there is no plugin apq; the nearest is app"));
        }
    }
}

/// A line a user or unit, each with the answer that it has alone.
#[test]
fn lists_are_answered_in_one_run() {
    let world = World::new();
    let others: Vec<String> = (0..40_u32).map(|number| format!("0x{number:040x}")).collect();
    let users: Vec<&str> = others.iter().map(String::as_str).chain([USER]).collect();
    // As an editor may leave it: a mark, other ends of lines, empty lines, no end of the last.
    world.write("users.txt", format!("\u{feff}{}\r\n\n  {}", users[0], users[1..].join("\r\n")));
    let (json, err) = world.check("check canary.json base --users users.txt --format json --at 125", 0);
    let alone = |user: &&str| world.check(&format!("check canary.json base {user} --format json --at 125"), 0).0;
    assert_eq!(json, users.iter().map(alone).collect::<String>());
    let (text, told) = world.check("check canary.json base --users users.txt --at 125", 0);
    let on = json.matches(r#""on":true"#).count();
    assert!((1..40).contains(&on), "{json}");
    assert!(told.contains(&format!("base is on for {on} of 41")), "{told}{err}");
    for (line, user) in text.lines().zip(&users) {
        let (card, _) = world.check(&format!("check canary.json base {user} --at 125"), 0);
        let pairs: Vec<String> = card.lines().map(|line| line.replace(' ', "=")).collect();
        let expected = pairs.iter().filter(|pair| !pair.starts_with("name=") && !pair.starts_with("height="));
        let expected: Vec<&str> = expected.map(|pair| pair.strip_prefix("user=").unwrap_or(pair)).collect();
        assert_eq!(line, expected.join(" "));
    }
    world.golden("check canary.json top --users users.txt --at 200 -o out.txt", 0, "", "");
    assert_eq!(world.read("out.txt").lines().count(), users.len());

    world.write("units.txt", "0x00\n0x01\norder-4711\n");
    let (json, _) = world.check("route plugins.json app --users units.txt --format json", 0);
    let alone = |unit: &str| world.check(&format!("route plugins.json app {unit} --format json"), 0).0;
    assert_eq!(json, ["0x00", "0x01", "order-4711"].map(alone).concat());
    let (text, _) = world.check("route plugins.json app --users units.txt", 0);
    assert!(text.starts_with("app unit=0x00 version=2.0.0 bucket=698 share_bps=5000 height=20\n"), "{text}");
    world.write("units.txt", "0x00\n");
    let (none, _) = world.check("route plugins.json web --users units.txt", 0);
    assert_eq!(none, "web unit=0x00 version=1.0.0 bucket=none share_bps=none height=20\n");

    // A list from standard input, and one that is not good to its end: what was answered before is there.
    let mut command = world.command("check canary.json base --users -");
    let output = command.stdin(File::open(world.path("users.txt")).unwrap()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), users.len());
    for (content, words) in [
        (format!("{USER}\n0x12\n"), "bad.txt:2: an address is 0x"),
        (format!("{USER}\n\n{USER} {USER}\n"), "bad.txt:3: an address is 0x"),
        (format!("{USER}\n{}", "0".repeat(5_000)), "bad.txt:2: the line is longer than 4096 bytes"),
    ] {
        world.write("bad.txt", content);
        world.fails("check canary.json base --users bad.txt", 2, words);
    }
    world.write("bad.txt", [&b"0x00\n"[..], b"\xff\n"].concat());
    world.fails("route plugins.json app --users bad.txt", 2, "bad.txt:2: the line is not UTF-8");
    world.write("bad.txt", "0x00\n0x0\n");
    world.fails("route plugins.json app --users bad.txt", 2, "bad.txt:2: ");
    world.fails("check canary.json base --users none.txt", 2, "none.txt: cannot be read: No such file");
    world.fails("check canary.json base", 2, "<ADDRESS>");
    world.fails(&format!("check canary.json base {USER} --users users.txt"), 2, "cannot be used with");
    world.fails("check - base --users -", 2, "standard input is read once");
    world.fails("route - app --users -", 2, "standard input is read once");
    world.fails("check canary.json base --users users.txt -o users.txt", 2, "this is an input as well");
}
