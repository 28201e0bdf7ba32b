//! The records of plugins, each with its canonical encoding.
//!
//! A plugin is code that nodes run under a name. The code is not here, its hash is: the ledger
//! decides which version serves whom and what is to be loaded.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::plan::{Gate, OnComplete, Plan, Stage, StrategyKind};
use crate::record::tags;
use crate::values::{Address, Bps, Hash, Height, Name, ValueError};
use crate::version::{Constraint, Version};

/// The most requirements of a version.
pub const REQUIREMENTS_MAX: usize = 32;
/// The most metadata entries of a version.
pub const METADATA_MAX: usize = 16;
/// The longest config of a version, in bytes.
pub const CONFIG_SIZE_MAX: usize = 4_096;
/// The most plugins that require one plugin, those that wait for it included.
pub const DEPENDENTS_MAX: usize = 256;
/// The most plugins that are not Unloaded.
pub const LOADED_MAX: usize = 1_024;
/// The most plugins that one load or unload plans.
pub const LOAD_PLUGINS_MAX: usize = 64;
/// The longest path of requirements that one load plans, in edges.
pub const LOAD_DEPTH_MAX: usize = 16;
/// The most requests that an arm counts, so that the regression test fits 256 bits.
pub const ARM_REQUESTS_MAX: u64 = (1 << 48) - 1;

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
    pub const fn holds_requirements(self) -> bool {
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
    /// What holds a deployment in its stage.
    Hold {
        /// Nothing.
        Running = 0, "running";
        /// A pause.
        Paused = 1, "paused";
        /// A broken rule, where rules do not roll back.
        PausedByRule = 2, "paused_by_rule";
        /// A manual gate.
        ManualGate = 3, "manual_gate";
        /// It is complete and waits for promote.
        Completed = 4, "completed";
        /// A rule, the host or plugins that depend on it forbid the promotion.
        Dependents = 5, "dependents";
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
    pub max_versions: u16,
    /// Whether plugins are loaded by themselves once they are registered.
    pub auto_load: bool,
}

impl Registry {
    /// What `max_versions` may be.
    pub const MAX_VERSIONS: core::ops::RangeInclusive<u16> = 3..=64;
}

impl Default for Registry {
    fn default() -> Self {
        Self { host_version: Version::zero(), max_versions: 5, auto_load: false }
    }
}

impl Encode for Registry {
    fn encode(&self, out: &mut Writer) {
        self.host_version.encode(out);
        out.u16(self.max_versions);
        out.bool(self.auto_load);
    }
}

impl Decode for Registry {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let registry =
            Self { host_version: Version::decode(input)?, max_versions: input.u16()?, auto_load: input.bool()? };
        if !Self::MAX_VERSIONS.contains(&registry.max_versions) {
            return Err(input.error(DecodeErrorKind::OutOfRange));
        }
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
    pub rule: Option<Constraint>,
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
        Constraint::encode_option(self.rule.as_ref(), out);
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
            rule: Constraint::decode_option(input)?,
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
        let unit = u128::from(Bps::FULL.get());
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
        u16::try_from(score).ok().and_then(|score| Bps::new(score).ok()).unwrap_or_default()
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

impl VersionReport {
    /// Whether the numbers agree with each other.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.errors <= self.requests && (self.latency_total == 0 || self.requests > 0)
    }
}

/// A plugin that a version requires, and which of its versions will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The plugin.
    pub plugin: Name,
    /// Its versions.
    pub constraint: Constraint,
}

/// What is registered of a version and never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The SHA-256 of the code.
    pub code_hash: Hash,
    /// The hosts that can run it; none = all.
    pub host: Option<Constraint>,
    /// Ascending by plugin, at most [`REQUIREMENTS_MAX`].
    pub requirements: Vec<Requirement>,
    /// At most [`CONFIG_SIZE_MAX`] bytes that mean something to the plugin.
    pub config: Vec<u8>,
    /// Ascending by key, at most [`METADATA_MAX`]; a text has at most 255 bytes.
    pub metadata: Vec<(Name, String)>,
}

impl Manifest {
    /// A manifest of nothing but the code.
    #[must_use]
    pub const fn of_code(code_hash: Hash) -> Self {
        Self { code_hash, host: None, requirements: Vec::new(), config: Vec::new(), metadata: Vec::new() }
    }

    /// Everything behind the code hash.
    pub(crate) fn encode_rest(&self, out: &mut Writer) {
        Constraint::encode_option(self.host.as_ref(), out);
        out.u8(u8::try_from(self.requirements.len()).unwrap_or(u8::MAX));
        for Requirement { plugin, constraint } in &self.requirements {
            out.name(plugin);
            out.lp8(constraint.as_str().as_bytes());
        }
        out.lp16(&self.config);
        out.u8(u8::try_from(self.metadata.len()).unwrap_or(u8::MAX));
        for (key, text) in &self.metadata {
            out.name(key);
            out.lp8(text.as_bytes());
        }
    }

    fn decode_rest(code_hash: Hash, input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let raw = RawManifest::decode(input)?;
        let manifest = raw.check_names().and_then(|named| named.check(code_hash));
        manifest.map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }
}

