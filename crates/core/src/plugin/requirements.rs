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
    /// The plugins that have a row under this one, in name order; `None` is the host.
    fn dependents_of(&self, dependency: Option<Name>) -> BTreeSet<Name>;
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
    check_cycles(view, graph)?;
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

/// Adds a plugin and what it requires to the graph, depth first, requirements in name order. The recursion is no
/// deeper than the path, which is limited by [`LOAD_DEPTH_MAX`].
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

/// Checks that the planned plugins, together with those under way, do not require each other in a cycle. A forced
/// unload can have kept a plugin loaded that requires one which by now requires it. At most [`LOADED_MAX`]
/// plugins are under way, and they are visited only if one of them requires a planned one.
fn check_cycles(view: &impl View, planned: Graph) -> Result<(), LoadRefusal> {
    if !planned.keys().any(|name| has_dependents(view, name)) {
        return Ok(());
    }
    let mut open: Vec<Name> = planned.keys().copied().collect();
    let mut graph = Graph::new();
    while let Some(name) = open.pop() {
        if graph.contains_key(&name) {
            continue;
        }
        let data = view.plugin(&name);
        let is_known = |data: &&PluginData| planned.contains_key(&name) || data.pins_requirements();
        let manifest = data.filter(is_known).and_then(|data| data.manifest(&data.plugin.current));
        let required: Vec<Name> =
            manifest.into_iter().flat_map(|manifest| &manifest.requirements).map(|required| required.plugin).collect();
        open.extend(&required);
        graph.insert(name, required);
    }
    let (order, _) = in_order(&graph);
    let ordered: BTreeSet<Name> = order.into_iter().collect();
    match planned.into_keys().find(|name| !ordered.contains(name)) {
        Some(plugin) => Err(LoadRefusal { reject: Reject::DependencyCycle, plugin }),
        None => Ok(()),
    }
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

/// Checks that another version of a plugin that is not Unloaded or Failed fits what it requires and what
/// requires it.
fn check_dependencies(
    view: &impl View,
    data: &PluginData,
    version: &Version,
    manifest: &Arc<Manifest>,
) -> Result<(), Reject> {
    let state = data.plugin.load_state;
    for requirement in &manifest.requirements {
        let required = view.plugin(&requirement.plugin).ok_or(Reject::DependencyBroken)?;
        let allows = requirement.constraint.allows(&required.plugin.current);
        if !allows || !is_enough_for(state, required.plugin.load_state) {
            return Err(Reject::DependencyBroken);
        }
    }
    let requires_itself = requirement_of(manifest, &data.name).is_some();
    if requires_itself || (has_dependents(view, &data.name) && leads_to(view, manifest, &data.name)) {
        return Err(Reject::DependencyBroken);
    }
    for (dependent, _) in pinning_dependents(view, &data.name) {
        let pinned = view.plugin(&dependent).and_then(PluginData::pinned_manifest);
        let requirement = pinned.and_then(|manifest| requirement_of(manifest, &data.name));
        if !requirement.is_some_and(|requirement| requirement.constraint.allows(version)) {
            return Err(Reject::DependencyBroken);
        }
    }
    for requirement in &manifest.requirements {
        let is_new = !view.has_row(&(Some(requirement.plugin), data.name));
        if is_new && row_count_of(view, &requirement.plugin) >= DEPENDENTS_MAX {
            return Err(Reject::LimitExceeded);
        }
    }
    Ok(())
}

/// Whether the requirements in a manifest lead to `plugin` through plugins whose requirements are pinned. Those
/// are at most [`LOADED_MAX`].
fn leads_to(view: &impl View, manifest: &Arc<Manifest>, plugin: &Name) -> bool {
    let mut open = Vec::from([Arc::clone(manifest)]);
    let mut seen = BTreeSet::new();
    while let Some(manifest) = open.pop() {
        for requirement in &manifest.requirements {
            if requirement.plugin == *plugin {
                return true;
            }
            if seen.insert(requirement.plugin) {
                let next = view.plugin(&requirement.plugin).filter(|data| data.pins_requirements());
                open.extend(next.and_then(PluginData::pinned_manifest).cloned());
            }
        }
    }
    false
}

pub(crate) fn are_loaded(view: &impl View, manifest: &Manifest) -> bool {
    manifest.requirements.iter().all(|requirement| {
        view.plugin(&requirement.plugin).is_some_and(|data| data.plugin.load_state == LoadState::Loaded)
    })
}

/// The dependents for which this plugin must stay as it is, with their load states.
pub(crate) fn pinning_dependents(view: &impl View, plugin: &Name) -> impl Iterator<Item = (Name, LoadState)> {
    let state = |name: Name| Some((name, view.plugin(&name)?.plugin.load_state));
    view.dependents_of(Some(*plugin)).into_iter().filter_map(state).filter(|(_, state)| state.pins_requirements())
}

/// Whether this plugin must stay as it is for any other.
pub(crate) fn has_dependents(view: &impl View, plugin: &Name) -> bool {
    pinning_dependents(view, plugin).next().is_some()
}

pub(crate) fn pending_dependents(view: &impl View, plugin: &Name) -> Vec<Name> {
    let is_pending = |(name, state)| (state == LoadState::Pending).then_some(name);
    pinning_dependents(view, plugin).filter_map(is_pending).collect()
}

pub(crate) fn row_count_of(view: &impl View, plugin: &Name) -> usize {
    match view.plugin(plugin) {
        Some(data) => data.plugin.dependents.into(),
        // Only waiting plugins have rows under one that does not exist.
        None => view.dependents_of(Some(*plugin)).len(),
    }
}

/// Checks whether a version may become current: the plugin's constraint, the host, and, unless the plugin is
/// Unloaded or Failed, what it requires and what requires it. The order is consensus.
pub(crate) fn check_current(view: &impl View, data: &PluginData, version: &Version) -> Result<(), Reject> {
    let Some(manifest) = data.manifest(version) else {
        debug_assert!(false, "the new version of a deployment, and a previous version, are registered");
        return Ok(());
    };
    check_constraint_and_host(view, data, version, manifest)?;
    if data.plugin.load_state.pins_requirements() {
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

/// Whether a plugin in `state` may require one whose load state is `required`.
const fn is_enough_for(state: LoadState, required: LoadState) -> bool {
    match state {
        LoadState::Pending => required.is_under_way(),
        LoadState::Loading | LoadState::Loaded => matches!(required, LoadState::Loaded),
        LoadState::Unloading => matches!(required, LoadState::Loaded | LoadState::Unloading),
        LoadState::Unloaded | LoadState::Failed => true,
    }
}

fn requirement_of<'m>(manifest: &'m Manifest, plugin: &Name) -> Option<&'m Requirement> {
    let place = manifest.requirements.binary_search_by(|requirement| requirement.plugin.cmp(plugin));
    manifest.requirements.get(place.ok()?)
}

/// Whether a constraint allows a version; the absence of one allows all.
pub(crate) fn allows(constraint: Option<&Constraint>, version: &Version) -> bool {
    constraint.is_none_or(|constraint| constraint.allows(version))
}
