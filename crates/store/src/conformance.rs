//! What every [`Store`] must do, for a store of anybody's: call [`check`] from a test, and for a store
//! with batches [`check_staging`]. Needs the cargo feature `conformance`.
//!
//! ```
//! use coalmine_store::MemoryStore;
//! use coalmine_store::conformance::{check, check_one_writer, check_staging};
//!
//! check(MemoryStore::new, |store| store);
//! check_staging(MemoryStore::new, |store, batch| store.handle().write(batch));
//! check_one_writer(MemoryStore::new, |store| MemoryStore::with_handle(store.handle()));
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
    Address, Block, BlockError, Command, Genesis, Hash, Height, Name, Percent, RULES_NOTICE, Read, Reason, Receipt,
    Report, Role, State, Transaction, Valid, query,
};
#[cfg(feature = "test-rules")]
use coalmine_core::{Encode, Feature, Key, Reject, RuleSet};

use crate::dump::{Dump, read};
use crate::{
    CommitError, Ledger, MemoryStore, OpenError, Problem, Snapshots as _, Staged, Staging, Store, StoreError, TIP_KEY,
    Tip, View, Write, verify,
};

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
    a_commit_builds_on_the_tip_that_it_finds(fresh(), &between);
    an_empty_store_has_no_ledger(fresh(), &between);
    a_ledger_follows_the_pure_state(&fresh, &between);
    a_ledger_refuses_what_does_not_belong(&fresh, &between);
    advancing_equals_empty_blocks(&fresh, &between);
    a_ledger_is_created_once_and_opened_from_then_on(&fresh, &between);
    a_dump_is_restored(&fresh, &between);
    unknown_rules_stop_before_their_block(&fresh, &between);
    #[cfg(feature = "test-rules")]
    rules_change_at_the_next_block(&fresh, &between);
    #[cfg(feature = "test-rules")]
    no_ledger_starts_with_rules_for_tests(&fresh, &between);
    queries_on_another_thread_see_whole_blocks(fresh());
}

/// Checks a store with batches. `write` writes a batch as the host of this store does.
pub fn check_staging<S: Staging<Batch: Default>>(fresh: impl Fn() -> S, write: impl Fn(&S, S::Batch)) {
    staging_equals_committing(fresh(), fresh(), &write);
    nothing_else_commits_while_a_block_is_staged(fresh(), &write);
    an_abandoned_block_leaves_no_trace(fresh(), &write);
    a_dropped_token_stops_the_ledger(&fresh, &write);
    a_batch_that_was_not_written_stops_the_ledger(fresh());
    a_token_belongs_to_one_ledger(&fresh);
}

/// Checks that a second handle of a store is refused while the first exists, with [`Problem::InUse`].
/// `second` tries to open one.
pub fn check_one_writer<S: Store>(fresh: impl Fn() -> S, second: impl Fn(&S) -> Result<S, StoreError>) {
    let mut ledger = Ledger::create(fresh(), &genesis()).unwrap();
    for block in blocks() {
        let error = second(ledger.store()).map(|_| ()).unwrap_err();
        assert!(matches!(error.problem(), Problem::InUse), "{error}");
        let execution = ledger.execute(&block).unwrap();
        ledger.commit(execution).unwrap();
    }
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
    Command::report(name, report).unwrap()
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

/// Commits on whatever tip the store is at.
fn commit<'w>(store: &mut impl Store, tip: Tip, writes: impl IntoIterator<Item = Write<'w>>) {
    let base = store.tip().unwrap();
    store.commit(base.as_ref(), &tip, writes).unwrap();
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
        commit(&mut store, tip(height), changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref())));
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
        commit(&mut store, tip(height), [([0xd0, 1].as_slice(), Some(value(height).as_slice()))]);
        store = between(store);
        let reader = store.reader();
        let before = reader.snapshot();
        commit(&mut store, tip(height + 10), [([0xd0, 1].as_slice(), None), (&[0xd0, 2], Some([9].as_slice()))]);
        assert_eq!(before.tip().unwrap(), Some(tip(height)));
        assert_eq!(before.get(&[0xd0, 1]).unwrap().unwrap(), value(height));
        assert_eq!(before.get(&[0xd0, 2]).unwrap(), None);
        assert_eq!(reader.snapshot().tip().unwrap(), Some(tip(height + 10)));
        assert_eq!(all(&reader.snapshot()), [(vec![0xd0, 2], vec![9])]);
        drop(before);
        commit(&mut store, tip(height + 20), [([0xd0, 2].as_slice(), None)]);
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

