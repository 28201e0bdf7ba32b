//! The committed state, decoded: what execution reads and `apply` replaces.
//!
//! Everything but the history is kept in memory next to the Merkle tree, so that no transaction has to decode a
//! record. The state is a function of the stored records: [`State::load`] rebuilds it from a scan and refuses records
//! that do not decode or contradict each other.

pub(crate) mod features;
pub(crate) mod feed;
mod load;
pub(crate) mod plugins;
pub(crate) mod trust;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::convert::Infallible;
use core::num::NonZeroU64;

use crate::codec::Encode;
use crate::delta::{Delta, Execution, MapChanges, Touched};
use crate::feature::decide::{Facts, Lookup, Verdict, alone, decide, decide_from};
use crate::feature::lifecycle::automatic_step_due;
use crate::feature::record::{Feature, Metrics, Override, Policy};
use crate::feed::record::{FeedId, FeedItem, FeedKey, FeedKind, FeedTotals};
use crate::genesis::Genesis;
use crate::index::{FeatureId, PluginId, index, set};
use crate::invariant::promised;
use crate::key::Key;
use crate::ledger::Global;
use crate::plugin::deployment::Deployment;
use crate::plugin::record::{Plugin, PluginVersion, Registry};
use crate::plugin::requirements::{LoadRefusal, PlannedLoad, plan_load};
use crate::plugin::version::Version;
use crate::rounds::{Pool, PoolEntry};
use crate::schedule::{Scheduled, ScheduledRules, changes_of_rules};
use crate::state::features::{FeatureEntry, Features};
use crate::state::feed::Feed;
use crate::state::plugins::{Plugins, PluginsMark, Router};
use crate::state::trust::Trust;
use crate::tree::{Tree, TreeError};
use crate::values::{Address, ChainId, Hash, Height, Name, Role, Roles};
use crate::writes::WriteSet;

/// A handle for a feature, to skip the lookup by name in hot loops.
///
/// It is valid for the state that returned it and for all later states that [`State::apply`] makes of it. After a
/// restart, resolve the name again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle(FeatureId);

/// The execution was made from another state: a block has been applied since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this block was executed on another state; execute it again on this one")]
pub struct StaleExecution;

/// The committed state of a ledger.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) tip: Option<Height>,
    global: Global,
    roles: BTreeMap<Address, Roles>,
    features: Features,
    active: BTreeSet<Name>,
    steps: BTreeSet<(Height, Name)>,
    schedule: BTreeMap<(Height, u64), Scheduled>,
    plugins: Plugins,
    feed: Feed,
    trust: Trust,
    tree: Tree,
}

/// A handle for a plugin, to skip the lookup by name in hot loops. Valid for as long as a [`Handle`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginHandle(PluginId);

impl State {
    /// Returns the state before the first block, and the records to store for it.
    ///
    /// # Errors
    /// [`TreeError`] when the node must stop.
    pub fn genesis(genesis: &Genesis) -> Result<(Self, WriteSet), TreeError> {
        let admins = genesis.roles().values().filter(|roles| roles.contains(Role::Admin)).count();
        let global = Global {
            rules: genesis.rules(),
            chain: *genesis.chain(),
            admins: promised(u32::try_from(admins).ok(), "a genesis has at most 65 535 addresses"),
            scheduled: 0,
            breaker: None,
            next_schedule_id: 1,
            rollback_window_start: 0,
            rollbacks_in_window: 0,
            params: *genesis.params(),
        };
        let mut writes = WriteSet::default();
        writes.put(&Key::Global, |out| global.encode(out));
        for (address, roles) in genesis.roles() {
            writes.put(&Key::Roles(*address), |out| roles.encode(out));
        }
        let mut tree = Tree::new();
        let patch = tree.prepare(&writes.tree_changes())?;
        tree.apply(patch)?;
        let state = Self {
            tip: None,
            global,
            roles: genesis.roles().clone(),
            features: Features::default(),
            active: BTreeSet::new(),
            steps: BTreeSet::new(),
            schedule: BTreeMap::new(),
            plugins: Plugins::default(),
            feed: Feed::default(),
            trust: Trust::default(),
            tree,
        };
        Ok((state, writes))
    }

