//! Loading: which plugins are loaded, in which order, and what hosts attest.
//!
//! The rows of the index of dependents are derived from the plugins whenever they are asked for.

use std::collections::BTreeSet;

use coalmine_core::{Address, Event, LoadState, PluginAction, PluginReason, Reject};
use semver::Version;

use crate::command::event_name;
use crate::plugins::{Plugin, allows, event_version};
use crate::rounds::{LOAD_VOTES, PoolKey, UNLOAD_VOTES};
use crate::{Model, Planted, U32_MAX};

const DEPENDENTS_MAX: usize = 256;
const LOADED_MAX: usize = 1_024;
const LOAD_PLUGINS_MAX: usize = 64;
const LOAD_DEPTH_MAX: usize = 16;

type Names = Vec<Vec<u8>>;

/// Pending, Loading, Loaded or Unloading.
fn pins_requirements(state: LoadState) -> bool {
    match state {
        LoadState::Pending | LoadState::Loading | LoadState::Loaded | LoadState::Unloading => true,
        LoadState::Unloaded | LoadState::Failed => false,
    }
}

/// Pending, Loading or Loaded.
fn is_under_way(state: LoadState) -> bool {
    pins_requirements(state) && state != LoadState::Unloading
}

impl Plugin {
    /// The plugins for which this one has rows in the index.
    fn rows(&self) -> &[(Vec<u8>, Vec<u8>)] {
        match &self.loaded {
            Some(loaded) if pins_requirements(self.load_state) => &self.version(loaded).requirements,
            None if self.waits => &self.version(&self.current).requirements,
            Some(_) | None => &[],
        }
    }

    /// The versions that a rule or a host must not strand: the one that is loaded or on its way, and the new one of a
    /// deployment.
    pub(crate) fn in_use(&self) -> Vec<&Version> {
        let loaded = self.loaded.iter().filter(|_| pins_requirements(self.load_state));
        loaded.chain(self.deployment.iter().map(|deployment| &deployment.new)).collect()
    }

    pub(crate) fn requires(&self, name: &[u8]) -> bool {
        self.rows().iter().any(|(required, _)| required.as_slice() == name)
    }
}

impl Model {
    /// The index of dependents: pairs of a required and a requiring plugin, where an empty name stands for the host.
    pub(crate) fn dependent_rows(&self) -> BTreeSet<(Vec<u8>, Vec<u8>)> {
        let mut rows = BTreeSet::new();
        for (name, plugin) in &self.plugins {
            rows.extend(plugin.rows().iter().map(|(required, _)| (required.clone(), name.clone())));
            if plugin.load_state != LoadState::Unloaded {
                rows.insert((Vec::new(), name.clone()));
            }
        }
        rows
    }

    /// The rows under a plugin, those of waiting plugins included.
    pub(crate) fn dependents_count(&self, name: &[u8]) -> usize {
        self.plugins.values().filter(|plugin| plugin.requires(name)).count()
    }

    /// The plugins that are loaded or on their way, and require a plugin, in name order.
    fn dependents(&self, name: &[u8]) -> Names {
        let of = self.plugins.iter().filter(|(_, plugin)| !plugin.waits && plugin.requires(name));
        of.map(|(name, _)| name.clone()).collect()
    }

    /// Whether anything requires a plugin that is neither Unloaded nor Failed itself.
    pub(crate) fn has_dependents(&self, name: &[u8]) -> bool {
        !self.dependents(name).is_empty()
    }

    fn pending_dependents(&self, name: &[u8]) -> Names {
        let mut dependents = self.dependents(name);
        dependents.retain(|name| self.plugins[name].load_state == LoadState::Pending);
        dependents
    }

