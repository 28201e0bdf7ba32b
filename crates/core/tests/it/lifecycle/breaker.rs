//! What opens, drains and closes the breaker.

use super::*;

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
        // A reset takes the count with it: the next rollback begins a window of its own.
        (2, 100, &[100, 101, 110, 120], &[101, 120], 110, 2),
        (2, 100, &[100, 101, 200, 201], &[101, 201], 200, 2),
    ];
    for (breaker_rollbacks, breaker_window, when, opened, start, count) in rows {
        let (breaker_rollbacks, breaker_window) = (*breaker_rollbacks, *breaker_window);
        let mut world = World::with_params(Params {
            max_due_per_block: 9,
            breaker_rollbacks: NonZeroU32::new(breaker_rollbacks),
            breaker_window,
            ..Params::default()
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
    let mut world = World::with_params(Params {
        max_due_per_block: 9,
        breaker_rollbacks: NonZeroU32::new(3),
        breaker_window: 50,
        ..Params::default()
    });
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
    let opened = tripped.breaker.unwrap();
    let raised = OpenBreaker { draining: true, ..opened };
    assert_eq!(world.state.global().breaker, Some(raised), "the third makes the open breaker drain, and no more");
    world.run(8, ADMIN, &[Command::ResetBreaker]);
    assert_eq!((world.state.global().breaker, world.state.global().rollbacks_in_window), (None, 0));
    world.run(9, OPERATOR, &[canary("f", 5)]);
    world.run(10, REPORTER, &[bad_report("f")]);
    assert_eq!((world.state.global().breaker, world.state.global().rollbacks_in_window), (None, 1), "counted anew");
    // Drained features do not count.
    let mut world = World::with_params(Params {
        max_due_per_block: 9,
        breaker_rollbacks: NonZeroU32::new(3),
        breaker_window: 50,
        ..Params::default()
    });
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
fn draining_has_a_budget_of_its_own() {
    // max_due_per_block, scheduled entries due at 4, then how many are drained in 4, 5, 6, … and
    // the height at which draining ends. Six features drain.
    for (budget, due, drained, end) in [
        (1_000, 0, vec![6], 4),
        (6, 0, vec![6], 4),
        (5, 0, vec![5, 1], 5),
        (3, 0, vec![3, 3], 5),
        // It comes first, and what else is due takes nothing of it.
        (4, 1, vec![4, 2], 5),
        (4, 4, vec![4, 2], 5),
        (4, 6, vec![4, 2], 5),
        (1, 0, vec![1, 1, 1, 1, 1, 1], 9),
        (6, 1, vec![6], 4),
        (7, 1, vec![6], 4),
    ] {
        let params =
            Params { max_due_per_block: budget, breaker_rollbacks: None, breaker_window: 0, ..Params::default() };
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
fn the_drain_comes_before_scheduled_commands() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("a"), create("b")]);
    world.run(2, OPERATOR, &[canary("a", 5), canary("b", 5), schedule(4, vec![rollback("a")])]);
    world.run(3, GUARDIAN, &[trip(0, true)]);
    let events = world.block(4, vec![]).events;
    let names: Vec<&str> = events.iter().map(|event| event.code().name()).collect();
    assert_eq!(names, ["rolled_back", "rolled_back", "breaker_drained", "schedule_executed"]);
    let code = Reject::FeatureDisabled.code();
    assert_eq!(events[3], Event::ScheduleExecuted { id: 1, code, index: 0 });
    let reasons = ["a", "b"].map(|feature| world.feature(feature).rollback_reason);
    assert_eq!(reasons, [Reason::CircuitBreaker; 2]);
}

/// A report rolls back what the drain would have; the drain ends when the index is empty, with
/// nothing to do and no budget left.
#[test]
fn draining_ends_when_nothing_is_active() {
    let mut world = World::with_params(Params {
        max_due_per_block: 1,
        breaker_rollbacks: None,
        breaker_window: 0,
        ..Params::default()
    });
    world.run(1, ADMIN, &[create("a"), create("b"), create("c")]);
    world.run(2, OPERATOR, &[canary("a", 5), canary("b", 5), schedule(4, vec![enable("c")])]);
    world.run(3, GUARDIAN, &[trip(0, true)]);
    // The whole budget goes to a; then a rollback empties the index.
    let outcome = world.block(4, vec![tx(OPERATOR, &[disable("a")]), tx(REPORTER, &[bad_report("b")])]);
    let names: Vec<&str> = outcome.events.iter().map(|event| event.code().name()).collect();
    assert_eq!(names, ["rolled_back", "schedule_executed", "status_changed", "rolled_back"]);
    assert!(world.state.global().breaker.unwrap().draining, "looked at before the transactions");
    assert_eq!(world.block(5, vec![]).events, [Event::BreakerDrained]);
    // Nothing active at all: the drain ends at the first look.
    let mut world = World::new();
    world.run(1, GUARDIAN, &[trip(0, true)]);
    assert_eq!(world.block(2, vec![]).events, [Event::BreakerDrained]);
    assert_eq!(world.block(3, vec![]).events, []);
    // Reset while draining: nothing more is drained.
    let mut world = World::with_params(Params {
        max_due_per_block: 1,
        breaker_rollbacks: None,
        breaker_window: 0,
        ..Params::default()
    });
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
    let mut world = World::with_params(Params {
        max_due_per_block: 1,
        breaker_rollbacks: None,
        breaker_window: 0,
        ..Params::default()
    });
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

/// What an open breaker is, what a trip asks for, and what it is then.
#[test]
fn an_open_breaker_can_only_be_made_stricter() {
    let until = |height| NonZeroU32::new(height);
    let (wrong, past) = (Err(Reject::InvalidTransition), Err(Reject::HeightInPast));
    // Until and draining: of the open one, of the trip, and afterwards. The trip comes at 5.
    type Of = (Height, bool);
    let rows: [(Of, Of, Result<Of, Reject>); 18] = [
        ((20, false), (20, false), wrong),
        ((20, false), (9, false), wrong),
        ((20, false), (3, false), wrong),
        ((20, false), (21, false), Ok((21, false))),
        ((20, false), (0, false), Ok((0, false))),
        ((20, false), (9, true), Ok((20, true))),
        ((20, false), (30, true), Ok((30, true))),
        ((20, false), (3, true), past),
        ((0, false), (0, false), wrong),
        ((0, false), (30, false), wrong),
        ((0, false), (0, true), Ok((0, true))),
        ((0, false), (9, true), Ok((0, true))),
        ((0, false), (5, true), past),
        ((20, true), (20, false), wrong),
        ((20, true), (20, true), wrong),
        ((20, true), (21, false), Ok((21, true))),
        ((20, true), (0, false), Ok((0, true))),
        ((0, true), (0, false), wrong),
    ];
    for (open, ask, expected) in rows {
        let what = format!("{open:?}, then {ask:?}");
        // Too many features for one block to drain.
        let mut world = World::with_params(Params { max_due_per_block: 1, ..Params::default() });
        let features = ["a", "b", "c"];
        world.run(1, ADMIN, &features.map(create));
        world.run(2, ADMIN, &features.map(|feature| canary(feature, 5)));
        world.run(4, OPERATOR, &[trip(open.0, open.1)]);
        let before = world.state.global().breaker.unwrap();
        let command = Command::TripBreaker { reason: Reason::Performance, until: until(ask.0), drain: ask.1 };
        let receipt = world.try_run(5, GUARDIAN, &[command]);
        assert_eq!(receipt, expected.map_or_else(refused, |_| Receipt::Ok), "{what}");
        let raised = OpenBreaker { reason: Reason::Performance, actor: GUARDIAN, ..before };
        let after = expected.map_or(before, |(last, draining)| OpenBreaker { until: until(last), draining, ..raised });
        assert_eq!(world.state.global().breaker, Some(after), "{what}");
        if expected.is_ok() {
            let OpenBreaker { draining, until, reason, actor, .. } = after;
            let told = Event::BreakerTripped { reason, until, draining, actor };
            assert_eq!(world.events_at(5).last(), Some(&told), "{what}");
        }
    }
}
