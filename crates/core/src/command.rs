//! The commands, their tags, and who may give them.
//!
//! A [`Command`] holds only values that obey their rules. A command whose bytes decode but break
//! a rule is [`TxCommand::Invalid`]: its reject is decided, but authority is checked before it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::feed::{FeedBody, FeedEntry, FeedId, FeedKind, FeedPart, body_field, id_field, id_list};
use crate::plan::{Plan, Strategy, Terms};
use crate::plugin::{Manifest, RawManifest, Registry, VersionReport};
use crate::record::{Policy, Reason, tags};
use crate::reject::Reject;
use crate::values::{Address, Description, Hash, Height, Name, Percent, Role, ValueError};
use crate::version::{Constraint, Version};

/// The longest encoded command, in bytes.
pub const COMMAND_SIZE_MAX: usize = 8 * 1_024;
/// The most commands that one entry of the schedule holds; the least is 1.
pub const SCHEDULE_COMMANDS_MAX: usize = 16;

tags! {
    /// What a command does, without its fields.
    CommandKind {
        /// Creates a feature.
        CreateFeature = 10, "create_feature";
        /// Changes the settings of a feature that is off.
        ConfigureFeature = 11, "configure_feature";
        /// Turns a feature on for a fixed percent.
        StartCanary = 12, "start_canary";
        /// Lets a canary grow to a target.
        StartRollout = 13, "start_rollout";
        /// Makes one due step.
        AdvanceRollout = 14, "advance_rollout";
        /// Turns a feature on for everybody.
        Enable = 15, "enable";
        /// Turns a feature off.
        Disable = 16, "disable";
        /// Turns a feature off for a reason.
        Rollback = 17, "rollback";
        /// Sets one user's own switch.
        SetOverride = 18, "set_override";
        /// Removes one user's own switch.
        ClearOverride = 19, "clear_override";
        /// Tells results.
        Report = 20, "report";
        /// Opens the circuit breaker.
        TripBreaker = 30, "trip_breaker";
        /// Closes the circuit breaker.
        ResetBreaker = 31, "reset_breaker";
        /// Lets commands run at a later height.
        Schedule = 32, "schedule";
        /// Removes a scheduled entry.
        CancelSchedule = 33, "cancel_schedule";
        /// Gives a role.
        GrantRole = 34, "grant_role";
        /// Takes a role.
        RevokeRole = 35, "revoke_role";
        /// Changes the parameters.
        SetParams = 36, "set_params";
        /// Registers a version of a plugin.
        RegisterVersion = 40, "register_version";
        /// Starts a deployment of a version.
        Deploy = 41, "deploy";
        /// Holds a deployment in its stage.
        Pause = 42, "pause";
        /// Lets a deployment go on.
        Resume = 43, "resume";
        /// Makes the new version of a deployment current.
        Promote = 44, "promote";
        /// Takes the new version of a deployment back.
        RollbackDeployment = 45, "rollback_deployment";
        /// Makes the previous version current again.
        Revert = 46, "revert";
        /// Takes a version out of use.
        RetireVersion = 47, "retire_version";
        /// Says which versions of a plugin may be current.
        SetRule = 48, "set_rule";
        /// Tells the version of the host.
        SetHostVersion = 49, "set_host_version";
        /// Changes what holds for all plugins.
        SetRegistryParams = 50, "set_registry_params";
        /// Plans the loading of a plugin and what it requires.
        Load = 51, "load";
        /// Plans the unloading of a plugin.
        Unload = 52, "unload";
        /// Tells results of a version.
        ReportVersion = 53, "report_version";
        /// Attests the health of the new version of a deployment.
        AttestHealth = 54, "attest_health";
        /// Attests that a plugin was loaded, or failed to.
        ReportLoad = 55, "report_load";
        /// Attests that a plugin was unloaded, or failed to.
        ReportUnload = 56, "report_unload";
        /// Tells all items of the feed, or a part of them.
        FeedPut = 80, "feed_put";
        /// Tells one item of the feed.
        FeedPatch = 81, "feed_patch";
        /// Tells that an item of the feed is gone.
        FeedDelete = 82, "feed_delete";
        /// Erases what is known of items of the feed.
        FeedForget = 83, "feed_forget";
    }
}

