//! `show` for plugins.

use coalmine_core::{DeploymentSummary, Height, Name, query};
use coalmine_json::blockfile::PluginFacts;
use coalmine_json::render::{self, Fields};

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
            let standing = DeploymentSummary::of(query::deployment(source, name)?.as_ref());
            let facts = PluginFacts { plugin: plugin.clone(), standing };
            out.row("plugin", Fields::new().text("name", name), render::plugin::summary(&facts))
        },
    )
}

/// One plugin.
pub(super) fn plugin(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    source.present("plugin")?;
    let plugin = query::plugin(source, name)?.ok_or_else(|| source.no_plugin(name))?;
    let deployment = query::deployment(source, name)?;
    let versions = query::plugin_versions(source, name)?;
    out.card("plugin", render::plugin::card(name, &plugin, deployment.as_ref(), &versions))
}

/// What happened to a plugin.
pub(super) fn history(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    query::plugin(source, name)?.ok_or_else(|| source.no_plugin(name))?;
    let until = source.past.unwrap_or(Height::MAX);
    pages(
        |after| query::plugin_history(source, name, after, PAGE),
        |entry| (entry.height, entry.seq),
        |entry| {
            if entry.height > until {
                return Ok(());
            }
            let id = Fields::new().with("height", entry.height).with("seq", entry.seq);
            out.row("plugin_change", id, render::plugin::change(&entry.change))
        },
    )
}
