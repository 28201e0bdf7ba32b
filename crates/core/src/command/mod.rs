//! The commands, their tags, and the roles that may send them.
//!
//! A [`Command`] holds only values that obey their rules. A command whose bytes decode but break
//! a rule is [`TxCommand::Invalid`]: its reject is decided, but authority is checked before it.

pub(crate) mod tx;
pub(crate) mod wire;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::feature::record::{FeatureChanges, Reason};
use crate::feature::report::Report;
use crate::feed::record::{FeedBody, FeedEntry, FeedId, FeedKind, FeedPart};
use crate::ledger::ParamsChanges;
use crate::plugin::manifest::Manifest;
use crate::plugin::plan::{CompiledStrategy, Guardrails, Strategy};
use crate::plugin::record::{MaxVersions, VersionReport};
use crate::plugin::version::{Constraint, Version};
use crate::tags::tags;
use crate::valid::{Valid, Validate};
use crate::values::{Address, Description, Height, Name, Percent, Role, ValueError};

/// The maximum size of an encoded command, in bytes.
pub const COMMAND_SIZE_MAX: usize = 8 * 1_024;

/// The maximum number of commands in one scheduled entry; the minimum is 1.
pub const SCHEDULE_COMMANDS_MAX: usize = 16;

tags! {
    /// The kind of a command, without its fields.
    CommandKind {
        /// Creates a feature.
        CreateFeature = 10, "create_feature";
        /// Changes the settings of a feature that is off.
        ConfigureFeature = 11, "configure_feature";
        /// Turns a feature on for a fixed percentage of users.
        StartCanary = 12, "start_canary";
        /// Starts a rollout that grows step by step to a target.
        StartRollout = 13, "start_rollout";
        /// Makes one due step now.
        AdvanceRollout = 14, "advance_rollout";
        /// Turns a feature on for all users.
        Enable = 15, "enable";
        /// Turns a feature off.
        Disable = 16, "disable";
        /// Turns a feature off and stores the reason.
        Rollback = 17, "rollback";
        /// Sets the override of one user.
        SetOverride = 18, "set_override";
        /// Removes the override of one user.
        ClearOverride = 19, "clear_override";
        /// Reports operation results of a feature.
        Report = 20, "report";
        /// Stops a rollout at the percentage that it has.
        PauseRollout = 21, "pause_rollout";
        /// Opens the circuit breaker.
        TripBreaker = 30, "trip_breaker";
        /// Closes the circuit breaker.
        ResetBreaker = 31, "reset_breaker";
        /// Schedules commands for a later height.
        Schedule = 32, "schedule";
        /// Removes a scheduled entry.
        CancelSchedule = 33, "cancel_schedule";
        /// Grants a role.
        GrantRole = 34, "grant_role";
        /// Revokes a role.
        RevokeRole = 35, "revoke_role";
        /// Changes the parameters.
        SetParams = 36, "set_params";
        /// Changes the rules of the following blocks.
        SetRules = 37, "set_rules";
        /// Registers a version of a plugin.
        RegisterVersion = 40, "register_version";
        /// Starts a deployment of a version.
        Deploy = 41, "deploy";
        /// Pauses a deployment in its current stage.
        Pause = 42, "pause";
        /// Resumes a deployment.
        Resume = 43, "resume";
        /// Ends a deployment by making its new version current.
        Promote = 44, "promote";
        /// Ends a deployment by rolling its new version back.
        RollbackDeployment = 45, "rollback_deployment";
        /// Makes the previous version current again.
        Revert = 46, "revert";
        /// Disables a version.
        RetireVersion = 47, "retire_version";
        /// Sets the constraint on the versions of a plugin that may be current.
        SetRule = 48, "set_rule";
        /// Sets the version of the host.
        SetHostVersion = 49, "set_host_version";
        /// Changes the settings shared by all plugins.
        SetRegistryParams = 50, "set_registry_params";
        /// Plans the loading of a plugin and of the plugins it requires.
        Load = 51, "load";
        /// Plans the unloading of a plugin.
        Unload = 52, "unload";
        /// Reports request results of a version.
        ReportVersion = 53, "report_version";
        /// Attests the health of the new version of a deployment.
        AttestHealth = 54, "attest_health";
        /// Attests that a plugin was loaded or failed to load.
        ReportLoad = 55, "report_load";
        /// Attests that a plugin was unloaded or failed to unload.
        ReportUnload = 56, "report_unload";
        /// Replaces the contents of the feed, whole or in parts.
        FeedPut = 80, "feed_put";
        /// Adds or updates one item of the feed.
        FeedPatch = 81, "feed_patch";
        /// Removes one item of the feed.
        FeedDelete = 82, "feed_delete";
        /// Deletes the records of items of the feed.
        FeedForget = 83, "feed_forget";
    }
}

