//! From the items of a put to commands of the ledger: one, or several parts for a large put.

use coalmine_core::{COMMAND_SIZE_MAX, Command, FeedEntry, FeedKind, FeedPart, Valid, ValueError};

/// The bytes of a put before its first item: its tag, its part and two counts.
const PUT_SIZE: usize = 6;
/// The bytes of an item besides its id and body: their lengths and the version.
const ENTRY_SIZE: usize = 11;

/// A put as one command, or as parts: every part but the last is full, and no item is split.
///
/// # Errors
/// [`ValueError::List`] if the ids of a list do not ascend.
pub fn put(environments: Vec<FeedEntry>, filters: Vec<FeedEntry>) -> Result<Vec<Command>, ValueError> {
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
        .map(|(index, (environments, filters))| {
            let (environments, filters) = (Valid::new(environments)?, Valid::new(filters)?);
            Ok(Command::FeedPut { part: part(index), environments, filters })
        })
        .collect()
}
