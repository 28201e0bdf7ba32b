//! The model alone against block files with expectations that others have computed.
//!
//! The files are optional: `vectors` beside the workspace, in `../shared`. Without them the tests
//! say so and pass. The reader is for these files only; it knows no more of the format than they use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coalmine_core::{Address, Block, Decode, Feature, Genesis, Hash, MetricsRecord, Payload, Status};
use coalmine_model::raw::{self, Changes, Command, FeedEntry, Policy, Report, Transaction};
use coalmine_model::{Model, root};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

const ROLES: [&str; 5] = ["admin", "operator", "reporter", "guardian", "feeder"];
const REASONS: [&str; 6] =
    ["manual", "error_rate", "invariant_violation", "circuit_breaker", "consensus_failure", "performance"];

const KINDS: [&str; 2] = ["environment", "filter"];
const PARTS: [&str; 4] = ["only", "first", "more", "last"];
const STATES: [&str; 3] = ["live", "deleted", "forgotten"];

/// The block files of a folder of vectors, none if it is absent.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors").join(folder);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: {} is absent", folder.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn number<T: TryFrom<u64>>(object: &Object, key: &str) -> Option<T> {
    let value = object.get(key)?.as_u64().unwrap_or_else(|| panic!("{key} is no number"));
    Some(T::try_from(value).unwrap_or_else(|_| panic!("{key} is out of range")))
}

fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("{key} is no text"))
}

fn tag(names: &[&str], name: &str) -> u8 {
    names.iter().position(|other| *other == name).unwrap_or_else(|| panic!("{name} is unknown")) as u8
}

fn policy(object: &Object) -> Policy {
    let default = Policy::default();
    let name =
        |key, names: &[&str], default| object.get(key).map_or(default, |name| tag(names, name.as_str().unwrap()));
    let names = object.get("prerequisites").and_then(Value::as_array);
    Policy {
        bucketing: name("bucketing", &["sha256", "first_byte"], default.bucketing),
        advance: name("advance", &["automatic", "manual"], default.advance),
        salt: number(object, "salt").unwrap_or(default.salt),
        min_samples: number(object, "min_samples").unwrap_or(default.min_samples),
        window_blocks: number(object, "window_blocks").unwrap_or(default.window_blocks),
        step_min_operations: number(object, "step_min_operations").unwrap_or(default.step_min_operations),
        max_invariant_failures: number(object, "max_invariant_failures").unwrap_or(default.max_invariant_failures),
        max_latency: number(object, "max_latency").unwrap_or(default.max_latency),
        lifetime: name("lifetime", &["permanent", "release", "experiment", "ops"], default.lifetime),
        expires_at: number(object, "expires_at").unwrap_or(default.expires_at),
        prerequisites: names
            .map_or(Vec::new(), |names| names.iter().map(|name| name.as_str().unwrap().into()).collect()),
    }
}

fn changes(object: &Object) -> Changes {
    Changes {
        increment_percent: number(object, "increment_percent"),
        increment_blocks: number(object, "increment_blocks"),
        max_error_rate: number(object, "max_error_rate"),
        min_success_count: number(object, "min_success_count"),
        policy: object.get("policy").map(|value| policy(value.as_object().unwrap())),
    }
}

fn commands(object: &Object) -> Vec<Command> {
    object["commands"].as_array().unwrap().iter().map(|value| command(value.as_object().unwrap())).collect()
}