impl CommandKind {
    /// The roles that authorize the command; the signer must hold one of them. Admin implies all roles.
    #[must_use]
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::CreateFeature
            | Self::ConfigureFeature
            | Self::ResetBreaker
            | Self::GrantRole
            | Self::RevokeRole
            | Self::SetParams
            | Self::SetRules
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
            | Self::Deploy
            | Self::Pause
            | Self::Resume
            | Self::Promote
            | Self::Revert
            | Self::RetireVersion
            | Self::Load
            | Self::Unload => &[Role::Operator],
            Self::Rollback
            | Self::PauseRollout
            | Self::TripBreaker
            | Self::CancelSchedule
            | Self::RollbackDeployment => &[Role::Guardian, Role::Operator],
            Self::Report | Self::ReportVersion | Self::AttestHealth | Self::ReportLoad | Self::ReportUnload => {
                &[Role::Reporter]
            }
            Self::FeedPut | Self::FeedPatch | Self::FeedDelete => &[Role::Feeder],
        }
    }

    /// Whether the command may be scheduled: not what schedules itself, and nothing that is said about the world outside.
    #[must_use]
    pub const fn is_schedulable(self) -> bool {
        match self {
            Self::CreateFeature
            | Self::ConfigureFeature
            | Self::StartCanary
            | Self::StartRollout
            | Self::AdvanceRollout
            | Self::Enable
            | Self::Disable
            | Self::Rollback
            | Self::SetOverride
            | Self::ClearOverride
            | Self::PauseRollout
            | Self::TripBreaker
            | Self::ResetBreaker
            | Self::GrantRole
            | Self::RevokeRole
            | Self::SetParams
            | Self::SetRules
            | Self::RegisterVersion
            | Self::Deploy
            | Self::Pause
            | Self::Resume
            | Self::Promote
            | Self::RollbackDeployment
            | Self::Revert
            | Self::RetireVersion
            | Self::SetRule
            | Self::SetHostVersion
            | Self::SetRegistryParams
            | Self::Load
            | Self::Unload => true,
            Self::Report
            | Self::Schedule
            | Self::CancelSchedule
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
        /// The description.
        description: Description,
        /// The settings that differ from the defaults.
        changes: Valid<FeatureChanges>,
    },
    /// Changes the settings of a feature that is Disabled or RolledBack.
    ConfigureFeature {
        /// The feature.
        name: Name,
        /// The new description.
        description: Option<Description>,
        /// The new settings; a policy replaces the whole stored policy.
        changes: Valid<FeatureChanges>,
    },
    /// Turns a feature on for a fixed percentage of users.
    StartCanary {
        /// The feature.
        name: Name,
        /// The percentage of users.
        percent: Percent,
    },
    /// Starts a rollout that grows step by step to a target.
    StartRollout {
        /// The feature.
        name: Name,
        /// The percentage at which the rollout ends.
        target_percent: Percent,
    },
    /// Makes one due step now.
    AdvanceRollout {
        /// The feature.
        name: Name,
    },
    /// Turns a feature on for all users.
    Enable {
        /// The feature.
        name: Name,
    },
    /// Turns a feature off.
    Disable {
        /// The feature.
        name: Name,
    },
    /// Turns a feature off and stores the reason.
    Rollback {
        /// The feature.
        name: Name,
        /// The reason that is stored.
        reason: Reason,
    },
    /// Sets the override of one user.
    SetOverride {
        /// The feature.
        name: Name,
        /// The user.
        user: Address,
        /// Whether the feature is on for the user.
        enabled: bool,
    },
    /// Removes the override of one user.
    ClearOverride {
        /// The feature.
        name: Name,
        /// The user.
        user: Address,
    },
    /// Reports operation results of a feature.
    Report {
        /// The feature.
        name: Name,
        /// The results.
        report: Valid<Report>,
        /// The start of the trial in which they were seen; `None` reports about whichever is current.
        trial: Option<Height>,
    },
    /// Stops a rollout at the percentage that it has, as a canary.
    PauseRollout {
        /// The feature.
        name: Name,
    },
    /// Opens the circuit breaker, or makes an open one stricter.
    TripBreaker {
        /// The reason.
        reason: Reason,
        /// The height at which it closes automatically; `None` if only a reset closes it.
        until: Option<NonZeroU32>,
        /// Whether to roll back every active feature.
        drain: bool,
    },
    /// Closes the circuit breaker.
    ResetBreaker,
    /// Schedules commands for the start of a later block, as one atomic transaction of the signer.
    Schedule {
        /// The height of the block.
        at: Height,
        /// 1 to 16 schedulable commands.
        commands: Valid<Vec<Command>>,
    },
    /// Removes a scheduled entry.
    CancelSchedule {
        /// The height the entry is scheduled for.
        at: Height,
        /// The id of the entry.
        id: u64,
    },
    /// Grants a role.
    GrantRole {
        /// The address that gets the role; not the zero address, which stands for what happens without a signer.
        address: Address,
        /// The role.
        role: Role,
    },
    /// Revokes a role.
    RevokeRole {
        /// The address that loses the role.
        address: Address,
        /// The role.
        role: Role,
    },
    /// Changes the parameters that are `Some`.
    SetParams {
        /// The new values.
        changes: Valid<ParamsChanges>,
    },
    /// Changes the rules of the following blocks; accepted only inside of a schedule.
    SetRules {
        /// The number of the rule set, above the current one.
        rules: u16,
    },
    /// Registers a version of a plugin; the first one becomes current at once.
    RegisterVersion {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// The manifest.
        manifest: Valid<Arc<Manifest>>,
    },
    /// Starts a deployment of a version.
    Deploy {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// The strategy and the guardrails.
        strategy: CompiledStrategy,
    },
    /// Pauses a deployment in its current stage.
    Pause {
        /// The plugin.
        plugin: Name,
    },
    /// Resumes a deployment.
    Resume {
        /// The plugin.
        plugin: Name,
    },
    /// Ends a deployment by making its new version current.
    Promote {
        /// The plugin.
        plugin: Name,
    },
    /// Ends a deployment by rolling its new version back.
    RollbackDeployment {
        /// The plugin.
        plugin: Name,
    },
    /// Makes the previous version current again.
    Revert {
        /// The plugin.
        plugin: Name,
    },
    /// Disables a version.
    RetireVersion {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
    },
    /// Sets the constraint on the versions of a plugin that may be current.
    SetRule {
        /// The plugin.
        plugin: Name,
        /// The constraint; `None` allows all versions.
        constraint: Option<Constraint>,
    },
    /// Sets the version of the host.
    SetHostVersion {
        /// The version.
        version: Version,
    },
    /// Changes the settings shared by all plugins.
    SetRegistryParams {
        /// The maximum number of versions kept per plugin, 3 to 64.
        max_versions: Option<MaxVersions>,
        /// Whether plugins are loaded automatically once registered.
        auto_load: Option<bool>,
    },
    /// Plans the loading of a plugin and of the plugins it requires.
    Load {
        /// The plugin.
        plugin: Name,
    },
    /// Plans the unloading of a plugin.
    Unload {
        /// The plugin.
        plugin: Name,
        /// Whether to unload the plugins that depend on it too; if not, their presence is a reject.
        force: bool,
    },
    /// Reports request results of a version.
    ReportVersion {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// The results.
        report: Valid<VersionReport>,
        /// The number of the deployment in which they were seen; `None` reports about whichever is current.
        deployment: Option<u32>,
    },
    /// Attests the health of the new version of a deployment.
    AttestHealth {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// Whether it is healthy.
        healthy: bool,
    },
    /// Attests that a plugin was loaded or failed to load.
    ReportLoad {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// Whether loading succeeded.
        ok: bool,
    },
    /// Attests that a plugin was unloaded or failed to unload.
    ReportUnload {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// Whether unloading succeeded.
        ok: bool,
    },
    /// Replaces the contents of the feed, whole or in parts; items that no part names are removed at the end.
    FeedPut {
        /// The position of this part.
        part: FeedPart,
        /// The environments, by strictly ascending id.
        environments: Valid<Vec<FeedEntry>>,
        /// The filters, by strictly ascending id.
        filters: Valid<Vec<FeedEntry>>,
    },
    /// Adds or updates one item of the feed.
    FeedPatch {
        /// The kind of the item.
        kind: FeedKind,
        /// The id of the item.
        id: FeedId,
        /// The version of the item.
        version: u64,
        /// The body of the item.
        body: FeedBody,
    },
    /// Removes one item of the feed.
    FeedDelete {
        /// The kind of the item.
        kind: FeedKind,
        /// The id of the item.
        id: FeedId,
        /// The version of the removal.
        version: u64,
    },
    /// Deletes the records of items of the feed.
    FeedForget {
        /// The kind of the items.
        kind: FeedKind,
        /// 1 to 32 ids, strictly ascending.
        ids: Valid<Vec<FeedId>>,
    },
}

