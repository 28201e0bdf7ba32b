//! The records of plugins with their encodings.
//!
//! A plugin is code that nodes run under a name. The ledger has only its hash: it decides which version
//! serves a unit and what is to be loaded.

use alloc::sync::Arc;
use core::num::NonZeroU32;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::invariant::promised;
use crate::plugin::manifest::Manifest;
use crate::plugin::version::{Constraint, Version};
use crate::reject::Reject;
use crate::tags::tags;
use crate::valid::Validate;
use crate::values::{Address, Bps, Height, ValueError};

/// The most plugins that require one plugin, including those that wait for it.
pub const DEPENDENTS_MAX: usize = 256;

/// The most plugins that are not Unloaded. Bounds walks along requirements.
pub const LOADED_MAX: usize = 1_024;

/// The most deployments that run at a time. Bounds the walk that every change of the host version makes.
pub const DEPLOYMENTS_MAX: usize = 1_024;

/// The most plugins in the plan of one load or unload.
pub const LOAD_PLUGINS_MAX: usize = 64;

/// The longest path of requirements in the plan of one load, in edges.
pub const LOAD_DEPTH_MAX: usize = 16;

tags! {
    /// Where a plugin is between the ledger's decision to load it and the hosts' attestations.
    LoadState {
        /// Neither loaded nor planned to be.
        Unloaded = 0, "unloaded";
        /// To be loaded as soon as its requirements are Loaded.
        Pending = 1, "pending";
        /// Hosts are loading it.
        Loading = 2, "loading";
        /// A reporter has attested that it is loaded.
        Loaded = 3, "loaded";
        /// It failed to load, or a requirement did.
        Failed = 4, "failed";
        /// Hosts are unloading it.
        Unloading = 5, "unloading";
    }
}

impl LoadState {
    /// Whether requirements must stay as they are for the plugin: Pending, Loading, Loaded or Unloading.
    #[must_use]
    pub const fn pins_requirements(self) -> bool {
        match self {
            Self::Pending | Self::Loading | Self::Loaded | Self::Unloading => true,
            Self::Unloaded | Self::Failed => false,
        }
    }

    /// Whether a load that requires the plugin may leave it out of its plan: Pending, Loading or Loaded.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        match self {
            Self::Pending | Self::Loading | Self::Loaded => true,
            Self::Unloaded | Self::Failed | Self::Unloading => false,
        }
    }
}

tags! {
    /// Where a version is in its lifecycle.
    VersionStatus {
        /// Registered; serves no unit yet.
        Loading = 0, "loading";
        /// The current version.
        Active = 1, "active";
        /// The new version of a deployment.
        Canary = 2, "canary";
        /// Was current until another version took over.
        Deprecated = 3, "deprecated";
        /// Was rolled back, or reverted from. The same code can be registered again.
        Failed = 4, "failed";
        /// Taken out of use for good by retire_version.
        Retired = 5, "retired";
    }
}

tags! {
    /// What happened, in an entry of a plugin's history.
    PluginAction {
        /// A version was registered.
        Registered = 0, "registered";
        /// A deployment started.
        Deployed = 1, "deployed";
        /// A deployment moved on to its next stage.
        Staged = 2, "staged";
        /// A deployment was paused, by a command, a broken rule or dependents.
        Paused = 3, "paused";
        /// A paused or waiting deployment runs again.
        Resumed = 4, "resumed";
        /// The new version became current.
        Promoted = 5, "promoted";
        /// The new version of a deployment was rolled back.
        RolledBack = 6, "rolled_back";
        /// The previous version became current again.
        Reverted = 7, "reverted";
        /// The arms were compared at the end of a plan.
        Concluded = 8, "concluded";
        /// A version was retired.
        Retired = 9, "retired";
        /// A reporter attested that the plugin is loaded.
        Loaded = 10, "loaded";
        /// A reporter attested that the plugin is unloaded.
        Unloaded = 11, "unloaded";
        /// The plugin, or a requirement of it, failed to load.
        LoadFailed = 12, "load_failed";
    }
}