    /// The plugins that wait for a plugin to be registered, in name order.
    pub(crate) fn waiting_for(&self, name: &[u8]) -> Names {
        let of = self.plugins.iter().filter(|(_, plugin)| plugin.waits && plugin.requires(name));
        of.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn queue_load(&mut self, h: u128, name: &[u8]) {
        if h < U32_MAX {
            self.load_queue.insert((h + 1, name.to_vec()));
        }
    }

    fn are_within_limits(&self) -> Result<(), Reject> {
        let rows = self.dependent_rows();
        let hosted = rows.iter().filter(|(required, _)| required.is_empty()).count();
        let most = rows.iter().map(|(required, _)| self.dependents_count(required)).max().unwrap_or(0);
        if hosted > LOADED_MAX || most > DEPENDENTS_MAX { Err(Reject::LimitExceeded) } else { Ok(()) }
    }

    /// Whether the constraint of the plugin and the host allow a version.
    fn may_run(&self, plugin: &Plugin, version: &Version) -> Result<(), Reject> {
        if !allows(&plugin.rule, version) {
            return Err(Reject::RuleViolated);
        }
        if !allows(&plugin.version(version).host, &self.registry.host_version) {
            return Err(Reject::HostTooOld);
        }
        Ok(())
    }

    /// Whether a version may become the current one.
    pub(crate) fn may_take_over(&self, name: &[u8], new: &Version) -> Result<(), Reject> {
        let plugin = &self.plugins[name];
        self.may_run(plugin, new)?;
        if plugin.load_state == LoadState::Unloaded {
            return Ok(());
        }
        for (required, constraint) in &plugin.version(new).requirements {
            let holds = |other: &Plugin| is_under_way(other.load_state) && allows(constraint, &other.current);
            if required == name || !self.plugins.get(required).is_some_and(holds) {
                return Err(Reject::DependencyBroken);
            }
        }
        for dependent in self.dependents(name) {
            let rows = self.plugins[&dependent].rows();
            if rows.iter().any(|(required, constraint)| required == name && !allows(constraint, new)) {
                return Err(Reject::DependencyBroken);
            }
        }
        let mut after = self.clone();
        after.plugin_mut(name).loaded = Some(new.clone());
        after.are_within_limits()
    }

    /// Makes what is loaded, or waits, follow the version that has just become current.
    pub(crate) fn load_follows(&mut self, name: &[u8]) {
        let plugin = self.plugin_mut(name);
        if plugin.load_state != LoadState::Unloaded {
            plugin.loaded = Some(plugin.current.clone());
        }
        if plugin.waits {
            self.wait_if_there_is_room(name);
        }
        self.load_if_ready(name);
    }

    /// Makes a plugin wait on all its requirements, or on none if one of them has too many dependents.
    fn wait_if_there_is_room(&mut self, name: &[u8]) {
        let plugin = self.plugin_mut(name);
        plugin.waits = !plugin.version(&plugin.current).requirements.is_empty();
        if self.are_within_limits().is_err() {
            self.plugin_mut(name).waits = false;
        }
    }

    /// Turns a Pending plugin to Loading once all its requirements are Loaded.
    fn load_if_ready(&mut self, name: &[u8]) {
        let plugin = &self.plugins[name];
        let is_loaded = |required: &Vec<u8>| self.plugins[required].load_state == LoadState::Loaded;
        if plugin.load_state == LoadState::Pending && plugin.rows().iter().all(|(required, _)| is_loaded(required)) {
            self.plugin_mut(name).load_state = LoadState::Loading;
        }
    }

    /// Plans a plugin and its requirements, which are given back.
    pub(crate) fn load(&mut self, name: &[u8]) -> Result<Names, Reject> {
        match self.plugin(name)?.load_state {
            LoadState::Unloaded | LoadState::Failed => {}
            LoadState::Pending | LoadState::Loading | LoadState::Loaded => return Err(Reject::AlreadyLoaded),
            LoadState::Unloading => return Err(Reject::InvalidTransition),
        }
        let mut planned = Vec::new();
        self.visit(name, &mut Vec::new(), &mut planned)?;
        if self.depth_of_plan(name, &planned) > LOAD_DEPTH_MAX {
            return Err(Reject::LimitExceeded);
        }
        let mut after = self.clone();
        for name in &planned {
            let plugin = after.plugin_mut(name);
            plugin.waits = false;
            plugin.loaded = Some(plugin.current.clone());
            plugin.load_state = LoadState::Pending;
        }
        after.are_within_limits()?;
        *self = after;
        let planned = self.required_first(planned);
        for name in &planned {
            let is_loaded = |(required, _): &(Vec<u8>, Vec<u8>)| self.plugins[required].load_state == LoadState::Loaded;
            let is_ready = self.plugins[name].rows().iter().all(is_loaded) || self.has(Planted::LoadEarly);
            let state = if is_ready { LoadState::Loading } else { LoadState::Pending };
            let plugin = self.plugin_mut(name);
            plugin.load_state = state;
            let version = event_version(plugin.spelled(&plugin.current));
            self.events.push(Event::LoadPlanned { plugin: event_name(name), version, state });
        }
        Ok(planned)
    }

    /// Checks a plugin and, depth first, what must be loaded before it.
    fn visit(&self, name: &[u8], path: &mut Names, planned: &mut Names) -> Result<(), Reject> {
        let plugin = &self.plugins[name];
        self.may_run(plugin, &plugin.current)?;
        path.push(name.to_vec());
        planned.push(name.to_vec());
        for (required, constraint) in &plugin.version(&plugin.current).requirements {
            let other = self.plugins.get(required).ok_or(Reject::DependencyMissing)?;
            if path.contains(required) {
                return Err(Reject::DependencyCycle);
            }
            if !allows(constraint, &other.current) {
                return Err(Reject::DependencyBroken);
            }
            if other.load_state == LoadState::Unloading {
                return Err(Reject::InvalidTransition);
            }
            if is_under_way(other.load_state) || planned.contains(required) {
                continue;
            }
            if path.len() > LOAD_DEPTH_MAX || planned.len() == LOAD_PLUGINS_MAX {
                return Err(Reject::LimitExceeded);
            }
            self.visit(required, path, planned)?;
        }
        path.pop();
        Ok(())
    }

    /// The longest path among the planned plugins, in edges.
    fn depth_of_plan(&self, name: &[u8], planned: &Names) -> usize {
        let plugin = &self.plugins[name];
        let below = plugin.version(&plugin.current).requirements.iter().filter(|(name, _)| planned.contains(name));
        below.map(|(name, _)| 1 + self.depth_of_plan(name, planned)).max().unwrap_or(0)
    }

    /// These plugins, each after its requirements, in name order where that leaves a choice.
    fn required_first(&self, mut left: Names) -> Names {
        left.sort();
        let mut ordered = Vec::new();
        while !left.is_empty() {
            let comes_later = |name: &Vec<u8>| left.iter().any(|other| self.plugins[name].requires(other));
            let next = left.iter().position(|name| !comes_later(name)).expect("what is planned has no circle");
            ordered.push(left.remove(next));
        }
        ordered
    }

    /// The turn of a plugin in the load queue.
    pub(crate) fn load_by_itself(&mut self, h: u128, name: &[u8]) {
        match self.plugins[name].load_state {
            LoadState::Failed => self.fail_dependents(h, name),
            LoadState::Unloaded if self.registry.auto_load => match self.load(name) {
                Ok(planned) => {
                    let waiting: BTreeSet<Vec<u8>> = planned.iter().flat_map(|name| self.waiting_for(name)).collect();
                    waiting.iter().for_each(|name| self.queue_load(h, name));
                }
                Err(Reject::DependencyMissing) => self.wait_if_there_is_room(name),
                Err(_) => self.plugin_mut(name).waits = false,
            },
            LoadState::Unloaded
            | LoadState::Pending
            | LoadState::Loading
            | LoadState::Loaded
            | LoadState::Unloading => {}
        }
    }

    /// Fails a plugin, by an attestation or because a requirement has failed.
    fn fail(&mut self, h: u128, name: &[u8], actor: Address, reason: PluginReason, code: u16) {
        let plugin = self.plugin_mut(name);
        plugin.load_state = LoadState::Failed;
        let loaded = plugin.loaded.clone().unwrap();
        let version = event_version(plugin.spelled(&loaded));
        self.events.push(Event::LoadFailed { plugin: event_name(name), version, code });
        self.tell(h, name, PluginAction::LoadFailed, &loaded, false, reason, actor);
    }

    /// Fails the plugins that wait for one that has failed.
    fn fail_dependent(&mut self, h: u128, name: &[u8]) {
        self.fail(h, name, Address::ZERO, PluginReason::Dependents, Reject::DependencyBroken.code());
    }

    /// Fails the direct Pending dependents of a Failed plugin; their own dependents fail in the next block.
    fn fail_dependents(&mut self, h: u128, name: &[u8]) {
        for dependent in self.pending_dependents(name) {
            self.fail_dependent(h, &dependent);
            self.queue_load(h, &dependent);
        }
    }

    /// The plugin and its loaded version, if that is the one that the command names.
    pub(crate) fn loaded_version(&self, name: &[u8], version: &[u8]) -> Result<(LoadState, Version), Reject> {
        let (plugin, version) = self.plugin_version(name, version)?;
        if plugin.loaded.as_ref() != Some(&version) {
            return Err(Reject::NotLoaded);
        }
        Ok((plugin.load_state, version))
    }

    pub(crate) fn report_load(
        &mut self,
        h: u128,
        actor: Address,
        name: &[u8],
        version: &[u8],
        ok: bool,
    ) -> Result<(), Reject> {
        if self.has_rounds() {
            let (_, key) = self.loaded_version(name, version)?;
            return self.pool(h, actor, PoolKey::of_version(LOAD_VOTES, name, &key), vec![ok.into()]);
        }
        self.take_load_report(h, actor, name, version, ok)
    }

    /// Takes an attestation of loading, by one reporter or by a round.
    pub(crate) fn take_load_report(
        &mut self,
        h: u128,
        actor: Address,
        name: &[u8],
        version: &[u8],
        ok: bool,
    ) -> Result<(), Reject> {
        let (state, version) = self.loaded_version(name, version)?;
        match state {
            LoadState::Loading if ok => self.now_loaded(h, actor, name),
            LoadState::Loading => {
                self.fail(h, name, actor, PluginReason::LoadError, 0);
                self.fail_dependents(h, name);
            }
            LoadState::Loaded | LoadState::Failed => {
                if ok != (state == LoadState::Loaded) {
                    let version = event_version(self.plugins[name].spelled(&version));
                    self.events.push(Event::LoadDisputed { plugin: event_name(name), version, ok });
                }
            }
            LoadState::Unloaded | LoadState::Pending | LoadState::Unloading => return Err(Reject::NotLoaded),
        }
        Ok(())
    }

    pub(crate) fn report_unload(
        &mut self,
        h: u128,
        actor: Address,
        name: &[u8],
        version: &[u8],
        ok: bool,
    ) -> Result<(), Reject> {
        if self.has_rounds() {
            let (_, key) = self.loaded_version(name, version)?;
            return self.pool(h, actor, PoolKey::of_version(UNLOAD_VOTES, name, &key), vec![ok.into()]);
        }
        self.take_unload_report(h, actor, name, version, ok)
    }

    /// Takes an attestation of unloading, by one reporter or by a round. What failed to unload is loaded again, and so
    /// is what it requires, so that nothing loaded loses a requirement.
    pub(crate) fn take_unload_report(
        &mut self,
        h: u128,
        actor: Address,
        name: &[u8],
        version: &[u8],
        ok: bool,
    ) -> Result<(), Reject> {
        let (state, _) = self.loaded_version(name, version)?;
        if state != LoadState::Unloading {
            return Err(Reject::NotLoaded);
        }
        if self.has_dependents(name) {
            return Err(Reject::HasDependents);
        }
        if ok {
            self.now_unloaded(h, actor, name);
            return Ok(());
        }
        let is_unloading = |name: &Vec<u8>| self.plugins[name].load_state == LoadState::Unloading;
        let mut back = BTreeSet::from([name.to_vec()]);
        let mut open = vec![name.to_vec()];
        while let Some(name) = open.pop() {
            for (required, _) in self.plugins[&name].rows() {
                if is_unloading(required) && back.insert(required.clone()) {
                    open.push(required.clone());
                }
            }
        }
        back.iter().for_each(|name| self.now_loaded(h, actor, name));
        Ok(())
    }

    /// Sets a plugin to Loaded, and what waited for it alone to Loading.
    fn now_loaded(&mut self, h: u128, actor: Address, name: &[u8]) {
        let plugin = self.plugin_mut(name);
        plugin.load_state = LoadState::Loaded;
        let version = plugin.loaded.clone().unwrap();
        let told = event_version(plugin.spelled(&version));
        self.events.push(Event::Loaded { plugin: event_name(name), version: told });
        self.tell(h, name, PluginAction::Loaded, &version, true, PluginReason::None, actor);
        for dependent in self.pending_dependents(name) {
            self.load_if_ready(&dependent);
        }
    }

    fn now_unloaded(&mut self, h: u128, actor: Address, name: &[u8]) {
        let plugin = self.plugin_mut(name);
        plugin.load_state = LoadState::Unloaded;
        let version = plugin.loaded.take().unwrap();
        let told = event_version(plugin.spelled(&version));
        self.events.push(Event::Unloaded { plugin: event_name(name), version: told });
        self.tell(h, name, PluginAction::Unloaded, &version, true, PluginReason::None, actor);
    }

    pub(crate) fn unload(&mut self, h: u128, actor: Address, name: &[u8], force: bool) -> Result<(), Reject> {
        let state = self.plugin(name)?.load_state;
        match state {
            LoadState::Loaded | LoadState::Failed => {}
            LoadState::Unloading if force => {}
            LoadState::Unloading | LoadState::Unloaded | LoadState::Pending | LoadState::Loading => {
                return Err(Reject::NotLoaded);
            }
        }
        if !force && self.has_dependents(name) {
            return Err(Reject::HasDependents);
        }
        let visited = if force { self.above(name) } else { BTreeSet::from([name.to_vec()]) };
        if visited.len() > LOAD_PLUGINS_MAX {
            return Err(Reject::LimitExceeded);
        }
        for other in visited {
            match self.plugins[&other].load_state {
                LoadState::Pending | LoadState::Loading | LoadState::Loaded => {
                    self.plugin_mut(&other).load_state = LoadState::Unloading;
                }
                // The way out when hosts have died: nobody is asked any more.
                LoadState::Unloading if state == LoadState::Unloading => self.now_unloaded(h, actor, &other),
                // There is nothing for a host to do.
                LoadState::Failed if other == name => self.now_unloaded(h, actor, &other),
                LoadState::Unloading | LoadState::Failed | LoadState::Unloaded => {}
            }
        }
        Ok(())
    }

    /// A plugin and everything that requires it, directly or through others, in whatever state.
    fn above(&self, name: &[u8]) -> BTreeSet<Vec<u8>> {
        let mut above = BTreeSet::from([name.to_vec()]);
        let mut open = vec![name.to_vec()];
        while let Some(name) = open.pop() {
            for (dependent, _) in self.plugins.iter().filter(|(_, plugin)| plugin.requires(&name)) {
                if above.insert(dependent.clone()) {
                    open.push(dependent.clone());
                }
            }
        }
        above
    }
}
