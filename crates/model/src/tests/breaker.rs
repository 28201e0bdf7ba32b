//! What raises an open breaker, and what the guard's rollbacks do to it.

use super::*;

/// A breaker that is open since 10, tripped by O.
fn open(until: u32, drain: bool) -> Model {
    let mut model = plain();
    all(&mut model, 10, &[(A, create("f")), (O, enable("f")), (O, trip(until, drain))]);
    model
}

#[track_caller]
fn check(open_until: u32, open_drains: bool, until: u32, drain: bool, expected: Result<(u32, bool), &str>) {
    let mut model = open(open_until, open_drains);
    // In the block of the first trip, so that what drains has not drained yet.
    let receipt = model.payload(10, &Transaction::unsequenced(G, vec![trip(until, drain)]).to_bytes());
    let breaker = model.breaker.unwrap();
    match expected {
        Ok((until, draining)) => {
            assert_eq!(receipt.name(), "ok");
            assert_eq!((breaker.until, breaker.draining, breaker.since), (until.into(), draining, 10));
            assert_eq!(breaker.actor, G);
        }
        Err(reject) => {
            assert_eq!(receipt.name(), reject);
            assert_eq!(breaker.actor, O);
        }
    }
}

#[test]
fn an_open_breaker_takes_only_what_raises_it() {
    const NOTHING: Result<(u32, bool), &str> = Err("invalid_transition");
    check(20, false, 20, false, NOTHING);
    check(20, false, 19, false, NOTHING);
    check(20, false, 21, false, Ok((21, false)));
    check(20, false, 0, false, Ok((0, false)));
    check(20, false, 15, true, Ok((20, true)));
    check(20, false, 10, true, Err("height_in_past"));
    check(20, false, 10, false, NOTHING);
    check(20, true, 20, true, NOTHING);
    check(20, true, 21, false, Ok((21, true)));
    check(0, false, 30, false, NOTHING);
    check(0, false, 0, false, NOTHING);
    check(0, false, 30, true, Ok((0, true)));
    check(0, true, 0, true, NOTHING);
}

#[test]
fn rollbacks_count_while_it_is_open_and_until_a_reset() {
    let mut model = ledger(Params { breaker_rollbacks: 2, breaker_window: 100, ..Params::default() });
    let features = ["a", "b", "c", "d", "e"];
    all(&mut model, 10, &features.map(|name| (A, create(name))));
    all(&mut model, 11, &features.map(|name| (O, enable(name))));
    assert_eq!(
        all(&mut model, 12, &[(R, report("a", 0, 10)), (G, trip(50, false))]),
        ["rolled_back", "breaker_tripped"]
    );
    // The second raises the open breaker: draining, until it is reset. Its reason and actor stay.
    assert_eq!(all(&mut model, 13, &[(R, report("b", 0, 10))]), ["rolled_back", "breaker_tripped"]);
    let breaker = model.breaker.unwrap();
    assert_eq!((breaker.draining, breaker.until, breaker.since, breaker.actor), (true, 0, 12, G));
    // Enabled features are not drained, and nothing is left: drained, then raised once more.
    assert_eq!(all(&mut model, 14, &[(R, report("c", 0, 10))]), ["breaker_drained", "rolled_back", "breaker_tripped"]);
    assert_eq!(all(&mut model, 15, &[(A, Command::ResetBreaker)]), ["breaker_drained", "breaker_closed"]);
    assert_eq!((model.rollbacks_in_window, model.rollback_window_start), (0, 0));
    assert_eq!(all(&mut model, 16, &[(R, report("d", 0, 10))]), ["rolled_back"]);
    assert_eq!(all(&mut model, 17, &[(R, report("e", 0, 10))]), ["rolled_back", "breaker_tripped"]);
    assert_eq!(model.breaker.map(|breaker| (breaker.actor, breaker.since)), Some((Address::ZERO, 17)));
}

#[test]
fn it_drains_before_anything_that_is_due() {
    let mut model = ledger(max_due(1));
    all(&mut model, 10, &[(A, create("a")), (A, create("b")), (O, canary("a")), (O, canary("b"))]);
    all(&mut model, 11, &[(O, schedule(13, &[disable("a")])), (O, schedule(13, &[disable("b")]))]);
    all(&mut model, 12, &[(G, trip(0, true))]);
    assert_eq!(all(&mut model, 13, &[]), ["rolled_back", "status_changed", "schedule_executed"]);
    assert_eq!(all(&mut model, 14, &[]), ["rolled_back", "breaker_drained", "status_changed", "schedule_executed"]);
    assert!(all(&mut model, 15, &[]).is_empty());
}
