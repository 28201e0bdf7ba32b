//! The model alone against block files on plugins with expectations that others have computed.
//!
//! The files are optional: `vectors` beside the workspace, in `../shared`. Without them the test
//! says so and passes. The reader is for these files only; it knows no more of the format than they use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coalmine_core::{Address, Block, Decode, Genesis, Payload};
use coalmine_model::raw::{self, Command, Guardrails, PluginCommand, Stage, Strategy, Transaction};
use coalmine_model::{Model, PluginAnswer};
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;

const ROLES: [&str; 5] = ["admin", "operator", "reporter", "guardian", "feeder"];
const GATES: [&str; 3] = ["time", "manual", "health"];

/// The block files, none if they are absent.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/model/plugins");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: {} is absent", folder.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The fields of an object, each of which must be taken.
struct Fields<'a>(BTreeMap<&'a str, &'a Value>);

impl<'a> Fields<'a> {
    fn of(value: &'a Value) -> Self {
        Self(value.as_object().unwrap().iter().map(|(key, value)| (key.as_str(), value)).collect())
    }

    fn text(&mut self, key: &str) -> &'a str {
        self.0.remove(key).unwrap_or_else(|| panic!("no {key}")).as_str().unwrap()
    }

    fn bytes(&mut self, key: &str) -> Vec<u8> {
        self.text(key).into()
    }

    fn number_or<T: TryFrom<u64>>(&mut self, key: &str, default: u64) -> T {
        let number = self.0.remove(key).map_or(default, |value| value.as_u64().unwrap());
        T::try_from(number).unwrap_or_else(|_| panic!("{key} is out of range"))
    }

    fn bool_or(&mut self, key: &str, default: bool) -> bool {
        self.0.remove(key).map_or(default, |value| value.as_bool().unwrap())
    }

    fn finish(self) {
        assert!(self.0.is_empty(), "unknown fields {:?}", self.0.keys());
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

fn pairs(value: Option<&Value>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = |value: &Value| value.as_str().unwrap().as_bytes().to_vec();
    let object = value.map(|value| value.as_object().unwrap());
    object.into_iter().flatten().map(|(key, value)| (key.as_bytes().to_vec(), text(value))).collect()
}

fn stage(value: &Value) -> Stage {
    let mut fields = Fields::of(value);
    let gate = fields.0.remove("gate").map_or("time", |gate| gate.as_str().unwrap());
    let stage = Stage {
        share_bps: fields.number_or("share_bps", 0),
        blocks: fields.number_or("blocks", 0),
        min_requests: fields.number_or("min_requests", 0),
        gate: GATES.iter().position(|name| *name == gate).unwrap() as u8,
    };
    fields.finish();
    stage
}

fn deploy(plugin: Vec<u8>, fields: &mut Fields<'_>) -> PluginCommand {
    let version = fields.bytes("version");
    let kind = fields.text("strategy");
    // Success, error and min_requests when nothing is said.
    let (success, error, min_requests) = match kind {
        "canary" => (9_900, 100, 100),
        "rolling" => (9_500, 500, 50),
        "blue_green" => (0, 500, 50),
        "ab_test" => (9_500, 500, 1_000),
        "custom" => (9_500, 500, 100),
        other => panic!("unknown strategy {other}"),
    };
    let strategy = match kind {
        "canary" => Strategy::Canary {
            initial_bps: fields.number_or("initial_bps", 500),
            increment_bps: fields.number_or("increment_bps", 500),
            increment_blocks: fields.number_or("increment_blocks", 60),
            max_bps: fields.number_or("max_bps", 5_000),
            observation_blocks: fields.number_or("observation_blocks", 180),
        },
        "rolling" => Strategy::Rolling {
            initial_bps: fields.number_or("initial_bps", 1_000),
            increment_bps: fields.number_or("increment_bps", 1_000),
            increment_blocks: fields.number_or("increment_blocks", 30),
        },
        "blue_green" => Strategy::BlueGreen {
            health_blocks: fields.number_or("health_blocks", 60),
            bake_blocks: fields.number_or("bake_blocks", 60),
        },
        "ab_test" => Strategy::AbTest {
            share_bps: fields.number_or("share_bps", 5_000),
            duration_blocks: fields.number_or("duration_blocks", 8_640),
        },
        _ => {
            let stages = fields.0.remove("stages").unwrap().as_array().unwrap().iter().map(stage).collect();
            let on_complete = fields.0.remove("on_complete").map_or("promote", |value| value.as_str().unwrap());
            Strategy::Custom {
                on_complete: ["promote", "conclude"].iter().position(|name| *name == on_complete).unwrap() as u8,
                stages,
            }
        }
    };
    let terms = Guardrails {
        error_threshold_bps: fields.number_or("error_threshold_bps", error),
        success_threshold_bps: fields.number_or("success_threshold_bps", success),
        min_requests: fields.number_or("min_requests", min_requests),
        max_blocks: fields.number_or("max_blocks", (8 * blocks(&strategy)).min(u32::MAX.into())),
        auto_promote: fields.bool_or("auto_promote", kind != "ab_test"),
        auto_rollback: fields.bool_or("auto_rollback", true),
        regression_z_centi: fields.number_or("regression_z_centi", 0),
    };
    PluginCommand::Deploy { plugin, version, strategy, terms }
}

/// The sum of the blocks of the stages, which a deadline that is left out is made of.
fn blocks(strategy: &Strategy) -> u64 {
    let growing = |initial: u16, increment: u16, blocks: u32, max: u16, observation: u32| {
        let below_max = u64::from(max.saturating_sub(initial)).div_ceil(u64::from(increment.max(1)));
        below_max * u64::from(blocks) + u64::from(blocks.max(observation))
    };
    match strategy {
        Strategy::Canary { initial_bps, increment_bps, increment_blocks, max_bps, observation_blocks } => {
            growing(*initial_bps, *increment_bps, *increment_blocks, *max_bps, *observation_blocks)
        }
        Strategy::Rolling { initial_bps, increment_bps, increment_blocks } => {
            growing(*initial_bps, *increment_bps, *increment_blocks, 10_000, 0)
        }
        Strategy::BlueGreen { health_blocks, bake_blocks } => u64::from(*health_blocks) + u64::from(*bake_blocks),
        Strategy::AbTest { share_bps: _, duration_blocks } => (*duration_blocks).into(),
        Strategy::Custom { on_complete: _, stages } => stages.iter().map(|stage| u64::from(stage.blocks)).sum(),
    }
}

fn command(value: &Value) -> Command {
    let mut fields = Fields::of(value);
    let op = fields.text("op");
    let plugin = fields.bytes("plugin");
    let command = match op {
        "register_version" => PluginCommand::RegisterVersion {
            plugin,
            version: fields.bytes("version"),
            code_hash: unhex(fields.text("code_hash")).try_into().unwrap(),
            host: fields.0.remove("host").map_or(Vec::new(), |host| host.as_str().unwrap().into()),
            requirements: pairs(fields.0.remove("requirements")),
            config: fields.0.remove("config").map_or(Vec::new(), |config| unhex(config.as_str().unwrap())),
            metadata: pairs(fields.0.remove("metadata")),
        },
        "deploy" => deploy(plugin, &mut fields),
        "pause" => PluginCommand::Pause { plugin },
        "resume" => PluginCommand::Resume { plugin },
        "promote" => PluginCommand::Promote { plugin },
        "rollback_deployment" => PluginCommand::RollbackDeployment { plugin },
        "revert" => PluginCommand::Revert { plugin },
        "retire_version" => PluginCommand::RetireVersion { plugin, version: fields.bytes("version") },
        "report_version" => PluginCommand::ReportVersion {
            plugin,
            version: fields.bytes("version"),
            requests: fields.number_or("requests", 0),
            errors: fields.number_or("errors", 0),
            latency_total: fields.number_or("latency_total", 0),
        },
        "attest_health" => PluginCommand::AttestHealth {
            plugin,
            version: fields.bytes("version"),
            healthy: fields.0.remove("healthy").unwrap().as_bool().unwrap(),
        },
        other => panic!("unknown op {other}"),
    };
    fields.finish();
    Command::Plugin(command)
}

fn genesis(object: &Object) -> raw::Genesis {
    let mask = |roles: &Value| -> u8 {
        let bit = |role: &Value| 1 << ROLES.iter().position(|name| role == name).unwrap();
        roles.as_array().unwrap().iter().map(bit).sum()
    };
    let roles = object["roles"].as_object().unwrap();
    assert!(object.keys().all(|key| key == "chain" || key == "roles"), "{:?}", object.keys());
    raw::Genesis {
        chain: object["chain"].as_str().unwrap().into(),
        roles: roles.iter().map(|(address, roles)| (address.parse().unwrap(), mask(roles))).collect(),
        params: [1_000, 0, 0],
    }
}

/// A plugin in the form of the files.
fn shown(answer: &PluginAnswer) -> Value {
    let versions: Object =
        answer.versions.iter().map(|(version, status)| (version.clone(), status.name().into())).collect();
    json!({
        "current": answer.current,
        "previous": answer.previous,
        "status": answer.status,
        "canary": answer.canary,
        "paused": answer.paused,
        "waiting": answer.waiting,
        "share_bps": answer.share_bps,
        "stage": answer.stage,
        "load_state": answer.load_state.name(),
        "versions": versions,
    })
}

fn expect(at: &str, model: &Model, receipts: &[&str], want: &Object) {
    for (key, want) in want {
        match key.as_str() {
            "receipts" => assert_eq!(Value::from(receipts), *want, "{at}"),
            "plugins" => {
                for (name, want) in want.as_object().unwrap() {
                    let answer = model.plugin_answer(name.as_bytes()).unwrap_or_else(|| panic!("{at}: no {name}"));
                    for (field, want) in want.as_object().unwrap() {
                        assert_eq!(shown(&answer)[field], *want, "{at} plugin {name} {field}");
                    }
                }
            }
            "routes" => {
                for want in want.as_array().unwrap() {
                    let (plugin, unit) = (want["plugin"].as_str().unwrap(), want["unit"].as_str().unwrap());
                    let got = model.route(plugin.as_bytes(), &unhex(unit.strip_prefix("0x").unwrap()));
                    assert_eq!(Value::from(got), want["version"], "{at} route of {plugin} for {unit}");
                }
            }
            other => panic!("{at}: unknown expectation {other}"),
        }
    }
}

/// Runs a file to its end.
fn run(path: &Path) {
    let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let genesis = genesis(document["genesis"].as_object().unwrap());
    let mut model = Model::genesis(&Genesis::from_bytes(&genesis.to_bytes()).unwrap());
    for block in document["blocks"].as_array().unwrap() {
        let height = u32::try_from(block["height"].as_u64().unwrap()).unwrap();
        for gap in model.tip().map_or(height, |tip| tip + 1)..height {
            model.execute(&Block::empty(gap)).unwrap();
        }
        let payload = |tx: &Value| {
            let mut tx = tx.as_object().unwrap().clone();
            let signer: Address = tx.remove("signer").unwrap().as_str().unwrap().parse().unwrap();
            let commands = match tx.get("commands") {
                Some(commands) => commands.as_array().unwrap().iter().map(command).collect(),
                None => vec![command(&Value::Object(tx))],
            };
            Payload::from_bytes(&Transaction { signer, commands }.to_bytes())
        };
        let payloads = block["txs"].as_array().unwrap().iter().map(payload).collect();
        let outcome = model.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap();
        let receipts: Vec<&str> = outcome.receipts.iter().map(|receipt| receipt.name()).collect();
        let at = format!("{} height {height}", path.file_name().unwrap().display());
        expect(&at, &model, &receipts, block["expect"].as_object().unwrap());
    }
}

#[test]
fn files_of_random_plugins() {
    for path in files() {
        run(&path);
    }
}
