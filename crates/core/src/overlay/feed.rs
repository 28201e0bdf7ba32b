//! The feed as the block sees it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::delta::{FeedDelta, Listed};
use crate::feed;
use crate::feed::FeedAction;
use crate::feed::record::{FeedItem, FeedKey, FeedTotals};
use crate::index::{Changes, Presence, index, put_back};
use crate::key::Key;
use crate::state::feed::{Feed, is_indexed, presence};
use crate::writes::{WriteSet, stored, write_change, write_index};

#[derive(Debug)]
enum Undo {
    Item(FeedKey, Option<Option<FeedItem>>),
    Listed(FeedKey),
    Cleared(Listed),
}

/// What the end of a put makes of an item that it has not listed.
#[derive(Debug)]
pub(crate) struct Unlisted {
    pub(crate) key: FeedKey,
    /// The version that the item has, and keeps if a record of it stays.
    pub(crate) version: u64,
    pub(crate) item: Option<FeedItem>,
    pub(crate) action: FeedAction,
}

/// The feed as the block sees it.
#[derive(Debug)]
pub(crate) struct FeedOverlay<'a> {
    base: &'a Feed,
    pub(crate) state: FeedTotals,
    items: Changes<FeedKey, FeedItem>,
    /// Copied from the state when the first put of the block ends, and updated from then on, so that a block of many
    /// puts copies the index once.
    index: Option<BTreeSet<FeedKey>>,
    listed: Listed,
    journal: Vec<Undo>,
}

impl<'a> FeedOverlay<'a> {
    pub(crate) fn new(base: &'a Feed) -> Self {
        Self {
            base,
            state: base.state,
            items: BTreeMap::new(),
            index: None,
            listed: Listed::default(),
            journal: Vec::new(),
        }
    }

    pub(crate) fn keep(&mut self) {
        self.journal.clear();
    }

    /// Undoes the changes of the transaction and resets the totals to `state`.
    pub(crate) fn undo(&mut self, state: FeedTotals) {
        while let Some(undo) = self.journal.pop() {
            match undo {
                Undo::Item(key, before) => {
                    put_back(&mut self.items, key, before);
                    self.follow(key);
                }
                Undo::Listed(key) => {
                    self.listed.added.remove(&key);
                }
                Undo::Cleared(before) => self.listed = before,
            }
        }
        self.state = state;
    }

    pub(crate) fn item(&self, key: &FeedKey) -> Option<&FeedItem> {
        match self.items.get(key) {
            Some(change) => change.as_ref(),
            None => self.base.items.get(key),
        }
    }

    /// Sets or erases a record, and updates the totals.
    pub(crate) fn set_item(&mut self, key: FeedKey, item: Option<FeedItem>) {
        let mut state = self.state;
        state.count(key.kind, self.item(&key), item.as_ref());
        self.state = state;
        let before = self.items.insert(key, item);
        self.journal.push(Undo::Item(key, before));
        self.follow(key);
    }

    /// Stores the record that a message has produced, if any, and returns its version.
    pub(crate) fn store(&mut self, key: FeedKey, item: Option<FeedItem>) -> u64 {
        let Some(item) = item else { return 0 };
        let version = item.version;
        self.set_item(key, Some(item));
        version
    }

    /// Updates the copy of the index, if it has been made.
    fn follow(&mut self, key: FeedKey) {
        let presence = presence(is_indexed(self.item(&key)));
        if let Some(entries) = &mut self.index {
            index(entries, key, presence);
        }
    }

    /// What becomes of the items that a put which ends has not listed.
    pub(crate) fn unlisted(&mut self, is_listed: impl Fn(&Self, &FeedKey) -> bool) -> Vec<Unlisted> {
        if self.index.is_none() {
            let mut entries = self.base.index.clone();
            for (key, item) in &self.items {
                index(&mut entries, *key, presence(is_indexed(item.as_ref())));
            }
            self.index = Some(entries);
        }
        let unlisted = self.index.iter().flatten().filter(|key| !is_listed(self, key));
        let marked = |key: &FeedKey| {
            let stored = self.item(key)?;
            let (item, action) = feed::mark(stored);
            Some(Unlisted { key: *key, version: stored.version, item, action })
        };
        unlisted.filter_map(marked).collect()
    }

    pub(crate) fn is_listed(&self, key: &FeedKey) -> bool {
        self.listed.added.contains(key) || (!self.listed.is_cleared && self.base.listed.contains(key))
    }

    /// Marks an id as retained by the open put.
    pub(crate) fn list(&mut self, key: FeedKey) {
        if !self.is_listed(&key) {
            self.state.listed = self.state.listed.saturating_add(1);
            self.listed.added.insert(key);
            self.journal.push(Undo::Listed(key));
        }
    }

    pub(crate) fn clear_listed(&mut self) {
        self.state.listed = 0;
        let before = core::mem::replace(&mut self.listed, Listed { is_cleared: true, added: BTreeSet::new() });
        self.journal.push(Undo::Cleared(before));
    }

    /// Writes each changed record and index entry once.
    pub(crate) fn write(&self, writes: &mut WriteSet) {
        let base = self.base;
        for (key, change) in &self.items {
            let before = base.items.get(key);
            write_change(writes, &Key::FeedItem(*key), change.as_ref(), before);
            let is_there = is_indexed(change.as_ref());
            if is_there != is_indexed(before) {
                write_index(writes, &Key::FeedIndex(*key), presence(is_there));
            }
        }
        for key in self.listed.added.difference(&base.listed) {
            write_index(writes, &Key::FeedListed(*key), Presence::Added);
        }
        if self.listed.is_cleared {
            for key in base.listed.difference(&self.listed.added) {
                write_index(writes, &Key::FeedListed(*key), Presence::Removed);
            }
        }
        write_change(writes, &Key::Feed, stored(&self.state), stored(&base.state));
    }

    pub(crate) fn into_delta(self) -> FeedDelta {
        FeedDelta { state: self.state, items: self.items, listed: self.listed }
    }
}
