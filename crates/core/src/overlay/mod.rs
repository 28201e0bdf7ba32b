//! What a block has changed so far, on top of the committed state, and how to undo it.
//!
//! A record is copied from the state on first use and encoded once, when the block ends. The index of active features
//! and the due steps are functions of the features, so they are derived then and not kept here.

pub(crate) mod copies;
pub(crate) mod feed;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::num::NonZeroU64;

use crate::delta::MapChanges;
use crate::feature::data::FeatureData;
use crate::feature::record::Override;
use crate::feed::record::FeedTotals;
use crate::index::{Presence, Row, index, put_back};
use crate::ledger::Global;
use crate::overlay::copies::Copies;
use crate::overlay::feed::FeedOverlay;
use crate::plugin::data::PluginData;
use crate::plugin::record::Registry;
use crate::plugin::requirements::View;
use crate::plugin::version::Version;
use crate::rounds::{OpenPool, Pool};
use crate::schedule::Scheduled;
use crate::state::State;
use crate::values::{Address, Height, Name, Roles};

#[derive(Debug)]
enum Undo {
    Override((Name, Address), Option<Option<Override>>),
    Roles(Address, Option<Option<Roles>>),
    Schedule((Height, u64), Option<Option<Scheduled>>),
    Sequence(Address, Option<NonZeroU64>),
    Pool(Pool, Option<Option<OpenPool>>),
    Row(Row, Option<Presence>),
    Queue((Height, Name), Option<Presence>),
    Started(Name, Presence),
}

/// The values to restore when a transaction is undone.
#[derive(Debug)]
pub(crate) struct Mark {
    global: Global,
    registry: Registry,
    host_rows: usize,
    deployments: usize,
    feed: FeedTotals,
}

