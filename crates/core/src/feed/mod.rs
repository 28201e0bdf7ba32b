//! The receiver of the config feed: what a message about an item makes of the item.
//!
//! Messages come from outside and may repeat, change their order or get lost. What is received is a
//! reliable sequence all the same: an item is never updated or deleted before it was inserted, and it
//! is deleted exactly once per insert. [`upsert`], [`upsert_in_put`], [`delete`], [`mark`] and
//! [`forget`] are the whole rule, one item at a time. The commands of a ledger are made of them, and
//! so is [`Receiver`], which is for a host that keeps items of its own outside of the state.
//!
//! Not here: the open put, the totals and their limits, which a ledger alone has (`execute/feed.rs`).

pub(crate) mod record;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::feed::record::{FeedBody, FeedItem, FeedKey, FeedKind, ItemState};

/// What a message did to an item, for whoever follows the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedAction {
    /// The item is there from now on.
    Insert,
    /// It has another version and body.
    Updated,
    /// It is gone from now on.
    Delete,
    /// Nothing that concerns anybody.
    Noop,
}

impl FeedAction {
    /// The name in fixtures and output.
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

/// What becomes of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Its new record; none when it stays as it is.
    pub item: Option<FeedItem>,
    /// What that means.
    pub action: FeedAction,
}

impl Transition {
    const NONE: Self = Self { item: None, action: FeedAction::Noop };

    const fn to(version: u64, state: ItemState, action: FeedAction) -> Self {
        Self { item: Some(FeedItem { version, state }), action }
    }
}

/// A message that tells version and body of an item.
#[must_use]
pub fn upsert(kind: FeedKind, stored: Option<&FeedItem>, version: u64, body: &FeedBody) -> Transition {
    let (state, action) = match stored {
        Some(stored) if version <= stored.version => return Transition::NONE,
        Some(FeedItem { state: ItemState::Live(own), .. }) => match kind {
            FeedKind::Environment => (body, FeedAction::Updated),
            FeedKind::Filter => (own, FeedAction::Noop),
        },
        Some(FeedItem { state: ItemState::Deleted | ItemState::Forgotten, .. }) | None => (body, FeedAction::Insert),
    };
    Transition::to(version, ItemState::Live(state.clone()), action)
}

/// The same as part of a put, which is the whole truth: what an earlier put has forgotten is as unseen.
#[must_use]
pub fn upsert_in_put(kind: FeedKind, stored: Option<&FeedItem>, version: u64, body: &FeedBody) -> Transition {
    upsert(kind, stored.filter(|item| item.state != ItemState::Forgotten), version, body)
}

/// A message that an item is gone.
#[must_use]
pub fn delete(stored: Option<&FeedItem>, version: u64) -> Transition {
    let action = match stored {
        Some(stored) if version <= stored.version => return Transition::NONE,
        Some(FeedItem { state: ItemState::Live(_), .. }) => FeedAction::Delete,
        Some(FeedItem { state: ItemState::Deleted | ItemState::Forgotten, .. }) | None => FeedAction::Noop,
    };
    Transition::to(version, ItemState::Deleted, action)
}

/// A put has ended and not listed the item. Its version stays, so that older messages stay without effect.
#[must_use]
pub fn mark(stored: &FeedItem) -> Transition {
    let action = match stored.state {
        ItemState::Live(_) => FeedAction::Delete,
        ItemState::Deleted => FeedAction::Noop,
        ItemState::Forgotten => return Transition::NONE,
    };
    Transition::to(stored.version, ItemState::Forgotten, action)
}

/// What it means that the record of an item is erased.
#[must_use]
pub fn forget(stored: Option<&FeedItem>) -> FeedAction {
    if stored.is_some_and(FeedItem::is_live) { FeedAction::Delete } else { FeedAction::Noop }
}

/// Items that a host keeps for itself, outside of any state.
///
/// ```
/// use coalmine_core::feed::{FeedAction, FeedBody, FeedKey, FeedKind, Receiver};
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
    /// What is known of an item.
    #[must_use]
    pub fn item(&self, key: &FeedKey) -> Option<&FeedItem> {
        self.items.get(key)
    }

    /// All items, environments first, by id.
    pub fn items(&self) -> impl Iterator<Item = (&FeedKey, &FeedItem)> {
        self.items.iter()
    }

    /// Takes a version and body of an item.
    pub fn upsert(&mut self, key: FeedKey, version: u64, body: &FeedBody) -> FeedAction {
        self.take(key, upsert(key.kind, self.items.get(&key), version, body))
    }

    /// Takes the message that an item is gone.
    pub fn delete(&mut self, key: FeedKey, version: u64) -> FeedAction {
        self.take(key, delete(self.items.get(&key), version))
    }

    /// Erases what is known of an item.
    pub fn forget(&mut self, key: &FeedKey) -> FeedAction {
        forget(self.items.remove(key).as_ref())
    }

    /// Forgets every matching item and returns those that were live.
    pub fn purge(&mut self, mut matches: impl FnMut(&FeedKey) -> bool) -> Vec<FeedKey> {
        let purged = self.items.extract_if(.., |key, _| matches(key));
        purged.filter(|(_, item)| forget(Some(item)) == FeedAction::Delete).map(|(key, _)| key).collect()
    }

    /// Forgets every item that does not match and returns those that were live.
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
