//! A ledger beside the records that make it.
//!
//! After every block it checks what must be true after any block: the root is that of the records, the indexes agree
//! with the features, the history only grows, and the records load into the same state. So even a test that only runs
//! blocks tests that much.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_core::query;
use coalmine_core::{
    Address, Advance, Block, Cause, ChainId, Command, Decode, Encode, Event, Execution, Feature, FeatureChanges,
    FeedId, FeedItem, FeedKey, FeedKind, FeedTotals, Genesis, Height, ItemState, Key, KeyPrefix, Name, Outcome, Params,
    Payload, Policy, Pool, Receipt, Reject, Role, Roles, RuleSet, State, Status,
};

use crate::support::Records;
use crate::support::commands::*;

/// The genesis of `example-1`, in which each role has its address.
#[must_use]
pub fn genesis(params: Params) -> Genesis {
    let roles: BTreeMap<Address, Roles> = [
        (ADMIN, Role::Admin.into()),
        (OPERATOR, Role::Operator.into()),
        (REPORTER, Role::Reporter.into()),
        (GUARDIAN, Role::Guardian.into()),
        (FEEDER, Role::Feeder.into()),
    ]
    .into();
    let chain = ChainId::new(b"example-1").unwrap();
    Genesis::with_params(RuleSet::LATEST, chain, roles, params).unwrap()
}

/// A state, the records that make it, and the events of all its blocks.
#[derive(Debug, Clone)]
pub struct World {
    pub state: State,
    pub records: Records,
    /// Every event so far, with its height.
    pub events: Vec<(Height, Event)>,
    /// How many blocks were executed.
    pub executions: usize,
}

impl World {
    pub fn new() -> Self {
        Self::with_params(Params::default())
    }

    pub fn with_params(params: Params) -> Self {
        let (state, writes) = State::genesis(&genesis(params)).unwrap();
        let records = writes.iter().map(|(key, value)| (key.to_vec(), value.unwrap().to_vec())).collect();
        let world = Self { state, records: Records(records), events: Vec::new(), executions: 0 };
        world.check();
        world
    }

    /// The state of these records, taken as they are.
    pub fn of_records(records: Records, tip: Height) -> Self {
        let state = records.load(Some(tip)).unwrap();
        Self { state, records, events: Vec::new(), executions: 0 }
    }

    /// The same with the record under `key` edited. The record must be there.
    #[must_use]
    pub fn edited<T: Decode + Encode>(&self, key: Key, edit: impl FnOnce(&mut T)) -> Self {
        let mut records = self.records.clone();
        let mut value = T::from_bytes(&records.0[&key.to_bytes()]).unwrap();
        edit(&mut value);
        records.0.insert(key.to_bytes(), value.to_bytes());
        Self::of_records(records, self.tip())
    }

    pub fn tip(&self) -> Height {
        self.state.tip().unwrap()
    }

    /// Executes and commits one block.
    pub fn block(&mut self, height: Height, payloads: Vec<Payload>) -> Outcome {
        let block = Block::from_payloads(height, payloads).unwrap();
        let execution = self.state.execute(&block).unwrap();
        self.commit(execution)
    }

    /// Commits, and checks what must be true after any block.
    pub fn commit(&mut self, execution: Execution) -> Outcome {
        let height = execution.height();
        let outcome = execution.outcome().clone();
        let mut seen = BTreeSet::new();
        assert_eq!(execution.writes().is_empty(), execution.writes().iter().next().is_none());
        for (key, value) in execution.writes().iter() {
            assert!(seen.insert(key.to_vec()), "a key is written twice");
            let before = self.records.0.get(key);
            if matches!(Key::from_bytes(key).unwrap().prefix(), KeyPrefix::Change | KeyPrefix::PluginChange) {
                assert!(before.is_none() && value.is_some(), "the history only grows");
            }
            assert_ne!(before.map(Vec::as_slice), value, "a write that changes nothing");
            match value {
                Some(value) => self.records.0.insert(key.to_vec(), value.to_vec()),
                None => self.records.0.remove(key),
            };
        }
        let root = execution.root();
        self.state.apply(execution).unwrap();
        assert_eq!((self.state.root(), self.state.tip()), (root, Some(height)));
        self.events.extend(outcome.events.iter().map(|event| (height, event.clone())));
        self.executions += 1;
        self.check();
        outcome
    }

    /// Runs empty blocks to `height`, inclusive.
    pub fn advance(&mut self, height: Height) {
        while self.state.tip().is_some_and(|tip| tip < height) {
            let execution = self.state.advance(height).unwrap();
            self.commit(execution);
        }
    }

    /// One block at `height`, with empty blocks before it.
    pub fn at(&mut self, height: Height, payloads: Vec<Payload>) -> Outcome {
        if let Some(before) = height.checked_sub(1) {
            self.advance(before);
        }
        self.block(height, payloads)
    }