impl Command {
    /// Returns a create_feature command with the default settings.
    ///
    /// # Errors
    /// [`ValueError::Description`] for a description that is too long.
    pub fn create_feature(name: Name, description: &str) -> Result<Self, ValueError> {
        let description = Description::new(description)?;
        Ok(Self::CreateFeature { name, description, changes: Valid::default() })
    }

    /// Returns a register_version command.
    ///
    /// # Errors
    /// [`ValueError::List`] or [`ValueError::Config`] for a manifest that is over a limit or not sorted.
    pub fn register_version(plugin: Name, version: Version, manifest: Manifest) -> Result<Self, ValueError> {
        Ok(Self::RegisterVersion { plugin, version, manifest: Valid::new(Arc::new(manifest))? })
    }

    /// Returns a deploy command with this strategy and these guardrails.
    ///
    /// # Errors
    /// [`ValueError::Plan`] if the two contradict each other.
    pub fn deploy(
        plugin: Name,
        version: Version,
        strategy: Strategy,
        guardrails: &Guardrails,
    ) -> Result<Self, ValueError> {
        let strategy = CompiledStrategy::new(strategy, guardrails)?;
        Ok(Self::Deploy { plugin, version, strategy })
    }

    /// Returns a report command.
    ///
    /// # Errors
    /// [`ValueError::Parameter`] if the numbers contradict each other.
    pub fn report(name: Name, report: Report) -> Result<Self, ValueError> {
        Ok(Self::Report { name, report: Valid::new(report)?, trial: None })
    }

