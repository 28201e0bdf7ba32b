//! The store in memory: nothing outlives the process, everything else is as on disk.
//!
//! The records are in a persistent map. A commit changes them in place; while a snapshot is held it
//! copies the nodes on the way to what it changes first, never the whole map.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coalmine_core::query::Visit;
use coalmine_core::{Fault, Read};
use imbl::OrdMap;

use crate::error::StoreError;
use crate::store::{Snapshots, Store, View};
use crate::tip::Tip;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(MemoryReader);

/// Takes snapshots of a [`MemoryStore`], on any thread.
#[derive(Debug, Clone, Default)]
pub struct MemoryReader(Arc<Mutex<Records>>);

/// A [`MemoryStore`] as it was at one tip.
#[derive(Debug, Clone)]
pub struct MemorySnapshot(Records);

#[derive(Debug, Clone, Default)]
struct Records {
    tip: Option<Tip>,
    map: OrdMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl MemoryReader {
    /// A commit ends with the tip and cannot fail halfway, so the records behind a poisoned lock are whole.
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    type Reader = MemoryReader;

    fn commit<'w>(
        &mut self,
        tip: &Tip,
        writes: impl IntoIterator<Item = (&'w [u8], Option<&'w [u8]>)>,
    ) -> Result<(), StoreError> {
        let mut records = self.0.lock();
        for (key, value) in writes {
            match (records.map.get_mut(key), value) {
                (Some(stored), Some(value)) => {
                    stored.clear();
                    stored.extend_from_slice(value);
                }
                (None, Some(value)) => {
                    records.map.insert(key.into(), value.into());
                }
                (_, None) => {
                    records.map.remove(key);
                }
            }
        }
        records.tip = Some(*tip);
        Ok(())
    }

    fn reader(&self) -> MemoryReader {
        self.0.clone()
    }
}

impl Snapshots for MemoryReader {
    type Snapshot<'a> = MemorySnapshot;

    fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot(self.lock().clone())
    }
}

impl View for MemoryStore {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        Ok(self.0.lock().tip)
    }
}

impl Read for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.0.snapshot().get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.0.snapshot().scan(start, end, visit)
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        self.0.snapshot().last(start, end)
    }
}

impl View for MemorySnapshot {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        Ok(self.0.tip)
    }
}

impl MemorySnapshot {
    fn range(&self, start: &[u8], end: &[u8]) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.0.map.range::<_, [u8]>((Bound::Included(start), Bound::Excluded(end)))
    }
}

impl Read for MemorySnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.map.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        // Whether the visitor or the range ended the scan makes no difference to the caller.
        let _ended = self.range(start, end).try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        Ok(self.range(start, end).next_back().map(|(key, value)| (key.clone(), value.clone())))
    }
}
