//! The store on disk: one column family of a RocksDB, one atomic batch per block.
//!
//! The database is ours ([`RocksStore::create`], [`RocksStore::open`]) or a host's
//! ([`RocksStore::with_handle`]). This module uses only the API that rocksdb 0.23, 0.24 and 0.25 share.
//!
//! Recovery of our own database:
//! * Synced: `TolerateCorruptedTailRecords`. Damage inside the log is an error. A record cut short at
//!   the end of the log is dropped; the tip file shows whether that block had been acknowledged.
//!   `AbsoluteConsistency` would refuse to open after a kill in the middle of a write, and
//!   `PointInTime`, RocksDB's default, would silently open an older height. No mode notices a log
//!   that ends early between two records.
//! * Unsynced: `PointInTime`, because a loss of power can leave holes in the log. The host replays
//!   its blocks from the tip that is left.
//!
//! Before the database is opened for writing, it is opened read-only, which replays the log without
//! changing a file; a store that is refused is therefore left as it was. The same step finds tables
//! that a damaged MANIFEST has lost and that RocksDB would delete. Before that, `log_check` looks
//! for damage on which RocksDB would loop forever. A host that opens its own database gets none of
//! these checks.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use coalmine_core::query::Visit;
use coalmine_core::{Fault, Read, STATE_KEYS};
use rocksdb::{
    AsColumnFamilyRef, BoundColumnFamily, ColumnFamily, DBCompressionType, DBRecoveryMode, DBWithThreadMode, ErrorKind,
    MultiThreaded, Options, ReadOptions, SingleThreaded, SnapshotWithThreadMode, ThreadMode, WriteBatch, WriteOptions,
};

use crate::error::{Problem, StoreError};
use crate::lease::Lease;
use crate::ledger::verify;
use crate::log_check::{check_logs, mend_logs};
use crate::store::{Snapshots, Staging, Store, View, Write};
use crate::tip::{TIP_KEY, Tip};
use crate::tip_file::{TipFile, io_problem};

/// The column family of a store in a folder of its own.
pub const COLUMN: &str = "coalmine";

/// Recovery replays what was written since the last flush, so a smaller buffer opens faster.
const WRITE_BUFFER: usize = 16 << 20;
/// The same for all column families together, where a host has some, and of their logs.
const WRITE_BUFFERS: usize = 32 << 20;
const LOGS_SIZE_MAX: u64 = 64 << 20;
/// How many of RocksDB's text logs to keep, and the maximum length of each.
const TEXT_LOGS: usize = 4;
const TEXT_LOG_SIZE: usize = 4 << 20;

/// What a block survives once its commit has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A loss of power.
    #[default]
    Synced,
    /// The death of the process. For hosts that can replay blocks from a log of their own: after a
    /// loss of power the store is at some earlier block, see `Ledger::last_committed`.
    Unsynced,
}

/// How a database keeps its column families: both thread modes of the crate `rocksdb`.
pub trait Columns: ThreadMode + Send + Sized + 'static {
    /// A handle of a column family of an open database.
    type Column<'a>: AsColumnFamilyRef;

    /// Looks up a column family.
    fn column<'a>(db: &'a DBWithThreadMode<Self>, name: &str) -> Option<Self::Column<'a>>;
}

impl Columns for SingleThreaded {
    type Column<'a> = &'a ColumnFamily;

    fn column<'a>(db: &'a DBWithThreadMode<Self>, name: &str) -> Option<&'a ColumnFamily> {
        db.cf_handle(name)
    }
}

impl Columns for MultiThreaded {
    type Column<'a> = Arc<BoundColumnFamily<'a>>;

    fn column<'a>(db: &'a DBWithThreadMode<Self>, name: &str) -> Option<Arc<BoundColumnFamily<'a>>> {
        db.cf_handle(name)
    }
}

