//! Sentences about what happens, for people. The figures are those of events and histories.

use coalmine_core::{
    Address, BreakerClosedBy, Cause, Change, Event, Evidence, Hold, PluginAction, PluginChange, PluginReason, Reject,
    RollbackEvidence, RollbackRule, Shortfall, Status, Threshold,
};

/// A rate per 10 000, and what it is in percent: `250 per 10 000 (2.50 %)`.
#[must_use]
pub fn rate(per_10_000: u64) -> String {
    format!("{per_10_000} per 10 000 ({})", percent_of(per_10_000))
}

/// A rate or share per 10 000 in percent: `2.50 %`, without fractions where there are none.
pub(crate) fn percent_of(per_10_000: u64) -> String {
    let (whole, rest) = (per_10_000 / 100, per_10_000 % 100);
    if rest == 0 { format!("{whole} %") } else { format!("{whole}.{rest:02} %") }
}

/// `a, b and c`; `nothing` of no items.
pub(crate) fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => "nothing".into(),
        [only] => only.as_ref().into(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// `1 more error`, `2 more errors`.
pub(crate) fn more(count: u64, one: &str) -> String {
    format!("{count} more {one}{}", if count == 1 { "" } else { plural(one) })
}

fn plural(one: &str) -> &'static str {
    if one.ends_with("ss") { "es" } else { "s" }
}

/// ` by 0x…`, or nothing for what happens by itself.
fn by(actor: &Address) -> String {
    if *actor == Address::ZERO { String::new() } else { format!(" by {actor}") }
}

/// What a status is called in a sentence.
pub(crate) const fn status(status: Status) -> &'static str {
    match status {
        Status::Disabled => "disabled",
        Status::Canary => "a canary",
        Status::RollingOut => "rolling out",
        Status::Enabled => "enabled",
        Status::RolledBack => "rolled back",
    }
}

/// What has decided a rollback, with the figures that it judged and its threshold.
pub(crate) fn evidence(evidence: &RollbackEvidence) -> String {
    let RollbackEvidence { rule, errors, successes, value, threshold } = *evidence;
    let counts = format!("{errors} errors and {successes} successes");
    match rule {
        RollbackRule::Command => format!("rule command, with {counts} in the trial"),
        RollbackRule::Breaker => format!("rule breaker, with {counts} in the trial"),
        RollbackRule::Invariants => format!(
            "rule invariants: {value} failed invariant checks in the trial, above max_invariant_failures {threshold}"
        ),
        RollbackRule::ErrorRate => format!(
            "rule error_rate: {counts} in the trial are {}, above max_error_rate {}",
            rate(value),
            rate(threshold)
        ),
        RollbackRule::WindowErrorRate => format!(
            "rule window_error_rate: {counts} in this window and the one before are {}, above max_error_rate {}",
            rate(value),
            rate(threshold)
        ),
        RollbackRule::Latency => format!(
            "rule latency: the operations of the trial ({counts}) took {value} on average, above max_latency {threshold}"
        ),
    }
}

/// What has decided about a deployment, with the figures.
fn plugin_evidence(reason: PluginReason, evidence: Option<&Evidence>) -> String {
    let Some(Evidence { requests, errors, production_requests, production_errors, threshold }) = evidence else {
        return format!("reason {reason}");
    };
    let canary = format!("{errors} errors in {requests} requests of the new version");
    let arms = format!("{canary} against {production_errors} in {production_requests} of the current one");
    match threshold {
        Threshold::None => format!("reason {reason}: {canary}"),
        Threshold::ErrorRate(bps) => {
            format!("reason {reason}: {canary}, above error_threshold {}", rate(*bps))
        }
        Threshold::Z(centi) => format!("reason {reason}: {arms}, at a z of {}", hundredths(*centi)),
        Threshold::Reject(reject) => {
            format!("reason {reason}: a promotion would be rejected as {reject}, with {canary}")
        }
        Threshold::Blocks(blocks) => format!("reason {reason}: max_blocks {blocks} have passed, with {canary}"),
    }
}

fn hundredths(centi: u64) -> String {
    format!("{}.{:02}", centi / 100, centi % 100)
}

/// An entry of the history of a feature as a sentence without its height.
#[must_use]
pub fn feature_change_sentence(change: &Change) -> String {
    let Change { status: to, percent, cause, reason, actor, evidence: decided } = change;
    let by = by(actor);
    match (cause, decided) {
        (Cause::Created, _) => format!("created{by}"),
        (Cause::CanaryStarted, _) => format!("canary started at {percent} %{by}"),
        (Cause::RolloutStarted, _) => format!("rollout started from {percent} %{by}"),
        (Cause::Stepped, _) => format!("stepped to {percent} %{by}"),
        (Cause::TargetReached, _) => format!("target of {percent} % reached, {}{by}", status(*to)),
        (Cause::Enabled, _) => format!("enabled{by}"),
        (Cause::Disabled, _) => format!("disabled{by}"),
        (Cause::Paused, _) => format!("paused at {percent} %{by}"),
        (Cause::RolledBack, Some(decided)) => format!("rolled back{by}, {}; reason {reason}", evidence(decided)),
        (Cause::RolledBack, None) => format!("rolled back{by}; reason {reason}"),
    }
}

