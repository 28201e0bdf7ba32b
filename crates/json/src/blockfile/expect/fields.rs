//! The fields of records that can be expected, each with its key, its form in JSON and how to read it from the record.
//!
//! What is printed of these records is made from the same tables.

use std::fmt;
use std::num::NonZeroU32;

use coalmine_core::{
    Address, DeploymentStatus, DeploymentSummary, Feature, Height, LoadState, MetricsRecord, OpenBreaker, Override,
    Params, Plugin, Reason, Registry, Status, Version,
};

use crate::fields::{AUTOMATIC, Fields, Value, actor};
use crate::json::{Problem, Val};

/// The form of a value in JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// A number from 0 to this one.
    Number(u64),
    Text,
    Bool,
    Address,
    /// An address, or `automatic` for the zero address.
    Actor,
    /// Without build metadata.
    Version,
    /// One of some names: what they are names of, and the names.
    OneOf(&'static str, fn() -> Vec<&'static str>),
}

impl Shape {
    fn read(self, value: Val<'_>) -> Result<Value, Problem> {
        match self {
            Self::Number(max) => value.integer(max).map(Value::from),
            Self::Text => value.string().map(text),
            Self::Bool => value.bool().map(Value::from),
            Self::Address => value.parse::<Address>().map(text),
            Self::Actor if &*value.string()? == AUTOMATIC => Ok(AUTOMATIC.into()),
            Self::Actor => value.parse::<Address>().map(|address| actor(&address)),
            Self::Version => value.parse::<Version>().map(|version| text(version.without_build())),
            Self::OneOf(what, names) => {
                let find = |name: &str| names().into_iter().find(|known| *known == name);
                value.one_of(what, find, names).map(Value::from)
            }
        }
    }
}

const U8: Shape = Shape::Number(0xff);
const U16: Shape = Shape::Number(0xffff);
const U32: Shape = Shape::Number(0xffff_ffff);
const U64: Shape = Shape::Number(u64::MAX);
const STATUS: Shape = Shape::OneOf("status", || Status::ALL.iter().map(|value| value.name()).collect());
const REASON: Shape = Shape::OneOf("reason", || Reason::ALL.iter().map(|value| value.name()).collect());
const DEPLOYMENT: Shape = Shape::OneOf("status", || DeploymentStatus::ALL.iter().map(|value| value.name()).collect());
const LOAD_STATE: Shape = Shape::OneOf("load state", || LoadState::ALL.iter().map(|value| value.name()).collect());

/// A field of the record `R`: its key, and how to read it.
#[derive(Debug)]
pub struct RecordField<R: 'static> {
    /// The key in JSON.
    pub key: &'static str,
    /// Reads the value from a record.
    pub of: fn(&R) -> Value,
    pub(crate) shape: Shape,
    /// Whether it can be null.
    pub(crate) is_nullable: bool,
}

impl<R> RecordField<R> {
    /// All fields of a record, as named values.
    pub(crate) fn all(table: &[Self], record: &R) -> Fields {
        table.iter().fold(Fields::new(), |fields, field| fields.with(field.key, (field.of)(record)))
    }

    pub(super) fn read(&self, value: Val<'_>) -> Result<Value, Problem> {
        if self.is_nullable && value.is_null() { Ok(Value::None) } else { self.shape.read(value) }
    }
}

/// A field and its expected value.
#[derive(Debug, Clone)]
pub struct ExpectedField<R: 'static> {
    /// The field.
    pub field: &'static RecordField<R>,
    /// The value.
    pub value: Value,
}

const fn field<R>(key: &'static str, shape: Shape, of: fn(&R) -> Value) -> RecordField<R> {
    RecordField { key, of, shape, is_nullable: false }
}

const fn or_null<R>(key: &'static str, shape: Shape, of: fn(&R) -> Value) -> RecordField<R> {
    RecordField { is_nullable: true, ..field(key, shape, of) }
}

fn text(value: impl fmt::Display) -> Value {
    Value::Text(value.to_string())
}

fn version_or_none(version: Option<&Version>) -> Value {
    version.map_or(Value::None, |version| text(version.without_build()))
}

fn or_zero(number: Option<NonZeroU32>) -> Value {
    number.map_or(0, NonZeroU32::get).into()
}

/// Every field of a feature, in the order of its record.
pub const FEATURE_FIELDS: &[RecordField<Feature>] = &[
    field("name", Shape::Text, |f| text(f.name)),
    field("description", Shape::Text, |f| text(f.description.as_str())),
    field("status", STATUS, |f| text(f.status)),
    field("rollout_percent", U8, |f| f.rollout_percent.get().into()),
    field("target_percent", U8, |f| f.target_percent.get().into()),
    field("increment_percent", U8, |f| f.increment_percent.get().into()),
    field("increment_blocks", U32, |f| f.increment_blocks.into()),
    field("start_block", U32, |f| f.start_block.into()),
    field("last_increment_block", U32, |f| f.last_increment_block.into()),
    field("error_count", U64, |f| f.error_count.into()),
    field("success_count", U64, |f| f.success_count.into()),
    field("max_error_rate", U32, |f| f.max_error_rate.into()),
    field("min_success_count", U64, |f| f.min_success_count.into()),
    field("enabled_by", Shape::Address, |f| text(f.enabled_by)),
    field("rollback_reason", REASON, |f| text(f.rollback_reason)),
];

