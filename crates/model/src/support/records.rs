//! Records in a sorted map, read as a store is read.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use coalmine_core::query::{self, Entry, Visit};
use coalmine_core::tree::Tree;
use coalmine_core::{Decode, Fault, Feature, Hash, Height, Key, KeyPrefix, Read, State, WriteSet};

/// Records by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Records {
    /// Writes what a block has written. What it deletes must be there.
    pub fn write(&mut self, writes: &WriteSet) {
        for (key, value) in writes.iter() {
            match value {
                Some(value) => drop(self.0.insert(key.into(), value.into())),
                None => assert!(self.0.remove(key).is_some(), "deletes {key:02x?}, which is not there"),
            }
        }
    }

    /// The root, of a tree that is built from nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        Hash(Tree::from_entries(&self.0).unwrap().root())
    }

    /// The state that they make.
    ///
    /// # Errors
    /// That of [`State::load`].
    pub fn load(&self, tip: Option<Height>) -> Result<State, Fault> {
        State::load(self.0.iter().map(Ok), tip)
    }

    /// The keys with a prefix, decoded.
    pub fn keys(&self, prefix: KeyPrefix) -> impl Iterator<Item = Key> {
        self.0.keys().filter(move |key| key[0] == prefix.byte()).map(|key| Key::from_bytes(key).unwrap())
    }

    /// The features, by name.
    #[must_use]
    pub fn features(&self) -> Vec<Feature> {
        query::features(self, None, usize::MAX).unwrap()
    }

    fn range(&self, start: &[u8], end: &[u8]) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.0.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)))
    }
}

impl Read for Records {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        for (key, value) in self.range(start, end) {
            if let ControlFlow::Break(()) = visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault> {
        Ok(self.range(start, end).next_back().map(|(key, value)| (key.clone(), value.clone())))
    }
}
