//! The loading of plugins: what a load plans and in which order, what attestations do, who may be
//! unloaded, what waits, and the limits at their edges.

mod limits;
mod orders;
mod promotions;
mod unloading;

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

/// A world in which `p`, which requires `base` and a host below 2, has this load state. It has a
/// deployment of the version that is given, if one is.
fn bring(state: LoadState, canary: Option<&str>) -> World {
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
    ]);
    if let Some(canary) = canary {
        world.next(&[deploy_slowly("p", canary)]);
    }
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

/// A diamond, with names that are not in the order of what they require.
fn diamond() -> [Command; 4] {
    [
        register_on("a.top", "1.0.0", &[("c.left", "^1"), ("b.right", "^1")]),
        register_on("c.left", "1.0.0", &[("z.base", "^1")]),
        register_on("b.right", "1.0.0", &[("z.base", "^1")]),
        register("z.base", "1.0.0"),
    ]
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
