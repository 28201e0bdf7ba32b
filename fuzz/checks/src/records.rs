//! Records in a sorted map, read as a store is read.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use coalmine_core::query::{Entry, Visit};
use coalmine_core::{Fault, Read, WriteSet};

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Records(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl Records {
    pub(crate) fn write(&mut self, writes: &WriteSet) {
        for (key, value) in writes.iter() {
            match value {
                Some(value) => drop(self.0.insert(key.into(), value.into())),
                None => assert!(self.0.remove(key).is_some(), "deletes {key:02x?}, which is not there"),
            }
        }
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
