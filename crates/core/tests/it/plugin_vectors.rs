//! Public vectors of other projects: where their rules are ours, the answers are; where they are not,
//! a table says why. A disagreement that is in no table fails, and so does one that is no more.
//!
//! The files lie outside of the repository; without them these tests say so and pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use coalmine_core::query;
use coalmine_core::{
    Bps, Command, Constraint, Counts, Guardrails, LoadState, Name, Payload, Receipt, Reject, Stage, State, Version,
    VersionStatus,
};
use serde_json::Value;

use crate::common::plugins::*;
use crate::common::*;

/// The cases of a file; none, and a message, without it.
fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("{} is not at hand: skipped", path.display());
        return Vec::new();
    };
    let whole: Value = serde_json::from_str(&text).unwrap();
    whole["cases"].as_array().unwrap().clone()
}

fn text<'v>(row: &'v Value, member: &str) -> &'v str {
    row[member].as_str().unwrap_or_else(|| panic!("{row}: no {member}"))
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|one| one.as_str().unwrap()).collect()
}

/// Compares what was found with the table of what is known: name and reason.
#[track_caller]
fn check_disagreements(file: &str, found: &BTreeSet<String>, known: &[(&str, &str)]) {
    let known: BTreeSet<String> = known.iter().map(|(what, _)| (*what).into()).collect();
    let new: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(found).collect();
    assert!(new.is_empty() && gone.is_empty(), "{file}: not in the table {new:#?}, no more {gone:#?}");
}

#[test]
fn health_scores() {
    for row in cases("versioning/health_score.json") {
        let count = |member: &str| row[member].as_u64().unwrap();
        let counts = Counts { requests: count("requests"), errors: count("errors"), latency_sum: 0 };
        assert_eq!(u64::from(counts.health_score().get()), count("score_bp_proposal"), "{row}");
    }
}

// SemVer.

fn parse(text: &str) -> Option<Version> {
    Version::new(text.as_bytes()).ok()
}

fn parse_constraint(text: &str) -> Option<Constraint> {
    Constraint::new(text.as_bytes()).ok()
}

/// The order of two versions as a number; none unless both are versions.
fn precedence(a: &str, b: &str) -> Option<i64> {
    Some(parse(a)?.cmp_precedence(&parse(b)?) as i64)
}

/// Files whose questions no part of the ledger asks.
const NOT_ASKED: [(&str, &str); 5] = [
    ("semver/node_increments.json", "no version is ever counted up"),
    ("semver/node_version_gt_range.json", "whether a version lies above a range: a constraint allows it or not"),
    ("semver/node_version_lt_range.json", "whether a version lies below a range"),
    ("semver/node_version_not_gt_range.json", "whether a version does not lie above a range"),
    ("semver/node_version_not_lt_range.json", "whether a version does not lie below a range"),
];

#[test]
fn versions_are_read_as_the_crate_reads_them() {
    for (file, member, is_read) in [
        ("semver/semver_org.json", "version", "rust_ok"),
        ("semver/node_invalid.json", "version", "rust_ok"),
        ("semver/node_valid.json", "version", "strict_ok"),
        ("semver/rust_version_parse.json", "version", "ok"),
        ("loader/version_parse.json", "input", "rust_semver_ok"),
    ] {
        let mut found = BTreeSet::new();
        for row in cases(file) {
            let version = text(&row, member);
            // The crate has no limit of the length.
            let expected = row[is_read].as_bool().unwrap() && version.len() <= Version::LEN_MAX;
            let parsed = parse(version);
            if parsed.is_some() != expected {
                found.insert(version.to_string());
            } else if let Some(parsed) = parsed {
                assert_eq!(parsed.to_string(), version, "{file}");
            }
        }
        check_disagreements(file, &found, &[]);
    }
}