fn a_commit_builds_on_the_tip_that_it_finds<S: Store>(mut store: S, between: &impl Fn(S) -> S) {
    let mut here = None;
    for height in 1..=3 {
        let others = [
            None,
            Some(tip(height + 1)),
            Some(Tip { height: None, ..tip(0) }),
            Some(Tip { root: Hash([8; 32]), ..tip(height - 1) }),
        ];
        for base in others.into_iter().filter(|base| *base != here) {
            let before = all(&store);
            let error =
                store.commit(base.as_ref(), &tip(9), [([0xd0, 9].as_slice(), Some([9].as_slice()))]).unwrap_err();
            let Problem::Moved { expected, found } = *error.problem() else { panic!("{error}") };
            assert_eq!((expected, found), (base, here), "{error}");
            assert_eq!((store.tip().unwrap(), all(&store)), (here, before), "refused, but changed");
        }
        store.commit(here.as_ref(), &tip(height), [([0xd0, 1].as_slice(), Some([1].as_slice()))]).unwrap();
        here = Some(tip(height));
        store = between(store);
    }
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

fn a_ledger_is_created_once_and_opened_from_then_on<S: Store>(fresh: &impl Fn() -> S, between: &impl Fn(S) -> S) {
    let mut ledger = Ledger::open_or_create(fresh(), &genesis()).unwrap();
    let created = Ledger::create(fresh(), &genesis()).unwrap();
    assert_eq!(ledger.last_committed(), created.last_committed());
    for block in blocks() {
        execute_and_commit(&mut ledger, &block);
        let at = ledger.last_committed();
        ledger = Ledger::open_or_create(between(ledger.into_store()), &genesis()).unwrap();
        assert_eq!(ledger.last_committed(), at);
    }
    let other = Genesis::new("other", [(ADMIN, Role::Admin.into())]).unwrap();
    let error = Ledger::open_or_create(between(ledger.into_store()), &other).map(|_| ()).unwrap_err();
    let OpenError::Chain { expected, found } = error else { panic!("{error}") };
    assert_eq!((*expected, *found), (*other.chain(), *genesis().chain()));
}

fn dumped(store: &impl Store) -> Vec<u8> {
    let mut file = Vec::new();
    Dump::new(store.reader().snapshot()).unwrap().write_to(&mut file).unwrap();
    file
}

fn a_dump_is_restored<S: Store>(fresh: &impl Fn() -> S, between: &impl Fn(S) -> S) {
    let ledger = follow(fresh(), between, &blocks());
    let (at, records) = (ledger.last_committed(), all(ledger.store()));
    let restored = Ledger::restore(fresh(), at, &records).unwrap();
    assert_eq!(Ledger::open(between(restored.into_store())).unwrap().last_committed(), at);

    let wrong = Tip { root: Hash([0; 32]), ..at };
    assert!(matches!(Ledger::restore(fresh(), wrong, &records), Err(OpenError::Root { .. })));
    assert!(matches!(Ledger::restore(fresh(), at, &records[1..]), Err(OpenError::Fault(_) | OpenError::Root { .. })));

    // The bytes of a binary dump do not depend on the store, nor on when it was closed.
    let in_memory = follow(MemoryStore::new(), &|store| store, &blocks());
    let (expected, found) = (dumped(in_memory.store()), dumped(ledger.store()));
    assert!(found == expected, "a binary dump has the bytes of any other store's");
    let restored = read(found.as_slice()).unwrap().into_ledger(fresh()).unwrap();
    assert_eq!(Ledger::open(between(restored.into_store())).unwrap().last_committed(), at);
    let refused = read(found.as_slice()).unwrap().into_ledger(ledger.into_store());
    assert!(matches!(refused, Err(OpenError::NotEmpty(_))));
}

/// Every snapshot taken while blocks are committed is the state of exactly one of them.
/// A ledger in which an admin has scheduled a change of rules for the first height that is far enough ahead.
fn with_scheduled_rules<S: Store>(store: S, between: &impl Fn(S) -> S, rules: u16) -> (Ledger<S>, Height) {
    let at = FIRST + RULES_NOTICE;
    let commands = Valid::new(vec![Command::SetRules { rules }]).unwrap();
    let schedule = Transaction::new(ADMIN, vec![Command::Schedule { at, commands }]).unwrap();
    let mut ledger = follow(store, between, &[Block::new(FIRST, vec![schedule]).unwrap()]);
    ledger.advance_to(at - 1, |_| ()).unwrap();
    (reopened(ledger, between), at)
}

fn reopened<S: Store>(ledger: Ledger<S>, between: &impl Fn(S) -> S) -> Ledger<S> {
    let tip = ledger.last_committed();
    Ledger::open_at(between(ledger.into_store()), tip).unwrap()
}

/// A build that does not know the rules stops, and leaves the store to one that does.
fn unknown_rules_stop_before_their_block<S: Store>(fresh: &impl Fn() -> S, between: &impl Fn(S) -> S) {
    let (mut ledger, at) = with_scheduled_rules(fresh(), between, 2);
    let (before, records) = (ledger.last_committed(), all(ledger.store()));
    let expected = BlockError::UnknownRules { rules: 2, height: at };
    assert_eq!(ledger.execute(&Block::empty(at)).map(|_| ()).unwrap_err(), expected);
    assert!(ledger.advance_to(at, |_| ()).is_err());
    ledger = reopened(ledger, between);
    assert_eq!((ledger.last_committed(), all(ledger.store())), (before, records));
    assert_eq!(ledger.execute(&Block::empty(at)).map(|_| ()).unwrap_err(), expected);
    verify(ledger.store()).unwrap();
}

/// No ledger starts with the rules for tests: neither a genesis nor the records of one have them.
#[cfg(feature = "test-rules")]
fn no_ledger_starts_with_rules_for_tests<S: Store>(fresh: &impl Fn() -> S, between: &impl Fn(S) -> S) {
    let ledger = Ledger::create(fresh(), &genesis()).unwrap();
    let (mut records, start) = (all(ledger.store()), ledger.last_committed());
    records.retain(|(key, _)| key != TIP_KEY.as_slice());
    let global = records.iter_mut().find(|(key, _)| *key == Key::Global.to_bytes()).unwrap();
    // Behind format and rules, chain and admins, the count of the schedule is wider.
    global.1.splice(2..4, RuleSet::Test.number().to_be_bytes());
    let schedule = 2 + 2 + 1 + genesis().chain().as_bytes().len() + 4;
    global.1.splice(schedule..schedule, [0; 4]);
    let refused = |result: Result<Ledger<S>, OpenError>| {
        let error = result.map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Rules { rules: u16::MAX, .. }), "{error}");
    };
    refused(Ledger::restore(fresh(), start, &records));
    let load = |height| State::load(records.iter().map(|(key, value)| Ok((key, value))), height);
    assert!(load(None).is_err());
    let root = load(Some(FIRST)).unwrap().root();
    let at = |height| Tip { height, root };
    let mut store = fresh();
    store.commit(None, &at(None), records.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())))).unwrap();
    refused(Ledger::open(between(store)));
    // Later there may be such a ledger.
    assert!(Ledger::restore(fresh(), at(Some(FIRST)), &records).is_ok());
}

