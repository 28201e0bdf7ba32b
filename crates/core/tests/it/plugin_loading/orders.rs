//! Load state by command, orders, and attestations.

use super::*;

// Load state by command.

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The plugin ends in this state.
    To(LoadState),
    /// It stays in its state.
    Stays,
    /// The command is refused.
    No(Reject),
}

#[test]
fn load_state_by_command() {
    use LoadState::{Failed, Loaded, Loading, Unloaded, Unloading};
    use Reject::{AlreadyLoaded, DependencyBroken, HostTooOld, InvalidTransition, NotLoaded, RuleViolated};
    use Then::{No, Stays, To};
    let (off, on, broken) = (No(NotLoaded), No(AlreadyLoaded), No(DependencyBroken));
    let (ruled, hosted) = (No(RuleViolated), No(HostTooOld));
    let rows = [
        //                                 Unloaded, Pending, Loading, Loaded, Failed, Unloading
        (load("p"), [To(Loading), on, on, on, To(Loading), No(InvalidTransition)]),
        // For one that Failed there is nothing for a host to do; force ends the wait for hosts.
        (unload("p"), [off, off, off, To(Unloading), To(Unloaded), off]),
        (unload_force("p"), [off, off, off, To(Unloading), To(Unloaded), To(Unloaded)]),
        (loaded("p", "1.0.0", true), [off, off, To(Loaded), Stays, Stays, off]),
        (loaded("p", "1.0.0", false), [off, off, To(Failed), Stays, Stays, off]),
        (loaded("p", "1.0.0+build", true), [off, off, To(Loaded), Stays, Stays, off]),
        (loaded("p", "2.0.0", true), [off; 6]),
        (unloaded("p", "1.0.0", true), [off, off, off, off, off, To(Unloaded)]),
        (unloaded("p", "1.0.0", false), [off, off, off, off, off, To(Loaded)]),
        (unloaded("p", "2.0.0", true), [off; 6]),
        // What is Unloaded or Failed binds nothing; the new version of a deployment does in every state.
        (set_rule("p", Some("^2")), [Stays, ruled, ruled, ruled, Stays, ruled]),
        (set_rule("p", Some("^1")), [ruled; 6]),
        (set_rule("p", None), [Stays; 6]),
        (set_host("2.0.0"), [hosted; 6]),
        (set_host("1.9.9"), [Stays; 6]),
        (register("p", "9.0.0"), [Stays; 6]),
        (roll_back("p"), [Stays; 6]),
    ];
    // By the version that is promoted.
    let promotions = [
        ("2.0.0", [Stays; 6]),
        ("3.0.0", [Stays, broken, broken, broken, broken, broken]),
        ("4.0.0", [Stays, To(Loading), Stays, Stays, Stays, Stays]),
        // What is not on its way to be Loaded is not enough for anything.
        ("6.0.0", [Stays, broken, broken, broken, broken, broken]),
    ];
    // A deployment serves nothing that could not be promoted at that moment.
    let deployments = [
        ("2.0.0", [Stays; 6]),
        ("3.0.0", [Stays, broken, broken, broken, broken, broken]),
        ("4.0.0", [Stays; 6]),
        ("5.0.0", [hosted; 6]),
        ("6.0.0", [Stays, broken, broken, broken, broken, broken]),
    ];
    let without =
        [(set_rule("p", Some("^1")), [Stays; 6]), (set_host("2.0.0"), [Stays, hosted, hosted, hosted, Stays, hosted])];
    let promotions = promotions.map(|(canary, row)| (Some(canary), promote("p"), row));
    let deployments = deployments.map(|(version, row)| (None, deploy_slowly("p", version), row));
    let without = without.map(|(command, row)| (None, command, row));
    let rows = rows.into_iter().map(|(command, row)| (Some("2.0.0"), command, row));
    let rows = rows.chain(promotions).chain(deployments).chain(without);
    for (canary, command, row) in rows {
        for (state, then) in LoadState::ALL.iter().zip(row) {
            let what = format!("{command:?} beside {canary:?} where it is {state}");
            let mut world = bring(*state, canary);
            let (expected, ends) = match then {
                To(state) => (Receipt::Ok, state),
                Stays => (Receipt::Ok, *state),
                No(reject) => (refused(reject), *state),
            };
            assert_eq!(world.try_next(&command), expected, "{what}");
            world.at(world.tip() + 1, vec![give(command.clone())]);
            assert_eq!(world.load_state("p"), ends, "{what}");
        }
    }
}

// Orders.

