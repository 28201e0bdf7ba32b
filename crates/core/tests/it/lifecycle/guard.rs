//! The rules of the guard at their thresholds.

use super::*;

/// The one rule that decides, what it counted, what it compared: errors, successes, value, threshold.
type Decision = Option<(RollbackRule, [u64; 4])>;

struct Guarded {
    what: &'static str,
    policy: Policy,
    max_error_rate: u32,
    /// Reports by height; all but the last are borne.
    reports: Vec<(Height, Report)>,
    decision: Decision,
}

fn ok(successes: u32, errors: u32) -> Report {
    Report { successes, errors, ..SILENCE }
}

fn failures(invariant_failures: u32) -> Report {
    Report { invariant_checks: 10, invariant_failures, ..SILENCE }
}

fn slow(successes: u32, latency_total: u64) -> Report {
    Report { successes, latency_total, latency_peak: latency_total, ..SILENCE }
}

fn guarded() -> Vec<Guarded> {
    let default = Policy::default;
    let bears = |failures| Policy { max_invariant_failures: failures, ..default() };
    let samples = |min_samples| Policy { min_samples, ..default() };
    let window = || Policy { window_blocks: NonZeroU32::new(10), ..default() };
    let blocks = |window_blocks| Policy { window_blocks, ..default() };
    let latency = || Policy { max_latency: NonZeroU64::new(1_000), ..default() };
    let by = |rule| move |numbers: [u64; 4]| Some((rule, numbers));
    let invariants = by(RollbackRule::Invariants);
    let rate = by(RollbackRule::ErrorRate);
    let in_window = by(RollbackRule::WindowErrorRate);
    let too_slow = by(RollbackRule::Latency);
    // Old successes, which hide errors from rule 2.
    let old = (100, ok(100_000, 0));
    let all = [20, 0, 10_000, 100];
    let both = |policy, errors: u32| (policy, vec![old, (120, ok(0, 4)), (130, ok(0, errors))]);
    let row = |what, policy, max_error_rate, reports: &[(Height, Report)], decision| Guarded {
        what,
        policy,
        max_error_rate,
        reports: reports.to_vec(),
        decision,
    };
    let at = |report| [(100, report)];
    let (nine, ten) = (both(window(), 5), both(window(), 6));
    let sixth = [old, (120, ok(9, 0)), (139, ok(0, 1))];
    let silent = [old, (115, ok(0, 9)), (125, SILENCE), (135, ok(0, 9))];
    let unsampled = || Policy { min_samples: 0, ..latency() };
    vec![
        // Rule 1: a failure more than is borne.
        row("none borne, none", bears(0), 0, &at(failures(0)), None),
        row("none borne, one", bears(0), 0, &at(failures(1)), invariants([0, 0, 1, 0])),
        row("one below", bears(3), 0, &at(failures(2)), None),
        row("at the threshold", bears(3), 0, &at(failures(3)), None),
        row("one above", bears(3), 0, &at(failures(4)), invariants([0, 0, 4, 3])),
        row("bit by bit", bears(3), 0, &[(100, failures(3)), (105, failures(1))], invariants([0, 0, 4, 3])),
        row("needs no samples", samples(99), 0, &at(failures(1)), invariants([0, 0, 1, 0])),
        // Rule 2: 1 % and ten samples, unless the row says otherwise.
        row("one below", default(), 100, &at(ok(9_901, 99)), None),
        row("at the threshold", default(), 100, &at(ok(9_900, 100)), None),
        row("one above", default(), 100, &at(ok(9_899, 101)), rate([101, 9_899, 101, 100])),
        row("a fraction above is floored", default(), 100, &at(ok(197, 2)), None),
        row("a whole one is not", default(), 100, &at(ok(196, 2)), rate([2, 196, 101, 100])),
        row("nine samples", default(), 100, &at(ok(0, 9)), None),
        row("ten samples", default(), 100, &at(ok(0, 10)), rate([10, 0, 10_000, 100])),
        row("a success is the tenth", default(), 100, &[(100, ok(0, 9)), (101, ok(1, 0))], rate([9, 1, 9_000, 100])),
        row("an error is the tenth", default(), 100, &[(100, ok(8, 1)), (101, ok(0, 1))], rate([2, 8, 2_000, 100])),
        row("everything borne", default(), 10_000, &at(ok(0, 1_000)), None),
        row("all but everything", default(), 9_999, &at(ok(0, 20)), rate([20, 0, 10_000, 9_999])),
        row("one sample is enough", samples(1), 100, &at(ok(0, 1)), rate([1, 0, 10_000, 100])),
        row("no samples asked for", samples(0), 100, &at(ok(0, 1)), rate([1, 0, 10_000, 100])),
        row("no samples asked for, none told", samples(0), 0, &at(SILENCE), None),
        row("no error borne", samples(0), 0, &at(ok(9_999, 1)), rate([1, 9_999, 1, 0])),
        row("less than 1/10 000 is none", samples(0), 0, &at(ok(10_000, 1)), None),
        // Rule 3: windows of ten blocks from 100 on.
        row("an old success hides a new failure", default(), 100, &[old, (200, ok(0, 20))], None),
        row("not from a window", window(), 100, &[old, (200, ok(0, 20))], in_window(all)),
        row("the last block of the next window", window(), 100, &[old, (119, ok(0, 20))], None),
        row("one block later", window(), 100, &[old, (120, ok(0, 20))], in_window(all)),
        row("told late in its window", window(), 100, &[(109, old.1), (119, ok(0, 20))], None),
        row("two windows later", window(), 100, &[(109, old.1), (120, ok(0, 20))], in_window(all)),
        row("both windows: nine samples", nine.0, 100, &nine.1, None),
        row("both windows: ten", ten.0, 100, &ten.1, in_window([10, 0, 10_000, 100])),
        row("both windows: at the threshold", window(), 1_000, &sixth, None),
        row("both windows: above it", window(), 999, &sixth, in_window([1, 9, 1_000, 999])),
        row("a silent report rolls the window too", window(), 100, &silent, None),
        row(
            "a window of one block",
            blocks(NonZeroU32::new(1)),
            100,
            &[old, (101, ok(0, 9)), (102, ok(0, 11))],
            in_window(all),
        ),
        row(
            "a window that never ends",
            blocks(NonZeroU32::new(u32::MAX)),
            100,
            &[old, (4_000_000_000, ok(0, 20))],
            None,
        ),
        // Rule 4: an average of 1 000 and ten samples.
        row("latency off", default(), 0, &at(slow(10, u64::MAX)), None),
        row("one below", latency(), 0, &at(slow(10, 9_990)), None),
        row("at the threshold", latency(), 0, &at(slow(10, 10_000)), None),
        row("a fraction above is floored", latency(), 0, &at(slow(10, 10_009)), None),
        row("one above", latency(), 0, &at(slow(10, 10_010)), too_slow([0, 10, 1_001, 1_000])),
        row("nine samples", latency(), 0, &at(slow(9, 1_000_000)), None),
        row("ten samples", latency(), 0, &[(100, slow(9, 20_000)), (101, ok(1, 0))], too_slow([0, 10, 2_000, 1_000])),
        row("no samples asked for, none told", unsampled(), 0, &at(SILENCE), None),
        row("no samples asked for", unsampled(), 0, &at(slow(1, 1_001)), too_slow([0, 1, 1_001, 1_000])),
        // The first match decides.
        row("1 before 2", default(), 0, &at(Report { errors: 20, ..failures(1) }), invariants([20, 0, 1, 0])),
        row("2 before 3", window(), 0, &at(ok(0, 20)), rate([20, 0, 10_000, 0])),
        row("2 before 4", latency(), 100, &at(Report { errors: 20, ..slow(0, 1 << 40) }), rate(all)),
        row(
            "3 before 4",
            Policy { window_blocks: NonZeroU32::new(10), ..latency() },
            100,
            &[old, (200, Report { errors: 20, ..slow(0, 1 << 40) })],
            in_window(all),
        ),
    ]
}

