//! The circuit breaker: what opens it, what raises it, and what it counts.

use std::num::NonZeroU32;

use coalmine_core::{Address, BreakerClosedBy, Event, Reason, Reject};

use crate::{Model, Planted, U32_MAX};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breaker {
    pub(crate) draining: bool,
    pub(crate) since: u128,
    /// 0 = until it is reset.
    pub(crate) until: u128,
    pub(crate) reason: Reason,
    pub(crate) actor: Address,
}

/// Whether the first is later than the second, where 0 is the latest of all.
fn is_later(one: u128, other: u128) -> bool {
    other != 0 && (one == 0 || one > other)
}

impl Model {
    pub(crate) fn breaker_is_closed(&self) -> Result<(), Reject> {
        if self.breaker.is_some() { Err(Reject::CircuitOpen) } else { Ok(()) }
    }

    /// Opens the breaker, or raises one that is open; what raises nothing is refused.
    pub(crate) fn trip_breaker(
        &mut self,
        h: u128,
        actor: Address,
        reason: Reason,
        until: u128,
        drain: bool,
    ) -> Result<(), Reject> {
        let mut tripped = Breaker { draining: drain, since: h, until, reason, actor };
        if let Some(open) = self.breaker {
            let drains_now = drain && !open.draining;
            if (!drains_now && !is_later(until, open.until)) || self.has(Planted::OpenBreakerStays) {
                return Err(Reject::InvalidTransition);
            }
            tripped.draining |= open.draining;
            tripped.since = open.since;
            tripped.until = if is_later(until, open.until) { until } else { open.until };
        }
        if until != 0 && until <= h {
            return Err(Reject::HeightInPast);
        }
        self.set_breaker(tripped);
        Ok(())
    }

    fn set_breaker(&mut self, breaker: Breaker) {
        let Breaker { draining, since: _, until, reason, actor } = breaker;
        self.breaker = Some(breaker);
        self.events.push(Event::BreakerTripped { reason, until: NonZeroU32::new(until as u32), draining, actor });
    }

    pub(crate) fn close_breaker(&mut self, by: BreakerClosedBy) {
        self.breaker = None;
        self.events.push(Event::BreakerClosed { by });
    }

    pub(crate) fn reset_breaker(&mut self) -> Result<(), Reject> {
        if self.breaker.is_none() {
            return Err(Reject::InvalidTransition);
        }
        if !self.has(Planted::ResetKeepsCount) {
            self.rollback_window_start = 0;
            self.rollbacks_in_window = 0;
        }
        self.close_breaker(BreakerClosedBy::Reset);
        Ok(())
    }

    /// Counts a rollback by the guard, which may open the breaker, or raise one that is open.
    pub(crate) fn count_rollback(&mut self, h: u128, reason: Reason) {
        let rollbacks = u128::from(self.params.breaker_rollbacks);
        if rollbacks == 0 {
            return;
        }
        if self.rollbacks_in_window == 0 || h - self.rollback_window_start >= u128::from(self.params.breaker_window) {
            self.rollback_window_start = h;
            self.rollbacks_in_window = 0;
        }
        self.rollbacks_in_window = (self.rollbacks_in_window + 1).min(U32_MAX);
        if self.rollbacks_in_window < rollbacks {
            return;
        }
        let tripped = match self.breaker {
            Some(open) => Breaker { draining: true, until: 0, ..open },
            None => Breaker { draining: true, since: h, until: 0, reason, actor: Address::ZERO },
        };
        if self.breaker != Some(tripped) {
            self.set_breaker(tripped);
        }
    }
}
