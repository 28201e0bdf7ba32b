//! The commands on features, and what is due for them.

use crate::delta::{Touched, TouchedFeature};
use crate::event::Event;
use crate::execute::executor::{Budget, Executor, Origin, Output};
use crate::feature::data::FeatureData;
use crate::feature::guard::{self, GuardFinding};
use crate::feature::lifecycle::{self, FeatureTransition, Step, count_below, step_due};
use crate::feature::record::{
    Cause, Feature, FeatureChanges, Metrics, Override, PREREQUISITE_DEPTH_MAX, PREREQUISITES_BELOW_MAX, Policy, Reason,
    RollbackEvidence, RollbackRule, Status,
};
use crate::feature::report::{Report, ReportTotals};
use crate::reject::Reject;
use crate::rounds::{Pool, PoolEntry};
use crate::values::{Address, Description, Height, Name, Percent};

/// Reported when a name that a guard or an index has found is missing.
const NO_FEATURE: &str = "a feature that an index or a guard has found is not there";

impl Executor<'_> {
    pub(super) fn create_feature(
        &mut self,
        signer: &Address,
        name: Name,
        description: &Description,
        changes: &FeatureChanges,
    ) -> Result<(), Reject> {
        if self.overlay.features.get(&name).is_some() {
            return Err(Reject::FeatureAlreadyExists);
        }
        let policy = changes.policy.clone().unwrap_or_default();
        let depth = self.depth_above(&name, &policy)?;
        // From here on the command succeeds.
        let mut feature = lifecycle::create(self.rules(), name, description.clone(), *signer);
        lifecycle::configure(&mut feature, changes);
        let data = FeatureData { feature, metrics: Metrics::default(), policy, depth };
        let mut touched = Touched { id: None, data, seq: 0 };
        self.out.change(&mut touched, Cause::Created, *signer);
        self.overlay.features.create(touched);
        self.out.event(Event::FeatureCreated { name });
        Ok(())
    }

    /// The depth of a feature with this policy, if it and the number of features below are within their limits: one more
    /// than that of its deepest prerequisite. Prerequisites are checked in list order, which decides the reject when
    /// several are wrong.
    fn depth_above(&self, name: &Name, policy: &Policy) -> Result<u32, Reject> {
        let mut depth = 0_u32;
        for prerequisite in &policy.prerequisites {
            if prerequisite == name {
                return Err(Reject::PrerequisiteCycle);
            }
            let below = self.overlay.features.get(prerequisite).ok_or(Reject::PrerequisiteNotFound)?.depth;
            depth = depth.max(below.saturating_add(1));
        }
        let policy_of = |name: &Name| self.overlay.features.get(name).map(|data| &data.policy);
        if depth > PREREQUISITE_DEPTH_MAX || count_below(policy, policy_of) > PREREQUISITES_BELOW_MAX {
            return Err(Reject::LimitExceeded);
        }
        Ok(depth)
    }

    pub(super) fn configure_feature(
        &mut self,
        name: &Name,
        description: Option<&Description>,
        changes: &FeatureChanges,
    ) -> Result<(), Reject> {
        let data = &mut self.overlay.features.get_mut(name).ok_or(Reject::FeatureNotFound)?.data;
        FeatureTransition::Configure.check(data.feature.status)?;
        // Prerequisites are fixed at creation: changing them would change the depth of every feature above.
        if changes.policy.as_ref().is_some_and(|policy| policy.prerequisites != data.policy.prerequisites) {
            return Err(Reject::InvalidParameter);
        }
        // From here on the command succeeds.
        if let Some(description) = description {
            data.feature.description = description.clone();
        }
        lifecycle::configure(&mut data.feature, changes);
        if let Some(policy) = &changes.policy {
            data.policy = policy.clone();
        }
        self.out.event(Event::FeatureConfigured { name: *name });
        Ok(())
    }

    pub(super) fn start_canary(&mut self, signer: &Address, name: &Name, percent: Percent) -> Result<(), Reject> {
        self.check_startable(name, FeatureTransition::StartCanary)?;
        // From here on the command succeeds.
        let height = self.height;
        self.drop_pool(Pool::of_feature(*name));
        self.set_status(name, Cause::CanaryStarted, signer, |data| {
            lifecycle::start_canary(&mut data.feature, &mut data.metrics, percent, height);
        });
        Ok(())
    }

    pub(super) fn start_rollout(&mut self, signer: &Address, name: &Name, target: Percent) -> Result<(), Reject> {
        let data = self.check_startable(name, FeatureTransition::StartRollout)?;
        lifecycle::check_rollout(&data.feature, target)?;
        // From here on the command succeeds.
        let height = self.height;
        self.set_status(name, Cause::RolloutStarted, signer, |data| {
            lifecycle::start_rollout(&mut data.feature, target, height);
        });
        Ok(())
    }

    pub(super) fn advance_rollout(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
        let data = self.check_startable(name, FeatureTransition::Advance)?;
        if step_due(&data.feature).is_none_or(|due| self.height < due) {
            return Err(Reject::NotDue);
        }
        // From here on the command succeeds.
        self.make_step(name, *signer);
        Ok(())
    }

    pub(super) fn enable(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
        let is_new_trial = !self.check_startable(name, FeatureTransition::Enable)?.feature.status.is_on();
        // From here on the command succeeds.
        if is_new_trial {
            self.drop_pool(Pool::of_feature(*name));
        }
        self.set_status(name, Cause::Enabled, signer, |data| {
            lifecycle::enable(&mut data.feature, &mut data.metrics);
        });
        Ok(())
    }

    pub(super) fn disable(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
        let data = self.overlay.features.get(name).ok_or(Reject::FeatureNotFound)?;
        FeatureTransition::Disable.check(data.feature.status)?;
        // From here on the command succeeds.
        self.drop_pool(Pool::of_feature(*name));
        self.set_status(name, Cause::Disabled, signer, |data| lifecycle::disable(&mut data.feature));
        Ok(())
    }

    pub(super) fn rollback(&mut self, signer: &Address, name: &Name, reason: Reason) -> Result<(), Reject> {
        let feature = &self.overlay.features.get(name).ok_or(Reject::FeatureNotFound)?.feature;
        FeatureTransition::Rollback.check(feature.status)?;
        // From here on the command succeeds.
        let finding = plain_finding(RollbackRule::Command, reason, feature);
        self.roll_back(name, &finding, *signer);
        Ok(())
    }

    /// Stops a rollout at the percentage that it has. Safety does not wait: the breaker does not forbid it.
    pub(super) fn pause_rollout(&mut self, signer: &Address, name: &Name) -> Result<(), Reject> {
        let data = self.overlay.features.get(name).ok_or(Reject::FeatureNotFound)?;
        FeatureTransition::Pause.check(data.feature.status)?;
        // From here on the command succeeds.
        self.set_status(name, Cause::Paused, signer, |data| data.feature.status = Status::Canary);
        Ok(())
    }

    pub(super) fn report(
        &mut self,
        signer: &Address,
        name: &Name,
        report: &Report,
        trial: Option<Height>,
    ) -> Result<(), Reject> {
        let touched = self.overlay.features.get_mut(name).ok_or(Reject::FeatureNotFound)?;
        let feature = &touched.data.feature;
        FeatureTransition::Report.check(feature.status)?;
        if trial.is_some_and(|trial| trial != feature.start_block) {
            return Err(Reject::StaleReport);
        }
        let totals = ReportTotals::from(report);
        if let Some(round_blocks) = self.overlay.global.params.round_blocks {
            return self.add_to_pool(round_blocks, Pool::of_feature(*name), signer, PoolEntry::Report(totals));
        }
        // From here on the command succeeds.
        if let Some(finding) = add_report(&mut touched.data, &totals, self.height) {
            self.obey_guard(name, &finding);
        }
        Ok(())
    }

    /// Whether the feature is on, so that what was pooled about it still matters.
    pub(super) fn accepts_report(&self, name: &Name) -> bool {
        let data = self.overlay.features.get(name);
        data.is_some_and(|data| FeatureTransition::Report.check(data.feature.status).is_ok())
    }

    /// Takes what a closing round says about a feature.
    pub(super) fn apply_report(&mut self, name: &Name, report: &ReportTotals) {
        let Some(touched) = self.overlay.features.get_mut(name) else {
            return self.out.broken(NO_FEATURE);
        };
        if let Some(finding) = add_report(&mut touched.data, report, self.height) {
            self.obey_guard(name, &finding);
        }
    }

    /// Rolls back what the guard has found. The rollback is reported before the breaker that it may open.
    fn obey_guard(&mut self, name: &Name, finding: &GuardFinding) {
        self.roll_back(name, finding, Address::ZERO);
        self.count_rollback(finding.reason);
    }

    /// Rolls back a feature that is on, and forgets what was pooled about its trial.
    fn roll_back(&mut self, name: &Name, finding: &GuardFinding, actor: Address) {
        self.drop_pool(Pool::of_feature(*name));
        match self.overlay.features.get_mut(name) {
            Some(touched) => roll_back(touched, &mut self.out, finding, actor),
            None => self.out.broken(NO_FEATURE),
        }
    }

    /// The guards of all commands that raise exposure. Their order is consensus: existence, breaker, status,
    /// prerequisites.
    fn check_startable(&self, name: &Name, transition: FeatureTransition) -> Result<&FeatureData, Reject> {
        let data = self.overlay.features.get(name).ok_or(Reject::FeatureNotFound)?;
        if self.overlay.global.breaker.is_some() {
            return Err(Reject::CircuitOpen);
        }
        transition.check(data.feature.status)?;
        match self.missing_prerequisite(data) {
            Some(_) => Err(Reject::PrerequisiteNotActive),
            None => Ok(data),
        }
    }

    /// The first direct prerequisite that is not on for anybody.
    fn missing_prerequisite(&self, data: &FeatureData) -> Option<Name> {
        let is_on = |name: &Name| self.overlay.features.get(name).is_some_and(|data| data.feature.status.is_on());
        data.policy.prerequisites.iter().copied().find(|name| !is_on(name))
    }

    /// Changes status or percent of a feature that the guards have found, and records the change.
    fn set_status(&mut self, name: &Name, cause: Cause, signer: &Address, write: impl FnOnce(&mut FeatureData)) {
        let Some(touched) = self.overlay.features.get_mut(name) else {
            return self.out.broken(NO_FEATURE);
        };
        let from = touched.data.feature.status;
        write(&mut touched.data);
        self.out.event(status_changed(&touched.data.feature, from, cause, signer));
        self.out.change(touched, cause, *signer);
    }

    pub(super) fn set_user(
        &mut self,
        signer: &Address,
        name: Name,
        user: Address,
        enabled: bool,
    ) -> Result<(), Reject> {
        if self.overlay.features.get(&name).is_none() {
            return Err(Reject::FeatureNotFound);
        }
        // From here on the command succeeds.
        self.overlay.set_override(name, user, Some(Override { enabled, since: self.height, actor: *signer }));
        self.out.event(Event::OverrideSet { name, user, enabled });
        Ok(())
    }

    pub(super) fn clear_user(&mut self, origin: Origin, name: Name, user: Address) -> Result<(), Reject> {
        if self.overlay.features.get(&name).is_none() {
            return Err(Reject::FeatureNotFound);
        }
        let record = self.overlay.override_of(&name, &user).ok_or(Reject::OverrideNotFound)?;
        // Without its override the user may be on.
        if !record.enabled && origin == Origin::Sent && self.timelock_end().is_some() {
            return Err(Reject::TimelockRequired);
        }
        // From here on the command succeeds.
        self.overlay.set_override(name, user, None);
        self.out.event(Event::OverrideCleared { name, user });
        Ok(())
    }

    // Due work.

    /// Makes the step that the index has at `at`, unless this block has removed or moved it. Returns whether it was due.
    pub(super) fn step_if_due(&mut self, name: &Name, at: Height) -> bool {
        let Some(data) = self.overlay.features.get(name) else {
            self.out.broken(NO_FEATURE);
            return false;
        };
        if data.automatic_step_due() != Some(at) {
            return false;
        }
        // A prerequisite may have gone off since the rollout started.
        match self.missing_prerequisite(data) {
            None => self.make_step(name, Address::ZERO),
            Some(prerequisite) => {
                let Some(touched) = self.overlay.features.get_mut(name) else {
                    self.out.broken(NO_FEATURE);
                    return false;
                };
                touched.data.feature.last_increment_block = self.height;
                self.out.event(Event::StepBlocked { name: *name, prerequisite });
            }
        }
        true
    }

    /// Makes a due step, or reports that it is held. A held step moves the height of the next one but leaves no history
    /// entry, because the percent does not change.
    fn make_step(&mut self, name: &Name, actor: Address) {
        let has_rounds = self.overlay.global.params.round_blocks.is_some();
        let Some(touched) = self.overlay.features.get_mut(name) else {
            return self.out.broken(NO_FEATURE);
        };
        let FeatureData { feature, metrics, policy, depth: _ } = &mut touched.data;
        let (name, status) = (feature.name, feature.status);
        match lifecycle::step(feature, metrics, policy, has_rounds, self.height) {
            Step::Held { operations, needed } => self.out.event(Event::StepHeld { name, operations, needed }),
            Step::Made { from, cause } => {
                self.out.event(Event::Stepped { name, from_percent: from, to_percent: feature.rollout_percent });
                if cause == Cause::TargetReached {
                    self.out.event(status_changed(feature, status, cause, &actor));
                }
                self.out.change(touched, cause, actor);
            }
        }
    }

    /// Rolls back active features in name order, within the budget. Returns whether none is left. The order is
    /// consensus.
    pub(super) fn drain_features(&mut self, budget: &mut Budget) -> bool {
        // A block drains before all else, so the active features are those of the state.
        for name in self.overlay.base.active() {
            let Some(data) = self.overlay.features.get(name) else {
                self.out.broken(NO_FEATURE);
                return false;
            };
            if budget.is_spent() {
                return false;
            }
            budget.spend();
            let finding = plain_finding(RollbackRule::Breaker, Reason::CircuitBreaker, &data.feature);
            self.roll_back(name, &finding, Address::ZERO);
        }
        true
    }
}