#[test]
fn the_guard_at_below_and_above() {
    for Guarded { what, policy: rules, max_error_rate, reports, decision } in guarded() {
        let mut world = World::new();
        let changes = FeatureChanges { max_error_rate: Some(max_error_rate), ..policy(rules) };
        world.run(1, ADMIN, &[create_with("f", changes)]);
        let (last, reports) = reports.split_last().unwrap();
        // The canary starts in the block of the first report, at 100.
        let mut payloads: BTreeMap<Height, Vec<Payload>> = [(100, vec![tx(OPERATOR, &[canary("f", 5)])])].into();
        for (height, report) in reports {
            payloads.entry(*height).or_default().push(tx(REPORTER, &[tell("f", *report)]));
        }
        let before_last = payloads.clone();
        payloads.entry(last.0).or_default().push(tx(REPORTER, &[tell("f", last.1)]));
        // All but the last are borne.
        let mut borne = world.clone();
        for (height, payloads) in before_last {
            borne.at(height, payloads);
        }
        assert_eq!(borne.stands("f"), (Status::Canary, 5), "{what}: before the last report");

        for (height, payloads) in payloads {
            let outcome = world.at(height, payloads);
            assert!(outcome.receipts.iter().all(|receipt| *receipt == Receipt::Ok), "{what}");
        }
        let found: Vec<Event> =
            world.events_at(last.0).into_iter().filter(|e| e.code() == EventCode::RolledBack).collect();
        let expected = decision.map(|(rule, [errors, successes, value, threshold])| {
            let reason = match rule {
                RollbackRule::Invariants => Reason::InvariantViolation,
                RollbackRule::ErrorRate | RollbackRule::WindowErrorRate => Reason::ErrorRate,
                RollbackRule::Latency => Reason::Performance,
                RollbackRule::Command | RollbackRule::Breaker => unreachable!(),
            };
            let actor = Address::ZERO;
            Event::RolledBack { name: name("f"), rule, reason, errors, successes, value, threshold, actor }
        });
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{what}");
        let status = if decision.is_some() { Status::RolledBack } else { Status::Canary };
        assert_eq!(world.feature("f").status, status, "{what}");
    }
}

