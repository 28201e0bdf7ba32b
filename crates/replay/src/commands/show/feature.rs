//! `show` for features.

use std::num::NonZeroU32;

use coalmine_core::{Feature, Height, MetricsRecord, Name, Read, query};
use coalmine_json::render::{self, Fields};

use super::pages::{PAGE, pages};
use crate::error::Error;
use crate::output::Output;
use crate::source::Source;

pub(super) fn features(source: &Source, out: &mut Output) -> Result<(), Error> {
    each_feature(source, |feature| {
        let now = Some((feature.status, feature.rollout_percent));
        let found = source.past.map_or(Ok(now), |at| query::feature_at(source, &feature.name, at))?;
        // A feature that was created later did not exist yet.
        let Some((status, percent)) = found else { return Ok(()) };
        let rest = Fields::new().text("status", status).with("percent", percent.get());
        out.row("feature", Fields::new().text("name", feature.name), rest)
    })
}

pub(super) fn feature(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    let feature = query::feature(source, name)?.ok_or_else(|| source.no_feature(name))?;
    if let Some(at) = source.past {
        let (status, percent) =
            query::feature_at(source, name, at)?.ok_or_else(|| source.cannot(&format!("{name} was created later")))?;
        let fields = Fields::new().text("name", name).text("status", status);
        return out.card("feature", fields.with("rollout_percent", percent.get()));
    }
    let height = source.tip()?.height.unwrap_or_default();
    let progress = query::progress(source, name, height)?;
    out.card(
        "feature",
        render::feature(&feature)
            .with("blocks_to_step", progress.and_then(|progress| progress.blocks_to_step))
            .with("errors_left", progress.and_then(|progress| progress.errors_left))
            .with("step_due", query::due(source, name)?)
            .with("policy", render::policy(&query::policy(source, name)?)),
    )
}

pub(super) fn metrics(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    source.present("metrics")?;
    let metrics = query::metrics(source, name)?.ok_or_else(|| source.no_feature(name))?;
    out.card("metrics", render::metrics(&MetricsRecord { name: *name, metrics }))
}

pub(super) fn history(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    known(source, name)?;
    let until = source.past.unwrap_or(Height::MAX);
    pages(
        |after| query::history(source, name, after, PAGE),
        |entry| (entry.height, entry.seq),
        |entry| {
            if entry.height > until {
                return Ok(());
            }
            let id = Fields::new().with("height", entry.height).with("seq", entry.seq);
            out.row("change", id, render::change(&entry.change))
        },
    )
}

pub(super) fn overrides(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    source.present("overrides")?;
    known(source, name)?;
    pages(
        |after: Option<_>| query::overrides(source, name, after.as_ref(), PAGE),
        |(user, _)| *user,
        |(user, record)| out.row("override", Fields::new().text("user", user), render::user_switch(record)),
    )
}

pub(super) fn stale(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("stale")?;
    let height = source.tip()?.height.unwrap_or_default();
    each_feature(source, |feature| {
        let policy = query::policy(source, &feature.name)?;
        let Some(expires_at) = policy.expires_at.map(NonZeroU32::get).filter(|at| *at <= height) else {
            return Ok(());
        };
        let rest = Fields::new()
            .text("status", feature.status)
            .with("percent", feature.rollout_percent.get())
            .text("lifetime", policy.lifetime)
            .with("expires_at", expires_at);
        out.row("stale", Fields::new().text("name", feature.name), rest)
    })
}

/// Visits all features in name order.
fn each_feature(source: &impl Read, visit: impl FnMut(&Feature) -> Result<(), Error>) -> Result<(), Error> {
    pages(|after: Option<Name>| query::features(source, after.as_ref(), PAGE), |feature| feature.name, visit)
}

fn known(source: &Source, name: &Name) -> Result<(), Error> {
    query::feature(source, name)?.map(|_| ()).ok_or_else(|| source.no_feature(name))
}
