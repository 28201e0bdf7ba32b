//! Records of the state.

use std::num::{NonZeroU32, NonZeroU64};

use coalmine_core::{
    Cause, Change, Decode, DecodeError, Deployment, Encode, Feature, FeedBody, FeedItem, FeedKey, FeedTotals, Global,
    Key, MetricsRecord, Override, Plugin, PluginChange, PluginVersion, Policy, Pool, PoolEntry, Reader, Registry,
    Roles, RollbackEvidence, Scheduled,
};

use super::command::command;
use super::plugin;
use crate::blockfile::{BREAKER_FIELDS, FEATURE_FIELDS, METRICS_FIELDS, OVERRIDE_FIELDS, PARAMS_FIELDS, RecordField};
use crate::fields::{Fields, Value, actor};

/// The kind of the record under a key, and what distinguishes it from others of that kind.
pub(super) fn key(key: &Key) -> Fields {
    let record = |kind: &'static str| Fields::new().with("record", kind);
    match key {
        Key::Feature(name) => record("feature").text("name", name),
        Key::Metrics(name) => record("metrics").text("name", name),
        Key::Change { name, height, seq } => {
            record("change").text("name", name).with("height", *height).with("seq", *seq)
        }
        Key::Override { name, user } => record("override").text("name", name).text("user", user),
        Key::Global => record("global"),
        Key::Policy(name) => record("policy").text("name", name),
        Key::Roles(address) => record("roles").text("address", address),
        Key::Schedule { at, id } => record("schedule").with("at", *at).with("id", *id),
        Key::Step { at, name } => record("step").with("at", *at).text("name", name),
        Key::Active(name) => record("active").text("name", name),
        Key::Registry => record("registry"),
        Key::Plugin(name) => record("plugin").text("plugin", name),
        Key::PluginVersion { plugin, version } => {
            record("plugin_version").text("plugin", plugin).text("version", version)
        }
        Key::Deployment(name) => record("deployment").text("plugin", name),
        Key::PluginChange { plugin, height, seq } => {
            record("plugin_change").text("plugin", plugin).with("height", *height).with("seq", *seq)
        }
        Key::Dependent { dependency, dependent } => {
            let dependency = dependency.map_or_else(|| "host".into(), |name| name.to_string());
            record("dependent").with("dependency", dependency).text("plugin", dependent)
        }
        Key::DeploymentDue { at, plugin } => record("deployment_due").with("at", *at).text("plugin", plugin),
        Key::LoadDue { at, plugin } => record("load_due").with("at", *at).text("plugin", plugin),
        Key::Round { at, pool: of } => record("round").with("at", *at).and(pool(of)),
        Key::Deadline { at, plugin } => record("deadline").with("at", *at).text("plugin", plugin),
        Key::Feed => record("feed"),
        Key::FeedItem(key) => record("feed_item").and(feed_key(key)),
        Key::FeedIndex(key) => record("feed_index").and(feed_key(key)),
        Key::FeedListed(key) => record("feed_listed").and(feed_key(key)),
        Key::Sequence(address) => record("sequence").text("address", address),
        Key::PoolEntry { pool: of, reporter } => record("pool_entry").and(pool(of)).text("reporter", reporter),
    }
}

/// The fields of the record under a key.
///
/// # Errors
/// The value does not decode.
pub(super) fn record(key: &Key, value: &[u8]) -> Result<Fields, DecodeError> {
    Ok(match key {
        Key::Feature(_) => feature(&Feature::from_bytes(value)?),
        Key::Metrics(_) => metrics(&MetricsRecord::from_bytes(value)?),
        Key::Change { .. } => change(&Change::from_bytes(value)?),
        Key::Override { .. } => user_switch(&Override::from_bytes(value)?),
        Key::Global => global(&Global::from_bytes(value)?),
        Key::Policy(_) => policy(&Policy::from_bytes(value)?),
        Key::Roles(_) => roles(Roles::from_bytes(value)?),
        Key::Schedule { .. } => scheduled(&Scheduled::from_bytes(value)?),
        Key::Registry => plugin::registry(&Registry::from_bytes(value)?),
        Key::Plugin(_) => plugin::plugin(&Plugin::from_bytes(value)?),
        Key::PluginVersion { .. } => plugin::version(&PluginVersion::from_bytes(value)?),
        Key::Deployment(_) => plugin::deployment(&Deployment::from_bytes(value)?),
        Key::PluginChange { .. } => plugin::change(&PluginChange::from_bytes(value)?),
        Key::Feed => feed(&FeedTotals::from_bytes(value)?),
        Key::FeedItem(_) => feed_item(&FeedItem::from_bytes(value)?),
        Key::Sequence(_) => {
            let mut input = Reader::new(value);
            let sequence = input.u64()?;
            input.finish()?;
            Fields::new().with("sequence", sequence)
        }
        Key::PoolEntry { pool, .. } => pool_entry(&PoolEntry::from_bytes(pool.kind(), value)?),
        Key::Step { .. }
        | Key::Active(_)
        | Key::Dependent { .. }
        | Key::DeploymentDue { .. }
        | Key::LoadDue { .. }
        | Key::Round { .. }
        | Key::Deadline { .. }
        | Key::FeedIndex(_)
        | Key::FeedListed(_) => {
            Reader::new(value).finish()?;
            Fields::new()
        }
    })
}

/// A feature.
pub fn feature(record: &Feature) -> Fields {
    RecordField::all(FEATURE_FIELDS, record)
}

/// The metrics of a feature.
pub fn metrics(record: &MetricsRecord) -> Fields {
    RecordField::all(METRICS_FIELDS, record)
}

