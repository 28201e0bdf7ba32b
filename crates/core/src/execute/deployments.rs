//! The commands on deployments, and what happens to deployments by themselves.

use crate::event::Event;
use crate::execute::Budget;
use crate::execute::versions::set_status;
use crate::feature::record::Reason;
use crate::overlay::Overlay;
use crate::plugin::data::PluginData;
use crate::plugin::deployment::{Deployment, Hold};
use crate::plugin::engine;
use crate::plugin::engine::{Finding, Look, Verdict};
use crate::plugin::plan::{OnComplete, Plan, Strategy, Terms};
use crate::plugin::record::{Evidence, PluginAction, PluginReason, VersionStatus};
use crate::plugin::version::Version;
use crate::reject::Reject;
use crate::values::{Address, Height, Name};

impl Overlay<'_> {
    pub(super) fn deploy(
        &mut self,
        signer: &Address,
        plugin: &Name,
        version: &Version,
        strategy: &Strategy,
        terms: &Terms,
    ) -> Result<(), Reject> {
        let height = self.height;
        let plan = Plan::compile(strategy, terms)?;
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let record = data.versions.get(version).ok_or(Reject::VersionNotFound)?;
        if self.global.breaker.is_some() {
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
        let number = data.plugin.deployments.checked_add(1).ok_or(Reject::LimitExceeded)?;
        let (old, new) = (data.plugin.current.clone(), record.version.clone());
        let copy = self.plugins.get_mut(plugin)?;
        set_status(&mut copy.data, &new, VersionStatus::Canary)?;
        copy.data.plugin.deployments = number;
        copy.data.plugin.previous.take_if(|previous| previous.is_same(&new));
        let strategy = strategy.kind();
        copy.data.deployment = Some(engine::start(strategy, plan, old, new.clone(), number, height));
        let entry = copy.entry(height, PluginAction::Deployed, &new, PluginReason::Manual, signer);
        self.plugin_history.push(entry);
        self.events.push(Event::Deployed { plugin: *plugin, version: new, strategy });
        Ok(())
    }

    pub(super) fn pause(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let height = self.height;
        let copy = self.plugins.get_mut(plugin)?;
        let deployment = copy.data.deployment_mut()?;
        engine::pause(deployment)?;
        let new = deployment.new.clone();
        let reason = PluginReason::Manual;
        let entry = copy.entry(height, PluginAction::Paused, &new, reason, signer);
        self.plugin_history.push(entry);
        self.events.push(Event::Paused { plugin: *plugin, reason, evidence: Evidence::default() });
        Ok(())
    }

    pub(super) fn resume(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let height = self.height;
        let hold = self.deployment_for_command(plugin)?.hold;
        match hold {
            Hold::Running | Hold::Completed => return Err(Reject::NotWaiting),
            Hold::Paused | Hold::PausedByRule | Hold::ManualGate | Hold::Dependents => {}
        }
        let copy = self.plugins.get_mut(plugin)?;
        let deployment = copy.data.deployment_mut()?;
        engine::run(deployment, height);
        let overdue = engine::overdue(deployment, height);
        let new = deployment.new.clone();
        let entry = copy.entry(height, PluginAction::Resumed, &new, PluginReason::Manual, signer);
        self.plugin_history.push(entry);
        self.events.push(Event::Resumed { plugin: *plugin });
        match (hold, overdue) {
            (Hold::ManualGate, Some(finding)) => self.roll_back_automatically(plugin, finding),
            (Hold::ManualGate, None) => self.leave_stage(plugin, PluginReason::Manual, signer),
            _ => Ok(()),
        }
    }

    pub(super) fn promote(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let deployment = self.deployment_for_command(plugin)?;
        if engine::is_at_closed_health_gate(deployment) {
            return Err(Reject::NotWaiting);
        }
        self.check_current(plugin, &deployment.new)?;
        self.make_promotion(plugin, PluginReason::Manual, signer)
    }

    pub(super) fn rollback_deployment(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let deployment = data.deployment.as_ref().ok_or(Reject::NoDeployment)?;
        let finding = engine::finding(deployment, PluginReason::Manual, 0);
        self.roll_deployment_back(plugin, finding, signer)
    }

    pub(super) fn revert(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let height = self.height;
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if data.deployment.is_some() {
            return Err(Reject::DeploymentInProgress);
        }
        let to = data.plugin.previous.clone().ok_or(Reject::NoPreviousVersion)?;
        self.check_current(plugin, &to)?;
        let copy = self.plugins.get_mut(plugin)?;
        let from = core::mem::replace(&mut copy.data.plugin.current, to.clone());
        copy.data.plugin.previous = None;
        set_status(&mut copy.data, &from, VersionStatus::Failed)?;
        set_status(&mut copy.data, &to, VersionStatus::Active)?;
        let entry = copy.entry(height, PluginAction::Reverted, &to, PluginReason::Manual, signer);
        self.plugin_history.push(entry);
        self.events.push(Event::Reverted { plugin: *plugin, from: from.clone(), to });
        self.switch_loaded(plugin, &from)
    }

    /// The deployment of a plugin, for a command that an open breaker stops.
    fn deployment_for_command(&self, plugin: &Name) -> Result<&Deployment, Reject> {
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if self.global.breaker.is_some() {
            return Err(Reject::CircuitOpen);
        }
        data.deployment.as_ref().ok_or(Reject::NoDeployment)
    }

    // What happens by itself.

    /// Looks at the deployment that the index has at `at`, unless this block has removed or moved it.
    pub(super) fn look_if_due(&mut self, plugin: &Name, at: Height) -> Result<bool, Reject> {
        let height = self.height;
        if self.plugins.get(plugin).and_then(PluginData::look_due) != Some(at) {
            return Ok(false);
        }
        let deployment = self.plugins.get_mut(plugin)?.data.deployment_mut()?;
        match engine::look(deployment, height) {
            Look::Stay => engine::look_later(deployment, height),
            Look::RollBack(finding) => self.roll_back_automatically(plugin, finding)?,
            Look::Lacks(untold) => {
                let Deployment { stage_requests: requests, stage_errors: errors, .. } = *deployment;
                engine::hold_stage(deployment, &untold);
                let held = |reason| Event::StageHeld { plugin: *plugin, reason, requests, errors };
                self.events.extend(untold.into_iter().map(held));
            }
            Look::Wait => {
                engine::hold(deployment, Hold::ManualGate);
                self.events.push(Event::Waiting { plugin: *plugin, hold: Hold::ManualGate });
            }
            Look::Leave => self.leave_stage(plugin, PluginReason::None, &Address::ZERO)?,
        }
        Ok(true)
    }

    /// Rolls back deployments, in name order; tells whether none is left.
    pub(super) fn drain_deployments(&mut self, budget: &mut Budget) -> Result<bool, Reject> {
        let base = self.base;
        // While the breaker is open nothing is deployed, so the index of the state has them all.
        for plugin in &base.plugin_states().deployments {
            let Some(deployment) = self.plugins.get(plugin).and_then(|data| data.deployment.as_ref()) else { continue };
            if budget.is_spent() {
                return Ok(false);
            }
            budget.spend();
            let finding = engine::finding(deployment, PluginReason::CircuitBreaker, 0);
            self.roll_deployment_back(plugin, finding, &Address::ZERO)?;
        }
        Ok(true)
    }

    /// A stage is done: the next one, or what the end of the plan does.
    fn leave_stage(&mut self, plugin: &Name, reason: PluginReason, actor: &Address) -> Result<(), Reject> {
        let height = self.height;
        let copy = self.plugins.get_mut(plugin)?;
        let deployment = copy.data.deployment_mut()?;
        let new = deployment.new.clone();
        if engine::next_stage(deployment, height) {
            self.events.push(Event::Staged { plugin: *plugin, stage: deployment.stage, share: deployment.share() });
            let entry = copy.entry(height, PluginAction::Staged, &new, reason, actor);
            self.plugin_history.push(entry);
            return Ok(());
        }
        let promotes = deployment.plan.terms().auto_promote;
        match deployment.plan.on_complete() {
            OnComplete::Promote if promotes => self.promote_at_end(plugin, &new, None, reason, actor),
            OnComplete::Promote => {
                engine::hold(deployment, Hold::Completed);
                self.events.push(Event::Waiting { plugin: *plugin, hold: Hold::Completed });
                Ok(())
            }
            OnComplete::Conclude => {
                let verdict = engine::conclude(deployment);
                if promotes && verdict.winner == PluginReason::Canary {
                    self.promote_at_end(plugin, &new, Some(verdict), reason, actor)
                } else {
                    self.tell_verdict(plugin, verdict, actor)?;
                    self.end_deployment(plugin, VersionStatus::Loading)
                }
            }
        }
    }

    /// Promotes at the end of a plan, unless that would break something.
    fn promote_at_end(
        &mut self,
        plugin: &Name,
        new: &Version,
        verdict: Option<Verdict>,
        reason: PluginReason,
        actor: &Address,
    ) -> Result<(), Reject> {
        if let Err(reject) = self.check_current(plugin, new) {
            let evidence = Evidence { threshold: reject.code().into(), ..Evidence::default() };
            let finding = Finding { reason: PluginReason::Dependents, evidence };
            return self.pause_by(plugin, Hold::Dependents, finding, actor);
        }
        if let Some(verdict) = verdict {
            self.tell_verdict(plugin, verdict, actor)?;
        }
        self.make_promotion(plugin, reason, actor)
    }

    fn tell_verdict(&mut self, plugin: &Name, verdict: Verdict, actor: &Address) -> Result<(), Reject> {
        let height = self.height;
        let Verdict { winner, evidence } = verdict;
        let copy = self.plugins.get_mut(plugin)?;
        let version = copy.data.deployment_mut()?.new.clone();
        let entry = copy.entry(height, PluginAction::Concluded, &version, winner, actor);
        self.plugin_history.push(entry);
        self.events.push(Event::Concluded { plugin: *plugin, version, winner, evidence });
        Ok(())
    }

    /// Makes the new version current. That it breaks nothing has been checked.
    fn make_promotion(&mut self, plugin: &Name, reason: PluginReason, actor: &Address) -> Result<(), Reject> {
        let height = self.height;
        let copy = self.plugins.get_mut(plugin)?;
        let Deployment { old, new, .. } = copy.data.deployment_mut()?.clone();
        let entry = copy.entry(height, PluginAction::Promoted, &new, reason, actor);
        self.plugin_history.push(entry);
        copy.data.deployment = None;
        copy.data.plugin.current = new.clone();
        copy.data.plugin.previous = Some(old.clone());
        set_status(&mut copy.data, &old, VersionStatus::Deprecated)?;
        set_status(&mut copy.data, &new, VersionStatus::Active)?;
        self.events.push(Event::Promoted { plugin: *plugin, from: old.clone(), to: new });
        self.switch_loaded(plugin, &old)
    }

    /// A rule is broken: rolled back at once, or paused where the plan says so.
    pub(crate) fn break_rule(&mut self, plugin: &Name, finding: Finding) -> Result<(), Reject> {
        let deployment = self.plugins.get_mut(plugin)?.data.deployment_mut()?;
        if deployment.plan.terms().auto_rollback {
            return self.roll_back_automatically(plugin, finding);
        }
        if deployment.hold == Hold::PausedByRule {
            return Ok(());
        }
        self.pause_by(plugin, Hold::PausedByRule, finding, &Address::ZERO)
    }

    fn pause_by(&mut self, plugin: &Name, hold: Hold, finding: Finding, actor: &Address) -> Result<(), Reject> {
        let height = self.height;
        let Finding { reason, evidence } = finding;
        let copy = self.plugins.get_mut(plugin)?;
        let deployment = copy.data.deployment_mut()?;
        engine::hold(deployment, hold);
        let new = deployment.new.clone();
        let entry = copy.entry(height, PluginAction::Paused, &new, reason, actor);
        self.plugin_history.push(entry);
        self.events.push(Event::Paused { plugin: *plugin, reason, evidence });
        Ok(())
    }

    fn roll_back_automatically(&mut self, plugin: &Name, finding: Finding) -> Result<(), Reject> {
        self.roll_deployment_back(plugin, finding, &Address::ZERO)?;
        self.count_rollback(breaker_reason(finding.reason));
        Ok(())
    }

    /// Nothing stops a rollback.
    fn roll_deployment_back(&mut self, plugin: &Name, finding: Finding, actor: &Address) -> Result<(), Reject> {
        let height = self.height;
        let Finding { reason, evidence } = finding;
        let copy = self.plugins.get_mut(plugin)?;
        let version = copy.data.deployment_mut()?.new.clone();
        let entry = copy.entry(height, PluginAction::RolledBack, &version, reason, actor);
        self.plugin_history.push(entry);
        self.end_deployment(plugin, VersionStatus::Failed)?;
        let actor = *actor;
        self.events.push(Event::DeploymentRolledBack { plugin: *plugin, version, reason, evidence, actor });
        Ok(())
    }

    /// Removes the record of a deployment whose new version did not become current.
    fn end_deployment(&mut self, plugin: &Name, status: VersionStatus) -> Result<(), Reject> {
        let copy = self.plugins.get_mut(plugin)?;
        let deployment = copy.data.deployment.take().ok_or(Reject::NoDeployment)?;
        set_status(&mut copy.data, &deployment.new, status)
    }
}

/// The reason of a breaker that opens because of a deployment.
fn breaker_reason(reason: PluginReason) -> Reason {
    match reason {
        PluginReason::ErrorRate | PluginReason::Regression => Reason::ErrorRate,
        PluginReason::Unhealthy => Reason::InvariantViolation,
        PluginReason::Timeout => Reason::Performance,
        PluginReason::None
        | PluginReason::Manual
        | PluginReason::CircuitBreaker
        | PluginReason::Dependents
        | PluginReason::Canary
        | PluginReason::Production
        | PluginReason::Inconclusive
        | PluginReason::LoadError => Reason::Manual,
    }
}
