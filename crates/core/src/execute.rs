//! One block: due work, draining, transactions, and what they leave behind.
//!
//! Execution reads the committed state and changes nothing; [`State::apply`] makes its result the
//! committed state. The order of the guards in each command is consensus: authority, limits,
//! existence, breaker, status, prerequisites, data.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::block::{Block, Outcome, Payload, Receipt, TxCommand};
use crate::codec::Encode;
use crate::command::{Command, CommandKind, FeatureChanges, Report};
use crate::event::{BreakerClosedBy, Event, RollbackRule};
use crate::feature::{self, Step, Transition, automatic_step_due, step_due};
use crate::guard::{self, Finding};
use crate::key::Key;
use crate::overlay::{HistoryEntry, MapChanges, Overlay, Working};
use crate::record::{
    Cause, Feature, Global, Metrics, OpenBreaker, Override, PREREQUISITE_DEPTH_MAX, Params, Policy, Reason, Scheduled,
    Status,
};
use crate::reject::Reject;
use crate::state::{FeatureId, State};
use crate::tree::{Patch, TreeError};
use crate::values::{Address, Description, Hash, Height, Name, Percent, Role, Roles};
use crate::writes::WriteSet;

/// Why a block could not be executed. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The height is not the one after the tip.
    #[error("block {found} does not follow: the next height is {expected}")]
    Height {
        /// The height after the tip.
        expected: Height,
        /// The height of the block.
        found: Height,
    },
    /// The tip is at the last height there is, or beyond the height asked for.
    #[error("height {to} is not above the tip {tip}")]
    NotAbove {
        /// The tip.
        tip: Height,
        /// The height asked for.
        to: Height,
    },
    /// A fault of the tree: the node must stop.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The result of a block that has not been committed.
#[derive(Debug, Clone)]
pub struct Execution {
    height: Height,
    outcome: Outcome,
    root: Hash,
    writes: WriteSet,
    pub(crate) delta: Delta,
    pub(crate) patch: Patch,
}

/// What a block changes in the decoded state.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    pub(crate) features: Vec<ChangedFeature>,
    pub(crate) maps: MapChanges,
    pub(crate) global: Global,
    pub(crate) active: Vec<(Name, Presence)>,
    pub(crate) steps: Vec<((Height, Name), Presence)>,
}

/// Whether an index has an entry from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Added,
    Removed,
}

#[derive(Debug, Clone)]
pub(crate) struct ChangedFeature {
    pub(crate) id: Option<FeatureId>,
    pub(crate) feature: Feature,
    pub(crate) metrics: Metrics,
    pub(crate) policy: Option<Policy>,
    pub(crate) depth: u32,
}

impl Execution {
    /// The height of the block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// Receipts and events.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The root after the block.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// The records that change.
    #[must_use]
    pub const fn writes(&self) -> &WriteSet {
        &self.writes
    }
}

impl State {
    /// Executes the block after the tip and changes nothing.
    ///
    /// # Errors
    /// [`BlockError::Height`] for any other height, [`BlockError::Tree`] when the node must stop.
    pub fn execute(&self, block: &Block) -> Result<Execution, BlockError> {
        if let Some(tip) = self.tip() {
            let expected = tip.checked_add(1).ok_or(BlockError::NotAbove { tip, to: block.height() })?;
            if block.height() != expected {
                return Err(BlockError::Height { expected, found: block.height() });
            }
        }
        self.run(block.height(), block.payloads())
    }

    /// Executes the first height above the tip, up to `to`, at which something falls due, or `to`
    /// itself when nothing does. The heights in between are empty blocks that change nothing.
    ///
    /// Committing this until the tip is `to` equals feeding every empty block, and costs only the
    /// heights at which something is due.
    ///
    /// # Errors
    /// [`BlockError::NotAbove`] when `to` is not above the tip, [`BlockError::Tree`] when the node must stop.
    pub fn advance(&self, to: Height) -> Result<Execution, BlockError> {
        let next = match self.tip() {
            Some(tip) if tip >= to => return Err(BlockError::NotAbove { tip, to }),
            Some(tip) => tip.saturating_add(1),
            // The first block may have any height, so nothing lies between.
            None => to,
        };
        let height = self.busy_from(next).map_or(to, |busy| busy.min(to));
        self.run(height, &[])
    }

