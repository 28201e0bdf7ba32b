//! A feature: its settings, its trial, its steps, and the guard that rolls it back.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_core::{Address, Cause, Event, Reason, Reject, RollbackRule, Status};

use crate::command::{event_name, event_percent};
use crate::raw::{Changes, Policy, Report};
use crate::rounds::{Entry, PoolKey};
use crate::{Model, Planted, TEST_RULES, U32_MAX, U64_MAX};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Feature {
    pub(crate) name: Vec<u8>,
    pub(crate) description: Vec<u8>,
    pub(crate) status: Status,
    pub(crate) rollout_percent: u128,
    pub(crate) target_percent: u128,
    pub(crate) increment_percent: u128,
    pub(crate) increment_blocks: u128,
    pub(crate) start_block: u128,
    pub(crate) last_increment_block: u128,
    pub(crate) error_count: u128,
    pub(crate) success_count: u128,
    pub(crate) max_error_rate: u128,
    pub(crate) min_success_count: u128,
    pub(crate) enabled_by: Address,
    pub(crate) rollback_reason: Reason,
    pub(crate) metrics: Metrics,
    pub(crate) policy: Policy,
    pub(crate) overrides: BTreeMap<Address, Override>,
    pub(crate) history: Vec<Change>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metrics {
    pub(crate) total_operations: u128,
    pub(crate) successful_ops: u128,
    pub(crate) failed_ops: u128,
    pub(crate) peak_latency: u128,
    pub(crate) invariant_checks: u128,
    pub(crate) invariant_failures: u128,
    pub(crate) latency_sum: u128,
    pub(crate) trial_invariant_failures: u128,
    pub(crate) trial_latency_sum: u128,
    pub(crate) trial_operations: u128,
    pub(crate) step_operations: u128,
    pub(crate) window_start: u128,
    pub(crate) current_successes: u128,
    pub(crate) current_errors: u128,
    pub(crate) previous_successes: u128,
    pub(crate) previous_errors: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Override {
    pub(crate) enabled: bool,
    pub(crate) since: u128,
    pub(crate) actor: Address,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) height: u128,
    pub(crate) status: Status,
    pub(crate) percent: u128,
    pub(crate) cause: Cause,
    pub(crate) reason: Reason,
    pub(crate) actor: Address,
    /// Behind a rollback, and only there.
    pub(crate) evidence: Option<Verdict>,
}

/// The figures of a report, or of a round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// The successes of a feature, or the requests for a version less its errors.
    pub(crate) successes: u128,
    pub(crate) errors: u128,
    pub(crate) latency_total: u128,
    pub(crate) latency_peak: u128,
    pub(crate) invariant_checks: u128,
    pub(crate) invariant_failures: u128,
}

impl From<&Report> for Figures {
    fn from(report: &Report) -> Self {
        Self {
            successes: report.successes.into(),
            errors: report.errors.into(),
            latency_total: report.latency_total.into(),
            latency_peak: report.latency_peak.into(),
            invariant_checks: report.invariant_checks.into(),
            invariant_failures: report.invariant_failures.into(),
        }
    }
}

impl Figures {
    /// What a pool of reports keeps of them.
    pub(crate) fn entry(&self) -> Entry {
        vec![
            self.successes,
            self.errors,
            self.latency_total,
            self.latency_peak,
            self.invariant_checks,
            self.invariant_failures,
        ]
    }
}

/// Why a feature is rolled back: the fields of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) rule: RollbackRule,
    pub(crate) reason: Reason,
    pub(crate) errors: u128,
    pub(crate) successes: u128,
    pub(crate) value: u128,
    pub(crate) threshold: u128,
}

impl Model {
    pub(crate) fn create(
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
            increment_percent: if self.rules_of_block == TEST_RULES { 100 } else { 10 },
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
        if self.longest_path(&f) > 8 || self.below(&f).len() > 64 {
            return Err(Reject::LimitExceeded);
        }
        f.record(h, Cause::Created, actor, None);
        self.features.insert(name.to_vec(), f);
        self.events.push(Event::FeatureCreated { name: event_name(name) });
        Ok(())
    }

    /// The number of edges on the longest path of prerequisites.
    fn longest_path(&self, f: &Feature) -> u128 {
        f.policy.prerequisites.iter().map(|name| 1 + self.longest_path(&self.features[name])).max().unwrap_or(0)
    }

    /// The features that one rests on, over all paths.
    fn below(&self, f: &Feature) -> BTreeSet<Vec<u8>> {
        let mut below = BTreeSet::new();
        let mut open = f.policy.prerequisites.clone();
        while let Some(name) = open.pop() {
            open.extend(self.features[&name].policy.prerequisites.clone());
            below.insert(name);
        }
        below
    }

