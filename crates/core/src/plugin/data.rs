//! The decoded form of a plugin: everything but its history.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::plugin::deployment::Deployment;
use crate::plugin::engine;
use crate::plugin::manifest::Manifest;
use crate::plugin::record::{Plugin, PluginVersion};
use crate::plugin::version::Version;
use crate::values::{Height, Name};

/// The versions of a plugin in ascending precedence; no two are the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versions(Vec<PluginVersion>);

impl Versions {
    fn place(&self, version: &Version) -> Result<usize, usize> {
        self.0.binary_search_by(|record| record.version.cmp_precedence(version))
    }

    /// Looks up a version by precedence: build metadata may differ.
    pub(crate) fn get(&self, version: &Version) -> Option<&PluginVersion> {
        self.0.get(self.place(version).ok()?)
    }

    pub(crate) fn get_mut(&mut self, version: &Version) -> Option<&mut PluginVersion> {
        let place = self.place(version).ok()?;
        self.0.get_mut(place)
    }

    /// Inserts a version, or replaces the one of the same precedence.
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

    /// Their number, as the plugin's record contains it.
    pub(crate) fn count(&self) -> u16 {
        let count = u16::try_from(self.len());
        debug_assert!(count.is_ok(), "a registry keeps at most 64 versions of a plugin");
        count.unwrap_or(u16::MAX)
    }
}

/// A plugin in the committed state, or as a block has left it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PluginData {
    pub(crate) name: Name,
    pub(crate) plugin: Plugin,
    pub(crate) versions: Versions,
    pub(crate) deployment: Option<Deployment>,
    /// Whether it is Unloaded and waits for a requirement to be registered, which gives it a turn to load.
    pub(crate) is_waiting: bool,
}

impl PluginData {
    /// The manifest of a registered version.
    pub(crate) fn manifest(&self, version: &Version) -> Option<&Arc<Manifest>> {
        self.versions.get(version).map(|record| &record.manifest)
    }

    /// The manifest whose requirements have rows in the dependents index: it is loaded with it, or waits for it.
    pub(crate) fn pinned_manifest(&self) -> Option<&Arc<Manifest>> {
        (self.is_waiting || self.pins_requirements()).then(|| self.manifest(&self.plugin.current)).flatten()
    }

    /// Whether its requirements must stay as they are: it is Pending, Loading, Loaded or Unloading.
    pub(crate) const fn pins_requirements(&self) -> bool {
        self.plugin.load_state.pins_requirements()
    }

    /// The height from which its deployment's next check is due.
    pub(crate) fn check_due(&self) -> Option<Height> {
        self.deployment.as_ref()?.due.map(NonZeroU32::get)
    }

    /// The height at which its deployment is rolled back, if nothing ends it before.
    pub(crate) fn deadline_due(&self) -> Option<Height> {
        engine::deadline(self.deployment.as_ref()?)
    }
}