/// The way from one rule set to the next: a tag, a default and a field of the global record differ from the next block on.
#[cfg(feature = "test-rules")]
fn rules_change_at_the_next_block<S: Store>(fresh: &impl Fn() -> S, between: &impl Fn(S) -> S) {
    let (mut ledger, at) = with_scheduled_rules(fresh(), between, RuleSet::Test.number());
    let payload = |commands: Vec<Command>| Transaction::new(ADMIN, commands).unwrap().to_bytes();
    let create = |text: &str| payload(vec![Command::create_feature(name(text), "made by hand").unwrap()]);
    let start =
        |text: &str| payload(vec![Command::StartCanary { name: name(text), percent: Feature::INCREMENT_PERCENT }]);
    // The second tag of disable, which exists under the later rules alone.
    let retagged = |text: &str| {
        let mut bytes = payload(vec![Command::Disable { name: name(text) }]);
        let tag = bytes.len() - 1 - 1 - text.len();
        bytes[tag] = RuleSet::TEST_TAG;
        bytes
    };
    let global_len = |ledger: &Ledger<S>| ledger.store().get(&Key::Global.to_bytes()).unwrap().unwrap().len();
    let run = |ledger: &mut Ledger<S>, height, payloads: Vec<Vec<u8>>| {
        let execution = ledger.execute(&Block::from_encoded(height, payloads).unwrap()).unwrap();
        let codes: Vec<u16> = execution.outcome().receipts.iter().map(Receipt::code).collect();
        ledger.commit(execution).unwrap();
        codes
    };
    let len = global_len(&ledger);
    // The block that changes the rules still has the earlier ones.
    let codes = run(&mut ledger, at, vec![create("early"), start("early"), retagged("early")]);
    assert_eq!(codes, [0, 0, Reject::Malformed.code()]);
    ledger = reopened(ledger, between);
    assert_eq!((ledger.state().global().rules, global_len(&ledger)), (RuleSet::Test, len + 4));
    let codes = run(&mut ledger, at + 1, vec![create("late"), retagged("early")]);
    assert_eq!(codes, [0, 0]);
    ledger = reopened(ledger, between);
    let increment = |text: &str| ledger.state().feature(&name(text)).unwrap().increment_percent;
    assert_eq!((increment("early"), increment("late")), (Feature::INCREMENT_PERCENT, Percent::FULL));
    verify(ledger.store()).unwrap();
}

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

