//! Evaluations as OpenFeature knows them: features are boolean flags, plugins are string flags.
//!
//! What is per flag is stable: a client that compares whole flags must not find one changed because a block has passed.

use std::borrow::Cow;
use std::cell::Cell;
use std::convert::Infallible;

use coalmine_auth::address_of_targeting_key;
use coalmine_core::{
    Address, ChainId, DeploymentSummary, Facts, Height, Lookup, Name, State, Status, Verdict, Why, decide,
};
use serde::Serialize;

use crate::http::since::Of;

/// What the key of a plugin begins with.
pub(super) const PLUGIN: &str = "plugin/";

/// What a key is the flag of; none if it cannot be one.
pub(super) fn flag_of(key: &str) -> Option<(Of, Name)> {
    let (of, name) = key.strip_prefix(PLUGIN).map_or((Of::Feature, key), |plugin| (Of::Plugin, plugin));
    Some((of, name.parse().ok()?))
}

/// Why a flag has its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reason {
    Static,
    TargetingMatch,
    Split,
    Disabled,
    Unknown,
}

impl Reason {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Disabled => "DISABLED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoValue {
    FlagNotFound,
    TargetingKeyMissing,
}

/// The value of a flag.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum FlagValue {
    Bool(bool),
    Text(String),
}

/// A flag that was evaluated.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Flag<'k> {
    pub(super) key: Cow<'k, str>,
    pub(super) value: FlagValue,
    #[serde(serialize_with = "reason_name")]
    pub(super) reason: Reason,
    pub(super) variant: Cow<'static, str>,
    pub(super) metadata: Metadata,
}

fn reason_name<S: serde::Serializer>(reason: &Reason, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(reason.name())
}

/// What else is told of a flag.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    status: &'static str,
    percent_bp: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) height: Option<Height>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<String>,
}

/// Evaluates flags on one state for one targeting key. What is not in the state is filled in later: blocks wait while it is
/// read.
pub(super) struct Evaluator<'s> {
    state: &'s State,
    user: Option<Address>,
}

impl<'s> Evaluator<'s> {
    pub(super) fn new(state: &'s State, targeting_key: Option<&str>) -> Self {
        Self { state, user: targeting_key.map(address_of_targeting_key) }
    }

    /// Evaluates the flag of a key.
    pub(super) fn flag<'k>(&self, key: impl Into<Cow<'k, str>>, (of, name): &(Of, Name)) -> Result<Flag<'k>, NoValue> {
        match of {
            Of::Feature => self.feature(key.into(), name),
            Of::Plugin => self.plugin(key.into(), name),
        }
    }

    fn feature<'k>(&self, key: Cow<'k, str>, name: &Name) -> Result<Flag<'k>, NoValue> {
        let feature = self.state.feature(name).ok_or(NoValue::FlagNotFound)?;
        let verdict = match &self.user {
            Some(user) => self.state.check(name, user),
            None => for_anybody(self.state, name).ok_or(NoValue::TargetingKeyMissing)?,
        };
        let decided_by = (verdict.decided_by != *name).then(|| verdict.decided_by.to_string());
        Ok(Flag {
            key,
            value: FlagValue::Bool(verdict.on),
            reason: reason(verdict.why),
            variant: if verdict.on { "on" } else { "off" }.into(),
            metadata: Metadata {
                status: feature.status.name(),
                percent_bp: feature.rollout_percent.bps().get(),
                since: None,
                decided_by,
                height: None,
                root: None,
            },
        })
    }

    fn plugin<'k>(&self, key: Cow<'k, str>, name: &Name) -> Result<Flag<'k>, NoValue> {
        let plugin = self.state.plugin(name).ok_or(NoValue::FlagNotFound)?;
        let deployment = self.state.deployment(name);
        let (version, reason) = match (deployment, &self.user) {
            (None, _) => (&plugin.current, Reason::Static),
            (Some(_), None) => return Err(NoValue::TargetingKeyMissing),
            (Some(_), Some(user)) => (self.state.route(name, &user.0).unwrap_or(&plugin.current), Reason::Split),
        };
        let summary = DeploymentSummary::of(deployment);
        Ok(Flag {
            key,
            value: FlagValue::Text(version.to_string()),
            reason,
            variant: version.to_string().into(),
            metadata: Metadata {
                status: summary.status.name(),
                percent_bp: summary.share.get(),
                since: None,
                decided_by: None,
                height: None,
                root: None,
            },
        })
    }
}

const fn reason(why: Why) -> Reason {
    match why {
        Why::Status(Status::Enabled | Status::Canary | Status::RollingOut) => Reason::Static,
        Why::Status(Status::Disabled | Status::RolledBack) => Reason::Disabled,
        Why::Override => Reason::TargetingMatch,
        Why::Bucket { .. } => Reason::Split,
        Why::Unknown => Reason::Unknown,
    }
}

/// What holds for every user; `None` if an override or a bucket would have to be looked up.
fn for_anybody(state: &State, name: &Name) -> Option<Verdict> {
    let anybody = Anybody { state, depends_on_user: Cell::new(false) };
    let Ok(verdict) = decide(&anybody, name, &Address::ZERO);
    (!anybody.depends_on_user.get()).then_some(verdict)
}

/// A state that notes whether it was asked for what differs from user to user.
struct Anybody<'s> {
    state: &'s State,
    depends_on_user: Cell<bool>,
}

impl Lookup for Anybody<'_> {
    type Error = Infallible;

    fn chain(&self) -> Result<ChainId, Infallible> {
        self.state.chain()
    }

    fn facts(&self, name: &Name, user: &Address) -> Result<Option<Facts<'_>>, Infallible> {
        let facts = self.state.facts(name, user)?;
        let differs = facts.as_ref().is_some_and(|facts| match facts.exposure.status {
            Status::Disabled | Status::RolledBack => false,
            Status::Canary | Status::RollingOut => true,
            Status::Enabled => self.state.has_overrides(name),
        });
        // That of the feature itself is asked first; if it is off, no other is.
        self.depends_on_user.set(self.depends_on_user.get() || differs);
        Ok(facts)
    }
}
