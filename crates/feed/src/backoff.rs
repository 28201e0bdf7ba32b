//! The delay before the next connection: it doubles up to a maximum, and starts again after a healthy period.
//!
//! It depends only on the times that it is given; there is no clock and no randomness here.

/// The shortest first delay that a server may ask for, in milliseconds.
pub const BASE_MS_MIN: u64 = 100;

/// The parameters of the delays, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// The first delay, which doubles with each further failure.
    pub initial_ms: u64,
    /// The longest delay; 0 = the delay never grows.
    pub max_ms: u64,
    /// A failure this long after the last event counts as the first; 0 = never.
    pub reset_ms: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { initial_ms: 1_000, max_ms: 30_000, reset_ms: 60_000 }
    }
}

/// The state of the delays.
#[derive(Debug, Clone)]
pub struct Backoff {
    delays: Delays,
    base_ms: u64,
    failures: u32,
    good_at_ms: Option<u64>,
}

impl Backoff {
    /// Starts without failures.
    #[must_use]
    pub const fn new(delays: Delays) -> Self {
        Self { delays, base_ms: delays.initial_ms, failures: 0, good_at_ms: None }
    }

    /// Records that an event was received.
    pub const fn good(&mut self, now_ms: u64) {
        self.good_at_ms = Some(now_ms);
    }

    /// Sets another first delay that the server asks for, at least [`BASE_MS_MIN`]. Any connection may ask, and asking
    /// resets the failures. Zero would be no delay at all, so it is ignored.
    pub fn set_base(&mut self, base_ms: u64) {
        if base_ms > 0 {
            self.base_ms = base_ms.max(BASE_MS_MIN);
            self.failures = 0;
        }
    }

    /// Records that the connection failed. Returns the delay before the next one, without jitter.
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

/// Shortens a delay by a random part of up to a half, so that clients that failed together do not reconnect together.
#[must_use]
pub fn jitter(delay_ms: u64, random: u64) -> u64 {
    let less = random.checked_rem(delay_ms / 2).unwrap_or_default();
    delay_ms.saturating_sub(less)
}
