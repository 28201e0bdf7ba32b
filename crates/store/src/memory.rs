//! The store in memory: nothing outlives the process, everything else is as on disk.
//!
//! The records are in a persistent map. A commit changes them in place; while a snapshot is held it
//! first copies the nodes on the way to each change, never the whole map.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coalmine_core::query::Visit;
use coalmine_core::{Fault, Read};
use imbl::OrdMap;

use crate::error::{Problem, StoreError};
use crate::lease::Lease;
use crate::store::{Snapshots, Staging, Store, View, Write};
use crate::tip::Tip;

const PLACE: &str = "memory store";

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    handle: MemoryHandle,
    _lease: Lease<Mutex<Records>>,
}

/// The records of a [`MemoryStore`], as a host holds a database: it writes the batches in which a
/// block was staged, and opens the store again after it was dropped.
#[derive(Debug, Clone, Default)]
pub struct MemoryHandle(Arc<Mutex<Records>>);

/// Takes snapshots of a [`MemoryStore`], on any thread.
#[derive(Debug, Clone)]
pub struct MemoryReader(MemoryHandle);

/// A [`MemoryStore`] as it was at one tip.
#[derive(Debug, Clone)]
pub struct MemorySnapshot(Records);

/// The batch of a [`MemoryStore`], which [`MemoryHandle::write`] writes.
#[derive(Debug, Clone, Default)]
pub struct MemoryBatch {
    tip: Option<Tip>,
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

#[derive(Debug, Clone, Default)]
struct Records {
    tip: Option<Tip>,
    map: OrdMap<Vec<u8>, Vec<u8>>,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        let handle = MemoryHandle::default();
        let lease = Lease::of_new(&handle.0, &"".into());
        Self { handle, _lease: lease }
    }

    /// Opens the store of a handle.
    ///
    /// # Errors
    /// [`Problem::InUse`] while another store of these records exists.
    pub fn with_handle(handle: MemoryHandle) -> Result<Self, StoreError> {
        let lease = Lease::take(&handle.0, &"".into()).ok_or_else(|| StoreError::new(PLACE, Problem::InUse))?;
        Ok(Self { handle, _lease: lease })
    }

    /// Returns the handle of the records.
    #[must_use]
    pub fn handle(&self) -> MemoryHandle {
        self.handle.clone()
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryHandle {
    /// Writes a batch, all or nothing. An empty batch changes nothing.
    pub fn write(&self, batch: MemoryBatch) {
        let Some(tip) = batch.tip else { return };
        let mut records = self.lock();
        records.write(tip, batch.writes.iter().map(|(key, value)| (key.as_slice(), value.as_deref())));
    }

    /// A commit ends with the tip and cannot fail halfway, so the records behind a poisoned lock are whole.
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> MemorySnapshot {
        MemorySnapshot(self.lock().clone())
    }
}

impl Records {
    fn check_base(&self, base: Option<&Tip>) -> Result<(), StoreError> {
        if self.tip.as_ref() == base {
            return Ok(());
        }
        Err(StoreError::new(PLACE, Problem::Moved { expected: base.copied(), found: self.tip }))
    }

    fn write<'w>(&mut self, tip: Tip, writes: impl IntoIterator<Item = Write<'w>>) {
        for (key, value) in writes {
            match (self.map.get_mut(key), value) {
                (Some(stored), Some(value)) => {
                    stored.clear();
                    stored.extend_from_slice(value);
                }
                (None, Some(value)) => {
                    self.map.insert(key.into(), value.into());
                }
                (_, None) => {
                    self.map.remove(key);
                }
            }
        }
        self.tip = Some(tip);
    }
}

impl Store for MemoryStore {
    type Reader = MemoryReader;

    fn reader(&self) -> MemoryReader {
        MemoryReader(self.handle())
    }

    fn place(&self) -> String {
        PLACE.into()
    }

    fn commit<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
    ) -> Result<(), StoreError> {
        let mut records = self.handle.lock();
        records.check_base(base)?;
        records.write(*tip, writes);
        Ok(())
    }
}

impl Staging for MemoryStore {
    type Batch = MemoryBatch;

    fn stage<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
        batch: &mut MemoryBatch,
    ) -> Result<(), StoreError> {
        self.handle.lock().check_base(base)?;
        batch.tip = Some(*tip);
        batch.writes.extend(writes.into_iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))));
        Ok(())
    }
}

impl Snapshots for MemoryReader {
    type Snapshot<'a> = MemorySnapshot;

    fn snapshot(&self) -> MemorySnapshot {
        self.0.snapshot()
    }
}

impl View for MemoryStore {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        Ok(self.handle.lock().tip)
    }
}

impl Read for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.handle.snapshot().get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.handle.snapshot().scan(start, end, visit)
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        self.handle.snapshot().last(start, end)
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
