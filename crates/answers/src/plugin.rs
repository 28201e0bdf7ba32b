//! Plugins.

use coalmine_core::query::{self, PluginHistoryEntry};
use coalmine_core::{Deployment, DeploymentSummary, Fault, Name, Plugin, Read};
use coalmine_json::blockfile::PluginFacts;
use coalmine_json::render::{self, Fields};

use crate::answer::Answer;

/// A plugin in a list: its current version and a summary of its deployment.
#[must_use]
pub fn plugin_standing(name: &Name, plugin: &Plugin, deployment: Option<&Deployment>) -> Answer {
    let facts = PluginFacts { plugin: plugin.clone(), standing: DeploymentSummary::of(deployment) };
    Answer::new("plugin", Fields::new().text("name", name), render::plugin::summary(&facts))
}

/// A plugin with its deployment, plan and versions; `None` if there is none.
///
/// # Errors
/// The records cannot be read or are corrupt.
pub fn plugin(source: &impl Read, name: &Name) -> Result<Option<Answer>, Fault> {
    let Some(plugin) = query::plugin(source, name)? else { return Ok(None) };
    let deployment = query::deployment(source, name)?;
    let versions = query::plugin_versions(source, name)?;
    let card = render::plugin::card(name, &plugin, deployment.as_ref(), &versions);
    Ok(Some(Answer::single("plugin", card)))
}

/// An entry of the history of a plugin.
#[must_use]
pub fn plugin_change(entry: &PluginHistoryEntry) -> Answer {
    let id = Fields::new().with("height", entry.height).with("seq", entry.seq);
    Answer::new("plugin_change", id, render::plugin::change(&entry.change))
}
