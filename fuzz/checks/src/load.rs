//! A store with damaged records is a fault or a state, and a state goes on without a panic, and never down a step.
//!
//! The first byte chooses a world, the rest edits of its records: a byte changed, cut or added, a record lost,
//! copied under another key, or made of the bytes themselves.

use coalmine_core::{Block, BlockError, Event, Execution, Fault, FeedId, FeedKind, Name, State, query};
use coalmine_model::generate::{ADDRESSES, FEED_IDS, NAMES, PLUGINS};

use crate::worlds::lived;
use coalmine_model::support::Records;

const EDITS: usize = 4;

/// Loads the damaged records of the bytes' choice.
pub fn load(bytes: &[u8]) {
    let [seed, edits @ ..] = bytes else { return };
    let world = lived(*seed);
    let mut records = world.records.clone();
    let mut edits = Edits(edits);
    for _ in 0..EDITS {
        edits.apply(&mut records);
    }
    for (name, user) in NAMES.iter().zip(ADDRESSES.iter().cycle()) {
        let name: Name = name.parse().unwrap();
        // What a query says of damaged records does not matter, as long as it says something.
        drop(query::check(&records, &name, user));
        drop(query::metrics(&records, &name));
        drop(query::due(&records, &name));
        drop(query::history(&records, &name, None, 100));
        drop(query::overrides(&records, &name, None, 100));
        drop(query::feature_at(&records, &name, 1));
    }
    drop((query::features(&records, None, 100), query::active(&records, None, 100), query::roles(&records, None, 100)));
    drop((query::schedule(&records, None, 100), query::scheduled_rules(&records), query::pools(&records, None, 100)));
    ADDRESSES.iter().for_each(|address| drop(query::sequence_of(&records, address)));
    for kind in FeedKind::ALL {
        for id in FEED_IDS {
            drop(query::feed_item(&records, *kind, &FeedId::new(id).unwrap()));
        }
        drop(query::feed_items(&records, *kind, None, 100));
    }
    drop(query::feed(&records));
    for plugin in PLUGINS {
        let plugin: Name = plugin.parse().unwrap();
        drop((query::plugin(&records, &plugin), query::plugin_versions(&records, &plugin)));
        drop((query::deployment(&records, &plugin), query::dependents(&records, &plugin)));
        drop(query::plugin_history(&records, &plugin, None, 100));
        drop(query::route(&records, &plugin, b"unit"));
    }
    drop((query::plugins(&records, None, 100), query::registry(&records)));
    let last = world.blocks.last().unwrap();
    let tip = last.height();
    let Ok(state) = State::load(records.0.iter().map(Ok::<_, Fault>), Some(tip)) else { return };
    for plugin in PLUGINS {
        let plugin: Name = plugin.parse().unwrap();
        let routed = query::route(&records, &plugin, b"unit").unwrap();
        assert_eq!(state.route(&plugin, b"unit"), routed.as_ref(), "the version that serves a unit");
        drop(state.plan_load(&plugin));
    }
    let Some(next) = tip.checked_add(1) else { return };
    let again = Block::from_payloads(next, last.payloads().collect()).unwrap();
    // A change of rules may wait in what was damaged, to rules that nobody knows.
    let execution = match state.execute(&again) {
        Err(BlockError::UnknownRules { .. }) => return,
        execution => execution.unwrap(),
    };
    steps_rise(&execution);
    let mut after = records.clone();
    after.write(execution.writes());
    let root = execution.root();
    let mut state = state;
    state.apply(execution).unwrap();
    let reloaded = State::load(after.0.iter().map(Ok::<_, Fault>), Some(next));
    assert_eq!(reloaded.map(|state| state.root()).unwrap(), root, "a state that was loaded writes what can be loaded");
    if let Ok(execution) = state.advance(u32::MAX) {
        steps_rise(&execution);
    }
}

/// The keys of the records of a world, in the order in which an edit counts them.
pub fn lived_keys(seed: u8) -> impl Iterator<Item = &'static [u8]> {
    lived(seed).records.0.keys().map(Vec::as_slice)
}

/// How the key of a record begins: what tells its kind.
pub fn kind_of_record(key: &[u8]) -> &[u8] {
    match key {
        [0xdf, 2, ..] => &key[..3],
        [0xd7 | 0xde | 0xdf, _, ..] => &key[..2],
        _ => &key[..1],
    }
}

/// A step never turns a feature off for anybody.
fn steps_rise(execution: &Execution) {
    for event in &execution.outcome().events {
        if let Event::Stepped { from_percent, to_percent, .. } = event {
            assert!(from_percent <= to_percent, "{event:?}");
        }
    }
}

struct Edits<'a>(&'a [u8]);

impl Edits<'_> {
    fn next(&mut self) -> usize {
        let [first, rest @ ..] = self.0 else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn wide(&mut self) -> usize {
        self.next() << 8 | self.next()
    }

    fn apply(&mut self, records: &mut Records) {
        if self.0.is_empty() {
            return;
        }
        let kind = self.next();
        let record = self.wide();
        let Some((key, value)) = records.0.iter().nth(record % records.0.len().max(1)) else { return };
        let (mut key, mut value) = (key.clone(), value.clone());
        match kind % 6 {
            0 => {
                let at = self.wide();
                if let Some(len) = value.len().checked_sub(1) {
                    value[at % (len + 1)] ^= 1 << (self.next() % 8);
                }
            }
            1 => value.truncate(self.wide() % (value.len() + 1)),
            2 => value.push(self.0.first().copied().unwrap_or_default()),
            3 => drop(records.0.remove(&key)),
            4 => {
                let at = self.wide() % key.len().max(1);
                key[at] ^= 1 << (self.next() % 8);
            }
            _ => value = std::mem::take(&mut self.0).to_vec(),
        }
        if kind % 6 != 3 {
            records.0.insert(key, value);
        }
    }
}
