//! The engine of deployments: what a look, a report or an attestation calls for.
//!
//! Functions of values. A [`Deployment`] says where its plan stands; the business of `execute` is
//! who may ask, what a promotion breaks, and the records and events that follow.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::num::{NonZeroU16, NonZeroU32};

use crate::plugin::compare::{cmp_error_rates, errors_exceed, successes_hold, z_reaches};
use crate::plugin::deployment::{ARM_REQUESTS_MAX, Deployment, Hold, ReportedShortfalls, Shortfall};
use crate::plugin::plan::{Gate, Plan, Stage, StrategyKind};
use crate::plugin::record::{Counts, Evidence, PluginReason, Threshold, VersionReport};
use crate::plugin::version::Version;
use crate::reject::Reject;
use crate::values::Height;

/// The z of a verdict, in hundredths, where the regression test is off.
const VERDICT_Z_CENTI: u16 = 196;

/// A rule that calls for a rollback or a pause, and what decided it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeploymentFinding {
    pub(crate) reason: PluginReason,
    pub(crate) evidence: Evidence,
}

/// What a look at a due deployment calls for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing yet.
    Stay,
    /// Rolled back, whatever auto_rollback says.
    RollBack(DeploymentFinding),
    /// The stage lacks something; what of it has not been told in this stage.
    Lacking(Vec<Shortfall>),
    /// It waits at its manual gate.
    Wait,
    /// The stage is done.
    Leave,
}

/// The arm that serves its requests better, if the figures decide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Winner {
    Canary,
    Production,
    Inconclusive,
}

impl From<Winner> for PluginReason {
    fn from(winner: Winner) -> Self {
        match winner {
            Winner::Canary => Self::Canary,
            Winner::Production => Self::Production,
            Winner::Inconclusive => Self::Inconclusive,
        }
    }
}

/// How the arms compare at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conclusion {
    pub(crate) winner: Winner,
    pub(crate) evidence: Evidence,
}

/// A deployment that starts at `height`.
pub(crate) fn start(
    strategy: StrategyKind,
    plan: Arc<Plan>,
    old: Version,
    new: Version,
    number: u32,
    height: Height,
) -> Deployment {
    let mut deployment = Deployment {
        strategy,
        old,
        new,
        hold: Hold::Running,
        held: ReportedShortfalls::default(),
        healthy: false,
        stage: 0,
        stage_height: height,
        start: height,
        due: None,
        salt: salt(height, number),
        plan,
        canary: Counts::default(),
        production: Counts::default(),
        stage_requests: 0,
        stage_errors: 0,
    };
    run(&mut deployment, height);
    deployment
}

/// What shuffles the units of a deployment: when it started, and the number of it.
pub(crate) fn salt(start: Height, number: u32) -> u64 {
    u64::from(start) << 32 | u64::from(number)
}

/// The first height that is past the stage; none if that is beyond all heights.
fn stage_end(deployment: &Deployment) -> Option<Height> {
    deployment.stage_height.checked_add(deployment.current_stage()?.blocks)
}

fn deadline(deployment: &Deployment) -> Option<Height> {
    deployment.start.checked_add(deployment.plan.guardrails().max_blocks?.get())
}

/// Sets when the deployment is looked at next: at `at`, and at its deadline in any case.
fn set_check(deployment: &mut Deployment, at: Option<Height>) {
    deployment.due = at.into_iter().chain(deadline(deployment)).min().and_then(NonZeroU32::new);
}

/// Lets it run from block `height` on.
pub(crate) fn run(deployment: &mut Deployment, height: Height) {
    deployment.hold = Hold::Running;
    let next = height.checked_add(1);
    let end = if deployment.healthy { next } else { stage_end(deployment) };
    set_check(deployment, end.zip(next).map(|(end, next)| end.max(next)));
}

/// Holds it, so that only its deadline is due.
pub(crate) fn hold(deployment: &mut Deployment, hold: Hold) {
    deployment.hold = hold;
    set_check(deployment, None);
}

/// Sets when it is looked at next after a look at block `height` that called for nothing.
pub(crate) fn check_later(deployment: &mut Deployment, height: Height) {
    match deployment.hold {
        Hold::Running => run(deployment, height),
        Hold::Paused | Hold::PausedByRule | Hold::ManualGate | Hold::Completed | Hold::Dependents => {
            set_check(deployment, None);
        }
    }
}