    /// Makes the result of an execution the committed state.
    ///
    /// # Errors
    /// [`StaleExecution`] when it was executed on another state; nothing has changed then.
    pub fn apply(&mut self, execution: Execution) -> Result<(), StaleExecution> {
        let height = execution.height();
        self.tree.apply(execution.patch).map_err(|_| StaleExecution)?;
        self.tip = Some(height);
        if let Some(delta) = execution.delta {
            self.apply_delta(*delta);
        }
        Ok(())
    }

    fn apply_delta(&mut self, delta: Delta) {
        let Delta { features, maps, global, active, steps, plugins, registry, feed } = delta;
        self.global = global;
        for Touched { id, data, seq: _ } in features {
            match id {
                Some(id) => self.features.replace(&self.global.chain, id, data),
                None => self.features.add(&self.global.chain, data, BTreeMap::new()),
            }
        }
        self.plugins.registry = registry;
        if !plugins.is_empty() {
            self.plugins.mark = PluginsMark::default();
        }
        plugins.into_iter().for_each(|touched| self.plugins.put(&self.global.chain, touched.data));
        let MapChanges { overrides, roles, schedule, sequences, pools, rows, queue } = maps;
        self.trust.apply(sequences, pools);
        rows.into_iter().for_each(|(row, presence)| self.plugins.set_row(row, presence));
        queue.into_iter().for_each(|(entry, presence)| index(&mut self.plugins.queue, entry, presence));
        for ((name, user), change) in overrides {
            self.features.set_override(&name, user, change);
        }
        roles.into_iter().for_each(|(address, change)| set(&mut self.roles, address, change));
        schedule.into_iter().for_each(|(key, change)| set(&mut self.schedule, key, change));
        active.into_iter().for_each(|(name, presence)| index(&mut self.active, name, presence));
        steps.into_iter().for_each(|(step, presence)| index(&mut self.steps, step, presence));
        self.feed.apply(feed);
    }

    /// Whether the execution was made from this very state, so that [`State::apply`] would accept it.
    #[must_use]
    pub fn accepts(&self, execution: &Execution) -> bool {
        self.tree.accepts(&execution.patch)
    }

    /// Height of the last block; `None` before the first.
    #[must_use]
    pub const fn tip(&self) -> Option<Height> {
        self.tip
    }

    /// The state root.
    #[must_use]
    pub const fn root(&self) -> Hash {
        Hash(self.tree.root())
    }

    /// The Merkle tree, for proofs.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The global record (key `D4`): parameters, breaker, counters.
    #[must_use]
    pub const fn global(&self) -> &Global {
        &self.global
    }

    /// The roles of an address; the empty set for an address without a record.
    #[must_use]
    pub fn roles_of(&self, address: &Address) -> Roles {
        self.roles.get(address).copied().unwrap_or_default()
    }

    /// The last sequence that a signer has used up; `None` before its first sequenced transaction.
    #[must_use]
    pub fn sequence_of(&self, address: &Address) -> Option<NonZeroU64> {
        self.trust.sequences.get(address).copied()
    }

    /// The changes of the rules that are scheduled, in the order of their blocks: for a host's log and metrics, as early
    /// warning of rules that this build does not know. Reads the whole schedule.
    #[must_use]
    pub fn scheduled_rules(&self) -> Vec<ScheduledRules> {
        let entries = self.schedule.iter();
        entries.flat_map(|((at, id), entry)| changes_of_rules(self.global.rules, *at, *id, entry)).collect()
    }

    /// The addresses that hold roles, in their order.
    pub fn roles(&self) -> impl Iterator<Item = (&Address, Roles)> {
        self.roles.iter().map(|(address, roles)| (address, *roles))
    }

    /// The entries of the schedule with their heights and ids, in the order in which they run.
    pub fn schedule(&self) -> impl Iterator<Item = (Height, u64, &Scheduled)> {
        self.schedule.iter().map(|((at, id), entry)| (*at, *id, entry))
    }

