//! What pages say about features and plugins, in the words and colours that all of them share.

use coalmine_chart::{number, rate};
use coalmine_core::{
    Address, Advance, Counts, Deployment, Feature, Gate, Height, Hold, Metrics, Name, Plugin, Policy, State, Status,
};

/// What a colour stands for. Words always say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Fully on.
    On,
    /// On its way.
    Moving,
    /// Something keeps it where it is.
    Held,
    /// Rolled back.
    Bad,
    /// Off.
    Off,
}

impl Tone {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Moving => "moving",
            Self::Held => "held",
            Self::Bad => "bad",
            Self::Off => "off",
        }
    }
}

/// A status with its colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Badge {
    pub(super) words: String,
    pub(super) tone: Tone,
}

/// A share of users or units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    /// In words.
    pub(super) words: String,
    /// In percent, for the bar.
    pub(super) bar: u64,
}

/// An error rate beside the one that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorRate {
    /// The rate, or why there is none.
    pub(super) words: String,
    /// What it is of, and what is allowed.
    pub(super) detail: String,
    /// From 0 to 100, where 50 is what is allowed; none without a rate.
    pub(super) bar: Option<u64>,
    /// Whether it is above what is allowed.
    pub(super) is_above: bool,
}

/// A feature or plugin in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) href: String,
    pub(super) badge: Badge,
    pub(super) share: Share,
    pub(super) errors: Option<ErrorRate>,
    pub(super) next: String,
}

/// The page of a feature.
pub(super) fn feature_href(name: &Name) -> String {
    format!("/features/{name}")
}

/// The page of a plugin.
pub(super) fn plugin_href(name: &Name) -> String {
    format!("/plugins/{name}")
}

/// `errors` of `operations` beside a threshold in basis points.
pub(super) fn error_rate(errors: u64, operations: u64, threshold: u32) -> ErrorRate {
    let threshold = u64::from(threshold);
    let detail = format!("{} of {}, at most {}", number(errors), number(operations), rate(threshold));
    let scaled = u128::from(errors).saturating_mul(10_000);
    let Some(bps) = scaled.checked_div(operations.into()).and_then(|bps| u64::try_from(bps).ok()) else {
        let detail = format!("at most {}", rate(threshold));
        return ErrorRate { words: "no reports".into(), detail, bar: None, is_above: false };
    };
    let bar = match threshold {
        0 => {
            if bps > 0 {
                100
            } else {
                0
            }
        }
        threshold => bps.saturating_mul(50).div_ceil(threshold).min(100),
    };
    ErrorRate { words: rate(bps), detail, bar: Some(bar), is_above: bps > threshold }
}

/// How far off a height is, behind its number.
pub(super) fn away(at: Height, now: Height) -> String {
    match at.checked_sub(now) {
        Some(0) | None => format!("block {}, due now", number(at.into())),
        Some(1) => format!("block {}, in 1 block", number(at.into())),
        Some(blocks) => format!("block {}, in {} blocks", number(at.into()), number(blocks.into())),
    }
}

/// A text whose numbers stay beside their signs of percent.
pub(super) fn tidy(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

/// A sentence: with a full stop, and with a capital unless it begins with the name of something.
pub(super) fn sentence(text: &str, name: Option<&Name>) -> String {
    let text = tidy(text);
    let end = if text.ends_with('.') || text.is_empty() { "" } else { "." };
    if name.is_some_and(|name| text.starts_with(name.as_str())) {
        return format!("{text}{end}");
    }
    let mut chars = text.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}{end}", chars.as_str())
}

/// Who did it: an address, or the ledger by itself.
pub(super) fn actor(actor: &Address) -> String {
    if *actor == Address::ZERO { "the ledger itself".into() } else { actor.to_string() }
}

pub(super) fn feature_badge(status: Status) -> Badge {
    let (words, tone) = match status {
        Status::Disabled => ("disabled", Tone::Off),
        Status::Canary => ("canary", Tone::Moving),
        Status::RollingOut => ("rolling out", Tone::Moving),
        Status::Enabled => ("enabled", Tone::On),
        Status::RolledBack => ("rolled back", Tone::Bad),
    };
    Badge { words: words.into(), tone }
}

