//! The rules of the features, as rows: what each command does from each status, each reject by its
//! shortest path, the order of the checks, ties of the guard, due work, the breaker, the answers.
//!
//! The rows are written from the specification of the state machine. [`World`] checks after every
//! block that root, indexes, history and records agree.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::num::NonZeroU64;

use coalmine_core::query::{self, Entry, Fault, Visit};
use coalmine_core::{
    Address, Block, BlockError, BreakerClosedBy, Bucketing, Cause, Command, CommandKind, Encode, Event, EventCode,
    FeatureChanges, FeedPart, Height, Key, KeyPrefix, Name, Outcome, Params, Payload, Policy, Read, Reason, Receipt,
    Reject, Report, Role, RollbackRule, Status, Why,
};

use crate::common::*;

// What every command on a feature does from every status.

const STATUSES: usize = Status::ALL.len();

/// What becomes of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// This status, percent and cause.
    To(Status, u8, Cause),
    /// It stays what it is, and its history with it.
    Stays,
    /// The command is refused.
    No(Reject),
}

/// The table: a row for each command that names a feature, a column for each of `Status::ALL`.
///
/// The feature has increment 10 and, in each status, all that the command could ask for: data, a
/// due step, an override of the user. A canary stands at 5 %, its new percent is 7, a target 50.
fn row(kind: CommandKind) -> Option<(Address, Command, [Then; STATUSES])> {
    use Cause::{CanaryStarted, RolloutStarted, Stepped};
    use Reject::{FeatureAlreadyExists, FeatureDisabled, InvalidTransition, RolloutInProgress};
    use Status::{Canary, Disabled, Enabled, RolledBack, RollingOut};
    use Then::{No, Stays, To};
    let trial = To(Canary, 7, CanaryStarted);
    let enabled = To(Enabled, 100, Cause::Enabled);
    let disabled = To(Disabled, 0, Cause::Disabled);
    let back = To(RolledBack, 0, Cause::RolledBack);
    let (off, busy, wrong) = (No(FeatureDisabled), No(RolloutInProgress), No(InvalidTransition));
    Some(match kind {
        //                                        Disabled, Canary, RollingOut, Enabled, RolledBack
        CommandKind::CreateFeature => (ADMIN, create("f"), [No(FeatureAlreadyExists); STATUSES]),
        CommandKind::ConfigureFeature => {
            (ADMIN, configure("f", FeatureChanges::default()), [Stays, busy, busy, busy, Stays])
        }
        CommandKind::StartCanary => (OPERATOR, canary("f", 7), [trial, trial, busy, wrong, trial]),
        CommandKind::StartRollout => {
            (OPERATOR, rollout("f", 50), [off, To(RollingOut, 5, RolloutStarted), busy, wrong, off])
        }
        CommandKind::AdvanceRollout => (OPERATOR, advance("f"), [off, wrong, To(RollingOut, 15, Stepped), wrong, off]),
        CommandKind::Enable => (OPERATOR, enable("f"), [enabled, enabled, enabled, wrong, enabled]),
        CommandKind::Disable => (OPERATOR, disable("f"), [wrong, disabled, disabled, disabled, disabled]),
        CommandKind::Rollback => (GUARDIAN, rollback("f"), [off, back, back, back, off]),
        CommandKind::SetOverride => (OPERATOR, set_override("f", USER, false), [Stays; STATUSES]),
        CommandKind::ClearOverride => (OPERATOR, clear_override("f", USER), [Stays; STATUSES]),
        CommandKind::Report => (REPORTER, report("f", 1, 0), [off, Stays, Stays, Stays, off]),
        kind => {
            assert_ne!(subject(kind), Subject::Feature, "{kind} has no row");
            return None;
        }
    })
}

/// What the breaker and the prerequisites gate: the commands that raise exposure.
fn raises(kind: CommandKind) -> bool {
    [CommandKind::StartCanary, CommandKind::StartRollout, CommandKind::AdvanceRollout, CommandKind::Enable]
        .contains(&kind)
}

#[track_caller]
fn check_then(world: &World, signer: Address, command: &Command, then: Then, what: &str) {
    let payload = tx(signer, std::slice::from_ref(command));
    let receipt = world.probe(&payload);
    match then {
        Then::No(reject) => assert_eq!(receipt, refused(reject), "{what}"),
        Then::Stays | Then::To(..) => {
            assert_eq!(receipt, Receipt::Ok, "{what}");
            let (mut world, before) = (world.clone(), world.clone());
            let height = world.tip() + 1;
            let events = world.block(height, vec![payload]).events;
            let mut history = before.history("f");
            let stands = match then {
                Then::To(status, percent, cause) => {
                    history.push((height, 0, status, percent, cause));
                    assert_eq!(events.len(), 1, "{what}: {events:?}");
                    (status, percent)
                }
                _ => before.stands("f"),
            };
            assert_eq!(world.stands("f"), stands, "{what}");
            assert_eq!(world.history("f"), history, "{what}");
        }
    }
}

#[test]
fn status_by_command() {
    for (column, status) in Status::ALL.iter().enumerate() {
        let closed = bring_feature(*status);
        let open = {
            let mut world = closed.clone();
            world.run(11, GUARDIAN, &[trip(0, false)]);
            world
        };
        let unmet = {
            let mut world = closed.clone();
            world.run(11, OPERATOR, &[disable("base")]);
            world
        };
        for kind in CommandKind::ALL {
            let Some((signer, command, row)) = row(*kind) else { continue };
            let what = format!("{kind} from {status}");
            let then = row[column];
            check_then(&closed, signer, &command, then, &what);

            let gated = if raises(*kind) { Then::No(Reject::CircuitOpen) } else { then };
            check_then(&open, signer, &command, gated, &format!("{what}, breaker open"));

            let gated = match then {
                Then::To(..) if raises(*kind) => Then::No(Reject::PrerequisiteNotActive),
                Then::To(..) | Then::Stays | Then::No(_) => then,
            };
            check_then(&unmet, signer, &command, gated, &format!("{what}, prerequisite off"));

            check_then(&open, NOBODY, &command, Then::No(Reject::Unauthorized), &format!("{what}, by nobody"));
        }
    }
}

#[test]
fn an_unknown_feature_is_not_found_before_anything_else_of_the_state() {
    let mut world = World::new();
    world.run(1, GUARDIAN, &[trip(0, false)]);
    for kind in CommandKind::ALL {
        let Some((signer, command, _)) = row(*kind) else { continue };
        let expected = match kind {
            CommandKind::CreateFeature => Receipt::Ok,
            _ => refused(Reject::FeatureNotFound),
        };
        assert_eq!(world.probe(&tx(signer, &[command])), expected, "{kind}");
    }
}

// What the transitions write.

#[test]
fn a_configure_that_changes_nothing_writes_nothing() {
    for of in [Policy::default(), Policy { min_samples: 7, ..Policy::default() }] {
        let mut world = World::new();
        world.run(1, ADMIN, &[create_with("f", policy(of.clone()))]);
        let root = world.state.root();
        world.run(2, ADMIN, &[configure("f", policy(of))]);
        assert_eq!(world.state.root(), root);
    }
}

/// Every field of a feature that a command changes, and no other.
#[test]
fn transitions_write_their_fields_alone() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let mut expected = world.feature("f").clone();
    let defaults = (
        (expected.status, expected.rollout_percent.get(), expected.target_percent.get()),
        (expected.increment_percent.get(), expected.increment_blocks, expected.start_block),
        (expected.last_increment_block, expected.max_error_rate, expected.min_success_count),
        (expected.enabled_by, expected.rollback_reason, expected.error_count, expected.success_count),
    );
    let written = ((Status::Disabled, 0, 100), (10, 8_640, 0), (0, 100, 100), (ADMIN, Reason::Manual, 0, 0));
    assert_eq!(defaults, written);
    let mut step = |height: Height, signer: Address, command: Command, edit: &dyn Fn(&mut coalmine_core::Feature)| {
        world.run(height, signer, std::slice::from_ref(&command));
        edit(&mut expected);
        assert_eq!(world.feature("f"), &expected, "{command:?}");
    };
    let changes = FeatureChanges { increment_percent: Some(percent(20)), ..steps_every(3) };
    step(2, ADMIN, configure("f", changes), &|f| {
        (f.increment_percent, f.increment_blocks, f.min_success_count) = (percent(20), 3, 0);
    });
    step(5, OPERATOR, canary("f", 5), &|f| {
        (f.status, f.rollout_percent, f.start_block, f.last_increment_block) = (Status::Canary, percent(5), 5, 5);
    });
    step(6, REPORTER, report("f", 99, 0), &|f| f.success_count = 99);
    step(7, REPORTER, report("f", 1, 1), &|f| (f.success_count, f.error_count) = (100, 1));
    step(8, OPERATOR, rollout("f", 45), &|f| {
        (f.status, f.target_percent, f.last_increment_block) = (Status::RollingOut, percent(45), 8);
    });
    // A step falls due by itself at 11; the commands of that block come after it.
    step(11, OPERATOR, set_override("f", USER, true), &|f| {
        (f.rollout_percent, f.last_increment_block) = (percent(25), 11);
    });
    step(14, OPERATOR, set_override("f", USER, true), &|f| {
        (f.status, f.rollout_percent, f.last_increment_block) = (Status::Canary, percent(45), 14);
    });
    step(20, OPERATOR, rollout("f", 46), &|f| {
        (f.status, f.target_percent, f.last_increment_block) = (Status::RollingOut, percent(46), 20);
    });
    step(21, OPERATOR, enable("f"), &|f| (f.status, f.rollout_percent) = (Status::Enabled, percent(100)));
    step(22, GUARDIAN, rollback("f"), &|f| {
        (f.status, f.rollout_percent, f.rollback_reason) = (Status::RolledBack, percent(0), Reason::ConsensusFailure);
    });
    // A new trial: the counts start again. The reason of the rollback stays.
    step(23, OPERATOR, enable("f"), &|f| {
        (f.status, f.rollout_percent, f.error_count, f.success_count) = (Status::Enabled, percent(100), 0, 0);
    });
    step(24, OPERATOR, disable("f"), &|f| (f.status, f.rollout_percent) = (Status::Disabled, percent(0)));
    step(25, OPERATOR, canary("f", 0), &|f| {
        (f.status, f.start_block, f.last_increment_block) = (Status::Canary, 25, 25);
    });
}

#[test]
fn a_trial_starts_with_a_canary_and_with_enabling_what_was_off() {
    // What brings `f` to its status, the command, whether it starts a trial.
    let rows: Vec<(&str, Vec<Command>, Command, bool)> = vec![
        ("canary from canary", vec![], canary("f", 1), true),
        ("canary from disabled", vec![disable("f")], canary("f", 1), true),
        ("canary from rolled back", vec![rollback("f")], canary("f", 1), true),
        ("enable from disabled", vec![disable("f")], enable("f"), true),
        ("enable from rolled back", vec![rollback("f")], enable("f"), true),
        ("enable from canary", vec![], enable("f"), false),
        ("enable from rolling out", vec![rollout("f", 100)], enable("f"), false),
        ("rollout from canary", vec![], rollout("f", 100), false),
        ("disable", vec![], disable("f"), false),
        ("rollback", vec![], rollback("f"), false),
    ];
    for (what, before, command, new_trial) in rows {
        let mut world = World::new();
        let windowed =
            policy(Policy { window_blocks: NonZeroU32::new(5), max_invariant_failures: 9, ..Policy::default() });
        let changes = FeatureChanges { max_error_rate: Some(10_000), ..steps_every(1_000) };
        world.run(1, ADMIN, &[create_with("f", FeatureChanges { policy: windowed.policy, ..changes })]);
        world.run(2, OPERATOR, &[canary("f", 1)]);
        let told = Report {
            successes: 3,
            errors: 2,
            latency_total: 50,
            latency_peak: 20,
            invariant_checks: 4,
            invariant_failures: 1,
        };
        world.run(3, REPORTER, &[tell("f", told)]);
        world.run(8, REPORTER, &[tell("f", told)]);
        if !before.is_empty() {
            world.run(9, OPERATOR, &before);
        }
        let (feature, metrics) = (world.feature("f").clone(), *world.state.metrics(&name("f")).unwrap());
        assert_eq!((feature.success_count, feature.error_count), (6, 4));
        assert_eq!((metrics.previous_successes, metrics.current_errors, metrics.window_start), (3, 2, 7));
        world.run(10, OPERATOR, &[command]);
        let now = world.state.metrics(&name("f")).unwrap();
        let expected = if new_trial { metrics.new_trial() } else { metrics };
        assert_eq!(*now, expected, "{what}");
        let counts = if new_trial { (0, 0) } else { (6, 4) };
        assert_eq!((world.feature("f").success_count, world.feature("f").error_count), counts, "{what}");
        if new_trial {
            let zeros = [
                now.trial_invariant_failures,
                now.trial_latency_sum,
                now.trial_operations,
                now.step_operations,
                u64::from(now.window_start),
                now.current_successes,
                now.current_errors,
                now.previous_successes,
                now.previous_errors,
            ];
            assert_eq!(zeros, [0; 9], "{what}");
        }
        assert_eq!((now.total_operations, now.invariant_failures, now.latency_sum), (10, 2, 100), "{what}");
    }
}

