//! `show` for features.

use coalmine_answers as answers;
use coalmine_core::{Feature, Height, Name, Read, query};

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
        out.row(answers::feature_standing(&feature.name, status, percent))
    })
}

pub(super) fn feature(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    if let Some(at) = source.past {
        known(source, name)?;
        let (status, percent) =
            query::feature_at(source, name, at)?.ok_or_else(|| source.cannot(&format!("{name} was created later")))?;
        return out.card(answers::feature_in_the_past(name, status, percent));
    }
    let height = source.tip()?.height;
    out.card(answers::feature(source, name, height)?.ok_or_else(|| source.no_feature(name))?)
}

pub(super) fn metrics(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    source.present("metrics")?;
    out.card(answers::metrics(source, name)?.ok_or_else(|| source.no_feature(name))?)
}

pub(super) fn history(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    known(source, name)?;
    let until = source.past.unwrap_or(Height::MAX);
    pages(
        |after| query::history(source, name, after, PAGE),
        |entry| (entry.height, entry.seq),
        |entry| if entry.height > until { Ok(()) } else { out.row(answers::feature_change(entry)) },
    )
}

pub(super) fn overrides(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    source.present("overrides")?;
    known(source, name)?;
    pages(
        |after: Option<_>| query::overrides(source, name, after.as_ref(), PAGE),
        |(user, _)| *user,
        |(user, record)| out.row(answers::override_of_user(user, record)),
    )
}

pub(super) fn stale(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("stale")?;
    let height = source.tip()?.height;
    each_feature(source, |feature| {
        let policy = query::policy(source, &feature.name)?;
        answers::stale_feature(feature, &policy, height).map_or(Ok(()), |stale| out.row(stale))
    })
}

/// Visits all features in name order.
fn each_feature(source: &impl Read, visit: impl FnMut(&Feature) -> Result<(), Error>) -> Result<(), Error> {
    pages(|after: Option<Name>| query::features(source, after.as_ref(), PAGE), |feature| feature.name, visit)
}

fn known(source: &Source, name: &Name) -> Result<(), Error> {
    query::feature(source, name)?.map(|_| ()).ok_or_else(|| source.no_feature(name))
}
