//! `show` for the config feed.

use coalmine_core::{FeedId, FeedKey, FeedKind, query};
use coalmine_json::render::{self, Fields};

use super::pages::{PAGE, pages};
use crate::error::Error;
use crate::output::Output;
use crate::source::Source;

/// The totals, then every item.
pub(super) fn feed(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the feed")?;
    out.row("feed", Fields::new(), render::feed(&query::feed(source)?))?;
    for kind in FeedKind::ALL {
        pages(
            |after: Option<FeedId>| query::feed_items(source, *kind, after.as_ref(), PAGE),
            |(id, _)| *id,
            |(id, item)| {
                out.row("feed_item", render::feed_key(&FeedKey { kind: *kind, id: *id }), render::feed_item(item))
            },
        )?;
    }
    Ok(())
}
