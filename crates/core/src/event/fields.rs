//! What an event is about, its fields under their names, and its text form.

use alloc::string::ToString;
use core::fmt::{self, Display};
use core::num::NonZeroU32;

use crate::event::Event;
use crate::plugin::record::Evidence;
use crate::plugin::version::Version;
use crate::reject::Reject;
use crate::rounds::{Pool, PoolKind};
use crate::values::Name;

/// The value of a field of an event.
#[derive(Clone, Copy)]
pub enum EventValue<'e> {
    /// `true` or `false`.
    Bool(bool),
    /// Heights, counts, percents, shares in basis points.
    Number(u64),
    /// A name, an address, a version, the name of an enum's value.
    Text(&'e dyn Display),
}

impl Display for EventValue<'_> {
    /// A text that could be taken for more than one field stands in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(value) => {
                let text = value.to_string();
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/+-".contains(&byte);
                if text.bytes().all(is_plain) { f.write_str(&text) } else { write!(f, "{text:?}") }
            }
        }
    }
}

/// One line: the name of the event, then `name=value` for each of its fields.
impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = f.write_str(self.code().name());
        self.visit_fields(&mut |name, value| result = result.and_then(|()| write!(f, " {name}={value}")));
        result
    }
}

/// Hands fields on under their names.
struct Fields<'v>(&'v mut dyn FnMut(&'static str, EventValue<'_>));

impl Fields<'_> {
    fn bool(&mut self, name: &'static str, value: bool) -> &mut Self {
        (self.0)(name, EventValue::Bool(value));
        self
    }

    fn number(&mut self, name: &'static str, value: impl Into<u64>) -> &mut Self {
        (self.0)(name, EventValue::Number(value.into()));
        self
    }

    fn text(&mut self, name: &'static str, value: &dyn Display) -> &mut Self {
        (self.0)(name, EventValue::Text(value));
        self
    }

    /// The version is an empty text for a feature.
    fn pool(&mut self, pool: &Pool) -> &mut Self {
        let version = pool.version().map_or("", Version::as_str);
        self.text("kind", &pool.kind()).text("subject", pool.subject()).text("version", &version)
    }

    fn evidence(&mut self, evidence: &Evidence) -> &mut Self {
        let Evidence { requests, errors, production_requests, production_errors, threshold } = *evidence;
        self.number("requests", requests)
            .number("errors", errors)
            .number("production_requests", production_requests)
            .number("production_errors", production_errors)
            .number("threshold", threshold.number())
    }
}

