//! The committed plugins, decoded, with the indexes that follow from them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::bucket::BucketPrefix;
use crate::deployment::{is_reachable, salt};
use crate::execute::Presence;
use crate::execute::loading::{Graph, in_order};
use crate::key::Key;
use crate::plugin::{
    DEPENDENTS_MAX, Deployment, LOADED_MAX, LoadState, Manifest, Plugin, PluginVersion, Registry, VersionStatus,
};
use crate::reject::Reject;
use crate::state::index;
use crate::values::{ChainId, Height, Name};
use crate::version::Version;

/// The place of a plugin in the state. Plugins are never removed, so it stays good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PluginId(u32);

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
    pub(crate) fn held_manifest(&self) -> Option<&Arc<Manifest>> {
        (self.is_waiting || self.holds_requirements()).then(|| self.manifest(&self.plugin.current)).flatten()
    }

    /// Whether it is Pending, Loading, Loaded or Unloading.
    pub(crate) const fn holds_requirements(&self) -> bool {
        self.plugin.load_state.holds_requirements()
    }

    /// The deployment, for a change to it.
    pub(crate) fn deployment_mut(&mut self) -> Result<&mut Deployment, Reject> {
        self.deployment.as_mut().ok_or(Reject::NoDeployment)
    }

    /// When its deployment is looked at next.
    pub(crate) fn look_due(&self) -> Option<Height> {
        self.deployment.as_ref().map(|deployment| deployment.due).filter(|due| *due != 0)
    }
}

/// A plugin and what follows from it.
#[derive(Debug, Clone)]
pub(crate) struct PluginEntry {
    pub(crate) data: PluginData,
    /// What the buckets of its deployment begin with.
    route: Option<BucketPrefix>,
}

impl PluginEntry {
    fn new(chain: &ChainId, data: PluginData) -> Self {
        let prefix = |deployment: &Deployment| BucketPrefix::of_deployment(chain, &data.name, deployment.salt);
        Self { route: data.deployment.as_ref().map(prefix), data }
    }

    /// The version that serves a unit.
    fn route(&self, unit: &[u8]) -> &Version {
        match (&self.data.deployment, &self.route) {
            (Some(deployment), Some(prefix)) if prefix.bucket(unit) < deployment.share() => &deployment.new,
            (Some(_) | None, _) => &self.data.plugin.current,
        }
    }
}

/// All plugins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plugins {
    pub(crate) registry: Registry,
    names: BTreeMap<Name, PluginId>,
    entries: Vec<PluginEntry>,
    /// The plugins with a deployment.
    pub(crate) deployments: BTreeSet<Name>,
    /// When deployments are looked at.
    pub(crate) looks: BTreeSet<(Height, Name)>,
    /// The load queue.
    pub(crate) queue: BTreeSet<(Height, Name)>,
    /// Who requires what; none = the host.
    pub(crate) dependents: BTreeMap<Option<Name>, BTreeSet<Name>>,
}

impl Plugins {
    pub(crate) fn id(&self, name: &Name) -> Option<PluginId> {
        self.names.get(name).copied()
    }

