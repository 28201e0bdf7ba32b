//! The circuit breaker, the schedule, roles and parameters.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::command::Command;
use crate::event::{BreakerClosedBy, Event};
use crate::execute::executor::Executor;
use crate::feature::record::Reason;
use crate::ledger::{OpenBreaker, Params, ParamsChanges};
use crate::reject::Reject;
use crate::schedule::{SCHEDULED_MAX, SCHEDULED_RESERVED, Scheduled};
use crate::valid::Valid;
use crate::values::{Address, Height, Role, Roles};

impl Executor<'_> {
    // The breaker.

    pub(super) fn trip_breaker(
        &mut self,
        signer: &Address,
        reason: Reason,
        until: Option<NonZeroU32>,
        drain: bool,
    ) -> Result<(), Reject> {
        let new = OpenBreaker { draining: drain, since: self.height, until, reason, actor: *signer };
        let breaker = match self.overlay.global.breaker {
            None => new,
            // An open breaker can only be made stricter, so that nobody takes a part of it back.
            Some(open) => {
                let stricter = OpenBreaker {
                    draining: open.draining || drain,
                    since: open.since,
                    until: open.until.and_then(|open| until.map(|until| open.max(until))),
                    ..new
                };
                if (stricter.draining, stricter.until) == (open.draining, open.until) {
                    return Err(Reject::InvalidTransition);
                }
                stricter
            }
        };
        if until.is_some_and(|until| until.get() <= self.height) {
            return Err(Reject::HeightInPast);
        }
        // From here on the command succeeds.
        self.open_breaker(breaker);
        Ok(())
    }

    fn open_breaker(&mut self, breaker: OpenBreaker) {
        let OpenBreaker { draining, since: _, until, reason, actor } = breaker;
        self.overlay.global.breaker = Some(breaker);
        self.out.event(Event::BreakerTripped { reason, until, draining, actor });
    }

    pub(super) fn reset_breaker(&mut self) -> Result<(), Reject> {
        if self.overlay.global.breaker.is_none() {
            return Err(Reject::InvalidTransition);
        }
        // From here on the command succeeds.
        let global = &mut self.overlay.global;
        (global.breaker, global.rollback_window_start, global.rollbacks_in_window) = (None, 0, 0);
        self.out.event(Event::BreakerClosed { by: BreakerClosedBy::Reset });
        Ok(())
    }

    /// Counts an automatic rollback of a feature or deployment. Enough of them within the window open the breaker, or
    /// make an open one drain until a reset; it drains from the next block on.
    pub(super) fn count_rollback(&mut self, reason: Reason) {
        let Params { breaker_rollbacks, breaker_window, .. } = self.overlay.global.params;
        let Some(breaker_rollbacks) = breaker_rollbacks else { return };
        let global = &mut self.overlay.global;
        let elapsed = self.height.saturating_sub(global.rollback_window_start);
        if global.rollbacks_in_window == 0 || elapsed >= breaker_window {
            global.rollback_window_start = self.height;
            global.rollbacks_in_window = 0;
        }
        global.rollbacks_in_window = global.rollbacks_in_window.saturating_add(1);
        if global.rollbacks_in_window < breaker_rollbacks.get() {
            return;
        }
        let before = global.breaker;
        let opened = OpenBreaker { draining: false, since: self.height, until: None, reason, actor: Address::ZERO };
        let breaker = OpenBreaker { draining: true, until: None, ..before.unwrap_or(opened) };
        if before != Some(breaker) {
            self.open_breaker(breaker);
        }
    }

    // Schedule, roles, parameters.

    pub(super) fn schedule(
        &mut self,
        signer: &Address,
        at: Height,
        commands: &Valid<Vec<Command>>,
    ) -> Result<(), Reject> {
        if at <= self.height {
            return Err(Reject::HeightInPast);
        }
        self.check_notice(at, commands)?;
        // Some room is kept for admins, so that nobody can keep them from scheduling.
        let is_admin = self.overlay.roles_of(signer).contains(Role::Admin);
        let max = if is_admin { SCHEDULED_MAX } else { SCHEDULED_MAX.saturating_sub(SCHEDULED_RESERVED) };
        if self.overlay.global.scheduled >= max {
            return Err(Reject::LimitExceeded);
        }
        let id = self.overlay.global.next_schedule_id;
        let next_id = id.checked_add(1).ok_or(Reject::LimitExceeded)?;
        // From here on the command succeeds.
        self.overlay.global.next_schedule_id = next_id;
        self.overlay.set_scheduled(at, id, Some(Scheduled::new(*signer, commands)));
        self.out.event(Event::Scheduled { id, at });
        Ok(())
    }

    pub(super) fn cancel_schedule(&mut self, signer: &Address, at: Height, id: u64) -> Result<(), Reject> {
        let entry = self.overlay.scheduled(at, id).ok_or(Reject::ScheduleNotFound)?;
        // A guardian only ever lowers exposure: it may take back what would raise it.
        let is_operator = self.overlay.roles_of(signer).allows(Role::Operator);
        let is_raising = || {
            entry
                .commands_under(self.rules())
                .is_ok_and(|commands| commands.iter().any(|command| self.is_raising(command)))
        };
        if !is_operator && !is_raising() {
            return Err(Reject::Unauthorized);
        }
        // From here on the command succeeds.
        self.overlay.set_scheduled(at, id, None);
        self.out.event(Event::ScheduleCancelled { id });
        Ok(())
    }

    pub(super) fn grant_role(&mut self, address: Address, role: Role) -> Result<(), Reject> {
        let held = self.overlay.roles_of(&address);
        let admins = u32::from(role == Role::Admin && !held.contains(role));
        let admins = self.overlay.global.admins.checked_add(admins).ok_or(Reject::LimitExceeded)?;
        // From here on the command succeeds.
        self.overlay.global.admins = admins;
        self.overlay.set_roles(address, held.with(role));
        self.out.event(Event::RoleGranted { address, role });
        Ok(())
    }

    pub(super) fn revoke_role(&mut self, address: Address, role: Role) -> Result<(), Reject> {
        let held: Roles = self.overlay.roles_of(&address);
        if !held.contains(role) {
            return Err(Reject::RoleNotFound);
        }
        if role == Role::Admin && self.overlay.global.admins <= 1 {
            return Err(Reject::LastAdmin);
        }
        // From here on the command succeeds.
        let admins = u32::from(role == Role::Admin);
        self.overlay.global.admins = self.overlay.global.admins.saturating_sub(admins);
        self.overlay.set_roles(address, held.without(role));
        self.out.event(Event::RoleRevoked { address, role });
        Ok(())
    }

    pub(super) fn set_params(&mut self, changes: &ParamsChanges) -> Result<(), Reject> {
        let params = changes.apply_to(&self.overlay.global.params);
        if !params.is_valid() {
            return Err(Reject::InvalidParameter);
        }
        // From here on the command succeeds.
        self.overlay.global.params = params;
        self.out.event(Event::ParamsSet);
        Ok(())
    }
}