#[test]
fn versions_are_ordered_by_precedence() {
    for (file, member) in [
        ("semver/node_comparisons.json", "rust_precedence"),
        ("semver/node_equality.json", "rust_precedence"),
        ("semver/rust_version_cmp.json", "precedence"),
        ("loader/version_compare.json", "semver2_precedence"),
    ] {
        let mut found = BTreeSet::new();
        for row in cases(file) {
            let (a, b) = (text(&row, "a"), text(&row, "b"));
            if precedence(a, b) != row[member].as_i64() {
                found.insert(format!("{a} {b}"));
            }
        }
        check_disagreements(file, &found, &[]);
    }
    for row in cases("semver/rust_version_cmp.json") {
        let total = parse(text(&row, "a")).unwrap().cmp(&parse(text(&row, "b")).unwrap());
        assert_eq!(Some(total as i64), row["total_ord"].as_i64(), "{row}");
    }
    for row in cases("semver/precedence_chains.json") {
        let chain = texts(&row["ascending"]);
        for (place, a) in chain.iter().enumerate() {
            for (other, b) in chain.iter().enumerate() {
                assert_eq!(precedence(a, b), Some(place.cmp(&other) as i64), "{a} {b}");
            }
        }
    }
}

#[test]
fn constraints_allow_what_the_crate_allows() {
    let allows = |range: &str, version: &str| Some(parse_constraint(range)?.allows(&parse(version)?));
    for (file, range, answer) in [
        ("semver/node_range_include.json", "range", "rust"),
        ("semver/node_range_exclude.json", "range", "rust"),
        ("loader/satisfies.json", "constraint", "rust_semver"),
    ] {
        let mut found = BTreeSet::new();
        for row in cases(file) {
            // A version that is no text at all is none.
            let (range, version) = (text(&row, range), row["version"].as_str().unwrap_or_default());
            // Rows of loose versions, or of pre-releases by option, have no such answer.
            let Some(expected) = row.get(answer) else {
                let is_other = |option: &str| row[option].as_bool() == Some(true);
                assert!(is_other("loose") || is_other("include_prerelease"), "{file}: {row}");
                continue;
            };
            if allows(range, version) != expected.as_bool() {
                found.insert(format!("{range} {version}"));
            }
        }
        check_disagreements(file, &found, &[]);
    }
    for row in cases("semver/rust_version_req.json") {
        let req = text(&row, "req");
        let is_ours = row["ok"].as_bool() != Some(false) && req.len() <= Constraint::LEN_MAX;
        assert_eq!(parse_constraint(req).is_some(), is_ours, "{row}");
        for (list, expected) in [("match", true), ("no_match", false)] {
            for version in texts(&row[list]) {
                assert_eq!(allows(req, version), Some(expected), "{req} {version}");
            }
        }
    }
    let mut found = BTreeSet::new();
    for row in cases("semver/node_range_parse.json") {
        let range = text(&row, "range");
        let is_long = range.len() > Constraint::LEN_MAX;
        // Longer than a constraint may be.
        let expected = row["rust_ok"].as_bool().unwrap() && !is_long;
        let parsed = parse_constraint(range);
        if parsed.is_some() != expected {
            found.insert(range.to_string());
        } else if let Some(parsed) = parsed {
            assert_eq!(parsed.as_str(), range, "kept as it was given");
        }
    }
    check_disagreements("semver/node_range_parse.json", &found, &[]);
}

#[test]
fn every_file_of_versions_is_used_or_not_asked() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/semver");
    let Ok(files) = std::fs::read_dir(&path) else {
        eprintln!("{} is not at hand: skipped", path.display());
        return;
    };
    let source = include_str!("plugin_vectors.rs");
    for file in files {
        let file = format!("semver/{}", file.unwrap().file_name().to_str().unwrap());
        let mentions = source.matches(&format!("\"{file}\"")).count();
        let is_asked = !NOT_ASKED.iter().any(|(not_asked, _)| *not_asked == file);
        assert!(mentions > 0, "{file} is neither used nor said to be of no use");
        assert!(is_asked || mentions == 1, "{file} is used");
    }
}

// Loading.

/// A graph of requirements, by name.
type Graph = BTreeMap<String, Vec<String>>;

