//! What a block has changed so far, on top of the committed state, and how to undo it.
//!
//! A record is copied from the state when it is first touched and encoded once, when the block
//! ends. The index of active features and the due steps are functions of the features, so they
//! are derived then and never kept here.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::event::Event;
use crate::execute::Presence;
use crate::feed::FeedState;
use crate::feed_ledger::{FeedDelta, FeedOverlay};
use crate::note::Note;
use crate::plugin::{PluginChange, Registry};
use crate::plugins::{PluginData, PluginId};
use crate::record::{Cause, Change, Feature, Global, Metrics, Override, Policy, Reason, Scheduled, Status};
use crate::reject::Reject;
use crate::state::{FeatureId, State, index};
use crate::values::{Address, Height, Name, Roles};

/// A feature as the block has left it so far.
#[derive(Debug, Clone)]
pub(crate) struct Working<'a> {
    /// Its place in the state; none if this block created it.
    pub(crate) id: Option<FeatureId>,
    pub(crate) feature: Feature,
    pub(crate) metrics: Metrics,
    /// Borrowed from the state unless this block has set it.
    pub(crate) policy: Cow<'a, Policy>,
    /// The longest path of prerequisites below it.
    pub(crate) depth: u32,
    /// How many history entries this block has written for it.
    pub(crate) seq: u32,
}

impl Working<'_> {
    /// The history entry for what the feature is now.
    pub(crate) fn entry(&mut self, cause: Cause, reason: Reason, actor: Address) -> HistoryEntry {
        let seq = self.seq;
        self.seq = seq.saturating_add(1);
        let change =
            Change { status: self.feature.status, percent: self.feature.rollout_percent, cause, reason, actor };
        HistoryEntry { name: self.feature.name, seq, change }
    }
}

/// A change of the history: whose, which in this block, and what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistoryEntry {
    pub(crate) name: Name,
    pub(crate) seq: u32,
    pub(crate) change: Change,
}

/// A plugin as the block has left it so far.
#[derive(Debug, Clone)]
pub(crate) struct PluginCopy {
    /// Its place in the state; none if this block created it.
    pub(crate) id: Option<PluginId>,
    pub(crate) data: PluginData,
    /// How many history entries this block has written for it.
    pub(crate) seq: u32,
}

/// A change of the history of a plugin: whose, which in this block, and what.
#[derive(Debug, Clone)]
pub(crate) struct PluginHistoryEntry {
    pub(crate) name: Name,
    pub(crate) seq: u32,
    pub(crate) change: PluginChange,
}

/// The records of one kind that the block has touched, each copied when it is first asked for.
#[derive(Debug)]
struct Copies<W> {
    /// Every copy ever made; those that no slot leads to were undone.
    copies: Vec<W>,
    slots: BTreeMap<Name, usize>,
    journal: Vec<CopyUndo<W>>,
    /// The slots that the journal can restore already.
    journaled: BTreeSet<usize>,
    journaling: Journaling,
}

#[derive(Debug)]
enum CopyUndo<W> {
    Changed(usize, Box<W>),
    Created(Name),
}

/// Whether changes are journaled: only a transaction of several commands can fail after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Journaling {
    Off,
    On,
}

impl<W: Clone> Copies<W> {
    const fn new() -> Self {
        let journaling = Journaling::Off;
        let journaled = BTreeSet::new();
        Self { copies: Vec::new(), slots: BTreeMap::new(), journal: Vec::new(), journaled, journaling }
    }

    /// The copy, if one was made.
    fn get(&self, name: &Name) -> Option<&W> {
        self.copies.get(*self.slots.get(name)?)
    }

    /// The copy, made by `copy` when it is first asked for.
    fn get_mut(&mut self, name: &Name, copy: impl FnOnce() -> Option<W>) -> Option<&mut W> {
        let slot = match self.slots.get(name) {
            Some(slot) => *slot,
            None => {
                let copy = copy()?;
                self.add(*name, copy)
            }
        };
        let working = self.copies.get_mut(slot)?;
        if self.journaling == Journaling::On && self.journaled.insert(slot) {
            self.journal.push(CopyUndo::Changed(slot, Box::new(working.clone())));
        }
        Some(working)
    }

    /// Adds what does not exist yet.
    fn create(&mut self, name: Name, working: W) {
        self.add(name, working);
        if self.journaling == Journaling::On {
            self.journal.push(CopyUndo::Created(name));
        }
    }

    fn add(&mut self, name: Name, working: W) -> usize {
        let slot = self.copies.len();
        self.copies.push(working);
        self.slots.insert(name, slot);
        slot
    }

