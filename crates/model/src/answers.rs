//! Reads of a state. None of them changes anything.

use std::collections::BTreeMap;

use coalmine_core::{Address, Hash, Status};

use crate::feature::{Feature, is_on};
use crate::root::{root, sha256};
use crate::rounds::{Pool, PoolKey};
use crate::schedule::target_rules;
use crate::{Model, raw, records};

/// An open round: height, kind, subject, version and reporters.
pub type OpenRound = (u32, u8, String, String, Vec<Address>);

impl Model {
    /// The height of the last block.
    #[must_use]
    pub fn tip(&self) -> Option<u32> {
        self.tip.map(|tip| tip as u32)
    }

    /// The names of all features, ascending.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.features.keys().map(Vec::as_slice)
    }

    /// Every key of the state with its value.
    #[must_use]
    pub fn entries(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        records::entries(self)
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> Hash {
        root(&self.entries())
    }

    /// Whether the feature is on for the user.
    #[must_use]
    pub fn is_enabled(&self, name: &[u8], user: &Address) -> bool {
        let Some(f) = self.features.get(name) else { return false };
        if !is_on(f.status) || !f.policy.prerequisites.iter().all(|prerequisite| self.is_enabled(prerequisite, user)) {
            return false;
        }
        match (f.overrides.get(user), f.status) {
            (Some(own), _) => own.enabled,
            (None, Status::Enabled) => true,
            (None, _) => self.bucket(f, user) < f.rollout_percent * 100,
        }
    }

    fn bucket(&self, f: &Feature, user: &Address) -> u128 {
        if f.policy.bucketing == 1 {
            return u128::from(user.0[0]) % 100 * 100;
        }
        let mut input = b"coalmine/bucket/1".to_vec();
        raw::put_lp8(&mut input, &self.chain);
        raw::put_lp8(&mut input, &f.name);
        input.extend(f.policy.salt.to_be_bytes());
        input.extend(user.0);
        let hash = sha256(&[&input]);
        let first = hash[..8].iter().fold(0, |n, byte| n << 8 | u128::from(*byte));
        (first * 10_000) >> 64
    }

    /// Status and percent at the end of the block of this height; `None` before the feature was created.
    #[must_use]
    pub fn feature_at(&self, name: &[u8], height: u32) -> Option<(Status, u8)> {
        let history = &self.features.get(name)?.history;
        let last = history.iter().rfind(|change| change.height <= u128::from(height))?;
        Some((last.status, last.percent as u8))
    }

    /// The last sequence of a signer, if it has used any.
    #[must_use]
    pub fn sequence_of(&self, address: &Address) -> Option<u64> {
        self.sequences.get(address).copied()
    }

    /// The rules of the next block.
    #[must_use]
    pub fn rules(&self) -> u16 {
        self.rules
    }

    /// The changes of the rules that wait: height, id, who has scheduled it, and the rules.
    #[must_use]
    pub fn scheduled_rules(&self) -> Vec<(u32, u64, Address, u16)> {
        let mut changes = Vec::new();
        for ((at, id), entry) in &self.schedule {
            let rules = entry.commands.iter().filter_map(target_rules);
            changes.extend(rules.map(|rules| (*at as u32, *id as u64, entry.actor, rules)));
        }
        changes
    }

    /// The rounds that have not ended, as they close: height, kind, subject, version and reporters.
    #[must_use]
    pub fn open_rounds(&self) -> Vec<OpenRound> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let round = |key: PoolKey| {
            let Pool { due, entries } = &self.pools[&key];
            (*due as u32, key.kind, text(key.subject), text(key.version), entries.keys().copied().collect())
        };
        self.pools_in_order().into_iter().map(round).collect()
    }

    /// All entries of the history of a feature: height, status and percent.
    #[must_use]
    pub fn history(&self, name: &[u8]) -> Vec<(u32, Status, u8)> {
        let history = self.features.get(name).map_or(&[][..], |f| &f.history);
        history.iter().map(|change| (change.height as u32, change.status, change.percent as u8)).collect()
    }
}
