//! Deterministic calls: the same answer, error and fuel everywhere, whatever else goes on at a node.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coalmine_host::{HostOptions, Limits};

use crate::common::{World, name, outcome};
use crate::plugins::{runtime, tester};

const REQUESTS: [&str; 25] = [
    "echo",
    "echo hello",
    "config",
    "served",
    "height",
    "unit",
    "get key",
    "get nothing",
    "log a line",
    "work 1000",
    "work 100000",
    "nan",
    "refuse so",
    "fail so",
    "panic so",
    "loop",
    "flood short",
    "recurse",
    "allocate 3000000",
    "allocate 30000000",
    "hoard",
    "return 100001",
    "call lib work 1000",
    "try lib loop",
    "try lib panic",
];

/// A ledger with two plugins, and a node that is set up in some way.
fn world(set: impl FnOnce(&mut HostOptions)) -> World {
    let limits = Limits { response: 100_000, memory: 4 << 20, fuel: 10_000_000, ..Limits::default() };
    let mut world = World::with(runtime(), |options| {
        options.limits = limits;
        options.offers = Arc::new(|key| (key != b"nothing").then(|| [b"value of ", key].concat()));
        set(options);
    });
    world.register("lib", "1.0.0", &tester(), r#","config":"6c6962""#);
    world.register("api", "1.0.0", &tester(), r#","config":"617069","requirements":{"lib":"^1"}"#);
    world.load("api");
    for _ in 0..4 {
        world.block("");
    }
    world
}

fn ask(world: &World, request: &str) -> (String, u64) {
    let response = world.node.host.handle_fresh(&name("api"), b"unit", request.as_bytes());
    (outcome(&response), response.fuel)
}

/// Pins the fuel of the engine: an upgrade that changes a number here forks whoever has consensus on it.
#[test]
fn fuel_is_that_of_before() {
    let world = world(|_| {});
    let mut text = String::new();
    for request in REQUESTS {
        let (outcome, fuel) = ask(&world, request);
        writeln!(text, "{request} | {outcome:.40?} | {fuel}").unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/plugins/fuel.txt");
    if std::env::var_os("COALMINE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap_or_default());
}

/// Nothing that a node has done or is set to do by itself shows.
#[test]
fn nothing_of_this_node_shows() {
    let plain = world(|_| {});
    let other = world(|options| {
        let Limits { reuse, in_flight, queue, idle, traps, pause, .. } = &mut options.limits;
        (*reuse, *in_flight, *queue, *idle, *traps, *pause) = (3, 1, 0, 1, 1, Duration::from_secs(600));
        options.threads = 1;
    });
    // It has served, and trapped, and is quarantined.
    for request in ["echo", "served", "hoard", "panic", "echo"] {
        let _ = other.node.host.handle(&name("api"), b"unit", request.as_bytes());
        let _ = other.node.host.handle(&name("lib"), b"unit", request.as_bytes());
    }
    assert_eq!(outcome(&other.handle("api", "echo")), "quarantined");
    let served = other.node.host.status().iter().map(|slot| slot.served.requests).collect::<Vec<_>>();
    for _ in 0..2 {
        for request in REQUESTS {
            assert_eq!(ask(&other, request), ask(&plain, request), "{request}");
        }
    }
    let after = other.node.host.status().iter().map(|slot| slot.served.requests).collect::<Vec<_>>();
    assert_eq!(served, after, "they are not counted");
}