    /// The rounds that have not ended, in the order of their pools: the height at which each closes, and what its
    /// reporters have said so far.
    pub fn rounds(&self) -> impl Iterator<Item = (Height, &Pool, &[(Address, PoolEntry)])> {
        self.trust.pools.iter().map(|(pool, open)| (open.due, pool, open.entries.as_slice()))
    }

    /// How many features there are: for a host's metrics. The records have no count, a query would scan them.
    #[must_use]
    pub fn feature_count(&self) -> usize {
        self.features.len()
    }

    /// Looks a feature up by name.
    #[must_use]
    pub fn feature(&self, name: &Name) -> Option<&Feature> {
        self.features.get(name).map(|entry| &entry.data.feature)
    }

    /// The metrics of a feature.
    #[must_use]
    pub fn metrics(&self, name: &Name) -> Option<&Metrics> {
        self.features.get(name).map(|entry| &entry.data.metrics)
    }

    /// The policy of a feature, the default one included.
    #[must_use]
    pub fn policy(&self, name: &Name) -> Option<&Policy> {
        self.features.get(name).map(|entry| &entry.data.policy)
    }

    /// The height of the next step of a rollout that goes by itself.
    #[must_use]
    pub fn step_due(&self, name: &Name) -> Option<Height> {
        let data = &self.features.get(name)?.data;
        automatic_step_due(&data.feature, &data.policy)
    }

    /// Whether any user has an override of a feature; false for an unknown one.
    #[must_use]
    pub fn has_overrides(&self, name: &Name) -> bool {
        self.features.id(name).and_then(|id| self.features.glance(id)).is_some_and(|glance| glance.has_overrides)
    }

    /// All features, in name order.
    pub fn features(&self) -> impl Iterator<Item = &Feature> {
        self.features.iter().map(|entry| &entry.data.feature)
    }

    /// The totals of the config feed.
    #[must_use]
    pub const fn feed(&self) -> &FeedTotals {
        &self.feed.state
    }

    /// The record of an item of the feed, which may be deleted or forgotten.
    #[must_use]
    pub fn feed_item(&self, kind: FeedKind, id: &FeedId) -> Option<&FeedItem> {
        self.feed.items.get(&FeedKey { kind, id: *id })
    }

    /// All items of the feed: environments first, each kind by id.
    pub fn feed_items(&self) -> impl Iterator<Item = (&FeedKey, &FeedItem)> {
        self.feed.items.iter()
    }

    /// Returns a handle for [`State::is_enabled_by`].
    #[must_use]
    pub fn resolve(&self, name: &Name) -> Option<Handle> {
        self.feature_id(name).map(Handle)
    }

    /// Whether a feature is on for a user. An unknown feature is off.
    #[must_use]
    pub fn is_enabled(&self, name: &Name, user: &Address) -> bool {
        self.features.id(name).is_some_and(|id| self.is_on(id, name, user))
    }

    /// Whether a feature is on for a user, by handle.
    #[must_use]
    pub fn is_enabled_by(&self, Handle(id): Handle, user: &Address) -> bool {
        self.entry(id).is_some_and(|entry| self.is_on(id, &entry.data.feature.name, user))
    }

    fn is_on(&self, id: FeatureId, name: &Name, user: &Address) -> bool {
        let Some(glance) = self.features.glance(id) else { return false };
        let verdict: Result<bool, Infallible> = match self.entry(id) {
            Some(entry) if glance.has_prerequisites => {
                decide_from(self, name, &entry.facts(user), user).map(|verdict| verdict.on)
            }
            entry => {
                let record = entry.filter(|_| glance.has_overrides).and_then(|entry| entry.override_of(user));
                let switched = record.map(|record| record.enabled);
                let bucket = || Ok(glance.bucket(&self.global.chain, name, user));
                alone(&glance.exposure, switched, user, bucket).map(|(on, _)| on)
            }
        };
        match verdict {
            Ok(on) => on,
            Err(never) => match never {},
        }
    }

