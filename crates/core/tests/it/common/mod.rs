//! What the integration tests share: golden rows, commands in short, and a ledger beside its records.
//!
//! [`World`] checks after every block what must hold after any block: the root is that of the
//! records, the indexes are what the features say, the history only grows, the records load into
//! the same state. A test that only runs blocks has tested that much.

pub(crate) mod document;
pub(crate) mod lockstep;
pub(crate) mod plugins;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use coalmine_core::query::{self, Entry, Visit};
use coalmine_core::tree::Tree;
use coalmine_core::{
    Address, Advance, Block, Cause, Command, CommandKind, Decode, Encode, Event, Execution, Fault, Feature,
    FeatureChanges, FeedBody, FeedEntry, FeedId, FeedItem, FeedKey, FeedKind, FeedPart, FeedState, Genesis, Hash,
    Height, ItemState, Key, KeyPrefix, Name, Outcome, Params, Payload, Percent, Policy, Read, Reason, Receipt, Reject,
    Report, Role, Roles, State, Status, Transaction, Writer,
};
use serde_json::Value;

pub(crate) use coalmine_model::support::Random;

// Golden rows.

/// The files of `fixtures/vectors`.
pub(crate) const FILES: [&str; 6] = ["records", "commands", "events", "blocks", "roots", "buckets"];

/// One golden row.
pub(crate) struct Row {
    /// `file/id`, for messages.
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) fields: Value,
    whole: Value,
}

impl Row {
    /// The bytes that a member of the row has in hex.
    pub(crate) fn hex(&self, member: &str) -> Vec<u8> {
        hex::decode(self.whole[member].as_str().unwrap_or_else(|| panic!("{}: no {member}", self.id))).unwrap()
    }

    /// A number of the row.
    pub(crate) fn number(&self, member: &str) -> u64 {
        self.whole[member].as_u64().unwrap_or_else(|| panic!("{}: no {member}", self.id))
    }

    /// The encoding: `value` of a record, else `bytes`.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.hex(if self.whole.get("value").is_some() { "value" } else { "bytes" })
    }
}