const fn status_changed(feature: &Feature, from: Status, cause: Cause, actor: &Address) -> Event {
    let Feature { name, status: to, rollout_percent: percent, .. } = *feature;
    Event::StatusChanged { name, from, to, percent, cause, actor: *actor }
}

/// The finding of a rollback that no guard rule decided: the counts of the trial, and nothing to compare.
const fn plain_finding(rule: RollbackRule, reason: Reason, feature: &Feature) -> GuardFinding {
    let (errors, successes) = (feature.error_count, feature.success_count);
    GuardFinding { reason, evidence: RollbackEvidence { rule, errors, successes, value: 0, threshold: 0 } }
}

/// The one way in which numbers about a feature get in. Returns what the guard finds; the report that it is about counts.
fn add_report(data: &mut FeatureData, report: &ReportTotals, height: Height) -> Option<GuardFinding> {
    guard::add_report(&mut data.feature, &mut data.metrics, &data.policy, report, height);
    guard::judge(&data.feature, &data.metrics, &data.policy)
}

fn roll_back(touched: &mut TouchedFeature, out: &mut Output, finding: &GuardFinding, actor: Address) {
    let GuardFinding { reason, evidence } = *finding;
    lifecycle::roll_back(&mut touched.data.feature, reason);
    out.rollback(touched, finding, actor);
    let RollbackEvidence { rule, errors, successes, value, threshold } = evidence;
    let name = touched.data.feature.name;
    out.event(Event::RolledBack { name, rule, reason, errors, successes, value, threshold, actor });
}
