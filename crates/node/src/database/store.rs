//! The store of the ledger in a database, one type for both kinds.

use std::fmt;
use std::marker::PhantomData;

use coalmine_core::query::Visit;
use coalmine_core::{Fault, Read};
#[cfg(feature = "rocksdb")]
use coalmine_store::{Durability, RocksReader, RocksSnapshot, RocksStore};
use coalmine_store::{
    MemoryBatch, MemoryReader, MemorySnapshot, MemoryStore, Snapshots, Staging, Store, StoreError, Tip, View, Write,
};

use crate::database::batch::{self, Batch, Sync};
use crate::database::memory::Memory;
#[cfg(feature = "rocksdb")]
use crate::database::rocks::Rocks;

/// The store of the ledger in a database.
pub enum LedgerStore {
    /// In memory, with the tables.
    Memory(MemoryStore, Memory),
    /// On disk.
    #[cfg(feature = "rocksdb")]
    Rocks(RocksStore),
}

/// Takes snapshots of the ledger's records, on any thread.
#[derive(Clone)]
pub enum Records {
    /// In memory.
    Memory(MemoryReader),
    /// On disk.
    #[cfg(feature = "rocksdb")]
    Rocks(RocksReader),
}

/// The ledger's records as they were at one tip.
pub enum Snapshot<'a> {
    /// In memory.
    Memory(MemorySnapshot, PhantomData<&'a ()>),
    /// On disk.
    #[cfg(feature = "rocksdb")]
    Rocks(RocksSnapshot<'a>),
}

impl fmt::Debug for LedgerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LedgerStore").field(&self.place()).finish()
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Records")
    }
}

impl LedgerStore {
    /// Writes the batch of a block.
    ///
    /// # Errors
    /// The database failed. Whether the block is in it only reopening shows.
    pub(crate) fn write(&self, batch: Batch, sync: Sync) -> Result<(), StoreError> {
        match (self, batch.records) {
            (Self::Memory(_, memory), records) => {
                let records = match records {
                    batch::Records::Memory(records) => records,
                    #[cfg(feature = "rocksdb")]
                    batch::Records::Rocks(_) => MemoryBatch::default(),
                    batch::Records::None => MemoryBatch::default(),
                };
                memory.write(records, batch.changes);
                let _nothing_to_sync = sync;
                Ok(())
            }
            #[cfg(feature = "rocksdb")]
            (Self::Rocks(store), records) => {
                let mut records = match records {
                    batch::Records::Rocks(records) => records,
                    batch::Records::Memory(_) | batch::Records::None => rocksdb::WriteBatch::default(),
                };
                Rocks::of(store.db()).add(batch.changes, &mut records)?;
                let durability = match sync {
                    Sync::Now => Durability::Synced,
                    Sync::Later => Durability::Unsynced,
                };
                store.write_staged(records, durability)
            }
        }
    }
}

impl Store for LedgerStore {
    type Reader = Records;

    fn reader(&self) -> Records {
        match self {
            Self::Memory(store, _) => Records::Memory(store.reader()),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(store) => Records::Rocks(store.reader()),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Memory(store, _) => store.place(),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(store) => store.place(),
        }
    }

    fn commit<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Memory(store, _) => store.commit(base, tip, writes),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(store) => store.commit(base, tip, writes),
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
            Self::Memory(store, _) => {
                let mut records = MemoryBatch::default();
                store.stage(base, tip, writes, &mut records)?;
                batch.records = batch::Records::Memory(records);
            }
            #[cfg(feature = "rocksdb")]
            Self::Rocks(store) => {
                let mut records = rocksdb::WriteBatch::default();
                store.stage(base, tip, writes, &mut records)?;
                batch.records = batch::Records::Rocks(records);
            }
        }
        Ok(())
    }
}

impl Snapshots for Records {
    type Snapshot<'a> = Snapshot<'a>;

    fn snapshot(&self) -> Snapshot<'_> {
        match self {
            Self::Memory(reader) => Snapshot::Memory(reader.snapshot(), PhantomData),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(reader) => Snapshot::Rocks(reader.snapshot()),
        }
    }
}

impl View for LedgerStore {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        match self {
            Self::Memory(store, _) => store.tip(),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(store) => store.tip(),
        }
    }
}

impl View for Snapshot<'_> {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        match self {
            Self::Memory(snapshot, _) => snapshot.tip(),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(snapshot) => snapshot.tip(),
        }
    }
}

impl Read for LedgerStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self {
            Self::Memory(store, _) => store.get(key),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(store) => store.get(key),
        }
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        match self {
            Self::Memory(store, _) => store.scan(start, end, visit),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(store) => store.scan(start, end, visit),
        }
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        match self {
            Self::Memory(store, _) => store.last(start, end),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(store) => store.last(start, end),
        }
    }
}

impl Read for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self {
            Self::Memory(snapshot, _) => snapshot.get(key),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(snapshot) => snapshot.get(key),
        }
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        match self {
            Self::Memory(snapshot, _) => snapshot.scan(start, end, visit),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(snapshot) => snapshot.scan(start, end, visit),
        }
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        match self {
            Self::Memory(snapshot, _) => snapshot.last(start, end),
            #[cfg(feature = "rocksdb")]
            Self::Rocks(snapshot) => snapshot.last(start, end),
        }
    }
}
