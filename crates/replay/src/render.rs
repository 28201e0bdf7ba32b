//! Records, events and receipts as text and JSON: the one place where they get their form.
//!
//! Everything printed is a list of fields with values. Text and JSON are made from the same list,
//! so that neither tells more than the other.

pub(crate) mod plugin;

use std::fmt;

use coalmine_core::{
    Address, Change, Command, Decode, DecodeError, Deployment, Event, Feature, FeedBody, FeedItem, FeedKey, FeedState,
    Global, Key, Metrics, Name, Note, Override, Params, Plugin, PluginChange, PluginVersion, Policy, Reader, Receipt,
    Registry, Reject, Roles, Scheduled, Verdict, Why,
};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::blockfile::{FEATURE_FIELDS, FieldValue, METRICS_FIELDS};

/// A value to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing there: `none`, null.
    None,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(u64),
    /// Text; in quotes unless it is made of plain characters.
    Text(String),
    /// Several values.
    List(Vec<Value>),
    /// Several fields.
    Fields(Fields),
}

/// Named values in the order in which they are printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    /// No fields yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// With one more field.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((key, value.into()));
        self
    }

    /// With one more field, whose text form is what it displays as.
    pub(crate) fn text(self, key: &'static str, value: impl fmt::Display) -> Self {
        self.with(key, value.to_string())
    }

    /// With the fields of `more` behind these.
    pub(crate) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// The values alone, on one line.
    pub(crate) fn values(&self) -> String {
        let values: Vec<String> = self.flat().into_iter().map(|(_, value)| value).collect();
        values.join(" ")
    }

    /// `key=value` pairs on one line.
    pub(crate) fn pairs(&self) -> String {
        let pairs: Vec<String> = self.flat().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(" ")
    }

    /// A line for every value, behind its path. Those of an entry of a list share a line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (key, value) in &self.0 {
            value.add_lines((*key).into(), &mut lines);
        }
        lines
    }

    /// Every value with its path, in order: what is inside of something has its path behind a dot.
    pub(crate) fn flat(&self) -> Vec<(String, String)> {
        let mut flat = Vec::new();
        for (key, value) in &self.0 {
            value.flatten((*key).into(), &mut flat);
        }
        flat
    }
}

impl Value {
    fn add_lines(&self, path: String, lines: &mut Vec<String>) {
        match self {
            Self::Fields(fields) => {
                fields.0.iter().for_each(|(key, value)| value.add_lines(format!("{path}.{key}"), lines));
            }
            Self::List(list) if list.iter().any(|value| matches!(value, Self::Fields(_))) => {
                lines.extend(list.iter().enumerate().map(|(index, value)| format!("{path}.{index} {value}")));
            }
            Self::List(_) | Self::None | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {
                lines.push(format!("{path} {self}"));
            }
        }
    }

    fn flatten(&self, path: String, flat: &mut Vec<(String, String)>) {
        match self {
            Self::Fields(fields) => {
                fields.0.iter().for_each(|(key, value)| value.flatten(format!("{path}.{key}"), flat));
            }
            Self::List(list) if list.iter().any(|value| matches!(value, Self::Fields(_))) => {
                let numbered = list.iter().enumerate();
                numbered.for_each(|(index, value)| value.flatten(format!("{path}.{index}"), flat));
            }
            Self::List(_) | Self::None | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {
                flat.push((path, self.to_string()));
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(text) if is_plain(text) => f.write_str(text),
            Self::Text(text) => f.write_str(&serde_json::Value::from(text.as_str()).to_string()),
            Self::List(list) if list.is_empty() => f.write_str("none"),
            Self::List(list) => {
                let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(","))
            }
            Self::Fields(fields) => f.write_str(&fields.pairs()),
        }
    }
}

/// Whether a text needs no quotes: nothing in it could be taken for a separator.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:/+-".contains(&b))
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_u64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
            Self::Fields(fields) => fields.serialize(serializer),
        }
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

macro_rules! values {
    ($($type:ty => $variant:expr;)*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                $variant(value.into())
            }
        })*
    };
}

