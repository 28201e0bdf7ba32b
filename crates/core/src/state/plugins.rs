//! The committed plugins, decoded, with the indexes that follow from them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::bucket::BucketPrefix;
use crate::index::{PluginId, Presence, Row, index, moved};
use crate::key::Key;
use crate::names::Names;
use crate::plugin::data::{PluginData, Versions};
use crate::plugin::deployment::Deployment;
use crate::plugin::engine::{is_reachable, salt};
use crate::plugin::record::{
    DEPENDENTS_MAX, DEPLOYMENTS_MAX, LOADED_MAX, LoadState, MaxVersions, Plugin, Registry, VersionStatus,
};
use crate::plugin::requirements::View;
use crate::plugin::version::Version;
use crate::values::{Bps, ChainId, Height, Name};

/// A plugin, and values derived from it.
#[derive(Debug, Clone)]
pub(crate) struct PluginEntry {
    pub(crate) data: PluginData,
    /// The hashed prefix of the buckets of its deployment.
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
            (Some(deployment), Some(prefix)) => deployment.serves(prefix.bucket(unit)),
            (Some(_) | None, _) => &self.data.plugin.current,
        }
    }
}

/// Routes the units of one plugin as the state did that it comes from, for hot paths that cannot borrow the state.
///
/// Its answers are those of [`State::route`](crate::State::route) for as long as
/// [`State::plugins_mark`](crate::State::plugins_mark) is the same.
#[derive(Debug, Clone)]
pub struct Router {
    current: Version,
    canary: Option<Canary>,
}

/// What a deployment routes to its new version.
#[derive(Debug, Clone)]
struct Canary {
    version: Version,
    share: Bps,
    prefix: BucketPrefix,
}

impl Router {
    /// The version that serves a unit.
    #[must_use]
    pub fn route(&self, unit: &[u8]) -> &Version {
        self.canary_for(unit).unwrap_or(&self.current)
    }

    /// The version that serves every unit which no deployment routes elsewhere.
    #[must_use]
    pub const fn current(&self) -> &Version {
        &self.current
    }

    /// The new version of a deployment, if that serves the unit.
    #[must_use]
    pub fn canary_for(&self, unit: &[u8]) -> Option<&Version> {
        let canary = self.canary.as_ref()?;
        // Only a share between the ends takes a hash.
        let is_in = match canary.share {
            Bps::ZERO => false,
            Bps::FULL => true,
            share => canary.prefix.bucket(unit) < share,
        };
        is_in.then_some(&canary.version)
    }
}

/// Says whether plugins have changed: two marks are equal if the states that gave them have the same plugins, because
/// one comes from the other by blocks that changed none.
///
/// Open rounds and the settings of the registry are no part of it.
#[derive(Debug, Clone, Default)]
pub struct PluginsMark(Arc<()>);

impl PartialEq for PluginsMark {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PluginsMark {}

/// All plugins.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plugins {
    /// Another one after every block that changes plugins.
    pub(crate) mark: PluginsMark,
    pub(crate) registry: Registry,
    names: Names<PluginId>,
    entries: Vec<PluginEntry>,
    /// The plugins with a deployment.
    pub(crate) deployments: BTreeSet<Name>,
    /// The heights at which deployments are checked.
    pub(crate) checks: BTreeSet<(Height, Name)>,
    /// The heights at which deployments are rolled back.
    pub(crate) deadlines: BTreeSet<(Height, Name)>,
    /// The load queue.
    pub(crate) queue: BTreeSet<(Height, Name)>,
    /// The dependents of each plugin; the key `None` is the host.
    pub(crate) dependents: BTreeMap<Option<Name>, BTreeSet<Name>>,
}

impl Plugins {
    pub(crate) fn id(&self, name: &Name) -> Option<PluginId> {
        self.names.get(name)
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

    pub(crate) fn router(&self, name: &Name) -> Option<Router> {
        let PluginEntry { data, route } = self.entry(self.id(name)?)?;
        let canary = data.deployment.as_ref().zip(route.as_ref()).map(|(deployment, prefix)| Canary {
            version: deployment.new.clone(),
            share: deployment.share(),
            prefix: prefix.clone(),
        });
        Some(Router { current: data.plugin.current.clone(), canary })
    }

    /// The plugins that are not Unloaded, in name order.
    pub(crate) fn not_unloaded(&self) -> impl Iterator<Item = &PluginData> {
        self.dependents.get(&None).into_iter().flatten().filter_map(|name| self.get(name))
    }

    /// In name order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PluginData> {
        self.names.positions().filter_map(|id| self.data(id))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Inserts or replaces a plugin, and updates the indexes of deployments.
    pub(crate) fn put(&mut self, chain: &ChainId, data: PluginData) {
        let name = data.name;
        let due =
            |data: Option<&PluginData>| (data.and_then(PluginData::check_due), data.and_then(PluginData::deadline_due));
        let (before, now) = (due(self.get(&name)), due(Some(&data)));
        moved(before.0, now.0).for_each(|(at, presence)| index(&mut self.checks, (at, name), presence));
        moved(before.1, now.1).for_each(|(at, presence)| index(&mut self.deadlines, (at, name), presence));
        if data.deployment.is_some() {
            self.deployments.insert(name);
        } else {
            self.deployments.remove(&name);
        }
        let entry = PluginEntry::new(chain, data);
        match self.id(&name).and_then(|PluginId(id)| self.entries.get_mut(usize::try_from(id).ok()?)) {
            Some(old) => *old = entry,
            None => {
                let id = u32::try_from(self.entries.len());
                debug_assert!(
                    id.is_ok(),
                    "the tree is full long before the ids are: each plugin has two keys at least"
                );
                self.entries.push(entry);
                self.names.insert(&name, PluginId(id.unwrap_or(u32::MAX)));
            }
        }
    }

    /// Adds or removes a row of the dependents index.
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

    /// The number of rows that a plugin, or the host, has in the dependents index.
    pub(crate) fn row_count(&self, dependency: &Option<Name>) -> usize {
        self.dependents.get(dependency).map_or(0, BTreeSet::len)
    }

    fn entry(&self, PluginId(id): PluginId) -> Option<&PluginEntry> {
        self.entries.get(usize::try_from(id).ok()?)
    }
}

impl View for Plugins {
    fn plugin(&self, name: &Name) -> Option<&PluginData> {
        self.get(name)
    }