    /// One block of one transaction at `height`, with empty blocks before it.
    pub fn try_run(&mut self, height: Height, signer: Address, commands: &[Command]) -> Receipt {
        let outcome = self.at(height, vec![tx(signer, commands)]);
        outcome.receipts[0]
    }

    /// The same, and it must succeed.
    #[track_caller]
    pub fn run(&mut self, height: Height, signer: Address, commands: &[Command]) {
        assert_eq!(self.try_run(height, signer, commands), Receipt::Ok, "at {height}: {commands:?}");
    }

    /// The receipt that a transaction would get in the next block. Nothing is committed; if it is rejected, the block
    /// must have no more effect than an empty one.
    #[track_caller]
    pub fn probe(&self, payload: &Payload) -> Receipt {
        let height = self.state.tip().map_or(1, |tip| tip + 1);
        let with = self.state.execute(&Block::from_payloads(height, vec![payload.clone()]).unwrap()).unwrap();
        let empty = self.state.execute(&Block::empty(height)).unwrap();
        let receipt = with.outcome().receipts[0];
        if receipt != Receipt::Ok {
            assert_eq!(with.root(), empty.root(), "a refused transaction changes the root");
            assert_eq!(writes(&with), writes(&empty), "a refused transaction writes");
            assert_eq!(with.outcome().events, empty.outcome().events, "a refused transaction tells something");
        }
        receipt
    }

    pub fn feature(&self, feature: &str) -> &Feature {
        self.state.feature(&name(feature)).unwrap()
    }

    /// Status and percent.
    pub fn stands(&self, feature: &str) -> (Status, u8) {
        let feature = self.feature(feature);
        (feature.status, feature.rollout_percent.get())
    }

    /// The history of a feature: height, seq, status, percent, cause.
    pub fn history(&self, feature: &str) -> Vec<(Height, u32, Status, u8, Cause)> {
        let history = query::history(&self.records, &name(feature), None, usize::MAX).unwrap();
        history.iter().map(|e| (e.height, e.seq, e.change.status, e.change.percent.get(), e.change.cause)).collect()
    }

    /// The events of one height.
    pub fn events_at(&self, height: Height) -> Vec<Event> {
        self.events.iter().filter(|(at, _)| *at == height).map(|(_, event)| event.clone()).collect()
    }

    fn check(&self) {
        let records = &self.records;
        let reloaded = records.load(self.state.tip()).unwrap();
        assert_eq!(reloaded.root(), self.state.root(), "the root is not that of the records");

        let features = records.features();
        assert!(self.state.features().eq(&features), "the features");
        let mut active = BTreeSet::new();
        let mut steps = BTreeSet::new();
        for feature in &features {
            assert_eq!(self.state.feature(&feature.name), Some(feature));
            let policy = query::policy(records, &feature.name).unwrap();
            let metrics = query::metrics(records, &feature.name).unwrap().unwrap();
            assert_eq!(self.state.policy(&feature.name), Some(&policy));
            assert_eq!(self.state.metrics(&feature.name), Some(&metrics));
            if metrics.total_operations != u64::MAX {
                assert_eq!(metrics.total_operations, metrics.successful_ops + metrics.failed_ops);
            }
            if matches!(feature.status, Status::Canary | Status::RollingOut) {
                active.insert(feature.name);
            }
            if feature.status == Status::RollingOut && policy.advance == Advance::Automatic {
                let due = u64::from(feature.last_increment_block) + u64::from(feature.increment_blocks);
                steps.extend(Height::try_from(due).ok().map(|due| (due, feature.name)));
            }
            let last = query::history(records, &feature.name, None, usize::MAX).unwrap().pop().unwrap().change;
            assert_eq!(
                (last.status, last.percent),
                (feature.status, feature.rollout_percent),
                "the last of the history"
            );
        }
        let indexed: BTreeSet<Name> = query::active(records, None, usize::MAX).unwrap().into_iter().collect();
        assert_eq!(indexed, active, "the index of active features");
        let due: BTreeSet<_> = records
            .keys(KeyPrefix::Due)
            .filter_map(|key| if let Key::Step { at, name } = key { Some((at, name)) } else { None })
            .collect();
        assert_eq!(due, steps, "the due steps");
        self.check_feed();
        self.check_trust();
        let admins = query::roles(records, None, usize::MAX).unwrap();
        let admins = admins.iter().filter(|(_, roles)| roles.contains(Role::Admin)).count();
        assert_eq!(usize::try_from(self.state.global().admins), Ok(admins));
        assert!(admins > 0);
        self.check_plugins();
    }
}