values! {
    bool => Self::Bool;
    u8 => Self::Number;
    u16 => Self::Number;
    u32 => Self::Number;
    u64 => Self::Number;
    &str => Self::Text;
    String => Self::Text;
    Vec<Value> => Self::List;
    Fields => Self::Fields;
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl From<FieldValue> for Value {
    fn from(value: FieldValue) -> Self {
        match value {
            FieldValue::Number(number) => Self::Number(number),
            FieldValue::Text(text) => Self::Text(text),
            FieldValue::Bool(value) => Self::Bool(value),
            FieldValue::None => Self::None,
        }
    }
}

/// What a key stands for: the kind of its record, and what tells it from others of the kind.
pub(crate) fn key(key: &Key) -> Fields {
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
        Key::Feed => record("feed"),
        Key::FeedItem(key) => record("feed_item").and(feed_key(key)),
        Key::FeedIndex(key) => record("feed_index").and(feed_key(key)),
        Key::FeedListed(key) => record("feed_listed").and(feed_key(key)),
    }
}

/// A record by the key under which it stands.
///
/// # Errors
/// The value does not decode.
pub(crate) fn record(key: &Key, value: &[u8]) -> Result<Fields, DecodeError> {
    Ok(match key {
        Key::Feature(_) => feature(&Feature::from_bytes(value)?),
        Key::Metrics(_) => {
            let mut input = Reader::new(value);
            let (name, record) = Metrics::decode(&mut input)?;
            input.finish()?;
            metrics(&name, &record)
        }
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
        Key::Feed => feed(&FeedState::from_bytes(value)?),
        Key::FeedItem(_) => feed_item(&FeedItem::from_bytes(value)?),
        Key::Step { .. }
        | Key::Active(_)
        | Key::Dependent { .. }
        | Key::DeploymentDue { .. }
        | Key::LoadDue { .. }
        | Key::FeedIndex(_)
        | Key::FeedListed(_) => {
            Reader::new(value).finish()?;
            Fields::new()
        }
    })
}

/// A feature.
pub(crate) fn feature(record: &Feature) -> Fields {
    FEATURE_FIELDS.iter().fold(Fields::new(), |fields, field| fields.with(field.key, (field.of)(&record.name, record)))
}

/// The metrics of a feature.
pub(crate) fn metrics(name: &Name, record: &Metrics) -> Fields {
    METRICS_FIELDS.iter().fold(Fields::new(), |fields, field| fields.with(field.key, (field.of)(name, record)))
}

/// A policy.
pub(crate) fn policy(record: &Policy) -> Fields {
    let names = record.prerequisites.iter().map(|name| Value::Text(name.to_string())).collect::<Vec<_>>();
    Fields::new()
        .text("bucketing", record.bucketing)
        .text("advance", record.advance)
        .with("salt", record.salt)
        .with("min_samples", record.min_samples)
        .with("window_blocks", record.window_blocks)
        .with("step_min_operations", record.step_min_operations)
        .with("max_invariant_failures", record.max_invariant_failures)
        .with("max_latency", record.max_latency)
        .text("lifetime", record.lifetime)
        .with("expires_at", record.expires_at)
        .with("prerequisites", names)
}

/// An entry of a history.
pub(crate) fn change(record: &Change) -> Fields {
    Fields::new()
        .text("status", record.status)
        .with("percent", record.percent.get())
        .text("cause", record.cause)
        .text("reason", record.reason)
        .text("actor", record.actor)
}

/// A user's own switch.
pub(crate) fn user_switch(record: &Override) -> Fields {
    Fields::new().with("enabled", record.enabled).with("since", record.since).text("actor", record.actor)
}

/// Which item of the feed.
pub(crate) fn feed_key(FeedKey { kind, id }: &FeedKey) -> Fields {
    Fields::new().text("kind", kind).text("id", id)
}

/// An item of the feed.
pub(crate) fn feed_item(record: &FeedItem) -> Fields {
    let body = record.body().map(FeedBody::as_bytes).unwrap_or_default();
    Fields::new().with("version", record.version).with("state", record.state.name()).with("body", hex::encode(body))
}

/// The totals of the feed.
pub(crate) fn feed(record: &FeedState) -> Fields {
    Fields::new()
        .with("open", record.open)
        .with("live_environments", record.live_environments)
        .with("live_filters", record.live_filters)
        .with("environments", record.environments)
        .with("filters", record.filters)
        .with("listed", record.listed)
}

/// A set of roles.
pub(crate) fn roles(roles: Roles) -> Fields {
    let names: Vec<Value> = roles.iter().map(|role| role.name().into()).collect();
    Fields::new().with("roles", names)
}

