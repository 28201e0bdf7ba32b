//! The engine of deployments: what a check, a report or an attestation requires.
//!
//! These are functions of values: a [`Deployment`] records where its plan is. `execute` checks authority and
//! whether a promotion would break anything, and writes the records and events that follow.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::num::{NonZeroU16, NonZeroU32};

use crate::plugin::compare::{cmp_error_rates, errors_exceed, successes_reach, z_reaches};
use crate::plugin::deployment::{ARM_REQUESTS_MAX, Deployment, Hold, ReportedShortfalls, Shortfall};
use crate::plugin::plan::{Gate, Plan, Stage, StrategyKind};
use crate::plugin::record::{Counts, Evidence, PluginReason, Threshold};
use crate::plugin::version::Version;
use crate::values::Height;

/// The z at which a verdict is clear if the regression test is off, in hundredths: 95 % confidence.
const VERDICT_Z_CENTI: u16 = 196;

/// Why a deployment is rolled back or paused, and the figures that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeploymentFinding {
    pub(crate) reason: PluginReason,
    pub(crate) evidence: Evidence,
}

/// What a check of a due deployment requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing yet: it is held, or its stage has not ended.
    Stay,
    /// A rollback: the deadline has passed.
    RollBack(DeploymentFinding),
    /// The stage is held by shortfalls; these have not been reported in it yet.
    Shortfalls(Vec<Shortfall>),
    /// The stage has ended at a manual gate, which a resume opens.
    Wait,
    /// The stage is done: the next one, or the end of the plan.
    Leave,
}

/// The arm with the lower error rate, if the difference is clear.
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

/// How the arms compare at the end of a plan that concludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conclusion {
    pub(crate) winner: Winner,
    pub(crate) evidence: Evidence,
}

/// Makes the deployment of `new`, running in its first stage from `height` on.
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

/// Makes the salt of a deployment. Start and number are unique per plugin, so each deployment draws other units.
pub(crate) fn salt(start: Height, number: u32) -> u64 {
    u64::from(start) << 32 | u64::from(number)
}

/// The first height after the stage; `None` if that lies beyond the last height.
fn stage_end(deployment: &Deployment) -> Option<Height> {
    deployment.stage_height.checked_add(deployment.current_stage()?.blocks)
}

/// The height at which the deployment as a whole times out; `None` if it never does.
fn timeout(deployment: &Deployment) -> Option<Height> {
    deployment.start.checked_add(deployment.plan.guardrails().max_blocks?.get())
}

/// The height at which the deployment is rolled back, whatever holds it: that of its timeout, or that at which its
/// health gate should have been opened.
pub(crate) fn deadline(deployment: &Deployment) -> Option<Height> {
    let gate = if is_at_closed_health_gate(deployment) { stage_end(deployment) } else { None };
    timeout(deployment).into_iter().chain(gate).min()
}

/// Lets the deployment run from block `height` on. Its next check is in a later block, even if the stage has ended; at a
/// health gate it follows the attestation.
pub(crate) fn run(deployment: &mut Deployment, height: Height) {
    deployment.hold = Hold::Running;
    let next = height.checked_add(1);
    let at = if is_at_closed_health_gate(deployment) {
        None
    } else if deployment.healthy {
        next
    } else {
        stage_end(deployment).zip(next).map(|(end, next)| end.max(next))
    };
    deployment.due = at.and_then(NonZeroU32::new);
}

/// Holds the deployment. There is nothing to check until a command lets it run: its deadline is due work of its own.
pub(crate) const fn hold(deployment: &mut Deployment, hold: Hold) {
    deployment.hold = hold;
    deployment.due = None;
}

/// Sets the next check after one at block `height` that required nothing.
pub(crate) fn check_later(deployment: &mut Deployment, height: Height) {
    match deployment.hold {
        Hold::Running => run(deployment, height),
        Hold::Paused | Hold::PausedByRule | Hold::ManualGate | Hold::Completed | Hold::Dependents => {
            deployment.due = None;
        }
    }
}

/// Whether the stage has a health gate, and no attestation has opened it yet.
pub(crate) fn is_at_closed_health_gate(deployment: &Deployment) -> bool {
    !deployment.healthy && deployment.current_stage().is_some_and(|stage| stage.gate == Gate::Health)
}

/// Moves on to the next stage at `height`. The caller has checked that there is one.
pub(crate) fn next_stage(deployment: &mut Deployment, height: Height) {
    debug_assert!(!deployment.is_in_last_stage(), "the caller has checked that a stage follows");
    deployment.stage = deployment.stage.saturating_add(1);
    deployment.stage_height = height;
    deployment.stage_requests = 0;
    deployment.stage_errors = 0;
    deployment.held = ReportedShortfalls::default();
    deployment.healthy = false;
    run(deployment, height);
}