/// A store in a column family of a RocksDB.
#[derive(Debug)]
pub struct RocksStore<T: Columns = SingleThreaded> {
    reader: RocksReader<T>,
    durability: Durability,
    /// `None` in a host's database.
    tip_file: Option<TipFile>,
    failed: bool,
    _lease: Lease<DBWithThreadMode<T>>,
}

/// Takes snapshots of a [`RocksStore`], on any thread. It keeps the database open.
#[derive(Debug)]
pub struct RocksReader<T: Columns = SingleThreaded> {
    db: Arc<DBWithThreadMode<T>>,
    column: Arc<str>,
}

impl<T: Columns> Clone for RocksReader<T> {
    fn clone(&self) -> Self {
        Self { db: Arc::clone(&self.db), column: Arc::clone(&self.column) }
    }
}

/// A [`RocksStore`] as it was at one tip.
pub struct RocksSnapshot<'a, T: Columns = SingleThreaded> {
    reader: &'a RocksReader<T>,
    snapshot: SnapshotWithThreadMode<'a, DBWithThreadMode<T>>,
}

impl RocksStore {
    /// Returns whether the folder holds a database.
    #[must_use]
    pub fn exists(folder: impl AsRef<Path>) -> bool {
        folder.as_ref().join("CURRENT").exists()
    }

    /// Creates an empty store in a new or empty folder.
    ///
    /// # Errors
    /// The folder is not empty or cannot be written.
    pub fn create(folder: impl AsRef<Path>, durability: Durability) -> Result<Self, StoreError> {
        Self::create_with(folder, durability, &[])
    }

    /// The same with column families for data of the host beside that of the store. The host reads and writes them
    /// through [`RocksStore::db`], and writes a block with its own data by [`RocksStore::write_staged`].
    ///
    /// # Errors
    /// As for [`RocksStore::create`].
    pub fn create_with(folder: impl AsRef<Path>, durability: Durability, columns: &[&str]) -> Result<Self, StoreError> {
        let folder = folder.as_ref();
        let create = || {
            if folder.exists() && read_folder(folder)?.next().is_some() {
                return Err(Problem::NotEmpty);
            }
            fs::create_dir_all(folder).and_then(|()| sync_parent(folder)).map_err(|error| io_problem(&error))?;
            let tip_file = TipFile::open(folder)?;
            let mut options = db_options(durability, columns);
            options.create_if_missing(true);
            options.create_missing_column_families(true);
            options.set_error_if_exists(true);
            Ok(Self::of(open_db(&options, folder, columns)?, durability, tip_file))
        };
        create().map_err(|problem| StoreError::new(place(folder), problem))
    }

    /// Opens the store of a folder.
    ///
    /// # Errors
    /// There is no store, or it is locked, damaged, of another format, or has lost blocks. Then it is
    /// left as it was.
    pub fn open(folder: impl AsRef<Path>, durability: Durability) -> Result<Self, StoreError> {
        Self::open_with(folder, durability, &[])
    }

    /// Opens what [`RocksStore::create_with`] has created, with the same column families.
    ///
    /// # Errors
    /// As for [`RocksStore::open`].
    pub fn open_with(folder: impl AsRef<Path>, durability: Durability, columns: &[&str]) -> Result<Self, StoreError> {
        let folder = folder.as_ref();
        let open = || {
            let tip_file = lock(folder)?;
            let options = db_options(durability, columns);
            let acknowledged = tip_file.read()?;
            check_logs(folder)?;
            let found = replay_log(&options, folder, columns)?;
            if let Some(acknowledged) = acknowledged
                && !found.is_some_and(|found| found == acknowledged || found.height > acknowledged.height)
            {
                return Err(Problem::Behind { acknowledged, found });
            }
            Ok(Self::of(open_db(&options, folder, columns)?, durability, tip_file))
        };
        open().map_err(|problem| StoreError::new(place(folder), problem))
    }

