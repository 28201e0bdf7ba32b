//! Loading: which plugins are loaded, in which order, and what hosts attest.
//!
//! The rows of the index of dependents are derived from the plugins whenever they are asked for.

use std::collections::BTreeSet;

use coalmine_core::{Address, Event, LoadState, PluginAction, PluginReason, Reject};
use semver::Version;

use crate::command::event_name;
use crate::plugins::{Plugin, allows, event_version};
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

/// Whether a plugin in a state may take over a version that requires one in another state.
fn fits(own: LoadState, required: LoadState) -> bool {
    match own {
        LoadState::Pending => is_under_way(required),
        LoadState::Loading | LoadState::Loaded => required == LoadState::Loaded,
        LoadState::Unloading => required == LoadState::Loaded || required == LoadState::Unloading,
        LoadState::Unloaded | LoadState::Failed => true,
    }
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

    fn requires(&self, name: &[u8]) -> bool {
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
        if !pins_requirements(plugin.load_state) {
            return Ok(());
        }
        for (required, constraint) in &plugin.version(new).requirements {
            let other = self.plugins.get(required).ok_or(Reject::DependencyBroken)?;
            let fits = allows(constraint, &other.current) && fits(plugin.load_state, other.load_state);
            if !fits || self.leads_to(required, name) {
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

    /// Whether a plugin is another one, or depends on it directly or through others.
    fn leads_to(&self, from: &[u8], to: &[u8]) -> bool {
        let mut reached = BTreeSet::from([from.to_vec()]);
        let mut open = vec![from.to_vec()];
        while let Some(name) = open.pop() {
            let Some(plugin) = self.plugins.get(&name).filter(|plugin| !plugin.waits) else { continue };
            for (required, _) in plugin.rows() {
                if reached.insert(required.clone()) {
                    open.push(required.clone());
                }
            }
        }
        reached.contains(to)
    }

    /// Makes what is loaded follow the version that has just become current.
    pub(crate) fn load_follows(&mut self, h: u128, name: &[u8]) {
        let plugin = self.plugin_mut(name);
        if plugin.load_state != LoadState::Unloaded {
            plugin.loaded = Some(plugin.current.clone());
        }
        if plugin.waits {
            plugin.waits = false;
            self.queue_load(h, name);
        }
        self.load_if_ready(name);
    }

    /// Turns a Pending plugin to Loading once all its requirements are Loaded.
    fn load_if_ready(&mut self, name: &[u8]) {
        let plugin = &self.plugins[name];
        let is_loaded = |required: &Vec<u8>| self.plugins[required].load_state == LoadState::Loaded;
        if plugin.load_state == LoadState::Pending && plugin.rows().iter().all(|(required, _)| is_loaded(required)) {
            self.set_load_state(name, LoadState::Loading);
        }
    }

    fn set_load_state(&mut self, name: &[u8], state: LoadState) {
        let plugin = self.plugin_mut(name);
        plugin.load_state = state;
        let version = event_version(plugin.spelled(plugin.loaded.as_ref().unwrap()));
        self.events.push(Event::LoadPlanned { plugin: event_name(name), version, state });
    }

    /// Plans a plugin and its requirements.
    pub(crate) fn load(&mut self, h: u128, name: &[u8]) -> Result<(), Reject> {
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
        let requires_itself = |name: &Vec<u8>| {
            let rows = after.plugins[name].rows();
            rows.iter().any(|(required, _)| after.leads_to(required, name))
        };
        if planned.iter().any(requires_itself) {
            return Err(Reject::DependencyCycle);
        }
        after.are_within_limits()?;
        *self = after;
        for name in self.required_first(planned) {
            let is_loaded = |(required, _): &(Vec<u8>, Vec<u8>)| self.plugins[required].load_state == LoadState::Loaded;
            let is_ready = self.plugins[&name].rows().iter().all(is_loaded) || self.has(Planted::LoadEarly);
            self.set_load_state(&name, if is_ready { LoadState::Loading } else { LoadState::Pending });
            for waiting in self.waiting_for(&name) {
                self.queue_load(h, &waiting);
            }
        }
        Ok(())
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
    fn required_first(&self, names: Names) -> Names {
        self.ordered(names, |left, name| left.iter().any(|other| self.plugins[name].requires(other)))
    }

    /// These plugins, each before its requirements, in name order where that leaves a choice.
    fn dependents_first(&self, names: Names) -> Names {
        self.ordered(names, |left, name| left.iter().any(|other| self.plugins[other].requires(name)))
    }

    /// Takes the first name that need not come later, again and again, or the first of all in a circle.
    fn ordered(&self, mut left: Names, is_later: impl Fn(&Names, &[u8]) -> bool) -> Names {
        left.sort();
        let mut ordered = Vec::new();
        while !left.is_empty() {
            let next = left.iter().position(|name| !is_later(&left, name)).unwrap_or(0);
            ordered.push(left.remove(next));
        }
        ordered
    }

    /// Loads a plugin from the load queue.
    pub(crate) fn load_by_itself(&mut self, h: u128, name: &[u8]) {
        match self.plugins[name].load_state {
            LoadState::Failed => self.fail_dependents(h, name),
            LoadState::Unloaded => {
                self.load_queue.remove(&(h + 1, name.to_vec()));
                self.plugin_mut(name).waits = false;
                if !self.registry.auto_load {
                    return;
                }
                let Err(reject) = self.load(h, name) else { return };
                let plugin = self.plugin_mut(name);
                let version = event_version(plugin.spelled(&plugin.current));
                if reject == Reject::DependencyMissing {
                    plugin.waits = true;
                    if self.are_within_limits().is_err() {
                        self.plugin_mut(name).waits = false;
                    }
                }
                self.events.push(Event::LoadFailed { plugin: event_name(name), version, code: reject.code() });
            }
            LoadState::Pending | LoadState::Loading | LoadState::Loaded | LoadState::Unloading => {}
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
        let failing = self.pending_dependents(name);
        for dependent in &failing {
            self.fail_dependent(h, dependent);
        }
        for dependent in failing {
            if !self.pending_dependents(&dependent).is_empty() {
                self.queue_load(h, &dependent);
            }
        }
    }

    /// The plugin and its loaded version, if that is the one that the command names.
    fn loaded_version(&self, name: &[u8], version: &[u8]) -> Result<(LoadState, Version), Reject> {
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
        let (state, version) = self.loaded_version(name, version)?;
        match state {
            LoadState::Loading if ok => {
                self.attest(h, actor, name, &version, LoadState::Loaded);
                for dependent in self.pending_dependents(name) {
                    self.load_if_ready(&dependent);
                }
            }
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
        let (state, version) = self.loaded_version(name, version)?;
        if state != LoadState::Unloading {
            return Err(Reject::NotLoaded);
        }
        self.attest(h, actor, name, &version, if ok { LoadState::Unloaded } else { LoadState::Loaded });
        Ok(())
    }

    /// Sets a plugin to Loaded or Unloaded.
    fn attest(&mut self, h: u128, actor: Address, name: &[u8], version: &Version, state: LoadState) {
        let plugin = self.plugin_mut(name);
        plugin.load_state = state;
        let (told, plugin_name) = (event_version(plugin.spelled(version)), event_name(name));
        let action = if state == LoadState::Loaded {
            self.events.push(Event::Loaded { plugin: plugin_name, version: told });
            PluginAction::Loaded
        } else {
            plugin.loaded = None;
            self.events.push(Event::Unloaded { plugin: plugin_name, version: told });
            PluginAction::Unloaded
        };
        self.tell(h, name, action, version, true, PluginReason::None, actor);
    }

    pub(crate) fn unload(&mut self, h: u128, name: &[u8], force: bool) -> Result<(), Reject> {
        if self.plugin(name)?.load_state != LoadState::Loaded {
            return Err(Reject::NotLoaded);
        }
        if !force && !self.dependents(name).is_empty() {
            return Err(Reject::HasDependents);
        }
        let all: Names = self.plugins.keys().filter(|other| self.leads_to(other, name)).cloned().collect();
        let in_state = |states: &[LoadState]| -> Names {
            all.iter().filter(|name| states.contains(&self.plugins[*name].load_state)).cloned().collect()
        };
        let failing = in_state(&[LoadState::Pending, LoadState::Loading]);
        let unloading = self.dependents_first(in_state(&[LoadState::Loaded]));
        if unloading.len() > LOAD_PLUGINS_MAX {
            return Err(Reject::LimitExceeded);
        }
        for dependent in failing {
            self.fail_dependent(h, &dependent);
        }
        for name in unloading {
            self.set_load_state(&name, LoadState::Unloading);
        }
        Ok(())
    }
}