/// What an event is about.
enum Subject<'e> {
    Feature(&'e Name),
    Plugin(&'e Name),
    Other,
}

impl Event {
    /// The feature that the event is about.
    #[must_use]
    pub const fn feature(&self) -> Option<&Name> {
        match self.subject() {
            Subject::Feature(name) => Some(name),
            Subject::Plugin(_) | Subject::Other => None,
        }
    }

    /// The plugin that the event is about.
    #[must_use]
    pub const fn plugin(&self) -> Option<&Name> {
        match self.subject() {
            Subject::Plugin(name) => Some(name),
            Subject::Feature(_) | Subject::Other => None,
        }
    }

    const fn subject(&self) -> Subject<'_> {
        match self {
            Self::FeatureCreated { name }
            | Self::FeatureConfigured { name }
            | Self::StatusChanged { name, .. }
            | Self::Stepped { name, .. }
            | Self::StepHeld { name, .. }
            | Self::StepBlocked { name, .. }
            | Self::RolledBack { name, .. }
            | Self::OverrideSet { name, .. }
            | Self::OverrideCleared { name, .. } => Subject::Feature(name),
            Self::VersionRegistered { plugin, .. }
            | Self::VersionEvicted { plugin, .. }
            | Self::Deployed { plugin, .. }
            | Self::Staged { plugin, .. }
            | Self::StageHeld { plugin, .. }
            | Self::Waiting { plugin, .. }
            | Self::Paused { plugin, .. }
            | Self::Resumed { plugin }
            | Self::Promoted { plugin, .. }
            | Self::DeploymentRolledBack { plugin, .. }
            | Self::Reverted { plugin, .. }
            | Self::Concluded { plugin, .. }
            | Self::VersionRetired { plugin, .. }
            | Self::HealthAttested { plugin, .. }
            | Self::LoadPlanned { plugin, .. }
            | Self::Loaded { plugin, .. }
            | Self::LoadFailed { plugin, .. }
            | Self::LoadDisputed { plugin, .. }
            | Self::Unloaded { plugin, .. } => Subject::Plugin(plugin),
            Self::RoundClosed { pool, .. } | Self::RoundShort { pool, .. } => match pool.kind() {
                PoolKind::Report => Subject::Feature(pool.subject()),
                PoolKind::VersionReport | PoolKind::Health | PoolKind::Load | PoolKind::Unload => {
                    Subject::Plugin(pool.subject())
                }
            },
            Self::BreakerTripped { .. }
            | Self::BreakerClosed { .. }
            | Self::BreakerDrained
            | Self::Scheduled { .. }
            | Self::ScheduleCancelled { .. }
            | Self::ScheduleExecuted { .. }
            | Self::RoleGranted { .. }
            | Self::RoleRevoked { .. }
            | Self::ParamsSet
            | Self::RulesSet { .. }
            | Self::FeedInsert { .. }
            | Self::FeedUpdated { .. }
            | Self::FeedDelete { .. }
            | Self::FeedReceivedAll => Subject::Other,
        }
    }

    /// Calls `visit` with the name and value of each field, in the order of the encoding.
    pub fn visit_fields(&self, visit: &mut dyn FnMut(&'static str, EventValue<'_>)) {
        let mut fields = Fields(visit);
        let fields = &mut fields;
        match self {
            Self::FeatureCreated { name } | Self::FeatureConfigured { name } => fields.text("name", name),
            Self::StatusChanged { name, from, to, percent, cause, actor } => fields
                .text("name", name)
                .text("from", from)
                .text("to", to)
                .number("percent", percent.get())
                .text("cause", cause)
                .text("actor", actor),
            Self::Stepped { name, from_percent, to_percent } => fields
                .text("name", name)
                .number("from_percent", from_percent.get())
                .number("to_percent", to_percent.get()),
            Self::StepHeld { name, operations, needed } => {
                fields.text("name", name).number("operations", *operations).number("needed", *needed)
            }
            Self::RolledBack { name, rule, reason, errors, successes, value, threshold, actor } => fields
                .text("name", name)
                .text("rule", rule)
                .text("reason", reason)
                .number("errors", *errors)
                .number("successes", *successes)
                .number("value", *value)
                .number("threshold", *threshold)
                .text("actor", actor),
            Self::OverrideSet { name, user, enabled } => {
                fields.text("name", name).text("user", user).bool("enabled", *enabled)
            }
            Self::OverrideCleared { name, user } => fields.text("name", name).text("user", user),
            Self::BreakerTripped { reason, until, draining, actor } => fields
                .text("reason", reason)
                .number("until", until.map_or(0, NonZeroU32::get))
                .bool("draining", *draining)
                .text("actor", actor),
            Self::BreakerClosed { by } => fields.text("by", by),
            Self::BreakerDrained | Self::ParamsSet | Self::FeedReceivedAll => fields,
            Self::RulesSet { from, to } => fields.number("from", *from).number("to", *to),
            Self::RoundClosed { pool, reporters, acted } => {
                fields.pool(pool).number("reporters", *reporters).bool("acted", *acted)
            }
            Self::RoundShort { pool, reporters, quorum } => {
                fields.pool(pool).number("reporters", *reporters).number("quorum", *quorum)
            }
            Self::StepBlocked { name, prerequisite } => fields.text("name", name).text("prerequisite", prerequisite),
            Self::Scheduled { id, at } => fields.number("id", *id).number("at", *at),
            Self::ScheduleCancelled { id } => fields.number("id", *id),
            Self::ScheduleExecuted { id, code, index } => {
                let result = Reject::from_code(*code).map_or("ok", Reject::name);
                fields.number("id", *id).text("result", &result).number("index", *index)
            }
            Self::RoleGranted { address, role } | Self::RoleRevoked { address, role } => {
                fields.text("address", address).text("role", &role.name())
            }
            Self::VersionRegistered { plugin, version }
            | Self::VersionEvicted { plugin, version }
            | Self::VersionRetired { plugin, version }
            | Self::Loaded { plugin, version }
            | Self::Unloaded { plugin, version } => fields.text("plugin", plugin).text("version", version),
            Self::Deployed { plugin, version, strategy } => {
                fields.text("plugin", plugin).text("version", version).text("strategy", strategy)
            }
            Self::Staged { plugin, stage, share } => {
                fields.text("plugin", plugin).number("stage", *stage).number("share_bps", share.get())
            }
            Self::StageHeld { plugin, reason, requests, errors } => fields
                .text("plugin", plugin)
                .text("reason", reason)
                .number("requests", *requests)
                .number("errors", *errors),
            Self::Waiting { plugin, hold } => fields.text("plugin", plugin).text("hold", hold),
            Self::Paused { plugin, reason, evidence } => {
                fields.text("plugin", plugin).text("reason", reason).evidence(evidence)
            }
            Self::Resumed { plugin } => fields.text("plugin", plugin),
            Self::Promoted { plugin, from, to } | Self::Reverted { plugin, from, to } => {
                fields.text("plugin", plugin).text("from", from).text("to", to)
            }
            Self::DeploymentRolledBack { plugin, version, reason, evidence, actor } => fields
                .text("plugin", plugin)
                .text("version", version)
                .text("reason", reason)
                .evidence(evidence)
                .text("actor", actor),
            Self::Concluded { plugin, version, winner, evidence } => {
                fields.text("plugin", plugin).text("version", version).text("winner", winner).evidence(evidence)
            }
            Self::HealthAttested { plugin, version, healthy } => {
                fields.text("plugin", plugin).text("version", version).bool("healthy", *healthy)
            }
            Self::LoadPlanned { plugin, version, state } => {
                fields.text("plugin", plugin).text("version", version).text("load_state", state)
            }
            Self::LoadFailed { plugin, version, code } => {
                let why = Reject::from_code(*code).map_or("load_error", Reject::name);
                fields.text("plugin", plugin).text("version", version).text("why", &why)
            }
            Self::LoadDisputed { plugin, version, ok } => {
                fields.text("plugin", plugin).text("version", version).bool("ok", *ok)
            }
            Self::FeedInsert { kind, id, version }
            | Self::FeedUpdated { kind, id, version }
            | Self::FeedDelete { kind, id, version } => {
                fields.text("kind", kind).text("id", id).number("version", *version)
            }
        };
    }
}