impl CommandKind {
    /// The roles of which the signer must hold one. Admin implies all.
    #[must_use]
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::CreateFeature
            | Self::ConfigureFeature
            | Self::ResetBreaker
            | Self::GrantRole
            | Self::RevokeRole
            | Self::SetParams
            | Self::RegisterVersion
            | Self::SetRule
            | Self::SetHostVersion
            | Self::SetRegistryParams
            | Self::FeedForget => &[Role::Admin],
            Self::StartCanary
            | Self::StartRollout
            | Self::AdvanceRollout
            | Self::Enable
            | Self::Disable
            | Self::SetOverride
            | Self::ClearOverride
            | Self::Schedule
            | Self::CancelSchedule
            | Self::Deploy
            | Self::Pause
            | Self::Resume
            | Self::Promote
            | Self::Revert
            | Self::RetireVersion
            | Self::Load
            | Self::Unload => &[Role::Operator],
            Self::Rollback | Self::TripBreaker | Self::RollbackDeployment => &[Role::Guardian, Role::Operator],
            Self::Report | Self::ReportVersion | Self::AttestHealth | Self::ReportLoad | Self::ReportUnload => {
                &[Role::Reporter]
            }
            Self::FeedPut | Self::FeedPatch | Self::FeedDelete => &[Role::Feeder],
        }
    }

    /// Whether the command may be scheduled.
    #[must_use]
    pub const fn is_schedulable(self) -> bool {
        match self {
            Self::StartCanary
            | Self::StartRollout
            | Self::AdvanceRollout
            | Self::Enable
            | Self::Disable
            | Self::Rollback
            | Self::SetOverride
            | Self::ClearOverride
            | Self::Deploy
            | Self::Pause
            | Self::Resume
            | Self::Promote
            | Self::RollbackDeployment
            | Self::Revert
            | Self::RetireVersion
            | Self::Load
            | Self::Unload => true,
            Self::CreateFeature
            | Self::ConfigureFeature
            | Self::Report
            | Self::TripBreaker
            | Self::ResetBreaker
            | Self::Schedule
            | Self::CancelSchedule
            | Self::GrantRole
            | Self::RevokeRole
            | Self::SetParams
            | Self::RegisterVersion
            | Self::SetRule
            | Self::SetHostVersion
            | Self::SetRegistryParams
            | Self::ReportVersion
            | Self::AttestHealth
            | Self::ReportLoad
            | Self::ReportUnload
            | Self::FeedPut
            | Self::FeedPatch
            | Self::FeedDelete
            | Self::FeedForget => false,
        }
    }
}

/// The settings of a feature that create_feature and configure_feature may give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureChanges {
    /// How much a step adds, 1 to 100.
    pub increment_percent: Option<Percent>,
    /// Blocks from step to step, at least 1.
    pub increment_blocks: Option<u32>,
    /// The error rate in 1/10 000 above which the guard rolls back, at most 10 000.
    pub max_error_rate: Option<u32>,
    /// Successes that start_rollout asks for.
    pub min_success_count: Option<u64>,
    /// The whole policy.
    pub policy: Option<Policy>,
}

impl FeatureChanges {
    fn encode(&self, out: &mut Writer) {
        out.option(self.increment_percent, |out, percent| out.u8(percent.get()));
        out.option(self.increment_blocks, Writer::u32);
        out.option(self.max_error_rate, Writer::u32);
        out.option(self.min_success_count, Writer::u64);
        out.option(self.policy.as_ref(), |out, policy| policy.encode(out));
    }

    fn decode(input: &mut Reader<'_>) -> Result<Checked<Self>, DecodeError> {
        let increment_percent = input.option(Reader::u8)?;
        let changes = Self {
            increment_percent: None,
            increment_blocks: input.option(Reader::u32)?,
            max_error_rate: input.option(Reader::u32)?,
            min_success_count: input.option(Reader::u64)?,
            policy: input.option(Policy::decode)?,
        };
        Ok(changes.check(increment_percent))
    }

    fn check(self, increment_percent: Option<u8>) -> Checked<Self> {
        let increment_percent =
            increment_percent.map(Percent::new).transpose().map_err(|_| Reject::InvalidParameter)?;
        let in_range = increment_percent != Some(Percent::ZERO)
            && self.increment_blocks != Some(0)
            && self.max_error_rate.is_none_or(|rate| rate <= 10_000);
        if in_range { Ok(Self { increment_percent, ..self }) } else { Err(Reject::InvalidParameter) }
    }
}

/// Results of one feature, told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Operations that succeeded.
    pub successes: u32,
    /// Operations that failed.
    pub errors: u32,
    /// The sum of the latencies of all these operations.
    pub latency_total: u64,
    /// The highest of them.
    pub latency_peak: u64,
    /// Invariant checks made.
    pub invariant_checks: u32,
    /// Invariant checks that failed.
    pub invariant_failures: u32,
}