/// The global record.
pub(crate) fn global(record: &Global) -> Fields {
    let Params { max_due_per_block, breaker_rollbacks, breaker_window } = record.params;
    let breaker = record.breaker.map(|breaker| {
        Fields::new()
            .with("draining", breaker.draining)
            .with("since", breaker.since)
            .with("until", breaker.until)
            .text("reason", breaker.reason)
            .text("actor", breaker.actor)
    });
    Fields::new()
        .with("chain", record.chain.as_str())
        .with("admins", record.admins)
        .with("breaker", breaker)
        .with("next_schedule_id", record.next_schedule_id)
        .with("rollback_window_start", record.rollback_window_start)
        .with("rollbacks_in_window", record.rollbacks_in_window)
        .with("max_due_per_block", max_due_per_block)
        .with("breaker_rollbacks", breaker_rollbacks)
        .with("breaker_window", breaker_window)
}

/// An entry of the schedule.
pub(crate) fn scheduled(record: &Scheduled) -> Fields {
    let commands: Vec<Value> = record.commands.iter().map(|command| self::command(command).into()).collect();
    Fields::new().text("actor", record.actor).with("commands", commands)
}

/// A command that can be scheduled; of any other its name only, for it never gets here.
fn command(command: &Command) -> Fields {
    let op = Fields::new().text("op", command.kind());
    match command {
        Command::StartCanary { name, percent } => op.text("name", name).with("percent", percent.get()),
        Command::StartRollout { name, target_percent } => {
            op.text("name", name).with("target_percent", target_percent.get())
        }
        Command::AdvanceRollout { name } | Command::Enable { name } | Command::Disable { name } => {
            op.text("name", name)
        }
        Command::Rollback { name, reason } => op.text("name", name).text("reason", reason),
        Command::SetOverride { name, user, enabled } => {
            op.text("name", name).text("user", user).with("enabled", *enabled)
        }
        Command::ClearOverride { name, user } => op.text("name", name).text("user", user),
        Command::CreateFeature { .. }
        | Command::ConfigureFeature { .. }
        | Command::Report { .. }
        | Command::TripBreaker { .. }
        | Command::ResetBreaker
        | Command::Schedule { .. }
        | Command::CancelSchedule { .. }
        | Command::GrantRole { .. }
        | Command::RevokeRole { .. }
        | Command::SetParams { .. }
        | Command::RegisterVersion { .. }
        | Command::SetRule { .. }
        | Command::SetHostVersion { .. }
        | Command::SetRegistryParams { .. }
        | Command::ReportVersion { .. }
        | Command::AttestHealth { .. }
        | Command::ReportLoad { .. }
        | Command::ReportUnload { .. } => op,
        Command::Deploy { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Promote { .. }
        | Command::RollbackDeployment { .. }
        | Command::Revert { .. }
        | Command::RetireVersion { .. }
        | Command::Load { .. }
        | Command::Unload { .. } => plugin::command(op, command),
        Command::FeedPut { .. }
        | Command::FeedPatch { .. }
        | Command::FeedDelete { .. }
        | Command::FeedForget { .. } => op,
    }
}

/// The fields of an event, without its name.
pub(crate) fn event(event: &Event) -> Fields {
    let fields = Fields::new();
    match event {
        Event::FeatureCreated { name } | Event::FeatureConfigured { name } => fields.text("name", name),
        Event::StatusChanged { name, from, to, percent, cause, actor } => fields
            .text("name", name)
            .text("from", from)
            .text("to", to)
            .with("percent", percent.get())
            .text("cause", cause)
            .text("actor", actor),
        Event::Stepped { name, from_percent, to_percent } => {
            fields.text("name", name).with("from_percent", from_percent.get()).with("to_percent", to_percent.get())
        }
        Event::StepHeld { name, operations, needed } => {
            fields.text("name", name).with("operations", *operations).with("needed", *needed)
        }
        Event::RolledBack { name, rule, reason, errors, successes, value, threshold, actor } => fields
            .text("name", name)
            .text("rule", rule)
            .text("reason", reason)
            .with("errors", *errors)
            .with("successes", *successes)
            .with("value", *value)
            .with("threshold", *threshold)
            .text("actor", actor),
        Event::OverrideSet { name, user, enabled } => {
            fields.text("name", name).text("user", user).with("enabled", *enabled)
        }
        Event::OverrideCleared { name, user } => fields.text("name", name).text("user", user),
        Event::BreakerTripped { reason, until, draining, actor } => {
            fields.text("reason", reason).with("until", *until).with("draining", *draining).text("actor", actor)
        }
        Event::BreakerClosed { by } => fields.text("by", by),
        Event::BreakerDrained | Event::ParamsSet | Event::FeedReceivedAll => fields,
        Event::Scheduled { id, at } => fields.with("id", *id).with("at", *at),
        Event::ScheduleCancelled { id } => fields.with("id", *id),
        Event::ScheduleExecuted { id, code, index } => {
            let name = Reject::from_code(*code).map_or("ok", Reject::name);
            fields.with("id", *id).with("result", name).with("index", *index)
        }
        Event::RoleGranted { address, role } | Event::RoleRevoked { address, role } => {
            fields.text("address", address).with("role", role.name())
        }
        Event::VersionRegistered { .. }
        | Event::VersionEvicted { .. }
        | Event::Deployed { .. }
        | Event::Staged { .. }
        | Event::StageHeld { .. }
        | Event::Waiting { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Promoted { .. }
        | Event::DeploymentRolledBack { .. }
        | Event::Reverted { .. }
        | Event::Concluded { .. }
        | Event::VersionRetired { .. }
        | Event::HealthAttested { .. }
        | Event::LoadPlanned { .. }
        | Event::Loaded { .. }
        | Event::LoadFailed { .. }
        | Event::LoadDisputed { .. }
        | Event::Unloaded { .. } => plugin::event(event),
        Event::FeedInsert { kind, id, version }
        | Event::FeedUpdated { kind, id, version }
        | Event::FeedDelete { kind, id, version } => fields.text("kind", kind).text("id", id).with("version", *version),
    }
}

/// A note on a transaction.
pub(crate) fn note(note: &Note) -> Fields {
    match note {
        Note::Feed { kind, id, action } => {
            Fields::new().text("kind", kind).text("id", id).with("action", action.name())
        }
        Note::Refused { plugin } => Fields::new().text("plugin", plugin),
    }
}

/// The result of a receipt: `ok`, or the reject and the index of the failing command.
pub(crate) fn receipt(receipt: &Receipt) -> (Fields, Fields) {
    let result = Fields::new().with("result", receipt.name());
    match receipt {
        Receipt::Ok => (result, Fields::new()),
        Receipt::Rejected { index, .. } => (result, Fields::new().with("command", *index)),
    }
}

/// Why a feature is on or off for a user.
pub(crate) fn verdict(name: &Name, user: &Address, verdict: &Verdict) -> Fields {
    let fields = Fields::new()
        .text("name", name)
        .text("user", user)
        .with("on", verdict.on)
        .text("decided_by", verdict.decided_by)
        .with("is_prerequisite", verdict.decided_by != *name);
    match verdict.why {
        Why::Unknown => fields.with("why", "unknown"),
        Why::Status(status) => fields.with("why", "status").text("status", status),
        Why::Override => fields.with("why", "override"),
        Why::Bucket { bucket, share } => {
            fields.with("why", "bucket").with("bucket", bucket.get()).with("share", share.get())
        }
    }
}

/// A key and its value: what it stands for and what it says, or the hex of what does not decode.
pub(crate) fn entry(bytes: &[u8], value: Option<&[u8]>) -> (Fields, Option<Fields>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_tell_the_same() {
        let inner = Fields::new().with("op", "enable").with("n", 2_u8);
        let fields = Fields::new()
            .with("name", "a.b:c")
            .with("free", "two words, \"x\"\n")
            .with("empty", "")
            .with("breaker", None::<Fields>)
            .with("list", vec![Value::from("a"), Value::from("b")])
            .with("nothing", Vec::new())
            .with("commands", vec![Value::from(inner)]);
        assert_eq!(
            fields.pairs(),
            r#"name=a.b:c free="two words, \"x\"\n" empty="" breaker=none list=a,b nothing=none commands.0.op=enable commands.0.n=2"#
        );
        assert_eq!(
            Fields::new().with("inside", fields.clone()).lines(),
            [
                "inside.name a.b:c",
                r#"inside.free "two words, \"x\"\n""#,
                r#"inside.empty """#,
                "inside.breaker none",
                "inside.list a,b",
                "inside.nothing none",
                "inside.commands.0 op=enable n=2",
            ]
        );
        assert_eq!(
            serde_json::to_string(&fields).unwrap(),
            r#"{"name":"a.b:c","free":"two words, \"x\"\n","empty":"","breaker":null,"list":["a","b"],"nothing":[],"commands":[{"op":"enable","n":2}]}"#
        );
    }
}
