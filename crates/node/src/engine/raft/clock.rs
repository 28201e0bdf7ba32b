//! Which height it is by the clock of a leader. Heights follow time, as those of one node alone do.

use std::time::Duration;

use coalmine_core::{DecodeError, Height, Reader, Writer};

use crate::engine::solo::heights;

/// The longest time without a block that heights make up for.
const AWAY_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// When the last block was made, by the clock of its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) time: u64,
    pub(super) height: Height,
}

impl Mark {
    pub(super) const KEY: &'static [u8] = b"raft-clock";

    pub(super) fn to_row(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.time);
        out.u32(self.height);
        out.into_bytes()
    }

    pub(super) fn from_row(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let mark = Self { time: input.u64()?, height: input.u32()? };
        input.finish()?;
        Ok(mark)
    }
}

/// Tells the height of now from the last one that was seen, and the time since then.
#[derive(Debug)]
pub(super) struct HeightClock {
    interval: Duration,
    last: Option<Height>,
    since: Duration,
    /// How long ago it was before this process began.
    before: Duration,
}

impl HeightClock {
    /// A clock that goes on from a mark, at a time of the clock on the wall and of the other one.
    pub(super) fn new(interval: Duration, mark: Option<Mark>, wall: u64, now: Duration) -> Self {
        let before = mark.map_or(Duration::ZERO, |mark| Duration::from_millis(wall.saturating_sub(mark.time)));
        // A clock that is that wrong is no clock.
        let before = if before > AWAY_MAX { Duration::ZERO } else { before };
        Self { interval, last: mark.map(|mark| mark.height), since: now, before }
    }

    /// Hears of the tip. Returns how long it has been the tip.
    pub(super) fn hear(&mut self, tip: Option<Height>, now: Duration) -> Duration {
        if tip != self.last {
            *self = Self { interval: self.interval, last: tip, since: now, before: Duration::ZERO };
        }
        now.saturating_sub(self.since).saturating_add(self.before)
    }

    /// The height of now: above the tip.
    pub(super) fn height(&self, now: Duration) -> Option<Height> {
        let Some(last) = self.last else { return Some(1) };
        let passed = heights(now.saturating_sub(self.since).saturating_add(self.before), self.interval);
        last.checked_add(passed.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_follow_time_and_never_go_back() {
        let s = Duration::from_secs;
        let check = |mark: Option<(u64, Height)>, wall: u64, heard: Option<Height>, at: u64, expected: Height| {
            let mark = mark.map(|(time, height)| Mark { time, height });
            let mut clock = HeightClock::new(s(1), mark, wall, s(100));
            clock.hear(heard, s(100));
            assert_eq!(clock.height(s(100 + at)), Some(expected), "{mark:?} {wall} {heard:?} {at}");
        };
        check(None, 5, None, 50, 1);
        check(Some((1_000, 7)), 1_000, Some(7), 0, 8);
        check(Some((1_000, 7)), 1_000, Some(7), 30, 37);
        // Away for ten seconds.
        check(Some((1_000, 7)), 11_000, Some(7), 0, 17);
        // The wall has gone back, or more than a year on.
        check(Some((1_000, 7)), 0, Some(7), 0, 8);
        check(Some((1_000, 7)), 1_000 + 367 * 24 * 60 * 60 * 1_000, Some(7), 0, 8);
        // Another leader has made blocks meanwhile.
        check(Some((1_000, 7)), 11_000, Some(90), 3, 93);
    }
}
