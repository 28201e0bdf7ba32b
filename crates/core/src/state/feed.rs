//! The feed in the committed state.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::delta::FeedDelta;
use crate::feed::record::{FeedItem, FeedKey, FeedTotals};
use crate::index::{Presence, index, set};
use crate::key::Key;

/// The feed as of the last block.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feed {
    pub(crate) state: FeedTotals,
    pub(crate) items: BTreeMap<FeedKey, FeedItem>,
    /// The ids that are live or deleted.
    pub(crate) index: BTreeSet<FeedKey>,
    /// The ids that the open put retains.
    pub(crate) listed: BTreeSet<FeedKey>,
}

impl Feed {
    pub(crate) fn apply(&mut self, delta: FeedDelta) {
        let FeedDelta { state, items, listed } = delta;
        self.state = state;
        for (key, item) in items {
            index(&mut self.index, key, presence(is_indexed(item.as_ref())));
            set(&mut self.items, key, item);
        }
        if listed.is_cleared {
            self.listed = listed.added;
        } else {
            self.listed.extend(listed.added);
        }
    }

    /// Returns the first record that contradicts the items. The index and the totals must follow from the items, and
    /// the totals must be within the limits that every command keeps, or each further command would be rejected.
    pub(crate) fn contradiction(&self) -> Option<Key> {
        let indexed = self.items.iter().filter(|(_, item)| item.is_indexed()).map(|(key, _)| *key).collect();
        if let Some(key) = self.index.symmetric_difference(&indexed).next() {
            return Some(Key::FeedIndex(*key));
        }
        // More ids than a u32 counts exceed every limit, so the comparison below fails.
        let listed = u32::try_from(self.listed.len()).unwrap_or(u32::MAX);
        let mut state = FeedTotals { open: self.state.open, listed, ..FeedTotals::default() };
        self.items.iter().for_each(|(key, item)| state.count(key.kind, None, Some(item)));
        (state != self.state || !state.is_within_limits()).then_some(Key::Feed)
    }
}

pub(crate) fn is_indexed(item: Option<&FeedItem>) -> bool {
    item.is_some_and(FeedItem::is_indexed)
}

pub(crate) const fn presence(is_there: bool) -> Presence {
    if is_there { Presence::Added } else { Presence::Removed }
}
