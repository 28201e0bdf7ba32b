//! The features and plugins that a block has touched, each copied from the state when it is first touched.

use alloc::boxed::Box;
use alloc::collections::btree_map::Entry;
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
    type Id: Copy + Ord;

    fn name(&self) -> &Name;

    /// Looks it up in the state.
    fn id(state: &State, name: &Name) -> Option<Self::Id>;

    /// What the state has at a position.
    fn find(state: &State, id: Self::Id) -> Option<&Self>;
}

impl Named for FeatureData {
    type Id = FeatureId;

    fn name(&self) -> &Name {
        &self.feature.name
    }

    fn id(state: &State, name: &Name) -> Option<FeatureId> {
        state.feature_id(name)
    }

    fn find(state: &State, id: FeatureId) -> Option<&Self> {
        state.entry(id).map(|entry| &entry.data)
    }
}

impl Named for PluginData {
    type Id = PluginId;

    fn name(&self) -> &Name {
        &self.name
    }

    fn id(state: &State, name: &Name) -> Option<PluginId> {
        state.plugin_states().id(name)
    }

    fn find(state: &State, id: PluginId) -> Option<&Self> {
        state.plugin_states().data(id)
    }
}

/// The features or plugins as the block sees them, and how to undo what a transaction does to them.
#[derive(Debug)]
pub(crate) struct Copies<'a, T: Named> {
    base: &'a State,
    /// Every copy ever made. A copy without a slot was undone.
    copies: Vec<Touched<T, T::Id>>,
    /// The slots of what the state has, too.
    changed: BTreeMap<T::Id, usize>,
    /// The slots of what it has not.
    created: BTreeMap<Name, usize>,
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
            changed: BTreeMap::new(),
            created: BTreeMap::new(),
            journal: Vec::new(),
            journaled: BTreeSet::new(),
            journaling: Journaling::Off,
        }
    }

    /// Reads without making a copy.
    pub(crate) fn get(&self, name: &Name) -> Option<&T> {
        let slot = match T::id(self.base, name) {
            Some(id) => match self.changed.get(&id) {
                None => return T::find(self.base, id),
                slot => slot,
            },
            None => self.created.get(name),
        };
        self.copies.get(*slot?).map(|copy| &copy.data)
    }

    /// The copy, made on first use.
    pub(crate) fn get_mut(&mut self, name: &Name) -> Option<&mut Touched<T, T::Id>> {
        let slot = match T::id(self.base, name) {
            Some(id) => match self.changed.entry(id) {
                Entry::Occupied(slot) => *slot.get(),
                Entry::Vacant(vacant) => {
                    let data = T::find(self.base, id)?.clone();
                    self.copies.push(Touched { id: Some(id), data, seq: 0 });
                    *vacant.insert(self.copies.len().saturating_sub(1))
                }
            },
            None => *self.created.get(name)?,
        };
        let copy = self.copies.get_mut(slot)?;
        if self.journaling == Journaling::On && self.journaled.insert(slot) {
            self.journal.push(Undo::Changed(slot, Box::new(copy.clone())));
        }
        Some(copy)
    }

    /// Adds what the state does not have.
    pub(crate) fn create(&mut self, copy: Touched<T, T::Id>) {
        let name = *copy.data.name();
        self.created.insert(name, self.copies.len());
        self.copies.push(copy);
        if self.journaling == Journaling::On {
            self.journal.push(Undo::Created(name));
        }
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
                    self.created.remove(&name);
                }
            }
        }
    }

    /// How many copies there are, at most.
    pub(crate) fn len_max(&self) -> usize {
        self.copies.len()
    }

    /// The slots of the copies, in no order.
    fn slots(&self) -> impl Iterator<Item = usize> {
        self.changed.values().chain(self.created.values()).copied()
    }

    /// The copies, in no order.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &Touched<T, T::Id>> {
        self.slots().filter_map(|slot| self.copies.get(slot))
    }

    /// Visits the copies in name order and returns those for which `visit` returns true, in the order in which they were
    /// made. Nothing is moved unless a copy is left out.
    pub(crate) fn into_kept(mut self, mut visit: impl FnMut(&Touched<T, T::Id>) -> bool) -> Vec<Touched<T, T::Id>> {
        let copy = |slot: usize| Some((self.copies.get(slot)?, slot));
        let mut by_name: Vec<_> = self.slots().filter_map(copy).collect();
        // Positions are not the same after a restart, but names are.
        by_name.sort_unstable_by(|(a, _), (b, _)| a.data.name().cmp(b.data.name()));
        let mut keeps = vec![false; self.copies.len()];
        for (copy, slot) in by_name {
            if let Some(keep) = keeps.get_mut(slot) {
                *keep = visit(copy);
            }
        }
        let mut keeps = keeps.into_iter();
        self.copies.retain(|_| keeps.next().unwrap_or_default());
        self.copies
    }
}