/// A state with these plugins, none of which is loaded, and a last one that requires those that
/// lead to all of them; or the reject that one of them meets.
fn register_all(graph: &Graph) -> Result<State, Reject> {
    let mut commands: Vec<Vec<u8>> = Vec::new();
    let encode = |plugin: &str, required: &[String]| {
        use coalmine_core::{CommandKind, Encode, Writer};
        let mut out = Writer::default();
        CommandKind::RegisterVersion.encode(&mut out);
        out.lp8(plugin.as_bytes());
        out.lp8(b"1.0.0");
        out.raw(&[0; 32]);
        out.lp8(b"");
        out.u8(u8::try_from(required.len()).unwrap());
        let mut required = required.to_vec();
        required.sort();
        for plugin in required {
            out.lp8(plugin.as_bytes());
            out.lp8(b"*");
        }
        out.lp16(b"");
        out.u8(0);
        out.into_bytes()
    };
    commands.extend(graph.iter().map(|(plugin, required)| encode(plugin, required)));
    let mut tops: Vec<String> = Vec::new();
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let is_required =
        |plugin: &String| graph.iter().any(|(other, required)| other != plugin && required.contains(plugin));
    let (first, rest): (Vec<&String>, Vec<&String>) = graph.keys().partition(|plugin| !is_required(plugin));
    for top in first.into_iter().chain(rest) {
        if !reached.contains(top.as_str()) {
            tops.push(top.clone());
            let mut open = vec![top.as_str()];
            while let Some(plugin) = open.pop() {
                if reached.insert(plugin) {
                    open.extend(graph.get(plugin).into_iter().flatten().map(String::as_str));
                }
            }
        }
    }
    commands.push(encode("zzz.all", &tops));
    let mut world = World::new();
    let payloads: Vec<Payload> = commands.into_iter().map(|bytes| raw_tx(ADMIN, &[bytes])).collect();
    for receipt in world.at(1, payloads).receipts {
        if let Receipt::Rejected { reject, .. } = receipt {
            return Err(reject);
        }
    }
    Ok(world.state)
}

/// What a load of everything would do: the order, or why not.
fn order_of(graph: &Graph) -> Result<Vec<String>, Reject> {
    let plan = register_all(graph)?.plan_load(&name("zzz.all")).map_err(|refusal| refusal.reject)?;
    let mut order: Vec<String> = plan.iter().map(|load| load.plugin.to_string()).collect();
    assert_eq!(order.pop().as_deref(), Some("zzz.all"));
    Ok(order)
}

/// Where the order of a graph is another question than that of a load.
const GRAPH: [(&str, &str); 6] = [
    ("LargeGraph_Performance", "a load takes 64 plugins at most"),
    ("LongCycle_Performance", "the depth of a load answers before the cycle is closed"),
    (
        "adding a dependency on an unknown name creates a placeholder node, so it is NOT missing",
        "what is not registered is missing",
    ),
    (
        "duplicate dependency in list breaks load order (upstream bug: in-degree 2, decremented once)",
        "requirements are a set: such a command does not decode",
    ),
    ("empty name is a legal node", "no name is empty"),
    ("removing the dependent leaves placeholder behind", "nothing is left of what was never registered"),
];

#[test]
fn load_orders_are_the_canonical_ones() {
    let mut found = BTreeSet::new();
    let mut compared = 0;
    for case in cases("loader/graph.json") {
        let mut graphs: BTreeMap<String, Graph> = BTreeMap::new();
        for op in case["ops"].as_array().unwrap() {
            let which = op["graph"].as_str().unwrap_or_default().to_string();
            let graph = graphs.entry(which).or_default();
            match text(op, "op") {
                "add_plugin" => {
                    let required = texts(&op["deps"]).into_iter().map(String::from).collect();
                    graph.insert(text(op, "name").into(), required);
                }
                "remove_plugin" => drop(graph.remove(text(op, "name"))),
                "copy" => {
                    let copy = graph.clone();
                    graphs.insert(text(op, "as").into(), copy);
                }
                "load_order" => {
                    let expected = &op["expect"];
                    let agrees = match order_of(graph) {
                        Ok(order) => expected["ok"] == true && order == texts(&expected["canonical_order"]),
                        Err(Reject::DependencyMissing | Reject::DependencyCycle) => expected["ok"] == false,
                        Err(_) => false,
                    };
                    compared += 1;
                    if !agrees {
                        found.insert(text(&case, "name").to_string());
                    }
                }
                // Questions about the graph itself: a plugin's requirements are those of its versions, and
                // its dependents are answered in name order.
                "validate" | "dependents" | "dependencies" | "nodes" => {}
                other => panic!("{other} is not known"),
            }
        }
    }
    if compared > 0 {
        check_disagreements("loader/graph.json", &found, &GRAPH);
    }
}