#[test]
fn step_operations_restart_with_a_step_that_is_made_and_only_there() {
    let mut world = World::new();
    let changes = manual(steps_every(1));
    world.run(1, ADMIN, &[create_with("f", changes)]);
    world.run(2, OPERATOR, &[canary("f", 95)]);
    world.run(3, REPORTER, &[report("f", 7, 0)]);
    let operations = |world: &World| world.state.metrics(&name("f")).unwrap().step_operations;
    world.run(4, OPERATOR, &[rollout("f", 100)]);
    assert_eq!(operations(&world), 7, "start_rollout does not touch it");
    world.run(5, OPERATOR, &[advance("f")]);
    assert_eq!((world.stands("f"), operations(&world)), ((Status::Enabled, 100), 0));
    // A canary at 100 may roll out to 100: the step sets the percent to what it is, and counts.
    world.run(6, OPERATOR, &[disable("f"), canary("f", 100), rollout("f", 100)]);
    world.run(7, REPORTER, &[report("f", 7, 0)]);
    world.run(8, OPERATOR, &[advance("f")]);
    assert_eq!((world.stands("f"), operations(&world)), ((Status::Enabled, 100), 0));
    let names: Vec<&str> = world.events_at(8).iter().map(|event| event.code().name()).collect();
    assert_eq!(names, ["stepped", "status_changed"]);
}

/// Percent, increment, target: where the next step leads.
#[test]
fn steps_end_at_their_target() {
    for (from, increment, target, to, status, cause) in [
        (5, 10, 100, 15, Status::RollingOut, Cause::Stepped),
        (5, 10, 15, 15, Status::Canary, Cause::TargetReached),
        (5, 10, 14, 14, Status::Canary, Cause::TargetReached),
        (5, 10, 16, 15, Status::RollingOut, Cause::Stepped),
        (90, 10, 100, 100, Status::Enabled, Cause::TargetReached),
        (90, 9, 100, 99, Status::RollingOut, Cause::Stepped),
        (99, 100, 100, 100, Status::Enabled, Cause::TargetReached),
        (100, 100, 100, 100, Status::Enabled, Cause::TargetReached),
        (0, 100, 1, 1, Status::Canary, Cause::TargetReached),
        (0, 1, 100, 1, Status::RollingOut, Cause::Stepped),
    ] {
        for by_hand in [false, true] {
            let mut world = World::new();
            let changes = FeatureChanges { increment_percent: Some(percent(increment)), ..steps_every(7) };
            let changes = if by_hand { manual(changes) } else { changes };
            world.run(1, ADMIN, &[create_with("f", changes)]);
            world.run(2, OPERATOR, &[canary("f", from), rollout("f", target)]);
            world.advance(8);
            assert_eq!(world.stands("f"), (Status::RollingOut, from), "not before it is due");
            assert_eq!(
                world.probe(&tx(OPERATOR, &[advance("f")])),
                match by_hand {
                    true => Receipt::Ok,
                    // The block makes the step by itself, so nothing is due any more.
                    false if status == Status::RollingOut => refused(Reject::NotDue),
                    false => refused(Reject::InvalidTransition),
                }
            );
            let actor = if by_hand { OPERATOR } else { Address::ZERO };
            let payloads = if by_hand { vec![tx(OPERATOR, &[advance("f")])] } else { vec![] };
            let events = world.block(9, payloads).events;
            assert_eq!(world.stands("f"), (status, to));
            assert_eq!(world.history("f").last(), Some(&(9, 0, status, to, cause)));
            let stepped = Event::Stepped { name: name("f"), from_percent: percent(from), to_percent: percent(to) };
            let changed = Event::StatusChanged {
                name: name("f"),
                from: Status::RollingOut,
                to: status,
                percent: percent(to),
                cause,
                actor,
            };
            let reached = [stepped, changed];
            assert_eq!(events, reached[..if cause == Cause::Stepped { 1 } else { 2 }]);
        }
    }
}

/// Held for lack of operations: the clock starts again, nothing else changes.
#[test]
fn a_step_is_held_below_its_operations() {
    for (operations, held) in [(0, true), (9, true), (10, false), (11, false)] {
        let mut world = World::new();
        let needs = policy(Policy { step_min_operations: 10, ..Policy::default() });
        world.run(1, ADMIN, &[create_with("f", FeatureChanges { policy: needs.policy, ..steps_every(5) })]);
        world.run(2, OPERATOR, &[canary("f", 5), rollout("f", 100)]);
        world.run(3, REPORTER, &[report("f", operations, 0)]);
        let before = world.feature("f").clone();
        let events = world.at(7, vec![]).events;
        let operations = u64::from(operations);
        if held {
            assert_eq!(events, [Event::StepHeld { name: name("f"), operations, needed: 10 }]);
            let expected = coalmine_core::Feature { last_increment_block: 7, ..before };
            assert_eq!(world.feature("f"), &expected);
            assert_eq!(world.history("f").last().unwrap().0, 2, "a held step is no entry");
            world.run(8, REPORTER, &[report("f", 10, 0)]);
            world.advance(11);
            assert_eq!(world.stands("f").1, 5);
            world.advance(12);
            assert_eq!(world.stands("f").1, 15);
        } else {
            assert_eq!(world.stands("f").1, 15);
        }
        assert_eq!(world.state.metrics(&name("f")).unwrap().step_operations, 0);
    }
}

/// After a gap in which steps could not be made there is one step, not several.
#[test]
fn after_a_gap_there_is_one_step() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create_with("f", steps_every(5))]);
    world.run(2, OPERATOR, &[canary("f", 5), rollout("f", 100)]);
    world.run(3, GUARDIAN, &[trip(50, false)]);
    world.advance(60);
    let steps: Vec<_> = world.history("f")[3..].iter().map(|entry| (entry.0, entry.3)).collect();
    assert_eq!(steps, [(50, 15), (55, 25), (60, 35)]);
}

// Every reject by its shortest path.

/// The transactions before, and the one that is refused.
struct Path {
    reject: Reject,
    before: Vec<(Address, Vec<Command>)>,
    last: Payload,
}

fn paths() -> Vec<Path> {
    use Reject::*;
    let path = |reject, before: Vec<(Address, Vec<Command>)>, last| Path { reject, before, last };
    let made = || (ADMIN, vec![create("f")]);
    let canary_at_5 = || (OPERATOR, vec![canary("f", 5)]);
    let easy = || (ADMIN, vec![create_with("f", steps_every(10))]);
    // f0 rests on nothing, f1 on f0, … f8 on f7: eight edges. A ninth is too many.
    let chain = |n: usize| create_on(&format!("f{n}"), &[format!("f{}", n - 1).as_str()]);
    let tower = || vec![(ADMIN, vec![create("f0")]), (ADMIN, (1..=8).map(chain).collect())];
    let one = |signer, command: Command| tx(signer, &[command]);
    vec![
        path(Malformed, vec![], Payload::from_bytes(b"")),
        path(Unauthorized, vec![], one(NOBODY, create("f"))),
        path(FeatureNotFound, vec![], one(OPERATOR, enable("f"))),
        path(FeatureAlreadyExists, vec![made()], one(ADMIN, create("f"))),
        path(FeatureDisabled, vec![made()], one(REPORTER, report("f", 1, 0))),
        path(RolloutInProgress, vec![made(), canary_at_5()], one(ADMIN, configure("f", FeatureChanges::default()))),
        path(InsufficientData, vec![made(), canary_at_5()], one(OPERATOR, rollout("f", 100))),
        path(
            ErrorRateExceeded,
            vec![easy(), canary_at_5(), (REPORTER, vec![report("f", 8, 1)])],
            one(OPERATOR, rollout("f", 100)),
        ),
        path(InvalidTransition, vec![], one(ADMIN, Command::ResetBreaker)),
        path(CircuitOpen, vec![made(), (GUARDIAN, vec![trip(0, false)])], one(OPERATOR, enable("f"))),
        path(PrerequisiteNotActive, vec![made(), (ADMIN, vec![create_on("g", &["f"])])], one(OPERATOR, enable("g"))),
        path(PrerequisiteCycle, vec![], one(ADMIN, create_on("f", &["f"]))),
        path(PrerequisiteNotFound, vec![], one(ADMIN, create_on("f", &["g"]))),
        path(InvalidName, vec![], raw_tx(OPERATOR, &[with_byte(&enable("f"), 0, b'_')])),
        path(InvalidPercent, vec![], raw_tx(OPERATOR, &[with_byte(&canary("f", 0), 0, 101)])),
        path(InvalidParameter, vec![], one(ADMIN, set_params(None, Some(1), None))),
        path(LimitExceeded, tower(), one(ADMIN, chain(9))),
        path(NotDue, vec![easy(), (OPERATOR, vec![canary("f", 5), rollout("f", 100)])], one(OPERATOR, advance("f"))),
        path(HeightInPast, vec![], one(GUARDIAN, trip(1, false))),
        path(ScheduleNotFound, vec![], one(OPERATOR, cancel(9, 1))),
        path(LastAdmin, vec![], one(ADMIN, revoke(ADMIN, Role::Admin))),
        path(OverrideNotFound, vec![made()], one(OPERATOR, clear_override("f", USER))),
        path(RoleNotFound, vec![], one(ADMIN, revoke(OPERATOR, Role::Reporter))),
        path(FeedItemTooLarge, vec![], raw_tx(FEEDER, &[patch_bytes(b"e", 4_097)])),
        path(FeedTooManyItems, vec![(FEEDER, flood(0, 4_096))], one(FEEDER, put(FeedPart::Last, &[("~~~", 1)], &[]))),
        path(InvalidFeedId, vec![], raw_tx(FEEDER, &[patch_bytes(b"e f", 0)])),
        path(FeedPutNotOpen, vec![], one(FEEDER, put(FeedPart::Last, &[], &[]))),
    ]
}

#[test]
fn every_reject_is_produced_and_changes_nothing() {
    let mut produced = BTreeSet::new();
    for Path { reject, before, last } in paths() {
        let mut world = World::new();
        for (height, (signer, commands)) in (1..).zip(&before) {
            world.run(height, *signer, commands);
        }
        assert_eq!(world.probe(&last), refused(reject), "{reject}");
        produced.insert(reject);
        // Each transaction before is needed: without it this is no path to that reject.
        for left_out in 0..before.len() {
            let mut world = World::new();
            for (height, (index, (signer, commands))) in (1..).zip(before.iter().enumerate()) {
                if index != left_out {
                    world.try_run(height, *signer, commands);
                }
            }
            assert_ne!(world.probe(&last), refused(reject), "{reject} without step {left_out}");
        }
    }
    // Those of plugins have rows of their own, beside the tables of plugins.
    let is_of_plugins = |reject: &Reject| (40..80).contains(&reject.code());
    let has_row = |reject: &Reject| is_of_plugins(reject) || produced.contains(reject);
    assert!(Reject::ALL.iter().all(has_row), "a reject that no row produces");
}