    /// The first height from `next` on at which an empty block does something.
    fn busy_from(&self, next: Height) -> Option<Height> {
        let schedule = self.first_scheduled();
        let due = match &self.global().breaker {
            None => [schedule, self.first_step()],
            Some(breaker) if breaker.draining => return Some(next),
            Some(breaker) => [schedule, (breaker.until != 0).then_some(breaker.until)],
        };
        due.into_iter().flatten().min().map(|height| height.max(next))
    }

    fn run(&self, height: Height, payloads: &[Payload]) -> Result<Execution, BlockError> {
        let mut block = Overlay::new(self, height);
        block.expire_breaker();
        let budget = block.run_due(block.global.params.max_due_per_block);
        block.drain(budget);
        let receipts = payloads.iter().map(|payload| block.run_payload(payload)).collect();
        block.finish(receipts)
    }
}

impl<'a> Overlay<'a> {
    // What happens by itself.

    fn expire_breaker(&mut self) {
        let expired = |breaker: &OpenBreaker| breaker.until != 0 && self.height >= breaker.until && !breaker.draining;
        if self.global.breaker.as_ref().is_some_and(expired) {
            self.global.breaker = None;
            self.events.push(Event::BreakerClosed { by: BreakerClosedBy::Expiry });
        }
    }

    /// Does what is due and returns what is left of the budget.
    ///
    /// New entries are always due after this block, so it is enough to look at those of the state.
    fn run_due(&mut self, budget: u32) -> u32 {
        let mut left = budget;
        for (at, id, entry) in self.base.scheduled_until(self.height) {
            if left == 0 {
                return 0;
            }
            if self.is_scheduled(at, id) {
                self.run_scheduled(at, id, entry);
                left = left.saturating_sub(1);
            }
        }
        if self.global.breaker.is_some() {
            return left;
        }
        for (at, name) in self.base.steps_until(self.height) {
            if left == 0 {
                return 0;
            }
            if self.step_if_due(&name, at) {
                left = left.saturating_sub(1);
            }
        }
        left
    }

    fn run_scheduled(&mut self, at: Height, id: u64, entry: &Scheduled) {
        self.set_scheduled(at, id, None);
        self.keep();
        let receipt = self.run_commands(&entry.actor, entry.commands.iter().map(Ok));
        self.events.push(Event::ScheduleExecuted { id, code: receipt.code(), index: receipt.index() });
    }

    /// Makes the step that the index has at `at`, unless this block has removed or moved it.
    fn step_if_due(&mut self, name: &Name, at: Height) -> bool {
        let height = self.height;
        let Some(working) = self.features.get_mut(name) else { return false };
        if automatic_step_due(&working.feature, &working.policy) != Some(at) {
            return false;
        }
        let (events, entry) = make_step(working, height, Address::ZERO);
        self.history.extend(entry);
        self.events.extend(events.into_iter().flatten());
        true
    }

    fn drain(&mut self, budget: u32) {
        if !self.global.breaker.is_some_and(|breaker| breaker.draining) {
            return;
        }
        let mut left = budget;
        // While the breaker is open nothing becomes active, so the index of the state has them all.
        for name in self.base.active() {
            let Some(working) = self.features.get_mut(name).filter(|working| working.feature.status.is_active()) else {
                continue;
            };
            if left == 0 {
                return;
            }
            left = left.saturating_sub(1);
            let plain = plain_finding(RollbackRule::Breaker, Reason::CircuitBreaker, &working.feature);
            let (event, entry) = roll_back(working, &plain, Address::ZERO);
            self.history.push(entry);
            self.events.push(event);
        }
        if let Some(breaker) = &mut self.global.breaker {
            breaker.draining = false;
        }
        self.events.push(Event::BreakerDrained);
    }

