//! How far a sink is, what follows from an attempt, and what was given up.
//!
//! A function of values: what is sent, when, and what is written is decided here and nowhere else.

use std::time::Duration;

use coalmine_core::{DecodeError, DecodeErrorKind, Reader, Writer};

use crate::notify::message::Position;

/// The pause before each attempt, after the one before it has failed. Ten attempts in a little more than three days.
const PAUSES: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(5 * 60 * 60),
    Duration::from_secs(10 * 60 * 60),
    Duration::from_secs(14 * 60 * 60),
    Duration::from_secs(20 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];
/// Behind a message that was given up, what has waited so long gets one attempt instead of ten.
const WAITED_LONG: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// The pause before the message behind one that was given up.
const PAUSE_BEHIND: Duration = Duration::from_secs(5);
/// No receiver is waited for longer than this, whatever it says or the clock does.
const PAUSE_MAX: Duration = Duration::from_secs(27 * 60 * 60);
/// How many ranges of dead letters are told apart.
const RANGES_MAX: usize = 10_000;
/// The version of both records.
const VERSION: u8 = 1;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It does not, as far as is known; it may have said when to come back.
    Failed {
        /// The least pause before the next attempt.
        retry_after: Option<Duration>,
    },
    /// The receiver wants nothing any more.
    Gone,
}

/// How far a sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The first event that is not dealt with.
    pub(crate) next: Position,
    /// How many attempts to deliver the next message have failed.
    pub(crate) attempts: u8,
    /// The time of the next attempt, in milliseconds since 1970.
    pub(crate) retry_at: u64,
    /// Whether a message was given up, and none delivered since.
    pub(crate) is_failing: bool,
    /// Whether the receiver has said that it wants nothing any more.
    pub(crate) is_disabled: bool,
    /// What the receiver was called then: under another address it may want something.
    pub(crate) endpoint: [u8; 8],
}

impl Progress {
    pub(crate) const fn new(next: Position, endpoint: [u8; 8]) -> Self {
        Self { next, attempts: 0, retry_at: 0, is_failing: false, is_disabled: false, endpoint }
    }

    /// How long to wait before the next attempt. A clock that was set back makes it no longer than it can be.
    pub(crate) fn pause(&self, now: u64) -> Duration {
        Duration::from_millis(self.retry_at.saturating_sub(now)).min(PAUSE_MAX)
    }

    /// What follows from an attempt to deliver the message up to `next`, of a block made at `made`; whether the message is
    /// given up. `roll` is any number: pauses are up to a tenth longer by it.
    pub(crate) fn after(&self, next: Position, made: u64, outcome: Outcome, now: u64, roll: u32) -> (Self, bool) {
        match outcome {
            Outcome::Delivered => (Self::new(next, self.endpoint), false),
            Outcome::Gone => (Self { is_disabled: true, attempts: 0, retry_at: 0, ..self.clone() }, false),
            Outcome::Failed { retry_after } => {
                let waited = Duration::from_millis(now.saturating_sub(made));
                let attempts = self.attempts.saturating_add(1);
                let pause = PAUSES.get(usize::from(attempts)).filter(|_| !(self.is_failing && waited >= WAITED_LONG));
                let at = |pause: Duration| {
                    let pause = with_jitter(pause, roll).max(retry_after.unwrap_or_default()).min(PAUSE_MAX);
                    now.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))
                };
                match pause {
                    Some(pause) => (Self { attempts, retry_at: at(*pause), ..self.clone() }, false),
                    None => {
                        let retry_at = at(PAUSE_BEHIND);
                        (Self { next, attempts: 0, retry_at, is_failing: true, ..self.clone() }, true)
                    }
                }
            }
        }
    }

    /// The same, for somebody who says that the receiver is well: nothing is waited for.
    pub(crate) fn encouraged(&self) -> Self {
        Self { attempts: 0, retry_at: 0, is_disabled: false, ..self.clone() }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        position(&mut out, self.next);
        out.u8(self.attempts);
        out.u64(self.retry_at);
        out.bool(self.is_failing);
        out.bool(self.is_disabled);
        out.raw(&self.endpoint);
        out.into_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        version(&mut input)?;
        let next = read_position(&mut input)?;
        let (attempts, retry_at) = (input.u8()?, input.u64()?);
        let (is_failing, is_disabled) = (input.bool()?, input.bool()?);
        let mut endpoint = [0; 8];
        endpoint.copy_from_slice(input.raw(8)?);
        input.finish()?;
        Ok(Self { next, attempts, retry_at, is_failing, is_disabled, endpoint })
    }
}

