//! What each command on plugins does: its guards in order, each with its reject, then its writes and events.

use std::collections::BTreeMap;

use coalmine_core::{
    Address, Event, Evidence, Hold, LoadState, PluginAction, PluginReason, Reject, StrategyKind, Threshold,
    VersionStatus,
};

use crate::command::event_name;
use crate::feature::Figures;
use crate::plugins::compare::ARM_REQUESTS_MAX;
use crate::plugins::deployment::plan;
use crate::plugins::rules::{parse_version, without_build};
use crate::plugins::{Counts, Deployment, HEALTH, Plugin, PluginVersion, allows, event_version};
use crate::raw::{Guardrails, PluginCommand, Strategy};
use crate::rounds::{HEALTH_VOTES, PoolKey, VERSION_REPORTS};
use crate::{Model, Planted, U32_MAX, U64_MAX};

/// The most deployments that run at a time.
const DEPLOYMENTS_MAX: usize = 1_024;

pub(crate) const STRATEGIES: [StrategyKind; 5] =
    [StrategyKind::Canary, StrategyKind::Rolling, StrategyKind::BlueGreen, StrategyKind::AbTest, StrategyKind::Custom];

impl Model {
    pub(crate) fn plugin_command(&mut self, h: u128, actor: Address, command: &PluginCommand) -> Result<(), Reject> {
        match command {
            PluginCommand::RegisterVersion { .. } => self.register_version(h, actor, command),
            PluginCommand::Deploy { plugin, version, strategy, terms } => {
                self.deploy(h, actor, plugin, version, strategy, terms)
            }
            PluginCommand::Pause { plugin: name } => {
                match self.deployment_of(name)?.hold {
                    Hold::Paused | Hold::PausedByRule => return Err(Reject::InvalidTransition),
                    Hold::Running | Hold::ManualGate | Hold::Completed | Hold::Dependents => {}
                }
                let deployment = self.deployment_mut(name);
                deployment.set_hold(Hold::Paused);
                let (new, reason) = (deployment.new.clone(), PluginReason::Manual);
                self.events.push(Event::Paused { plugin: event_name(name), reason, evidence: Evidence::default() });
                self.tell(h, name, PluginAction::Paused, &new, true, reason, actor);
                Ok(())
            }
            PluginCommand::Resume { plugin } => self.resume(h, actor, plugin),
            PluginCommand::Promote { plugin: name } => {
                self.plugin(name)?;
                self.breaker_is_closed()?;
                let deployment = self.deployment_of(name)?;
                if deployment.stage().gate == HEALTH && !deployment.healthy {
                    return Err(Reject::NotWaiting);
                }
                self.may_take_over(name, &deployment.new)?;
                if !self.ends_at_deadline(h, name) {
                    self.promote(h, actor, PluginReason::Manual, name);
                }
                Ok(())
            }
            PluginCommand::RollbackDeployment { plugin: name } => {
                let evidence = self.deployment_of(name)?.evidence(Threshold::None);
                self.roll_back_deployment(h, name, PluginReason::Manual, evidence, actor);
                Ok(())
            }
            PluginCommand::Revert { plugin: name } => {
                let plugin = self.plugin(name)?;
                if plugin.deployment.is_some() {
                    return Err(Reject::DeploymentInProgress);
                }
                let previous = plugin.previous.clone().ok_or(Reject::NoPreviousVersion)?;
                self.may_take_over(name, &previous)?;
                let plugin = self.plugin_mut(name);
                let from = plugin.current.clone();
                plugin.set_status(&from, VersionStatus::Failed);
                plugin.set_status(&previous, VersionStatus::Active);
                plugin.current = previous.clone();
                plugin.previous = None;
                let (from, to) = (event_version(plugin.spelled(&from)), event_version(plugin.spelled(&previous)));
                self.events.push(Event::Reverted { plugin: event_name(name), from, to });
                self.tell(h, name, PluginAction::Reverted, &previous, false, PluginReason::Manual, actor);
                self.load_follows(name);
                Ok(())
            }
            PluginCommand::RetireVersion { plugin: name, version } => {
                let (plugin, version) = self.plugin_version(name, version)?;
                match plugin.version(&version).status {
                    VersionStatus::Active | VersionStatus::Canary => return Err(Reject::VersionInUse),
                    VersionStatus::Retired => return Err(Reject::InvalidTransition),
                    VersionStatus::Loading | VersionStatus::Deprecated | VersionStatus::Failed => {}
                }
                let plugin = self.plugin_mut(name);
                plugin.set_status(&version, VersionStatus::Retired);
                plugin.previous = plugin.previous.take().filter(|previous| *previous != version);
                let told = event_version(plugin.spelled(&version));
                self.events.push(Event::VersionRetired { plugin: event_name(name), version: told });
                self.tell(h, name, PluginAction::Retired, &version, true, PluginReason::Manual, actor);
                Ok(())
            }
            PluginCommand::SetRule { plugin: name, constraint } => {
                let plugin = self.plugin(name)?;
                if !plugin.in_use().into_iter().all(|version| allows(constraint, version)) {
                    return Err(Reject::RuleViolated);
                }
                self.plugin_mut(name).rule.clone_from(constraint);
                Ok(())
            }
            PluginCommand::SetHostVersion { version } => {
                let host = parse_version(version).unwrap();
                let runs = |plugin: &Plugin| {
                    plugin.in_use().into_iter().all(|version| allows(&plugin.version(version).host, &host))
                };
                if !self.plugins.values().all(runs) {
                    return Err(Reject::HostTooOld);
                }
                self.registry.host_version = host;
                Ok(())
            }
            PluginCommand::SetRegistryParams { max_versions, auto_load } => {
                self.registry.max_versions = max_versions.map_or(self.registry.max_versions, u128::from);
                self.registry.auto_load = auto_load.unwrap_or(self.registry.auto_load);
                Ok(())
            }
            PluginCommand::Load { plugin } => self.load(plugin).map(|_| ()),
            PluginCommand::Unload { plugin, force } => self.unload(h, actor, plugin, *force),
            PluginCommand::ReportVersion { plugin, version, requests, errors, latency_total, deployment } => {
                self.report_version(h, actor, plugin, version, [*requests, *errors], *latency_total, *deployment)
            }
            PluginCommand::AttestHealth { plugin, version, healthy } => {
                self.attest_health(h, actor, plugin, version, *healthy)
            }
            PluginCommand::ReportLoad { plugin, version, ok } => self.report_load(h, actor, plugin, version, *ok),
            PluginCommand::ReportUnload { plugin, version, ok } => self.report_unload(h, actor, plugin, version, *ok),
        }
    }

