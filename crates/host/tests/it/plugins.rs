//! Plugins that do as they should and plugins that do not, as components: the right error, the node unharmed.

use std::path::Path;
use std::sync::Arc;

use coalmine_host::wasm::{EngineOptions, WasmRuntime};
use coalmine_host::{CallError, Limits, Runtime};

use crate::common::{World, name, outcome};

pub(crate) fn tester() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/plugins/tester.wasm")).unwrap()
}

pub(crate) fn runtime() -> Arc<dyn Runtime> {
    let options = EngineOptions { instances: 200, ..EngineOptions::default() };
    Arc::new(WasmRuntime::new(&options).unwrap())
}

fn limits() -> Limits {
    Limits { memory: 4 << 20, response: 100_000, request: 100_000, traps: u32::MAX, ..Limits::default() }
}

/// A request, what comes of it, and whether it is an error of the version.
type Row = (&'static str, &'static str, bool);

const ROWS: [Row; 24] = [
    ("echo hello", "hello", false),
    ("config", "first", false),
    ("height", "4", false),
    ("unit", "unit", false),
    ("get key", "value of key", false),
    ("get nothing", "refused: there is nothing", false),
    ("refuse no", "refused: no", false),
    ("what", "refused: there is no verb what", false),
    ("nan", "\u{7f}\u{fffd}\0\0\0\0\0\0", false),
    ("fail on purpose", "failed", true),
    ("panic oh", "trap", true),
    ("work zero", "trap", true),
    ("loop", "out of fuel", true),
    ("flood short", "out of fuel", true),
    ("recurse", "stack overflow", true),
    ("allocate 3000000", "3000000", false),
    ("allocate 30000000", "out of memory", true),
    ("allocate 1073741824", "out of memory", true),
    ("allocate 4294967295", "trap", true),
    ("hoard", "out of memory", true),
    ("return 100001", "response too large", true),
    ("return 1073741824", "out of memory", true),
    ("call other echo", "failed", true),
    ("try other echo", "failed: other is not among the requirements of tester", false),
];

fn loaded(limits: Limits, config: &str) -> World {
    let mut world = World::with(runtime(), |options| {
        options.limits = limits;
        options.report_blocks = 1;
        options.offers = Arc::new(|key| (key != b"nothing").then(|| [b"value of ", key].concat()));
    });
    let config: String = config.bytes().map(|byte| format!("{byte:02x}")).collect();
    world.register("tester", "1.0.0", &tester(), &format!(r#","config":"{config}""#));
    world.load("tester");
    world.block("");
    world
}

#[test]
fn whatever_a_plugin_does_the_right_one_is_blamed() {
    let mut world = loaded(limits(), "first");
    let (mut requests, mut errors) = (0, 0);
    for (request, expected, is_of_version) in ROWS {
        for _ in 0..2 {
            let response = world.handle("tester", request);
            assert_eq!(outcome(&response), expected, "{request}: {:?}", response.outcome);
            let blamed = response.outcome.as_ref().is_err_and(CallError::is_of_version);
            assert_eq!(blamed, is_of_version, "{request}");
            assert!(response.fuel > 0 && response.fuel <= limits().fuel, "{request}: {}", response.fuel);
            requests += 1;
            errors += u64::from(is_of_version);
        }
        assert_eq!(outcome(&world.handle("tester", "echo still here")), "still here", "after {request}");
        requests += 1;
    }
    world.block("");
    world.block("");
    let record = world.ledger.state.plugin_version(&name("tester"), &"1.0.0".parse().unwrap()).unwrap();
    assert_eq!((record.counts.requests, record.counts.errors), (requests, errors));
    let status = &world.node.host.status()[0];
    assert_eq!((status.served.requests, status.served.errors), (requests, errors));
    assert_eq!(record.counts.latency_sum, status.served.fuel);
}

#[test]
fn an_error_says_what_the_plugin_said() {
    let world = loaded(limits(), "");
    let said = world.handle("tester", "panic out of cheese").outcome.unwrap_err().to_string();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "trap: wasm `unreachable` instruction executed");
    assert!(lines[1].contains("panicked at guests/tester/src/lib.rs"), "{said}");
    assert!(said.contains("out of cheese"), "{said}");
    // What was logged in another call is not in it.
    world.handle("tester", "log earlier");
    let said = world.handle("tester", "fail plainly").outcome.unwrap_err().to_string();
    assert_eq!(said, "failed: plainly");
}

#[test]
fn requests_have_a_limit() {
    let world = loaded(limits(), "");
    let response = world.node.host.handle(&name("tester"), b"", &[b'x'; 100_001]);
    assert_eq!(response.outcome, Err(CallError::RequestTooLarge { len: 100_001, max: 100_000 }));
    assert_eq!((world.node.host.status()[0].served.requests, response.fuel), (0, 0));
}

/// How many requests an instance serves.
#[test]
fn instances_are_used_so_many_times() {
    for (reuse, expected) in [(1, "1 1 1 1 1 1 1"), (3, "1 2 3 1 2 3 1"), (1_000, "1 2 3 4 5 6 7")] {
        let world = loaded(Limits { reuse, ..limits() }, "");
        let served: Vec<String> = (0..7).map(|_| outcome(&world.handle("tester", "served"))).collect();
        assert_eq!(served.join(" "), expected, "{reuse}");
        // A trap ends an instance, and nothing else does.
        world.handle("tester", "fail");
        world.handle("tester", "panic");
        assert_eq!(outcome(&world.handle("tester", "served")), "1");
    }
}

/// Text of a component that imports nothing, with the exports that are given.
fn with_core(core: &str, exports: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (core module $m {core}) (core instance $i (instantiate $m)) {exports})"))
        .unwrap()
}

