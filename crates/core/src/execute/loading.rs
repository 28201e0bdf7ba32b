//! The loading of plugins: what a load plans and in which order, and what attestations do to it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::event::Event;
use crate::graph::{Graph, in_order};
use crate::index::Presence;
use crate::overlay::Overlay;
use crate::plugin::data::PluginData;
use crate::plugin::manifest::{Manifest, Requirement};
use crate::plugin::record::{
    DEPENDENTS_MAX, LOAD_DEPTH_MAX, LOAD_PLUGINS_MAX, LOADED_MAX, LoadState, PluginAction, PluginReason,
};
use crate::plugin::version::Version;
use crate::reject::Reject;
use crate::state::State;
use crate::values::{Address, Height, Name};

/// Why a load is refused, and the plugin that it fails at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadRefusal {
    /// What the command meets.
    pub reject: Reject,
    /// The plugin: the missing one, the one that breaks its rule, and so on.
    pub plugin: Name,
}

/// One plugin of a planned load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLoad {
    /// The plugin.
    pub plugin: Name,
    /// Its current version.
    pub version: Version,
    /// Loading, or Pending while one of its requirements is not Loaded.
    pub state: LoadState,
}

impl Overlay<'_> {
    // Commands.

    pub(super) fn load(&mut self, plugin: &Name) -> Result<(), LoadRefusal> {
        let plan = self.plan_load(plugin)?;
        self.start_load(plan).map_err(|reject| LoadRefusal { reject, plugin: *plugin })
    }

    /// What a load of a plugin would do, in order.
    pub(crate) fn plan_load(&self, plugin: &Name) -> Result<Vec<PlannedLoad>, LoadRefusal> {
        let refuse = |reject| LoadRefusal { reject, plugin: *plugin };
        let data = self.plugins.get(plugin).ok_or(refuse(Reject::PluginNotFound))?;
        match data.plugin.load_state {
            LoadState::Pending | LoadState::Loading | LoadState::Loaded => return Err(refuse(Reject::AlreadyLoaded)),
            LoadState::Unloading => return Err(refuse(Reject::InvalidTransition)),
            LoadState::Unloaded | LoadState::Failed => {}
        }
        let mut graph = Graph::new();
        self.visit(data, &mut Vec::new(), &mut graph)?;
        let (order, deepest) = in_order(&graph);
        if deepest > LOAD_DEPTH_MAX {
            return Err(refuse(Reject::LimitExceeded));
        }
        self.check_cycles(graph)?;
        self.check_room(plugin, &order)?;
        Ok(order.into_iter().filter_map(|name| self.planned(name)).collect())
    }

    fn planned(&self, plugin: Name) -> Option<PlannedLoad> {
        let data = self.plugins.get(&plugin)?;
        let version = data.plugin.current.clone();
        let can_start = self.are_loaded(data.manifest(&version)?);
        let state = if can_start { LoadState::Loading } else { LoadState::Pending };
        Some(PlannedLoad { plugin, version, state })
    }

    /// Adds a plugin and what it requires to the graph, depth first, requirements in name order.
    /// The path is never longer than the limit of the depth, so neither is the recursion.
    fn visit(&self, data: &PluginData, path: &mut Vec<Name>, graph: &mut Graph) -> Result<(), LoadRefusal> {
        let refuse = |reject, plugin| LoadRefusal { reject, plugin };
        let name = data.name;
        let current = &data.plugin.current;
        let manifest = data.manifest(current).ok_or(refuse(Reject::VersionNotFound, name))?;
        self.check_rule_and_host(data, current, manifest).map_err(|reject| refuse(reject, name))?;
        graph.insert(name, Vec::new());
        path.push(name);
        for requirement in &manifest.requirements {
            let required = requirement.plugin;
            let other = self.plugins.get(&required).ok_or(refuse(Reject::DependencyMissing, required))?;
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
            self.visit(other, path, graph)?;
        }
        path.pop();
        Ok(())
    }

    /// Whether the planned plugins, with what is under way already, lead back to themselves: what was
    /// kept loaded by force may require a plugin that requires it now. At most [`LOADED_MAX`]
    /// plugins are under way, and they are looked at only if one of them requires a planned one.
    fn check_cycles(&self, planned: Graph) -> Result<(), LoadRefusal> {
        if !planned.keys().any(|name| self.is_held(name)) {
            return Ok(());
        }
        let mut open: Vec<Name> = planned.keys().copied().collect();
        let mut graph = Graph::new();
        while let Some(name) = open.pop() {
            if graph.contains_key(&name) {
                continue;
            }
            let data = self.plugins.get(&name);
            let is_known = |data: &&PluginData| planned.contains_key(&name) || data.holds_requirements();
            let manifest = data.filter(is_known).and_then(|data| data.manifest(&data.plugin.current));
            let required: Vec<Name> = manifest
                .into_iter()
                .flat_map(|manifest| &manifest.requirements)
                .map(|required| required.plugin)
                .collect();
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

    /// Whether the rows of the planned plugins fit the index of dependents.
    fn check_room(&self, plugin: &Name, order: &[Name]) -> Result<(), LoadRefusal> {
        let new_hosted = order.iter().filter(|name| !self.has_row(&(None, **name))).count();
        if self.host_rows.saturating_add(new_hosted) > LOADED_MAX {
            return Err(LoadRefusal { reject: Reject::LimitExceeded, plugin: *plugin });
        }
        let mut added: BTreeMap<Name, usize> = BTreeMap::new();
        for name in order {
            let manifest = self.plugins.get(name).and_then(|data| data.manifest(&data.plugin.current));
            for required in manifest.into_iter().flat_map(|manifest| &manifest.requirements) {
                if !self.has_row(&(Some(required.plugin), *name)) {
                    let added = added.entry(required.plugin).or_default();
                    *added = added.saturating_add(1);
                }
            }
        }
        for (required, added) in added {
            if self.row_count_of(&required).saturating_add(added) > DEPENDENTS_MAX {
                return Err(LoadRefusal { reject: Reject::LimitExceeded, plugin: required });
            }
        }
        Ok(())
    }

    fn start_load(&mut self, plan: Vec<PlannedLoad>) -> Result<(), Reject> {
        // What is planned waits no longer, so it gets no turn by what is planned before it.
        for PlannedLoad { plugin, .. } in &plan {
            self.plugins.get_mut(plugin)?.data.is_waiting = false;
        }
        for PlannedLoad { plugin, version, state } in plan {
            let copy = self.plugins.get_mut(&plugin)?;
            copy.data.plugin.load_state = state;
            copy.data.plugin.loaded = Some(version.clone());
            self.add_host_row(plugin);
            self.add_rows(&plugin);
            self.events.push(Event::LoadPlanned { plugin, version, state });
            self.queue_waiting(plugin);
        }
        Ok(())
    }

    /// Gives those that wait for a plugin their turn: it may be all that they lacked.
    pub(super) fn queue_waiting(&mut self, plugin: Name) {
        for dependent in self.dependents_of(Some(plugin)) {
            if self.plugins.get(&dependent).is_some_and(|data| data.is_waiting) {
                self.queue_load(dependent);
            }
        }
    }

    pub(super) fn report_load(
        &mut self,
        signer: &Address,
        plugin: &Name,
        version: &Version,
        ok: bool,
    ) -> Result<(), Reject> {
        let (version, state) = self.loaded_version(plugin, version)?;
        match (state, ok) {
            (LoadState::Loading, true) => self.finish_load(signer, plugin, version)?,
            (LoadState::Loading, false) => {
                self.fail(plugin, 0, PluginReason::LoadError, signer)?;
                self.fail_dependents(plugin)?;
            }
            (LoadState::Loaded, true) | (LoadState::Failed, false) => {}
            (LoadState::Loaded, false) | (LoadState::Failed, true) => {
                self.events.push(Event::LoadDisputed { plugin: *plugin, version, ok });
            }
            (LoadState::Unloaded | LoadState::Pending | LoadState::Unloading, _) => return Err(Reject::NotLoaded),
        }
        Ok(())
    }

    pub(super) fn report_unload(
        &mut self,
        signer: &Address,
        plugin: &Name,
        version: &Version,
        ok: bool,
    ) -> Result<(), Reject> {
        let height = self.height;
        let (version, state) = self.loaded_version(plugin, version)?;
        if state != LoadState::Unloading {
            return Err(Reject::NotLoaded);
        }
        if !ok {
            return self.finish_load(signer, plugin, version);
        }
        self.remove_rows(plugin)?;
        self.remove_host_row(*plugin);
        let copy = self.plugins.get_mut(plugin)?;
        copy.data.plugin.load_state = LoadState::Unloaded;
        copy.data.plugin.loaded = None;
        let entry = copy.entry(height, PluginAction::Unloaded, &version, PluginReason::None, signer);
        self.plugin_history.push(entry);
        self.events.push(Event::Unloaded { plugin: *plugin, version });
        Ok(())
    }

    /// The version that an attestation names, if it is the one that is loaded or on its way.
    fn loaded_version(&self, plugin: &Name, version: &Version) -> Result<(Version, LoadState), Reject> {
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if data.versions.get(version).is_none() {
            return Err(Reject::VersionNotFound);
        }
        match &data.plugin.loaded {
            Some(loaded) if loaded.is_same(version) => Ok((loaded.clone(), data.plugin.load_state)),
            Some(_) | None => Err(Reject::NotLoaded),
        }
    }

    pub(super) fn unload(&mut self, plugin: &Name) -> Result<(), Reject> {
        self.check_loaded(plugin)?;
        if self.is_held(plugin) {
            return Err(Reject::HasDependents);
        }
        self.move_to(*plugin, LoadState::Unloading)
    }

    /// Unloads what depends on the plugin too, dependents first. What is not Loaded yet fails.
    pub(super) fn unload_forced(&mut self, plugin: &Name) -> Result<(), Reject> {
        self.check_loaded(plugin)?;
        let mut loaded = BTreeSet::from([*plugin]);
        let mut unfinished = BTreeSet::new();
        let mut leaving = BTreeSet::new();
        let mut open = Vec::from([*plugin]);
        while let Some(name) = open.pop() {
            for (dependent, state) in self.holding_dependents(&name) {
                let is_new = match state {
                    LoadState::Loaded => loaded.insert(dependent),
                    LoadState::Pending | LoadState::Loading => unfinished.insert(dependent),
                    LoadState::Unloading => leaving.insert(dependent),
                    LoadState::Unloaded | LoadState::Failed => false,
                };
                if is_new {
                    open.push(dependent);
                }
            }
            if loaded.len() > LOAD_PLUGINS_MAX {
                return Err(Reject::LimitExceeded);
            }
        }
        // Turned around, so that what requires comes before what is required.
        let mut graph = Graph::new();
        for name in &loaded {
            let dependents = self.holding_dependents(name).map(|(dependent, _)| dependent);
            graph.insert(*name, dependents.filter(|dependent| loaded.contains(dependent)).collect());
        }
        let (order, _) = in_order(&graph);
        let code = Reject::DependencyBroken.code();
        for name in unfinished {
            self.fail(&name, code, PluginReason::Dependents, &Address::ZERO)?;
        }
        order.into_iter().try_for_each(|name| self.move_to(name, LoadState::Unloading))
    }

    fn check_loaded(&self, plugin: &Name) -> Result<(), Reject> {
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if data.plugin.load_state == LoadState::Loaded { Ok(()) } else { Err(Reject::NotLoaded) }
    }

    fn move_to(&mut self, plugin: Name, state: LoadState) -> Result<(), Reject> {
        let record = &mut self.plugins.get_mut(&plugin)?.data.plugin;
        record.load_state = state;
        let version = record.current.clone();
        self.events.push(Event::LoadPlanned { plugin, version, state });
        Ok(())
    }

    // What follows.

    /// A plugin is loaded; those that waited for nothing else start to load.
    fn finish_load(&mut self, actor: &Address, plugin: &Name, version: Version) -> Result<(), Reject> {
        let height = self.height;
        let copy = self.plugins.get_mut(plugin)?;
        copy.data.plugin.load_state = LoadState::Loaded;
        let entry = copy.entry(height, PluginAction::Loaded, &version, PluginReason::None, actor);
        self.plugin_history.push(entry);
        self.events.push(Event::Loaded { plugin: *plugin, version });
        self.pending_dependents(plugin).iter().try_for_each(|dependent| self.start_if_possible(dependent))
    }

    /// A Pending plugin starts to load once all its requirements are Loaded.
    fn start_if_possible(&mut self, plugin: &Name) -> Result<(), Reject> {
        let pending = self.plugins.get(plugin).filter(|data| data.plugin.load_state == LoadState::Pending);
        if pending.and_then(PluginData::held_manifest).is_some_and(|manifest| self.are_loaded(manifest)) {
            self.move_to(*plugin, LoadState::Loading)?;
        }
        Ok(())
    }

    fn are_loaded(&self, manifest: &Manifest) -> bool {
        manifest.requirements.iter().all(|requirement| {
            self.plugins.get(&requirement.plugin).is_some_and(|data| data.plugin.load_state == LoadState::Loaded)
        })
    }

    fn fail(&mut self, plugin: &Name, code: u16, reason: PluginReason, actor: &Address) -> Result<(), Reject> {
        let height = self.height;
        self.remove_rows(plugin)?;
        let copy = self.plugins.get_mut(plugin)?;
        copy.data.plugin.load_state = LoadState::Failed;
        let version = copy.data.plugin.current.clone();
        let entry = copy.entry(height, PluginAction::LoadFailed, &version, reason, actor);
        self.plugin_history.push(entry);
        self.events.push(Event::LoadFailed { plugin: *plugin, version, code });
        Ok(())
    }

    /// Fails those that wait for a failed plugin; theirs get their turn in the load queue.
    fn fail_dependents(&mut self, plugin: &Name) -> Result<(), Reject> {
        let code = Reject::DependencyBroken.code();
        let failed = self.pending_dependents(plugin);
        for dependent in &failed {
            self.fail(dependent, code, PluginReason::Dependents, &Address::ZERO)?;
        }
        for dependent in failed {
            if !self.pending_dependents(&dependent).is_empty() {
                self.queue_load(dependent);
            }
        }
        Ok(())
    }

    /// Takes the turn of a plugin in the load queue.
    pub(super) fn take_load_turn(&mut self, plugin: &Name, at: Height) -> Result<(), Reject> {
        self.set_queued(at, *plugin, Presence::Removed);
        match self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?.plugin.load_state {
            LoadState::Failed => self.fail_dependents(plugin),
            LoadState::Unloaded => self.load_automatically(plugin),
            LoadState::Pending | LoadState::Loading | LoadState::Loaded | LoadState::Unloading => Ok(()),
        }
    }

    /// Loads a plugin if that is to happen by itself; it waits for a requirement that is missing.
    fn load_automatically(&mut self, plugin: &Name) -> Result<(), Reject> {
        self.stop_waiting(plugin)?;
        // What this block has loaded so far gave it the turn after this one, which is this one.
        if let Some(next) = self.height.checked_add(1)
            && self.is_queued(next, plugin)
        {
            self.set_queued(next, *plugin, Presence::Removed);
        }
        if !self.registry.auto_load {
            return Ok(());
        }
        let reject = match self.plan_load(plugin) {
            Ok(plan) => return self.start_load(plan),
            Err(refusal) => refusal.reject,
        };
        let data = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let version = data.plugin.current.clone();
        let has_room = data.manifest(&version).is_some_and(|manifest| {
            manifest.requirements.iter().all(|required| self.row_count_of(&required.plugin) < DEPENDENTS_MAX)
        });
        if reject == Reject::DependencyMissing && has_room {
            self.plugins.get_mut(plugin)?.data.is_waiting = true;
            self.add_rows(plugin);
        }
        self.events.push(Event::LoadFailed { plugin: *plugin, version, code: reject.code() });
        Ok(())
    }

    fn stop_waiting(&mut self, plugin: &Name) -> Result<(), Reject> {
        if self.plugins.get(plugin).is_some_and(|data| data.is_waiting) {
            self.remove_rows(plugin)?;
            self.plugins.get_mut(plugin)?.data.is_waiting = false;
        }
        Ok(())
    }

    /// Puts a plugin into the load queue of the next block.
    pub(super) fn queue_load(&mut self, plugin: Name) {
        if let Some(next) = self.height.checked_add(1)
            && !self.is_queued(next, &plugin)
        {
            self.set_queued(next, plugin, Presence::Added);
        }
    }

    /// Whether another version of a plugin that is not Unloaded keeps what requires it and what it
    /// requires in order.
    pub(super) fn check_dependencies(
        &self,
        data: &PluginData,
        version: &Version,
        manifest: &Arc<Manifest>,
    ) -> Result<(), Reject> {
        let state = data.plugin.load_state;
        for requirement in &manifest.requirements {
            let required = self.plugins.get(&requirement.plugin).ok_or(Reject::DependencyBroken)?;
            let allows = requirement.constraint.allows(&required.plugin.current);
            if !allows || !is_enough_for(state, required.plugin.load_state) {
                return Err(Reject::DependencyBroken);
            }
        }
        let requires_itself = requirement_of(manifest, &data.name).is_some();
        if requires_itself || (self.is_held(&data.name) && self.leads_to(manifest, &data.name)) {
            return Err(Reject::DependencyBroken);
        }
        for (dependent, _) in self.holding_dependents(&data.name) {
            let held = self.plugins.get(&dependent).and_then(PluginData::held_manifest);
            let requirement = held.and_then(|manifest| requirement_of(manifest, &data.name));
            if !requirement.is_some_and(|requirement| requirement.constraint.allows(version)) {
                return Err(Reject::DependencyBroken);
            }
        }
        for requirement in &manifest.requirements {
            let is_new = !self.has_row(&(Some(requirement.plugin), data.name));
            if is_new && self.row_count_of(&requirement.plugin) >= DEPENDENTS_MAX {
                return Err(Reject::LimitExceeded);
            }
        }
        Ok(())
    }

    /// Whether what is required leads, through plugins that hold on to what they require, to a plugin.
    /// At most [`LOADED_MAX`] plugins do.
    fn leads_to(&self, manifest: &Arc<Manifest>, plugin: &Name) -> bool {
        let mut open = Vec::from([Arc::clone(manifest)]);
        let mut seen = BTreeSet::new();
        while let Some(manifest) = open.pop() {
            for requirement in &manifest.requirements {
                if requirement.plugin == *plugin {
                    return true;
                }
                if seen.insert(requirement.plugin) {
                    let next = self.plugins.get(&requirement.plugin).filter(|data| data.holds_requirements());
                    open.extend(next.and_then(PluginData::held_manifest).cloned());
                }
            }
        }
        false
    }

    /// Another version is current: what is loaded follows it, and so do its rows. `from` was current.
    pub(super) fn switch_loaded(&mut self, plugin: &Name, from: &Version) -> Result<(), Reject> {
        let copy = self.plugins.get_mut(plugin)?;
        let state = copy.data.plugin.load_state;
        let is_waiting = core::mem::take(&mut copy.data.is_waiting);
        if state != LoadState::Unloaded {
            copy.data.plugin.loaded = Some(copy.data.plugin.current.clone());
        }
        if is_waiting || state.holds_requirements() {
            self.remove_rows_of(plugin, from);
        }
        if is_waiting {
            self.queue_load(*plugin);
        } else if state.holds_requirements() {
            self.add_rows(plugin);
            self.start_if_possible(plugin)?;
        }
        Ok(())
    }

    // The index of dependents.

    /// The dependents that hold on to a plugin, with their load states.
    fn holding_dependents(&self, plugin: &Name) -> impl Iterator<Item = (Name, LoadState)> {
        let state = |name: Name| Some((name, self.plugins.get(&name)?.plugin.load_state));
        self.dependents_of(Some(*plugin)).into_iter().filter_map(state).filter(|(_, state)| state.holds_requirements())
    }

    /// Whether anything holds on to a plugin.
    fn is_held(&self, plugin: &Name) -> bool {
        self.holding_dependents(plugin).next().is_some()
    }

    fn pending_dependents(&self, plugin: &Name) -> Vec<Name> {
        let is_pending = |(name, state)| (state == LoadState::Pending).then_some(name);
        self.holding_dependents(plugin).filter_map(is_pending).collect()
    }

    fn row_count_of(&self, plugin: &Name) -> usize {
        match self.plugins.get(plugin) {
            Some(data) => data.plugin.dependents.into(),
            // Nothing but waiting plugins requires what does not exist.
            None => self.dependents_of(Some(*plugin)).len(),
        }
    }

    fn add_rows(&mut self, plugin: &Name) {
        let manifest = self.plugins.get(plugin).and_then(PluginData::held_manifest).cloned();
        for requirement in manifest.iter().flat_map(|manifest| &manifest.requirements) {
            let row = (Some(requirement.plugin), *plugin);
            if self.has_row(&row) {
                continue;
            }
            self.set_row(row, Presence::Added);
            // What is waited for may not exist.
            if let Ok(copy) = self.plugins.get_mut(&requirement.plugin) {
                copy.data.plugin.dependents = copy.data.plugin.dependents.saturating_add(1);
            }
        }
    }

    fn remove_rows(&mut self, plugin: &Name) -> Result<(), Reject> {
        let current = self.plugins.get(plugin).ok_or(Reject::PluginNotFound)?.plugin.current.clone();
        self.remove_rows_of(plugin, &current);
        Ok(())
    }

    fn remove_rows_of(&mut self, plugin: &Name, version: &Version) {
        let manifest = self.plugins.get(plugin).and_then(|data| data.manifest(version)).cloned();
        for requirement in manifest.iter().flat_map(|manifest| &manifest.requirements) {
            let row = (Some(requirement.plugin), *plugin);
            if !self.has_row(&row) {
                continue;
            }
            self.set_row(row, Presence::Removed);
            // What is waited for may not exist.
            if let Ok(copy) = self.plugins.get_mut(&requirement.plugin) {
                copy.data.plugin.dependents = copy.data.plugin.dependents.saturating_sub(1);
            }
        }
    }

    fn add_host_row(&mut self, plugin: Name) {
        if !self.has_row(&(None, plugin)) {
            self.set_row((None, plugin), Presence::Added);
            self.host_rows = self.host_rows.saturating_add(1);
        }
    }

    fn remove_host_row(&mut self, plugin: Name) {
        if self.has_row(&(None, plugin)) {
            self.set_row((None, plugin), Presence::Removed);
            self.host_rows = self.host_rows.saturating_sub(1);
        }
    }
}

/// Whether a plugin in `state` may require one in `required`.
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

impl State {
    /// What a load of a plugin would do in the next block, in order.
    ///
    /// # Errors
    /// What the command would meet, and at which plugin.
    pub fn plan_load(&self, name: &Name) -> Result<Vec<PlannedLoad>, LoadRefusal> {
        Overlay::new(self, self.tip.map_or(0, |tip| tip.saturating_add(1))).plan_load(name)
    }
}