/// What a manifest holds behind its code hash, before the rules of its values are checked.
pub(crate) struct RawManifest<'a> {
    host: &'a [u8],
    requirements: Vec<(&'a [u8], &'a [u8])>,
    config: &'a [u8],
    metadata: Vec<(&'a [u8], &'a str)>,
}

impl<'a> RawManifest<'a> {
    /// Reads widths, counts, order and UTF-8.
    pub(crate) fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let host = input.lp8()?;
        let requirements = ascending(input, REQUIREMENTS_MAX, |input| Ok((input.lp8()?, input.lp8()?)))?;
        let config = input.lp16()?;
        let metadata = ascending(input, METADATA_MAX, |input| {
            let key = input.lp8()?;
            let text = input.lp8()?;
            Ok((key, input.text(text)?))
        })?;
        Ok(Self { host, requirements, config, metadata })
    }

    pub(crate) fn check_names(self) -> Result<NamedManifest<'a>, ValueError> {
        let Self { host, requirements, config, metadata } = self;
        let requirements = requirements.into_iter().map(|(plugin, constraint)| Ok((Name::new(plugin)?, constraint)));
        let requirements = requirements.collect::<Result<_, ValueError>>()?;
        let metadata = metadata.into_iter().map(|(key, text)| Ok((Name::new(key)?, text)));
        Ok(NamedManifest { host, requirements, config, metadata: metadata.collect::<Result<_, ValueError>>()? })
    }
}

/// The same once its names are checked.
pub(crate) struct NamedManifest<'a> {
    host: &'a [u8],
    requirements: Vec<(Name, &'a [u8])>,
    config: &'a [u8],
    metadata: Vec<(Name, &'a str)>,
}

impl NamedManifest<'_> {
    /// Checks the constraints, then the size of the config.
    pub(crate) fn check(self, code_hash: Hash) -> Result<Manifest, ValueError> {
        let host = Constraint::new_option(self.host)?;
        let requirement =
            |(plugin, constraint): (Name, &[u8])| Ok(Requirement { plugin, constraint: Constraint::new(constraint)? });
        let requirements = self.requirements.into_iter().map(requirement).collect::<Result<_, ValueError>>()?;
        if self.config.len() > CONFIG_SIZE_MAX {
            return Err(ValueError::Config);
        }
        let metadata = self.metadata.into_iter().map(|(key, text)| (key, text.into())).collect();
        Ok(Manifest { code_hash, host, requirements, config: self.config.into(), metadata })
    }
}

/// A count and as many pairs, strictly ascending by the first.
fn ascending<'a, T>(
    input: &mut Reader<'a>,
    max: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<(&'a [u8], T), DecodeError>,
) -> Result<Vec<(&'a [u8], T)>, DecodeError> {
    let count = usize::from(input.u8()?);
    if count > max {
        return Err(input.error(DecodeErrorKind::TooLarge));
    }
    let pairs = (0..count).map(|_| read(input)).collect::<Result<Vec<_>, _>>()?;
    if pairs.is_sorted_by(|(a, _), (b, _)| a < b) { Ok(pairs) } else { Err(input.error(DecodeErrorKind::Unsorted)) }
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
    /// When it was last reported; 0 = never.
    pub reported: Height,
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
        out.u32(self.reported);
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
            reported: input.u32()?,
            counts: Counts::decode(input)?,
            manifest: Arc::new(Manifest::decode_rest(code_hash, input)?),
        })
    }
}

/// What a stage lacked when its blocks had passed, as far as it has been told in this stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held(u8);

tags! {
    /// What a stage still lacks when its blocks have passed.
    Lack {
        /// Requests.
        Requests = 1, "requests";
        /// Successes among them.
        SuccessRate = 2, "success_rate";
    }
}

impl Held {
    /// Whether the lack has been told in this stage.
    #[must_use]
    pub const fn has_told(self, lack: Lack) -> bool {
        self.0 & lack.tag() != 0
    }

    /// Whether the stage is held at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same, with this lack told.
    #[must_use]
    pub const fn with(self, lack: Lack) -> Self {
        Self(self.0 | lack.tag())
    }

    const ALL: u8 = Lack::Requests.tag() | Lack::SuccessRate.tag();
}

/// A deployment under way: DB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The strategy that made the plan.
    pub strategy: StrategyKind,
    /// The version of the production arm: the current one.
    pub old: Version,
    /// The version of the canary arm.
    pub new: Version,
    /// What holds it.
    pub hold: Hold,
    /// What the stage lacked when its blocks had passed.
    pub held: Held,
    /// Whether the health gate of the stage has been opened.
    pub healthy: bool,
    /// The stage, from 0.
    pub stage: u8,
    /// When the stage began.
    pub stage_height: Height,
    /// When the deployment began.
    pub start: Height,
    /// When it is looked at next; 0 = at no height.
    pub due: Height,
    /// Shuffles the units anew for this deployment.
    pub salt: u64,
    /// What the engine runs.
    pub plan: Arc<Plan>,
    /// What was reported of the new version since the start.
    pub canary: Counts,
    /// What was reported of the old version since the start.
    pub production: Counts,
    /// Requests for the new version since the stage began.
    pub stage_requests: u64,
    /// Those that failed.
    pub stage_errors: u64,
}