/// Whether the health gate of its stage is closed.
pub(crate) fn is_at_closed_health_gate(deployment: &Deployment) -> bool {
    !deployment.healthy && deployment.current_stage().is_some_and(|stage| stage.gate == Gate::Health)
}

/// Goes to the next stage at `height`. There is one.
pub(crate) fn next_stage(deployment: &mut Deployment, height: Height) {
    debug_assert!(!deployment.is_in_last_stage(), "the caller has looked");
    deployment.stage = deployment.stage.saturating_add(1);
    deployment.stage_height = height;
    deployment.stage_requests = 0;
    deployment.stage_errors = 0;
    deployment.held = ReportedShortfalls::default();
    deployment.healthy = false;
    run(deployment, height);
}

/// The missed deadline, once it has passed.
pub(crate) fn overdue(deployment: &Deployment, height: Height) -> Option<DeploymentFinding> {
    let has_passed = deadline(deployment).is_some_and(|deadline| height >= deadline);
    let max_blocks = deployment.plan.guardrails().max_blocks.filter(|_| has_passed)?;
    Some(finding(deployment, PluginReason::Timeout, Threshold::Blocks(max_blocks.get().into())))
}

/// Whether the record is one that the engine leaves behind: what is open and when it is looked at
/// follow from the rest.
pub(crate) fn is_reachable(deployment: &Deployment) -> bool {
    let gate = deployment.current_stage().map(|stage| stage.gate);
    let deadline = deadline(deployment);
    let is_due_right = match (deployment.hold, deadline) {
        (Hold::Running, Some(deadline)) => deployment.due.is_some_and(|due| due.get() <= deadline),
        (Hold::Running, None) => true,
        (Hold::Paused | Hold::PausedByRule | Hold::ManualGate | Hold::Completed | Hold::Dependents, deadline) => {
            deployment.due == deadline.and_then(NonZeroU32::new)
        }
    };
    is_due_right && (!deployment.healthy || gate == Some(Gate::Health))
}

/// What a look at block `height` calls for. The deadline comes first, whatever holds it.
pub(crate) fn check(deployment: &Deployment, height: Height) -> Check {
    if let Some(finding) = overdue(deployment, height) {
        return Check::RollBack(finding);
    }
    let Some(stage) = deployment.current_stage().filter(|_| deployment.hold == Hold::Running) else {
        return Check::Stay;
    };
    let has_ended = stage_end(deployment).is_some_and(|end| height >= end);
    match stage.gate {
        Gate::Health if deployment.healthy => Check::Leave,
        Gate::Health if has_ended => Check::RollBack(finding(deployment, PluginReason::Unhealthy, Threshold::None)),
        Gate::Time | Gate::Manual if has_ended => check_at_end(deployment, stage),
        Gate::Time | Gate::Manual | Gate::Health => Check::Stay,
    }
}

/// The blocks of a stage have passed. A verdict asks for nothing more.
fn check_at_end(deployment: &Deployment, stage: &Stage) -> Check {
    let unreported = if deployment.concludes() { None } else { lacks(deployment, stage) };
    match (unreported, stage.gate) {
        (Some(unreported), _) => Check::Lacking(unreported),
        (None, Gate::Manual) => Check::Wait,
        (None, Gate::Time | Gate::Health) => Check::Leave,
    }
}

/// None if the stage lacks nothing, else those of its lacks that have not been told in it.
fn lacks(deployment: &Deployment, stage: &Stage) -> Option<Vec<Shortfall>> {
    let Deployment { stage_requests: requests, stage_errors: errors, .. } = *deployment;
    let threshold = deployment.plan.guardrails().success_threshold_bps.get();
    let requests_lack = requests < stage.min_requests;
    let successes_lack = !successes_hold(requests, errors, threshold);
    if !requests_lack && !successes_lack {
        return None;
    }
    let lacks = [(Shortfall::Requests, requests_lack), (Shortfall::SuccessRate, successes_lack)];
    let unreported = |(lack, lacks): (Shortfall, bool)| (lacks && !deployment.held.contains(lack)).then_some(lack);
    Some(lacks.into_iter().filter_map(unreported).collect())
}

/// Notes that the stage is held, and what has been told of it. It is looked at again once the new
/// version is reported.
pub(crate) fn hold_stage(deployment: &mut Deployment, told: &[Shortfall]) {
    deployment.held = told.iter().fold(deployment.held, |held, lack| held.with(*lack));
    set_check(deployment, None);
}