    pub(crate) fn register_version(&mut self, h: u128, actor: Address, command: &PluginCommand) -> Result<(), Reject> {
        let PluginCommand::RegisterVersion { plugin: name, version, code_hash, host, requirements, config, metadata } =
            command
        else {
            panic!("registers nothing");
        };
        let key = without_build(version);
        let mut record = PluginVersion {
            version: parse_version(version).unwrap(),
            status: VersionStatus::Loading,
            code_hash: *code_hash,
            registered: h,
            reported: 0,
            counts: Counts::default(),
            host: host.clone(),
            requirements: requirements.clone(),
            config: config.clone(),
            metadata: metadata.clone(),
        };
        match self.plugins.get(name) {
            None => {
                record.status = VersionStatus::Active;
                let plugin = Plugin {
                    current: key.clone(),
                    previous: None,
                    rule: Vec::new(),
                    load_state: LoadState::Unloaded,
                    loaded: None,
                    waits: false,
                    versions: BTreeMap::from([(key.clone(), record)]),
                    deployments: 0,
                    deployment: None,
                    history: Vec::new(),
                };
                self.plugins.insert(name.clone(), plugin);
                for dependent in self.waiting_for(name) {
                    self.queue_load(h, &dependent);
                }
            }
            Some(plugin) if plugin.versions.contains_key(&key) => {
                let old = plugin.version(&key);
                if old.status != VersionStatus::Failed || old.code_hash != *code_hash {
                    return Err(Reject::VersionAlreadyExists);
                }
                self.plugin_mut(name).versions.insert(key.clone(), record);
            }
            Some(plugin) => {
                let mut after = plugin.clone();
                let mut evicted = Vec::new();
                while after.versions.len() as u128 >= self.registry.max_versions {
                    let oldest = after.oldest_to_evict().ok_or(Reject::LimitExceeded)?;
                    evicted.extend(after.versions.remove(&oldest));
                }
                after.versions.insert(key.clone(), record);
                self.plugins.insert(name.clone(), after);
                for v in evicted {
                    let version = event_version(&v.version);
                    self.events.push(Event::VersionEvicted { plugin: event_name(name), version });
                }
            }
        }
        let told = event_version(self.plugins[name].spelled(&key));
        self.events.push(Event::VersionRegistered { plugin: event_name(name), version: told });
        self.tell(h, name, PluginAction::Registered, &key, true, PluginReason::None, actor);
        if self.registry.auto_load && self.plugins[name].load_state == LoadState::Unloaded {
            self.queue_load(h, name);
        }
        Ok(())
    }

