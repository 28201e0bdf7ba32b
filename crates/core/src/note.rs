//! What a host may want to know of a transaction beyond its receipt and events.
//!
//! Notes are not part of consensus: they are in no outcome, no record and no root.

use crate::feed::FeedAction;
use crate::feed::record::{FeedId, FeedKind};
use crate::values::Name;

/// Something about a transaction that is not part of consensus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A message about an item of the feed did nothing that concerns anybody.
    Feed {
        /// What the item is.
        kind: FeedKind,
        /// Its id.
        id: FeedId,
        /// What the message did.
        action: FeedAction,
    },
    /// A load was refused, and this plugin is why: the missing one, the one that breaks its rule, and so on.
    Refused {
        /// The plugin.
        plugin: Name,
    },
}