impl Report {
    /// Successes and errors together.
    #[must_use]
    pub fn operations(&self) -> u64 {
        u64::from(self.successes).saturating_add(u64::from(self.errors))
    }

    /// Whether the numbers agree with each other.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let silent = self.latency_total == 0 && self.latency_peak == 0;
        self.invariant_failures <= self.invariant_checks && (silent || self.operations() > 0)
    }
}

/// A command whose values obey their rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Creates a feature, Disabled.
    CreateFeature {
        /// The feature.
        name: Name,
        /// A free text.
        description: Description,
        /// Settings other than the defaults.
        changes: FeatureChanges,
    },
    /// Changes the settings of a feature that is Disabled or RolledBack.
    ConfigureFeature {
        /// The feature.
        name: Name,
        /// A new text.
        description: Option<Description>,
        /// New settings; a policy replaces the whole policy.
        changes: FeatureChanges,
    },
    /// Turns a feature on for a fixed percent.
    StartCanary {
        /// The feature.
        name: Name,
        /// The percent of users.
        percent: Percent,
    },
    /// Lets a canary grow to a target, step by step.
    StartRollout {
        /// The feature.
        name: Name,
        /// The percent at which it ends.
        target_percent: Percent,
    },
    /// Makes one due step now.
    AdvanceRollout {
        /// The feature.
        name: Name,
    },
    /// Turns a feature on for everybody.
    Enable {
        /// The feature.
        name: Name,
    },
    /// Turns a feature off.
    Disable {
        /// The feature.
        name: Name,
    },
    /// Turns a feature off for a reason.
    Rollback {
        /// The feature.
        name: Name,
        /// The reason that is stored.
        reason: Reason,
    },
    /// Sets one user's own switch.
    SetOverride {
        /// The feature.
        name: Name,
        /// The user.
        user: Address,
        /// On or off.
        enabled: bool,
    },
    /// Removes one user's own switch.
    ClearOverride {
        /// The feature.
        name: Name,
        /// The user.
        user: Address,
    },
    /// Tells results of a feature.
    Report {
        /// The feature.
        name: Name,
        /// The results.
        report: Report,
    },
    /// Opens the circuit breaker.
    TripBreaker {
        /// Why.
        reason: Reason,
        /// The height at which it closes by itself; 0 = when it is reset.
        until: Height,
        /// Whether every active feature is rolled back.
        drain: bool,
    },
    /// Closes the circuit breaker.
    ResetBreaker,
    /// Lets commands run at the start of a later block, as one atomic transaction of the signer.
    Schedule {
        /// The height.
        at: Height,
        /// 1 to 16 schedulable commands.
        commands: Vec<Command>,
    },
    /// Removes a scheduled entry.
    CancelSchedule {
        /// The height of the entry.
        at: Height,
        /// Its id.
        id: u64,
    },
    /// Gives a role.
    GrantRole {
        /// To whom.
        address: Address,
        /// Which.
        role: Role,
    },
    /// Takes a role.
    RevokeRole {
        /// From whom.
        address: Address,
        /// Which.
        role: Role,
    },
    /// Changes the parameters that are given.
    SetParams {
        /// At least 1.
        max_due_per_block: Option<u32>,
        /// 0 = off.
        breaker_rollbacks: Option<u32>,
        /// Not 0 while `breaker_rollbacks` is on.
        breaker_window: Option<u32>,
    },
    /// Registers a version of a plugin; the first one is current at once.
    RegisterVersion {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// What it is made of.
        manifest: Arc<Manifest>,
    },
    /// Starts a deployment of a version.
    Deploy {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// How its share grows.
        strategy: Strategy,
        /// What every strategy takes.
        terms: Terms,
    },
    /// Holds a deployment in its stage.
    Pause {
        /// The plugin.
        plugin: Name,
    },
    /// Lets a deployment go on.
    Resume {
        /// The plugin.
        plugin: Name,
    },
    /// Makes the new version of a deployment current.
    Promote {
        /// The plugin.
        plugin: Name,
    },
    /// Takes the new version of a deployment back.
    RollbackDeployment {
        /// The plugin.
        plugin: Name,
    },
    /// Makes the previous version current again.
    Revert {
        /// The plugin.
        plugin: Name,
    },
    /// Takes a version out of use.
    RetireVersion {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
    },
    /// Says which versions of a plugin may be current.
    SetRule {
        /// The plugin.
        plugin: Name,
        /// None = all.
        constraint: Option<Constraint>,
    },
    /// Tells the version of the host.
    SetHostVersion {
        /// The version.
        version: Version,
    },
    /// Changes what holds for all plugins.
    SetRegistryParams {
        /// How many versions a plugin keeps, 3 to 64.
        max_versions: Option<u16>,
        /// Whether plugins are loaded by themselves once they are registered.
        auto_load: Option<bool>,
    },
    /// Plans the loading of a plugin and what it requires.
    Load {
        /// The plugin.
        plugin: Name,
    },
    /// Plans the unloading of a plugin.
    Unload {
        /// The plugin.
        plugin: Name,
        /// Whether plugins that depend on it are unloaded too, or else forbid it.
        force: bool,
    },
    /// Tells results of a version.
    ReportVersion {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// The results.
        report: VersionReport,
    },
    /// Attests the health of the new version of a deployment.
    AttestHealth {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// Healthy or not.
        healthy: bool,
    },
    /// Attests that a plugin was loaded, or failed to.
    ReportLoad {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// Loaded or failed.
        ok: bool,
    },
    /// Attests that a plugin was unloaded, or failed to.
    ReportUnload {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// Unloaded or failed.
        ok: bool,
    },
    /// Tells all items of the feed, or a part of them: what is not among them is forgotten in the end.
    FeedPut {
        /// Which part.
        part: FeedPart,
        /// Environments, ids strictly ascending.
        environments: Vec<FeedEntry>,
        /// Filters, ids strictly ascending.
        filters: Vec<FeedEntry>,
    },
    /// Tells one item of the feed.
    FeedPatch {
        /// What it is.
        kind: FeedKind,
        /// Its id.
        id: FeedId,
        /// Its version.
        version: u64,
        /// Its content.
        body: FeedBody,
    },
    /// Tells that an item of the feed is gone.
    FeedDelete {
        /// What it is.
        kind: FeedKind,
        /// Its id.
        id: FeedId,
        /// The version at which it is gone.
        version: u64,
    },
    /// Erases what is known of items of the feed.
    FeedForget {
        /// What they are.
        kind: FeedKind,
        /// 1 to 32 ids, strictly ascending.
        ids: Vec<FeedId>,
    },
}

