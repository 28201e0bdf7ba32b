//! The records that a picture is made of, kept from a run without a store: so a long file takes the memory of its state and
//! little more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};

use coalmine_core::query::{Entry, Visit};
use coalmine_core::{Fault, KeyPrefix, Name, Read, WriteSet};

/// Histories above this size, in bytes, are better given up, but for the last change of each.
pub(crate) const HISTORIES_SIZE_MAX: usize = 16 * 1_024 * 1_024;

/// Of what records are kept.
#[derive(Debug, Clone)]
pub(crate) enum Keep {
    /// Of these features and plugins, with their histories.
    Named(BTreeSet<Name>),
    /// Of all; if there is a limit, no more history than that many bytes, and from then on the last change of each only.
    All {
        /// The limit.
        histories_size_max: Option<usize>,
    },
}

/// Records in key order.
#[derive(Debug)]
pub(crate) struct Kept {
    keep: Keep,
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    histories: usize,
    /// Whether histories were given up: of each only the last change is here.
    pub(crate) is_partial: bool,
}

impl Kept {
    pub(crate) const fn new(keep: Keep) -> Self {
        Self { keep, records: BTreeMap::new(), histories: 0, is_partial: false }
    }

    /// Keeps what a block has written.
    pub(crate) fn write(&mut self, writes: &WriteSet) {
        for (key, value) in writes.iter() {
            let Some(prefix) = key.first().copied().and_then(KeyPrefix::from_byte) else { continue };
            let is_history = matches!(prefix, KeyPrefix::Change | KeyPrefix::PluginChange);
            if !self.keeps(prefix, key) {
                continue;
            }
            match value {
                None => drop(self.records.remove(key)),
                Some(value) => {
                    if let Keep::All { histories_size_max: Some(most) } = self.keep
                        && is_history
                    {
                        self.count(key, value, most);
                    }
                    self.records.insert(key.to_vec(), value.to_vec());
                }
            }
        }
    }

    fn keeps(&self, prefix: KeyPrefix, key: &[u8]) -> bool {
        match prefix {
            // All names, so that an error can tell the nearest.
            KeyPrefix::Feature | KeyPrefix::Plugin | KeyPrefix::Global => true,
            KeyPrefix::Change | KeyPrefix::PluginChange | KeyPrefix::Deployment => match &self.keep {
                Keep::All { .. } => true,
                Keep::Named(names) => subject(prefix, key).is_some_and(|name| names.contains(&name)),
            },
            KeyPrefix::Metrics
            | KeyPrefix::Override
            | KeyPrefix::Policy
            | KeyPrefix::Roles
            | KeyPrefix::Due
            | KeyPrefix::Active
            | KeyPrefix::PluginVersion
            | KeyPrefix::Dependent
            | KeyPrefix::Feed
            | KeyPrefix::Trust => false,
        }
    }

    /// Counts an entry of a history, and gives up the earlier ones when there are too many.
    fn count(&mut self, key: &[u8], value: &[u8], most: usize) {
        self.histories = self.histories.saturating_add(key.len()).saturating_add(value.len());
        if !self.is_partial && self.histories > most {
            self.is_partial = true;
            let mut last: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            for (key, value) in std::mem::take(&mut self.records) {
                if let Some(of) = history_of(&key) {
                    while let Some((before, _)) = last.last_key_value().filter(|(before, _)| before.starts_with(&of)) {
                        let before = before.clone();
                        last.remove(&before);
                    }
                }
                last.insert(key, value);
            }
            self.records = last;
        }
        if self.is_partial
            && let Some(of) = history_of(key)
        {
            let before: Vec<Vec<u8>> =
                self.from(&of).take_while(|(key, _)| key.starts_with(&of)).map(|(key, _)| key.clone()).collect();
            for key in before {
                self.records.remove(&key);
            }
        }
    }

    fn from(&self, start: &[u8]) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.records.range::<[u8], _>((Bound::Included(start), Bound::Unbounded))
    }

    fn range(&self, start: &[u8], end: &[u8]) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Vec<u8>)> {
        // An empty or inverted range has nothing; the map would panic.
        let end = end.max(start);
        self.records.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)))
    }
}

/// The part of the key of an entry of a history that all entries of its subject share.
fn history_of(key: &[u8]) -> Option<Vec<u8>> {
    let prefix = key.first().copied().and_then(KeyPrefix::from_byte)?;
    if !matches!(prefix, KeyPrefix::Change | KeyPrefix::PluginChange) {
        return None;
    }
    let len = usize::from(*key.get(1)?);
    key.get(..len.checked_add(2)?).map(<[u8]>::to_vec)
}

/// The feature or plugin that a key is about.
fn subject(prefix: KeyPrefix, key: &[u8]) -> Option<Name> {
    let bytes = match history_of(key) {
        Some(of) => of.get(2..)?.to_vec(),
        None if prefix == KeyPrefix::Deployment => key.get(1..)?.to_vec(),
        None => return None,
    };
    str::from_utf8(&bytes).ok()?.parse().ok()
}

impl Read for Kept {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.records.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        for (key, value) in self.range(start, end) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault> {
        Ok(self.range(start, end).next_back().map(|(key, value)| (key.clone(), value.clone())))
    }
}

#[cfg(test)]
mod tests {
    use coalmine_chart::ledger::{Range, overview};
    use coalmine_core::{Block, State};

    use super::*;
    use crate::generate::{Generator, Mix, Workload};

    /// Runs blocks and keeps records of them.
    fn run(keep: Keep) -> (Kept, Option<u32>) {
        let mix: Mix = "canary=9,rollout=5,disable=2,rollback=9,success=50,error=2,override=5,version_success=9,deploy=3,register=2".parse().unwrap();
        let workload = Workload { features: 30, users: 10, blocks: 60, txs_per_block: 40, seed: 1, mix };
        let generator = Generator::new(workload);
        let (mut state, writes) = State::genesis(&generator.genesis().unwrap()).unwrap();
        let mut kept = Kept::new(keep);
        kept.write(&writes);
        for block in generator {
            let block: Block = block.unwrap();
            let execution = state.execute(&block).unwrap();
            kept.write(execution.writes());
            state.apply(execution).unwrap();
        }
        (kept, state.tip())
    }

    #[test]
    fn what_is_given_up_is_not_missed() {
        let range = Range { from: None, to: None };
        let draw = |(kept, tip): &(Kept, Option<u32>), lanes| overview(kept, (range, *tip), lanes).unwrap();
        for lanes in [1, 7, 40, 100] {
            let whole = run(Keep::All { histories_size_max: None });
            assert!(!whole.0.is_partial);
            let expected = draw(&whole, lanes);
            let short = run(Keep::All { histories_size_max: Some(2_000) });
            assert!(short.0.is_partial && short.0.records.len() < whole.0.records.len() / 2);
            let found = draw(&short, lanes);
            let names = |picture: &coalmine_chart::Overview| -> Vec<String> {
                picture.lanes.iter().map(|lane| lane.name.clone()).collect()
            };
            assert_eq!(names(&found), names(&expected), "the last changes say which lanes there are");
            let named = run(Keep::Named(names(&found).iter().map(|name| name.parse().unwrap()).collect()));
            let found = draw(&named, found.lanes.len());
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{lanes}");
        }
        let enough = run(Keep::All { histories_size_max: Some(usize::MAX) });
        assert!(!enough.0.is_partial);
    }
}