tags! {
    /// Why something happened to a plugin.
    PluginReason {
        /// There is no more to say than the action.
        None = 0, "none";
        /// A command asked for it.
        Manual = 1, "manual";
        /// The new version's error rate is above its threshold.
        ErrorRate = 2, "error_rate";
        /// The new version's error rate is significantly higher than production's.
        Regression = 3, "regression";
        /// The deadline of the deployment passed.
        Timeout = 4, "timeout";
        /// A reporter attested ill health, or nobody attested health before the stage ended.
        Unhealthy = 5, "unhealthy";
        /// The circuit breaker drained the deployment.
        CircuitBreaker = 6, "circuit_breaker";
        /// The plugin's constraint, the host version, a requirement or a dependent is in the way.
        Dependents = 7, "dependents";
        /// The canary arm won.
        Canary = 8, "canary";
        /// The production arm won.
        Production = 9, "production";
        /// Neither arm won clearly.
        Inconclusive = 10, "inconclusive";
        /// The host could not load the plugin.
        LoadError = 11, "load_error";
    }
}

/// Settings shared by all plugins (key `D9` alone); stored only when not the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// The version of the host program, which host constraints are checked against; 0.0.0 until it is set.
    pub host_version: Version,
    /// How many versions of a plugin are kept; registering one more evicts one.
    pub max_versions: MaxVersions,
    /// Whether a newly registered plugin is queued for loading without a load command.
    pub auto_load: bool,
}

/// The most versions that a plugin keeps: 3 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxVersions(u16);

impl MaxVersions {
    /// The minimum: the current version, the previous one and the one being deployed must all fit.
    pub const MIN: Self = Self(3);
    /// The maximum.
    pub const MAX: Self = Self(64);

    /// Checks the range.
    ///
    /// # Errors
    /// [`ValueError::Parameter`] outside of 3 to 64.
    pub const fn new(max: u16) -> Result<Self, ValueError> {
        if max < Self::MIN.0 || max > Self::MAX.0 { Err(ValueError::Parameter) } else { Ok(Self(max)) }
    }

    /// The limit as a number, 3 to 64.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for MaxVersions {
    fn default() -> Self {
        Self(5)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self { host_version: Version::zero(), max_versions: MaxVersions::default(), auto_load: false }
    }
}

impl Encode for Registry {
    fn encode(&self, out: &mut Writer) {
        self.host_version.encode(out);
        out.u16(self.max_versions.get());
        out.bool(self.auto_load);
    }
}

impl Decode for Registry {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (host_version, max_versions) = (Version::decode(input)?, input.u16()?);
        let auto_load = input.bool()?;
        let max_versions = MaxVersions::new(max_versions).map_err(|_| input.error(DecodeErrorKind::OutOfRange))?;
        let registry = Self { host_version, max_versions, auto_load };
        if registry == Self::default() { Err(input.error(DecodeErrorKind::NotCanonical)) } else { Ok(registry) }
    }
}

/// A plugin (key `D9` and name).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// The version that serves every unit which no deployment routes elsewhere.
    pub current: Version,
    /// The version that a revert makes current, if there is one.
    pub previous: Option<Version>,
    /// The constraint that a version must satisfy to become current; `None` allows all.
    pub constraint: Option<Constraint>,
    /// Where it is in loading.
    pub load_state: LoadState,
    /// The version that is loaded, or on its way; `None` exactly if Unloaded.
    pub loaded: Option<Version>,
    /// How many versions are registered.
    pub versions: u16,
    /// How many deployments it has had; part of the salt of the next one.
    pub deployments: u32,
    /// How many rows it has in the dependents index: plugins that require it or wait for it.
    pub dependents: u16,
}

impl Encode for Plugin {
    fn encode(&self, out: &mut Writer) {
        self.current.encode(out);
        Version::encode_option(self.previous.as_ref(), out);
        Constraint::encode_option(self.constraint.as_ref(), out);
        self.load_state.encode(out);
        Version::encode_option(self.loaded.as_ref(), out);
        out.u16(self.versions);
        out.u32(self.deployments);
        out.u16(self.dependents);
    }
}

impl Decode for Plugin {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let plugin = Self {
            current: Version::decode(input)?,
            previous: Version::decode_option(input)?,
            constraint: Constraint::decode_option(input)?,
            load_state: LoadState::decode(input)?,
            loaded: Version::decode_option(input)?,
            versions: input.u16()?,
            deployments: input.u32()?,
            dependents: input.u16()?,
        };
        let is_unloaded = plugin.load_state == LoadState::Unloaded;
        if is_unloaded == plugin.loaded.is_none() {
            Ok(plugin)
        } else {
            Err(input.error(DecodeErrorKind::NotCanonical))
        }
    }
}

/// Totals of the reports about a version, or about one arm of a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests served.
    pub requests: u64,
    /// Requests that failed, at most `requests`.
    pub errors: u64,
    /// Sum of the latencies of all requests.
    pub latency_sum: u64,
}