/// Either a value that obeys its rules, or the reject that says which it breaks.
pub(crate) type Checked<T> = Result<T, Reject>;

impl Command {
    /// A create_feature with the default settings.
    ///
    /// # Errors
    /// [`ValueError::Description`] for a description that is too long.
    pub fn create_feature(name: Name, description: &str) -> Result<Self, ValueError> {
        let description = Description::new(description)?;
        Ok(Self::CreateFeature { name, description, changes: FeatureChanges::default() })
    }

    /// The kind of the command.
    #[must_use]
    pub const fn kind(&self) -> CommandKind {
        match self {
            Self::CreateFeature { .. } => CommandKind::CreateFeature,
            Self::ConfigureFeature { .. } => CommandKind::ConfigureFeature,
            Self::StartCanary { .. } => CommandKind::StartCanary,
            Self::StartRollout { .. } => CommandKind::StartRollout,
            Self::AdvanceRollout { .. } => CommandKind::AdvanceRollout,
            Self::Enable { .. } => CommandKind::Enable,
            Self::Disable { .. } => CommandKind::Disable,
            Self::Rollback { .. } => CommandKind::Rollback,
            Self::SetOverride { .. } => CommandKind::SetOverride,
            Self::ClearOverride { .. } => CommandKind::ClearOverride,
            Self::Report { .. } => CommandKind::Report,
            Self::TripBreaker { .. } => CommandKind::TripBreaker,
            Self::ResetBreaker => CommandKind::ResetBreaker,
            Self::Schedule { .. } => CommandKind::Schedule,
            Self::CancelSchedule { .. } => CommandKind::CancelSchedule,
            Self::GrantRole { .. } => CommandKind::GrantRole,
            Self::RevokeRole { .. } => CommandKind::RevokeRole,
            Self::SetParams { .. } => CommandKind::SetParams,
            Self::RegisterVersion { .. } => CommandKind::RegisterVersion,
            Self::Deploy { .. } => CommandKind::Deploy,
            Self::Pause { .. } => CommandKind::Pause,
            Self::Resume { .. } => CommandKind::Resume,
            Self::Promote { .. } => CommandKind::Promote,
            Self::RollbackDeployment { .. } => CommandKind::RollbackDeployment,
            Self::Revert { .. } => CommandKind::Revert,
            Self::RetireVersion { .. } => CommandKind::RetireVersion,
            Self::SetRule { .. } => CommandKind::SetRule,
            Self::SetHostVersion { .. } => CommandKind::SetHostVersion,
            Self::SetRegistryParams { .. } => CommandKind::SetRegistryParams,
            Self::Load { .. } => CommandKind::Load,
            Self::Unload { .. } => CommandKind::Unload,
            Self::ReportVersion { .. } => CommandKind::ReportVersion,
            Self::AttestHealth { .. } => CommandKind::AttestHealth,
            Self::ReportLoad { .. } => CommandKind::ReportLoad,
            Self::ReportUnload { .. } => CommandKind::ReportUnload,
            Self::FeedPut { .. } => CommandKind::FeedPut,
            Self::FeedPatch { .. } => CommandKind::FeedPatch,
            Self::FeedDelete { .. } => CommandKind::FeedDelete,
            Self::FeedForget { .. } => CommandKind::FeedForget,
        }
    }