    /// Whether a feature is on for a user, and why.
    #[must_use]
    pub fn check(&self, name: &Name, user: &Address) -> Verdict {
        match decide(self, name, user) {
            Ok(verdict) => verdict,
            Err(never) => match never {},
        }
    }

    /// The settings shared by all plugins (key `D9`).
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.plugins.registry
    }

    /// How many plugins there are, likewise.
    #[must_use]
    pub fn plugin_count(&self) -> usize {
        self.plugins.len()
    }

    /// Looks a plugin up by name.
    #[must_use]
    pub fn plugin(&self, name: &Name) -> Option<&Plugin> {
        self.plugins.get(name).map(|data| &data.plugin)
    }

    /// All plugins, in name order.
    pub fn plugins(&self) -> impl Iterator<Item = (&Name, &Plugin)> {
        self.plugins.iter().map(|data| (&data.name, &data.plugin))
    }

    /// The versions of a plugin, in order of precedence.
    pub fn plugin_versions(&self, name: &Name) -> impl Iterator<Item = &PluginVersion> {
        self.plugins.get(name).into_iter().flat_map(|data| data.versions.iter())
    }

    /// Looks a version of a plugin up; build metadata is ignored.
    #[must_use]
    pub fn plugin_version(&self, name: &Name, version: &Version) -> Option<&PluginVersion> {
        self.plugins.get(name)?.versions.get(version)
    }

    /// The deployment of a plugin, if one is under way.
    #[must_use]
    pub fn deployment(&self, name: &Name) -> Option<&Deployment> {
        self.plugins.get(name)?.deployment.as_ref()
    }

    /// Returns a handle for [`State::route_by`].
    #[must_use]
    pub fn resolve_plugin(&self, name: &Name) -> Option<PluginHandle> {
        self.plugins.id(name).map(PluginHandle)
    }

    /// The version of a plugin that serves a unit (an account, a request id, any bytes); `None` for an unknown plugin.
    #[must_use]
    pub fn route(&self, name: &Name, unit: &[u8]) -> Option<&Version> {
        self.route_by(self.resolve_plugin(name)?, unit)
    }

    /// The version of a plugin that serves a unit, by handle.
    #[must_use]
    pub fn route_by(&self, PluginHandle(id): PluginHandle, unit: &[u8]) -> Option<&Version> {
        self.plugins.route(id, unit)
    }

    /// The routing of a plugin, to keep beyond the borrow of the state: its answers are those of [`State::route`] until a
    /// block changes plugins.
    #[must_use]
    pub fn router(&self, name: &Name) -> Option<Router> {
        self.plugins.router(name)
    }

    /// Says whether plugins have changed since another mark was taken.
    #[must_use]
    pub const fn plugins_mark(&self) -> &PluginsMark {
        &self.plugins.mark
    }

    /// The plugins that are not Unloaded, in name order: at most [`LOADED_MAX`](crate::LOADED_MAX), however many there are.
    pub fn plugins_to_host(&self) -> impl Iterator<Item = (&Name, &Plugin)> {
        self.plugins.not_unloaded().map(|data| (&data.name, &data.plugin))
    }

    /// Plans a load of a plugin as the command `load` in the next block would, in order.
    ///
    /// # Errors
    /// The reject that the command would get, and the plugin that causes it.
    pub fn plan_load(&self, name: &Name) -> Result<Vec<PlannedLoad>, LoadRefusal> {
        plan_load(&self.plugins, name)
    }

    // For execution.

    pub(crate) const fn plugin_states(&self) -> &Plugins {
        &self.plugins
    }

    pub(crate) fn checks_until(&self, height: Height) -> impl Iterator<Item = (Height, Name)> {
        self.plugins.checks.iter().copied().take_while(move |(at, _)| *at <= height)
    }

    pub(crate) fn deadlines_until(&self, height: Height) -> impl Iterator<Item = (Height, Name)> {
        self.plugins.deadlines.iter().copied().take_while(move |(at, _)| *at <= height)
    }

    pub(crate) fn queued_until(&self, height: Height) -> impl Iterator<Item = (Height, Name)> {
        self.plugins.queue.iter().copied().take_while(move |(at, _)| *at <= height)
    }

    pub(crate) fn first_check(&self) -> Option<Height> {
        self.plugins.checks.first().map(|(at, _)| *at)
    }

    pub(crate) fn first_deadline(&self) -> Option<Height> {
        self.plugins.deadlines.first().map(|(at, _)| *at)
    }

    pub(crate) fn first_queued(&self) -> Option<Height> {
        self.plugins.queue.first().map(|(at, _)| *at)
    }

    pub(crate) fn feature_id(&self, name: &Name) -> Option<FeatureId> {
        self.features.id(name)
    }

    pub(crate) fn entry(&self, id: FeatureId) -> Option<&FeatureEntry> {
        self.features.entry(id)
    }

    pub(crate) fn override_record(&self, name: &Name, user: &Address) -> Option<&Override> {
        self.features.get(name)?.override_of(user)
    }

    pub(crate) fn roles_record(&self, address: &Address) -> Option<&Roles> {
        self.roles.get(address)
    }

    pub(crate) fn scheduled(&self, at: Height, id: u64) -> Option<&Scheduled> {
        self.schedule.get(&(at, id))
    }

    pub(crate) fn scheduled_until(&self, height: Height) -> impl Iterator<Item = (Height, u64, &Scheduled)> {
        self.schedule.range(..=(height, u64::MAX)).map(|((at, id), entry)| (*at, *id, entry))
    }

    pub(crate) fn rounds_until(&self, height: Height) -> impl Iterator<Item = &(Height, Pool)> {
        self.trust.rounds.iter().take_while(move |(at, _)| *at <= height)
    }

    pub(crate) fn first_round(&self) -> Option<Height> {
        self.trust.rounds.first().map(|(at, _)| *at)
    }

    pub(crate) fn steps_until(&self, height: Height) -> impl Iterator<Item = (Height, Name)> {
        self.steps.iter().copied().take_while(move |(at, _)| *at <= height)
    }

    pub(crate) fn first_scheduled(&self) -> Option<Height> {
        self.schedule.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn first_step(&self) -> Option<Height> {
        self.steps.first().map(|(at, _)| *at)
    }

    pub(crate) const fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) const fn committed_feed(&self) -> &Feed {
        &self.feed
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = &Name> {
        self.active.iter()
    }
}

