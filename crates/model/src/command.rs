//! What each command does: its guards in order, each with its reject, then its writes and events.

use coalmine_core::{Address, Cause, Event, Name, Percent, Reject, Role, RollbackRule, Status};

use crate::block::Source;
use crate::feature::{Figures, Override, error_rate, is_on};
use crate::limits::limits;
use crate::raw::{Command, Params};
use crate::rounds::PoolKey;
use crate::{ADMIN, Model, Planted, REASONS};

impl Model {
    /// Runs a command that has been decoded. The order of its guards is consensus: authority, price, limits, timelock,
    /// existence, breaker, status, prerequisites, data.
    pub(crate) fn command(&mut self, h: u128, actor: Address, source: Source, command: &Command) -> Result<(), Reject> {
        self.is_authorized(&actor, command)?;
        let within_limits = limits(source, command);
        self.pay(command, within_limits.is_err())?;
        within_limits?;
        self.timelock_allows(h, source, command)?;
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
                self.new_trial(name);
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
                    self.new_trial(name);
                }
                self.set_status(h, name, Status::Enabled, 100, Cause::Enabled, actor);
                Ok(())
            }
            Command::Disable { name } => {
                if self.feature(name)?.status == Status::Disabled {
                    return Err(Reject::InvalidTransition);
                }
                self.pools.remove(&PoolKey::of_feature(name));
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
                let own = self.feature(name)?.overrides.get(user).ok_or(Reject::OverrideNotFound)?;
                if self.params.timelock > 0 && source == Source::Sent && !own.enabled {
                    return Err(Reject::TimelockRequired);
                }
                self.feature_mut(name).overrides.remove(user);
                self.events.push(Event::OverrideCleared { name: event_name(name), user: *user });
                Ok(())
            }
            Command::PauseRollout { name } => {
                let f = self.feature(name)?;
                match f.status {
                    Status::RollingOut => {}
                    Status::Disabled | Status::RolledBack => return Err(Reject::FeatureDisabled),
                    Status::Canary | Status::Enabled => return Err(Reject::InvalidTransition),
                }
                let percent = if self.has(Planted::PauseLosesPercent) { 0 } else { f.rollout_percent };
                self.set_status(h, name, Status::Canary, percent, Cause::Paused, actor);
                Ok(())
            }
            Command::Report { name, report, trial } => {
                let f = self.feature(name)?;
                if !is_on(f.status) {
                    return Err(Reject::FeatureDisabled);
                }
                let is_stale = trial.is_some_and(|trial| u128::from(trial) != f.start_block);
                if is_stale && !self.has(Planted::StaleReportCounts) {
                    return Err(Reject::StaleReport);
                }
                let figures = Figures::from(report);
                if self.has_rounds() {
                    return self.pool(h, actor, PoolKey::of_feature(name), figures.entry());
                }
                self.take_report(h, name, &figures);
                Ok(())
            }
            Command::TripBreaker { reason, until, drain } => {
                self.trip_breaker(h, actor, REASONS[usize::from(*reason)], u128::from(*until), *drain)
            }
            Command::ResetBreaker => self.reset_breaker(),
            Command::Schedule { at, commands } => self.schedule(h, actor, u128::from(*at), commands),
            Command::NestedSchedule { .. } => Err(Reject::InvalidParameter),
            Command::CancelSchedule { at, id } => self.cancel_schedule(&actor, *at, *id),
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
            Command::SetParams {
                max_due_per_block,
                breaker_rollbacks,
                breaker_window,
                timelock,
                sequenced,
                round_blocks,
                quorum,
            } => {
                let old = self.params;
                let new = Params {
                    max_due_per_block: max_due_per_block.unwrap_or(old.max_due_per_block),
                    breaker_rollbacks: breaker_rollbacks.unwrap_or(old.breaker_rollbacks),
                    breaker_window: breaker_window.unwrap_or(old.breaker_window),
                    timelock: timelock.unwrap_or(old.timelock),
                    sequenced: sequenced.unwrap_or(old.sequenced),
                    round_blocks: round_blocks.unwrap_or(old.round_blocks),
                    quorum: quorum.unwrap_or(old.quorum),
                };
                if new.breaker_rollbacks != 0 && new.breaker_window == 0 {
                    return Err(Reject::InvalidParameter);
                }
                self.params = new;
                self.events.push(Event::ParamsSet);
                Ok(())
            }
            Command::SetRules { rules } => {
                if *rules <= self.rules {
                    return Err(Reject::InvalidParameter);
                }
                self.events.push(Event::RulesSet { from: self.rules, to: *rules });
                self.rules = *rules;
                if self.has(Planted::RulesAtOnce) {
                    self.rules_of_block = *rules;
                }
                Ok(())
            }
            Command::Plugin(command) => self.plugin_command(h, actor, command),
            Command::FeedPut { part, lists } => self.feed_put(*part, lists),
            Command::FeedPatch { kind, id, version, body } => self.feed_patch(*kind, id, *version, body),
            Command::FeedDelete { kind, id, version } => self.feed_delete(*kind, id, *version),
            Command::FeedForget { kind, ids } => self.feed_forget(*kind, ids),
        }
    }

    fn admins(&self) -> usize {
        self.roles.values().filter(|held| *held & ADMIN != 0).count()
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
