//! Sequences and open rounds in the committed state.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::num::NonZeroU64;

use crate::index::{Changes, index, moved, set};
use crate::key::Key;
use crate::rounds::{OpenPool, Pool, PoolEntry};
use crate::values::{Address, Height};

/// Sequences and open rounds as of the last block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// The last sequence of each signer.
    pub(crate) sequences: BTreeMap<Address, NonZeroU64>,
    pub(crate) pools: BTreeMap<Pool, OpenPool>,
    /// The heights at which rounds end.
    pub(crate) rounds: BTreeSet<(Height, Pool)>,
}

impl Trust {
    pub(crate) fn apply(&mut self, sequences: BTreeMap<Address, NonZeroU64>, pools: Changes<Pool, OpenPool>) {
        self.sequences.extend(sequences);
        for (pool, change) in pools {
            let due = |pool: Option<&OpenPool>| pool.map(|pool| pool.due);
            for (at, presence) in moved(due(self.pools.get(&pool)), due(change.as_ref())) {
                index(&mut self.rounds, (at, pool.clone()), presence);
            }
            set(&mut self.pools, pool, change);
        }
    }
}

/// Collects the decoded records of rounds until all are there.
#[derive(Default)]
pub(crate) struct TrustLoader {
    pub(crate) sequences: BTreeMap<Address, NonZeroU64>,
    pub(crate) entries: BTreeMap<Pool, BTreeMap<Address, PoolEntry>>,
    pub(crate) rounds: BTreeSet<(Height, Pool)>,
}

impl TrustLoader {
    /// Returns the rounds, or the key of a record that contradicts another: every pool has reporters, and ends once.
    pub(crate) fn finish(mut self) -> Result<Trust, Box<Key>> {
        let mut pools = BTreeMap::new();
        for (due, pool) in &self.rounds {
            let entries: Vec<(Address, PoolEntry)> =
                self.entries.remove(pool).into_iter().flat_map(BTreeMap::into_iter).collect();
            if entries.is_empty() || entries.len() > Pool::REPORTERS_MAX {
                return Err(Box::new(Key::Round { at: *due, pool: pool.clone() }));
            }
            pools.insert(pool.clone(), OpenPool { due: *due, entries });
        }
        let orphan = self
            .entries
            .into_iter()
            .find_map(|(pool, entries)| entries.into_keys().next().map(|reporter| Key::PoolEntry { pool, reporter }));
        match orphan {
            Some(key) => Err(Box::new(key)),
            None => Ok(Trust { sequences: self.sequences, pools, rounds: self.rounds }),
        }
    }
}
