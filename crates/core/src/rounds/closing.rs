//! What a closing round makes of its entries: the report that a quorum stands for.
//!
//! Of numbers it is the upper median, so that a minority moves neither the rate nor the volume beyond what honest
//! reporters saw. Integers only; products in u128.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::feature::report::ReportTotals;
use crate::invariant::promised;
use crate::plugin::record::Counts;
use crate::rounds::PoolKind;
use crate::values::Address;

/// The numbers of one reporter that a median is taken of.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    reporter: Address,
    operations: u64,
    errors: u64,
    latency_total: u64,
    latency_peak: u64,
}

/// Numbers without a reporter: those that stand for all.
#[derive(Debug, Clone, Copy, Default)]
struct Medians {
    operations: u64,
    errors: u64,
    latency_total: u64,
    latency_peak: u64,
}

/// The result of a round: what it says, or how many reporters counted where they were too few.
pub(crate) type Closed<T> = Result<T, usize>;

/// The report about a feature that a quorum stands for.
pub(crate) fn close_reports(entries: &[(Address, ReportTotals)], quorum: usize) -> Closed<ReportTotals> {
    let numbers: Vec<Numbers> = entries
        .iter()
        .map(|(reporter, totals)| Numbers {
            reporter: *reporter,
            operations: totals.operations(),
            errors: totals.errors,
            latency_total: totals.latency_total,
            latency_peak: totals.latency_peak,
        })
        .filter(|numbers| numbers.operations > 0)
        .collect();
    let medians = medians(&numbers, quorum);
    let invariants = invariants(entries, quorum);
    if medians.is_none() && invariants.is_none() {
        return Err(numbers.len());
    }
    let Medians { operations, errors, latency_total, latency_peak } = medians.unwrap_or_default();
    let (invariant_checks, invariant_failures) = invariants.unwrap_or_default();
    let successes = operations.saturating_sub(errors);
    Ok(ReportTotals { successes, errors, latency_total, latency_peak, invariant_checks, invariant_failures })
}

/// The report about a version that a quorum stands for.
pub(crate) fn close_version_reports(entries: &[(Address, Counts)], quorum: usize) -> Closed<Counts> {
    let numbers: Vec<Numbers> = entries
        .iter()
        .map(|(reporter, counts)| Numbers {
            reporter: *reporter,
            operations: counts.requests,
            errors: counts.errors,
            latency_total: counts.latency_sum,
            latency_peak: 0,
        })
        .filter(|numbers| numbers.operations > 0)
        .collect();
    let Medians { operations: requests, errors, latency_total: latency_sum, .. } =
        medians(&numbers, quorum).ok_or(numbers.len())?;
    Ok(Counts { requests, errors, latency_sum })
}

/// The vote of a quorum. Bad news about health comes first; a load that a quorum has seen is a fact.
pub(crate) fn close_votes(kind: PoolKind, votes: &[bool], quorum: usize) -> Closed<bool> {
    let yes = votes.iter().filter(|vote| **vote).count();
    let (has_yes, has_no) = (yes >= quorum, votes.len().saturating_sub(yes) >= quorum);
    let yes_first = match kind {
        PoolKind::Load | PoolKind::Unload => true,
        PoolKind::Report | PoolKind::VersionReport | PoolKind::Health => false,
    };
    match (has_yes, has_no) {
        (true, true) => Ok(yes_first),
        (true, false) => Ok(true),
        (false, true) => Ok(false),
        (false, false) => Err(votes.len()),
    }
}

/// The upper medians of rate, volume and latency; `None` with fewer reporters than the quorum.
fn medians(numbers: &[Numbers], quorum: usize) -> Option<Medians> {
    if numbers.len() < quorum {
        return None;
    }
    let by_rate = median(numbers, |a, b| cmp_ratios((a.errors, a.operations), (b.errors, b.operations)));
    let by_volume = median(numbers, |a, b| a.operations.cmp(&b.operations));
    let by_latency =
        median(numbers, |a, b| cmp_ratios((a.latency_total, a.operations), (b.latency_total, b.operations)));
    let by_peak = median(numbers, |a, b| a.latency_peak.cmp(&b.latency_peak));
    let operations = by_volume.operations;
    // The rate of one reporter on the volume of another.
    let scaled = |number: u64| u128::from(number).saturating_mul(operations.into());
    let errors = scaled(by_rate.errors).div_ceil(by_rate.operations.into());
    let latency_total = scaled(by_latency.latency_total).checked_div(by_latency.operations.into());
    let latency_total = promised(latency_total, "who counts has operations");
    Some(Medians {
        operations,
        errors: u64::try_from(errors).unwrap_or(u64::MAX),
        latency_total: u64::try_from(latency_total).unwrap_or(u64::MAX),
        latency_peak: by_peak.latency_peak,
    })
}

/// The upper median in an order that the addresses complete.
fn median(numbers: &[Numbers], order: impl Fn(&Numbers, &Numbers) -> Ordering) -> Numbers {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(|a, b| order(a, b).then(a.reporter.cmp(&b.reporter)));
    promised(sorted.get(sorted.len() / 2).copied(), "a quorum is one reporter at least")
}

