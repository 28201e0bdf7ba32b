//! Plugins: versions, and the deployments that bring a new one to everybody.
//!
//! Versions are compared without build metadata, so that two spellings can be one version; events and histories spell
//! them as registered. Loading is in `loading.rs`.

use std::collections::BTreeMap;

use coalmine_core::{Address, Evidence, LoadState, PluginAction, PluginReason, Reject, VersionStatus};
use semver::Version;

use crate::Model;

mod answers;
mod commands;
mod compare;
pub(crate) mod deployment;
mod engine;
pub(crate) mod rules;

pub use answers::PluginAnswer;
pub(crate) use compare::Counts;
pub(crate) use deployment::{Deployment, HEALTH};
pub(crate) use rules::{allows, event_version};

use rules::without_build;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registry {
    pub(crate) host_version: Version,
    pub(crate) max_versions: u128,
    pub(crate) auto_load: bool,
}

impl Default for Registry {
    fn default() -> Self {
        Self { host_version: Version::new(0, 0, 0), max_versions: 5, auto_load: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plugin {
    pub(crate) current: Version,
    pub(crate) previous: Option<Version>,
    /// Empty if there is none.
    pub(crate) rule: Vec<u8>,
    pub(crate) load_state: LoadState,
    /// The version that is loaded or on its way; `None` exactly if Unloaded.
    pub(crate) loaded: Option<Version>,
    /// Unloaded, and waiting for a plugin that it requires to be registered.
    pub(crate) waits: bool,
    pub(crate) versions: BTreeMap<Version, PluginVersion>,
    pub(crate) deployments: u128,
    pub(crate) deployment: Option<Deployment>,
    pub(crate) history: Vec<PluginChange>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PluginVersion {
    /// As registered.
    pub(crate) version: Version,
    pub(crate) status: VersionStatus,
    pub(crate) code_hash: [u8; 32],
    pub(crate) registered: u128,
    /// 0 = never.
    pub(crate) reported: u128,
    pub(crate) counts: Counts,
    pub(crate) host: Vec<u8>,
    pub(crate) requirements: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) config: Vec<u8>,
    pub(crate) metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An entry of the history of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of FORMAT.md")]
pub struct PluginChange {
    pub height: u32,
    pub action: PluginAction,
    pub version: String,
    pub success: bool,
    pub share_bps: u16,
    pub duration: u32,
    pub reason: PluginReason,
    pub actor: Address,
    /// Behind a rollback and a verdict, and only there.
    pub evidence: Option<Evidence>,
}

impl Plugin {
    pub(crate) fn version(&self, version: &Version) -> &PluginVersion {
        &self.versions[version]
    }

    /// A version as it was spelled when it was registered.
    pub(crate) fn spelled(&self, version: &Version) -> &Version {
        &self.version(version).version
    }

    pub(crate) fn set_status(&mut self, version: &Version, status: VersionStatus) {
        self.versions.get_mut(version).unwrap().status = status;
    }

    /// The version to evict for a new one: unused, oldest report, then oldest registration, then lowest precedence.
    pub(crate) fn oldest_to_evict(&self) -> Option<Version> {
        let may_go = |(version, v): &(&Version, &PluginVersion)| {
            let is_past = match v.status {
                VersionStatus::Deprecated | VersionStatus::Failed | VersionStatus::Retired => true,
                VersionStatus::Loading | VersionStatus::Active | VersionStatus::Canary => false,
            };
            is_past && self.previous.as_ref() != Some(*version) && self.loaded.as_ref() != Some(*version)
        };
        let oldest =
            self.versions.iter().filter(may_go).min_by_key(|(version, v)| (v.reported, v.registered, *version));
        oldest.map(|(version, _)| version.clone())
    }
}

impl Model {
    pub(crate) fn plugin(&self, name: &[u8]) -> Result<&Plugin, Reject> {
        self.plugins.get(name).ok_or(Reject::PluginNotFound)
    }

    /// A plugin that is known to exist.
    pub(crate) fn plugin_mut(&mut self, name: &[u8]) -> &mut Plugin {
        self.plugins.get_mut(name).unwrap()
    }

    /// The plugin and the version that a command names.
    pub(crate) fn plugin_version(&self, name: &[u8], version: &[u8]) -> Result<(&Plugin, Version), Reject> {
        let plugin = self.plugin(name)?;
        let version = without_build(version);
        if plugin.versions.contains_key(&version) { Ok((plugin, version)) } else { Err(Reject::VersionNotFound) }
    }

    /// Appends an entry to the history of a plugin, with the share and age of the deployment as they are now.
    #[expect(clippy::too_many_arguments, reason = "an entry has that many fields")]
    pub(crate) fn tell(
        &mut self,
        h: u128,
        name: &[u8],
        action: PluginAction,
        version: &Version,
        success: bool,
        reason: PluginReason,
        actor: Address,
    ) {
        let plugin = self.plugin_mut(name);
        let (share_bps, start) = match &plugin.deployment {
            Some(deployment) => (deployment.stage().share_bps, deployment.start),
            None => (0, h),
        };
        let version = plugin.spelled(version).to_string();
        let (height, duration, evidence) = (h as u32, (h - start) as u32, None);
        let change = PluginChange { height, action, version, success, share_bps, duration, reason, actor, evidence };
        plugin.history.push(change);
    }

    /// Adds the evidence to the last entry of the history of a plugin.
    pub(crate) fn tell_evidence(&mut self, name: &[u8], evidence: Evidence) {
        self.plugin_mut(name).history.last_mut().unwrap().evidence = Some(evidence);
    }
}