/// The rows of a file of golden vectors.
pub(crate) fn rows(file: &str) -> Vec<Row> {
    let path = format!("{}/../../fixtures/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let Value::Array(rows) = serde_json::from_str(&text).unwrap() else { panic!("{path} is no array") };
    let row = |whole: Value| Row {
        id: format!("{file}/{}", whole["id"].as_str().unwrap()),
        kind: whole["type"].as_str().unwrap().into(),
        fields: whole["fields"].clone(),
        whole,
    };
    rows.into_iter().map(row).collect()
}

// Who is who in a world.

pub(crate) const ADMIN: Address = Address([0x11; 20]);
pub(crate) const OPERATOR: Address = Address([0x22; 20]);
pub(crate) const REPORTER: Address = Address([0x33; 20]);
pub(crate) const GUARDIAN: Address = Address([0x44; 20]);
pub(crate) const FEEDER: Address = Address([0x55; 20]);
pub(crate) const NOBODY: Address = Address([0x99; 20]);
pub(crate) const USER: Address = Address([0xee; 20]);

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn percent(percent: u8) -> Percent {
    Percent::new(percent).unwrap()
}

pub(crate) fn user(number: u32) -> Address {
    let mut bytes = [0x5a; 20];
    // The first byte takes all its values, for the bucketing that looks at nothing else.
    bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    Address(bytes)
}

// Commands in short.

pub(crate) fn create(feature: &str) -> Command {
    Command::create_feature(name(feature), "").unwrap()
}

pub(crate) fn create_with(feature: &str, changes: FeatureChanges) -> Command {
    let Command::CreateFeature { name, description, .. } = create(feature) else { unreachable!() };
    Command::CreateFeature { name, description, changes }
}

/// A feature that rests on others.
pub(crate) fn create_on(feature: &str, prerequisites: &[&str]) -> Command {
    let prerequisites = prerequisites.iter().map(|text| name(text)).collect();
    create_with(feature, policy(Policy { prerequisites, ..Policy::default() }))
}

pub(crate) fn policy(policy: Policy) -> FeatureChanges {
    FeatureChanges { policy: Some(policy), ..FeatureChanges::default() }
}

/// Changes by which a canary may roll out at once, a step of 10 % every `increment_blocks`.
pub(crate) fn steps_every(increment_blocks: u32) -> FeatureChanges {
    FeatureChanges { increment_blocks: Some(increment_blocks), min_success_count: Some(0), ..FeatureChanges::default() }
}

pub(crate) fn manual(changes: FeatureChanges) -> FeatureChanges {
    let policy = Policy { advance: Advance::Manual, ..changes.policy.unwrap_or_default() };
    FeatureChanges { policy: Some(policy), ..changes }
}

pub(crate) fn configure(feature: &str, changes: FeatureChanges) -> Command {
    Command::ConfigureFeature { name: name(feature), description: None, changes }
}

pub(crate) fn canary(feature: &str, share: u8) -> Command {
    Command::StartCanary { name: name(feature), percent: percent(share) }
}

pub(crate) fn rollout(feature: &str, target: u8) -> Command {
    Command::StartRollout { name: name(feature), target_percent: percent(target) }
}

pub(crate) fn advance(feature: &str) -> Command {
    Command::AdvanceRollout { name: name(feature) }
}

pub(crate) fn enable(feature: &str) -> Command {
    Command::Enable { name: name(feature) }
}

pub(crate) fn disable(feature: &str) -> Command {
    Command::Disable { name: name(feature) }
}

pub(crate) fn rollback(feature: &str) -> Command {
    Command::Rollback { name: name(feature), reason: Reason::ConsensusFailure }
}

pub(crate) fn set_override(feature: &str, user: Address, enabled: bool) -> Command {
    Command::SetOverride { name: name(feature), user, enabled }
}

pub(crate) fn clear_override(feature: &str, user: Address) -> Command {
    Command::ClearOverride { name: name(feature), user }
}

/// Nothing told.
pub(crate) const SILENCE: Report =
    Report { successes: 0, errors: 0, latency_total: 0, latency_peak: 0, invariant_checks: 0, invariant_failures: 0 };

pub(crate) fn tell(feature: &str, report: Report) -> Command {
    Command::Report { name: name(feature), report }
}

pub(crate) fn report(feature: &str, successes: u32, errors: u32) -> Command {
    tell(feature, Report { successes, errors, ..SILENCE })
}

/// A report by which the guard rolls back, whatever was told before.
pub(crate) fn bad_report(feature: &str) -> Command {
    tell(feature, Report { invariant_checks: u32::MAX, invariant_failures: u32::MAX, ..SILENCE })
}

pub(crate) fn trip(until: Height, drain: bool) -> Command {
    Command::TripBreaker { reason: Reason::ConsensusFailure, until, drain }
}

pub(crate) fn schedule(at: Height, commands: Vec<Command>) -> Command {
    Command::Schedule { at, commands }
}

pub(crate) fn cancel(at: Height, id: u64) -> Command {
    Command::CancelSchedule { at, id }
}

pub(crate) fn grant(address: Address, role: Role) -> Command {
    Command::GrantRole { address, role }
}

pub(crate) fn revoke(address: Address, role: Role) -> Command {
    Command::RevokeRole { address, role }
}

pub(crate) fn set_params(max_due: Option<u32>, rollbacks: Option<u32>, window: Option<u32>) -> Command {
    Command::SetParams { max_due_per_block: max_due, breaker_rollbacks: rollbacks, breaker_window: window }
}

// The feed.

pub(crate) fn feed_id(id: &str) -> FeedId {
    id.parse().unwrap()
}

pub(crate) fn body(bytes: &[u8]) -> FeedBody {
    FeedBody::new(bytes).unwrap()
}

/// Items of a put by id and version; the body is the version.
fn entries(items: &[(&str, u64)]) -> Vec<FeedEntry> {
    let entry = |(id, version): &(&str, u64)| FeedEntry {
        id: feed_id(id),
        version: *version,
        body: body(&version.to_be_bytes()),
    };
    items.iter().map(entry).collect()
}

pub(crate) fn put(part: FeedPart, environments: &[(&str, u64)], filters: &[(&str, u64)]) -> Command {
    Command::FeedPut { part, environments: entries(environments), filters: entries(filters) }
}

pub(crate) fn patch(kind: FeedKind, id: &str, version: u64, bytes: &[u8]) -> Command {
    Command::FeedPatch { kind, id: feed_id(id), version, body: body(bytes) }
}

pub(crate) fn gone(kind: FeedKind, id: &str, version: u64) -> Command {
    Command::FeedDelete { kind, id: feed_id(id), version }
}

pub(crate) fn forget(kind: FeedKind, ids: &[&str]) -> Command {
    Command::FeedForget { kind, ids: ids.iter().map(|id| feed_id(id)).collect() }
}

/// The parts of a put of so many environments, from number `first` on; the last part is left to the test.
pub(crate) fn flood(first: u32, count: u32) -> Vec<Command> {
    let ids: Vec<String> = (first..first + count).map(|n| format!("{n:05}")).collect();
    let ids: Vec<(&str, u64)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
    let parts = ids.chunks(300).enumerate();
    parts.map(|(n, ids)| put(if n == 0 { FeedPart::First } else { FeedPart::More }, ids, &[])).collect()
}

/// A feed_patch of an id that may be none, with a body of so many bytes.
pub(crate) fn patch_bytes(id: &[u8], body_len: usize) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::FeedPatch.encode(&mut out);
    FeedKind::Environment.encode(&mut out);
    out.lp8(id);
    out.u64(1);
    out.lp16(&vec![0xbb; body_len]);
    out.into_bytes()
}