fn execute_and_commit<S: Store>(ledger: &mut Ledger<S>, block: &Block) {
    let execution = ledger.execute(block).unwrap();
    ledger.commit(execution).unwrap();
}

/// Stages a block into a batch of its own.
fn stage<S: Staging<Batch: Default>>(ledger: &mut Ledger<S>, block: &Block) -> (Staged, S::Batch) {
    let mut batch = S::Batch::default();
    let execution = ledger.execute(block).unwrap();
    (ledger.stage(execution, &mut batch).unwrap(), batch)
}

fn staging_equals_committing<S: Staging<Batch: Default>>(one: S, other: S, write: &impl Fn(&S, S::Batch)) {
    let mut staged = Ledger::create(one, &genesis()).unwrap();
    let mut committed = Ledger::create(other, &genesis()).unwrap();
    for block in blocks() {
        execute_and_commit(&mut committed, &block);
        let before = (staged.last_committed(), all(staged.store()));
        let (token, batch) = stage(&mut staged, &block);
        assert_eq!(token.execution().root(), committed.last_committed().root);
        assert_eq!((staged.last_committed(), all(staged.store())), before, "nothing is written yet");
        write(staged.store(), batch);
        staged.committed(token).unwrap();
        assert_eq!(staged.last_committed(), committed.last_committed());
        assert_eq!(all(staged.store()), all(committed.store()));
        assert_eq!(staged.state().root(), committed.state().root());
    }
    let at = staged.last_committed();
    assert_eq!(Ledger::open_at(staged.into_store(), at).unwrap().last_committed(), at);
}

fn nothing_else_commits_while_a_block_is_staged<S: Staging<Batch: Default>>(store: S, write: &impl Fn(&S, S::Batch)) {
    let mut ledger = Ledger::create(store, &genesis()).unwrap();
    let blocks = blocks();
    let other = ledger.execute(&blocks[0]).unwrap();
    let (token, batch) = stage(&mut ledger, &blocks[0]);
    let before = all(ledger.store());
    assert!(matches!(ledger.commit(other.clone()), Err(CommitError::Staged)));
    assert!(matches!(ledger.stage(other.clone(), &mut S::Batch::default()), Err(CommitError::Staged)));
    assert!(ledger.advance_to(FIRST + 9, |_| ()).is_err());
    assert_eq!(all(ledger.store()), before);
    write(ledger.store(), batch);
    ledger.committed(token).unwrap();
    assert!(matches!(ledger.stage(other, &mut S::Batch::default()), Err(CommitError::Stale(_))));
    execute_and_commit(&mut ledger, &blocks[1]);
}

