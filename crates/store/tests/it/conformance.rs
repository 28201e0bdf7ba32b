//! The conformance suite on memory, on RocksDB, and on RocksDB reopened after every commit.

use coalmine_store::MemoryStore;
use coalmine_store::conformance::{check, check_one_writer, check_staging};

#[test]
fn memory() {
    let again = |store: MemoryStore| {
        let handle = store.handle();
        drop(store);
        MemoryStore::with_handle(handle).unwrap()
    };
    check(MemoryStore::new, |store| store);
    check(MemoryStore::new, again);
    check_staging(MemoryStore::new, |store, batch| store.handle().write(batch));
    check_one_writer(MemoryStore::new, |store| MemoryStore::with_handle(store.handle()));
}

#[cfg(feature = "rocksdb")]
mod rocksdb {
    use std::cell::RefCell;
    use std::sync::Arc;

    use ::rocksdb::{DBWithThreadMode, MultiThreaded, Options};
    use coalmine_store::{COLUMN, Durability, RocksStore};
    use tempfile::TempDir;

    use super::{check, check_one_writer, check_staging};

    #[test]
    fn open_all_the_time() {
        for durability in [Durability::Synced, Durability::Unsynced] {
            let folders = RefCell::new(Vec::<TempDir>::new());
            let fresh = || RocksStore::create(new(&folders), durability).unwrap();
            check(fresh, |store| store);
            check_staging(fresh, |store, batch| store.db().write(batch).unwrap());
            // Not even somebody who takes our own database for a host's.
            check_one_writer(fresh, |store| RocksStore::with_handle(Arc::clone(store.db()), COLUMN, durability));
        }
    }

    #[test]
    fn reopened_after_every_commit() {
        for durability in [Durability::Synced, Durability::Unsynced] {
            let folders = RefCell::new(Vec::<TempDir>::new());
            let reopen = |store: RocksStore| {
                let folder = store.db().path().to_owned();
                drop(store);
                RocksStore::open(folder, durability).unwrap()
            };
            check(|| RocksStore::create(new(&folders), durability).unwrap(), reopen);
        }
    }

    #[test]
    fn in_a_column_family_of_a_host() {
        let folders = RefCell::new(Vec::<TempDir>::new());
        let fresh = || {
            let mut options = Options::default();
            options.create_if_missing(true);
            options.create_missing_column_families(true);
            let db = DBWithThreadMode::<MultiThreaded>::open_cf(&options, new(&folders), ["blocks", "flags"]).unwrap();
            RocksStore::with_handle(Arc::new(db), "flags", Durability::Synced).unwrap()
        };
        let second = |store: &RocksStore<MultiThreaded>| {
            RocksStore::with_handle(Arc::clone(store.db()), "flags", Durability::Synced)
        };
        let again = |store: RocksStore<MultiThreaded>| {
            let db = Arc::clone(store.db());
            drop(store);
            RocksStore::with_handle(db, "flags", Durability::Synced).unwrap()
        };
        check(fresh, again);
        check_staging(fresh, |store, batch| store.db().write(batch).unwrap());
        check_one_writer(fresh, second);
    }

    fn new(folders: &RefCell<Vec<TempDir>>) -> std::path::PathBuf {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        folders.borrow_mut().push(folder);
        path
    }
}