    /// Opens a store with a damaged log at the last block before the damage, even if later blocks had
    /// been acknowledged. For a host that can replay the blocks above that tip; whatever follows the
    /// damage in the log is lost for good.
    ///
    /// # Errors
    /// As for [`RocksStore::open`], except for damage of the log.
    pub fn salvage(folder: impl AsRef<Path>, durability: Durability) -> Result<Self, StoreError> {
        let folder = folder.as_ref();
        let open = || {
            let tip_file = lock(folder)?;
            let mut options = db_options(durability, &[]);
            options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
            mend_logs(folder)?;
            replay_log(&options, folder, &[])?;
            Ok(Self::of(open_db(&options, folder, &[])?, durability, tip_file))
        };
        let store = open().map_err(|problem| StoreError::new(place(folder), problem))?;
        store.sync()?;
        Ok(store)
    }

    fn of(db: DBWithThreadMode<SingleThreaded>, durability: Durability, tip_file: TipFile) -> Self {
        let reader = RocksReader::of(db);
        let lease = Lease::of_new(&reader.db, &reader.column);
        Self { reader, durability, tip_file: Some(tip_file), failed: false, _lease: lease }
    }
}

impl<T: Columns> RocksStore<T> {
    /// Opens a store in a column family of the host's database. The column family must be used for
    /// nothing else. Recovery and durability follow the host's options;
    /// [`Ledger::open_at`](crate::Ledger::open_at) detects lost blocks.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use coalmine_core::{Block, Encode as _};
    /// # use coalmine_store::{Durability, Ledger, RocksStore};
    /// # use rocksdb::{DBWithThreadMode, SingleThreaded, WriteBatch, WriteOptions};
    /// # fn node(db: Arc<DBWithThreadMode<SingleThreaded>>, block: Block) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut ledger = Ledger::open(RocksStore::with_handle(Arc::clone(&db), "flags", Durability::Synced)?)?;
    /// let execution = ledger.execute(&block)?;
    ///
    /// let mut batch = WriteBatch::default();
    /// batch.put(block.height().to_be_bytes(), block.to_bytes()); // whatever else the host keeps
    /// let staged = ledger.stage(execution, &mut batch)?;
    /// let mut synced = WriteOptions::default();
    /// synced.set_sync(true);
    /// db.write_opt(batch, &synced)?; // if it fails, the token is dropped and the ledger stops
    /// ledger.committed(staged)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Problem::InUse`] while another store of this column family exists. Also if the column family
    /// does not exist, or holds a store of another format.
    pub fn with_handle(db: Arc<DBWithThreadMode<T>>, column: &str, durability: Durability) -> Result<Self, StoreError> {
        let reader = RocksReader { db, column: column.into() };
        let lease = Lease::take(&reader.db, &reader.column).ok_or_else(|| reader.located(Problem::InUse))?;
        let store = Self { reader, durability, tip_file: None, failed: false, _lease: lease };
        store.tip()?;
        Ok(store)
    }

    /// Returns the database.
    #[must_use]
    pub const fn db(&self) -> &Arc<DBWithThreadMode<T>> {
        &self.reader.db
    }

    /// Makes every committed block durable. After that a host with [`Durability::Unsynced`] may drop
    /// the blocks up to the tip from its own log.
    ///
    /// # Errors
    /// The store failed.
    pub fn sync(&self) -> Result<(), StoreError> {
        let located = |problem| self.reader.located(problem);
        let tip = self.tip()?;
        self.reader.db.flush_wal(true).map_err(|error| located(rocksdb_problem(&error)))?;
        if let (Some(tip_file), Some(tip)) = (&self.tip_file, tip) {
            tip_file.write(&tip).and_then(|()| tip_file.sync()).map_err(located)?;
        }
        Ok(())
    }

