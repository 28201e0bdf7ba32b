//! Events, receipts, and what is told of transactions and answers.

use coalmine_core::{Address, Event, Name, Note, Receipt, Reject, Verdict, Why};

use super::fields::Fields;
use super::plugin;

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
