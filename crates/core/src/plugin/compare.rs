//! Comparisons of rates without division: exact, with as many bits as they need.

use core::cmp::Ordering;

use crate::plugin::record::Counts;
use crate::values::Bps;

/// A z is in hundredths, and compared squared.
const Z_UNIT_SQUARED: u128 = 100 * 100;

/// Whether the error rate is above the threshold. At the threshold it is not.
pub(crate) fn errors_exceed(requests: u64, errors: u64, threshold_bps: u16) -> bool {
    scaled(errors) > u128::from(requests).saturating_mul(threshold_bps.into())
}

/// Whether the success rate reaches the threshold. At the threshold it does, and without any requests too.
pub(crate) fn successes_reach(requests: u64, errors: u64, threshold_bps: u16) -> bool {
    scaled(requests.saturating_sub(errors)) >= u128::from(requests).saturating_mul(threshold_bps.into())
}

fn scaled(count: u64) -> u128 {
    u128::from(count).saturating_mul(Bps::unit())
}

/// Compares the error rates of two arms. An arm without requests counts as free of errors.
pub(crate) fn cmp_error_rates(a: &Counts, b: &Counts) -> Ordering {
    cross(a, b).cmp(&cross(b, a))
}

/// Errors of one arm times requests of the other.
fn cross(errors_of: &Counts, requests_of: &Counts) -> u128 {
    u128::from(errors_of.errors).saturating_mul(requests_of.requests.into())
}

/// Whether |z| of the two-proportion test reaches `centi` hundredths. At exactly that value it does.
///
/// z = |p1 − p2| / sqrt(p (1 − p) (1/n1 + 1/n2)), squared and multiplied out. With arms of at most
/// 2^48 − 1 requests the left side is below 2^192 · 2^49 · 2^14 and the right one below
/// 2^32 · 2^96 · 2^98, so both fit 256 bits; larger arms count as not reaching it.
pub(crate) fn z_reaches(a: &Counts, b: &Counts, centi: u16) -> bool {
    let difference = cross(a, b).abs_diff(cross(b, a));
    let requests = u128::from(a.requests).saturating_add(b.requests.into());
    let errors = u128::from(a.errors).saturating_add(b.errors.into());
    let centi = u128::from(centi);
    let left = Wide::product([difference, difference, requests, Z_UNIT_SQUARED]);
    let right = Wide::product([
        centi.saturating_mul(centi),
        u128::from(a.requests).saturating_mul(b.requests.into()),
        errors,
        requests.saturating_sub(errors),
    ]);
    match (left, right) {
        (Some(left), Some(right)) => left >= right,
        (None, _) | (_, None) => false,
    }
}

/// A 256-bit number, most significant part first, so that the derived order is the numeric one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wide([u64; 4]);

impl Wide {
    /// Multiplies the factors; `None` if the product needs more than 256 bits.
    fn product(factors: [u128; 4]) -> Option<Self> {
        factors.into_iter().try_fold(Self([0, 0, 0, 1]), Self::times)
    }

    /// Multiplies by each half of the factor, and adds the upper product shifted by 64 bits.
    fn times(self, factor: u128) -> Option<Self> {
        let upper = self.times_part(u64::try_from(factor >> 64).ok()?)?.moved_up()?;
        let lower = self.times_part(u64::try_from(factor & u128::from(u64::MAX)).ok()?)?;
        upper.plus(lower)
    }

    fn times_part(self, factor: u64) -> Option<Self> {
        let mut carry = 0_u128;
        let mut out = self;
        for part in out.0.iter_mut().rev() {
            // (2^64 − 1)² + 2^64 − 1 is below 2^128, so neither operation overflows.
            let sum = u128::from(*part).checked_mul(factor.into())?.checked_add(carry)?;
            *part = u64::try_from(sum & u128::from(u64::MAX)).ok()?;
            carry = sum >> 64;
        }
        (carry == 0).then_some(out)
    }

    fn moved_up(self) -> Option<Self> {
        let [top, a, b, c] = self.0;
        (top == 0).then_some(Self([a, b, c, 0]))
    }

    fn plus(self, other: Self) -> Option<Self> {
        let mut carry = false;
        let mut out = self;
        for (part, more) in out.0.iter_mut().zip(other.0).rev() {
            let (sum, over) = part.overflowing_add(more);
            let (sum, over_carry) = sum.overflowing_add(u64::from(carry));
            *part = sum;
            carry = over || over_carry;
        }
        (!carry).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::deployment::ARM_REQUESTS_MAX;

    fn arm(requests: u64, errors: u64) -> Counts {
        Counts { requests, errors, latency_sum: 0 }
    }

    #[test]
    fn equal_rates_do_not_exceed_and_do_hold() {
        for (requests, errors, threshold, exceed, hold) in [
            (0, 0, 0, false, true),
            (0, 0, 10_000, false, true),
            (100, 1, 100, false, true),
            (100, 2, 100, true, true),
            (10_001, 101, 100, true, true),
            (1, 1, 10_000, false, false),
            (u64::MAX, u64::MAX, 9_999, true, false),
        ] {
            assert_eq!(errors_exceed(requests, errors, threshold), exceed, "{errors}/{requests} {threshold}");
            assert_eq!(
                successes_reach(requests, errors, 10_000 - threshold),
                !exceed,
                "{errors}/{requests} {threshold}"
            );
            assert!(hold || !successes_reach(requests, errors, 1), "{errors}/{requests}");
        }
    }

    #[test]
    fn z_is_exact_at_its_edge() {
        // n1 = n2 = 100, e1 = 0, e2 = 4: z² = (400² · 200) / (10 000 · 4 · 196) · ... = 4.0816…, z = 2.0203.
        for (a, b, centi, reaches) in [
            (arm(100, 4), arm(100, 0), 202, true),
            (arm(100, 4), arm(100, 0), 203, false),
            (arm(100, 0), arm(100, 4), 202, true),
            (arm(100, 4), arm(100, 4), 1, false),
            // Nothing to tell apart: 0 reaches only 0, and all-zero products are equal.
            (arm(100, 0), arm(100, 0), 1, true),
            (arm(0, 0), arm(0, 0), 400, true),
            // 2 of 2 against 0 of 2: z = 2 exactly.
            (arm(2, 2), arm(2, 0), 200, true),
            (arm(2, 2), arm(2, 0), 201, false),
            (arm(ARM_REQUESTS_MAX, ARM_REQUESTS_MAX), arm(ARM_REQUESTS_MAX, 0), u16::MAX, true),
            (arm(ARM_REQUESTS_MAX, ARM_REQUESTS_MAX / 2), arm(ARM_REQUESTS_MAX, ARM_REQUESTS_MAX / 2), u16::MAX, false),
        ] {
            assert_eq!(z_reaches(&a, &b, centi), reaches, "{a:?} {b:?} {centi}");
        }
    }

    #[test]
    fn wide_numbers_say_when_they_do_not_fit() {
        assert!(
            Wide::product([u128::MAX, u128::MAX, 1, 1]).is_some_and(|wide| wide.0 == [u64::MAX, u64::MAX - 1, 0, 1])
        );
        assert!(Wide::product([u128::MAX, u128::MAX, 2, 1]).is_none());
        assert!(Wide::product([1 << 127, 1 << 127, 4, 1]).is_none());
        assert!(Wide::product([1 << 127, 1 << 127, 1, 0]).is_some_and(|wide| wide.0 == [0; 4]));
    }
}
