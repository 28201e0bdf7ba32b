//! Log and vote, in one table of the host's database.
//!
//! | key | value |
//! |---|---|
//! | `"node"` | who this is: id and incarnation |
//! | `"vote"` | the last vote |
//! | `"committed"` | the last entry that is known to be committed |
//! | `"purged"` | the last entry that was deleted at the front |
//! | `"i" ‖ index u64` | the id of an entry |
//! | `"l" ‖ index u64` | an entry |
//!
//! Values are in the form of postcard. Vote, entries and deletions are synced; since log and state share one write-ahead
//! log, the deletion of an entry makes durable what was applied before it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, Entry, LogId, OptionalSend, RaftLogReader, StorageError, StorageIOError, Vote};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::runtime::blocking;
use crate::types::{NodeId, TypeConfig};

/// How many bytes of entries are sent at once, but for an entry that is larger than that alone.
const SENT_MAX: usize = 1 << 20;
/// How many bytes of entries are written at once.
const WRITTEN_MAX: usize = 4 << 20;

const VOTE: &[u8] = b"vote";
const COMMITTED: &[u8] = b"committed";
const PURGED: &[u8] = b"purged";
const IDS: u8 = b'i';
const ENTRIES: u8 = b'l';

/// When rows are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// When the call returns.
    Synced,
    /// With the next write that is.
    Unsynced,
}

/// A change of a row: a value to put, or none to delete the key.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// A table of the host's database, for this crate alone.
pub trait Rows: Send + Sync + 'static {
    /// The value of a key.
    ///
    /// # Errors
    /// The database fails.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Visits the rows with `start <= key < end`, ascending, until `visit` returns false.
    ///
    /// # Errors
    /// The database fails.
    fn scan(&self, start: &[u8], end: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()>;

    /// Writes changes, all or none, after all that was written before.
    ///
    /// # Errors
    /// The database fails. Whether they are in it only reopening shows.
    fn write(&self, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>, how: Write) -> io::Result<()>;
}

/// Log and vote of one node.
#[derive(Debug)]
pub struct LogStore<R> {
    rows: Arc<R>,
}

impl<R> Clone for LogStore<R> {
    fn clone(&self) -> Self {
        Self { rows: Arc::clone(&self.rows) }
    }
}

impl<R: Rows> LogStore<R> {
    /// The log in a table.
    #[must_use]
    pub const fn new(rows: Arc<R>) -> Self {
        Self { rows }
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8]) -> io::Result<Option<T>> {
        self.rows.get(key)?.map(|row| decode(&row)).transpose()
    }

    async fn write(&self, changes: Vec<Change>, how: Write) -> io::Result<()> {
        let rows = Arc::clone(&self.rows);
        blocking(move || rows.write(changes, how)).await?
    }

    fn entries(&self, start: u64, end: Option<u64>, bytes_max: usize) -> io::Result<Vec<Entry<TypeConfig>>> {
        let (mut found, mut bytes, mut failed) = (Vec::new(), 0_usize, None);
        self.rows.scan(&key(ENTRIES, start), &end_key(ENTRIES, end), &mut |_, row| {
            bytes = bytes.saturating_add(row.len());
            if bytes > bytes_max && !found.is_empty() {
                return false;
            }
            match decode(row) {
                Ok(entry) => found.push(entry),
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        })?;
        failed.map_or(Ok(found), Err)
    }

    /// Changes that delete the entries of a range.
    fn deletions(&self, start: u64, end: Option<u64>) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        self.rows.scan(&key(IDS, start), &end_key(IDS, end), &mut |id, _| {
            let index = id.get(1..).unwrap_or_default();
            changes.push((id.to_vec(), None));
            changes.push(([&[ENTRIES], index].concat(), None));
            true
        })?;
        Ok(changes)
    }

    fn state(&self) -> io::Result<LogState<TypeConfig>> {
        let last_purged_log_id = self.read::<LogId<NodeId>>(PURGED)?;
        let mut last = None;
        self.rows.scan(&key(IDS, 0), &end_key(IDS, None), &mut |_, row| {
            last = Some(decode(row));
            true
        })?;
        Ok(LogState { last_purged_log_id, last_log_id: last.transpose()?.or(last_purged_log_id) })
    }
}

