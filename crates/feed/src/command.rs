//! What the ledger is told: the commands of its config feed, and how a large put becomes parts.

/// The most ids that one put lists, in all its parts.
pub const FEED_PUT_IDS_MAX: u32 = 4_096;

/// What an item of the feed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeedKind {
    /// An environment.
    Environment,
    /// A filter.
    Filter,
}

impl FeedKind {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Filter => "filter",
        }
    }
}

/// Which part of a put a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedPart {
    /// All of it.
    Only,
    /// The first of several.
    First,
    /// One in between.
    More,
    /// The last of several.
    Last,
}

/// A value that the ledger does not take.
#[derive(Debug)]
pub struct ValueError;

/// The id of an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedId(String);

impl FeedId {
    /// Checks the rule.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn new(id: &[u8]) -> Result<Self, ValueError> {
        let is_valid = (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
        if is_valid { Ok(Self(String::from_utf8_lossy(id).into())) } else { Err(ValueError) }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The content of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedBody(std::sync::Arc<[u8]>);

impl FeedBody {
    /// The longest body, in bytes.
    pub const LEN_MAX: usize = 4_096;

    /// Checks the length.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn new(bytes: &[u8]) -> Result<Self, ValueError> {
        if bytes.len() > Self::LEN_MAX { Err(ValueError) } else { Ok(Self(bytes.into())) }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Which item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedKey {
    /// What it is.
    pub kind: FeedKind,
    /// Its id.
    pub id: FeedId,
}

/// An item as a put lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// Its id.
    pub id: FeedId,
    /// Its version.
    pub version: u64,
    /// Its content.
    pub body: FeedBody,
}

/// A command of the config feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Tells all items of the feed, or a part of them.
    FeedPut {
        /// Which part.
        part: FeedPart,
        /// Environments, ids strictly ascending.
        environments: Vec<FeedEntry>,
        /// Filters, ids strictly ascending.
        filters: Vec<FeedEntry>,
    },
    /// Tells one item of the feed.
    FeedPatch {
        /// What it is.
        kind: FeedKind,
        /// Its id.
        id: FeedId,
        /// Its version.
        version: u64,
        /// Its content.
        body: FeedBody,
    },
    /// Tells that an item of the feed is gone.
    FeedDelete {
        /// What it is.
        kind: FeedKind,
        /// Its id.
        id: FeedId,
        /// The version at which it is gone.
        version: u64,
    },
}
// END OF STAND-IN

use coalmine_core::COMMAND_SIZE_MAX;

/// What a put takes in bytes before its first item: its tag, its part and two counts.
const PUT_SIZE: usize = 6;
/// What an item takes besides its id and body: their lengths and the version.
const ENTRY_SIZE: usize = 11;

/// A put as one command, or as the parts that it takes: each is full, and no item is torn.
#[must_use]
pub fn put(environments: Vec<FeedEntry>, filters: Vec<FeedEntry>) -> Vec<Command> {
    let mut parts = vec![(Vec::new(), Vec::new())];
    let mut size = PUT_SIZE;
    let environments = environments.into_iter().map(|entry| (FeedKind::Environment, entry));
    let filters = filters.into_iter().map(|entry| (FeedKind::Filter, entry));
    for (kind, entry) in environments.chain(filters) {
        let texts = entry.id.as_bytes().len().saturating_add(entry.body.as_bytes().len());
        let entry_size = ENTRY_SIZE.saturating_add(texts);
        size = size.saturating_add(entry_size);
        if size > COMMAND_SIZE_MAX {
            size = PUT_SIZE.saturating_add(entry_size);
            parts.push((Vec::new(), Vec::new()));
        }
        if let Some((environments, filters)) = parts.last_mut() {
            match kind {
                FeedKind::Environment => environments.push(entry),
                FeedKind::Filter => filters.push(entry),
            }
        }
    }
    let last = parts.len().saturating_sub(1);
    let part = |index: usize| match index {
        0 if last == 0 => FeedPart::Only,
        0 => FeedPart::First,
        _ if index == last => FeedPart::Last,
        _ => FeedPart::More,
    };
    let parts = parts.into_iter().enumerate();
    parts
        .map(|(index, (environments, filters))| Command::FeedPut { part: part(index), environments, filters })
        .collect()
}
