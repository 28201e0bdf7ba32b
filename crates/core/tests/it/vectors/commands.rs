//! Commands, blocks and genesis.

use super::*;

// Commands.

/// Rows that decode and break a rule, and the reject they get.
pub(super) const RULES_BROKEN: &[(&str, Reject)] = &[
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
    ("rule_schedule_schedule", Reject::InvalidParameter),
    ("rule_schedule_report", Reject::InvalidParameter),
    ("rule_schedule_cancel_schedule", Reject::InvalidParameter),
    ("rule_schedule_set_params", Reject::InvalidParameter),
    ("rule_grant_role_zero_address", Reject::InvalidParameter),
    ("rule_quorum_0", Reject::InvalidParameter),
    ("rule_quorum_65", Reject::InvalidParameter),
    ("rule_timelock_1000001", Reject::InvalidParameter),
    ("rule_round_blocks_1000001", Reject::InvalidParameter),
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
    ("rule_schedule_report_version", Reject::InvalidParameter),
    ("rule_schedule_attest_health", Reject::InvalidParameter),
    ("rule_schedule_report_load", Reject::InvalidParameter),
    ("rule_schedule_report_unload", Reject::InvalidParameter),
];

pub(super) fn check_command(row: &Row) {
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

pub(super) fn command_json(command: &Command) -> Value {
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
        Command::AdvanceRollout { name }
        | Command::Enable { name }
        | Command::Disable { name }
        | Command::PauseRollout { name } => json!({ "op": op, "name": name.as_str() }),
        Command::Rollback { name, reason } => json!({ "op": op, "name": name.as_str(), "reason": reason.name() }),
        Command::SetOverride { name, user, enabled } => {
            json!({ "op": op, "name": name.as_str(), "user": user.to_string(), "enabled": enabled })
        }
        Command::ClearOverride { name, user } => {
            json!({ "op": op, "name": name.as_str(), "user": user.to_string() })
        }
        Command::Report { name, report, trial } => {
            let fields = json!({
                "op": op, "name": name.as_str(), "successes": report.successes, "errors": report.errors,
                "latency_total": report.latency_total, "latency_peak": report.latency_peak,
                "invariant_checks": report.invariant_checks, "invariant_failures": report.invariant_failures,
            });
            merged(fields, given([("trial", trial.map(Value::from))]))
        }
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
        Command::SetParams { changes } => given([
            ("op", Some(op.into())),
            ("max_due_per_block", changes.max_due_per_block.map(Value::from)),
            ("breaker_rollbacks", changes.breaker_rollbacks.map(Value::from)),
            ("breaker_window", changes.breaker_window.map(Value::from)),
            ("timelock", changes.timelock.map(Value::from)),
            ("sequenced", changes.sequenced.map(Value::from)),
            ("round_blocks", changes.round_blocks.map(Value::from)),
            ("quorum", changes.quorum.map(Value::from)),
        ]),
        Command::SetRules { rules } => json!({ "op": op, "rules": rules }),
        Command::RegisterVersion { plugin, version, manifest } => {
            let fields = json!({ "op": op, "plugin": plugin.as_str(), "version": version.to_string() });
            merged(fields, manifest_json(manifest))
        }
        Command::Deploy { plugin, version, strategy } => {
            let fields = json!({ "op": op, "plugin": plugin.as_str(), "version": version.to_string() });
            merged(merged(fields, strategy_json(strategy.strategy())), guardrails_json(strategy.plan().guardrails()))
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
        Command::ReportVersion { plugin, version, report, deployment } => {
            let fields = json!({
                "op": op, "plugin": plugin.as_str(), "version": version.to_string(), "requests": report.requests,
                "errors": report.errors, "latency_total": report.latency_total,
            });
            merged(fields, given([("deployment", deployment.map(Value::from))]))
        }
        Command::AttestHealth { plugin, version, healthy } => {
            json!({ "op": op, "plugin": plugin.as_str(), "version": version.to_string(), "healthy": healthy })
        }
        Command::ReportLoad { plugin, version, ok } | Command::ReportUnload { plugin, version, ok } => {
            json!({ "op": op, "plugin": plugin.as_str(), "version": version.to_string(), "ok": ok })
        }
    }
}

pub(super) fn changes_json(changes: &FeatureChanges) -> Value {
    let FeatureChanges { increment_percent, increment_blocks, max_error_rate, min_success_count, policy } = changes;
    given([
        ("increment_percent", increment_percent.map(|percent| percent.get().into())),
        ("increment_blocks", increment_blocks.map(Value::from)),
        ("max_error_rate", max_error_rate.map(Value::from)),
        ("min_success_count", min_success_count.map(Value::from)),
        ("policy", policy.as_ref().map(policy_json)),
    ])
}

pub(super) fn feed_entries_json(entries: &[FeedEntry]) -> Value {
    let entry = |FeedEntry { id, version, body }: &FeedEntry| {
        (id.as_str().to_owned(), json!({ "version": version, "body": hex::encode(body.as_bytes()) }))
    };
    Value::Object(entries.iter().map(entry).collect())
}

/// An object of the members that are there.
pub(super) fn given<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}

// Blocks and genesis.

pub(super) fn transaction_json(tx: &Transaction) -> Value {
    let commands: Vec<Value> = tx
        .commands()
        .iter()
        .map(|command| match command {
            TxCommand::Valid(command) => command_json(command),
            TxCommand::Invalid { .. } => panic!("no row has a transaction that breaks a rule: {command:?}"),
        })
        .collect();
    let sequence = tx.sequence().map(|sequence| sequence.number.into());
    let valid_until = tx.sequence().and_then(|sequence| sequence.valid_until).map(|last| last.get().into());
    let fields = json!({ "signer": tx.signer().to_string(), "commands": commands });
    merged(fields, given([("sequence", sequence), ("valid_until", valid_until)]))
}

pub(super) fn block_json(block: &Block) -> Value {
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
pub(super) fn check_genesis(row: &Row) {
    let id = &row.id;
    let genesis: Genesis = round_trip(row);
    let roles: BTreeMap<String, Vec<&str>> = genesis
        .roles()
        .iter()
        .map(|(address, roles)| (address.to_string(), roles.iter().map(|role| role.name()).collect()))
        .collect();
    let fields = json!({
        "rules": genesis.rules().number(), "chain": genesis.chain().as_str(), "roles": roles,
        "params": params_json(genesis.params()),
    });
    assert_eq!(fields, row.fields, "{id}");

    let (state, writes) = State::genesis(&genesis).unwrap();
    assert_eq!(state.tip(), None, "{id}");
    assert_eq!(writes.len(), 1 + genesis.roles().len(), "{id}");
    let entries: Vec<_> = writes.iter().map(|(key, value)| Ok((key.to_vec(), value.unwrap().to_vec()))).collect();
    let loaded = State::load(entries, None).unwrap();
    assert_eq!((loaded.root(), loaded.global()), (state.root(), state.global()), "{id}");
}
