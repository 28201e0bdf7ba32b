//! The solo engine: one node, whose own clock says when there is a block.
//!
//! Heights follow time, one each interval. A height at which nothing happens is not written; every ten seconds one is,
//! with a mark of the time and of the heights that may be shown until the next mark. After a restart the height goes on
//! from the clock on the wall, and never below what may have been shown: an idle node that is killed comes back up to ten
//! seconds ahead. While the node runs, that clock may jump: only the monotonic one counts then.

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
        let stamp = solo.stamp(height, 0);
        // Even if the height is that of the tip, the mark has to be of now.
        solo.chain.rest(height, &stamp)?;
        solo.chain.pass(height);
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
                let stamp = self.stamp(height, 0);
                self.chain.make(height, &stamp)?;
            } else if self.chain.is_due(height)? {
                let stamp = self.stamp(height, 0);
                self.chain.advance(height, &stamp)?;
            } else if height > self.reserved {
                let stamp = self.stamp(height, heights(IDLE_WRITE, self.interval));
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

    /// Leaves a mark from which a restart goes on.
    ///
    /// # Errors
    /// As for [`Solo::tick`].
    pub fn finish(&mut self) -> Result<(), Stopped> {
        let Some(seen) = self.chain.node().tip().height else { return Ok(()) };
        let mark = Mark { time: self.clock.wall(), height: seen, reserved: seen };
        let stamp = Stamp { time: mark.time, marks: vec![(MARK.into(), mark.to_row())] };
        self.chain.rest(seen, &stamp)
    }

    /// The mark of a height, and of those that may be shown before the next mark.
    fn stamp(&mut self, height: Height, ahead: u32) -> Stamp {
        self.reserved = height.saturating_add(ahead);
        let mark = Mark { time: self.clock.wall(), height, reserved: self.reserved };
        Stamp { time: mark.time, marks: vec![(MARK.into(), mark.to_row())] }
    }
}

