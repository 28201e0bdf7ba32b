//! Following the ledger: a story told block by block, and what holds whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use coalmine_core::{Command, Event, LoadState, Name, Params, Receipt, Reject, State, Version};
use coalmine_host::native::{NativePlugin, NativeRuntime};
use coalmine_host::{Arm, CallError, ErrorKind, Failure, HostOptions, Limits, Runtime};
use coalmine_json::{read_command, write_command};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::common::{ADMIN, Ledger, Node, World, name, outcome, reporter};

/// A plugin that answers its own code, so that it is seen which one answers; one with `ill` in it is ill, and one with `bad`
/// does not load.
fn runtime(codes: &[&'static str]) -> Arc<dyn Runtime> {
    let mut runtime = NativeRuntime::default();
    for &code in codes {
        let plugin = NativePlugin::new(move |call, request| {
            call.burn(10)?;
            match request {
                b"fail" => Err(Failure::Failed("as asked".to_owned())),
                b"refuse" => Err(Failure::Refused("as asked".to_owned())),
                b"pass on" => call.call("lib", b"what"),
                _ if code.contains("ill") => Err(Failure::Failed("ill".to_owned())),
                _ => Ok(code.as_bytes().to_vec()),
            }
        });
        let setup = move |_: &[u8]| if code.contains("bad") { Err("it is bad".to_owned()) } else { Ok(()) };
        let check = move || if code.contains("ill") { Err("it is ill".to_owned()) } else { Ok(()) };
        runtime.add(code.as_bytes(), plugin.with_setup(setup).with_check(check));
    }
    Arc::new(runtime)
}

/// Tells a story: a line for each block, and below it what the host has said into it, what happened on the ledger, and what
/// then happened in the host.
struct Story {
    world: World,
    text: String,
}

impl Story {
    fn block(&mut self, commands: &str) {
        let said: Vec<String> =
            self.world.node.tray.commands().iter().map(|command| write_command(command).unwrap()).collect();
        let events = self.world.block(commands);
        writeln!(self.text, "block {}", self.world.ledger.height()).unwrap();
        said.iter().for_each(|line| writeln!(self.text, "  said   {line}").unwrap());
        commands.lines().for_each(|line| writeln!(self.text, "  sent   {}", line.trim()).unwrap());
        for event in &events {
            writeln!(self.text, "  ledger {event}").unwrap();
        }
        self.world.node.events().iter().for_each(|line| writeln!(self.text, "  host   {line}").unwrap());
    }

    /// Requests of as many units, and what came of them, by arm.
    fn requests(&mut self, plugin: &str, units: u32) {
        let mut counts: BTreeMap<(Option<Arm>, String), u32> = BTreeMap::new();
        for unit in 0..units {
            let response = self.world.node.host.handle(&name(plugin), &unit.to_be_bytes(), b"what");
            *counts.entry((response.arm, outcome(&response))).or_default() += 1;
        }
        for ((arm, outcome), count) in counts {
            let arm = arm.map_or_else(String::new, |arm| format!(" by {arm:?}").to_lowercase());
            writeln!(self.text, "  asked  {plugin}: {count} × {outcome:?}{arm}").unwrap();
        }
    }
}

#[test]
fn the_story_is_told_as_before() {
    let codes = ["lib 1", "api 1", "api 2, ill", "api 2, mended"];
    let world = World::with(runtime(&codes), |options| {
        options.report_blocks = 2;
        options.limits = Limits { traps: u32::MAX, ..Limits::default() };
    });
    let mut story = Story { world, text: String::new() };
    let hash: BTreeMap<&str, String> =
        codes.iter().map(|code| (*code, coalmine_host::code::code_hash(code.as_bytes()).to_string())).collect();
    let register = |plugin: &str, version: &str, code: &str, rest: &str| {
        let hash = &hash[code];
        format!(r#"{{"op":"register_version","plugin":"{plugin}","version":"{version}","code_hash":"{hash}"{rest}}}"#)
    };
    let requires = r#","requirements":{"lib":"^1"}"#;
    story.block(&[register("lib", "1.0.0", "lib 1", ""), register("api", "1.0.0", "api 1", requires)].join("\n"));
    story.world.node.host.put(b"lib 1").unwrap();
    story.block(r#"{"op":"load","plugin":"api"}"#);
    // The code of the api comes late.
    story.block("");
    assert_eq!(story.world.node.host.missing().len(), 1);
    std::fs::write(story.world.node.host.incoming().join("api.wasm"), "api 1").unwrap();
    story.block("");
    story.block("");
    story.block("");
    assert!(story.world.node.host.missing().is_empty());
    story.requests("api", 1_000);
    // A canary that fails.
    story.world.node.host.put(b"api 2, ill").unwrap();
    story.block(&register("api", "2.0.0", "api 2, ill", requires));
    story.block(
        r#"{"op":"deploy","plugin":"api","version":"2.0.0","strategy":"canary","initial_bps":2000,"max_bps":5000}"#,
    );
    story.requests("api", 1_000);
    story.block("");
    story.block("");
    story.block("");
    story.requests("api", 1_000);
    // The mended one.
    story.world.node.host.put(b"api 2, mended").unwrap();
    story.block(&register("api", "2.0.1", "api 2, mended", requires));
    let stages = r#"[{"share_bps":0,"blocks":5,"gate":"health"},{"share_bps":5000,"blocks":2,"min_requests":100}]"#;
    story.block(&format!(
        r#"{{"op":"deploy","plugin":"api","version":"2.0.1","strategy":"custom","stages":{stages},"on_complete":"promote"}}"#
    ));
    story.block("");
    story.block("");
    story.requests("api", 1_000);
    story.block("");
    story.block("");
    story.block("");
    story.requests("api", 1_000);
    // Back and forth: the next call goes there.
    story.block(r#"{"op":"revert","plugin":"api"}"#);
    story.requests("api", 1_000);
    story.block(r#"{"op":"unload","plugin":"lib","force":true}"#);
    story.block("");
    story.block("");
    story.block("");
    story.block("");
    story.requests("api", 10);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/plugins/story.txt");
    if std::env::var_os("COALMINE_BLESS").is_some() {
        std::fs::write(&path, &story.text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert!(story.text == golden, "the story differs from fixtures/plugins/story.txt:\n{}", story.text);
}

/// What the outbox does not take now, it is offered again, and nothing is lost or doubled.
#[test]
fn a_full_outbox_loses_nothing() {
    let mut world = World::with(runtime(&["p 1"]), |options| options.report_blocks = 1);
    world.node.tray.set_room(Some(0));
    world.register("p", "1.0.0", b"p 1", "");
    world.load("p");
    world.block("");
    assert_eq!(world.ledger.state.plugin(&name("p")).unwrap().load_state, LoadState::Loading);
    world.node.tray.set_room(Some(1));
    world.block("");
    world.block("");
    assert_eq!(world.ledger.state.plugin(&name("p")).unwrap().load_state, LoadState::Loaded);
    for room in [Some(0), Some(0), Some(1), Some(0), Some(2), None, None] {
        world.node.tray.set_room(room);
        assert_eq!(outcome(&world.handle("p", "what")), "p 1");
        assert_eq!(outcome(&world.handle("p", "fail")), "failed");
        world.block("");
    }
    world.block("");
    let counts = world.ledger.state.plugin_version(&name("p"), &"1.0.0".parse().unwrap()).unwrap().counts;
    assert_eq!((counts.requests, counts.errors, counts.latency_sum), (14, 7, 140));
}

/// An attestation that does not arrive is said again; one that does is said once.
#[test]
fn what_is_lost_on_the_way_is_said_again() {
    let mut world = World::with(runtime(&["p 1"]), |options| options.repeat_blocks = 3);
    world.register("p", "1.0.0", b"p 1", "");
    world.block(r#"{"op":"load","plugin":"p"}"#);
    let mut said = Vec::new();
    for _ in 0..8 {
        said.push(world.node.tray.empty().len());
        world.block("");
    }
    assert_eq!(said, [1, 0, 0, 1, 0, 0, 1, 0]);
    let mut said = 0;
    for _ in 0..8 {
        said += world.node.tray.commands().len();
        world.block("");
    }
    assert_eq!(said, 1);
    assert_eq!(world.ledger.state.plugin(&name("p")).unwrap().load_state, LoadState::Loaded);
}

/// Code that does not come is attested as failed, but not at once.
#[test]
fn a_host_is_patient_with_code() {
    let mut world = World::with(runtime(&["p 1", "p 2"]), |options| options.patience_blocks = 4);
    let hash = |code: &str| coalmine_host::code::code_hash(code.as_bytes());
    let register = |version: &str, code: &str| {
        format!(r#"{{"op":"register_version","plugin":"p","version":"{version}","code_hash":"{}"}}"#, hash(code))
    };
    world.block(&register("1.0.0", "p 1"));
    world.block(r#"{"op":"load","plugin":"p"}"#);
    let state = |world: &World| world.ledger.state.plugin(&name("p")).unwrap().load_state;
    for _ in 0..5 {
        assert_eq!(state(&world), LoadState::Loading);
        world.block("");
    }
    world.block("");
    assert_eq!(state(&world), LoadState::Failed);
    world.node.host.put(b"p 1").unwrap();
    world.load("p");
    assert_eq!(state(&world), LoadState::Loaded);
    // The same for the new version of a deployment.
    world.block(&register("2.0.0", "p 2"));
    world.block(r#"{"op":"deploy","plugin":"p","version":"2.0.0","strategy":"canary"}"#);
    for _ in 0..5 {
        assert!(world.ledger.state.deployment(&name("p")).is_some());
        world.block("");
    }
    world.block("");
    assert!(world.ledger.state.deployment(&name("p")).is_none());
}

fn is_ok_or_stale(receipt: &Receipt) -> bool {
    matches!(receipt, Receipt::Ok | Receipt::Rejected { index: 0, reject: Reject::StaleReport })
}

// Rounds.

/// Three nodes, with a round every four blocks and a quorum of two. One of them is as `odd` makes it.
fn three(odd: impl Fn(&mut HostOptions), lie: impl Fn(Command) -> Command) -> (Ledger, Vec<Vec<String>>) {
    let params = Params { round_blocks: std::num::NonZeroU32::new(4), quorum: 2, ..Params::default() };
    let mut ledger = Ledger::new(params);
    let folder = tempfile::tempdir().unwrap();
    let mut nodes: Vec<Node> = (0..3)
        .map(|number| {
            let codes: &[&str] = if number == 2 { &["p 1"] } else { &["p 1", "p 2"] };
            let set = |options: &mut HostOptions| {
                options.report_blocks = 1;
                options.patience_blocks = 1;
                if number == 2 {
                    odd(options);
                }
            };
            Node::start(number, runtime(codes), &folder.path().join(number.to_string()), set)
        })
        .collect();
    for node in &nodes {
        node.host.put(b"p 1").unwrap();
        node.host.put(b"p 2").unwrap();
    }
    let hash = |code: &str| coalmine_host::code::code_hash(code.as_bytes());
    let register = |version: &str, code: &str| {
        format!(r#"{{"op":"register_version","plugin":"p","version":"{version}","code_hash":"{}"}}"#, hash(code))
    };
    let mut sent: BTreeMap<u32, String> = BTreeMap::from([
        (1, register("1.0.0", "p 1")),
        (2, r#"{"op":"load","plugin":"p"}"#.to_owned()),
        (12, register("2.0.0", "p 2")),
        (13, r#"{"op":"deploy","plugin":"p","version":"2.0.0","strategy":"blue_green","health_blocks":20,"bake_blocks":20}"#.to_owned()),
    ]);
    for height in 1..60 {
        let mut commands: Vec<_> =
            sent.remove(&height).map(|text| (ADMIN, read_command(&text).unwrap())).into_iter().collect();
        for (number, node) in (0..).zip(&nodes) {
            let said = node.tray.empty().into_iter();
            commands.extend(said.map(|command| (reporter(number), if number == 2 { lie(command) } else { command })));
        }
        let outcome = ledger.block(commands);
        // What is reported in the block in which the deployment ends comes too late.
        assert!(outcome.receipts.iter().all(is_ok_or_stale), "{height}: {:?}", outcome.receipts);
        for node in &nodes {
            node.host.sync(&ledger.state);
            node.settle();
            for unit in 0..5_u8 {
                let _ = node.host.handle(&name("p"), &[unit], b"what");
            }
        }
    }
    let events = nodes.iter_mut().map(Node::events).collect();
    (ledger, events)
}

#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "a host says nothing else that it could lie about")]
fn one_node_that_lies_or_fails_alone_changes_nothing() {
    let honest = |command| command;
    let lies = |command| match command {
        Command::ReportLoad { plugin, version, ok } => Command::ReportLoad { plugin, version, ok: !ok },
        Command::AttestHealth { plugin, version, healthy } => {
            Command::AttestHealth { plugin, version, healthy: !healthy }
        }
        Command::ReportVersion { plugin, version, report, deployment } => {
            let report = coalmine_core::VersionReport { errors: report.requests, ..*report };
            let report = coalmine_core::Valid::new(report).unwrap();
            Command::ReportVersion { plugin, version, report, deployment }
        }
        command => command,
    };
    // The third node has no closure for the second version in any case: it fails alone. In the second row it lies besides.
    for (what, (ledger, events)) in [("fails", three(|_| {}, honest)), ("lies", three(|_| {}, lies))] {
        let plugin = ledger.state.plugin(&name("p")).unwrap();
        assert_eq!((plugin.load_state, plugin.current.as_str()), (LoadState::Loaded, "2.0.0"), "{what}");
        let version = ledger.state.plugin_version(&name("p"), &"2.0.0".parse().unwrap()).unwrap();
        assert!(version.counts.requests > 0 && version.counts.errors == 0, "{what}: {:?}", version.counts);
        assert!(events[2].iter().any(|line| line.starts_with("load_failed p 2.0.0")), "{what}");
        assert!(events[0].iter().any(|line| line == "serving p 2.0.0"), "{what}");
    }
}

// Whatever happens.

const PLUGINS: [&str; 3] = ["api", "lib", "web"];
const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "1.2.0", "1.3.0"];
const CODES: [&str; 6] = ["code 1", "code 2", "code 3", "code 4, ill", "code 5, bad", "code 6, absent"];

/// What may happen between two blocks, or in one.
#[derive(Debug, Clone)]
enum Step {
    Register {
        plugin: usize,
        version: usize,
        code: usize,
        requires: Option<usize>,
    },
    Load(usize),
    Unload(usize),
    Deploy {
        plugin: usize,
        version: usize,
        strategy: usize,
    },
    Op(&'static str, usize),
    Requests(usize, u8),
    Crash,
    Damage(usize),
    Blocks(u8),
    /// Two blocks of which the host sees the second one only.
    Miss,
}

fn step() -> impl Strategy<Value = Step> {
    let plugin = || 0..PLUGINS.len();
    prop_oneof![
        6 => (plugin(), 0..VERSIONS.len(), 0..CODES.len(), prop::option::of(plugin()))
            .prop_map(|(plugin, version, code, requires)| Step::Register { plugin, version, code, requires }),
        5 => plugin().prop_map(Step::Load),
        2 => plugin().prop_map(Step::Unload),
        5 => (plugin(), 0..VERSIONS.len(), 0..3_usize)
            .prop_map(|(plugin, version, strategy)| Step::Deploy { plugin, version, strategy }),
        6 => (prop::sample::select(vec!["promote", "promote", "rollback_deployment", "revert", "revert", "pause", "resume"]), plugin())
            .prop_map(|(op, plugin)| Step::Op(op, plugin)),
        6 => (plugin(), 1..20_u8).prop_map(|(plugin, count)| Step::Requests(plugin, count)),
        1 => Just(Step::Crash),
        1 => (0..CODES.len()).prop_map(Step::Damage),
        4 => (1..4_u8).prop_map(Step::Blocks),
        1 => Just(Step::Miss),
    ]
}

struct Random {
    ledger: Ledger,
    folder: tempfile::TempDir,
    node: Node,
    /// The versions that events say are ready.
    ready: BTreeSet<(String, String)>,
    /// Requests that were served and counted, and that were reported, by version, since the start of the host.
    served: BTreeMap<(Name, Version), u64>,
    reported: BTreeMap<(Name, Version), u64>,
    seen: BTreeSet<&'static str>,
    log: Vec<String>,
}

fn start(folder: &Path) -> Node {
    Node::start(0, runtime(&CODES), folder, |options| {
        options.report_blocks = 3;
        options.patience_blocks = 2;
        options.repeat_blocks = 4;
    })
}

impl Random {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = start(folder.path());
        let (served, reported) = Default::default();
        Self {
            ledger: Ledger::new(Params::default()),
            folder,
            node,
            ready: BTreeSet::new(),
            served,
            reported,
            seen: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    fn put_codes(&self) {
        for code in CODES.iter().filter(|code| !code.contains("absent")) {
            self.node.host.put(code.as_bytes()).unwrap();
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let op = |text: String| Some(read_command(&text).unwrap());
        match step {
            Step::Register { plugin, version, code, requires } => {
                let hash = coalmine_host::code::code_hash(CODES[*code].as_bytes());
                let requires = requires
                    .filter(|requires| requires != plugin)
                    .map_or(String::new(), |requires| format!(r#","requirements":{{"{}":"*"}}"#, PLUGINS[requires]));
                let (plugin, version) = (PLUGINS[*plugin], VERSIONS[*version]);
                self.block(op(format!(
                    r#"{{"op":"register_version","plugin":"{plugin}","version":"{version}","code_hash":"{hash}"{requires}}}"#
                )))
            }
            Step::Load(plugin) => self.block(op(format!(r#"{{"op":"load","plugin":"{}"}}"#, PLUGINS[*plugin]))),
            Step::Unload(plugin) => {
                self.block(op(format!(r#"{{"op":"unload","plugin":"{}","force":true}}"#, PLUGINS[*plugin])))
            }
            Step::Deploy { plugin, version, strategy } => {
                let strategy = ["canary", "rolling", "blue_green"][*strategy];
                let (plugin, version) = (PLUGINS[*plugin], VERSIONS[*version]);
                self.block(op(format!(
                    r#"{{"op":"deploy","plugin":"{plugin}","version":"{version}","strategy":"{strategy}","min_requests":3}}"#
                )))
            }
            Step::Op(kind, plugin) => self.block(op(format!(r#"{{"op":"{kind}","plugin":"{}"}}"#, PLUGINS[*plugin]))),
            Step::Requests(plugin, count) => self.requests(PLUGINS[*plugin], *count),
            Step::Crash => {
                self.node = start(self.folder.path());
                self.ready.clear();
                self.served.clear();
                self.reported.clear();
                self.node.host.sync(&self.ledger.state);
                self.follow()
            }
            Step::Damage(code) => {
                let hash = coalmine_host::code::code_hash(CODES[*code].as_bytes());
                let path = self.node.host.store().folder().join(hash.to_string());
                if path.exists() {
                    std::fs::write(path, "damage").unwrap();
                }
                Ok(())
            }
            Step::Blocks(count) => {
                self.put_codes();
                (0..*count).try_for_each(|_| self.block(None))
            }
            Step::Miss => {
                self.execute(None)?;
                self.block(None)
            }
        }
    }

    /// A block; then the host follows.
    fn block(&mut self, command: Option<Command>) -> Result<(), TestCaseError> {
        self.execute(command)?;
        self.node.host.sync(&self.ledger.state);
        self.follow()
    }

    /// What the host said last stands first in the block, so the state is still that which it looked at.
    fn execute(&mut self, command: Option<Command>) -> Result<(), TestCaseError> {
        let said = self.node.tray.empty();
        for command in &said {
            self.log.push(format!("said {command:?}"));
            self.check_said(command)?;
        }
        let count = said.len();
        let said = said.into_iter().map(|command| (reporter(0), command));
        let outcome = self.ledger.block(said.chain(command.map(|command| (ADMIN, command))).collect());
        for receipt in outcome.receipts.iter().take(count) {
            prop_assert!(is_ok_or_stale(receipt), "{receipt:?}");
        }
        self.seen.extend(outcome.events.iter().map(|event| event.code().name()));
        let disputed = outcome.events.iter().any(|event| matches!(event, Event::LoadDisputed { .. }));
        prop_assert!(!disputed, "a host contradicts itself");
        Ok(())
    }

    /// Nothing is said that the state shows already.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a host says nothing else")]
    fn check_said(&mut self, command: &Command) -> Result<(), TestCaseError> {
        let state = |plugin: &Name| self.ledger.state.plugin(plugin).unwrap().load_state;
        match command {
            Command::ReportLoad { plugin, .. } => prop_assert_eq!(state(plugin), LoadState::Loading),
            Command::ReportUnload { plugin, .. } => prop_assert_eq!(state(plugin), LoadState::Unloading),
            Command::AttestHealth { plugin, version, healthy } => {
                let deployment = self.ledger.state.deployment(plugin);
                let is_open = deployment.is_some_and(|one| one.new == *version && !(one.healthy && *healthy));
                prop_assert!(is_open, "{command:?}");
            }
            Command::ReportVersion { plugin, version, report, .. } => {
                let reported = self.reported.entry((*plugin, version.clone())).or_default();
                *reported += u64::from(report.requests);
                let served = self.served.get(&(*plugin, version.clone())).copied().unwrap_or_default();
                prop_assert!(*reported <= served, "{plugin} {version}: {reported} of {served}");
            }
            other => prop_assert!(false, "a host says {other:?}"),
        }
        Ok(())
    }

    /// Nothing loads before its requirements, but for circles.
    fn follow(&mut self) -> Result<(), TestCaseError> {
        self.node.settle();
        for line in self.node.events() {
            self.log.push(format!("{} {line}", self.ledger.height()));
            let words: Vec<&str> = line.split([' ', ':']).collect();
            let [kind, plugin, version, ..] = words[..] else { continue };
            match kind {
                "loaded" => {
                    self.check_requirements(plugin, version)?;
                    self.ready.insert((plugin.to_owned(), version.to_owned()));
                }
                "draining" => drop(self.ready.remove(&(plugin.to_owned(), version.to_owned()))),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_requirements(&self, plugin: &str, version: &str) -> Result<(), TestCaseError> {
        let state = &self.ledger.state;
        let Some(record) = state.plugin_version(&name(plugin), &version.parse().unwrap()) else { return Ok(()) };
        for requirement in &record.manifest.requirements {
            let required = requirement.plugin.to_string();
            let current = state.plugin(&requirement.plugin).unwrap().current.to_string();
            let is_ready = self.ready.contains(&(required.clone(), current));
            prop_assert!(
                is_ready || leads_to(state, &requirement.plugin, &name(plugin)),
                "{plugin} loads before {required}"
            );
        }
        Ok(())
    }

    /// Whoever answers is whom the ledger names.
    fn requests(&mut self, plugin: &str, count: u8) -> Result<(), TestCaseError> {
        let plugin = name(plugin);
        for unit in 0..count {
            for request in [&b"what"[..], b"pass on", b"fail"] {
                let response = self.node.host.handle(&plugin, &[unit], request);
                let state = &self.ledger.state;
                let is_loaded = state.plugin(&plugin).is_some_and(|one| one.load_state == LoadState::Loaded);
                let routed = state.route(&plugin, &[unit]).filter(|_| is_loaded);
                prop_assert_eq!(response.version.as_ref(), routed);
                let Some(version) = routed.cloned() else { continue };
                let hash = state.plugin_version(&plugin, &version).unwrap().manifest.code_hash;
                let code =
                    CODES.into_iter().find(|code| coalmine_host::code::code_hash(code.as_bytes()) == hash).unwrap();
                match &response.outcome {
                    Ok(answer) if request == b"what" => prop_assert_eq!(&answer[..], code.as_bytes()),
                    Ok(_) => prop_assert!(request == b"pass on"),
                    Err(CallError::Version(error)) => {
                        prop_assert!(error.kind == ErrorKind::Failed && (request != b"what" || code.contains("ill")));
                    }
                    Err(CallError::NotHere(..) | CallError::NotLoaded(_) | CallError::TooDeep) => continue,
                    Err(error) => prop_assert!(false, "{error}"),
                }
                *self.served.entry((plugin, version.without_build())).or_default() += 1;
                // Who was asked on the way is counted, too.
                if request == b"pass on" {
                    let lib = name("lib");
                    if let Some(version) = state.route(&lib, &[unit]) {
                        *self.served.entry((lib, version.without_build())).or_default() += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// With code and time, everything that the ledger wants is served.
    fn converge(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..25 {
            self.put_codes();
            self.block(None)?;
        }
        for plugin in PLUGINS.map(name) {
            let Some(record) = self.ledger.state.plugin(&plugin) else { continue };
            let is_settled =
                !matches!(record.load_state, LoadState::Loading | LoadState::Unloading | LoadState::Pending);
            prop_assert!(is_settled, "{plugin} is {:?}: {:#?}", record.load_state, self.log);
            if record.load_state == LoadState::Loaded && self.can_serve(&plugin, &mut BTreeSet::new()) {
                let response = self.node.host.handle(&plugin, b"unit", b"refuse");
                prop_assert!(matches!(response.outcome, Err(CallError::Refused(_))), "{plugin}: {response:?}");
            }
        }
        Ok(())
    }

    /// Whether the code of a plugin, and of what it requires, is good.
    fn can_serve(&self, plugin: &Name, seen: &mut BTreeSet<Name>) -> bool {
        if !seen.insert(*plugin) {
            return true;
        }
        let state = &self.ledger.state;
        let is_good = |version: &Version| {
            let hash = state.plugin_version(plugin, version).unwrap().manifest.code_hash;
            let code = CODES.into_iter().find(|code| coalmine_host::code::code_hash(code.as_bytes()) == hash).unwrap();
            !code.contains("bad") && !code.contains("absent")
        };
        let Some(record) = state.plugin(plugin) else { return false };
        let routed = state.route(plugin, b"unit").unwrap();
        let requirements = &state.plugin_version(plugin, routed).unwrap().manifest.requirements;
        record.load_state == LoadState::Loaded
            && is_good(&record.current)
            && is_good(routed)
            && requirements.iter().all(|requirement| self.can_serve(&requirement.plugin, seen))
    }
}

/// Whether a plugin requires another one, directly or not, by current versions.
fn leads_to(state: &State, from: &Name, to: &Name) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![*from]);
    while let Some(plugin) = next.pop() {
        if plugin == *to {
            return true;
        }
        let Some(record) = state.plugin(&plugin).filter(|_| seen.insert(plugin)) else { continue };
        let manifest = &state.plugin_version(&plugin, &record.current).unwrap().manifest;
        next.extend(manifest.requirements.iter().map(|requirement| requirement.plugin));
    }
    false
}

#[test]
fn whatever_happens_the_host_converges() {
    let cases = std::env::var("COALMINE_HOST_HISTORIES").map_or(60, |text| text.parse().unwrap());
    let config =
        ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let result = TestRunner::new_with_rng(config, rng).run(&prop::collection::vec(step(), 20..70), |steps| {
        let mut random = Random::new();
        random.put_codes();
        for step in &steps {
            random.step(step)?;
        }
        random.converge()?;
        seen.borrow_mut().extend(random.seen);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let seen = seen.into_inner();
    for event in ["loaded", "load_failed", "unloaded", "promoted", "deployment_rolled_back", "health_attested"] {
        assert!(seen.contains(event), "no history has {event}: {seen:?}");
    }
}