/// The arm that a report of a version counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arm {
    Canary,
    Production,
}

/// The arm of a version, if it has one.
pub(crate) fn arm_of(deployment: &Deployment, version: &Version) -> Option<Arm> {
    if deployment.new.is_same(version) {
        Some(Arm::Canary)
    } else if deployment.old.is_same(version) {
        Some(Arm::Production)
    } else {
        None
    }
}

impl Arm {
    const fn counts(self, deployment: &Deployment) -> &Counts {
        match self {
            Self::Canary => &deployment.canary,
            Self::Production => &deployment.production,
        }
    }
}

/// Whether an arm has room for a report: the regression test must fit 256 bits.
pub(crate) fn check_report(deployment: &Deployment, arm: Arm, report: &VersionReport) -> Result<(), Reject> {
    let sum = arm.counts(deployment).with(report);
    if sum.requests > ARM_REQUESTS_MAX { Err(Reject::LimitExceeded) } else { Ok(()) }
}

/// Adds a report of block `height` to an arm, which has room for it.
pub(crate) fn add_report(deployment: &mut Deployment, arm: Arm, report: &VersionReport, height: Height) {
    let counts = match arm {
        Arm::Canary => &mut deployment.canary,
        Arm::Production => &mut deployment.production,
    };
    *counts = counts.with(report);
    debug_assert!(counts.requests <= ARM_REQUESTS_MAX, "the caller has checked");
    if arm == Arm::Canary {
        deployment.stage_requests = deployment.stage_requests.saturating_add(report.requests.into());
        deployment.stage_errors = deployment.stage_errors.saturating_add(report.errors.into());
        if deployment.hold == Hold::Running && !deployment.held.is_empty() {
            set_check(deployment, height.checked_add(1));
        }
    }
}

/// Opens the health gate of the stage, if it has one; it is left in the block after `height`.
pub(crate) fn open_health_gate(deployment: &mut Deployment, height: Height) {
    if !is_at_closed_health_gate(deployment) {
        return;
    }
    deployment.healthy = true;
    if deployment.hold == Hold::Running {
        run(deployment, height);
    }
}

/// The first rule that the counts break: too many errors, or worse than production.
pub(crate) fn judge(deployment: &Deployment) -> Option<DeploymentFinding> {
    let guardrails = deployment.plan.guardrails();
    let enough = guardrails.min_requests.max(1);
    let Deployment { canary, production, stage_requests, stage_errors, .. } = deployment;
    for (requests, errors) in [(canary.requests, canary.errors), (*stage_requests, *stage_errors)] {
        if requests >= enough && errors_exceed(requests, errors, guardrails.error_threshold_bps.get()) {
            let threshold = Threshold::ErrorRate(guardrails.error_threshold_bps.get().into());
            let evidence = Evidence { requests, errors, threshold, ..Evidence::default() };
            return Some(DeploymentFinding { reason: PluginReason::ErrorRate, evidence });
        }
    }
    let z_centi = guardrails.regression_z_centi?.get();
    let is_regression = canary.requests.min(production.requests) >= enough
        && cmp_error_rates(canary, production).is_gt()
        && z_reaches(canary, production, z_centi);
    is_regression
        .then(|| DeploymentFinding { reason: PluginReason::Regression, evidence: both_arms(deployment, z_centi) })
}

/// The verdict of a plan that ends with one.
pub(crate) fn conclude(deployment: &Deployment) -> Conclusion {
    let guardrails = deployment.plan.guardrails();
    let z_centi = guardrails.regression_z_centi.map_or(VERDICT_Z_CENTI, NonZeroU16::get);
    let Deployment { canary, production, .. } = deployment;
    let is_clear =
        canary.requests.min(production.requests) >= guardrails.min_requests && z_reaches(canary, production, z_centi);
    let winner = match cmp_error_rates(canary, production) {
        Ordering::Greater if is_clear => Winner::Production,
        Ordering::Less
            if is_clear && successes_hold(canary.requests, canary.errors, guardrails.success_threshold_bps.get()) =>
        {
            Winner::Canary
        }
        Ordering::Less | Ordering::Equal | Ordering::Greater => Winner::Inconclusive,
    };
    Conclusion { winner, evidence: both_arms(deployment, z_centi) }
}

/// The counts of the new version since the start, and what was compared.
pub(crate) fn finding(deployment: &Deployment, reason: PluginReason, threshold: Threshold) -> DeploymentFinding {
    let Counts { requests, errors, .. } = deployment.canary;
    DeploymentFinding { reason, evidence: Evidence { requests, errors, threshold, ..Evidence::default() } }
}

