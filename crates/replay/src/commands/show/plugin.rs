//! `show` for plugins.

use coalmine_answers as answers;
use coalmine_core::{Height, Name, query};

use super::pages::{PAGE, pages};
use crate::error::Error;
use crate::output::Output;
use crate::source::Source;

/// Every plugin.
pub(super) fn plugins(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("plugins")?;
    pages(
        |after: Option<Name>| query::plugins(source, after.as_ref(), PAGE),
        |(name, _)| *name,
        |(name, plugin)| {
            let deployment = query::deployment(source, name)?;
            out.row(answers::plugin_standing(name, plugin, deployment.as_ref()))
        },
    )
}

/// One plugin.
pub(super) fn plugin(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    source.present("plugin")?;
    out.card(answers::plugin(source, name)?.ok_or_else(|| source.no_plugin(name))?)
}

/// What happened to a plugin.
pub(super) fn history(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    query::plugin(source, name)?.ok_or_else(|| source.no_plugin(name))?;
    let until = source.past.unwrap_or(Height::MAX);
    pages(
        |after| query::plugin_history(source, name, after, PAGE),
        |entry| (entry.height, entry.seq),
        |entry| if entry.height > until { Ok(()) } else { out.row(answers::plugin_change(entry)) },
    )
}