#[test]
fn the_guard_watches_every_status_that_is_on() {
    for (status, commands) in [
        (Status::Canary, vec![canary("f", 5)]),
        (Status::RollingOut, vec![canary("f", 5), rollout("f", 50)]),
        (Status::Enabled, vec![enable("f")]),
    ] {
        let mut world = World::new();
        world.run(1, ADMIN, &[create_with("f", steps_every(10))]);
        world.run(2, OPERATOR, &commands);
        assert_eq!(world.feature("f").status, status);
        world.run(3, REPORTER, &[bad_report("f")]);
        assert_eq!(world.history("f").last(), Some(&(3, 0, Status::RolledBack, 0, Cause::RolledBack)));
        assert_eq!(world.feature("f").rollback_reason, Reason::InvariantViolation);
        let change = query::history(&world.records, &name("f"), None, 99).unwrap().pop().unwrap().change;
        assert_eq!((change.reason, change.actor), (Reason::InvariantViolation, Address::ZERO));
    }
}

#[test]
fn with_the_window_off_its_fields_stay_zero() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    world.run(2, OPERATOR, &[canary("f", 5)]);
    world.run(300, REPORTER, &[report("f", 5, 0)]);
    let metrics = world.state.metrics(&name("f")).unwrap();
    assert_eq!(
        *metrics,
        coalmine_core::Metrics {
            total_operations: 5,
            successful_ops: 5,
            trial_operations: 5,
            step_operations: 5,
            ..Default::default()
        }
    );
}

