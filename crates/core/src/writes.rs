//! The records that a block writes: what a store commits as one batch.

use alloc::vec::Vec;
use core::ops::Range;

use crate::codec::{Encode, Writer};
use crate::index::Presence;
use crate::invariant::promised;
use crate::key::Key;
use crate::tree;
use crate::tree::Path;

/// Puts and deletes, at most one per key, in a single allocation.
///
/// Their order is not that of the keys and is not part of consensus.
#[derive(Debug, Clone, Default)]
pub struct WriteSet {
    bytes: Writer,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    path: Path,
    key: Range<usize>,
    value: Option<Range<usize>>,
}

impl WriteSet {
    /// Each key with its new value, or `None` where the record is deleted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], Option<&[u8]>)> {
        self.entries.iter().map(|entry| (self.at(&entry.key), entry.value.as_ref().map(|value| self.at(value))))
    }

    /// How many records are put or deleted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the block leaves every record as it was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An empty set with room for so many records of usual sizes.
    pub(crate) fn with_capacity(records: usize) -> Self {
        /// What a key and its value take, on the whole.
        const RECORD_LEN: usize = 224;
        let bytes = Writer::with_capacity(records.saturating_mul(RECORD_LEN));
        Self { bytes, entries: Vec::with_capacity(records) }
    }

    pub(crate) fn put(&mut self, key: &Key, write: impl FnOnce(&mut Writer)) {
        self.put_with_path(None, key, write);
    }

    /// Puts a record whose path in the tree may already be known, which saves a hash of the key.
    pub(crate) fn put_with_path(&mut self, path: Option<Path>, key: &Key, write: impl FnOnce(&mut Writer)) {
        let key = self.append(|out| key.encode(out));
        let path = path.unwrap_or_else(|| Path::of(self.at(&key)));
        let value = Some(self.append(write));
        self.entries.push(Entry { path, key, value });
    }

    pub(crate) fn delete(&mut self, key: &Key) {
        let key = self.append(|out| key.encode(out));
        self.entries.push(Entry { path: Path::of(self.at(&key)), key, value: None });
    }

    /// The same changes, in the form in which the tree takes them.
    pub(crate) fn tree_changes(&self) -> Vec<tree::KeyChange<'_>> {
        let change = |entry: &Entry| -> tree::KeyChange<'_> {
            tree::KeyChange::with_path(
                entry.path,
                self.at(&entry.key),
                entry.value.as_ref().map(|value| self.at(value)),
            )
        };
        self.entries.iter().map(change).collect()
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        promised(self.bytes.as_bytes().get(range.clone()), "ranges come from append")
    }

    fn append(&mut self, write: impl FnOnce(&mut Writer)) -> Range<usize> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        start..self.bytes.len()
    }
}

pub(crate) fn write_index_change(writes: &mut WriteSet, key: &Key, presence: Presence, was_present: bool) {
    if (presence == Presence::Added) != was_present {
        write_index(writes, key, presence);
    }
}

pub(crate) fn write_index(writes: &mut WriteSet, key: &Key, presence: Presence) {
    match presence {
        Presence::Added => writes.put(key, |_| {}),
        Presence::Removed => writes.delete(key),
    }
}

/// The record to store for a value: none for the default, so that what has no settings costs no record.
pub(crate) fn stored<T: Default + PartialEq>(value: &T) -> Option<&T> {
    (*value != T::default()).then_some(value)
}

/// Puts or deletes a record, unless it is unchanged.
pub(crate) fn write_change<T: Encode + PartialEq>(
    writes: &mut WriteSet,
    key: &Key,
    now: Option<&T>,
    before: Option<&T>,
) {
    if now == before {
        return;
    }
    match now {
        Some(record) => writes.put(key, |out| record.encode(out)),
        None => writes.delete(key),
    }
}
