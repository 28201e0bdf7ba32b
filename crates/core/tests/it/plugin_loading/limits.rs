//! Limits.

use super::*;

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
    // With the plugin itself and the one that is pending, whatever becomes of it.
    for (dependents, expected) in [(62, Receipt::Ok), (63, refused(Reject::LimitExceeded))] {
        let mut commands = vec![register("base", "1.0.0"), load("base"), loaded("base", "1.0.0", true)];
        for n in 0..dependents {
            let plugin = format!("d{n:04}");
            commands.extend([
                register_on(&plugin, "1.0.0", &[("base", "*")]),
                load(&plugin),
                loaded(&plugin, "1.0.0", true),
            ]);
        }
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