fn command(object: &Object) -> Command {
    let name = || text(object, "name").as_bytes().to_vec();
    let address = |key| text(object, key).parse::<Address>().unwrap();
    let reason = || tag(&REASONS, text(object, "reason"));
    let role = || 1 << tag(&ROLES, text(object, "role"));
    let count = number::<u32>(object, "count").unwrap_or(1);
    let latency_peak = number::<u64>(object, "latency").unwrap_or(0);
    let sugar = Report { latency_total: latency_peak * u64::from(count), latency_peak, ..Report::default() };
    match text(object, "op") {
        "create_feature" => {
            let description = text(object, "description").as_bytes().to_vec();
            Command::CreateFeature { name: name(), description, changes: changes(object) }
        }
        "configure_feature" => {
            let description = object.get("description").map(|value| value.as_str().unwrap().as_bytes().to_vec());
            Command::ConfigureFeature { name: name(), description, changes: changes(object) }
        }
        "start_canary" => Command::StartCanary { name: name(), percent: number(object, "percent").unwrap() },
        "start_rollout" => {
            Command::StartRollout { name: name(), target_percent: number(object, "target_percent").unwrap() }
        }
        "advance_rollout" => Command::AdvanceRollout { name: name() },
        "enable" => Command::Enable { name: name() },
        "disable" => Command::Disable { name: name() },
        "rollback" => Command::Rollback { name: name(), reason: reason() },
        "set_override" => {
            Command::SetOverride { name: name(), user: address("user"), enabled: object["enabled"].as_bool().unwrap() }
        }
        "clear_override" => Command::ClearOverride { name: name(), user: address("user") },
        "report" => Command::Report {
            name: name(),
            report: Report {
                successes: number(object, "successes").unwrap(),
                errors: number(object, "errors").unwrap(),
                latency_total: number(object, "latency_total").unwrap(),
                latency_peak: number(object, "latency_peak").unwrap(),
                invariant_checks: number(object, "invariant_checks").unwrap(),
                invariant_failures: number(object, "invariant_failures").unwrap(),
            },
        },
        "record_success" => Command::Report { name: name(), report: Report { successes: count, ..sugar } },
        "record_error" => Command::Report { name: name(), report: Report { errors: count, ..sugar } },
        "record_invariant" => {
            let invariant_failures = if object["ok"].as_bool().unwrap() { 0 } else { count };
            let report = Report { invariant_checks: count, invariant_failures, ..Report::default() };
            Command::Report { name: name(), report }
        }
        "trip_breaker" => Command::TripBreaker {
            reason: reason(),
            until: number(object, "until").unwrap_or(0),
            drain: object["drain"].as_bool().unwrap(),
        },
        "reset_breaker" => Command::ResetBreaker,
        "schedule" => Command::Schedule { at: number(object, "at").unwrap(), commands: commands(object) },
        "cancel_schedule" => {
            Command::CancelSchedule { at: number(object, "at").unwrap(), id: number(object, "id").unwrap() }
        }
        "grant_role" => Command::GrantRole { address: address("address"), role: role() },
        "revoke_role" => Command::RevokeRole { address: address("address"), role: role() },
        "set_params" => Command::SetParams {
            max_due_per_block: number(object, "max_due_per_block"),
            breaker_rollbacks: number(object, "breaker_rollbacks"),
            breaker_window: number(object, "breaker_window"),
        },
        "feed_put" => {
            let part = object.get("part").map_or(0, |part| tag(&PARTS, part.as_str().unwrap()));
            Command::FeedPut { part, lists: ["environments", "filters"].map(|key| feed_entries(object.get(key))) }
        }
        "feed_patch" => {
            let (id, version) = (text(object, "id").into(), number(object, "version").unwrap());
            Command::FeedPatch { kind: tag(&KINDS, text(object, "kind")), id, version, body: unhex(&object["body"]) }
        }
        "feed_delete" => {
            let (id, version) = (text(object, "id").into(), number(object, "version").unwrap());
            Command::FeedDelete { kind: tag(&KINDS, text(object, "kind")), id, version }
        }
        "feed_forget" => {
            let ids = object["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().into()).collect();
            Command::FeedForget { kind: tag(&KINDS, text(object, "kind")), ids }
        }
        other => panic!("unknown op {other}"),
    }
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The items of a put, in the order of their ids.
fn feed_entries(items: Option<&Value>) -> Vec<FeedEntry> {
    let items: BTreeMap<Vec<u8>, &Value> = items
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(id, item)| (id.as_bytes().to_vec(), item))
        .collect();
    let entry = |(id, item): (Vec<u8>, &Value)| FeedEntry {
        id,
        version: item["version"].as_u64().unwrap(),
        body: unhex(&item["body"]),
    };
    items.into_iter().map(entry).collect()
}

fn genesis(object: &Object) -> raw::Genesis {
    let empty = Object::new();
    let params = object.get("params").map_or(&empty, |value| value.as_object().unwrap());
    let mask =
        |roles: &Value| roles.as_array().unwrap().iter().map(|role| 1 << tag(&ROLES, role.as_str().unwrap())).sum();
    raw::Genesis {
        chain: object.get("chain").map_or(Vec::new(), |value| value.as_str().unwrap().into()),
        roles: object["roles"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, roles)| (key.parse().unwrap(), mask(roles)))
            .collect(),
        params: [
            number(params, "max_due_per_block").unwrap_or(1_000),
            number(params, "breaker_rollbacks").unwrap_or(0),
            number(params, "breaker_window").unwrap_or(0),
        ],
    }
}