    pub(crate) fn data(&self, id: PluginId) -> Option<&PluginData> {
        self.entry(id).map(|entry| &entry.data)
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&PluginData> {
        self.data(self.id(name)?)
    }

    pub(crate) fn route(&self, id: PluginId, unit: &[u8]) -> Option<&Version> {
        self.entry(id).map(|entry| entry.route(unit))
    }

    /// In name order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PluginData> {
        self.names.values().filter_map(|id| self.data(*id))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Puts a plugin, in place of the one of that name if there is one; the indexes of deployments follow.
    pub(crate) fn put(&mut self, chain: &ChainId, data: PluginData) {
        let name = data.name;
        if let Some(at) = self.get(&name).and_then(PluginData::look_due) {
            self.looks.remove(&(at, name));
        }
        if let Some(at) = data.look_due() {
            self.looks.insert((at, name));
        }
        if data.deployment.is_some() {
            self.deployments.insert(name);
        } else {
            self.deployments.remove(&name);
        }
        let entry = PluginEntry::new(chain, data);
        match self.id(&name).and_then(|PluginId(id)| self.entries.get_mut(usize::try_from(id).ok()?)) {
            Some(old) => *old = entry,
            None => {
                // The tree is full long before the ids are: each plugin has two keys at least.
                let id = PluginId(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
                self.entries.push(entry);
                self.names.insert(name, id);
            }
        }
    }

    /// Adds or removes a row of the index of dependents.
    pub(crate) fn set_row(&mut self, (dependency, dependent): (Option<Name>, Name), presence: Presence) {
        let dependents = self.dependents.entry(dependency).or_default();
        index(dependents, dependent, presence);
        if dependents.is_empty() {
            self.dependents.remove(&dependency);
        }
    }

    pub(crate) fn has_row(&self, (dependency, dependent): &(Option<Name>, Name)) -> bool {
        self.dependents.get(dependency).is_some_and(|dependents| dependents.contains(dependent))
    }

    /// How many rows a plugin, or the host, has in the index of dependents.
    pub(crate) fn row_count(&self, dependency: &Option<Name>) -> usize {
        self.dependents.get(dependency).map_or(0, BTreeSet::len)
    }

    fn entry(&self, PluginId(id): PluginId) -> Option<&PluginEntry> {
        self.entries.get(usize::try_from(id).ok()?)
    }
}

/// Collects the records of plugins until they can be checked against each other.
#[derive(Default)]
pub(crate) struct PluginLoader {
    pub(crate) registry: Option<Registry>,
    pub(crate) plugins: BTreeMap<Name, Plugin>,
    pub(crate) versions: BTreeMap<Name, Versions>,
    pub(crate) deployments: BTreeMap<Name, Deployment>,
    /// One history entry of each plugin that has any.
    pub(crate) changes: BTreeMap<Name, (Height, u32)>,
    pub(crate) rows: BTreeSet<(Option<Name>, Name)>,
    pub(crate) looks: BTreeSet<(Height, Name)>,
    pub(crate) queue: BTreeSet<(Height, Name)>,
}

impl PluginLoader {
    /// The plugins, or the key of a record that contradicts others.
    pub(crate) fn finish(mut self, chain: &ChainId) -> Result<Plugins, Box<Key>> {
        let mut plugins = Plugins { registry: self.registry.unwrap_or_default(), ..Plugins::default() };
        for (name, plugin) in self.plugins {
            let mut data = PluginData {
                name,
                plugin,
                versions: self.versions.remove(&name).unwrap_or_default(),
                deployment: self.deployments.remove(&name),
                is_waiting: false,
            };
            check_plugin(&data)?;
            // What is Unloaded and has rows waits. It does not wait for nothing.
            let is_unloaded = data.plugin.load_state == LoadState::Unloaded;
            let current = data.manifest(&data.plugin.current);
            let first = current.and_then(|manifest| manifest.requirements.first());
            data.is_waiting = is_unloaded && first.is_some_and(|first| self.rows.contains(&(Some(first.plugin), name)));
            if !is_unloaded {
                plugins.set_row((None, name), Presence::Added);
            }
            for requirement in data.held_manifest().into_iter().flat_map(|manifest| &manifest.requirements) {
                plugins.set_row((Some(requirement.plugin), name), Presence::Added);
            }
            plugins.put(chain, data);
        }
        let host_rows = plugins.row_count(&None);
        for data in plugins.iter() {
            let rows = plugins.row_count(&Some(data.name));
            if usize::from(data.plugin.dependents) != rows || rows > DEPENDENTS_MAX || host_rows > LOADED_MAX {
                return Err(Box::new(Key::Plugin(data.name)));
            }
        }
        let rows = plugins
            .dependents
            .iter()
            .flat_map(|(dependency, dependents)| dependents.iter().map(|dependent| (*dependency, *dependent)));
        let rows: BTreeSet<(Option<Name>, Name)> = rows.collect();
        // What is left belongs to no plugin, and the indexes must be what the plugins say.
        let first_version = |(name, versions): (&Name, &Versions)| {
            let version = versions.iter().next()?.version.clone();
            Some(Key::PluginVersion { plugin: *name, version })
        };
        let orphan = [
            self.versions.iter().find_map(first_version),
            self.deployments.first_key_value().map(|(name, _)| Key::Deployment(*name)),
            self.changes
                .iter()
                .find(|(name, _)| plugins.id(name).is_none())
                .map(|(name, (height, seq))| Key::PluginChange { plugin: *name, height: *height, seq: *seq }),
            self.queue
                .iter()
                .find(|(_, name)| plugins.id(name).is_none())
                .map(|(at, name)| Key::LoadDue { at: *at, plugin: *name }),
            self.rows
                .symmetric_difference(&rows)
                .next()
                .map(|(dependency, dependent)| Key::Dependent { dependency: *dependency, dependent: *dependent }),
            self.looks
                .symmetric_difference(&plugins.looks)
                .next()
                .map(|(at, name)| Key::DeploymentDue { at: *at, plugin: *name }),
        ];
        plugins.queue = self.queue;
        match orphan.into_iter().flatten().next() {
            Some(key) => Err(Box::new(key)),
            None => check_rows(&plugins).map(|()| plugins),
        }
    }
}

/// Whether what is held is there, and leads in no circle.
fn check_rows(plugins: &Plugins) -> Result<(), Box<Key>> {
    let mut graph = Graph::new();
    for data in plugins.iter().filter(|data| data.holds_requirements()) {
        let manifest = data.held_manifest().into_iter();
        let required = manifest.flat_map(|manifest| &manifest.requirements).map(|requirement| requirement.plugin);
        graph.insert(
            data.name,
            required.filter(|name| plugins.get(name).is_some_and(PluginData::holds_requirements)).collect(),
        );
    }
    let (order, _) = in_order(&graph);
    let ordered: BTreeSet<Name> = order.into_iter().collect();
    if let Some(name) = graph.into_keys().find(|name| !ordered.contains(name)) {
        return Err(Box::new(Key::Plugin(name)));
    }
    for (dependency, dependents) in &plugins.dependents {
        let Some(missing) = dependency.filter(|name| plugins.id(name).is_none()) else { continue };
        let holds = |name: &&Name| plugins.get(name).is_some_and(PluginData::holds_requirements);
        let wrong = dependents.iter().find(holds).or(dependents.iter().nth(DEPENDENTS_MAX));
        if let Some(dependent) = wrong {
            return Err(Box::new(Key::Dependent { dependency: Some(missing), dependent: *dependent }));
        }
    }
    Ok(())
}

/// Whether the records of one plugin agree with each other.
fn check_plugin(data: &PluginData) -> Result<(), Box<Key>> {
    let PluginData { name, plugin, versions, deployment, is_waiting: _ } = data;
    let is_spelled = |version: &Version| versions.get(version).is_some_and(|record| record.version == *version);
    let is_current = |version: &Version| *version == plugin.current;
    let is_deprecated =
        |version: &Version| versions.get(version).is_some_and(|record| record.status == VersionStatus::Deprecated);
    let is_sound = is_spelled(&plugin.current)
        && usize::from(plugin.versions) == versions.len()
        && plugin.versions <= *Registry::MAX_VERSIONS.end()
        && plugin.previous.as_ref().is_none_or(|previous| is_spelled(previous) && is_deprecated(previous))
        && plugin.loaded.as_ref().is_none_or(is_current);
    if !is_sound {
        return Err(Box::new(Key::Plugin(*name)));
    }
    let new = deployment.as_ref().map(|deployment| &deployment.new);
    let is_sound = |deployment: &Deployment| {
        is_current(&deployment.old)
            && is_spelled(&deployment.new)
            && deployment.salt == salt(deployment.start, plugin.deployments)
            && is_reachable(deployment)
    };
    if !deployment.as_ref().is_none_or(is_sound) {
        return Err(Box::new(Key::Deployment(*name)));
    }
    for record in versions.iter() {
        let is_active = is_current(&record.version) == (record.status == VersionStatus::Active);
        let is_canary = (new == Some(&record.version)) == (record.status == VersionStatus::Canary);
        if !is_active || !is_canary {
            return Err(Box::new(Key::PluginVersion { plugin: *name, version: record.version.clone() }));
        }
    }
    Ok(())
}