/// Where the other loader does something else, or has something that the ledger has not.
const LOADER: [(&str, &str); 16] = [
    (
        "a dependent that only FAILED to load still blocks unload (graph edge exists)",
        "a Failed plugin holds on to nothing",
    ),
    ("auto loading enable/disable idempotence", "setting a parameter to what it is succeeds"),
    ("dependency failing transport makes dependent fail without a state entry", "the dependent is Failed, too"),
    ("failed plugin cannot be unloaded", "it is unloaded at once: a host has nothing to do"),
    (
        "forced unload leaves dependent loaded with dangling dep; reload of dep works; dependents list lost",
        "force unloads the dependents first",
    ),
    ("invalid version rejected", "refused when it is registered"),
    ("load while manager shut down", "the ledger does not shut down"),
    ("name already registered in manager -> failed", "there is one registry"),
    (
        "partial rollback does not exist: first dep stays loaded when second fails",
        "a load is planned as a whole or not at all",
    ),
    ("periodic check loads everything not yet in any state, skips failed", "auto-load acts on registration"),
    (
        "periodic check: version conflict leaves no state so is retried every time",
        "auto-load acts on registration, once",
    ),
    ("registry rejects name with path characters", "refused when it is registered"),
    ("rule set after load is not enforced retroactively", "a rule that would strand what is loaded is refused"),
    ("unload with dependents / forced / leaf / unknown", "force has unloaded the dependent already"),
    ("vanished from discovery: still loaded, unload ok, reload not found", "what is registered stays"),
    ("version accepted by loader but rejected by registry strict semver", "refused when it is registered"),
];

#[test]
fn scripts_of_loads_and_unloads() {
    let mut found = BTreeSet::new();
    let all = cases("loader/load_unload.json");
    for case in &all {
        let mut world = World::new();
        let mut hosts = Hosts::default();
        for op in case["ops"].as_array().unwrap() {
            if !run_loader_op(&mut world, &mut hosts, op) {
                found.insert(text(case, "name").to_string());
                break;
            }
        }
    }
    if !all.is_empty() {
        check_disagreements("loader/load_unload.json", &found, &LOADER);
    }
}

/// What the hosts fail to do.
#[derive(Default)]
struct Hosts {
    cannot_load: BTreeSet<String>,
    cannot_unload: BTreeSet<String>,
}

