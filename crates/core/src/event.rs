//! What happened in a block, in the order in which it happened.

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::record::{Cause, Reason, Status, tags};
use crate::values::{Address, Height, Name, Percent, Role};

tags! {
    /// The kind of an event.
    EventCode {
        /// A feature was created.
        FeatureCreated = 1, "feature_created";
        /// The settings of a feature were changed.
        FeatureConfigured = 2, "feature_configured";
        /// Status or percent were set, other than by a step or rollback.
        StatusChanged = 3, "status_changed";
        /// A step changed the percent.
        Stepped = 4, "stepped";
        /// A step was held for lack of operations.
        StepHeld = 5, "step_held";
        /// A feature was rolled back.
        RolledBack = 6, "rolled_back";
        /// A user's own switch was set.
        OverrideSet = 7, "override_set";
        /// A user's own switch was removed.
        OverrideCleared = 8, "override_cleared";
        /// The breaker opened.
        BreakerTripped = 9, "breaker_tripped";
        /// The breaker closed.
        BreakerClosed = 10, "breaker_closed";
        /// The breaker has rolled back every active feature.
        BreakerDrained = 11, "breaker_drained";
        /// Commands were scheduled.
        Scheduled = 12, "scheduled";
        /// A scheduled entry was removed.
        ScheduleCancelled = 13, "schedule_cancelled";
        /// A scheduled entry ran.
        ScheduleExecuted = 14, "schedule_executed";
        /// A role was given.
        RoleGranted = 15, "role_granted";
        /// A role was taken.
        RoleRevoked = 16, "role_revoked";
        /// Parameters were changed.
        ParamsSet = 17, "params_set";
    }
}

tags! {
    /// What decided a rollback.
    RollbackRule {
        /// A rollback command.
        Command = 0, "command";
        /// Guard rule 1: failed invariants.
        Invariants = 1, "invariants";
        /// Guard rule 2: the error rate of the trial.
        ErrorRate = 2, "error_rate";
        /// Guard rule 3: the error rate of the window.
        WindowErrorRate = 3, "window_error_rate";
        /// Guard rule 4: the average latency of the trial.
        Latency = 4, "latency";
        /// The draining breaker.
        Breaker = 5, "breaker";
    }
}

tags! {
    /// What closed the breaker.
    BreakerClosedBy {
        /// reset_breaker.
        Reset = 0, "reset";
        /// Its `until` height.
        Expiry = 1, "expiry";
    }
}

/// Something that happened. The fields are in the order of their encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Status or percent were set, other than by a step or rollback.
    StatusChanged {
        /// The feature.
        name: Name,
        /// The status before.
        from: Status,
        /// The status now.
        to: Status,
        /// The percent now.
        percent: Percent,
        /// What did it.
        cause: Cause,
        /// Who did it; zero for automatic changes.
        actor: Address,
    },
    /// A step changed the percent.
    Stepped {
        /// The feature.
        name: Name,
        /// The percent before.
        from_percent: Percent,
        /// The percent now.
        to_percent: Percent,
    },
    /// A step was held for lack of operations.
    StepHeld {
        /// The feature.
        name: Name,
        /// Operations since the last step.
        operations: u64,
        /// Operations that a step asks for.
        needed: u64,
    },
    /// A feature was rolled back.
    RolledBack {
        /// The feature.
        name: Name,
        /// What decided it.
        rule: RollbackRule,
        /// The reason that is stored.
        reason: Reason,
        /// The errors that were judged: of the window for rule 3, else of the trial.
        errors: u64,
        /// The successes that were judged, likewise.
        successes: u64,
        /// The figure that was too high: failures, a rate in 1/10 000, or a latency; 0 without a rule.
        value: u64,
        /// What it may be at most; 0 without a rule.
        threshold: u64,
        /// Who did it; zero for automatic changes.
        actor: Address,
    },
    /// A user's own switch was set.
    OverrideSet {
        /// The feature.
        name: Name,
        /// The user.
        user: Address,
        /// On or off.
        enabled: bool,
    },
    /// A user's own switch was removed.
    OverrideCleared {
        /// The feature.
        name: Name,
        /// The user.
        user: Address,
    },
    /// The breaker opened.
    BreakerTripped {
        /// Why.
        reason: Reason,
        /// When it closes by itself; 0 = when it is reset.
        until: Height,
        /// Whether it rolls back every active feature.
        draining: bool,
        /// Who opened it; zero when it opened by itself.
        actor: Address,
    },
    /// The breaker closed.
    BreakerClosed {
        /// What closed it.
        by: BreakerClosedBy,
    },
    /// The breaker has rolled back every active feature.
    BreakerDrained,
    /// Commands were scheduled.
    Scheduled {
        /// The id of the entry.
        id: u64,
        /// When it runs.
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
        /// 0, or the code of the reject.
        code: u16,
        /// The index of the failing command.
        index: u8,
    },
    /// A role was given.
    RoleGranted {
        /// To whom.
        address: Address,
        /// Which.
        role: Role,
    },
    /// A role was taken.
    RoleRevoked {
        /// From whom.
        address: Address,
        /// Which.
        role: Role,
    },
    /// Parameters were changed.
    ParamsSet,
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
                out.u32(*until);
                out.bool(*draining);
                out.address(actor);
            }
            Self::BreakerClosed { by } => by.encode(out),
            Self::BreakerDrained | Self::ParamsSet => {}
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
                percent: percent(input)?,
                cause: Cause::decode(input)?,
                actor: input.address()?,
            },
            EventCode::Stepped => {
                Self::Stepped { name: input.name()?, from_percent: percent(input)?, to_percent: percent(input)? }
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
                until: input.u32()?,
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
        })
    }
}

fn percent(input: &mut Reader<'_>) -> Result<Percent, DecodeError> {
    let percent = input.u8()?;
    Percent::new(percent).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
}

fn role(input: &mut Reader<'_>) -> Result<Role, DecodeError> {
    let mask = input.u8()?;
    Role::from_mask(mask).ok_or(input.error(DecodeErrorKind::UnknownTag))
}
