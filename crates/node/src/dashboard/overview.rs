//! The first page: what is on its way, what has been rolled back, what is due, and everything else by name.

use askama::Template;
use coalmine_chart::ledger::{Range, overview};
use coalmine_chart::{Options, Theme};
use coalmine_core::{Name, PluginAction, query};

use crate::dashboard::page::{Frame, write};
use crate::dashboard::upcoming::{DueRow, due_row};
use crate::dashboard::view::{Failure, Query, View};
use crate::dashboard::words::{Row, feature_row, is_feature_open, plugin_row};

/// How many features or plugins a list has.
const ROWS_MAX: usize = 100;
/// How many of those on their way are listed.
const OPEN_MAX: usize = 200;
/// How many lanes the picture has.
const LANES_MAX: usize = 12;
/// With more features and plugins there is no picture of all of them: it would read the history of each.
const DRAWN_MAX: usize = 1_000;
/// How many blocks the picture shows.
const DRAWN_BLOCKS: u32 = 1_000;
/// At how many heights the page says what is due.
const DUE_MAX: usize = 6;
/// The widths of pictures: for wide screens, and for phones.
pub(super) const WIDE: u32 = 1_040;
pub(super) const NARROW: u32 = 328;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    /// What is on its way or rolled back.
    open: Vec<Row>,
    /// How many more there are of those.
    open_left: usize,
    features: List,
    plugins: List,
    wide: String,
    narrow: String,
    due: Vec<DueRow>,
    until: String,
}

/// Why something is listed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Open {
    /// A feature that is on its way or was rolled back.
    Feature,
    /// A plugin with a deployment.
    Deployed,
    /// A plugin whose last deployment was rolled back.
    RolledBack,
}

/// A list by name, in pages.
struct List {
    rows: Vec<Row>,
    /// The name behind which the next page begins.
    next: Option<String>,
    /// Whether this is not the first page.
    is_later: bool,
}

impl List {
    fn of(rows: impl Iterator<Item = Row>, after: Option<&Name>) -> Self {
        let mut rows: Vec<Row> = rows.take(ROWS_MAX.saturating_add(1)).collect();
        let has_more = rows.len() > ROWS_MAX;
        rows.truncate(ROWS_MAX);
        let next = rows.last().filter(|_| has_more).map(|row| row.name.clone());
        Self { rows, next, is_later: after.is_some() }
    }
}

/// The page.
pub(super) fn page(view: &View<'_>, query: &Query) -> Result<String, Failure> {
    let state = view.state();
    let after = |parameter: &'static str| -> Result<Option<Name>, Failure> {
        let parse = |text: &str| {
            text.parse().map_err(|_| Failure::Parameter { parameter, problem: format!("{text:?} is no name") })
        };
        query.text(parameter).map(parse).transpose()
    };
    let (after_feature, after_plugin) = (after("features_after")?, after("plugins_after")?);
    let row_of = |name: &Name| {
        let (feature, metrics, policy) = (state.feature(name)?, state.metrics(name)?, state.policy(name)?);
        Some(feature_row(feature, metrics, policy, view.height))
    };
    let plugin_row_of = |name: &Name, is_rolled_back| {
        let (plugin, deployment) = (state.plugin(name)?, state.deployment(name));
        Some(plugin_row(name, plugin, deployment, is_rolled_back, view.height))
    };
    // Rows are made of what is shown only: a ledger may have many more.
    let mut open: Vec<(Name, Open)> = Vec::new();
    let mut plugins: Vec<Name> = Vec::new();
    for (name, _) in state.plugins() {
        if state.deployment(name).is_some() {
            open.push((*name, Open::Deployed));
        } else if is_rolled_back(view, name)? {
            open.push((*name, Open::RolledBack));
        } else if after_plugin.is_none_or(|after| *name > after) && plugins.len() <= ROWS_MAX {
            plugins.push(*name);
        }
    }
    let open_features = state.features().filter(|feature| is_feature_open(feature.status));
    open.extend(open_features.map(|feature| (feature.name, Open::Feature)));
    open.sort_unstable();
    let open_left = open.len().saturating_sub(OPEN_MAX);
    let open = open.iter().take(OPEN_MAX).filter_map(|(name, open)| match open {
        Open::Feature => row_of(name),
        Open::Deployed => plugin_row_of(name, false),
        Open::RolledBack => plugin_row_of(name, true),
    });
    let open = open.collect();
    let settled = state.features().filter(|feature| !is_feature_open(feature.status));
    let settled = settled.filter(|feature| after_feature.is_none_or(|after| feature.name > after));
    let features = List::of(settled.filter_map(|feature| row_of(&feature.name)), after_feature.as_ref());
    let plugins = List::of(plugins.iter().filter_map(|name| plugin_row_of(name, false)), after_plugin.as_ref());
    let (wide, narrow) = lanes(view)?;
    let due = view.moment.due()?;
    write(&OverviewPage {
        frame: Frame::new(view, "/"),
        open,
        open_left,
        features,
        plugins,
        wide,
        narrow,
        due: due.upcoming.iter().take(DUE_MAX).map(|one| due_row(one, view.height)).collect(),
        until: coalmine_chart::number(due.until.into()),
    })
}

/// Whether the last thing that happened to a plugin without a deployment was a rollback.
pub(super) fn is_rolled_back(view: &View<'_>, name: &Name) -> Result<bool, Failure> {
    let last = query::last_plugin_change(view.records, name, view.height)?;
    Ok(last.is_some_and(|entry| matches!(entry.change.action, PluginAction::RolledBack | PluginAction::Reverted)))
}

/// The picture for wide screens and the one for phones; empty if there is nothing to draw, or too much.
fn lanes(view: &View<'_>) -> Result<(String, String), Failure> {
    let total = view.state().feature_count().saturating_add(view.state().plugin_count());
    if total == 0 || total > DRAWN_MAX {
        return Ok((String::new(), String::new()));
    }
    let from = view.height.saturating_sub(DRAWN_BLOCKS);
    let mut picture = overview(view.records, (Range { from: Some(from), to: None }, Some(view.height)), LANES_MAX)?;
    // The page says it above.
    picture.note = String::new();
    let draw = |width| {
        let drawn = coalmine_chart::overview(&picture, &Options { width, theme: Theme::Page });
        drawn.map_err(|error| Failure::Page(error.to_string()))
    };
    Ok((draw(WIDE)?, draw(NARROW)?))
}
