//! The features and plugins that a block has touched, each copied from the state when it is first touched.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use crate::delta::Touched;
use crate::feature::data::FeatureData;
use crate::index::{FeatureId, PluginId};
use crate::plugin::data::PluginData;
use crate::state::State;
use crate::values::Name;

/// A kind of data that the state has under names.
pub(crate) trait Named: Clone {
    /// Its position in the state.
    type Id: Copy;

    fn name(&self) -> Name;

    /// Looks it up in the state.
    fn find<'s>(state: &'s State, name: &Name) -> Option<(Self::Id, &'s Self)>;
}

impl Named for FeatureData {
    type Id = FeatureId;

    fn name(&self) -> Name {
        self.feature.name
    }

    fn find<'s>(state: &'s State, name: &Name) -> Option<(FeatureId, &'s Self)> {
        let id = state.feature_id(name)?;
        Some((id, &state.entry(id)?.data))
    }
}

impl Named for PluginData {
    type Id = PluginId;

    fn name(&self) -> Name {
        self.name
    }

    fn find<'s>(state: &'s State, name: &Name) -> Option<(PluginId, &'s Self)> {
        let plugins = state.plugin_states();
        let id = plugins.id(name)?;
        Some((id, plugins.data(id)?))
    }
}

/// The features or plugins as the block sees them, and how to undo what a transaction does to them.
#[derive(Debug)]
pub(crate) struct Copies<'a, T: Named> {
    base: &'a State,
    /// Every copy ever made. A copy without a slot was undone.
    copies: Vec<Touched<T, T::Id>>,
    slots: BTreeMap<Name, usize>,
    journal: Vec<Undo<Touched<T, T::Id>>>,
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

impl<'a, T: Named> Copies<'a, T> {
    pub(super) const fn new(base: &'a State) -> Self {
        Self {
            base,
            copies: Vec::new(),
            slots: BTreeMap::new(),
            journal: Vec::new(),
            journaled: BTreeSet::new(),
            journaling: Journaling::Off,
        }
    }

    /// Reads without making a copy.
    pub(crate) fn get(&self, name: &Name) -> Option<&T> {
        match self.slots.get(name).and_then(|slot| self.copies.get(*slot)) {
            Some(copy) => Some(&copy.data),
            None => T::find(self.base, name).map(|(_, data)| data),
        }
    }

    /// The copy, made on first use.
    pub(crate) fn get_mut(&mut self, name: &Name) -> Option<&mut Touched<T, T::Id>> {
        let slot = match self.slots.get(name) {
            Some(slot) => *slot,
            None => {
                let (id, data) = T::find(self.base, name)?;
                self.add(Touched { id: Some(id), data: data.clone(), seq: 0 })
            }
        };
        let copy = self.copies.get_mut(slot)?;
        if self.journaling == Journaling::On && self.journaled.insert(slot) {
            self.journal.push(Undo::Changed(slot, Box::new(copy.clone())));
        }
        Some(copy)
    }

    /// Adds what the state does not have.
    pub(crate) fn create(&mut self, copy: Touched<T, T::Id>) {
        let name = copy.data.name();
        self.add(copy);
        if self.journaling == Journaling::On {
            self.journal.push(Undo::Created(name));
        }
    }

    fn add(&mut self, copy: Touched<T, T::Id>) -> usize {
        let slot = self.copies.len();
        self.slots.insert(copy.data.name(), slot);
        self.copies.push(copy);
        slot
    }

    pub(super) fn begin(&mut self) {
        self.journaling = Journaling::On;
    }

    pub(super) fn keep(&mut self) {
        self.journaling = Journaling::Off;
        self.journal.clear();
        self.journaled.clear();
    }

    pub(super) fn undo(&mut self) {
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
    pub(crate) fn touched(&self) -> impl Iterator<Item = &Touched<T, T::Id>> {
        self.slots.values().filter_map(|slot| self.copies.get(*slot))
    }

    /// Visits the copies in name order and returns those for which `visit` returns true, in the order in which they
    /// were made. Nothing is moved unless a copy is left out.
    pub(crate) fn into_kept(mut self, mut visit: impl FnMut(&Touched<T, T::Id>) -> bool) -> Vec<Touched<T, T::Id>> {
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
