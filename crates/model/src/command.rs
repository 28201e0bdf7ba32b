//! What each command does: its guards in order, each with its reject, then its writes and events.

use coalmine_core::{Address, BreakerClosedBy, Cause, Event, Name, Percent, Reject, Role, RollbackRule, Status};

use crate::breaker::{Breaker, Scheduled};
use crate::feature::{Override, error_rate, is_on};
use crate::plugins::rules;
use crate::raw::{Changes, Command, is_feed_id, is_name};
use crate::{ADMIN, FEEDER, GUARDIAN, Model, OPERATOR, Planted, REASONS, REPORTER};

impl Model {
    /// Runs a command that has been decoded. The order of its guards is consensus: authority, limits, existence,
    /// breaker, status, prerequisites, data.
    pub(crate) fn command(&mut self, h: u128, actor: Address, command: &Command) -> Result<(), Reject> {
        let held = self.roles.get(&actor).copied().unwrap_or(0);
        let guardian_starts = self.has(Planted::GuardianStarts) && matches!(command, Command::StartCanary { .. });
        let allowed = authority(command) | ADMIN | if guardian_starts { GUARDIAN } else { 0 };
        if held & allowed == 0 {
            return Err(Reject::Unauthorized);
        }
        limits(command)?;
        match command {
            Command::CreateFeature { name, description, changes } => self.create(h, actor, name, description, changes),
            Command::ConfigureFeature { name, description, changes } => {
                self.configure(name, description.as_ref(), changes)
            }
            Command::StartCanary { name, percent } => {
                let status = self.feature(name)?.status;
                self.breaker_is_closed()?;
                match status {
                    Status::Disabled | Status::RolledBack | Status::Canary => {}
                    Status::RollingOut => return Err(Reject::RolloutInProgress),
                    Status::Enabled => return Err(Reject::InvalidTransition),
                }
                self.prerequisites_are_active(name)?;
                let f = self.feature_mut(name);
                f.start_block = h;
                f.last_increment_block = h;
                f.new_trial();
                self.set_status(h, name, Status::Canary, u128::from(*percent), Cause::CanaryStarted, actor);
                Ok(())
            }
            Command::StartRollout { name, target_percent } => {
                let target = u128::from(*target_percent);
                let f = self.feature(name)?.clone();
                self.breaker_is_closed()?;
                match f.status {
                    Status::Canary => {}
                    Status::RollingOut => return Err(Reject::RolloutInProgress),
                    Status::Disabled | Status::RolledBack => return Err(Reject::FeatureDisabled),
                    Status::Enabled => return Err(Reject::InvalidTransition),
                }
                self.prerequisites_are_active(name)?;
                if f.success_count < f.min_success_count {
                    return Err(Reject::InsufficientData);
                }
                if error_rate(f.error_count, f.success_count).is_some_and(|rate| rate > f.max_error_rate) {
                    return Err(Reject::ErrorRateExceeded);
                }
                if target <= f.rollout_percent && target != 100 {
                    return Err(Reject::InvalidPercent);
                }
                let percent = f.rollout_percent;
                let f = self.feature_mut(name);
                f.target_percent = target;
                f.last_increment_block = h;
                self.set_status(h, name, Status::RollingOut, percent, Cause::RolloutStarted, actor);
                Ok(())
            }
            Command::AdvanceRollout { name } => {
                let f = self.feature(name)?.clone();
                self.breaker_is_closed()?;
                match f.status {
                    Status::RollingOut => {}
                    Status::Disabled | Status::RolledBack => return Err(Reject::FeatureDisabled),
                    Status::Canary | Status::Enabled => return Err(Reject::InvalidTransition),
                }
                self.prerequisites_are_active(name)?;
                if h < f.last_increment_block + f.increment_blocks {
                    return Err(Reject::NotDue);
                }
                self.step(h, name, actor);
                Ok(())
            }
            Command::Enable { name } => {
                let status = self.feature(name)?.status;
                self.breaker_is_closed()?;
                if status == Status::Enabled {
                    return Err(Reject::InvalidTransition);
                }
                self.prerequisites_are_active(name)?;
                if !is_on(status) {
                    self.feature_mut(name).new_trial();
                }
                self.set_status(h, name, Status::Enabled, 100, Cause::Enabled, actor);
                Ok(())
            }
            Command::Disable { name } => {
                if self.feature(name)?.status == Status::Disabled {
                    return Err(Reject::InvalidTransition);
                }
                self.set_status(h, name, Status::Disabled, 0, Cause::Disabled, actor);
                Ok(())
            }
            Command::Rollback { name, reason } => {
                if !is_on(self.feature(name)?.status) {
                    return Err(Reject::FeatureDisabled);
                }
                self.rollback(h, name, actor, RollbackRule::Command, REASONS[usize::from(*reason)]);
                Ok(())
            }
            Command::SetOverride { name, user, enabled } => {
                self.feature(name)?;
                self.feature_mut(name).overrides.insert(*user, Override { enabled: *enabled, since: h, actor });
                self.events.push(Event::OverrideSet { name: event_name(name), user: *user, enabled: *enabled });
                Ok(())
            }
            Command::ClearOverride { name, user } => {
                self.feature(name)?;
                self.feature_mut(name).overrides.remove(user).ok_or(Reject::OverrideNotFound)?;
                self.events.push(Event::OverrideCleared { name: event_name(name), user: *user });
                Ok(())
            }
            Command::Report { name, report } => {
                if !is_on(self.feature(name)?.status) {
                    return Err(Reject::FeatureDisabled);
                }
                self.feature_mut(name).take_report(h, report);
                self.guard(h, name);
                Ok(())
            }
            Command::TripBreaker { reason, until, drain } => {
                let until = u128::from(*until);
                if self.breaker.is_some() {
                    return Err(Reject::InvalidTransition);
                }
                if until != 0 && until <= h {
                    return Err(Reject::HeightInPast);
                }
                self.open_breaker(Breaker {
                    draining: *drain,
                    since: h,
                    until,
                    reason: REASONS[usize::from(*reason)],
                    actor,
                });
                Ok(())
            }
            Command::ResetBreaker => {
                if self.breaker.is_none() {
                    return Err(Reject::InvalidTransition);
                }
                self.close_breaker(BreakerClosedBy::Reset);
                Ok(())
            }
            Command::Schedule { at, commands } => {
                let at = u128::from(*at);
                if at <= h {
                    return Err(Reject::HeightInPast);
                }
                let id = self.next_schedule_id;
                self.next_schedule_id += 1;
                self.schedule.insert((at, id), Scheduled { actor, commands: commands.clone() });
                self.events.push(Event::Scheduled { id: id as u64, at: at as u32 });
                Ok(())
            }
            Command::NestedSchedule { .. } => Err(Reject::InvalidParameter),
            Command::CancelSchedule { at, id } => {
                let key = (u128::from(*at), u128::from(*id));
                self.schedule.remove(&key).ok_or(Reject::ScheduleNotFound)?;
                self.events.push(Event::ScheduleCancelled { id: *id });
                Ok(())
            }
            Command::GrantRole { address, role } => {
                *self.roles.entry(*address).or_insert(0) |= role;
                self.events.push(Event::RoleGranted { address: *address, role: event_role(*role) });
                Ok(())
            }
            Command::RevokeRole { address, role } => {
                let held = self.roles.get(address).copied().unwrap_or(0);
                if held & role == 0 {
                    return Err(Reject::RoleNotFound);
                }
                if *role == ADMIN && self.admins() == 1 {
                    return Err(Reject::LastAdmin);
                }
                self.roles.insert(*address, held & !role);
                self.roles.retain(|_, held| *held != 0);
                self.events.push(Event::RoleRevoked { address: *address, role: event_role(*role) });
                Ok(())
            }
            Command::SetParams { max_due_per_block, breaker_rollbacks, breaker_window } => {
                let rollbacks = breaker_rollbacks.map_or(self.breaker_rollbacks, u128::from);
                let window = breaker_window.map_or(self.breaker_window, u128::from);
                if rollbacks != 0 && window == 0 {
                    return Err(Reject::InvalidParameter);
                }
                self.max_due_per_block = max_due_per_block.map_or(self.max_due_per_block, u128::from);
                self.breaker_rollbacks = rollbacks;
                self.breaker_window = window;
                self.events.push(Event::ParamsSet);
                Ok(())
            }
            Command::Plugin(command) => self.plugin_command(h, actor, command),
            Command::FeedPut { part, lists } => self.feed_put(*part, lists),
            Command::FeedPatch { kind, id, version, body } => self.feed_patch(*kind, id, *version, body),
            Command::FeedDelete { kind, id, version } => self.feed_delete(*kind, id, *version),
            Command::FeedForget { kind, ids } => {
                self.feed_forget(*kind, ids);
                Ok(())
            }
        }
    }