    /// Writes a batch in which a block was staged, as durable as asked for. A block that is not synced is durable with
    /// the next one that is, and comes back or is lost with all after it: a host does so for one that it has told nobody.
    ///
    /// # Errors
    /// The store failed. Only reopening shows whether the block is in it; drop its token.
    pub fn write_staged(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.write_as(None, batch, durability).map_err(|problem| self.reader.located(problem))
    }

    fn write(&self, tip: &Tip, batch: WriteBatch) -> Result<(), Problem> {
        self.write_as(Some(tip), batch, self.durability)
    }

    fn write_as(&self, tip: Option<&Tip>, batch: WriteBatch, durability: Durability) -> Result<(), Problem> {
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.reader.db.write_opt(batch, &options).map_err(|error| rocksdb_problem(&error))?;
        let tip = match tip {
            Some(tip) => Some(*tip),
            None => self.reader.tip().map_err(StoreError::into_problem)?,
        };
        let Some(tip) = &tip else { return Ok(()) };
        match (&self.tip_file, durability) {
            (Some(tip_file), Durability::Synced) => tip_file.write(tip),
            (None, Durability::Synced) | (_, Durability::Unsynced) => Ok(()),
        }
    }
}

impl RocksReader {
    /// Opens the store of a folder for reading alone, also while another process writes to it: what is read stays as it
    /// is now. If that process replaces files at the same moment, opening fails, and may be tried again.
    ///
    /// # Errors
    /// There is no store, or it cannot be read.
    pub fn open_read_only(folder: impl AsRef<Path>, columns: &[&str]) -> Result<Self, StoreError> {
        let folder = folder.as_ref();
        let open = || {
            if !RocksStore::exists(folder) {
                return Err(if folder.exists() { Problem::NotAStore } else { Problem::Missing });
            }
            let options = db_options(Durability::Synced, columns);
            DBWithThreadMode::open_cf_with_opts_for_read_only(&options, folder, all_columns(columns), false)
                .map_err(|error| rocksdb_problem(&error))
        };
        open().map(Self::of).map_err(|problem| StoreError::new(place(folder), problem))
    }
}

impl<T: Columns> RocksReader<T> {
    /// Returns the database.
    #[must_use]
    pub const fn db(&self) -> &Arc<DBWithThreadMode<T>> {
        &self.db
    }

    fn of(db: DBWithThreadMode<T>) -> Self {
        Self { db: Arc::new(db), column: COLUMN.into() }
    }

    fn place(&self) -> String {
        let place = place(self.db.path());
        if &*self.column == COLUMN { place } else { format!("{place}, column family \"{}\"", self.column) }
    }

    fn located(&self, problem: Problem) -> StoreError {
        StoreError::new(self.place(), problem)
    }

    /// Reads the current tip without taking a snapshot.
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        let record = self.db.get_pinned_cf(&self.column()?, TIP_KEY);
        let record = record.map_err(|error| self.located(rocksdb_problem(&error)))?;
        record.map(|record| Tip::from_record(&record)).transpose().map_err(|error| self.located(error.into()))
    }

    fn column(&self) -> Result<T::Column<'_>, StoreError> {
        T::column(&self.db, &self.column).ok_or_else(|| self.located(Problem::NoColumn(self.column.to_string())))
    }
}

impl<T: Columns> Store for RocksStore<T> {
    type Reader = RocksReader<T>;

    fn reader(&self) -> RocksReader<T> {
        self.reader.clone()
    }

    fn place(&self) -> String {
        self.reader.place()
    }

    fn commit<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
    ) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        self.stage(base, tip, writes, &mut batch)?;
        self.failed = true;
        self.write(tip, batch).map_err(|problem| self.reader.located(problem))?;
        self.failed = false;
        Ok(())
    }
}

impl<T: Columns> Staging for RocksStore<T> {
    type Batch = WriteBatch;

