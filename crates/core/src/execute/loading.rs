//! The commands that load and unload plugins, what attestations do, and the load queue.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::event::Event;
use crate::execute::executor::{Executor, Refusal};
use crate::index::Presence;
use crate::plugin::data::PluginData;
use crate::plugin::manifest::{Manifest, Requirement};
use crate::plugin::record::{LOAD_PLUGINS_MAX, LoadState, PluginAction, PluginReason};
use crate::plugin::requirements::{
    LoadRefusal, PlannedLoad, View, are_loaded, has_dependents, has_room, pending_dependents, plan_load,
};
use crate::plugin::version::Version;
use crate::reject::Reject;
use crate::rounds::{Pool, PoolEntry, PoolKind};
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

    pub(super) fn unload(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let state = data.plugin.load_state;
        match state {
            LoadState::Loaded | LoadState::Failed => {}
            LoadState::Unloaded | LoadState::Pending | LoadState::Loading | LoadState::Unloading => {
                return Err(Reject::NotLoaded);
            }
        }
        if has_dependents(&self.overlay, plugin) {
            return Err(Reject::HasDependents);
        }
        // From here on the command succeeds. For one that Failed there is nothing for a host to do.
        if state == LoadState::Failed {
            self.finish_unload(signer, plugin);
        } else {
            self.set_load_state(plugin, LoadState::Unloading);
        }
        Ok(())
    }

    /// Unloads the plugin and everything that depends on it. Forced on one that is Unloading already, it ends the wait for
    /// hosts: the way out when they have died, or when requirements form a cycle.
    pub(super) fn unload_forced(&mut self, signer: &Address, plugin: &Name) -> Result<(), Reject> {
        let data = self.overlay.plugins.get(plugin).ok_or(Reject::PluginNotFound)?;
        let state = data.plugin.load_state;
        match state {
            LoadState::Loaded | LoadState::Failed | LoadState::Unloading => {}
            LoadState::Unloaded | LoadState::Pending | LoadState::Loading => return Err(Reject::NotLoaded),
        }
        // What waits for one of them is visited, too: the limit bounds the work.
        let mut visited = BTreeSet::from([*plugin]);
        let mut open = Vec::from([*plugin]);
        while let Some(name) = open.pop() {
            for dependent in self.overlay.dependents(Some(name)) {
                if visited.insert(dependent) {
                    open.push(dependent);
                }
                if visited.len() > LOAD_PLUGINS_MAX {
                    return Err(Reject::LimitExceeded);
                }
            }
        }
        // From here on the command succeeds.
        for name in visited {
            let Some(data) = self.overlay.plugins.get(&name) else {
                self.out.broken(NO_PLUGIN);
                return Ok(());
            };
            match data.plugin.load_state {
                LoadState::Pending | LoadState::Loading | LoadState::Loaded => {
                    self.set_load_state(&name, LoadState::Unloading);
                }
                LoadState::Unloading if state == LoadState::Unloading => self.finish_unload(signer, &name),
                LoadState::Failed => self.finish_unload(signer, &name),
                LoadState::Unloading | LoadState::Unloaded => {}
            }
        }
        Ok(())
    }

    pub(super) fn report_load(
        &mut self,
        signer: &Address,
        plugin: &Name,
        version: &Version,
        ok: bool,
    ) -> Result<(), Reject> {
        let (version, state) = self.loaded_version(plugin, version)?;
        // With rounds on the state is looked at when the round closes.
        if let Some(round_blocks) = self.overlay.global.params.round_blocks {
            let pool = Pool::of_version(PoolKind::Load, *plugin, &version);
            return self.add_to_pool(round_blocks, pool, signer, PoolEntry::Vote(ok));
        }
        match (state, ok) {
            (LoadState::Unloaded | LoadState::Pending | LoadState::Unloading, _) => return Err(Reject::NotLoaded),
            // From here on the command succeeds. The first report decides, and later ones can only disagree.
            (LoadState::Loading, _) => self.apply_load_report(signer, plugin, ok),
            (LoadState::Loaded, true) | (LoadState::Failed, false) => {}
            (LoadState::Loaded, false) | (LoadState::Failed, true) => {
                self.out.event(Event::LoadDisputed { plugin: *plugin, version, ok });
            }
        }
        Ok(())
    }

    /// Whether [`Executor::apply_load_report`] may be called: hosts are loading this version.
    pub(super) fn accepts_load_report(&self, plugin: &Name, version: &Version) -> bool {
        self.loaded_version(plugin, version).is_ok_and(|(_, state)| state == LoadState::Loading)
    }

    /// Takes how the load of a plugin has ended, from a reporter or from a round.
    pub(super) fn apply_load_report(&mut self, actor: &Address, plugin: &Name, ok: bool) {
        if ok {
            self.finish_load(actor, plugin);
        } else {
            self.fail(plugin, 0, PluginReason::LoadError, actor);
            self.fail_dependents(plugin);
        }
    }

    pub(super) fn report_unload(
        &mut self,
        signer: &Address,
        plugin: &Name,
        version: &Version,
        ok: bool,
    ) -> Result<(), Reject> {
        let (version, _) = self.loaded_version(plugin, version)?;
        // With rounds on the state is looked at when the round closes.
        if let Some(round_blocks) = self.overlay.global.params.round_blocks {
            let pool = Pool::of_version(PoolKind::Unload, *plugin, &version);
            return self.add_to_pool(round_blocks, pool, signer, PoolEntry::Vote(ok));
        }
        self.check_unload_report(plugin, &version)?;
        // From here on the command succeeds.
        self.apply_unload_report(signer, plugin, ok);
        Ok(())
    }

    /// Whether [`Executor::apply_unload_report`] may be called: hosts are unloading this version, and have unloaded what
    /// depends on it.
    pub(super) fn accepts_unload_report(&self, plugin: &Name, version: &Version) -> bool {
        self.check_unload_report(plugin, version).is_ok()
    }

    fn check_unload_report(&self, plugin: &Name, version: &Version) -> Result<(), Reject> {
        let (_, state) = self.loaded_version(plugin, version)?;
        if state != LoadState::Unloading {
            return Err(Reject::NotLoaded);
        }
        if has_dependents(&self.overlay, plugin) {
            return Err(Reject::HasDependents);
        }
        Ok(())
    }

    /// Takes how the unload of a plugin has ended, from a reporter or from a round. If it failed, the plugin is loaded
    /// again, and so is everything Unloading that it requires: nothing that is loaded loses a requirement.
    pub(super) fn apply_unload_report(&mut self, actor: &Address, plugin: &Name, ok: bool) {
        if ok {
            return self.finish_unload(actor, plugin);
        }
        let mut back = BTreeSet::from([*plugin]);
        let mut open = Vec::from([*plugin]);
        while let Some(name) = open.pop() {
            let manifest = self.overlay.plugins.get(&name).and_then(PluginData::pinned_manifest);
            for Requirement { plugin: required, .. } in manifest.into_iter().flat_map(|manifest| &manifest.requirements)
            {
                let state = self.overlay.plugins.get(required).map(|data| data.plugin.load_state);
                if state == Some(LoadState::Unloading) && back.insert(*required) {
                    open.push(*required);
                }
            }
        }
        back.iter().for_each(|name| self.finish_load(actor, name));
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
        for PlannedLoad { plugin, version, state } in plan {
            let Some(touched) = self.overlay.plugins.get_mut(&plugin) else {
                return self.out.broken(NO_PLUGIN);
            };
            touched.data.is_waiting = false;
            touched.data.plugin.load_state = state;
            touched.data.plugin.loaded = Some(version.clone());
            self.add_host_row(plugin);
            self.add_rows(&plugin);
            self.out.event(Event::LoadPlanned { plugin, version, state });
        }
    }

    /// Moves a plugin to a state that hosts work from. No event tells: what is planned has been told.
    fn set_load_state(&mut self, plugin: &Name, state: LoadState) {
        match self.overlay.plugins.get_mut(plugin) {
            Some(touched) => touched.data.plugin.load_state = state,
            None => self.out.broken(NO_PLUGIN),
        }
    }

    /// Marks a plugin as Loaded; dependents for which it was the last missing requirement start to load.
    fn finish_load(&mut self, actor: &Address, plugin: &Name) {
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        touched.data.plugin.load_state = LoadState::Loaded;
        let version = touched.data.plugin.current.clone();
        self.out.plugin_change(self.height, touched, PluginAction::Loaded, &version, PluginReason::None, actor);
        self.out.event(Event::Loaded { plugin: *plugin, version });
        for dependent in pending_dependents(&self.overlay, plugin) {
            self.start_if_possible(&dependent);
        }
    }

    fn finish_unload(&mut self, actor: &Address, plugin: &Name) {
        if self.overlay.plugins.get(plugin).is_some_and(PluginData::pins_requirements) {
            self.remove_rows(plugin);
        }
        self.remove_host_row(*plugin);
        let Some(touched) = self.overlay.plugins.get_mut(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        touched.data.plugin.load_state = LoadState::Unloaded;
        touched.data.plugin.loaded = None;
        let version = touched.data.plugin.current.clone();
        self.out.plugin_change(self.height, touched, PluginAction::Unloaded, &version, PluginReason::None, actor);
        self.out.event(Event::Unloaded { plugin: *plugin, version });
    }

    /// A Pending plugin starts to load once all its requirements are Loaded.
    fn start_if_possible(&mut self, plugin: &Name) {
        let data = self.overlay.plugins.get(plugin);
        let pending = data.filter(|data| data.plugin.load_state == LoadState::Pending);
        let manifest = pending.and_then(PluginData::pinned_manifest);
        if manifest.is_some_and(|manifest| are_loaded(&self.overlay, manifest)) {
            self.set_load_state(plugin, LoadState::Loading);
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
        failed.into_iter().for_each(|dependent| self.queue_load(dependent));
    }

    /// Queues the plugins that wait for `plugin`: it may have been the last that they missed.
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
        let was_waiting = core::mem::take(&mut data.is_waiting);
        if state != LoadState::Unloaded {
            data.plugin.loaded = Some(data.plugin.current.clone());
        }
        if was_waiting || state.pins_requirements() {
            let before = data.manifest(from).cloned();
            self.remove_rows_of(plugin, before);
        }
        if was_waiting {
            self.wait(plugin);
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
        if !self.overlay.registry.auto_load {
            return;
        }
        match plan_load(&self.overlay, plugin) {
            Ok(plan) => {
                let planned: Vec<Name> = plan.iter().map(|planned| planned.plugin).collect();
                self.start_load(plan);
                planned.into_iter().for_each(|planned| self.queue_waiting(planned));
            }
            Err(LoadRefusal { reject: Reject::DependencyMissing, .. }) => self.wait(plugin),
            Err(_) => self.stop_waiting(plugin),
        }
    }

    /// Makes a plugin wait on all its requirements; if one of them has no room for another row, it waits on none.
    fn wait(&mut self, plugin: &Name) {
        let Some(data) = self.overlay.plugins.get(plugin) else {
            return self.out.broken(NO_PLUGIN);
        };
        let manifest = data.manifest(&data.plugin.current);
        let waits = manifest
            .is_some_and(|manifest| !manifest.requirements.is_empty() && has_room(&self.overlay, manifest, plugin));
        if !waits {
            return self.stop_waiting(plugin);
        }
        match self.overlay.plugins.get_mut(plugin) {
            Some(touched) => touched.data.is_waiting = true,
            None => return self.out.broken(NO_PLUGIN),
        }
        self.add_rows(plugin);
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
