//! Power waits, safety does not.

use super::*;

const WAIT: u32 = 50;

/// The commands that raise exposure or power, or that take a power from those who could answer; one that lowers.
fn examples() -> Vec<(Command, bool)> {
    let environment = FeedKind::Environment;
    vec![
        (create("new"), false),
        (configure("off", FeatureChanges::default()), true),
        (canary("f", 6), true),
        (rollout("f", 50), true),
        (advance("f"), true),
        (enable("f"), true),
        (disable("f"), false),
        (rollback("f"), false),
        (pause_rollout("f"), false),
        (set_override("f", USER, true), true),
        (set_override("f", USER, false), false),
        // The override of `user(0)` is off, that of `user(1)` is on; `user(2)` has none.
        (clear_override("f", user(0)), true),
        (clear_override("f", user(1)), false),
        (clear_override("f", user(2)), false),
        (report("f", 1, 0), false),
        (trip(0, false), false),
        (Command::ResetBreaker, true),
        (cancel(9_000, 1), false),
        (grant(USER, Role::Feeder), true),
        (revoke(OPERATOR, Role::Operator), false),
        (revoke(ADMIN, Role::Admin), true),
        (set_params(Some(9), None, None), true),
        (register("p", "4.0.0"), true),
        (deploy_slowly("p", "2.0.0"), true),
        (pause("p"), false),
        (resume("p"), true),
        (promote("p"), true),
        (roll_back("p"), false),
        (revert("p"), false),
        (retire("p", "3.0.0"), false),
        (set_rule("p", None), true),
        (set_host("1.0.0"), true),
        (max_versions(9), true),
        (load("p"), true),
        (unload("p"), false),
        (tell_version("p", "1.0.0", 1, 0), false),
        (attest("p", "2.0.0", false), false),
        (loaded("p", "1.0.0", true), false),
        (unloaded("p", "1.0.0", true), false),
        (put(FeedPart::Only, &[], &[]), false),
        (patch(environment, "e", 1, b""), false),
        (gone(environment, "e", 1), false),
        (forget(environment, &["e"]), false),
    ]
}

fn world() -> World {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f"), create("off"), register("p", "1.0.0"), register("p", "2.0.0")]);
    world.run(2, ADMIN, &[canary("f", 5), set_override("f", user(0), false), set_override("f", user(1), true)]);
    world.run(3, ADMIN, &[schedule(9_000, vec![enable("f")])]);
    let timelock = ParamsChanges { timelock: Some(WAIT), ..ParamsChanges::default() };
    world.run(4, ADMIN, &[change_params(timelock)]);
    world
}

/// A raising command is taken from the schedule alone, and only so far ahead; whatever else it lacks.
#[test]
fn power_waits_and_safety_does_not() {
    let world = world();
    let sooner = world.tip() + WAIT;
    let kinds: BTreeSet<CommandKind> = examples().iter().map(|(command, _)| command.kind()).collect();
    let tried = |kind: &&CommandKind| !kinds.contains(kind);
    let missing: Vec<&CommandKind> = CommandKind::ALL.iter().filter(tried).collect();
    assert_eq!(missing, [&CommandKind::Schedule, &CommandKind::SetRules], "they have tests of their own");
    let too_soon = refused(Reject::TimelockRequired);
    for (command, raises) in examples() {
        let sent = world.probe(&tx(ADMIN, std::slice::from_ref(&command)));
        assert_eq!(sent == too_soon, raises, "{command:?}: {sent:?}");
        if command.kind().is_schedulable() {
            let at = |height| world.probe(&tx(ADMIN, &[schedule(height, vec![disable("f"), command.clone()])]));
            assert_eq!(at(sooner) == too_soon, raises, "{command:?} too soon");
            assert_eq!(at(sooner + 1), Receipt::Ok, "{command:?} in time");
        }
    }
    // Behind authority and values, before everything that is looked up.
    for (signer, bytes, receipt) in [
        (NOBODY, enable("nobody").to_bytes(), refused(Reject::Unauthorized)),
        (OPERATOR, with_byte(&canary("f", 5), 0, 101), refused(Reject::InvalidPercent)),
        (OPERATOR, enable("nobody").to_bytes(), too_soon),
        (OPERATOR, clear_override("nobody", USER).to_bytes(), refused(Reject::FeatureNotFound)),
    ] {
        assert_eq!(world.probe(&raw_tx(signer, std::slice::from_ref(&bytes))), receipt, "{bytes:?}");
    }
}