    fn host_version(&self) -> &Version {
        &self.registry.host_version
    }

    fn host_rows(&self) -> usize {
        self.row_count(&None)
    }

    fn has_row(&self, row: &Row) -> bool {
        Self::has_row(self, row)
    }

    fn dependents(&self, dependency: Option<Name>) -> impl Iterator<Item = Name> {
        self.dependents.get(&dependency).into_iter().flatten().copied()
    }
}

/// Collects the decoded records of plugins until all are there and can be checked against each other.
#[derive(Default)]
pub(crate) struct PluginLoader {
    pub(crate) registry: Option<Registry>,
    pub(crate) plugins: BTreeMap<Name, Plugin>,
    pub(crate) versions: BTreeMap<Name, Versions>,
    pub(crate) deployments: BTreeMap<Name, Deployment>,
    /// One history entry of each plugin that has any.
    pub(crate) changes: BTreeMap<Name, (Height, u32)>,
    pub(crate) rows: BTreeSet<(Option<Name>, Name)>,
    pub(crate) checks: BTreeSet<(Height, Name)>,
    pub(crate) deadlines: BTreeSet<(Height, Name)>,
    pub(crate) queue: BTreeSet<(Height, Name)>,
}

impl PluginLoader {
    /// Returns the plugins, or the key of a record that contradicts another.
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
            // An Unloaded plugin with rows waits for a requirement, so it must have one.
            let is_unloaded = data.plugin.load_state == LoadState::Unloaded;
            let current = data.manifest(&data.plugin.current);
            let first = current.and_then(|manifest| manifest.requirements.first());
            data.is_waiting = is_unloaded && first.is_some_and(|first| self.rows.contains(&(Some(first.plugin), name)));
            if !is_unloaded {
                plugins.set_row((None, name), Presence::Added);
            }
            for requirement in data.pinned_manifest().into_iter().flat_map(|manifest| &manifest.requirements) {
                plugins.set_row((Some(requirement.plugin), name), Presence::Added);
            }
            plugins.put(chain, data);
        }
        if let Some(name) = plugins.deployments.iter().nth(DEPLOYMENTS_MAX) {
            return Err(Box::new(Key::Deployment(*name)));
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
        // Whatever is left belongs to no plugin. The indexes must equal those that follow from the plugins.
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
            self.checks
                .symmetric_difference(&plugins.checks)
                .next()
                .map(|(at, name)| Key::DeploymentDue { at: *at, plugin: *name }),
            self.deadlines
                .symmetric_difference(&plugins.deadlines)
                .next()
                .map(|(at, name)| Key::Deadline { at: *at, plugin: *name }),
        ];
        plugins.queue = self.queue;
        match orphan.into_iter().flatten().next() {
            Some(key) => Err(Box::new(key)),
            None => check_rows(&plugins).map(|()| plugins),
        }
    }
}

/// Checks that pinned requirements exist, and that no plugin is pinned to itself. They may form longer cycles: those are
/// looked for when loading only.
fn check_rows(plugins: &Plugins) -> Result<(), Box<Key>> {
    for data in plugins.iter().filter(|data| data.pins_requirements()) {
        if plugins.has_row(&(Some(data.name), data.name)) {
            return Err(Box::new(Key::Plugin(data.name)));
        }
    }
    for (dependency, dependents) in &plugins.dependents {
        let Some(missing) = dependency.filter(|name| plugins.id(name).is_none()) else { continue };
        let holds = |name: &&Name| plugins.get(name).is_some_and(PluginData::pins_requirements);
        let wrong = dependents.iter().find(holds).or(dependents.iter().nth(DEPENDENTS_MAX));
        if let Some(dependent) = wrong {
            return Err(Box::new(Key::Dependent { dependency: Some(missing), dependent: *dependent }));
        }
    }
    Ok(())
}

/// Checks that the records of one plugin agree with each other.
fn check_plugin(data: &PluginData) -> Result<(), Box<Key>> {
    let PluginData { name, plugin, versions, deployment, is_waiting: _ } = data;
    let is_spelled = |version: &Version| versions.get(version).is_some_and(|record| record.version == *version);
    let is_current = |version: &Version| *version == plugin.current;
    let is_deprecated =
        |version: &Version| versions.get(version).is_some_and(|record| record.status == VersionStatus::Deprecated);
    let is_sound = is_spelled(&plugin.current)
        && usize::from(plugin.versions) == versions.len()
        && plugin.versions <= MaxVersions::MAX.get()
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
