//! The commands on versions and deployments, and what happens to deployments by themselves.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Budget;
use crate::deployment::{self, Finding, Look, Verdict};
use crate::event::{Event, Evidence};
use crate::overlay::{Overlay, PluginCopy, PluginHistoryEntry};
use crate::plan::{OnComplete, Plan, Strategy, Terms};
use crate::plugin::{
    Counts, Deployment, Hold, LoadState, Manifest, Plugin, PluginAction, PluginChange, PluginReason, PluginVersion,
    VersionReport, VersionStatus,
};
use crate::plugins::{PluginData, Versions};
use crate::record::Reason;
use crate::reject::Reject;
use crate::values::{Address, Height, Name};
use crate::version::{Constraint, Version};

impl PluginCopy {
    /// The history entry for what happens to a version now.
    pub(super) fn entry(
        &mut self,
        height: Height,
        action: PluginAction,
        version: &Version,
        reason: PluginReason,
        actor: &Address,
    ) -> PluginHistoryEntry {
        let seq = self.seq;
        self.seq = seq.saturating_add(1);
        let deployment = self.data.deployment.as_ref();
        let change = PluginChange {
            action,
            version: version.clone(),
            success: is_success(action, reason),
            share: deployment.map(Deployment::share).unwrap_or_default(),
            duration: deployment.map_or(0, |deployment| height.saturating_sub(deployment.start)),
            reason,
            actor: *actor,
        };
        PluginHistoryEntry { name: self.data.name, seq, change }
    }
}

/// Whether an action did what it was meant for.
fn is_success(action: PluginAction, reason: PluginReason) -> bool {
    match action {
        PluginAction::RolledBack | PluginAction::Reverted | PluginAction::LoadFailed => false,
        PluginAction::Paused => reason == PluginReason::Manual,
        PluginAction::Concluded => reason == PluginReason::Canary,
        PluginAction::Registered
        | PluginAction::Deployed
        | PluginAction::Staged
        | PluginAction::Resumed
        | PluginAction::Promoted
        | PluginAction::Retired
        | PluginAction::Loaded
        | PluginAction::Unloaded => true,
    }
}

