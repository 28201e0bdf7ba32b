//! The database on disk: one RocksDB, in which the store of the ledger has a column family, and each table.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use coalmine_core::query::Visit;
use coalmine_store::{Durability, Problem, RocksReader, RocksStore, StoreError};
use rocksdb::{ColumnFamily, DBWithThreadMode, ReadOptions, SingleThreaded, WriteBatch, WriteOptions};

use crate::database::batch::{Change, Sync};
use crate::tables::Table;

/// How often a database that another process writes to is opened, and the time between two attempts.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(50);

/// A database on disk.
#[derive(Debug, Clone)]
pub struct Rocks(Arc<DBWithThreadMode<SingleThreaded>>);

/// Opens the store of a folder with the tables beside it, or creates it in a new or empty one.
pub(super) fn open_or_create(folder: &Path) -> Result<RocksStore, StoreError> {
    let columns = Table::ALL.map(Table::name);
    if RocksStore::exists(folder) {
        return RocksStore::open_with(folder, Durability::Synced, &columns);
    }
    RocksStore::create_with(folder, Durability::Synced, &columns)
}

/// Opens the database of a folder for reading alone.
pub(super) fn open_read_only(folder: &Path) -> Result<RocksReader, StoreError> {
    let columns = Table::ALL.map(Table::name);
    let open = || RocksReader::open_read_only(folder, &columns);
    // The node that runs there may be replacing files.
    (1..ATTEMPTS).find_map(|_| open().inspect_err(|_| thread::sleep(PAUSE)).ok()).map_or_else(open, Ok)
}

impl Rocks {
    pub(super) fn of(db: &Arc<DBWithThreadMode<SingleThreaded>>) -> Self {
        Self(Arc::clone(db))
    }

    pub(super) fn place(&self) -> String {
        format!("RocksDB {}", self.0.path().display())
    }

    fn column(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        let found = self.0.cf_handle(table.name());
        found.ok_or_else(|| StoreError::new(self.place(), Problem::NoColumn(table.name().into())))
    }

    fn failed(&self, error: &rocksdb::Error) -> StoreError {
        StoreError::new(self.place(), Problem::Other(error.to_string()))
    }

    /// Adds changes of tables to a batch.
    pub(super) fn add(&self, changes: Vec<Change>, batch: &mut WriteBatch) -> Result<(), StoreError> {
        for (table, key, value) in changes {
            let column = self.column(table)?;
            match value {
                Some(value) => batch.put_cf(column, key, value),
                None => batch.delete_cf(column, key),
            }
        }
        Ok(())
    }

    pub(super) fn write(&self, changes: Vec<Change>, sync: Sync) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        self.add(changes, &mut batch)?;
        let mut options = WriteOptions::default();
        options.set_sync(sync == Sync::Now);
        self.0.write_opt(batch, &options).map_err(|error| self.failed(&error))
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get_cf(self.column(table)?, key).map_err(|error| self.failed(&error))
    }

    pub(super) fn scan(&self, table: Table, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if start >= end {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(start);
        options.set_iterate_upper_bound(end);
        let mut iter = self.0.raw_iterator_cf_opt(self.column(table)?, options);
        iter.seek_to_first();
        while let Some((key, value)) = iter.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            iter.next();
        }
        iter.status().map_err(|error| self.failed(&error))
    }
}
