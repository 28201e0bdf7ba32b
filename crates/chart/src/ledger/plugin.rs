//! The timeline and the lane of a plugin.

use coalmine_core::query::PluginHistoryEntry;
use coalmine_core::{Deployment, Fault, Height, Name, PluginAction, PluginChange, PluginReason, Read, Version, query};

use crate::input::{Lane, Mark, MarkKind, Marks, Span, Subject, Timeline};
use crate::ledger::feature::NO_RATES;
use crate::ledger::words::{by, hold, spaced, why};
use crate::ledger::{Range, Recorder, visit_plugin_history};
use crate::text::{number, rate};
use crate::thin::Series;

/// More versions in a row are not told apart.
const SPANS_MAX: usize = 2_048;

/// The timeline of a plugin; `None` if there is no such plugin, or was none in the range.
///
/// Its error rates are those that `recorder` has seen; without one there are none.
///
/// # Errors
/// A fault of the source.
pub fn plugin_timeline(
    source: &impl Read,
    name: &Name,
    (range, tip): (Range, Option<Height>),
    recorder: Option<Recorder>,
) -> Result<Option<Timeline>, Fault> {
    let to = range.to.or(tip).unwrap_or(0);
    let history = History::read(source, name, (range.from.unwrap_or(0), to), recorder.is_some())?;
    let Some(first) = history.first else { return Ok(None) };
    let from = range.from.unwrap_or(first).min(to);
    let mut timeline = Timeline::new(Subject::Plugin, name.as_str(), from, to);
    let is_past = tip.is_some_and(|tip| to < tip);
    let deployment = if is_past { None } else { query::deployment(source, name)? };
    timeline.headline = history.headline(deployment.as_ref());
    timeline.share = history.share;
    timeline.marks = history.marks;
    timeline.versions = history.versions.into_iter().filter(|span| span.to.is_none_or(|end| end > from)).collect();
    match recorder {
        None => timeline.note = NO_RATES.into(),
        Some(mut recorder) => {
            let extra = std::mem::take(&mut recorder.marks);
            (timeline.rates, timeline.threshold, timeline.window) = recorder.finish();
            timeline.marks.merge(extra);
            if timeline.rates.iter().all(|curve| curve.series.is_empty()) {
                timeline.note = "Nothing was reported in these blocks, so there is no error rate.".into();
            }
        }
    }
    Ok(Some(timeline))
}

/// The lane of a plugin in an overview.
pub(super) fn lane(source: &impl Read, name: &Name, (from, to): (Height, Height)) -> Result<(Height, Lane), Fault> {
    let history = History::read(source, name, (from, to), false)?;
    let deployment = query::deployment(source, name)?;
    let is_rolled_back = deployment.is_none() && history.is_rolled_back;
    let now = match &deployment {
        Some(deployment) => format!("{}, {}", deployment.new, rate(deployment.share().get().into())),
        None if history.is_rolled_back => "rolled back".into(),
        None => history.current.as_ref().map(Version::to_string).unwrap_or_default(),
    };
    let sentence = history.headline(deployment.as_ref());
    let History { first, share, marks, .. } = history;
    let name = name.as_str().into();
    let lane = Lane { subject: Subject::Plugin, name, now, sentence, is_rolled_back, share, marks };
    Ok((first.unwrap_or(to), lane))
}

/// What the history of a plugin says.
struct History {
    from: Height,
    /// Whether pauses by a rule are told from events, which have the figures.
    has_events: bool,
    first: Option<Height>,
    share: Series,
    versions: Vec<Span>,
    marks: Marks,
    current: Option<Version>,
    /// Since when the current version is current.
    since: Height,
    /// Whether the last deployment was rolled back, or the current version was reverted to.
    is_rolled_back: bool,
    /// The last rollback or verdict in words.
    last_end: Option<(Height, String)>,
    /// The height of a verdict that has ended a deployment, unless a promotion follows in its block.
    concluded: Option<Height>,
}

impl History {
    fn read(source: &impl Read, name: &Name, (from, to): (Height, Height), has_events: bool) -> Result<Self, Fault> {
        let mut history = Self {
            from,
            has_events,
            first: None,
            share: Series::starting_at(from),
            versions: Vec::new(),
            marks: Marks::default(),
            current: None,
            since: 0,
            is_rolled_back: false,
            last_end: None,
            concluded: None,
        };
        visit_plugin_history(source, name, |entry| {
            if entry.height <= to {
                history.push(entry);
            }
        })?;
        history.end_concluded();
        Ok(history)
    }