    /// A count, then each command behind a u16 length.
    pub(crate) fn encode_list(commands: &[Self], out: &mut Writer) {
        out.u8(u8::try_from(commands.len()).unwrap_or(u8::MAX));
        commands.iter().for_each(|command| out.lp16(&command.to_bytes()));
    }

    /// Reads the fields of a command: the widths as the format says, then the rules of the values.
    fn decode(kind: CommandKind, input: &mut Reader<'_>) -> Result<Checked<Self>, DecodeError> {
        Ok(match kind {
            CommandKind::CreateFeature => {
                let name = name_field(input)?;
                let description = description_field(input)?;
                let changes = FeatureChanges::decode(input)?;
                create(name, description, changes)
            }
            CommandKind::ConfigureFeature => {
                let name = name_field(input)?;
                let description = input.option(description_field)?;
                let changes = FeatureChanges::decode(input)?;
                configure(name, description, changes)
            }
            CommandKind::StartCanary => {
                let (name, percent) = (name_field(input)?, input.u8()?);
                name.and_then(|name| Ok(Self::StartCanary { name, percent: Percent::new(percent)? }))
            }
            CommandKind::StartRollout => {
                let (name, percent) = (name_field(input)?, input.u8()?);
                name.and_then(|name| Ok(Self::StartRollout { name, target_percent: Percent::new(percent)? }))
            }
            CommandKind::AdvanceRollout => name_field(input)?.map(|name| Self::AdvanceRollout { name }),
            CommandKind::Enable => name_field(input)?.map(|name| Self::Enable { name }),
            CommandKind::Disable => name_field(input)?.map(|name| Self::Disable { name }),
            CommandKind::Rollback => {
                let (name, reason) = (name_field(input)?, Reason::decode(input)?);
                name.map(|name| Self::Rollback { name, reason })
            }
            CommandKind::SetOverride => {
                let (name, user, enabled) = (name_field(input)?, input.address()?, input.bool()?);
                name.map(|name| Self::SetOverride { name, user, enabled })
            }
            CommandKind::ClearOverride => {
                let (name, user) = (name_field(input)?, input.address()?);
                name.map(|name| Self::ClearOverride { name, user })
            }
            CommandKind::Report => {
                let name = name_field(input)?;
                let report = Report {
                    successes: input.u32()?,
                    errors: input.u32()?,
                    latency_total: input.u64()?,
                    latency_peak: input.u64()?,
                    invariant_checks: input.u32()?,
                    invariant_failures: input.u32()?,
                };
                name.and_then(|name| {
                    if report.is_valid() { Ok(Self::Report { name, report }) } else { Err(Reject::InvalidParameter) }
                })
            }
            CommandKind::TripBreaker => {
                Ok(Self::TripBreaker { reason: Reason::decode(input)?, until: input.u32()?, drain: input.bool()? })
            }
            CommandKind::ResetBreaker => Ok(Self::ResetBreaker),
            CommandKind::Schedule => {
                let at = input.u32()?;
                let commands = decode_schedule(input)?;
                commands.map(|commands| Self::Schedule { at, commands })
            }
            CommandKind::CancelSchedule => Ok(Self::CancelSchedule { at: input.u32()?, id: input.u64()? }),
            CommandKind::GrantRole => Ok(Self::GrantRole { address: input.address()?, role: role_field(input)? }),
            CommandKind::RevokeRole => Ok(Self::RevokeRole { address: input.address()?, role: role_field(input)? }),
            CommandKind::SetParams => {
                let max_due_per_block = input.option(Reader::u32)?;
                let breaker_rollbacks = input.option(Reader::u32)?;
                let breaker_window = input.option(Reader::u32)?;
                if max_due_per_block == Some(0) {
                    Err(Reject::InvalidParameter)
                } else {
                    Ok(Self::SetParams { max_due_per_block, breaker_rollbacks, breaker_window })
                }
            }
            CommandKind::RegisterVersion => {
                let (plugin, version, code_hash) = (name_field(input)?, input.lp8()?, input.hash()?);
                register(plugin, version, code_hash, RawManifest::decode(input)?)
            }
            CommandKind::Deploy => {
                let (name, version) = (name_field(input)?, input.lp8()?);
                let (strategy, terms) = (Strategy::decode(input)?, Terms::decode(input)?);
                plugin_and_version(name, version).and_then(|(plugin, version)| {
                    Plan::compile(&strategy, &terms)?;
                    Ok(Self::Deploy { plugin, version, strategy, terms })
                })
            }
            CommandKind::Pause => name_field(input)?.map(|plugin| Self::Pause { plugin }),
            CommandKind::Resume => name_field(input)?.map(|plugin| Self::Resume { plugin }),
            CommandKind::Promote => name_field(input)?.map(|plugin| Self::Promote { plugin }),
            CommandKind::RollbackDeployment => name_field(input)?.map(|plugin| Self::RollbackDeployment { plugin }),
            CommandKind::Revert => name_field(input)?.map(|plugin| Self::Revert { plugin }),
            CommandKind::RetireVersion => plugin_and_version(name_field(input)?, input.lp8()?)
                .map(|(plugin, version)| Self::RetireVersion { plugin, version }),
            CommandKind::SetRule => {
                let (name, constraint) = (name_field(input)?, input.lp8()?);
                name.and_then(|plugin| Ok(Self::SetRule { plugin, constraint: Constraint::new_option(constraint)? }))
            }
            CommandKind::SetHostVersion => {
                Version::new(input.lp8()?).map(|version| Self::SetHostVersion { version }).map_err(Reject::from)
            }
            CommandKind::SetRegistryParams => {
                let (max_versions, auto_load) = (input.option(Reader::u16)?, input.option(Reader::bool)?);
                if max_versions.is_some_and(|max| !Registry::MAX_VERSIONS.contains(&max)) {
                    Err(Reject::InvalidParameter)
                } else {
                    Ok(Self::SetRegistryParams { max_versions, auto_load })
                }
            }
            CommandKind::Load => name_field(input)?.map(|plugin| Self::Load { plugin }),
            CommandKind::Unload => {
                let (name, force) = (name_field(input)?, input.bool()?);
                name.map(|plugin| Self::Unload { plugin, force })
            }
            CommandKind::ReportVersion => {
                let (name, version) = (name_field(input)?, input.lp8()?);
                let report =
                    VersionReport { requests: input.u32()?, errors: input.u32()?, latency_total: input.u64()? };
                plugin_and_version(name, version).and_then(|(plugin, version)| {
                    if report.is_valid() {
                        Ok(Self::ReportVersion { plugin, version, report })
                    } else {
                        Err(Reject::InvalidParameter)
                    }
                })
            }
            CommandKind::AttestHealth => {
                let (named, healthy) = (plugin_and_version(name_field(input)?, input.lp8()?), input.bool()?);
                named.map(|(plugin, version)| Self::AttestHealth { plugin, version, healthy })
            }
            CommandKind::ReportLoad => {
                let (named, ok) = (plugin_and_version(name_field(input)?, input.lp8()?), input.bool()?);
                named.map(|(plugin, version)| Self::ReportLoad { plugin, version, ok })
            }
            CommandKind::ReportUnload => {
                let (named, ok) = (plugin_and_version(name_field(input)?, input.lp8()?), input.bool()?);
                named.map(|(plugin, version)| Self::ReportUnload { plugin, version, ok })
            }
            CommandKind::FeedPut => {
                let part = FeedPart::decode(input)?;
                let environments = FeedEntry::decode_list(input)?;
                let filters = FeedEntry::decode_list(input)?;
                environments.and_then(|environments| Ok(Self::FeedPut { part, environments, filters: filters? }))
            }
            CommandKind::FeedPatch => {
                let kind = FeedKind::decode(input)?;
                let (id, version, body) = (id_field(input)?, input.u64()?, body_field(input)?);
                id.and_then(|id| Ok(Self::FeedPatch { kind, id, version, body: body? }))
            }
            CommandKind::FeedDelete => {
                let kind = FeedKind::decode(input)?;
                let (id, version) = (id_field(input)?, input.u64()?);
                id.map(|id| Self::FeedDelete { kind, id, version })
            }
            CommandKind::FeedForget => {
                let kind = FeedKind::decode(input)?;
                id_list(input)?.map(|ids| Self::FeedForget { kind, ids })
            }
        })
    }
}