/// Whether a feature belongs to those that are looked at first.
pub(super) const fn is_feature_open(status: Status) -> bool {
    match status {
        Status::RolledBack | Status::Canary | Status::RollingOut => true,
        Status::Disabled | Status::Enabled => false,
    }
}

pub(super) fn feature_row(feature: &Feature, metrics: &Metrics, policy: &Policy, now: Height) -> Row {
    let percent = u64::from(feature.rollout_percent.get());
    // What is off has the counts of its last trial, which say why it was rolled back.
    let has_trial = feature.status.is_on() || feature.status == Status::RolledBack;
    let operations = feature.error_count.saturating_add(feature.success_count);
    Row {
        kind: "feature",
        name: feature.name.to_string(),
        href: feature_href(&feature.name),
        badge: feature_badge(feature.status),
        share: Share { words: format!("{percent}\u{a0}% of users"), bar: percent },
        errors: has_trial.then(|| error_rate(feature.error_count, operations, feature.max_error_rate)),
        next: feature_next(feature, metrics, policy, now),
    }
}

fn feature_next(feature: &Feature, metrics: &Metrics, policy: &Policy, now: Height) -> String {
    match feature.status {
        Status::Disabled => "waits for start_canary or enable".into(),
        Status::RolledBack => "waits for start_canary, enable or disable".into(),
        Status::Enabled => "nothing".into(),
        Status::Canary => match feature.min_success_count.saturating_sub(feature.success_count) {
            0 => "waits for start_rollout".into(),
            missing => format!("start_rollout after {} more successes", number(missing)),
        },
        Status::RollingOut => {
            let due = feature.last_increment_block.saturating_add(feature.increment_blocks);
            let to = feature.rollout_percent.step(feature.increment_percent, feature.target_percent);
            let missing = policy.step_min_operations.saturating_sub(metrics.step_operations);
            let takes =
                if missing > 0 { format!(", takes {} more operations", number(missing)) } else { String::new() };
            match policy.advance {
                Advance::Automatic => format!("{to}\u{a0}% at {}{takes}", away(due, now)),
                Advance::Manual => format!("advance_rollout to {to}\u{a0}% from {}{takes}", away(due, now)),
            }
        }
    }
}

pub(super) fn plugin_badge(deployment: Option<&Deployment>, is_rolled_back: bool) -> Badge {
    let (words, tone) = match deployment.map(|deployment| (deployment.hold, !deployment.held.is_empty())) {
        None if is_rolled_back => ("rolled back", Tone::Bad),
        None => ("serving", Tone::On),
        Some((Hold::Running, false)) => ("deploying", Tone::Moving),
        Some((Hold::Running, true)) => ("stage held", Tone::Held),
        Some((Hold::Paused, _)) => ("paused", Tone::Held),
        Some((Hold::PausedByRule, _)) => ("paused by a rule", Tone::Bad),
        Some((Hold::ManualGate, _)) => ("at a manual gate", Tone::Held),
        Some((Hold::Completed, _)) => ("waiting for promote", Tone::Held),
        Some((Hold::Dependents, _)) => ("promotion forbidden", Tone::Held),
    };
    Badge { words: words.into(), tone }
}

pub(super) fn plugin_row(
    name: &Name,
    plugin: &Plugin,
    deployment: Option<&Deployment>,
    is_rolled_back: bool,
    now: Height,
) -> Row {
    let share = match deployment {
        Some(deployment) => {
            let share = u64::from(deployment.share().get());
            Share { words: format!("{} to {}", rate(share), deployment.new), bar: share / 100 }
        }
        None => Share { words: format!("all to {}", plugin.current), bar: 0 },
    };
    Row {
        kind: "plugin",
        name: name.to_string(),
        href: plugin_href(name),
        badge: plugin_badge(deployment, is_rolled_back),
        share,
        errors: deployment.map(|deployment| {
            let threshold = deployment.plan.guardrails().error_threshold_bps.get();
            error_rate(deployment.canary.errors, deployment.canary.requests, threshold.into())
        }),
        next: match deployment {
            Some(deployment) => plugin_next(deployment, now),
            None if is_rolled_back => "waits for deploy".into(),
            None => "nothing".into(),
        },
    }
}

