//! The guard: what reports add up to, and when they require a rollback.
//!
//! Integers only, with products in u128: nothing overflows, and every node rounds alike.

use core::num::NonZeroU32;

use crate::feature::record::{Feature, Metrics, Policy, Reason, RollbackEvidence, RollbackRule};
use crate::feature::report::ReportTotals;
use crate::values::{Bps, Height};

/// Why a feature must be rolled back: the rule that fired, and the figures for the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuardFinding {
    pub(crate) reason: Reason,
    pub(crate) evidence: RollbackEvidence,
}

/// The error rate in 1/10 000, rounded down; `None` without operations.
pub(crate) fn error_rate(errors: u64, successes: u64) -> Option<u64> {
    let operations = u128::from(errors).saturating_add(u128::from(successes));
    let rate = u128::from(errors).saturating_mul(Bps::unit()).checked_div(operations)?;
    u64::try_from(rate).ok()
}

/// Adds a report of block `height` to the counts. The caller has checked that the feature is on.
pub(crate) fn add_report(
    feature: &mut Feature,
    metrics: &mut Metrics,
    policy: &Policy,
    report: &ReportTotals,
    height: Height,
) {
    let (successes, errors, operations) = (report.successes, report.errors, report.operations());
    let add = |count: &mut u64, more: u64| *count = count.saturating_add(more);

    add(&mut feature.success_count, successes);
    add(&mut feature.error_count, errors);

    add(&mut metrics.total_operations, operations);
    add(&mut metrics.successful_ops, successes);
    add(&mut metrics.failed_ops, errors);
    metrics.peak_latency = metrics.peak_latency.max(report.latency_peak);
    add(&mut metrics.invariant_checks, report.invariant_checks);
    add(&mut metrics.invariant_failures, report.invariant_failures);
    add(&mut metrics.latency_sum, report.latency_total);

    add(&mut metrics.trial_invariant_failures, report.invariant_failures);
    add(&mut metrics.trial_latency_sum, report.latency_total);
    add(&mut metrics.trial_operations, operations);
    add(&mut metrics.step_operations, operations);

    if let Some(window_blocks) = policy.window_blocks {
        roll_window(metrics, feature.start_block, window_blocks, height);
        add(&mut metrics.current_successes, successes);
        add(&mut metrics.current_errors, errors);
    }
}

/// Makes the window that contains `height` the current one. Windows are counted from `start`.
fn roll_window(metrics: &mut Metrics, start: Height, length: NonZeroU32, height: Height) {
    let into = height.saturating_sub(start) % length;
    let window_start = height.saturating_sub(into);
    if window_start == metrics.window_start {
        return;
    }
    let is_next = metrics.window_start.checked_add(length.get()) == Some(window_start);
    let previous = if is_next { (metrics.current_successes, metrics.current_errors) } else { (0, 0) };
    (metrics.previous_successes, metrics.previous_errors) = previous;
    (metrics.current_successes, metrics.current_errors) = (0, 0);
    metrics.window_start = window_start;
}

/// The first rule that fires. The order is consensus: it decides rule and reason in the event.
pub(crate) fn judge(feature: &Feature, metrics: &Metrics, policy: &Policy) -> Option<GuardFinding> {
    let (errors, successes) = (feature.error_count, feature.success_count);
    let finding = |rule, reason, errors, successes, value, threshold| GuardFinding {
        reason,
        evidence: RollbackEvidence { rule, errors, successes, value, threshold },
    };
    if metrics.trial_invariant_failures > policy.max_invariant_failures {
        let (value, threshold) = (metrics.trial_invariant_failures, policy.max_invariant_failures);
        let (rule, reason) = (RollbackRule::Invariants, Reason::InvariantViolation);
        return Some(finding(rule, reason, errors, successes, value, threshold));
    }
    if let Some(rate) = exceeded_rate(feature, policy, errors, successes) {
        let threshold = u64::from(feature.max_error_rate);
        return Some(finding(RollbackRule::ErrorRate, Reason::ErrorRate, errors, successes, rate, threshold));
    }
    if policy.window_blocks.is_some() {
        let errors = metrics.current_errors.saturating_add(metrics.previous_errors);
        let successes = metrics.current_successes.saturating_add(metrics.previous_successes);
        if let Some(rate) = exceeded_rate(feature, policy, errors, successes) {
            let threshold = u64::from(feature.max_error_rate);
            return Some(finding(RollbackRule::WindowErrorRate, Reason::ErrorRate, errors, successes, rate, threshold));
        }
    }
    if let Some(max_latency) = policy.max_latency
        && metrics.trial_operations >= u64::from(policy.min_samples)
    {
        let average = metrics.trial_latency_sum.checked_div(metrics.trial_operations)?;
        if average > max_latency.get() {
            let (rule, reason) = (RollbackRule::Latency, Reason::Performance);
            return Some(finding(rule, reason, errors, successes, average, max_latency.get()));
        }
    }
    None
}

