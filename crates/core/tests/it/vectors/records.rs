//! Records.

use super::*;

pub(super) fn check_record(row: &Row) {
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
            let record: MetricsRecord = round_trip(row);
            assert_eq!(record.name, name, "{id}");
            ("metrics", metrics_json(&name, &record.metrics))
        }
        Key::Change { name, height, seq } => {
            let Change { status, percent, cause, reason, actor, evidence } = round_trip(row);
            let fields = json!({
                "name": name.as_str(), "height": height, "seq": seq, "status": status.name(), "percent": percent.get(),
                "cause": cause.name(), "reason": reason.name(), "actor": actor.to_string(),
            });
            ("change", merged(fields, evidence.as_ref().map_or(json!({}), rollback_evidence_json)))
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
            let scheduled: Scheduled = round_trip(row);
            let commands: Vec<Value> = scheduled.commands().unwrap().iter().map(command_json).collect();
            let fields = json!({
                "kind": 0, "due": at, "id": entry, "actor": scheduled.actor.to_string(), "commands": commands,
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
            let PluginChange { action, version, success, share, duration, reason, actor, evidence } = round_trip(row);
            let fields = json!({
                "plugin": plugin.as_str(), "height": height, "seq": seq, "action": action.name(),
                "version": version.to_string(), "success": success, "share_bps": share.get(), "duration": duration,
                "reason": reason.name(), "actor": actor.to_string(),
            });
            ("plugin_change", merged(fields, evidence.as_ref().map_or(json!({}), evidence_json)))
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
        Key::Round { at, pool } => {
            assert!(value.is_empty(), "{id}");
            ("due", merged(json!({ "kind": 4, "due": at }), pool_key_json(&pool)))
        }
        Key::Deadline { at, plugin } => {
            assert!(value.is_empty(), "{id}");
            ("due", json!({ "kind": 5, "due": at, "plugin": plugin.as_str() }))
        }
        Key::Sequence(address) => {
            let sequence = u64::from_be_bytes(value.as_slice().try_into().unwrap());
            ("sequence", json!({ "section": 1, "address": address.to_string(), "sequence": sequence }))
        }
        Key::PoolEntry { pool, reporter } => {
            let entry = PoolEntry::from_bytes(pool.kind(), &value).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert_eq!(entry.to_bytes(), value, "{id}");
            let fields = with(merged(pool_key_json(&pool), entry_json(&entry)), "reporter", reporter);
            ("pool_entry", merged(json!({ "section": 2 }), fields))
        }
    };
    assert_eq!((kind, &fields), (row.kind.as_str(), &row.fields), "{id}");
}

/// What a pool is of, as keys have it.
pub(super) fn pool_key_json(pool: &Pool) -> Value {
    let fields = json!({ "pool_kind": pool.kind().tag(), "subject": pool.subject().as_str() });
    merged(fields, given([("version", shown(pool.version()))]))
}

/// The same as events have it: a text without a version is empty.
pub(super) fn pool_json(pool: &Pool) -> Value {
    let version = pool.version().map_or_else(String::new, ToString::to_string);
    json!({ "kind": pool.kind().name(), "subject": pool.subject().as_str(), "version": version })
}

pub(super) fn entry_json(entry: &PoolEntry) -> Value {
    match entry {
        PoolEntry::Report(totals) => json!({
            "successes": totals.successes, "errors": totals.errors, "latency_total": totals.latency_total,
            "latency_peak": totals.latency_peak, "invariant_checks": totals.invariant_checks,
            "invariant_failures": totals.invariant_failures,
        }),
        PoolEntry::VersionReport(counts) => json!({
            "requests": counts.requests, "errors": counts.errors, "latency_total": counts.latency_sum,
        }),
        PoolEntry::Vote(yes) => json!({ "vote": yes }),
    }
}

pub(super) fn rollback_evidence_json(evidence: &RollbackEvidence) -> Value {
    let RollbackEvidence { rule, errors, successes, value, threshold } = evidence;
    json!({
        "rule": rule.tag(), "errors": errors, "successes": successes, "value": value, "threshold": threshold,
    })
}

pub(super) fn params_json(params: &Params) -> Value {
    let Params { max_due_per_block, breaker_rollbacks, breaker_window, timelock, sequenced, round_blocks, quorum } =
        params;
    json!({
        "max_due_per_block": max_due_per_block, "breaker_rollbacks": zero(*breaker_rollbacks),
        "breaker_window": breaker_window, "timelock": zero(*timelock), "sequenced": sequenced,
        "round_blocks": zero(*round_blocks), "quorum": quorum,
    })
}

pub(super) fn feature_json(feature: &Feature) -> Value {
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

pub(super) fn metrics_json(name: &Name, metrics: &Metrics) -> Value {
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

pub(super) fn global_json(global: &Global) -> Value {
    let Global {
        rules,
        chain,
        admins,
        scheduled,
        breaker,
        next_schedule_id,
        rollback_window_start,
        rollbacks_in_window,
        params,
    } = global;
    let (word, draining, since, until, reason, actor) = match breaker {
        None => ("closed", false, 0, 0, "manual", Address::ZERO),
        Some(OpenBreaker { draining, since, until, reason, actor }) => {
            ("open", *draining, *since, zero(*until), reason.name(), *actor)
        }
    };
    let fields = json!({
        "format": FORMAT, "rules": rules.number(), "chain": chain.as_str(), "admins": admins,
        "scheduled": scheduled, "breaker": word,
        "breaker_draining": draining, "breaker_since": since, "breaker_until": until, "breaker_reason": reason,
        "breaker_actor": actor.to_string(), "next_schedule_id": next_schedule_id,
        "rollback_window_start": rollback_window_start, "rollbacks_in_window": rollbacks_in_window,
    });
    merged(fields, params_json(params))
}

pub(super) fn policy_json(policy: &Policy) -> Value {
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

pub(super) fn feed_state_json(state: &FeedTotals) -> Value {
    let FeedTotals {
        open,
        live_environments,
        live_filters,
        environments,
        filters,
        listed,
        unborn_environments,
        unborn_filters,
    } = state;
    json!({
        "open": open, "live_environments": live_environments, "live_filters": live_filters,
        "environments": environments, "filters": filters, "listed": listed,
        "unborn_environments": unborn_environments, "unborn_filters": unborn_filters,
    })
}

/// The members and one more.
pub(super) fn with(mut fields: Value, member: &str, text: impl ToString) -> Value {
    fields[member] = text.to_string().into();
    fields
}

/// The members of both.
pub(super) fn merged(mut fields: Value, more: Value) -> Value {
    let (Value::Object(members), Value::Object(more)) = (&mut fields, more) else { panic!("no objects") };
    members.extend(more);
    fields
}

pub(super) fn shown<T: ToString>(value: Option<&T>) -> Option<Value> {
    value.map(|value| value.to_string().into())
}

pub(super) fn plugin_json(plugin: &Plugin) -> Value {
    let Plugin { current, previous, constraint: rule, load_state, loaded, versions, deployments, dependents } = plugin;
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

pub(super) fn version_json(record: &PluginVersion) -> Value {
    let PluginVersion { version, status, registered, reported, counts, manifest } = record;
    let fields = json!({
        "version": version.to_string(), "status": status.name(), "registered": registered, "reported": zero(*reported),
    });
    merged(merged(fields, counts_json(counts)), manifest_json(manifest))
}

pub(super) fn counts_json(counts: &Counts) -> Value {
    let Counts { requests, errors, latency_sum } = counts;
    json!({ "requests": requests, "errors": errors, "latency_sum": latency_sum })
}

/// What is empty is left out.
pub(super) fn manifest_json(manifest: &Manifest) -> Value {
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

pub(super) fn deployment_json(deployment: &Deployment) -> Value {
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
    let held: u8 = Shortfall::ALL.iter().filter(|lack| held.contains(**lack)).map(|lack| lack.tag()).sum();
    json!({
        "strategy": strategy.name(), "old": old.to_string(), "new": new.to_string(), "hold": hold.name(),
        "held": held, "healthy": healthy, "stage": stage, "stage_height": stage_height, "start": start, "due": zero(*due),
        "salt": salt, "plan": plan_json(plan), "canary": counts_json(canary), "production": counts_json(production),
        "stage_requests": stage_requests, "stage_errors": stage_errors,
    })
}

/// The number that the bytes have.
pub(super) fn zero(number: Option<NonZeroU32>) -> u32 {
    number.map_or(0, NonZeroU32::get)
}

pub(super) fn plan_json(plan: &Plan) -> Value {
    let fields = json!({ "stages": stages_json(plan.stages()), "on_complete": plan.on_complete().name() });
    merged(fields, guardrails_json(plan.guardrails()))
}

pub(super) fn stages_json(stages: &[Stage]) -> Vec<Value> {
    let stage = |Stage { share_bps, blocks, min_requests, gate }: &Stage| json!({ "share_bps": share_bps.get(), "blocks": blocks, "min_requests": min_requests, "gate": gate.name() });
    stages.iter().map(stage).collect()
}

pub(super) fn guardrails_json(terms: &Guardrails) -> Value {
    let Guardrails {
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

pub(super) fn strategy_json(strategy: &Strategy) -> Value {
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