fn both_arms(deployment: &Deployment, z_centi: u16) -> Evidence {
    let Deployment { canary, production, .. } = deployment;
    Evidence {
        requests: canary.requests,
        errors: canary.errors,
        production_requests: production.requests,
        production_errors: production.errors,
        threshold: Threshold::Z(z_centi.into()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::plugin::plan::{OnComplete, Strategy};
    use crate::values::Bps;

    /// A deployment from 100 on, whose only stage ends at 110.
    fn deployment(gate: Gate, max_blocks: u32) -> Deployment {
        let stage = Stage { share_bps: Bps::new(1_000).unwrap(), blocks: 10, min_requests: 0, gate };
        let strategy = Strategy::Custom { on_complete: OnComplete::Promote, stages: [stage].into() };
        let guardrails = crate::plugin::plan::Guardrails {
            max_blocks: NonZeroU32::new(max_blocks),
            success_threshold_bps: Bps::default(),
            ..strategy.default_guardrails()
        };
        let plan = Plan::compile(&strategy, &guardrails).unwrap();
        let versions = ["1.0.0", "2.0.0"].map(|text| text.parse().unwrap());
        let [old, new]: [Version; 2] = versions;
        start(strategy.kind(), Arc::new(plan), old, new, 1, 100)
    }

    /// A look may come before anything is due: a store may say so.
    #[test]
    fn a_look_calls_for_what_the_gate_the_height_and_the_hold_say() {
        let held: Vec<Hold> = Hold::ALL.iter().copied().filter(|hold| *hold != Hold::Running).collect();
        let timeout = PluginReason::Timeout;
        for (gate, healthy, holds, height, set_check) in [
            (Gate::Time, false, [Hold::Running].as_slice(), 109, Ok(Check::Stay)),
            (Gate::Time, false, &[Hold::Running], 110, Ok(Check::Leave)),
            (Gate::Manual, false, &[Hold::Running], 109, Ok(Check::Stay)),
            (Gate::Manual, false, &[Hold::Running], 110, Ok(Check::Wait)),
            (Gate::Health, false, &[Hold::Running], 109, Ok(Check::Stay)),
            (Gate::Health, false, &[Hold::Running], 110, Err(PluginReason::Unhealthy)),
            (Gate::Health, true, &[Hold::Running], 109, Ok(Check::Leave)),
            (Gate::Health, true, &[Hold::Running], 110, Ok(Check::Leave)),
            (Gate::Time, false, &held, 110, Ok(Check::Stay)),
            (Gate::Health, true, &held, 119, Ok(Check::Stay)),
            (Gate::Time, false, Hold::ALL, 120, Err(timeout)),
            (Gate::Health, true, Hold::ALL, 120, Err(timeout)),
        ] {
            for hold in holds {
                let deployment = Deployment { healthy, hold: *hold, ..deployment(gate, 20) };
                let found = match check(&deployment, height) {
                    Check::RollBack(finding) => Err(finding.reason),
                    look @ (Check::Stay | Check::Lacking(_) | Check::Wait | Check::Leave) => Ok(look),
                };
                assert_eq!(found, set_check, "{gate} {healthy} {hold} at {height}");
            }
        }
    }

    #[test]
    fn buckets_below_the_share_get_the_new_version() {
        let deployment = deployment(Gate::Time, 0);
        for (bucket, version) in [(0, "2.0.0"), (999, "2.0.0"), (1_000, "1.0.0"), (9_999, "1.0.0")] {
            assert_eq!(deployment.serves(Bps::new(bucket).unwrap()).to_string(), version, "{bucket}");
        }
    }

    #[test]
    fn after_a_look_that_called_for_nothing_it_is_looked_at_when_something_is_due() {
        for (hold, max_blocks, height, due) in [
            (Hold::Running, 0, 105, 110),
            (Hold::Running, 0, 112, 113),
            (Hold::Running, 11, 112, 111),
            (Hold::Paused, 20, 105, 120),
            (Hold::Completed, 0, 105, 0),
        ] {
            let mut deployment = Deployment { hold, ..deployment(Gate::Time, max_blocks) };
            check_later(&mut deployment, height);
            assert_eq!(deployment.due, NonZeroU32::new(due), "{hold} {max_blocks} at {height}");
        }
    }
}