/// The three exports of the world over a core module with `memory`, `realloc`, `result` and `handle`.
const EXPORTS: &str = r#"
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (import "coalmine:plugin/types@1.0.0" (instance $types
        (type $failure (variant (case "refused" string) (case "failed" string)))
        (export "failure" (type (eq $failure)))))
    (alias export $types "failure" (type $failure))
    (func (export "setup") (param "config" (list u8)) (result (result (error string)))
        (canon lift (core func $i "setup") (memory $memory) (realloc $realloc)))
    (func (export "check") (result (result (error string)))
        (canon lift (core func $i "check") (memory $memory) (realloc $realloc)))
    (func (export "handle") (param "request" (list u8)) (result (result (list u8) (error $failure)))
        (canon lift (core func $i "handle") (memory $memory) (realloc $realloc)))
"#;

/// A core module whose memory has so many pages, with something in it besides, and with the body of `handle`, which
/// returns the address of an answer.
fn core(pages: &str, rest: &str, handle: &str) -> String {
    format!(
        r#"(memory (export "memory") {pages}) {rest}
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
        (func (export "setup") (param i32 i32) (result i32) i32.const 16)
        (func (export "check") (result i32) i32.const 16)
        (func (export "handle") (param i32 i32) (result i32) {handle})"#
    )
}

/// Writes an answer of 12 bytes at address 32: `ok`, where the list is, and how long it is.
fn answer(address: u64, len: u64) -> String {
    format!(
        "(i32.store (i32.const 36) (i32.const {address})) (i32.store (i32.const 40) (i32.const {len})) i32.const 32"
    )
}