    /// Returns a report_version command.
    ///
    /// # Errors
    /// [`ValueError::Parameter`] if the numbers contradict each other.
    pub fn report_version(plugin: Name, version: Version, report: VersionReport) -> Result<Self, ValueError> {
        Ok(Self::ReportVersion { plugin, version, report: Valid::new(report)?, deployment: None })
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
            Self::PauseRollout { .. } => CommandKind::PauseRollout,
            Self::TripBreaker { .. } => CommandKind::TripBreaker,
            Self::ResetBreaker => CommandKind::ResetBreaker,
            Self::Schedule { .. } => CommandKind::Schedule,
            Self::CancelSchedule { .. } => CommandKind::CancelSchedule,
            Self::GrantRole { .. } => CommandKind::GrantRole,
            Self::RevokeRole { .. } => CommandKind::RevokeRole,
            Self::SetParams { .. } => CommandKind::SetParams,
            Self::SetRules { .. } => CommandKind::SetRules,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_contradicts_itself_is_no_command() {
        let report = Report { invariant_failures: 1, ..Report::default() };
        assert_eq!(Command::report("f".parse().unwrap(), report), Err(ValueError::Parameter));
        let report = VersionReport { errors: 1, ..VersionReport::default() };
        let (plugin, version) = ("p".parse().unwrap(), "1.0.0".parse().unwrap());
        assert_eq!(Command::report_version(plugin, version, report), Err(ValueError::Parameter));
    }
}
