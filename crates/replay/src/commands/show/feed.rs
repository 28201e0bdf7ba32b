//! `show` for the config feed.

use coalmine_answers as answers;
use coalmine_core::{FeedId, FeedKind, query};

use super::pages::{PAGE, pages};
use crate::error::Error;
use crate::output::Output;
use crate::source::Source;

/// The totals, then every item.
pub(super) fn feed(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the feed")?;
    out.row(answers::feed(&query::feed(source)?))?;
    for kind in FeedKind::ALL {
        pages(
            |after: Option<FeedId>| query::feed_items(source, *kind, after.as_ref(), PAGE),
            |(id, _)| *id,
            |(id, item)| out.row(answers::feed_item(*kind, *id, item)),
        )?;
    }
    Ok(())
}
