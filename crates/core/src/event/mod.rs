//! The events of a block.

use core::num::NonZeroU32;

pub(crate) mod fields;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::feature::record::{Cause, Reason, RollbackRule, Status};
use crate::feed::record::{FeedId, FeedKind};
use crate::plugin::deployment::{Hold, Shortfall};
use crate::plugin::plan::StrategyKind;
use crate::plugin::record::{Evidence, LoadState, PluginReason};
use crate::plugin::version::Version;
use crate::rounds::Pool;
use crate::tags::tags;
use crate::values::{Address, Bps, Height, Name, Percent, Role};

tags! {
    /// The kind of an event.
    EventCode {
        /// A feature was created.
        FeatureCreated = 1, "feature_created";
        /// The settings of a feature were changed.
        FeatureConfigured = 2, "feature_configured";
        /// Status or percentage were set, other than by a step or rollback.
        StatusChanged = 3, "status_changed";
        /// A step changed the percentage.
        Stepped = 4, "stepped";
        /// A step was held for lack of operations.
        StepHeld = 5, "step_held";
        /// A feature was rolled back.
        RolledBack = 6, "rolled_back";
        /// The override of a user was set.
        OverrideSet = 7, "override_set";
        /// The override of a user was removed.
        OverrideCleared = 8, "override_cleared";
        /// The breaker opened.
        BreakerTripped = 9, "breaker_tripped";
        /// The breaker closed.
        BreakerClosed = 10, "breaker_closed";
        /// The breaker finished rolling back all active features.
        BreakerDrained = 11, "breaker_drained";
        /// Commands were scheduled.
        Scheduled = 12, "scheduled";
        /// A scheduled entry was removed.
        ScheduleCancelled = 13, "schedule_cancelled";
        /// A scheduled entry ran.
        ScheduleExecuted = 14, "schedule_executed";
        /// A role was granted.
        RoleGranted = 15, "role_granted";
        /// A role was revoked.
        RoleRevoked = 16, "role_revoked";
        /// Parameters were changed.
        ParamsSet = 17, "params_set";
        /// The rules of the following blocks were changed.
        RulesSet = 18, "rules_set";
        /// A round ended with enough reporters to act.
        RoundClosed = 19, "round_closed";
        /// A round ended with too few reporters to act.
        RoundShort = 20, "round_short";
        /// A step was held because a prerequisite is off.
        StepBlocked = 21, "step_blocked";
        /// A version was registered.
        VersionRegistered = 40, "version_registered";
        /// A version was removed to make room for a new one.
        VersionEvicted = 41, "version_evicted";
        /// A deployment started.
        Deployed = 42, "deployed";
        /// A deployment went to its next stage.
        Staged = 43, "staged";
        /// The blocks of a stage have passed, but a condition to leave it is not met.
        StageHeld = 44, "stage_held";
        /// A deployment waits for a resume or promote command.
        Waiting = 45, "waiting";
        /// A deployment was paused.
        Paused = 46, "paused";
        /// A deployment was resumed.
        Resumed = 47, "resumed";
        /// The new version became current.
        Promoted = 48, "promoted";
        /// A deployment was rolled back.
        DeploymentRolledBack = 49, "deployment_rolled_back";
        /// The previous version became current again.
        Reverted = 50, "reverted";
        /// The arms of a deployment were compared.
        Concluded = 51, "concluded";
        /// A version was disabled.
        VersionRetired = 52, "version_retired";
        /// The health of a version was attested.
        HealthAttested = 53, "health_attested";
        /// A plugin is in the plan of a load.
        LoadPlanned = 54, "load_planned";
        /// A plugin was attested as loaded.
        Loaded = 55, "loaded";
        /// A plugin, or one that it requires, failed to load.
        LoadFailed = 56, "load_failed";
        /// A host attested the opposite of the recorded outcome.
        LoadDisputed = 57, "load_disputed";
        /// A plugin was attested as unloaded.
        Unloaded = 58, "unloaded";
        /// An item was added to the feed.
        FeedInsert = 80, "feed_insert";
        /// An item of the feed was updated.
        FeedUpdated = 81, "feed_updated";
        /// An item was removed from the feed.
        FeedDelete = 82, "feed_delete";
        /// A put of the whole feed was completed.
        FeedReceivedAll = 83, "feed_received_all";
    }
}