/// Rejects of one code by other ways: each rule and each row of the specification.
#[test]
fn rejects_by_rule() {
    let mut world = World::new();
    let needs = |names: &[&str]| {
        policy(Policy { prerequisites: names.iter().map(|text| name(text)).collect(), ..Policy::default() })
    };
    world.run(1, ADMIN, &[create("f"), create_on("g", &["f"]), create_with("r", steps_every(10))]);
    world.run(2, OPERATOR, &[canary("r", 5), rollout("r", 50), schedule(9, vec![enable("f")])]);
    let of = |changes| configure("f", changes).to_bytes();
    let some = FeatureChanges::default;
    let blocks = of(FeatureChanges { increment_blocks: Some(1), ..some() });
    let rate = of(FeatureChanges { max_error_rate: Some(10_000), ..some() });
    let rate_of = |rate_bytes: [u8; 4]| {
        let at = rate.windows(4).position(|four| four == 10_000_u32.to_be_bytes()).unwrap();
        [&rate[..at], &rate_bytes, &rate[at + 4..]].concat()
    };
    let blocks_of_0 = {
        let at = blocks.windows(4).position(|four| four == [0, 0, 0, 1]).unwrap();
        [&blocks[..at], &[0; 4], &blocks[at + 4..]].concat()
    };
    let failures_of = |invariant_checks, invariant_failures| Report { invariant_checks, invariant_failures, ..SILENCE };
    let bad = |report: Report| tell_bytes("r", report);
    use Reject::*;
    let rows: Vec<(&str, Address, Vec<u8>, Option<Reject>)> = vec![
        ("configure with other prerequisites", ADMIN, of(needs(&["g"])), Some(InvalidParameter)),
        ("configure without its own", ADMIN, configure("g", needs(&[])).to_bytes(), Some(InvalidParameter)),
        ("configure with its own", ADMIN, configure("g", needs(&["f"])).to_bytes(), None),
        ("increment_blocks 0", ADMIN, blocks_of_0, Some(InvalidParameter)),
        ("increment_blocks 1", ADMIN, blocks, None),
        ("max_error_rate 10000", ADMIN, rate.clone(), None),
        ("max_error_rate 10001", ADMIN, rate_of(10_001_u32.to_be_bytes()), Some(InvalidParameter)),
        ("more failures than checks", REPORTER, bad(failures_of(1, 2)), Some(InvalidParameter)),
        ("as many failures as checks", REPORTER, bad(failures_of(1, 1)), None),
        ("latency without operations", REPORTER, bad(Report { latency_total: 1, ..SILENCE }), Some(InvalidParameter)),
        ("peak without operations", REPORTER, bad(Report { latency_peak: 1, ..SILENCE }), Some(InvalidParameter)),
        ("latency of an error", REPORTER, bad(Report { errors: 1, latency_total: 1, ..SILENCE }), None),
        ("nothing told", REPORTER, bad(SILENCE), None),
        ("params: window 0 while off", ADMIN, set_params(None, Some(0), Some(0)).to_bytes(), None),
        ("params: on with a window", ADMIN, set_params(None, Some(1), Some(1)).to_bytes(), None),
        ("params: no due work", ADMIN, set_params_bytes(Some(0), None, None), Some(InvalidParameter)),
        ("params: least due work", ADMIN, set_params(Some(1), None, None).to_bytes(), None),
        ("params: nothing given", ADMIN, set_params(None, None, None).to_bytes(), None),
        ("nested name", OPERATOR, nested(99, &with_byte(&enable("f"), 0, b'-')), Some(InvalidName)),
        ("nested percent", OPERATOR, nested(99, &with_byte(&canary("f", 0), 0, 101)), Some(InvalidPercent)),
        ("nested report", OPERATOR, nested(99, &report("r", 1, 0).to_bytes()), Some(InvalidParameter)),
        ("nested schedule", OPERATOR, nested(99, &schedule(99, vec![enable("f")]).to_bytes()), Some(InvalidParameter)),
        ("nested unknown feature", OPERATOR, nested(99, &enable("nobody").to_bytes()), None),
        ("nested tag that is none", OPERATOR, nested(99, &[9]), Some(Malformed)),
        ("nested twice, a tag that is none", OPERATOR, nested(99, &nested(99, &[9])), Some(Malformed)),
        ("nested and cut", OPERATOR, nested(99, &[15, 2, b'a']), Some(Malformed)),
        ("schedule at this height", OPERATOR, schedule(3, vec![enable("f")]).to_bytes(), Some(HeightInPast)),
        ("schedule at the next height", OPERATOR, schedule(4, vec![enable("f")]).to_bytes(), None),
        ("cancel another id", OPERATOR, cancel(9, 2).to_bytes(), Some(ScheduleNotFound)),
        ("cancel at another height", OPERATOR, cancel(8, 1).to_bytes(), Some(ScheduleNotFound)),
        ("cancel", ADMIN, cancel(9, 1).to_bytes(), None),
        ("trip until this height", GUARDIAN, trip(3, false).to_bytes(), Some(HeightInPast)),
        ("trip until the next height", GUARDIAN, trip(4, false).to_bytes(), None),
        ("grant what is held", ADMIN, grant(OPERATOR, Role::Operator).to_bytes(), None),
        ("revoke what Admin implies", ADMIN, revoke(ADMIN, Role::Operator).to_bytes(), Some(RoleNotFound)),
        ("override as it is", OPERATOR, set_override("f", USER, true).to_bytes(), None),
        ("name of 64 bytes", OPERATOR, enable_bytes(&[b'n'; 64]), Some(FeatureNotFound)),
        ("name of 65 bytes", OPERATOR, enable_bytes(&[b'n'; 65]), Some(InvalidName)),
        ("description of 1024 bytes", ADMIN, create_bytes("new", 1_024), None),
        ("description of 1025 bytes", ADMIN, create_bytes("new", 1_025), Some(LimitExceeded)),
    ];
    for (what, signer, bytes, expected) in rows {
        let expected = expected.map_or(Receipt::Ok, refused);
        assert_eq!(world.probe(&raw_tx(signer, &[bytes])), expected, "{what}");
    }
}