    pub(crate) fn configure(
        &mut self,
        name: &[u8],
        description: Option<&Vec<u8>>,
        changes: &Changes,
    ) -> Result<(), Reject> {
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

    pub(crate) fn feature(&self, name: &[u8]) -> Result<&Feature, Reject> {
        self.features.get(name).ok_or(Reject::FeatureNotFound)
    }

    /// A feature that is known to exist.
    pub(crate) fn feature_mut(&mut self, name: &[u8]) -> &mut Feature {
        self.features.get_mut(name).unwrap()
    }

    pub(crate) fn prerequisites_are_active(&self, name: &[u8]) -> Result<(), Reject> {
        if self.dead_prerequisite(name).is_some() { Err(Reject::PrerequisiteNotActive) } else { Ok(()) }
    }

    /// The first direct prerequisite that is not active.
    pub(crate) fn dead_prerequisite(&self, name: &[u8]) -> Option<Vec<u8>> {
        let mut prerequisites = self.features[name].policy.prerequisites.iter();
        prerequisites.find(|name| !is_on(self.features[*name].status)).cloned()
    }

    /// Begins a trial: what was reported in the one before judges nothing any more.
    pub(crate) fn new_trial(&mut self, name: &[u8]) {
        self.pools.remove(&PoolKey::of_feature(name));
        self.feature_mut(name).clear_trial();
    }

    pub(crate) fn set_status(&mut self, h: u128, name: &[u8], to: Status, percent: u128, cause: Cause, actor: Address) {
        let f = self.feature_mut(name);
        let from = f.status;
        f.status = to;
        f.rollout_percent = percent;
        f.record(h, cause, actor, None);
        self.events.push(Event::StatusChanged {
            name: event_name(name),
            from,
            to,
            percent: event_percent(percent),
            cause,
            actor,
        });
    }

    /// Makes the step that is due, unless a prerequisite blocks it.
    pub(crate) fn automatic_step(&mut self, h: u128, name: &[u8]) {
        let dead = self.dead_prerequisite(name).filter(|_| !self.has(Planted::StepIgnoresPrerequisite));
        let Some(dead) = dead else {
            self.step(h, name, Address::ZERO);
            return;
        };
        self.feature_mut(name).last_increment_block = h;
        self.events.push(Event::StepBlocked { name: event_name(name), prerequisite: event_name(&dead) });
    }

    /// Makes the step of a feature in RollingOut, or holds it back for want of operations.
    pub(crate) fn step(&mut self, h: u128, name: &[u8], actor: Address) {
        let has_rounds = self.has_rounds() && !self.has(Planted::ShortRoundGrows);
        let stays = self.has(Planted::HeldStepStays);
        let f = self.feature_mut(name);
        let last = f.last_increment_block;
        let (operations, needed) = (f.metrics.step_operations, u128::from(f.policy.step_min_operations));
        f.last_increment_block = h;
        if operations < needed || (has_rounds && operations == 0) {
            f.last_increment_block = if stays { last } else { h };
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
            f.record(h, Cause::Stepped, actor, None);
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

    /// Takes what was reported of a feature that is on, by one reporter or by a round.
    pub(crate) fn take_report(&mut self, h: u128, name: &[u8], figures: &Figures) {
        self.feature_mut(name).count(h, figures);
        self.guard(h, name);
    }

    /// Checks a feature after a report.
    fn guard(&mut self, h: u128, name: &[u8]) {
        let Some(verdict) = self.features[name].judge(self.off_by(Planted::RateAtThreshold)) else { return };
        let reason = verdict.reason;
        self.roll_back(h, name, Address::ZERO, verdict);
        self.count_rollback(h, reason);
    }

    /// A rollback by command or by the breaker, which has no figures.
    pub(crate) fn rollback(&mut self, h: u128, name: &[u8], actor: Address, rule: RollbackRule, reason: Reason) {
        let f = self.feature_mut(name);
        let (errors, successes) = (f.error_count, f.success_count);
        self.roll_back(h, name, actor, Verdict { rule, reason, errors, successes, value: 0, threshold: 0 });
    }

    fn roll_back(&mut self, h: u128, name: &[u8], actor: Address, verdict: Verdict) {
        let Verdict { rule, reason, errors, successes, value, threshold } = verdict;
        self.pools.remove(&PoolKey::of_feature(name));
        let evidence = (!self.has(Planted::HistoryWithoutFigures)).then_some(verdict);
        let f = self.feature_mut(name);
        f.status = Status::RolledBack;
        f.rollout_percent = 0;
        f.rollback_reason = reason;
        f.record(h, Cause::RolledBack, actor, evidence);
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
    fn record(&mut self, height: u128, cause: Cause, actor: Address, evidence: Option<Verdict>) {
        let (status, percent) = (self.status, self.rollout_percent);
        let reason = evidence.map_or(Reason::Manual, |verdict| verdict.reason);
        self.history.push(Change { height, status, percent, cause, reason, actor, evidence });
    }

    fn clear_trial(&mut self) {
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

    /// The height of the next automatic step, if there is one.
    pub(crate) fn step_due(&self) -> Option<u128> {
        let due = self.last_increment_block + self.increment_blocks;
        (self.status == Status::RollingOut && self.policy.advance == 0 && due <= U32_MAX).then_some(due)
    }

    fn count(&mut self, h: u128, figures: &Figures) {
        let Figures { successes, errors, latency_total, latency_peak, invariant_checks, invariant_failures } = *figures;
        let add = |counter: &mut u128, n: u128| *counter = (*counter + n).min(U64_MAX);
        add(&mut self.success_count, successes);
        add(&mut self.error_count, errors);
        let m = &mut self.metrics;
        add(&mut m.total_operations, successes + errors);
        add(&mut m.successful_ops, successes);
        add(&mut m.failed_ops, errors);
        m.peak_latency = m.peak_latency.max(latency_peak);
        add(&mut m.invariant_checks, invariant_checks);
        add(&mut m.invariant_failures, invariant_failures);
        add(&mut m.latency_sum, latency_total);
        add(&mut m.trial_invariant_failures, invariant_failures);
        add(&mut m.trial_latency_sum, latency_total);
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

    /// The first rule of the guard that fires. `off_by` is the planted fault of the rate rule.
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
pub(crate) fn error_rate(errors: u128, successes: u128) -> Option<u128> {
    (errors * 10_000).checked_div(errors + successes)
}

/// Canary, RollingOut or Enabled.
pub(crate) fn is_on(status: Status) -> bool {
    match status {
        Status::Canary | Status::RollingOut | Status::Enabled => true,
        Status::Disabled | Status::RolledBack => false,
    }
}

/// Canary or RollingOut.
pub(crate) fn is_active(status: Status) -> bool {
    is_on(status) && status != Status::Enabled
}
