//! The tables in memory.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coalmine_core::query::Visit;
use coalmine_store::{MemoryBatch, MemoryHandle, MemoryStore};
use imbl::OrdMap;

use crate::database::batch::Change;
use crate::tables::Table;

type Rows = OrdMap<(Table, Vec<u8>), Vec<u8>>;

/// A database in memory.
#[derive(Debug, Clone)]
pub struct Memory {
    records: MemoryHandle,
    tables: Arc<Mutex<Rows>>,
}

impl Memory {
    pub(super) fn of(store: &MemoryStore) -> Self {
        Self { records: store.handle(), tables: Arc::default() }
    }

    /// The store of the records, once that of before was dropped.
    #[cfg(feature = "testing")]
    pub(super) fn store(&self) -> Result<MemoryStore, coalmine_store::StoreError> {
        MemoryStore::with_handle(self.records.clone())
    }

    /// Writes the records of a block, of which there may be none, and changes of tables.
    pub(super) fn write(&self, records: MemoryBatch, changes: Vec<Change>) {
        let mut tables = self.lock();
        self.records.write(records);
        for (table, key, value) in changes {
            match value {
                Some(value) => drop(tables.insert((table, key), value)),
                None => drop(tables.remove(&(table, key))),
            }
        }
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        self.lock().get(&(table, key.to_vec())).cloned()
    }

    pub(super) fn scan(&self, table: Table, start: &[u8], end: &[u8], visit: &mut Visit<'_>) {
        if start >= end {
            return;
        }
        // A visitor may come back here: it walks a copy, which costs nothing.
        let tables = self.lock().clone();
        let range = (Bound::Included((table, start.to_vec())), Bound::Excluded((table, end.to_vec())));
        // Whether the visitor or the range ended the scan makes no difference to the caller.
        let _ended = tables.range(range).try_for_each(|((_, key), value)| visit(key, value));
    }

    /// No change can fail halfway, so what is behind a poisoned lock is whole.
    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
