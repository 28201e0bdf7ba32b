//! The commands on versions, and on the settings that all plugins share.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::delta::Touched;
use crate::event::Event;
use crate::execute::executor::Executor;
use crate::feature::record::Reason;
use crate::plugin::data::{PluginData, Versions};
use crate::plugin::deployment::Deployment;
use crate::plugin::engine::{self, DeploymentFinding};
use crate::plugin::manifest::Manifest;
use crate::plugin::record::{
    Counts, LoadState, MaxVersions, Plugin, PluginAction, PluginReason, PluginVersion, Threshold, VersionReport,
    VersionStatus,
};
use crate::plugin::requirements::{View, allows};
use crate::plugin::version::{Constraint, Version};
use crate::reject::Reject;
use crate::rounds::{Pool, PoolEntry, PoolKind};
use crate::valid::Valid;
use crate::values::{Address, Height, Name};

/// Reported when what was said is applied to a plugin, version or deployment that does not accept it.
const NOT_ACCEPTED: &str = "what was reported is about a version or deployment that is not there";

impl Executor<'_> {
    pub(super) fn register_version(
        &mut self,
        signer: &Address,
        plugin: Name,
        version: &Version,
        manifest: &Valid<Arc<Manifest>>,
    ) -> Result<(), Reject> {
        let known = self.overlay.plugins.get(&plugin);
        let evicted = match known {
            None => Vec::new(),
            Some(data) => match data.versions.get(version) {
                Some(old) if old.status != VersionStatus::Failed || old.manifest.code_hash != manifest.code_hash => {
                    return Err(Reject::VersionAlreadyExists);
                }
                Some(_) => Vec::new(),
                None => make_room(data, self.overlay.registry.max_versions)?,
            },
        };
        // From here on the command succeeds.
        let is_first = known.is_none();
        if is_first {
            // Other plugins may already wait for this one.
            let dependents = u16::try_from(self.overlay.dependents(Some(plugin)).count());
            debug_assert!(dependents.is_ok(), "at most DEPENDENTS_MAX plugins wait for one that is not there");
            let record = Plugin {
                current: version.clone(),
                previous: None,
                constraint: None,
                load_state: LoadState::Unloaded,
                loaded: None,
                versions: 0,
                deployments: 0,
                dependents: dependents.unwrap_or(u16::MAX),
            };
            let versions = Versions::default();
            let data = PluginData { name: plugin, plugin: record, versions, deployment: None, is_waiting: false };
            self.overlay.plugins.create(Touched { id: None, data, seq: 0 });
        }
        let Some(touched) = self.overlay.plugins.get_mut(&plugin) else {
            self.out.broken("a plugin that was just found or created is not there");
            return Ok(());
        };
        let data = &mut touched.data;
        for version in evicted {
            data.versions.remove(&version);
            self.out.event(Event::VersionEvicted { plugin, version });
        }
        data.versions.put(PluginVersion {
            version: version.clone(),
            status: if is_first { VersionStatus::Active } else { VersionStatus::Loading },
            registered: self.height,
            reported: None,
            counts: Counts::default(),
            manifest: Arc::clone(&**manifest),
        });
        data.plugin.versions = data.versions.count();
        let is_unloaded = data.plugin.load_state == LoadState::Unloaded;
        let (action, reason) = (PluginAction::Registered, PluginReason::None);
        self.out.plugin_change(self.height, touched, action, version, reason, signer);
        self.out.event(Event::VersionRegistered { plugin, version: version.clone() });
        if is_unloaded && self.overlay.registry.auto_load {
            self.queue_load(plugin);
        }
        if is_first {
            self.queue_waiting(plugin);
        }
        Ok(())
    }

    pub(super) fn retire_version(&mut self, signer: &Address, plugin: &Name, version: &Version) -> Result<(), Reject> {
        let touched = self.overlay.plugins.get_mut(plugin).ok_or(Reject::PluginNotFound)?;
        let record = touched.data.versions.get_mut(version).ok_or(Reject::VersionNotFound)?;
        match record.status {
            VersionStatus::Active | VersionStatus::Canary => return Err(Reject::VersionInUse),
            VersionStatus::Retired => return Err(Reject::InvalidTransition),
            VersionStatus::Loading | VersionStatus::Deprecated | VersionStatus::Failed => {}
        }
        // From here on the command succeeds.
        record.status = VersionStatus::Retired;
        let version = record.version.clone();
        touched.data.plugin.previous.take_if(|previous| previous.is_same(&version));
        let (action, reason) = (PluginAction::Retired, PluginReason::Manual);
        self.out.plugin_change(self.height, touched, action, &version, reason, signer);
        self.out.event(Event::VersionRetired { plugin: *plugin, version });
        Ok(())
    }

    pub(super) fn report_version(
        &mut self,
        signer: &Address,
        plugin: &Name,
        version: &Version,
        report: &VersionReport,
        number: Option<u32>,
    ) -> Result<(), Reject> {
        let data = &mut self.overlay.plugins.get_mut(plugin).ok_or(Reject::PluginNotFound)?.data;
        let record = data.versions.get_mut(version).ok_or(Reject::VersionNotFound)?;
        if number.is_some_and(|number| data.deployment.is_none() || number != data.plugin.deployments) {
            return Err(Reject::StaleReport);
        }
        let counts = Counts::from(report);
        if let Some(round_blocks) = self.overlay.global.params.round_blocks {
            let pool = Pool::of_version(PoolKind::VersionReport, *plugin, version);
            return self.add_to_pool(round_blocks, pool, signer, PoolEntry::VersionReport(counts));
        }
        // From here on the command succeeds: an arm has room for every report.
        if let Some(finding) = add_version_report(record, data.deployment.as_mut(), &counts, self.height) {
            self.break_rule(plugin, finding, Reason::ErrorRate);
        }
        Ok(())
    }

    /// Whether [`Executor::apply_version_report`] may be called: the version is there, and its arm has room. Only the sum
    /// of a round can be too large.
    pub(super) fn accepts_version_report(&self, plugin: &Name, version: &Version, report: &Counts) -> bool {
        self.overlay.plugins.get(plugin).is_some_and(|data| {
            let deployment = data.deployment.as_ref();
            let arm = deployment.and_then(|deployment| Some((deployment, engine::arm_of(deployment, version)?)));
            data.versions.get(version).is_some()
                && arm.is_none_or(|(deployment, arm)| engine::accepts_report(deployment, arm, report))
        })
    }

    /// Takes results of a version, from a reporter or from a round, and judges its deployment by them.
    pub(super) fn apply_version_report(&mut self, plugin: &Name, version: &Version, report: &Counts) {
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NOT_ACCEPTED);
        };
        let data = &mut touched.data;
        let Some(record) = data.versions.get_mut(version) else {
            return self.out.broken(NOT_ACCEPTED);
        };
        if let Some(finding) = add_version_report(record, data.deployment.as_mut(), report, self.height) {
            self.break_rule(plugin, finding, Reason::ErrorRate);
        }
    }

    pub(super) fn attest_health(
        &mut self,
        signer: &Address,
        plugin: &Name,
        version: &Version,
        healthy: bool,
    ) -> Result<(), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if data.versions.get(version).is_none() {
            return Err(Reject::VersionNotFound);
        }
        if !self.accepts_attestation(plugin, version) {
            return Err(Reject::NoDeployment);
        }
        if let Some(round_blocks) = self.overlay.global.params.round_blocks {
            let pool = Pool::of_version(PoolKind::Health, *plugin, version);
            return self.add_to_pool(round_blocks, pool, signer, PoolEntry::Vote(healthy));
        }
        // From here on the command succeeds.
        self.apply_attestation(plugin, version, healthy);
        Ok(())
    }

    /// Whether [`Executor::apply_attestation`] may be called: the version is the new one of a deployment.
    pub(super) fn accepts_attestation(&self, plugin: &Name, version: &Version) -> bool {
        let deployment = self.overlay.plugins.get(plugin).and_then(|data| data.deployment.as_ref());
        deployment.is_some_and(|deployment| deployment.new.is_same(version))
    }

    /// Takes an attestation of the new version of a deployment, from a reporter or from a round.
    pub(super) fn apply_attestation(&mut self, plugin: &Name, version: &Version, healthy: bool) {
        let deployment = self.overlay.plugins.get_mut(plugin).and_then(|touched| touched.data.deployment.as_mut());
        let Some(deployment) = deployment.filter(|deployment| deployment.new.is_same(version)) else {
            return self.out.broken(NOT_ACCEPTED);
        };
        self.out.event(Event::HealthAttested { plugin: *plugin, version: deployment.new.clone(), healthy });
        if healthy {
            engine::open_health_gate(deployment, self.height);
        } else {
            deployment.healthy = false;
            let finding = engine::finding(deployment, PluginReason::Unhealthy, Threshold::None);
            self.break_rule(plugin, finding, Reason::InvariantViolation);
        }
    }

    pub(super) fn set_rule(&mut self, plugin: &Name, rule: Option<&Constraint>) -> Result<(), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if !in_use(data).all(|version| allows(rule, version)) {
            return Err(Reject::RuleViolated);
        }
        // From here on the command succeeds.
        match self.overlay.plugins.get_mut(plugin) {
            Some(touched) => touched.data.plugin.constraint = rule.cloned(),
            None => self.out.broken("a plugin that was just found is not there"),
        }
        Ok(())
    }

    pub(super) fn set_host_version(&mut self, version: &Version) -> Result<(), Reject> {
        let is_stranded = |data: &PluginData| {
            let host = |used: &Version| data.manifest(used).and_then(|manifest| manifest.host.as_ref());
            !in_use(data).all(|used| allows(host(used), version))
        };
        let loaded = |plugin: Name| self.overlay.plugins.get(&plugin);
        if self.overlay.dependents(None).filter_map(loaded).any(is_stranded)
            || self.overlay.deploying().any(is_stranded)
        {
            return Err(Reject::HostTooOld);
        }
        // From here on the command succeeds.
        self.overlay.registry.host_version = version.clone();
        Ok(())
    }

    pub(super) fn set_registry_params(&mut self, max_versions: Option<MaxVersions>, auto_load: Option<bool>) {
        let registry = &mut self.overlay.registry;
        registry.max_versions = max_versions.unwrap_or(registry.max_versions);
        registry.auto_load = auto_load.unwrap_or(registry.auto_load);
    }
}