    fn keep(&mut self) {
        self.journaling = Journaling::Off;
        self.journal.clear();
        self.journaled.clear();
    }

    fn undo(&mut self) {
        while let Some(undo) = self.journal.pop() {
            match undo {
                CopyUndo::Changed(slot, before) => {
                    if let Some(copy) = self.copies.get_mut(slot) {
                        *copy = *before;
                    }
                }
                CopyUndo::Created(name) => {
                    self.slots.remove(&name);
                }
            }
        }
    }

    /// By name.
    fn touched(&self) -> impl Iterator<Item = &W> {
        self.slots.values().filter_map(|slot| self.copies.get(*slot))
    }
}

/// The features that the block has touched.
#[derive(Debug)]
pub(crate) struct Features<'a> {
    base: &'a State,
    copies: Copies<Working<'a>>,
}

impl<'a> Features<'a> {
    /// The copy of a feature, made when it is first asked for.
    pub(crate) fn get_mut(&mut self, name: &Name) -> Result<&mut Working<'a>, Reject> {
        let base = self.base;
        let copy = self.copies.get_mut(name, || {
            let id = base.feature_id(name)?;
            let entry = base.entry(id)?;
            Some(Working {
                id: Some(id),
                feature: entry.feature.clone(),
                metrics: entry.metrics,
                policy: Cow::Borrowed(&entry.policy),
                depth: entry.depth,
                seq: 0,
            })
        });
        copy.ok_or(Reject::FeatureNotFound)
    }

    /// Status and depth of a feature, without making a copy of it.
    pub(crate) fn glance(&self, name: &Name) -> Option<(Status, u32)> {
        if let Some(copy) = self.copies.get(name) {
            return Some((copy.feature.status, copy.depth));
        }
        let entry = self.base.entry(self.base.feature_id(name)?)?;
        Some((entry.feature.status, entry.depth))
    }

    /// Adds a feature that does not exist yet.
    pub(crate) fn create(&mut self, working: Working<'a>) {
        self.copies.create(working.feature.name, working);
    }

    /// The touched features, by name.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &Working<'a>> {
        self.copies.touched()
    }
}

/// The plugins that the block has touched.
#[derive(Debug)]
pub(crate) struct PluginCopies<'a> {
    base: &'a State,
    copies: Copies<PluginCopy>,
}

impl PluginCopies<'_> {
    /// The copy of a plugin, made when it is first asked for.
    pub(crate) fn get_mut(&mut self, name: &Name) -> Result<&mut PluginCopy, Reject> {
        let base = self.base.plugin_states();
        let copy = self.copies.get_mut(name, || {
            let id = base.id(name)?;
            Some(PluginCopy { id: Some(id), data: base.data(id)?.clone(), seq: 0 })
        });
        copy.ok_or(Reject::PluginNotFound)
    }

    /// A plugin as it is, without making a copy of it.
    pub(crate) fn get(&self, name: &Name) -> Option<&PluginData> {
        match self.copies.get(name) {
            Some(copy) => Some(&copy.data),
            None => self.base.plugin_states().get(name),
        }
    }

    /// Adds a plugin that does not exist yet.
    pub(crate) fn create(&mut self, data: PluginData) {
        self.copies.create(data.name, PluginCopy { id: None, data, seq: 0 });
    }

    /// The touched plugins, by name.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &PluginCopy> {
        self.copies.touched()
    }
}

/// Changed entries of one kind: none stands for a removed one.
pub(crate) type Changes<K, V> = BTreeMap<K, Option<V>>;

#[derive(Debug)]
enum Undo {
    Override((Name, Address), Option<Option<Override>>),
    Roles(Address, Option<Option<Roles>>),
    Schedule((Height, u64), Option<Option<Scheduled>>),
    Row(Row, Option<Presence>),
    Queue((Height, Name), Option<Presence>),
}

/// A row of the index of dependents: what is required, none = the host; and who requires it.
pub(crate) type Row = (Option<Name>, Name);

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

/// Everything that a block has changed in the maps of the state.
#[derive(Debug, Clone)]
pub(crate) struct MapChanges {
    pub(crate) overrides: Changes<(Name, Address), Override>,
    pub(crate) roles: Changes<Address, Roles>,
    pub(crate) schedule: Changes<(Height, u64), Scheduled>,
    pub(crate) rows: BTreeMap<Row, Presence>,
    pub(crate) queue: BTreeMap<(Height, Name), Presence>,
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

pub(crate) fn put_back<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, before: Option<V>) {
    match before {
        Some(before) => map.insert(key, before),
        None => map.remove(&key),
    };
}