impl Counts {
    /// Adds a report. The totals saturate.
    #[must_use]
    pub fn with(self, report: &Self) -> Self {
        Self {
            requests: self.requests.saturating_add(report.requests),
            errors: self.errors.saturating_add(report.errors),
            latency_sum: self.latency_sum.saturating_add(report.latency_sum),
        }
    }

    /// The totals with every number halved, rounded down.
    pub(crate) const fn halved(self) -> Self {
        Self { requests: self.requests / 2, errors: self.errors / 2, latency_sum: self.latency_sum / 2 }
    }

    /// A health score in basis points, rounded down at each step.
    ///
    /// It is the success rate, halved above 5 % errors and reduced to four fifths above 1 %; 100 % without requests.
    #[must_use]
    pub fn health_score(&self) -> Bps {
        let unit = Bps::unit();
        let (requests, errors) = (u128::from(self.requests), u128::from(self.errors));
        let successes = requests.saturating_sub(errors);
        let Some(rate) = successes.saturating_mul(unit).checked_div(requests) else { return Bps::FULL };
        let errors_scaled = errors.saturating_mul(unit);
        let score = if errors_scaled > requests.saturating_mul(500) {
            rate / 2
        } else if errors_scaled > requests.saturating_mul(100) {
            rate.saturating_mul(4) / 5
        } else {
            rate
        };
        promised(u16::try_from(score).ok().and_then(|score| Bps::new(score).ok()), "successes are at most all requests")
    }
}

impl Encode for Counts {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.requests);
        out.u64(self.errors);
        out.u64(self.latency_sum);
    }
}

impl Decode for Counts {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let counts = Self { requests: input.u64()?, errors: input.u64()?, latency_sum: input.u64()? };
        if counts.errors <= counts.requests { Ok(counts) } else { Err(input.error(DecodeErrorKind::OutOfRange)) }
    }
}

/// Results of one version, aggregated by a reporter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionReport {
    /// Requests served.
    pub requests: u32,
    /// Requests that failed, at most `requests`.
    pub errors: u32,
    /// Sum of the latencies of all these requests.
    pub latency_total: u64,
}

impl From<&VersionReport> for Counts {
    fn from(report: &VersionReport) -> Self {
        Self { requests: report.requests.into(), errors: report.errors.into(), latency_sum: report.latency_total }
    }
}

impl Validate for VersionReport {
    /// Checks that no more requests failed than were made, and that only requests have latency.
    fn validate(&self) -> Result<(), ValueError> {
        let is_valid = self.errors <= self.requests && (self.latency_total == 0 || self.requests > 0);
        if is_valid { Ok(()) } else { Err(ValueError::Parameter) }
    }
}

/// A version of a plugin (key `DA`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginVersion {
    /// The version as it was registered, with its build metadata, which the key leaves out.
    pub version: Version,
    /// Where it is in its lifecycle.
    pub status: VersionStatus,
    /// The height at which it was registered.
    pub registered: Height,
    /// The height of its last report; `None`: there was none.
    pub reported: Option<NonZeroU32>,
    /// Totals of its reports since it was registered.
    pub counts: Counts,
    /// What it is made of; fixed when it is registered.
    pub manifest: Arc<Manifest>,
}

impl Encode for PluginVersion {
    fn encode(&self, out: &mut Writer) {
        self.version.encode(out);
        self.status.encode(out);
        out.hash(&self.manifest.code_hash);
        out.u32(self.registered);
        out.nonzero_u32(self.reported);
        self.counts.encode(out);
        self.manifest.encode_rest(out);
    }
}

impl Decode for PluginVersion {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = Version::decode(input)?;
        let status = VersionStatus::decode(input)?;
        let code_hash = input.hash()?;
        Ok(Self {
            version,
            status,
            registered: input.u32()?,
            reported: input.nonzero_u32()?,
            counts: Counts::decode(input)?,
            manifest: Arc::new(Manifest::decode_rest(code_hash, input)?),
        })
    }
}

impl PluginAction {
    /// Whether the history keeps the figures that decided: those of a rollback and of a verdict.
    pub(crate) const fn has_evidence(self) -> bool {
        match self {
            Self::RolledBack | Self::Concluded => true,
            Self::Registered
            | Self::Deployed
            | Self::Staged
            | Self::Paused
            | Self::Resumed
            | Self::Promoted
            | Self::Reverted
            | Self::Retired
            | Self::Loaded
            | Self::Unloaded
            | Self::LoadFailed => false,
        }
    }
}