/// The versions of a plugin that neither a constraint nor the host may strand: the one that is loaded or on its way, and
/// the new one of a deployment.
fn in_use(data: &PluginData) -> impl Iterator<Item = &Version> {
    let loaded = data.pins_requirements().then_some(&data.plugin.current);
    loaded.into_iter().chain(data.deployment.as_ref().map(|deployment| &deployment.new))
}

/// Adds results to a version, and to the arm of the deployment that it is: the one way in which they get in. Returns what
/// they break.
fn add_version_report(
    record: &mut PluginVersion,
    deployment: Option<&mut Deployment>,
    report: &Counts,
    height: Height,
) -> Option<DeploymentFinding> {
    record.counts = record.counts.with(report);
    record.reported = NonZeroU32::new(height);
    let deployment = deployment?;
    let arm = engine::arm_of(deployment, &record.version)?;
    engine::add_report(deployment, arm, report, height);
    engine::judge(deployment)
}

/// The versions to evict for one more: unused ones, those reported least recently first, then those registered
/// least recently, then those of the lowest precedence.
fn make_room(data: &PluginData, max_versions: MaxVersions) -> Result<Vec<Version>, Reject> {
    let excess = data.versions.len().saturating_add(1).saturating_sub(usize::from(max_versions.get()));
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
    // The versions come in order of precedence, and a stable sort keeps that order among equals.
    spare.sort_by_key(|record| (record.reported, record.registered));
    Ok(spare.into_iter().take(excess).map(|record| record.version.clone()).collect())
}
