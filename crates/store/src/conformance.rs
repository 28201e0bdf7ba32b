//! What every [`Store`] must do, for a store of anybody's: call [`check`] from a test. Needs the cargo feature `conformance`.
//!
//! ```
//! use coalmine_store::MemoryStore;
//! use coalmine_store::conformance::check;
//!
//! check(MemoryStore::new, |store| store);
//! ```
//!
//! A failure panics, as a test does, and says which property is broken. What is left to the store's
//! own tests is durability: that a block survives the process, or a loss of power.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a suite of tests: to panic is how it reports"
)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use coalmine_core::{
    Address, Block, Command, Genesis, Hash, Height, Name, Percent, Read, Reason, Receipt, Report, Role, State,
    Transaction, Valid, query,
};

use crate::{CommitError, Ledger, OpenError, Snapshots as _, Store, TIP_KEY, Tip, View, verify};

/// The administrator of [`genesis`].
pub const ADMIN: Address = Address([0x11; 20]);
/// An address that [`blocks`] are about.
pub const USER: Address = Address([0xee; 20]);
/// The height of the first of [`blocks`].
pub const FIRST: Height = 100;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Checks a store. `fresh` makes an empty store, and `between` may close and open it again between
/// any two commits.
pub fn check<S: Store + Send>(fresh: impl Fn() -> S, between: impl Fn(S) -> S) {
    reads_are_those_of_a_sorted_map(fresh(), &between);
    snapshots_stay_as_they_are(fresh(), &between);
    an_empty_store_has_no_ledger(fresh(), &between);
    a_ledger_follows_the_pure_state(&fresh, &between);
    a_ledger_refuses_what_does_not_belong(&fresh, &between);
    advancing_equals_empty_blocks(&fresh, &between);
    a_dump_is_restored(&fresh, &between);
    queries_on_another_thread_see_whole_blocks(fresh());
}

/// A genesis with one administrator.
#[must_use]
pub fn genesis() -> Genesis {
    Genesis::new("example-1", [(ADMIN, Role::Admin.into())]).unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn report(name: Name, successes: u32, errors: u32) -> Command {
    let report =
        Report { successes, errors, latency_total: 0, latency_peak: 0, invariant_checks: 0, invariant_failures: 0 };
    Command::Report { name, report: Valid::new(report).unwrap() }
}

/// Blocks that put, replace and delete records, from [`FIRST`] on. Every command in them succeeds.
#[must_use]
pub fn blocks() -> Vec<Block> {
    let (a, ab) = (name("a"), name("a.b"));
    let percent = |percent| Percent::new(percent).unwrap();
    let create = |name| Command::create_feature(name, "made by hand").unwrap();
    let txs = [
        vec![create(a), create(ab), Command::StartCanary { name: a, percent: percent(5) }],
        vec![Command::SetOverride { name: a, user: USER, enabled: true }, report(a, 500, 1)],
        vec![Command::StartRollout { name: a, target_percent: percent(100) }],
        vec![Command::Schedule { at: FIRST + 5, commands: Valid::new(vec![Command::Enable { name: ab }]).unwrap() }],
        vec![Command::ClearOverride { name: a, user: USER }],
        vec![Command::GrantRole { address: USER, role: Role::Guardian }],
        vec![Command::Rollback { name: a, reason: Reason::Manual }],
        vec![Command::StartCanary { name: a, percent: percent(50) }, report(a, 0, 1_000)],
        vec![Command::RevokeRole { address: USER, role: Role::Guardian }],
    ];
    let block = |(height, commands)| Block::new(height, vec![Transaction::new(ADMIN, commands).unwrap()]).unwrap();
    (FIRST..).zip(txs).map(block).collect()
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
    assert_eq!(store.get(&TIP_KEY).unwrap(), None);
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
