//! The records of plugins, each with its canonical encoding.
//!
//! A plugin is code that nodes run under a name. The code is not here, its hash is: the ledger
//! decides which version serves whom and what is to be loaded.

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

/// The most plugins that require one plugin, those that wait for it included.
pub const DEPENDENTS_MAX: usize = 256;

/// The most plugins that are not Unloaded.
pub const LOADED_MAX: usize = 1_024;

/// The most plugins that one load or unload plans.
pub const LOAD_PLUGINS_MAX: usize = 64;

/// The longest path of requirements that one load plans, in edges.
pub const LOAD_DEPTH_MAX: usize = 16;

tags! {
    /// Where a plugin stands between the ledger's wish and the hosts' attestations.
    LoadState {
        /// Not loaded, and not to be.
        Unloaded = 0, "unloaded";
        /// To be loaded when its requirements are.
        Pending = 1, "pending";
        /// Hosts load it now.
        Loading = 2, "loading";
        /// Attested as loaded.
        Loaded = 3, "loaded";
        /// It, or what it requires, failed to load.
        Failed = 4, "failed";
        /// Hosts unload it now.
        Unloading = 5, "unloading";
    }
}

impl LoadState {
    /// Whether the plugin holds on to what it requires: Pending, Loading, Loaded or Unloading.
    #[must_use]
    pub const fn pins_requirements(self) -> bool {
        match self {
            Self::Pending | Self::Loading | Self::Loaded | Self::Unloading => true,
            Self::Unloaded | Self::Failed => false,
        }
    }

    /// Whether a load that requires the plugin need not plan it: Pending, Loading or Loaded.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        match self {
            Self::Pending | Self::Loading | Self::Loaded => true,
            Self::Unloaded | Self::Failed | Self::Unloading => false,
        }
    }
}

tags! {
    /// Where a version stands in its lifecycle.
    VersionStatus {
        /// Registered, serving nobody.
        Loading = 0, "loading";
        /// The current version.
        Active = 1, "active";
        /// The new version of a deployment.
        Canary = 2, "canary";
        /// It was current.
        Deprecated = 3, "deprecated";
        /// It was rolled back, or reverted from.
        Failed = 4, "failed";
        /// Taken out of use.
        Retired = 5, "retired";
    }
}

tags! {
    /// What an entry of the history of a plugin tells.
    PluginAction {
        /// A version was registered.
        Registered = 0, "registered";
        /// A deployment started.
        Deployed = 1, "deployed";
        /// A deployment went to its next stage.
        Staged = 2, "staged";
        /// A deployment was paused.
        Paused = 3, "paused";
        /// A deployment went on.
        Resumed = 4, "resumed";
        /// The new version took over.
        Promoted = 5, "promoted";
        /// The new version was rolled back.
        RolledBack = 6, "rolled_back";
        /// The previous version took over again.
        Reverted = 7, "reverted";
        /// The arms were compared.
        Concluded = 8, "concluded";
        /// A version was taken out of use.
        Retired = 9, "retired";
        /// Attested as loaded.
        Loaded = 10, "loaded";
        /// Attested as unloaded.
        Unloaded = 11, "unloaded";
        /// It, or what it requires, failed to load.
        LoadFailed = 12, "load_failed";
    }
}

tags! {
    /// Why something happened to a plugin.
    PluginReason {
        /// No reason to give.
        None = 0, "none";
        /// A command.
        Manual = 1, "manual";
        /// Rule 2: too many errors.
        ErrorRate = 2, "error_rate";
        /// Rule 3: worse than the production arm.
        Regression = 3, "regression";
        /// Rule 4: the deadline.
        Timeout = 4, "timeout";
        /// Attested as unhealthy, or not attested as healthy in time.
        Unhealthy = 5, "unhealthy";
        /// The draining breaker.
        CircuitBreaker = 6, "circuit_breaker";
        /// A rule, the host, a requirement or a dependent.
        Dependents = 7, "dependents";
        /// The canary arm won.
        Canary = 8, "canary";
        /// The production arm won.
        Production = 9, "production";
        /// Neither arm won.
        Inconclusive = 10, "inconclusive";
        /// The host failed to load it.
        LoadError = 11, "load_error";
    }
}

/// What holds for all plugins: D9 alone, stored only if it differs from the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// The version of the host that runs the plugins.
    pub host_version: Version,
    /// How many versions a plugin keeps.
    pub max_versions: MaxVersions,
    /// Whether plugins are loaded by themselves once they are registered.
    pub auto_load: bool,
}

/// How many versions a plugin keeps: 3 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxVersions(u16);

impl MaxVersions {
    /// The least: the current version, the previous one and the one that is deployed.
    pub const MIN: Self = Self(3);
    /// The most.
    pub const MAX: Self = Self(64);

