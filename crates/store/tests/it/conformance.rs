//! What every store does, checked on memory, on RocksDB, and on RocksDB reopened after every commit.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{ADMIN, FIRST, USER, blocks, genesis, name};
use coalmine_core::{Block, Genesis, Hash, Read, Receipt, Role, State, query};
use coalmine_store::{CommitError, Ledger, MemoryStore, OpenError, Snapshots as _, Store, Tip, View, verify};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The whole suite. `fresh` gives an empty store; `between` stands between any two commits.
fn conformance<S: Store + Send>(fresh: impl Fn() -> S, between: impl Fn(S) -> S) {
    reads_are_those_of_a_sorted_map(fresh(), &between);
    snapshots_stay_as_they_are(fresh(), &between);
    an_empty_store_has_no_ledger(fresh(), &between);
    a_ledger_follows_the_pure_state(&fresh, &between);
    a_ledger_refuses_what_does_not_belong(&fresh, &between);
    advancing_equals_empty_blocks(&fresh, &between);
    a_dump_is_restored(&fresh, &between);
    queries_on_another_thread_see_whole_blocks(fresh());
}

#[test]
fn memory() {
    conformance(MemoryStore::new, |store| store);
}

#[cfg(feature = "rocksdb")]
mod rocksdb {
    use std::cell::RefCell;
    use std::sync::Arc;

    use ::rocksdb::{DBWithThreadMode, MultiThreaded, Options};
    use coalmine_store::{Durability, RocksStore};
    use tempfile::TempDir;

    use super::conformance;

