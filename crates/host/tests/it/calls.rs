//! Plugins that call each other: routed alike, from the caller's fuel, at most so deep, and the right one is blamed.

use std::thread;

use coalmine_core::Name;
use coalmine_host::{CallError, DEPTH_MAX, Host, Limits};

use crate::common::{Node, World, name, outcome};
use crate::plugins::{runtime, tester};

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Plugins `a`, `b` and `c`, of which each requires the next one.
fn chain(limits: Limits) -> World {
    let mut world = World::with(runtime(), |options| {
        options.limits = limits;
        options.report_blocks = 1;
    });
    for (plugin, requires) in
        [("c", ""), ("b", r#","requirements":{"c":"^1"}"#), ("a", r#","requirements":{"b":"^1"}"#)]
    {
        let rest = format!(r#","config":"{}"{requires}"#, hex(plugin));
        world.register(plugin, "1.0.0", &tester(), &rest);
    }
    world.load("a");
    for _ in 0..3 {
        world.block("");
    }
    world
}

/// Registers version 2.0.0 of `c` that requires `a`, and promotes it: a circle, which the ledger does not look for here.
fn close_the_circle(world: &mut World) {
    world.block(r#"{"op":"set_rule","plugin":"c","constraint":""}"#);
    let rest = format!(r#","config":"{}","requirements":{{"a":"*"}}"#, hex("c"));
    world.register("c", "1.1.0", &tester(), &rest);
    world.block(r#"{"op":"deploy","plugin":"c","version":"1.1.0","strategy":"rolling"}"#);
    world.block(r#"{"op":"promote","plugin":"c"}"#);
}

/// The requests and errors that the ledger knows of the current version of a plugin.
fn counts(world: &World, plugin: &str) -> (u64, u64) {
    let plugin = name(plugin);
    let version = &world.ledger.state.plugin(&plugin).unwrap().current;
    let counts = world.ledger.state.plugin_version(&plugin, version).unwrap().counts;
    (counts.requests, counts.errors)
}

/// A request to `a`, what comes of it, and the requests and errors of `a`, `b` and `c` that are counted.
type Row = (&'static str, &'static str, [(u64, u64); 3]);

const ROWS: [Row; 11] = [
    ("call b echo hello", "hello", [(1, 0), (1, 0), (0, 0)]),
    ("call b call c unit", "unit", [(1, 0), (1, 0), (1, 0)]),
    ("call b refuse so", "refused: so", [(1, 0), (1, 0), (0, 0)]),
    // The caller hands the failure on, and is to blame for that; it might have answered.
    ("call b fail so", "failed", [(1, 1), (1, 1), (0, 0)]),
    ("try b fail so", "failed: b: failed", [(1, 0), (1, 1), (0, 0)]),
    ("try b panic", "failed: b: trap", [(1, 0), (1, 1), (0, 0)]),
    ("try b loop", "failed: b: out of fuel", [(1, 0), (1, 1), (0, 0)]),
    ("try b try c loop", "failed: c: out of fuel", [(1, 0), (1, 0), (1, 1)]),
    ("try b return 1000000", "failed: b: response too large", [(1, 0), (1, 1), (0, 0)]),
    ("try c echo", "failed: c is not among the requirements of a", [(1, 0), (0, 0), (0, 0)]),
    ("try nobody echo", "failed: nobody is not among the requirements of a", [(1, 0), (0, 0), (0, 0)]),
];

#[test]
fn whoever_fails_is_to_blame() {
    let mut world = chain(Limits { response: 1_000, ..Limits::default() });
    let mut sums = [(0, 0); 3];
    for (request, expected, counted) in ROWS {
        let response = world.handle("a", request);
        assert_eq!(outcome(&response), expected, "{request}");
        assert!(response.fuel <= Limits::default().fuel);
        world.block("");
        world.block("");
        for ((sum, more), plugin) in sums.iter_mut().zip(counted).zip(["a", "b", "c"]) {
            *sum = (sum.0 + more.0, sum.1 + more.1);
            assert_eq!(counts(&world, plugin), *sum, "{request}: {plugin}");
        }
    }
}

/// The fuel of a call is that of everybody who takes part in it.
#[test]
fn a_call_pays_for_those_it_asks() {
    let world = chain(Limits::default());
    let alone = world.handle("c", "work 10000").fuel;
    let through = world.handle("a", "call b call c work 10000").fuel;
    assert!(
        alone > 10_000 && through > alone + 1_000 && through < alone + 50_000,
        "{alone} alone, {through} through two"
    );
}

/// The plugins that are asked one by another, round and round, so many times.
fn round(asked: usize) -> Vec<&'static str> {
    ["b", "c", "a"].into_iter().cycle().take(asked).collect()
}

#[test]
fn a_circle_ends() {
    let mut world = chain(Limits::default());
    close_the_circle(&mut world);
    assert_eq!(world.ledger.state.plugin(&name("c")).unwrap().current.as_str(), "1.1.0");
    let ask = |asked| {
        let calls: String = round(asked).iter().map(|plugin| format!("call {plugin} ")).collect();
        world.handle("a", &format!("{calls}echo hi"))
    };
    // The plugin that is asked first is at depth 1.
    for asked in 0..DEPTH_MAX {
        assert_eq!(outcome(&ask(asked.into())), "hi", "{asked}");
    }
    for asked in [8, 9, 30] {
        let errors = || world.node.host.status().iter().map(|status| status.served.errors).sum::<u64>();
        let before = errors();
        assert_eq!(ask(asked).outcome, Err(CallError::TooDeep), "{asked}");
        assert_eq!(errors(), before, "it is nobody's error");
    }
    // A node that starts with a circle on its ledger loads it.
    let mut node = Node::start(0, runtime(), world.folder.path(), |_| {});
    node.host.sync(&world.ledger.state);
    node.settle();
    let loaded = node.events().into_iter().filter(|line| line.starts_with("loaded")).count();
    assert_eq!(loaded, 4);
}

/// Every level may use its stack to the end, on whatever thread the embedder asks.
#[test]
fn the_deepest_call_fits_the_stack() {
    let mut world = chain(Limits { fuel: 1_000_000_000, traps: u32::MAX, ..Limits::default() });
    close_the_circle(&mut world);
    let fits = |frames: &usize| outcome(&world.handle("a", &format!("dive {frames}"))) == "bottom";
    let most = (1..).map(|step| step * 200).take_while(fits).last().unwrap();
    assert!(most > 600, "{most}");
    assert_eq!(outcome(&world.handle("a", &format!("dive {}", most + 200))), "stack overflow");
    let (host, a): (&Host, Name) = (&world.node.host, name("a"));
    let dive = |asked| format!("dive {} {}", most - 200, round(asked).join(" "));
    for (asked, expected) in [(7, "bottom"), (8, "plugins call each other more than 8 deep")] {
        let request = dive(asked);
        let answer = thread::scope(|scope| {
            let ask = || host.handle(&a, b"unit", request.as_bytes());
            thread::Builder::new().stack_size(32 << 10).spawn_scoped(scope, ask).unwrap().join().unwrap()
        });
        assert_eq!(outcome(&answer), expected);
    }
}

/// A plugin that this node lacks ends the whole call, which is nobody's error.
#[test]
fn what_is_not_here_is_nobodys_error() {
    let world = chain(Limits::default());
    // A node that starts without the code of c, and so with none of the three.
    let hash = world.ledger.state.plugin_version(&name("c"), &"1.0.0".parse().unwrap()).unwrap().manifest.code_hash;
    let other = tempfile::tempdir().unwrap();
    let node = Node::start(1, runtime(), other.path(), |_| {});
    node.host.sync(&world.ledger.state);
    node.settle();
    assert_eq!(node.host.missing().into_iter().collect::<Vec<_>>(), [hash]);
    for plugin in ["a", "c"] {
        let response = node.host.handle(&name(plugin), b"unit", b"echo");
        assert_eq!(response.outcome, Err(CallError::NotHere(name(plugin), "1.0.0".parse().unwrap())));
        assert_eq!(response.version, Some("1.0.0".parse().unwrap()), "it says to which version the ledger routes");
    }
    assert!(node.tray.empty().is_empty());
}
