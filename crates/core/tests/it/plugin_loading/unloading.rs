//! Unloading, rules and the host, and loading by itself.

use super::*;

fn load_all(world: &mut World, plugins: &[&str]) {
    let commands: Vec<Command> = plugins.iter().map(|plugin| loaded(plugin, "1.0.0", true)).collect();
    world.next(&commands);
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
    let all = ["a.top", "b.right", "c.left", "z.base"];
    let states = |world: &World| all.map(|plugin| world.load_state(plugin));
    assert_eq!(world.next(&[unload_force("z.base")]), [""; 0]);
    assert_eq!(states(&world), [LoadState::Unloading; 4]);
    // Dependents report first. One that fails comes back with all that it requires.
    for plugin in ["z.base", "b.right", "c.left"] {
        assert_eq!(world.try_next(&unloaded(plugin, "1.0.0", true)), refused(Reject::HasDependents), "{plugin}");
    }
    let told = world.next(&[unloaded("a.top", "1.0.0", false)]);
    assert_eq!(told, all.map(|plugin| format!("{plugin} loaded 1.0.0")));
    // The rest goes on without it.
    let told =
        world.next(&[unload_force("z.base"), unloaded("a.top", "1.0.0", true), unloaded("b.right", "1.0.0", false)]);
    assert_eq!(told, ["a.top unloaded 1.0.0", "b.right loaded 1.0.0", "z.base loaded 1.0.0"]);
    use LoadState::{Loaded, Unloaded, Unloading};
    assert_eq!(states(&world), [Unloaded, Loaded, Unloading, Loaded]);
    assert_eq!(world.plugin("z.base").dependents, 2, "what is being unloaded holds on to it");
}

#[test]
fn a_forced_unload_takes_what_is_not_loaded_yet_and_leaves_what_is_going() {
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
    assert_eq!(world.next(&[unload_force("z.base")]), [""; 0]);
    for plugin in ["early", "soon", "a.top", "b.right", "c.left", "z.base"] {
        assert_eq!(world.load_state(plugin), LoadState::Unloading, "{plugin}");
    }
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
    assert_eq!(world.lines_from(at + 1), [format!("{} alone load_planned 1.0.0 loading", at + 1)]);
    assert_eq!(world.load_state("before"), LoadState::Unloaded, "registered before");
    // It waits on rows for all that it requires; each registration gives it a turn, and so does each
    // load, for that may bring what a requirement of it lacked.
    let at = world.tip() + 1;
    world.all_at(at, &[register("log", "1.0.0")]);
    assert_eq!(world.plugin("log").dependents, 1);
    world.advance(at + 3);
    assert_eq!(world.lines_from(at + 1), [format!("{} log load_planned 1.0.0 loading", at + 1)]);
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
    let rows: [(&str, &[Command], usize); 4] = [
        ("missing", &[register_on("p", "1.0.0", &[("gone", "*")])], 1),
        ("broken", &[register("lib", "1.0.0"), register_on("p", "1.0.0", &[("lib", "^2")])], 0),
        ("host", &[register_for_host("p", "1.0.0", "^2")], 0),
        ("itself", &[register_on("p", "1.0.0", &[("p", "*")])], 0),
    ];
    for (what, commands, rows) in rows {
        let mut world = World::new();
        world.next(&[auto_load(true)]);
        world.next(commands);
        world.advance(5);
        assert!(
            !world.lines_from(3).iter().any(|line| line.contains(" p ")),
            "{what}: a turn that is refused tells nothing"
        );
        let count = world.records.keys(coalmine_core::KeyPrefix::Dependent).filter(|key| {
            matches!(key, coalmine_core::Key::Dependent { dependency: Some(_), dependent } if *dependent == name("p"))
        });
        assert_eq!(count.count(), rows, "{what}");
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
    // Auto-load is turned off: the registration still gives it a turn, which does nothing.
    let mut world = waiting();
    world.next(&[auto_load(false), register("lib", "1.0.0")]);
    assert_eq!(world.plugin("lib").dependents, 1);
    world.advance(world.tip() + 2);
    assert_eq!(world.plugin("lib").dependents, 1);
    assert_eq!(world.load_state("p"), LoadState::Unloaded);
    // Another version is current: its requirements count, and it waits for none.
    let mut world = waiting();
    world.next(&[deploy_slowly("p", "2.0.0"), promote("p")]);
    world.next(&[register("lib", "1.0.0")]);
    assert_eq!(world.plugin("lib").dependents, 0);
    world.advance(world.tip() + 2);
    assert_eq!(world.load_state("p"), LoadState::Unloaded);
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
