//! What a block has changed so far, on top of the committed state, and how to undo it.
//!
//! A record is copied from the state when it is first touched and encoded once, when the block
//! ends. The index of active features and the due steps are functions of the features, so they
//! are derived then and never kept here.

pub(crate) mod copies;
pub(crate) mod feed;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::delta::{FeedDelta, MapChanges};
use crate::event::Event;
use crate::feature::record::Override;
use crate::feed::record::FeedState;
use crate::index::{Changes, Presence, Row, index, put_back};
use crate::ledger::Global;
use crate::note::Note;
use crate::overlay::copies::{Copies, Features, HistoryEntry, Journaling, PluginCopies, PluginHistoryEntry};
use crate::overlay::feed::FeedOverlay;
use crate::plugin::record::Registry;
use crate::schedule::Scheduled;
use crate::state::State;
use crate::values::{Address, Height, Name, Roles};

#[derive(Debug)]
enum Undo {
    Override((Name, Address), Option<Option<Override>>),
    Roles(Address, Option<Option<Roles>>),
    Schedule((Height, u64), Option<Option<Scheduled>>),
    Row(Row, Option<Presence>),
    Queue((Height, Name), Option<Presence>),
}

/// Where a transaction began.
#[derive(Debug)]
pub(crate) struct Mark {
    global: Global,
    registry: Registry,
    host_rows: usize,
    history: usize,
    plugin_history: usize,
    events: usize,
    notes: usize,
    feed: FeedState,
}