tags! {
    /// What closed the breaker.
    BreakerClosedBy {
        /// The reset_breaker command.
        Reset = 0, "reset";
        /// Its `until` height was reached.
        Expiry = 1, "expiry";
    }
}

/// An event. The fields are in the order of their encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A feature was created.
    FeatureCreated {
        /// The feature.
        name: Name,
    },
    /// The settings of a feature were changed.
    FeatureConfigured {
        /// The feature.
        name: Name,
    },
    /// Status or percentage were set, other than by a step or rollback.
    StatusChanged {
        /// The feature.
        name: Name,
        /// The old status.
        from: Status,
        /// The new status.
        to: Status,
        /// The new percentage.
        percent: Percent,
        /// The cause.
        cause: Cause,
        /// The signer of the command; zero for automatic changes.
        actor: Address,
    },
    /// A step changed the percentage.
    Stepped {
        /// The feature.
        name: Name,
        /// The old percentage.
        from_percent: Percent,
        /// The new percentage.
        to_percent: Percent,
    },
    /// A step was held for lack of operations.
    StepHeld {
        /// The feature.
        name: Name,
        /// Operations since the last step.
        operations: u64,
        /// Operations that the step requires.
        needed: u64,
    },
    /// A feature was rolled back.
    RolledBack {
        /// The feature.
        name: Name,
        /// The cause.
        rule: RollbackRule,
        /// The reason that is stored.
        reason: Reason,
        /// The errors that were judged: those of the window for rule 3, else those of the trial.
        errors: u64,
        /// The successes that were judged, over the same period.
        successes: u64,
        /// The value above its limit: failures, a rate in 1/10 000, or a latency; 0 without a rule.
        value: u64,
        /// The limit; 0 without a rule.
        threshold: u64,
        /// The signer of the command; zero for automatic changes.
        actor: Address,
    },
    /// The override of a user was set.
    OverrideSet {
        /// The feature.
        name: Name,
        /// The user.
        user: Address,
        /// Whether the feature is on for the user.
        enabled: bool,
    },
    /// The override of a user was removed.
    OverrideCleared {
        /// The feature.
        name: Name,
        /// The user.
        user: Address,
    },
    /// The breaker opened.
    BreakerTripped {
        /// The reason.
        reason: Reason,
        /// The height at which it closes automatically; `None` if only a reset closes it.
        until: Option<NonZeroU32>,
        /// Whether it rolls back every active feature.
        draining: bool,
        /// The signer of the command; zero if it opened automatically.
        actor: Address,
    },
    /// The breaker closed.
    BreakerClosed {
        /// What closed it.
        by: BreakerClosedBy,
    },
    /// The breaker finished rolling back all active features.
    BreakerDrained,
    /// Commands were scheduled.
    Scheduled {
        /// The id of the entry.
        id: u64,
        /// The height at which it runs.
        at: Height,
    },
    /// A scheduled entry was removed.
    ScheduleCancelled {
        /// The id of the entry.
        id: u64,
    },
    /// A scheduled entry ran.
    ScheduleExecuted {
        /// The id of the entry.
        id: u64,
        /// 0 on success, else the code of the reject.
        code: u16,
        /// The index of the failing command.
        index: u8,
    },
    /// A role was granted.
    RoleGranted {
        /// The address that gets the role.
        address: Address,
        /// The role.
        role: Role,
    },
    /// A role was revoked.
    RoleRevoked {
        /// The address that loses the role.
        address: Address,
        /// The role.
        role: Role,
    },
    /// Parameters were changed.
    ParamsSet,
    /// The rules of the following blocks were changed.
    RulesSet {
        /// The number of the old rule set.
        from: u16,
        /// The number of the new one.
        to: u16,
    },
    /// A round ended with enough reporters to act.
    RoundClosed {
        /// What was reported.
        pool: Pool,
        /// How many reporters are in it that still have the role.
        reporters: u8,
        /// Whether the subject still accepted it.
        acted: bool,
    },
    /// A round ended with too few reporters to act.
    RoundShort {
        /// What was reported.
        pool: Pool,
        /// How many reporters counted.
        reporters: u8,
        /// How many it takes.
        quorum: u8,
    },
    /// An automatic step was held because a prerequisite is off.
    StepBlocked {
        /// The feature.
        name: Name,
        /// The first prerequisite that is off.
        prerequisite: Name,
    },
    /// A version was registered.
    VersionRegistered {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
    },
    /// A version was removed to make room for a new one.
    VersionEvicted {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
    },
    /// A deployment started.
    Deployed {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// The strategy.
        strategy: StrategyKind,
    },
    /// A deployment went to its next stage.
    Staged {
        /// The plugin.
        plugin: Name,
        /// The stage, from 0.
        stage: u8,
        /// The share of units that the new version now serves.
        share: Bps,
    },
    /// The blocks of a stage have passed, but a condition to leave it is not met.
    StageHeld {
        /// The plugin.
        plugin: Name,
        /// The condition that is not met.
        reason: Shortfall,
        /// Requests to the new version in this stage.
        requests: u64,
        /// Failed requests among them.
        errors: u64,
    },
    /// A deployment waits for a resume or promote command.
    Waiting {
        /// The plugin.
        plugin: Name,
        /// Whether it waits at a manual gate for a resume, or after its last stage for a promote.
        hold: Hold,
    },
    /// A deployment was paused.
    Paused {
        /// The plugin.
        plugin: Name,
        /// The reason.
        reason: PluginReason,
        /// The counts that were judged; zero for a command.
        evidence: Evidence,
    },
    /// A deployment was resumed.
    Resumed {
        /// The plugin.
        plugin: Name,
    },
    /// The new version became current.
    Promoted {
        /// The plugin.
        plugin: Name,
        /// The version that was current before.
        from: Version,
        /// The version that is current now.
        to: Version,
    },
    /// A deployment was rolled back.
    DeploymentRolledBack {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// The reason.
        reason: PluginReason,
        /// The counts that were judged; for a command or the breaker those of the deployment.
        evidence: Evidence,
        /// The signer of the command; zero for automatic changes.
        actor: Address,
    },
    /// The previous version became current again.
    Reverted {
        /// The plugin.
        plugin: Name,
        /// The version that was current before.
        from: Version,
        /// The version that is current now.
        to: Version,
    },
    /// The arms of a deployment were compared.
    Concluded {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// The winner, or neither.
        winner: PluginReason,
        /// The counts of both arms, and the z-score a difference had to reach, in 1/100.
        evidence: Evidence,
    },
    /// A version was disabled.
    VersionRetired {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
    },
    /// The health of a version was attested.
    HealthAttested {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// Whether it is healthy.
        healthy: bool,
    },
    /// A plugin is in the plan of a load. Hosts act on the load state of its record: when that turns Loading or Unloading
    /// later, no event says so.
    LoadPlanned {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// Loading, or Pending while a requirement is not Loaded.
        state: LoadState,
    },
    /// A plugin was attested as loaded.
    Loaded {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
    },
    /// A plugin, or one that it requires, failed to load.
    LoadFailed {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// 0 if a host attested the failure, the code of dependency_broken if a requirement failed.
        code: u16,
    },
    /// A host attested the opposite of the recorded outcome.
    LoadDisputed {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
        /// The attested outcome.
        ok: bool,
    },
    /// A plugin was attested as unloaded.
    Unloaded {
        /// The plugin.
        plugin: Name,
        /// The version.
        version: Version,
    },
    /// An item was added to the feed.
    FeedInsert {
        /// The kind of the item.
        kind: FeedKind,
        /// The id of the item.
        id: FeedId,
        /// The version of the item.
        version: u64,
    },
    /// An item of the feed was updated.
    FeedUpdated {
        /// The kind of the item.
        kind: FeedKind,
        /// The id of the item.
        id: FeedId,
        /// The new version of the item.
        version: u64,
    },
    /// An item was removed from the feed.
    FeedDelete {
        /// The kind of the item.
        kind: FeedKind,
        /// The id of the item.
        id: FeedId,
        /// The version of the removal; for an item missing from a put, its last version.
        version: u64,
    },
    /// A put of the whole feed was completed: the live items are now those of the source.
    FeedReceivedAll,
}

