//! States of which the memory is measured.

use coalmine_core::{
    Address, Cause, Change, Description, Encode, Fault, Feature, Height, Key, Metrics, MetricsRecord, Name, Override,
    Percent, Reason, State, Status,
};

use crate::workload::{Size, filled, genesis, name, user};

/// Enough that what the making of a state has left free is small beside its copy.
const MANY: u64 = 200_000;

/// What a state has many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Features with an average history of two and a half entries, all in the index of active ones, half of them rolling
    /// out: six keys each.
    Feature,
    /// Overrides of one feature.
    Override,
    /// Plugins with two versions: three records and two history entries each.
    Plugin,
    /// History entries of one feature: of these a state has the keys of the tree alone.
    HistoryEntry,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Feature, Self::Override, Self::Plugin, Self::HistoryEntry];

    /// What it is called in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Feature => "feature, with the six keys of its records, history and indexes",
            Self::Override => "override",
            Self::Plugin => "plugin with two versions, with their records and history",
            Self::HistoryEntry => "history entry, which is a key of the tree",
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u64 {
        match self {
            Self::Feature | Self::Plugin => MANY,
            Self::Override | Self::HistoryEntry => 5 * MANY,
        }
    }

    /// A state with many of them.
    #[must_use]
    pub fn filled(self) -> State {
        let (one, count) = (Size::features(1), self.count());
        filled(match self {
            Self::Feature => Size::features(count),
            Self::Override => Size { overrides: count, ..one },
            Self::Plugin => Size::plugins(count),
            Self::HistoryEntry => Size { history: count, ..one },
        })
    }
}

/// Loads a state of so many features, each with a history entry, and overrides spread evenly over them, in the order of
/// the keys.
#[must_use]
pub fn load(features: u64, overrides: u64) -> State {
    let (_, writes) = State::genesis(&genesis()).unwrap();
    let genesis = writes.iter().map(|(key, value)| (key.to_vec(), value.unwrap().to_vec()));
    let record = |key: Key, value: &dyn Fn() -> Vec<u8>| (key.to_bytes(), value());
    let description = Description::new("a feature of the benchmark").unwrap();
    let feature = |name: Name| Feature {
        name,
        description: description.clone(),
        status: Status::Enabled,
        rollout_percent: Percent::FULL,
        target_percent: Percent::ZERO,
        increment_percent: Feature::INCREMENT_PERCENT,
        increment_blocks: Feature::INCREMENT_BLOCKS,
        start_block: 0,
        last_increment_block: 0,
        error_count: 0,
        success_count: 0,
        max_error_rate: Feature::MAX_ERROR_RATE,
        min_success_count: 0,
        enabled_by: user(0),
        rollback_reason: Reason::Manual,
    };
    let height: Height = 1;
    let change = Change {
        status: Status::Enabled,
        percent: Percent::FULL,
        cause: Cause::Enabled,
        reason: Reason::Manual,
        actor: user(0),
        evidence: None,
    };
    let names = || (0..features).map(name);
    let each = overrides / features.max(1);
    let users = |number: u64| {
        let mut users: Vec<Address> = (number * each..(number + 1) * each).map(user).collect();
        users.sort_unstable();
        users
    };
    let set = Override { enabled: true, since: height, actor: user(0) };
    let records = names().map(|name| record(Key::Feature(name), &|| feature(name).to_bytes()));
    let metrics = names()
        .map(|name| record(Key::Metrics(name), &|| MetricsRecord { name, metrics: Metrics::default() }.to_bytes()));
    let changes = names().map(|name| record(Key::Change { name, height, seq: 0 }, &|| change.to_bytes()));
    let overrides = (0..features).flat_map(|number| {
        let name = name(number);
        users(number).into_iter().map(move |user| (Key::Override { name, user }.to_bytes(), set.to_bytes()))
    });
    let records = records.chain(metrics).chain(changes).chain(overrides).chain(genesis);
    State::load(records.map(Ok::<_, Fault>), Some(height)).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_state_has_what_was_asked_for() {
        let state = load(10, 100);
        assert_eq!(state.feature_count(), 10);
        // Three records a feature, one an override; the parameters and three addresses with roles.
        assert_eq!(state.tree().len(), 30 + 100 + 4);
        for number in 0..100 {
            assert!(state.check(&name(number / 10), &user(number)).to_string().contains("override"), "{number}");
        }
    }
}
