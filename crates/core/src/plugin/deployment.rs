//! The record of a deployment, and the summary that queries return.

use alloc::sync::Arc;
use core::num::NonZeroU32;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::invariant::promised;
use crate::plugin::plan::{Gate, OnComplete, Plan, Stage, StrategyKind};
use crate::plugin::record::Counts;
use crate::plugin::version::Version;
use crate::tags::tags;
use crate::values::{Bps, Height};

/// The most requests of an arm: more would not fit the 256 bits of the regression test.
pub const ARM_REQUESTS_MAX: u64 = (1 << 48) - 1;

tags! {
    /// Why a deployment does not run.
    Hold {
        /// It runs; its stage may still be short of something.
        Running = 0, "running";
        /// A command paused it.
        Paused = 1, "paused";
        /// A rule is broken, and `auto_rollback` is off.
        PausedByRule = 2, "paused_by_rule";
        /// Its stage ended at a manual gate, which a resume opens.
        ManualGate = 3, "manual_gate";
        /// Its plan is complete, and it waits for promote.
        Completed = 4, "completed";
        /// Its plan is complete, but a constraint, the host or a dependent forbids the promotion.
        Dependents = 5, "dependents";
    }
}

/// The shortfalls that have been reported in this stage. A shortfall is reported once per stage, not at every check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportedShortfalls(u8);

tags! {
    /// What a stage is short of when its blocks have passed.
    Shortfall {
        /// Requests for the new version.
        Requests = 1, "requests";
        /// Successful ones among them.
        SuccessRate = 2, "success_rate";
    }
}

impl ReportedShortfalls {
    /// Whether the shortfall has been reported in this stage.
    #[must_use]
    pub const fn contains(self, shortfall: Shortfall) -> bool {
        self.0 & shortfall.tag() != 0
    }

    /// Whether none has been reported: the stage is not held.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a shortfall that is reported now.
    #[must_use]
    pub const fn with(self, shortfall: Shortfall) -> Self {
        Self(self.0 | shortfall.tag())
    }

    const ALL: u8 = Shortfall::Requests.tag() | Shortfall::SuccessRate.tag();
}

/// A deployment (key `DB`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The kind of strategy that the plan was compiled from.
    pub strategy: StrategyKind,
    /// The version of the production arm: the current one.
    pub old: Version,
    /// The version of the canary arm.
    pub new: Version,
    /// Why it does not run.
    pub hold: Hold,
    /// The shortfalls reported in this stage; not empty while the stage is held.
    pub held: ReportedShortfalls,
    /// Whether the health gate of the stage has been opened.
    pub healthy: bool,
    /// The current stage, from 0.
    pub stage: u8,
    /// The height at which the stage started.
    pub stage_height: Height,
    /// The height at which the deployment started.
    pub start: Height,
    /// The height from which the next check is due; `None`: none is, until a command, a report or an attestation sets
    /// one. The deadline is not among the checks.
    pub due: Option<NonZeroU32>,
    /// Part of the bucket hash: each deployment draws other units.
    pub salt: u64,
    /// The compiled plan.
    pub plan: Arc<Plan>,
    /// Totals of the reports about the new version since the start.
    pub canary: Counts,
    /// Totals of the reports about the old version since the start.
    pub production: Counts,
    /// Requests for the new version in this stage. Unlike those of the arm they are never halved.
    pub stage_requests: u64,
    /// Those of them that failed.
    pub stage_errors: u64,
}

impl Deployment {
    /// The current stage. Decoding guarantees that the plan has it.
    #[must_use]
    pub fn current_stage(&self) -> Option<&Stage> {
        self.plan.stages().get(usize::from(self.stage))
    }

    /// The share of units that are routed to the new version, whatever holds the deployment.
    #[must_use]
    pub fn share(&self) -> Bps {
        promised(self.current_stage().map(|stage| stage.share_bps), "the stage is one of the plan's")
    }

    /// The version that a bucket is routed to: the new one below its share, else the current one.
    #[must_use]
    pub fn serves(&self, bucket: Bps) -> &Version {
        if bucket < self.share() { &self.new } else { &self.old }
    }

    /// Whether the current stage is the last one of the plan.
    #[must_use]
    pub fn is_in_last_stage(&self) -> bool {
        usize::from(self.stage).saturating_add(1) >= self.plan.stages().len()
    }

    /// Whether the current stage ends with a verdict.
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
        out.nonzero_u32(self.due);
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
            held: ReportedShortfalls(input.u8()?),
            healthy: input.bool()?,
            stage: input.u8()?,
            stage_height: input.u32()?,
            start: input.u32()?,
            due: input.nonzero_u32()?,
            salt: input.u64()?,
            plan: Arc::new(Plan::decode(input)?),
            canary: Counts::decode(input)?,
            production: Counts::decode(input)?,
            stage_requests: input.u64()?,
            stage_errors: input.u64()?,
        };
        let arm_fits = |arm: &Counts| arm.requests <= ARM_REQUESTS_MAX;
        let is_valid = deployment.held.0 & !ReportedShortfalls::ALL == 0
            && deployment.current_stage().is_some()
            && arm_fits(&deployment.canary)
            && arm_fits(&deployment.production)
            && deployment.stage_errors <= deployment.stage_requests
            && !deployment.old.is_same(&deployment.new);
        if is_valid { Ok(deployment) } else { Err(input.error(DecodeErrorKind::OutOfRange)) }
    }
}

tags! {
    /// The state of a plugin's deployment, as queries report it.
    DeploymentStatus {
        /// There is no deployment.
        None = 0, "none";
        /// The current stage has a health gate.
        Pending = 1, "pending";
        /// The current stage has no health gate.
        Active = 2, "active";
        /// The plan is complete, and the deployment waits for promote.
        Promoting = 3, "promoting";
    }
}

/// How far a plugin's deployment is: an answer of queries, not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentSummary {
    /// Whether there is a deployment, and how far it is.
    pub status: DeploymentStatus,
    /// The new version; `None` without a deployment.
    pub canary: Option<Version>,
    /// Whether it is paused by a command, a rule or dependents, so that a resume is needed.
    pub paused: bool,
    /// Whether it waits for a resume at a manual gate, or for a promote.
    pub waiting: bool,
    /// The share of units that are routed to the new version.
    pub share: Bps,
    /// The current stage, from 0.
    pub stage: u8,
}

impl DeploymentSummary {
    /// Summarises a deployment, or the absence of one.
    #[must_use]
    pub fn of(deployment: Option<&Deployment>) -> Self {
        let Some(deployment) = deployment else {
            let status = DeploymentStatus::None;
            return Self { status, canary: None, paused: false, waiting: false, share: Bps::ZERO, stage: 0 };
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
