//! Requirements between plugins: what a load would do, and whether a version may become current.
//!
//! These are functions of values: they read a [`View`], the committed state or what a block has made of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::graph::{Graph, in_order};
use crate::index::Row;
use crate::plugin::data::PluginData;
use crate::plugin::manifest::{Manifest, Requirement};
use crate::plugin::record::{DEPENDENTS_MAX, LOAD_DEPTH_MAX, LOAD_PLUGINS_MAX, LOADED_MAX, LoadState};
use crate::plugin::version::{Constraint, Version};
use crate::reject::Reject;
use crate::values::Name;

/// Why a load is rejected, and the plugin at which the walk over requirements failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadRefusal {
    /// The reject of the load command.
    pub reject: Reject,
    /// The plugin that is missing, violates its constraint, closes a cycle, ….
    pub plugin: Name,
}

/// One plugin in the plan of a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLoad {
    /// The plugin to load.
    pub plugin: Name,
    /// Its current version, which is the one that is loaded.
    pub version: Version,
    /// Loading, or Pending while a requirement of it is not Loaded.
    pub state: LoadState,
}

/// The plugins, as the committed state or a block sees them.
pub(crate) trait View {
    fn plugin(&self, name: &Name) -> Option<&PluginData>;
    /// The version of the host program, which host constraints are checked against.
    fn host_version(&self) -> &Version;
    /// How many rows the host has in the dependents index: the plugins that are not Unloaded.
    fn host_rows(&self) -> usize;
    fn has_row(&self, row: &Row) -> bool;
    /// The plugins that have a row under this one, in no order; `None` is the host.
    fn dependents(&self, dependency: Option<Name>) -> impl Iterator<Item = Name>;
    /// The same, in name order.
    fn dependents_of(&self, dependency: Option<Name>) -> BTreeSet<Name> {
        self.dependents(dependency).collect()
    }
}

/// Plans the load of a plugin: every plugin it needs, after its own requirements.
// The order of these checks, and of the walk, is consensus: it decides the reject and the plugin it names.
pub(crate) fn plan_load(view: &impl View, plugin: &Name) -> Result<Vec<PlannedLoad>, LoadRefusal> {
    let refuse = |reject| LoadRefusal { reject, plugin: *plugin };
    let data = view.plugin(plugin).ok_or(refuse(Reject::PluginNotFound))?;
    match data.plugin.load_state {
        LoadState::Pending | LoadState::Loading | LoadState::Loaded => return Err(refuse(Reject::AlreadyLoaded)),
        LoadState::Unloading => return Err(refuse(Reject::InvalidTransition)),
        LoadState::Unloaded | LoadState::Failed => {}
    }
    let mut graph = Graph::new();
    visit(view, data, &mut Vec::new(), &mut graph)?;
    let (order, deepest) = in_order(&graph);
    if deepest > LOAD_DEPTH_MAX {
        return Err(refuse(Reject::LimitExceeded));
    }
    check_room(view, plugin, &order)?;
    Ok(order.into_iter().filter_map(|name| planned(view, name)).collect())
}

fn planned(view: &impl View, plugin: Name) -> Option<PlannedLoad> {
    let data = view.plugin(&plugin)?;
    let version = data.plugin.current.clone();
    let can_start = are_loaded(view, data.manifest(&version)?);
    let state = if can_start { LoadState::Loading } else { LoadState::Pending };
    Some(PlannedLoad { plugin, version, state })
}

/// Adds a plugin and what it requires to the graph, depth first, requirements in name order. What is under way is not
/// entered, so that a cycle is found among planned plugins only. The recursion is no deeper than the path, which is
/// limited by [`LOAD_DEPTH_MAX`].
fn visit(view: &impl View, data: &PluginData, path: &mut Vec<Name>, graph: &mut Graph) -> Result<(), LoadRefusal> {
    let refuse = |reject, plugin| LoadRefusal { reject, plugin };
    let name = data.name;
    let current = &data.plugin.current;
    let manifest = data.manifest(current).ok_or(refuse(Reject::VersionNotFound, name))?;
    check_constraint_and_host(view, data, current, manifest).map_err(|reject| refuse(reject, name))?;
    graph.insert(name, Vec::new());
    path.push(name);
    for requirement in &manifest.requirements {
        let required = requirement.plugin;
        let other = view.plugin(&required).ok_or(refuse(Reject::DependencyMissing, required))?;
        if path.contains(&required) {
            return Err(refuse(Reject::DependencyCycle, required));
        }
        if !requirement.constraint.allows(&other.plugin.current) {
            return Err(refuse(Reject::DependencyBroken, required));
        }
        match other.plugin.load_state {
            LoadState::Pending | LoadState::Loading | LoadState::Loaded => continue,
            LoadState::Unloading => return Err(refuse(Reject::InvalidTransition, required)),
            LoadState::Unloaded | LoadState::Failed => {}
        }
        graph.entry(name).or_default().push(required);
        if graph.contains_key(&required) {
            continue;
        }
        if path.len() > LOAD_DEPTH_MAX || graph.len() >= LOAD_PLUGINS_MAX {
            return Err(refuse(Reject::LimitExceeded, required));
        }
        visit(view, other, path, graph)?;
    }
    path.pop();
    Ok(())
}