/// A pause with up to a tenth of it more, so that nodes that fail together do not come back together.
fn with_jitter(pause: Duration, roll: u32) -> Duration {
    let tenth = pause.as_nanos() / 10;
    let more = tenth.saturating_mul(roll.into()) >> 32;
    pause.saturating_add(Duration::from_nanos(u64::try_from(more).unwrap_or(u64::MAX)))
}

/// Messages that were given up, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeadRange {
    /// The first event.
    pub(crate) first: Position,
    /// The first event behind them.
    pub(crate) next: Position,
    /// How many messages.
    pub(crate) count: u32,
}

/// Everything that was given up and not replayed, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DeadLetters(Vec<DeadRange>);

impl DeadLetters {
    /// Adds a message; `follows` if nothing was delivered since the last one. The same message again changes nothing.
    pub(crate) fn add(&mut self, first: Position, next: Position, follows: bool) {
        match self.0.last_mut() {
            Some(last) if next <= last.next => return,
            Some(last) if follows => {
                last.next = next;
                last.count = last.count.saturating_add(1);
                return;
            }
            Some(_) | None => self.0.push(DeadRange { first, next, count: 1 }),
        }
        // Two ranges as one lose nothing: what was delivered between them is delivered again when they are replayed.
        if self.0.len() > RANGES_MAX
            && let Some(second) = self.0.get(1).cloned()
        {
            self.0.remove(1);
            if let Some(oldest) = self.0.first_mut() {
                oldest.next = second.next;
                oldest.count = oldest.count.saturating_add(second.count);
            }
        }
    }

    /// The oldest range.
    pub(crate) fn first(&self) -> Option<&DeadRange> {
        self.0.first()
    }

    /// Takes out what is up to an event: it was replayed, or is of nothing that is left.
    pub(crate) fn done(&mut self, up_to: Position) {
        self.0.retain(|range| range.next > up_to);
        if let Some(oldest) = self.0.first_mut().filter(|oldest| oldest.first < up_to) {
            oldest.first = up_to;
            oldest.count = oldest.count.saturating_sub(1).max(1);
        }
    }

    /// How many messages.
    pub(crate) fn count(&self) -> u64 {
        self.0.iter().map(|range| u64::from(range.count)).sum()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u8(VERSION);
        out.u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for DeadRange { first, next, count } in &self.0 {
            position(&mut out, *first);
            position(&mut out, *next);
            out.u32(*count);
        }
        out.into_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        version(&mut input)?;
        let count = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
        if count > RANGES_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let mut ranges: Vec<DeadRange> = Vec::new();
        for _ in 0..count {
            let (first, next, count) = (read_position(&mut input)?, read_position(&mut input)?, input.u32()?);
            if first >= next || count == 0 || ranges.last().is_some_and(|last| last.next > first) {
                return Err(input.error(DecodeErrorKind::Unsorted));
            }
            ranges.push(DeadRange { first, next, count });
        }
        input.finish()?;
        Ok(Self(ranges))
    }
}

fn position(out: &mut Writer, position: Position) {
    out.u32(position.height);
    out.u32(position.index);
}

fn read_position(input: &mut Reader<'_>) -> Result<Position, DecodeError> {
    Ok(Position { height: input.u32()?, index: input.u32()? })
}

