//! The solo engine: one node, whose own clock says when there is a block.
//!
//! Heights follow time, one each interval. A height at which nothing happens is not written; every ten seconds one is,
//! with a mark of the time and of the heights that may be shown until the next mark. After a restart the height goes on
//! from the clock on the wall, and never below what has been shown. While the node runs, that clock may jump: only the
//! monotonic one counts then.

use std::io;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use coalmine_core::{DecodeError, Height, Reader, Writer};
use coalmine_store::StoreError;

use crate::chain::{Chain, Stamp, Stopped};
use crate::engine::clock::Clock;
use crate::tables::Table;

/// The key of the mark.
const MARK: &[u8] = b"clock";
/// How often an idle node writes.
const IDLE_WRITE: Duration = Duration::from_secs(10);
/// The longest time between two runs that the clock may show, unless somebody says that it is right.
const AWAY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Why the engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mark does not decode.
    #[error("the mark \"clock\" of the node is damaged ({0}); restore a copy")]
    Mark(DecodeError),
    /// The blocks up to now cannot be made.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The clock has jumped, as it seems.
    #[error(
        "the clock says that the last block was {days} days ago, and every height since then would pass now; set the clock, or say that it is right with --accept-clock"
    )]
    Clock {
        /// How many days.
        days: u64,
    },
}

/// When it was which height, and up to which one may be shown before the next mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    time: u64,
    height: Height,
    reserved: Height,
}

impl Mark {
    fn to_row(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.time);
        out.u32(self.height);
        out.u32(self.reserved);
        out.into_bytes()
    }

    fn from_row(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let mark = Self { time: input.u64()?, height: input.u32()?, reserved: input.u32()? };
        input.finish()?;
        Ok(mark)
    }
}

/// The engine.
#[derive(Debug)]
pub struct Solo<C> {
    chain: Chain,
    clock: C,
    interval: Duration,
    /// It was this height at that time of the monotonic clock.
    from: (Height, Duration),
    reserved: Height,
}

impl<C: Clock> Solo<C> {
    /// Brings a node to the height of now, and takes over its blocks.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(chain: Chain, clock: C, interval: Duration, accepts_clock: bool) -> Result<Self, StartError> {
        let interval = interval.max(Duration::from_millis(1));
        chain.node().inner().runs("solo");
        let mark = chain.node().inner().database().get(Table::Meta, MARK)?;
        let mark = mark.map(|row| Mark::from_row(&row)).transpose().map_err(StartError::Mark)?;
        let tip = chain.committed().height;
        let height = match mark {
            None => tip.map_or(1, |tip| tip),
            Some(mark) => {
                let away = Duration::from_millis(clock.wall().saturating_sub(mark.time));
                if away > AWAY_MAX && !accepts_clock {
                    return Err(StartError::Clock { days: away.as_secs() / (24 * 60 * 60) });
                }
                mark.height.saturating_add(heights(away, interval)).max(mark.reserved).max(tip.unwrap_or_default())
            }
        };
        let from = (height, clock.monotonic());
        let mut solo = Self { chain, clock, interval, from, reserved: height };
        let stamp = solo.stamp(height);
        // Even if the height is that of the tip, the mark has to be of now.
        if tip != Some(height) {
            solo.chain.advance(height, &stamp)?;
        }
        Ok(solo)
    }

    /// Does what is due now. Returns how long there is nothing to do.
    ///
    /// # Errors
    /// [`Stopped`]: there are no more blocks.
    pub fn tick(&mut self) -> Result<Duration, Stopped> {
        let (from, since) = self.from;
        let passed = self.clock.monotonic().saturating_sub(since);
        let height = from.checked_add(heights(passed, self.interval)).ok_or(Stopped::Heights)?;
        if self.chain.node().tip().height < Some(height) {
            if self.chain.node().pending() > 0 {
                let stamp = self.stamp(height);
                self.chain.make(height, &stamp)?;
            } else if height >= self.reserved || self.chain.is_due(height)? {
                let stamp = self.stamp(height);
                self.chain.advance(height, &stamp)?;
            } else {
                self.chain.pass(height);
            }
        }
        let next = self.interval.saturating_mul(height.saturating_sub(from).saturating_add(1));
        Ok(next.saturating_sub(self.clock.monotonic().saturating_sub(since)))
    }

    /// Makes blocks on a thread of its own until the node stops.
    ///
    /// # Errors
    /// There is no thread.
    pub fn spawn(mut self) -> io::Result<JoinHandle<Result<(), Stopped>>>
    where
        C: 'static,
    {
        Builder::new().name("blocks".into()).spawn(move || {
            let ended = self.run();
            if let Err(error) = &ended {
                tracing::error!(%error, "no more blocks");
                self.chain.node().inner().halted(error.to_string());
            }
            ended
        })
    }

    fn run(&mut self) -> Result<(), Stopped> {
        loop {
            let wait = self.tick()?;
            if self.chain.node().inner().pause(wait) {
                return self.finish();
            }
        }
    }

    /// Makes a last block of what waits, and leaves a mark from which a restart goes on.
    ///
    /// # Errors
    /// As for [`Solo::tick`].
    pub fn finish(&mut self) -> Result<(), Stopped> {
        let Some(seen) = self.chain.node().tip().height else { return Ok(()) };
        let mark = Mark { time: self.clock.wall(), height: seen, reserved: seen };
        let stamp = Stamp { time: mark.time, marks: vec![(MARK.into(), mark.to_row())] };
        self.chain.rest(seen, &stamp)
    }

    fn stamp(&mut self, height: Height) -> Stamp {
        let ahead = heights(IDLE_WRITE, self.interval).max(1);
        self.reserved = height.saturating_add(ahead);
        let mark = Mark { time: self.clock.wall(), height, reserved: self.reserved };
        Stamp { time: mark.time, marks: vec![(MARK.into(), mark.to_row())] }
    }
}

/// How many heights pass in a time.
fn heights(time: Duration, interval: Duration) -> u32 {
    let heights = time.as_nanos().checked_div(interval.as_nanos()).unwrap_or_default();
    u32::try_from(heights).unwrap_or(u32::MAX)
}
