//! Reads block files of vectors. The reader is for these files only; it knows no more of the format than they use.

use std::collections::BTreeMap;

use coalmine_core::Address;
use coalmine_model::raw::{self, Changes, Command, FeedEntry, Params, Policy, Report, Sequence, Transaction};
use serde_json::{Map, Value};

mod plugins;

pub(super) type Object = Map<String, Value>;

const ROLES: [&str; 5] = ["admin", "operator", "reporter", "guardian", "feeder"];
const REASONS: [&str; 6] =
    ["manual", "error_rate", "invariant_violation", "circuit_breaker", "consensus_failure", "performance"];
pub(super) const KINDS: [&str; 2] = ["environment", "filter"];
const PARTS: [&str; 4] = ["only", "first", "more", "last"];

pub(super) fn number<T: TryFrom<u64>>(object: &Object, key: &str) -> Option<T> {
    let value = object.get(key)?.as_u64().unwrap_or_else(|| panic!("{key} is no number"));
    Some(T::try_from(value).unwrap_or_else(|_| panic!("{key} is out of range")))
}

fn flag(object: &Object, key: &str) -> Option<bool> {
    object.get(key).map(|value| value.as_bool().unwrap_or_else(|| panic!("{key} is neither true nor false")))
}

pub(super) fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("{key} is no text"))
}

pub(super) fn tag(names: &[&str], name: &str) -> u8 {
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

pub(super) fn commands(object: &Object) -> Vec<Command> {
    object["commands"].as_array().unwrap().iter().map(|value| command(value.as_object().unwrap())).collect()
}

pub(super) fn command(object: &Object) -> Command {
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
            trial: number(object, "trial"),
        },
        "pause_rollout" => Command::PauseRollout { name: name() },
        "record_success" => Command::Report { name: name(), report: Report { successes: count, ..sugar }, trial: None },
        "record_error" => Command::Report { name: name(), report: Report { errors: count, ..sugar }, trial: None },
        "record_invariant" => {
            let invariant_failures = if object["ok"].as_bool().unwrap() { 0 } else { count };
            let report = Report { invariant_checks: count, invariant_failures, ..Report::default() };
            Command::Report { name: name(), report, trial: None }
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
            timelock: number(object, "timelock"),
            sequenced: flag(object, "sequenced"),
            round_blocks: number(object, "round_blocks"),
            quorum: number(object, "quorum"),
        },
        "set_rules" => Command::SetRules { rules: number(object, "rules").unwrap() },
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
        _ => Command::Plugin(plugins::command(object)),
    }
}

pub(super) fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
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

pub(super) fn genesis(object: &Object) -> raw::Genesis {
    let (empty, default) = (Object::new(), Params::default());
    let params = object.get("params").map_or(&empty, |value| value.as_object().unwrap());
    let mask =
        |roles: &Value| roles.as_array().unwrap().iter().map(|role| 1 << tag(&ROLES, role.as_str().unwrap())).sum();
    raw::Genesis {
        rules: number(object, "rules").unwrap_or(1),
        chain: object.get("chain").map_or(Vec::new(), |value| value.as_str().unwrap().into()),
        roles: object["roles"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, roles)| (key.parse().unwrap(), mask(roles)))
            .collect(),
        params: Params {
            max_due_per_block: number(params, "max_due_per_block").unwrap_or(default.max_due_per_block),
            breaker_rollbacks: number(params, "breaker_rollbacks").unwrap_or(default.breaker_rollbacks),
            breaker_window: number(params, "breaker_window").unwrap_or(default.breaker_window),
            timelock: number(params, "timelock").unwrap_or(default.timelock),
            sequenced: flag(params, "sequenced").unwrap_or(default.sequenced),
            round_blocks: number(params, "round_blocks").unwrap_or(default.round_blocks),
            quorum: number(params, "quorum").unwrap_or(default.quorum),
        },
    }
}

/// A transaction and how often it stands in its block.
pub(super) fn transaction(object: &Object, first_admin: Address) -> (Transaction, usize) {
    let signer = object.get("signer").map_or(first_admin, |signer| signer.as_str().unwrap().parse().unwrap());
    let commands = if object.contains_key("op") { vec![command(object)] } else { commands(object) };
    let valid_until = number(object, "valid_until").unwrap_or(0);
    let sequence = number(object, "sequence").map(|number| Sequence { number, valid_until });
    (Transaction { signer, sequence, commands }, number(object, "repeat").unwrap_or(1))
}