/// How many heights pass in a time.
pub(super) fn heights(time: Duration, interval: Duration) -> u32 {
    let heights = time.as_nanos().checked_div(interval.as_nanos()).unwrap_or_default();
    u32::try_from(heights).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use coalmine_core::{Command, Valid};

    use super::*;
    use crate::database::Database;
    use crate::node::{Node, Options};
    use crate::testing::{genesis, key, signed};

    /// Both clocks of a machine, in milliseconds.
    #[derive(Debug, Clone, Default)]
    struct Hands(Arc<Mutex<(u64, u64)>>);

    impl Hands {
        fn pass(&self, millis: u64) {
            let mut hands = self.0.lock().unwrap();
            *hands = (hands.0 + millis, hands.1 + millis);
        }

        fn set(&self, wall: u64) {
            self.0.lock().unwrap().0 = wall;
        }
    }

    impl Clock for Hands {
        fn wall(&self) -> u64 {
            self.0.lock().unwrap().0
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.lock().unwrap().1)
        }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const NOON: u64 = 1_800_000_000_000;

    struct Machine {
        hands: Hands,
        database: Database,
        solo: Option<Solo<Hands>>,
    }

    impl Machine {
        fn new() -> Self {
            let hands = Hands::default();
            hands.set(NOON);
            let mut machine = Self { hands, database: Database::memory().0, solo: None };
            machine.start().unwrap();
            machine
        }

        /// Starts what was killed before.
        fn start(&mut self) -> Result<(), StartError> {
            self.start_with(false)
        }

        fn start_with(&mut self, accepts_clock: bool) -> Result<(), StartError> {
            self.solo = None;
            let store = self.database.reopened().unwrap();
            let chain = Chain::open((self.database.clone(), store), &genesis(), Options::default()).unwrap();
            self.solo = Some(Solo::start(chain, self.hands.clone(), SECOND, accepts_clock)?);
            Ok(())
        }

        fn node(&self) -> &Node {
            self.solo.as_ref().unwrap().chain.node()
        }

        fn tick(&mut self) -> Duration {
            self.solo.as_mut().unwrap().tick().unwrap()
        }

        /// Lets seconds pass, one after the other.
        fn seconds(&mut self, seconds: u64) {
            for _ in 0..seconds {
                self.hands.pass(1_000);
                self.tick();
            }
        }

        /// The height that is shown, and the one that is written.
        fn heights(&self) -> (u32, u32) {
            let written = self.solo.as_ref().unwrap().chain.committed().height;
            (self.node().tip().height.unwrap(), written.unwrap())
        }
    }

    #[test]
    fn heights_follow_the_clock_and_idle_ones_are_not_written() {
        let mut machine = Machine::new();
        assert_eq!(machine.heights(), (1, 1));
        assert_eq!(machine.tick(), SECOND, "there is nothing to do yet");
        machine.seconds(1);
        assert_eq!(machine.heights(), (2, 2), "from here on ten may be shown");
        machine.seconds(10);
        assert_eq!(machine.heights(), (12, 2));
        machine.seconds(1);
        assert_eq!(machine.heights(), (13, 13));
        // A thread that sleeps too long skips heights, and is at the right one again.
        machine.hands.pass(5_700);
        assert_eq!(machine.tick(), Duration::from_millis(300));
        assert_eq!(machine.heights(), (18, 13));
    }

    #[test]
    fn what_is_due_is_done_at_its_height() {
        let mut machine = Machine::new();
        machine.seconds(3);
        let name = "a".parse().unwrap();
        let enable = Command::Schedule { at: 30, commands: Valid::new(vec![Command::Enable { name }]).unwrap() };
        let commands = vec![Command::create_feature(name, "").unwrap(), enable];
        machine.node().submit(&signed(machine.node(), &key(1), 1, commands)).unwrap();
        machine.seconds(1);
        assert_eq!(machine.heights(), (5, 5));
        machine.hands.pass(40_000);
        machine.tick();
        assert_eq!(machine.heights(), (45, 45));
        assert_eq!(machine.node().outcome(30).unwrap().unwrap().events.len(), 2, "late, and yet at its height");
    }

    /// What the wall shows when a node comes back, after how it went, and the height that it comes back at.
    #[test]
    fn no_clock_moves_a_height_back() {
        struct Row {
            about: &'static str,
            is_killed: bool,
            wall: i64,
            height: u32,
        }
        for Row { about, is_killed, wall, height } in [
            Row { about: "at once", is_killed: false, wall: 0, height: 9 },
            Row { about: "an hour later", is_killed: false, wall: 3_600_000, height: 3_609 },
            Row { about: "with a clock that went back", is_killed: false, wall: -3_600_000, height: 9 },
            Row { about: "killed, at once", is_killed: true, wall: 0, height: 12 },
            Row { about: "killed, an hour later", is_killed: true, wall: 3_600_000, height: 3_609 },
            Row { about: "killed, with a clock that went back", is_killed: true, wall: -3_600_000, height: 12 },
            Row { about: "killed, with a clock at zero", is_killed: true, wall: -1_800_000_000_000, height: 12 },
        ] {
            let mut machine = Machine::new();
            machine.seconds(8);
            assert_eq!(machine.heights(), (9, 2));
            if !is_killed {
                machine.solo.as_mut().unwrap().finish().unwrap();
            }
            machine.hands.set(machine.hands.wall().saturating_add_signed(wall));
            machine.start().unwrap();
            assert_eq!(machine.heights().0, height, "{about}");
            machine.seconds(2);
            assert_eq!(machine.heights().0, height + 2, "{about}: it goes on");
        }
    }

    #[test]
    fn a_jump_of_the_wall_moves_nothing_while_the_node_runs() {
        let mut machine = Machine::new();
        for wall in [0, NOON * 2, NOON] {
            machine.hands.set(wall);
            let (before, _) = machine.heights();
            machine.seconds(1);
            assert_eq!(machine.heights().0, before + 1);
        }
    }

    #[test]
    fn a_clock_that_is_years_ahead_is_asked_about() {
        let mut machine = Machine::new();
        machine.hands.set(NOON + 367 * 24 * 60 * 60 * 1_000);
        let error = machine.start().unwrap_err();
        assert!(matches!(error, StartError::Clock { days: 367 }), "{error}");
        machine.start_with(true).unwrap();
        assert_eq!(machine.heights().0, 1 + 367 * 24 * 60 * 60);
    }

    #[test]
    fn a_busy_node_that_is_killed_comes_back_where_it_was() {
        let mut machine = Machine::new();
        machine.seconds(4);
        let command = Command::create_feature("a".parse().unwrap(), "").unwrap();
        machine.node().submit(&signed(machine.node(), &key(1), 1, vec![command])).unwrap();
        machine.seconds(1);
        machine.start().unwrap();
        assert_eq!(machine.heights(), (6, 6));
    }

    #[test]
    fn a_damaged_mark_is_refused() {
        let mut machine = Machine::new();
        machine.solo = None;
        let mut batch = crate::database::Batch::default();
        batch.put(Table::Meta, MARK, [1, 2, 3]);
        machine.database.write(batch, crate::database::Sync::Now).unwrap();
        assert!(matches!(machine.start(), Err(StartError::Mark(_))));
    }
}
