//! Numbers at their edges.

use super::*;

const LAST: Height = Height::MAX;

#[test]
fn the_last_height_is_a_height_and_nothing_follows_it() {
    let mut world = World::new();
    world.run(LAST - 6, ADMIN, &[create_with("f", steps_every(5)), create_with("g", steps_every(6))]);
    world.run(LAST - 5, OPERATOR, &[canary("f", 5), rollout("f", 100), canary("g", 5), rollout("g", 100)]);
    // One falls due at the last height, the other a block too late: never.
    assert!(world.records.keys(KeyPrefix::Due).eq([Key::Step { at: LAST, name: name("f") }]));
    world.run(LAST - 2, OPERATOR, &[schedule(LAST, vec![set_override("f", USER, true)]), trip(LAST, false)]);
    assert_eq!(world.probe(&tx(OPERATOR, &[trip(LAST, false)])), refused(Reject::InvalidTransition));
    assert_eq!(
        world.probe(&tx(OPERATOR, &[trip(0, false)])),
        Receipt::Ok,
        "until a reset is later than the last height"
    );
    world.advance(LAST - 1);
    let outcome = world.block(
        LAST,
        vec![
            tx(OPERATOR, &[advance("g")]),
            tx(OPERATOR, &[schedule(LAST, vec![enable("g")])]),
            tx(OPERATOR, &[trip(LAST, false)]),
            tx(OPERATOR, &[canary("f", 1)]),
            tx(REPORTER, &[report("f", 1, 0)]),
        ],
    );
    let codes: Vec<&str> = outcome.receipts.iter().map(Receipt::name).collect();
    assert_eq!(codes, ["not_due", "height_in_past", "height_in_past", "rollout_in_progress", "ok"]);
    let names: Vec<&str> = outcome.events.iter().map(|event| event.code().name()).collect();
    assert_eq!(names, ["breaker_closed", "override_set", "schedule_executed", "stepped"]);
    assert_eq!(world.stands("f"), (Status::RollingOut, 15));
    for (height, to) in [(LAST, LAST), (0, 0), (1, 1)] {
        assert!(matches!(world.state.execute(&Block::empty(height)), Err(BlockError::NotAbove { .. })));
        assert!(matches!(world.state.advance(to), Err(BlockError::NotAbove { .. })));
    }
}

#[test]
fn the_first_block_may_have_any_height_and_every_next_one_follows() {
    for first in [0, 1, 100, LAST - 1, LAST] {
        let mut world = World::new();
        world.block(first, Vec::new());
        for wrong in [0, first, first.saturating_sub(1), first.saturating_add(2)] {
            if Some(wrong) != first.checked_add(1) {
                assert!(world.state.execute(&Block::empty(wrong)).is_err(), "{wrong} after {first}");
            }
        }
    }
}

#[test]
fn schedule_ids_end() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let mut world = world.edited::<Global>(Key::Global, |global| global.next_schedule_id = u64::MAX - 1);
    let payload = tx(OPERATOR, &[schedule(9, vec![enable("f")])]);
    assert_eq!(world.block(2, vec![payload.clone()]).events, [Event::Scheduled { id: u64::MAX - 1, at: 9 }]);
    assert_eq!(world.probe(&payload), refused(Reject::LimitExceeded));
    world.run(3, OPERATOR, &[cancel(9, u64::MAX - 1)]);
    assert_eq!(world.probe(&payload), refused(Reject::LimitExceeded), "an id is used once");
}

