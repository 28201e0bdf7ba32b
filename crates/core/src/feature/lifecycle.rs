//! The lifecycle of a feature: which transition is legal from which status, and what it writes.
//!
//! These are functions of values. `execute` checks authority and the breaker, and writes the history.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::feature::guard::{error_rate, errors_to_roll_back};
use crate::feature::record::{
    Advance, Cause, Feature, FeatureChanges, Metrics, PREREQUISITES_BELOW_MAX, Policy, Reason, Status,
};
use crate::reject::Reject;
use crate::rules::RuleSet;
use crate::values::{Address, Description, Height, Name, Percent};

/// A transition that a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FeatureTransition {
    Configure,
    StartCanary,
    StartRollout,
    Advance,
    Enable,
    Disable,
    Rollback,
    Pause,
    Report,
}

impl FeatureTransition {
    /// The transition table: every pair of transition and status, so a new one does not compile without a decision.
    pub(crate) const fn check(self, status: Status) -> Result<(), Reject> {
        use Status::{Canary, Disabled, Enabled, RolledBack, RollingOut};
        match (self, status) {
            (Self::Configure, Disabled | RolledBack)
            | (Self::StartCanary, Disabled | RolledBack | Canary)
            | (Self::StartRollout, Canary)
            | (Self::Advance | Self::Pause, RollingOut)
            | (Self::Enable, Disabled | RolledBack | Canary | RollingOut)
            | (Self::Disable, RolledBack | Canary | RollingOut | Enabled)
            | (Self::Rollback | Self::Report, Canary | RollingOut | Enabled) => Ok(()),

            (Self::Configure, Canary | RollingOut | Enabled) | (Self::StartCanary | Self::StartRollout, RollingOut) => {
                Err(Reject::RolloutInProgress)
            }
            (
                Self::StartRollout | Self::Advance | Self::Rollback | Self::Pause | Self::Report,
                Disabled | RolledBack,
            ) => Err(Reject::FeatureDisabled),
            (Self::StartCanary | Self::StartRollout | Self::Enable, Enabled)
            | (Self::Advance | Self::Pause, Canary | Enabled)
            | (Self::Disable, Disabled) => Err(Reject::InvalidTransition),
        }
    }
}

/// How many different features lie below one with this policy, over all paths; one more than the limit stands for any
/// number above it.
pub(crate) fn count_below<'p>(policy: &'p Policy, policy_of: impl Fn(&Name) -> Option<&'p Policy>) -> usize {
    let mut below = BTreeSet::new();
    let mut open: Vec<Name> = policy.prerequisites.clone();
    while let Some(name) = open.pop() {
        if below.len() > PREREQUISITES_BELOW_MAX {
            break;
        }
        if below.insert(name) {
            open.extend(policy_of(&name).into_iter().flat_map(|policy| &policy.prerequisites));
        }
    }
    below.len()
}

/// Makes a feature with the default settings, off.
pub(crate) fn create(rules: RuleSet, name: Name, description: Description, signer: Address) -> Feature {
    let increment_percent = match rules {
        RuleSet::One => Feature::INCREMENT_PERCENT,
        #[cfg(feature = "test-rules")]
        RuleSet::Test => Percent::FULL,
    };
    Feature {
        name,
        description,
        status: Status::Disabled,
        rollout_percent: Percent::ZERO,
        target_percent: Percent::FULL,
        increment_percent,
        increment_blocks: Feature::INCREMENT_BLOCKS,
        start_block: 0,
        last_increment_block: 0,
        error_count: 0,
        success_count: 0,
        max_error_rate: Feature::MAX_ERROR_RATE,
        min_success_count: Feature::MIN_SUCCESS_COUNT,
        enabled_by: signer,
        rollback_reason: Reason::Manual,
    }
}

/// Writes the settings that are given, except for the policy.
pub(crate) fn configure(feature: &mut Feature, changes: &FeatureChanges) {
    feature.increment_percent = changes.increment_percent.unwrap_or(feature.increment_percent);
    feature.increment_blocks = changes.increment_blocks.unwrap_or(feature.increment_blocks);
    feature.max_error_rate = changes.max_error_rate.unwrap_or(feature.max_error_rate);
    feature.min_success_count = changes.min_success_count.unwrap_or(feature.min_success_count);
}

/// Starts a canary at `height`, and a new trial with it.
pub(crate) fn start_canary(feature: &mut Feature, metrics: &mut Metrics, percent: Percent, height: Height) {
    new_trial(feature, metrics);
    feature.status = Status::Canary;
    feature.rollout_percent = percent;
    feature.start_block = height;
    feature.last_increment_block = height;
}

fn new_trial(feature: &mut Feature, metrics: &mut Metrics) {
    feature.error_count = 0;
    feature.success_count = 0;
    *metrics = metrics.new_trial();
}