/// Nothing gets around it: a lower timelock waits for the old one, and so does the key that would be alone.
#[test]
fn a_stolen_key_of_an_admin_waits_as_anybody() {
    let mut world = world();
    let off = change_params(ParamsChanges { timelock: Some(0), ..ParamsChanges::default() });
    let steps = vec![off.clone(), revoke(ADMIN, Role::Admin), grant(NOBODY, Role::Admin)];
    for command in &steps {
        assert_eq!(world.probe(&tx(ADMIN, std::slice::from_ref(command))), refused(Reject::TimelockRequired));
    }
    let at = world.tip() + 1 + WAIT;
    world.run(world.tip() + 1, ADMIN, &[schedule(at, vec![off]), schedule(at, vec![grant(NOBODY, Role::Admin)])]);
    // A guardian sees it, and takes the second one back.
    let id = world.state.global().next_schedule_id - 1;
    world.run(world.tip() + 1, GUARDIAN, &[cancel(at, id)]);
    let events = world.at(at, vec![tx(OPERATOR, &[enable("f")])]);
    assert_eq!((executed(&events.events), events.receipts), (vec![(0, 0)], vec![Receipt::Ok]));
    assert!(world.state.roles_of(&NOBODY).is_empty());
}

/// A guardian takes back what raises, and nothing else; one filler command takes the veto from nobody.
#[test]
fn a_guardian_takes_back_what_raises() {
    let off = clear_override("f", user(0));
    for (what, commands, is_raising) in [
        ("raising", vec![enable("f")], true),
        ("lowering", vec![disable("f")], false),
        ("a filler beside it", vec![disable("f"), set_override("f", USER, false), grant(USER, Role::Feeder)], true),
        ("a record that is off", vec![off.clone()], true),
        ("a record that is on", vec![clear_override("f", user(1))], false),
        ("a record that is not there", vec![clear_override("f", user(2))], false),
        ("neutral", vec![create("new")], false),
    ] {
        for timelock in [0, WAIT] {
            let mut world = world().edited::<coalmine_core::Global>(Key::Global, |global| {
                global.params.timelock = NonZeroU32::new(timelock);
            });
            let (height, at) = (world.tip() + 1, world.tip() + 1 + WAIT);
            world.run(height, OPERATOR, &[schedule(at, commands.clone())]);
            let entry = cancel(at, world.state.global().next_schedule_id - 1);
            let expected = if is_raising { Receipt::Ok } else { refused(Reject::Unauthorized) };
            assert_eq!(world.probe(&tx(GUARDIAN, std::slice::from_ref(&entry))), expected, "{what}");
            assert_eq!(world.probe(&tx(OPERATOR, &[entry])), Receipt::Ok, "{what}");
            let unknown = cancel(at + 1, 1);
            assert_eq!(world.probe(&tx(GUARDIAN, &[unknown])), refused(Reject::ScheduleNotFound), "{what}");
        }
    }
    // As the record stands when it is cancelled.
    let mut world = world();
    world.run(5, OPERATOR, &[schedule(999, vec![off]), set_override("f", user(0), false)]);
    let entry = cancel(999, world.state.global().next_schedule_id - 1);
    assert_eq!(world.probe(&tx(GUARDIAN, std::slice::from_ref(&entry))), Receipt::Ok);
    let mut world = world
        .edited::<coalmine_core::Override>(Key::Override { name: name("f"), user: user(0) }, |record| {
            record.enabled = true
        });
    assert_eq!(world.try_run(6, GUARDIAN, &[entry]), refused(Reject::Unauthorized));
}
