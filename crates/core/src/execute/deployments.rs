//! The commands on deployments, and what is due for them.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use crate::delta::TouchedPlugin;
use crate::event::Event;
use crate::execute::executor::{Budget, Executor, Output};
use crate::feature::record::Reason;
use crate::plugin::data::PluginData;
use crate::plugin::deployment::{Deployment, Hold};
use crate::plugin::engine::{self, Check, Conclusion, DeploymentFinding, Winner};
use crate::plugin::plan::{CompiledStrategy, OnComplete};
use crate::plugin::record::{DEPLOYMENTS_MAX, Evidence, PluginAction, PluginReason, Threshold, VersionStatus};
use crate::plugin::requirements::check_current;
use crate::plugin::version::Version;
use crate::reject::Reject;
use crate::rounds::{Pool, PoolKind};
use crate::values::{Address, Height, Name};

const NO_DEPLOYMENT: &str = "a deployment that a guard or an index has found is not there";
const NO_VERSION: &str = "a version that its plugin or deployment names is not registered";

/// The outcome of a completed stage.
enum StageEnd {
    NextStage,
    /// The plan is complete and waits for the command `promote`.
    Complete,
    /// Promote, unless a reject blocks it; after a conclusion if the plan ends with one.
    Promote {
        verdict: Option<Conclusion>,
        blocked: Option<Reject>,
    },
    /// The new version has not won, or may not be promoted without a command.
    Conclude(Conclusion),
}