/// The bytes of a command with a byte put in another's place: values that no [`Command`] can hold.
pub(crate) fn with_byte(command: &Command, from_end: usize, byte: u8) -> Vec<u8> {
    let mut bytes = command.to_bytes();
    let at = bytes.len() - 1 - from_end;
    bytes[at] = byte;
    bytes
}

/// An enable of a name that may be none.
pub(crate) fn enable_bytes(name: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::Enable.encode(&mut out);
    out.lp8(name);
    out.into_bytes()
}

/// A create_feature with a description of so many bytes.
pub(crate) fn create_bytes(feature: &str, description_len: usize) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::CreateFeature.encode(&mut out);
    out.lp8(feature.as_bytes());
    out.lp16(&vec![b'd'; description_len]);
    out.raw(&[0; 5]);
    out.into_bytes()
}

/// A schedule of one encoded command, however wrong.
pub(crate) fn nested(at: Height, command: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::Schedule.encode(&mut out);
    out.u32(at);
    out.u8(1);
    out.lp16(command);
    out.into_bytes()
}

/// A transaction of encoded commands, however wrong.
pub(crate) fn raw_tx(signer: Address, commands: &[Vec<u8>]) -> Payload {
    let mut out = Writer::default();
    out.address(&signer);
    out.u8(u8::try_from(commands.len()).unwrap());
    commands.iter().for_each(|command| out.lp16(command));
    Payload::from_bytes(&out.into_bytes())
}

pub(crate) fn tx(signer: Address, commands: &[Command]) -> Payload {
    Payload::Transaction(Transaction::new(signer, commands.to_vec()).unwrap())
}

// Records.

/// Records by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Records(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl Records {
    pub(crate) fn root(&self) -> Hash {
        Hash(Tree::from_entries(&self.0).unwrap().root())
    }

    pub(crate) fn load(&self, tip: Option<Height>) -> Result<State, Fault> {
        State::load(self.0.iter().map(Ok), tip)
    }

    /// The keys with a prefix, decoded.
    pub(crate) fn keys(&self, prefix: KeyPrefix) -> impl Iterator<Item = Key> {
        self.0.keys().filter(move |key| key[0] == prefix.byte()).map(|key| Key::from_bytes(key).unwrap())
    }

    pub(crate) fn features(&self) -> Vec<Feature> {
        query::features(self, None, usize::MAX).unwrap()
    }
}

impl Read for Records {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        for (key, value) in self.0.range(start.to_vec()..end.to_vec()) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault> {
        Ok(self.0.range(start.to_vec()..end.to_vec()).next_back().map(|(key, value)| (key.clone(), value.clone())))
    }
}

// A ledger.

