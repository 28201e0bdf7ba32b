//! The circuit breaker, the schedule, roles and parameters.

use crate::command::Command;
use crate::event::{BreakerClosedBy, Event};
use crate::feature::record::Reason;
use crate::ledger::{OpenBreaker, Params};
use crate::overlay::Overlay;
use crate::reject::Reject;
use crate::schedule::Scheduled;
use crate::values::{Address, Height, Role, Roles};

impl Overlay<'_> {
    // The breaker.

    pub(super) fn trip_breaker(
        &mut self,
        signer: &Address,
        reason: Reason,
        until: Height,
        drain: bool,
    ) -> Result<(), Reject> {
        if self.global.breaker.is_some() {
            return Err(Reject::InvalidTransition);
        }
        if until != 0 && until <= self.height {
            return Err(Reject::HeightInPast);
        }
        self.open_breaker(OpenBreaker { draining: drain, since: self.height, until, reason, actor: *signer });
        Ok(())
    }

    fn open_breaker(&mut self, breaker: OpenBreaker) {
        let OpenBreaker { draining, since: _, until, reason, actor } = breaker;
        self.global.breaker = Some(breaker);
        self.events.push(Event::BreakerTripped { reason, until, draining, actor });
    }

    pub(super) fn reset_breaker(&mut self) -> Result<(), Reject> {
        if self.global.breaker.is_none() {
            return Err(Reject::InvalidTransition);
        }
        self.global.breaker = None;
        self.events.push(Event::BreakerClosed { by: BreakerClosedBy::Reset });
        Ok(())
    }

    /// Counts a rollback by the guard, or of a deployment by itself; enough of them within the window open the breaker.
    pub(super) fn count_rollback(&mut self, reason: Reason) {
        let Params { breaker_rollbacks, breaker_window, .. } = self.global.params;
        if breaker_rollbacks == 0 {
            return;
        }
        let global = &mut self.global;
        let elapsed = self.height.saturating_sub(global.rollback_window_start);
        if global.rollbacks_in_window == 0 || elapsed >= breaker_window {
            global.rollback_window_start = self.height;
            global.rollbacks_in_window = 0;
        }
        global.rollbacks_in_window = global.rollbacks_in_window.saturating_add(1);
        if global.rollbacks_in_window >= breaker_rollbacks && global.breaker.is_none() {
            let since = self.height;
            self.open_breaker(OpenBreaker { draining: true, since, until: 0, reason, actor: Address::ZERO });
        }
    }

    // Schedule, roles, parameters.

    pub(super) fn schedule(&mut self, signer: &Address, at: Height, commands: &[Command]) -> Result<(), Reject> {
        if at <= self.height {
            return Err(Reject::HeightInPast);
        }
        let id = self.global.next_schedule_id;
        self.global.next_schedule_id = id.checked_add(1).ok_or(Reject::LimitExceeded)?;
        self.set_scheduled(at, id, Some(Scheduled { actor: *signer, commands: commands.into() }));
        self.events.push(Event::Scheduled { id, at });
        Ok(())
    }

    pub(super) fn cancel_schedule(&mut self, at: Height, id: u64) -> Result<(), Reject> {
        if !self.is_scheduled(at, id) {
            return Err(Reject::ScheduleNotFound);
        }
        self.set_scheduled(at, id, None);
        self.events.push(Event::ScheduleCancelled { id });
        Ok(())
    }

    pub(super) fn grant_role(&mut self, address: Address, role: Role) -> Result<(), Reject> {
        let held = self.roles_of(&address);
        let admins = u32::from(role == Role::Admin && !held.holds(role));
        self.global.admins = self.global.admins.checked_add(admins).ok_or(Reject::LimitExceeded)?;
        self.set_roles(address, held.with(role));
        self.events.push(Event::RoleGranted { address, role });
        Ok(())
    }

    pub(super) fn revoke_role(&mut self, address: Address, role: Role) -> Result<(), Reject> {
        let held: Roles = self.roles_of(&address);
        if !held.holds(role) {
            return Err(Reject::RoleNotFound);
        }
        if role == Role::Admin {
            if self.global.admins <= 1 {
                return Err(Reject::LastAdmin);
            }
            self.global.admins = self.global.admins.saturating_sub(1);
        }
        self.set_roles(address, held.without(role));
        self.events.push(Event::RoleRevoked { address, role });
        Ok(())
    }

    pub(super) fn set_params(&mut self, params: Params) -> Result<(), Reject> {
        if !params.is_valid() {
            return Err(Reject::InvalidParameter);
        }
        self.global.params = params;
        self.events.push(Event::ParamsSet);
        Ok(())
    }
}