    #[test]
    fn open_all_the_time() {
        for durability in [Durability::Synced, Durability::Unsynced] {
            let folders = RefCell::new(Vec::<TempDir>::new());
            conformance(|| RocksStore::create(new(&folders), durability).unwrap(), |store| store);
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
            conformance(|| RocksStore::create(new(&folders), durability).unwrap(), reopen);
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
        let again = |store: RocksStore<MultiThreaded>| {
            RocksStore::with_handle(Arc::clone(store.db()), "flags", Durability::Synced).unwrap()
        };
        conformance(fresh, again);
    }

    fn new(folders: &RefCell<Vec<TempDir>>) -> std::path::PathBuf {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        folders.borrow_mut().push(folder);
        path
    }
}

fn entries(view: &impl Read, start: &[u8], end: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    view.scan(start, end, &mut |key, value| {
        entries.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    entries
}

fn all(view: &impl Read) -> Vec<(Vec<u8>, Vec<u8>)> {
    entries(view, &[], &[0xff; 100])
}

fn tip(height: u32) -> Tip {
    Tip { height: Some(height), root: Hash([7; 32]) }
}

/// A small generator of numbers that are the same in every run.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    }
}

fn reads_are_those_of_a_sorted_map<S: Store>(mut store: S, between: &impl Fn(S) -> S) {
    assert_eq!(store.tip().unwrap(), None);
    assert!(all(&store).is_empty());

    let mut next = numbers();
    let mut key = move || {
        let len = next(4);
        let mut key = vec![[0xd0, 0xd1, 0xd8, 0xdf][next(4)]];
        key.extend((0..len).map(|_| [0x00, 0x61, 0xff][next(3)]));
        (key, next(5), next(300))
    };
    let mut model = Model::new();
    for height in 1..=24 {
        let changes: BTreeMap<_, _> = (0..20)
            .map(|_| key())
            .map(|(key, kind, len)| (key, (kind != 0).then(|| vec![u8::try_from(height).unwrap(); len])))
            .collect();
        store.commit(&tip(height), changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))).unwrap();
        for (key, value) in changes {
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        store = between(store);
        assert_eq!(store.tip().unwrap(), Some(tip(height)));
        assert!(all(&store).into_iter().eq(model.clone()), "{height}");
        for _ in 0..20 {
            let (start, ..) = key();
            let (end, ..) = key();
            assert_eq!(store.get(&start).unwrap().as_ref(), model.get(&start));
            let expected: Vec<_> = if start < end {
                model.range(start.clone()..end.clone()).map(|(key, value)| (key.clone(), value.clone())).collect()
            } else {
                Vec::new()
            };
            assert_eq!(entries(&store, &start, &end), expected, "{start:x?} {end:x?}");
            assert_eq!(store.last(&start, &end).unwrap(), expected.last().cloned(), "{start:x?} {end:x?}");
        }
        let mut seen = 0;
        store
            .scan(&[], &[0xff], &mut |_, _| {
                seen += 1;
                if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        assert_eq!(seen, 3.min(model.len()));
    }
    // What a store keeps for itself is not in the state.
    assert_eq!(store.get(&coalmine_store::TIP_KEY).unwrap(), None);
    assert_eq!(store.last(&[], &[0xd0]).unwrap(), None);
}

fn snapshots_stay_as_they_are<S: Store>(mut store: S, between: &impl Fn(S) -> S) {
    let value = |height: u32| height.to_be_bytes();
    for height in 1..=3 {
        store.commit(&tip(height), [([0xd0, 1].as_slice(), Some(value(height).as_slice()))]).unwrap();
        store = between(store);
        let reader = store.reader();
        let before = reader.snapshot();
        store.commit(&tip(height + 10), [([0xd0, 1].as_slice(), None), (&[0xd0, 2], Some([9].as_slice()))]).unwrap();
        assert_eq!(before.tip().unwrap(), Some(tip(height)));
        assert_eq!(before.get(&[0xd0, 1]).unwrap().unwrap(), value(height));
        assert_eq!(before.get(&[0xd0, 2]).unwrap(), None);
        assert_eq!(reader.snapshot().tip().unwrap(), Some(tip(height + 10)));
        assert_eq!(all(&reader.snapshot()), [(vec![0xd0, 2], vec![9])]);
        drop(before);
        store.commit(&tip(height + 20), [([0xd0, 2].as_slice(), None)]).unwrap();
        drop(reader);
        store = between(store);
    }
}

/// A ledger of these blocks, compared with the pure state after each.
fn follow<S: Store>(store: S, between: &impl Fn(S) -> S, blocks: &[Block]) -> Ledger<S> {
    let (mut state, writes) = State::genesis(&genesis()).unwrap();
    let mut model = Model::new();
    let mut ledger = Ledger::create(store, &genesis()).unwrap();
    for (key, value) in writes.iter() {
        model.insert(key.into(), value.unwrap().into());
    }
    for block in blocks {
        let expected = state.execute(block).unwrap();
        for (key, value) in expected.writes().iter() {
            match value {
                Some(value) => model.insert(key.into(), value.into()),
                None => model.remove(key),
            };
        }
        let execution = ledger.execute(block).unwrap();
        assert!(
            execution.outcome().receipts.iter().all(|receipt| *receipt == Receipt::Ok),
            "{:?}",
            execution.outcome()
        );
        assert_eq!(execution.outcome(), expected.outcome());
        ledger.commit(execution).unwrap();
        state.apply(expected).unwrap();

        let at = Tip { height: Some(block.height()), root: state.root() };
        assert_eq!(ledger.last_committed(), at);
        ledger = Ledger::open_at(between(ledger.into_store()), at).unwrap();
        assert_eq!(ledger.last_committed(), at);
        assert!(all(ledger.store()).into_iter().eq(model.clone()));
        let verified = verify(ledger.store()).unwrap();
        assert_eq!((verified.tip, verified.records), (at, u64::try_from(model.len()).unwrap()));
    }
    ledger
}

fn an_empty_store_has_no_ledger<S: Store>(store: S, between: &impl Fn(S) -> S) {
    let store = between(store);
    assert!(matches!(verify(&store), Err(OpenError::Empty)));
    assert!(matches!(Ledger::open(store), Err(OpenError::Empty)));
}

fn a_ledger_follows_the_pure_state<S: Store>(fresh: &impl Fn() -> S, between: &impl Fn(S) -> S) {
    let blocks = blocks();
    for (len, wrong) in [(0, Some(1)), (blocks.len(), None), (blocks.len(), Some(1))] {
        let ledger = follow(fresh(), between, &blocks[..len]);
        let at = ledger.last_committed();
        let error = Ledger::open_at(ledger.into_store(), Tip { height: wrong, ..at }).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Anchor { found, .. } if found == at), "{error}");
    }
}

fn a_ledger_refuses_what_does_not_belong<S: Store>(fresh: &impl Fn() -> S, between: &impl Fn(S) -> S) {
    let blocks = blocks();
    let mut ledger = follow(fresh(), between, &blocks);
    let at = ledger.last_committed();

    // Two executions of one height: the second to come is stale, and nothing of it is written.
    let next = Block::empty(at.height.unwrap() + 1);
    let (one, two) = (ledger.execute(&next).unwrap(), ledger.execute(&next).unwrap());
    ledger.commit(one).unwrap();
    let before = all(ledger.store());
    assert!(matches!(ledger.commit(two), Err(CommitError::Stale(_))));
    assert_eq!(all(ledger.store()), before);
    assert!(ledger.execute(&next).is_err());
    // An execution that nobody commits changes nothing, and the ledger goes on.
    let after = Block::empty(next.height() + 1);
    let _dry_run = ledger.execute(&after).unwrap();
    let execution = ledger.execute(&after).unwrap();
    ledger.commit(execution).unwrap();

    let at = ledger.last_committed();
    let other = Genesis::new("other", [(ADMIN, Role::Admin.into())]).unwrap();
    let store = between(ledger.into_store());
    let used = Ledger::create(store, &other).map(|_| ()).unwrap_err();
    assert!(matches!(&used, OpenError::NotEmpty(tip) if *tip == at), "{used}");
}

fn advancing_equals_empty_blocks<S: Store>(fresh: &impl Fn() -> S, between: &impl Fn(S) -> S) {
    let blocks = blocks();
    let to = FIRST + 40;
    let mut slow = follow(fresh(), between, &blocks[..4]);
    for height in FIRST + 4..=to {
        let execution = slow.execute(&Block::empty(height)).unwrap();
        slow.commit(execution).unwrap();
    }
    let mut fast = follow(fresh(), between, &blocks[..4]);
    let mut seen = Vec::new();
    fast.advance_to(to, |execution| seen.push(execution.height())).unwrap();
    assert_eq!(seen, [FIRST + 5, to]);
    fast.advance_to(to, |_| panic!("the tip is there already")).unwrap();
    assert!(fast.advance_to(to - 1, |_| ()).is_err());
    assert_eq!(fast.last_committed(), slow.last_committed());
    assert_eq!(all(fast.store()), all(slow.store()));
    assert!(fast.state().is_enabled(&name("a.b"), &USER));
}

fn a_dump_is_restored<S: Store>(fresh: &impl Fn() -> S, between: &impl Fn(S) -> S) {
    let ledger = follow(fresh(), between, &blocks());
    let (at, records) = (ledger.last_committed(), all(ledger.store()));
    let restored = Ledger::restore(fresh(), at, &records).unwrap();
    assert_eq!(Ledger::open(between(restored.into_store())).unwrap().last_committed(), at);

    let wrong = Tip { root: Hash([0; 32]), ..at };
    assert!(matches!(Ledger::restore(fresh(), wrong, &records), Err(OpenError::Root { .. })));
    assert!(matches!(Ledger::restore(fresh(), at, &records[1..]), Err(OpenError::Fault(_) | OpenError::Root { .. })));
    assert!(matches!(Ledger::restore(ledger.into_store(), at, &records), Err(OpenError::NotEmpty(_))));
}

/// Every snapshot taken while blocks are committed is the state of exactly one of them.
fn queries_on_another_thread_see_whole_blocks<S: Store + Send>(store: S) {
    let ledger = Ledger::create(store, &genesis()).unwrap();
    let (reader, done) = (ledger.store().reader(), AtomicBool::new(false));
    let seen = std::thread::scope(|scope| {
        let queries = scope.spawn(|| {
            let mut seen = 0_u64;
            let mut last = None;
            while !done.load(Ordering::Relaxed) || seen < 3 {
                let snapshot = reader.snapshot();
                let verified = verify(&snapshot).unwrap();
                assert!(verified.tip.height >= last, "snapshots never go back");
                last = verified.tip.height;
                let feature = query::feature(&snapshot, &name("a")).unwrap();
                assert_eq!(feature.is_some(), last >= Some(FIRST));
                seen += 1;
            }
            seen
        });
        let mut ledger = ledger;
        for block in blocks() {
            let execution = ledger.execute(&block).unwrap();
            ledger.commit(execution).unwrap();
        }
        for height in (ledger.state().tip().unwrap() + 1)..FIRST + 300 {
            let execution = ledger.execute(&Block::empty(height)).unwrap();
            ledger.commit(execution).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        queries.join().unwrap()
    });
    assert!(seen >= 3);
}
