//! The state as a command of a block finds it: the committed one, and what the block has written by then. To clone the state
//! and apply the block so far would say the same, and cost as much as the state is large.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use coalmine_core::{
    Address, Decode, Deployment, Encode, Execution, Feature, Global, Key, Metrics, MetricsRecord, Name, Plugin,
    PluginVersion, Policy, Reader, Registry, Roles, State, Version,
};

/// A committed state and writes on top of it.
pub(crate) struct Found<'a> {
    state: &'a State,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl<'a> Found<'a> {
    /// The committed state.
    pub(crate) const fn new(state: &'a State) -> Self {
        Self { state, writes: BTreeMap::new() }
    }

    /// The same after a block so far.
    pub(crate) fn after(state: &'a State, execution: &Execution) -> Self {
        let write = |(key, value): (&[u8], Option<&[u8]>)| (key.to_vec(), value.map(<[u8]>::to_vec));
        Self { state, writes: execution.writes().iter().map(write).collect() }
    }

    /// A record: as it was written, or as the committed state has it.
    fn record<T: Decode>(&self, key: &Key, committed: impl FnOnce(&State) -> Option<T>) -> Option<T> {
        match self.writes.get(&key.to_bytes()) {
            Some(written) => written.as_deref().and_then(|value| T::from_bytes(value).ok()),
            None => committed(self.state),
        }
    }

    pub(crate) fn feature(&self, name: &Name) -> Option<Feature> {
        self.record(&Key::Feature(*name), |state| state.feature(name).cloned())
    }

    pub(crate) fn metrics(&self, name: &Name) -> Option<Metrics> {
        let of = |metrics: &Metrics| MetricsRecord { name: *name, metrics: *metrics };
        self.record(&Key::Metrics(*name), |state| state.metrics(name).map(of)).map(|record| record.metrics)
    }

    /// The policy of a feature; the default one has no record.
    pub(crate) fn policy(&self, name: &Name) -> Option<Policy> {
        self.feature(name)?;
        Some(self.record(&Key::Policy(*name), |state| state.policy(name).cloned()).unwrap_or_default())
    }

    pub(crate) fn plugin(&self, name: &Name) -> Option<Plugin> {
        self.record(&Key::Plugin(*name), |state| state.plugin(name).cloned())
    }

    pub(crate) fn deployment(&self, name: &Name) -> Option<Deployment> {
        self.record(&Key::Deployment(*name), |state| state.deployment(name).cloned())
    }

    pub(crate) fn roles_of(&self, address: &Address) -> Roles {
        self.record(&Key::Roles(*address), |state| Some(state.roles_of(address))).unwrap_or_default()
    }

    pub(crate) fn global(&self) -> Global {
        self.record(&Key::Global, |_| None).unwrap_or(*self.state.global())
    }

    pub(crate) fn registry(&self) -> Registry {
        self.record(&Key::Registry, |_| None).unwrap_or_else(|| self.state.registry().clone())
    }

    /// The last sequence that an address has used; 0 if none.
    pub(crate) fn sequence_of(&self, address: &Address) -> u64 {
        match self.writes.get(&Key::Sequence(*address).to_bytes()) {
            Some(written) => written.as_deref().and_then(|value| Reader::new(value).u64().ok()).unwrap_or(0),
            None => self.state.sequence_of(address).map_or(0, NonZeroU64::get),
        }
    }

    /// The names of all features.
    pub(crate) fn features(&self) -> BTreeSet<Name> {
        let written = self.written(|key| if let Key::Feature(name) = key { Some(name) } else { None });
        self.state.features().map(|feature| feature.name).chain(written).collect()
    }

    /// The names of all plugins.
    pub(crate) fn plugins(&self) -> BTreeSet<Name> {
        let written = self.written(|key| if let Key::Plugin(name) = key { Some(name) } else { None });
        self.state.plugins().map(|(name, _)| *name).chain(written).collect()
    }

    /// A version of a plugin.
    pub(crate) fn version(&self, plugin: &Name, version: &Version) -> Option<PluginVersion> {
        let key = Key::PluginVersion { plugin: *plugin, version: version.without_build() };
        self.record(&key, |state| state.plugin_version(plugin, version).cloned())
    }

    /// The versions of a plugin.
    pub(crate) fn versions(&self, of: &Name) -> BTreeSet<Version> {
        let mut versions: BTreeSet<Version> =
            self.state.plugin_versions(of).map(|record| record.version.without_build()).collect();
        for (key, value) in &self.writes {
            if let Ok(Key::PluginVersion { plugin, version }) = Key::from_bytes(key)
                && plugin == *of
            {
                match value {
                    Some(_) => versions.insert(version),
                    None => versions.remove(&version),
                };
            }
        }
        versions
    }

    /// What is written, of the keys that `pick` picks.
    fn written<T>(&self, pick: impl Fn(Key) -> Option<T>) -> impl Iterator<Item = T> {
        let written = self.writes.iter().filter(|(_, value)| value.is_some());
        written.filter_map(move |(key, _)| pick(Key::from_bytes(key).ok()?))
    }
}