impl Encode for Command {
    fn encode(&self, out: &mut Writer) {
        self.kind().encode(out);
        match self {
            Self::CreateFeature { name, description, changes } => {
                out.name(name);
                out.lp16(description.as_str().as_bytes());
                changes.encode(out);
            }
            Self::ConfigureFeature { name, description, changes } => {
                out.name(name);
                out.option(description.as_ref(), |out, text| out.lp16(text.as_str().as_bytes()));
                changes.encode(out);
            }
            Self::StartCanary { name, percent } | Self::StartRollout { name, target_percent: percent } => {
                out.name(name);
                out.u8(percent.get());
            }
            Self::AdvanceRollout { name } | Self::Enable { name } | Self::Disable { name } => out.name(name),
            Self::Rollback { name, reason } => {
                out.name(name);
                reason.encode(out);
            }
            Self::SetOverride { name, user, enabled } => {
                out.name(name);
                out.address(user);
                out.bool(*enabled);
            }
            Self::ClearOverride { name, user } => {
                out.name(name);
                out.address(user);
            }
            Self::Report { name, report } => {
                out.name(name);
                out.u32(report.successes);
                out.u32(report.errors);
                out.u64(report.latency_total);
                out.u64(report.latency_peak);
                out.u32(report.invariant_checks);
                out.u32(report.invariant_failures);
            }
            Self::TripBreaker { reason, until, drain } => {
                reason.encode(out);
                out.u32(*until);
                out.bool(*drain);
            }
            Self::ResetBreaker => {}
            Self::Schedule { at, commands } => {
                out.u32(*at);
                Self::encode_list(commands, out);
            }
            Self::CancelSchedule { at, id } => {
                out.u32(*at);
                out.u64(*id);
            }
            Self::GrantRole { address, role } | Self::RevokeRole { address, role } => {
                out.address(address);
                out.u8(role.mask());
            }
            Self::SetParams { max_due_per_block, breaker_rollbacks, breaker_window } => {
                out.option(*max_due_per_block, Writer::u32);
                out.option(*breaker_rollbacks, Writer::u32);
                out.option(*breaker_window, Writer::u32);
            }
            Self::RegisterVersion { plugin, version, manifest } => {
                out.name(plugin);
                version.encode(out);
                out.hash(&manifest.code_hash);
                manifest.encode_rest(out);
            }
            Self::Deploy { plugin, version, strategy, terms } => {
                out.name(plugin);
                version.encode(out);
                strategy.encode(out);
                terms.encode(out);
            }
            Self::Pause { plugin }
            | Self::Resume { plugin }
            | Self::Promote { plugin }
            | Self::RollbackDeployment { plugin }
            | Self::Revert { plugin }
            | Self::Load { plugin } => out.name(plugin),
            Self::RetireVersion { plugin, version } => {
                out.name(plugin);
                version.encode(out);
            }
            Self::SetRule { plugin, constraint } => {
                out.name(plugin);
                Constraint::encode_option(constraint.as_ref(), out);
            }
            Self::SetHostVersion { version } => version.encode(out),
            Self::SetRegistryParams { max_versions, auto_load } => {
                out.option(*max_versions, Writer::u16);
                out.option(*auto_load, Writer::bool);
            }
            Self::Unload { plugin, force } => {
                out.name(plugin);
                out.bool(*force);
            }
            Self::ReportVersion { plugin, version, report } => {
                out.name(plugin);
                version.encode(out);
                out.u32(report.requests);
                out.u32(report.errors);
                out.u64(report.latency_total);
            }
            Self::AttestHealth { plugin, version, healthy: flag }
            | Self::ReportLoad { plugin, version, ok: flag }
            | Self::ReportUnload { plugin, version, ok: flag } => {
                out.name(plugin);
                version.encode(out);
                out.bool(*flag);
            }
            Self::FeedPut { part, environments, filters } => {
                part.encode(out);
                FeedEntry::encode_list(environments, out);
                FeedEntry::encode_list(filters, out);
            }
            Self::FeedPatch { kind, id, version, body } => {
                kind.encode(out);
                out.lp8(id.as_bytes());
                out.u64(*version);
                out.lp16(body.as_bytes());
            }
            Self::FeedDelete { kind, id, version } => {
                kind.encode(out);
                out.lp8(id.as_bytes());
                out.u64(*version);
            }
            Self::FeedForget { kind, ids } => {
                kind.encode(out);
                out.u8(u8::try_from(ids.len()).unwrap_or(u8::MAX));
                ids.iter().for_each(|id| out.lp8(id.as_bytes()));
            }
        }
    }
}

