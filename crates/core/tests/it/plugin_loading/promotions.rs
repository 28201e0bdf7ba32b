//! Promotions and what depends on them.

use super::*;

/// 2.0.0 of `lib` is deployed to promote by itself, and meanwhile `app` is loaded, which requires `lib ^1`.
fn about_to_break() -> World {
    let mut world = World::new();
    world.next(&[register("lib", "1.0.0"), register("lib", "2.0.0"), register_on("app", "1.0.0", &[("lib", "^1")])]);
    world.next(&[register_on("app", "2.0.0", &[("lib", "*")])]);
    world.all_at(10, &[deploy("lib", "2.0.0", custom(&[stage(5_000, 3)]), EASY)]);
    world.next(&[load("app")]);
    world.next(&[loaded("lib", "1.0.0", true), loaded("app", "1.0.0", true)]);
    world.advance(20);
    world
}

#[test]
fn a_promotion_that_would_break_a_dependent_waits_and_is_tried_again() {
    let mut world = about_to_break();
    assert_eq!(world.lines_from(13), ["13 lib paused dependents 0/0 0/0 50"]);
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
        let mut world = bring(*state, Some("2.0.0"));
        world.next(&[pause("p"), trip(0, false)]);
        assert_eq!(world.try_next(&roll_back("p")), Receipt::Ok, "{state}");
    }
    let mut world = about_to_break();
    world.next(&[trip(0, false), roll_back("lib")]);
    assert!(world.deployment("lib").is_none());
}

#[test]
fn a_circle_that_a_promotion_closes_is_opened_by_force() {
    let mut world = World::new();
    world.next(&[register("a", "1.0.0"), register_on("b", "1.0.0", &[("a", "*")]), load("b")]);
    world.next(&[loaded("a", "1.0.0", true), loaded("b", "1.0.0", true)]);
    world.next(&[register_on("a", "2.0.0", &[("b", "*")]), register_on("a", "3.0.0", &[("a", "*")])]);
    assert_eq!(world.try_next(&deploy_slowly("a", "3.0.0")), refused(Reject::DependencyBroken), "it requires itself");
    // What is promoted requires what requires it: that is looked for by a load alone.
    world.next(&[deploy_slowly("a", "2.0.0"), promote("a")]);
    for plugin in ["a", "b"] {
        assert_eq!(world.try_next(&unload(plugin)), refused(Reject::HasDependents), "{plugin}");
    }
    assert_eq!(world.next(&[unload_force("a")]), [""; 0]);
    assert_eq!((world.load_state("a"), world.load_state("b")), (LoadState::Unloading, LoadState::Unloading));
    for (plugin, version) in [("a", "2.0.0"), ("b", "1.0.0")] {
        assert_eq!(world.try_next(&unloaded(plugin, version, true)), refused(Reject::HasDependents), "{plugin}");
    }
    assert_eq!(world.next(&[unload_force("b")]), ["a unloaded 2.0.0", "b unloaded 1.0.0"]);
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
