//! The circuit breaker, and what is scheduled.

use std::num::NonZeroU32;

use coalmine_core::{Address, BreakerClosedBy, Event, Reason, Reject};

use crate::raw::Command;
use crate::{Model, U32_MAX};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breaker {
    pub(crate) draining: bool,
    pub(crate) since: u128,
    pub(crate) until: u128,
    pub(crate) reason: Reason,
    pub(crate) actor: Address,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scheduled {
    pub(crate) actor: Address,
    pub(crate) commands: Vec<Command>,
}

impl Model {
    pub(crate) fn breaker_is_closed(&self) -> Result<(), Reject> {
        if self.breaker.is_some() { Err(Reject::CircuitOpen) } else { Ok(()) }
    }

    pub(crate) fn open_breaker(&mut self, breaker: Breaker) {
        let Breaker { draining, since: _, until, reason, actor } = breaker;
        self.breaker = Some(breaker);
        self.events.push(Event::BreakerTripped { reason, until: NonZeroU32::new(until as u32), draining, actor });
    }

    pub(crate) fn close_breaker(&mut self, by: BreakerClosedBy) {
        self.breaker = None;
        self.events.push(Event::BreakerClosed { by });
    }

    /// Counts an automatic rollback, which may open the breaker.
    pub(crate) fn count_rollback(&mut self, h: u128, reason: Reason) {
        if self.breaker_rollbacks == 0 {
            return;
        }
        if self.rollbacks_in_window == 0 || h - self.rollback_window_start >= self.breaker_window {
            self.rollback_window_start = h;
            self.rollbacks_in_window = 0;
        }
        self.rollbacks_in_window = (self.rollbacks_in_window + 1).min(U32_MAX);
        if self.rollbacks_in_window >= self.breaker_rollbacks && self.breaker.is_none() {
            self.open_breaker(Breaker { draining: true, since: h, until: 0, reason, actor: Address::ZERO });
        }
    }
}