fn create(
    name: Checked<Name>,
    description: Checked<Description>,
    changes: Checked<FeatureChanges>,
) -> Checked<Command> {
    Ok(Command::CreateFeature { name: name?, description: description?, changes: changes? })
}

fn configure(
    name: Checked<Name>,
    description: Option<Checked<Description>>,
    changes: Checked<FeatureChanges>,
) -> Checked<Command> {
    Ok(Command::ConfigureFeature { name: name?, description: description.transpose()?, changes: changes? })
}

fn name_field(input: &mut Reader<'_>) -> Result<Checked<Name>, DecodeError> {
    Ok(Name::new(input.lp8()?).map_err(Reject::from))
}

fn description_field(input: &mut Reader<'_>) -> Result<Checked<Description>, DecodeError> {
    let bytes = input.lp16()?;
    Ok(Description::new(input.text(bytes)?).map_err(Reject::from))
}

/// The name is checked before the version.
fn plugin_and_version(name: Checked<Name>, version: &[u8]) -> Checked<(Name, Version)> {
    Ok((name?, Version::new(version)?))
}

/// All names are checked before the version, and that before the constraints.
fn register(name: Checked<Name>, version: &[u8], code_hash: Hash, raw: RawManifest<'_>) -> Checked<Command> {
    let plugin = name?;
    let named = raw.check_names()?;
    let version = Version::new(version)?;
    Ok(Command::RegisterVersion { plugin, version, manifest: Arc::new(named.check(code_hash)?) })
}