    fn stage<'w>(
        &mut self,
        base: Option<&Tip>,
        tip: &Tip,
        writes: impl IntoIterator<Item = Write<'w>>,
        batch: &mut WriteBatch,
    ) -> Result<(), StoreError> {
        if self.failed {
            return Err(self.reader.located(Problem::Failed));
        }
        let found = self.reader.tip()?;
        if found.as_ref() != base {
            return Err(self.reader.located(Problem::Moved { expected: base.copied(), found }));
        }
        let column = self.reader.column()?;
        for (key, value) in writes {
            match value {
                Some(value) => batch.put_cf(&column, key, value),
                None => batch.delete_cf(&column, key),
            }
        }
        batch.put_cf(&column, TIP_KEY, tip.to_record());
        Ok(())
    }
}

impl<T: Columns> Snapshots for RocksReader<T> {
    type Snapshot<'a> = RocksSnapshot<'a, T>;

    fn snapshot(&self) -> RocksSnapshot<'_, T> {
        RocksSnapshot { reader: self, snapshot: self.db.snapshot() }
    }
}

impl<T: Columns> View for RocksStore<T> {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        self.reader.tip()
    }
}

impl<T: Columns> Read for RocksStore<T> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.reader.snapshot().get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.reader.snapshot().scan(start, end, visit)
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        self.reader.snapshot().last(start, end)
    }
}

impl<T: Columns> View for RocksSnapshot<'_, T> {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        let record = self.record(&TIP_KEY)?;
        record.map(|record| Tip::from_record(&record)).transpose().map_err(|error| self.reader.located(error.into()))
    }
}

impl<T: Columns> RocksSnapshot<'_, T> {
    fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot.get_cf(&self.reader.column()?, key).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rocksdb::Error) -> StoreError {
        self.reader.located(rocksdb_problem(error))
    }
}

/// Bounds an iterator to the part of a range that belongs to the state. A range that ends before it
/// starts is empty.
fn bounds(start: &[u8], end: &[u8]) -> ReadOptions {
    let start = start.max(&[STATE_KEYS.start]);
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(start);
    options.set_iterate_upper_bound(end.min(&[STATE_KEYS.end]).max(start));
    options
}

impl<T: Columns> Read for RocksSnapshot<'_, T> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let is_of_state = key.first().is_some_and(|first| STATE_KEYS.contains(first));
        if is_of_state { Ok(self.record(key)?) } else { Ok(None) }
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        let mut iter = self.snapshot.raw_iterator_cf_opt(&self.reader.column()?, bounds(start, end));
        iter.seek_to_first();
        while let Some((key, value)) = iter.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            iter.next();
        }
        Ok(iter.status().map_err(|error| self.failed(&error))?)
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Fault> {
        let mut iter = self.snapshot.raw_iterator_cf_opt(&self.reader.column()?, bounds(start, end));
        iter.seek_to_last();
        let entry = iter.item().map(|(key, value)| (key.to_vec(), value.to_vec()));
        iter.status().map_err(|error| self.failed(&error))?;
        Ok(entry)
    }
}

fn place(folder: &Path) -> String {
    format!("RocksDB store {}", folder.display())
}

/// Lists a folder.
fn read_folder(folder: &Path) -> Result<fs::ReadDir, Problem> {
    if !folder.is_dir() {
        return Err(Problem::NotAFolder);
    }
    fs::read_dir(folder).map_err(|error| io_problem(&error))
}

/// Makes the entry of a new folder durable.
fn sync_parent(folder: &Path) -> std::io::Result<()> {
    match folder.canonicalize()?.parent() {
        Some(parent) if cfg!(unix) => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// Locks the folder of an existing store.
fn lock(folder: &Path) -> Result<TipFile, Problem> {
    if !folder.exists() {
        return Err(Problem::Missing);
    }
    read_folder(folder)?;
    if !RocksStore::exists(folder) {
        return Err(Problem::NotAStore);
    }
    TipFile::open(folder)
}

/// The column family of the store, and those of its host.
fn all_columns<'c>(columns: &[&'c str]) -> impl Iterator<Item = (&'c str, Options)> {
    [COLUMN].into_iter().chain(columns.iter().copied()).map(|name| (name, column_options()))
}