    // Transactions.

    fn run_payload(&mut self, payload: &Payload) -> Receipt {
        match payload {
            Payload::Malformed(_) => Receipt::Rejected { reject: Reject::Malformed, index: 0 },
            Payload::Transaction(tx) => self.run_commands(tx.signer(), tx.commands().iter().map(checked)),
        }
    }

    /// Runs the commands of one atomic transaction.
    fn run_commands<'c>(
        &mut self,
        signer: &Address,
        commands: impl ExactSizeIterator<Item = Result<&'c Command, (CommandKind, Reject)>>,
    ) -> Receipt {
        // A single command changes nothing before it is certain to succeed.
        let mark = (commands.len() > 1).then(|| self.begin());
        for (index, command) in (0..=u8::MAX).zip(commands) {
            if let Err(reject) = self.run_command(signer, command) {
                if let Some(mark) = mark {
                    self.undo(mark);
                }
                return Receipt::Rejected { reject, index };
            }
        }
        self.keep();
        Receipt::Ok
    }

    fn run_command(
        &mut self,
        signer: &Address,
        command: Result<&Command, (CommandKind, Reject)>,
    ) -> Result<(), Reject> {
        let kind = match &command {
            Ok(command) => command.kind(),
            Err((kind, _)) => *kind,
        };
        let roles = self.roles_of(signer);
        if !kind.roles().iter().any(|role| roles.allows(*role)) {
            return Err(Reject::Unauthorized);
        }
        match command.map_err(|(_, reject)| reject)? {
            Command::CreateFeature { name, description, changes } => {
                self.create_feature(signer, *name, description, changes)
            }
            Command::ConfigureFeature { name, description, changes } => {
                self.configure_feature(name, description.as_ref(), changes)
            }
            Command::StartCanary { name, percent } => self.start_canary(signer, name, *percent),
            Command::StartRollout { name, target_percent } => self.start_rollout(signer, name, *target_percent),
            Command::AdvanceRollout { name } => self.advance_rollout(signer, name),
            Command::Enable { name } => self.enable(signer, name),
            Command::Disable { name } => self.disable(signer, name),
            Command::Rollback { name, reason } => self.rollback(signer, name, *reason),
            Command::SetOverride { name, user, enabled } => self.set_user(signer, *name, *user, *enabled),
            Command::ClearOverride { name, user } => self.clear_user(*name, *user),
            Command::Report { name, report } => self.report(name, report),
            Command::TripBreaker { reason, until, drain } => self.trip_breaker(signer, *reason, *until, *drain),
            Command::ResetBreaker => self.reset_breaker(),
            Command::Schedule { at, commands } => self.schedule(signer, *at, commands),
            Command::CancelSchedule { at, id } => self.cancel_schedule(*at, *id),
            Command::GrantRole { address, role } => self.grant_role(*address, *role),
            Command::RevokeRole { address, role } => self.revoke_role(*address, *role),
            Command::SetParams { max_due_per_block, breaker_rollbacks, breaker_window } => {
                let old = self.global.params;
                self.set_params(Params {
                    max_due_per_block: max_due_per_block.unwrap_or(old.max_due_per_block),
                    breaker_rollbacks: breaker_rollbacks.unwrap_or(old.breaker_rollbacks),
                    breaker_window: breaker_window.unwrap_or(old.breaker_window),
                })
            }
        }
    }

    // Features.

    fn create_feature(
        &mut self,
        signer: &Address,
        name: Name,
        description: &Description,
        changes: &FeatureChanges,
    ) -> Result<(), Reject> {
        if self.features.glance(&name).is_some() {
            return Err(Reject::FeatureAlreadyExists);
        }
        let policy = changes.policy.clone().unwrap_or_default();
        let depth = self.depth_above(&name, &policy)?;
        let mut feature = feature::create(name, description.clone(), *signer);
        feature::configure(&mut feature, changes);
        let metrics = Metrics::default();
        let mut working = Working { id: None, feature, metrics, policy: Cow::Owned(policy), depth, seq: 0 };
        self.history.push(working.entry(Cause::Created, Reason::Manual, *signer));
        self.features.create(working);
        self.events.push(Event::FeatureCreated { name });
        Ok(())
    }

    /// The longest path of prerequisites below a feature with this policy.
    fn depth_above(&self, name: &Name, policy: &Policy) -> Result<u32, Reject> {
        let mut depth = 0_u32;
        for prerequisite in &policy.prerequisites {
            if prerequisite == name {
                return Err(Reject::PrerequisiteCycle);
            }
            let (_, below) = self.features.glance(prerequisite).ok_or(Reject::PrerequisiteNotFound)?;
            depth = depth.max(below.saturating_add(1));
        }
        if depth > PREREQUISITE_DEPTH_MAX { Err(Reject::LimitExceeded) } else { Ok(depth) }
    }

    fn configure_feature(
        &mut self,
        name: &Name,
        description: Option<&Description>,
        changes: &FeatureChanges,
    ) -> Result<(), Reject> {
        let working = self.features.get_mut(name).ok_or(Reject::FeatureNotFound)?;
        Transition::Configure.check(working.feature.status)?;
        if changes.policy.as_ref().is_some_and(|policy| policy.prerequisites != working.policy.prerequisites) {
            return Err(Reject::InvalidParameter);
        }
        if let Some(description) = description {
            working.feature.description = description.clone();
        }
        feature::configure(&mut working.feature, changes);
        if let Some(policy) = &changes.policy {
            working.policy = Cow::Owned(policy.clone());
        }
        self.events.push(Event::FeatureConfigured { name: *name });
        Ok(())
    }

    fn start_canary(&mut self, signer: &Address, name: &Name, percent: Percent) -> Result<(), Reject> {
        let height = self.height;
        let working = self.startable(name, Transition::StartCanary)?;
        let from = working.feature.status;
        feature::start_canary(&mut working.feature, &mut working.metrics, percent, height);
        let event = status_changed(working, from, Cause::CanaryStarted, signer);
        let entry = working.entry(Cause::CanaryStarted, Reason::Manual, *signer);
        self.changed(event, entry)
    }

    fn start_rollout(&mut self, signer: &Address, name: &Name, target: Percent) -> Result<(), Reject> {
        let height = self.height;
        let working = self.startable(name, Transition::StartRollout)?;
        feature::check_rollout(&working.feature, target)?;
        let from = working.feature.status;
        feature::start_rollout(&mut working.feature, target, height);
        let event = status_changed(working, from, Cause::RolloutStarted, signer);
        let entry = working.entry(Cause::RolloutStarted, Reason::Manual, *signer);
        self.changed(event, entry)
    }

    fn advance_rollout(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
        let height = self.height;
        let working = self.startable(name, Transition::Advance)?;
        if step_due(&working.feature).is_none_or(|due| height < due) {
            return Err(Reject::NotDue);
        }
        let (events, entry) = make_step(working, height, *signer);
        self.history.extend(entry);
        self.events.extend(events.into_iter().flatten());
        Ok(())
    }

    fn enable(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
        let working = self.startable(name, Transition::Enable)?;
        let from = working.feature.status;
        feature::enable(&mut working.feature, &mut working.metrics);
        let event = status_changed(working, from, Cause::Enabled, signer);
        let entry = working.entry(Cause::Enabled, Reason::Manual, *signer);
        self.changed(event, entry)
    }

    fn disable(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
        let working = self.features.get_mut(name).ok_or(Reject::FeatureNotFound)?;
        let from = working.feature.status;
        Transition::Disable.check(from)?;
        feature::disable(&mut working.feature);
        let event = status_changed(working, from, Cause::Disabled, signer);
        let entry = working.entry(Cause::Disabled, Reason::Manual, *signer);
        self.changed(event, entry)
    }

    fn rollback(&mut self, signer: &Address, name: &Name, reason: Reason) -> Result<(), Reject> {
        let working = self.features.get_mut(name).ok_or(Reject::FeatureNotFound)?;
        Transition::Rollback.check(working.feature.status)?;
        let plain = plain_finding(RollbackRule::Command, reason, &working.feature);
        let (event, entry) = roll_back(working, &plain, *signer);
        self.changed(event, entry)
    }

    fn report(&mut self, name: &Name, report: &Report) -> Result<(), Reject> {
        let height = self.height;
        let working = self.features.get_mut(name).ok_or(Reject::FeatureNotFound)?;
        Transition::Report.check(working.feature.status)?;
        guard::add_report(&mut working.feature, &mut working.metrics, &working.policy, report, height);
        let Some(finding) = guard::judge(&working.feature, &working.metrics, &working.policy) else {
            return Ok(());
        };
        let (event, entry) = roll_back(working, &finding, Address::ZERO);
        self.history.push(entry);
        self.events.push(event);
        self.count_rollback(finding.reason);
        Ok(())
    }

    /// The feature, if there is one, the breaker is closed, its status allows the transition and
    /// its prerequisites are on.
    fn startable(&mut self, name: &Name, transition: Transition) -> Result<&mut Working<'a>, Reject> {
        let (status, _) = self.features.glance(name).ok_or(Reject::FeatureNotFound)?;
        if self.global.breaker.is_some() {
            return Err(Reject::CircuitOpen);
        }
        transition.check(status)?;
        let prerequisites = self.features.get_mut(name).map(|working| working.policy.prerequisites.clone());
        for prerequisite in prerequisites.iter().flatten() {
            if !self.features.glance(prerequisite).is_some_and(|(status, _)| status.is_on()) {
                return Err(Reject::PrerequisiteNotActive);
            }
        }
        self.features.get_mut(name).ok_or(Reject::FeatureNotFound)
    }

    fn changed(&mut self, event: Event, entry: HistoryEntry) -> Result<(), Reject> {
        self.history.push(entry);
        self.events.push(event);
        Ok(())
    }

    fn set_user(&mut self, signer: &Address, name: Name, user: Address, enabled: bool) -> Result<(), Reject> {
        if self.features.glance(&name).is_none() {
            return Err(Reject::FeatureNotFound);
        }
        self.set_override(name, user, Some(Override { enabled, since: self.height, actor: *signer }));
        self.events.push(Event::OverrideSet { name, user, enabled });
        Ok(())
    }

    fn clear_user(&mut self, name: Name, user: Address) -> Result<(), Reject> {
        if self.features.glance(&name).is_none() {
            return Err(Reject::FeatureNotFound);
        }
        if self.override_of(&name, &user).is_none() {
            return Err(Reject::OverrideNotFound);
        }
        self.set_override(name, user, None);
        self.events.push(Event::OverrideCleared { name, user });
        Ok(())
    }

    // The breaker.

    fn trip_breaker(&mut self, signer: &Address, reason: Reason, until: Height, drain: bool) -> Result<(), Reject> {
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

    fn reset_breaker(&mut self) -> Result<(), Reject> {
        if self.global.breaker.is_none() {
            return Err(Reject::InvalidTransition);
        }
        self.global.breaker = None;
        self.events.push(Event::BreakerClosed { by: BreakerClosedBy::Reset });
        Ok(())
    }

    /// Counts a rollback by the guard; enough of them within the window open the breaker.
    fn count_rollback(&mut self, reason: Reason) {
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

    fn schedule(&mut self, signer: &Address, at: Height, commands: &[Command]) -> Result<(), Reject> {
        if at <= self.height {
            return Err(Reject::HeightInPast);
        }
        let id = self.global.next_schedule_id;
        self.global.next_schedule_id = id.checked_add(1).ok_or(Reject::LimitExceeded)?;
        self.set_scheduled(at, id, Some(Scheduled { actor: *signer, commands: commands.into() }));
        self.events.push(Event::Scheduled { id, at });
        Ok(())
    }

    fn cancel_schedule(&mut self, at: Height, id: u64) -> Result<(), Reject> {
        if !self.is_scheduled(at, id) {
            return Err(Reject::ScheduleNotFound);
        }
        self.set_scheduled(at, id, None);
        self.events.push(Event::ScheduleCancelled { id });
        Ok(())
    }

    fn grant_role(&mut self, address: Address, role: Role) -> Result<(), Reject> {
        let held = self.roles_of(&address);
        let admins = u32::from(role == Role::Admin && !held.holds(role));
        self.global.admins = self.global.admins.checked_add(admins).ok_or(Reject::LimitExceeded)?;
        self.set_roles(address, held.with(role));
        self.events.push(Event::RoleGranted { address, role });
        Ok(())
    }

    fn revoke_role(&mut self, address: Address, role: Role) -> Result<(), Reject> {
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

    fn set_params(&mut self, params: Params) -> Result<(), Reject> {
        if !params.is_valid() {
            return Err(Reject::InvalidParameter);
        }
        self.global.params = params;
        self.events.push(Event::ParamsSet);
        Ok(())
    }

    // The end of the block.

    fn finish(self, receipts: Vec<Receipt>) -> Result<Execution, BlockError> {
        let base = self.base;
        let height = self.height;
        let mut writes = WriteSet::default();
        let mut delta = DeltaBuilder::default();
        for working in self.features.touched() {
            delta.add(base, working, &mut writes);
        }
        for entry in &self.history {
            let key = Key::Change { name: entry.name, height, seq: entry.seq };
            writes.put(&key, |out| entry.change.encode(out));
        }
        for ((name, user), change) in self.override_changes() {
            let key = Key::Override { name: *name, user: *user };
            write_change(&mut writes, &key, change.as_ref(), base.override_record(name, user));
        }
        for (address, change) in self.role_changes() {
            write_change(&mut writes, &Key::Roles(*address), change.as_ref(), base.roles_record(address));
        }
        for ((at, id), change) in self.schedule_changes() {
            let key = Key::Schedule { at: *at, id: *id };
            write_change(&mut writes, &key, change.as_ref(), base.scheduled(*at, *id));
        }
        if self.global != *base.global() {
            writes.put(&Key::Global, |out| self.global.encode(out));
        }
        let patch = base.tree().prepare(&writes.tree_changes())?;
        let root = Hash(patch.root());
        let mut this = self;
        let events = core::mem::take(&mut this.events);
        let DeltaBuilder { features, active, steps } = delta;
        let delta = Delta { features, global: this.global, active, steps, maps: this.into_map_changes() };
        Ok(Execution { height, outcome: Outcome { receipts, events }, root, writes, delta, patch })
    }
}

#[derive(Default)]
struct DeltaBuilder {
    features: Vec<ChangedFeature>,
    active: Vec<(Name, Presence)>,
    steps: Vec<((Height, Name), Presence)>,
}

impl DeltaBuilder {
    /// Writes what has changed of a feature: record, metrics, policy, and the indexes that follow from them.
    fn add(&mut self, base: &State, working: &Working<'_>, writes: &mut WriteSet) {
        let Working { id, feature, metrics, policy, depth, seq: _ } = working;
        let name = feature.name;
        let before = id.and_then(|id| base.entry(id));
        let feature_changed = before.is_none_or(|before| before.feature != *feature);
        let metrics_changed = before.is_none_or(|before| before.metrics != *metrics);
        let new_policy = match policy {
            Cow::Owned(policy) if before.is_none_or(|before| before.policy != *policy) => Some(policy),
            Cow::Owned(_) | Cow::Borrowed(_) => None,
        };
        if !feature_changed && !metrics_changed && new_policy.is_none() {
            return;
        }
        if feature_changed {
            writes.put_with_path(before.map(|before| before.feature_path), &Key::Feature(name), |out| {
                feature.encode(out)
            });
        }
        if metrics_changed {
            writes.put_with_path(before.map(|before| before.metrics_path), &Key::Metrics(name), |out| {
                metrics.encode(&name, out)
            });
        }
        if let Some(policy) = new_policy {
            let stored = |policy: &Policy| *policy != Policy::default();
            if stored(policy) {
                writes.put(&Key::Policy(name), |out| policy.encode(out));
            } else if before.is_some_and(|before| stored(&before.policy)) {
                writes.delete(&Key::Policy(name));
            }
        }
        let was_active = before.is_some_and(|before| before.feature.status.is_active());
        if was_active != feature.status.is_active() {
            let presence = if was_active { Presence::Removed } else { Presence::Added };
            write_index(writes, &Key::Active(name), presence);
            self.active.push((name, presence));
        }
        let was_due = before.and_then(|before| automatic_step_due(&before.feature, &before.policy));
        let due = automatic_step_due(feature, policy);
        if was_due != due {
            for (at, presence) in [(was_due, Presence::Removed), (due, Presence::Added)] {
                if let Some(at) = at {
                    write_index(writes, &Key::Step { at, name }, presence);
                    self.steps.push(((at, name), presence));
                }
            }
        }
        self.features.push(ChangedFeature {
            id: *id,
            feature: feature.clone(),
            metrics: *metrics,
            policy: new_policy.cloned(),
            depth: *depth,
        });
    }
}

fn write_index(writes: &mut WriteSet, key: &Key, presence: Presence) {
    match presence {
        Presence::Added => writes.put(key, |_| {}),
        Presence::Removed => writes.delete(key),
    }
}

/// Puts or deletes a record, unless it is what it was.
fn write_change<T: Encode + PartialEq>(writes: &mut WriteSet, key: &Key, now: Option<&T>, before: Option<&T>) {
    if now == before {
        return;
    }
    match now {
        Some(record) => writes.put(key, |out| record.encode(out)),
        None => writes.delete(key),
    }
}

fn checked(command: &TxCommand) -> Result<&Command, (CommandKind, Reject)> {
    match command {
        TxCommand::Valid(command) => Ok(command),
        TxCommand::Invalid { kind, reject, bytes: _ } => Err((*kind, *reject)),
    }
}

fn status_changed(working: &Working<'_>, from: Status, cause: Cause, actor: &Address) -> Event {
    let Feature { name, status: to, rollout_percent: percent, .. } = working.feature;
    Event::StatusChanged { name, from, to, percent, cause, actor: *actor }
}

/// A rollback that no rule decided: the counts of the trial, nothing compared.
fn plain_finding(rule: RollbackRule, reason: Reason, feature: &Feature) -> Finding {
    Finding { rule, reason, errors: feature.error_count, successes: feature.success_count, value: 0, threshold: 0 }
}

fn roll_back(working: &mut Working<'_>, finding: &Finding, actor: Address) -> (Event, HistoryEntry) {
    let Finding { rule, reason, errors, successes, value, threshold } = *finding;
    feature::roll_back(&mut working.feature, reason);
    let name = working.feature.name;
    let event = Event::RolledBack { name, rule, reason, errors, successes, value, threshold, actor };
    (event, working.entry(Cause::RolledBack, reason, actor))
}

/// Makes a due step: the events, and the history entry unless it was held.
fn make_step(working: &mut Working<'_>, height: Height, actor: Address) -> ([Option<Event>; 2], Option<HistoryEntry>) {
    let name = working.feature.name;
    let status = working.feature.status;
    match feature::step(&mut working.feature, &mut working.metrics, &working.policy, height) {
        Step::Held { operations, needed } => ([Some(Event::StepHeld { name, operations, needed }), None], None),
        Step::Made { from, cause } => {
            let stepped = Event::Stepped { name, from_percent: from, to_percent: working.feature.rollout_percent };
            let reached = (cause == Cause::TargetReached).then(|| status_changed(working, status, cause, &actor));
            ([Some(stepped), reached], Some(working.entry(cause, Reason::Manual, actor)))
        }
    }
}
