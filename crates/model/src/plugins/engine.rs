//! What happens to a deployment: due checks, broken rules, the next stage, and the end.

use coalmine_core::{
    Address, Bps, Event, Evidence, Hold, PluginAction, PluginReason, Reason, Reject, Threshold, VersionStatus,
};

use crate::command::event_name;
use crate::plugins::deployment::{MANUAL, wide};
use crate::plugins::{Deployment, event_version};
use crate::{Model, Planted};

impl Model {
    /// A deployment that is known to exist.
    pub(crate) fn deployment_mut(&mut self, name: &[u8]) -> &mut Deployment {
        self.plugin_mut(name).deployment.as_mut().unwrap()
    }

    pub(crate) fn deployment_of(&self, name: &[u8]) -> Result<&Deployment, Reject> {
        self.plugin(name)?.deployment.as_ref().ok_or(Reject::NoDeployment)
    }

    pub(crate) fn deploying_names(&self) -> Vec<Vec<u8>> {
        let deploying = self.plugins.iter().filter(|(_, plugin)| plugin.deployment.is_some());
        deploying.map(|(name, _)| name.clone()).collect()
    }

    /// Rolls back at most so many deployments whose deadline has come.
    pub(crate) fn run_deadlines(&mut self, h: u128, most: usize) {
        if self.has(Planted::DeadlineWaits) && self.breaker.is_some() {
            return;
        }
        let h_due = h.saturating_sub(self.off_by(Planted::DeadlineLate));
        for name in self.due_deployments(h_due, Deployment::deadline_due).into_iter().take(most) {
            self.ends_at_deadline(h, &name);
        }
    }

    /// Checks at most so many deployments that are due.
    pub(crate) fn run_looks(&mut self, h: u128, most: usize) {
        let early = self.off_by(Planted::StageEarly);
        for name in self.due_deployments(h + early, |deployment| deployment.due).into_iter().take(most) {
            self.look(h, &name);
        }
    }

    fn due_deployments(&self, h: u128, due: impl Fn(&Deployment) -> Option<u128>) -> Vec<Vec<u8>> {
        let deployments = self.plugins.iter().filter_map(|(name, plugin)| Some((name, plugin.deployment.as_ref()?)));
        let mut dues: Vec<(u128, Vec<u8>)> =
            deployments.filter_map(|(name, deployment)| Some((due(deployment)?, name.clone()))).collect();
        dues.retain(|(due, _)| *due <= h);
        dues.sort();
        dues.into_iter().map(|(_, name)| name).collect()
    }

    /// Takes at most so many turns of the load queue.
    pub(crate) fn run_load_queue(&mut self, h: u128, most: usize) {
        let queued: Vec<(u128, Vec<u8>)> =
            self.load_queue.iter().filter(|(due, _)| *due <= h).take(most).cloned().collect();
        for entry in queued {
            self.load_queue.remove(&entry);
            self.load_by_itself(h, &entry.1);
        }
    }

    /// Rolls a deployment back, or pauses it, as its guardrails say.
    pub(crate) fn break_rule(&mut self, h: u128, name: &[u8], reason: PluginReason, evidence: Evidence) {
        let deployment = self.deployment_mut(name);
        if deployment.plan.terms.auto_rollback {
            self.roll_back_deployment(h, name, reason, evidence, Address::ZERO);
            let is_unhealthy = reason == PluginReason::Unhealthy;
            self.count_rollback(h, if is_unhealthy { Reason::InvariantViolation } else { Reason::ErrorRate });
        } else if deployment.hold != Hold::Paused && deployment.hold != Hold::PausedByRule {
            deployment.set_hold(Hold::PausedByRule);
            let new = deployment.new.clone();
            self.events.push(Event::Paused { plugin: event_name(name), reason, evidence });
            self.tell(h, name, PluginAction::Paused, &new, false, reason, Address::ZERO);
        }
    }

    pub(crate) fn drain_deployment(&mut self, h: u128, name: &[u8]) {
        let evidence = self.deployment_mut(name).evidence(Threshold::None);
        self.roll_back_deployment(h, name, PluginReason::CircuitBreaker, evidence, Address::ZERO);
    }

    pub(crate) fn roll_back_deployment(
        &mut self,
        h: u128,
        name: &[u8],
        reason: PluginReason,
        evidence: Evidence,
        actor: Address,
    ) {
        let plugin = self.plugin_mut(name);
        let Deployment { old, new, .. } = plugin.deployment.clone().unwrap();
        plugin.set_status(&new, VersionStatus::Failed);
        let version = event_version(plugin.spelled(&new));
        self.events.push(Event::DeploymentRolledBack { plugin: event_name(name), version, reason, evidence, actor });
        self.tell(h, name, PluginAction::RolledBack, &new, false, reason, actor);
        self.tell_evidence(name, evidence);
        self.plugin_mut(name).deployment = None;
        self.drop_deployment_pools(name, [&old, &new]);
    }

    /// Rolls a deployment back whose deadline has passed, or that of its gate. Neither is evidence of anything, so the
    /// breaker does not count it.
    pub(crate) fn ends_at_deadline(&mut self, h: u128, name: &[u8]) -> bool {
        let late = self.off_by(Planted::DeadlineLate);
        let deployment = self.deployment_mut(name);
        if deployment.deadline_due().is_none_or(|due| h < due + late) {
            return false;
        }
        let is_timeout = deployment.deadline().is_some_and(|deadline| h >= deadline + late);
        let (reason, threshold) = if is_timeout {
            (PluginReason::Timeout, Threshold::Blocks(deployment.plan.terms.max_blocks.into()))
        } else {
            (PluginReason::Unhealthy, Threshold::None)
        };
        let evidence = deployment.evidence(threshold);
        self.roll_back_deployment(h, name, reason, evidence, Address::ZERO);
        if self.has(Planted::DeadlineCounts) {
            self.count_rollback(h, Reason::ErrorRate);
        }
        true
    }

