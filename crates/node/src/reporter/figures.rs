//! What is owed to the ledger: counts that were seen and not reported yet.
//!
//! Counters may have fractions, and latencies are sums of them, so everything is kept in millionths. A report takes whole
//! numbers; what is left is owed until the next one. So what was reported and what is owed always add up to what was seen.

use coalmine_core::{DecodeError, Reader, Report, VersionReport, Writer};

/// Millionths in a whole.
pub(crate) const MICRO: u128 = 1_000_000;

/// Sums that are not reported yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owed {
    /// Operations that succeeded, in millionths.
    pub(crate) successes: u128,
    /// Operations that failed, in millionths.
    pub(crate) errors: u128,
    /// Operations of which `errors` tells how many failed, in millionths; instead of `successes`.
    pub(crate) requests: u128,
    /// Sum of latencies, in millionths of the unit.
    pub(crate) latency: u128,
    /// The highest latency, if it is known.
    pub(crate) peak: u64,
    /// Invariant checks made.
    pub(crate) checks: u64,
    /// Invariant checks that failed.
    pub(crate) failures: u64,
}

/// Whole numbers for one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    pub(crate) successes: u32,
    pub(crate) errors: u32,
    /// How many of the operations were owed as requests.
    pub(crate) requests: u32,
    pub(crate) latency_total: u64,
    pub(crate) latency_peak: u64,
    pub(crate) checks: u32,
    pub(crate) failures: u32,
}

impl Owed {
    /// With what was seen since.
    pub(crate) fn with(self, seen: &Self) -> Self {
        Self {
            successes: self.successes.saturating_add(seen.successes),
            errors: self.errors.saturating_add(seen.errors),
            requests: self.requests.saturating_add(seen.requests),
            latency: self.latency.saturating_add(seen.latency),
            peak: self.peak.max(seen.peak),
            checks: self.checks.saturating_add(seen.checks),
            failures: self.failures.saturating_add(seen.failures),
        }
    }

    /// What the next report can say of it; none if that is nothing.
    pub(crate) fn figures(&self) -> Option<Figures> {
        let has_requests = self.requests > 0;
        let requests = whole(self.requests);
        // Of counters that are read one after the other, the failed ones may be ahead: the rest waits for its requests.
        let errors = whole(self.errors).min(if has_requests { requests } else { u32::MAX });
        let succeeded = if has_requests { requests.saturating_sub(errors) } else { whole(self.successes) };
        // A version counts its requests in 32 bits.
        let successes = succeeded.min(u32::MAX.saturating_sub(errors));
        let operations = u64::from(successes).saturating_add(errors.into());
        let has_any = operations > 0;
        let latency = u64::try_from(self.latency.checked_div(MICRO).unwrap_or_default()).unwrap_or(u64::MAX);
        let latency_total = if has_any { latency } else { 0 };
        // The highest one is not below the mean.
        let mean = latency_total.checked_div(operations).unwrap_or_default();
        let is_exact = mean.saturating_mul(operations) == latency_total;
        let mean = if is_exact { mean } else { mean.saturating_add(1) };
        let checks = u32::try_from(self.checks).unwrap_or(u32::MAX);
        let figures = Figures {
            successes,
            errors,
            requests: if has_requests { requests } else { 0 },
            latency_total,
            latency_peak: if has_any { self.peak.max(mean) } else { 0 },
            checks,
            failures: u32::try_from(self.failures).unwrap_or(u32::MAX).min(checks),
        };
        (has_any || checks > 0).then_some(figures)
    }

    /// Without what was reported.
    pub(crate) fn without(self, reported: &Figures) -> Self {
        let Figures { successes, errors, requests, latency_total, latency_peak, checks, failures } = *reported;
        let micro = |whole: u64| u128::from(whole).saturating_mul(MICRO);
        let successes = if requests > 0 { 0 } else { successes };
        Self {
            successes: self.successes.saturating_sub(micro(successes.into())),
            errors: self.errors.saturating_sub(micro(errors.into())),
            requests: self.requests.saturating_sub(micro(requests.into())),
            latency: self.latency.saturating_sub(micro(latency_total)),
            peak: if self.peak <= latency_peak { 0 } else { self.peak },
            checks: self.checks.saturating_sub(checks.into()),
            failures: self.failures.saturating_sub(failures.into()),
        }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        let Self { successes, errors, requests, latency, peak, checks, failures } = self;
        [successes, errors, requests, latency].into_iter().for_each(|sum| out.raw(&sum.to_be_bytes()));
        [peak, checks, failures].into_iter().for_each(|count| out.u64(*count));
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            successes: wide(input)?,
            errors: wide(input)?,
            requests: wide(input)?,
            latency: wide(input)?,
            peak: input.u64()?,
            checks: input.u64()?,
            failures: input.u64()?,
        })
    }
}