/// A state beside the records that make it, and all that its blocks have told.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) records: Records,
    /// Every event so far, with its height.
    pub(crate) events: Vec<(Height, Event)>,
    /// How many blocks were executed.
    pub(crate) executions: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_params(Params::default())
    }

    pub(crate) fn with_params(params: Params) -> Self {
        let roles: BTreeMap<Address, Roles> = [
            (ADMIN, Role::Admin.into()),
            (OPERATOR, Role::Operator.into()),
            (REPORTER, Role::Reporter.into()),
            (GUARDIAN, Role::Guardian.into()),
            (FEEDER, Role::Feeder.into()),
        ]
        .into();
        let chain = coalmine_core::ChainId::new(b"example-1").unwrap();
        let (state, writes) = State::genesis(&Genesis::with_params(chain, roles, params).unwrap()).unwrap();
        let records = writes.iter().map(|(key, value)| (key.to_vec(), value.unwrap().to_vec())).collect();
        let world = Self { state, records: Records(records), events: Vec::new(), executions: 0 };
        world.check();
        world
    }

    /// The state of these records, taken as they are.
    pub(crate) fn of_records(records: Records, tip: Height) -> Self {
        let state = records.load(Some(tip)).unwrap();
        Self { state, records, events: Vec::new(), executions: 0 }
    }

    pub(crate) fn tip(&self) -> Height {
        self.state.tip().unwrap()
    }

    /// Executes and commits one block.
    pub(crate) fn block(&mut self, height: Height, payloads: Vec<Payload>) -> Outcome {
        let block = Block::from_payloads(height, payloads).unwrap();
        let execution = self.state.execute(&block).unwrap();
        self.commit(execution)
    }

    /// Commits, and checks what must hold after any block.
    pub(crate) fn commit(&mut self, execution: Execution) -> Outcome {
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

    /// Empty blocks up to and with `height`.
    pub(crate) fn advance(&mut self, height: Height) {
        while self.state.tip().is_some_and(|tip| tip < height) {
            let execution = self.state.advance(height).unwrap();
            self.commit(execution);
        }
    }

    /// One block at `height`, with empty blocks before it.
    pub(crate) fn at(&mut self, height: Height, payloads: Vec<Payload>) -> Outcome {
        if let Some(before) = height.checked_sub(1) {
            self.advance(before);
        }
        self.block(height, payloads)
    }

    /// One block of one transaction at `height`, with empty blocks before it.
    pub(crate) fn try_run(&mut self, height: Height, signer: Address, commands: &[Command]) -> Receipt {
        let outcome = self.at(height, vec![tx(signer, commands)]);
        outcome.receipts[0]
    }

    /// The same, and it must succeed.
    #[track_caller]
    pub(crate) fn run(&mut self, height: Height, signer: Address, commands: &[Command]) {
        assert_eq!(self.try_run(height, signer, commands), Receipt::Ok, "at {height}: {commands:?}");
    }

    /// What a transaction would get in the next block. Nothing is committed; if it is refused,
    /// the block must be what the empty block is.
    #[track_caller]
    pub(crate) fn probe(&self, payload: &Payload) -> Receipt {
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

    pub(crate) fn feature(&self, feature: &str) -> &Feature {
        self.state.feature(&name(feature)).unwrap()
    }

    /// Status and percent.
    pub(crate) fn stands(&self, feature: &str) -> (Status, u8) {
        let feature = self.feature(feature);
        (feature.status, feature.rollout_percent.get())
    }

    /// The history of a feature: height, seq, status, percent, cause.
    pub(crate) fn history(&self, feature: &str) -> Vec<(Height, u32, Status, u8, Cause)> {
        let history = query::history(&self.records, &name(feature), None, usize::MAX).unwrap();
        history.iter().map(|e| (e.height, e.seq, e.change.status, e.change.percent.get(), e.change.cause)).collect()
    }

    /// The events of one height.
    pub(crate) fn events_at(&self, height: Height) -> Vec<Event> {
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
        let admins = query::roles(records, None, usize::MAX).unwrap();
        let admins = admins.iter().filter(|(_, roles)| roles.holds(Role::Admin)).count();
        assert_eq!(usize::try_from(self.state.global().admins), Ok(admins));
        assert!(admins > 0);
        self.check_plugins();
    }
}

impl World {
    /// The items of a kind, as the records have them.
    pub(crate) fn feed_items(&self, kind: FeedKind) -> Vec<(FeedId, FeedItem)> {
        query::feed_items(&self.records, kind, None, usize::MAX).unwrap()
    }

    /// The index and the totals are what the items say, and the state has the same items.
    fn check_feed(&self) {
        let count = |n: usize| u32::try_from(n).unwrap();
        let stored = query::feed(&self.records).unwrap();
        let (mut index, mut items) = (BTreeSet::new(), Vec::new());
        let mut totals = FeedState { open: stored.open, ..FeedState::default() };
        for kind in FeedKind::ALL {
            let of_kind = self.feed_items(*kind);
            let live = count(of_kind.iter().filter(|(_, item)| item.is_live()).count());
            let (live_total, total) = match kind {
                FeedKind::Environment => (&mut totals.live_environments, &mut totals.environments),
                FeedKind::Filter => (&mut totals.live_filters, &mut totals.filters),
            };
            (*live_total, *total) = (live, count(of_kind.len()));
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
        assert_eq!(keys.contains([0xde].as_slice()), totals != FeedState::default());
    }
}

/// A world at height 10 in which `f`, which rests on `base`, has this status.
pub(crate) fn bring_feature(status: Status) -> World {
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
pub(crate) fn writes(execution: &Execution) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    execution.writes().iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect()
}

/// A refusal by the first command.
pub(crate) fn refused(reject: Reject) -> Receipt {
    Receipt::Rejected { reject, index: 0 }
}

// What the environment asks for.

/// A number from the environment.
pub(crate) fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}