/// Code, and what comes of loading it: nothing, or a part of what is said.
fn codes() -> Vec<(&'static str, Vec<u8>, Result<&'static str, &'static str>)> {
    let functions: String = (0..10_000).map(|n| format!("(func (result i32) i32.const {n})")).collect();
    let component = |core: &str| with_core(core, EXPORTS);
    let good = core("1", "", &answer(64, 2));
    vec![
        ("a small component", component(&good), Ok("\0\0")),
        ("nothing like it", b"hello".to_vec(), Err("this is not a WebAssembly component")),
        ("a core module", wat::parse_str("(module)").unwrap(), Err("this is a core module, not a component")),
        ("an empty component", wat::parse_str("(component)").unwrap(), Err("not a component of the world")),
        ("half a component", tester()[..20_000].to_vec(), Err("not a valid component")),
        ("bytes that are none", [b"\0asm\x0d\0\x01\0", &[0xff; 100][..]].concat(), Err("not a valid component")),
        (
            "imports of WASI",
            wat::parse_str(r#"(component (import "wasi:cli/environment@0.2.0" (instance)))"#).unwrap(),
            Err("it imports what is not here: wasi:cli/environment@0.2.0; there is no WASI here"),
        ),
        (
            "imports of somebody else, among ours",
            wat::parse_str(
                r#"(component (import "other:thing/x" (instance)) (import "coalmine:plugin/types@1.0.0" (instance)) (import "y" (func)))"#,
            )
            .unwrap(),
            Err("it imports what is not here: other:thing/x, y; a plugin imports from coalmine:plugin@1 alone"),
        ),
        (
            "imports of a world to come",
            wat::parse_str(r#"(component (import "coalmine:plugin/host@2.0.0" (instance)))"#).unwrap(),
            Err("it imports what is not here: coalmine:plugin/host@2.0.0"),
        ),
        (
            "an import of ours that is not there",
            wat::parse_str(
                r#"(component (import "coalmine:plugin/host@1.0.0" (instance (export "clock" (func (result u64))))))"#,
            )
            .unwrap(),
            Err("clock"),
        ),
        ("10 000 functions", component(&format!("{good}{functions}")), Ok("\0\0")),
        ("a start that traps", component(&format!("{good} (func $s unreachable) (start $s)")), Err("trap")),
        ("a start that loops", component(&format!("{good} (func $s (loop br 0)) (start $s)")), Err("out of fuel")),
        ("memory from the start", component(&core("65", "", "i32.const 0")), Err("it begins with 4259840 bytes of memory")),
        (
            "two memories, too much together",
            component(&core("40", "(memory 40)", "i32.const 0")),
            Err("memories count of 2 exceeds the per-instance limit of 1"),
        ),
        ("a table without end", component(&core("1", "(table 9000000 funcref)", "i32.const 0")), Err("")),
        ("an answer that is not there", component(&core("1", "", &answer(64, 1 << 30))), Ok("trap")),
        ("an answer beyond its memory", component(&core("1", "", &answer(65_530, 10))), Ok("trap")),
        ("an address beyond its memory", component(&core("1", "", "i32.const -4")), Ok("trap")),
        ("an answer that its types do not have", component(&core("1", "", "(i32.store8 (i32.const 32) (i32.const 7)) i32.const 32")), Ok("trap")),
        ("64-bit memory", component(&core("i64 1", "", "i32.const 0")), Err("not a valid component")),
        ("shared memory", component(&core("1 1 shared", "", "i32.const 0")), Err("not a valid component")),
    ]
}

#[test]
fn what_is_no_plugin_does_not_load() {
    let limits = Limits { fuel: 10_000_000, setup_fuel: 10_000_000, ..limits() };
    for (what, code, expected) in codes() {
        let mut world = World::new(runtime(), limits.clone());
        world.register("odd", "1.0.0", &code, "");
        world.load("odd");
        let events = world.node.events();
        let failed = events.iter().find(|line| line.starts_with("load_failed"));
        let load_state = world.ledger.state.plugin(&name("odd")).unwrap().load_state;
        match expected {
            Ok(said) => {
                assert_eq!(failed, None, "{what}");
                assert_eq!(load_state.name(), "loaded", "{what}");
                assert_eq!(outcome(&world.handle("odd", "x")), said, "{what}");
                assert_eq!(outcome(&world.handle("odd", "x")), said, "{what}");
            }
            Err(said) => {
                assert_eq!(load_state.name(), "failed", "{what}");
                let failed = failed.unwrap_or_else(|| panic!("{what}: {events:?}"));
                assert!(failed.contains(said), "{what}: {failed}");
                assert_eq!(outcome(&world.handle("odd", "x")).split(';').next(), Some("plugin odd is not loaded"));
            }
        }
    }
}

/// Configs, and what loading says.
#[test]
fn setup_decides_about_the_load() {
    for (config, expected) in [
        ("fail no disk", Some("load_failed tester 1.0.0: failed: setup: no disk")),
        ("panic", Some("load_failed tester 1.0.0: trap: wasm `unreachable` instruction executed")),
        ("loop", Some("load_failed tester 1.0.0: out of fuel: all fuel consumed by WebAssembly")),
        ("fine", None),
    ] {
        let mut world = loaded(Limits { setup_fuel: 10_000_000, ..limits() }, config);
        let events = world.node.events();
        let failed = events.iter().find(|line| line.starts_with("load_failed"));
        match expected {
            Some(expected) => assert!(failed.unwrap().starts_with(expected), "{failed:?}"),
            None => assert_eq!(failed, None),
        }
    }
}