fn plugin_next(deployment: &Deployment, now: Height) -> String {
    let Some(stage) = deployment.current_stage() else { return String::new() };
    let end = deployment.stage_height.saturating_add(stage.blocks);
    let following = deployment.plan.stages().get(usize::from(deployment.stage).saturating_add(1));
    match deployment.hold {
        Hold::Running if stage.gate == Gate::Health && !deployment.healthy => {
            format!("waits for attest_health until {}", away(end, now))
        }
        Hold::Running if !deployment.held.is_empty() => {
            let missing = stage.min_requests.saturating_sub(deployment.stage_requests);
            format!("held: takes {} more requests, or more successes", number(missing))
        }
        Hold::Running => match following {
            Some(following) => format!("{} at {}", rate(following.share_bps.get().into()), away(end, now)),
            None => format!("its plan ends at {}", away(end, now)),
        },
        Hold::Paused | Hold::PausedByRule | Hold::ManualGate => "waits for resume".into(),
        Hold::Completed => "waits for promote".into(),
        Hold::Dependents => "waits for resume, which tries again".into(),
    }
}

/// The mean latency of an arm, in the unit of its reports.
pub(super) fn mean_latency(counts: &Counts) -> String {
    counts.latency_sum.checked_div(counts.requests).map_or_else(|| "no reports".into(), number)
}

/// What holds for the whole ledger; none if the breaker is closed.
pub(super) fn breaker(state: &State, now: Height) -> Option<String> {
    let breaker = state.global().breaker?;
    let until =
        breaker.until.map_or_else(|| "until it is reset".into(), |until| format!("until {}", away(until.get(), now)));
    let drains = if breaker.draining { " What is not fully on is being rolled back." } else { "" };
    Some(format!(
        "The circuit breaker is open since block {} ({}), {until}: nothing starts, steps or grows.{drains}",
        number(breaker.since.into()),
        breaker.reason.name().replace('_', " "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_stand_beside_what_is_allowed() {
        for (errors, operations, threshold, words, bar, is_above) in [
            (0, 0, 100, "no reports", None, false),
            (0, 500, 100, "0\u{a0}%", Some(0), false),
            (1, 200, 100, "0.5\u{a0}%", Some(25), false),
            (5, 500, 100, "1\u{a0}%", Some(50), false),
            (6, 506, 100, "1.18\u{a0}%", Some(59), true),
            (500, 500, 100, "100\u{a0}%", Some(100), true),
            (0, 5, 0, "0\u{a0}%", Some(0), false),
            (1, 5, 0, "20\u{a0}%", Some(100), true),
            (u64::MAX, u64::MAX, 10_000, "100\u{a0}%", Some(50), false),
        ] {
            let found = error_rate(errors, operations, threshold);
            assert_eq!(
                (found.words.as_str(), found.bar, found.is_above),
                (words, bar, is_above),
                "{errors}/{operations}"
            );
        }
    }

    #[test]
    fn heights_are_near_or_far() {
        for (at, now, words) in [
            (10, 10, "block 10, due now"),
            (9, 10, "block 9, due now"),
            (11, 10, "block 11, in 1 block"),
            (2_000, 10, "block 2\u{a0}000, in 1\u{a0}990 blocks"),
        ] {
            assert_eq!(away(at, now), words);
        }
    }

    #[test]
    fn sentences_begin_and_end() {
        let name: Name = "search".parse().unwrap();
        for (text, whole) in [
            ("", ""),
            ("rolled back", "Rolled back."),
            ("It is.", "It is."),
            ("ö", "Ö."),
            ("search grows to 5 %", "search grows to 5\u{a0}%."),
        ] {
            assert_eq!(sentence(text, Some(&name)), whole);
        }
    }
}