impl Executor<'_> {
    pub(super) fn deploy(
        &mut self,
        signer: &Address,
        plugin: &Name,
        version: &Version,
        strategy: &CompiledStrategy,
    ) -> Result<(), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let record = data.versions.get(version).ok_or(Reject::VersionNotFound)?;
        if self.overlay.global.breaker.is_some() {
            return Err(Reject::CircuitOpen);
        }
        if data.deployment.is_some() {
            return Err(Reject::DeploymentInProgress);
        }
        match record.status {
            VersionStatus::Active | VersionStatus::Canary => return Err(Reject::VersionInUse),
            VersionStatus::Failed | VersionStatus::Retired => return Err(Reject::InvalidTransition),
            VersionStatus::Loading | VersionStatus::Deprecated => {}
        }
        // Nothing serves a unit that could not be promoted now.
        check_current(&self.overlay, data, &record.version)?;
        let number = data.plugin.deployments.checked_add(1).ok_or(Reject::LimitExceeded)?;
        if self.overlay.deployment_count() >= DEPLOYMENTS_MAX {
            return Err(Reject::LimitExceeded);
        }
        // From here on the command succeeds.
        let (old, new) = (data.plugin.current.clone(), record.version.clone());
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            self.out.broken(NO_VERSION);
            return Ok(());
        };
        let data = &mut touched.data;
        set_status(data, &mut self.out, &new, VersionStatus::Canary);
        data.plugin.deployments = number;
        data.plugin.previous.take_if(|previous| previous.is_same(&new));
        let (strategy, plan) = (strategy.strategy().kind(), Arc::clone(strategy.plan()));
        data.deployment = Some(engine::start(strategy, plan, old.clone(), new.clone(), number, self.height));
        let (action, reason) = (PluginAction::Deployed, PluginReason::Manual);
        self.out.plugin_change(self.height, touched, action, &new, reason, signer);
        self.overlay.add_deployment(*plugin);
        self.drop_pools(plugin, [&old, &new]);
        self.out.event(Event::Deployed { plugin: *plugin, version: new, strategy });
        Ok(())
    }

    pub(super) fn pause(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let touched = self.overlay.plugins.get_mut(plugin).ok_or(Reject::PluginNotFound)?;
        let deployment = touched.data.deployment.as_ref().ok_or(Reject::NoDeployment)?;
        match deployment.hold {
            Hold::Paused | Hold::PausedByRule => return Err(Reject::InvalidTransition),
            Hold::Running | Hold::ManualGate | Hold::Completed | Hold::Dependents => {}
        }
        // From here on the command succeeds.
        let finding = DeploymentFinding { reason: PluginReason::Manual, evidence: Evidence::default() };
        pause(touched, &mut self.out, self.height, Hold::Paused, finding, signer);
        Ok(())
    }

    pub(super) fn resume(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let touched = self.overlay.plugins.get_mut(plugin).ok_or(Reject::PluginNotFound)?;
        if self.overlay.global.breaker.is_some() {
            return Err(Reject::CircuitOpen);
        }
        let deployment = touched.data.deployment.as_mut().ok_or(Reject::NoDeployment)?;
        let hold = deployment.hold;
        match hold {
            Hold::Running | Hold::Completed => return Err(Reject::NotWaiting),
            Hold::Paused | Hold::PausedByRule | Hold::ManualGate | Hold::Dependents => {}
        }
        // From here on the command succeeds.
        if let Some(finding) = engine::overdue(deployment, self.height) {
            self.roll_back_deployment(plugin, finding, &Address::ZERO);
            return Ok(());
        }
        engine::run(deployment, self.height);
        let new = deployment.new.clone();
        let (action, reason) = (PluginAction::Resumed, PluginReason::Manual);
        self.out.plugin_change(self.height, touched, action, &new, reason, signer);
        self.out.event(Event::Resumed { plugin: *plugin });
        if hold == Hold::ManualGate {
            self.leave_stage(plugin, PluginReason::Manual, signer);
        }
        Ok(())
    }

    pub(super) fn promote(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if self.overlay.global.breaker.is_some() {
            return Err(Reject::CircuitOpen);
        }
        let deployment = data.deployment.as_ref().ok_or(Reject::NoDeployment)?;
        if engine::is_at_closed_health_gate(deployment) {
            return Err(Reject::NotWaiting);
        }
        check_current(&self.overlay, data, &deployment.new)?;
        // From here on the command succeeds.
        match engine::overdue(deployment, self.height) {
            Some(finding) => self.roll_back_deployment(plugin, finding, &Address::ZERO),
            None => self.make_promotion(plugin, PluginReason::Manual, signer),
        }
        Ok(())
    }

    pub(super) fn rollback_deployment(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let deployment = data.deployment.as_ref().ok_or(Reject::NoDeployment)?;
        // From here on the command succeeds.
        let finding = engine::finding(deployment, PluginReason::Manual, Threshold::None);
        self.roll_back_deployment(plugin, finding, signer);
        Ok(())
    }

    pub(super) fn revert(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if data.deployment.is_some() {
            return Err(Reject::DeploymentInProgress);
        }
        let to = data.plugin.previous.clone().ok_or(Reject::NoPreviousVersion)?;
        check_current(&self.overlay, data, &to)?;
        // From here on the command succeeds.
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            self.out.broken(NO_VERSION);
            return Ok(());
        };
        let from = core::mem::replace(&mut touched.data.plugin.current, to.clone());
        touched.data.plugin.previous = None;
        set_status(&mut touched.data, &mut self.out, &from, VersionStatus::Failed);
        set_status(&mut touched.data, &mut self.out, &to, VersionStatus::Active);
        let (action, reason) = (PluginAction::Reverted, PluginReason::Manual);
        self.out.plugin_change(self.height, touched, action, &to, reason, signer);
        self.out.event(Event::Reverted { plugin: *plugin, from: from.clone(), to });
        self.switch_loaded(plugin, &from);
        Ok(())
    }

    // What follows.

    /// Reacts to a broken rule: rolls back at once, or pauses if the plan says so. Such a rollback is evidence of a fault,
    /// so the breaker counts it.
    pub(super) fn break_rule(&mut self, plugin: &Name, finding: DeploymentFinding, counts_as: Reason) {
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        let Some(deployment) = touched.data.deployment.as_ref() else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        if deployment.plan.guardrails().auto_rollback {
            self.roll_back_deployment(plugin, finding, &Address::ZERO);
            return self.count_rollback(counts_as);
        }
        match deployment.hold {
            // Somebody holds it already, and has to let it run again.
            Hold::Paused | Hold::PausedByRule => {}
            Hold::Running | Hold::ManualGate | Hold::Completed | Hold::Dependents => {
                pause(touched, &mut self.out, self.height, Hold::PausedByRule, finding, &Address::ZERO);
            }
        }
    }

    /// Rolls a deployment back. Nothing can forbid a rollback: neither breaker nor constraint nor dependents.
    fn roll_back_deployment(&mut self, plugin: &Name, finding: DeploymentFinding, actor: &Address) {
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        let Some(deployment) = &touched.data.deployment else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        let version = deployment.new.clone();
        let DeploymentFinding { reason, evidence } = finding;
        let action = PluginAction::RolledBack;
        self.out.plugin_change_with(self.height, touched, action, &version, reason, actor, Some(evidence));
        self.end_deployment(plugin, VersionStatus::Failed);
        let (plugin, actor) = (*plugin, *actor);
        self.out.event(Event::DeploymentRolledBack { plugin, version, reason, evidence, actor });
    }

    /// Removes the record of a deployment that ends, and the open rounds about its versions.
    fn take_deployment(&mut self, plugin: &Name) -> Option<Deployment> {
        let deployment = self.overlay.plugins.get_mut(plugin)?.data.deployment.take()?;
        self.overlay.remove_deployment(plugin);
        self.drop_pools(plugin, [&deployment.old, &deployment.new]);
        Some(deployment)
    }

    /// Drops the open rounds about the versions of a deployment that begins or ends: what was seen outside of it must not
    /// judge it.
    fn drop_pools(&mut self, plugin: &Name, versions: [&Version; 2]) {
        for kind in [PoolKind::VersionReport, PoolKind::Health] {
            for version in versions {
                self.drop_pool(Pool::of_version(kind, *plugin, version));
            }
        }
    }

    /// Ends a deployment whose new version did not become current; the version gets `status`.
    fn end_deployment(&mut self, plugin: &Name, status: VersionStatus) {
        let deployment = self.take_deployment(plugin);
        match deployment.zip(self.overlay.plugins.get_mut(plugin)) {
            Some((deployment, touched)) => set_status(&mut touched.data, &mut self.out, &deployment.new, status),
            None => self.out.broken(NO_DEPLOYMENT),
        }
    }

    /// Leaves a completed stage: enters the next one, or ends the plan.
    fn leave_stage(&mut self, plugin: &Name, reason: PluginReason, actor: &Address) {
        let Some(end) = self.stage_end(plugin) else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        let Some(deployment) = touched.data.deployment.as_mut() else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        match end {
            StageEnd::NextStage => {
                engine::next_stage(deployment, self.height);
                let (stage, share, new) = (deployment.stage, deployment.share(), deployment.new.clone());
                self.out.event(Event::Staged { plugin: *plugin, stage, share });
                self.out.plugin_change(self.height, touched, PluginAction::Staged, &new, reason, actor);
            }
            StageEnd::Complete => {
                engine::hold(deployment, Hold::Completed);
                self.out.event(Event::Waiting { plugin: *plugin, hold: Hold::Completed });
            }
            StageEnd::Promote { verdict: _, blocked: Some(reject) } => {
                let evidence = Evidence { threshold: Threshold::Reject(reject), ..Evidence::default() };
                let finding = DeploymentFinding { reason: PluginReason::Dependents, evidence };
                pause(touched, &mut self.out, self.height, Hold::Dependents, finding, actor);
            }
            StageEnd::Promote { verdict, blocked: None } => {
                if let Some(verdict) = verdict {
                    conclude(touched, &mut self.out, self.height, verdict, actor);
                }
                self.make_promotion(plugin, reason, actor);
            }
            StageEnd::Conclude(verdict) => {
                conclude(touched, &mut self.out, self.height, verdict, actor);
                self.end_deployment(plugin, VersionStatus::Loading);
            }
        }
    }

    /// Decides how a stage ends before anything is written, since a promotion depends on other plugins too.
    fn stage_end(&self, plugin: &Name) -> Option<StageEnd> {
        let data = self.overlay.plugins.get(plugin)?;
        let deployment = data.deployment.as_ref()?;
        if !deployment.is_in_last_stage() {
            return Some(StageEnd::NextStage);
        }
        let promotes = deployment.plan.guardrails().auto_promote;
        let verdict = match deployment.plan.on_complete() {
            OnComplete::Promote => None,
            OnComplete::Conclude => Some(engine::conclude(deployment)),
        };
        Some(match verdict {
            None if !promotes => StageEnd::Complete,
            Some(verdict) if !promotes || verdict.winner != Winner::Canary => StageEnd::Conclude(verdict),
            verdict => {
                let blocked = check_current(&self.overlay, data, &deployment.new).err();
                StageEnd::Promote { verdict, blocked }
            }
        })
    }

    /// Makes the new version current. The caller has checked that nothing forbids it.
    fn make_promotion(&mut self, plugin: &Name, reason: PluginReason, actor: &Address) {
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        let Some(new) = touched.data.deployment.as_ref().map(|deployment| deployment.new.clone()) else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        // The entry records share and age of the deployment, so it is made before the deployment is removed.
        self.out.plugin_change(self.height, touched, PluginAction::Promoted, &new, reason, actor);
        let Some(Deployment { old, .. }) = self.take_deployment(plugin) else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_DEPLOYMENT);
        };
        let data = &mut touched.data;
        data.plugin.current = new.clone();
        data.plugin.previous = Some(old.clone());
        set_status(data, &mut self.out, &old, VersionStatus::Deprecated);
        set_status(data, &mut self.out, &new, VersionStatus::Active);
        self.out.event(Event::Promoted { plugin: *plugin, from: old.clone(), to: new });
        self.switch_loaded(plugin, &old);
    }

    // Due work.

    /// The deadlines that have come, by height, then by name: those that the index of the state has, and those that this
    /// block has moved, since a round that closes with a bad vote closes the gate of a deployment again.
    pub(super) fn deadlines_now(&self) -> BTreeSet<(Height, Name)> {
        let moved = self.overlay.plugins.touched().filter_map(|copy| Some((copy.data.deadline_due()?, copy.data.name)));
        let base = self.overlay.base.deadlines_until(self.height);
        base.chain(moved.filter(|(at, _)| *at <= self.height)).collect()
    }

    /// Rolls back the deployment that the index of deadlines has at `at`, unless this block has ended it or moved its
    /// deadline. A deadline is no evidence of a fault, so the breaker does not count it.
    pub(super) fn meet_deadline(&mut self, plugin: &Name, at: Height) -> bool {
        let data = self.overlay.plugins.get(plugin);
        if data.and_then(PluginData::deadline_due) != Some(at) {
            return false;
        }
        let deployment = data.and_then(|data| data.deployment.as_ref());
        let Some(finding) = deployment.and_then(|deployment| engine::overdue(deployment, self.height)) else {
            self.out.broken(NO_DEPLOYMENT);
            return false;
        };
        self.roll_back_deployment(plugin, finding, &Address::ZERO);
        true
    }

    /// Checks the deployment that the index has at `at`, unless this block has removed or moved it.
    pub(super) fn check_if_due(&mut self, plugin: &Name, at: Height) -> bool {
        if self.overlay.plugins.get(plugin).and_then(PluginData::check_due) != Some(at) {
            return false;
        }
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            self.out.broken(NO_DEPLOYMENT);
            return false;
        };
        let Some(deployment) = touched.data.deployment.as_mut() else {
            self.out.broken(NO_DEPLOYMENT);
            return false;
        };
        match engine::check(deployment, self.height) {
            Check::Stay => engine::check_later(deployment, self.height),
            Check::RollBack(finding) => self.roll_back_deployment(plugin, finding, &Address::ZERO),
            Check::Shortfalls(unreported) => {
                let Deployment { stage_requests: requests, stage_errors: errors, .. } = *deployment;
                engine::hold_stage(deployment, &unreported);
                for reason in unreported {
                    self.out.event(Event::StageHeld { plugin: *plugin, reason, requests, errors });
                }
            }
            Check::Wait => {
                engine::hold(deployment, Hold::ManualGate);
                self.out.event(Event::Waiting { plugin: *plugin, hold: Hold::ManualGate });
            }
            Check::Leave => self.leave_stage(plugin, PluginReason::None, &Address::ZERO),
        }
        true
    }

    /// Rolls back deployments in name order, within the budget. Returns whether none is left. The order is consensus.
    pub(super) fn drain_deployments(&mut self, budget: &mut Budget) -> bool {
        // Nothing can be deployed while the breaker is open, so the index of the state has all deployments.
        for plugin in &self.overlay.base.plugin_states().deployments {
            let Some(deployment) = self.overlay.plugins.get(plugin).and_then(|data| data.deployment.as_ref()) else {
                self.out.broken(NO_DEPLOYMENT);
                return false;
            };
            if budget.is_spent() {
                return false;
            }
            budget.spend();
            let finding = engine::finding(deployment, PluginReason::CircuitBreaker, Threshold::None);
            self.roll_back_deployment(plugin, finding, &Address::ZERO);
        }
        true
    }
}

