//! How the rules themselves change.

use super::*;

/// Only an admin schedules it, and only with notice; sent by itself it is refused before anything else is asked.
#[test]
fn a_change_of_rules_is_announced() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let earliest = world.tip() + 1 + RULES_NOTICE;
    use Reject::{HeightInPast, InvalidPercent, NotScheduled, Unauthorized};
    let beside = |at| schedule(at, vec![disable("f"), set_rules(2)]);
    let broken = {
        let mut bytes = schedule_bytes(earliest, &[set_rules(2), canary("f", 5)]);
        *bytes.last_mut().unwrap() = 101;
        bytes
    };
    for (what, signer, bytes, receipt) in [
        ("sent", ADMIN, set_rules(2).to_bytes(), refused(NotScheduled)),
        ("sent by another", OPERATOR, set_rules(2).to_bytes(), refused(Unauthorized)),
        ("scheduled by an operator", OPERATOR, beside(earliest).to_bytes(), refused(Unauthorized)),
        ("and beside what is broken", OPERATOR, broken.clone(), refused(Unauthorized)),
        ("by an admin beside what is broken", ADMIN, broken, refused(InvalidPercent)),
        ("too soon", ADMIN, beside(earliest - 1).to_bytes(), refused(HeightInPast)),
        ("in time", ADMIN, beside(earliest).to_bytes(), Receipt::Ok),
        ("to the same rules", ADMIN, schedule(earliest, vec![set_rules(1)]).to_bytes(), Receipt::Ok),
    ] {
        assert_eq!(world.probe(&raw_tx(signer, &[bytes])), receipt, "{what}");
    }
    // Not scheduled comes before the timelock.
    let world = world.edited::<coalmine_core::Global>(Key::Global, |global| {
        global.params.timelock = NonZeroU32::new(9);
    });
    assert_eq!(world.probe(&tx(ADMIN, &[set_rules(2)])), refused(NotScheduled));
}

/// The rules never go back or stay.
#[test]
fn rules_rise() {
    for rules in [0, 1] {
        let mut world = World::new();
        world.run(1, ADMIN, &[schedule(700, vec![set_rules(rules)])]);
        let code = Reject::InvalidParameter.code();
        assert_eq!(executed(&world.at(700, vec![]).events), [(code, 0)], "{rules}");
    }
}

/// A build stops before the block that changes to rules it does not know, and leaves everything as it is.
#[test]
fn a_build_stops_before_rules_that_it_does_not_know() {
    let at = 700;
    let mut world = World::new();
    world.run(
        1,
        ADMIN,
        &[create("f"), schedule(at, vec![disable("f"), set_rules(0xfffe)]), schedule(at, vec![enable("f")])],
    );
    world.advance(at - 1);
    let stops = |world: &World| {
        let before = (world.state.root(), world.state.tip());
        let found = world.state.execute(&Block::empty(at)).map(|_| ());
        assert_eq!(found, Err(BlockError::UnknownRules { rules: 0xfffe, height: at }));
        let found = world.state.advance(at + 9).map(|_| ());
        assert_eq!(found, Err(BlockError::UnknownRules { rules: 0xfffe, height: at }), "nor is it skipped");
        assert_eq!((world.state.root(), world.state.tip()), before);
    };
    stops(&world);
    // It goes on from its records, as far as it came.
    stops(&World::of_records(world.records.clone(), at - 1));
    // Cancelled in time, it stops nobody.
    let mut world = World::new();
    world.run(1, ADMIN, &[schedule(at, vec![set_rules(0xfffe)])]);
    world.run(9, GUARDIAN, &[cancel(at, 1)]);
    world.advance(at);
}

/// In anybody else's entry the command is unauthorized when its turn comes, and stops nobody; so it is where the turn does
/// not come.
#[test]
fn nobody_but_an_admin_stops_the_chain() {
    let at = 700;
    let mut world = World::new();
    world.run(1, ADMIN, &[grant(USER, Role::Admin), grant(USER, Role::Operator)]);
    world.run(2, USER, &[schedule(at, vec![set_rules(0xfffe)])]);
    world.run(3, ADMIN, &[revoke(USER, Role::Admin)]);
    assert_eq!(executed(&world.at(at, vec![]).events), [(Reject::Unauthorized.code(), 0)], "no admin any more");
    // Behind the budget of its kind the turn has not come yet.
    let one = params(ParamsChanges { max_due_per_block: Some(1), ..ParamsChanges::default() });
    let mut world = World::with_params(one);
    world.run(1, ADMIN, &[create("f"), schedule(at, vec![disable("f")]), schedule(at, vec![set_rules(0xfffe)])]);
    assert_eq!(executed(&world.at(at, vec![]).events), [(Reject::InvalidTransition.code(), 0)]);
    let found = world.state.execute(&Block::empty(at + 1)).map(|_| ());
    assert_eq!(found, Err(BlockError::UnknownRules { rules: 0xfffe, height: at + 1 }));
}

/// Nor does a ledger begin with the rules for tests.
#[cfg(feature = "test-rules")]
#[test]
fn no_genesis_has_the_rules_for_tests() {
    let plain = coalmine_model::support::genesis(Params::default());
    let (chain, roles) = (*plain.chain(), plain.roles().clone());
    let built = Genesis::with_params(RuleSet::Test, chain, roles, Params::default());
    assert_eq!(built.map(|_| ()), Err(GenesisError::Rules));
    let bytes = [&RuleSet::Test.number().to_be_bytes(), &plain.to_bytes()[2..]].concat();
    assert_eq!(Genesis::from_bytes(&bytes).unwrap_err().kind, DecodeErrorKind::OutOfRange);
}