impl Figures {
    pub(crate) const fn of_feature(&self) -> Report {
        Report {
            successes: self.successes,
            errors: self.errors,
            latency_total: self.latency_total,
            latency_peak: self.latency_peak,
            invariant_checks: self.checks,
            invariant_failures: self.failures,
        }
    }

    pub(crate) const fn of_version(&self) -> VersionReport {
        VersionReport {
            requests: self.successes.saturating_add(self.errors),
            errors: self.errors,
            latency_total: self.latency_total,
        }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        let Self { successes, errors, requests, latency_total, latency_peak, checks, failures } = self;
        [successes, errors, requests, checks, failures].into_iter().for_each(|count| out.u32(*count));
        out.u64(*latency_total);
        out.u64(*latency_peak);
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (successes, errors, requests) = (input.u32()?, input.u32()?, input.u32()?);
        let (checks, failures) = (input.u32()?, input.u32()?);
        let (latency_total, latency_peak) = (input.u64()?, input.u64()?);
        Ok(Self { successes, errors, requests, latency_total, latency_peak, checks, failures })
    }
}

/// The whole ones of an amount in millionths, as many as a report takes.
fn whole(amount: u128) -> u32 {
    u32::try_from(amount.checked_div(MICRO).unwrap_or_default()).unwrap_or(u32::MAX)
}

/// Reads 128 bits.
pub(crate) fn wide(input: &mut Reader<'_>) -> Result<u128, DecodeError> {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(input.raw(16)?);
    Ok(u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use coalmine_core::Validate as _;
    use proptest::prelude::*;

    use super::*;

    fn owed(successes: u128, errors: u128, requests: u128, latency: u128) -> Owed {
        Owed { successes, errors, requests, latency, ..Owed::default() }
    }

    #[test]
    fn a_report_takes_whole_numbers() {
        const MAX: u128 = (1 << 32) - 1;
        for (owed, expected) in [
            (owed(0, 0, 0, 0), None),
            (owed(999_999, 0, 0, 5 * MICRO), None),
            (owed(3_700_000, MICRO, 0, 9_500_000), Some((3, 1, 9, 3))),
            (owed(0, 2 * MICRO, 0, 0), Some((0, 2, 0, 0))),
            (owed(0, MICRO, 5 * MICRO, 0), Some((4, 1, 0, 0))),
            (owed(0, 7 * MICRO, 5 * MICRO, 0), Some((0, 5, 0, 0))),
            (owed(0, MICRO, 500_000, 0), None),
            (owed(MAX * MICRO * 2, MICRO, 0, 0), Some((u32::MAX - 1, 1, 0, 0))),
            (owed(0, MAX * MICRO * 2, 0, 0), Some((0, u32::MAX, 0, 0))),
        ] {
            let found = owed.figures().map(|f| (f.successes, f.errors, f.latency_total, f.latency_peak));
            assert_eq!(found, expected, "{owed:?}");
        }
        let checks = Owed { checks: 3, failures: 5, peak: 9, ..Owed::default() };
        let figures = checks.figures().unwrap();
        assert_eq!((figures.checks, figures.failures, figures.latency_peak), (3, 3, 0));
    }

    proptest! {
        /// Reports are valid, and reports and what is left are what was owed.
        #[test]
        fn nothing_is_lost_or_made(
            successes in 0_u128..1 << 60, errors in 0_u128..1 << 55, requests in prop_oneof![Just(0_u128), 1_u128..1 << 60],
            latency in 0_u128..1 << 80, peak in any::<u64>(), checks in any::<u64>(), failures in any::<u64>(),
        ) {
            let successes = if requests > 0 { 0 } else { successes };
            let start = Owed { successes, errors, requests, latency, peak, checks, failures: failures.min(checks) };
            let (mut left, mut sums) = (start, [0_u128; 4]);
            for _ in 0..4 {
                let Some(figures) = left.figures() else { break };
                prop_assert!(figures.of_feature().validate().is_ok());
                prop_assert!(figures.of_version().validate().is_ok());
                let operations = u128::from(figures.successes) + u128::from(figures.errors);
                let parts = [operations, figures.errors.into(), figures.latency_total.into(), figures.checks.into()];
                sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
                left = left.without(&figures);
                if requests > 0 && left.requests == 0 {
                    break;
                }
            }
            let operations = |owed: &Owed| if requests > 0 { owed.requests } else { owed.successes + owed.errors };
            prop_assert_eq!(sums[0] * MICRO + operations(&left), operations(&start));
            prop_assert_eq!(sums[1] * MICRO + left.errors, start.errors);
            prop_assert_eq!(sums[2] * MICRO + left.latency, start.latency);
            prop_assert_eq!(sums[3] + u128::from(left.checks), u128::from(start.checks));
        }
    }
}