/// A prerequisite that is met and one that is not; a target that leads somewhere.
#[test]
fn rollouts_ask_for_data() {
    type Row = (&'static str, u64, u32, (u32, u32), u8, u8, Option<Reject>);
    let rows: Vec<Row> = vec![
        // min_success_count, max_error_rate, successes and errors told, canary percent, target.
        ("one success short", 100, 100, (99, 0), 5, 100, Some(Reject::InsufficientData)),
        ("just enough", 100, 100, (100, 0), 5, 100, None),
        ("nothing told, nothing asked", 0, 0, (0, 0), 5, 100, None),
        ("rate at the threshold", 0, 1_000, (8, 1), 5, 100, Some(Reject::ErrorRateExceeded)),
        ("1111 of 1111", 0, 1_111, (8, 1), 5, 100, None),
        ("1111 of 1110", 0, 1_110, (8, 1), 5, 100, Some(Reject::ErrorRateExceeded)),
        ("one sample", 0, 9_999, (0, 1), 5, 100, Some(Reject::ErrorRateExceeded)),
        ("one sample, all borne", 0, 10_000, (0, 1), 5, 100, None),
        ("target above", 0, 0, (0, 0), 5, 6, None),
        ("target as it is", 0, 0, (0, 0), 5, 5, Some(Reject::InvalidPercent)),
        ("target below", 0, 0, (0, 0), 5, 4, Some(Reject::InvalidPercent)),
        ("target 100 from 100", 0, 0, (0, 0), 100, 100, None),
        ("target 0 from 0", 0, 0, (0, 0), 0, 0, Some(Reject::InvalidPercent)),
    ];
    for (what, min_success_count, max_error_rate, (successes, errors), from, target, expected) in rows {
        let mut world = World::new();
        let changes = FeatureChanges {
            min_success_count: Some(min_success_count),
            max_error_rate: Some(max_error_rate),
            ..FeatureChanges::default()
        };
        world.run(1, ADMIN, &[create_with("f", changes)]);
        world.run(2, OPERATOR, &[canary("f", from)]);
        world.run(3, REPORTER, &[report("f", successes, errors)]);
        let expected = expected.map_or(Receipt::Ok, refused);
        assert_eq!(world.probe(&tx(OPERATOR, &[rollout("f", target)])), expected, "{what}");
    }
}

// The order of the checks.

#[test]
fn of_two_rejects_the_earlier_check_wins() {
    use Reject::*;
    let bad_name = |command: &Command| {
        let mut bytes = command.to_bytes();
        bytes[2] = b'_';
        bytes
    };
    let percent_101 = |command: Command| with_byte(&command, 0, 101);
    let bad_report = |feature: &str| tell_bytes(feature, Report { invariant_failures: 1, ..SILENCE });
    let long = |feature: &str| create_bytes(feature, 1_025);
    let other_policy = policy(Policy { prerequisites: vec![name("on")], ..Policy::default() });
    let mut closed = World::new();
    closed.run(1, ADMIN, &[create("off"), create("on"), create_on("resting", &["off"])]);
    closed.run(
        2,
        ADMIN,
        &[
            create_with("rolling", manual(steps_every(50))),
            create_on("due", &["on"]),
            create("short"),
            create_with(
                "bad",
                FeatureChanges {
                    min_success_count: Some(9),
                    ..policy(Policy { min_samples: 99, ..Policy::default() })
                },
            ),
        ],
    );
    // `due` and `data` rest on `on`, which goes off when they have started.
    closed.run(
        3,
        ADMIN,
        &[
            create_with("data", policy(Policy { prerequisites: vec![name("on")], ..Policy::default() })),
            create_with("step", {
                let changes = manual(steps_every(50));
                let policy = Policy { prerequisites: vec![name("on")], ..changes.policy.clone().unwrap() };
                FeatureChanges { policy: Some(policy), ..changes }
            }),
        ],
    );
    closed.run(
        4,
        OPERATOR,
        &[
            enable("on"),
            canary("rolling", 5),
            rollout("rolling", 50),
            canary("data", 5),
            canary("step", 5),
            rollout("step", 50),
            enable("due"),
            canary("short", 5),
            canary("bad", 5),
            disable("on"),
        ],
    );
    closed.run(5, REPORTER, &[report("short", 0, 9), report("bad", 8, 1)]);
    let mut full = closed.clone();
    full.run(6, REPORTER, &[report("bad", 1, 0)]);
    let mut open = closed.clone();
    open.run(6, GUARDIAN, &[trip(0, false)]);

    // The winner, the loser, in which world, by whom, what.
    let rows: Vec<(Reject, Reject, &World, Address, Vec<u8>)> = vec![
        // Decoding before authority.
        (Malformed, Unauthorized, &closed, NOBODY, vec![9]),
        (Malformed, Unauthorized, &closed, NOBODY, with_byte(&rollback("off"), 0, 6)),
        (Malformed, Unauthorized, &closed, NOBODY, nested(99, &with_byte(&rollback("off"), 0, 6))),
        (Malformed, InvalidName, &closed, OPERATOR, bad_name(&enable("off"))[..2].to_vec()),
        // Authority before limits, existence, breaker, status, data.
        (Unauthorized, InvalidName, &closed, NOBODY, bad_name(&enable("off"))),
        (Unauthorized, InvalidPercent, &closed, NOBODY, percent_101(canary("off", 0))),
        (Unauthorized, InvalidParameter, &closed, NOBODY, bad_report("on")),
        (Unauthorized, LimitExceeded, &closed, NOBODY, long("x")),
        (Unauthorized, InvalidParameter, &closed, REPORTER, nested(99, &report("on", 1, 0).to_bytes())),
        (Unauthorized, FeatureNotFound, &closed, REPORTER, enable("x").to_bytes()),
        (Unauthorized, CircuitOpen, &open, GUARDIAN, enable("off").to_bytes()),
        (Unauthorized, InvalidTransition, &open, REPORTER, trip(0, false).to_bytes()),
        (Unauthorized, HeightInPast, &closed, GUARDIAN, schedule(1, vec![enable("off")]).to_bytes()),
        (Unauthorized, LastAdmin, &closed, OPERATOR, revoke(ADMIN, Role::Admin).to_bytes()),
        // Limits before existence, status and data.
        (InvalidPercent, FeatureNotFound, &closed, OPERATOR, percent_101(canary("x", 0))),
        (InvalidPercent, FeatureDisabled, &closed, OPERATOR, percent_101(rollout("off", 0))),
        (InvalidPercent, CircuitOpen, &open, OPERATOR, percent_101(canary("off", 0))),
        (InvalidParameter, FeatureNotFound, &closed, REPORTER, bad_report("x")),
        (InvalidParameter, FeatureDisabled, &closed, REPORTER, bad_report("off")),
        (LimitExceeded, FeatureAlreadyExists, &closed, ADMIN, long("off")),
        (InvalidPercent, HeightInPast, &closed, OPERATOR, nested(1, &percent_101(canary("x", 0)))),
        (InvalidParameter, HeightInPast, &closed, OPERATOR, nested(1, &report("on", 1, 0).to_bytes())),
        (InvalidParameter, InvalidName, &closed, OPERATOR, nested(1, &bad_name(&report("on", 1, 0)))),
        // Of the limits of one command, the first field's.
        (InvalidName, InvalidPercent, &closed, OPERATOR, [12, 1, b'_', 101].to_vec()),
        // Existence before breaker, status, prerequisites, data.
        (FeatureNotFound, CircuitOpen, &open, OPERATOR, enable("x").to_bytes()),
        (FeatureNotFound, OverrideNotFound, &closed, OPERATOR, clear_override("x", USER).to_bytes()),
        (FeatureNotFound, InvalidParameter, &closed, ADMIN, configure("x", other_policy.clone()).to_bytes()),
        (FeatureAlreadyExists, PrerequisiteCycle, &closed, ADMIN, create_on("off", &["off"]).to_bytes()),
        (FeatureAlreadyExists, PrerequisiteNotFound, &closed, ADMIN, create_on("off", &["x"]).to_bytes()),
        // Breaker before status, prerequisites, data.
        (CircuitOpen, InvalidTransition, &open, OPERATOR, enable("due").to_bytes()),
        (CircuitOpen, FeatureDisabled, &open, OPERATOR, rollout("off", 50).to_bytes()),
        (CircuitOpen, RolloutInProgress, &open, OPERATOR, canary("rolling", 5).to_bytes()),
        (CircuitOpen, PrerequisiteNotActive, &open, OPERATOR, enable("resting").to_bytes()),
        (CircuitOpen, InsufficientData, &open, OPERATOR, rollout("short", 50).to_bytes()),
        (CircuitOpen, NotDue, &open, OPERATOR, advance("rolling").to_bytes()),
        (InvalidTransition, HeightInPast, &open, GUARDIAN, trip(1, false).to_bytes()),
        // Status before prerequisites and data.
        (InvalidTransition, PrerequisiteNotActive, &closed, OPERATOR, enable("due").to_bytes()),
        (FeatureDisabled, PrerequisiteNotActive, &closed, OPERATOR, rollout("resting", 50).to_bytes()),
        (RolloutInProgress, PrerequisiteNotActive, &closed, OPERATOR, canary("step", 5).to_bytes()),
        (RolloutInProgress, InvalidParameter, &closed, ADMIN, configure("rolling", other_policy).to_bytes()),
        // Prerequisites before data.
        (PrerequisiteNotActive, InsufficientData, &closed, OPERATOR, rollout("data", 50).to_bytes()),
        (PrerequisiteNotActive, NotDue, &closed, OPERATOR, advance("step").to_bytes()),
        (PrerequisiteNotFound, LimitExceeded, &closed, ADMIN, create_on("new", &["x"]).to_bytes()),
        // Data in the order of the text.
        (InsufficientData, ErrorRateExceeded, &closed, OPERATOR, rollout("bad", 50).to_bytes()),
        (InsufficientData, InvalidPercent, &closed, OPERATOR, rollout("short", 4).to_bytes()),
        (ErrorRateExceeded, InvalidPercent, &full, OPERATOR, rollout("bad", 4).to_bytes()),
        (RoleNotFound, LastAdmin, &closed, ADMIN, revoke(OPERATOR, Role::Admin).to_bytes()),
    ];
    for (winner, loser, world, signer, bytes) in rows {
        let receipt = world.probe(&raw_tx(signer, std::slice::from_ref(&bytes)));
        assert_eq!(receipt, refused(winner), "{winner} must win over {loser}: {}", hex::encode(bytes));
    }
}

#[test]
fn authority_and_rules_are_checked_command_by_command() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f"), grant(USER, Role::Admin)]);
    let invalid = with_byte(&canary("f", 0), 0, 101);
    let bytes = |commands: &[Command]| -> Vec<Vec<u8>> { commands.iter().map(Encode::to_bytes).collect() };
    let rejected = |reject, index| Receipt::Rejected { reject, index };
    use Reject::*;
    let rows: Vec<(Address, Vec<Vec<u8>>, Receipt)> = vec![
        // The effects of the commands before count.
        (USER, bytes(&[grant(USER, Role::Operator), revoke(USER, Role::Admin), canary("f", 1)]), Receipt::Ok),
        (USER, bytes(&[revoke(USER, Role::Admin), canary("f", 1)]), rejected(Unauthorized, 1)),
        (USER, bytes(&[revoke(USER, Role::Admin), revoke(ADMIN, Role::Admin)]), rejected(Unauthorized, 1)),
        (USER, bytes(&[revoke(ADMIN, Role::Admin), revoke(USER, Role::Admin)]), rejected(LastAdmin, 1)),
        (ADMIN, bytes(&[grant(NOBODY, Role::Admin), revoke(ADMIN, Role::Admin)]), Receipt::Ok),
        (ADMIN, bytes(&[create("g"), create("g")]), rejected(FeatureAlreadyExists, 1)),
        (ADMIN, bytes(&[create("g"), create_on("h", &["g"]), enable("g"), enable("h")]), Receipt::Ok),
        (ADMIN, bytes(&[create("g"), create_on("h", &["g"]), enable("h")]), rejected(PrerequisiteNotActive, 2)),
        (OPERATOR, bytes(&[trip(0, false), enable("f")]), rejected(CircuitOpen, 1)),
        (ADMIN, bytes(&[trip(0, false), Command::ResetBreaker, enable("f")]), Receipt::Ok),
        (OPERATOR, bytes(&[schedule(9, vec![enable("f")]), cancel(9, 1)]), Receipt::Ok),
        (
            ADMIN,
            bytes(&[set_params(None, Some(1), Some(5)), set_params(None, None, Some(0))]),
            rejected(InvalidParameter, 1),
        ),
        // A rule is broken when its command's turn comes; until then the first failure decides.
        (OPERATOR, vec![enable("x").to_bytes(), invalid.clone()], rejected(FeatureNotFound, 0)),
        (OPERATOR, vec![enable("f").to_bytes(), invalid.clone()], rejected(InvalidPercent, 1)),
        (USER, vec![revoke(USER, Role::Admin).to_bytes(), invalid], rejected(Unauthorized, 1)),
        // What does not decode is no transaction at all.
        (OPERATOR, vec![enable("x").to_bytes(), vec![9]], rejected(Malformed, 0)),
        // The last of sixteen.
        (
            ADMIN,
            bytes(&[vec![grant(USER, Role::Feeder); 15], vec![create("f")]].concat()),
            rejected(FeatureAlreadyExists, 15),
        ),
    ];
    for (signer, commands, expected) in rows {
        assert_eq!(world.probe(&raw_tx(signer, &commands)), expected, "{commands:?}");
    }
}

// Atomic transactions.

#[test]
fn a_transaction_that_fails_undoes_everything() {
    let params = Params { max_due_per_block: 5, breaker_rollbacks: NonZeroU32::new(1), breaker_window: 10 };
    let mut before = World::with_params(params);
    let guarded = policy(Policy { window_blocks: NonZeroU32::new(7), ..Policy::default() });
    before.run(1, ADMIN, &[create_with("f", FeatureChanges { policy: guarded.policy, ..steps_every(3) }), create("g")]);
    before.run(2, OPERATOR, &[canary("f", 5), rollout("f", 90), set_override("f", USER, true)]);
    before.run(3, OPERATOR, &[schedule(20, vec![enable("f")])]);
    before.run(4, REPORTER, &[report("f", 20, 0)]);

    // Everything that a command can change, the breaker tripped by a report included.
    let changes = vec![
        create("h"),
        create_on("i", &["f", "g"]),
        canary("g", 50),
        report("g", 1, 0),
        set_override("f", USER, false),
        set_override("g", USER, true),
        clear_override("f", USER),
        schedule(30, vec![disable("f")]),
        cancel(20, 1),
        grant(NOBODY, Role::Admin),
        revoke(OPERATOR, Role::Operator),
        disable("f"),
        configure("f", steps_every(99)),
        bad_report("g"),
        set_params(Some(9), Some(2), Some(3)),
    ];
    let fails = enable("nobody");
    let first = tx(OPERATOR, &[set_override("g", USER, true), schedule(40, vec![enable("g")]), disable("f")]);
    let last = tx(ADMIN, &[create("z"), schedule(50, vec![enable("z")]), canary("f", 9), enable("g")]);
    let run = |between: Vec<Payload>| {
        let payloads = [vec![first.clone()], between, vec![last.clone()]].concat();
        before.state.execute(&Block::from_payloads(5, payloads).unwrap()).unwrap()
    };
    let without = run(vec![]);
    assert!(without.outcome().receipts.iter().all(|receipt| *receipt == Receipt::Ok));
    // Each beginning of the list, and each single command, followed by one that fails. The first
    // transaction has changed what they find, so some fail earlier; most do not.
    let mut lists: Vec<Vec<Command>> = (1..=changes.len()).map(|n| changes[..n].to_vec()).collect();
    lists.extend(changes.iter().map(|change| vec![change.clone()]));
    let mut failed_last = 0;
    for mut commands in lists {
        commands.push(fails.clone());
        let with = run(vec![tx(ADMIN, &commands)]);
        let receipt = with.outcome().receipts[1];
        assert_ne!(receipt, Receipt::Ok);
        failed_last += usize::from(usize::from(receipt.index()) == commands.len() - 1);
        assert_eq!(with.outcome().events, without.outcome().events, "{commands:?}");
        assert_eq!(writes(&with), writes(&without), "{commands:?}");
        assert_eq!(with.root(), without.root());
        // And what is committed is the same decoded state.
        let (mut a, mut b) = (before.clone(), before.clone());
        a.commit(with);
        b.commit(without.clone());
        for height in 6..60 {
            assert_eq!(a.at(height, vec![]), b.at(height, vec![]));
            assert_eq!(a.state.root(), b.state.root());
        }
    }
    assert!(failed_last > 15, "{failed_last} lists came as far as their last command");
}