/// Compares two fractions whose denominators are not zero.
fn cmp_ratios(a: (u64, u64), b: (u64, u64)) -> Ordering {
    let cross = |(numerator, _): (u64, u64), (_, denominator): (u64, u64)| {
        u128::from(numerator).saturating_mul(denominator.into())
    };
    cross(a, b).cmp(&cross(b, a))
}

/// The checks and failures that at least a quorum has seen: no majority is needed for bad news.
fn invariants(entries: &[(Address, ReportTotals)], quorum: usize) -> Option<(u64, u64)> {
    let mut seen: Vec<_> = entries.iter().filter(|(_, totals)| totals.invariant_checks > 0).collect();
    seen.sort_by(|(a, a_totals), (b, b_totals)| {
        b_totals.invariant_failures.cmp(&a_totals.invariant_failures).then(a.cmp(b))
    });
    let (_, totals) = seen.get(quorum.saturating_sub(1))?;
    Some((totals.invariant_checks, totals.invariant_failures))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of reporters 1, 2, 3 … in this order.
    fn by_reporter<T: Copy>(values: &[T]) -> Vec<(Address, T)> {
        (1..).zip(values).map(|(reporter, value)| (Address([reporter; Address::LEN]), *value)).collect()
    }

    /// One liar among three moves neither rate nor volume beyond what the others saw.
    #[test]
    fn a_report_is_the_upper_median_of_rate_volume_and_latency() {
        for (quorum, requests_errors_latency, expected) in [
            (1, [(100, 1, 500)].as_slice(), Ok((100, 1, 500))),
            (2, &[(100, 1, 500)], Err(1)),
            (2, &[(100, 1, 500), (0, 0, 0)], Err(1)),
            (2, &[(100, 0, 100), (100, 10, 300)], Ok((100, 10, 300))),
            (3, &[(100, 1, 500), (100, 1, 500), (4_000_000_000, 4_000_000_000, 0)], Ok((100, 1, 500))),
            (3, &[(100, 1, 500), (100, 1, 500), (1, 0, u64::MAX)], Ok((100, 1, 500))),
            (3, &[(10, 0, 0), (1_000, 10, 1_000), (100, 100, 100)], Ok((100, 1, 100))),
            (3, &[(10, 0, 0), (3, 1, 1), (7, 7, 7)], Ok((7, 3, 2))),
            (1, &[(u64::MAX, u64::MAX, u64::MAX)], Ok((u64::MAX, u64::MAX, u64::MAX))),
            (2, &[(u64::MAX, 0, 0), (1, 0, u64::MAX)], Ok((u64::MAX, 0, u64::MAX))),
        ] {
            let counts: Vec<Counts> = requests_errors_latency
                .iter()
                .map(|(requests, errors, latency_sum)| Counts {
                    requests: *requests,
                    errors: *errors,
                    latency_sum: *latency_sum,
                })
                .collect();
            let found = close_version_reports(&by_reporter(&counts), quorum);
            let found = found.map(|counts| (counts.requests, counts.errors, counts.latency_sum));
            assert_eq!(found, expected, "{quorum} of {requests_errors_latency:?}");
        }
    }

    /// Of invariants it is what at least a quorum has seen; each part that lacks its quorum is zero.
    #[test]
    fn failures_of_invariants_need_a_quorum_and_no_majority() {
        let operations = ReportTotals { successes: 9, errors: 1, ..ReportTotals::default() };
        let checks = |invariant_checks, invariant_failures| ReportTotals {
            invariant_checks,
            invariant_failures,
            ..ReportTotals::default()
        };
        for (quorum, totals, expected) in [
            (2, [operations, operations].as_slice(), Ok((9, 1, 0, 0))),
            (2, &[operations, checks(5, 5)], Err(1)),
            (2, &[checks(5, 1), checks(7, 3)], Ok((0, 0, 5, 1))),
            (2, &[checks(5, 0), checks(7, 3), checks(9, 2)], Ok((0, 0, 9, 2))),
            (2, &[operations, operations, checks(7, 7)], Ok((9, 1, 0, 0))),
            (2, &[operations, checks(7, 7), checks(3, 0)], Ok((0, 0, 3, 0))),
            (3, &[operations, operations, checks(7, 7)], Err(2)),
        ] {
            let found = close_reports(&by_reporter(totals), quorum);
            let found = found
                .map(|totals| (totals.successes, totals.errors, totals.invariant_checks, totals.invariant_failures));
            assert_eq!(found, expected, "{quorum} of {totals:?}");
        }
    }

    #[test]
    fn a_vote_needs_a_quorum_and_bad_news_about_health_comes_first() {
        for (kind, votes, quorum, expected) in [
            (PoolKind::Health, [true, true].as_slice(), 2, Ok(true)),
            (PoolKind::Health, &[true, true, false, false], 2, Ok(false)),
            (PoolKind::Load, &[true, true, false, false], 2, Ok(true)),
            (PoolKind::Unload, &[false, false, true], 2, Ok(false)),
            (PoolKind::Load, &[true, false], 2, Err(2)),
            (PoolKind::Health, &[], 1, Err(0)),
        ] {
            assert_eq!(close_votes(kind, votes, quorum), expected, "{kind}: {quorum} of {votes:?}");
        }
    }
}
