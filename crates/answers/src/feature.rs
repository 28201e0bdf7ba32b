//! Features.

use std::num::NonZeroU32;

use coalmine_core::query::{self, HistoryEntry};
use coalmine_core::{Address, Fault, Feature, Height, MetricsRecord, Name, Override, Percent, Policy, Read, Status};
use coalmine_json::render::{self, Fields};

use crate::answer::Answer;

/// A feature in a list: status and percent, of now or of another height.
#[must_use]
pub fn feature_standing(name: &Name, status: Status, percent: Percent) -> Answer {
    let rest = Fields::new().text("status", status).with("percent", percent.get());
    Answer::new("feature", Fields::new().text("name", name), rest)
}

/// All that is known of a feature at an earlier height.
#[must_use]
pub fn feature_in_the_past(name: &Name, status: Status, percent: Percent) -> Answer {
    let fields = Fields::new().text("name", name).text("status", status).with("rollout_percent", percent.get());
    Answer::single("feature", fields)
}

/// A feature with its policy and the progress of its rollout after the block at `height`; `None` if there is none.
///
/// # Errors
/// The records cannot be read or are corrupt.
pub fn feature(source: &impl Read, name: &Name, height: Option<Height>) -> Result<Option<Answer>, Fault> {
    let Some(feature) = query::feature(source, name)? else { return Ok(None) };
    let progress = query::progress(source, name, height.unwrap_or_default())?;
    let fields = render::feature(&feature)
        .with("blocks_to_step", progress.and_then(|progress| progress.blocks_to_step))
        .with("errors_left", progress.and_then(|progress| progress.errors_left))
        .with("step_due", query::due(source, name)?)
        .with("policy", render::policy(&query::policy(source, name)?));
    Ok(Some(Answer::single("feature", fields)))
}

/// The reported metrics of a feature; `None` if there is none.
///
/// # Errors
/// The records cannot be read or are corrupt.
pub fn metrics(source: &impl Read, name: &Name) -> Result<Option<Answer>, Fault> {
    let metrics = query::metrics(source, name)?;
    Ok(metrics.map(|metrics| Answer::single("metrics", render::metrics(&MetricsRecord { name: *name, metrics }))))
}

/// An entry of the history of a feature.
#[must_use]
pub fn feature_change(entry: &HistoryEntry) -> Answer {
    let id = Fields::new().with("height", entry.height).with("seq", entry.seq);
    Answer::new("change", id, render::change(&entry.change))
}

/// An override of a feature for a user.
#[must_use]
pub fn override_of_user(user: &Address, record: &Override) -> Answer {
    Answer::new("override", Fields::new().text("user", user), render::user_switch(record))
}

/// A feature that is past its `expires_at` at a height; `None` if it is not.
#[must_use]
pub fn stale_feature(feature: &Feature, policy: &Policy, height: Option<Height>) -> Option<Answer> {
    let expires_at = policy.expires_at.map(NonZeroU32::get).filter(|at| *at <= height.unwrap_or_default())?;
    let rest = Fields::new()
        .text("status", feature.status)
        .with("percent", feature.rollout_percent.get())
        .text("lifetime", policy.lifetime)
        .with("expires_at", expires_at);
    Some(Answer::new("stale", Fields::new().text("name", feature.name), rest))
}
