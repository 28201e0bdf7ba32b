//! The records that a block has touched, each copied from the state when it is first touched.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::feature::record::{Cause, Change, Feature, Metrics, Policy, Reason, Status};
use crate::index::{FeatureId, PluginId};
use crate::plugin::data::PluginData;
use crate::plugin::record::PluginChange;
use crate::reject::Reject;
use crate::state::State;
use crate::values::{Address, Name};

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
pub(crate) struct Copies<W> {
    /// Every copy ever made; those that no slot leads to were undone.
    copies: Vec<W>,
    slots: BTreeMap<Name, usize>,
    journal: Vec<CopyUndo<W>>,
    /// The slots that the journal can restore already.
    journaled: BTreeSet<usize>,
    pub(crate) journaling: Journaling,
}

#[derive(Debug)]
enum CopyUndo<W> {
    Changed(usize, Box<W>),
    Created(Name),
}

/// Whether changes are journaled: only a transaction of several commands can fail after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journaling {
    Off,
    On,
}

impl<W: Clone> Copies<W> {
    pub(crate) const fn new() -> Self {
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

    pub(crate) fn keep(&mut self) {
        self.journaling = Journaling::Off;
        self.journal.clear();
        self.journaled.clear();
    }

    pub(crate) fn undo(&mut self) {
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
    pub(crate) base: &'a State,
    pub(crate) copies: Copies<Working<'a>>,
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
    pub(crate) base: &'a State,
    pub(crate) copies: Copies<PluginCopy>,
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