/// The finding of a missed deadline; `None` before it. If the whole deployment and a gate are late, it has timed out.
pub(crate) fn overdue(deployment: &Deployment, height: Height) -> Option<DeploymentFinding> {
    deadline(deployment).filter(|deadline| height >= *deadline)?;
    let has_timed_out = timeout(deployment).is_some_and(|timeout| height >= timeout);
    let max_blocks = deployment.plan.guardrails().max_blocks.filter(|_| has_timed_out);
    let (reason, threshold) = match max_blocks {
        Some(max_blocks) => (PluginReason::Timeout, Threshold::Blocks(max_blocks.get().into())),
        None => (PluginReason::Unhealthy, Threshold::None),
    };
    Some(finding(deployment, reason, threshold))
}

/// Whether the engine could have written this record: only a health gate is opened, and what is held or waits for its
/// gate is not checked. A stage is not checked before its end.
pub(crate) fn is_reachable(deployment: &Deployment) -> bool {
    let Some(stage) = deployment.current_stage() else {
        debug_assert!(false, "decoding has checked the stage");
        return false;
    };
    if deployment.healthy && stage.gate != Gate::Health {
        return false;
    }
    let Some(due) = deployment.due else { return true };
    let is_in_time = if deployment.healthy {
        due.get() > deployment.stage_height
    } else {
        stage_end(deployment).is_some_and(|end| due.get() >= end)
    };
    deployment.hold == Hold::Running && !is_at_closed_health_gate(deployment) && is_in_time
}

/// What a check at block `height` requires.
///
/// The order is consensus. The deadline comes first: its own due work may have been too much for the block.
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
        Gate::Time | Gate::Manual if has_ended => check_at_end(deployment, stage),
        Gate::Time | Gate::Manual | Gate::Health => Check::Stay,
    }
}

/// What the end of a stage requires. A stage that concludes may have shortfalls: its verdict accounts for them.
fn check_at_end(deployment: &Deployment, stage: &Stage) -> Check {
    let unreported = if deployment.concludes() { None } else { unreported_shortfalls(deployment, stage) };
    match (unreported, stage.gate) {
        (Some(unreported), _) => Check::Shortfalls(unreported),
        (None, Gate::Manual) => Check::Wait,
        (None, Gate::Time | Gate::Health) => Check::Leave,
    }
}

/// The shortfalls of a stage that have not been reported in it; `None` if it has no shortfall at all.
fn unreported_shortfalls(deployment: &Deployment, stage: &Stage) -> Option<Vec<Shortfall>> {
    let Deployment { stage_requests: requests, stage_errors: errors, .. } = *deployment;
    let threshold = deployment.plan.guardrails().success_threshold_bps.get();
    let too_few_requests = requests < stage.min_requests;
    let too_few_successes = !successes_reach(requests, errors, threshold);
    if !too_few_requests && !too_few_successes {
        return None;
    }
    let shortfalls = [(Shortfall::Requests, too_few_requests), (Shortfall::SuccessRate, too_few_successes)];
    let unreported =
        |(shortfall, exists): (Shortfall, bool)| (exists && !deployment.held.contains(shortfall)).then_some(shortfall);
    Some(shortfalls.into_iter().filter_map(unreported).collect())
}

/// Holds the stage and records which shortfalls are reported now. The next check follows a report of the
/// new version.
pub(crate) fn hold_stage(deployment: &mut Deployment, reported: &[Shortfall]) {
    deployment.held = reported.iter().fold(deployment.held, |held, shortfall| held.with(*shortfall));
    deployment.due = None;
}

/// The side of the comparison that a report counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arm {
    Canary,
    Production,
}

/// The arm of a version; `None` if the deployment is about other versions.
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

    /// The counts of the arm with a report. If that exceeds the limit, which keeps the regression test within 256 bits,
    /// what is there counts half: bad news is never refused. `None` if the report is too large even then, as only the
    /// sum of a round can be.
    fn with(self, deployment: &Deployment, report: &Counts) -> Option<Counts> {
        let counts = *self.counts(deployment);
        let fits = |sum: &Counts| sum.requests <= ARM_REQUESTS_MAX;
        let sum = Some(counts.with(report)).filter(fits);
        sum.or_else(|| Some(counts.halved().with(report)).filter(fits))
    }
}

/// Whether an arm has room for a report.
pub(crate) fn accepts_report(deployment: &Deployment, arm: Arm, report: &Counts) -> bool {
    arm.with(deployment, report).is_some()
}