/// The state as the block sees it.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    pub(crate) base: &'a State,
    pub(crate) features: Copies<'a, FeatureData>,
    pub(crate) plugins: Copies<'a, PluginData>,
    pub(crate) global: Global,
    pub(crate) registry: Registry,
    /// The number of rows that the host has in the dependents index.
    pub(crate) host_rows: usize,
    /// The number of deployments.
    deployments: usize,
    /// The plugins whose deployment started in this block and still runs, unless they had another one before it.
    started: BTreeSet<Name>,
    pub(crate) feed: FeedOverlay<'a>,
    /// Written only by the methods below, which journal the previous value.
    pub(crate) maps: MapChanges,
    journal: Vec<Undo>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(base: &'a State) -> Self {
        Self {
            base,
            features: Copies::new(base),
            plugins: Copies::new(base),
            global: *base.global(),
            registry: base.plugin_states().registry.clone(),
            host_rows: base.plugin_states().row_count(&None),
            deployments: base.plugin_states().deployments.len(),
            started: BTreeSet::new(),
            feed: FeedOverlay::new(base.committed_feed()),
            maps: MapChanges::default(),
            journal: Vec::new(),
        }
    }

    /// Begins a transaction that may fail after a change. Earlier changes can no longer be undone.
    pub(crate) fn begin(&mut self) -> Mark {
        self.keep();
        self.features.begin();
        self.plugins.begin();
        let Self { global, host_rows, deployments, .. } = *self;
        Mark { global, registry: self.registry.clone(), host_rows, deployments, feed: self.feed.state }
    }

    /// Ends a transaction and keeps its changes.
    pub(crate) fn keep(&mut self) {
        self.features.keep();
        self.plugins.keep();
        self.feed.keep();
        self.journal.clear();
    }

    /// Undoes all changes of the transaction.
    pub(crate) fn undo(&mut self, mark: Mark) {
        self.features.undo();
        self.plugins.undo();
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Override(key, before) => put_back(&mut self.maps.overrides, key, before),
                Undo::Roles(key, before) => put_back(&mut self.maps.roles, key, before),
                Undo::Schedule(key, before) => put_back(&mut self.maps.schedule, key, before),
                Undo::Sequence(key, before) => put_back(&mut self.maps.sequences, key, before),
                Undo::Pool(key, before) => put_back(&mut self.maps.pools, key, before),
                Undo::Row(key, before) => put_back(&mut self.maps.rows, key, before),
                Undo::Queue(key, before) => put_back(&mut self.maps.queue, key, before),
                Undo::Started(name, before) => index(&mut self.started, name, before),
            }
        }
        self.feed.undo(mark.feed);
        self.global = mark.global;
        self.registry = mark.registry;
        self.host_rows = mark.host_rows;
        self.deployments = mark.deployments;
        self.keep();
    }

    /// The override of a user, as of now in the block.
    pub(crate) fn override_of(&self, name: &Name, user: &Address) -> Option<Override> {
        match self.maps.overrides.get(&(*name, *user)) {
            Some(change) => *change,
            None => self.base.override_record(name, user).copied(),
        }
    }

    pub(crate) fn set_override(&mut self, name: Name, user: Address, record: Option<Override>) {
        let before = self.maps.overrides.insert((name, user), record);
        self.journal.push(Undo::Override((name, user), before));
    }

    /// The roles of an address, as of now in the block.
    pub(crate) fn roles_of(&self, address: &Address) -> Roles {
        match self.maps.roles.get(address) {
            Some(change) => change.unwrap_or_default(),
            None => self.base.roles_of(address),
        }
    }

    pub(crate) fn set_roles(&mut self, address: Address, roles: Roles) {
        let before = self.maps.roles.insert(address, (!roles.is_empty()).then_some(roles));
        self.journal.push(Undo::Roles(address, before));
    }

    /// A scheduled entry, as of now in the block.
    pub(crate) fn scheduled(&self, at: Height, id: u64) -> Option<&Scheduled> {
        match self.maps.schedule.get(&(at, id)) {
            Some(change) => change.as_ref(),
            None => self.base.scheduled(at, id),
        }
    }

    /// Adds or removes a scheduled entry, and counts it.
    pub(crate) fn set_scheduled(&mut self, at: Height, id: u64, entry: Option<Scheduled>) {
        let before = u32::from(self.scheduled(at, id).is_some());
        let scheduled = &mut self.global.scheduled;
        *scheduled = scheduled.saturating_sub(before).saturating_add(u32::from(entry.is_some()));
        let before = self.maps.schedule.insert((at, id), entry);
        self.journal.push(Undo::Schedule((at, id), before));
    }

    /// The last sequence of a signer, as of now in the block.
    pub(crate) fn sequence_of(&self, signer: &Address) -> Option<NonZeroU64> {
        self.maps.sequences.get(signer).or(self.base.trust().sequences.get(signer)).copied()
    }

    pub(crate) fn set_sequence(&mut self, signer: Address, sequence: NonZeroU64) {
        let before = self.maps.sequences.insert(signer, sequence);
        self.journal.push(Undo::Sequence(signer, before));
    }

    /// An open pool, as of now in the block.
    pub(crate) fn pool(&self, pool: &Pool) -> Option<&OpenPool> {
        match self.maps.pools.get(pool) {
            Some(change) => change.as_ref(),
            None => self.base.trust().pools.get(pool),
        }
    }

    pub(crate) fn set_pool(&mut self, pool: Pool, open: Option<OpenPool>) {
        let before = self.maps.pools.insert(pool.clone(), open);
        self.journal.push(Undo::Pool(pool, before));
    }

    /// Adds or removes a row of the dependents index. The row must not already be in that state; the caller
    /// updates the counts.
    pub(crate) fn set_row(&mut self, row: Row, presence: Presence) {
        let before = self.maps.rows.insert(row, presence);
        self.journal.push(Undo::Row(row, before));
    }

    /// Counts a deployment that starts.
    pub(crate) fn add_deployment(&mut self, plugin: Name) {
        self.deployments = self.deployments.saturating_add(1);
        if !self.base.plugin_states().deployments.contains(&plugin) && self.started.insert(plugin) {
            self.journal.push(Undo::Started(plugin, Presence::Removed));
        }
    }

    /// Counts a deployment that ends.
    pub(crate) fn remove_deployment(&mut self, plugin: &Name) {
        self.deployments = self.deployments.saturating_sub(1);
        if self.started.remove(plugin) {
            self.journal.push(Undo::Started(*plugin, Presence::Added));
        }
    }

    /// How many deployments there are, as of now in the block.
    pub(crate) const fn deployment_count(&self) -> usize {
        self.deployments
    }

    /// The plugins with a deployment, as of now in the block, in no order.
    pub(crate) fn deploying(&self) -> impl Iterator<Item = &PluginData> {
        let names = self.base.plugin_states().deployments.iter().chain(&self.started);
        names.filter_map(|name| self.plugins.get(name)).filter(|data| data.deployment.is_some())
    }

    /// How many plugins require a plugin, or wait for it; 0 for one that does not exist.
    pub(crate) fn dependent_count(&self, plugin: &Name) -> u32 {
        self.plugins.get(plugin).map_or(0, |data| data.plugin.dependents.into())
    }

    /// Whether a plugin is in the load queue at a height.
    pub(crate) fn is_queued(&self, at: Height, plugin: &Name) -> bool {
        match self.maps.queue.get(&(at, *plugin)) {
            Some(presence) => *presence == Presence::Added,
            None => self.base.plugin_states().queue.contains(&(at, *plugin)),
        }
    }

    pub(crate) fn set_queued(&mut self, at: Height, plugin: Name, presence: Presence) {
        let before = self.maps.queue.insert((at, plugin), presence);
        self.journal.push(Undo::Queue((at, plugin), before));
    }
}

impl View for Overlay<'_> {
    fn plugin(&self, name: &Name) -> Option<&PluginData> {
        self.plugins.get(name)
    }

    fn host_version(&self) -> &Version {
        &self.registry.host_version
    }

    fn host_rows(&self) -> usize {
        self.host_rows
    }

    fn has_row(&self, row: &Row) -> bool {
        match self.maps.rows.get(row) {
            Some(presence) => *presence == Presence::Added,
            None => self.base.plugin_states().has_row(row),
        }
    }

    fn dependents(&self, dependency: Option<Name>) -> impl Iterator<Item = Name> {
        let rows = &self.maps.rows;
        let base = self.base.plugin_states().dependents(dependency);
        let unchanged = base.filter(move |dependent| !rows.contains_key(&(dependency, *dependent)));
        let changed = rows.range((dependency, Name::BEFORE_ALL)..).take_while(move |((of, _), _)| *of == dependency);
        let added = changed.filter(|(_, presence)| **presence == Presence::Added).map(|((_, dependent), _)| *dependent);
        unchanged.chain(added)
    }
}