fn role_field(input: &mut Reader<'_>) -> Result<Role, DecodeError> {
    let mask = input.u8()?;
    Role::from_mask(mask).ok_or(input.error(DecodeErrorKind::UnknownTag))
}

/// Every nested command must decode; the first that may not be scheduled or breaks a rule decides.
fn decode_schedule(input: &mut Reader<'_>) -> Result<Checked<Vec<Command>>, DecodeError> {
    let mut commands = Ok(Vec::new());
    // A schedule inside a schedule is refused, but what it holds must decode all the same, to any
    // depth: a list of what is left to look at, so that bytes cannot make the decoder recurse.
    let mut refused = Vec::new();
    for bytes in schedule_frame(input)? {
        match (&mut commands, decode_nested(bytes, &mut refused)?) {
            (Ok(commands), Ok(command)) => commands.push(command),
            (Ok(_), Err(reject)) => commands = Err(reject),
            (Err(_), _) => {}
        }
    }
    while let Some(bytes) = refused.pop() {
        let _refused_already = decode_nested(bytes, &mut refused)?;
    }
    Ok(commands)
}

/// Decodes one command of a schedule, and puts those of a schedule inside it on the list.
fn decode_nested<'a>(bytes: &'a [u8], refused: &mut Vec<&'a [u8]>) -> Result<Checked<Command>, DecodeError> {
    let mut input = Reader::new(bytes);
    let kind = CommandKind::decode(&mut input)?;
    let command = if kind == CommandKind::Schedule {
        input.u32()?;
        refused.extend(schedule_frame(&mut input)?);
        Err(Reject::InvalidParameter)
    } else {
        Command::decode(kind, &mut input)?
    };
    input.finish()?;
    Ok(if kind.is_schedulable() { command } else { Err(Reject::InvalidParameter) })
}

fn schedule_frame<'a>(input: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, DecodeError> {
    let count = usize::from(input.u8()?);
    if count == 0 || count > SCHEDULE_COMMANDS_MAX {
        return Err(input.error(DecodeErrorKind::TooLarge));
    }
    (0..count).map(|_| input.lp16()).collect()
}

/// A command as a transaction carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxCommand {
    /// Its values obey their rules.
    Valid(Command),
    /// It decodes, but breaks a rule; whoever has the authority to give it gets this reject.
    Invalid {
        /// The kind, which decides who has the authority.
        kind: CommandKind,
        /// The first rule it breaks.
        reject: Reject,
        /// The bytes as they came.
        bytes: Vec<u8>,
    },
}

impl TxCommand {
    /// Reads a command from the whole of `bytes`.
    ///
    /// # Errors
    /// Bytes that do not decode: the transaction is malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        if bytes.len() > COMMAND_SIZE_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let kind = CommandKind::decode(&mut input)?;
        let command = Command::decode(kind, &mut input)?;
        input.finish()?;
        Ok(match command {
            Ok(command) => Self::Valid(command),
            Err(reject) => Self::Invalid { kind, reject, bytes: bytes.into() },
        })
    }
}

impl Encode for TxCommand {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Valid(command) => command.encode(out),
            Self::Invalid { bytes, .. } => out.raw(bytes),
        }
    }
}