/// Runs one operation; tells whether it does here what it does there.
fn run_loader_op(world: &mut World, hosts: &mut Hosts, op: &Value) -> bool {
    let expects_ok = op["expect"]["ok"].as_bool();
    let plugin = op["name"].as_str().unwrap_or_default();
    let give_all = |world: &mut World, commands: Vec<Command>| {
        let height = world.state.tip().map_or(1, |tip| tip + 1);
        world.block(height, commands.into_iter().map(give).collect()).receipts
    };
    let is = |world: &World, state| world.state.plugin(&name(plugin)).is_some_and(|one| one.load_state == state);
    match text(op, "op") {
        "discover" => {
            let transport = op["transport"].as_str().unwrap_or("exec");
            let is_bad = transport != "exec" || op["endpoint"].as_str() == Some("");
            let (Ok(_), Some(_)) = (plugin.parse::<Name>(), parse(text(op, "version"))) else { return false };
            if is_bad {
                hosts.cannot_load.insert(plugin.into());
            } else {
                hosts.cannot_load.remove(plugin);
            }
            let required: Vec<(&str, &str)> = texts(&op["deps"]).into_iter().map(|one| (one, "*")).collect();
            let command = register_on(plugin, text(op, "version"), &required);
            // Told again, it is the version that is known.
            let receipt = give_all(world, vec![command])[0];
            receipt == Receipt::Ok || receipt == refused(Reject::VersionAlreadyExists)
        }
        "load" => {
            let receipt = give_all(world, vec![load(plugin)])[0];
            attest_all(world, hosts);
            let is_done = receipt == Receipt::Ok && is(world, LoadState::Loaded);
            Some(is_done) == expects_ok
        }
        "unload" => {
            let force = op["force"].as_bool().unwrap();
            let receipt = give_all(world, vec![if force { unload_force(plugin) } else { unload(plugin) }])[0];
            attest_all(world, hosts);
            let is_done = receipt == Receipt::Ok && is(world, LoadState::Unloaded);
            Some(is_done) == expects_ok
        }
        "set_rule" => give_all(world, vec![set_rule(plugin, Some(text(op, "constraint")))])[0] == Receipt::Ok,
        "status" => {
            let state = |(plugin, record): (&Name, &coalmine_core::Plugin)| {
                let state = match record.load_state {
                    LoadState::Unloaded => return None,
                    other => other.name(),
                };
                Some((plugin.to_string(), Value::from(state)))
            };
            let stands: serde_json::Map<String, Value> = world.state.plugins().filter_map(state).collect();
            op["expect"] == Value::Object(stands)
        }
        // Its own figures and its own graph, which keeps what was never loaded.
        "metrics" | "public_metrics" | "events" | "graph_nodes" | "dependencies" | "dependents" => true,
        "fail_unregister" => hosts.cannot_unload.insert(plugin.into()),
        "shutdown" | "manager_register" | "undiscover" | "close" | "enable_auto" | "disable_auto"
        | "periodic_check" => false,
        other => panic!("{other} is not known"),
    }
}

/// The hosts do what is asked of them, until nothing is. What depends on a plugin is unloaded before it.
fn attest_all(world: &mut World, hosts: &Hosts) {
    loop {
        let is_needed = |plugin: &Name| {
            let dependents = query::dependents(&world.records, plugin).unwrap();
            let state = |dependent: &Name| world.state.plugin(dependent).map(|record| record.load_state);
            dependents.iter().any(|one| !matches!(state(one), Some(LoadState::Unloaded | LoadState::Failed)))
        };
        let asked = world.state.plugins().find_map(|(name, record)| {
            let (plugin, version) = (name.to_string(), record.loaded.as_ref()?.to_string());
            match record.load_state {
                LoadState::Loading => Some(loaded(&plugin, &version, !hosts.cannot_load.contains(&plugin))),
                LoadState::Unloading if is_needed(name) => None,
                LoadState::Unloading => Some(unloaded(&plugin, &version, !hosts.cannot_unload.contains(&plugin))),
                _ => None,
            }
        });
        let Some(command) = asked else { return };
        world.next(&[command]);
    }
}

// Deployments.

