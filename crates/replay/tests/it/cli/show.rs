//! `show` and `check`.

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
        (format!("none {USER}"), "on false\ndecided_by none\nis_prerequisite false\nwhy unknown\n"),
    ] {
        let (out, _) = world.check(&format!("check canary.json {args}"), 0);
        assert!(out.contains(why), "check {args}\n{out}");
    }
}
