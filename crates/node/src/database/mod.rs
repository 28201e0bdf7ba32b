//! Where a node keeps everything: in memory, or in one RocksDB with a column family for each table.
//!
//! The records of the ledger and the tables of the node are written together, in one [`Batch`] per block.

mod batch;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;
mod store;

use std::path::Path;

use coalmine_core::query::Visit;
use coalmine_store::{MemoryBatch, MemoryStore, StoreError};

pub use batch::{Batch, Sync};
pub use memory::Memory;
#[cfg(feature = "rocksdb")]
pub use rocks::Rocks;
pub use store::{LedgerStore, Records, Snapshot};

use crate::tables::Table;

/// The tables of a node, for reading on any thread, and for what is written without a block.
#[derive(Debug, Clone)]
pub enum Database {
    /// Nothing outlives the process.
    Memory(Memory),
    /// On disk.
    #[cfg(feature = "rocksdb")]
    Rocks(Rocks),
}

impl Database {
    /// A new database in memory.
    #[must_use]
    pub fn memory() -> (Self, LedgerStore) {
        let store = MemoryStore::new();
        let memory = Memory::of(&store);
        (Self::Memory(memory.clone()), LedgerStore::Memory(store, memory))
    }

    /// The store of a database in memory, opened again after the node on it is gone.
    ///
    /// # Errors
    /// It is not gone, or the database is on disk.
    #[cfg(feature = "testing")]
    pub fn reopened(&self) -> Result<LedgerStore, StoreError> {
        match self {
            Self::Memory(memory) => Ok(LedgerStore::Memory(memory.store()?, memory.clone())),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(_) => Err(StoreError::new(self.place(), coalmine_store::Problem::InUse)),
        }
    }

    /// Opens the database of a folder, or creates it in a new or empty one.
    ///
    /// # Errors
    /// It is open elsewhere or damaged, the folder has other files, or this build has no RocksDB.
    #[cfg(feature = "rocksdb")]
    pub fn open(folder: &Path) -> Result<(Self, LedgerStore), StoreError> {
        let store = rocks::open_or_create(folder)?;
        Ok((Self::Rocks(Rocks::of(store.db())), LedgerStore::Rocks(store)))
    }

    /// Opens the database of a folder: in this build there is none.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "rocksdb"))]
    pub fn open(folder: &Path) -> Result<(Self, LedgerStore), StoreError> {
        Err(no_rocksdb(folder))
    }

    /// Opens the database of a folder for reading alone, also while a node runs there. It stays as it is now.
    ///
    /// # Errors
    /// There is none, or this build has no RocksDB.
    #[cfg(feature = "rocksdb")]
    pub fn open_read_only(folder: &Path) -> Result<(Self, Records), StoreError> {
        let reader = rocks::open_read_only(folder)?;
        Ok((Self::Rocks(Rocks::of(reader.db())), Records::Rocks(reader)))
    }

    /// Opens the database of a folder for reading alone: in this build there is none.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(feature = "rocksdb"))]
    pub fn open_read_only(folder: &Path) -> Result<(Self, Records), StoreError> {
        Err(no_rocksdb(folder))
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Memory(_) => "the memory of this node".into(),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(rocks) => rocks.place(),
        }
    }

    /// Writes a batch without a block, all or nothing.
    ///
    /// # Errors
    /// The database failed. Whether the batch is in it only reopening shows.
    pub fn write(&self, batch: Batch, sync: Sync) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => memory.write(MemoryBatch::default(), batch.changes),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(rocks) => return rocks.write(batch.changes, sync),
        }
        let _nothing_to_sync = sync;
        Ok(())
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The database failed.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(table, key)),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(rocks) => rocks.get(table, key),
        }
    }

    /// Visits the rows with `start <= key < end`, ascending, until `visit` breaks.
    ///
    /// # Errors
    /// The database failed.
    pub fn scan(&self, table: Table, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.scan(table, start, end, visit);
                Ok(())
            }
            #[cfg(feature = "rocksdb")]
            Self::Rocks(rocks) => rocks.scan(table, start, end, visit),
        }
    }
}

#[cfg(not(feature = "rocksdb"))]
fn no_rocksdb(folder: &Path) -> StoreError {
    let problem = "this build keeps nothing on disk; build it with --features rocksdb";
    StoreError::new(folder.display().to_string(), coalmine_store::Problem::Other(problem.into()))
}