/// The figures that decided about a deployment, and the threshold they were compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Requests for the new version since the start, or in the stage if that alone decided.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Requests for the old version if the arms were compared, else 0.
    pub production_requests: u64,
    /// Those of them that failed.
    pub production_errors: u64,
    /// The threshold that the figures were compared with.
    pub threshold: Threshold,
}

impl Encode for Evidence {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.requests);
        out.u64(self.errors);
        out.u64(self.production_requests);
        out.u64(self.production_errors);
        out.u64(self.threshold.number());
    }
}

impl Evidence {
    /// Reads the evidence of an event. Its threshold is encoded as a bare number, whose unit follows from the reason.
    ///
    /// # Errors
    /// Any decode error; a threshold other than 0 where nothing is compared is not canonical.
    pub fn decode(reason: PluginReason, input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            requests: input.u64()?,
            errors: input.u64()?,
            production_requests: input.u64()?,
            production_errors: input.u64()?,
            threshold: Threshold::decode(reason, input)?,
        })
    }
}

/// The threshold that the figures of a deployment were compared with.
///
/// Numbers are as wide as in an event, whose decoder does not limit them further.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Threshold {
    /// Nothing was compared.
    #[default]
    None,
    /// The highest error rate that is allowed, in basis points.
    ErrorRate(u64),
    /// The z at which a difference between the arms is significant, in hundredths.
    Z(u64),
    /// Blocks from the start to the deadline.
    Blocks(u64),
    /// The reject that a promote would get, where a promotion would break something.
    Reject(Reject),
}

impl Threshold {
    /// The number that encodes it in an event: 0 if nothing was compared, the code of a reject.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::None => 0,
            Self::ErrorRate(number) | Self::Z(number) | Self::Blocks(number) => number,
            Self::Reject(reject) => reject.code().into(),
        }
    }

    fn decode(reason: PluginReason, input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number = input.u64()?;
        match reason {
            PluginReason::ErrorRate => Ok(Self::ErrorRate(number)),
            PluginReason::Regression | PluginReason::Canary | PluginReason::Production | PluginReason::Inconclusive => {
                Ok(Self::Z(number))
            }
            PluginReason::Timeout => Ok(Self::Blocks(number)),
            PluginReason::Dependents if number != 0 => {
                let reject = u16::try_from(number).ok().and_then(Reject::from_code);
                reject.map(Self::Reject).ok_or(input.error(DecodeErrorKind::UnknownTag))
            }
            PluginReason::None
            | PluginReason::Manual
            | PluginReason::Unhealthy
            | PluginReason::CircuitBreaker
            | PluginReason::Dependents
            | PluginReason::LoadError => {
                if number == 0 {
                    Ok(Self::None)
                } else {
                    Err(input.error(DecodeErrorKind::NotCanonical))
                }
            }
        }
    }
}

/// One history entry of a plugin (key `DC`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginChange {
    /// What happened.
    pub action: PluginAction,
    /// The version that it happened to; of a revert, the one that became current.
    pub version: Version,
    /// Whether things went as intended. Not so for a rollback, a revert, a failed load, a pause by a rule, and a
    /// verdict that is not for the new version.
    pub success: bool,
    /// The share of the new version after the change; 0 without a deployment.
    pub share: Bps,
    /// Blocks since the start of the deployment; 0 without one.
    pub duration: u32,
    /// Why it happened.
    pub reason: PluginReason,
    /// Who made the change; zero for automatic ones.
    pub actor: Address,
    /// The figures behind a rollback or a verdict; `None` for every other action.
    pub evidence: Option<Evidence>,
}

impl Encode for PluginChange {
    fn encode(&self, out: &mut Writer) {
        self.action.encode(out);
        self.version.encode(out);
        out.bool(self.success);
        out.u16(self.share.get());
        out.u32(self.duration);
        self.reason.encode(out);
        out.address(&self.actor);
        if let Some(evidence) = &self.evidence {
            evidence.encode(out);
        }
    }
}

impl Decode for PluginChange {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let action = PluginAction::decode(input)?;
        let version = Version::decode(input)?;
        let success = input.bool()?;
        let (share, duration) = (input.bps()?, input.u32()?);
        let (reason, actor) = (PluginReason::decode(input)?, input.address()?);
        let evidence = action.has_evidence().then(|| Evidence::decode(reason, input)).transpose()?;
        Ok(Self { action, version, success, share, duration, reason, actor, evidence })
    }
}