/// The same in the middle of a block that has touched the same records before and does after.
#[test]
fn an_undone_transaction_leaves_numbers_as_they_were() {
    let params = Params { max_due_per_block: 5, breaker_rollbacks: NonZeroU32::new(2), breaker_window: 10 };
    let mut world = World::with_params(params);
    world.run(1, ADMIN, &[create("f"), create("g")]);
    world.run(2, OPERATOR, &[canary("f", 5), canary("g", 5)]);
    let fails = enable("nobody");
    let outcome = world.block(
        3,
        vec![
            tx(OPERATOR, &[schedule(9, vec![enable("f")]), canary("f", 6)]),
            tx(
                ADMIN,
                &[canary("f", 7), schedule(9, vec![enable("f")]), bad_report("f"), bad_report("g"), fails.clone()],
            ),
            tx(ADMIN, &[canary("f", 8), schedule(9, vec![enable("f")]), fails]),
            tx(OPERATOR, &[schedule(9, vec![enable("f")]), canary("f", 9)]),
            tx(REPORTER, &[bad_report("g")]),
        ],
    );
    let names: Vec<&str> = outcome.receipts.iter().map(Receipt::name).collect();
    assert_eq!(names, ["ok", "feature_not_found", "feature_not_found", "ok", "ok"]);
    let ids: Vec<u64> = outcome
        .events
        .iter()
        .filter_map(|e| if let Event::Scheduled { id, .. } = e { Some(*id) } else { None })
        .collect();
    assert_eq!(ids, [1, 2], "ids of undone transactions are not consumed");
    let seqs: Vec<_> = world.history("f").iter().filter(|e| e.0 == 3).map(|e| (e.1, e.3)).collect();
    assert_eq!(seqs, [(0, 6), (1, 9)]);
    assert_eq!(world.state.global().rollbacks_in_window, 1);
    assert_eq!(world.state.global().breaker, None);
    assert_eq!(world.stands("f"), (Status::Canary, 9));
}

// The guard.

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

// The breaker.

/// Rollbacks by the guard at these heights, with two in a window of 100 blocks, then: at which of
/// them the breaker opened, the start of the window, the count.
#[test]
fn enough_rollbacks_in_a_window_open_the_breaker() {
    type Row = (u32, u32, &'static [Height], &'static [Height], Height, u32);
    let rows: &[Row] = &[
        // rollbacks, window, when, opened, start, count
        (0, 0, &[100, 101, 102], &[], 0, 0),
        (1, 100, &[100], &[100], 100, 1),
        (2, 100, &[100], &[], 100, 1),
        (2, 100, &[100, 101], &[101], 100, 2),
        (2, 100, &[100, 199], &[199], 100, 2),
        (2, 100, &[100, 200], &[], 200, 1),
        (2, 100, &[100, 200, 299], &[299], 200, 2),
        (2, 100, &[100, 200, 300], &[], 300, 1),
        (2, 1, &[100, 101], &[], 101, 1),
        (3, 100, &[50, 149, 150], &[], 150, 1),
        (3, 101, &[50, 149, 150], &[150], 50, 3),
        // The count stays, and every further rollback in the window opens the breaker again.
        (2, 100, &[100, 101, 110, 120], &[101, 110, 120], 100, 4),
        (2, 100, &[100, 101, 200, 201], &[101, 201], 200, 2),
    ];
    for (breaker_rollbacks, breaker_window, when, opened, start, count) in rows {
        let (breaker_rollbacks, breaker_window) = (*breaker_rollbacks, *breaker_window);
        let mut world = World::with_params(Params {
            max_due_per_block: 9,
            breaker_rollbacks: NonZeroU32::new(breaker_rollbacks),
            breaker_window,
        });
        world.run(1, ADMIN, &[create("f")]);
        let mut trips = Vec::new();
        for height in *when {
            if world.state.global().breaker.is_some() {
                let draining = world.state.global().breaker.unwrap().draining;
                assert_eq!(draining, world.tip() == *trips.last().unwrap());
                // All in one block: reset, canary, rollback.
                world.at(
                    *height,
                    vec![
                        tx(ADMIN, &[Command::ResetBreaker]),
                        tx(OPERATOR, &[canary("f", 5)]),
                        tx(REPORTER, &[bad_report("f")]),
                    ],
                );
            } else {
                world.at(*height, vec![tx(OPERATOR, &[canary("f", 5)]), tx(REPORTER, &[bad_report("f")])]);
            }
            let tripped: Vec<Event> =
                world.events_at(*height).into_iter().filter(|e| e.code() == EventCode::BreakerTripped).collect();
            if !tripped.is_empty() {
                let reason = Reason::InvariantViolation;
                assert_eq!(
                    tripped,
                    [Event::BreakerTripped { reason, until: None, draining: true, actor: Address::ZERO }]
                );
                let breaker = world.state.global().breaker.unwrap();
                assert_eq!((breaker.since, breaker.until, breaker.reason), (*height, None, reason));
                trips.push(*height);
            }
        }
        assert_eq!(trips, *opened, "{breaker_rollbacks} in {breaker_window} at {when:?}");
        let global = world.state.global();
        assert_eq!((global.rollback_window_start, global.rollbacks_in_window), (*start, *count), "{when:?}");
    }
}

#[test]
fn rollbacks_count_while_the_breaker_is_open_and_only_those_of_the_guard() {
    let mut world =
        World::with_params(Params { max_due_per_block: 9, breaker_rollbacks: NonZeroU32::new(3), breaker_window: 50 });
    world.run(1, ADMIN, &[create("f"), create("g"), create("h"), create("i")]);
    world.run(2, OPERATOR, &[canary("f", 5), canary("g", 5), canary("h", 5), canary("i", 5)]);
    world.run(3, GUARDIAN, &[rollback("f")]);
    assert_eq!(world.state.global().rollbacks_in_window, 0, "a rollback by command does not count");
    world.run(4, GUARDIAN, &[trip(0, false)]);
    let tripped = *world.state.global();
    world.run(5, REPORTER, &[bad_report("g")]);
    world.run(6, REPORTER, &[bad_report("h")]);
    world.run(7, REPORTER, &[bad_report("i")]);
    assert_eq!((world.state.global().rollbacks_in_window, world.state.global().rollback_window_start), (3, 5));
    assert_eq!(world.state.global().breaker, tripped.breaker, "an open breaker stays as it is");
    world.run(8, ADMIN, &[Command::ResetBreaker]);
    assert_eq!(world.state.global().breaker, None, "the count alone opens nothing");
    world.run(9, OPERATOR, &[canary("f", 5)]);
    world.run(10, REPORTER, &[bad_report("f")]);
    assert!(world.state.global().breaker.unwrap().draining);
    // Drained features do not count.
    let mut world =
        World::with_params(Params { max_due_per_block: 9, breaker_rollbacks: NonZeroU32::new(3), breaker_window: 50 });
    world.run(1, ADMIN, &[create("f"), create("g")]);
    world.run(2, OPERATOR, &[canary("f", 5), canary("g", 5)]);
    world.run(3, GUARDIAN, &[trip(0, true)]);
    world.advance(4);
    assert_eq!(world.stands("g"), (Status::RolledBack, 0));
    assert_eq!(world.state.global().rollbacks_in_window, 0);
}

#[test]
fn a_trip_drains_from_the_next_block_on() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("a"), create("b"), create_with("c", steps_every(5)), create("d")]);
    world.run(2, OPERATOR, &[canary("b", 5), canary("c", 5), rollout("c", 50), enable("d"), canary("a", 5)]);
    let outcome = world.at(6, vec![tx(GUARDIAN, &[trip(0, true)]), tx(REPORTER, &[report("b", 1, 0)])]);
    assert_eq!(outcome.receipts, [Receipt::Ok, Receipt::Ok]);
    let open = Event::BreakerTripped { reason: Reason::ConsensusFailure, until: None, draining: true, actor: GUARDIAN };
    assert_eq!(outcome.events, [open]);
    assert_eq!(world.stands("b"), (Status::Canary, 5), "nothing is drained in the block of the trip");
    // At 7 the step of c is due, but parked; a, b, c go in name order, d is enabled and stays.
    let drained = |feature: &str, successes| Event::RolledBack {
        name: name(feature),
        rule: RollbackRule::Breaker,
        reason: Reason::CircuitBreaker,
        errors: 0,
        successes,
        value: 0,
        threshold: 0,
        actor: Address::ZERO,
    };
    let events = world.block(7, vec![]).events;
    assert_eq!(events, [drained("a", 0), drained("b", 1), drained("c", 0), Event::BreakerDrained]);
    assert_eq!(world.stands("d"), (Status::Enabled, 100));
    assert_eq!(world.feature("a").rollback_reason, Reason::CircuitBreaker);
    let breaker = world.state.global().breaker.unwrap();
    assert_eq!((breaker.draining, breaker.since, breaker.actor), (false, 6, GUARDIAN));
    assert_eq!(world.block(8, vec![]).events, []);
}

#[test]
fn a_policy_is_stored_while_it_differs_from_the_default() {
    let mut world = World::new();
    let salted = || policy(Policy { salt: 7, ..Policy::default() });
    world.run(1, ADMIN, &[create("f")]);
    for (changes, is_stored) in [
        (salted(), true),
        (FeatureChanges::default(), true),
        (policy(Policy::default()), false),
        (policy(Policy::default()), false),
        (salted(), true),
    ] {
        let height = world.tip() + 1;
        world.run(height, ADMIN, &[configure("f", changes)]);
        assert_eq!(world.records.keys(KeyPrefix::Policy).count(), usize::from(is_stored), "at {height}");
    }
}

#[test]
fn draining_shares_its_budget_with_due_work() {
    // max_due_per_block, scheduled entries due at 4, then how many are drained in 4, 5, 6, … and
    // the height at which draining ends. Six features drain.
    for (budget, due, drained, end) in [
        (1_000, 0, vec![6], 4),
        (6, 0, vec![6], 4),
        (5, 0, vec![5, 1], 5),
        (3, 0, vec![3, 3], 5),
        (4, 1, vec![3, 3], 5),
        (4, 4, vec![0, 4, 2], 6),
        (4, 6, vec![0, 2, 4], 6),
        (1, 0, vec![1, 1, 1, 1, 1, 1], 9),
        (6, 1, vec![5, 1], 5),
        (7, 1, vec![6], 4),
    ] {
        let params = Params { max_due_per_block: budget, breaker_rollbacks: None, breaker_window: 0 };
        let mut world = World::with_params(params);
        let names = ["a", "b", "c", "d", "e", "f"];
        world.run(1, ADMIN, &names.map(create));
        world.run(2, OPERATOR, &names.map(|feature| canary(feature, 5)));
        let entry = tx(OPERATOR, &[schedule(4, vec![set_override("a", USER, true)])]);
        world.block(3, [vec![entry; due], vec![tx(GUARDIAN, &[trip(0, true)])]].concat());
        let mut per_block = Vec::new();
        while world.state.global().breaker.unwrap().draining {
            let height = world.tip() + 1;
            let events = world.block(height, vec![]).events;
            per_block.push(events.iter().filter(|event| event.code() == EventCode::RolledBack).count());
            let ended = events.contains(&Event::BreakerDrained);
            assert_eq!(ended, !world.state.global().breaker.unwrap().draining);
        }
        assert_eq!((per_block, world.tip()), (drained, end), "budget {budget}, due {due}");
    }
}

#[test]
fn what_due_work_has_rolled_back_is_not_drained_again() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("a"), create("b")]);
    world.run(2, OPERATOR, &[canary("a", 5), canary("b", 5), schedule(4, vec![rollback("a")])]);
    world.run(3, GUARDIAN, &[trip(0, true)]);
    let events = world.block(4, vec![]).events;
    let names: Vec<&str> = events.iter().map(|event| event.code().name()).collect();
    assert_eq!(names, ["rolled_back", "schedule_executed", "rolled_back", "breaker_drained"]);
    let reasons = ["a", "b"].map(|feature| world.feature(feature).rollback_reason);
    assert_eq!(reasons, [Reason::ConsensusFailure, Reason::CircuitBreaker]);
}

