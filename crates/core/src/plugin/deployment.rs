//! The record of a deployment, and how it is answered.

use alloc::sync::Arc;
use core::num::NonZeroU32;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::invariant::promised;
use crate::plugin::plan::{Gate, OnComplete, Plan, Stage, StrategyKind};
use crate::plugin::record::Counts;
use crate::plugin::version::Version;
use crate::tags::tags;
use crate::values::{Bps, Height};

/// The most requests that an arm counts, so that the regression test fits 256 bits.
pub const ARM_REQUESTS_MAX: u64 = (1 << 48) - 1;

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

/// What a stage lacked when its blocks had passed, as far as it has been told in this stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportedShortfalls(u8);

tags! {
    /// What a stage still lacks when its blocks have passed.
    Shortfall {
        /// Requests.
        Requests = 1, "requests";
        /// Successes among them.
        SuccessRate = 2, "success_rate";
    }
}

impl ReportedShortfalls {
    /// Whether the lack has been told in this stage.
    #[must_use]
    pub const fn contains(self, lack: Shortfall) -> bool {
        self.0 & lack.tag() != 0
    }

    /// Whether the stage is held at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same, with this lack told.
    #[must_use]
    pub const fn with(self, lack: Shortfall) -> Self {
        Self(self.0 | lack.tag())
    }

    const ALL: u8 = Shortfall::Requests.tag() | Shortfall::SuccessRate.tag();
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
    pub held: ReportedShortfalls,
    /// Whether the health gate of the stage has been opened.
    pub healthy: bool,
    /// The stage, from 0.
    pub stage: u8,
    /// When the stage began.
    pub stage_height: Height,
    /// When the deployment began.
    pub start: Height,
    /// When it is checked next; none = at no height.
    pub due: Option<NonZeroU32>,
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
        promised(self.current_stage().map(|stage| stage.share_bps), "the stage is one of the plan")
    }

    /// The version that serves a bucket: the new one below its share, else the current one.
    #[must_use]
    pub fn serves(&self, bucket: Bps) -> &Version {
        if bucket < self.share() { &self.new } else { &self.old }
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
        let is_sound = deployment.held.0 & !ReportedShortfalls::ALL == 0
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
pub struct DeploymentSummary {
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

impl DeploymentSummary {
    /// Where this deployment, or none, stands.
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
