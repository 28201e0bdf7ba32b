//! What is written together.

use coalmine_store::MemoryBatch;

use crate::tables::Table;

/// A change of a table: a value to put, or none to delete the key.
pub(super) type Change = (Table, Vec<u8>, Option<Vec<u8>>);

/// What is written together: the records of a block, and changes of tables.
#[derive(Debug)]
pub struct Batch {
    pub(super) records: Records,
    pub(super) changes: Vec<Change>,
}

/// The records of a block, as their store has them in a batch.
pub(super) enum Records {
    None,
    Memory(MemoryBatch),
    #[cfg(feature = "rocksdb")]
    Rocks(rocksdb::WriteBatch),
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Memory(_) => "Memory",
            #[cfg(feature = "rocksdb")]
            Self::Rocks(_) => "Rocks",
        })
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self { records: Records::None, changes: Vec::new() }
    }
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

/// When a batch is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// When it is written.
    Now,
    /// With the next one that is: nobody was told of what is lost with it.
    Later,
}
