//! What every command does from every status, and what the transitions write.

use super::*;

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
        CommandKind::PauseRollout => {
            (GUARDIAN, pause_rollout("f"), [off, wrong, To(Canary, 5, Cause::Paused), wrong, off])
        }
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

/// A step with too few operations is held: its clock starts again, and nothing else changes.
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

/// A rollout that is paused keeps its percent and its trial, steps no more, and goes on from there; the breaker, the
/// prerequisites and an open round do not matter.
#[test]
fn a_paused_rollout_goes_on_from_where_it_was() {
    let mut world = World::new();
    world.run(
        1,
        ADMIN,
        &[
            create("base"),
            create_with("f", {
                let policy = Policy { prerequisites: vec![name("base")], ..Policy::default() };
                FeatureChanges { policy: Some(policy), ..steps_every(2) }
            }),
        ],
    );
    world.run(2, OPERATOR, &[enable("base"), canary("f", 5), rollout("f", 90)]);
    world.run(4, REPORTER, &[report("f", 30, 0)]);
    let before = world.feature("f").clone();
    world.run(5, OPERATOR, &[disable("base"), trip(0, false)]);
    world.run(6, GUARDIAN, &[pause_rollout("f")]);
    let changed = Event::StatusChanged {
        name: name("f"),
        from: Status::RollingOut,
        to: Status::Canary,
        percent: percent(15),
        cause: Cause::Paused,
        actor: GUARDIAN,
    };
    assert_eq!(world.events_at(6), [changed]);
    assert_eq!(*world.feature("f"), coalmine_core::Feature { status: Status::Canary, ..before });
    world.run(7, ADMIN, &[Command::ResetBreaker]);
    world.advance(20);
    assert_eq!(world.stands("f"), (Status::Canary, 15), "nothing steps");
    world.run(21, OPERATOR, &[enable("base"), rollout("f", 90)]);
    assert_eq!(world.at(23, vec![]).events.len(), 1);
    assert_eq!((world.stands("f"), world.feature("f").success_count), ((Status::RollingOut, 25), 30));
}

/// The zero address stands for what happens by itself; nobody can give it a role, sent or scheduled.
#[test]
fn the_zero_address_never_holds_a_role() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    for role in Role::ALL {
        let command = with_byte(&grant(USER, role), 0, role.mask());
        let zero = [&command[..1], &[0; 20], &command[21..]].concat();
        assert_eq!(world.probe(&raw_tx(ADMIN, std::slice::from_ref(&zero))), refused(Reject::InvalidParameter));
        assert_eq!(world.probe(&raw_tx(ADMIN, &[nested(9, &zero)])), refused(Reject::InvalidParameter));
        assert_eq!(world.probe(&raw_tx(OPERATOR, &[zero])), refused(Reject::Unauthorized));
    }
    assert_eq!(world.probe(&tx(Address::ZERO, &[create("g")])), refused(Reject::Unauthorized));
    assert_eq!(world.probe(&tx(ADMIN, &[revoke(Address::ZERO, Role::Reporter)])), refused(Reject::RoleNotFound));
    world.run(2, OPERATOR, &[set_override("f", Address::ZERO, true)]);
}