/// A report rolls back what the drain would have; the drain ends when the index is empty, with
/// nothing to do and no budget left.
#[test]
fn draining_ends_when_nothing_is_active() {
    let mut world = World::with_params(Params { max_due_per_block: 1, breaker_rollbacks: None, breaker_window: 0 });
    world.run(1, ADMIN, &[create("a"), create("b"), create("c")]);
    world.run(2, OPERATOR, &[canary("a", 5), canary("b", 5), schedule(4, vec![enable("c")])]);
    world.run(3, GUARDIAN, &[trip(0, true)]);
    // The only due entry takes the whole budget; then a disable and a rollback empty the index.
    let outcome = world.block(4, vec![tx(OPERATOR, &[disable("a")]), tx(REPORTER, &[bad_report("b")])]);
    let names: Vec<&str> = outcome.events.iter().map(|event| event.code().name()).collect();
    assert_eq!(names, ["schedule_executed", "status_changed", "rolled_back"]);
    assert!(world.state.global().breaker.unwrap().draining, "looked at before the transactions");
    assert_eq!(world.block(5, vec![]).events, [Event::BreakerDrained]);
    // Nothing active at all: the drain ends at the first look.
    let mut world = World::new();
    world.run(1, GUARDIAN, &[trip(0, true)]);
    assert_eq!(world.block(2, vec![]).events, [Event::BreakerDrained]);
    assert_eq!(world.block(3, vec![]).events, []);
    // Reset while draining: nothing more is drained.
    let mut world = World::with_params(Params { max_due_per_block: 1, breaker_rollbacks: None, breaker_window: 0 });
    world.run(1, ADMIN, &[create("a"), create("b")]);
    world.run(2, OPERATOR, &[canary("a", 5), canary("b", 5)]);
    world.run(3, GUARDIAN, &[trip(0, true)]);
    world.run(4, ADMIN, &[Command::ResetBreaker]);
    world.advance(9);
    assert_eq!((world.stands("a").0, world.stands("b").0), (Status::RolledBack, Status::Canary));
}

#[test]
fn the_breaker_expires_at_its_height() {
    // until, drained by then, the height at which it closes.
    let mut world = World::new();
    world.run(1, ADMIN, &[create_with("f", steps_every(4))]);
    world.run(2, OPERATOR, &[canary("f", 5), rollout("f", 50)]);
    world.run(3, GUARDIAN, &[trip(8, false)]);
    world.advance(7);
    assert!(world.state.global().breaker.is_some());
    assert_eq!(world.stands("f"), (Status::RollingOut, 5), "the step due at 6 is parked");
    let outcome = world.block(8, vec![tx(OPERATOR, &[enable("f")])]);
    let names: Vec<&str> = outcome.events.iter().map(|event| event.code().name()).collect();
    assert_eq!(names, ["breaker_closed", "stepped", "status_changed"], "closed before the due work");
    assert_eq!(outcome.events[0], Event::BreakerClosed { by: BreakerClosedBy::Expiry });
    // A breaker that still drains does not expire; it does in the block after the drain has ended.
    let mut world = World::with_params(Params { max_due_per_block: 1, breaker_rollbacks: None, breaker_window: 0 });
    world.run(1, ADMIN, &[create("a"), create("b"), create("c")]);
    world.run(2, OPERATOR, &[canary("a", 5), canary("b", 5), canary("c", 5)]);
    world.run(3, GUARDIAN, &[trip(4, true)]);
    world.advance(20);
    let closed: Vec<_> = world
        .events
        .iter()
        .filter(|(_, e)| matches!(e.code(), EventCode::BreakerClosed | EventCode::BreakerDrained))
        .map(|(h, e)| (*h, e.code()))
        .collect();
    assert_eq!(closed, [(6, EventCode::BreakerDrained), (7, EventCode::BreakerClosed)]);
    // And one whose height lies after the drain closes then.
    let mut world = World::new();
    world.run(3, GUARDIAN, &[trip(10, true)]);
    world.advance(20);
    assert_eq!(world.events.last(), Some(&(10, Event::BreakerClosed { by: BreakerClosedBy::Expiry })));
    assert_eq!(world.state.global().breaker, None);
}

// Due work.

#[test]
fn scheduled_commands_run_in_order_as_their_scheduler() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f"), create("g"), grant(USER, Role::Operator), grant(NOBODY, Role::Operator)]);
    world.run(
        2,
        USER,
        &[schedule(10, vec![canary("f", 5), enable("g")]), schedule(9, vec![set_override("f", USER, true)])],
    );
    world.run(3, NOBODY, &[schedule(10, vec![enable("f")])]);
    world.run(4, OPERATOR, &[schedule(10, vec![enable("f"), enable("g")]), schedule(10, vec![disable("f")])]);
    // One scheduler loses the role before, and the entry fails for it.
    world.run(5, ADMIN, &[revoke(NOBODY, Role::Operator)]);
    assert_eq!(
        world.at(9, vec![]).events,
        [
            Event::OverrideSet { name: name("f"), user: USER, enabled: true },
            Event::ScheduleExecuted { id: 2, code: 0, index: 0 },
        ]
    );
    let events = world.block(10, vec![tx(OPERATOR, &[canary("f", 3)])]).events;
    let changed = |feature: &str, from, to, share, cause, actor| Event::StatusChanged {
        name: name(feature),
        from,
        to,
        percent: percent(share),
        cause,
        actor,
    };
    assert_eq!(
        events,
        [
            changed("f", Status::Disabled, Status::Canary, 5, Cause::CanaryStarted, USER),
            changed("g", Status::Disabled, Status::Enabled, 100, Cause::Enabled, USER),
            Event::ScheduleExecuted { id: 1, code: 0, index: 0 },
            Event::ScheduleExecuted { id: 3, code: Reject::Unauthorized.code(), index: 0 },
            // Atomic: f was enabled, g is so already, and f is not any more.
            Event::ScheduleExecuted { id: 4, code: Reject::InvalidTransition.code(), index: 1 },
            changed("f", Status::Canary, Status::Disabled, 0, Cause::Disabled, OPERATOR),
            Event::ScheduleExecuted { id: 5, code: 0, index: 0 },
            changed("f", Status::Disabled, Status::Canary, 3, Cause::CanaryStarted, OPERATOR),
        ]
    );
    let seqs: Vec<_> = world.history("f")[1..].iter().map(|e| (e.0, e.1, e.2)).collect();
    assert_eq!(seqs, [(10, 0, Status::Canary), (10, 1, Status::Disabled), (10, 2, Status::Canary)]);
    // A failure consumes the entry.
    assert_eq!(world.records.keys(KeyPrefix::Due).count(), 0);
    assert_eq!(world.block(11, vec![]).events, []);
}

#[test]
fn a_backlog_is_worked_off_in_order() {
    let mut world = World::with_params(Params { max_due_per_block: 3, breaker_rollbacks: None, breaker_window: 0 });
    world.run(1, ADMIN, &[create("f"), create_with("g", steps_every(4)), create_with("h", steps_every(5))]);
    world.run(2, OPERATOR, &[canary("g", 5), rollout("g", 90), canary("h", 5), rollout("h", 90)]);
    // Eight entries, ids 1 to 8, due at 6 and 5; steps of g and h due at 6 and 7.
    world.run(
        3,
        OPERATOR,
        &(0..8).map(|n| schedule(6 - n % 2, vec![set_override("f", USER, true)])).collect::<Vec<_>>(),
    );
    let ids = |events: &[Event]| -> Vec<u64> {
        events
            .iter()
            .filter_map(|e| if let Event::ScheduleExecuted { id, .. } = e { Some(*id) } else { None })
            .collect()
    };
    let steps = |events: &[Event]| events.iter().filter(|event| event.code() == EventCode::Stepped).count();
    let mut told = Vec::new();
    for height in 4..=10 {
        let events = world.block(height, vec![]).events;
        told.push((height, ids(&events), steps(&events)));
    }
    assert_eq!(
        told,
        [
            (4, vec![], 0),
            (5, vec![2, 4, 6], 0),
            (6, vec![8, 1, 3], 0),
            (7, vec![5, 7], 1),
            (8, vec![], 1),
            (9, vec![], 0),
            (10, vec![], 0),
        ]
    );
    // The step of g was due at 6 and made at 7, so the next is due at 11; that of h at 13.
    assert_eq!(world.history("g").last().unwrap().0, 7);
    assert_eq!(world.history("h").last().unwrap().0, 8);
    assert!(
        world
            .records
            .keys(KeyPrefix::Due)
            .eq([Key::Step { at: 11, name: name("g") }, Key::Step { at: 13, name: name("h") },])
    );
}

#[test]
fn an_entry_of_a_backlog_can_be_cancelled() {
    let mut world = World::with_params(Params { max_due_per_block: 1, breaker_rollbacks: None, breaker_window: 0 });
    world.run(1, ADMIN, &[create("f")]);
    world.run(2, OPERATOR, &vec![schedule(4, vec![enable("f")]); 3]);
    world.advance(4);
    world.run(5, ADMIN, &[cancel(4, 3)]);
    world.advance(9);
    let done: Vec<_> = world
        .events
        .iter()
        .filter(|(_, e)| matches!(e.code(), EventCode::ScheduleExecuted | EventCode::ScheduleCancelled))
        .map(|(h, e)| (*h, e.clone()))
        .collect();
    assert_eq!(
        done,
        [
            (4, Event::ScheduleExecuted { id: 1, code: 0, index: 0 }),
            (5, Event::ScheduleExecuted { id: 2, code: Reject::InvalidTransition.code(), index: 0 }),
            (5, Event::ScheduleCancelled { id: 3 }),
        ]
    );
}

/// Scheduled commands that take a step away, or make it, leave nothing of it to this block; what is
/// skipped is not counted.
#[test]
fn a_due_step_that_was_removed_meanwhile_is_skipped_and_not_counted() {
    for (what, commands, stepped) in [
        ("disabled", vec![disable("a")], vec!["b"]),
        ("rolled back", vec![rollback("a")], vec!["b"]),
        ("enabled", vec![enable("a")], vec!["b"]),
        ("stepped by hand", vec![advance("a")], vec!["a", "b"]),
        ("started again", vec![disable("a"), canary("a", 1), rollout("a", 9)], vec!["b"]),
        ("neither", vec![set_override("a", USER, true)], vec!["a"]),
    ] {
        let mut world = World::with_params(Params { max_due_per_block: 2, breaker_rollbacks: None, breaker_window: 0 });
        world.run(1, ADMIN, &["a", "b", "c"].map(|feature| create_with(feature, steps_every(5))));
        for feature in ["a", "b", "c"] {
            world.run(world.tip() + 1, OPERATOR, &[set_override(feature, USER, false)]);
        }
        world.run(5, OPERATOR, &["a", "b", "c"].map(|feature| canary(feature, 5)));
        world.run(6, OPERATOR, &["a", "b", "c"].map(|feature| rollout(feature, 90)));
        world.run(7, OPERATOR, &[schedule(11, commands)]);
        let events = world.at(11, vec![]).events;
        let found: Vec<String> = events
            .iter()
            .filter_map(|event| if let Event::Stepped { name, .. } = event { Some(name.to_string()) } else { None })
            .collect();
        assert_eq!(found, stepped, "{what}: {events:?}");
        let first = if what == "neither" { "a" } else { "b" };
        assert!(world.history(first).iter().any(|entry| entry.0 == 11), "{what}");
    }
}

#[test]
fn parked_steps_are_neither_due_nor_counted_while_the_breaker_is_open() {
    let mut world = World::with_params(Params { max_due_per_block: 1, breaker_rollbacks: None, breaker_window: 0 });
    world.run(1, ADMIN, &["a", "b"].map(|feature| create_with(feature, steps_every(3))));
    world.run(2, OPERATOR, &["a", "b"].map(|feature| canary(feature, 5)));
    world.run(3, OPERATOR, &["a", "b"].map(|feature| rollout(feature, 90)));
    world.run(4, OPERATOR, &[trip(0, false), schedule(6, vec![set_override("a", USER, true)])]);
    assert_eq!(world.block(5, vec![]).events, []);
    let names = |events: &[Event]| events.iter().map(|event| event.code().name()).collect::<Vec<_>>();
    assert_eq!(names(&world.block(6, vec![]).events), ["override_set", "schedule_executed"]);
    // Breaker open: the only busy height below 40 is none.
    let executions = world.executions;
    world.advance(40);
    assert_eq!(world.executions, executions + 1);
    world.run(41, ADMIN, &[Command::ResetBreaker]);
    assert_eq!(names(&world.block(42, vec![]).events), ["stepped"]);
    assert_eq!(names(&world.block(43, vec![]).events), ["stepped"]);
    assert_eq!((world.stands("a").1, world.stands("b").1), (15, 15));
}

