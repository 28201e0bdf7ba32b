//! A deployment and its plan: the figures that it collects, and what follows from them.

use coalmine_core::{Evidence, Hold, PluginReason, Reject, Shortfall, StrategyKind, Threshold};
use semver::Version;

use crate::plugins::Counts;
use crate::raw::{Guardrails, Stage, Strategy};
use crate::{U32_MAX, U64_MAX};

/// The gates of a stage.
const TIME: u8 = 0;
pub(crate) const MANUAL: u8 = 1;
pub(crate) const HEALTH: u8 = 2;

/// The z by which a winner is found when the regression test is off.
const VERDICT_Z_CENTI: u128 = 196;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub(crate) strategy: StrategyKind,
    pub(crate) old: Version,
    pub(crate) new: Version,
    pub(crate) hold: Hold,
    /// The shortfalls of this stage that were reported.
    pub(crate) held: Vec<Shortfall>,
    pub(crate) healthy: bool,
    pub(crate) stage: usize,
    pub(crate) stage_height: u128,
    pub(crate) start: u128,
    /// The height of the next check, at most the largest u32.
    pub(crate) due: Option<u128>,
    pub(crate) salt: u128,
    pub(crate) plan: Plan,
    pub(crate) canary: Counts,
    pub(crate) production: Counts,
    pub(crate) stage_requests: u128,
    pub(crate) stage_errors: u128,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Stage>,
    pub(crate) terms: Guardrails,
    pub(crate) concludes: bool,
}

/// What a strategy compiles to.
pub(crate) fn plan(strategy: &Strategy, terms: &Guardrails) -> Result<Plan, Reject> {
    let terms = *terms;
    let stage =
        |share_bps: u16, blocks: u32, min_requests: u64, gate: u8| Stage { share_bps, blocks, min_requests, gate };
    let growing = |initial: u16, increment: u16, blocks: u32, max: u16, observation: u32| -> Option<Vec<Stage>> {
        if initial == 0 || initial > max || (increment == 0 && initial < max) {
            return None;
        }
        let mut stages = Vec::new();
        let mut share = u128::from(initial);
        while share < u128::from(max) {
            stages.push(stage(share as u16, blocks, terms.min_requests, TIME));
            share += u128::from(increment);
        }
        stages.push(stage(max, blocks.max(observation), terms.min_requests, TIME));
        Some(stages)
    };
    let (stages, concludes) = match strategy {
        Strategy::Canary { initial_bps, increment_bps, increment_blocks, max_bps, observation_blocks } => {
            (growing(*initial_bps, *increment_bps, *increment_blocks, *max_bps, *observation_blocks), false)
        }
        Strategy::Rolling { initial_bps, increment_bps, increment_blocks } => {
            (growing(*initial_bps, *increment_bps, *increment_blocks, 10_000, 0), false)
        }
        Strategy::BlueGreen { health_blocks, bake_blocks } => {
            (Some(vec![stage(0, *health_blocks, 0, HEALTH), stage(10_000, *bake_blocks, 0, TIME)]), false)
        }
        Strategy::AbTest { share_bps, duration_blocks } => {
            (Some(vec![stage(*share_bps, *duration_blocks, 0, TIME)]), true)
        }
        Strategy::Custom { on_complete, stages } => (Some(stages.clone()), *on_complete == 1),
    };
    let stages = stages.ok_or(Reject::InvalidPlan)?;
    let blocks: u128 = stages.iter().map(|stage| u128::from(stage.blocks)).sum();
    let holds = (1..=32).contains(&stages.len())
        && stages.iter().all(|stage| stage.share_bps <= 10_000 && stage.blocks > 0)
        && stages.is_sorted_by_key(|stage| stage.share_bps)
        && stages[stages.len() - 1].share_bps > 0
        && terms.error_threshold_bps <= 10_000
        && terms.success_threshold_bps <= 10_000
        && (terms.max_blocks == 0 || u128::from(terms.max_blocks) > blocks);
    if holds { Ok(Plan { stages, terms, concludes }) } else { Err(Reject::InvalidPlan) }
}

impl Deployment {
    pub(crate) fn stage(&self) -> &Stage {
        &self.plan.stages[self.stage]
    }

    /// The counts of the arm that a version serves, if it serves one.
    pub(crate) fn arm(&self, version: &Version) -> Option<&Counts> {
        match version {
            version if *version == self.new => Some(&self.canary),
            version if *version == self.old => Some(&self.production),
            _ => None,
        }
    }

    pub(crate) fn arm_mut(&mut self, version: &Version) -> Option<&mut Counts> {
        match version {
            version if *version == self.new => Some(&mut self.canary),
            version if *version == self.old => Some(&mut self.production),
            _ => None,
        }
    }

    pub(crate) fn stage_end(&self) -> u128 {
        self.stage_height + u128::from(self.stage().blocks)
    }