/// An entry of the history of a plugin as a sentence without its height.
#[must_use]
pub fn plugin_change_sentence(change: &PluginChange) -> String {
    let PluginChange { action, version, share, duration, reason, actor, evidence, .. } = change;
    let by = by(actor);
    let share = percent_of(share.get().into());
    let decided = plugin_evidence(*reason, evidence.as_ref());
    match action {
        PluginAction::Registered => format!("{version} registered{by}"),
        PluginAction::Deployed => format!("deployment of {version} started at {share}{by}"),
        PluginAction::Staged => format!("deployment of {version} grew to {share}{by}"),
        PluginAction::Paused => format!("deployment of {version} paused at {share}{by}, reason {reason}"),
        PluginAction::Resumed => format!("deployment of {version} resumed at {share}{by}"),
        PluginAction::Promoted => format!("{version} promoted{by} after {duration} blocks"),
        PluginAction::RolledBack => format!("{version} rolled back{by} at {share} after {duration} blocks, {decided}"),
        PluginAction::Reverted => format!("reverted{by} to {version}"),
        PluginAction::Concluded => format!("comparison of {version} concluded after {duration} blocks, {decided}"),
        PluginAction::Retired => format!("{version} retired{by}"),
        PluginAction::Loaded => format!("{version} loaded{by}"),
        PluginAction::Unloaded => format!("{version} unloaded{by}"),
        PluginAction::LoadFailed => format!("{version} failed to load{by}, reason {reason}"),
    }
}