fn set_status(data: &mut PluginData, out: &mut Output, version: &Version, status: VersionStatus) {
    match data.versions.get_mut(version) {
        Some(record) => record.status = status,
        None => out.broken(NO_VERSION),
    }
}

fn pause(
    touched: &mut TouchedPlugin,
    out: &mut Output,
    height: Height,
    hold: Hold,
    finding: DeploymentFinding,
    actor: &Address,
) {
    let Some(deployment) = touched.data.deployment.as_mut() else {
        return out.broken(NO_DEPLOYMENT);
    };
    engine::hold(deployment, hold);
    let new = deployment.new.clone();
    let DeploymentFinding { reason, evidence } = finding;
    out.plugin_change(height, touched, PluginAction::Paused, &new, reason, actor);
    out.event(Event::Paused { plugin: touched.data.name, reason, evidence });
}

fn conclude(touched: &mut TouchedPlugin, out: &mut Output, height: Height, verdict: Conclusion, actor: &Address) {
    let Some(deployment) = &touched.data.deployment else {
        return out.broken(NO_DEPLOYMENT);
    };
    let version = deployment.new.clone();
    let (winner, evidence) = (PluginReason::from(verdict.winner), verdict.evidence);
    out.plugin_change_with(height, touched, PluginAction::Concluded, &version, winner, actor, Some(evidence));
    out.event(Event::Concluded { plugin: touched.data.name, version, winner, evidence });
}
