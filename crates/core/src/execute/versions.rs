//! The commands on versions, and on what holds for all of them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::event::Event;
use crate::overlay::Overlay;
use crate::overlay::copies::{PluginCopy, PluginHistoryEntry};
use crate::plugin::data::{PluginData, Versions};
use crate::plugin::deployment::Deployment;
use crate::plugin::engine;
use crate::plugin::manifest::Manifest;
use crate::plugin::record::{
    Counts, LoadState, Plugin, PluginAction, PluginChange, PluginReason, PluginVersion, VersionReport, VersionStatus,
};
use crate::plugin::version::{Constraint, Version};
use crate::reject::Reject;
use crate::values::{Address, Height, Name};

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
            && let Some(arm) = engine::arm_of(deployment, version)
        {
            engine::add_report(deployment, arm, report, height)?;
            finding = engine::judge(deployment);
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
            engine::open_health_gate(deployment, height);
            return Ok(());
        }
        deployment.healthy = false;
        let finding = engine::finding(deployment, PluginReason::Unhealthy, 0);
        self.break_rule(plugin, finding)
    }

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
    pub(crate) fn check_current(&self, plugin: &Name, version: &Version) -> Result<(), Reject> {
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

pub(crate) fn set_status(data: &mut PluginData, version: &Version, status: VersionStatus) -> Result<(), Reject> {
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