fn version(input: &mut Reader<'_>) -> Result<(), DecodeError> {
    if input.u8()? == VERSION { Ok(()) } else { Err(input.error(DecodeErrorKind::UnknownTag)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 60 * 60 * 1_000;
    const DAY: u64 = 24 * HOUR;

    const fn at(height: u32, index: u32) -> Position {
        Position { height, index }
    }

    const FAILED: Outcome = Outcome::Failed { retry_after: None };

    #[test]
    fn ten_attempts_in_three_days_then_no_more() {
        let (made, next) = (1_000, at(1, 1));
        let (mut progress, mut now, mut pauses) = (Progress::new(at(1, 0), [0; 8]), made, Vec::new());
        let is_dead = loop {
            let (after, is_dead) = progress.after(next, made, FAILED, now, 0);
            progress = after;
            if is_dead {
                break is_dead;
            }
            pauses.push(progress.pause(now).as_secs());
            now = progress.retry_at;
        };
        assert!(is_dead && progress.is_failing && progress.next == next && progress.attempts == 0);
        assert_eq!(pauses, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert!((3 * DAY..4 * DAY).contains(&(now - made)));
    }

    #[test]
    fn what_follows_from_an_attempt() {
        let fresh = Progress::new(at(5, 2), [1; 8]);
        let tried = |attempts, retry_at| Progress { attempts, retry_at, ..fresh.clone() };
        let failing = Progress { is_failing: true, ..fresh.clone() };
        let later = |seconds| Outcome::Failed { retry_after: Some(Duration::from_secs(seconds)) };
        let (now, next) = (10 * DAY, at(5, 3));
        for (before, made, outcome, roll, after, is_dead) in [
            (fresh.clone(), now, Outcome::Delivered, 0, Progress::new(next, [1; 8]), false),
            (tried(4, 7), now, Outcome::Delivered, 0, Progress::new(next, [1; 8]), false),
            (failing.clone(), now, Outcome::Delivered, 0, Progress::new(next, [1; 8]), false),
            (tried(4, 7), now, Outcome::Gone, 0, Progress { is_disabled: true, ..fresh.clone() }, false),
            (fresh.clone(), now, FAILED, 0, tried(1, now + 5_000), false),
            (fresh.clone(), now, FAILED, u32::MAX, tried(1, now + 5_499), false),
            (fresh.clone(), now, later(60), 0, tried(1, now + 60_000), false),
            (fresh.clone(), now, later(1), 0, tried(1, now + 5_000), false),
            (fresh.clone(), now, later(1_000_000), 0, tried(1, now + 27 * HOUR), false),
            // A clock that has jumped gives up nothing that was not tried.
            (fresh.clone(), 0, FAILED, 0, tried(1, now + 5_000), false),
            (
                failing.clone(),
                now - DAY,
                FAILED,
                0,
                Progress { attempts: 1, retry_at: now + 5_000, ..failing.clone() },
                false,
            ),
            (
                failing.clone(),
                now - 4 * DAY,
                FAILED,
                0,
                Progress { next, retry_at: now + 5_000, ..failing.clone() },
                true,
            ),
        ] {
            assert_eq!(before.after(next, made, outcome, now, roll), (after, is_dead), "{before:?} {outcome:?}");
        }
        assert_eq!(tried(1, now).pause(now - 9 * DAY), PAUSE_MAX);
    }

    #[test]
    fn records_are_what_they_were() {
        let progress =
            Progress { attempts: 3, retry_at: 1 << 40, is_failing: true, ..Progress::new(at(7, 9), *b"endpoint") };
        let mut dead = DeadLetters::default();
        dead.add(at(1, 0), at(1, 1), false);
        dead.add(at(4, 0), at(4, 2), true);
        dead.add(at(9, 1), at(9, 2), false);
        assert_eq!(Progress::from_bytes(&progress.to_bytes()), Ok(progress.clone()));
        assert_eq!(DeadLetters::from_bytes(&dead.to_bytes()), Ok(dead.clone()));
        for (bytes, is_progress) in [(progress.to_bytes(), true), (dead.to_bytes(), false)] {
            for end in 0..bytes.len() {
                let cut = &bytes[..end];
                assert!(if is_progress {
                    Progress::from_bytes(cut).is_err()
                } else {
                    DeadLetters::from_bytes(cut).is_err()
                });
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(if is_progress {
                Progress::from_bytes(&longer).is_err()
            } else {
                DeadLetters::from_bytes(&longer).is_err()
            });
        }
        assert!(DeadLetters::from_bytes(&[1, 255, 255, 255, 255]).is_err());
        assert!(Progress::from_bytes(&[2; 31]).is_err());
    }

    #[test]
    fn dead_letters_are_counted_once_and_never_lost() {
        let mut dead = DeadLetters::default();
        dead.add(at(1, 0), at(1, 1), false);
        dead.add(at(1, 0), at(1, 1), true);
        dead.add(at(2, 0), at(2, 1), true);
        dead.add(at(5, 0), at(5, 1), false);
        assert_eq!(dead.count(), 3);
        assert_eq!(dead.first(), Some(&DeadRange { first: at(1, 0), next: at(2, 1), count: 2 }));
        dead.done(at(1, 1));
        assert_eq!((dead.count(), dead.first().unwrap().first), (2, at(1, 1)));
        dead.done(at(2, 1));
        assert_eq!(dead.first(), Some(&DeadRange { first: at(5, 0), next: at(5, 1), count: 1 }));
        dead.done(at(5, 1));
        assert_eq!((dead.count(), dead.first()), (0, None));
        let many = u32::try_from(RANGES_MAX).unwrap() + 5;
        (0..many).for_each(|height| dead.add(at(height, 0), at(height, 1), false));
        assert_eq!((dead.0.len(), dead.count(), dead.first().unwrap().first), (RANGES_MAX, many.into(), at(0, 0)));
    }
}
