//! Unloading, and what waits.

use coalmine_core::LoadState::{self, Failed, Loaded, Loading, Pending, Unloaded, Unloading};

use super::*;

/// `c` requires `b`, which requires `a`; `d` requires nothing. All are in these states.
fn chain(states: [LoadState; 3]) -> Model {
    let mut model = plain();
    let plugins = [register("a", "1.0.0", &[]), register("b", "1.0.0", &["a"]), register("c", "1.0.0", &["b"])];
    all(&mut model, 10, &plugins.map(|command| (A, command)));
    for (name, state) in ["a", "b", "c"].into_iter().zip(states) {
        let plugin = model.plugin_mut(name.as_bytes());
        plugin.load_state = state;
        plugin.loaded = (state != Unloaded).then(|| plugin.current.clone());
    }
    model
}

fn states(model: &Model) -> [LoadState; 3] {
    ["a", "b", "c"].map(|name| model.plugins[name.as_bytes()].load_state)
}

#[track_caller]
fn check(
    before: [LoadState; 3],
    signer: Address,
    command: Command,
    receipt: &str,
    events: &[&str],
    after: [LoadState; 3],
) {
    let mut model = chain(before);
    let (receipts, got) = at(&mut model, 11, &[(signer, command)]);
    assert_eq!((receipts[0], got.as_slice(), states(&model)), (receipt, events, after), "{before:?}");
}

#[test]
fn unloading() {
    const HAS: &str = "has_dependents";
    check([Loaded; 3], O, unload("a", false), HAS, &[], [Loaded; 3]);
    check([Loaded; 3], O, unload("a", true), "ok", &[], [Unloading; 3]);
    check([Loaded; 3], O, unload("b", true), "ok", &[], [Loaded, Unloading, Unloading]);
    check([Loaded; 3], O, unload("c", false), "ok", &[], [Loaded, Loaded, Unloading]);
    check([Loaded, Loading, Pending], O, unload("a", true), "ok", &[], [Unloading; 3]);
    check([Loaded, Failed, Unloaded], O, unload("a", false), "ok", &[], [Unloading, Failed, Unloaded]);
    check([Loaded, Failed, Failed], O, unload("b", false), "ok", &["unloaded"], [Loaded, Unloaded, Failed]);
    check([Loading, Pending, Pending], O, unload("a", true), "not_loaded", &[], [Loading, Pending, Pending]);
    check([Unloading; 3], O, unload("a", false), "not_loaded", &[], [Unloading; 3]);
    check([Unloading; 3], O, unload("a", true), "ok", &["unloaded"; 3], [Unloaded; 3]);
    check([Unloading; 3], O, unload("b", true), "ok", &["unloaded"; 2], [Unloading, Unloaded, Unloaded]);
    check([Failed, Unloading, Unloading], O, unload("a", true), "ok", &["unloaded"], [Unloaded, Unloading, Unloading]);
    check([Failed, Unloading, Unloading], O, unload("a", false), HAS, &[], [Failed, Unloading, Unloading]);
}

#[test]
fn dependents_report_first() {
    let off = |plugin, ok| attest(56, plugin, ok);
    check([Unloading; 3], R, off("a", true), "has_dependents", &[], [Unloading; 3]);
    check([Unloading; 3], R, off("c", true), "ok", &["unloaded"], [Unloading, Unloading, Unloaded]);
    check([Unloading; 3], R, off("c", false), "ok", &["loaded"; 3], [Loaded; 3]);
    check([Loaded, Unloading, Unloading], R, off("c", false), "ok", &["loaded"; 2], [Loaded; 3]);
    check([Unloading, Unloading, Unloaded], R, off("b", false), "ok", &["loaded"; 2], [Loaded, Loaded, Unloaded]);
    check([Unloading, Failed, Failed], R, off("a", true), "ok", &["unloaded"], [Unloaded, Failed, Failed]);
    check([Loaded; 3], R, off("c", true), "not_loaded", &[], [Loaded; 3]);
}

#[test]
fn a_forced_unload_visits_64_plugins() {
    for (dependents, receipt) in [(63, "ok"), (64, "limit_exceeded")] {
        for state in [Loaded, Unloading] {
            let mut model = plain();
            all(&mut model, 10, &[(A, register("a", "1.0.0", &[]))]);
            for n in 0..dependents {
                all(&mut model, 11 + n, &[(A, register(&format!("d{n}"), "1.0.0", &["a"]))]);
            }
            for plugin in model.plugins.values_mut() {
                (plugin.load_state, plugin.loaded) = (state, Some(plugin.current.clone()));
            }
            assert_eq!(answer(&model, 80, O, &unload("a", true)), receipt, "{dependents} {state}");
        }
    }
}

