//! What happens without traffic: a state that is run forward over empty blocks.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

use coalmine_core::{BlockError, Event, Execution, Height, Name, Scheduled, State};

/// What happens at one height if no block up to there has a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upcoming {
    /// The height.
    pub height: Height,
    /// The events of its empty block, in order.
    pub events: Vec<Event>,
    /// The entries of the schedule that run in it, by id. Whether each succeeds is in the event `schedule_executed`.
    pub scheduled: Vec<(u64, Scheduled)>,
    /// The features whose `expires_at` is this height, in name order. It changes nothing but lists of stale features.
    pub stale: Vec<Name>,
    /// The rule set that this block would change to, and that this build does not know: it stops before this block.
    pub unknown_rules: Option<u16>,
}

/// The features that are past their `expires_at` after the last block, with that height, in name order.
pub fn stale_features(state: &State) -> impl Iterator<Item = (Height, Name)> {
    let tip = state.tip().unwrap_or_default();
    expiries(state).filter(move |(at, _)| *at <= tip)
}

fn expiries(state: &State) -> impl Iterator<Item = (Height, Name)> {
    state.features().filter_map(|feature| Some((expires_at(state, &feature.name)?, feature.name)))
}

fn expires_at(state: &State, name: &Name) -> Option<Height> {
    state.policy(name)?.expires_at.map(NonZeroU32::get)
}

/// What happens in the next blocks if they are empty: an iterator over the heights at which something does.
///
/// It costs those heights, not the blocks between them. The state is cloned once something has to be applied to it, so a
/// look ahead over idle blocks clones nothing. Before the first block there is no next height, and so nothing to tell.
///
/// ```
/// # use coalmine_core::prelude::*;
/// # use coalmine_foresight::{Calendar, event_sentence};
/// # let admin = Address([0x11; 20]);
/// # let (mut state, _) = State::genesis(&Genesis::new("example-1", [(admin, Role::Admin.into())])?)?;
/// let later = Command::Schedule {
///     at: 150,
///     commands: Valid::new(vec![Command::TripBreaker { reason: coalmine_core::Reason::Manual, until: None, drain: false }])?,
/// };
/// let execution = state.execute(&Block::new(100, vec![Transaction::new(admin, vec![later])?])?)?;
/// state.apply(execution)?;
/// let upcoming = Calendar::new(&state, 1_000).next().ok_or("nothing")??;
/// assert_eq!(upcoming.height, 150);
/// assert_eq!(event_sentence(&upcoming.events[0]), "the circuit breaker opens by 0x1111111111111111111111111111111111111111 (manual), until it is reset");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Calendar<'s> {
    state: Cow<'s, State>,
    until: Height,
    expiries: BTreeSet<(Height, Name)>,
    /// The next block of which something comes, executed but not applied.
    next: Option<Box<Execution>>,
    is_over: bool,
}

impl<'s> Calendar<'s> {
    /// Looks so many blocks ahead, at most up to the last height that there is.
    #[must_use]
    pub fn new(state: &'s State, blocks: u32) -> Self {
        Self::of(Cow::Borrowed(state), blocks)
    }

    /// The same on a state that may be given away, which saves the clone.
    #[must_use]
    pub fn of(state: Cow<'s, State>, blocks: u32) -> Self {
        let (tip, is_over) = (state.tip().unwrap_or_default(), state.tip().is_none());
        let until = tip.saturating_add(blocks);
        let expiries = expiries(&state).filter(|(at, _)| *at > tip && *at <= until).collect();
        Self { state, until, expiries, next: None, is_over }
    }

    /// The last height that it looks at.
    #[must_use]
    pub const fn until(&self) -> Height {
        self.until
    }

