//! The clocks of a machine. The one on the wall jumps; the other only ever goes on, but does not outlive a restart.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time, for engines whose heights follow it.
pub trait Clock: fmt::Debug + Send {
    /// The time on the wall, in milliseconds since 1970. It may jump in both directions.
    fn wall(&self) -> u64;

    /// The time since some moment of this process. It never goes back.
    fn monotonic(&self) -> Duration;
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}