impl Event {
    /// The kind of the event.
    #[must_use]
    pub const fn code(&self) -> EventCode {
        match self {
            Self::FeatureCreated { .. } => EventCode::FeatureCreated,
            Self::FeatureConfigured { .. } => EventCode::FeatureConfigured,
            Self::StatusChanged { .. } => EventCode::StatusChanged,
            Self::Stepped { .. } => EventCode::Stepped,
            Self::StepHeld { .. } => EventCode::StepHeld,
            Self::RolledBack { .. } => EventCode::RolledBack,
            Self::OverrideSet { .. } => EventCode::OverrideSet,
            Self::OverrideCleared { .. } => EventCode::OverrideCleared,
            Self::BreakerTripped { .. } => EventCode::BreakerTripped,
            Self::BreakerClosed { .. } => EventCode::BreakerClosed,
            Self::BreakerDrained => EventCode::BreakerDrained,
            Self::Scheduled { .. } => EventCode::Scheduled,
            Self::ScheduleCancelled { .. } => EventCode::ScheduleCancelled,
            Self::ScheduleExecuted { .. } => EventCode::ScheduleExecuted,
            Self::RoleGranted { .. } => EventCode::RoleGranted,
            Self::RoleRevoked { .. } => EventCode::RoleRevoked,
            Self::ParamsSet => EventCode::ParamsSet,
            Self::RulesSet { .. } => EventCode::RulesSet,
            Self::RoundClosed { .. } => EventCode::RoundClosed,
            Self::RoundShort { .. } => EventCode::RoundShort,
            Self::StepBlocked { .. } => EventCode::StepBlocked,
            Self::VersionRegistered { .. } => EventCode::VersionRegistered,
            Self::VersionEvicted { .. } => EventCode::VersionEvicted,
            Self::Deployed { .. } => EventCode::Deployed,
            Self::Staged { .. } => EventCode::Staged,
            Self::StageHeld { .. } => EventCode::StageHeld,
            Self::Waiting { .. } => EventCode::Waiting,
            Self::Paused { .. } => EventCode::Paused,
            Self::Resumed { .. } => EventCode::Resumed,
            Self::Promoted { .. } => EventCode::Promoted,
            Self::DeploymentRolledBack { .. } => EventCode::DeploymentRolledBack,
            Self::Reverted { .. } => EventCode::Reverted,
            Self::Concluded { .. } => EventCode::Concluded,
            Self::VersionRetired { .. } => EventCode::VersionRetired,
            Self::HealthAttested { .. } => EventCode::HealthAttested,
            Self::LoadPlanned { .. } => EventCode::LoadPlanned,
            Self::Loaded { .. } => EventCode::Loaded,
            Self::LoadFailed { .. } => EventCode::LoadFailed,
            Self::LoadDisputed { .. } => EventCode::LoadDisputed,
            Self::Unloaded { .. } => EventCode::Unloaded,
            Self::FeedInsert { .. } => EventCode::FeedInsert,
            Self::FeedUpdated { .. } => EventCode::FeedUpdated,
            Self::FeedDelete { .. } => EventCode::FeedDelete,
            Self::FeedReceivedAll => EventCode::FeedReceivedAll,
        }
    }
}