impl Overlay<'_> {
    // Versions.

    pub(super) fn register_version(
        &mut self,
        signer: &Address,
        plugin: Name,
        version: &Version,
        manifest: &Arc<Manifest>,
    ) -> Result<(), Reject> {
        let evicted = match self.plugins.get(&plugin) {
            None => Vec::new(),
            Some(data) => match data.versions.get(version) {
                Some(old) if old.status != VersionStatus::Failed || old.manifest.code_hash != manifest.code_hash => {
                    return Err(Reject::VersionAlreadyExists);
                }
                Some(_) => Vec::new(),
                None => make_room(data, self.registry.max_versions)?,
            },
        };
        let is_first = self.plugins.get(&plugin).is_none();
        if is_first {
            let dependents = self.dependents_of(Some(plugin)).len();
            self.plugins.create(PluginData {
                name: plugin,
                plugin: Plugin {
                    current: version.clone(),
                    previous: None,
                    rule: None,
                    load_state: LoadState::Unloaded,
                    loaded: None,
                    versions: 0,
                    deployments: 0,
                    dependents: u16::try_from(dependents).unwrap_or(u16::MAX),
                },
                versions: Versions::default(),
                deployment: None,
                is_waiting: false,
            });
        }
        let height = self.height;
        let copy = self.plugins.get_mut(&plugin)?;
        for version in evicted {
            copy.data.versions.remove(&version);
            self.events.push(Event::VersionEvicted { plugin, version });
        }
        copy.data.versions.put(PluginVersion {
            version: version.clone(),
            status: if is_first { VersionStatus::Active } else { VersionStatus::Loading },
            registered: height,
            reported: 0,
            counts: Counts::default(),
            manifest: Arc::clone(manifest),
        });
        copy.data.plugin.versions = u16::try_from(copy.data.versions.len()).unwrap_or(u16::MAX);
        let is_unloaded = copy.data.plugin.load_state == LoadState::Unloaded;
        let entry = copy.entry(height, PluginAction::Registered, version, PluginReason::None, signer);
        self.plugin_history.push(entry);
        self.events.push(Event::VersionRegistered { plugin, version: version.clone() });
        if is_unloaded && self.registry.auto_load {
            self.queue_load(plugin);
        }
        if is_first {
            self.queue_waiting(plugin);
        }
        Ok(())
    }

    pub(super) fn retire_version(&mut self, signer: &Address, plugin: &Name, version: &Version) -> Result<(), Reject> {
        let height = self.height;
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let record = data.versions.get(version).ok_or(Reject::VersionNotFound)?;
        match record.status {
            VersionStatus::Active | VersionStatus::Canary => return Err(Reject::VersionInUse),
            VersionStatus::Retired => return Err(Reject::InvalidTransition),
            VersionStatus::Loading | VersionStatus::Deprecated | VersionStatus::Failed => {}
        }
        let version = record.version.clone();
        let copy = self.plugins.get_mut(plugin)?;
        set_status(&mut copy.data, &version, VersionStatus::Retired)?;
        copy.data.plugin.previous.take_if(|previous| previous.is_same(&version));
        let entry = copy.entry(height, PluginAction::Retired, &version, PluginReason::Manual, signer);
        self.plugin_history.push(entry);
        self.events.push(Event::VersionRetired { plugin: *plugin, version });
        Ok(())
    }

    pub(super) fn report_version(
        &mut self,
        plugin: &Name,
        version: &Version,
        report: &VersionReport,
    ) -> Result<(), Reject> {
        let height = self.height;
        let data = &mut self.plugins.get_mut(plugin)?.data;
        let record = data.versions.get_mut(version).ok_or(Reject::VersionNotFound)?;
        let mut finding = None;
        if let Some(deployment) = &mut data.deployment
            && let Some(arm) = deployment::arm_of(deployment, version)
        {
            deployment::add_report(deployment, arm, report, height)?;
            finding = deployment::judge(deployment);
        }
        record.counts = record.counts.with(report);
        record.reported = height;
        match finding {
            Some(finding) => self.break_rule(plugin, finding),
            None => Ok(()),
        }
    }

    pub(super) fn attest_health(&mut self, plugin: &Name, version: &Version, healthy: bool) -> Result<(), Reject> {
        let height = self.height;
        let data = &mut self.plugins.get_mut(plugin)?.data;
        if data.versions.get(version).is_none() {
            return Err(Reject::VersionNotFound);
        }
        let deployment = data.deployment.as_mut().filter(|deployment| deployment.new.is_same(version));
        let deployment = deployment.ok_or(Reject::NoDeployment)?;
        let version = deployment.new.clone();
        self.events.push(Event::HealthAttested { plugin: *plugin, version, healthy });
        if healthy {
            deployment::open_health_gate(deployment, height);
            return Ok(());
        }
        deployment.healthy = false;
        let finding = deployment::finding(deployment, PluginReason::Unhealthy, 0);
        self.break_rule(plugin, finding)
    }

    // Deployments.

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
        copy.data.deployment = Some(deployment::start(strategy, plan, old, new.clone(), number, height));
        let entry = copy.entry(height, PluginAction::Deployed, &new, PluginReason::Manual, signer);
        self.plugin_history.push(entry);
        self.events.push(Event::Deployed { plugin: *plugin, version: new, strategy });
        Ok(())
    }

    pub(super) fn pause(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let height = self.height;
        let copy = self.plugins.get_mut(plugin)?;
        let deployment = copy.data.deployment_mut()?;
        deployment::pause(deployment)?;
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
        deployment::run(deployment, height);
        let overdue = deployment::overdue(deployment, height);
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
        if deployment::is_at_closed_health_gate(deployment) {
            return Err(Reject::NotWaiting);
        }
        self.check_current(plugin, &deployment.new)?;
        self.make_promotion(plugin, PluginReason::Manual, signer)
    }

    pub(super) fn rollback_deployment(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let deployment = data.deployment.as_ref().ok_or(Reject::NoDeployment)?;
        let finding = deployment::finding(deployment, PluginReason::Manual, 0);
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
        match deployment::look(deployment, height) {
            Look::Stay => deployment::look_later(deployment, height),
            Look::RollBack(finding) => self.roll_back_automatically(plugin, finding)?,
            Look::Lacks(untold) => {
                let Deployment { stage_requests: requests, stage_errors: errors, .. } = *deployment;
                deployment::hold_stage(deployment, &untold);
                let held = |reason| Event::StageHeld { plugin: *plugin, reason, requests, errors };
                self.events.extend(untold.into_iter().map(held));
            }
            Look::Wait => {
                deployment::hold(deployment, Hold::ManualGate);
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
            let finding = deployment::finding(deployment, PluginReason::CircuitBreaker, 0);
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
        if deployment::next_stage(deployment, height) {
            self.events.push(Event::Staged { plugin: *plugin, stage: deployment.stage, share: deployment.share() });
            let entry = copy.entry(height, PluginAction::Staged, &new, reason, actor);
            self.plugin_history.push(entry);
            return Ok(());
        }
        let promotes = deployment.plan.terms().auto_promote;
        match deployment.plan.on_complete() {
            OnComplete::Promote if promotes => self.promote_at_end(plugin, &new, None, reason, actor),
            OnComplete::Promote => {
                deployment::hold(deployment, Hold::Completed);
                self.events.push(Event::Waiting { plugin: *plugin, hold: Hold::Completed });
                Ok(())
            }
            OnComplete::Conclude => {
                let verdict = deployment::conclude(deployment);
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
    fn break_rule(&mut self, plugin: &Name, finding: Finding) -> Result<(), Reject> {
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
        deployment::hold(deployment, hold);
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

    // What holds for all versions.

    pub(super) fn set_rule(&mut self, plugin: &Name, rule: Option<&Constraint>) -> Result<(), Reject> {
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let is_unloaded = data.plugin.load_state == LoadState::Unloaded;
        if !is_unloaded && !allows(rule, &data.plugin.current) {
            return Err(Reject::RuleViolated);
        }
        let copy = self.plugins.get_mut(plugin)?;
        copy.data.plugin.rule = rule.cloned();
        Ok(())
    }

    pub(super) fn set_host_version(&mut self, version: &Version) -> Result<(), Reject> {
        for plugin in self.dependents_of(None) {
            let manifest = self.plugins.get(&plugin).and_then(|data| data.manifest(&data.plugin.current));
            if !manifest.is_some_and(|manifest| allows(manifest.host.as_ref(), version)) {
                return Err(Reject::HostTooOld);
            }
        }
        self.registry.host_version = version.clone();
        Ok(())
    }

    pub(super) fn set_registry_params(&mut self, max_versions: Option<u16>, auto_load: Option<bool>) {
        self.registry.max_versions = max_versions.unwrap_or(self.registry.max_versions);
        self.registry.auto_load = auto_load.unwrap_or(self.registry.auto_load);
    }

    /// Whether a version may be current: the rule, the host, and, while the plugin is not Unloaded,
    /// what it requires and what requires it.
    fn check_current(&self, plugin: &Name, version: &Version) -> Result<(), Reject> {
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let manifest = data.manifest(version).ok_or(Reject::VersionNotFound)?;
        self.check_rule_and_host(data, version, manifest)?;
        if data.plugin.load_state.holds_requirements() {
            self.check_dependencies(data, version, manifest)?;
        }
        Ok(())
    }

    pub(super) fn check_rule_and_host(
        &self,
        data: &PluginData,
        version: &Version,
        manifest: &Manifest,
    ) -> Result<(), Reject> {
        if !allows(data.plugin.rule.as_ref(), version) {
            return Err(Reject::RuleViolated);
        }
        if !allows(manifest.host.as_ref(), &self.registry.host_version) {
            return Err(Reject::HostTooOld);
        }
        Ok(())
    }
}

/// No constraint allows all.
fn allows(constraint: Option<&Constraint>, version: &Version) -> bool {
    constraint.is_none_or(|constraint| constraint.allows(version))
}

fn set_status(data: &mut PluginData, version: &Version, status: VersionStatus) -> Result<(), Reject> {
    data.versions.get_mut(version).ok_or(Reject::VersionNotFound)?.status = status;
    Ok(())
}

/// The versions that give way to one more: those out of use that were reported, registered and
/// precede first.
fn make_room(data: &PluginData, max_versions: u16) -> Result<Vec<Version>, Reject> {
    let excess = data.versions.len().saturating_add(1).saturating_sub(usize::from(max_versions));
    let is_spare = |record: &&PluginVersion| match record.status {
        VersionStatus::Deprecated | VersionStatus::Failed | VersionStatus::Retired => {
            let is_kept = |kept: &Option<Version>| kept.as_ref().is_some_and(|kept| kept.is_same(&record.version));
            !is_kept(&data.plugin.previous) && !is_kept(&data.plugin.loaded)
        }
        VersionStatus::Loading | VersionStatus::Active | VersionStatus::Canary => false,
    };
    let mut spare: Vec<&PluginVersion> = data.versions.iter().filter(is_spare).collect();
    if spare.len() < excess {
        return Err(Reject::LimitExceeded);
    }
    // They come by precedence, and the sort keeps that order.
    spare.sort_by_key(|record| (record.reported, record.registered));
    Ok(spare.into_iter().take(excess).map(|record| record.version.clone()).collect())
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