impl<R: Rows> RaftLogReader<TypeConfig> for LogStore<R> {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<NodeId>> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.checked_add(1),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        let log = self.clone();
        let read = blocking(move || log.entries(start, end, usize::MAX)).await;
        read.and_then(|read| read).map_err(|error| StorageIOError::read_logs(AnyError::new(&error)).into())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry<TypeConfig>>, StorageError<NodeId>> {
        let log = self.clone();
        let read = blocking(move || log.entries(start, Some(end), SENT_MAX)).await;
        read.and_then(|read| read).map_err(|error| StorageIOError::read_logs(AnyError::new(&error)).into())
    }
}

impl<R: Rows> RaftLogStorage<TypeConfig> for LogStore<R> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError<NodeId>> {
        let log = self.clone();
        let state = blocking(move || log.state()).await;
        state.and_then(|state| state).map_err(|error| StorageIOError::read_logs(AnyError::new(&error)).into())
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote<NodeId>) -> Result<(), StorageError<NodeId>> {
        let failed = |error: io::Error| StorageIOError::write_vote(AnyError::new(&error));
        let row = encode(vote).map_err(failed)?;
        Ok(self.write(vec![(VOTE.to_vec(), Some(row))], Write::Synced).await.map_err(failed)?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote<NodeId>>, StorageError<NodeId>> {
        self.read(VOTE).map_err(|error| StorageIOError::read_vote(AnyError::new(&error)).into())
    }

    async fn save_committed(&mut self, committed: Option<LogId<NodeId>>) -> Result<(), StorageError<NodeId>> {
        let failed = |error: io::Error| StorageIOError::write(AnyError::new(&error));
        let row = committed.as_ref().map(encode).transpose().map_err(failed)?;
        // What is lost of it comes again from the leader.
        Ok(self.write(vec![(COMMITTED.to_vec(), row)], Write::Unsynced).await.map_err(failed)?)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId<NodeId>>, StorageError<NodeId>> {
        self.read(COMMITTED).map_err(|error| StorageIOError::read(AnyError::new(&error)).into())
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError<NodeId>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let failed = |error: io::Error| StorageIOError::write_logs(AnyError::new(&error));
        let (mut changes, mut bytes) = (Vec::new(), 0_usize);
        for entry in entries {
            let (id, row) = (encode(&entry.log_id).map_err(failed)?, encode(&entry).map_err(failed)?);
            if bytes > 0 && bytes.saturating_add(row.len()) > WRITTEN_MAX {
                self.write(std::mem::take(&mut changes), Write::Unsynced).await.map_err(failed)?;
                bytes = 0;
            }
            bytes = bytes.saturating_add(row.len());
            let index = entry.log_id.index;
            changes.push((key(IDS, index).to_vec(), Some(id)));
            changes.push((key(ENTRIES, index).to_vec(), Some(row)));
        }
        self.write(changes, Write::Synced).await.map_err(failed)?;
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, since: LogId<NodeId>) -> Result<(), StorageError<NodeId>> {
        let failed = |error: io::Error| StorageIOError::write_logs(AnyError::new(&error));
        let changes = self.deletions(since.index, None).map_err(failed)?;
        Ok(self.write(changes, Write::Synced).await.map_err(failed)?)
    }

    async fn purge(&mut self, upto: LogId<NodeId>) -> Result<(), StorageError<NodeId>> {
        let failed = |error: io::Error| StorageIOError::write_logs(AnyError::new(&error));
        let mut changes = self.deletions(0, upto.index.checked_add(1)).map_err(failed)?;
        changes.push((PURGED.to_vec(), Some(encode(&upto).map_err(failed)?)));
        Ok(self.write(changes, Write::Synced).await.map_err(failed)?)
    }
}

fn key(table: u8, index: u64) -> [u8; 9] {
    let mut key = [table; 9];
    key.iter_mut().skip(1).zip(index.to_be_bytes()).for_each(|(at, byte)| *at = byte);
    key
}

/// The first key after those below an index, or after all.
fn end_key(table: u8, end: Option<u64>) -> Vec<u8> {
    end.map_or_else(|| vec![table.saturating_add(1)], |end| key(table, end).to_vec())
}

fn encode<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(io::Error::other)
}

fn decode<T: DeserializeOwned>(row: &[u8]) -> io::Result<T> {
    postcard::from_bytes(row).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