fn open_db(options: &Options, folder: &Path, columns: &[&str]) -> Result<DBWithThreadMode<SingleThreaded>, Problem> {
    DBWithThreadMode::open_cf_with_opts(options, folder, all_columns(columns)).map_err(|error| rocksdb_problem(&error))
}

/// Finds the tip at which opening would leave the store, without changing a file.
///
/// Opening for writing deletes every table that the MANIFEST does not list. Most are left over from
/// a flush or compaction that a kill interrupted. But a damaged MANIFEST that ends early has lost
/// tables, and looks no different. So where there are such tables, the records must give the root
/// of the tip without them.
fn replay_log(options: &Options, folder: &Path, columns: &[&str]) -> Result<Option<Tip>, Problem> {
    let db = DBWithThreadMode::open_cf_with_opts_for_read_only(options, folder, all_columns(columns), false)
        .map_err(|error| rocksdb_problem(&error))?;
    let unlisted = unlisted_tables(&db, folder)?;
    let reader = RocksReader::<SingleThreaded>::of(db);
    let snapshot = reader.snapshot();
    if !unlisted.is_empty() {
        verify(&snapshot).map_err(|error| Problem::Unlisted { tables: unlisted.join(", "), why: error.to_string() })?;
    }
    snapshot.tip().map_err(StoreError::into_problem)
}

/// Lists the table files in the folder that the database does not use.
fn unlisted_tables(db: &DBWithThreadMode<SingleThreaded>, folder: &Path) -> Result<Vec<String>, Problem> {
    let listed: BTreeSet<String> = match db.live_files() {
        Ok(files) => files.into_iter().map(|file| file.name.trim_start_matches('/').to_owned()).collect(),
        Err(error) => return Err(rocksdb_problem(&error)),
    };
    let mut tables = Vec::new();
    for entry in read_folder(folder)? {
        let name = entry.map_err(|error| io_problem(&error))?.file_name();
        tables.extend(name.into_string().ok().filter(|name| name.ends_with(".sst") && !listed.contains(name)));
    }
    tables.sort_unstable();
    Ok(tables)
}

fn db_options(durability: Durability, columns: &[&str]) -> Options {
    let mut options = Options::default();
    options.set_paranoid_checks(true);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_wal_recovery_mode(match durability {
        Durability::Synced => DBRecoveryMode::TolerateCorruptedTailRecords,
        Durability::Unsynced => DBRecoveryMode::PointInTime,
    });
    options.set_keep_log_file_num(TEXT_LOGS);
    options.set_max_log_file_size(TEXT_LOG_SIZE);
    if !columns.is_empty() {
        // A column family that is seldom written would keep the logs of all others from being deleted.
        options.set_max_total_wal_size(LOGS_SIZE_MAX);
        options.set_db_write_buffer_size(WRITE_BUFFERS);
    }
    options
}

fn column_options() -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(WRITE_BUFFER);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

/// Classifies an error of RocksDB by its text, which is the only place that says more.
fn rocksdb_problem(error: &rocksdb::Error) -> Problem {
    let text = error.to_string();
    let says = |part: &str| text.contains(part);
    if says("No space left on device") || says("NoSpace") {
        Problem::Full(text)
    } else if says("Permission denied") || says("Read-only file system") {
        Problem::NotWritable(text)
    } else if says("lock hold by current process") || says("While lock file") {
        Problem::Locked
    } else if says("Column family not found") {
        Problem::NoColumn(COLUMN.into())
    } else if says("olumn families not opened") {
        Problem::Foreign(text)
    } else if error.kind() == ErrorKind::Corruption {
        Problem::Damaged(text)
    } else {
        Problem::Other(text)
    }
}
