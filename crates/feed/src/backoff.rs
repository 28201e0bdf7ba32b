//! How long to wait before the next connection: doubling, capped, forgiven after a good while.
//!
//! A function of the times it is told; there is no clock and no randomness here.

/// The shortest first delay that a server may ask for, in milliseconds.
pub const BASE_MS_MIN: u64 = 100;

/// The rule of the delays, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// The first delay, which each further failure doubles.
    pub initial_ms: u64,
    /// The longest delay; 0 = the delay never grows.
    pub max_ms: u64,
    /// A failure that comes this long after the last event counts as the first; 0 = none ever does.
    pub reset_ms: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { initial_ms: 1_000, max_ms: 30_000, reset_ms: 60_000 }
    }
}

/// The delays so far.
#[derive(Debug, Clone)]
pub struct Backoff {
    delays: Delays,
    base_ms: u64,
    failures: u32,
    good_at_ms: Option<u64>,
}

impl Backoff {
    /// Nothing has failed yet.
    #[must_use]
    pub const fn new(delays: Delays) -> Self {
        Self { delays, base_ms: delays.initial_ms, failures: 0, good_at_ms: None }
    }

    /// An event has come.
    pub const fn good(&mut self, now_ms: u64) {
        self.good_at_ms = Some(now_ms);
    }

    /// The server asks for another first delay, of [`BASE_MS_MIN`] at least: each connection may ask again, and that
    /// forgives the failures. Zero is no delay at all, so it is not heard.
    pub fn set_base(&mut self, base_ms: u64) {
        if base_ms > 0 {
            self.base_ms = base_ms.max(BASE_MS_MIN);
            self.failures = 0;
        }
    }

    /// The connection failed: the delay before the next one, without jitter.
    pub fn fail(&mut self, now_ms: u64) -> u64 {
        let Delays { max_ms, reset_ms, .. } = self.delays;
        let good_at_ms = self.good_at_ms.take();
        if reset_ms > 0 && good_at_ms.is_some_and(|good_at_ms| now_ms.saturating_sub(good_at_ms) >= reset_ms) {
            self.failures = 0;
        }
        let doublings = self.failures;
        self.failures = self.failures.saturating_add(1);
        if max_ms == 0 {
            return self.base_ms;
        }
        2_u64.saturating_pow(doublings).saturating_mul(self.base_ms).min(max_ms)
    }
}

/// Takes a random part of up to a half from a delay, so that clients that failed together do not come back together.
#[must_use]
pub fn jitter(delay_ms: u64, random: u64) -> u64 {
    let less = random.checked_rem(delay_ms / 2).unwrap_or_default();
    delay_ms.saturating_sub(less)
}