fn expect_fields(what: &str, want: &Value, got: &BTreeMap<&str, Value>) {
    for (field, value) in want.as_object().unwrap() {
        assert_eq!(got[field.as_str()], *value, "{what} {field}");
    }
}

fn feature_fields(bytes: &[u8]) -> BTreeMap<&'static str, Value> {
    let f = Feature::from_bytes(bytes).unwrap();
    BTreeMap::from([
        ("name", f.name.as_str().into()),
        ("description", f.description.as_str().into()),
        ("status", f.status.name().into()),
        ("rollout_percent", f.rollout_percent.get().into()),
        ("target_percent", f.target_percent.get().into()),
        ("increment_percent", f.increment_percent.get().into()),
        ("increment_blocks", f.increment_blocks.into()),
        ("start_block", f.start_block.into()),
        ("last_increment_block", f.last_increment_block.into()),
        ("error_count", f.error_count.into()),
        ("success_count", f.success_count.into()),
        ("max_error_rate", f.max_error_rate.into()),
        ("min_success_count", f.min_success_count.into()),
        ("enabled_by", f.enabled_by.to_string().into()),
        ("rollback_reason", f.rollback_reason.name().into()),
    ])
}

fn metrics_fields(bytes: &[u8]) -> BTreeMap<&'static str, Value> {
    let MetricsRecord { name, metrics: m } = MetricsRecord::from_bytes(bytes).unwrap();
    BTreeMap::from([
        ("name", name.as_str().into()),
        ("total_operations", m.total_operations.into()),
        ("successful_ops", m.successful_ops.into()),
        ("failed_ops", m.failed_ops.into()),
        ("average_latency", m.average_latency().into()),
        ("peak_latency", m.peak_latency.into()),
        ("invariant_checks", m.invariant_checks.into()),
        ("invariant_failures", m.invariant_failures.into()),
        ("latency_sum", m.latency_sum.into()),
        ("trial_invariant_failures", m.trial_invariant_failures.into()),
        ("trial_latency_sum", m.trial_latency_sum.into()),
        ("trial_operations", m.trial_operations.into()),
        ("step_operations", m.step_operations.into()),
        ("window_start", m.window_start.into()),
        ("current_successes", m.current_successes.into()),
        ("current_errors", m.current_errors.into()),
        ("previous_successes", m.previous_successes.into()),
        ("previous_errors", m.previous_errors.into()),
    ])
}

/// Compares the model with what a block, or a file as a whole, expects; gives the number of roots compared.
fn expect(file: &str, model: &Model, receipts: &[&str], want: &Object) -> usize {
    let at = format!("{file} height {}", model.tip().unwrap());
    let entries = model.entries();
    let record = |prefix: u8, name: &str| {
        entries.get(&[&[prefix], name.as_bytes()].concat()).unwrap_or_else(|| panic!("{at}: no {prefix:02X} {name}"))
    };
    for (key, want) in want {
        match key.as_str() {
            "receipts" => assert_eq!(Value::from(receipts), *want, "{at}"),
            "features" => want.as_object().unwrap().iter().for_each(|(name, want)| {
                expect_fields(&format!("{at} feature {name}"), want, &feature_fields(record(0xD0, name)));
            }),
            "metrics" => want.as_object().unwrap().iter().for_each(|(name, want)| {
                expect_fields(&format!("{at} metrics {name}"), want, &metrics_fields(record(0xD1, name)));
            }),
            "history" => want.as_object().unwrap().iter().for_each(|(name, want)| {
                let of_one = |(height, status, percent): (u32, Status, u8)| {
                    serde_json::json!({"height": height, "status": status.name(), "percent": percent})
                };
                let got: Vec<Value> = model.history(name.as_bytes()).into_iter().map(of_one).collect();
                assert_eq!(Value::from(got), *want, "{at} history {name}");
            }),
            "enabled" => want.as_array().unwrap().iter().map(|want| want.as_object().unwrap()).for_each(|want| {
                let got = model.is_enabled(text(want, "name").as_bytes(), &text(want, "user").parse().unwrap());
                assert_eq!(Value::from(got), want["value"], "{at} enabled {want:?}");
            }),
            "feed" => want.as_object().unwrap().iter().for_each(|(kinds, want)| {
                let kind = tag(&KINDS, kinds.strip_suffix('s').unwrap());
                want.as_object().unwrap().iter().for_each(|(id, want)| {
                    let got = model.feed_item(kind, id.as_bytes());
                    assert_eq!(got.is_none(), want.is_null(), "{at} feed {kinds} {id}");
                    let Some((version, state, body)) = got else { return };
                    let got = [
                        ("version", version.into()),
                        ("state", STATES[usize::from(state)].into()),
                        ("body", hex(body).into()),
                    ];
                    expect_fields(&format!("{at} feed {kinds} {id}"), want, &BTreeMap::from(got));
                });
            }),
            "root" => assert_eq!(root(&entries), want.as_str().unwrap().parse::<Hash>().unwrap(), "{at} root"),
            "height" => assert_eq!(Value::from(model.tip()), *want, "{at} height"),
            other => panic!("{at}: unknown expectation {other}"),
        }
    }
    usize::from(want.contains_key("root"))
}

