//! The config feed: items by kind and id, and what the open put has listed.
//!
//! A command works on a copy of the state, which is discarded if the command fails, so the limits on totals are
//! checked afterwards.

use std::collections::{BTreeMap, BTreeSet};

use coalmine_core::{Event, FeedId, FeedKind, Reject};

use crate::Model;
use crate::raw::FeedEntry;

const LIVE: u8 = 0;
const DELETED: u8 = 1;
const FORGOTTEN: u8 = 2;
/// Deleted before it ever was.
const UNBORN: u8 = 3;

/// The parts of a put; the one besides is more of one that is open.
const ONLY: u8 = 0;
const FIRST: u8 = 1;
const LAST: u8 = 3;

/// The most ids of a put, live items of both kinds, live items while a put is open, unborn ids of a kind, records of a
/// kind.
const LISTED_MAX: usize = 4_096;
const LIVE_MAX: usize = 4_096;
const LIVE_MAX_OPEN: usize = 8_192;
const UNBORN_MAX: usize = 4_096;
const RECORDS_MAX: usize = 65_536;

/// The kind (0 environment, 1 filter) and the id.
type Key = (u8, Vec<u8>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Feed {
    items: BTreeMap<Key, Item>,
    /// The items that the open put has listed, and those that patches have stored meanwhile; `None` if no put is open.
    put: Option<BTreeSet<Key>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    version: u128,
    tombstone: u8,
    body: Vec<u8>,
}

impl Model {
    pub(crate) fn feed_put(&mut self, part: u8, lists: &[Vec<FeedEntry>; 2]) -> Result<(), Reject> {
        let (only, first, last) = (part == ONLY, part == FIRST, part == LAST);
        if only || first {
            self.feed.put = Some(BTreeSet::new());
        }
        if self.feed.put.is_none() {
            return Err(Reject::FeedPutNotOpen);
        }
        for (kind, list) in [0, 1].into_iter().zip(lists) {
            for FeedEntry { id, version, body } in list {
                let key = (kind, id.clone());
                if self.feed.items.get(&key).is_some_and(|item| item.tombstone == FORGOTTEN) {
                    self.feed.items.remove(&key);
                }
                self.feed_upsert(&key, *version, body);
                self.feed.put.as_mut().unwrap().insert(key);
            }
        }
        if only || last {
            let listed = self.feed.put.take().unwrap();
            if listed.len() > LISTED_MAX {
                return Err(Reject::FeedTooManyItems);
            }
            for (key, item) in self.feed.items.clone() {
                if listed.contains(&key) || item.tombstone == FORGOTTEN {
                    continue;
                }
                if item.tombstone == UNBORN {
                    self.feed.items.remove(&key);
                    continue;
                }
                if item.tombstone == LIVE {
                    self.tell_feed(&key, "delete", item.version);
                }
                self.feed.items.insert(key, Item { tombstone: FORGOTTEN, body: Vec::new(), ..item });
            }
            self.events.push(Event::FeedReceivedAll);
        }
        self.feed_totals()
    }

    pub(crate) fn feed_patch(&mut self, kind: u8, id: &[u8], version: u64, body: &[u8]) -> Result<(), Reject> {
        let key = (kind, id.to_vec());
        let before = self.feed.items.get(&key).cloned();
        self.feed_upsert(&key, version, body);
        self.retain_if_stored(key, before);
        self.feed_totals()
    }

    /// What a patch or a delete stores while a put is open counts as listed by it.
    fn retain_if_stored(&mut self, key: Key, before: Option<Item>) {
        let is_stored = self.feed.items.get(&key) != before.as_ref();
        if let Some(listed) = &mut self.feed.put
            && is_stored
        {
            listed.insert(key);
        }
    }

    /// Inserts or updates an item, by the table in RULES.md.
    fn feed_upsert(&mut self, key: &Key, version: u64, body: &[u8]) {
        let version = u128::from(version);
        let (mut body, mut action) = (body.to_vec(), "insert");
        if let Some(stored) = self.feed.items.get(key) {
            if version <= stored.version {
                return;
            }
            if stored.tombstone == LIVE {
                action = "updated";
                if key.0 == 1 {
                    (body, action) = (stored.body.clone(), "noop");
                }
            }
        }
        self.feed.items.insert(key.clone(), Item { version, tombstone: LIVE, body });
        self.tell_feed(key, action, version);
    }

    pub(crate) fn feed_delete(&mut self, kind: u8, id: &[u8], version: u64) -> Result<(), Reject> {
        let key = (kind, id.to_vec());
        let version = u128::from(version);
        let before = self.feed.items.get(&key).cloned();
        if before.as_ref().is_some_and(|stored| version <= stored.version) {
            return Ok(());
        }
        let tombstone = match &before {
            None | Some(Item { tombstone: UNBORN, .. }) => UNBORN,
            Some(_) => DELETED,
        };
        self.feed.items.insert(key.clone(), Item { version, tombstone, body: Vec::new() });
        if before.as_ref().is_some_and(|stored| stored.tombstone == LIVE) {
            self.tell_feed(&key, "delete", version);
        }
        self.retain_if_stored(key, before);
        self.feed_totals()
    }

    pub(crate) fn feed_forget(&mut self, kind: u8, ids: &[Vec<u8>]) -> Result<(), Reject> {
        for id in ids {
            let key = (kind, id.clone());
            if let Some(Item { version, tombstone: LIVE, .. }) = self.feed.items.remove(&key) {
                self.tell_feed(&key, "delete", version);
            }
        }
        self.feed_totals()
    }

    fn feed_totals(&self) -> Result<(), Reject> {
        let feed = &self.feed;
        let live = feed.count(0, Some(LIVE)) + feed.count(1, Some(LIVE));
        let is_within = feed.put.as_ref().is_none_or(|listed| listed.len() <= LISTED_MAX)
            && live <= if feed.is_open() { LIVE_MAX_OPEN } else { LIVE_MAX }
            && [0, 1]
                .into_iter()
                .all(|kind| feed.count(kind, Some(UNBORN)) <= UNBORN_MAX && feed.count(kind, None) <= RECORDS_MAX);
        if is_within { Ok(()) } else { Err(Reject::FeedTooManyItems) }
    }

    fn tell_feed(&mut self, (kind, id): &Key, action: &str, version: u128) {
        let kind = [FeedKind::Environment, FeedKind::Filter][usize::from(*kind)];
        let (id, version) = (FeedId::new(id).expect("the id was checked"), version as u64);
        match action {
            "insert" => self.events.push(Event::FeedInsert { kind, id, version }),
            "updated" => self.events.push(Event::FeedUpdated { kind, id, version }),
            "delete" => self.events.push(Event::FeedDelete { kind, id, version }),
            _ => {}
        }
    }

    /// The stored version, state tag and body of an item.
    #[must_use]
    pub fn feed_item(&self, kind: u8, id: &[u8]) -> Option<(u64, u8, &[u8])> {
        let item = self.feed.items.get(&(kind, id.to_vec()))?;
        Some((item.version as u64, item.tombstone, &item.body))
    }
}

impl Feed {
    /// How many items of a kind there are, or how many with this tombstone.
    fn count(&self, kind: u8, tombstone: Option<u8>) -> usize {
        let of_kind = self.items.iter().filter(|(key, _)| key.0 == kind);
        of_kind.filter(|(_, item)| tombstone.is_none_or(|tombstone| item.tombstone == tombstone)).count()
    }

    /// The items that this part of a put makes work with, besides those that it lists.
    pub(crate) fn items_of_put(&self, part: u8) -> usize {
        let all = self.count(0, None) + self.count(1, None);
        let listed = self.put.as_ref().map_or(0, BTreeSet::len);
        match part {
            ONLY => all + listed,
            FIRST => listed,
            LAST => all,
            _ => 0,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.put.is_some()
    }

    /// Every key under DE with its value.
    pub(crate) fn entries(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let key = |section: u8, (kind, id): &Key| [&[0xDE, section + kind], &id[..]].concat();
        let mut entries = BTreeMap::new();
        for (of, item) in &self.items {
            let mut value = (item.version as u64).to_be_bytes().to_vec();
            value.push(item.tombstone);
            value.extend((item.body.len() as u32).to_be_bytes());
            value.extend(&item.body);
            entries.insert(key(0, of), value);
            if item.tombstone != FORGOTTEN {
                entries.insert(key(2, of), Vec::new());
            }
        }
        for of in self.put.iter().flatten() {
            entries.insert(key(4, of), Vec::new());
        }
        let listed = self.put.as_ref().map_or(0, BTreeSet::len);
        let mut totals = vec![u8::from(self.put.is_some())];
        let of_each = |tombstone| [self.count(0, tombstone), self.count(1, tombstone)];
        for total in
            [of_each(Some(LIVE)), of_each(None)].into_iter().flatten().chain([listed]).chain(of_each(Some(UNBORN)))
        {
            totals.extend((total as u32).to_be_bytes());
        }
        if totals.iter().any(|byte| *byte != 0) {
            entries.insert(vec![0xDE], totals);
        }
        entries
    }
}