    pub(crate) fn is_last_stage(&self) -> bool {
        self.stage + 1 == self.plan.stages.len()
    }

    /// Whether this is a health stage that was attested as healthy.
    pub(crate) fn is_gate_open(&self) -> bool {
        self.stage().gate == HEALTH && self.healthy
    }

    pub(crate) fn deadline(&self) -> Option<u128> {
        let max_blocks = u128::from(self.plan.terms.max_blocks);
        (max_blocks != 0).then_some(self.start + max_blocks)
    }

    /// The height at which a deadline ends it: that of the whole, or that of a gate which nobody has opened.
    pub(crate) fn deadline_due(&self) -> Option<u128> {
        let gate = (self.stage().gate == HEALTH && !self.healthy).then(|| self.stage_end());
        [self.deadline(), gate].into_iter().flatten().min().filter(|due| *due <= U32_MAX)
    }

    /// Sets the next check to this height.
    pub(crate) fn set_check(&mut self, height: Option<u128>) {
        self.due = height.filter(|due| *due <= U32_MAX);
    }

    /// Sets the next check of a deployment that runs: at the end of the stage. A gate that nobody has opened is not
    /// checked.
    pub(crate) fn look_when_stage_ends(&mut self, h: u128) {
        let height = match (self.stage().gate == HEALTH, self.healthy) {
            (true, true) => Some(h + 1),
            (true, false) => None,
            (false, _) => Some(self.stage_end().max(h + 1)),
        };
        self.set_check(height);
    }

    pub(crate) fn set_hold(&mut self, hold: Hold) {
        self.hold = hold;
        self.set_check(None);
    }

    /// What is missing for the stage to end.
    pub(crate) fn lacks(&self) -> Vec<Shortfall> {
        let mut lacks = Vec::new();
        if self.stage_requests < u128::from(self.stage().min_requests) {
            lacks.push(Shortfall::Requests);
        }
        if !rate_holds(self.stage_requests, self.stage_errors, self.plan.terms.success_threshold_bps) {
            lacks.push(Shortfall::SuccessRate);
        }
        lacks
    }

    /// The counts of the canary arm.
    pub(crate) fn evidence(&self, threshold: Threshold) -> Evidence {
        Evidence {
            requests: wide(self.canary.requests),
            errors: wide(self.canary.errors),
            production_requests: 0,
            production_errors: 0,
            threshold,
        }
    }

    pub(crate) fn evidence_of_both(&self, z_centi: u128) -> Evidence {
        Evidence {
            production_requests: wide(self.production.requests),
            production_errors: wide(self.production.errors),
            ..self.evidence(Threshold::Z(wide(z_centi)))
        }
    }

    /// The first rule that the reports break: the error rate of the deployment, that of the stage, the regression test.
    pub(crate) fn broken_rule(&self) -> Option<(PluginReason, Evidence)> {
        let terms = &self.plan.terms;
        let (least, bps) = (u128::from(terms.min_requests).max(1), u128::from(terms.error_threshold_bps));
        for (requests, errors) in [(self.canary.requests, self.canary.errors), (self.stage_requests, self.stage_errors)]
        {
            if requests >= least && errors * 10_000 > bps * requests {
                let evidence = Evidence {
                    requests: wide(requests),
                    errors: wide(errors),
                    ..self.evidence(Threshold::ErrorRate(wide(bps)))
                };
                return Some((PluginReason::ErrorRate, evidence));
            }
        }
        let z_centi = u128::from(terms.regression_z_centi);
        let is_regression = z_centi != 0
            && self.canary.requests >= least
            && self.production.requests >= least
            && self.canary.is_worse(&self.production)
            && self.canary.differs(&self.production, z_centi);
        is_regression.then(|| (PluginReason::Regression, self.evidence_of_both(z_centi)))
    }

    pub(crate) fn verdict_z(&self) -> u128 {
        match self.plan.terms.regression_z_centi {
            0 => VERDICT_Z_CENTI,
            z_centi => u128::from(z_centi),
        }
    }

    /// Which arm won.
    pub(crate) fn verdict(&self) -> PluginReason {
        let (canary, production, terms) = (&self.canary, &self.production, &self.plan.terms);
        let least = u128::from(terms.min_requests);
        if canary.requests < least || production.requests < least || !canary.differs(production, self.verdict_z()) {
            return PluginReason::Inconclusive;
        }
        if canary.is_worse(production) {
            return PluginReason::Production;
        }
        let holds = rate_holds(canary.requests, canary.errors, terms.success_threshold_bps);
        if production.is_worse(canary) && holds { PluginReason::Canary } else { PluginReason::Inconclusive }
    }
}

fn rate_holds(requests: u128, errors: u128, success_bps: u16) -> bool {
    (requests - errors) * 10_000 >= u128::from(success_bps) * requests
}

pub(crate) fn wide(n: u128) -> u64 {
    n.min(U64_MAX) as u64
}