#[test]
fn counters_saturate() {
    let mut world = World::new();
    let changes = FeatureChanges {
        max_error_rate: Some(10_000),
        ..policy(Policy { window_blocks: NonZeroU32::new(10), max_invariant_failures: u64::MAX, ..Policy::default() })
    };
    world.run(1, ADMIN, &[create_with("f", changes)]);
    world.run(2, OPERATOR, &[canary("f", 1)]);
    let mut world = world.edited::<Feature>(Key::Feature(name("f")), |feature| {
        (feature.success_count, feature.error_count) = (u64::MAX - 1, u64::MAX - 1);
    });
    world = world.edited::<MetricsRecord>(Key::Metrics(name("f")), |MetricsRecord { metrics, .. }| {
        let near = u64::MAX - 1;
        *metrics = Metrics {
            total_operations: near,
            successful_ops: near,
            failed_ops: 0,
            peak_latency: near,
            invariant_checks: near,
            invariant_failures: near,
            latency_sum: near,
            trial_invariant_failures: near,
            trial_latency_sum: near,
            trial_operations: near,
            step_operations: near,
            window_start: 2,
            current_successes: near,
            current_errors: near,
            previous_successes: near,
            previous_errors: near,
        };
    });
    let most = Report {
        successes: u32::MAX,
        errors: u32::MAX,
        latency_total: u64::MAX,
        latency_peak: u64::MAX,
        invariant_checks: u32::MAX,
        invariant_failures: u32::MAX,
    };
    world.run(3, REPORTER, &[tell("f", most), tell("f", most)]);
    let max = u64::MAX;
    let expected = Metrics {
        total_operations: max,
        successful_ops: max,
        failed_ops: u64::from(u32::MAX) * 2,
        peak_latency: max,
        invariant_checks: max,
        invariant_failures: max,
        latency_sum: max,
        trial_invariant_failures: max,
        trial_latency_sum: max,
        trial_operations: max,
        step_operations: max,
        window_start: 2,
        current_successes: max,
        current_errors: max,
        previous_successes: max - 1,
        previous_errors: max - 1,
    };
    assert_eq!(world.state.metrics(&name("f")), Some(&expected));
    assert_eq!((world.feature("f").success_count, world.feature("f").error_count), (max, max));
    assert_eq!(world.stands("f"), (Status::Canary, 1));
}

#[test]
fn rates_are_right_at_the_largest_counts() {
    let max = u64::MAX;
    // errors and successes before a report of one success, the highest rate, whether it is exceeded.
    for (errors, successes, max_error_rate, exceeded) in [
        (max, max, 5_000, false),
        (max, max, 4_999, true),
        (max, 0, 9_999, false),
        (max, 0, 9_998, true),
        (1, max, 0, false),
        (max / 100, max, 99, false),
        (max / 100, max, 98, true),
    ] {
        let mut world = World::new();
        let changes = FeatureChanges { max_error_rate: Some(max_error_rate), ..FeatureChanges::default() };
        world.run(1, ADMIN, &[create_with("f", changes)]);
        world.run(2, OPERATOR, &[canary("f", 1)]);
        let mut world = world.edited::<Feature>(Key::Feature(name("f")), |feature| {
            (feature.error_count, feature.success_count) = (errors, successes);
        });
        let payload = tx(OPERATOR, &[rollout("f", 100)]);
        let receipt = if successes < 100 {
            Reject::InsufficientData
        } else if exceeded {
            Reject::ErrorRateExceeded
        } else {
            Reject::Malformed
        };
        if receipt == Reject::Malformed {
            assert_eq!(world.probe(&payload), Receipt::Ok);
        } else {
            assert_eq!(world.probe(&payload), refused(receipt));
        }
        world.run(3, REPORTER, &[report("f", 1, 0)]);
        let rolled_back = world.feature("f").status == Status::RolledBack;
        assert_eq!(rolled_back, exceeded, "{errors} {successes} {max_error_rate}");
    }
}

#[test]
fn the_breaker_counts_to_the_end() {
    let params = Params {
        max_due_per_block: u32::MAX,
        breaker_rollbacks: NonZeroU32::new(u32::MAX),
        breaker_window: u32::MAX,
        ..Params::default()
    };
    let mut world = World::with_params(params);
    let features = ["f", "g", "h"];
    world.run(0, ADMIN, &features.map(create));
    world.run(1, OPERATOR, &features.map(|feature| canary(feature, 1)));
    let mut world = world.edited::<Global>(Key::Global, |global| global.rollbacks_in_window = u32::MAX - 2);
    world.run(2, REPORTER, &[bad_report("f")]);
    assert_eq!((world.state.global().rollbacks_in_window, world.state.global().breaker), (u32::MAX - 1, None));
    // In one block, because the breaker that opens drains from the next one on.
    world.run(3, REPORTER, &[bad_report("g"), bad_report("h")]);
    assert_eq!(world.state.global().rollbacks_in_window, u32::MAX, "the count stays where it is");
    assert!(world.state.global().breaker.is_some_and(|breaker| breaker.draining));
}
