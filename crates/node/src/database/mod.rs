//! Where a node keeps everything: in memory, or in one RocksDB with a column family for each table.
//!
//! The ledger's records and the tables of the node are written together, in one [`Batch`] per block.

mod memory;

use coalmine_core::query::Visit;
use coalmine_core::{Fault, Read};
use coalmine_store::{
    MemoryBatch, MemoryReader, MemorySnapshot, MemoryStore, Snapshots, Staging, Store, StoreError, Tip, View, Write,
};

pub use memory::Memory;

use crate::tables::Table;

/// The database of a node.
#[derive(Debug, Clone)]
pub enum Database {
    /// Nothing outlives the process.
    Memory(Memory),
}

/// A change of a table: a value to put, or none to delete the key.
pub(crate) type Change = (Table, Vec<u8>, Option<Vec<u8>>);

/// What is written together.
#[derive(Debug, Default)]
pub struct Batch {
    records: MemoryBatch,
    changes: Vec<Change>,
}

impl Batch {
    /// Puts a value.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((table, key.into(), Some(value.into())));
    }

    /// Deletes a key.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.changes.push((table, key.into(), None));
    }
}

/// When a batch is as durable as it will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// When it is written.
    Now,
    /// With the next one that is: what is lost with it was never told to anybody.
    Later,
}

impl Database {
    /// An empty database in memory.
    #[must_use]
    pub fn memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// Opens the store of the ledger in it.
    ///
    /// # Errors
    /// It is open already, or of another format.
    pub fn store(&self) -> Result<LedgerStore, StoreError> {
        match self {
            Self::Memory(memory) => Ok(LedgerStore::Memory(memory.store()?)),
        }
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Memory(_) => "the memory of this node".into(),
        }
    }

    /// Writes a batch, all or nothing.
    ///
    /// # Errors
    /// The database failed. Whether the batch is in it only reopening shows.
    pub fn write(&self, batch: Batch, _sync: Sync) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.write(batch.records, batch.changes);
                Ok(())
            }
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// The database failed.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(table, key)),
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
        }
    }
}

/// The store of the ledger in a [`Database`].
#[derive(Debug)]
pub enum LedgerStore {
    /// In memory.
    Memory(MemoryStore),
}

/// Takes snapshots of the ledger's records, on any thread.
#[derive(Debug, Clone)]
pub enum Records {
    /// In memory.
    Memory(MemoryReader),
}

/// The ledger's records as they were at one tip.
pub enum Snapshot {
    /// In memory.
    Memory(MemorySnapshot),
}

impl Store for LedgerStore {
    type Reader = Records;

    fn reader(&self) -> Records {
        match self {
            Self::Memory(store) => Records::Memory(store.reader()),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Memory(store) => store.place(),
        }
    }

    fn commit<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.commit(base, tip, writes),
        }
    }
}

impl Staging for LedgerStore {
    type Batch = Batch;

    fn stage<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.stage(base, tip, writes, &mut batch.records),
        }
    }
}

impl Snapshots for Records {
    type Snapshot<'a> = Snapshot;

    fn snapshot(&self) -> Snapshot {
        match self {
            Self::Memory(reader) => Snapshot::Memory(reader.snapshot()),
        }
    }
}

impl View for LedgerStore {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        match self {
            Self::Memory(store) => store.tip(),
        }
    }
}

impl Read for LedgerStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self {
            Self::Memory(store) => store.get(key),
        }
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        match self {
            Self::Memory(store) => store.scan(start, end, visit),
        }
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        match self {
            Self::Memory(store) => store.last(start, end),
        }
    }
}

impl View for Snapshot {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        match self {
            Self::Memory(snapshot) => snapshot.tip(),
        }
    }
}

impl Read for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self {
            Self::Memory(snapshot) => snapshot.get(key),
        }
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        match self {
            Self::Memory(snapshot) => snapshot.scan(start, end, visit),
        }
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        match self {
            Self::Memory(snapshot) => snapshot.last(start, end),
        }
    }
}
