//! Diagnostics: what a host may want to know about a transaction beyond its receipt and events.
//!
//! Notes are not part of consensus: no outcome, record or root contains them.

use crate::feed::FeedAction;
use crate::feed::record::{FeedId, FeedKind};
use crate::values::Name;

/// A diagnostic about a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A message about a feed item changed nothing that consumers can see.
    Feed {
        /// Environment or filter.
        kind: FeedKind,
        /// The id of the item, unique within its kind.
        id: FeedId,
        /// What the message did: a no-op for consumers, though it may have raised the stored version.
        action: FeedAction,
    },
    /// A load was rejected because of this plugin: it is missing, violates its constraint, closes a cycle, ….
    Refused {
        /// The plugin that the walk over requirements failed at.
        plugin: Name,
    },
}
