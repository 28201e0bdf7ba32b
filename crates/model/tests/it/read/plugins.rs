//! The commands on plugins.

use std::collections::BTreeMap;

use coalmine_model::raw::{Guardrails, PluginCommand, Stage, Strategy};
use serde_json::Value;

use super::{Object, unhex};

const GATES: [&str; 3] = ["time", "manual", "health"];

/// The fields of an object, each of which must be taken.
struct Fields<'a>(BTreeMap<&'a str, &'a Value>);

impl<'a> Fields<'a> {
    fn of(object: &'a Object) -> Self {
        Self(object.iter().map(|(key, value)| (key.as_str(), value)).collect())
    }

    fn take(&mut self, key: &str) -> &'a Value {
        self.0.remove(key).unwrap_or_else(|| panic!("no {key}"))
    }

    fn text(&mut self, key: &str) -> &'a str {
        self.take(key).as_str().unwrap()
    }

    fn flag(&mut self, key: &str) -> bool {
        self.take(key).as_bool().unwrap()
    }

    fn bytes(&mut self, key: &str) -> Vec<u8> {
        self.text(key).into()
    }

    fn number<T: TryFrom<u64>>(&mut self, key: &str) -> Option<T> {
        let number = self.0.remove(key)?.as_u64().unwrap();
        Some(T::try_from(number).unwrap_or_else(|_| panic!("{key} is out of range")))
    }

    fn number_or<T: TryFrom<u64>>(&mut self, key: &str, default: u64) -> T {
        let default = || T::try_from(default).unwrap_or_else(|_| panic!("the default of {key} is out of range"));
        self.number(key).unwrap_or_else(default)
    }

    fn bool_or(&mut self, key: &str, default: bool) -> bool {
        self.0.remove(key).map_or(default, |value| value.as_bool().unwrap())
    }

    fn finish(self) {
        assert!(self.0.is_empty(), "unknown fields {:?}", self.0.keys());
    }
}

fn pairs(value: Option<&Value>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = |value: &Value| value.as_str().unwrap().as_bytes().to_vec();
    let object = value.map(|value| value.as_object().unwrap());
    object.into_iter().flatten().map(|(key, value)| (key.as_bytes().to_vec(), text(value))).collect()
}

fn stage(value: &Value) -> Stage {
    let mut fields = Fields::of(value.as_object().unwrap());
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

pub(super) fn command(object: &Object) -> PluginCommand {
    let mut fields = Fields::of(object);
    let op = fields.text("op");
    // These stand beside the fields of a command that is a transaction of its own.
    for of_transaction in ["signer", "repeat", "sequence", "valid_until"] {
        fields.0.remove(of_transaction);
    }
    let plugin = fields.0.remove("plugin").map_or(Vec::new(), |name| name.as_str().unwrap().into());
    let command = match op {
        "register_version" => PluginCommand::RegisterVersion {
            plugin,
            version: fields.bytes("version"),
            code_hash: unhex(fields.take("code_hash")).try_into().unwrap(),
            host: fields.0.remove("host").map_or(Vec::new(), |host| host.as_str().unwrap().into()),
            requirements: pairs(fields.0.remove("requirements")),
            config: fields.0.remove("config").map_or(Vec::new(), unhex),
            metadata: pairs(fields.0.remove("metadata")),
        },
        "deploy" => deploy(plugin, &mut fields),
        "pause" => PluginCommand::Pause { plugin },
        "resume" => PluginCommand::Resume { plugin },
        "promote" => PluginCommand::Promote { plugin },
        "rollback_deployment" => PluginCommand::RollbackDeployment { plugin },
        "revert" => PluginCommand::Revert { plugin },
        "retire_version" => PluginCommand::RetireVersion { plugin, version: fields.bytes("version") },
        "set_rule" => PluginCommand::SetRule { plugin, constraint: fields.bytes("constraint") },
        "set_host_version" => PluginCommand::SetHostVersion { version: fields.bytes("version") },
        "set_registry_params" => PluginCommand::SetRegistryParams {
            max_versions: fields.number("max_versions"),
            auto_load: fields.0.remove("auto_load").map(|value| value.as_bool().unwrap()),
        },
        "load" => PluginCommand::Load { plugin },
        "unload" => PluginCommand::Unload { plugin, force: fields.flag("force") },
        "report_version" => PluginCommand::ReportVersion {
            plugin,
            version: fields.bytes("version"),
            requests: fields.number_or("requests", 0),
            errors: fields.number_or("errors", 0),
            latency_total: fields.number_or("latency_total", 0),
            deployment: fields.number("deployment"),
        },
        "attest_health" => {
            PluginCommand::AttestHealth { plugin, version: fields.bytes("version"), healthy: fields.flag("healthy") }
        }
        "report_load" => PluginCommand::ReportLoad { plugin, version: fields.bytes("version"), ok: fields.flag("ok") },
        "report_unload" => {
            PluginCommand::ReportUnload { plugin, version: fields.bytes("version"), ok: fields.flag("ok") }
        }
        other => panic!("unknown op {other}"),
    };
    fields.finish();
    command
}
