//! The commands on features, and what happens to them by themselves.

use alloc::borrow::Cow;

use crate::event::Event;
use crate::execute::Budget;
use crate::feature::guard::{Finding, RollbackRule};
use crate::feature::lifecycle::{Step, Transition, automatic_step_due, step_due};
use crate::feature::record::{
    Cause, Feature, FeatureChanges, Metrics, Override, PREREQUISITE_DEPTH_MAX, Policy, Reason, Report, Status,
};
use crate::feature::{guard, lifecycle};
use crate::overlay::Overlay;
use crate::overlay::copies::{HistoryEntry, Working};
use crate::reject::Reject;
use crate::values::{Address, Description, Height, Name, Percent};

impl<'a> Overlay<'a> {
    pub(super) fn create_feature(
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
        let mut feature = lifecycle::create(name, description.clone(), *signer);
        lifecycle::configure(&mut feature, changes);
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

    pub(super) fn configure_feature(
        &mut self,
        name: &Name,
        description: Option<&Description>,
        changes: &FeatureChanges,
    ) -> Result<(), Reject> {
        let working = self.features.get_mut(name)?;
        Transition::Configure.check(working.feature.status)?;
        if changes.policy.as_ref().is_some_and(|policy| policy.prerequisites != working.policy.prerequisites) {
            return Err(Reject::InvalidParameter);
        }
        if let Some(description) = description {
            working.feature.description = description.clone();
        }
        lifecycle::configure(&mut working.feature, changes);
        if let Some(policy) = &changes.policy {
            working.policy = Cow::Owned(policy.clone());
        }
        self.events.push(Event::FeatureConfigured { name: *name });
        Ok(())
    }

    pub(super) fn start_canary(&mut self, signer: &Address, name: &Name, percent: Percent) -> Result<(), Reject> {
        let height = self.height;
        let working = self.startable(name, Transition::StartCanary)?;
        let from = working.feature.status;
        lifecycle::start_canary(&mut working.feature, &mut working.metrics, percent, height);
        let event = status_changed(working, from, Cause::CanaryStarted, signer);
        let entry = working.entry(Cause::CanaryStarted, Reason::Manual, *signer);
        self.changed(event, entry)
    }

    pub(super) fn start_rollout(&mut self, signer: &Address, name: &Name, target: Percent) -> Result<(), Reject> {
        let height = self.height;
        let working = self.startable(name, Transition::StartRollout)?;
        lifecycle::check_rollout(&working.feature, target)?;
        let from = working.feature.status;
        lifecycle::start_rollout(&mut working.feature, target, height);
        let event = status_changed(working, from, Cause::RolloutStarted, signer);
        let entry = working.entry(Cause::RolloutStarted, Reason::Manual, *signer);
        self.changed(event, entry)
    }

    pub(super) fn advance_rollout(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
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

    pub(super) fn enable(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
        let working = self.startable(name, Transition::Enable)?;
        let from = working.feature.status;
        lifecycle::enable(&mut working.feature, &mut working.metrics);
        let event = status_changed(working, from, Cause::Enabled, signer);
        let entry = working.entry(Cause::Enabled, Reason::Manual, *signer);
        self.changed(event, entry)
    }

    pub(super) fn disable(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
        let working = self.features.get_mut(name)?;
        let from = working.feature.status;
        Transition::Disable.check(from)?;
        lifecycle::disable(&mut working.feature);
        let event = status_changed(working, from, Cause::Disabled, signer);
        let entry = working.entry(Cause::Disabled, Reason::Manual, *signer);
        self.changed(event, entry)
    }

    pub(super) fn rollback(&mut self, signer: &Address, name: &Name, reason: Reason) -> Result<(), Reject> {
        let working = self.features.get_mut(name)?;
        Transition::Rollback.check(working.feature.status)?;
        let plain = plain_finding(RollbackRule::Command, reason, &working.feature);
        let (event, entry) = roll_back(working, &plain, *signer);
        self.changed(event, entry)
    }

    pub(super) fn report(&mut self, name: &Name, report: &Report) -> Result<(), Reject> {
        let height = self.height;
        let working = self.features.get_mut(name)?;
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
        let prerequisites = self.features.get_mut(name)?.policy.prerequisites.clone();
        for prerequisite in &prerequisites {
            if !self.features.glance(prerequisite).is_some_and(|(status, _)| status.is_on()) {
                return Err(Reject::PrerequisiteNotActive);
            }
        }
        self.features.get_mut(name)
    }

    fn changed(&mut self, event: Event, entry: HistoryEntry) -> Result<(), Reject> {
        self.history.push(entry);
        self.events.push(event);
        Ok(())
    }

    pub(super) fn set_user(
        &mut self,
        signer: &Address,
        name: Name,
        user: Address,
        enabled: bool,
    ) -> Result<(), Reject> {
        if self.features.glance(&name).is_none() {
            return Err(Reject::FeatureNotFound);
        }
        self.set_override(name, user, Some(Override { enabled, since: self.height, actor: *signer }));
        self.events.push(Event::OverrideSet { name, user, enabled });
        Ok(())
    }

    pub(super) fn clear_user(&mut self, name: Name, user: Address) -> Result<(), Reject> {
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

    /// Makes the step that the index has at `at`, unless this block has removed or moved it.
    pub(super) fn step_if_due(&mut self, name: &Name, at: Height) -> Result<bool, Reject> {
        let height = self.height;
        let working = self.features.get_mut(name)?;
        if automatic_step_due(&working.feature, &working.policy) != Some(at) {
            return Ok(false);
        }
        let (events, entry) = make_step(working, height, Address::ZERO);
        self.history.extend(entry);
        self.events.extend(events.into_iter().flatten());
        Ok(true)
    }

    /// Rolls back active features, in name order; tells whether none is left.
    pub(super) fn drain_features(&mut self, budget: &mut Budget) -> Result<bool, Reject> {
        // While the breaker is open nothing becomes active, so the index of the state has them all.
        for name in self.base.active() {
            let working = self.features.get_mut(name)?;
            if !working.feature.status.is_active() {
                continue;
            }
            if budget.is_spent() {
                return Ok(false);
            }
            budget.spend();
            let plain = plain_finding(RollbackRule::Breaker, Reason::CircuitBreaker, &working.feature);
            let (event, entry) = roll_back(working, &plain, Address::ZERO);
            self.history.push(entry);
            self.events.push(event);
        }
        Ok(true)
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
    lifecycle::roll_back(&mut working.feature, reason);
    let name = working.feature.name;
    let event = Event::RolledBack { name, rule, reason, errors, successes, value, threshold, actor };
    (event, working.entry(Cause::RolledBack, reason, actor))
}

/// Makes a due step: the events, and the history entry unless it was held.
fn make_step(working: &mut Working<'_>, height: Height, actor: Address) -> ([Option<Event>; 2], Option<HistoryEntry>) {
    let name = working.feature.name;
    let status = working.feature.status;
    match lifecycle::step(&mut working.feature, &mut working.metrics, &working.policy, height) {
        Step::Held { operations, needed } => ([Some(Event::StepHeld { name, operations, needed }), None], None),
        Step::Made { from, cause } => {
            let stepped = Event::Stepped { name, from_percent: from, to_percent: working.feature.rollout_percent };
            let reached = (cause == Cause::TargetReached).then(|| status_changed(working, status, cause, &actor));
            ([Some(stepped), reached], Some(working.entry(cause, Reason::Manual, actor)))
        }
    }
}