/// Where the other version manager does something else, or has something that the ledger has not: the
/// case, and the operation from which on it is another story.
const SCENARIOS: [(&str, &str); 38] = [
    (
        "NONDETERMINISTIC upstream: one of two candidates is removed at random (no sort); proposal: oldest last access, then lowest registration order: cleanup",
        "versions give way when one is registered, not by a sweep",
    ),
    ("TestDeploymentStrategies: strategies", "a plan is what a strategy is"),
    (
        "ab-testing bad duration keeps 24h: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    ("ab-testing defaults: deploy", "its orchestrator sets up canaries of its own; here every strategy is a plan"),
    (
        "ab-testing never completes by itself, even after the duration with perfect results: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    ("ab-testing overrides: deploy", "its orchestrator sets up canaries of its own; here every strategy is a plan"),
    (
        "ab-testing rollback reason: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    (
        "ab-testing: bad B is rolled back only after the duration: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    (
        "blue-green deploy and rollback change NOTHING and never fail (all steps are placeholders): deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    (
        "canary of the current version is allowed; rollback marks the CURRENT version failed (upstream bug): start_canary",
        "the current version is in use",
    ),
    ("canary of the current version then promote leaves it active: start_canary", "the current version is in use"),
    ("cleanup disabled: cleanup", "versions give way when one is registered, not by a sweep"),
    (
        "cleanup idle exactly threshold is kept, one second later removed: cleanup",
        "versions give way when one is registered, not by a sweep",
    ),
    (
        "cleanup: only when count > max, only deprecated, only idle > threshold: cleanup",
        "versions give way when one is registered, not by a sweep",
    ),
    ("default config when none given: deployment_config", "defaults are those of the strategy"),
    (
        "empty version string never becomes current name, so the next registration becomes active too (upstream bug): version",
        "not SemVer",
    ),
    (
        "errors before the period do NOT roll back early: status",
        "a broken rule is acted on in the block that reports it",
    ),
    (
        "failed and loading versions are never cleaned: cleanup",
        "versions give way when one is registered, not by a sweep",
    ),
    ("failed version can be canaried again: start_canary", "a Failed version is registered again first"),
    (
        "min_requests 0 and no requests: error rate 0, success rate 0 -> grey zone -> increments: status",
        "no requests are a success",
    ),
    ("no cap at registration: 7 versions with max 5: register", "no version in use gives way"),
    (
        "orchestrator rollback does not validate the spec: orch_rollback",
        "a rollback is of a deployment, whatever its strategy",
    ),
    ("percent out of range is not validated: start_canary", "a share is 0 to 100 %"),
    ("removed version can be registered again: cleanup", "versions give way when one is registered, not by a sweep"),
    (
        "rolling default 6% errors: rolled back: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    ("rolling defaults: deploy", "its orchestrator sets up canaries of its own; here every strategy is a plan"),
    (
        "rolling overrides: only six keys are read: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    ("rolling rollback: deploy", "its orchestrator sets up canaries of its own; here every strategy is a plan"),
    (
        "rolling with a grey zone really rolls to 100%: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    (
        "rolling with default thresholds never rolls: promotes at 10% or rolls back: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    (
        "rolling/ab deploy of unknown plugin or version: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    (
        "rolling: wrong typed value ignored: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    ("several plugins evaluated in one tick: version", "not SemVer"),
    (
        "spec.old_version is ignored: the deployment's old version is the current one: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    ("start twice is an error, stop twice is fine: start", "the ledger does not start or stop"),
    (
        "validation: plugin and new version required; old version is not: deploy",
        "its orchestrator sets up canaries of its own; here every strategy is a plan",
    ),
    ("version health from error_count (nothing upstream ever increments it): add_errors", "errors come with requests"),
    ("version strings are not validated; registration order not version order decides current: version", "not SemVer"),
];

#[test]
fn scripts_of_canaries() {
    let mut found = BTreeSet::new();
    let all = cases("versioning/scenarios.json");
    for case in &all {
        let mut world = World::new();
        world.at(1, vec![]);
        let mut seconds = 0;
        for op in case["ops"].as_array().unwrap() {
            if let Err(why) = run_canary_op(&mut world, &mut seconds, op) {
                found.insert(format!("{}: {why}", text(case, "name")));
                break;
            }
        }
    }
    if !all.is_empty() {
        check_disagreements("versioning/scenarios.json", &found, &SCENARIOS);
    }
}

/// Basis points of a rate or a percentage.
fn bps(value: &Value, unit: f64, otherwise: u16) -> u16 {
    value.as_f64().map_or(otherwise, |number| (number * 10_000.0 / unit).round() as u16)
}

/// A second there is so many blocks here, so that commands, which take no time there, take little here.
const SECOND: u32 = 100;

/// Runs one operation; the error says what is different.
fn run_canary_op(world: &mut World, seconds: &mut u32, op: &Value) -> Result<(), String> {
    let expects_ok = op["expect"]["ok"].as_bool();
    let plugin = op["plugin"].as_str().unwrap_or_default();
    let what = text(op, "op");
    let agree = |receipt: Receipt| {
        let is_ok = receipt == Receipt::Ok;
        if expects_ok.is_none_or(|expected| expected == is_ok) { Ok(()) } else { Err(what.to_string()) }
    };
    let give_one = |world: &mut World, command: Command| {
        let height = world.tip() + 1;
        world.block(height, vec![give(command)]).receipts[0]
    };
    match what {
        "register" => {
            if parse(text(op, "version")).is_none() {
                return Err("version".into());
            }
            agree(give_one(world, register(plugin, text(op, "version"))))
        }
        "start_canary" => {
            let config = &op["config"];
            let initial = bps(&config["initial_percent"], 100.0, 500);
            let period = u32::try_from(config["observation_period_s"].as_u64().unwrap_or(0)).unwrap();
            let min_requests = config["min_requests"].as_u64().unwrap_or(0);
            if Bps::new(initial).is_err() {
                // No strategy can hold it; the bytes are refused so, as `plugins.rs` shows.
                return agree(refused(Reject::InvalidPlan));
            }
            let stage = Stage { min_requests, ..stage(initial, (period * SECOND).max(1)) };
            let terms = Guardrails {
                error_threshold_bps: Bps::new(bps(&config["error_threshold"], 1.0, 0)).unwrap(),
                success_threshold_bps: Bps::new(bps(&config["success_threshold"], 1.0, 0)).unwrap(),
                min_requests: min_requests.max(1),
                max_blocks: None,
                auto_promote: config["auto_promote"].as_bool().unwrap_or(false),
                auto_rollback: config["auto_rollback"].as_bool().unwrap_or(false),
                regression_z_centi: None,
            };
            let height = world.tip() + 1;
            let bytes = deploy_bytes(plugin, text(op, "version"), &custom(&[stage]), &terms);
            agree(world.block(height, vec![raw_tx(ADMIN, &[bytes])]).receipts[0])
        }
        "record" => {
            let count = u32::try_from(op["count"].as_u64().unwrap()).unwrap();
            let errors = if op["success"] == true { 0 } else { count };
            // Their requests count for the canary while there is one.
            let Some(deployment) = world.state.deployment(&name(plugin)) else { return Ok(()) };
            let version = deployment.new.to_string();
            give_one(world, tell_version(plugin, &version, count, errors));
            Ok(())
        }
        "advance" => {
            *seconds += u32::try_from(op["seconds"].as_u64().unwrap()).unwrap();
            world.advance(1 + *seconds * SECOND);
            Ok(())
        }
        "tick" => {
            world.advance((1 + *seconds * SECOND + SECOND / 2).max(world.tip() + 1));
            Ok(())
        }
        "promote" => agree(give_one(world, promote(plugin))),
        "rollback" => agree(give_one(world, roll_back(plugin))),
        "get" => {
            let canary = world.deployment(plugin).map(|deployment| deployment.new.to_string());
            let current = world.state.plugin(&name(plugin)).map(|plugin| plugin.current.to_string());
            let current = if op["for_canary"] == true { canary } else { current };
            if current.as_deref() == op["expect"].as_str() { Ok(()) } else { Err("get".into()) }
        }
        "status" => {
            let expected = &op["expect"];
            let Some(record) = world.state.plugin(&name(plugin)) else {
                return if expects_ok == Some(false) { Ok(()) } else { Err("status".into()) };
            };
            let canary = world.state.deployment(&name(plugin)).map(|one| one.new.to_string()).unwrap_or_default();
            let statuses = |list: &serde_json::Map<String, Value>| -> BTreeMap<String, String> {
                list.iter().map(|(version, one)| (version.clone(), text(one, "status").into())).collect()
            };
            let expected_statuses = statuses(expected["versions"].as_object().unwrap());
            let versions = world.versions(plugin).into_iter();
            let stands: BTreeMap<String, String> =
                versions.map(|(version, status): (String, VersionStatus)| (version, status.name().into())).collect();
            let agrees = record.current.to_string() == text(expected, "current_version")
                && canary == text(expected, "canary_version")
                && stands == expected_statuses;
            if agrees { Ok(()) } else { Err("status".into()) }
        }
        // Told in other words, and tested in our own.
        "history" | "events" => Ok(()),
        // Settings of its own, a hash of its own, and figures that it weighs by idle time.
        "config" | "count_canary" | "should_use_canary" | "health_check" => Ok(()),
        other => Err(other.into()),
    }
}
