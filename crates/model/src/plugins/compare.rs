//! How two arms compare: rates and z without division.

use crate::{U32_MAX, U64_MAX};

/// The most requests of an arm.
pub(crate) const ARM_REQUESTS_MAX: u128 = (1 << 48) - 1;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u128,
    pub(crate) errors: u128,
    pub(crate) latency_sum: u128,
}

impl Counts {
    pub(crate) fn add(&mut self, requests: u128, errors: u128, latency: u128) {
        self.requests = (self.requests + requests).min(U64_MAX);
        self.errors = (self.errors + errors).min(U64_MAX);
        self.latency_sum = (self.latency_sum + latency).min(U64_MAX);
    }

    /// Makes room for these requests, if there are more than an arm can have, by halving the arm once.
    pub(crate) fn make_room(&mut self, requests: u128) {
        if self.requests + requests > ARM_REQUESTS_MAX {
            self.requests /= 2;
            self.errors /= 2;
            self.latency_sum /= 2;
        }
    }

    /// Whether the error rate is above that of the other arm.
    pub(crate) fn is_worse(&self, other: &Self) -> bool {
        self.errors * other.requests > other.errors * self.requests
    }

    /// Whether the difference of the error rates is at least this z:
    /// (e1·n2 − e2·n1)² · n · 10 000 ≥ z² · n1 · n2 · e · (n − e).
    pub(crate) fn differs(&self, other: &Self, z_centi: u128) -> bool {
        let (e1, n1, e2, n2) = (self.errors, self.requests, other.errors, other.requests);
        let (e, n) = (e1 + e2, n1 + n2);
        let difference = (e1 * n2).abs_diff(e2 * n1);
        product(&[difference, difference, n, 10_000]) >= product(&[z_centi, z_centi, n1, n2, e, n - e])
    }
}

/// The product of some numbers, most significant digit first; each digit is 32 bits, and there are 20 of them.
fn product(factors: &[u128]) -> [u128; 20] {
    let digits = |n: u128| (0..4).map(move |place| n >> (32 * place) & U32_MAX);
    let mut result = [0; 20];
    result[0] = 1;
    for factor in factors {
        let mut next = [0; 20];
        for (place, digit) in digits(*factor).enumerate().filter(|(_, digit)| *digit != 0) {
            let mut carry = 0;
            for from in 0..20 - place {
                let sum = next[from + place] + result[from] * digit + carry;
                next[from + place] = sum & U32_MAX;
                carry = sum >> 32;
            }
            assert_eq!(carry, 0, "a product has at most 640 bits");
        }
        result = next;
    }
    result.reverse();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(canary: (u128, u128), production: (u128, u128), z_centi: u128, worse: bool, differs: bool) {
        let counts = |(requests, errors)| Counts { requests, errors, latency_sum: 0 };
        let (canary, production) = (counts(canary), counts(production));
        assert_eq!((canary.is_worse(&production), canary.differs(&production, z_centi)), (worse, differs));
    }

    #[test]
    fn rates_are_compared_exactly() {
        check((100, 10), (100, 10), 1, false, false);
        check((100, 10), (100, 10), 0, false, true);
        check((0, 0), (100, 10), 196, false, true);
        // p = 1/4, n1 = n2 = 32: z = (3/8 − 1/8) / sqrt(3/16 · 1/16) = 4 / sqrt(3), 2.3094...
        check((32, 12), (32, 4), 230, true, true);
        check((32, 12), (32, 4), 231, true, false);
        check((32, 4), (32, 12), 230, false, true);
        // p = 1/2, n1 = n2 = 50: z = (3/5 − 2/5) / sqrt(1/4 · 1/25) = 2, met exactly.
        check((50, 30), (50, 20), 200, true, true);
        check((50, 30), (50, 20), 201, true, false);
        let most = ARM_REQUESTS_MAX;
        check((most, most), (most, 0), 65_535, true, true);
        check((most, most / 2 + 1), (most, most / 2), 1, true, false);
    }

    #[test]
    fn products_carry() {
        let place = |at: usize, digit| {
            let mut digits = [0; 20];
            digits[19 - at] = digit;
            digits
        };
        assert_eq!(product(&[]), place(0, 1));
        assert_eq!(product(&[1 << 32, 1 << 96, 3]), place(4, 3));
        assert_eq!(product(&[u128::MAX, 0]), [0; 20]);
        assert_eq!(product(&[U64_MAX, U64_MAX])[16..], [U32_MAX, U32_MAX - 1, 0, 1]);
    }
}
