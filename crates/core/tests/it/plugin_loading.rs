//! The loading of plugins: what a load plans and in which order, what attestations do, who may be
//! unloaded, what waits, and the limits at their edges.

use coalmine_core::query;
use coalmine_core::{
    Block, Command, DEPENDENTS_MAX, Height, Hold, LOAD_DEPTH_MAX, LOAD_PLUGINS_MAX, LOADED_MAX, LoadRefusal, LoadState,
    Manifest, Note, Params, PluginAction, PluginReason, Receipt, Reject, State,
};

use crate::common::plugins::*;
use crate::common::*;

#[test]
fn a_chain_loads_by_itself_whatever_is_registered_first() {
    let names = ["top", "mid", "base"];
    let of = |index: usize| match names.get(index + 1) {
        Some(required) => register_on(names[index], "1.0.0", &[(*required, "*")]),
        None => register(names[index], "1.0.0"),
    };
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut world = World::new();
        world.next(&[auto_load(true)]);
        for index in order {
            world.next(&[of(index)]);
        }
        world.advance(world.tip() + 4);
        for (plugin, state) in [("base", LoadState::Loading), ("mid", LoadState::Pending), ("top", LoadState::Pending)]
        {
            assert_eq!(world.load_state(plugin), state, "{plugin} {order:?}");
        }
    }
}

#[test]
fn a_forced_unload_reaches_over_what_is_unloading_already() {
    let mut world = World::new();
    world.next(&[
        register("p", "1.0.0"),
        register_on("d", "1.0.0", &[("p", "*")]),
        register_on("e", "1.0.0", &[("d", "*")]),
        load("e"),
        loaded("p", "1.0.0", true),
        loaded("d", "1.0.0", true),
        loaded("e", "1.0.0", true),
        unload_force("d"),
        unloaded("e", "1.0.0", false),
        unload_force("p"),
    ]);
    for plugin in ["p", "d", "e"] {
        assert_eq!(world.load_state(plugin), LoadState::Unloading, "{plugin}");
    }
}

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

/// A world in which `p`, which requires `base` and a host below 2, has this load state. It has a
/// deployment of the version that is given.
fn bring(state: LoadState, canary: &str) -> World {
    let mut world = World::new();
    let base = [("base", "^1")];
    let hosted = |requirements: &[(&str, &str)]| Manifest { host: Some(constraint("<2")), ..manifest(requirements) };
    world.next(&[register("base", "1.0.0"), register("idle", "1.0.0"), set_host("1.0.0"), max_versions(9)]);
    world.next(&[
        register_with("p", "1.0.0", hosted(&base)),
        register_with("p", "2.0.0", hosted(&base)),
        register_on("p", "3.0.0", &[("base", "^2")]),
        register_on("p", "4.0.0", &[]),
        register_for_host("p", "5.0.0", "^2"),
        register_on("p", "6.0.0", &[("idle", "*")]),
        deploy_slowly("p", canary),
    ]);
    world.next(&[if state == LoadState::Pending { load("p") } else { load("base") }]);
    if state != LoadState::Pending {
        world.next(&[loaded("base", "1.0.0", true)]);
    }
    match state {
        LoadState::Unloaded | LoadState::Pending => {}
        LoadState::Loading => drop(world.next(&[load("p")])),
        LoadState::Loaded => drop(world.next(&[load("p"), loaded("p", "1.0.0", true)])),
        LoadState::Failed => drop(world.next(&[load("p"), loaded("p", "1.0.0", false)])),
        LoadState::Unloading => drop(world.next(&[load("p"), loaded("p", "1.0.0", true), unload("p")])),
    }
    assert_eq!(world.load_state("p"), state);
    world
}

