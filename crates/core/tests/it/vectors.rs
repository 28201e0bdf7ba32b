//! Every golden row of `fixtures/vectors` is what this build reads and writes.
//!
//! The rows come from a second writer of the format. Each is decoded, told as JSON and compared
//! with the fields of the row, then encoded and compared with its bytes. A type of row that is not
//! known here fails.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};

use coalmine_core::tree::{Change as TreeChange, Tree};
use coalmine_core::{
    Address, Block, ChainId, Change, Command, Counts, Decode, DecodeError, Deployment, Encode, Event, Evidence, FORMAT,
    Feature, FeatureChanges, FeedBody, FeedEntry, FeedId, FeedItem, FeedKey, FeedState, Genesis, Global, Key, Lack,
    Manifest, Metrics, Name, OpenBreaker, Outcome, Override, Payload, Plan, Plugin, PluginChange, PluginVersion,
    Policy, RULES, Reader, Receipt, Registry, Reject, Roles, Scheduled, Stage, State, Strategy, Terms, Transaction,
    TxCommand, Writer, bucket_first_byte, bucket_of_unit, bucket_sha256,
};
use serde_json::{Map, Value, json};

use crate::common::{FILES, Row, rows};

/// How many rows each file has at least: released rows never go away.
const ROWS: [(&str, usize); 6] =
    [("records", 212), ("commands", 263), ("events", 152), ("blocks", 74), ("roots", 16), ("buckets", 47)];