/// Checks that the dependents index has room for the rows of the planned plugins.
fn check_room(view: &impl View, plugin: &Name, order: &[Name]) -> Result<(), LoadRefusal> {
    let new_hosted = order.iter().filter(|name| !view.has_row(&(None, **name))).count();
    if view.host_rows().saturating_add(new_hosted) > LOADED_MAX {
        return Err(LoadRefusal { reject: Reject::LimitExceeded, plugin: *plugin });
    }
    let mut added: BTreeMap<Name, usize> = BTreeMap::new();
    for name in order {
        let manifest = view.plugin(name).and_then(|data| data.manifest(&data.plugin.current));
        for required in manifest.into_iter().flat_map(|manifest| &manifest.requirements) {
            if !view.has_row(&(Some(required.plugin), *name)) {
                let added = added.entry(required.plugin).or_default();
                *added = added.saturating_add(1);
            }
        }
    }
    for (required, added) in added {
        if row_count_of(view, &required).saturating_add(added) > DEPENDENTS_MAX {
            return Err(LoadRefusal { reject: Reject::LimitExceeded, plugin: required });
        }
    }
    Ok(())
}

/// Checks that another version of a plugin that is not Unloaded fits what it requires and what requires it. Cycles are
/// looked for when loading only.
fn check_dependencies(
    view: &impl View,
    data: &PluginData,
    version: &Version,
    manifest: &Arc<Manifest>,
) -> Result<(), Reject> {
    for requirement in &manifest.requirements {
        let required = view.plugin(&requirement.plugin).ok_or(Reject::DependencyBroken)?;
        let holds =
            required.plugin.load_state.is_under_way() && requirement.constraint.allows(&required.plugin.current);
        if !holds || requirement.plugin == data.name {
            return Err(Reject::DependencyBroken);
        }
    }
    for (dependent, _) in pinning_dependents(view, &data.name) {
        let pinned = view.plugin(&dependent).and_then(PluginData::pinned_manifest);
        let requirement = pinned.and_then(|manifest| requirement_of(manifest, &data.name));
        if !requirement.is_some_and(|requirement| requirement.constraint.allows(version)) {
            return Err(Reject::DependencyBroken);
        }
    }
    if data.pins_requirements() && !has_room(view, manifest, &data.name) {
        return Err(Reject::LimitExceeded);
    }
    Ok(())
}

/// Whether every plugin in a manifest has room for a row of `plugin`, unless it has one already.
pub(crate) fn has_room(view: &impl View, manifest: &Manifest, plugin: &Name) -> bool {
    manifest.requirements.iter().all(|Requirement { plugin: required, .. }| {
        view.has_row(&(Some(*required), *plugin)) || row_count_of(view, required) < DEPENDENTS_MAX
    })
}

pub(crate) fn are_loaded(view: &impl View, manifest: &Manifest) -> bool {
    manifest.requirements.iter().all(|requirement| {
        view.plugin(&requirement.plugin).is_some_and(|data| data.plugin.load_state == LoadState::Loaded)
    })
}

/// The dependents for which this plugin must stay as it is, with their load states, in no order: those that wait for it
/// are not among them.
fn pinning_dependents(view: &impl View, plugin: &Name) -> impl Iterator<Item = (Name, LoadState)> {
    let state = |name: Name| Some((name, view.plugin(&name)?.plugin.load_state));
    view.dependents(Some(*plugin)).filter_map(state).filter(|(_, state)| state.pins_requirements())
}

/// Whether this plugin must stay as it is for any other.
pub(crate) fn has_dependents(view: &impl View, plugin: &Name) -> bool {
    pinning_dependents(view, plugin).next().is_some()
}

/// The dependents that cannot load before this plugin, in name order.
pub(crate) fn pending_dependents(view: &impl View, plugin: &Name) -> BTreeSet<Name> {
    let is_pending = |(name, state)| (state == LoadState::Pending).then_some(name);
    pinning_dependents(view, plugin).filter_map(is_pending).collect()
}

pub(crate) fn row_count_of(view: &impl View, plugin: &Name) -> usize {
    match view.plugin(plugin) {
        Some(data) => data.plugin.dependents.into(),
        // Only waiting plugins have rows under one that does not exist.
        None => view.dependents(Some(*plugin)).count(),
    }
}

/// Checks whether a version may become current: the plugin's constraint, the host, and, unless the plugin is Unloaded,
/// what it requires and what requires it. The order is consensus.
pub(crate) fn check_current(view: &impl View, data: &PluginData, version: &Version) -> Result<(), Reject> {
    let Some(manifest) = data.manifest(version) else {
        debug_assert!(false, "the new version of a deployment, and a previous version, are registered");
        return Ok(());
    };
    check_constraint_and_host(view, data, version, manifest)?;
    if data.plugin.load_state != LoadState::Unloaded {
        check_dependencies(view, data, version, manifest)?;
    }
    Ok(())
}

fn check_constraint_and_host(
    view: &impl View,
    data: &PluginData,
    version: &Version,
    manifest: &Manifest,
) -> Result<(), Reject> {
    if !allows(data.plugin.constraint.as_ref(), version) {
        return Err(Reject::RuleViolated);
    }
    if !allows(manifest.host.as_ref(), view.host_version()) {
        return Err(Reject::HostTooOld);
    }
    Ok(())
}

fn requirement_of<'m>(manifest: &'m Manifest, plugin: &Name) -> Option<&'m Requirement> {
    let place = manifest.requirements.binary_search_by(|requirement| requirement.plugin.cmp(plugin));
    manifest.requirements.get(place.ok()?)
}

/// Whether a constraint allows a version; the absence of one allows all.
pub(crate) fn allows(constraint: Option<&Constraint>, version: &Version) -> bool {
    constraint.is_none_or(|constraint| constraint.allows(version))
}
