//! The timeline and the lane of a feature.

use coalmine_core::query::HistoryEntry;
use coalmine_core::{Cause, Change, Fault, Height, Name, Read, Status, blocks_to_step, query};

use crate::input::{Lane, Mark, MarkKind, Marks, Subject, Timeline};
use crate::ledger::words::{bps, by, rollback};
use crate::ledger::{Range, Recorder, visit_history};
use crate::text::{number, rate};
use crate::thin::Series;

/// The timeline of a feature; `None` if there is no such feature, or was none in the range.
///
/// Its error rates are those that `recorder` has seen; without one there are none.
///
/// # Errors
/// A fault of the source.
pub fn feature_timeline(
    source: &impl Read,
    name: &Name,
    (range, tip): (Range, Option<Height>),
    recorder: Option<Recorder>,
) -> Result<Option<Timeline>, Fault> {
    let to = range.to.or(tip).unwrap_or(0);
    let mut history = History::new(range.from.unwrap_or(0));
    let mut first = None;
    visit_history(source, name, |entry| {
        if entry.height <= to {
            first = first.or(Some(entry.height));
            history.push(entry);
        }
    })?;
    let (Some(first), Some((since, last))) = (first, history.last) else { return Ok(None) };
    let is_past = tip.is_some_and(|tip| to < tip);
    let from = range.from.unwrap_or(first).min(to);
    let mut timeline = Timeline::new(Subject::Feature, name.as_str(), from, to);
    timeline.headline = sentence(&last, since, false);
    if !is_past && last.status.is_on() {
        timeline.headline.push_str(&progress(source, name, to)?);
    }
    timeline.share = history.share;
    timeline.marks = history.marks;
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

/// What is said where the rates of the past are not known.
pub(super) const NO_RATES: &str =
    "A store or dump has no error rates of the past: those are in the blocks, so plot the block file to see them.";

/// The lane of a feature in an overview.
pub(super) fn lane(source: &impl Read, name: &Name, (from, to): (Height, Height)) -> Result<(Height, Lane), Fault> {
    let mut history = History::new(from);
    let mut first = None;
    visit_history(source, name, |entry| {
        if entry.height <= to {
            first = first.or(Some(entry.height));
            history.push(entry);
        }
    })?;
    let (mut sentence_of, mut now, mut is_rolled_back) = (String::new(), String::new(), false);
    if let Some((since, last)) = history.last {
        sentence_of = sentence(&last, since, false);
        is_rolled_back = last.status == Status::RolledBack;
        now = match last.status {
            Status::Disabled => "off".into(),
            Status::Canary => format!("canary, {}", percent(&last)),
            Status::RollingOut => format!("rolling out, {}", percent(&last)),
            Status::Enabled => "on".into(),
            Status::RolledBack => "rolled back".into(),
        };
    }
    let lane = Lane {
        subject: Subject::Feature,
        name: name.as_str().into(),
        now,
        sentence: sentence_of,
        is_rolled_back,
        share: history.share,
        marks: history.marks,
    };
    Ok((first.unwrap_or(to), lane))
}

/// What the history of a feature says.
struct History {
    from: Height,
    share: Series,
    marks: Marks,
    last: Option<(Height, Change)>,
}

impl History {
    fn new(from: Height) -> Self {
        Self { from, share: Series::starting_at(from), marks: Marks::default(), last: None }
    }

    fn push(&mut self, entry: &HistoryEntry) {
        let (height, change) = (entry.height, entry.change);
        // Before its first start a feature has no share to draw.
        if change.cause != Cause::Created {
            self.share.push(height, Some(u32::from(change.percent.get()).saturating_mul(100)));
        }
        self.last = Some((height, change));
        if height < self.from {
            return;
        }
        let label = match change.cause {
            Cause::Created => "created".into(),
            Cause::CanaryStarted => format!("canary {}", percent(&change)),
            Cause::RolloutStarted => "rollout".into(),
            Cause::Stepped | Cause::TargetReached => percent(&change),
            Cause::Enabled => "enabled".into(),
            Cause::Disabled => "disabled".into(),
            Cause::RolledBack => "rolled back".into(),
            Cause::Paused => "paused".into(),
        };
        let kind = match change.cause {
            Cause::Created | Cause::Disabled => MarkKind::Note,
            Cause::CanaryStarted | Cause::RolloutStarted => MarkKind::Start,
            Cause::Stepped => MarkKind::Step,
            Cause::TargetReached | Cause::Enabled => MarkKind::Complete,
            Cause::RolledBack => MarkKind::Rollback,
            Cause::Paused => MarkKind::Hold,
        };
        self.marks.push(Mark::new(height, kind, label, sentence(&change, height, true)));
    }
}

fn percent(change: &Change) -> String {
    rate(u64::from(change.percent.get()).saturating_mul(100))
}

/// What a change made of a feature: as an event at its height, or as what holds since then.
fn sentence(change: &Change, since: Height, is_event: bool) -> String {
    let percent = percent(change);
    let by = by(&change.actor);
    let height = number(since.into());
    let (now, then) = match change.cause {
        Cause::Created => (format!("Created at block {height}, never started"), format!("Created{by}")),
        Cause::CanaryStarted => {
            (format!("Canary: on for {percent} of users"), format!("Canary started for {percent} of users{by}"))
        }
        Cause::RolloutStarted => {
            (format!("Rolling out: on for {percent} of users"), format!("Rollout started at {percent} of users{by}"))
        }
        Cause::Stepped => {
            (format!("Rolling out: on for {percent} of users"), format!("Stepped to {percent} of users{by}"))
        }
        Cause::TargetReached => {
            let on = if change.status == Status::Enabled {
                "Enabled: on for everybody".into()
            } else {
                format!("On for {percent} of users")
            };
            (on, format!("Target reached: {percent} of users{by}"))
        }
        Cause::Enabled => ("Enabled: on for everybody".into(), format!("Enabled for everybody{by}")),
        Cause::Disabled => ("Disabled: off for everybody".into(), format!("Disabled{by}")),
        Cause::Paused => (format!("Paused: on for {percent} of users"), format!("Paused at {percent} of users{by}")),
        Cause::RolledBack => {
            let why = rollback(change.evidence.as_ref(), change.reason, &change.actor);
            (format!("Rolled back at block {height}{why}"), format!("Rolled back{why}"))
        }
    };
    match change.cause {
        _ if is_event => then,
        Cause::Created | Cause::RolledBack => now,
        Cause::CanaryStarted
        | Cause::RolloutStarted
        | Cause::Stepped
        | Cause::TargetReached
        | Cause::Enabled
        | Cause::Disabled
        | Cause::Paused => format!("{now} since block {height}"),
    }
}

/// How far a feature that is on has come, behind what it is: the next step, and the error rate of the trial.
fn progress(source: &impl Read, name: &Name, height: Height) -> Result<String, Fault> {
    let Some(feature) = query::feature(source, name)? else { return Ok(String::new()) };
    let mut parts = String::new();
    if let Some(blocks) = blocks_to_step(&feature, height) {
        let target = rate(u64::from(feature.target_percent.get()).saturating_mul(100));
        parts.push_str(&match blocks {
            0 => format!(", next step due, target {target}"),
            blocks => format!(
                ", next step at block {}, target {target}",
                number(u64::from(height).saturating_add(blocks.into()))
            ),
        });
    }
    let operations = feature.error_count.saturating_add(feature.success_count);
    if let Some(bps) = bps(feature.error_count, operations) {
        parts.push_str(&format!(
            "; error rate {} ({} of {}), limit {}",
            rate(bps.into()),
            number(feature.error_count),
            number(operations),
            rate(feature.max_error_rate.into())
        ));
    }
    Ok(parts)
}
