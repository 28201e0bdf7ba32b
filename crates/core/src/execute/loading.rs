//! The commands that load and unload plugins, what attestations do, and the load queue.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::event::Event;
use crate::execute::executor::{Executor, Refusal};
use crate::graph::{Graph, in_order};
use crate::index::Presence;
use crate::plugin::data::PluginData;
use crate::plugin::manifest::Manifest;
use crate::plugin::record::{DEPENDENTS_MAX, LOAD_PLUGINS_MAX, LoadState, PluginAction, PluginReason};
use crate::plugin::requirements::{
    LoadRefusal, PlannedLoad, View, are_loaded, has_dependents, pending_dependents, pinning_dependents, plan_load,
    row_count_of,
};
use crate::plugin::version::Version;
use crate::reject::Reject;
use crate::values::{Address, Height, Name};

/// Reported when a name that a guard, an index or a plan has found is missing.
const NO_PLUGIN: &str = "a plugin that a guard, an index or a plan has found is not there";

impl Executor<'_> {
    // Commands.

    pub(super) fn load(&mut self, plugin: &Name) -> Result<(), Refusal> {
        let plan = plan_load(&self.overlay, plugin)
            .map_err(|LoadRefusal { reject, plugin }| Refusal { reject, plugin: Some(plugin) })?;
        // From here on the command succeeds.
        self.start_load(plan);
        Ok(())
    }

    pub(super) fn unload(&mut self, plugin: &Name) -> Result<(), Reject> {
        self.check_loaded(plugin)?;
        if has_dependents(&self.overlay, plugin) {
            return Err(Reject::HasDependents);
        }
        // From here on the command succeeds.
        self.move_to(*plugin, LoadState::Unloading);
        Ok(())
    }

    /// Unloads the plugin and all Loaded plugins that depend on it, dependents first. Dependents that are still on
    /// their way to Loaded fail.
    pub(super) fn unload_forced(&mut self, plugin: &Name) -> Result<(), Reject> {
        self.check_loaded(plugin)?;
        let mut loaded = BTreeSet::from([*plugin]);
        let mut unfinished = BTreeSet::new();
        let mut leaving = BTreeSet::new();
        let mut open = Vec::from([*plugin]);
        while let Some(name) = open.pop() {
            for (dependent, state) in pinning_dependents(&self.overlay, &name) {
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
        // From here on the command succeeds. The graph is reversed, so that dependents come first.
        let mut graph = Graph::new();
        for name in &loaded {
            let dependents = pinning_dependents(&self.overlay, name).map(|(dependent, _)| dependent);
            graph.insert(*name, dependents.filter(|dependent| loaded.contains(dependent)).collect());
        }
        let (order, _) = in_order(&graph);
        for name in unfinished {
            self.fail(&name, Reject::DependencyBroken.code(), PluginReason::Dependents, &Address::ZERO);
        }
        order.into_iter().for_each(|name| self.move_to(name, LoadState::Unloading));
        Ok(())
    }

    fn check_loaded(&self, plugin: &Name) -> Result<(), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if data.plugin.load_state == LoadState::Loaded { Ok(()) } else { Err(Reject::NotLoaded) }
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
            (LoadState::Loading, true) => self.finish_load(signer, plugin, version),
            (LoadState::Loading, false) => {
                self.fail(plugin, 0, PluginReason::LoadError, signer);
                self.fail_dependents(plugin);
            }
            (LoadState::Loaded, true) | (LoadState::Failed, false) => {}
            (LoadState::Loaded, false) | (LoadState::Failed, true) => {
                self.out.event(Event::LoadDisputed { plugin: *plugin, version, ok });
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
        let (version, state) = self.loaded_version(plugin, version)?;
        if state != LoadState::Unloading {
            return Err(Reject::NotLoaded);
        }
        // From here on the command succeeds.
        if ok {
            self.finish_unload(signer, plugin, version);
        } else {
            self.finish_load(signer, plugin, version);
        }
        Ok(())
    }

    /// The guards of attestations: the named version must be the one that is loaded or on its way.
    fn loaded_version(&self, plugin: &Name, version: &Version) -> Result<(Version, LoadState), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        if data.versions.get(version).is_none() {
            return Err(Reject::VersionNotFound);
        }
        match &data.plugin.loaded {
            Some(loaded) if loaded.is_same(version) => Ok((loaded.clone(), data.plugin.load_state)),
            Some(_) | None => Err(Reject::NotLoaded),
        }
    }

    // Consequences.

    fn start_load(&mut self, plan: Vec<PlannedLoad>) {
        // A planned plugin no longer waits, so the plugins planned before it must not queue it again.
        for PlannedLoad { plugin, .. } in &plan {
            match self.overlay.plugins.get_mut(plugin) {
                Some(touched) => touched.data.is_waiting = false,
                None => return self.out.broken(NO_PLUGIN),
            }
        }
        for PlannedLoad { plugin, version, state } in plan {
            let Some(touched) = self.overlay.plugins.get_mut(&plugin) else {
                return self.out.broken(NO_PLUGIN);
            };
            touched.data.plugin.load_state = state;
            touched.data.plugin.loaded = Some(version.clone());
            self.add_host_row(plugin);
            self.add_rows(&plugin);
            self.out.event(Event::LoadPlanned { plugin, version, state });
            self.queue_waiting(plugin);
        }
    }

    fn move_to(&mut self, plugin: Name, state: LoadState) {
        let Some(touched) = self.overlay.plugins.get_mut(&plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        let record = &mut touched.data.plugin;
        record.load_state = state;
        let version = record.current.clone();
        self.out.event(Event::LoadPlanned { plugin, version, state });
    }

    /// Marks a plugin as Loaded; dependents for which it was the last missing requirement start to load.
    fn finish_load(&mut self, actor: &Address, plugin: &Name, version: Version) {
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        touched.data.plugin.load_state = LoadState::Loaded;
        self.out.plugin_change(self.height, touched, PluginAction::Loaded, &version, PluginReason::None, actor);
        self.out.event(Event::Loaded { plugin: *plugin, version });
        for dependent in pending_dependents(&self.overlay, plugin) {
            self.start_if_possible(&dependent);
        }
    }

    fn finish_unload(&mut self, actor: &Address, plugin: &Name, version: Version) {
        self.remove_rows(plugin);
        self.remove_host_row(*plugin);
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        touched.data.plugin.load_state = LoadState::Unloaded;
        touched.data.plugin.loaded = None;
        self.out.plugin_change(self.height, touched, PluginAction::Unloaded, &version, PluginReason::None, actor);
        self.out.event(Event::Unloaded { plugin: *plugin, version });
    }

    /// A Pending plugin starts to load once all its requirements are Loaded.
    fn start_if_possible(&mut self, plugin: &Name) {
        let data = self.overlay.plugins.get(plugin);
        let pending = data.filter(|data| data.plugin.load_state == LoadState::Pending);
        let manifest = pending.and_then(PluginData::pinned_manifest);
        if manifest.is_some_and(|manifest| are_loaded(&self.overlay, manifest)) {
            self.move_to(*plugin, LoadState::Loading);
        }
    }

    fn fail(&mut self, plugin: &Name, code: u16, reason: PluginReason, actor: &Address) {
        self.remove_rows(plugin);
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        touched.data.plugin.load_state = LoadState::Failed;
        let version = touched.data.plugin.current.clone();
        self.out.plugin_change(self.height, touched, PluginAction::LoadFailed, &version, reason, actor);
        self.out.event(Event::LoadFailed { plugin: *plugin, version, code });
    }

    /// Fails the plugins that wait for a failed one; their own dependents follow in the next block, through
    /// the load queue, so that one report does a bounded amount of work.
    fn fail_dependents(&mut self, plugin: &Name) {
        let failed = pending_dependents(&self.overlay, plugin);
        for dependent in &failed {
            self.fail(dependent, Reject::DependencyBroken.code(), PluginReason::Dependents, &Address::ZERO);
        }
        for dependent in failed {
            if !pending_dependents(&self.overlay, &dependent).is_empty() {
                self.queue_load(dependent);
            }
        }
    }

    /// Queues the plugins that wait for `plugin`: it may have been their last missing requirement.
    pub(super) fn queue_waiting(&mut self, plugin: Name) {
        for dependent in self.overlay.dependents_of(Some(plugin)) {
            if self.overlay.plugins.get(&dependent).is_some_and(|data| data.is_waiting) {
                self.queue_load(dependent);
            }
        }
    }

    /// Puts a plugin into the load queue of the next block.
    pub(super) fn queue_load(&mut self, plugin: Name) {
        if let Some(next) = self.height.checked_add(1)
            && !self.overlay.is_queued(next, &plugin)
        {
            self.overlay.set_queued(next, plugin, Presence::Added);
        }
    }

    /// Follows a change of the current version: the loaded version and the rows of the plugin change with it. `from` was
    /// the current version.
    pub(super) fn switch_loaded(&mut self, plugin: &Name, from: &Version) {
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        let data = &mut touched.data;
        let state = data.plugin.load_state;
        let is_waiting = core::mem::take(&mut data.is_waiting);
        if state != LoadState::Unloaded {
            data.plugin.loaded = Some(data.plugin.current.clone());
        }
        if is_waiting || state.pins_requirements() {
            let before = data.manifest(from).cloned();
            self.remove_rows_of(plugin, before);
        }
        if is_waiting {
            self.queue_load(*plugin);
        } else if state.pins_requirements() {
            self.add_rows(plugin);
            self.start_if_possible(plugin);
        }
    }

    // Due work.

    /// Handles a plugin that is due in the load queue.
    pub(super) fn take_load_turn(&mut self, plugin: &Name, at: Height) {
        self.overlay.set_queued(at, *plugin, Presence::Removed);
        let Some(data) = self.overlay.plugins.get(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        match data.plugin.load_state {
            LoadState::Failed => self.fail_dependents(plugin),
            LoadState::Unloaded => self.load_automatically(plugin),
            LoadState::Pending | LoadState::Loading | LoadState::Loaded | LoadState::Unloading => {}
        }
    }

    /// Loads a plugin automatically if `auto_load` is on. With a missing requirement the plugin waits until that is
    /// registered.
    fn load_automatically(&mut self, plugin: &Name) {
        self.stop_waiting(plugin);
        // A load earlier in this block may have queued it for the next block; this turn makes that one redundant.
        if let Some(next) = self.height.checked_add(1)
            && self.overlay.is_queued(next, plugin)
        {
            self.overlay.set_queued(next, *plugin, Presence::Removed);
        }
        if !self.overlay.registry.auto_load {
            return;
        }
        let reject = match plan_load(&self.overlay, plugin) {
            Ok(plan) => return self.start_load(plan),
            Err(refusal) => refusal.reject,
        };
        let Some(data) = self.overlay.plugins.get(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        let version = data.plugin.current.clone();
        let has_room = data.manifest(&version).is_some_and(|manifest| {
            let mut requirements = manifest.requirements.iter();
            requirements.all(|required| row_count_of(&self.overlay, &required.plugin) < DEPENDENTS_MAX)
        });
        if reject == Reject::DependencyMissing && has_room {
            match self.overlay.plugins.get_mut(plugin) {
                Some(touched) => touched.data.is_waiting = true,
                None => return self.out.broken(NO_PLUGIN),
            }
            self.add_rows(plugin);
        }
        self.out.event(Event::LoadFailed { plugin: *plugin, version, code: reject.code() });
    }

    fn stop_waiting(&mut self, plugin: &Name) {
        if self.overlay.plugins.get(plugin).is_some_and(|data| data.is_waiting) {
            self.remove_rows(plugin);
            match self.overlay.plugins.get_mut(plugin) {
                Some(touched) => touched.data.is_waiting = false,
                None => self.out.broken(NO_PLUGIN),
            }
        }
    }

    // The index of dependents.

    fn add_rows(&mut self, plugin: &Name) {
        let manifest = self.overlay.plugins.get(plugin).and_then(PluginData::pinned_manifest).cloned();
        for requirement in manifest.iter().flat_map(|manifest| &manifest.requirements) {
            let row = (Some(requirement.plugin), *plugin);
            if self.overlay.has_row(&row) {
                continue;
            }
            self.overlay.set_row(row, Presence::Added);
            // A waiting plugin may require one that does not exist.
            if let Some(touched) = self.overlay.plugins.get_mut(&requirement.plugin) {
                let dependents = &mut touched.data.plugin.dependents;
                *dependents = dependents.saturating_add(1);
            }
        }
    }

    fn remove_rows(&mut self, plugin: &Name) {
        let Some(data) = self.overlay.plugins.get(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        let manifest = data.manifest(&data.plugin.current).cloned();
        self.remove_rows_of(plugin, manifest);
    }

    fn remove_rows_of(&mut self, plugin: &Name, manifest: Option<Arc<Manifest>>) {
        for requirement in manifest.iter().flat_map(|manifest| &manifest.requirements) {
            let row = (Some(requirement.plugin), *plugin);
            if !self.overlay.has_row(&row) {
                continue;
            }
            self.overlay.set_row(row, Presence::Removed);
            // A waiting plugin may require one that does not exist.
            if let Some(touched) = self.overlay.plugins.get_mut(&requirement.plugin) {
                let dependents = &mut touched.data.plugin.dependents;
                *dependents = dependents.saturating_sub(1);
            }
        }
    }

    fn add_host_row(&mut self, plugin: Name) {
        if !self.overlay.has_row(&(None, plugin)) {
            self.overlay.set_row((None, plugin), Presence::Added);
            self.overlay.host_rows = self.overlay.host_rows.saturating_add(1);
        }
    }

    fn remove_host_row(&mut self, plugin: Name) {
        if self.overlay.has_row(&(None, plugin)) {
            self.overlay.set_row((None, plugin), Presence::Removed);
            self.overlay.host_rows = self.overlay.host_rows.saturating_sub(1);
        }
    }
}
