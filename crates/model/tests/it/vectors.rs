//! The model and core against block files with expectations that others have computed.
//!
//! The files are optional: `vectors` beside the workspace, in `../shared`. Without them the tests
//! say so and pass.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coalmine_core::{Block, Decode, Feature, Genesis, Hash, MetricsRecord, Outcome, Receipt, State, Status};
use coalmine_model::support::Records;
use coalmine_model::{Model, PluginAnswer, root};
use serde_json::{Value, json};

use crate::read::{KINDS, Object, genesis, hex, number, tag, text, transaction, unhex};

const STATES: [&str; 4] = ["live", "deleted", "forgotten", "unborn"];

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

/// A version as the files spell it; two that differ in build metadata alone are one.
fn without_build(version: &str) -> &str {
    version.split_once('+').map_or(version, |(version, _)| version)
}

/// A plugin in the form of the files.
fn plugin_fields(answer: &PluginAnswer) -> BTreeMap<&'static str, Value> {
    let versions: Object =
        answer.versions.iter().map(|(version, status)| (version.clone(), status.name().into())).collect();
    BTreeMap::from([
        ("current", json!(without_build(&answer.current))),
        ("previous", json!(answer.previous.as_deref().map(without_build))),
        ("status", json!(answer.status)),
        ("canary", json!(answer.canary.as_deref().map(without_build))),
        ("paused", json!(answer.paused)),
        ("waiting", json!(answer.waiting)),
        ("share_bps", json!(answer.share_bps)),
        ("stage", json!(answer.stage)),
        ("load_state", json!(answer.load_state.name())),
        ("versions", json!(versions)),
    ])
}

/// Compares the model with what a block, or a file as a whole, expects; gives the number of roots compared.
fn expect(file: &str, model: &Model, outcome: &Outcome, want: &Object) -> usize {
    let at = format!("{file} height {}", model.tip().unwrap());
    let entries = model.entries();
    let record = |prefix: u8, name: &str| {
        entries.get(&[&[prefix], name.as_bytes()].concat()).unwrap_or_else(|| panic!("{at}: no {prefix:02X} {name}"))
    };
    for (key, want) in want {
        match key.as_str() {
            "receipts" => {
                let receipts: Vec<&str> = outcome.receipts.iter().map(Receipt::name).collect();
                assert_eq!(Value::from(receipts), *want, "{at}");
            }
            "events" => {
                let events: Vec<&str> = outcome.events.iter().map(|event| event.code().name()).collect();
                assert_eq!(Value::from(events), *want, "{at}");
            }
            "plugins" => want.as_object().unwrap().iter().for_each(|(name, want)| {
                let answer = model.plugin_answer(name.as_bytes()).unwrap_or_else(|| panic!("{at}: no {name}"));
                expect_fields(&format!("{at} plugin {name}"), want, &plugin_fields(&answer));
            }),
            "routes" => want.as_array().unwrap().iter().map(|want| want.as_object().unwrap()).for_each(|want| {
                let unit = text(want, "unit").strip_prefix("0x").unwrap();
                let got = model.route(text(want, "plugin").as_bytes(), &unhex(&unit.into()));
                assert_eq!(json!(got.as_deref().map(without_build)), want["version"], "{at} route {want:?}");
            }),
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
    let core_genesis = Genesis::from_bytes(&genesis.to_bytes()).unwrap();
    let (mut state, writes) = State::genesis(&core_genesis).unwrap();
    let mut model = Model::of_raw(genesis);
    let mut records = Records::default();
    records.write(&writes);
    let (mut roots, mut outcome) = (0, Outcome::default());
    for block in document["blocks"].as_array().unwrap().iter().map(|block| block.as_object().unwrap()) {
        let height: u32 = number(block, "height").unwrap();
        model.advance(height.saturating_sub(1)).unwrap();
        while state.tip().is_some_and(|tip| tip + 1 < height) {
            let execution = state.advance(height - 1).unwrap();
            records.write(execution.writes());
            state.apply(execution).unwrap();
        }
        let mut payloads = Vec::new();
        for tx in block.get("txs").and_then(Value::as_array).into_iter().flatten().map(|tx| tx.as_object().unwrap()) {
            let (tx, repeat) = transaction(tx, first_admin);
            payloads.extend(vec![tx.to_bytes(); repeat]);
        }
        let block_of_txs = Block::from_encoded(height, payloads).unwrap();
        outcome = model.execute(&block_of_txs).unwrap();
        let execution = state.execute(&block_of_txs).unwrap();
        assert_eq!(*execution.outcome(), outcome, "{file}, block {height}: core beside the model");
        records.write(execution.writes());
        state.apply(execution).unwrap();
        if let Some(want) = block.get("expect") {
            roots += expect(&file, &model, &outcome, want.as_object().unwrap());
        }
    }
    if let Some(want) = document.get("expect") {
        roots += expect(&file, &model, &outcome, want.as_object().unwrap());
    }
    assert_eq!(records.0, model.entries(), "{file}: core beside the model");
    assert_eq!(state.root(), model.root(), "{file}: core beside the model");
    (model, roots)
}

#[test]
fn files_of_random_worlds() {
    for path in files("rules/features") {
        let (_, roots) = run(&path);
        assert_ne!(roots, 0, "{} pins no root", path.display());
    }
}

#[test]
fn files_of_random_plugins() {
    for path in files("rules/plugins") {
        run(&path);
    }
}

#[test]
fn files_of_attacks() {
    for path in files("attacks") {
        run(&path);
    }
}

#[test]
fn files_of_the_feed() {
    for path in files("rules/feed") {
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