fn an_abandoned_block_leaves_no_trace<S: Staging<Batch: Default>>(store: S, write: &impl Fn(&S, S::Batch)) {
    let mut ledger = Ledger::create(store, &genesis()).unwrap();
    let blocks = blocks();
    let before = (ledger.last_committed(), all(ledger.store()));
    let (token, batch) = stage(&mut ledger, &blocks[1]);
    ledger.abandon(token, batch).unwrap();
    assert_eq!((ledger.last_committed(), all(ledger.store())), before);
    execute_and_commit(&mut ledger, &blocks[0]);

    // A host that has written the batch, or any other, and then abandons it.
    let (token, batch) = stage(&mut ledger, &blocks[1]);
    write(ledger.store(), batch);
    let error = ledger.abandon(token, S::Batch::default()).unwrap_err();
    let CommitError::Store(error) = error else { panic!("{error}") };
    assert!(
        matches!(error.problem(), Problem::Moved { found: Some(tip), .. } if tip.height == Some(FIRST + 1)),
        "{error}"
    );
    let execution = ledger.execute(&blocks[1]).unwrap();
    assert!(matches!(ledger.commit(execution), Err(CommitError::Failed)));
    let reopened = Ledger::open(ledger.into_store()).unwrap();
    assert_eq!(reopened.last_committed().height, Some(FIRST + 1));
}

fn a_dropped_token_stops_the_ledger<S: Staging<Batch: Default>>(fresh: &impl Fn() -> S, write: &impl Fn(&S, S::Batch)) {
    let blocks = blocks();
    for is_written in [false, true] {
        let mut ledger = Ledger::create(fresh(), &genesis()).unwrap();
        let at = ledger.last_committed();
        let (token, batch) = stage(&mut ledger, &blocks[0]);
        if is_written {
            write(ledger.store(), batch);
        }
        drop(token);
        let execution = ledger.execute(&blocks[0]).unwrap();
        assert!(matches!(ledger.commit(execution.clone()), Err(CommitError::Dropped)));
        assert!(matches!(ledger.stage(execution, &mut S::Batch::default()), Err(CommitError::Dropped)));
        assert_eq!(ledger.last_committed(), at);
        // Opened again, it knows.
        let mut ledger = Ledger::open(ledger.into_store()).unwrap();
        assert_eq!(ledger.last_committed().height, is_written.then_some(FIRST));
        execute_and_commit(&mut ledger, &blocks[usize::from(is_written)]);
    }
}

fn a_batch_that_was_not_written_stops_the_ledger<S: Staging<Batch: Default>>(store: S) {
    let mut ledger = Ledger::create(store, &genesis()).unwrap();
    let at = ledger.last_committed();
    let (token, _unwritten) = stage(&mut ledger, &blocks()[0]);
    let error = ledger.committed(token).unwrap_err();
    let CommitError::Store(error) = error else { panic!("{error}") };
    assert!(matches!(error.problem(), Problem::NotWritten { found, .. } if *found == Some(at)), "{error}");
    let execution = ledger.execute(&blocks()[0]).unwrap();
    assert!(matches!(ledger.commit(execution), Err(CommitError::Failed)));
    assert_eq!(Ledger::open(ledger.into_store()).unwrap().last_committed(), at);
}

fn a_token_belongs_to_one_ledger<S: Staging<Batch: Default>>(fresh: &impl Fn() -> S) {
    let [mut one, mut other] = [(); 2].map(|()| Ledger::create(fresh(), &genesis()).unwrap());
    let block = &blocks()[0];
    let ((mine, batch), (theirs, their_batch)) = (stage(&mut one, block), stage(&mut other, block));
    assert!(matches!(one.committed(theirs), Err(CommitError::Stale(_))));
    one.abandon(mine, batch).unwrap();
    // The other one has lost its token.
    let execution = other.execute(block).unwrap();
    drop(their_batch);
    assert!(matches!(other.commit(execution), Err(CommitError::Dropped)));
    execute_and_commit(&mut one, block);
}