/// Whether the data of the trial allow a rollout to `target`.
pub(crate) fn check_rollout(feature: &Feature, target: Percent) -> Result<(), Reject> {
    // Too little data comes before a high error rate: with few samples the rate says little. The order is consensus.
    if feature.success_count < feature.min_success_count {
        return Err(Reject::InsufficientData);
    }
    let rate = error_rate(feature.error_count, feature.success_count);
    if rate.is_some_and(|rate| rate > u64::from(feature.max_error_rate)) {
        return Err(Reject::ErrorRateExceeded);
    }
    // 100 is legal even at 100 %: its first step turns the canary into Enabled.
    if target <= feature.rollout_percent && target != Percent::FULL {
        return Err(Reject::InvalidPercent);
    }
    Ok(())
}

/// Starts a rollout at `height`; its first step is due one interval later.
pub(crate) fn start_rollout(feature: &mut Feature, target: Percent, height: Height) {
    feature.status = Status::RollingOut;
    feature.target_percent = target;
    feature.last_increment_block = height;
}

/// The height from which the next step is due; `None` if there is none, or it lies beyond the last height.
pub(crate) fn step_due(feature: &Feature) -> Option<Height> {
    match feature.status {
        Status::RollingOut => feature.last_increment_block.checked_add(feature.increment_blocks),
        Status::Disabled | Status::Canary | Status::Enabled | Status::RolledBack => None,
    }
}

/// The height from which a block makes the next step without a command; `None` if there is no such step.
pub(crate) fn automatic_step_due(feature: &Feature, policy: &Policy) -> Option<Height> {
    match policy.advance {
        Advance::Automatic => step_due(feature),
        Advance::Manual => None,
    }
}

/// The outcome of a due step.
pub(crate) enum Step {
    /// There were too few operations since the last step; the clock restarts all the same.
    Held { operations: u64, needed: u64 },
    /// The percentage grew by the increment, or reached the target.
    Made { from: Percent, cause: Cause },
}

/// Makes a due step at `height`, unless there were too few operations: with rounds it takes at least one, since a round
/// without its quorum adds none.
pub(crate) fn step(
    feature: &mut Feature,
    metrics: &mut Metrics,
    policy: &Policy,
    has_rounds: bool,
    height: Height,
) -> Step {
    // Before the decision: a held step is due again one interval later, and a gap is not caught up with many steps.
    feature.last_increment_block = height;
    let operations = metrics.step_operations;
    if operations < policy.step_min_operations || (has_rounds && operations == 0) {
        return Step::Held { operations, needed: policy.step_min_operations };
    }
    let from = feature.rollout_percent;
    let target = feature.target_percent;
    feature.rollout_percent = from.step(feature.increment_percent, target);
    // A step counts as made even where the percentage stays (100 to 100), so the count restarts.
    metrics.step_operations = 0;
    if feature.rollout_percent != target {
        return Step::Made { from, cause: Cause::Stepped };
    }
    feature.status = if target == Percent::FULL { Status::Enabled } else { Status::Canary };
    Step::Made { from, cause: Cause::TargetReached }
}

/// Turns the feature on for everybody, with a new trial if it was off.
pub(crate) fn enable(feature: &mut Feature, metrics: &mut Metrics) {
    if !feature.status.is_on() {
        new_trial(feature, metrics);
    }
    feature.status = Status::Enabled;
    feature.rollout_percent = Percent::FULL;
}

/// Turns the feature off for everybody; the counts of the trial stay.
pub(crate) fn disable(feature: &mut Feature) {
    feature.status = Status::Disabled;
    feature.rollout_percent = Percent::ZERO;
}

/// Turns the feature off for everybody, and records why.
pub(crate) fn roll_back(feature: &mut Feature, reason: Reason) {
    feature.status = Status::RolledBack;
    feature.rollout_percent = Percent::ZERO;
    feature.rollback_reason = reason;
}

/// Whether the next step of a rollout would lower the percentage, and so switch users off. No transition produces
/// such a record. Other unusual percentages are harmless, and the reference implementation writes some of them.
pub(crate) fn steps_down(feature: &Feature) -> bool {
    feature.status == Status::RollingOut && feature.target_percent < feature.rollout_percent
}

/// How far a rollout has got, and how much it can still take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Percentage of users that the feature is on for.
    pub percent: Percent,
    /// Blocks from `height` to the next step: 0 if it is due, `None` if there is none.
    pub blocks_to_step: Option<u32>,
    /// The most errors that a report of the next block, if it brings nothing else, may bring without a rollback by any
    /// rule of the guard: one more rolls back. 0 also if a report without errors would. `None` if the feature is off,
    /// or no number of errors would.
    pub errors_left: Option<u32>,
}

/// Blocks from `height` to the next step of a rollout: 0 if it is due, `None` if there is none.
#[must_use]
pub fn blocks_to_step(feature: &Feature, height: Height) -> Option<u32> {
    step_due(feature).map(|due| due.saturating_sub(height))
}

impl Progress {
    /// The progress of a feature after block `height`.
    #[must_use]
    pub fn of(feature: &Feature, metrics: &Metrics, policy: &Policy, height: Height) -> Self {
        let next = height.checked_add(1).filter(|_| feature.status.is_on());
        let least = next.and_then(|next| errors_to_roll_back(feature, metrics, policy, next));
        Self {
            percent: feature.rollout_percent,
            blocks_to_step: blocks_to_step(feature, height),
            errors_left: least.map(|least| least.saturating_sub(1)),
        }
    }
}
