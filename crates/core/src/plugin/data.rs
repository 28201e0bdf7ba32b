//! Everything about a plugin but its history, decoded.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::plugin::deployment::Deployment;
use crate::plugin::manifest::Manifest;
use crate::plugin::record::{Plugin, PluginVersion};
use crate::plugin::version::Version;
use crate::values::{Height, Name};

/// The versions of a plugin, by precedence, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versions(Vec<PluginVersion>);

impl Versions {
    fn place(&self, version: &Version) -> Result<usize, usize> {
        self.0.binary_search_by(|record| record.version.cmp_precedence(version))
    }

    /// The version of this precedence.
    pub(crate) fn get(&self, version: &Version) -> Option<&PluginVersion> {
        self.0.get(self.place(version).ok()?)
    }

    pub(crate) fn get_mut(&mut self, version: &Version) -> Option<&mut PluginVersion> {
        let place = self.place(version).ok()?;
        self.0.get_mut(place)
    }

    /// Puts a version, in place of the one of the same precedence if there is one.
    pub(crate) fn put(&mut self, record: PluginVersion) {
        match self.place(&record.version) {
            Ok(place) => {
                if let Some(old) = self.0.get_mut(place) {
                    *old = record;
                }
            }
            Err(place) => self.0.insert(place, record),
        }
    }

    pub(crate) fn remove(&mut self, version: &Version) {
        if let Ok(place) = self.place(version) {
            self.0.remove(place);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PluginVersion> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many there are, as the record of the plugin has it.
    pub(crate) fn count(&self) -> u16 {
        let count = u16::try_from(self.len());
        debug_assert!(count.is_ok(), "a registry keeps at most 64 versions of a plugin");
        count.unwrap_or(u16::MAX)
    }
}

/// Everything about a plugin but its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PluginData {
    pub(crate) name: Name,
    pub(crate) plugin: Plugin,
    pub(crate) versions: Versions,
    pub(crate) deployment: Option<Deployment>,
    /// Whether it is Unloaded and waits for a requirement to be registered.
    pub(crate) is_waiting: bool,
}

impl PluginData {
    /// The manifest of a version.
    pub(crate) fn manifest(&self, version: &Version) -> Option<&Arc<Manifest>> {
        self.versions.get(version).map(|record| &record.manifest)
    }

    /// What it has rows for in the index of dependents: what it is loaded with, or waits for.
    pub(crate) fn pinned_manifest(&self) -> Option<&Arc<Manifest>> {
        (self.is_waiting || self.pins_requirements()).then(|| self.manifest(&self.plugin.current)).flatten()
    }

    /// Whether it is Pending, Loading, Loaded or Unloading.
    pub(crate) const fn pins_requirements(&self) -> bool {
        self.plugin.load_state.pins_requirements()
    }

    /// When its deployment is looked at next.
    pub(crate) fn check_due(&self) -> Option<Height> {
        self.deployment.as_ref()?.due.map(NonZeroU32::get)
    }
}
