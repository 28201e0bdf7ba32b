//! Positions of features and plugins in the decoded state, and edits of its maps and indexes.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::values::{Height, Name};

/// The position of a feature in the state. Features are never removed, so it stays valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FeatureId(pub(crate) u32);

impl FeatureId {
    pub(crate) fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

/// The position of a plugin in the state. Plugins are never removed, so it stays valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PluginId(pub(crate) u32);

/// An edit of an index: whether the entry is there afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Added,
    Removed,
}

/// The entries of an index by height that change when something becomes due at another height, or no longer.
pub(crate) fn moved(before: Option<Height>, now: Option<Height>) -> impl Iterator<Item = (Height, Presence)> {
    let (before, now) = if before == now { (None, None) } else { (before, now) };
    let removed = before.map(|at| (at, Presence::Removed));
    removed.into_iter().chain(now.map(|at| (at, Presence::Added)))
}

/// Changed entries of one map; `None` for a removed one.
pub(crate) type Changes<K, V> = BTreeMap<K, Option<V>>;

/// A row of the dependents index: the required plugin, or `None` for the host; and the plugin that requires it.
pub(crate) type Row = (Option<Name>, Name);

pub(crate) fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, change: Option<V>) {
    match change {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

pub(crate) fn index<T: Ord>(entries: &mut BTreeSet<T>, entry: T, presence: Presence) {
    match presence {
        Presence::Added => entries.insert(entry),
        Presence::Removed => entries.remove(&entry),
    };
}

pub(crate) fn put_back<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, before: Option<V>) {
    match before {
        Some(before) => map.insert(key, before),
        None => map.remove(&key),
    };
}
