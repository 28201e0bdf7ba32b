//! Events, receipts, notes and verdicts.

use std::num::NonZeroU32;

use coalmine_core::{Address, Event, Evidence, Name, Note, Receipt, Reject, Verdict, Why};

use super::fields::Fields;

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
        Event::BreakerTripped { reason, until, draining, actor } => fields
            .text("reason", reason)
            .with("until", until.map_or(0, NonZeroU32::get))
            .with("draining", *draining)
            .text("actor", actor),
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
        Event::VersionRegistered { plugin, version }
        | Event::VersionEvicted { plugin, version }
        | Event::VersionRetired { plugin, version }
        | Event::Loaded { plugin, version }
        | Event::Unloaded { plugin, version } => fields.text("plugin", plugin).text("version", version),
        Event::Deployed { plugin, version, strategy } => {
            fields.text("plugin", plugin).text("version", version).text("strategy", strategy)
        }
        Event::Staged { plugin, stage, share } => {
            fields.text("plugin", plugin).with("stage", *stage).with("share_bps", share.get())
        }
        Event::StageHeld { plugin, reason, requests, errors } => {
            fields.text("plugin", plugin).text("reason", reason).with("requests", *requests).with("errors", *errors)
        }
        Event::Waiting { plugin, hold } => fields.text("plugin", plugin).text("hold", hold),
        Event::Paused { plugin, reason, evidence: of } => {
            fields.text("plugin", plugin).text("reason", reason).and(evidence(of))
        }
        Event::Resumed { plugin } => fields.text("plugin", plugin),
        Event::Promoted { plugin, from, to } | Event::Reverted { plugin, from, to } => {
            fields.text("plugin", plugin).text("from", from).text("to", to)
        }
        Event::DeploymentRolledBack { plugin, version, reason, evidence: of, actor } => fields
            .text("plugin", plugin)
            .text("version", version)
            .text("reason", reason)
            .and(evidence(of))
            .text("actor", actor),
        Event::Concluded { plugin, version, winner, evidence: of } => {
            fields.text("plugin", plugin).text("version", version).text("winner", winner).and(evidence(of))
        }
        Event::HealthAttested { plugin, version, healthy } => {
            fields.text("plugin", plugin).text("version", version).with("healthy", *healthy)
        }
        Event::LoadPlanned { plugin, version, state } => {
            fields.text("plugin", plugin).text("version", version).text("load_state", state)
        }
        Event::LoadFailed { plugin, version, code } => {
            let why = Reject::from_code(*code).map_or("load_error", Reject::name);
            fields.text("plugin", plugin).text("version", version).with("why", why)
        }
        Event::LoadDisputed { plugin, version, ok } => {
            fields.text("plugin", plugin).text("version", version).with("ok", *ok)
        }
        Event::FeedInsert { kind, id, version }
        | Event::FeedUpdated { kind, id, version }
        | Event::FeedDelete { kind, id, version } => fields.text("kind", kind).text("id", id).with("version", *version),
    }
}

fn evidence(evidence: &Evidence) -> Fields {
    Fields::new()
        .with("requests", evidence.requests)
        .with("errors", evidence.errors)
        .with("production_requests", evidence.production_requests)
        .with("production_errors", evidence.production_errors)
        .with("threshold", evidence.threshold.number())
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