    fn deploy(
        &mut self,
        h: u128,
        actor: Address,
        name: &[u8],
        version: &[u8],
        strategy: &Strategy,
        terms: &Guardrails,
    ) -> Result<(), Reject> {
        let (plugin, new) = self.plugin_version(name, version)?;
        self.breaker_is_closed()?;
        if plugin.deployment.is_some() {
            return Err(Reject::DeploymentInProgress);
        }
        match plugin.version(&new).status {
            VersionStatus::Loading | VersionStatus::Deprecated => {}
            VersionStatus::Active => return Err(Reject::VersionInUse),
            VersionStatus::Failed | VersionStatus::Retired => return Err(Reject::InvalidTransition),
            VersionStatus::Canary => panic!("a canary without a deployment"),
        }
        if !self.has(Planted::DeployOfForbidden) {
            self.may_take_over(name, &new)?;
        }
        if plugin.deployments == U32_MAX || self.deploying_names().len() >= DEPLOYMENTS_MAX {
            return Err(Reject::LimitExceeded);
        }
        let old = plugin.current.clone();
        self.drop_deployment_pools(name, [&old, &new]);
        let plugin = self.plugin_mut(name);
        plugin.deployments += 1;
        let mut deployment = Deployment {
            strategy: STRATEGIES[usize::from(strategy.tag())],
            old,
            new: new.clone(),
            hold: Hold::Running,
            held: Vec::new(),
            healthy: false,
            stage: 0,
            stage_height: h,
            start: h,
            due: None,
            salt: (h << 32) + plugin.deployments,
            plan: plan(strategy, terms).unwrap(),
            canary: Counts::default(),
            production: Counts::default(),
            stage_requests: 0,
            stage_errors: 0,
        };
        deployment.look_when_stage_ends(h);
        let strategy = deployment.strategy;
        plugin.deployment = Some(deployment);
        plugin.set_status(&new, VersionStatus::Canary);
        plugin.previous = plugin.previous.take().filter(|previous| *previous != new);
        let told = event_version(plugin.spelled(&new));
        self.events.push(Event::Deployed { plugin: event_name(name), version: told, strategy });
        self.tell(h, name, PluginAction::Deployed, &new, true, PluginReason::Manual, actor);
        Ok(())
    }

