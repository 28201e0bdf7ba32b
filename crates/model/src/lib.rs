//! A plain reference model of the state machine, written from its specification alone.
//!
//! Its invariant is that it can be read beside the specification: every number is a u128, every
//! block looks at everything, a transaction works on a copy of the whole state, and what the state
//! machine keeps up incrementally (indexes, due entries, counts, the tree) is derived from scratch
//! whenever somebody asks. It shares the vocabulary of `coalmine-core` (addresses, rejects, events)
//! and none of its logic and codecs. Not here: speed, stores, faults.
//!
//! [`generate`] makes random worlds to run through both, [`raw`] writes and reads the bytes.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test support: a model that is wrong must fail loudly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use coalmine_core::{
    Address, Block, BreakerClosedBy, Cause, Encode, Event, Genesis, Hash, Name, Outcome, Percent, Reason, Receipt,
    Reject, Role, RollbackRule, Status,
};

mod feed;
pub mod generate;
mod loading;
mod plugins;
pub mod raw;
mod records;
mod root;
pub mod support;

pub use plugins::{PluginAnswer, PluginChange};
pub use root::root;

use plugins::{Plugin, Registry};

use raw::{Changes, Command, Policy, Report, is_feed_id, is_name};

/// The order of the tags in records and commands.
const REASONS: [Reason; 6] = [
    Reason::Manual,
    Reason::ErrorRate,
    Reason::InvariantViolation,
    Reason::CircuitBreaker,
    Reason::ConsensusFailure,
    Reason::Performance,
];

const ADMIN: u8 = 1;
const OPERATOR: u8 = 2;
const REPORTER: u8 = 4;
const GUARDIAN: u8 = 8;
const FEEDER: u8 = 16;

const U64_MAX: u128 = u64::MAX as u128;
const U32_MAX: u128 = u32::MAX as u128;

/// A block whose height is not the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongHeight;

/// A rule that a model has wrong on purpose: a harness that compares with it proves itself by seeing that.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// The guard takes an error rate at the threshold for one above it.
    RateAtThreshold,
    /// Steps are made a block early.
    StepEarly,
    /// The breaker closes by itself a block late.
    BreakerLate,
    /// A refused transaction leaves what its first commands did.
    RejectLeaves,
    /// A guardian may start a canary.
    GuardianStarts,
    /// A stage of a deployment ends a block early.
    StageEarly,
    /// The deadline of a deployment comes a block late.
    DeadlineLate,
    /// A plugin is loaded before what it requires.
    LoadEarly,
}