    fn push(&mut self, entry: &PluginHistoryEntry) {
        let (height, change) = (entry.height, &entry.change);
        let share = u32::from(change.share.get());
        let is_first = self.first.is_none();
        self.first = self.first.or(Some(height));
        if change.action != PluginAction::Promoted || self.concluded != Some(height) {
            self.end_concluded();
        }
        match change.action {
            PluginAction::Registered => {
                if is_first {
                    self.set_current(height, &change.version);
                }
            }
            PluginAction::Deployed => {
                self.is_rolled_back = false;
                self.share.push(height, Some(share));
            }
            PluginAction::Staged | PluginAction::Paused | PluginAction::Resumed => self.share.push(height, Some(share)),
            PluginAction::Promoted => {
                self.share.push(height, Some(10_000));
                self.share.push(height, None);
                self.set_current(height, &change.version);
                self.is_rolled_back = false;
                if self.concluded.take().is_none() {
                    self.last_end = None;
                }
            }
            PluginAction::RolledBack => {
                self.share.push(height, Some(0));
                self.share.push(height, None);
                self.is_rolled_back = true;
                self.last_end = Some((height, sentence(change)));
            }
            PluginAction::Reverted => {
                self.set_current(height, &change.version);
                self.is_rolled_back = true;
                self.last_end = Some((height, sentence(change)));
            }
            PluginAction::Concluded => {
                self.concluded = Some(height);
                self.last_end = Some((height, sentence(change)));
            }
            PluginAction::Retired | PluginAction::Loaded | PluginAction::Unloaded | PluginAction::LoadFailed => {}
        }
        let is_paused_by_rule = change.action == PluginAction::Paused && change.reason != PluginReason::Manual;
        if height >= self.from && !(self.has_events && is_paused_by_rule) {
            let (kind, label) = label(change);
            self.marks.push(Mark::new(height, kind, label, sentence(change)));
        }
    }

    /// A verdict without a promotion has ended the deployment.
    fn end_concluded(&mut self) {
        if let Some(height) = self.concluded.take() {
            self.share.push(height, Some(0));
            self.share.push(height, None);
        }
    }

    fn set_current(&mut self, height: Height, version: &Version) {
        if let Some(last) = self.versions.last_mut() {
            last.to = Some(height);
        }
        // More changes than a strip has columns: the shortest spans are not seen anyway.
        if self.versions.len() >= SPANS_MAX {
            let mut index = 0_usize;
            self.versions.retain(|_| {
                index = index.saturating_add(1);
                index.is_multiple_of(2)
            });
        }
        self.versions.push(Span { from: height, to: None, name: version.to_string() });
        (self.current, self.since) = (Some(version.clone()), height);
    }

    fn headline(&self, deployment: Option<&Deployment>) -> String {
        let current = self.current.as_ref().map(Version::to_string).unwrap_or_default();
        let since = number(self.since.into());
        match (deployment, &self.last_end) {
            (Some(deployment), _) => format!(
                "{} serves {} of units since block {} ({}, stage {} of {}: {}), {current} the rest",
                deployment.new,
                rate(deployment.share().get().into()),
                number(deployment.stage_height.into()),
                spaced(deployment.strategy.name()),
                u32::from(deployment.stage).saturating_add(1),
                deployment.plan.stages().len(),
                hold(deployment.hold),
            ),
            (None, Some((height, end))) => {
                format!("Block {}: {end}. {current} serves all units", number((*height).into()))
            }
            (None, _) => format!("{current} serves all units since block {since}"),
        }
    }
}

fn label(change: &PluginChange) -> (MarkKind, String) {
    let version = &change.version;
    match change.action {
        PluginAction::Registered => (MarkKind::Note, format!("{version} registered")),
        PluginAction::Deployed => (MarkKind::Start, format!("deploy {version}")),
        PluginAction::Staged => (MarkKind::Step, rate(change.share.get().into())),
        PluginAction::Paused => (MarkKind::Hold, "paused".into()),
        PluginAction::Resumed => (MarkKind::Start, "resumed".into()),
        PluginAction::Promoted => (MarkKind::Complete, "promoted".into()),
        PluginAction::RolledBack => (MarkKind::Rollback, "rolled back".into()),
        PluginAction::Reverted => (MarkKind::Rollback, format!("back to {version}")),
        PluginAction::Concluded => match change.reason {
            PluginReason::Canary => (MarkKind::Complete, "new version won".into()),
            PluginReason::Production => (MarkKind::Rollback, "production won".into()),
            PluginReason::Inconclusive
            | PluginReason::None
            | PluginReason::Manual
            | PluginReason::ErrorRate
            | PluginReason::Regression
            | PluginReason::Timeout
            | PluginReason::Unhealthy
            | PluginReason::CircuitBreaker
            | PluginReason::Dependents
            | PluginReason::LoadError => (MarkKind::Rollback, "inconclusive".into()),
        },
        PluginAction::Retired => (MarkKind::Note, format!("{version} retired")),
        PluginAction::Loaded => (MarkKind::Note, "loaded".into()),
        PluginAction::Unloaded => (MarkKind::Note, "unloaded".into()),
        PluginAction::LoadFailed => (MarkKind::Hold, "load failed".into()),
    }
}

fn sentence(change: &PluginChange) -> String {
    let (version, why, by) = (&change.version, why(change), by(&change.actor));
    let share = rate(change.share.get().into());
    match change.action {
        PluginAction::Registered => format!("Version {version} was registered{by}"),
        PluginAction::Deployed => format!("Deployment of {version} started with {share} of units{by}"),
        PluginAction::Staged => format!("{version} went on to {share} of units"),
        PluginAction::Paused => format!("The deployment of {version} was paused at {share} of units{why}"),
        PluginAction::Resumed => format!("The deployment of {version} was resumed{by}"),
        PluginAction::Promoted => format!("{version} was promoted to all units{by}"),
        PluginAction::RolledBack => format!("{version} was rolled back{why}"),
        PluginAction::Reverted => format!("Reverted to {version}{why}"),
        PluginAction::Concluded => format!("The arms were compared{why}"),
        PluginAction::Retired => format!("{version} was disabled{by}"),
        PluginAction::Loaded => format!("{version} was loaded"),
        PluginAction::Unloaded => format!("{version} was unloaded"),
        PluginAction::LoadFailed => format!("{version} failed to load"),
    }
}
