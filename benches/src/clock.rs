//! The clocks: CPU time where it can be, wall time where a disk is waited for.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What time means for a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// CPU time of the thread that runs the case.
    Thread,
    /// CPU time of the whole process: the background threads of a store count, too.
    Process,
    /// Wall time.
    Wall,
}

impl Clock {
    /// What stands beside a figure.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Thread => "CPU",
            Self::Process => "CPU, all threads",
            Self::Wall => "wall",
        }
    }

    /// The time that `run` takes.
    pub fn time(self, run: impl FnOnce()) -> Duration {
        let start = self.now();
        run();
        self.now().saturating_sub(start)
    }

    fn now(self) -> Duration {
        let id = match self {
            Self::Thread => ClockId::ThreadCPUTime,
            Self::Process => ClockId::ProcessCPUTime,
            Self::Wall => ClockId::Monotonic,
        };
        let now = clock_gettime(id);
        Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
    }
}
