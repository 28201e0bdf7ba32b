//! Every golden row of `fixtures/vectors` is what this build reads and writes.
//!
//! The rows come from a second writer of the format. Each is decoded, told as JSON and compared
//! with the fields of the row, then encoded and compared with its bytes. A type of row that is not
//! known here fails.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod common;

use std::collections::BTreeMap;

use coalmine_core::tree::{Change as TreeChange, Tree};
use coalmine_core::{
    Address, Block, ChainId, Change, Command, Decode, DecodeError, Encode, Event, FORMAT, Feature, FeatureChanges,
    FeedBody, FeedEntry, FeedId, FeedItem, FeedKey, FeedState, Genesis, Global, Key, Metrics, Name, OpenBreaker,
    Outcome, Override, Payload, Policy, RULES, Reader, Receipt, Reject, Roles, Scheduled, State, Transaction,
    TxCommand, Writer, bucket_first_byte, bucket_sha256,
};
use serde_json::{Map, Value, json};

use common::{FILES, Row, rows};

/// How many rows each file has at least: released rows never go away.
const ROWS: [(&str, usize); 6] =
    [("records", 127), ("commands", 139), ("events", 70), ("blocks", 54), ("roots", 15), ("buckets", 34)];

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
            ("open", *draining, *since, *until, reason.name(), *actor)
        }
    };
    json!({
        "format": FORMAT, "rules": RULES, "chain": chain.as_str(), "admins": admins, "breaker": word,
        "breaker_draining": draining, "breaker_since": since, "breaker_until": until, "breaker_reason": reason,
        "breaker_actor": actor.to_string(), "next_schedule_id": next_schedule_id,
        "rollback_window_start": rollback_window_start, "rollbacks_in_window": rollbacks_in_window,
        "max_due_per_block": params.max_due_per_block, "breaker_rollbacks": params.breaker_rollbacks,
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
        "window_blocks": window_blocks, "step_min_operations": step_min_operations,
        "max_invariant_failures": max_invariant_failures, "max_latency": max_latency, "lifetime": lifetime.name(),
        "expires_at": expires_at, "prerequisites": prerequisites,
    })
}

fn feed_state_json(state: &FeedState) -> Value {
    let FeedState { open, live_environments, live_filters, environments, filters, listed } = state;
    json!({
        "open": open, "live_environments": live_environments, "live_filters": live_filters,
        "environments": environments, "filters": filters, "listed": listed,
    })
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
            if *until != 0 {
                fields["until"] = (*until).into();
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
            ("max_due_per_block", max_due_per_block.map(Value::from)),
            ("breaker_rollbacks", breaker_rollbacks.map(Value::from)),
            ("breaker_window", breaker_window.map(Value::from)),
        ]),
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
            "reason": reason.name(), "until": until, "draining": draining, "actor": actor.to_string(),
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
    }
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
        .iter()
        .map(|payload| match payload {
            Payload::Transaction(tx) => transaction_json(tx),
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
            "max_due_per_block": params.max_due_per_block, "breaker_rollbacks": params.breaker_rollbacks,
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
const STATES: [&str; 3] = ["genesis", "rollout", "feed"];

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