const DIAMOND_ORDER: [&str; 4] = [
    "z.base load_planned 1.0.0 loading",
    "b.right load_planned 1.0.0 pending",
    "c.left load_planned 1.0.0 pending",
    "a.top load_planned 1.0.0 pending",
];

#[test]
fn a_diamond_is_planned_and_loaded_requirements_first() {
    let mut world = World::new();
    world.next(&diamond());
    assert_eq!(world.next(&[load("a.top")]), DIAMOND_ORDER);
    assert_eq!(world.plugin("z.base").dependents, 2);
    for (report, turned) in [
        // What turns Loading was told when it was planned.
        ("z.base", ["b.right", "c.left"].as_slice()),
        ("c.left", &[]),
        ("b.right", &["a.top"]),
        ("a.top", &[]),
    ] {
        assert_eq!(world.next(&[loaded(report, "1.0.0", true)]), [format!("{report} loaded 1.0.0")]);
        turned.iter().for_each(|plugin| assert_eq!(world.load_state(plugin), LoadState::Loading, "{plugin}"));
    }
    // What is under way already is not planned again.
    world.next(&[register_on("0.more", "1.0.0", &[("b.right", "*"), ("new", "*")]), register("new", "1.0.0")]);
    let told = world.next(&[load("0.more")]);
    assert_eq!(told, ["new load_planned 1.0.0 loading", "0.more load_planned 1.0.0 pending"]);
}

#[test]
fn the_order_is_a_function_of_the_state() {
    for first in 0..4 {
        for second in 0..3 {
            let mut rest = diamond().to_vec();
            let mut order = vec![rest.remove(first)];
            order.push(rest.remove(second));
            order.extend(rest);
            let mut world = World::new();
            world.next(&order);
            assert_eq!(world.next(&[load("a.top")]), DIAMOND_ORDER, "{order:?}");
        }
    }
}

#[test]
fn a_refused_load_names_the_plugin() {
    let mut world = World::new();
    world.next(&[
        register_on("missing", "1.0.0", &[("through", "*")]),
        register_on("through", "1.0.0", &[("nowhere", "*")]),
        register_on("cycle.a", "1.0.0", &[("cycle.b", "*")]),
        register_on("cycle.b", "1.0.0", &[("cycle.c", "*")]),
        register_on("cycle.c", "1.0.0", &[("cycle.b", "*")]),
        register_on("self", "1.0.0", &[("self", "*")]),
        register_on("broken", "1.0.0", &[("fine", "^2")]),
        register("fine", "1.0.0"),
        register_on("ruled", "1.0.0", &[("rule", "*")]),
        register("rule", "1.0.0"),
        set_rule("rule", Some("^2")),
        register_on("hosted", "1.0.0", &[("host", "*")]),
        register_for_host("host", "1.0.0", "^1"),
        // Of two faults the one of the requirement that is first by name.
        register_on("two", "1.0.0", &[("fine", "^2"), ("gone", "*")]),
        register_on("two.other", "1.0.0", &[("fine", "*"), ("gone", "*"), ("rule", "*")]),
        register_on("deep.first", "1.0.0", &[("cycle.a", "*"), ("gone", "*")]),
        register_on("leaving", "1.0.0", &[("left", "*")]),
        register("left", "1.0.0"),
        load("left"),
        loaded("left", "1.0.0", true),
        unload("left"),
    ]);
    use Reject::*;
    for (plugin, reject, at) in [
        ("missing", DependencyMissing, "nowhere"),
        ("cycle.a", DependencyCycle, "cycle.b"),
        ("cycle.c", DependencyCycle, "cycle.c"),
        ("self", DependencyCycle, "self"),
        ("broken", DependencyBroken, "fine"),
        ("ruled", RuleViolated, "rule"),
        ("hosted", HostTooOld, "host"),
        ("two", DependencyBroken, "fine"),
        ("two.other", DependencyMissing, "gone"),
        ("deep.first", DependencyCycle, "cycle.b"),
        ("leaving", InvalidTransition, "left"),
        ("left", InvalidTransition, "left"),
        ("nobody", PluginNotFound, "nobody"),
    ] {
        let refusal = LoadRefusal { reject, plugin: name(at) };
        assert_eq!(world.state.plan_load(&name(plugin)), Err(refusal), "{plugin}");
        assert_eq!(world.try_next(&load(plugin)), refused(reject), "{plugin}");
    }
    // The notes of a block name the plugin, whatever the transaction has undone, and whoever comes next.
    let payloads = vec![
        tx(OPERATOR, &[load("fine"), load("two.other")]),
        tx(OPERATOR, &[load("fine")]),
        tx(OPERATOR, &[load("fine")]),
        tx(REPORTER, &[load("broken")]),
    ];
    let height = world.state.tip().unwrap() + 1;
    let execution = world.state.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap();
    let note = |tx: usize, plugin: &str| (tx, Note::Refused { plugin: name(plugin) });
    assert_eq!(execution.notes(), [note(0, "gone"), note(2, "fine")]);
    // Nobody sent what was scheduled, so nobody is told.
    world.next(&[schedule(height + 1, vec![load("broken")])]);
    let due = Block::from_payloads(height + 1, vec![tx(OPERATOR, &[load("fine")])]).unwrap();
    assert_eq!(world.state.execute(&due).unwrap().notes(), []);
    let plan = world.state.plan_load(&name("fine")).unwrap();
    assert_eq!(plan.len(), 1);
    assert_eq!(world.load_state("fine"), LoadState::Unloaded, "a plan changes nothing");
}

