//! The config feed in a ledger: what the state holds of it, what a block changes, and its commands.
//!
//! A record is written once, when the block ends, and the index follows from the records then. Only
//! a put that ends needs the index before, so its working copy is made then. No command changes
//! anything before it is certain to succeed: totals are added up first.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::event::Event;
use crate::execute::Presence;
use crate::execute::finish::{write_change, write_index};
use crate::feed::{
    self, FEED_LIVE_MAX, FEED_PUT_IDS_MAX, FeedAction, FeedBody, FeedEntry, FeedId, FeedItem, FeedKey, FeedKind,
    FeedPart, FeedState, Transition,
};
use crate::key::Key;
use crate::note::Note;
use crate::overlay::{Changes, Overlay, put_back};
use crate::reject::Reject;
use crate::state::{index, set};
use crate::writes::WriteSet;

/// The feed as the last block left it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feed {
    pub(crate) state: FeedState,
    pub(crate) items: BTreeMap<FeedKey, FeedItem>,
    /// The ids that are live or deleted.
    pub(crate) index: BTreeSet<FeedKey>,
    /// The ids that the open put retains.
    pub(crate) listed: BTreeSet<FeedKey>,
}

/// What a block changes in the feed.
#[derive(Debug, Clone)]
pub(crate) struct FeedDelta {
    state: FeedState,
    items: Changes<FeedKey, FeedItem>,
    listed: Listed,
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

    /// The first record that contradicts the items: the index must be theirs, and the totals too, and within the limits
    /// that every command keeps. Beyond them each further command would be refused.
    pub(crate) fn contradiction(&self) -> Option<Key> {
        let indexed = self.items.iter().filter(|(_, item)| item.is_indexed()).map(|(key, _)| *key).collect();
        if let Some(key) = self.index.symmetric_difference(&indexed).next() {
            return Some(Key::FeedIndex(*key));
        }
        let listed = u32::try_from(self.listed.len()).unwrap_or(u32::MAX);
        let mut state = FeedState { open: self.state.open, listed, ..FeedState::default() };
        self.items.iter().for_each(|(key, item)| state.count(key.kind, None, Some(item)));
        (state != self.state || !state.is_within_limits()).then_some(Key::Feed)
    }
}

fn is_indexed(item: Option<&FeedItem>) -> bool {
    item.is_some_and(FeedItem::is_indexed)
}

const fn presence(is_there: bool) -> Presence {
    if is_there { Presence::Added } else { Presence::Removed }
}

/// How the block has changed what the open put retains.
#[derive(Debug, Clone, Default)]
struct Listed {
    /// Whether everything that the state has is gone.
    is_cleared: bool,
    /// What was added since; nothing of it is in the state, unless that is gone.
    added: BTreeSet<FeedKey>,
}

#[derive(Debug)]
enum Undo {
    Item(FeedKey, Option<Option<FeedItem>>),
    Listed(FeedKey),
    Cleared(Listed),
}

/// The feed as the block sees it.
#[derive(Debug)]
pub(crate) struct FeedOverlay<'a> {
    base: &'a Feed,
    pub(crate) state: FeedState,
    items: Changes<FeedKey, FeedItem>,
    /// Made when a put first ends in the block, and kept up from then on: a block of many puts
    /// pays for what each of them finds, and for the index of the state once.
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

    /// Undoes what the transaction did; the totals go back to `state`.
    pub(crate) fn undo(&mut self, state: FeedState) {
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

    fn item(&self, key: &FeedKey) -> Option<&FeedItem> {
        match self.items.get(key) {
            Some(change) => change.as_ref(),
            None => self.base.items.get(key),
        }
    }

    /// Sets or erases a record and counts it.
    fn set_item(&mut self, key: FeedKey, item: Option<FeedItem>) {
        let mut state = self.state;
        state.count(key.kind, self.item(&key), item.as_ref());
        self.state = state;
        let before = self.items.insert(key, item);
        self.journal.push(Undo::Item(key, before));
        self.follow(key);
    }

    /// Stores the record that a message has made, if it has made one, and gives its version.
    fn store(&mut self, key: FeedKey, item: Option<FeedItem>) -> u64 {
        let Some(item) = item else { return 0 };
        let version = item.version;
        self.set_item(key, Some(item));
        version
    }

    /// Puts the item into the index, if there is one yet, or takes it out.
    fn follow(&mut self, key: FeedKey) {
        let presence = presence(is_indexed(self.item(&key)));
        if let Some(entries) = &mut self.index {
            index(entries, key, presence);
        }
    }

    /// The items that a put which ends now does not retain.
    fn unlisted(&mut self) -> Vec<(FeedKey, Transition)> {
        if self.index.is_none() {
            let mut entries = self.base.index.clone();
            for (key, item) in &self.items {
                index(&mut entries, *key, presence(is_indexed(item.as_ref())));
            }
            self.index = Some(entries);
        }
        let unlisted = self.index.iter().flatten().filter(|key| !self.is_listed(key));
        unlisted.filter_map(|key| Some((*key, feed::mark(self.item(key)?)))).collect()
    }

    fn is_listed(&self, key: &FeedKey) -> bool {
        self.listed.added.contains(key) || (!self.listed.is_cleared && self.base.listed.contains(key))
    }

    /// Lets the open put retain an id.
    fn list(&mut self, key: FeedKey) {
        if !self.is_listed(&key) {
            self.state.listed = self.state.listed.saturating_add(1);
            self.listed.added.insert(key);
            self.journal.push(Undo::Listed(key));
        }
    }

    fn clear_listed(&mut self) {
        self.state.listed = 0;
        let before = core::mem::replace(&mut self.listed, Listed { is_cleared: true, added: BTreeSet::new() });
        self.journal.push(Undo::Cleared(before));
    }

    /// Writes what has changed, each record and index entry once.
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
        let stored = |state: FeedState| (state != FeedState::default()).then_some(state);
        write_change(writes, &Key::Feed, stored(self.state).as_ref(), stored(base.state).as_ref());
    }

    pub(crate) fn into_delta(self) -> FeedDelta {
        FeedDelta { state: self.state, items: self.items, listed: self.listed }
    }
}