/// An event as a sentence.
#[must_use]
pub fn event_sentence(event: &Event) -> String {
    match event {
        Event::FeatureCreated { name } => format!("{name} is created"),
        Event::FeatureConfigured { name } => format!("{name} is configured"),
        Event::StatusChanged { name, to, percent, cause, actor, .. } => {
            let by = by(actor);
            match cause {
                Cause::TargetReached => format!("{name} reaches its target: {} at {percent} %{by}", status(*to)),
                Cause::Paused => format!("{name} is paused at {percent} %{by}"),
                Cause::RolloutStarted => format!("{name} starts to roll out from {percent} %{by}"),
                Cause::CanaryStarted => format!("{name} becomes a canary at {percent} %{by}"),
                Cause::Enabled => format!("{name} is enabled for everybody{by}"),
                Cause::Disabled => format!("{name} is disabled{by}"),
                Cause::Created | Cause::Stepped | Cause::RolledBack => {
                    format!("{name} is {} at {percent} %{by}", status(*to))
                }
            }
        }
        Event::Stepped { name, from_percent, to_percent } => {
            format!("{name} grows from {from_percent} % to {to_percent} %")
        }
        Event::StepHeld { name, operations, needed } => {
            format!("a step of {name} is held: {operations} operations since the last one, {} needed", (*needed).max(1))
        }
        Event::StepBlocked { name, prerequisite } => {
            format!("a step of {name} is blocked: its prerequisite {prerequisite} is off")
        }
        Event::RolledBack { name, rule, reason, errors, successes, value, threshold, actor } => {
            let (rule, errors, successes, value, threshold) = (*rule, *errors, *successes, *value, *threshold);
            let decided = evidence(&RollbackEvidence { rule, errors, successes, value, threshold });
            format!("{name} is rolled back{}, {decided}; reason {reason}", by(actor))
        }
        Event::OverrideSet { name, user, enabled } => {
            format!("{name} is switched {} for {user}", if *enabled { "on" } else { "off" })
        }
        Event::OverrideCleared { name, user } => format!("{name} has no override for {user} any more"),
        Event::BreakerTripped { reason, until, draining, actor } => {
            let until = until.map_or_else(|| "it is reset".into(), |until| format!("height {until}"));
            let drain = if *draining { ", and rolls back what is not fully on" } else { "" };
            format!("the circuit breaker opens{} ({reason}), until {until}{drain}", by(actor))
        }
        Event::BreakerClosed { by: BreakerClosedBy::Reset } => "the circuit breaker is reset".into(),
        Event::BreakerClosed { by: BreakerClosedBy::Expiry } => "the circuit breaker closes by itself".into(),
        Event::BreakerDrained => "the circuit breaker has rolled back everything that was under way".into(),
        Event::Scheduled { id, at } => format!("entry {id} is scheduled for height {at}"),
        Event::ScheduleCancelled { id } => format!("entry {id} of the schedule is cancelled"),
        Event::ScheduleExecuted { id, code: 0, .. } => format!("entry {id} of the schedule succeeds"),
        Event::ScheduleExecuted { id, code, index } => {
            let reject = Reject::from_code(*code).map_or_else(|| code.to_string(), |reject| reject.to_string());
            format!("entry {id} of the schedule is rejected: {reject} of command {index}")
        }
        Event::RoleGranted { address, role } => format!("{address} becomes {}", role.name()),
        Event::RoleRevoked { address, role } => format!("{address} is {} no more", role.name()),
        Event::ParamsSet => "the parameters change".into(),
        Event::RulesSet { from, to } => format!("rule set {to} takes over from {from}"),
        Event::RoundClosed { pool, reporters, acted } => {
            let acted = if *acted { "acts" } else { "is dropped" };
            format!(
                "the round of {} about {} closes with {reporters} reporters and {acted}",
                pool.kind(),
                subject(pool)
            )
        }
        Event::RoundShort { pool, reporters, quorum } => format!(
            "the round of {} about {} closes without effect: {reporters} of {quorum} reporters",
            pool.kind(),
            subject(pool)
        ),
        Event::VersionRegistered { plugin, version } => format!("{plugin} {version} is registered"),
        Event::VersionEvicted { plugin, version } => format!("{plugin} {version} gives way to a new version"),
        Event::Deployed { plugin, version, strategy } => format!("{plugin} {version} is deployed ({strategy})"),
        Event::Staged { plugin, stage, share } => {
            let stage = stage.saturating_add(1);
            format!("the deployment of {plugin} grows to {} in stage {stage}", percent_of(share.get().into()))
        }
        Event::StageHeld { plugin, reason, requests, errors } => {
            let short = match reason {
                Shortfall::Requests => "too few requests",
                Shortfall::SuccessRate => "too low a success rate",
            };
            format!(
                "the deployment of {plugin} is held by {short}: {errors} errors in {requests} requests of the stage"
            )
        }
        Event::Waiting { plugin, hold } => {
            let command = if *hold == Hold::Completed { "promote" } else { "resume" };
            format!("the deployment of {plugin} waits for {command} ({hold})")
        }
        Event::Paused { plugin, reason, evidence } => {
            format!("the deployment of {plugin} is paused, {}", plugin_evidence(*reason, Some(evidence)))
        }
        Event::Resumed { plugin } => format!("the deployment of {plugin} is resumed"),
        Event::Promoted { plugin, from, to } => format!("{plugin} {to} takes over from {from}"),
        Event::DeploymentRolledBack { plugin, version, reason, evidence, actor } => {
            format!("{plugin} {version} is rolled back{}, {}", by(actor), plugin_evidence(*reason, Some(evidence)))
        }
        Event::Reverted { plugin, from, to } => format!("{plugin} goes back from {from} to {to}"),
        Event::Concluded { plugin, version, winner, evidence } => {
            format!("the comparison of {plugin} {version} ends, {}", plugin_evidence(*winner, Some(evidence)))
        }
        Event::VersionRetired { plugin, version } => format!("{plugin} {version} is retired"),
        Event::HealthAttested { plugin, version, healthy } => {
            format!("{plugin} {version} is attested as {}", if *healthy { "healthy" } else { "unhealthy" })
        }
        Event::LoadPlanned { plugin, version, state } => format!("{plugin} {version} is to be loaded ({state})"),
        Event::Loaded { plugin, version } => format!("{plugin} {version} is loaded"),
        Event::LoadFailed { plugin, version, code: 0 } => format!("{plugin} {version} fails to load"),
        Event::LoadFailed { plugin, version, .. } => {
            format!("{plugin} {version} fails to load, because one that it requires has failed")
        }
        Event::LoadDisputed { plugin, version, ok } => {
            let said = if *ok { "loaded" } else { "failed" };
            format!("a host says of {plugin} {version} that it has {said}, against what was decided")
        }
        Event::Unloaded { plugin, version } => format!("{plugin} {version} is unloaded"),
        Event::FeedInsert { kind, id, version } => format!("{kind} {id} comes into the feed at version {version}"),
        Event::FeedUpdated { kind, id, version } => format!("{kind} {id} of the feed is updated to version {version}"),
        Event::FeedDelete { kind, id, version } => format!("{kind} {id} leaves the feed at version {version}"),
        Event::FeedReceivedAll => "the feed is complete".into(),
    }
}

fn subject(pool: &coalmine_core::Pool) -> String {
    pool.version().map_or_else(|| pool.subject().to_string(), |version| format!("{} {version}", pool.subject()))
}