/// Every field of the metrics of a feature, in the order of their record.
pub const METRICS_FIELDS: &[RecordField<MetricsRecord>] = &[
    field("name", Shape::Text, |r| text(r.name)),
    field("total_operations", U64, |r| r.metrics.total_operations.into()),
    field("successful_ops", U64, |r| r.metrics.successful_ops.into()),
    field("failed_ops", U64, |r| r.metrics.failed_ops.into()),
    field("average_latency", U64, |r| r.metrics.average_latency().into()),
    field("peak_latency", U64, |r| r.metrics.peak_latency.into()),
    field("invariant_checks", U64, |r| r.metrics.invariant_checks.into()),
    field("invariant_failures", U64, |r| r.metrics.invariant_failures.into()),
    field("latency_sum", U64, |r| r.metrics.latency_sum.into()),
    field("trial_invariant_failures", U64, |r| r.metrics.trial_invariant_failures.into()),
    field("trial_latency_sum", U64, |r| r.metrics.trial_latency_sum.into()),
    field("trial_operations", U64, |r| r.metrics.trial_operations.into()),
    field("step_operations", U64, |r| r.metrics.step_operations.into()),
    field("window_start", U32, |r| r.metrics.window_start.into()),
    field("current_successes", U64, |r| r.metrics.current_successes.into()),
    field("current_errors", U64, |r| r.metrics.current_errors.into()),
    field("previous_successes", U64, |r| r.metrics.previous_successes.into()),
    field("previous_errors", U64, |r| r.metrics.previous_errors.into()),
];

/// A plugin with a summary of its deployment.
#[derive(Debug, Clone)]
pub struct PluginFacts {
    /// The record.
    pub plugin: Plugin,
    /// The summary.
    pub standing: DeploymentSummary,
}

/// Every field that can be expected of a plugin, except its versions. Build metadata does not matter.
pub const PLUGIN_FIELDS: &[RecordField<PluginFacts>] = &[
    field("current", Shape::Version, |p| text(p.plugin.current.without_build())),
    or_null("previous", Shape::Version, |p| version_or_none(p.plugin.previous.as_ref())),
    field("status", DEPLOYMENT, |p| text(p.standing.status)),
    or_null("canary", Shape::Version, |p| version_or_none(p.standing.canary.as_ref())),
    field("paused", Shape::Bool, |p| p.standing.paused.into()),
    field("waiting", Shape::Bool, |p| p.standing.waiting.into()),
    field("share_bps", U16, |p| p.standing.share.get().into()),
    field("stage", U8, |p| p.standing.stage.into()),
    field("load_state", LOAD_STATE, |p| text(p.plugin.load_state)),
];

/// Every field of an open breaker.
pub const BREAKER_FIELDS: &[RecordField<OpenBreaker>] = &[
    field("draining", Shape::Bool, |b| b.draining.into()),
    field("since", U32, |b| b.since.into()),
    field("until", U32, |b| or_zero(b.until)),
    field("reason", REASON, |b| text(b.reason)),
    field("actor", Shape::Actor, |b| actor(&b.actor)),
];

/// Every field of an override.
pub const OVERRIDE_FIELDS: &[RecordField<Override>] = &[
    field("enabled", Shape::Bool, |o| o.enabled.into()),
    field("since", U32, |o| o.since.into()),
    field("actor", Shape::Address, |o| text(o.actor)),
];

/// Every parameter, as set_params has it.
pub const PARAMS_FIELDS: &[RecordField<Params>] = &[
    field("max_due_per_block", U32, |p| p.max_due_per_block.into()),
    field("breaker_rollbacks", U32, |p| or_zero(p.breaker_rollbacks)),
    field("breaker_window", U32, |p| p.breaker_window.into()),
    field("timelock", U32, |p| or_zero(p.timelock)),
    field("sequenced", Shape::Bool, |p| p.sequenced.into()),
    field("round_blocks", U32, |p| or_zero(p.round_blocks)),
    field("quorum", U8, |p| p.quorum.into()),
];

/// Every setting shared by all plugins.
pub const REGISTRY_FIELDS: &[RecordField<Registry>] = &[
    field("host_version", Shape::Version, |r| text(r.host_version.without_build())),
    field("max_versions", U16, |r| r.max_versions.get().into()),
    field("auto_load", Shape::Bool, |r| r.auto_load.into()),
];

/// Where an entry of the schedule stands, and who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryFacts {
    /// The height.
    pub at: Height,
    /// The id.
    pub id: u64,
    /// Who scheduled it.
    pub actor: Address,
}

/// What can be expected of an entry of the schedule, except its commands.
pub const ENTRY_FIELDS: &[RecordField<EntryFacts>] = &[
    field("at", U32, |e| e.at.into()),
    field("id", U64, |e| e.id.into()),
    field("actor", Shape::Address, |e| text(e.actor)),
];