/// The error rate, if there are enough samples and it is above the maximum.
fn exceeded_rate(feature: &Feature, policy: &Policy, errors: u64, successes: u64) -> Option<u64> {
    let rate = error_rate(errors, successes)?;
    let enough = u128::from(errors).saturating_add(u128::from(successes)) >= u128::from(policy.min_samples);
    (enough && rate > u64::from(feature.max_error_rate)).then_some(rate)
}

/// The fewest errors on which a report of block `height` is answered by a rollback, if it brings nothing else; `None` if
/// no number of errors is.
pub(crate) fn errors_to_roll_back(
    feature: &Feature,
    metrics: &Metrics,
    policy: &Policy,
    height: Height,
) -> Option<u32> {
    let rolls_back = |errors: u32| {
        let (mut feature, mut metrics) = (feature.clone(), *metrics);
        let report = ReportTotals { errors: errors.into(), ..ReportTotals::default() };
        add_report(&mut feature, &mut metrics, policy, &report, height);
        judge(&feature, &metrics, policy).is_some()
    };
    // More errors make every rule but the latency rule fire the more. That rule needs samples, which errors are, and
    // from then on they only lower the average: if it fires at all, then at the first number that is samples enough.
    let samples = u64::from(policy.min_samples).saturating_sub(metrics.trial_operations);
    let samples = u32::try_from(samples).unwrap_or(u32::MAX);
    let (mut low, mut high) = if rolls_back(samples) { (0, samples) } else { (samples, u32::MAX) };
    if !rolls_back(high) {
        return None;
    }
    while low < high {
        let middle = low.midpoint(high);
        if rolls_back(middle) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_round_down_and_never_overflow() {
        for (errors, successes, rate) in [
            (0, 0, None),
            (0, 1, Some(0)),
            (1, 0, Some(10_000)),
            (1, 2, Some(3_333)),
            (1, 99, Some(100)),
            (101, 9_899, Some(101)),
            (u64::MAX, u64::MAX, Some(5_000)),
            (u64::MAX, 0, Some(10_000)),
        ] {
            assert_eq!(error_rate(errors, successes), rate, "{errors}/{successes}");
        }
    }

    #[test]
    fn windows_roll_on_their_grid() {
        let full = Metrics { window_start: 110, current_successes: 4, current_errors: 3, ..Metrics::default() };
        for (height, window_start, current, previous) in [
            (110, 110, (4, 3), (0, 0)),
            (119, 110, (4, 3), (0, 0)),
            (120, 120, (0, 0), (4, 3)),
            (129, 120, (0, 0), (4, 3)),
            (130, 130, (0, 0), (0, 0)),
            (u32::MAX, 4_294_967_290, (0, 0), (0, 0)),
        ] {
            let mut metrics = full;
            roll_window(&mut metrics, 100, NonZeroU32::new(10).unwrap(), height);
            assert_eq!(metrics.window_start, window_start, "{height}");
            assert_eq!((metrics.current_successes, metrics.current_errors), current, "{height}");
            assert_eq!((metrics.previous_successes, metrics.previous_errors), previous, "{height}");
        }
    }
}
