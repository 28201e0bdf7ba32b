//! What happened, in words.

use coalmine_core::{
    Address, Evidence, Hold, PluginChange, PluginReason, Reason, RollbackEvidence, RollbackRule, Shortfall, Threshold,
};

use crate::text::{number, rate};

/// An address that fits a line: its first and last digits.
pub(super) fn short_address(address: &Address) -> String {
    let text = address.to_string();
    let head: String = text.chars().take(6).collect();
    let tail: String = text.chars().skip(text.chars().count().saturating_sub(4)).collect();
    format!("{head}…{tail}")
}

/// Whether a change was made by nobody.
pub(super) fn is_automatic(actor: &Address) -> bool {
    *actor == Address::default()
}

/// `by 0x1111…1111`; nothing for an automatic change.
pub(super) fn by(actor: &Address) -> String {
    if is_automatic(actor) { String::new() } else { format!(" by {}", short_address(actor)) }
}

/// `errors of operations` as a rate in basis points, rounded down as the guard does.
pub(super) fn bps(errors: u64, operations: u64) -> Option<u32> {
    let scaled = u128::from(errors).saturating_mul(10_000);
    scaled.checked_div(operations.into()).and_then(|bps| u32::try_from(bps).ok())
}

/// Why a feature was rolled back, behind `Rolled back`.
pub(super) fn rollback(evidence: Option<&RollbackEvidence>, reason: Reason, actor: &Address) -> String {
    let Some(RollbackEvidence { rule, errors, successes, value, threshold }) = evidence.copied() else {
        return by(actor);
    };
    let (errors_of, value_of, limit) = (number(errors), number(value), number(threshold));
    let rates = |over: &str| {
        let operations = number(errors.saturating_add(successes));
        format!(
            ": the error rate of the {over} is {} ({errors_of} of {operations}), above the limit of {}",
            rate(value),
            rate(threshold)
        )
    };
    match rule {
        RollbackRule::ErrorRate => rates("trial"),
        RollbackRule::WindowErrorRate => rates("window"),
        RollbackRule::Invariants => format!(": {value_of} failed invariant checks, more than the {limit} allowed"),
        RollbackRule::Latency => format!(": the average latency is {value_of}, above the limit of {limit}"),
        RollbackRule::Breaker => " by the circuit breaker".into(),
        RollbackRule::Command => format!("{}{}", by(actor), because(reason)),
    }
}

/// The reason that a command gave; `manual` says nothing.
fn because(reason: Reason) -> String {
    match reason {
        Reason::Manual => String::new(),
        Reason::ErrorRate
        | Reason::InvariantViolation
        | Reason::CircuitBreaker
        | Reason::ConsensusFailure
        | Reason::Performance => format!(": {}", spaced(reason.name())),
    }
}

/// The name of a value as words.
pub(super) fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// Why something happened to a deployment, behind the verb.
pub(super) fn why(change: &PluginChange) -> String {
    why_of(change.reason, change.evidence.as_ref(), &change.actor)
}

/// The same of an event.
pub(super) fn why_of(reason: PluginReason, evidence: Option<&Evidence>, actor: &Address) -> String {
    match (reason, evidence) {
        (PluginReason::None | PluginReason::Manual, _) => by(actor),
        (PluginReason::CircuitBreaker, _) => " by the circuit breaker".into(),
        (PluginReason::ErrorRate, Some(evidence)) => {
            let Evidence { requests, errors, threshold, .. } = evidence;
            format!(
                ": its error rate is {} ({} of {}), above the limit of {}",
                rate(bps(*errors, *requests).unwrap_or(0).into()),
                number(*errors),
                number(*requests),
                rate(threshold.number())
            )
        }
        (
            PluginReason::Regression | PluginReason::Canary | PluginReason::Production | PluginReason::Inconclusive,
            Some(evidence),
        ) => {
            format!(": {}", both_arms(reason, evidence))
        }
        (PluginReason::Timeout, Some(Evidence { threshold: Threshold::Blocks(blocks), .. })) => {
            format!(": not complete within {} blocks", number(*blocks))
        }
        (PluginReason::Timeout, _) => ": its deadline has passed".into(),
        (PluginReason::Unhealthy, _) => ": it is not healthy".into(),
        (PluginReason::Dependents, Some(Evidence { threshold: Threshold::Reject(reject), .. })) => {
            format!(": promoting it would break something ({})", spaced(reject.name()))
        }
        (PluginReason::Dependents, _) => ": promoting it would break something".into(),
        (PluginReason::LoadError, _) => ": it failed to load".into(),
        (
            PluginReason::ErrorRate
            | PluginReason::Regression
            | PluginReason::Canary
            | PluginReason::Production
            | PluginReason::Inconclusive,
            None,
        ) => format!(": {}", spaced(reason.name())),
    }
}

/// The verdict about both arms.
fn both_arms(reason: PluginReason, evidence: &Evidence) -> String {
    let Evidence { requests, errors, production_requests, production_errors, threshold } = *evidence;
    let arm = |errors: u64, requests: u64| {
        let of = format!("{} of {}", number(errors), number(requests));
        bps(errors, requests).map_or_else(|| of.clone(), |bps| format!("{} ({of})", rate(bps.into())))
    };
    let (new, old) = (arm(errors, requests), arm(production_errors, production_requests));
    let z = format!("z ≥ {}.{:02}", threshold.number() / 100, threshold.number() % 100);
    let verdict = match reason {
        PluginReason::Inconclusive => "no clear difference",
        PluginReason::Canary => "significantly fewer errors",
        PluginReason::Regression
        | PluginReason::Production
        | PluginReason::None
        | PluginReason::Manual
        | PluginReason::ErrorRate
        | PluginReason::Timeout
        | PluginReason::Unhealthy
        | PluginReason::CircuitBreaker
        | PluginReason::Dependents
        | PluginReason::LoadError => "significantly more errors",
    };
    format!("{verdict}: {new} against {old} in production ({z})")
}

/// Why a deployment does not run.
pub(super) const fn hold(hold: Hold) -> &'static str {
    match hold {
        Hold::Running => "running",
        Hold::Paused => "paused",
        Hold::PausedByRule => "paused by a rule",
        Hold::ManualGate => "waiting for a resume",
        Hold::Completed => "complete, waiting for a promote",
        Hold::Dependents => "complete, but promoting it would break something",
    }
}

/// What a stage is short of.
pub(super) const fn shortfall(shortfall: Shortfall) -> &'static str {
    match shortfall {
        Shortfall::Requests => "too few requests",
        Shortfall::SuccessRate => "too low a success rate",
    }
}