    /// Checks the range.
    ///
    /// # Errors
    /// [`ValueError::Parameter`] outside of 3 to 64.
    pub const fn new(max: u16) -> Result<Self, ValueError> {
        if max < Self::MIN.0 || max > Self::MAX.0 { Err(ValueError::Parameter) } else { Ok(Self(max)) }
    }

    /// The number.
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

/// A plugin: D9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// The version that serves production.
    pub current: Version,
    /// The version to which a revert goes back.
    pub previous: Option<Version>,
    /// What the current version must obey.
    pub constraint: Option<Constraint>,
    /// Where it stands in its loading.
    pub load_state: LoadState,
    /// The version that is loaded, or on its way; none exactly if Unloaded.
    pub loaded: Option<Version>,
    /// How many versions are registered.
    pub versions: u16,
    /// How many deployments it has had.
    pub deployments: u32,
    /// How many plugins require it: its rows in the index of dependents.
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

/// What was reported of a version, or of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// The sum of the latencies.
    pub latency_sum: u64,
}

impl Counts {
    /// The counts with a report added; they saturate.
    #[must_use]
    pub fn with(self, report: &VersionReport) -> Self {
        Self {
            requests: self.requests.saturating_add(report.requests.into()),
            errors: self.errors.saturating_add(report.errors.into()),
            latency_sum: self.latency_sum.saturating_add(report.latency_total),
        }
    }

    /// The health score in basis points, rounded down at each step.
    ///
    /// The success rate; half of it above 5 % errors, four fifths above 1 %; full without requests.
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
        promised(
            u16::try_from(score).ok().and_then(|score| Bps::new(score).ok()),
            "a part of the requests is no more than all",
        )
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

/// Results of one version, told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionReport {
    /// Requests.
    pub requests: u32,
    /// Those that failed.
    pub errors: u32,
    /// The sum of the latencies of all of them.
    pub latency_total: u64,
}

impl Validate for VersionReport {
    /// No more errors than requests, and no latency without requests.
    fn validate(&self) -> Result<(), ValueError> {
        let is_sound = self.errors <= self.requests && (self.latency_total == 0 || self.requests > 0);
        if is_sound { Ok(()) } else { Err(ValueError::Parameter) }
    }
}

/// A version of a plugin: DA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginVersion {
    /// The version as it was registered.
    pub version: Version,
    /// Where it stands.
    pub status: VersionStatus,
    /// When it was registered.
    pub registered: Height,
    /// When it was last reported; none = never.
    pub reported: Option<NonZeroU32>,
    /// What was reported since it was registered.
    pub counts: Counts,
    /// What was registered.
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

/// What was counted when a deployment was judged, and what it was compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Requests for the new version: of the deployment, or of the stage where that alone decided.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Requests for the old version, where the arms were compared; else 0.
    pub production_requests: u64,
    /// Those that failed.
    pub production_errors: u64,
    /// What the figures were compared with.
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
    /// Reads the evidence of an event. The bytes of its threshold are a bare number: the reason beside it in the event
    /// says of what.
    ///
    /// # Errors
    /// What is wrong with the bytes; a threshold where nothing is compared is not canonical.
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

/// What a deployment was compared with when it was judged.
///
/// Numbers are as wide as in the bytes of an event, which limit them no further.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Threshold {
    /// Nothing was compared.
    #[default]
    None,
    /// The highest error rate that is allowed, in basis points.
    ErrorRate(u64),
    /// The z of the comparison of the arms, in hundredths.
    Z(u64),
    /// Blocks from the start to the deadline.
    Blocks(u64),
    /// The reject that a promote meets.
    Reject(Reject),
}

impl Threshold {
    /// The number that stands for it in an event: 0 for none, the code of a reject.
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

/// One entry of the history of a plugin: DC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginChange {
    /// What happened.
    pub action: PluginAction,
    /// The version that it happened to: of a revert, the one that is current again.
    pub version: Version,
    /// Whether it is what the action was meant for: not so for a rollback, a revert, a failed load,
    /// a pause by a rule, and a verdict that is not for the new version.
    pub success: bool,
    /// The share of the new version from here on; 0 without a deployment.
    pub share: Bps,
    /// Blocks since the start of the deployment; 0 without one.
    pub duration: u32,
    /// Why.
    pub reason: PluginReason,
    /// Who did it; zero for automatic changes.
    pub actor: Address,
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
    }
}

impl Decode for PluginChange {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let action = PluginAction::decode(input)?;
        let version = Version::decode(input)?;
        let success = input.bool()?;
        Ok(Self {
            action,
            version,
            success,
            share: input.bps()?,
            duration: input.u32()?,
            reason: PluginReason::decode(input)?,
            actor: input.address()?,
        })
    }
}