impl Planted {
    /// Every planted fault.
    pub const ALL: [Self; 8] = [
        Self::RateAtThreshold,
        Self::StepEarly,
        Self::BreakerLate,
        Self::RejectLeaves,
        Self::GuardianStarts,
        Self::StageEarly,
        Self::DeadlineLate,
        Self::LoadEarly,
    ];
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    planted: Option<Planted>,
    tip: Option<u128>,
    chain: Vec<u8>,
    max_due_per_block: u128,
    breaker_rollbacks: u128,
    breaker_window: u128,
    breaker: Option<Breaker>,
    rollback_window_start: u128,
    rollbacks_in_window: u128,
    next_schedule_id: u128,
    roles: BTreeMap<Address, u8>,
    features: BTreeMap<Vec<u8>, Feature>,
    schedule: BTreeMap<(u128, u128), Scheduled>,
    registry: Registry,
    plugins: BTreeMap<Vec<u8>, Plugin>,
    /// Heights and plugins: due work of kind 3.
    load_queue: BTreeSet<(u128, Vec<u8>)>,
    feed: feed::Feed,
    /// What has happened in the block at hand: part of the state, so that a failed transaction takes it back.
    events: Vec<Event>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Breaker {
    draining: bool,
    since: u128,
    until: u128,
    reason: Reason,
    actor: Address,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Scheduled {
    actor: Address,
    commands: Vec<Command>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Feature {
    name: Vec<u8>,
    description: Vec<u8>,
    status: Status,
    rollout_percent: u128,
    target_percent: u128,
    increment_percent: u128,
    increment_blocks: u128,
    start_block: u128,
    last_increment_block: u128,
    error_count: u128,
    success_count: u128,
    max_error_rate: u128,
    min_success_count: u128,
    enabled_by: Address,
    rollback_reason: Reason,
    metrics: Metrics,
    policy: Policy,
    overrides: BTreeMap<Address, Override>,
    history: Vec<Change>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Metrics {
    total_operations: u128,
    successful_ops: u128,
    failed_ops: u128,
    peak_latency: u128,
    invariant_checks: u128,
    invariant_failures: u128,
    latency_sum: u128,
    trial_invariant_failures: u128,
    trial_latency_sum: u128,
    trial_operations: u128,
    step_operations: u128,
    window_start: u128,
    current_successes: u128,
    current_errors: u128,
    previous_successes: u128,
    previous_errors: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Override {
    enabled: bool,
    since: u128,
    actor: Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    height: u128,
    status: Status,
    percent: u128,
    cause: Cause,
    reason: Reason,
    actor: Address,
}

/// What decided a rollback: the fields of its event.
struct Verdict {
    rule: RollbackRule,
    reason: Reason,
    errors: u128,
    successes: u128,
    value: u128,
    threshold: u128,
}

impl Model {
    /// The state before the first block.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        let genesis = raw::Genesis::from_bytes(&genesis.to_bytes()).expect("a genesis is encoded as the format says");
        let [max_due_per_block, breaker_rollbacks, breaker_window] = genesis.params.map(u128::from);
        Self {
            planted: None,
            tip: None,
            chain: genesis.chain,
            max_due_per_block,
            breaker_rollbacks,
            breaker_window,
            breaker: None,
            rollback_window_start: 0,
            rollbacks_in_window: 0,
            next_schedule_id: 1,
            roles: genesis.roles,
            features: BTreeMap::new(),
            schedule: BTreeMap::new(),
            registry: Registry::default(),
            plugins: BTreeMap::new(),
            load_queue: BTreeSet::new(),
            feed: feed::Feed::default(),
            events: Vec::new(),
        }
    }

    /// The same with a fault.
    #[doc(hidden)]
    #[must_use]
    pub fn planted(genesis: &Genesis, planted: Option<Planted>) -> Self {
        Self { planted, ..Self::genesis(genesis) }
    }

    fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    /// By how much a rule with this fault is off: 1, or 0 without it.
    fn off_by(&self, planted: Planted) -> u128 {
        u128::from(self.has(planted))
    }

    /// Executes a block.
    ///
    /// # Errors
    /// [`WrongHeight`] for any but the next height; then nothing has changed.
    pub fn execute(&mut self, block: &Block) -> Result<Outcome, WrongHeight> {
        let h = u128::from(block.height());
        if self.tip.is_some_and(|tip| h != tip + 1) {
            return Err(WrongHeight);
        }
        let closing = h.saturating_sub(self.off_by(Planted::BreakerLate));
        if self.breaker.is_some_and(|breaker| breaker.until != 0 && closing >= breaker.until && !breaker.draining) {
            self.close_breaker(BreakerClosedBy::Expiry);
        }
        let used = self.run_due(h);
        self.drain(h, used);
        let receipts = block.payloads().map(|payload| self.payload(h, &payload.to_bytes())).collect();
        self.tip = Some(h);
        Ok(Outcome { receipts, events: std::mem::take(&mut self.events) })
    }

    /// Due work; gives how much was done.
    fn run_due(&mut self, h: u128) -> u128 {
        let mut used = 0;
        let scheduled: Vec<(u128, u128)> = self.schedule.keys().copied().filter(|(at, _)| *at <= h).collect();
        for key in scheduled {
            if used == self.max_due_per_block {
                return used;
            }
            let Some(Scheduled { actor, commands }) = self.schedule.remove(&key) else { continue };
            let receipt = self.transaction(h, actor, &commands);
            self.events.push(Event::ScheduleExecuted {
                id: key.1 as u64,
                code: receipt.code(),
                index: receipt.index(),
            });
            used += 1;
        }
        if self.breaker.is_some() {
            return used;
        }
        let mut steps: Vec<(u128, Vec<u8>)> = self
            .features
            .values()
            .filter_map(|f| Some((f.step_due()?, f.name.clone())))
            .filter(|(due, _)| *due <= h + self.off_by(Planted::StepEarly))
            .collect();
        steps.sort();
        for (_, name) in steps {
            if used == self.max_due_per_block {
                return used;
            }
            self.step(h, &name, Address::ZERO);
            used += 1;
        }
        self.run_due_plugins(h, used)
    }

    /// Rolls back active features and deployments while the breaker drains, with what the due work has left of the
    /// limit. What opened the breaker in this very block drains from the next one on.
    fn drain(&mut self, h: u128, used: u128) {
        if !self.breaker.is_some_and(|breaker| breaker.draining && breaker.since < h) {
            return;
        }
        let mut left = self.max_due_per_block - used;
        for name in self.active_names() {
            if left > 0 {
                self.rollback(h, &name, Address::ZERO, RollbackRule::Breaker, Reason::CircuitBreaker);
                left -= 1;
            }
        }
        for name in self.deploying_names() {
            if left > 0 {
                self.drain_deployment(h, &name);
                left -= 1;
            }
        }
        if self.active_names().is_empty() && self.deploying_names().is_empty() {
            self.breaker.as_mut().unwrap().draining = false;
            self.events.push(Event::BreakerDrained);
        }
    }

    fn active_names(&self) -> Vec<Vec<u8>> {
        self.features.values().filter(|f| is_active(f.status)).map(|f| f.name.clone()).collect()
    }

    fn payload(&mut self, h: u128, bytes: &[u8]) -> Receipt {
        match raw::Transaction::from_bytes(bytes) {
            Some(tx) => self.transaction(h, tx.signer, &tx.commands),
            None => Receipt::Rejected { reject: Reject::Malformed, index: 0 },
        }
    }

    /// All commands or none.
    fn transaction(&mut self, h: u128, actor: Address, commands: &[Command]) -> Receipt {
        let before = self.clone();
        for (index, command) in commands.iter().enumerate() {
            if let Err(reject) = self.command(h, actor, command) {
                if !self.has(Planted::RejectLeaves) {
                    *self = before;
                }
                return Receipt::Rejected { reject, index: index as u8 };
            }
        }
        Receipt::Ok
    }

    /// Decoding is behind us: authority, limits, existence, breaker, status, prerequisites, data.
    fn command(&mut self, h: u128, actor: Address, command: &Command) -> Result<(), Reject> {
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

    fn create(
        &mut self,
        h: u128,
        actor: Address,
        name: &[u8],
        description: &[u8],
        changes: &Changes,
    ) -> Result<(), Reject> {
        if self.features.contains_key(name) {
            return Err(Reject::FeatureAlreadyExists);
        }
        let mut f = Feature {
            name: name.to_vec(),
            description: description.to_vec(),
            status: Status::Disabled,
            rollout_percent: 0,
            target_percent: 100,
            increment_percent: 10,
            increment_blocks: 8_640,
            start_block: 0,
            last_increment_block: 0,
            error_count: 0,
            success_count: 0,
            max_error_rate: 100,
            min_success_count: 100,
            enabled_by: actor,
            rollback_reason: Reason::Manual,
            metrics: Metrics::default(),
            policy: Policy::default(),
            overrides: BTreeMap::new(),
            history: Vec::new(),
        };
        f.change_settings(changes);
        for prerequisite in &f.policy.prerequisites {
            if prerequisite.as_slice() == name {
                return Err(Reject::PrerequisiteCycle);
            }
            if !self.features.contains_key(prerequisite) {
                return Err(Reject::PrerequisiteNotFound);
            }
        }
        if self.longest_path(&f) > 8 {
            return Err(Reject::LimitExceeded);
        }
        f.record(h, Cause::Created, Reason::Manual, actor);
        self.features.insert(name.to_vec(), f);
        self.events.push(Event::FeatureCreated { name: event_name(name) });
        Ok(())
    }

    /// The edges on the longest path of prerequisites.
    fn longest_path(&self, f: &Feature) -> u128 {
        f.policy.prerequisites.iter().map(|name| 1 + self.longest_path(&self.features[name])).max().unwrap_or(0)
    }

    fn configure(&mut self, name: &[u8], description: Option<&Vec<u8>>, changes: &Changes) -> Result<(), Reject> {
        let f = self.feature(name)?;
        if is_on(f.status) {
            return Err(Reject::RolloutInProgress);
        }
        if changes.policy.as_ref().is_some_and(|policy| policy.prerequisites != f.policy.prerequisites) {
            return Err(Reject::InvalidParameter);
        }
        let f = self.feature_mut(name);
        if let Some(description) = description {
            f.description.clone_from(description);
        }
        f.change_settings(changes);
        self.events.push(Event::FeatureConfigured { name: event_name(name) });
        Ok(())
    }

    fn feature(&self, name: &[u8]) -> Result<&Feature, Reject> {
        self.features.get(name).ok_or(Reject::FeatureNotFound)
    }

    /// The feature after its existence was checked.
    fn feature_mut(&mut self, name: &[u8]) -> &mut Feature {
        self.features.get_mut(name).unwrap()
    }

    fn admins(&self) -> usize {
        self.roles.values().filter(|held| *held & ADMIN != 0).count()
    }

    fn breaker_is_closed(&self) -> Result<(), Reject> {
        if self.breaker.is_some() { Err(Reject::CircuitOpen) } else { Ok(()) }
    }

    fn prerequisites_are_active(&self, name: &[u8]) -> Result<(), Reject> {
        let active = |name: &Vec<u8>| is_on(self.features[name].status);
        if self.features[name].policy.prerequisites.iter().all(active) {
            Ok(())
        } else {
            Err(Reject::PrerequisiteNotActive)
        }
    }

    fn open_breaker(&mut self, breaker: Breaker) {
        let Breaker { draining, since: _, until, reason, actor } = breaker;
        self.breaker = Some(breaker);
        self.events.push(Event::BreakerTripped { reason, until: NonZeroU32::new(until as u32), draining, actor });
    }

    fn close_breaker(&mut self, by: BreakerClosedBy) {
        self.breaker = None;
        self.events.push(Event::BreakerClosed { by });
    }

    fn set_status(&mut self, h: u128, name: &[u8], to: Status, percent: u128, cause: Cause, actor: Address) {
        let f = self.feature_mut(name);
        let from = f.status;
        f.status = to;
        f.rollout_percent = percent;
        f.record(h, cause, Reason::Manual, actor);
        self.events.push(Event::StatusChanged {
            name: event_name(name),
            from,
            to,
            percent: event_percent(percent),
            cause,
            actor,
        });
    }

    /// One step of a feature in RollingOut whose step is due.
    fn step(&mut self, h: u128, name: &[u8], actor: Address) {
        let f = self.feature_mut(name);
        let (operations, needed) = (f.metrics.step_operations, u128::from(f.policy.step_min_operations));
        f.last_increment_block = h;
        if operations < needed {
            self.events.push(Event::StepHeld {
                name: event_name(name),
                operations: operations as u64,
                needed: needed as u64,
            });
            return;
        }
        let from = f.rollout_percent;
        let to = (from + f.increment_percent).min(f.target_percent);
        let target = f.target_percent;
        f.rollout_percent = to;
        f.metrics.step_operations = 0;
        if to < target {
            f.record(h, Cause::Stepped, Reason::Manual, actor);
        }
        self.events.push(Event::Stepped {
            name: event_name(name),
            from_percent: event_percent(from),
            to_percent: event_percent(to),
        });
        if to == target {
            let status = if target == 100 { Status::Enabled } else { Status::Canary };
            self.set_status(h, name, status, to, Cause::TargetReached, actor);
        }
    }

    /// Looks at a feature after a report.
    fn guard(&mut self, h: u128, name: &[u8]) {
        let Some(verdict) = self.features[name].judge(self.off_by(Planted::RateAtThreshold)) else { return };
        let reason = verdict.reason;
        self.roll_back(h, name, Address::ZERO, verdict);
        self.count_rollback(h, reason);
    }

    /// Counts an automatic rollback, which may open the breaker.
    fn count_rollback(&mut self, h: u128, reason: Reason) {
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

    /// A rollback that no figure has decided.
    fn rollback(&mut self, h: u128, name: &[u8], actor: Address, rule: RollbackRule, reason: Reason) {
        let f = self.feature_mut(name);
        let (errors, successes) = (f.error_count, f.success_count);
        self.roll_back(h, name, actor, Verdict { rule, reason, errors, successes, value: 0, threshold: 0 });
    }

    fn roll_back(&mut self, h: u128, name: &[u8], actor: Address, verdict: Verdict) {
        let Verdict { rule, reason, errors, successes, value, threshold } = verdict;
        let f = self.feature_mut(name);
        f.status = Status::RolledBack;
        f.rollout_percent = 0;
        f.rollback_reason = reason;
        f.record(h, Cause::RolledBack, reason, actor);
        let wide = |n: u128| n.min(U64_MAX) as u64;
        self.events.push(Event::RolledBack {
            name: event_name(name),
            rule,
            reason,
            errors: wide(errors),
            successes: wide(successes),
            value: wide(value),
            threshold: wide(threshold),
            actor,
        });
    }
}

impl Feature {
    fn change_settings(&mut self, changes: &Changes) {
        self.increment_percent = changes.increment_percent.map_or(self.increment_percent, u128::from);
        self.increment_blocks = changes.increment_blocks.map_or(self.increment_blocks, u128::from);
        self.max_error_rate = changes.max_error_rate.map_or(self.max_error_rate, u128::from);
        self.min_success_count = changes.min_success_count.map_or(self.min_success_count, u128::from);
        self.policy = changes.policy.clone().unwrap_or(self.policy.clone());
    }

    /// Appends status and percent as they are now to the history.
    fn record(&mut self, height: u128, cause: Cause, reason: Reason, actor: Address) {
        let (status, percent) = (self.status, self.rollout_percent);
        self.history.push(Change { height, status, percent, cause, reason, actor });
    }

    fn new_trial(&mut self) {
        self.error_count = 0;
        self.success_count = 0;
        self.metrics = Metrics {
            trial_invariant_failures: 0,
            trial_latency_sum: 0,
            trial_operations: 0,
            step_operations: 0,
            window_start: 0,
            current_successes: 0,
            current_errors: 0,
            previous_successes: 0,
            previous_errors: 0,
            ..self.metrics
        };
    }

    /// The height of the step that the feature makes by itself, if there is one.
    fn step_due(&self) -> Option<u128> {
        let due = self.last_increment_block + self.increment_blocks;
        (self.status == Status::RollingOut && self.policy.advance == 0 && due <= U32_MAX).then_some(due)
    }

    fn take_report(&mut self, h: u128, report: &Report) {
        let (successes, errors) = (u128::from(report.successes), u128::from(report.errors));
        let failures = u128::from(report.invariant_failures);
        let latency = u128::from(report.latency_total);
        let add = |counter: &mut u128, n: u128| *counter = (*counter + n).min(U64_MAX);
        add(&mut self.success_count, successes);
        add(&mut self.error_count, errors);
        let m = &mut self.metrics;
        add(&mut m.total_operations, successes + errors);
        add(&mut m.successful_ops, successes);
        add(&mut m.failed_ops, errors);
        m.peak_latency = m.peak_latency.max(report.latency_peak.into());
        add(&mut m.invariant_checks, report.invariant_checks.into());
        add(&mut m.invariant_failures, failures);
        add(&mut m.latency_sum, latency);
        add(&mut m.trial_invariant_failures, failures);
        add(&mut m.trial_latency_sum, latency);
        add(&mut m.trial_operations, successes + errors);
        add(&mut m.step_operations, successes + errors);
        let window = u128::from(self.policy.window_blocks);
        if window == 0 {
            return;
        }
        let start = self.start_block + (h - self.start_block) / window * window;
        if start != m.window_start {
            let next = start == m.window_start + window;
            m.previous_successes = if next { m.current_successes } else { 0 };
            m.previous_errors = if next { m.current_errors } else { 0 };
            m.current_successes = 0;
            m.current_errors = 0;
            m.window_start = start;
        }
        add(&mut m.current_successes, successes);
        add(&mut m.current_errors, errors);
    }

    /// The first rule of the guard that matches; the rate rule may be off by something.
    fn judge(&self, off_by: u128) -> Option<Verdict> {
        let (m, policy) = (&self.metrics, &self.policy);
        let min_samples = u128::from(policy.min_samples);
        let (errors, successes) = (self.error_count, self.success_count);

        let (value, threshold) = (m.trial_invariant_failures, u128::from(policy.max_invariant_failures));
        if value > threshold {
            let (rule, reason) = (RollbackRule::Invariants, Reason::InvariantViolation);
            return Some(Verdict { rule, reason, errors, successes, value, threshold });
        }

        let threshold = self.max_error_rate;
        if let Some(value) = error_rate(errors, successes)
            && errors + successes >= min_samples
            && value + off_by > threshold
        {
            let (rule, reason) = (RollbackRule::ErrorRate, Reason::ErrorRate);
            return Some(Verdict { rule, reason, errors, successes, value, threshold });
        }

        let window_errors = m.current_errors + m.previous_errors;
        let window_successes = m.current_successes + m.previous_successes;
        if policy.window_blocks != 0
            && let Some(value) = error_rate(window_errors, window_successes)
            && window_errors + window_successes >= min_samples
            && value > threshold
        {
            let (rule, reason) = (RollbackRule::WindowErrorRate, Reason::ErrorRate);
            return Some(Verdict {
                rule,
                reason,
                errors: window_errors,
                successes: window_successes,
                value,
                threshold,
            });
        }

        let threshold = u128::from(policy.max_latency);
        if threshold != 0 && m.trial_operations > 0 && m.trial_operations >= min_samples {
            let value = m.trial_latency_sum / m.trial_operations;
            if value > threshold {
                let (rule, reason) = (RollbackRule::Latency, Reason::Performance);
                return Some(Verdict { rule, reason, errors, successes, value, threshold });
            }
        }
        None
    }
}

/// Errors in 10 000 operations, rounded down; `None` without operations.
fn error_rate(errors: u128, successes: u128) -> Option<u128> {
    (errors * 10_000).checked_div(errors + successes)
}

/// Canary, RollingOut or Enabled.
fn is_on(status: Status) -> bool {
    match status {
        Status::Canary | Status::RollingOut | Status::Enabled => true,
        Status::Disabled | Status::RolledBack => false,
    }
}

/// Canary or RollingOut.
fn is_active(status: Status) -> bool {
    is_on(status) && status != Status::Enabled
}

/// The roles that may give a command, besides Admin.
fn authority(command: &Command) -> u8 {
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
        Command::Plugin(command) => plugins::authority(command),
        Command::FeedPut { .. } | Command::FeedPatch { .. } | Command::FeedDelete { .. } => FEEDER,
    }
}

/// The rules that the command alone shows to be broken, in the order of its fields.
fn limits(command: &Command) -> Result<(), Reject> {
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
            Command::Plugin(command) if plugins::is_schedulable(command) => limits(nested),
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
        Command::Plugin(command) => plugins::limits(command),
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

fn event_name(name: &[u8]) -> Name {
    Name::new(name).expect("the name was checked")
}

fn event_percent(percent: u128) -> Percent {
    Percent::new(percent as u8).expect("the percent was checked")
}

fn event_role(mask: u8) -> Role {
    [Role::Admin, Role::Operator, Role::Reporter, Role::Guardian, Role::Feeder][mask.trailing_zeros() as usize]
}

/// Reads. None of them changes anything.
impl Model {
    /// The height of the last block.
    #[must_use]
    pub fn tip(&self) -> Option<u32> {
        self.tip.map(|tip| tip as u32)
    }

    /// The names of all features, ascending.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.features.keys().map(Vec::as_slice)
    }

    /// Every key of the state with its value.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        records::entries(self)
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> Hash {
        root(&self.entries())
    }

    /// Whether the feature is on for the user.
    #[must_use]
    pub fn is_enabled(&self, name: &[u8], user: &Address) -> bool {
        let Some(f) = self.features.get(name) else { return false };
        if !is_on(f.status) || !f.policy.prerequisites.iter().all(|prerequisite| self.is_enabled(prerequisite, user)) {
            return false;
        }
        match (f.overrides.get(user), f.status) {
            (Some(own), _) => own.enabled,
            (None, Status::Enabled) => true,
            (None, _) => self.bucket(f, user) < f.rollout_percent * 100,
        }
    }

    fn bucket(&self, f: &Feature, user: &Address) -> u128 {
        if f.policy.bucketing == 1 {
            return u128::from(user.0[0]) % 100 * 100;
        }
        let mut input = b"coalmine/bucket/1".to_vec();
        raw::put_lp8(&mut input, &self.chain);
        raw::put_lp8(&mut input, &f.name);
        input.extend(f.policy.salt.to_be_bytes());
        input.extend(user.0);
        let hash = root::sha256(&[&input]);
        let first = hash[..8].iter().fold(0, |n, byte| n << 8 | u128::from(*byte));
        (first * 10_000) >> 64
    }

    /// Status and percent at the end of the block of this height; `None` before the feature was created.
    #[must_use]
    pub fn feature_at(&self, name: &[u8], height: u32) -> Option<(Status, u8)> {
        let history = &self.features.get(name)?.history;
        let last = history.iter().rfind(|change| change.height <= u128::from(height))?;
        Some((last.status, last.percent as u8))
    }

    /// All entries of the history of a feature: height, status and percent.
    #[must_use]
    pub fn history(&self, name: &[u8]) -> Vec<(u32, Status, u8)> {
        let history = self.features.get(name).map_or(&[][..], |f| &f.history);
        history.iter().map(|change| (change.height as u32, change.status, change.percent as u8)).collect()
    }
}