/// A policy.
pub fn policy(record: &Policy) -> Fields {
    let names = record.prerequisites.iter().map(|name| Value::Text(name.to_string())).collect::<Vec<_>>();
    Fields::new()
        .text("bucketing", record.bucketing)
        .text("advance", record.advance)
        .with("salt", record.salt)
        .with("min_samples", record.min_samples)
        .with("window_blocks", record.window_blocks.map_or(0, NonZeroU32::get))
        .with("step_min_operations", record.step_min_operations)
        .with("max_invariant_failures", record.max_invariant_failures)
        .with("max_latency", record.max_latency.map_or(0, NonZeroU64::get))
        .text("lifetime", record.lifetime)
        .with("expires_at", record.expires_at.map_or(0, NonZeroU32::get))
        .with("prerequisites", names)
}

/// An entry of a history. It has a reason if something was rolled back.
pub fn change(record: &Change) -> Fields {
    let fields =
        Fields::new().text("status", record.status).with("percent", record.percent.get()).text("cause", record.cause);
    let fields = if record.cause == Cause::RolledBack { fields.text("reason", record.reason) } else { fields };
    fields
        .with("actor", actor(&record.actor))
        .and(record.evidence.map_or_else(Fields::new, |evidence| rollback_evidence(&evidence)))
}

fn rollback_evidence(evidence: &RollbackEvidence) -> Fields {
    Fields::new()
        .text("rule", evidence.rule)
        .with("errors", evidence.errors)
        .with("successes", evidence.successes)
        .with("value", evidence.value)
        .with("threshold", evidence.threshold)
}

/// The pool of a round: what is reported, and of what.
pub fn pool(pool: &Pool) -> Fields {
    Fields::new()
        .text("kind", pool.kind())
        .text("subject", pool.subject())
        .with("version", pool.version().map(ToString::to_string))
}

/// What a reporter has said in a round.
pub fn pool_entry(entry: &PoolEntry) -> Fields {
    match entry {
        PoolEntry::Report(totals) => Fields::new()
            .with("successes", totals.successes)
            .with("errors", totals.errors)
            .with("latency_total", totals.latency_total)
            .with("latency_peak", totals.latency_peak)
            .with("invariant_checks", totals.invariant_checks)
            .with("invariant_failures", totals.invariant_failures),
        PoolEntry::VersionReport(counts) => plugin::counts(counts),
        PoolEntry::Vote(vote) => Fields::new().with("vote", *vote),
    }
}

/// An override for a user.
pub fn user_switch(record: &Override) -> Fields {
    RecordField::all(OVERRIDE_FIELDS, record)
}

/// The key of an item of the feed.
pub fn feed_key(FeedKey { kind, id }: &FeedKey) -> Fields {
    Fields::new().text("kind", kind).text("id", id)
}

/// An item of the feed.
pub fn feed_item(record: &FeedItem) -> Fields {
    let body = record.body().map(FeedBody::as_bytes).unwrap_or_default();
    Fields::new().with("version", record.version).with("state", record.state.name()).with("body", hex::encode(body))
}

/// The totals of the feed.
pub fn feed(record: &FeedTotals) -> Fields {
    Fields::new()
        .with("open", record.open)
        .with("live_environments", record.live_environments)
        .with("live_filters", record.live_filters)
        .with("environments", record.environments)
        .with("filters", record.filters)
        .with("listed", record.listed)
        .with("unborn_environments", record.unborn_environments)
        .with("unborn_filters", record.unborn_filters)
}

/// A set of roles.
pub fn roles(roles: Roles) -> Fields {
    let names: Vec<Value> = roles.iter().map(|role| role.name().into()).collect();
    Fields::new().with("roles", names)
}

/// The global record.
pub fn global(record: &Global) -> Fields {
    let breaker = record.breaker.map(|breaker| RecordField::all(BREAKER_FIELDS, &breaker));
    Fields::new()
        .with("rules", record.rules.number())
        .with("chain", record.chain.as_str())
        .with("admins", record.admins)
        .with("scheduled", record.scheduled)
        .with("breaker", breaker)
        .with("next_schedule_id", record.next_schedule_id)
        .with("rollback_window_start", record.rollback_window_start)
        .with("rollbacks_in_window", record.rollbacks_in_window)
        .and(RecordField::all(PARAMS_FIELDS, &record.params))
}

/// An entry of the schedule.
pub fn scheduled(record: &Scheduled) -> Fields {
    Fields::new().with("actor", actor(&record.actor)).with("commands", scheduled_commands(record))
}

/// The commands of an entry of the schedule.
#[must_use]
pub fn scheduled_commands(record: &Scheduled) -> Vec<Value> {
    commands(&record.to_bytes()).unwrap_or_default()
}

/// They stay encoded, as a build may not know all of them.
fn commands(bytes: &[u8]) -> Result<Vec<Value>, DecodeError> {
    let mut input = Reader::new(bytes);
    input.address()?;
    (0..input.u8()?).map(|_| input.lp16().map(command)).collect()
}

/// A key and its value, decoded, or as hex where they do not decode.
pub fn entry(bytes: &[u8], value: Option<&[u8]>) -> (Fields, Option<Fields>) {
    let decoded = Key::from_bytes(bytes).ok();
    let what = match &decoded {
        Some(decoded) => key(decoded),
        None => Fields::new().with("record", "unknown").with("key", hex::encode(bytes)),
    };
    let fields = value.map(|value| {
        let raw = || Fields::new().with("undecodable", hex::encode(value));
        decoded.as_ref().and_then(|decoded| record(decoded, value).ok()).unwrap_or_else(raw)
    });
    (what, fields)
}