/// The state as the block sees it.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    pub(crate) base: &'a State,
    pub(crate) height: Height,
    pub(crate) features: Features<'a>,
    pub(crate) plugins: PluginCopies<'a>,
    pub(crate) global: Global,
    pub(crate) registry: Registry,
    /// How many rows the host has in the index of dependents.
    pub(crate) host_rows: usize,
    pub(crate) history: Vec<HistoryEntry>,
    pub(crate) plugin_history: Vec<PluginHistoryEntry>,
    pub(crate) events: Vec<Event>,
    /// The index of the transaction at hand.
    pub(crate) tx: usize,
    pub(crate) notes: Vec<(usize, Note)>,
    /// The plugin at which the load failed that refuses the transaction at hand.
    pub(crate) refused: Option<Name>,
    pub(crate) feed: FeedOverlay<'a>,
    overrides: Changes<(Name, Address), Override>,
    roles: Changes<Address, Roles>,
    schedule: Changes<(Height, u64), Scheduled>,
    rows: BTreeMap<Row, Presence>,
    queue: BTreeMap<(Height, Name), Presence>,
    journal: Vec<Undo>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(base: &'a State, height: Height) -> Self {
        Self {
            base,
            height,
            features: Features { base, copies: Copies::new() },
            plugins: PluginCopies { base, copies: Copies::new() },
            global: *base.global(),
            registry: base.plugin_states().registry.clone(),
            host_rows: base.plugin_states().row_count(&None),
            history: Vec::new(),
            plugin_history: Vec::new(),
            events: Vec::new(),
            tx: 0,
            notes: Vec::new(),
            refused: None,
            feed: FeedOverlay::new(base.committed_feed()),
            overrides: BTreeMap::new(),
            roles: BTreeMap::new(),
            schedule: BTreeMap::new(),
            rows: BTreeMap::new(),
            queue: BTreeMap::new(),
            journal: Vec::new(),
        }
    }

    /// Begins a transaction that may fail after a change. Whatever was done before is kept.
    pub(crate) fn begin(&mut self) -> Mark {
        self.keep();
        self.features.copies.journaling = Journaling::On;
        self.plugins.copies.journaling = Journaling::On;
        Mark {
            global: self.global,
            registry: self.registry.clone(),
            host_rows: self.host_rows,
            history: self.history.len(),
            plugin_history: self.plugin_history.len(),
            events: self.events.len(),
            notes: self.notes.len(),
            feed: self.feed.state,
        }
    }

    /// Keeps what the transaction did.
    pub(crate) fn keep(&mut self) {
        self.features.copies.keep();
        self.plugins.copies.keep();
        self.feed.keep();
        self.journal.clear();
    }

    /// Undoes what the transaction did.
    pub(crate) fn undo(&mut self, mark: Mark) {
        self.features.copies.undo();
        self.plugins.copies.undo();
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Override(key, before) => put_back(&mut self.overrides, key, before),
                Undo::Roles(key, before) => put_back(&mut self.roles, key, before),
                Undo::Schedule(key, before) => put_back(&mut self.schedule, key, before),
                Undo::Row(key, before) => put_back(&mut self.rows, key, before),
                Undo::Queue(key, before) => put_back(&mut self.queue, key, before),
            }
        }
        self.feed.undo(mark.feed);
        self.global = mark.global;
        self.registry = mark.registry;
        self.host_rows = mark.host_rows;
        self.history.truncate(mark.history);
        self.plugin_history.truncate(mark.plugin_history);
        self.events.truncate(mark.events);
        self.notes.truncate(mark.notes);
        self.keep();
    }

    /// Notes something about the transaction at hand.
    pub(crate) fn note(&mut self, note: Note) {
        self.notes.push((self.tx, note));
    }

    /// A user's own switch.
    pub(crate) fn override_of(&self, name: &Name, user: &Address) -> Option<Override> {
        match self.overrides.get(&(*name, *user)) {
            Some(change) => *change,
            None => self.base.override_record(name, user).copied(),
        }
    }

    pub(crate) fn set_override(&mut self, name: Name, user: Address, record: Option<Override>) {
        let before = self.overrides.insert((name, user), record);
        self.journal.push(Undo::Override((name, user), before));
    }

    /// What an address may do.
    pub(crate) fn roles_of(&self, address: &Address) -> Roles {
        match self.roles.get(address) {
            Some(change) => change.unwrap_or_default(),
            None => self.base.roles_of(address),
        }
    }

    pub(crate) fn set_roles(&mut self, address: Address, roles: Roles) {
        let before = self.roles.insert(address, (!roles.is_empty()).then_some(roles));
        self.journal.push(Undo::Roles(address, before));
    }

    /// Whether there is a scheduled entry.
    pub(crate) fn is_scheduled(&self, at: Height, id: u64) -> bool {
        match self.schedule.get(&(at, id)) {
            Some(change) => change.is_some(),
            None => self.base.scheduled(at, id).is_some(),
        }
    }

    pub(crate) fn set_scheduled(&mut self, at: Height, id: u64, entry: Option<Scheduled>) {
        let before = self.schedule.insert((at, id), entry);
        self.journal.push(Undo::Schedule((at, id), before));
    }

    /// Whether there is a row in the index of dependents.
    pub(crate) fn has_row(&self, row: &Row) -> bool {
        match self.rows.get(row) {
            Some(presence) => *presence == Presence::Added,
            None => self.base.plugin_states().has_row(row),
        }
    }

    /// Writes a row of the index of dependents, which is not what it is to be. The counts are the caller's.
    pub(crate) fn set_row(&mut self, row: Row, presence: Presence) {
        let before = self.rows.insert(row, presence);
        self.journal.push(Undo::Row(row, before));
    }

    /// The plugins that have a row under this one, in name order.
    pub(crate) fn dependents_of(&self, dependency: Option<Name>) -> BTreeSet<Name> {
        let base = self.base.plugin_states().dependents.get(&dependency);
        let mut dependents = base.cloned().unwrap_or_default();
        let changed =
            self.rows.range((dependency, Name::BEFORE_ALL)..).take_while(|((other, _), _)| *other == dependency);
        changed.for_each(|((_, dependent), presence)| index(&mut dependents, *dependent, *presence));
        dependents
    }

    /// Whether a plugin stands in the load queue at a height.
    pub(crate) fn is_queued(&self, at: Height, plugin: &Name) -> bool {
        match self.queue.get(&(at, *plugin)) {
            Some(presence) => *presence == Presence::Added,
            None => self.base.plugin_states().queue.contains(&(at, *plugin)),
        }
    }

    pub(crate) fn set_queued(&mut self, at: Height, plugin: Name, presence: Presence) {
        let before = self.queue.insert((at, plugin), presence);
        self.journal.push(Undo::Queue((at, plugin), before));
    }

    pub(crate) fn into_changes(self) -> (MapChanges, FeedDelta, Global, Registry) {
        let Self { overrides, roles, schedule, rows, queue, feed, global, registry, .. } = self;
        (MapChanges { overrides, roles, schedule, rows, queue }, feed.into_delta(), global, registry)
    }

    pub(crate) const fn override_changes(&self) -> &Changes<(Name, Address), Override> {
        &self.overrides
    }

    pub(crate) const fn role_changes(&self) -> &Changes<Address, Roles> {
        &self.roles
    }

    pub(crate) const fn row_changes(&self) -> &BTreeMap<Row, Presence> {
        &self.rows
    }

    pub(crate) const fn queue_changes(&self) -> &BTreeMap<(Height, Name), Presence> {
        &self.queue
    }

    pub(crate) const fn schedule_changes(&self) -> &Changes<(Height, u64), Scheduled> {
        &self.schedule
    }
}