#[test]
fn a_failure_goes_on_a_level_a_block() {
    let mut model = chain([Loading, Pending, Pending]);
    assert_eq!(all(&mut model, 11, &[(R, attest(55, "a", false))]), ["load_failed"; 2]);
    assert_eq!(states(&model), [Failed, Failed, Pending]);
    assert_eq!(all(&mut model, 12, &[]), ["load_failed"]);
    assert!(all(&mut model, 13, &[]).is_empty());
    assert_eq!(model.load_queue.len(), 0);
    // What has failed blocks neither rule nor host, and is loaded again as a whole.
    let rule = PluginCommand::SetRule { plugin: b"a".to_vec(), constraint: b"2".to_vec() };
    assert_eq!(answer(&model, 14, A, &Command::Plugin(rule)), "ok");
    assert_eq!(all(&mut model, 14, &[(O, on_plugin(51, "c"))]), ["load_planned"; 3]);
}

/// A plugin that misses a requirement waits for it, and for whoever waits in turn.
#[test]
fn what_is_missing_is_waited_for() {
    let mut model = plain();
    let registry = PluginCommand::SetRegistryParams { max_versions: None, auto_load: Some(true) };
    all(&mut model, 10, &[(A, Command::Plugin(registry))]);
    all(&mut model, 11, &[(A, register("b", "1.0.0", &["a", "m"])), (A, register("a", "1.0.0", &["n"]))]);
    assert!(all(&mut model, 12, &[]).is_empty());
    assert!(model.plugins.values().all(|plugin| plugin.waits));
    assert_eq!(model.dependents_count(b"a"), 1);
    // m alone does not help b, whose requirement a misses n; m itself is planned.
    all(&mut model, 13, &[(A, register("m", "1.0.0", &[]))]);
    assert_eq!(all(&mut model, 14, &[]), ["load_planned"]);
    // b waits for m, too, which was planned.
    assert_eq!(model.load_queue.iter().map(|(_, name)| name.as_slice()).collect::<Vec<_>>(), [b"b"]);
    all(&mut model, 15, &[(A, register("n", "1.0.0", &[]))]);
    // The turn of a plans n with it; b waits for a, so it is queued.
    assert_eq!(all(&mut model, 16, &[]), ["load_planned"; 2]);
    assert_eq!(all(&mut model, 17, &[]), ["load_planned"]);
    assert!(model.plugins.values().all(|plugin| !plugin.waits));
}

/// What a deployment brings is what could be promoted at that moment; what a promotion changes is looked at again.
#[test]
fn deploy_makes_the_checks_of_a_promotion() {
    let mut model = plain();
    let versions = [("lib", "1.0.0", &[][..]), ("app", "1.0.0", &["lib"]), ("app", "2.0.0", &["lib", "new"])];
    all(&mut model, 10, &versions.map(|(name, version, on)| (A, register(name, version, on))));
    let new = deploy("app", "2.0.0", 0, 5, 0, true);
    // Nothing is asked of what is not loaded.
    assert_eq!(answer(&model, 11, O, &new), "ok");
    all(&mut model, 11, &[(O, on_plugin(51, "app"))]);
    assert_eq!(answer(&model, 12, O, &new), "dependency_broken");
    all(&mut model, 12, &[(A, register("new", "1.0.0", &[]))]);
    assert_eq!(answer(&model, 13, O, &new), "dependency_broken");
    all(&mut model, 13, &[(O, on_plugin(51, "new"))]);
    assert_eq!(answer(&model, 14, O, &new), "ok");
    let rule = PluginCommand::SetRule { plugin: b"app".to_vec(), constraint: b"<2".to_vec() };
    all(&mut model, 14, &[(A, Command::Plugin(rule.clone()))]);
    assert_eq!(answer(&model, 15, O, &new), "rule_violated");
    all(
        &mut model,
        15,
        &[(A, Command::Plugin(PluginCommand::SetRule { plugin: b"app".to_vec(), constraint: vec![] }))],
    );
    all(&mut model, 16, &[(O, new)]);
    // What is being served may not be forbidden.
    assert_eq!(answer(&model, 17, A, &Command::Plugin(rule)), "rule_violated");
    assert_eq!(all(&mut model, 21, &[]), ["promoted"]);
    assert_eq!(model.plugins[&b"app"[..]].loaded.as_ref().unwrap().to_string(), "2.0.0");
}
