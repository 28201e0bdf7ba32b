//! Decoded reads of the feed.

use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind};
use crate::fault::Fault;
use crate::feed::record::{FeedId, FeedItem, FeedKey, FeedKind, FeedTotals};
use crate::key::{Key, KeyRange};
use crate::query::source::{Read, list, record};

/// Returns the totals of the feed; all zero if nothing is stored.
///
/// # Errors
/// A fault.
pub fn feed(source: &impl Read) -> Result<FeedTotals, Fault> {
    Ok(record(source, &Key::Feed)?.unwrap_or_default())
}

/// Returns the record of an item of the feed.
///
/// # Errors
/// A fault.
pub fn feed_item(source: &impl Read, kind: FeedKind, id: &FeedId) -> Result<Option<FeedItem>, Fault> {
    record(source, &Key::FeedItem(FeedKey { kind, id: *id }))
}

/// Lists at most `limit` items of one kind in id order, starting behind `after`.
///
/// # Errors
/// A fault.
pub fn feed_items(
    source: &impl Read,
    kind: FeedKind,
    after: Option<&FeedId>,
    limit: usize,
) -> Result<Vec<(FeedId, FeedItem)>, Fault> {
    let range = KeyRange::feed_items(kind).after(after.map(|id| Key::FeedItem(FeedKey { kind, id: *id })));
    list(source, &range, limit, |key, value| {
        let Key::FeedItem(FeedKey { id, .. }) = key else {
            return Err(DecodeError::whole(DecodeErrorKind::Mismatch));
        };
        Ok((id, FeedItem::from_bytes(value)?))
    })
}