/// The rule that rolls `f` back if the next block has a report of this many errors and nothing else.
fn rule_on(world: &World, errors: u32) -> Option<RollbackRule> {
    let block = Block::from_payloads(world.tip() + 1, vec![tx(REPORTER, &[report("f", 0, errors)])]).unwrap();
    let execution = world.state.execute(&block).unwrap();
    assert_eq!(execution.outcome().receipts, [Receipt::Ok]);
    execution.outcome().events.iter().find_map(|event| match event {
        Event::RolledBack { rule, .. } => Some(*rule),
        _ => None,
    })
}

/// `errors_left` is what reports of 0, 1, 2, … errors show, whichever rule they meet first.
#[test]
fn errors_left_is_exact() {
    const TRIED_MAX: u32 = 30;
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..400 {
        let mut random = Random(seed);
        let rules = Policy {
            min_samples: random.pick(&[0, 1, 10, 30, 100_000]),
            window_blocks: NonZeroU32::new(random.pick(&[0, 1, 1, 2, 5])),
            max_latency: NonZeroU64::new(random.pick(&[0, 10, 50])),
            ..Policy::default()
        };
        let max_error_rate = Some(random.pick(&[0, 100, 1_000, 5_000, 10_000]));
        let mut world = World::new();
        world.run(1, ADMIN, &[create_with("f", FeatureChanges { max_error_rate, ..policy(rules) })]);
        world.run(2, OPERATOR, &[if random.one_in(2) { canary("f", 5) } else { enable("f") }]);
        for _ in 0..8 {
            let successes = random.pick(&[0, 1, 2, 5, 20, 90, 4_000]);
            let latency_total = u64::from(successes) * random.below(200);
            let found = Report { successes, latency_total, latency_peak: latency_total, ..SILENCE };
            let errors = if random.one_in(3) { u32::try_from(random.below(4)).unwrap() } else { 0 };
            let height = world.tip() + random.pick(&[1, 1, 1, 2, 5]);
            world.run(height, REPORTER, &[tell("f", Report { errors, ..found })]);
            let left = query::progress(&world.records, &name("f"), world.tip()).unwrap().unwrap().errors_left;
            if !world.feature("f").status.is_on() {
                assert_eq!(left, None, "seed {seed}: off");
                break;
            }
            let what = format!("seed {seed} at {height}: {left:?}");
            let first = (0..=TRIED_MAX).find_map(|errors| Some((errors, rule_on(&world, errors)?)));
            let case = match (left, first) {
                (Some(0), Some((0, _))) => "any report",
                (Some(left), Some((first, rule))) => {
                    assert_eq!(left + 1, first, "{what}");
                    rule.name()
                }
                (Some(left), None) => {
                    assert!(left >= TRIED_MAX, "{what}");
                    assert_eq!(rule_on(&world, left), None, "{what}");
                    assert_ne!(rule_on(&world, left + 1), None, "{what}");
                    "many"
                }
                (None, first) => {
                    assert_eq!((first, rule_on(&world, 1_000_000), rule_on(&world, u32::MAX)), (None, None, None));
                    "none"
                }
            };
            *seen.entry(case).or_default() += 1;
        }
    }
    let cases = ["any report", "error_rate", "latency", "many", "none", "window_error_rate"];
    assert!(seen.keys().eq(&cases) && seen.values().all(|count| *count >= 5), "{seen:?}");
}