// Attestations.

#[test]
fn the_first_attestation_decides_and_the_others_agree_or_dispute() {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0+b"), load("p")]);
    for (command, told) in [
        (loaded("p", "1.0.0", true), vec!["p loaded 1.0.0+b"]),
        (loaded("p", "1.0.0", true), vec![]),
        (loaded("p", "1.0.0", false), vec!["p load_disputed 1.0.0+b false"]),
        (unload("p"), vec![]),
        (unloaded("p", "1.0.0", false), vec!["p loaded 1.0.0+b"]),
        (unload("p"), vec![]),
        (unloaded("p", "1.0.0", true), vec!["p unloaded 1.0.0+b"]),
        (load("p"), vec!["p load_planned 1.0.0+b loading"]),
        (loaded("p", "1.0.0", false), vec!["p load_failed 1.0.0+b 0"]),
        (loaded("p", "1.0.0", false), vec![]),
        (loaded("p", "1.0.0", true), vec!["p load_disputed 1.0.0+b true"]),
        (load("p"), vec!["p load_planned 1.0.0+b loading"]),
    ] {
        assert_eq!(world.next(std::slice::from_ref(&command)), told, "{command:?}");
    }
    let history: Vec<_> =
        world.plugin_history("p").into_iter().map(|entry| (entry.1, entry.3, entry.4, entry.7)).collect();
    use PluginAction::{LoadFailed, Loaded, Registered, Unloaded};
    use PluginReason::{LoadError, None as NoReason};
    assert_eq!(
        history,
        [
            (Registered, NoReason, true, ADMIN),
            (Loaded, NoReason, true, REPORTER),
            (Loaded, NoReason, true, REPORTER),
            (Unloaded, NoReason, true, REPORTER),
            (LoadFailed, LoadError, false, REPORTER),
        ]
    );
}

#[test]
fn a_failure_fails_one_step_of_dependents_in_each_block() {
    let mut world = World::new();
    world.next(&chain(5));
    world.next(&[register_on("side", "1.0.0", &[("c00004", "*")]), load("c00000"), load("side")]);
    let at = world.tip() + 1;
    world.all_at(at, &[loaded("c00004", "1.0.0", false)]);
    world.advance(at + 5);
    let broken = Reject::DependencyBroken.code();
    let failed = |height: Height, plugin: &str| format!("{height} {plugin} load_failed 1.0.0 {broken}");
    let expected = [
        format!("{at} c00004 load_failed 1.0.0 0"),
        failed(at, "c00003"),
        failed(at, "side"),
        failed(at + 1, "c00002"),
        failed(at + 2, "c00001"),
        failed(at + 3, "c00000"),
    ];
    assert_eq!(world.lines_from(at), expected);
    let entry = world.plugin_history("c00000").pop().unwrap();
    assert_eq!((entry.1, entry.3, entry.4), (PluginAction::LoadFailed, PluginReason::Dependents, false));
    assert_eq!(entry.7, coalmine_core::Address::ZERO);
    assert_eq!(world.plugin("c00004").dependents, 0);
    // A load tries all of them again.
    assert_eq!(world.next(&[load("c00000")]).len(), 5);
}

#[test]
fn the_load_queue_keeps_to_the_limit_of_a_block() {
    let mut world = World::with_params(Params {
        max_due_per_block: 1,
        breaker_rollbacks: None,
        breaker_window: 0,
        ..Params::default()
    });
    world.next(&[auto_load(true), register("a", "1.0.0"), register("b", "1.0.0"), register("c", "1.0.0")]);
    world.advance(6);
    let planned = |height, plugin| format!("{height} {plugin} load_planned 1.0.0 loading");
    assert_eq!(world.lines_from(2), [planned(2, "a"), planned(3, "b"), planned(4, "c")]);
}
