//! What a block has changed so far, on top of the committed state, and how to undo it.
//!
//! A record is copied from the state when it is first touched and encoded once, when the block
//! ends. The index of active features and the due steps are functions of the features, so they
//! are derived then and never kept here.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::event::Event;
use crate::record::{Cause, Change, Feature, Global, Metrics, Override, Policy, Reason, Scheduled, Status};
use crate::state::{FeatureId, State};
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

/// The features that the block has touched.
#[derive(Debug)]
pub(crate) struct Features<'a> {
    base: &'a State,
    /// Every copy ever made; those that no slot leads to were undone.
    copies: Vec<Working<'a>>,
    slots: BTreeMap<Name, usize>,
    journal: Vec<FeatureUndo<'a>>,
    journaling: Journaling,
}

#[derive(Debug)]
enum FeatureUndo<'a> {
    Changed(usize, Box<Working<'a>>),
    Created(Name),
}

/// Whether changes are journaled: only a transaction of several commands can fail after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Journaling {
    Off,
    On,
}

impl<'a> Features<'a> {
    /// The copy of a feature, made when it is first asked for; none if there is no such feature.
    pub(crate) fn get_mut(&mut self, name: &Name) -> Option<&mut Working<'a>> {
        let slot = self.slot(name)?;
        let working = self.copies.get_mut(slot)?;
        if self.journaling == Journaling::On {
            self.journal.push(FeatureUndo::Changed(slot, Box::new(working.clone())));
        }
        Some(working)
    }

    fn slot(&mut self, name: &Name) -> Option<usize> {
        if let Some(slot) = self.slots.get(name) {
            return Some(*slot);
        }
        let base = self.base;
        let id = base.feature_id(name)?;
        let entry = base.entry(id)?;
        let slot = self.copies.len();
        self.copies.push(Working {
            id: Some(id),
            feature: entry.feature.clone(),
            metrics: entry.metrics,
            policy: Cow::Borrowed(&entry.policy),
            depth: entry.depth,
            seq: 0,
        });
        self.slots.insert(*name, slot);
        Some(slot)
    }

    /// Status and depth of a feature, without making a copy of it.
    pub(crate) fn glance(&self, name: &Name) -> Option<(Status, u32)> {
        if let Some(copy) = self.slots.get(name).and_then(|slot| self.copies.get(*slot)) {
            return Some((copy.feature.status, copy.depth));
        }
        let entry = self.base.entry(self.base.feature_id(name)?)?;
        Some((entry.feature.status, entry.depth))
    }

    /// Adds a feature that does not exist yet.
    pub(crate) fn create(&mut self, working: Working<'a>) {
        let name = working.feature.name;
        self.slots.insert(name, self.copies.len());
        self.copies.push(working);
        if self.journaling == Journaling::On {
            self.journal.push(FeatureUndo::Created(name));
        }
    }

    fn undo(&mut self) {
        while let Some(undo) = self.journal.pop() {
            match undo {
                FeatureUndo::Changed(slot, before) => {
                    if let Some(copy) = self.copies.get_mut(slot) {
                        *copy = *before;
                    }
                }
                FeatureUndo::Created(name) => {
                    self.slots.remove(&name);
                }
            }
        }
    }

    /// The touched features, by name.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &Working<'a>> {
        self.slots.values().filter_map(|slot| self.copies.get(*slot))
    }
}

/// Changed entries of one kind: none stands for a removed one.
pub(crate) type Changes<K, V> = BTreeMap<K, Option<V>>;

#[derive(Debug)]
enum Undo {
    Override((Name, Address), Option<Option<Override>>),
    Roles(Address, Option<Option<Roles>>),
    Schedule((Height, u64), Option<Option<Scheduled>>),
}

/// Where a transaction began.
#[derive(Debug)]
pub(crate) struct Mark {
    global: Global,
    history: usize,
    events: usize,
}

/// The state as the block sees it.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    pub(crate) base: &'a State,
    pub(crate) height: Height,
    pub(crate) features: Features<'a>,
    pub(crate) global: Global,
    pub(crate) history: Vec<HistoryEntry>,
    pub(crate) events: Vec<Event>,
    overrides: Changes<(Name, Address), Override>,
    roles: Changes<Address, Roles>,
    schedule: Changes<(Height, u64), Scheduled>,
    journal: Vec<Undo>,
}

/// Everything that a block has changed in the maps of the state.
#[derive(Debug, Clone)]
pub(crate) struct MapChanges {
    pub(crate) overrides: Changes<(Name, Address), Override>,
    pub(crate) roles: Changes<Address, Roles>,
    pub(crate) schedule: Changes<(Height, u64), Scheduled>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(base: &'a State, height: Height) -> Self {
        let features = Features {
            base,
            copies: Vec::new(),
            slots: BTreeMap::new(),
            journal: Vec::new(),
            journaling: Journaling::Off,
        };
        Self {
            base,
            height,
            features,
            global: *base.global(),
            history: Vec::new(),
            events: Vec::new(),
            overrides: BTreeMap::new(),
            roles: BTreeMap::new(),
            schedule: BTreeMap::new(),
            journal: Vec::new(),
        }
    }

    /// Begins a transaction that may fail after a change.
    pub(crate) fn begin(&mut self) -> Mark {
        self.features.journaling = Journaling::On;
        Mark { global: self.global, history: self.history.len(), events: self.events.len() }
    }

    /// Keeps what the transaction did.
    pub(crate) fn keep(&mut self) {
        self.features.journaling = Journaling::Off;
        self.features.journal.clear();
        self.journal.clear();
    }

    /// Undoes what the transaction did.
    pub(crate) fn undo(&mut self, mark: Mark) {
        self.features.undo();
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Override(key, before) => put_back(&mut self.overrides, key, before),
                Undo::Roles(key, before) => put_back(&mut self.roles, key, before),
                Undo::Schedule(key, before) => put_back(&mut self.schedule, key, before),
            }
        }
        self.global = mark.global;
        self.history.truncate(mark.history);
        self.events.truncate(mark.events);
        self.keep();
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

    pub(crate) fn into_map_changes(self) -> MapChanges {
        MapChanges { overrides: self.overrides, roles: self.roles, schedule: self.schedule }
    }

    pub(crate) const fn override_changes(&self) -> &Changes<(Name, Address), Override> {
        &self.overrides
    }

    pub(crate) const fn role_changes(&self) -> &Changes<Address, Roles> {
        &self.roles
    }

    pub(crate) const fn schedule_changes(&self) -> &Changes<(Height, u64), Scheduled> {
        &self.schedule
    }
}

fn put_back<K: Ord, V>(map: &mut Changes<K, V>, key: K, before: Option<Option<V>>) {
    match before {
        Some(before) => map.insert(key, before),
        None => map.remove(&key),
    };
}