    /// Executes up to the next block that has something to tell, the last block at the latest.
    fn look_ahead(&mut self) -> Result<(), BlockError> {
        while self.next.is_none() && self.state.tip().is_some_and(|tip| tip < self.until) {
            let execution = self.state.advance(self.until)?;
            let is_last = execution.height() >= self.until;
            if !execution.outcome().events.is_empty() {
                self.next = Some(Box::new(execution));
            } else if is_last {
                self.is_over = true;
                return Ok(());
            } else {
                self.apply(execution);
            }
        }
        Ok(())
    }

    fn apply(&mut self, execution: Execution) {
        let applied = self.state.to_mut().apply(execution);
        debug_assert!(applied.is_ok(), "it was executed on this state");
    }

    /// What a block does, which is applied unless nothing can follow it.
    fn happen(&mut self, execution: Execution, stale: Vec<Name>) -> Upcoming {
        let (height, events) = (execution.height(), execution.outcome().events.clone());
        let mut scheduled = Vec::new();
        for event in &events {
            if let Event::ScheduleExecuted { id, .. } = event {
                let found =
                    self.state.schedule().take_while(|(at, ..)| *at <= height).find(|(_, known, _)| known == id);
                scheduled.extend(found.map(|(_, id, entry)| (id, entry.clone())));
            }
        }
        if height < self.until {
            self.apply(execution);
            self.expect_again(height, &events);
        } else {
            self.is_over = true;
        }
        Upcoming { height, events, scheduled, stale, unknown_rules: None }
    }

    /// Scheduled commands may create features and change policies.
    fn expect_again(&mut self, height: Height, events: &[Event]) {
        for event in events {
            if let Event::FeatureCreated { name } | Event::FeatureConfigured { name } = event {
                self.expiries.retain(|(_, known)| known != name);
                let at = expires_at(&self.state, name).filter(|at| *at > height && *at <= self.until);
                self.expiries.extend(at.map(|at| (at, *name)));
            }
        }
    }

    fn take_stale(&mut self, height: Height) -> Vec<Name> {
        let mut stale = Vec::new();
        while let Some((at, name)) = self.expiries.first().copied().filter(|(at, _)| *at <= height) {
            self.expiries.remove(&(at, name));
            stale.push(name);
        }
        stale
    }

    /// Ends with the block before which this build must stop, or with an error.
    fn end(&mut self, error: BlockError) -> Result<Upcoming, BlockError> {
        self.is_over = true;
        let BlockError::UnknownRules { rules, height } = error else { return Err(error) };
        let stale = self.take_stale(height);
        self.expiries.clear();
        let unknown_rules = Some(rules);
        Ok(Upcoming { height, events: Vec::new(), scheduled: Vec::new(), stale, unknown_rules })
    }
}

impl Iterator for Calendar<'_> {
    /// What happens at a height.
    ///
    /// # Errors
    /// The state in memory is damaged.
    type Item = Result<Upcoming, BlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut stopped = None;
        if !self.is_over
            && let Err(error) = self.look_ahead()
        {
            stopped = Some(error);
        }
        let stop_height = |error: &BlockError| match error {
            BlockError::UnknownRules { height, .. } => *height,
            BlockError::Height { .. } | BlockError::NotAbove { .. } | BlockError::Tree(_) | BlockError::Broken(_) => 0,
        };
        let busy = self.next.as_ref().map(|execution| execution.height()).or(stopped.as_ref().map(stop_height));
        let expiry = self.expiries.first().map(|(at, _)| *at);
        match (busy, expiry) {
            // What expires before the next block that does something, which waits for its turn.
            (busy, Some(at)) if busy.is_none_or(|busy| at < busy) => {
                let stale = self.take_stale(at);
                let (events, scheduled) = (Vec::new(), Vec::new());
                Some(Ok(Upcoming { height: at, events, scheduled, stale, unknown_rules: None }))
            }
            (Some(height), _) => match (self.next.take(), stopped) {
                (Some(execution), _) => {
                    let stale = self.take_stale(height);
                    Some(Ok(self.happen(*execution, stale)))
                }
                (None, Some(error)) => Some(self.end(error)),
                (None, None) => None,
            },
            (None, _) => None,
        }
    }
}
