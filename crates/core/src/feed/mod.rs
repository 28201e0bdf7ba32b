//! The receiver of the config feed: what a message about an item does to the item.
//!
//! Messages come from outside and may be repeated, reordered or lost. Consumers still see a reliable
//! sequence: an item is never updated or deleted before it was inserted, and is deleted exactly once per
//! insert. [`upsert`], [`upsert_in_put`], [`delete`], [`mark`] and [`forget`] are all of the rules, one item
//! at a time. The commands of a ledger are built from them, and so is [`Receiver`], for a host that keeps
//! items of its own outside of the state.
//!
//! Not here: the open put, and the totals with their limits, which only a ledger has (`execute/feed.rs`).

pub(crate) mod record;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::feed::record::{FeedBody, FeedItem, FeedKey, FeedKind, ItemState};

/// What a message did to an item, as consumers of the feed see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedAction {
    /// The item exists from now on.
    Insert,
    /// The item has another version and body.
    Updated,
    /// The item no longer exists.
    Delete,
    /// Nothing changed for consumers, though the stored version may have grown.
    Noop,
}

impl FeedAction {
    /// Name in block files and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Updated => "updated",
            Self::Delete => "delete",
            Self::Noop => "noop",
        }
    }
}

/// The effect of a message on one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The new record; `None` if the record stays as it is.
    pub item: Option<FeedItem>,
    /// What consumers see of it.
    pub action: FeedAction,
}

impl Transition {
    const NONE: Self = Self { item: None, action: FeedAction::Noop };

    const fn to(version: u64, state: ItemState, action: FeedAction) -> Self {
        Self { item: Some(FeedItem { version, state }), action }
    }
}

/// Takes a message with the version and body of an item.
///
/// Only a newer version has an effect, so repeated and late messages do nothing. A live filter keeps its body.
#[must_use]
pub fn upsert(kind: FeedKind, stored: Option<&FeedItem>, version: u64, body: &FeedBody) -> Transition {
    let (state, action) = match stored {
        Some(stored) if version <= stored.version => return Transition::NONE,
        Some(FeedItem { state: ItemState::Live(own), .. }) => match kind {
            FeedKind::Environment => (body, FeedAction::Updated),
            FeedKind::Filter => (own, FeedAction::Noop),
        },
        Some(FeedItem { state: ItemState::Deleted | ItemState::Forgotten | ItemState::Unborn, .. }) | None => {
            (body, FeedAction::Insert)
        }
    };
    Transition::to(version, ItemState::Live(state.clone()), action)
}

/// Takes an entry of a put. A put lists everything that exists, so a forgotten item is treated as never seen.
#[must_use]
pub fn upsert_in_put(kind: FeedKind, stored: Option<&FeedItem>, version: u64, body: &FeedBody) -> Transition {
    upsert(kind, stored.filter(|item| item.state != ItemState::Forgotten), version, body)
}

/// Takes the message that an item was deleted. An unseen item is recorded too, as unborn, so that a late upsert is
/// ignored.
#[must_use]
pub fn delete(stored: Option<&FeedItem>, version: u64) -> Transition {
    let (state, action) = match stored {
        Some(stored) if version <= stored.version => return Transition::NONE,
        Some(FeedItem { state: ItemState::Live(_), .. }) => (ItemState::Deleted, FeedAction::Delete),
        Some(FeedItem { state: ItemState::Deleted | ItemState::Forgotten, .. }) => {
            (ItemState::Deleted, FeedAction::Noop)
        }
        Some(FeedItem { state: ItemState::Unborn, .. }) | None => (ItemState::Unborn, FeedAction::Noop),
    };
    Transition::to(version, state, action)
}

/// The record of an item that a finished put did not list, and what consumers see. It keeps its version, so that older
/// messages are still ignored. Of an unborn item nothing is kept: a message behind a put is newer than it.
#[must_use]
pub fn mark(stored: &FeedItem) -> (Option<FeedItem>, FeedAction) {
    let forgotten = FeedItem { version: stored.version, state: ItemState::Forgotten };
    match stored.state {
        ItemState::Live(_) => (Some(forgotten), FeedAction::Delete),
        ItemState::Deleted | ItemState::Forgotten => (Some(forgotten), FeedAction::Noop),
        ItemState::Unborn => (None, FeedAction::Noop),
    }
}

/// The action reported when an item's record is erased. Nothing is remembered, so any message counts again.
#[must_use]
pub fn forget(stored: Option<&FeedItem>) -> FeedAction {
    if stored.is_some_and(FeedItem::is_live) { FeedAction::Delete } else { FeedAction::Noop }
}

/// Items that a host keeps itself, outside of any ledger.
///
/// ```
/// use coalmine_core::feed::{FeedAction, Receiver};
/// use coalmine_core::{FeedBody, FeedKey, FeedKind};
///
/// let mut receiver = Receiver::default();
/// let key = FeedKey { kind: FeedKind::Environment, id: "env-1".parse()? };
/// assert_eq!(receiver.upsert(key, 2, &FeedBody::new(b"two")?), FeedAction::Insert);
/// assert_eq!(receiver.upsert(key, 1, &FeedBody::new(b"one")?), FeedAction::Noop);
/// assert_eq!(receiver.retain(|key| key.kind == FeedKind::Filter), [key]);
/// # Ok::<(), coalmine_core::ValueError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receiver {
    items: BTreeMap<FeedKey, FeedItem>,
}

impl Receiver {
    /// The record of an item, deleted and forgotten ones included.
    #[must_use]
    pub fn item(&self, key: &FeedKey) -> Option<&FeedItem> {
        self.items.get(key)
    }

    /// All records: environments first, then filters, each by id.
    pub fn items(&self) -> impl Iterator<Item = (&FeedKey, &FeedItem)> {
        self.items.iter()
    }

    /// Takes a message with the version and body of an item.
    pub fn upsert(&mut self, key: FeedKey, version: u64, body: &FeedBody) -> FeedAction {
        self.take(key, upsert(key.kind, self.items.get(&key), version, body))
    }

    /// Takes the message that an item was deleted.
    pub fn delete(&mut self, key: FeedKey, version: u64) -> FeedAction {
        self.take(key, delete(self.items.get(&key), version))
    }

    /// Erases the record of an item.
    pub fn forget(&mut self, key: &FeedKey) -> FeedAction {
        forget(self.items.remove(key).as_ref())
    }

    /// Erases the records of all matching items and returns those that were live.
    pub fn purge(&mut self, mut matches: impl FnMut(&FeedKey) -> bool) -> Vec<FeedKey> {
        let purged = self.items.extract_if(.., |key, _| matches(key));
        purged.filter(|(_, item)| forget(Some(item)) == FeedAction::Delete).map(|(key, _)| key).collect()
    }

    /// Erases the records of all items that do not match and returns those that were live.
    pub fn retain(&mut self, mut matches: impl FnMut(&FeedKey) -> bool) -> Vec<FeedKey> {
        self.purge(|key| !matches(key))
    }

    fn take(&mut self, key: FeedKey, Transition { item, action }: Transition) -> FeedAction {
        if let Some(item) = item {
            self.items.insert(key, item);
        }
        action
    }
}