#[test]
fn a_scheduled_step_and_the_automatic_one_are_one() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create_with("f", steps_every(5))]);
    world.run(2, OPERATOR, &[canary("f", 5), rollout("f", 90), schedule(7, vec![advance("f")])]);
    let outcome = world.at(7, vec![tx(OPERATOR, &[advance("f")])]);
    assert_eq!(outcome.receipts, [refused(Reject::NotDue)], "at most one step a block");
    assert_eq!(world.stands("f"), (Status::RollingOut, 15));
    let actor = query::history(&world.records, &name("f"), None, 99).unwrap().pop().unwrap().change.actor;
    assert_eq!(actor, OPERATOR);
}

// Empty blocks.

/// A ledger with everything that falls due: steps of several intervals, one held, one parked for
/// ever, scheduled entries, a backlog, a breaker that drains and expires.
fn busy(max_due: u32) -> World {
    let mut world = World::with_params(Params {
        max_due_per_block: max_due,
        breaker_rollbacks: NonZeroU32::new(2),
        breaker_window: 30,
    });
    let held = Policy { step_min_operations: 5, ..Policy::default() };
    world.run(
        1,
        ADMIN,
        &[
            create_with("a", steps_every(7)),
            create_with("ab", FeatureChanges { increment_percent: Some(percent(1)), ..steps_every(3) }),
            create_with("b", FeatureChanges { policy: Some(held), ..steps_every(11) }),
            create_with("c", manual(steps_every(2))),
            create_with("d", steps_every(u32::MAX)),
            create("e"),
        ],
    );
    world.run(2, OPERATOR, &["a", "ab", "b", "c", "d"].map(|feature| canary(feature, 5)));
    world.run(3, OPERATOR, &["a", "b", "c", "d"].map(|feature| rollout(feature, 100)));
    world.run(4, OPERATOR, &[rollout("ab", 9)]);
    world.run(
        5,
        OPERATOR,
        &(20..36).map(|at| schedule(at, vec![set_override("e", user(at), at % 2 == 0)])).collect::<Vec<_>>(),
    );
    world.run(
        6,
        OPERATOR,
        &[
            schedule(30, vec![enable("e")]),
            schedule(30, vec![enable("e")]),
            schedule(100, vec![canary("ab", 3), rollout("ab", 100)]),
            schedule(140, vec![disable("e")]),
            schedule(141, vec![disable("e")]),
        ],
    );
    world
}

#[test]
fn advancing_equals_empty_blocks_and_visits_busy_heights_only() {
    for max_due in [1, 2, 1_000] {
        for breaker in [None, Some((60, false)), Some((60, true)), Some((0, true))] {
            let mut walked = busy(max_due);
            if let Some((until, drain)) = breaker {
                walked.run(25, GUARDIAN, &[trip(until, drain)]);
            }
            let mut skipped = walked.clone();
            let mut busy_heights = 0;
            while walked.tip() < 300 {
                let before = walked.state.root();
                let height = walked.tip() + 1;
                let events = walked.block(height, vec![]).events;
                busy_heights += usize::from(!events.is_empty() || walked.state.root() != before);
            }
            let executions = skipped.executions;
            skipped.advance(300);
            assert_eq!(skipped.events, walked.events);
            assert_eq!(skipped.records, walked.records, "history included");
            assert_eq!(skipped.state.root(), walked.state.root());
            // One for each busy height, and one for the end if nothing happens there.
            let taken = skipped.executions - executions;
            assert!(
                (busy_heights..=busy_heights + 1).contains(&taken),
                "{taken} executions for {busy_heights} busy heights"
            );
            // In any number of strides.
            for stride in [7, 50] {
                let mut strides = walked.clone();
                strides.advance(301);
                let mut other = skipped.clone();
                while other.tip() < 400 {
                    let to = (other.tip() + stride).min(400);
                    other.advance(to);
                }
                strides.advance(400);
                assert_eq!(other.records, strides.records);
            }
        }
    }
}

#[test]
fn a_gap_of_hundreds_of_millions_costs_its_busy_heights() {
    let mut world = World::new();
    world.run(1_000, ADMIN, &[create_with("f", steps_every(40_000_000)), create("g")]);
    world.run(1_001, OPERATOR, &[canary("f", 5), rollout("f", 100)]);
    world.run(1_002, OPERATOR, &[schedule(123_456_789, vec![enable("g")])]);
    let executions = world.executions;
    world.advance(400_000_000);
    // Nine steps of 10 %, the last of them above 360 million; one entry; the end of the gap.
    assert_eq!(world.executions - executions, 9 + 1 + 1);
    assert_eq!(world.stands("f"), (Status::RollingOut, 95));
    assert_eq!(world.history("f").last().unwrap().0, 1_001 + 9 * 40_000_000);
    assert_eq!(world.stands("g"), (Status::Enabled, 100));
    // Nothing is due any more from 400 001 001 on: one execution to the last height.
    world.advance(400_001_001);
    assert_eq!(world.stands("f"), (Status::Enabled, 100));
    let executions = world.executions;
    world.advance(Height::MAX);
    assert_eq!(world.executions - executions, 1);
}

#[test]
fn a_block_that_changes_nothing_leaves_the_root() {
    let mut world = busy(1_000);
    world.advance(400);
    let root = world.state.root();
    let refused_only = vec![tx(NOBODY, &[create("x")]), Payload::from_bytes(b"?")];
    world.block(401, refused_only);
    assert_eq!(world.state.root(), root);
    // Set to what they are, off and on again: the records are what they were.
    let record = world.records.clone();
    world.run(402, ADMIN, &[grant(NOBODY, Role::Feeder), revoke(NOBODY, Role::Feeder), set_params(None, None, None)]);
    world.run(403, ADMIN, &[grant(OPERATOR, Role::Operator), configure("e", FeatureChanges::default())]);
    assert_eq!((world.state.root(), &world.records), (root, &record));
}

// Names that begin one another.

#[test]
fn names_that_begin_one_another_never_meet() {
    // The longest of them is 64 bytes; lengths and heights look alike in the bytes.
    let long = "a".repeat(64);
    let names = ["a", "ab", "aa", long.as_str(), "a0", "A"];
    for first in names {
        for second in names {
            if first == second {
                continue;
            }
            let mut world = World::new();
            world.run(1, ADMIN, &[create_with(first, steps_every(5)), create_with(second, steps_every(9))]);
            world.run(2, OPERATOR, &[canary(first, 10), rollout(first, 50), set_override(first, USER, true)]);
            let quiet = world.history(second);
            assert_eq!(quiet, [(1, 0, Status::Disabled, 0, Cause::Created)]);
            world.run(3, OPERATOR, &[canary(second, 20), rollout(second, 90), set_override(second, user(1), false)]);
            world.advance(30);
            let percents = |feature: &str| -> Vec<(Height, u8)> {
                world.history(feature)[3..].iter().map(|entry| (entry.0, entry.3)).collect()
            };
            assert_eq!(percents(first), [(7, 20), (12, 30), (17, 40), (22, 50)], "{first} beside {second}");
            assert_eq!(percents(second), [(12, 30), (21, 40), (30, 50)], "{second} beside {first}");
            let overrides = |feature: &str| query::overrides(&world.records, &name(feature), None, 99).unwrap();
            assert_eq!(overrides(first).iter().map(|entry| entry.0).collect::<Vec<_>>(), [USER]);
            assert_eq!(overrides(second).iter().map(|entry| entry.0).collect::<Vec<_>>(), [user(1)]);
            assert_eq!(query::due(&world.records, &name(first)).unwrap(), None);
            assert_eq!(query::due(&world.records, &name(second)).unwrap(), Some(39));
            for height in [0, 1, 2, 3, 12, 17, 29, 30, 31, Height::MAX] {
                for feature in [first, second] {
                    let last = world.history(feature).into_iter().rfind(|entry| entry.0 <= height);
                    let found = query::feature_at(&world.records, &name(feature), height).unwrap();
                    assert_eq!(found.map(|(s, p)| (s, p.get())), last.map(|entry| (entry.2, entry.3)));
                }
            }
        }
    }
}

// Queries.

/// Every list, a page at a time, is the whole list.
#[test]
fn pages_put_together_are_the_whole() {
    fn check<T: PartialEq + std::fmt::Debug, K>(
        what: &str,
        page: impl Fn(Option<&K>, usize) -> Vec<T>,
        key: impl Fn(&T) -> K,
    ) {
        let whole = page(None, usize::MAX);
        assert!(whole.len() >= 2, "{what}: {whole:?}");
        assert_eq!(page(None, 0), [], "{what}");
        for limit in 1..=whole.len() + 1 {
            let mut pages: Vec<T> = Vec::new();
            loop {
                let next = page(pages.last().map(&key).as_ref(), limit);
                assert!(next.len() <= limit, "{what}");
                if next.is_empty() {
                    break;
                }
                pages.extend(next);
                assert!(pages.len() <= whole.len(), "{what}: {limit} at a time never end");
            }
            assert_eq!(pages, whole, "{what}, {limit} at a time");
        }
    }
    let world = {
        let mut world = busy(1_000);
        world.run(7, OPERATOR, &[1, 2, 3].map(|n| set_override("a", user(n), true)));
        world.advance(40);
        world
    };
    let records = &world.records;
    let a = name("a");
    check("features", |after, limit| query::features(records, after, limit).unwrap(), |feature| feature.name);
    check("active", |after, limit| query::active(records, after, limit).unwrap(), |name| *name);
    check("overrides", |after, limit| query::overrides(records, &a, after, limit).unwrap(), |entry| entry.0);
    check("roles", |after, limit| query::roles(records, after, limit).unwrap(), |entry| entry.0);
    let schedule = |after: Option<&(Height, u64)>, limit| query::schedule(records, after.copied(), limit).unwrap();
    check("schedule", schedule, |entry| (entry.0, entry.1));
    let history = |after: Option<&(Height, u32)>, limit| query::history(records, &a, after.copied(), limit).unwrap();
    check("history", history, |entry| (entry.height, entry.seq));
}

#[test]
fn progress_tells_percent_next_step_and_errors_left() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create_with("f", steps_every(10)), create_with("g", manual(steps_every(10)))]);
    let progress = |world: &World, feature: &str, height| {
        let progress = query::progress(&world.records, &name(feature), height).unwrap()?;
        Some((progress.percent.get(), progress.blocks_to_step, progress.errors_left))
    };
    assert_eq!(progress(&world, "nobody", 1), None);
    assert_eq!(progress(&world, "f", 1), Some((0, None, None)), "off");
    world.run(2, OPERATOR, &[canary("f", 5), canary("g", 5)]);
    assert_eq!(progress(&world, "f", 2), Some((5, None, Some(9))), "the tenth error is the tenth sample");
    world.run(3, REPORTER, &[report("f", 300, 1)]);
    world.run(4, OPERATOR, &[rollout("f", 50), rollout("g", 50)]);
    for (height, blocks) in [(4, 10), (13, 1), (14, 0), (15, 0)] {
        // 1 % of 300 and some, rounded down: errors up to 3 of 303; the fourth is 1.3 %.
        assert_eq!(progress(&world, "f", height), Some((5, Some(blocks), Some(2))), "{height}");
        assert_eq!(progress(&world, "g", height), Some((5, Some(blocks), Some(9))), "{height}");
    }
    assert_eq!(query::due(&world.records, &name("f")).unwrap(), Some(14));
    assert_eq!(query::due(&world.records, &name("g")).unwrap(), None, "by hand alone");
    assert_eq!(query::due(&world.records, &name("nobody")).unwrap(), None);
}

// Is it on?