    /// Checks a deployment that is due.
    fn look(&mut self, h: u128, name: &[u8]) {
        if self.ends_at_deadline(h, name) {
            return;
        }
        let early = self.off_by(Planted::StageEarly);
        let deployment = self.deployment_mut(name);
        if deployment.is_gate_open() {
            self.leave_stage(h, Address::ZERO, PluginReason::None, name);
            return;
        }
        if h + early < deployment.stage_end() {
            deployment.look_when_stage_ends(h);
            return;
        }
        let is_end_of_trial = deployment.plan.concludes && deployment.is_last_stage();
        let lacks = if is_end_of_trial { Vec::new() } else { deployment.lacks() };
        if !lacks.is_empty() {
            deployment.set_check(None);
            let (requests, errors) = (wide(deployment.stage_requests), wide(deployment.stage_errors));
            for reason in lacks {
                let deployment = self.deployment_mut(name);
                if !deployment.held.contains(&reason) {
                    deployment.held.push(reason);
                    self.events.push(Event::StageHeld { plugin: event_name(name), reason, requests, errors });
                }
            }
        } else if deployment.stage().gate == MANUAL {
            self.wait(name, Hold::ManualGate);
        } else {
            self.leave_stage(h, Address::ZERO, PluginReason::None, name);
        }
    }

    fn wait(&mut self, name: &[u8], hold: Hold) {
        self.deployment_mut(name).set_hold(hold);
        self.events.push(Event::Waiting { plugin: event_name(name), hold });
    }

    /// Goes on to the next stage, or ends the plan.
    pub(crate) fn leave_stage(&mut self, h: u128, actor: Address, reason: PluginReason, name: &[u8]) {
        let deployment = self.deployment_mut(name);
        let new = deployment.new.clone();
        if !deployment.is_last_stage() {
            deployment.stage += 1;
            deployment.stage_height = h;
            deployment.stage_requests = 0;
            deployment.stage_errors = 0;
            deployment.held.clear();
            deployment.healthy = false;
            deployment.look_when_stage_ends(h);
            let (stage, share) = (deployment.stage as u8, Bps::new(deployment.stage().share_bps).unwrap());
            self.events.push(Event::Staged { plugin: event_name(name), stage, share });
            self.tell(h, name, PluginAction::Staged, &new, true, reason, actor);
            return;
        }
        let auto_promote = deployment.plan.terms.auto_promote;
        if !deployment.plan.concludes {
            if !auto_promote {
                self.wait(name, Hold::Completed);
            } else if let Err(reject) = self.may_take_over(name, &new) {
                self.stop(h, actor, name, reject);
            } else {
                self.promote(h, actor, reason, name);
            }
            return;
        }
        let winner = deployment.verdict();
        let evidence = deployment.evidence_of_both(deployment.verdict_z());
        let promotes = winner == PluginReason::Canary && auto_promote;
        if promotes && let Err(reject) = self.may_take_over(name, &new) {
            self.stop(h, actor, name, reject);
            return;
        }
        let version = event_version(self.plugin_mut(name).spelled(&new));
        self.events.push(Event::Concluded { plugin: event_name(name), version, winner, evidence });
        self.tell(h, name, PluginAction::Concluded, &new, winner == PluginReason::Canary, winner, actor);
        self.tell_evidence(name, evidence);
        if promotes {
            self.promote(h, actor, reason, name);
        } else {
            let plugin = self.plugin_mut(name);
            let old = plugin.deployment.take().unwrap().old;
            plugin.set_status(&new, VersionStatus::Loading);
            self.drop_deployment_pools(name, [&old, &new]);
        }
    }

    /// Pauses a deployment whose automatic promotion would break a dependent.
    fn stop(&mut self, h: u128, actor: Address, name: &[u8], reject: Reject) {
        let deployment = self.deployment_mut(name);
        deployment.set_hold(Hold::Dependents);
        let (new, reason) = (deployment.new.clone(), PluginReason::Dependents);
        let evidence = Evidence { threshold: Threshold::Reject(reject), ..Evidence::default() };
        self.events.push(Event::Paused { plugin: event_name(name), reason, evidence });
        self.tell(h, name, PluginAction::Paused, &new, false, reason, actor);
    }

    pub(crate) fn promote(&mut self, h: u128, actor: Address, reason: PluginReason, name: &[u8]) {
        let plugin = self.plugin_mut(name);
        let Deployment { old, new, .. } = plugin.deployment.clone().unwrap();
        plugin.set_status(&old, VersionStatus::Deprecated);
        plugin.set_status(&new, VersionStatus::Active);
        let (from, to) = (event_version(plugin.spelled(&old)), event_version(plugin.spelled(&new)));
        plugin.current = new.clone();
        plugin.previous = Some(old.clone());
        self.events.push(Event::Promoted { plugin: event_name(name), from, to });
        self.tell(h, name, PluginAction::Promoted, &new, true, reason, actor);
        self.plugin_mut(name).deployment = None;
        self.drop_deployment_pools(name, [&old, &new]);
        self.load_follows(name);
    }
}