impl World {
    /// Checks the count of the schedule, that each pool with entries closes once and no other does, and that sequences
    /// are above 0.
    fn check_trust(&self) {
        let scheduled = self.records.keys(KeyPrefix::Due).filter(|key| matches!(key, Key::Schedule { .. })).count();
        assert_eq!(usize::try_from(self.state.global().scheduled), Ok(scheduled), "the scheduled entries");
        let mut rounds = BTreeSet::new();
        for key in self.records.keys(KeyPrefix::Due) {
            if let Key::Round { pool, .. } = key {
                assert!(rounds.insert(pool_bytes(&pool)), "{pool:?} closes twice");
            }
        }
        let mut pools: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for (key, value) in self.records.0.range([0xDF].to_vec()..) {
            match Key::from_bytes(key).unwrap() {
                Key::PoolEntry { pool, .. } => *pools.entry(pool_bytes(&pool)).or_default() += 1,
                Key::Sequence(signer) => assert!(value.iter().any(|byte| *byte != 0), "{signer} has no sequence"),
                key => panic!("{key:?} is no record of trust"),
            }
        }
        assert!(pools.keys().eq(&rounds), "the pools that are open");
        assert!(pools.values().all(|reporters| *reporters <= Pool::REPORTERS_MAX));
    }

    /// The items of a kind, as the records have them.
    pub fn feed_items(&self, kind: FeedKind) -> Vec<(FeedId, FeedItem)> {
        query::feed_items(&self.records, kind, None, usize::MAX).unwrap()
    }

    /// Checks that the index and the totals agree with the items, and that the state has the same items.
    fn check_feed(&self) {
        let count = |n: usize| u32::try_from(n).unwrap();
        let stored = query::feed(&self.records).unwrap();
        let (mut index, mut items) = (BTreeSet::new(), Vec::new());
        let mut totals = FeedTotals { open: stored.open, ..FeedTotals::default() };
        for kind in FeedKind::ALL {
            let of_kind = self.feed_items(*kind);
            let live = count(of_kind.iter().filter(|(_, item)| item.is_live()).count());
            let unborn = count(of_kind.iter().filter(|(_, item)| item.state == ItemState::Unborn).count());
            let (live_total, total, unborn_total) = match kind {
                FeedKind::Environment => {
                    (&mut totals.live_environments, &mut totals.environments, &mut totals.unborn_environments)
                }
                FeedKind::Filter => (&mut totals.live_filters, &mut totals.filters, &mut totals.unborn_filters),
            };
            (*live_total, *total, *unborn_total) = (live, count(of_kind.len()), unborn);
            for (id, item) in of_kind {
                let key = FeedKey { kind: *kind, id };
                assert_eq!(self.state.feed_item(*kind, &id), Some(&item));
                index.extend((item.state != ItemState::Forgotten).then_some(Key::FeedIndex(key).to_bytes()));
                items.push((key, item));
            }
        }
        assert!(self.state.feed_items().map(|(key, item)| (*key, item.clone())).eq(items));
        let keys: BTreeSet<Vec<u8>> = self.records.keys(KeyPrefix::Feed).map(|key| key.to_bytes()).collect();
        let of_sections = |sections: [u8; 2]| {
            keys.iter().filter(move |key| key.get(1).is_some_and(|section| sections.contains(section)))
        };
        assert!(of_sections([2, 3]).eq(&index), "the index of the feed");
        totals.listed = count(of_sections([4, 5]).count());
        assert!(totals.open || totals.listed == 0, "listed by a put that is not open");
        assert_eq!((stored, *self.state.feed()), (totals, totals), "the totals of the feed");
        assert_eq!(keys.contains([0xde].as_slice()), totals != FeedTotals::default());
    }
}

/// What tells a pool from others: its key without the reporter.
fn pool_bytes(pool: &Pool) -> Vec<u8> {
    let mut key = Key::PoolEntry { pool: pool.clone(), reporter: Address::ZERO }.to_bytes();
    key.truncate(key.len() - Address::ZERO.0.len());
    key
}

/// A world at height 10 in which `f`, which rests on `base`, has this status.
pub fn bring_feature(status: Status) -> World {
    let mut world = World::new();
    let changes = manual(steps_every(1));
    let policy = Policy { prerequisites: vec![name("base")], ..changes.policy.clone().unwrap() };
    world.run(1, ADMIN, &[create("base"), create_with("f", FeatureChanges { policy: Some(policy), ..changes })]);
    world.run(2, OPERATOR, &[enable("base"), set_override("f", USER, true)]);
    let on = [canary("f", 5)];
    match status {
        Status::Disabled => {}
        Status::Canary => world.run(3, OPERATOR, &on),
        Status::RollingOut => {
            world.run(3, OPERATOR, &on);
            world.run(4, OPERATOR, &[rollout("f", 50)]);
        }
        Status::Enabled => world.run(3, OPERATOR, &[enable("f")]),
        Status::RolledBack => {
            world.run(3, OPERATOR, &on);
            world.run(4, OPERATOR, &[rollback("f")]);
        }
    }
    world.advance(10);
    assert_eq!(world.feature("f").status, status);
    world
}

/// The writes of a block in key order.
pub fn writes(execution: &Execution) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    execution.writes().iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect()
}

/// A rejection by the first command.
pub fn refused(reject: Reject) -> Receipt {
    Receipt::Rejected { reject, index: 0 }
}
