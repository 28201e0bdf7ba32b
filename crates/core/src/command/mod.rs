//! The commands, their tags, and who may give them.
//!
//! A [`Command`] holds only values that obey their rules. A command whose bytes decode but break
//! a rule is [`TxCommand::Invalid`]: its reject is decided, but authority is checked before it.

pub(crate) mod tx;
pub(crate) mod wire;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::feature::record::{FeatureChanges, Reason, Report};
use crate::feed::record::{FeedBody, FeedEntry, FeedId, FeedKind, FeedPart};
use crate::plugin::manifest::Manifest;
use crate::plugin::plan::{CompiledStrategy, Guardrails, Strategy};
use crate::plugin::record::{MaxVersions, VersionReport};
use crate::plugin::version::{Constraint, Version};
use crate::tags::tags;
use crate::valid::{Valid, Validate};
use crate::values::{Address, Description, Height, Name, Percent, Role, ValueError};

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
        changes: Valid<FeatureChanges>,
    },
    /// Changes the settings of a feature that is Disabled or RolledBack.
    ConfigureFeature {
        /// The feature.
        name: Name,
        /// A new text.
        description: Option<Description>,
        /// New settings; a policy replaces the whole policy.
        changes: Valid<FeatureChanges>,
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
        report: Valid<Report>,
    },
    /// Opens the circuit breaker.
    TripBreaker {
        /// Why.
        reason: Reason,
        /// The height at which it closes without a command; none = when it is reset.
        until: Option<NonZeroU32>,
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
        commands: Valid<Vec<Command>>,
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
        max_due_per_block: Option<NonZeroU32>,
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
        manifest: Valid<Arc<Manifest>>,
    },
    /// Starts a deployment of a version.
    Deploy {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// How its share grows, and what makes it stop.
        strategy: CompiledStrategy,
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
        max_versions: Option<MaxVersions>,
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
        report: Valid<VersionReport>,
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
        environments: Valid<Vec<FeedEntry>>,
        /// Filters, ids strictly ascending.
        filters: Valid<Vec<FeedEntry>>,
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
        ids: Valid<Vec<FeedId>>,
    },
}

impl Command {
    /// A create_feature with the default settings.
    ///
    /// # Errors
    /// [`ValueError::Description`] for a description that is too long.
    pub fn create_feature(name: Name, description: &str) -> Result<Self, ValueError> {
        let description = Description::new(description)?;
        Ok(Self::CreateFeature { name, description, changes: Valid::default() })
    }

    /// Registers a version.
    ///
    /// # Errors
    /// [`ValueError::List`] or [`ValueError::Config`] for a manifest that is over a limit or not sorted.
    pub fn register_version(plugin: Name, version: Version, manifest: Manifest) -> Result<Self, ValueError> {
        Ok(Self::RegisterVersion { plugin, version, manifest: Valid::new(Arc::new(manifest))? })
    }

    /// A deploy of this strategy and these guardrails.
    ///
    /// # Errors
    /// [`ValueError::Plan`] if they make no plan.
    pub fn deploy(
        plugin: Name,
        version: Version,
        strategy: Strategy,
        guardrails: &Guardrails,
    ) -> Result<Self, ValueError> {
        let strategy = CompiledStrategy::new(strategy, guardrails)?;
        Ok(Self::Deploy { plugin, version, strategy })
    }

    /// A report of a feature.
    ///
    /// # Errors
    /// [`ValueError::Parameter`] if the numbers contradict each other.
    pub fn report(name: Name, report: Report) -> Result<Self, ValueError> {
        Ok(Self::Report { name, report: Valid::new(report)? })
    }

    /// A report of a version of a plugin.
    ///
    /// # Errors
    /// [`ValueError::Parameter`] if the numbers contradict each other.
    pub fn report_version(plugin: Name, version: Version, report: VersionReport) -> Result<Self, ValueError> {
        Ok(Self::ReportVersion { plugin, version, report: Valid::new(report)? })
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
}

impl Validate for Vec<Command> {
    /// 1 to 16 commands of kinds that may be scheduled.
    fn validate(&self) -> Result<(), ValueError> {
        let has_length = !self.is_empty() && self.len() <= SCHEDULE_COMMANDS_MAX;
        let is_schedulable = self.iter().all(|command| command.kind().is_schedulable());
        if has_length && is_schedulable { Ok(()) } else { Err(ValueError::Schedule) }
    }
}
