//! The circuit breaker, the schedule, roles and parameters.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::command::Command;
use crate::event::{BreakerClosedBy, Event};
use crate::execute::executor::Executor;
use crate::feature::record::Reason;
use crate::ledger::{OpenBreaker, Params, ParamsChanges};
use crate::reject::Reject;
use crate::schedule::Scheduled;
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
        if self.overlay.global.breaker.is_some() {
            return Err(Reject::InvalidTransition);
        }
        if until.is_some_and(|until| until.get() <= self.height) {
            return Err(Reject::HeightInPast);
        }
        // From here on the command succeeds.
        self.open_breaker(OpenBreaker { draining: drain, since: self.height, until, reason, actor: *signer });
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
        self.overlay.global.breaker = None;
        self.out.event(Event::BreakerClosed { by: BreakerClosedBy::Reset });
        Ok(())
    }

    /// Counts an automatic rollback of a feature or deployment. Enough of them within the window open the breaker, which
    /// then drains from the next block on.
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
        if global.rollbacks_in_window >= breaker_rollbacks.get() && global.breaker.is_none() {
            let since = self.height;
            self.open_breaker(OpenBreaker { draining: true, since, until: None, reason, actor: Address::ZERO });
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
        let id = self.overlay.global.next_schedule_id;
        let next_id = id.checked_add(1).ok_or(Reject::LimitExceeded)?;
        // From here on the command succeeds.
        self.overlay.global.next_schedule_id = next_id;
        self.overlay.set_scheduled(at, id, Some(Scheduled { actor: *signer, commands: commands.clone() }));
        self.out.event(Event::Scheduled { id, at });
        Ok(())
    }

    pub(super) fn cancel_schedule(&mut self, at: Height, id: u64) -> Result<(), Reject> {
        if !self.overlay.is_scheduled(at, id) {
            return Err(Reject::ScheduleNotFound);
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
