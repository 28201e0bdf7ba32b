//! Pictures from a ledger.
//!
//! Shares and verdicts come from the histories in the records, so every store and dump has them. Error rates between them
//! are no part of the state: a [`Recorder`] takes them from the blocks as they are executed, in bounded memory however
//! many there are.

mod feature;
mod overview;
mod plugin;
mod recorder;
mod sample;
mod words;

use coalmine_core::query::{HistoryEntry, PluginHistoryEntry};
use coalmine_core::{Fault, Height, Name, Read, query};

pub use feature::feature_timeline;
pub use overview::{LANES_MAX, overview};
pub use plugin::plugin_timeline;
pub use recorder::Recorder;
pub use sample::{FeatureSample, PluginSample, Sample, WindowSample, samples};

/// How many entries of a history are read at once.
const PAGE: usize = 1_024;

/// The heights that a picture shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// The first one; `None`: where it begins.
    pub from: Option<Height>,
    /// The last one; `None`: the tip.
    pub to: Option<Height>,
}

/// Visits the history of a feature in order.
fn visit_history(source: &impl Read, name: &Name, mut visit: impl FnMut(&HistoryEntry)) -> Result<(), Fault> {
    let mut after = None;
    loop {
        let page = query::history(source, name, after, PAGE)?;
        page.iter().for_each(&mut visit);
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some((last.height, last.seq)),
            Some(_) | None => return Ok(()),
        }
    }
}

/// Visits the history of a plugin in order.
fn visit_plugin_history(
    source: &impl Read,
    name: &Name,
    mut visit: impl FnMut(&PluginHistoryEntry),
) -> Result<(), Fault> {
    let mut after = None;
    loop {
        let page = query::plugin_history(source, name, after, PAGE)?;
        page.iter().for_each(&mut visit);
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some((last.height, last.seq)),
            Some(_) | None => return Ok(()),
        }
    }
}