impl Lookup for State {
    type Error = Infallible;

    fn chain(&self) -> Result<ChainId, Infallible> {
        Ok(self.global.chain)
    }

    fn facts(&self, name: &Name, user: &Address) -> Result<Option<Facts<'_>>, Infallible> {
        Ok(self.features.get(name).map(|entry| entry.facts(user)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Block;
    use crate::execute::BlockError;
    use crate::feature::record::Reason;
    use crate::ledger::OpenBreaker;

    /// No stored state loads with an index whose name does not exist; memory may still be damaged.
    #[test]
    fn a_damaged_index_stops_the_node() {
        type Damage = fn(&mut State, Name);
        let name: Name = "f".parse().unwrap();
        let rows: [(&str, Damage); 3] = [
            ("step", |state, name| state.steps = [(1, name)].into()),
            ("load queue", |state, name| state.plugins.queue = [(1, name)].into()),
            ("active", |state, name| {
                let (since, until, reason, actor) = (0, None, Reason::Manual, Address::ZERO);
                state.global.breaker = Some(OpenBreaker { draining: true, since, until, reason, actor });
                state.active = [name].into();
            }),
        ];
        let genesis = Genesis::new("c", [(Address([1; 20]), Role::Admin.into())]).unwrap();
        for (index, damage) in rows {
            let (mut state, _) = State::genesis(&genesis).unwrap();
            damage(&mut state, name);
            let found = state.execute(&Block::empty(1)).map(|_| ());
            assert!(matches!(found, Err(BlockError::Broken(_))), "{index}: {found:?}");
        }
    }
}