    fn admins(&self) -> usize {
        self.roles.values().filter(|held| *held & ADMIN != 0).count()
    }
}

/// The roles that may send a command, besides Admin.
pub(crate) fn authority(command: &Command) -> u8 {
    match command {
        Command::CreateFeature { .. }
        | Command::ConfigureFeature { .. }
        | Command::ResetBreaker
        | Command::GrantRole { .. }
        | Command::RevokeRole { .. }
        | Command::SetParams { .. }
        | Command::FeedForget { .. } => ADMIN,
        Command::StartCanary { .. }
        | Command::StartRollout { .. }
        | Command::AdvanceRollout { .. }
        | Command::Enable { .. }
        | Command::Disable { .. }
        | Command::SetOverride { .. }
        | Command::ClearOverride { .. }
        | Command::Schedule { .. }
        | Command::NestedSchedule { .. }
        | Command::CancelSchedule { .. } => OPERATOR,
        Command::Rollback { .. } | Command::TripBreaker { .. } => GUARDIAN | OPERATOR,
        Command::Report { .. } => REPORTER,
        Command::Plugin(command) => rules::authority(command),
        Command::FeedPut { .. } | Command::FeedPatch { .. } | Command::FeedDelete { .. } => FEEDER,
    }
}

/// Checks the values of a command, which needs no state, in the order of its fields.
pub(crate) fn limits(command: &Command) -> Result<(), Reject> {
    let check = |holds: bool, reject: Reject| if holds { Ok(()) } else { Err(reject) };
    let name = |name: &[u8]| check(is_name(name), Reject::InvalidName);
    let description = |text: &[u8]| check(text.len() <= 1_024, Reject::LimitExceeded);
    let id = |id: &[u8]| check(is_feed_id(id), Reject::InvalidFeedId);
    let body = |body: &[u8]| check(body.len() <= 4_096, Reject::FeedItemTooLarge);
    let percent = |percent: u8| check(percent <= 100, Reject::InvalidPercent);
    let settings = |changes: &Changes| {
        check(
            changes.increment_percent.is_none_or(|n| (1..=100).contains(&n))
                && changes.increment_blocks.is_none_or(|n| n >= 1)
                && changes.max_error_rate.is_none_or(|n| n <= 10_000),
            Reject::InvalidParameter,
        )
    };
    match command {
        Command::CreateFeature { name: n, description: text, changes } => {
            name(n)?;
            description(text)?;
            settings(changes)
        }
        Command::ConfigureFeature { name: n, description: text, changes } => {
            name(n)?;
            text.as_ref().map_or(Ok(()), |text| description(text))?;
            settings(changes)
        }
        Command::StartCanary { name: n, percent: p } | Command::StartRollout { name: n, target_percent: p } => {
            name(n)?;
            percent(*p)
        }
        Command::AdvanceRollout { name: n }
        | Command::Enable { name: n }
        | Command::Disable { name: n }
        | Command::Rollback { name: n, .. }
        | Command::SetOverride { name: n, .. }
        | Command::ClearOverride { name: n, .. } => name(n),
        Command::Report { name: n, report } => {
            name(n)?;
            let no_operations = report.successes == 0 && report.errors == 0;
            let no_latency = report.latency_total == 0 && report.latency_peak == 0;
            let agrees = report.invariant_failures <= report.invariant_checks && (no_latency || !no_operations);
            check(agrees, Reject::InvalidParameter)
        }
        Command::Schedule { commands, .. } => commands.iter().try_for_each(|nested| match nested {
            Command::StartCanary { .. }
            | Command::StartRollout { .. }
            | Command::AdvanceRollout { .. }
            | Command::Enable { .. }
            | Command::Disable { .. }
            | Command::Rollback { .. }
            | Command::SetOverride { .. }
            | Command::ClearOverride { .. } => limits(nested),
            Command::Plugin(command) if rules::is_schedulable(command) => limits(nested),
            Command::CreateFeature { .. }
            | Command::ConfigureFeature { .. }
            | Command::Report { .. }
            | Command::TripBreaker { .. }
            | Command::ResetBreaker
            | Command::Schedule { .. }
            | Command::NestedSchedule { .. }
            | Command::CancelSchedule { .. }
            | Command::GrantRole { .. }
            | Command::RevokeRole { .. }
            | Command::SetParams { .. }
            | Command::Plugin(_)
            | Command::FeedPut { .. }
            | Command::FeedPatch { .. }
            | Command::FeedDelete { .. }
            | Command::FeedForget { .. } => Err(Reject::InvalidParameter),
        }),
        Command::NestedSchedule { .. } => Err(Reject::InvalidParameter),
        Command::Plugin(command) => rules::limits(command),
        Command::SetParams { max_due_per_block, .. } => check(*max_due_per_block != Some(0), Reject::InvalidParameter),
        Command::FeedPut { lists, .. } => lists.iter().flatten().try_for_each(|entry| {
            id(&entry.id)?;
            body(&entry.body)
        }),
        Command::FeedPatch { id: i, body: b, .. } => {
            id(i)?;
            body(b)
        }
        Command::FeedDelete { id: i, .. } => id(i),
        Command::FeedForget { ids, .. } => ids.iter().try_for_each(|i| id(i)),
        Command::TripBreaker { .. }
        | Command::ResetBreaker
        | Command::CancelSchedule { .. }
        | Command::GrantRole { .. }
        | Command::RevokeRole { .. } => Ok(()),
    }
}

pub(crate) fn event_name(name: &[u8]) -> Name {
    Name::new(name).expect("the name was checked")
}

pub(crate) fn event_percent(percent: u128) -> Percent {
    Percent::new(percent as u8).expect("the percent was checked")
}

fn event_role(mask: u8) -> Role {
    [Role::Admin, Role::Operator, Role::Reporter, Role::Guardian, Role::Feeder][mask.trailing_zeros() as usize]
}