/// Adds a report of block `height` to an arm. The caller has checked that the arm has room.
pub(crate) fn add_report(deployment: &mut Deployment, arm: Arm, report: &Counts, height: Height) {
    let Some(sum) = arm.with(deployment, report) else {
        debug_assert!(false, "the caller has checked");
        return;
    };
    match arm {
        Arm::Production => deployment.production = sum,
        Arm::Canary => {
            deployment.canary = sum;
            deployment.stage_requests = deployment.stage_requests.saturating_add(report.requests);
            deployment.stage_errors = deployment.stage_errors.saturating_add(report.errors);
            if deployment.hold == Hold::Running && !deployment.held.is_empty() {
                deployment.due = height.checked_add(1).and_then(NonZeroU32::new);
            }
        }
    }
}

/// Opens the health gate of the stage, if it is closed. The stage ends in the block after `height`.
pub(crate) fn open_health_gate(deployment: &mut Deployment, height: Height) {
    if !is_at_closed_health_gate(deployment) {
        return;
    }
    deployment.healthy = true;
    if deployment.hold == Hold::Running {
        run(deployment, height);
    }
}

/// The first rule that the counts break. The order is consensus: it decides the reason in event and history.
pub(crate) fn judge(deployment: &Deployment) -> Option<DeploymentFinding> {
    let guardrails = deployment.plan.guardrails();
    // Without min_requests a rule still needs one request: a rate of nothing is neither high nor low.
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

/// The most errors that one more report about the new version, of failed requests alone, may bring without a rollback
/// or pause by any rule of its guardrails: one more does it. 0 also if a report without requests would; `None` if no
/// number of errors would.
#[must_use]
pub fn deployment_errors_left(deployment: &Deployment) -> Option<u32> {
    let breaks = |errors: u32| {
        let mut deployment = deployment.clone();
        let report = Counts { requests: errors.into(), errors: errors.into(), latency_sum: 0 };
        add_report(&mut deployment, Arm::Canary, &report, 0);
        judge(&deployment).is_some()
    };
    // More errors make every rule fire the more, until there are so many that what was counted before is halved, and
    // again from there on.
    let room = u32::try_from(ARM_REQUESTS_MAX.saturating_sub(deployment.canary.requests)).unwrap_or(u32::MAX);
    let ranges = [(0, room), (room.saturating_add(1), u32::MAX)];
    let (mut low, mut high) = ranges.into_iter().find(|(_, high)| breaks(*high))?;
    while low < high {
        let middle = low.midpoint(high);
        if breaks(middle) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    Some(low.saturating_sub(1))
}

/// The verdict of a plan that concludes.
pub(crate) fn conclude(deployment: &Deployment) -> Conclusion {
    let guardrails = deployment.plan.guardrails();
    let z_centi = guardrails.regression_z_centi.map_or(VERDICT_Z_CENTI, NonZeroU16::get);
    let Deployment { canary, production, .. } = deployment;
    let is_clear =
        canary.requests.min(production.requests) >= guardrails.min_requests && z_reaches(canary, production, z_centi);
    let winner = match cmp_error_rates(canary, production) {
        Ordering::Greater if is_clear => Winner::Production,
        Ordering::Less
            if is_clear && successes_reach(canary.requests, canary.errors, guardrails.success_threshold_bps.get()) =>
        {
            Winner::Canary
        }
        Ordering::Less | Ordering::Equal | Ordering::Greater => Winner::Inconclusive,
    };
    Conclusion { winner, evidence: both_arms(deployment, z_centi) }
}

/// A finding with the counts of the new version since the start, and the threshold they were compared with.
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

    /// A check may come before anything is due, because a store may say that it is.
    #[test]
    fn a_check_depends_on_gate_height_and_hold() {
        let held: Vec<Hold> = Hold::ALL.iter().copied().filter(|hold| *hold != Hold::Running).collect();
        let timeout = PluginReason::Timeout;
        for (gate, healthy, holds, height, expected) in [
            (Gate::Time, false, [Hold::Running].as_slice(), 109, Ok(Check::Stay)),
            (Gate::Time, false, &[Hold::Running], 110, Ok(Check::Leave)),
            (Gate::Manual, false, &[Hold::Running], 109, Ok(Check::Stay)),
            (Gate::Manual, false, &[Hold::Running], 110, Ok(Check::Wait)),
            (Gate::Health, false, &[Hold::Running], 109, Ok(Check::Stay)),
            (Gate::Health, false, Hold::ALL, 110, Err(PluginReason::Unhealthy)),
            (Gate::Health, true, &[Hold::Running], 109, Ok(Check::Leave)),
            (Gate::Health, true, &[Hold::Running], 110, Ok(Check::Leave)),
            (Gate::Time, false, &held, 110, Ok(Check::Stay)),
            (Gate::Health, true, &held, 119, Ok(Check::Stay)),
            (Gate::Time, false, Hold::ALL, 120, Err(timeout)),
            (Gate::Health, false, Hold::ALL, 120, Err(timeout)),
            (Gate::Health, true, Hold::ALL, 120, Err(timeout)),
        ] {
            for hold in holds {
                let deployment = Deployment { healthy, hold: *hold, ..deployment(gate, 20) };
                let found = match check(&deployment, height) {
                    Check::RollBack(finding) => Err(finding.reason),
                    other @ (Check::Stay | Check::Shortfalls(_) | Check::Wait | Check::Leave) => Ok(other),
                };
                assert_eq!(found, expected, "{gate} {healthy} {hold} at {height}");
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
    fn after_a_check_that_required_nothing_the_next_is_when_something_is_due() {
        for (hold, max_blocks, height, due) in [
            (Hold::Running, 0, 105, 110),
            (Hold::Running, 0, 112, 113),
            (Hold::Running, 11, 112, 113),
            (Hold::Paused, 20, 105, 0),
            (Hold::Completed, 0, 105, 0),
        ] {
            let mut deployment = Deployment { hold, ..deployment(Gate::Time, max_blocks) };
            check_later(&mut deployment, height);
            assert_eq!(deployment.due, NonZeroU32::new(due), "{hold} {max_blocks} at {height}");
        }
    }

    /// Without a deadline of its own a deployment still has that of its gate, as long as nobody opens it.
    #[test]
    fn the_earlier_of_timeout_and_closed_gate_is_the_deadline() {
        for (gate, healthy, start, max_blocks, expected) in [
            (Gate::Time, false, 100, 0, None),
            (Gate::Manual, false, 100, 0, None),
            (Gate::Time, false, 100, 20, Some(120)),
            (Gate::Health, false, 100, 0, Some(110)),
            (Gate::Health, false, 100, 20, Some(110)),
            (Gate::Health, false, 85, 20, Some(105)),
            (Gate::Health, true, 100, 0, None),
            (Gate::Health, true, 100, 20, Some(120)),
            (Gate::Time, false, u32::MAX - 19, 20, None),
            (Gate::Time, false, u32::MAX - 20, 20, Some(u32::MAX)),
        ] {
            let deployment = Deployment { healthy, start, ..deployment(gate, max_blocks) };
            assert_eq!(deadline(&deployment), expected, "{gate} {healthy} from {start}, {max_blocks} blocks");
        }
    }

    #[test]
    fn a_gate_that_nobody_opened_is_unhealthy_until_the_whole_has_timed_out() {
        for (gate, height, expected) in [
            (Gate::Health, 109, None),
            (Gate::Health, 110, Some((PluginReason::Unhealthy, Threshold::None))),
            (Gate::Health, 119, Some((PluginReason::Unhealthy, Threshold::None))),
            (Gate::Health, 120, Some((PluginReason::Timeout, Threshold::Blocks(20)))),
            (Gate::Time, 119, None),
            (Gate::Time, 120, Some((PluginReason::Timeout, Threshold::Blocks(20)))),
        ] {
            let found = overdue(&deployment(gate, 20), height);
            assert_eq!(found.map(|found| (found.reason, found.evidence.threshold)), expected, "{gate} at {height}");
        }
    }

    /// What is there counts half, and the report whole: a full arm still hears bad news.
    #[test]
    fn a_full_arm_makes_room_once() {
        let arm = |requests, errors| Counts { requests, errors, latency_sum: 7 };
        for (before, report, expected) in [
            (arm(ARM_REQUESTS_MAX - 1, 1), arm(1, 1), Some((ARM_REQUESTS_MAX, 2, 14))),
            (arm(ARM_REQUESTS_MAX, 5), arm(1, 1), Some((ARM_REQUESTS_MAX / 2 + 1, 3, 10))),
            (arm(ARM_REQUESTS_MAX, 5), arm(1 << 47, 0), Some((ARM_REQUESTS_MAX, 2, 10))),
            (arm(ARM_REQUESTS_MAX, 5), arm((1 << 47) + 1, 0), None),
            (arm(0, 0), arm(ARM_REQUESTS_MAX + 1, 0), None),
            (arm(1, 0), arm(u64::MAX, u64::MAX), None),
        ] {
            for side in [Arm::Canary, Arm::Production] {
                let mut deployment = Deployment { canary: before, production: before, ..deployment(Gate::Time, 0) };
                assert_eq!(accepts_report(&deployment, side, &report), expected.is_some(), "{before:?} {report:?}");
                let Some((requests, errors, latency_sum)) = expected else { continue };
                add_report(&mut deployment, side, &report, 105);
                assert_eq!(
                    *side.counts(&deployment),
                    Counts { requests, errors, latency_sum },
                    "{before:?} {report:?}"
                );
            }
        }
    }

    /// What a store may say of a deployment that has a stage from 100 to 110.
    #[test]
    fn only_what_runs_and_is_not_at_a_closed_gate_is_checked() {
        for (gate, healthy, hold, due, expected) in [
            (Gate::Time, false, Hold::Running, 110, true),
            (Gate::Time, false, Hold::Running, 0, true),
            (Gate::Time, false, Hold::Running, 109, false),
            (Gate::Manual, false, Hold::Running, 111, true),
            (Gate::Time, true, Hold::Running, 110, false),
            (Gate::Health, false, Hold::Running, 0, true),
            (Gate::Health, false, Hold::Running, 110, false),
            (Gate::Health, true, Hold::Running, 101, true),
            (Gate::Health, true, Hold::Running, 100, false),
            (Gate::Health, true, Hold::Paused, 0, true),
            (Gate::Health, true, Hold::Paused, 101, false),
            (Gate::Time, false, Hold::Completed, 0, true),
            (Gate::Time, false, Hold::Completed, 110, false),
        ] {
            let due = NonZeroU32::new(due);
            let deployment = Deployment { healthy, hold, due, ..deployment(gate, 20) };
            assert_eq!(is_reachable(&deployment), expected, "{gate} {healthy} {hold} {due:?}");
        }
    }

    /// That many are borne, one more is not: by each rule, and where old counts are halved to make room.
    #[test]
    fn errors_left_is_the_most_that_every_rule_bears() {
        for (threshold, min_requests, z_centi, canary, production, stage, left) in [
            (500, 100, 0, (0, 0), (0, 0), (0, 0), Some(99)),
            (500, 0, 0, (0, 0), (0, 0), (0, 0), Some(0)),
            (500, 100, 0, (1_000, 0), (0, 0), (0, 0), Some(52)),
            (500, 100, 0, (1_000, 50), (0, 0), (0, 0), Some(0)),
            (500, 100, 0, (1_000, 500), (0, 0), (0, 0), Some(0)),
            (500, 100, 0, (1_000, 0), (0, 0), (99, 4), Some(1)),
            (500, 100, 0, (1_000, 0), (0, 0), (90, 0), Some(9)),
            (10_000, 100, 0, (1_000, 0), (0, 0), (0, 0), None),
            (10_000, 100, 400, (1_000, 0), (1_000, 0), (0, 0), Some(16)),
            (10_000, 100, 400, (0, 0), (1_000, 0), (0, 0), Some(99)),
            (5_000, 1, 0, (ARM_REQUESTS_MAX, 0), (0, 0), (1 << 40, 0), None),
            (1, 1, 0, (ARM_REQUESTS_MAX - 5, ARM_REQUESTS_MAX / 10_000), (0, 0), (1 << 40, 0), Some(0)),
        ] {
            let mut deployment = deployment(Gate::Time, 0);
            let stage_of = *deployment.current_stage().unwrap();
            let strategy = Strategy::Custom { on_complete: OnComplete::Promote, stages: [stage_of].into() };
            let guardrails = crate::plugin::plan::Guardrails {
                error_threshold_bps: Bps::new(threshold).unwrap(),
                min_requests,
                regression_z_centi: NonZeroU16::new(z_centi),
                ..strategy.default_guardrails()
            };
            deployment.plan = Arc::new(Plan::compile(&strategy, &guardrails).unwrap());
            let counts = |(requests, errors)| Counts { requests, errors, latency_sum: 0 };
            (deployment.canary, deployment.production) = (counts(canary), counts(production));
            (deployment.stage_requests, deployment.stage_errors) = stage;
            let found = deployment_errors_left(&deployment);
            assert_eq!(found, left, "{threshold} {min_requests} {z_centi} {canary:?} {production:?} {stage:?}");
            let after = |errors: u32| {
                let mut deployment = deployment.clone();
                add_report(&mut deployment, Arm::Canary, &counts((errors.into(), errors.into())), 0);
                judge(&deployment).is_some()
            };
            assert_eq!(after(found.map_or(u32::MAX, |left| left + 1)), found.is_some());
            assert!(found.is_none_or(|left| left == 0 || !after(left)));
        }
    }
}
