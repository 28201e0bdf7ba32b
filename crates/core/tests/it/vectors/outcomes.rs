//! Events and outcomes, roots and buckets.

use super::*;

// Events and outcomes.

pub(super) fn event_json(event: &Event) -> Value {
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
        Event::RulesSet { from, to } => json!({ "from": from, "to": to }),
        Event::RoundClosed { pool, reporters, acted } => {
            merged(pool_json(pool), json!({ "reporters": reporters, "acted": acted }))
        }
        Event::RoundShort { pool, reporters, quorum } => {
            merged(pool_json(pool), json!({ "reporters": reporters, "quorum": quorum }))
        }
        Event::StepBlocked { name, prerequisite } => {
            json!({ "name": name.as_str(), "prerequisite": prerequisite.as_str() })
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

pub(super) fn evidence_json(evidence: &Evidence) -> Value {
    let Evidence { requests, errors, production_requests, production_errors, threshold } = evidence;
    json!({
        "requests": requests, "errors": errors, "production_requests": production_requests,
        "production_errors": production_errors, "threshold": threshold.number(),
    })
}

pub(super) fn receipt_json(receipt: &Receipt) -> Value {
    json!({ "code": receipt.code(), "index": receipt.index() })
}

/// An outcome is written only: it is read back here by the layout, piece by piece.
pub(super) fn check_outcome(row: &Row) {
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

pub(super) fn read_outcome(input: &mut Reader<'_>) -> Result<Outcome, DecodeError> {
    let mut outcome = Outcome::default();
    for _ in 0..input.u32()? {
        outcome.receipts.push(Receipt::decode(input)?);
    }
    for _ in 0..input.u32()? {
        outcome.events.push(Event::from_bytes(input.lp16()?)?);
    }
    Ok(outcome)
}

// Roots and buckets.

/// Rows of roots.json whose pairs are a whole state.
pub(super) const STATES: [&str; 5] = ["genesis", "rollout", "feed", "plugins", "trust"];

/// Built at once, put one by one, deleted and put again, in every order: one root.
pub(super) fn check_root(row: &Row) {
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

pub(super) fn apply(tree: &mut Tree, changes: &[TreeChange<'_>]) {
    let patch = tree.prepare(changes).unwrap();
    tree.apply(patch).unwrap();
}

pub(super) fn check_bucket(row: &Row) {
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

pub(super) fn check_route(row: &Row) {
    let fields = &row.fields;
    let text = |field: &str| fields[field].as_str().unwrap();
    let chain = ChainId::new(text("chain").as_bytes()).unwrap();
    let plugin: Name = text("plugin").parse().unwrap();
    let unit = hex::decode(text("unit")).unwrap();
    let bucket = bucket_of_unit(&chain, &plugin, fields["salt"].as_u64().unwrap(), &unit);
    assert_eq!(u64::from(bucket.get()), row.number("bucket"), "{}", row.id);
}
