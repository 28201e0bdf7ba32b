//! Which events a sink wants: by kind, and by the name of a feature or plugin.

use std::fmt;
use std::str::FromStr;

use coalmine_core::{Cause, Event, Name, PluginReason, ValueError};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an event means to somebody who watches a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A canary, rollout or deployment begins.
    Start,
    /// It has come to its end: enabled, promoted, its target reached. Also, the breaker closes.
    Complete,
    /// It was rolled back or paused by a rule, could not be loaded, or the breaker opened.
    Failure,
    /// Every event, also those of no other kind.
    All,
}

/// The kind of an event; none if it is of interest only to whoever wants all.
#[must_use]
pub const fn kind(event: &Event) -> Option<Kind> {
    match event {
        Event::StatusChanged { cause, .. } => match cause {
            Cause::CanaryStarted | Cause::RolloutStarted => Some(Kind::Start),
            Cause::TargetReached | Cause::Enabled => Some(Kind::Complete),
            Cause::RolledBack => Some(Kind::Failure),
            Cause::Created | Cause::Stepped | Cause::Disabled | Cause::Paused => None,
        },
        Event::Deployed { .. } => Some(Kind::Start),
        Event::Promoted { .. } | Event::Concluded { .. } | Event::BreakerClosed { .. } => Some(Kind::Complete),
        Event::RolledBack { .. }
        | Event::DeploymentRolledBack { .. }
        | Event::Reverted { .. }
        | Event::BreakerTripped { .. }
        | Event::LoadFailed { .. }
        | Event::LoadDisputed { .. } => Some(Kind::Failure),
        Event::Paused { reason, .. } => match reason {
            PluginReason::None | PluginReason::Manual => None,
            PluginReason::ErrorRate
            | PluginReason::Regression
            | PluginReason::Timeout
            | PluginReason::Unhealthy
            | PluginReason::CircuitBreaker
            | PluginReason::Dependents
            | PluginReason::Canary
            | PluginReason::Production
            | PluginReason::Inconclusive
            | PluginReason::LoadError => Some(Kind::Failure),
        },
        Event::ScheduleExecuted { code, .. } => match code {
            0 => None,
            _ => Some(Kind::Failure),
        },
        Event::FeatureCreated { .. }
        | Event::FeatureConfigured { .. }
        | Event::Stepped { .. }
        | Event::StepHeld { .. }
        | Event::StepBlocked { .. }
        | Event::OverrideSet { .. }
        | Event::OverrideCleared { .. }
        | Event::BreakerDrained
        | Event::Scheduled { .. }
        | Event::ScheduleCancelled { .. }
        | Event::RoleGranted { .. }
        | Event::RoleRevoked { .. }
        | Event::ParamsSet
        | Event::RulesSet { .. }
        | Event::RoundClosed { .. }
        | Event::RoundShort { .. }
        | Event::VersionRegistered { .. }
        | Event::VersionEvicted { .. }
        | Event::Staged { .. }
        | Event::StageHeld { .. }
        | Event::Waiting { .. }
        | Event::Resumed { .. }
        | Event::VersionRetired { .. }
        | Event::HealthAttested { .. }
        | Event::LoadPlanned { .. }
        | Event::Loaded { .. }
        | Event::Unloaded { .. }
        | Event::FeedInsert { .. }
        | Event::FeedUpdated { .. }
        | Event::FeedDelete { .. }
        | Event::FeedReceivedAll => None,
    }
}

/// A name, or the beginning of names with a `*` behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// One name.
    Name(Name),
    /// All names that begin so; of an empty one, all.
    Prefix(String),
}

impl Pattern {
    fn matches(&self, name: &Name) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Prefix(prefix) => name.as_str().starts_with(prefix),
        }
    }
}

impl FromStr for Pattern {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text.strip_suffix('*') {
            None => text.parse().map(Self::Name),
            Some("") => Ok(Self::Prefix(String::new())),
            // What no name begins with would match nothing, silently.
            Some(prefix) => prefix.parse::<Name>().map(|_| Self::Prefix(prefix.into())),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name.as_str()),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|error| D::Error::custom(format!("{text:?}: {error}; a * may stand at its end")))
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What a sink wants. A list that is empty wants all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Kinds of events.
    pub kinds: Vec<Kind>,
    /// Names of features.
    pub features: Vec<Pattern>,
    /// Names of plugins.
    pub plugins: Vec<Pattern>,
}

