//! The features and plugins that a block has touched, each copied from the state when it is first touched.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use crate::delta::{Touched, TouchedFeature, TouchedPlugin};
use crate::feature::data::FeatureData;
use crate::plugin::data::PluginData;
use crate::state::State;
use crate::values::Name;

/// The copies of one kind, and how to undo what a transaction does to them.
#[derive(Debug)]
struct Copies<W> {
    /// Every copy ever made. A copy without a slot was undone.
    copies: Vec<W>,
    slots: BTreeMap<Name, usize>,
    journal: Vec<Undo<W>>,
    /// The slots of which the journal has the value from before the transaction.
    journaled: BTreeSet<usize>,
    journaling: Journaling,
}

#[derive(Debug)]
enum Undo<W> {
    Changed(usize, Box<W>),
    Created(Name),
}

/// Whether changes are journaled. Only a transaction of several commands can fail after a change.
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

    /// The copy, if there is one.
    fn get(&self, name: &Name) -> Option<&W> {
        self.copies.get(*self.slots.get(name)?)
    }

    /// The copy, made by `copy` on first use.
    fn get_mut(&mut self, name: &Name, copy: impl FnOnce() -> Option<W>) -> Option<&mut W> {
        let slot = match self.slots.get(name) {
            Some(slot) => *slot,
            None => {
                let copy = copy()?;
                self.add(*name, copy)
            }
        };
        let copy = self.copies.get_mut(slot)?;
        if self.journaling == Journaling::On && self.journaled.insert(slot) {
            self.journal.push(Undo::Changed(slot, Box::new(copy.clone())));
        }
        Some(copy)
    }

    /// Adds a copy of something that the state does not have.
    fn create(&mut self, name: Name, copy: W) {
        self.add(name, copy);
        if self.journaling == Journaling::On {
            self.journal.push(Undo::Created(name));
        }
    }

    fn add(&mut self, name: Name, copy: W) -> usize {
        let slot = self.copies.len();
        self.copies.push(copy);
        self.slots.insert(name, slot);
        slot
    }

    fn begin(&mut self) {
        self.journaling = Journaling::On;
    }

    fn keep(&mut self) {
        self.journaling = Journaling::Off;
        self.journal.clear();
        self.journaled.clear();
    }

    fn undo(&mut self) {
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Changed(slot, before) => {
                    let copy = self.copies.get_mut(slot);
                    debug_assert!(copy.is_some(), "copies are never removed");
                    if let Some(copy) = copy {
                        *copy = *before;
                    }
                }
                Undo::Created(name) => {
                    self.slots.remove(&name);
                }
            }
        }
    }

    /// The copies, in name order.
    fn iter(&self) -> impl Iterator<Item = &W> {
        self.slots.values().filter_map(|slot| self.copies.get(*slot))
    }

    /// Visits the copies in name order and returns those for which `visit` returns true, in the order in which they
    /// were made. Nothing is moved unless a copy is left out.
    fn into_kept(mut self, mut visit: impl FnMut(&W) -> bool) -> Vec<W> {
        let mut keeps = vec![false; self.copies.len()];
        for slot in self.slots.into_values() {
            if let (Some(copy), Some(keep)) = (self.copies.get(slot), keeps.get_mut(slot)) {
                *keep = visit(copy);
            }
        }
        let mut keeps = keeps.into_iter();
        self.copies.retain(|_| keeps.next().unwrap_or_default());
        self.copies
    }
}

/// The features as the block sees them.
#[derive(Debug)]
pub(crate) struct Features<'a> {
    base: &'a State,
    copies: Copies<TouchedFeature>,
}

impl<'a> Features<'a> {
    pub(super) const fn new(base: &'a State) -> Self {
        Self { base, copies: Copies::new() }
    }

    /// Reads a feature without making a copy.
    pub(crate) fn get(&self, name: &Name) -> Option<&FeatureData> {
        match self.copies.get(name) {
            Some(copy) => Some(&copy.data),
            None => self.base.entry(self.base.feature_id(name)?).map(|entry| &entry.data),
        }
    }

    /// The copy of a feature, made on first use.
    pub(crate) fn get_mut(&mut self, name: &Name) -> Option<&mut TouchedFeature> {
        let base = self.base;
        self.copies.get_mut(name, || {
            let id = base.feature_id(name)?;
            Some(Touched { id: Some(id), data: base.entry(id)?.data.clone(), seq: 0 })
        })
    }

    /// Adds a feature that does not exist yet.
    pub(crate) fn create(&mut self, touched: TouchedFeature) {
        self.copies.create(touched.data.feature.name, touched);
    }

    pub(super) fn begin(&mut self) {
        self.copies.begin();
    }

    pub(super) fn keep(&mut self) {
        self.copies.keep();
    }

    pub(super) fn undo(&mut self) {
        self.copies.undo();
    }

    /// Visits the copies in name order and returns those for which `visit` returns true.
    pub(crate) fn into_kept(self, visit: impl FnMut(&TouchedFeature) -> bool) -> Vec<TouchedFeature> {
        self.copies.into_kept(visit)
    }
}

/// The plugins as the block sees them.
#[derive(Debug)]
pub(crate) struct Plugins<'a> {
    base: &'a State,
    copies: Copies<TouchedPlugin>,
}

impl<'a> Plugins<'a> {
    pub(super) const fn new(base: &'a State) -> Self {
        Self { base, copies: Copies::new() }
    }

    /// Reads a plugin without making a copy.
    pub(crate) fn get(&self, name: &Name) -> Option<&PluginData> {
        match self.copies.get(name) {
            Some(copy) => Some(&copy.data),
            None => self.base.plugin_states().get(name),
        }
    }

    /// The copy of a plugin, made on first use.
    pub(crate) fn get_mut(&mut self, name: &Name) -> Option<&mut TouchedPlugin> {
        let base = self.base.plugin_states();
        self.copies.get_mut(name, || {
            let id = base.id(name)?;
            Some(Touched { id: Some(id), data: base.data(id)?.clone(), seq: 0 })
        })
    }

    /// Adds a plugin that does not exist yet.
    pub(crate) fn create(&mut self, touched: TouchedPlugin) {
        self.copies.create(touched.data.name, touched);
    }

    /// The touched plugins, in name order.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &TouchedPlugin> {
        self.copies.iter()
    }

    pub(super) fn begin(&mut self) {
        self.copies.begin();
    }

    pub(super) fn keep(&mut self) {
        self.copies.keep();
    }

    pub(super) fn undo(&mut self) {
        self.copies.undo();
    }

    /// Visits the copies in name order and returns those for which `visit` returns true.
    pub(crate) fn into_kept(self, visit: impl FnMut(&TouchedPlugin) -> bool) -> Vec<TouchedPlugin> {
        self.copies.into_kept(visit)
    }
}