const _: () = assert!(FEED_PUT_IDS_MAX <= FEED_LIVE_MAX, "what a put retains may be live");

impl Overlay<'_> {
    /// Upserts what a put or a part of it lists; what no part has listed is forgotten at its end.
    pub(crate) fn feed_put(
        &mut self,
        part: FeedPart,
        environments: &[FeedEntry],
        filters: &[FeedEntry],
    ) -> Result<(), Reject> {
        if !part.is_begin() && !self.feed.state.open {
            return Err(Reject::FeedPutNotOpen);
        }
        let mut totals = self.feed.state;
        totals.open = true;
        if part.is_begin() {
            totals.listed = 0;
        }
        let mut upserts = Vec::new();
        let lists = [(FeedKind::Environment, environments), (FeedKind::Filter, filters)];
        for (kind, FeedEntry { id, version, body }) in
            lists.into_iter().flat_map(|(kind, entries)| entries.iter().map(move |entry| (kind, entry)))
        {
            let key = FeedKey { kind, id: *id };
            let stored = self.feed.item(&key);
            let transition = feed::upsert_in_put(kind, stored, *version, body);
            totals.count(kind, stored, transition.item.as_ref().or(stored));
            let is_listed = !part.is_begin() && self.feed.is_listed(&key);
            totals.listed = totals.listed.saturating_add(u32::from(!is_listed));
            upserts.push((key, transition));
        }
        // What is live when a put ends is among the ids that it retains, and their limit is not above
        // that of live items: nothing can fail at the end.
        if !totals.is_within_limits() {
            return Err(Reject::FeedTooManyItems);
        }
        if part.is_begin() {
            self.feed.clear_listed();
        }
        self.feed.state.open = true;
        for (key, transition) in upserts {
            self.feed.list(key);
            self.receive(key, transition);
        }
        if part.is_end() {
            self.end_put();
        }
        Ok(())
    }

    fn end_put(&mut self) {
        for (key, Transition { item, action }) in self.feed.unlisted() {
            let version = self.feed.store(key, item);
            // A mark on what was deleted already is no news to anybody, and no message was about it.
            if action != FeedAction::Noop {
                self.tell(key, version, action);
            }
        }
        self.feed.clear_listed();
        self.feed.state.open = false;
        self.events.push(Event::FeedReceivedAll);
    }

    /// Upserts one item. An open put retains it: it may be newer than what the put will list.
    pub(crate) fn feed_patch(
        &mut self,
        kind: FeedKind,
        id: FeedId,
        version: u64,
        body: &FeedBody,
    ) -> Result<(), Reject> {
        let key = FeedKey { kind, id };
        let transition = feed::upsert(kind, self.feed.item(&key), version, body);
        let is_retained = self.feed.state.open && transition.item.is_some();
        let is_new = is_retained && !self.feed.is_listed(&key);
        self.check_totals(&key, &transition, u32::from(is_new))?;
        if is_retained {
            self.feed.list(key);
        }
        self.receive(key, transition);
        Ok(())
    }

    /// Deletes one item, seen or not.
    pub(crate) fn feed_delete(&mut self, kind: FeedKind, id: FeedId, version: u64) -> Result<(), Reject> {
        let key = FeedKey { kind, id };
        let transition = feed::delete(self.feed.item(&key), version);
        self.check_totals(&key, &transition, 0)?;
        self.receive(key, transition);
        Ok(())
    }

    /// Erases the records of items: the only way in which a mark goes.
    pub(crate) fn feed_forget(&mut self, kind: FeedKind, ids: &[FeedId]) -> Result<(), Reject> {
        for id in ids {
            let key = FeedKey { kind, id: *id };
            let stored = self.feed.item(&key);
            let (version, action) = (stored.map(|item| item.version).unwrap_or_default(), feed::forget(stored));
            self.feed.set_item(key, None);
            self.tell(key, version, action);
        }
        Ok(())
    }

    /// Whether the totals stay within their limits by a transition and ids that the open put retains by it.
    fn check_totals(&self, key: &FeedKey, transition: &Transition, listed: u32) -> Result<(), Reject> {
        let mut totals = self.feed.state;
        let stored = self.feed.item(key);
        totals.count(key.kind, stored, transition.item.as_ref().or(stored));
        totals.listed = totals.listed.saturating_add(listed);
        if totals.is_within_limits() { Ok(()) } else { Err(Reject::FeedTooManyItems) }
    }

    fn receive(&mut self, key: FeedKey, Transition { item, action }: Transition) {
        let version = self.feed.store(key, item);
        self.tell(key, version, action);
    }

    /// An event for what concerns others, a note for what does not.
    fn tell(&mut self, FeedKey { kind, id }: FeedKey, version: u64, action: FeedAction) {
        match action {
            FeedAction::Insert => self.events.push(Event::FeedInsert { kind, id, version }),
            FeedAction::Updated => self.events.push(Event::FeedUpdated { kind, id, version }),
            FeedAction::Delete => self.events.push(Event::FeedDelete { kind, id, version }),
            FeedAction::Noop => self.note(Note::Feed { kind, id, action }),
        }
    }
}