    fn resume(&mut self, h: u128, actor: Address, name: &[u8]) -> Result<(), Reject> {
        self.plugin(name)?;
        self.breaker_is_closed()?;
        let hold = self.deployment_of(name)?.hold;
        match hold {
            Hold::Paused | Hold::PausedByRule | Hold::ManualGate | Hold::Dependents => {}
            Hold::Running | Hold::Completed => return Err(Reject::NotWaiting),
        }
        if self.ends_at_deadline(h, name) {
            return Ok(());
        }
        let deployment = self.deployment_mut(name);
        deployment.hold = Hold::Running;
        deployment.look_when_stage_ends(h);
        let new = deployment.new.clone();
        self.events.push(Event::Resumed { plugin: event_name(name) });
        self.tell(h, name, PluginAction::Resumed, &new, true, PluginReason::Manual, actor);
        if hold == Hold::ManualGate {
            self.leave_stage(h, actor, PluginReason::Manual, name);
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the command")]
    fn report_version(
        &mut self,
        h: u128,
        actor: Address,
        name: &[u8],
        version: &[u8],
        [requests, errors]: [u32; 2],
        latency_total: u64,
        number: Option<u32>,
    ) -> Result<(), Reject> {
        let (plugin, key) = self.plugin_version(name, version)?;
        let is_running = |number: u32| plugin.deployment.is_some() && u128::from(number) == plugin.deployments;
        if !number.is_none_or(is_running) {
            return Err(Reject::StaleReport);
        }
        if self.has_rounds() {
            let key = PoolKey::of_version(VERSION_REPORTS, name, &key);
            return self.pool(h, actor, key, vec![requests.into(), errors.into(), latency_total.into()]);
        }
        let figures = Figures {
            successes: (requests - errors).into(),
            errors: errors.into(),
            latency_total: latency_total.into(),
            ..Figures::default()
        };
        self.take_version_report(h, name, version, &figures);
        Ok(())
    }

    /// Whether the version is there, and its arm has room for what a round says of it.
    pub(crate) fn takes_version_report(&self, name: &[u8], version: &[u8], figures: &Figures) -> bool {
        let Ok((plugin, version)) = self.plugin_version(name, version) else { return false };
        let arm = plugin.deployment.as_ref().and_then(|deployment| deployment.arm(&version));
        arm.is_none_or(|arm| {
            let (mut arm, requests) = (*arm, figures.successes + figures.errors);
            arm.make_room(requests);
            arm.requests + requests <= ARM_REQUESTS_MAX
        })
    }

    /// Takes what was reported of a version, by one reporter or by a round.
    pub(crate) fn take_version_report(&mut self, h: u128, name: &[u8], version: &[u8], figures: &Figures) {
        let version = without_build(version);
        let (requests, errors, latency) = (figures.successes + figures.errors, figures.errors, figures.latency_total);
        let refuses = self.has(Planted::FullArmRefuses);
        let plugin = self.plugin_mut(name);
        let v = plugin.versions.get_mut(&version).unwrap();
        v.reported = h;
        v.counts.add(requests, errors, latency);
        let Some(deployment) = &mut plugin.deployment else { return };
        let Some(arm) = deployment.arm_mut(&version) else { return };
        if refuses && arm.requests + requests > ARM_REQUESTS_MAX {
            return;
        }
        arm.make_room(requests);
        arm.add(requests, errors, latency);
        if version == deployment.new {
            deployment.stage_requests = (deployment.stage_requests + requests).min(U64_MAX);
            deployment.stage_errors = (deployment.stage_errors + errors).min(U64_MAX);
            if deployment.hold == Hold::Running && !deployment.held.is_empty() {
                deployment.set_check(Some(h + 1));
            }
        }
        if let Some((reason, evidence)) = deployment.broken_rule() {
            self.break_rule(h, name, reason, evidence);
        }
    }

    /// Whether the version is the new one of a deployment.
    pub(crate) fn is_canary(&self, name: &[u8], version: &[u8]) -> bool {
        let Ok((plugin, version)) = self.plugin_version(name, version) else { return false };
        plugin.deployment.as_ref().is_some_and(|deployment| deployment.new == version)
    }

    fn attest_health(
        &mut self,
        h: u128,
        actor: Address,
        name: &[u8],
        version: &[u8],
        healthy: bool,
    ) -> Result<(), Reject> {
        let (_, key) = self.plugin_version(name, version)?;
        if !self.is_canary(name, version) {
            return Err(Reject::NoDeployment);
        }
        if self.has_rounds() {
            return self.pool(h, actor, PoolKey::of_version(HEALTH_VOTES, name, &key), vec![healthy.into()]);
        }
        self.take_attestation(h, name, version, healthy);
        Ok(())
    }

    /// Takes an attestation of the new version of a deployment.
    pub(crate) fn take_attestation(&mut self, h: u128, name: &[u8], version: &[u8], healthy: bool) {
        let told = event_version(self.plugins[name].spelled(&without_build(version)));
        self.events.push(Event::HealthAttested { plugin: event_name(name), version: told, healthy });
        let deployment = self.deployment_mut(name);
        if !healthy {
            deployment.healthy = false;
            let evidence = deployment.evidence(Threshold::None);
            self.break_rule(h, name, PluginReason::Unhealthy, evidence);
        } else if deployment.stage().gate == HEALTH && !deployment.healthy {
            deployment.healthy = true;
            if deployment.hold == Hold::Running {
                deployment.set_check(Some(h + 1));
            }
        }
    }
}
