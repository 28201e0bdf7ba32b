//! What the ledger is told: the commands of its config feed, and how a large put becomes parts.

use crate::message::Item;

/// The longest body, in bytes.
pub const BODY_SIZE_MAX: usize = 4_096;
/// The longest id, in bytes.
pub const ID_SIZE_MAX: usize = 128;
/// The most ids that a put lists, all parts together.
pub const PUT_IDS_MAX: usize = 4_096;
/// The longest encoded command, in bytes.
const COMMAND_SIZE_MAX: usize = coalmine_core::COMMAND_SIZE_MAX;
/// What a put takes in bytes before its first item: its tag, its part and two counts.
const PUT_SIZE: usize = 6;
/// What an item takes besides its id and body: their lengths and the version.
const ITEM_SIZE: usize = 11;

/// The lists of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Environments.
    Environment,
    /// Filters.
    Filter,
}

/// Which part of a put a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Only,
    /// The first of several.
    First,
    /// One between the first and the last.
    More,
    /// The last of several.
    Last,
}

/// A command of the config feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What there is, or a part of it.
    Put {
        /// Which part.
        part: Part,
        /// Environments, their ids ascending.
        environments: Vec<(String, Item)>,
        /// Filters, their ids ascending.
        filters: Vec<(String, Item)>,
    },
    /// One item.
    Patch {
        /// Which list it is in.
        kind: Kind,
        /// Its id.
        id: String,
        /// What it is now.
        item: Item,
    },
    /// One item is gone.
    Delete {
        /// Which list it was in.
        kind: Kind,
        /// Its id.
        id: String,
        /// As of which version.
        version: u64,
    },
}

/// Whether the ledger takes an id.
#[must_use]
pub fn is_valid_id(id: &str) -> bool {
    (1..=ID_SIZE_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A put as one command, or as the parts that it takes: each is full, and no item is torn.
#[must_use]
pub fn put(environments: Vec<(String, Item)>, filters: Vec<(String, Item)>) -> Vec<Command> {
    let mut parts = vec![(Vec::new(), Vec::new())];
    let mut size = PUT_SIZE;
    let environments = environments.into_iter().map(|item| (Kind::Environment, item));
    let filters = filters.into_iter().map(|item| (Kind::Filter, item));
    for (kind, (id, item)) in environments.chain(filters) {
        let item_size = ITEM_SIZE.saturating_add(id.len()).saturating_add(item.body.len());
        size = size.saturating_add(item_size);
        if size > COMMAND_SIZE_MAX {
            size = PUT_SIZE.saturating_add(item_size);
            parts.push((Vec::new(), Vec::new()));
        }
        if let Some((environments, filters)) = parts.last_mut() {
            match kind {
                Kind::Environment => environments.push((id, item)),
                Kind::Filter => filters.push((id, item)),
            }
        }
    }
    let last = parts.len().saturating_sub(1);
    let part = |index: usize| match index {
        0 if last == 0 => Part::Only,
        0 => Part::First,
        _ if index == last => Part::Last,
        _ => Part::More,
    };
    let parts = parts.into_iter().enumerate();
    parts.map(|(index, (environments, filters))| Command::Put { part: part(index), environments, filters }).collect()
}
