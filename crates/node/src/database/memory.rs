//! The tables in memory.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coalmine_core::query::Visit;
use coalmine_store::{MemoryBatch, MemoryHandle};
use imbl::OrdMap;

use crate::database::batch::Change;
use crate::tables::Table;

type Rows = OrdMap<(Table, Vec<u8>), Vec<u8>>;

/// A database in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    tables: Arc<Mutex<Rows>>,
}

impl Memory {
    /// Writes the records of a block, if there is one, and changes of tables.
    pub(super) fn write(&self, records: Option<(&MemoryHandle, MemoryBatch)>, changes: Vec<Change>) {
        let mut tables = self.lock();
        if let Some((handle, batch)) = records {
            handle.write(batch);
        }
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