#[test]
fn every_row_of_every_file() {
    let directory = format!("{}/../../fixtures/vectors", env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json").map(String::from))
        .collect();
    found.sort();
    let mut known = FILES;
    known.sort_unstable();
    assert_eq!(found, known, "a file of vectors that nothing reads");
    for (file, least) in ROWS {
        let rows = rows(file);
        assert!(rows.len() >= least, "{file} has lost rows");
        rows.iter().for_each(check);
    }
    // A rule that no row breaks, or a state that no row has, would go unnoticed.
    for (file, id) in RULES_BROKEN.iter().map(|(id, _)| ("commands", *id)).chain(STATES.map(|id| ("roots", id))) {
        assert!(rows(file).iter().any(|row| row.id == format!("{file}/{id}")), "no row {id}");
    }
}

fn check(row: &Row) {
    let id = &row.id;
    match (id.split('/').next().unwrap(), row.kind.as_str()) {
        ("records", _) => check_record(row),
        ("commands", _) => check_command(row),
        ("events", kind) => {
            let event: Event = round_trip(row);
            assert_eq!(event.code().name(), kind, "{id}");
            assert_eq!(event_json(&event), row.fields, "{id}");
        }
        ("blocks", "transaction") => assert_eq!(transaction_json(&round_trip(row)), row.fields, "{id}"),
        ("blocks", "block") => assert_eq!(block_json(&round_trip(row)), row.fields, "{id}"),
        ("blocks", "genesis") => check_genesis(row),
        ("blocks", "receipt") => assert_eq!(receipt_json(&round_trip(row)), row.fields, "{id}"),
        ("blocks", "outcome") => check_outcome(row),
        ("roots", "root") => check_root(row),
        ("buckets", "bucket") => check_bucket(row),
        ("buckets", "route") => check_route(row),
        (_, kind) => panic!("{id}: unknown type {kind}"),
    }
}

fn round_trip<T: Decode + Encode>(row: &Row) -> T {
    let bytes = row.bytes();
    let value = T::from_bytes(&bytes).unwrap_or_else(|error| panic!("{}: {error}", row.id));
    assert_eq!(value.to_bytes(), bytes, "{}", row.id);
    value
}

// Records.

fn check_record(row: &Row) {
    let id = &row.id;
    let (key_bytes, value) = (row.hex("key"), row.bytes());
    let key = Key::from_bytes(&key_bytes).unwrap_or_else(|error| panic!("{id}: {error}"));
    assert_eq!(key.to_bytes(), key_bytes, "{id}");
    assert!(key_bytes.len() <= Key::LEN_MAX, "{id}");
    let (kind, fields) = match key {
        Key::Feature(name) => {
            let feature: Feature = round_trip(row);
            assert_eq!(feature.name, name, "{id}");
            ("feature", feature_json(&feature))
        }
        Key::Metrics(name) => {
            let mut input = Reader::new(&value);
            let (inner, metrics) = Metrics::decode(&mut input).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert_eq!((inner, input.remaining()), (name, 0), "{id}");
            let mut out = Writer::default();
            metrics.encode(&name, &mut out);
            assert_eq!(out.into_bytes(), value, "{id}");
            ("metrics", metrics_json(&name, &metrics))
        }
        Key::Change { name, height, seq } => {
            let Change { status, percent, cause, reason, actor } = round_trip(row);
            let fields = json!({
                "name": name.as_str(), "height": height, "seq": seq, "status": status.name(), "percent": percent.get(),
                "cause": cause.name(), "reason": reason.name(), "actor": actor.to_string(),
            });
            ("change", fields)
        }
        Key::Override { name, user } => {
            let Override { enabled, since, actor } = round_trip(row);
            let fields = json!({
                "name": name.as_str(), "user": user.to_string(), "enabled": enabled, "since": since,
                "actor": actor.to_string(),
            });
            ("override", fields)
        }
        Key::Global => ("global", global_json(&round_trip(row))),
        Key::Policy(name) => {
            let mut fields = policy_json(&round_trip(row));
            fields["name"] = name.as_str().into();
            ("policy", fields)
        }
        Key::Roles(address) => {
            let roles: Roles = round_trip(row);
            ("roles", json!({ "address": address.to_string(), "mask": roles.mask() }))
        }
        Key::Schedule { at, id: entry } => {
            let Scheduled { actor, commands } = round_trip(row);
            let commands: Vec<Value> = commands.iter().map(command_json).collect();
            let fields = json!({
                "kind": 0, "due": at, "id": entry, "actor": actor.to_string(), "commands": commands,
            });
            ("due", fields)
        }
        Key::Step { at, name } => {
            assert!(value.is_empty(), "{id}");
            ("due", json!({ "kind": 1, "due": at, "name": name.as_str() }))
        }
        Key::Active(name) => {
            assert!(value.is_empty(), "{id}");
            ("index", json!({ "name": name.as_str() }))
        }
        Key::Feed => ("feed", feed_state_json(&round_trip(row))),
        Key::FeedItem(FeedKey { kind, id }) => {
            let item: FeedItem = round_trip(row);
            let body = item.body().map(FeedBody::as_bytes).unwrap_or_default();
            let fields = json!({
                "section": kind.tag(), "id": id.as_str(), "version": item.version, "tombstone": item.state.name(),
                "body": hex::encode(body),
            });
            ("feed_item", fields)
        }
        Key::FeedIndex(FeedKey { kind, id: item }) => {
            assert!(value.is_empty(), "{id}");
            ("feed_index", json!({ "section": 2 + kind.tag(), "id": item.as_str() }))
        }
        Key::FeedListed(FeedKey { kind, id: item }) => {
            assert!(value.is_empty(), "{id}");
            ("feed_listed", json!({ "section": 4 + kind.tag(), "id": item.as_str() }))
        }
        Key::Registry => {
            let Registry { host_version, max_versions, auto_load } = round_trip(row);
            let host_version = host_version.to_string();
            let fields =
                json!({ "host_version": host_version, "max_versions": max_versions.get(), "auto_load": auto_load });
            ("registry", fields)
        }
        Key::Plugin(name) => ("plugin", with(plugin_json(&round_trip(row)), "plugin", name)),
        Key::PluginVersion { plugin, version } => {
            let fields = with(version_json(&round_trip(row)), "without_build", version);
            ("plugin_version", with(fields, "plugin", plugin))
        }
        Key::Deployment(name) => ("deployment", with(deployment_json(&round_trip(row)), "plugin", name)),
        Key::PluginChange { plugin, height, seq } => {
            let PluginChange { action, version, success, share, duration, reason, actor } = round_trip(row);
            let fields = json!({
                "plugin": plugin.as_str(), "height": height, "seq": seq, "action": action.name(),
                "version": version.to_string(), "success": success, "share_bps": share.get(), "duration": duration,
                "reason": reason.name(), "actor": actor.to_string(),
            });
            ("plugin_change", fields)
        }
        Key::Dependent { dependency, dependent } => {
            assert!(value.is_empty(), "{id}");
            let dependency = dependency.map(|name| name.as_str().into());
            ("dependent", given([("dependency", dependency), ("dependent", Some(dependent.as_str().into()))]))
        }
        Key::DeploymentDue { at, plugin } => {
            assert!(value.is_empty(), "{id}");
            ("due", json!({ "kind": 2, "due": at, "plugin": plugin.as_str() }))
        }
        Key::LoadDue { at, plugin } => {
            assert!(value.is_empty(), "{id}");
            ("due", json!({ "kind": 3, "due": at, "plugin": plugin.as_str() }))
        }
    };
    assert_eq!((kind, &fields), (row.kind.as_str(), &row.fields), "{id}");
}

fn feature_json(feature: &Feature) -> Value {
    let Feature {
        name,
        description,
        status,
        rollout_percent,
        target_percent,
        increment_percent,
        increment_blocks,
        start_block,
        last_increment_block,
        error_count,
        success_count,
        max_error_rate,
        min_success_count,
        enabled_by,
        rollback_reason,
    } = feature;
    json!({
        "name": name.as_str(), "description": description.as_str(), "status": status.name(),
        "rollout_percent": rollout_percent.get(), "target_percent": target_percent.get(),
        "increment_percent": increment_percent.get(), "increment_blocks": increment_blocks,
        "start_block": start_block, "last_increment_block": last_increment_block, "error_count": error_count,
        "success_count": success_count, "max_error_rate": max_error_rate, "min_success_count": min_success_count,
        "enabled_by": enabled_by.to_string(), "rollback_reason": rollback_reason.name(),
    })
}

fn metrics_json(name: &Name, metrics: &Metrics) -> Value {
    let Metrics {
        total_operations,
        successful_ops,
        failed_ops,
        peak_latency,
        invariant_checks,
        invariant_failures,
        latency_sum,
        trial_invariant_failures,
        trial_latency_sum,
        trial_operations,
        step_operations,
        window_start,
        current_successes,
        current_errors,
        previous_successes,
        previous_errors,
    } = metrics;
    json!({
        "name": name.as_str(), "total_operations": total_operations, "successful_ops": successful_ops,
        "failed_ops": failed_ops, "average_latency": metrics.average_latency(), "peak_latency": peak_latency,
        "invariant_checks": invariant_checks, "invariant_failures": invariant_failures, "latency_sum": latency_sum,
        "trial_invariant_failures": trial_invariant_failures, "trial_latency_sum": trial_latency_sum,
        "trial_operations": trial_operations, "step_operations": step_operations, "window_start": window_start,
        "current_successes": current_successes, "current_errors": current_errors,
        "previous_successes": previous_successes, "previous_errors": previous_errors,
    })
}

fn global_json(global: &Global) -> Value {
    let Global { chain, admins, breaker, next_schedule_id, rollback_window_start, rollbacks_in_window, params } =
        global;
    let (word, draining, since, until, reason, actor) = match breaker {
        None => ("closed", false, 0, 0, "manual", Address::ZERO),
        Some(OpenBreaker { draining, since, until, reason, actor }) => {
            ("open", *draining, *since, zero(*until), reason.name(), *actor)
        }
    };
    json!({
        "format": FORMAT, "rules": RULES, "chain": chain.as_str(), "admins": admins, "breaker": word,
        "breaker_draining": draining, "breaker_since": since, "breaker_until": until, "breaker_reason": reason,
        "breaker_actor": actor.to_string(), "next_schedule_id": next_schedule_id,
        "rollback_window_start": rollback_window_start, "rollbacks_in_window": rollbacks_in_window,
        "max_due_per_block": params.max_due_per_block, "breaker_rollbacks": zero(params.breaker_rollbacks),
        "breaker_window": params.breaker_window,
    })
}

fn policy_json(policy: &Policy) -> Value {
    let Policy {
        bucketing,
        advance,
        salt,
        min_samples,
        window_blocks,
        step_min_operations,
        max_invariant_failures,
        max_latency,
        lifetime,
        expires_at,
        prerequisites,
    } = policy;
    let prerequisites: Vec<&str> = prerequisites.iter().map(Name::as_str).collect();
    json!({
        "bucketing": bucketing.name(), "advance": advance.name(), "salt": salt, "min_samples": min_samples,
        "window_blocks": zero(*window_blocks), "step_min_operations": step_min_operations,
        "max_invariant_failures": max_invariant_failures, "max_latency": max_latency.map_or(0, NonZeroU64::get), "lifetime": lifetime.name(),
        "expires_at": zero(*expires_at), "prerequisites": prerequisites,
    })
}

fn feed_state_json(state: &FeedState) -> Value {
    let FeedState { open, live_environments, live_filters, environments, filters, listed } = state;
    json!({
        "open": open, "live_environments": live_environments, "live_filters": live_filters,
        "environments": environments, "filters": filters, "listed": listed,
    })
}

/// The members and one more.
fn with(mut fields: Value, member: &str, text: impl ToString) -> Value {
    fields[member] = text.to_string().into();
    fields
}

/// The members of both.
fn merged(mut fields: Value, more: Value) -> Value {
    let (Value::Object(members), Value::Object(more)) = (&mut fields, more) else { panic!("no objects") };
    members.extend(more);
    fields
}

fn shown<T: ToString>(value: Option<&T>) -> Option<Value> {
    value.map(|value| value.to_string().into())
}

fn plugin_json(plugin: &Plugin) -> Value {
    let Plugin { current, previous, rule, load_state, loaded, versions, deployments, dependents } = plugin;
    given([
        ("current", Some(current.to_string().into())),
        ("previous", shown(previous.as_ref())),
        ("rule", shown(rule.as_ref())),
        ("load_state", Some(load_state.name().into())),
        ("loaded", shown(loaded.as_ref())),
        ("versions", Some((*versions).into())),
        ("deployments", Some((*deployments).into())),
        ("dependents", Some((*dependents).into())),
    ])
}

fn version_json(record: &PluginVersion) -> Value {
    let PluginVersion { version, status, registered, reported, counts, manifest } = record;
    let fields = json!({
        "version": version.to_string(), "status": status.name(), "registered": registered, "reported": zero(*reported),
    });
    merged(merged(fields, counts_json(counts)), manifest_json(manifest))
}

fn counts_json(counts: &Counts) -> Value {
    let Counts { requests, errors, latency_sum } = counts;
    json!({ "requests": requests, "errors": errors, "latency_sum": latency_sum })
}

/// What is empty is left out.
fn manifest_json(manifest: &Manifest) -> Value {
    let Manifest { code_hash, host, requirements, config, metadata } = manifest;
    let requirements: Map<String, Value> = requirements
        .iter()
        .map(|requirement| (requirement.plugin.to_string(), requirement.constraint.as_str().into()))
        .collect();
    let metadata: Map<String, Value> =
        metadata.iter().map(|(key, text)| (key.to_string(), text.as_str().into())).collect();
    given([
        ("code_hash", Some(hex::encode(code_hash.0).into())),
        ("host", shown(host.as_ref())),
        ("requirements", (!requirements.is_empty()).then(|| requirements.into())),
        ("config", (!config.is_empty()).then(|| hex::encode(config).into())),
        ("metadata", (!metadata.is_empty()).then(|| metadata.into())),
    ])
}

fn deployment_json(deployment: &Deployment) -> Value {
    let Deployment {
        strategy,
        old,
        new,
        hold,
        held,
        healthy,
        stage,
        stage_height,
        start,
        due,
        salt,
        plan,
        canary,
        production,
        stage_requests,
        stage_errors,
    } = deployment;
    let held: u8 = Lack::ALL.iter().filter(|lack| held.has_told(**lack)).map(|lack| lack.tag()).sum();
    json!({
        "strategy": strategy.name(), "old": old.to_string(), "new": new.to_string(), "hold": hold.name(),
        "held": held, "healthy": healthy, "stage": stage, "stage_height": stage_height, "start": start, "due": zero(*due),
        "salt": salt, "plan": plan_json(plan), "canary": counts_json(canary), "production": counts_json(production),
        "stage_requests": stage_requests, "stage_errors": stage_errors,
    })
}

/// The number that the bytes have.
fn zero(number: Option<NonZeroU32>) -> u32 {
    number.map_or(0, NonZeroU32::get)
}

fn plan_json(plan: &Plan) -> Value {
    let fields = json!({ "stages": stages_json(plan.stages()), "on_complete": plan.on_complete().name() });
    merged(fields, terms_json(plan.terms()))
}

fn stages_json(stages: &[Stage]) -> Vec<Value> {
    let stage = |Stage { share_bps, blocks, min_requests, gate }: &Stage| json!({ "share_bps": share_bps.get(), "blocks": blocks, "min_requests": min_requests, "gate": gate.name() });
    stages.iter().map(stage).collect()
}

fn terms_json(terms: &Terms) -> Value {
    let Terms {
        error_threshold_bps,
        success_threshold_bps,
        min_requests,
        max_blocks,
        auto_promote,
        auto_rollback,
        regression_z_centi,
    } = terms;
    json!({
        "error_threshold_bps": error_threshold_bps.get(), "success_threshold_bps": success_threshold_bps.get(),
        "min_requests": min_requests, "max_blocks": zero(*max_blocks), "auto_promote": auto_promote,
        "auto_rollback": auto_rollback, "regression_z_centi": regression_z_centi.map_or(0, NonZeroU16::get),
    })
}

fn strategy_json(strategy: &Strategy) -> Value {
    let fields = match strategy {
        Strategy::Canary { initial_bps, increment_bps, increment_blocks, max_bps, observation_blocks } => json!({
            "initial_bps": initial_bps.get(), "increment_bps": increment_bps, "increment_blocks": increment_blocks,
            "max_bps": max_bps.get(), "observation_blocks": observation_blocks,
        }),
        Strategy::Rolling { initial_bps, increment_bps, increment_blocks } => json!({
            "initial_bps": initial_bps.get(), "increment_bps": increment_bps, "increment_blocks": increment_blocks,
        }),
        Strategy::BlueGreen { health_blocks, bake_blocks } => {
            json!({ "health_blocks": health_blocks, "bake_blocks": bake_blocks })
        }
        Strategy::AbTest { share_bps, duration_blocks } => {
            json!({ "share_bps": share_bps.get(), "duration_blocks": duration_blocks })
        }
        Strategy::Custom { on_complete, stages } => {
            json!({ "on_complete": on_complete.name(), "stages": stages_json(stages) })
        }
    };
    with(fields, "strategy", strategy.kind().name())
}

// Commands.

/// Rows that decode and break a rule, and the reject they get.
const RULES_BROKEN: &[(&str, Reject)] = &[
    ("rule_name_empty", Reject::InvalidName),
    ("rule_name_space", Reject::InvalidName),
    ("rule_name_first_character", Reject::InvalidName),
    ("rule_name_65_bytes", Reject::InvalidName),
    ("rule_percent_101", Reject::InvalidPercent),
    ("rule_target_percent_255", Reject::InvalidPercent),
    ("rule_increment_percent_0", Reject::InvalidParameter),
    ("rule_increment_percent_255", Reject::InvalidParameter),
    ("rule_increment_blocks_0", Reject::InvalidParameter),
    ("rule_max_error_rate_10001", Reject::InvalidParameter),
    ("rule_description_1025_bytes", Reject::LimitExceeded),
    ("rule_failures_above_checks", Reject::InvalidParameter),
    ("rule_schedule_create_feature", Reject::InvalidParameter),
    ("rule_schedule_reset_breaker", Reject::InvalidParameter),
    ("rule_schedule_schedule", Reject::InvalidParameter),
    ("set_params_zero", Reject::InvalidParameter),
    ("rule_schedule_feed_put", Reject::InvalidParameter),
    ("rule_feed_id_empty", Reject::InvalidFeedId),
    ("rule_feed_id_space", Reject::InvalidFeedId),
    ("rule_feed_id_delete_character", Reject::InvalidFeedId),
    ("rule_feed_id_129_bytes", Reject::InvalidFeedId),
    ("rule_feed_environment_before_filter", Reject::FeedItemTooLarge),
    ("rule_feed_forget_id", Reject::InvalidFeedId),
    ("rule_plugin_empty", Reject::InvalidName),
    ("rule_plugin_65_bytes", Reject::InvalidName),
    ("rule_requirement_name", Reject::InvalidName),
    ("rule_metadata_key", Reject::InvalidName),
    ("rule_version_empty", Reject::InvalidVersion),
    ("rule_version_two_numbers", Reject::InvalidVersion),
    ("rule_version_leading_zero", Reject::InvalidVersion),
    ("rule_version_v", Reject::InvalidVersion),
    ("rule_version_space", Reject::InvalidVersion),
    ("rule_version_too_large", Reject::InvalidVersion),
    ("rule_version_65_bytes", Reject::InvalidVersion),
    ("rule_host_version", Reject::InvalidVersion),
    ("rule_host_constraint", Reject::InvalidConstraint),
    ("rule_requirement_constraint", Reject::InvalidConstraint),
    ("rule_requirement_constraint_empty", Reject::InvalidConstraint),
    ("rule_constraint", Reject::InvalidConstraint),
    ("rule_constraint_129_bytes", Reject::InvalidConstraint),
    ("rule_config_4097_bytes", Reject::LimitExceeded),
    ("rule_name_before_version", Reject::InvalidName),
    ("rule_metadata_key_before_version", Reject::InvalidName),
    ("rule_version_before_constraint", Reject::InvalidVersion),
    ("rule_constraint_before_config", Reject::InvalidConstraint),
    ("rule_version_before_plan", Reject::InvalidVersion),
    ("rule_version_before_numbers", Reject::InvalidVersion),
    ("rule_plan_no_stage", Reject::InvalidPlan),
    ("rule_plan_33_stages", Reject::InvalidPlan),
    ("rule_plan_share_above_10000", Reject::InvalidPlan),
    ("rule_plan_share_falls", Reject::InvalidPlan),
    ("rule_plan_last_share_0", Reject::InvalidPlan),
    ("rule_plan_blocks_0", Reject::InvalidPlan),
    ("rule_plan_initial_0", Reject::InvalidPlan),
    ("rule_plan_initial_above_max", Reject::InvalidPlan),
    ("rule_plan_increment_0", Reject::InvalidPlan),
    ("rule_plan_too_many_increments", Reject::InvalidPlan),
    ("rule_plan_error_threshold", Reject::InvalidPlan),
    ("rule_plan_success_threshold", Reject::InvalidPlan),
    ("rule_plan_deadline", Reject::InvalidPlan),
    ("rule_report_errors", Reject::InvalidParameter),
    ("rule_report_latency", Reject::InvalidParameter),
    ("rule_max_versions_2", Reject::InvalidParameter),
    ("rule_max_versions_65", Reject::InvalidParameter),
    ("rule_schedule_register_version", Reject::InvalidParameter),
    ("rule_schedule_set_rule", Reject::InvalidParameter),
    ("rule_schedule_set_host_version", Reject::InvalidParameter),
    ("rule_schedule_set_registry_params", Reject::InvalidParameter),
    ("rule_schedule_report_version", Reject::InvalidParameter),
    ("rule_schedule_attest_health", Reject::InvalidParameter),
    ("rule_schedule_report_load", Reject::InvalidParameter),
    ("rule_schedule_report_unload", Reject::InvalidParameter),
];

fn check_command(row: &Row) {
    let id = &row.id;
    let bytes = row.bytes();
    let command = TxCommand::from_bytes(&bytes).unwrap_or_else(|error| panic!("{id}: {error}"));
    assert_eq!(command.to_bytes(), bytes, "{id}");
    assert_eq!(row.fields["op"], row.kind.as_str(), "{id}");
    let broken = RULES_BROKEN.iter().find(|(name, _)| id.strip_prefix("commands/") == Some(name));
    match (command, broken) {
        (TxCommand::Valid(command), None) => {
            assert_eq!(command.to_bytes(), bytes, "{id}");
            assert_eq!(command_json(&command), row.fields, "{id}");
            if let Command::Deploy { strategy, .. } = &command {
                assert_eq!(strategy.plan().to_bytes(), row.hex("plan"), "{id}");
            }
        }
        (TxCommand::Invalid { kind, reject, .. }, Some((_, expected))) => {
            assert_eq!((kind.name(), reject), (row.kind.as_str(), *expected), "{id}");
        }
        (command, broken) => panic!("{id}: {command:?}, expected {broken:?}"),
    }
}

fn command_json(command: &Command) -> Value {
    let op = command.kind().name();
    match command {
        Command::CreateFeature { name, description, changes } => {
            let mut fields = changes_json(changes);
            fields["op"] = op.into();
            fields["name"] = name.as_str().into();
            fields["description"] = description.as_str().into();
            fields
        }
        Command::ConfigureFeature { name, description, changes } => {
            let mut fields = changes_json(changes);
            fields["op"] = op.into();
            fields["name"] = name.as_str().into();
            if let Some(description) = description {
                fields["description"] = description.as_str().into();
            }
            fields
        }
        Command::StartCanary { name, percent } => {
            json!({ "op": op, "name": name.as_str(), "percent": percent.get() })
        }
        Command::StartRollout { name, target_percent } => {
            json!({ "op": op, "name": name.as_str(), "target_percent": target_percent.get() })
        }
        Command::AdvanceRollout { name } | Command::Enable { name } | Command::Disable { name } => {
            json!({ "op": op, "name": name.as_str() })
        }
        Command::Rollback { name, reason } => json!({ "op": op, "name": name.as_str(), "reason": reason.name() }),
        Command::SetOverride { name, user, enabled } => {
            json!({ "op": op, "name": name.as_str(), "user": user.to_string(), "enabled": enabled })
        }
        Command::ClearOverride { name, user } => {
            json!({ "op": op, "name": name.as_str(), "user": user.to_string() })
        }
        Command::Report { name, report } => json!({
            "op": op, "name": name.as_str(), "successes": report.successes, "errors": report.errors,
            "latency_total": report.latency_total, "latency_peak": report.latency_peak,
            "invariant_checks": report.invariant_checks, "invariant_failures": report.invariant_failures,
        }),
        Command::TripBreaker { reason, until, drain } => {
            let mut fields = json!({ "op": op, "reason": reason.name(), "drain": drain });
            if until.is_some() {
                fields["until"] = zero(*until).into();
            }
            fields
        }
        Command::ResetBreaker => json!({ "op": op }),
        Command::Schedule { at, commands } => {
            let commands: Vec<Value> = commands.iter().map(command_json).collect();
            json!({ "op": op, "at": at, "commands": commands })
        }
        Command::CancelSchedule { at, id } => json!({ "op": op, "at": at, "id": id }),
        Command::FeedPut { part, environments, filters } => json!({
            "op": op, "part": part.name(), "environments": feed_entries_json(environments),
            "filters": feed_entries_json(filters),
        }),
        Command::FeedPatch { kind, id, version, body } => json!({
            "op": op, "kind": kind.name(), "id": id.as_str(), "version": version,
            "body": hex::encode(body.as_bytes()),
        }),
        Command::FeedDelete { kind, id, version } => {
            json!({ "op": op, "kind": kind.name(), "id": id.as_str(), "version": version })
        }
        Command::FeedForget { kind, ids } => {
            let ids: Vec<&str> = ids.iter().map(FeedId::as_str).collect();
            json!({ "op": op, "kind": kind.name(), "ids": ids })
        }
        Command::GrantRole { address, role } | Command::RevokeRole { address, role } => {
            json!({ "op": op, "address": address.to_string(), "role": role.name() })
        }
        Command::SetParams { max_due_per_block, breaker_rollbacks, breaker_window } => given([
            ("op", Some(op.into())),
            ("max_due_per_block", max_due_per_block.map(|max| Value::from(max.get()))),
            ("breaker_rollbacks", breaker_rollbacks.map(Value::from)),
            ("breaker_window", breaker_window.map(Value::from)),
        ]),
        Command::RegisterVersion { plugin, version, manifest } => {
            let fields = json!({ "op": op, "plugin": plugin.as_str(), "version": version.to_string() });
            merged(fields, manifest_json(manifest))
        }
        Command::Deploy { plugin, version, strategy } => {
            let fields = json!({ "op": op, "plugin": plugin.as_str(), "version": version.to_string() });
            merged(merged(fields, strategy_json(strategy.strategy())), terms_json(strategy.plan().terms()))
        }
        Command::Pause { plugin }
        | Command::Resume { plugin }
        | Command::Promote { plugin }
        | Command::RollbackDeployment { plugin }
        | Command::Revert { plugin }
        | Command::Load { plugin } => json!({ "op": op, "plugin": plugin.as_str() }),
        Command::RetireVersion { plugin, version } => {
            json!({ "op": op, "plugin": plugin.as_str(), "version": version.to_string() })
        }
        Command::SetRule { plugin, constraint } => given([
            ("op", Some(op.into())),
            ("plugin", Some(plugin.as_str().into())),
            ("constraint", shown(constraint.as_ref())),
        ]),
        Command::SetHostVersion { version } => json!({ "op": op, "version": version.to_string() }),
        Command::SetRegistryParams { max_versions, auto_load } => given([
            ("op", Some(op.into())),
            ("max_versions", max_versions.map(|max| Value::from(max.get()))),
            ("auto_load", auto_load.map(Value::from)),
        ]),
        Command::Unload { plugin, force } => json!({ "op": op, "plugin": plugin.as_str(), "force": force }),
        Command::ReportVersion { plugin, version, report } => json!({
            "op": op, "plugin": plugin.as_str(), "version": version.to_string(), "requests": report.requests,
            "errors": report.errors, "latency_total": report.latency_total,
        }),
        Command::AttestHealth { plugin, version, healthy } => {
            json!({ "op": op, "plugin": plugin.as_str(), "version": version.to_string(), "healthy": healthy })
        }
        Command::ReportLoad { plugin, version, ok } | Command::ReportUnload { plugin, version, ok } => {
            json!({ "op": op, "plugin": plugin.as_str(), "version": version.to_string(), "ok": ok })
        }
    }
}

fn changes_json(changes: &FeatureChanges) -> Value {
    let FeatureChanges { increment_percent, increment_blocks, max_error_rate, min_success_count, policy } = changes;
    given([
        ("increment_percent", increment_percent.map(|percent| percent.get().into())),
        ("increment_blocks", increment_blocks.map(Value::from)),
        ("max_error_rate", max_error_rate.map(Value::from)),
        ("min_success_count", min_success_count.map(Value::from)),
        ("policy", policy.as_ref().map(policy_json)),
    ])
}

fn feed_entries_json(entries: &[FeedEntry]) -> Value {
    let entry = |FeedEntry { id, version, body }: &FeedEntry| {
        (id.as_str().to_owned(), json!({ "version": version, "body": hex::encode(body.as_bytes()) }))
    };
    Value::Object(entries.iter().map(entry).collect())
}

/// An object of the members that are there.
fn given<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

// Events and outcomes.

fn event_json(event: &Event) -> Value {
    match event {
        Event::FeatureCreated { name } | Event::FeatureConfigured { name } => json!({ "name": name.as_str() }),
        Event::StatusChanged { name, from, to, percent, cause, actor } => json!({
            "name": name.as_str(), "from": from.name(), "to": to.name(), "percent": percent.get(),
            "cause": cause.name(), "actor": actor.to_string(),
        }),
        Event::Stepped { name, from_percent, to_percent } => json!({
            "name": name.as_str(), "from_percent": from_percent.get(), "to_percent": to_percent.get(),
        }),
        Event::StepHeld { name, operations, needed } => {
            json!({ "name": name.as_str(), "operations": operations, "needed": needed })
        }
        Event::RolledBack { name, rule, reason, errors, successes, value, threshold, actor } => json!({
            "name": name.as_str(), "rule": rule.tag(), "reason": reason.name(), "errors": errors,
            "successes": successes, "value": value, "threshold": threshold, "actor": actor.to_string(),
        }),
        Event::OverrideSet { name, user, enabled } => {
            json!({ "name": name.as_str(), "user": user.to_string(), "enabled": enabled })
        }
        Event::OverrideCleared { name, user } => json!({ "name": name.as_str(), "user": user.to_string() }),
        Event::BreakerTripped { reason, until, draining, actor } => json!({
            "reason": reason.name(), "until": zero(*until), "draining": draining, "actor": actor.to_string(),
        }),
        Event::BreakerClosed { by } => json!({ "by": by.tag() }),
        Event::BreakerDrained | Event::ParamsSet | Event::FeedReceivedAll => json!({}),
        Event::Scheduled { id, at } => json!({ "id": id, "at": at }),
        Event::ScheduleCancelled { id } => json!({ "id": id }),
        Event::ScheduleExecuted { id, code, index } => json!({ "id": id, "code": code, "index": index }),
        Event::RoleGranted { address, role } | Event::RoleRevoked { address, role } => {
            json!({ "address": address.to_string(), "role": role.name() })
        }
        Event::FeedInsert { kind, id, version }
        | Event::FeedUpdated { kind, id, version }
        | Event::FeedDelete { kind, id, version } => {
            json!({ "kind": kind.name(), "id": id.as_str(), "version": version })
        }
        Event::VersionRegistered { plugin, version }
        | Event::VersionEvicted { plugin, version }
        | Event::VersionRetired { plugin, version }
        | Event::Loaded { plugin, version }
        | Event::Unloaded { plugin, version } => {
            json!({ "plugin": plugin.as_str(), "version": version.to_string() })
        }
        Event::Deployed { plugin, version, strategy } => {
            json!({ "plugin": plugin.as_str(), "version": version.to_string(), "strategy": strategy.name() })
        }
        Event::Staged { plugin, stage, share } => {
            json!({ "plugin": plugin.as_str(), "stage": stage, "share_bps": share.get() })
        }
        Event::StageHeld { plugin, reason, requests, errors } => json!({
            "plugin": plugin.as_str(), "reason": reason.name(), "requests": requests, "errors": errors,
        }),
        Event::Waiting { plugin, hold } => json!({ "plugin": plugin.as_str(), "hold": hold.name() }),
        Event::Paused { plugin, reason, evidence } => {
            merged(json!({ "plugin": plugin.as_str(), "reason": reason.name() }), evidence_json(evidence))
        }
        Event::Resumed { plugin } => json!({ "plugin": plugin.as_str() }),
        Event::Promoted { plugin, from, to } | Event::Reverted { plugin, from, to } => {
            json!({ "plugin": plugin.as_str(), "from": from.to_string(), "to": to.to_string() })
        }
        Event::DeploymentRolledBack { plugin, version, reason, evidence, actor } => {
            let fields = json!({
                "plugin": plugin.as_str(), "version": version.to_string(), "reason": reason.name(),
                "actor": actor.to_string(),
            });
            merged(fields, evidence_json(evidence))
        }
        Event::Concluded { plugin, version, winner, evidence } => {
            let fields = json!({ "plugin": plugin.as_str(), "version": version.to_string(), "winner": winner.name() });
            merged(fields, evidence_json(evidence))
        }
        Event::HealthAttested { plugin, version, healthy } => {
            json!({ "plugin": plugin.as_str(), "version": version.to_string(), "healthy": healthy })
        }
        Event::LoadPlanned { plugin, version, state } => {
            json!({ "plugin": plugin.as_str(), "version": version.to_string(), "load_state": state.name() })
        }
        Event::LoadFailed { plugin, version, code } => {
            json!({ "plugin": plugin.as_str(), "version": version.to_string(), "code": code })
        }
        Event::LoadDisputed { plugin, version, ok } => {
            json!({ "plugin": plugin.as_str(), "version": version.to_string(), "ok": ok })
        }
    }
}

fn evidence_json(evidence: &Evidence) -> Value {
    let Evidence { requests, errors, production_requests, production_errors, threshold } = evidence;
    json!({
        "requests": requests, "errors": errors, "production_requests": production_requests,
        "production_errors": production_errors, "threshold": threshold,
    })
}

fn receipt_json(receipt: &Receipt) -> Value {
    json!({ "code": receipt.code(), "index": receipt.index() })
}

/// An outcome is written only: it is read back here by the layout, piece by piece.
fn check_outcome(row: &Row) {
    let id = &row.id;
    let bytes = row.bytes();
    let mut input = Reader::new(&bytes);
    let outcome = read_outcome(&mut input).unwrap_or_else(|error| panic!("{id}: {error}"));
    assert_eq!(input.remaining(), 0, "{id}");
    assert_eq!(outcome.to_bytes(), bytes, "{id}");
    let receipts: Vec<Value> = outcome.receipts.iter().map(receipt_json).collect();
    let events: Vec<Value> = outcome
        .events
        .iter()
        .map(|event| json!({ "type": event.code().name(), "fields": event_json(event) }))
        .collect();
    assert_eq!(json!({ "receipts": receipts, "events": events }), row.fields, "{id}");
}

fn read_outcome(input: &mut Reader<'_>) -> Result<Outcome, DecodeError> {
    let mut outcome = Outcome::default();
    for _ in 0..input.u32()? {
        outcome.receipts.push(Receipt::decode(input)?);
    }
    for _ in 0..input.u32()? {
        outcome.events.push(Event::from_bytes(input.lp16()?)?);
    }
    Ok(outcome)
}

// Blocks and genesis.

fn transaction_json(tx: &Transaction) -> Value {
    let commands: Vec<Value> = tx
        .commands()
        .iter()
        .map(|command| match command {
            TxCommand::Valid(command) => command_json(command),
            TxCommand::Invalid { .. } => panic!("no row has a transaction that breaks a rule: {command:?}"),
        })
        .collect();
    json!({ "signer": tx.signer().to_string(), "commands": commands })
}

fn block_json(block: &Block) -> Value {
    let txs: Vec<Value> = block
        .payloads()
        .map(|payload| match payload {
            Payload::Transaction(tx) => transaction_json(&tx),
            Payload::Malformed(bytes) => json!({ "malformed": hex::encode(bytes) }),
        })
        .collect();
    json!({ "height": block.height(), "txs": txs })
}

/// The roots of the genesis rows are checked too: applying one writes Global and Roles alone.
fn check_genesis(row: &Row) {
    let id = &row.id;
    let genesis: Genesis = round_trip(row);
    let roles: BTreeMap<String, Vec<&str>> = genesis
        .roles()
        .iter()
        .map(|(address, roles)| (address.to_string(), roles.iter().map(|role| role.name()).collect()))
        .collect();
    let params = genesis.params();
    let fields = json!({
        "chain": genesis.chain().as_str(), "roles": roles,
        "params": {
            "max_due_per_block": params.max_due_per_block, "breaker_rollbacks": zero(params.breaker_rollbacks),
            "breaker_window": params.breaker_window,
        },
    });
    assert_eq!(fields, row.fields, "{id}");

    let (state, writes) = State::genesis(&genesis).unwrap();
    assert_eq!(state.tip(), None, "{id}");
    assert_eq!(writes.len(), 1 + genesis.roles().len(), "{id}");
    let entries: Vec<_> = writes.iter().map(|(key, value)| Ok((key.to_vec(), value.unwrap().to_vec()))).collect();
    let loaded = State::load(entries, None).unwrap();
    assert_eq!((loaded.root(), loaded.global()), (state.root(), state.global()), "{id}");
}

// Roots and buckets.

/// Rows of roots.json whose pairs are a whole state.
const STATES: [&str; 4] = ["genesis", "rollout", "feed", "plugins"];

/// Built at once, put one by one, deleted and put again, in every order: one root.
fn check_root(row: &Row) {
    let id = &row.id;
    let root: [u8; 32] = row.hex("root").try_into().unwrap();
    let hex = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let pairs: Vec<(Vec<u8>, Vec<u8>)> =
        row.fields["pairs"].as_array().unwrap().iter().map(|pair| (hex(&pair[0]), hex(&pair[1]))).collect();
    assert_eq!(Tree::from_entries(pairs.clone()).unwrap().root(), root, "{id}: built");

    let mut forward = Tree::new();
    let mut backward = Tree::new();
    for (key, value) in &pairs {
        apply(&mut forward, &[TreeChange::put(key, value)]);
    }
    for (key, _) in &pairs {
        apply(&mut backward, &[TreeChange::put(key, b"another value")]);
    }
    for (key, value) in pairs.iter().rev() {
        apply(&mut backward, &[TreeChange::delete(key)]);
        apply(&mut backward, &[TreeChange::put(key, value)]);
    }
    assert_eq!((forward.root(), backward.root()), (root, root), "{id}: put one by one");

    // A set that is a whole state loads, and has the root too.
    if STATES.iter().any(|state| *id == format!("roots/{state}")) {
        let state = State::load(pairs.into_iter().map(Ok), None).unwrap();
        assert_eq!(state.root().0, root, "{id}: loaded");
    }
}

fn apply(tree: &mut Tree, changes: &[TreeChange<'_>]) {
    let patch = tree.prepare(changes).unwrap();
    tree.apply(patch).unwrap();
}

fn check_bucket(row: &Row) {
    let fields = &row.fields;
    let text = |field: &str| fields[field].as_str().unwrap().to_owned();
    let chain = ChainId::new(text("chain").as_bytes()).unwrap();
    let name: Name = text("name").parse().unwrap();
    let user: Address = text("user").parse().unwrap();
    let salt = fields["salt"].as_u64().unwrap();
    let sha256 = u64::from(bucket_sha256(&chain, &name, salt, &user).get());
    let first_byte = u64::from(bucket_first_byte(&user).get());
    assert_eq!((sha256, first_byte), (row.number("sha256"), row.number("first_byte")), "{}", row.id);
}

fn check_route(row: &Row) {
    let fields = &row.fields;
    let text = |field: &str| fields[field].as_str().unwrap();
    let chain = ChainId::new(text("chain").as_bytes()).unwrap();
    let plugin: Name = text("plugin").parse().unwrap();
    let unit = hex::decode(text("unit")).unwrap();
    let bucket = bucket_of_unit(&chain, &plugin, fields["salt"].as_u64().unwrap(), &unit);
    assert_eq!(u64::from(bucket.get()), row.number("bucket"), "{}", row.id);
}