/// Runs a file; gives the state at its end and the number of roots compared.
fn run(path: &Path) -> (Model, usize) {
    let file = path.file_name().unwrap().to_string_lossy();
    let source = std::fs::read_to_string(path).unwrap();
    let document: Value = serde_json::from_str(&source).unwrap();
    let genesis = genesis(document["genesis"].as_object().unwrap());
    // The order of the file is lost in the map, but not in the text.
    let admins = genesis.roles.iter().filter(|(_, mask)| **mask & 1 != 0);
    let first_admin =
        *admins.map(|(address, _)| address).min_by_key(|address| source.find(&address.to_string())).unwrap();
    let mut model = Model::genesis(&Genesis::from_bytes(&genesis.to_bytes()).unwrap());
    let mut roots = 0;
    for block in document["blocks"].as_array().unwrap().iter().map(|block| block.as_object().unwrap()) {
        let height: u32 = number(block, "height").unwrap();
        for gap in model.tip().map_or(height, |tip| tip + 1)..height {
            model.execute(&Block::empty(gap)).unwrap();
        }
        let mut payloads = Vec::new();
        for tx in block.get("txs").and_then(Value::as_array).into_iter().flatten().map(|tx| tx.as_object().unwrap()) {
            let signer = tx.get("signer").map_or(first_admin, |signer| signer.as_str().unwrap().parse().unwrap());
            let commands = if tx.contains_key("op") { vec![command(tx)] } else { commands(tx) };
            let payload = Payload::from_bytes(&Transaction { signer, commands }.to_bytes());
            payloads.extend(vec![payload; number(tx, "repeat").unwrap_or(1)]);
        }
        let outcome = model.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap();
        let receipts: Vec<&str> = outcome.receipts.iter().map(|receipt| receipt.name()).collect();
        if let Some(want) = block.get("expect") {
            roots += expect(&file, &model, &receipts, want.as_object().unwrap());
        }
    }
    if let Some(want) = document.get("expect") {
        roots += expect(&file, &model, &[], want.as_object().unwrap());
    }
    (model, roots)
}

#[test]
fn files_of_random_worlds() {
    for path in files("model/features") {
        let (_, roots) = run(&path);
        assert_ne!(roots, 0, "{} pins no root", path.display());
    }
}

#[test]
fn files_of_the_feed() {
    for path in files("model/feed") {
        let (model, _) = run(&path);
        let want: Vec<(String, String)> =
            serde_json::from_slice(&std::fs::read(path.with_extension("want")).unwrap()).unwrap();
        let entries = model.entries();
        let got = entries.iter().filter(|(key, _)| key[0] == 0xDE).map(|(key, value)| (hex(key), hex(value)));
        assert_eq!(got.collect::<Vec<_>>(), want, "{}", path.display());
    }
}

#[test]
fn files_of_the_reference_implementation() {
    for path in files("reference") {
        let (model, _) = run(&path);
        let want: Value = serde_json::from_slice(&std::fs::read(path.with_extension("want")).unwrap()).unwrap();
        let mut records: BTreeMap<String, String> = model
            .entries()
            .iter()
            .filter(|(key, _)| key[0] <= 0xD1)
            .map(|(key, value)| (hex(key), hex(value)))
            .collect();
        for row in want.as_array().unwrap() {
            let (key, value) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
            let got = records.remove(key).unwrap_or_else(|| panic!("{}: no {key}", path.display()));
            let same = if key.starts_with("d0") { got == value } else { got.starts_with(value) };
            assert!(same, "{} {key}\n got {got}\nwant {value}", path.display());
        }
        assert!(records.is_empty(), "{} leaves {:?}", path.display(), records.keys());
    }
}