#[test]
fn raising_the_percent_never_switches_anybody_off() {
    for bucketing in Bucketing::ALL {
        let mut world = World::new();
        let salted = policy(Policy { bucketing: *bucketing, salt: 7, ..Policy::default() });
        world.run(1, ADMIN, &[create_with("f", salted)]);
        let users: Vec<Address> = (0..400).map(user).collect();
        let mut on: BTreeSet<Address> = BTreeSet::new();
        let f = name("f");
        for share in 0..=100 {
            world.run(u32::from(share) + 2, OPERATOR, &[canary("f", share)]);
            let now: BTreeSet<Address> = users.iter().copied().filter(|u| world.state.is_enabled(&f, u)).collect();
            assert!(on.is_subset(&now), "{bucketing} at {share} %");
            for user in &users {
                let below = match world.state.check(&f, user).why {
                    Why::Bucket { bucket, share } => bucket.get() < share.get(),
                    other => panic!("{other:?}"),
                };
                assert_eq!(below, now.contains(user));
            }
            on = now;
        }
        assert_eq!(on.len(), users.len(), "{bucketing}: everybody at 100 %");
        world.run(200, OPERATOR, &[canary("f", 0)]);
        assert!(!users.iter().any(|user| world.state.is_enabled(&f, user)), "{bucketing}: nobody at 0 %");
    }
}

#[test]
fn first_byte_is_the_first_byte_and_sha256_is_salted() {
    let mut world = World::new();
    let first_byte = policy(Policy { bucketing: Bucketing::FirstByte, salt: 1, ..Policy::default() });
    let salted = |salt| policy(Policy { salt, ..Policy::default() });
    world.run(1, ADMIN, &[create_with("b", first_byte), create("s"), create_with("t", salted(1))]);
    world.run(2, OPERATOR, &["b", "s", "t"].map(|feature| canary(feature, 5)));
    for byte in 0..=u8::MAX {
        let mut address = USER;
        address.0[0] = byte;
        assert_eq!(world.state.is_enabled(&name("b"), &address), byte % 100 < 5, "{byte}");
    }
    let on = |feature: &str| -> Vec<u32> {
        (0..4_000).filter(|n| world.state.is_enabled(&name(feature), &user(*n))).collect()
    };
    let (s, t) = (on("s"), on("t"));
    assert!((120..280).contains(&s.len()), "about 5 % of 4 000: {}", s.len());
    assert!(s.iter().filter(|user| t.contains(user)).count() < 40, "another salt and name, other users");
}

/// Status, override, prerequisites: who decides.
#[test]
fn who_decides_whether_it_is_on() {
    // How `f` and its prerequisite `p` stand, the users' own switches, on, decided by whom and why.
    let switch = |f: Option<bool>, p: Option<bool>| {
        let set = |feature: &str, on: Option<bool>| on.map(|on| set_override(feature, USER, on));
        [set("f", f), set("p", p)].into_iter().flatten().collect::<Vec<_>>()
    };
    let (on, off) = (Some(true), Some(false));
    let both = || vec![enable("p"), enable("f")];
    let then = |last: Command| [both(), vec![last]].concat();
    let half = || vec![canary("p", 0), enable("f")];
    let at = |share| vec![enable("p"), canary("f", share)];
    type Row = (&'static str, Vec<Command>, Vec<Command>, (bool, &'static str, &'static str));
    let rows: Vec<Row> = vec![
        ("both enabled", both(), vec![], (true, "f", "status")),
        ("own switch off", both(), switch(off, None), (false, "f", "override")),
        ("canary at 0", at(0), vec![], (false, "f", "bucket")),
        ("canary at 0, own switch on", at(0), switch(on, None), (true, "f", "override")),
        ("canary at 100", at(100), vec![], (true, "f", "bucket")),
        ("disabled, own switch on", then(disable("f")), switch(on, None), (false, "f", "status")),
        ("rolled back, own switch on", then(rollback("f")), switch(on, None), (false, "f", "status")),
        ("prerequisite at 0", half(), vec![], (false, "p", "bucket")),
        ("prerequisite at 0, own switch on", half(), switch(on, None), (false, "p", "bucket")),
        ("prerequisite on for the user", half(), switch(None, on), (true, "f", "status")),
        ("prerequisite off for the user", both(), switch(on, off), (false, "p", "override")),
        ("prerequisite disabled since", then(disable("p")), switch(on, on), (false, "p", "status")),
        ("both disabled since", [both(), vec![disable("f"), disable("p")]].concat(), vec![], (false, "f", "status")),
    ];
    for (what, commands, switches, (on, by, why)) in rows {
        let mut world = World::new();
        world.run(1, ADMIN, &[create("p"), create_on("f", &["p"])]);
        if !commands.is_empty() {
            world.run(2, OPERATOR, &commands);
        }
        if !switches.is_empty() {
            world.run(3, OPERATOR, &switches);
        }
        let verdict = world.state.check(&name("f"), &USER);
        let reason = match verdict.why {
            Why::Unknown => "unknown",
            Why::Status(_) => "status",
            Why::Override => "override",
            Why::Bucket { .. } => "bucket",
        };
        assert_eq!((verdict.on, verdict.decided_by, reason), (on, name(by), why), "{what}");
        assert_eq!(query::check(&world.records, &name("f"), &USER).unwrap(), verdict, "{what}");
        assert_eq!(world.state.is_enabled(&name("f"), &USER), on, "{what}");
    }
    let world = World::new();
    let verdict = world.state.check(&name("x"), &USER);
    assert_eq!((verdict.on, verdict.why), (false, Why::Unknown));
    assert!(!world.state.is_enabled(&name("x"), &USER));
    assert_eq!(world.state.resolve(&name("x")), None);
    // A handle that another state gave leads nowhere here.
    let mut other = World::new();
    other.run(1, ADMIN, &[create("f")]);
    let handle = other.state.resolve(&name("f")).unwrap();
    assert!(!world.state.is_enabled_at(handle, &USER));
}

/// Reads of the records, counted by key.
struct Counted<'a>(&'a Records, RefCell<BTreeMap<Vec<u8>, u32>>);

impl Read for Counted<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        *self.1.borrow_mut().entry(key.to_vec()).or_default() += 1;
        self.0.get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.0.scan(start, end, visit)
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault> {
        self.0.last(start, end)
    }
}

/// Eight layers of four features, each on all four of the layer below: 65 536 paths, 33 features.
#[test]
fn each_prerequisite_is_evaluated_once() {
    let mut world = World::new();
    let layer = |depth: usize| (0..4).map(move |n| format!("layer{depth}-{n}")).collect::<Vec<String>>();
    for depth in 0..8 {
        let below: Vec<String> = if depth == 0 { vec![] } else { layer(depth - 1) };
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        let creates: Vec<Command> = layer(depth).iter().map(|feature| create_on(feature, &below)).collect();
        world.run(world.state.tip().map_or(1, |tip| tip + 1), ADMIN, &creates);
        let enables: Vec<Command> = layer(depth).iter().map(|feature| enable(feature)).collect();
        world.run(world.tip() + 1, OPERATOR, &enables);
    }
    let top = layer(7);
    let below: Vec<&str> = top.iter().map(String::as_str).collect();
    world.run(100, ADMIN, &[create_on("top", &below), enable("top")]);
    let check = |world: &World, on: bool| {
        let counted = Counted(&world.records, RefCell::default());
        assert_eq!(query::check(&counted, &name("top"), &USER).unwrap().on, on);
        assert_eq!(world.state.is_enabled(&name("top"), &USER), on);
        counted.1.into_inner()
    };
    let reads = check(&world, true);
    assert_eq!(reads.keys().filter(|key| key[0] == KeyPrefix::Feature.byte()).count(), 33);
    assert!(reads.values().all(|times| *times == 1), "{reads:?}");
    // The deepest decides.
    world.run(101, OPERATOR, &[set_override("layer0-3", USER, false)]);
    check(&world, false);
    assert_eq!(world.state.check(&name("top"), &USER).decided_by, name("layer0-3"));
    // A ninth edge is too many.
    assert_eq!(world.probe(&tx(ADMIN, &[create_on("roof", &["top"])])), refused(Reject::LimitExceeded));
}

#[test]
fn all_three_ways_to_ask_agree() {
    let mut world = busy(1_000);
    let f = |feature: &str| name(feature);
    world.run(10, ADMIN, &[create_on("on-a", &["a"]), create_on("on-both", &["a", "on-a"])]);
    world.run(11, OPERATOR, &[canary("on-a", 60), canary("on-both", 80)]);
    for height in [12, 18, 30, 60, 120, 200] {
        world.advance(height);
        for feature in ["a", "ab", "b", "c", "d", "e", "on-a", "on-both", "nobody"] {
            let handle = world.state.resolve(&f(feature));
            for number in 0..60 {
                let user = user(number);
                let verdict = world.state.check(&f(feature), &user);
                assert_eq!(query::check(&world.records, &f(feature), &user).unwrap(), verdict);
                assert_eq!(world.state.is_enabled(&f(feature), &user), verdict.on);
                assert_eq!(handle.is_some_and(|handle| world.state.is_enabled_at(handle, &user)), verdict.on);
            }
        }
    }
}

// Execution without commit.

#[test]
fn execution_changes_nothing_and_a_stale_one_is_refused() {
    let mut world = busy(1_000);
    let look = |world: &World| format!("{:?}", world.state);
    let before = look(&world);
    let block = Block::from_payloads(
        7,
        vec![
            tx(ADMIN, &[create("x"), grant(USER, Role::Operator)]),
            tx(OPERATOR, &[disable("a"), schedule(9, vec![enable("a")]), set_override("b", USER, true)]),
            tx(REPORTER, &[bad_report("b")]),
        ],
    )
    .unwrap();
    let first = world.state.execute(&block).unwrap();
    let second = world.state.execute(&block).unwrap();
    let empty = world.state.execute(&Block::empty(7)).unwrap();
    let far = world.state.advance(90).unwrap();
    assert_eq!(look(&world), before, "executing changes the state");
    assert_eq!((writes(&first), first.root(), first.outcome()), (writes(&second), second.root(), second.outcome()));
    assert_ne!(first.root(), empty.root());

    assert!([&first, &second, &empty, &far].iter().all(|execution| world.state.accepts(execution)));
    let other = world.clone();
    world.commit(first.clone());
    let after = look(&world);
    for stale in [first.clone(), second, empty.clone(), far] {
        assert!(!world.state.accepts(&stale));
        assert!(world.state.apply(stale).is_err());
        assert_eq!(look(&world), after, "a stale execution changes the state");
    }
    // Another height is refused; so is an execution of a state that was loaded anew.
    for height in [0, 6, 7, 9] {
        let expected = BlockError::Height { expected: 8, found: height };
        assert_eq!(world.state.execute(&Block::empty(height)).unwrap_err(), expected);
    }
    let mut reloaded = other.records.load(other.state.tip()).unwrap();
    assert!(reloaded.apply(first.clone()).is_err());
    // The clone that has not moved takes it, and ends where the other did.
    let mut other = other;
    other.commit(first);
    assert_eq!(other.records, world.records);
    // An empty block that changes nothing makes the others stale all the same: the height moves.
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let (one, two) = (world.state.execute(&Block::empty(2)).unwrap(), world.state.execute(&Block::empty(2)).unwrap());
    world.commit(one);
    assert!(world.state.apply(two).is_err());
    assert_eq!(world.state.tip(), Some(2));
}

#[test]
fn a_block_outcome_has_a_receipt_for_each_transaction() {
    let mut world = World::new();
    let outcome: Outcome = world.block(
        1,
        vec![
            tx(ADMIN, &[create("f")]),
            Payload::from_bytes(b"not a transaction"),
            tx(NOBODY, &[create("g")]),
            tx(ADMIN, &[create("f")]),
            tx(ADMIN, &[create("g")]),
        ],
    );
    let names: Vec<&str> = outcome.receipts.iter().map(Receipt::name).collect();
    assert_eq!(names, ["ok", "malformed", "unauthorized", "feature_already_exists", "ok"]);
    let created: Vec<Name> = world.records.features().iter().map(|feature| feature.name).collect();
    assert_eq!(created, [name("f"), name("g")]);
    assert_eq!(outcome.events.len(), 2);
}
