//! Records of plugins.

use std::num::{NonZeroU16, NonZeroU32};

use coalmine_core::{
    Counts, Deployment, DeploymentSummary, Evidence, Guardrails, Name, Plan, Plugin, PluginChange, PluginReason,
    PluginVersion, Registry, Shortfall, Stage, Version,
};

use crate::blockfile::{PLUGIN_FIELDS, PluginFacts, RecordField};
use crate::fields::{Fields, Value, actor};

fn optional(version: Option<&Version>) -> Value {
    version.map_or(Value::None, |version| version.to_string().into())
}

/// The settings of all plugins.
pub fn registry(record: &Registry) -> Fields {
    Fields::new()
        .text("host_version", &record.host_version)
        .with("max_versions", record.max_versions.get())
        .with("auto_load", record.auto_load)
}

/// The record of a plugin.
pub fn plugin(record: &Plugin) -> Fields {
    summary_of_plugin(record).with("versions", record.versions)
}

/// A plugin with its deployment and its versions in full.
pub fn card(name: &Name, record: &Plugin, deployment: Option<&Deployment>, versions: &[PluginVersion]) -> Fields {
    let versions = versions.iter().map(|record| {
        let health = record.counts.health_score().get();
        Value::from(version(record).with("health_bps", health))
    });
    Fields::new()
        .text("name", name)
        .and(summary_of_plugin(record))
        .with("versions", versions.collect::<Vec<_>>())
        .with("deployment", deployment.map(self::deployment))
}

fn summary_of_plugin(record: &Plugin) -> Fields {
    Fields::new()
        .text("current", &record.current)
        .with("previous", optional(record.previous.as_ref()))
        .with("rule", record.constraint.as_ref().map(ToString::to_string))
        .text("load_state", record.load_state)
        .with("loaded", optional(record.loaded.as_ref()))
        .with("deployments", record.deployments)
        .with("dependents", record.dependents)
}

/// A plugin with a summary of its deployment: the fields of `expect.plugins`.
pub fn summary(facts: &PluginFacts) -> Fields {
    RecordField::all(PLUGIN_FIELDS, facts)
}

/// Sums of reports about a version.
pub(super) fn counts(counts: &Counts) -> Fields {
    Fields::new()
        .with("requests", counts.requests)
        .with("errors", counts.errors)
        .with("latency_sum", counts.latency_sum)
}

/// A version.
pub fn version(record: &PluginVersion) -> Fields {
    let manifest = &record.manifest;
    let requirements = manifest.requirements.iter().map(|requirement| {
        let fields = Fields::new().text("plugin", requirement.plugin).text("constraint", &requirement.constraint);
        Value::from(fields)
    });
    let metadata = manifest.metadata.iter().map(|(key, text)| {
        let fields = Fields::new().text("key", key).text("text", text);
        Value::from(fields)
    });
    Fields::new()
        .text("version", &record.version)
        .text("status", record.status)
        .text("code_hash", manifest.code_hash)
        .with("registered", record.registered)
        .with("reported", record.reported.map_or(0, NonZeroU32::get))
        .and(counts(&record.counts))
        .with("host", manifest.host.as_ref().map(ToString::to_string))
        .with("requirements", requirements.collect::<Vec<_>>())
        .with("config", hex::encode(&manifest.config))
        .with("metadata", metadata.collect::<Vec<_>>())
}

/// A deployment.
pub fn deployment(record: &Deployment) -> Fields {
    let held = Shortfall::ALL.iter().filter(|lack| record.held.contains(**lack)).map(|lack| lack.name().into());
    Fields::new()
        .text("strategy", record.strategy)
        .text("old", &record.old)
        .text("new", &record.new)
        .text("status", DeploymentSummary::of(Some(record)).status)
        .text("hold", record.hold)
        .with("held", held.collect::<Vec<Value>>())
        .with("healthy", record.healthy)
        .with("stage", record.stage)
        .with("share_bps", record.share().get())
        .with("stage_height", record.stage_height)
        .with("start", record.start)
        .with("due", record.due.map_or(0, NonZeroU32::get))
        .with("salt", record.salt)
        .with("canary", counts(&record.canary))
        .with("production", counts(&record.production))
        .with("stage_requests", record.stage_requests)
        .with("stage_errors", record.stage_errors)
        .with("plan", plan(&record.plan))
}

fn plan(plan: &Plan) -> Fields {
    Fields::new()
        .with("stages", stages(plan.stages()))
        .and(guardrails(plan.guardrails()))
        .text("on_complete", plan.on_complete())
}

fn stages(stages: &[Stage]) -> Vec<Value> {
    let stage = |stage: &Stage| {
        let fields = Fields::new()
            .with("share_bps", stage.share_bps.get())
            .with("blocks", stage.blocks)
            .with("min_requests", stage.min_requests)
            .text("gate", stage.gate);
        Value::from(fields)
    };
    stages.iter().map(stage).collect()
}

fn guardrails(guardrails: &Guardrails) -> Fields {
    Fields::new()
        .with("error_threshold_bps", guardrails.error_threshold_bps.get())
        .with("success_threshold_bps", guardrails.success_threshold_bps.get())
        .with("min_requests", guardrails.min_requests)
        .with("max_blocks", guardrails.max_blocks.map_or(0, NonZeroU32::get))
        .with("auto_promote", guardrails.auto_promote)
        .with("auto_rollback", guardrails.auto_rollback)
        .with("regression_z_centi", guardrails.regression_z_centi.map_or(0, NonZeroU16::get))
}

/// An entry of a history. It has a reason if there is one.
pub fn change(record: &PluginChange) -> Fields {
    let fields = Fields::new()
        .text("action", record.action)
        .text("version", &record.version)
        .with("success", record.success)
        .with("share_bps", record.share.get())
        .with("duration", record.duration);
    let is_reason = record.reason != PluginReason::None;
    let fields = if is_reason { fields.text("reason", record.reason) } else { fields };
    fields
        .with("actor", actor(&record.actor))
        .and(record.evidence.map_or_else(Fields::new, |evidence| self::evidence(&evidence)))
}

/// The figures that decided, named as in the events.
fn evidence(evidence: &Evidence) -> Fields {
    Fields::new()
        .with("requests", evidence.requests)
        .with("errors", evidence.errors)
        .with("production_requests", evidence.production_requests)
        .with("production_errors", evidence.production_errors)
        .with("threshold", evidence.threshold.number())
}