#[test]
fn load_state_by_command() {
    use LoadState::{Failed, Loaded, Loading, Unloaded, Unloading};
    use Reject::{AlreadyLoaded, DependencyBroken, HostTooOld, InvalidTransition, NotLoaded, RuleViolated};
    use Then::{No, Stays, To};
    let (off, on, broken) = (No(NotLoaded), No(AlreadyLoaded), No(DependencyBroken));
    let (ruled, hosted) = (No(RuleViolated), No(HostTooOld));
    let unloading = [off, off, off, To(Unloading), off, off];
    let rows = [
        //                                 Unloaded, Pending, Loading, Loaded, Failed, Unloading
        (load("p"), [To(Loading), on, on, on, To(Loading), No(InvalidTransition)]),
        (unload("p"), unloading),
        (unload_force("p"), unloading),
        (loaded("p", "1.0.0", true), [off, off, To(Loaded), Stays, Stays, off]),
        (loaded("p", "1.0.0", false), [off, off, To(Failed), Stays, Stays, off]),
        (loaded("p", "1.0.0+build", true), [off, off, To(Loaded), Stays, Stays, off]),
        (loaded("p", "2.0.0", true), [off; 6]),
        (unloaded("p", "1.0.0", true), [off, off, off, off, off, To(Unloaded)]),
        (unloaded("p", "1.0.0", false), [off, off, off, off, off, To(Loaded)]),
        (unloaded("p", "2.0.0", true), [off; 6]),
        (set_rule("p", Some("^2")), [Stays, ruled, ruled, ruled, ruled, ruled]),
        (set_rule("p", Some("^1")), [Stays; 6]),
        (set_rule("p", None), [Stays; 6]),
        (set_host("2.0.0"), [Stays, hosted, hosted, hosted, hosted, hosted]),
        (set_host("1.9.9"), [Stays; 6]),
        (register("p", "9.0.0"), [Stays; 6]),
        (roll_back("p"), [Stays; 6]),
    ];
    // By the version that is promoted.
    let promotions = [
        ("2.0.0", [Stays; 6]),
        ("3.0.0", [Stays, broken, broken, broken, Stays, broken]),
        ("4.0.0", [Stays, To(Loading), Stays, Stays, Stays, Stays]),
        ("5.0.0", [hosted; 6]),
        // What is not on its way to be Loaded is not enough for anything.
        ("6.0.0", [Stays, broken, broken, broken, Stays, broken]),
    ];
    let promotions = promotions.map(|(canary, row)| (canary, promote("p"), row));
    let rows = rows.into_iter().map(|(command, row)| ("2.0.0", command, row)).chain(promotions);
    for (canary, command, row) in rows {
        for (state, then) in LoadState::ALL.iter().zip(row) {
            let what = format!("{command:?} of {canary} where it is {state}");
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

/// A diamond, with names that are not in the order of what they require.
fn diamond() -> [Command; 4] {
    [
        register_on("a.top", "1.0.0", &[("c.left", "^1"), ("b.right", "^1")]),
        register_on("c.left", "1.0.0", &[("z.base", "^1")]),
        register_on("b.right", "1.0.0", &[("z.base", "^1")]),
        register("z.base", "1.0.0"),
    ]
}

const DIAMOND_ORDER: [&str; 4] = [
    "z.base load_planned 1.0.0 loading",
    "b.right load_planned 1.0.0 pending",
    "c.left load_planned 1.0.0 pending",
    "a.top load_planned 1.0.0 pending",
];

fn load_all(world: &mut World, plugins: &[&str]) {
    let commands: Vec<Command> = plugins.iter().map(|plugin| loaded(plugin, "1.0.0", true)).collect();
    world.next(&commands);
}

#[test]
fn a_diamond_is_planned_and_loaded_requirements_first() {
    let mut world = World::new();
    world.next(&diamond());
    assert_eq!(world.next(&[load("a.top")]), DIAMOND_ORDER);
    assert_eq!(world.plugin("z.base").dependents, 2);
    for (report, told) in [
        (
            ("z.base"),
            vec!["z.base loaded 1.0.0", "b.right load_planned 1.0.0 loading", "c.left load_planned 1.0.0 loading"],
        ),
        (("c.left"), vec!["c.left loaded 1.0.0"]),
        (("b.right"), vec!["b.right loaded 1.0.0", "a.top load_planned 1.0.0 loading"]),
        (("a.top"), vec!["a.top loaded 1.0.0"]),
    ] {
        assert_eq!(world.next(&[loaded(report, "1.0.0", true)]), told);
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
        (unload("p"), vec!["p load_planned 1.0.0+b unloading"]),
        (unloaded("p", "1.0.0", false), vec!["p loaded 1.0.0+b"]),
        (unload("p"), vec!["p load_planned 1.0.0+b unloading"]),
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

/// A chain of plugins, each of which requires the next: `c0` requires `c1` and so on.
fn chain(count: usize) -> Vec<Command> {
    let link = |n: usize| {
        let next = format!("c{:05}", n + 1);
        let required = [(next.as_str(), "*")];
        register_on(&format!("c{n:05}"), "1.0.0", if n + 1 < count { &required } else { &[] })
    };
    (0..count).map(link).collect()
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
    let mut world = World::with_params(Params { max_due_per_block: 1, breaker_rollbacks: None, breaker_window: 0 });
    world.next(&[auto_load(true), register("a", "1.0.0"), register("b", "1.0.0"), register("c", "1.0.0")]);
    world.advance(6);
    let planned = |height, plugin| format!("{height} {plugin} load_planned 1.0.0 loading");
    assert_eq!(world.lines_from(2), [planned(2, "a"), planned(3, "b"), planned(4, "c")]);
}

// Unloading.

fn loaded_diamond() -> World {
    let mut world = World::new();
    world.next(&diamond());
    world.next(&[load("a.top")]);
    load_all(&mut world, &["z.base", "b.right", "c.left", "a.top"]);
    world
}

#[test]
fn unload_with_and_without_force() {
    let mut world = loaded_diamond();
    for plugin in ["z.base", "b.right", "c.left"] {
        assert_eq!(world.try_next(&unload(plugin)), refused(Reject::HasDependents), "{plugin}");
    }
    assert_eq!(world.try_next(&unload("a.top")), Receipt::Ok);
    let unloading = |plugin: &str| format!("{plugin} load_planned 1.0.0 unloading");
    let told = world.next(&[unload_force("z.base")]);
    assert_eq!(told, ["a.top", "b.right", "c.left", "z.base"].map(unloading));
    // Each comes back by itself, or goes for good.
    let told = world.next(&[unloaded("z.base", "1.0.0", true), unloaded("a.top", "1.0.0", false)]);
    assert_eq!(told, ["z.base unloaded 1.0.0", "a.top loaded 1.0.0"]);
    assert_eq!(world.plugin("z.base").dependents, 2, "what is being unloaded holds on to it");
    // A plugin under something that is being unloaded still has a dependent.
    world.next(&[unloaded("b.right", "1.0.0", false)]);
    assert_eq!(world.try_next(&unload("b.right")), refused(Reject::HasDependents));
}

#[test]
fn a_forced_unload_fails_what_is_not_loaded_yet_and_leaves_what_is_going() {
    let mut world = loaded_diamond();
    world.next(&[
        register_on("early", "1.0.0", &[("b.right", "*"), ("late", "*")]),
        register("late", "1.0.0"),
        register_on("soon", "1.0.0", &[("c.left", "*")]),
        load("early"),
        load("soon"),
        unload("a.top"),
    ]);
    assert_eq!((world.load_state("early"), world.load_state("soon")), (LoadState::Pending, LoadState::Loading));
    let told = world.next(&[unload_force("z.base")]);
    assert_eq!(
        told,
        [
            "early load_failed 1.0.0 50",
            "soon load_failed 1.0.0 50",
            "b.right load_planned 1.0.0 unloading",
            "c.left load_planned 1.0.0 unloading",
            "z.base load_planned 1.0.0 unloading",
        ]
    );
    assert_eq!(world.load_state("a.top"), LoadState::Unloading);
    assert_eq!(world.load_state("late"), LoadState::Loading);
}

// Rules and the host.

#[test]
fn rules_and_hosts_bind_what_is_not_unloaded() {
    let mut world = World::new();
    world.next(&[register_for_host("p", "1.0.0", ">=1.2, <3"), set_rule("p", Some("^2"))]);
    assert_eq!(world.try_next(&load("p")), refused(Reject::RuleViolated));
    world.next(&[set_rule("p", Some("^1"))]);
    assert_eq!(world.try_next(&load("p")), refused(Reject::HostTooOld));
    world.next(&[set_host("1.2.0+any"), load("p")]);
    for (command, reject) in [
        (set_rule("p", Some("^2")), Reject::RuleViolated),
        (set_rule("p", Some("=1.0.0-rc.1")), Reject::RuleViolated),
        (set_host("1.1.9"), Reject::HostTooOld),
        (set_host("3.0.0"), Reject::HostTooOld),
        // A comparator without a pre-release takes none.
        (set_host("2.0.0-rc.1"), Reject::HostTooOld),
    ] {
        assert_eq!(world.try_next(&command), refused(reject), "{command:?}");
    }
    world.next(&[set_host("2.9.9"), set_rule("p", None), set_rule("p", Some("*"))]);
    // Unloaded, nothing binds it.
    world.next(&[loaded("p", "1.0.0", true), unload("p"), unloaded("p", "1.0.0", true)]);
    world.next(&[set_host("3.0.0"), set_rule("p", Some("^2"))]);
    // A default registry is not stored.
    world.next(&[set_host("0.0.0")]);
    assert_eq!(world.records.0.get([0xd9].as_slice()), None);
}

// Loading by itself.

#[test]
fn what_is_registered_loads_by_itself_and_waits_for_what_is_missing() {
    let mut world = World::new();
    world.next(&[register("before", "1.0.0"), auto_load(true)]);
    let at = world.tip() + 1;
    world.all_at(at, &[register_on("web", "1.0.0", &[("lib", "^1"), ("log", "*")]), register("alone", "1.0.0")]);
    world.advance(at + 2);
    assert_eq!(
        world.lines_from(at + 1),
        [format!("{} alone load_planned 1.0.0 loading", at + 1), format!("{} web load_failed 1.0.0 48", at + 1)]
    );
    assert_eq!(world.load_state("before"), LoadState::Unloaded, "registered before");
    // It waits on rows for all that it requires; each registration gives it a turn, and so does each
    // load, for that may bring what a requirement of it lacked.
    let at = world.tip() + 1;
    world.all_at(at, &[register("log", "1.0.0")]);
    assert_eq!(world.plugin("log").dependents, 1);
    world.advance(at + 3);
    assert_eq!(
        world.lines_from(at + 1),
        [format!("{} log load_planned 1.0.0 loading", at + 1), format!("{} web load_failed 1.0.0 48", at + 1)]
    );
    // Another version of it wakes nobody.
    world.next(&[register("log", "1.1.0")]);
    let at = world.tip() + 1;
    world.all_at(at, &[register("lib", "1.0.0")]);
    world.advance(at + 2);
    assert_eq!(
        world.lines_from(at + 1),
        [format!("{} lib load_planned 1.0.0 loading", at + 1), format!("{} web load_planned 1.0.0 pending", at + 1)]
    );
    // A second version of an Unloaded plugin queues it, of any other does nothing.
    let at = world.tip() + 1;
    world.all_at(at, &[register("before", "1.1.0"), register("lib", "1.1.0")]);
    world.advance(at + 2);
    assert_eq!(world.lines_from(at + 1), [format!("{} before load_planned 1.0.0 loading", at + 1)]);
}

/// The turn comes before the transactions, so it is none of those that a failed one undoes.
#[test]
fn a_turn_in_the_load_queue_outlives_a_failed_transaction_of_its_block() {
    let mut world = World::new();
    world.next(&[auto_load(true)]);
    world.next(&[register_on("p", "1.0.0", &[("gone", "*")]), register("q", "1.0.0")]);
    assert_eq!(
        world.try_run(3, ADMIN, &[set_host("1.0.0"), load("nobody")]),
        Receipt::Rejected { reject: Reject::PluginNotFound, index: 1 }
    );
    assert_eq!(world.records.keys(coalmine_core::KeyPrefix::Due).count(), 0);
    assert_eq!(world.load_state("q"), LoadState::Loading);
    world.next(&[register("gone", "1.0.0")]);
    assert_eq!(world.plugin("gone").dependents, 1, "it waits");
}

#[test]
fn only_a_missing_requirement_is_waited_for() {
    let rows: [(&str, &[Command], u16, u16); 4] = [
        ("missing", &[register_on("p", "1.0.0", &[("gone", "*")])], 48, 1),
        ("broken", &[register("lib", "1.0.0"), register_on("p", "1.0.0", &[("lib", "^2")])], 50, 0),
        ("host", &[register_for_host("p", "1.0.0", "^2")], 54, 0),
        ("itself", &[register_on("p", "1.0.0", &[("p", "*")])], 49, 0),
    ];
    for (what, commands, code, rows) in rows {
        let mut world = World::new();
        world.next(&[auto_load(true)]);
        world.next(commands);
        world.advance(5);
        assert!(world.lines_from(3).contains(&format!("3 p load_failed 1.0.0 {code}")), "{what}");
        let count = world.records.keys(coalmine_core::KeyPrefix::Dependent).filter(|key| {
            matches!(key, coalmine_core::Key::Dependent { dependency: Some(_), dependent } if *dependent == name("p"))
        });
        assert_eq!(count.count(), usize::from(rows), "{what}");
        assert_eq!(world.load_state("p"), LoadState::Unloaded);
    }
}

#[test]
fn a_waiting_plugin_ends_its_wait() {
    let waiting = || {
        let mut world = World::new();
        world.next(&[auto_load(true)]);
        world.next(&[register_on("p", "1.0.0", &[("lib", "*"), ("log", "*")]), register("p", "2.0.0")]);
        world.advance(4);
        world
    };
    // Auto-load is turned off: the registration still gives it a turn, which only ends the wait.
    let mut world = waiting();
    world.next(&[auto_load(false), register("lib", "1.0.0")]);
    assert_eq!(world.plugin("lib").dependents, 1);
    world.advance(world.tip() + 2);
    assert_eq!(world.plugin("lib").dependents, 0);
    assert_eq!(world.load_state("p"), LoadState::Unloaded);
    // Another version is current: its requirements count, and it gets a turn.
    let mut world = waiting();
    world.next(&[deploy_slowly("p", "2.0.0"), promote("p")]);
    world.advance(world.tip() + 2);
    assert_eq!(world.load_state("p"), LoadState::Loading);
    // A command loads it once everything is there.
    let mut world = waiting();
    world.next(&[register("lib", "1.0.0"), register("log", "1.0.0"), load("p")]);
    assert_eq!((world.plugin("lib").dependents, world.load_state("p")), (1, LoadState::Pending));
    world.advance(world.tip() + 2);
    // Nothing that failed is tried again by itself.
    world.next(&[loaded("lib", "1.0.0", false)]);
    world.next(&[register("p", "3.0.0")]);
    world.advance(world.tip() + 3);
    assert_eq!(world.load_state("p"), LoadState::Failed);
}

/// Shrunk from a random world beside the model.
#[test]
fn what_waits_gets_no_turn_by_the_load_that_plans_it() {
    let mut world = World::new();
    world.next(&[auto_load(true)]);
    let waits = [register_on("lib", "1.0.0", &[("gone", "*")]), register_on("p", "1.0.0", &[("lib", "*")])];
    world.next(&waits);
    world.next(&[register("lib", "2.0.0")]);
    world.next(&[auto_load(false), deploy_slowly("lib", "2.0.0"), promote("lib")]);
    world.advance(world.tip() + 2);
    assert_eq!(world.plugin("lib").dependents, 1, "p waits");
    assert_eq!(world.next(&[load("p")]), ["lib load_planned 2.0.0 loading", "p load_planned 1.0.0 pending"]);
    assert_eq!(world.records.keys(coalmine_core::KeyPrefix::Due).count(), 0);
}

// Limits.

/// The state after these commands, a transaction each, without the checks of a world after it.
fn build(blocks: &[Vec<Command>]) -> State {
    let mut state = World::new().state;
    for (height, commands) in (1..).zip(blocks) {
        let payloads = commands.iter().cloned().map(give).collect();
        let execution = state.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap();
        let receipts = &execution.outcome().receipts;
        assert!(receipts.iter().all(|receipt| *receipt == Receipt::Ok), "{height}: {receipts:?}");
        state.apply(execution).unwrap();
    }
    state
}

fn try_on(state: &State, commands: &[Command]) -> Vec<Receipt> {
    let payloads = commands.iter().cloned().map(give).collect();
    let block = Block::from_payloads(state.tip().unwrap() + 1, payloads).unwrap();
    state.execute(&block).unwrap().outcome().receipts.clone()
}

#[test]
fn a_chain_may_be_sixteen_deep() {
    let too_deep = refused(Reject::LimitExceeded);
    for (count, expected) in [(LOAD_DEPTH_MAX + 1, Receipt::Ok), (LOAD_DEPTH_MAX + 2, too_deep)] {
        let state = build(&[chain(count)]);
        assert_eq!(try_on(&state, &[load("c00000")]), [expected], "{count}");
    }
    // What is under way is not part of the path.
    let state = build(&[chain(LOAD_DEPTH_MAX + 2), vec![load("c00001")]]);
    assert_eq!(try_on(&state, &[load("c00000")]), [Receipt::Ok]);
    // A short way does not hide a long one: `c00000` requires the last link directly, too.
    let mut links = chain(LOAD_DEPTH_MAX + 2);
    links[0] = register_on("c00000", "1.0.0", &[("c00001", "*"), (&format!("c{:05}", LOAD_DEPTH_MAX + 1), "*")]);
    assert_eq!(try_on(&build(&[links]), &[load("c00000")]), [too_deep]);
}

#[test]
fn ten_thousand_in_a_chain_are_refused_by_the_depth() {
    let state = build(&[chain(10_000)]);
    let refusal = state.plan_load(&name("c00000")).unwrap_err();
    assert_eq!((refusal.reject, refusal.plugin), (Reject::LimitExceeded, name("c00017")));
    assert_eq!(try_on(&state, &[load("c00000"), load("c09983")]), [refused(Reject::LimitExceeded), Receipt::Ok]);
}

/// `count` plugins without requirements, and roots that require up to 32 of them each.
fn wide(count: usize) -> Vec<Command> {
    let leaves = (0..count).map(|n| register(&format!("leaf{n:04}"), "1.0.0"));
    leaves.collect()
}

/// A plugin that requires some of the leaves.
fn root(root: &str, leaves: core::ops::Range<usize>, more: &[(&str, &str)]) -> Command {
    let names: Vec<String> = leaves.map(|n| format!("leaf{n:04}")).collect();
    let mut requirements: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "*")).collect();
    requirements.extend(more);
    register_on(root, "1.0.0", &requirements)
}

#[test]
fn a_load_and_a_forced_unload_may_take_sixty_four_plugins() {
    for (leaves, expected) in [(61, Receipt::Ok), (62, Receipt::Ok), (63, refused(Reject::LimitExceeded))] {
        // 62 leaves and two roots are 64.
        assert_eq!(LOAD_PLUGINS_MAX, 64);
        let mut commands = wide(leaves);
        commands.push(root("top", 0..31, &[("under", "*")]));
        commands.push(root("under", 31..leaves, &[]));
        assert_eq!(try_on(&build(&[commands]), &[load("top")]), [expected], "{leaves}");
    }
    for (dependents, expected) in [(63, Receipt::Ok), (64, refused(Reject::LimitExceeded))] {
        let mut commands = vec![register("base", "1.0.0"), load("base"), loaded("base", "1.0.0", true)];
        for n in 0..dependents {
            let plugin = format!("d{n:04}");
            commands.extend([
                register_on(&plugin, "1.0.0", &[("base", "*")]),
                load(&plugin),
                loaded(&plugin, "1.0.0", true),
            ]);
        }
        // Pending ones fail, and do not count.
        commands.extend([register_on("x", "1.0.0", &[("base", "*"), ("y", "*")]), register("y", "1.0.0"), load("x")]);
        assert_eq!(try_on(&build(&[commands]), &[unload_force("base")]), [expected], "{dependents}");
    }
}

#[test]
fn a_plugin_has_256_dependents_at_most() {
    let depends = |n: usize| register_on(&format!("d{n:04}"), "1.0.0", &[("base", "*")]);
    let load_n = |n: usize| load(&format!("d{n:04}"));
    let mut commands = vec![register("base", "1.0.0")];
    commands.extend((0..=DEPENDENTS_MAX).map(depends));
    commands.push(register_on("both", "1.0.0", &[("base", "*"), ("d0256", "*")]));
    commands.push(register("swap", "1.0.0"));
    commands.push(register_on("swap", "2.0.0", &[("base", "*")]));
    let almost = build(&[commands, (0..DEPENDENTS_MAX - 1).map(load_n).collect()]);
    let full = refused(Reject::LimitExceeded);
    let (last, over) = (load_n(DEPENDENTS_MAX - 1), load_n(DEPENDENTS_MAX));
    assert_eq!(try_on(&almost, &[last.clone(), over.clone()]), [Receipt::Ok, full]);
    assert_eq!(try_on(&almost, &[over, last.clone()]), [Receipt::Ok, full]);
    // Two rows for one place: all or nothing.
    assert_eq!(try_on(&almost, &[load("both"), last.clone()]), [full, Receipt::Ok]);
    // A promotion of what is loaded rewrites rows, and needs the place too.
    let mut swap = vec![loaded("base", "1.0.0", true), load("swap"), deploy_slowly("swap", "2.0.0"), promote("swap")];
    assert_eq!(try_on(&almost, &swap), [Receipt::Ok; 4]);
    swap.insert(3, last);
    assert_eq!(try_on(&almost, &swap)[3..], [Receipt::Ok, full]);
}

#[test]
fn a_missing_plugin_is_waited_for_by_256_at_most() {
    let mut world = World::new();
    world.next(&[auto_load(true)]);
    let waiting = |n: usize| register_on(&format!("d{n:04}"), "1.0.0", &[("gone", "*")]);
    for start in (0..=DEPENDENTS_MAX).step_by(16) {
        world.next(&(start..(start + 16).min(DEPENDENTS_MAX + 1)).map(waiting).collect::<Vec<_>>());
    }
    world.advance(world.tip() + 2);
    let waits = |key: &coalmine_core::Key| matches!(key, coalmine_core::Key::Dependent { dependency: Some(_), .. });
    assert_eq!(world.records.keys(coalmine_core::KeyPrefix::Dependent).filter(waits).count(), DEPENDENTS_MAX);
}

#[test]
fn a_host_has_1024_plugins_at_most() {
    let loads = |range: core::ops::Range<usize>| range.map(|n| load(&format!("leaf{n:04}"))).collect();
    let mut commands = wide(LOADED_MAX + 1);
    commands.push(register_on("pair", "1.0.0", &[("leaf1023", "*")]));
    let almost = build(&[commands, loads(0..LOADED_MAX - 1)]);
    let full = refused(Reject::LimitExceeded);
    assert_eq!(try_on(&almost, &[load("leaf1023"), load("leaf1024")]), [Receipt::Ok, full]);
    assert_eq!(try_on(&almost, &[load("pair"), load("leaf1024")]), [full, Receipt::Ok]);
    // A failed one keeps its place, and needs no second one to try again.
    let again = [load("leaf1023"), loaded("leaf1023", "1.0.0", false), load("leaf1024"), load("leaf1023")];
    assert_eq!(try_on(&almost, &again), [Receipt::Ok, Receipt::Ok, full, Receipt::Ok]);
}

// Promotions and what depends on them.

/// `app` requires `lib ^1`; both are loaded, and 2.0.0 of `lib` is deployed to promote by itself.
fn about_to_break() -> World {
    let mut world = World::new();
    world.next(&[register("lib", "1.0.0"), register("lib", "2.0.0"), register_on("app", "1.0.0", &[("lib", "^1")])]);
    world.next(&[register_on("app", "2.0.0", &[("lib", "*")]), load("app")]);
    world.next(&[loaded("lib", "1.0.0", true), loaded("app", "1.0.0", true)]);
    world.all_at(10, &[deploy("lib", "2.0.0", custom(&[stage(5_000, 3)]), EASY)]);
    world.advance(20);
    world
}

#[test]
fn a_promotion_that_would_break_a_dependent_waits_and_is_tried_again() {
    let mut world = about_to_break();
    assert_eq!(world.lines_from(11), ["13 lib paused dependents 0/0 0/0 50"]);
    assert_eq!(world.hold("lib"), Some(Hold::Dependents));
    assert_eq!(world.try_next(&promote("lib")), refused(Reject::DependencyBroken));
    // Nothing has changed: it is held again.
    world.all_at(21, &[resume("lib")]);
    world.advance(25);
    assert_eq!(world.lines_from(21), ["21 lib resumed", "22 lib paused dependents 0/0 0/0 50"]);
    // The dependent takes a version that allows it.
    world.next(&[deploy_slowly("app", "2.0.0"), promote("app")]);
    world.all_at(30, &[resume("lib")]);
    world.advance(40);
    assert_eq!(world.lines_from(30), ["30 lib resumed", "31 lib promoted 1.0.0 2.0.0"]);
    assert_eq!(world.plugin("lib").loaded, Some(version("2.0.0")));
    // Back to where `app` could not follow, if it had gone back itself.
    assert_eq!(world.try_next(&revert("lib")), Receipt::Ok);
    world.next(&[revert("lib"), revert("app")]);
    assert_eq!(world.plugin("app").current, version("1.0.0"));
}

#[test]
fn a_revert_is_checked_and_a_rollback_never() {
    let mut world = World::new();
    world.next(&[register("lib", "1.0.0"), register("lib", "2.0.0"), register_on("app", "1.0.0", &[("lib", "^2")])]);
    world.next(&[deploy_slowly("lib", "2.0.0"), promote("lib"), load("app"), loaded("lib", "2.0.0", true)]);
    assert_eq!(world.try_next(&revert("lib")), refused(Reject::DependencyBroken));
    world.next(&[loaded("app", "1.0.0", false)]);
    assert_eq!(world.try_next(&revert("lib")), Receipt::Ok, "a failed one holds on to nothing");

    // In whatever hold and load state, with rules against everything and the breaker open.
    for state in LoadState::ALL {
        let mut world = bring(*state, "2.0.0");
        world.next(&[pause("p"), trip(0, false)]);
        assert_eq!(world.try_next(&roll_back("p")), Receipt::Ok, "{state}");
    }
    let mut world = about_to_break();
    world.next(&[trip(0, false), roll_back("lib")]);
    assert!(world.deployment("lib").is_none());
}

#[test]
fn requirements_never_lead_back() {
    // What is promoted must not require what requires it.
    let mut world = World::new();
    world.next(&[register("a", "1.0.0"), register_on("b", "1.0.0", &[("a", "*")]), load("b")]);
    world.next(&[loaded("a", "1.0.0", true), loaded("b", "1.0.0", true)]);
    world.next(&[register_on("a", "2.0.0", &[("b", "*")]), register_on("a", "3.0.0", &[("a", "*")])]);
    world.next(&[deploy_slowly("a", "2.0.0")]);
    assert_eq!(world.try_next(&promote("a")), refused(Reject::DependencyBroken));
    world.next(&[roll_back("a"), deploy_slowly("a", "3.0.0")]);
    assert_eq!(world.try_next(&promote("a")), refused(Reject::DependencyBroken));
    // It may require others, as long as they do not either.
    world.next(&[register("leaf", "1.0.0"), register_on("round", "1.0.0", &[("b", "*"), ("leaf", "*")])]);
    world.next(&[load("leaf"), loaded("leaf", "1.0.0", true), load("round"), loaded("round", "1.0.0", true)]);
    for (requirements, expected) in
        [(&[("leaf", "*")][..], Receipt::Ok), (&[("leaf", "*"), ("round", "*")], refused(Reject::DependencyBroken))]
    {
        world.next(&[roll_back("a"), register_on("a", "4.0.0", requirements), deploy_slowly("a", "4.0.0")]);
        assert_eq!(world.try_next(&promote("a")), expected, "{requirements:?}");
    }

    // Nor may a load close a cycle over what was kept loaded by force.
    let mut world = World::new();
    world.next(&[register("a", "1.0.0"), register_on("b", "1.0.0", &[("a", "*")]), load("b")]);
    world.next(&[loaded("a", "1.0.0", true), loaded("b", "1.0.0", true), unload_force("a")]);
    world.next(&[unloaded("a", "1.0.0", true), unloaded("b", "1.0.0", false)]);
    assert_eq!((world.load_state("a"), world.load_state("b")), (LoadState::Unloaded, LoadState::Loaded));
    world.next(&[register_on("a", "2.0.0", &[("b", "*")]), deploy_slowly("a", "2.0.0"), promote("a")]);
    assert_eq!(world.try_next(&load("a")), refused(Reject::DependencyCycle));
    world.next(&[revert("a")]);
    assert_eq!(world.try_next(&load("a")), Receipt::Ok);
}

#[test]
fn the_index_tells_who_requires_a_plugin() {
    let mut world = World::new();
    world.next(&[register("lib", "1.0.0"), register_on("api", "1.0.0", &[("lib", "*")]), register("other", "1.0.0")]);
    for (commands, dependents) in [
        (vec![], vec![]),
        (vec![load("api"), load("other")], vec![name("api")]),
        (vec![loaded("lib", "1.0.0", false)], vec![]),
    ] {
        world.next(&commands);
        assert_eq!(query::dependents(&world.records, &name("lib")).unwrap(), dependents);
    }
}