impl Encode for Event {
    fn encode(&self, out: &mut Writer) {
        self.code().encode(out);
        match self {
            Self::FeatureCreated { name } | Self::FeatureConfigured { name } => out.name(name),
            Self::StatusChanged { name, from, to, percent, cause, actor } => {
                out.name(name);
                from.encode(out);
                to.encode(out);
                out.u8(percent.get());
                cause.encode(out);
                out.address(actor);
            }
            Self::Stepped { name, from_percent, to_percent } => {
                out.name(name);
                out.u8(from_percent.get());
                out.u8(to_percent.get());
            }
            Self::StepHeld { name, operations, needed } => {
                out.name(name);
                out.u64(*operations);
                out.u64(*needed);
            }
            Self::RolledBack { name, rule, reason, errors, successes, value, threshold, actor } => {
                out.name(name);
                rule.encode(out);
                reason.encode(out);
                out.u64(*errors);
                out.u64(*successes);
                out.u64(*value);
                out.u64(*threshold);
                out.address(actor);
            }
            Self::OverrideSet { name, user, enabled } => {
                out.name(name);
                out.address(user);
                out.bool(*enabled);
            }
            Self::OverrideCleared { name, user } => {
                out.name(name);
                out.address(user);
            }
            Self::BreakerTripped { reason, until, draining, actor } => {
                reason.encode(out);
                out.nonzero_u32(*until);
                out.bool(*draining);
                out.address(actor);
            }
            Self::BreakerClosed { by } => by.encode(out),
            Self::BreakerDrained | Self::ParamsSet | Self::FeedReceivedAll => {}
            Self::RulesSet { from, to } => {
                out.u16(*from);
                out.u16(*to);
            }
            Self::RoundClosed { pool, reporters, acted } => {
                pool.encode_fields(out);
                out.u8(*reporters);
                out.bool(*acted);
            }
            Self::RoundShort { pool, reporters, quorum } => {
                pool.encode_fields(out);
                out.u8(*reporters);
                out.u8(*quorum);
            }
            Self::StepBlocked { name, prerequisite } => {
                out.name(name);
                out.name(prerequisite);
            }
            Self::Scheduled { id, at } => {
                out.u64(*id);
                out.u32(*at);
            }
            Self::ScheduleCancelled { id } => out.u64(*id),
            Self::ScheduleExecuted { id, code, index } => {
                out.u64(*id);
                out.u16(*code);
                out.u8(*index);
            }
            Self::RoleGranted { address, role } | Self::RoleRevoked { address, role } => {
                out.address(address);
                out.u8(role.mask());
            }
            Self::VersionRegistered { plugin, version }
            | Self::VersionEvicted { plugin, version }
            | Self::VersionRetired { plugin, version }
            | Self::Loaded { plugin, version }
            | Self::Unloaded { plugin, version } => {
                out.name(plugin);
                version.encode(out);
            }
            Self::Deployed { plugin, version, strategy } => {
                out.name(plugin);
                version.encode(out);
                strategy.encode(out);
            }
            Self::Staged { plugin, stage, share } => {
                out.name(plugin);
                out.u8(*stage);
                out.u16(share.get());
            }
            Self::StageHeld { plugin, reason, requests, errors } => {
                out.name(plugin);
                reason.encode(out);
                out.u64(*requests);
                out.u64(*errors);
            }
            Self::Waiting { plugin, hold } => {
                out.name(plugin);
                hold.encode(out);
            }
            Self::Paused { plugin, reason, evidence } => {
                out.name(plugin);
                reason.encode(out);
                evidence.encode(out);
            }
            Self::Resumed { plugin } => out.name(plugin),
            Self::Promoted { plugin, from, to } | Self::Reverted { plugin, from, to } => {
                out.name(plugin);
                from.encode(out);
                to.encode(out);
            }
            Self::DeploymentRolledBack { plugin, version, reason, evidence, actor } => {
                out.name(plugin);
                version.encode(out);
                reason.encode(out);
                evidence.encode(out);
                out.address(actor);
            }
            Self::Concluded { plugin, version, winner, evidence } => {
                out.name(plugin);
                version.encode(out);
                winner.encode(out);
                evidence.encode(out);
            }
            Self::HealthAttested { plugin, version, healthy: flag }
            | Self::LoadDisputed { plugin, version, ok: flag } => {
                out.name(plugin);
                version.encode(out);
                out.bool(*flag);
            }
            Self::LoadPlanned { plugin, version, state } => {
                out.name(plugin);
                version.encode(out);
                state.encode(out);
            }
            Self::LoadFailed { plugin, version, code } => {
                out.name(plugin);
                version.encode(out);
                out.u16(*code);
            }
            Self::FeedInsert { kind, id, version }
            | Self::FeedUpdated { kind, id, version }
            | Self::FeedDelete { kind, id, version } => {
                kind.encode(out);
                out.lp8(id.as_bytes());
                out.u64(*version);
            }
        }
    }
}

