//! A ledger whose rules change to those for tests, as far as the build knows them, and its form as a file.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use coalmine_core::{
    Address, Block, BlockError, Command, Encode, Genesis, Height, Name, Percent, RULES_NOTICE, Role, STATE_KEYS,
    Transaction, Valid,
};
use coalmine_store::{Ledger, MemoryStore, OpenError, Store, Tip, View};

const ADMIN: Address = Address([0x11; 20]);
/// The block that changes the rules.
pub(crate) const CHANGE: Height = 1 + RULES_NOTICE;
/// The last block.
pub(crate) const LAST: Height = CHANGE + 20;
const TEST_RULES: u16 = u16::MAX;
/// The second tag of disable, under the rules for tests alone.
const TEST_TAG: u8 = 0x7F;

/// How far a build came.
pub(crate) struct Course {
    /// The tips after the blocks that it executed.
    pub(crate) tips: Vec<Tip>,
    /// Why it did not come to the end.
    pub(crate) stopped: Option<BlockError>,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The block at a height: what is known under one rule set, what is known under the other, and what differs.
fn block(height: Height) -> Block {
    let payload = |commands: Vec<Command>| Transaction::new(ADMIN, commands).unwrap().to_bytes();
    let create = |text: &str| payload(vec![Command::create_feature(name(text), "made by hand").unwrap()]);
    let percent = Percent::new(5).unwrap();
    let retagged = |text: &str| {
        let mut bytes = payload(vec![Command::Disable { name: name(text) }]);
        let tag = bytes.len() - 1 - 1 - text.len();
        bytes[tag] = TEST_TAG;
        bytes
    };
    let payloads = match height {
        1 => {
            let rules = Valid::new(vec![Command::SetRules { rules: TEST_RULES }]).unwrap();
            let later = Valid::new(vec![Command::Enable { name: name("early") }]).unwrap();
            vec![
                create("early"),
                payload(vec![Command::Schedule { at: CHANGE, commands: rules }]),
                payload(vec![Command::Schedule { at: CHANGE + 2, commands: later }]),
            ]
        }
        CHANGE => vec![payload(vec![Command::StartCanary { name: name("early"), percent }]), retagged("early")],
        height if height == CHANGE + 1 => vec![create("late"), retagged("early")],
        height if height == CHANGE + 3 => vec![retagged("early"), retagged("late")],
        _ => Vec::new(),
    };
    Block::from_encoded(height, payloads).unwrap()
}

/// Goes on to the last block, as far as the build knows the rules. `between` may close and open the store again.
pub(crate) fn go_on<S: Store>(mut ledger: Ledger<S>, between: impl Fn(S) -> S) -> (Ledger<S>, Course) {
    let mut course = Course { tips: Vec::new(), stopped: None };
    while let Some(next) = ledger.state().tip().map_or(Some(1), |tip| tip.checked_add(1)).filter(|next| *next <= LAST) {
        let execution = match ledger.execute(&block(next)) {
            Ok(execution) => execution,
            Err(error) => {
                course.stopped = Some(error);
                break;
            }
        };
        ledger.commit(execution).unwrap();
        let tip = ledger.last_committed();
        course.tips.push(tip);
        if next >= CHANGE - 2 {
            ledger = Ledger::open_at(between(ledger.into_store()), tip).unwrap();
        }
    }
    (ledger, course)
}

/// The records of a store.
pub(crate) fn records(view: &impl View) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    view.scan(&[STATE_KEYS.start], &[STATE_KEYS.end], &mut |key, value| {
        records.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    records
}

/// Writes height, root and records as text.
pub(crate) fn write_file<S: Store>(path: &Path, ledger: &Ledger<S>) {
    let Tip { height, root } = ledger.last_committed();
    let mut text = format!("{} {root}\n", height.unwrap());
    for (key, value) in records(ledger.store()) {
        text.push_str(&format!("{} {}\n", hex::encode(key), hex::encode(value)));
    }
    fs::write(path, text).unwrap();
}

/// Reads what [`write_file`] writes, into an empty store.
pub(crate) fn read_file<S: Store>(path: &Path, store: S) -> Result<Ledger<S>, OpenError> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split_once(' ').unwrap());
    let (height, root) = lines.next().unwrap();
    let tip = Tip { height: Some(height.parse().unwrap()), root: root.parse().unwrap() };
    let records: Vec<_> = lines.map(|(key, value)| (hex::decode(key).unwrap(), hex::decode(value).unwrap())).collect();
    Ledger::restore(store, tip, &records)
}

/// A ledger at its beginning.
pub(crate) fn create() -> Ledger<MemoryStore> {
    let genesis = Genesis::new("example-1", [(ADMIN, Role::Admin.into())]).unwrap();
    Ledger::create(MemoryStore::new(), &genesis).unwrap()
}
