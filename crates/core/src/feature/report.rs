//! What is reported about a feature: the results of one reporter, and what several add up to.

use crate::valid::Validate;
use crate::values::ValueError;

/// Results of one feature, aggregated by a reporter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Operations that succeeded.
    pub successes: u32,
    /// Operations that failed.
    pub errors: u32,
    /// Sum of the latencies of all these operations, in the unit of `max_latency`.
    pub latency_total: u64,
    /// The highest of these latencies.
    pub latency_peak: u64,
    /// Invariant checks made.
    pub invariant_checks: u32,
    /// Invariant checks that failed, at most `invariant_checks`.
    pub invariant_failures: u32,
}

impl Report {
    /// Successes plus errors.
    #[must_use]
    pub fn operations(&self) -> u64 {
        u64::from(self.successes).saturating_add(u64::from(self.errors))
    }
}

impl Validate for Report {
    /// Checks that no more invariant checks failed than were made, and that only operations have latency.
    fn validate(&self) -> Result<(), ValueError> {
        let has_no_latency = self.latency_total == 0 && self.latency_peak == 0;
        let is_valid = self.invariant_failures <= self.invariant_checks && (has_no_latency || self.operations() > 0);
        if is_valid { Ok(()) } else { Err(ValueError::Parameter) }
    }
}

/// Sums of the reports about a feature. They saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportTotals {
    /// Operations that succeeded.
    pub successes: u64,
    /// Operations that failed.
    pub errors: u64,
    /// Sum of the latencies of all these operations.
    pub latency_total: u64,
    /// The highest of these latencies.
    pub latency_peak: u64,
    /// Invariant checks made.
    pub invariant_checks: u64,
    /// Invariant checks that failed.
    pub invariant_failures: u64,
}

impl ReportTotals {
    /// Successes plus errors.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.successes.saturating_add(self.errors)
    }

    /// The totals with another report.
    #[must_use]
    pub fn with(self, other: &Self) -> Self {
        Self {
            successes: self.successes.saturating_add(other.successes),
            errors: self.errors.saturating_add(other.errors),
            latency_total: self.latency_total.saturating_add(other.latency_total),
            latency_peak: self.latency_peak.max(other.latency_peak),
            invariant_checks: self.invariant_checks.saturating_add(other.invariant_checks),
            invariant_failures: self.invariant_failures.saturating_add(other.invariant_failures),
        }
    }
}

impl From<&Report> for ReportTotals {
    fn from(report: &Report) -> Self {
        Self {
            successes: report.successes.into(),
            errors: report.errors.into(),
            latency_total: report.latency_total,
            latency_peak: report.latency_peak,
            invariant_checks: report.invariant_checks.into(),
            invariant_failures: report.invariant_failures.into(),
        }
    }
}