impl Filter {
    /// Whether the sink wants an event. If it names features or plugins, it wants what is about these, and what the breaker
    /// does, which is about all of them.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        let is_kind = |wanted: &Kind| *wanted == Kind::All || Some(*wanted) == kind(event);
        (self.kinds.is_empty() || self.kinds.iter().any(is_kind)) && self.is_about(event)
    }

    fn is_about(&self, event: &Event) -> bool {
        if self.features.is_empty() && self.plugins.is_empty() {
            return true;
        }
        let is_named = |patterns: &[Pattern], name: Option<&Name>| {
            name.is_some_and(|name| patterns.iter().any(|pattern| pattern.matches(name)))
        };
        let is_breaker =
            matches!(event, Event::BreakerTripped { .. } | Event::BreakerClosed { .. } | Event::BreakerDrained);
        is_breaker || is_named(&self.features, event.feature()) || is_named(&self.plugins, event.plugin())
    }
}

#[cfg(test)]
mod tests {
    use coalmine_core::{Address, Percent, Reason, Status};

    use super::*;

    fn changed(name: &str, cause: Cause) -> Event {
        let (from, to) = (Status::Disabled, Status::Canary);
        let name = name.parse().unwrap();
        Event::StatusChanged { name, from, to, percent: Percent::new(10).unwrap(), cause, actor: Address::ZERO }
    }

    fn promoted(name: &str) -> Event {
        let version = || "1.0.0".parse().unwrap();
        Event::Promoted { plugin: name.parse().unwrap(), from: version(), to: version() }
    }

    fn tripped() -> Event {
        Event::BreakerTripped { reason: Reason::Manual, until: None, draining: false, actor: Address::ZERO }
    }

    fn filter(kinds: &[Kind], features: &[&str], plugins: &[&str]) -> Filter {
        let patterns = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Filter { kinds: kinds.into(), features: patterns(features), plugins: patterns(plugins) }
    }

    #[test]
    fn a_sink_gets_what_it_wants() {
        let started = changed("pay.v2", Cause::CanaryStarted);
        let all: &[Kind] = &[];
        for (filter, event, wanted) in [
            (filter(all, &[], &[]), started.clone(), true),
            (filter(all, &[], &[]), Event::ParamsSet, true),
            (filter(&[Kind::All], &[], &[]), Event::ParamsSet, true),
            (filter(&[Kind::Start], &[], &[]), started.clone(), true),
            (filter(&[Kind::Start], &[], &[]), Event::ParamsSet, false),
            (filter(&[Kind::Complete, Kind::Failure], &[], &[]), started.clone(), false),
            (filter(&[Kind::Complete], &[], &[]), changed("a", Cause::TargetReached), true),
            (filter(&[Kind::Complete], &[], &[]), promoted("a"), true),
            (filter(&[Kind::Failure], &[], &[]), tripped(), true),
            (filter(&[Kind::Failure], &[], &[]), Event::ScheduleExecuted { id: 1, code: 5, index: 0 }, true),
            (filter(&[Kind::Failure], &[], &[]), Event::ScheduleExecuted { id: 1, code: 0, index: 0 }, false),
            (filter(all, &["pay*"], &[]), started.clone(), true),
            (filter(all, &["pay.v2"], &[]), started.clone(), true),
            (filter(all, &["pay"], &[]), started.clone(), false),
            (filter(all, &["*"], &[]), started.clone(), true),
            (filter(all, &["*"], &[]), promoted("pay"), false),
            (filter(all, &[], &["pay*"]), started, false),
            (filter(all, &[], &["pay*"]), promoted("pay"), true),
            (filter(all, &["pay"], &[]), tripped(), true),
            (filter(&[Kind::Start], &["pay"], &[]), tripped(), false),
            (filter(all, &["pay"], &[]), Event::ParamsSet, false),
        ] {
            assert_eq!(filter.wants(&event), wanted, "{filter:?} {event:?}");
        }
    }

    #[test]
    fn patterns_are_names() {
        for (text, is_one) in
            [("a", true), ("a*", true), ("*", true), ("", false), ("*a", false), ("a b", false), ("-*", false)]
        {
            assert_eq!(
                text.parse::<Pattern>().map(|pattern| pattern.to_string() == text),
                if is_one { Ok(true) } else { Err(ValueError::Name) },
                "{text:?}"
            );
        }
    }
}