impl Deployment {
    /// The stage it is in; one of the plan's, as long as the record is sound.
    #[must_use]
    pub fn current_stage(&self) -> Option<&Stage> {
        self.plan.stages().get(usize::from(self.stage))
    }

    /// The share of units that the new version serves.
    #[must_use]
    pub fn share(&self) -> Bps {
        self.current_stage().map(Stage::share).unwrap_or_default()
    }

    /// Whether no stage follows.
    #[must_use]
    pub fn is_in_last_stage(&self) -> bool {
        usize::from(self.stage).saturating_add(1) >= self.plan.stages().len()
    }

    /// Whether the stage it is in ends with a verdict.
    #[must_use]
    pub fn concludes(&self) -> bool {
        self.is_in_last_stage() && self.plan.on_complete() == OnComplete::Conclude
    }
}

impl Encode for Deployment {
    fn encode(&self, out: &mut Writer) {
        self.strategy.encode(out);
        self.old.encode(out);
        self.new.encode(out);
        self.hold.encode(out);
        out.u8(self.held.0);
        out.bool(self.healthy);
        out.u8(self.stage);
        out.u32(self.stage_height);
        out.u32(self.start);
        out.u32(self.due);
        out.u64(self.salt);
        self.plan.encode(out);
        self.canary.encode(out);
        self.production.encode(out);
        out.u64(self.stage_requests);
        out.u64(self.stage_errors);
    }
}

impl Decode for Deployment {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let deployment = Self {
            strategy: StrategyKind::decode(input)?,
            old: Version::decode(input)?,
            new: Version::decode(input)?,
            hold: Hold::decode(input)?,
            held: Held(input.u8()?),
            healthy: input.bool()?,
            stage: input.u8()?,
            stage_height: input.u32()?,
            start: input.u32()?,
            due: input.u32()?,
            salt: input.u64()?,
            plan: Arc::new(Plan::decode(input)?),
            canary: Counts::decode(input)?,
            production: Counts::decode(input)?,
            stage_requests: input.u64()?,
            stage_errors: input.u64()?,
        };
        let arm_fits = |arm: &Counts| arm.requests <= ARM_REQUESTS_MAX;
        let is_sound = deployment.held.0 & !Held::ALL == 0
            && deployment.current_stage().is_some()
            && arm_fits(&deployment.canary)
            && arm_fits(&deployment.production)
            && deployment.stage_errors <= deployment.stage_requests
            && deployment.stage_requests <= deployment.canary.requests
            && deployment.stage_errors <= deployment.canary.errors
            && !deployment.old.is_same(&deployment.new);
        if is_sound { Ok(deployment) } else { Err(input.error(DecodeErrorKind::OutOfRange)) }
    }
}

tags! {
    /// How a plugin's deployment is answered.
    DeploymentStatus {
        /// There is none.
        None = 0, "none";
        /// Its stage has a health gate.
        Pending = 1, "pending";
        /// It is under way.
        Active = 2, "active";
        /// It is complete and waits for promote.
        Promoting = 3, "promoting";
    }
}

/// Where a plugin's deployment stands: an answer, not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether there is one, and how far it is.
    pub status: DeploymentStatus,
    /// Its new version.
    pub canary: Option<Version>,
    /// Whether a resume lets it go on: paused, by a command, a rule or dependents.
    pub paused: bool,
    /// Whether it waits for a resume at a manual gate, or for a promote.
    pub waiting: bool,
    /// The share of units that the new version serves.
    pub share: Bps,
    /// The stage, from 0.
    pub stage: u8,
}

impl Standing {
    /// Where this deployment, or none, stands.
    #[must_use]
    pub fn of(deployment: Option<&Deployment>) -> Self {
        let Some(deployment) = deployment else {
            let status = DeploymentStatus::None;
            return Self { status, canary: None, paused: false, waiting: false, share: Bps::default(), stage: 0 };
        };
        let is_gated = deployment.current_stage().is_some_and(|stage| stage.gate == Gate::Health);
        let under_way = if is_gated { DeploymentStatus::Pending } else { DeploymentStatus::Active };
        let (status, paused, waiting) = match deployment.hold {
            Hold::Running => (under_way, false, false),
            Hold::Paused | Hold::PausedByRule | Hold::Dependents => (under_way, true, false),
            Hold::ManualGate => (under_way, false, true),
            Hold::Completed => (DeploymentStatus::Promoting, false, true),
        };
        let (canary, share, stage) = (Some(deployment.new.clone()), deployment.share(), deployment.stage);
        Self { status, canary, paused, waiting, share, stage }
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
        let share = input.u16()?;
        Ok(Self {
            action,
            version,
            success,
            share: Bps::new(share).map_err(|_| input.error(DecodeErrorKind::OutOfRange))?,
            duration: input.u32()?,
            reason: PluginReason::decode(input)?,
            actor: input.address()?,
        })
    }
}