/// What was seen of an earlier trial judges no other, if it says so.
#[test]
fn a_report_may_name_its_trial() {
    let mut world = World::new();
    world.run(3, ADMIN, &[create("f")]);
    world.run(4, OPERATOR, &[enable("f")]);
    let named = |trial| tx(REPORTER, &[report_of_trial("f", trial, 1, 0)]);
    assert_eq!(world.probe(&named(0)), Receipt::Ok, "a trial that enable began has no start of its own");
    assert_eq!(world.probe(&named(4)), refused(Reject::StaleReport));
    world.run(5, OPERATOR, &[disable("f"), canary("f", 5)]);
    world.run(7, OPERATOR, &[canary("f", 9)]);
    for (trial, receipt) in
        [(0, Some(Reject::StaleReport)), (5, Some(Reject::StaleReport)), (7, None), (8, Some(Reject::StaleReport))]
    {
        assert_eq!(world.probe(&named(trial)), receipt.map_or(Receipt::Ok, refused), "{trial}");
    }
    world.run(8, OPERATOR, &[disable("f")]);
    assert_eq!(world.probe(&named(1)), refused(Reject::FeatureDisabled), "the status comes first");
}

/// The history keeps why a feature went off: the figures of the event, the deciding report included.
#[test]
fn the_history_tells_the_figures_of_a_rollback() {
    let with = |policy: Policy| FeatureChanges { policy: Some(policy), ..FeatureChanges::default() };
    let windowed = Policy { window_blocks: NonZeroU32::new(2), min_samples: 4, ..Policy::default() };
    let slow = Policy { max_latency: NonZeroU64::new(10), min_samples: 1, ..Policy::default() };
    let told = |successes, errors, latency_total, invariant_failures| {
        let (latency_peak, invariant_checks) = (latency_total, 9);
        tell("f", Report { successes, errors, latency_total, latency_peak, invariant_checks, invariant_failures })
    };
    type Row = (&'static str, FeatureChanges, Vec<(Height, Address, Command)>, [u64; 5]);
    let rows: Vec<Row> = vec![
        (
            "by command",
            with(Policy::default()),
            vec![(5, REPORTER, told(20, 0, 0, 0)), (6, GUARDIAN, rollback("f"))],
            [0, 0, 20, 0, 0],
        ),
        ("invariants", with(Policy::default()), vec![(5, REPORTER, told(3, 1, 0, 2))], [1, 1, 3, 2, 0]),
        (
            "error rate",
            with(Policy::default()),
            vec![(5, REPORTER, told(90, 0, 0, 0)), (6, REPORTER, told(7, 3, 0, 0))],
            [2, 3, 97, 300, 100],
        ),
        ("latency", with(slow), vec![(5, REPORTER, told(3, 0, 35, 0))], [4, 0, 3, 11, 10]),
        // 3 of 503 in all are too few, 3 of 5 in the window are not.
        (
            "window",
            with(windowed),
            vec![(5, REPORTER, told(500, 0, 0, 0)), (9, REPORTER, told(2, 3, 0, 0))],
            [3, 3, 2, 6_000, 100],
        ),
        (
            "breaker",
            with(Policy::default()),
            vec![(5, REPORTER, told(9, 0, 0, 0)), (6, GUARDIAN, trip(0, true))],
            [5, 0, 9, 0, 0],
        ),
    ];
    for (what, changes, steps, [rule, errors, successes, value, threshold]) in rows {
        let mut world = World::new();
        world.run(3, ADMIN, &[create_with("f", changes)]);
        world.run(4, OPERATOR, &[canary("f", 5)]);
        for (height, signer, command) in steps {
            world.run(height, signer, &[command]);
        }
        world.advance(world.tip() + 1);
        let last = query::history(&world.records, &name("f"), None, 9).unwrap().pop().unwrap().change;
        let rule = *RollbackRule::ALL.iter().find(|one| u64::from(one.tag()) == rule).unwrap();
        let expected = coalmine_core::RollbackEvidence { rule, errors, successes, value, threshold };
        assert_eq!((last.cause, last.evidence), (Cause::RolledBack, Some(expected)), "{what}");
        let event = world.events.iter().find_map(|(_, event)| match event {
            Event::RolledBack { rule, errors, successes, value, threshold, .. } => {
                Some((*rule, *errors, *successes, *value, *threshold))
            }
            _ => None,
        });
        assert_eq!(event, Some((rule, errors, successes, value, threshold)), "{what}");
    }
}