impl Decode for Event {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match EventCode::decode(input)? {
            EventCode::FeatureCreated => Self::FeatureCreated { name: input.name()? },
            EventCode::FeatureConfigured => Self::FeatureConfigured { name: input.name()? },
            EventCode::StatusChanged => Self::StatusChanged {
                name: input.name()?,
                from: Status::decode(input)?,
                to: Status::decode(input)?,
                percent: input.percent()?,
                cause: Cause::decode(input)?,
                actor: input.address()?,
            },
            EventCode::Stepped => {
                Self::Stepped { name: input.name()?, from_percent: input.percent()?, to_percent: input.percent()? }
            }
            EventCode::StepHeld => {
                Self::StepHeld { name: input.name()?, operations: input.u64()?, needed: input.u64()? }
            }
            EventCode::RolledBack => Self::RolledBack {
                name: input.name()?,
                rule: RollbackRule::decode(input)?,
                reason: Reason::decode(input)?,
                errors: input.u64()?,
                successes: input.u64()?,
                value: input.u64()?,
                threshold: input.u64()?,
                actor: input.address()?,
            },
            EventCode::OverrideSet => {
                Self::OverrideSet { name: input.name()?, user: input.address()?, enabled: input.bool()? }
            }
            EventCode::OverrideCleared => Self::OverrideCleared { name: input.name()?, user: input.address()? },
            EventCode::BreakerTripped => Self::BreakerTripped {
                reason: Reason::decode(input)?,
                until: input.nonzero_u32()?,
                draining: input.bool()?,
                actor: input.address()?,
            },
            EventCode::BreakerClosed => Self::BreakerClosed { by: BreakerClosedBy::decode(input)? },
            EventCode::BreakerDrained => Self::BreakerDrained,
            EventCode::Scheduled => Self::Scheduled { id: input.u64()?, at: input.u32()? },
            EventCode::ScheduleCancelled => Self::ScheduleCancelled { id: input.u64()? },
            EventCode::ScheduleExecuted => {
                Self::ScheduleExecuted { id: input.u64()?, code: input.u16()?, index: input.u8()? }
            }
            EventCode::RoleGranted => Self::RoleGranted { address: input.address()?, role: role(input)? },
            EventCode::RoleRevoked => Self::RoleRevoked { address: input.address()?, role: role(input)? },
            EventCode::ParamsSet => Self::ParamsSet,
            EventCode::RulesSet => Self::RulesSet { from: input.u16()?, to: input.u16()? },
            EventCode::RoundClosed => {
                Self::RoundClosed { pool: Pool::decode_fields(input)?, reporters: input.u8()?, acted: input.bool()? }
            }
            EventCode::RoundShort => {
                Self::RoundShort { pool: Pool::decode_fields(input)?, reporters: input.u8()?, quorum: input.u8()? }
            }
            EventCode::StepBlocked => Self::StepBlocked { name: input.name()?, prerequisite: input.name()? },
            EventCode::VersionRegistered => {
                Self::VersionRegistered { plugin: input.name()?, version: Version::decode(input)? }
            }
            EventCode::VersionEvicted => {
                Self::VersionEvicted { plugin: input.name()?, version: Version::decode(input)? }
            }
            EventCode::Deployed => Self::Deployed {
                plugin: input.name()?,
                version: Version::decode(input)?,
                strategy: StrategyKind::decode(input)?,
            },
            EventCode::Staged => Self::Staged { plugin: input.name()?, stage: input.u8()?, share: input.bps()? },
            EventCode::StageHeld => Self::StageHeld {
                plugin: input.name()?,
                reason: Shortfall::decode(input)?,
                requests: input.u64()?,
                errors: input.u64()?,
            },
            EventCode::Waiting => Self::Waiting { plugin: input.name()?, hold: Hold::decode(input)? },
            EventCode::Paused => {
                let (plugin, reason) = (input.name()?, PluginReason::decode(input)?);
                Self::Paused { plugin, reason, evidence: Evidence::decode(reason, input)? }
            }
            EventCode::Resumed => Self::Resumed { plugin: input.name()? },
            EventCode::Promoted => {
                Self::Promoted { plugin: input.name()?, from: Version::decode(input)?, to: Version::decode(input)? }
            }
            EventCode::DeploymentRolledBack => {
                let (plugin, version) = (input.name()?, Version::decode(input)?);
                let reason = PluginReason::decode(input)?;
                let (evidence, actor) = (Evidence::decode(reason, input)?, input.address()?);
                Self::DeploymentRolledBack { plugin, version, reason, evidence, actor }
            }
            EventCode::Reverted => {
                Self::Reverted { plugin: input.name()?, from: Version::decode(input)?, to: Version::decode(input)? }
            }
            EventCode::Concluded => {
                let (plugin, version) = (input.name()?, Version::decode(input)?);
                let winner = PluginReason::decode(input)?;
                Self::Concluded { plugin, version, winner, evidence: Evidence::decode(winner, input)? }
            }
            EventCode::VersionRetired => {
                Self::VersionRetired { plugin: input.name()?, version: Version::decode(input)? }
            }
            EventCode::HealthAttested => {
                Self::HealthAttested { plugin: input.name()?, version: Version::decode(input)?, healthy: input.bool()? }
            }
            EventCode::LoadPlanned => Self::LoadPlanned {
                plugin: input.name()?,
                version: Version::decode(input)?,
                state: LoadState::decode(input)?,
            },
            EventCode::Loaded => Self::Loaded { plugin: input.name()?, version: Version::decode(input)? },
            EventCode::LoadFailed => {
                Self::LoadFailed { plugin: input.name()?, version: Version::decode(input)?, code: input.u16()? }
            }
            EventCode::LoadDisputed => {
                Self::LoadDisputed { plugin: input.name()?, version: Version::decode(input)?, ok: input.bool()? }
            }
            EventCode::Unloaded => Self::Unloaded { plugin: input.name()?, version: Version::decode(input)? },
            EventCode::FeedInsert => {
                Self::FeedInsert { kind: FeedKind::decode(input)?, id: feed_id(input)?, version: input.u64()? }
            }
            EventCode::FeedUpdated => {
                Self::FeedUpdated { kind: FeedKind::decode(input)?, id: feed_id(input)?, version: input.u64()? }
            }
            EventCode::FeedDelete => {
                Self::FeedDelete { kind: FeedKind::decode(input)?, id: feed_id(input)?, version: input.u64()? }
            }
            EventCode::FeedReceivedAll => Self::FeedReceivedAll,
        })
    }
}

fn feed_id(input: &mut Reader<'_>) -> Result<FeedId, DecodeError> {
    let id = input.lp8()?;
    FeedId::new(id).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
}

fn role(input: &mut Reader<'_>) -> Result<Role, DecodeError> {
    let mask = input.u8()?;
    Role::from_mask(mask).ok_or(input.error(DecodeErrorKind::UnknownTag))
}
