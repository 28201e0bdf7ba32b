//! Due work, and blocks in which nothing is due.

use super::*;

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
    let mut world = World::with_params(Params {
        max_due_per_block: 3,
        breaker_rollbacks: None,
        breaker_window: 0,
        ..Params::default()
    });
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
            // Steps have a budget of their own, and do not wait behind the backlog.
            (6, vec![8, 1, 3], 1),
            (7, vec![5, 7], 1),
            (8, vec![], 0),
            (9, vec![], 0),
            (10, vec![], 1),
        ]
    );
    assert_eq!(world.history("g").last().unwrap().0, 10);
    assert_eq!(world.history("h").last().unwrap().0, 7);
    assert!(
        world
            .records
            .keys(KeyPrefix::Due)
            .eq([Key::Step { at: 12, name: name("h") }, Key::Step { at: 14, name: name("g") }])
    );
}

#[test]
fn an_entry_of_a_backlog_can_be_cancelled() {
    let mut world = World::with_params(Params {
        max_due_per_block: 1,
        breaker_rollbacks: None,
        breaker_window: 0,
        ..Params::default()
    });
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
        ("disabled", vec![disable("a")], vec!["b", "c"]),
        ("rolled back", vec![rollback("a")], vec!["b", "c"]),
        ("enabled", vec![enable("a")], vec!["b", "c"]),
        ("stepped by hand", vec![advance("a")], vec!["a", "b", "c"]),
        ("paused", vec![pause_rollout("a")], vec!["b", "c"]),
        ("started again", vec![disable("a"), canary("a", 1), rollout("a", 9)], vec!["b", "c"]),
        ("neither", vec![set_override("a", USER, true)], vec!["a", "b"]),
    ] {
        let mut world = World::with_params(Params {
            max_due_per_block: 2,
            breaker_rollbacks: None,
            breaker_window: 0,
            ..Params::default()
        });
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
    let mut world = World::with_params(Params {
        max_due_per_block: 1,
        breaker_rollbacks: None,
        breaker_window: 0,
        ..Params::default()
    });
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

// Steps and what they wait for.

/// A rollout stays where it is while a direct prerequisite is off, and goes on when that is back.
#[test]
fn a_step_waits_for_its_prerequisites() {
    let above = |names: &[&str]| {
        let prerequisites = names.iter().map(|text| name(text)).collect();
        FeatureChanges { policy: Some(Policy { prerequisites, ..Policy::default() }), ..steps_every(3) }
    };
    let mut world = World::new();
    world.run(1, ADMIN, &["a", "b", "low"].map(create));
    world.run(2, ADMIN, &[create_with("f", above(&["a", "b"])), create_with("top", above(&["f"]))]);
    world.run(3, OPERATOR, &["a", "b", "f"].map(|feature| canary(feature, 5)));
    world.run(4, OPERATOR, &[rollout("f", 90), canary("top", 5), rollout("top", 90)]);
    world.run(5, OPERATOR, &[disable("b"), rollback("a")]);
    let blocked = |prerequisite| Event::StepBlocked { name: name("f"), prerequisite: name(prerequisite) };
    let stepped = |feature| Event::Stepped { name: name(feature), from_percent: percent(5), to_percent: percent(15) };
    // The first of them by name; what rests on `f` looks at `f` alone, which is on.
    assert_eq!(world.at(7, vec![]).events, [blocked("a"), stepped("top")]);
    assert_eq!((world.stands("f"), world.feature("f").last_increment_block), ((Status::RollingOut, 5), 7));
    assert_eq!(world.history("f").last().unwrap().0, 4, "no entry");
    world.run(8, OPERATOR, &[enable("a")]);
    assert_eq!(world.at(10, vec![]).events[0], blocked("b"));
    world.run(11, OPERATOR, &[canary("b", 0)]);
    assert_eq!(world.at(13, vec![]).events[0], stepped("f"), "a canary of 0 % is on");
    // By hand it is refused.
    world.run(14, OPERATOR, &[disable("a")]);
    assert_eq!(world.probe(&tx(OPERATOR, &[advance("f")])), refused(Reject::PrerequisiteNotActive));
}

/// Steps that are held in every block keep no deadline and no check waiting.
#[test]
fn held_steps_keep_nothing_else_waiting() {
    use crate::common::plugins::{EASY, custom, deploy, register, stage};
    let mut world = World::with_params(Params { max_due_per_block: 1, ..Params::default() });
    let held = Policy { step_min_operations: 9, ..Policy::default() };
    let changes = || FeatureChanges { policy: Some(held.clone()), ..steps_every(1) };
    world.run(1, ADMIN, &[create_with("a", changes()), create_with("b", changes())]);
    world.run(
        2,
        ADMIN,
        &[register("p", "1.0.0"), register("p", "2.0.0"), register("q", "1.0.0"), register("q", "2.0.0")],
    );
    world.run(3, OPERATOR, &["a", "b"].map(|feature| canary(feature, 5)));
    world.run(4, OPERATOR, &["a", "b"].map(|feature| rollout(feature, 90)));
    let brief = coalmine_core::Guardrails { max_blocks: NonZeroU32::new(6), auto_promote: false, ..EASY };
    let plan = || custom(&[stage(1_000, 5)]);
    world.run(5, OPERATOR, &[deploy("p", "2.0.0", plan(), brief), deploy("q", "2.0.0", plan(), EASY)]);
    world.advance(11);
    let at =
        |code| world.events.iter().filter(|(_, event)| event.code() == code).map(|(at, _)| *at).collect::<Vec<_>>();
    assert_eq!(at(EventCode::StepHeld), (5..=11).collect::<Vec<_>>(), "one in each block");
    assert_eq!((at(EventCode::Waiting), at(EventCode::Promoted)), (vec![10], vec![11]));
    assert_eq!(at(EventCode::DeploymentRolledBack), [11]);
}

/// 4 096 entries wait, and the last 64 of them are for admins.
#[test]
fn the_schedule_has_an_end_and_keeps_room_for_admins() {
    let mut world = World::new();
    let entries = |count: usize| vec![schedule(999, vec![enable("f")]); count];
    let height = 1;
    let payloads = vec![tx(OPERATOR, &entries(16)); 252];
    assert!(world.block(height, payloads).receipts.iter().all(|receipt| *receipt == Receipt::Ok));
    let full = Receipt::Rejected { reject: Reject::LimitExceeded, index: 0 };
    assert_eq!(world.probe(&tx(OPERATOR, &entries(1))), full);
    assert!(world.block(2, vec![tx(ADMIN, &entries(16)); 4]).receipts.iter().all(|receipt| *receipt == Receipt::Ok));
    assert_eq!(world.state.global().scheduled, 4_096);
    assert_eq!(world.probe(&tx(ADMIN, &entries(1))), full);
    // A place that is left is taken again.
    world.run(3, OPERATOR, &[cancel(999, 1)]);
    assert_eq!(world.probe(&tx(ADMIN, &entries(1))), Receipt::Ok);
    assert_eq!(world.probe(&tx(OPERATOR, &entries(1))), full);
}
