//! `show`: records of a source. `check`: is a feature on for an address, and why.

use coalmine_core::{FeedId, FeedKey, FeedKind, Height, Name, Read, query};

use super::plugins;
use crate::cli::{CheckArgs, ShowArgs, What};
use crate::error::Error;
use crate::output::{Output, Target};
use crate::render::{self, Fields};
use crate::source::{Source, input_files};

/// How many records are decoded at a time.
pub(super) const PAGE: usize = 1_024;

/// Shows what is asked for.
pub(crate) fn show(args: &ShowArgs, target: &Target) -> Result<(), Error> {
    let source = Source::open(&args.source, args.at)?;
    let inputs = input_files([args.source.as_str()]);
    let mut out = Output::open(target, inputs.iter().map(AsRef::as_ref))?;
    show_what(&args.what, &source, &mut out).map_err(|error| error.in_source(&args.source))?;
    out.finish()
}

fn show_what(what: &What, source: &Source, out: &mut Output) -> Result<(), Error> {
    match what {
        What::Features => features(source, out)?,
        What::Feature { name } => feature(source, name, out)?,
        What::Metrics { name } => {
            source.present("metrics")?;
            let metrics = query::metrics(source, name)?.ok_or_else(|| unknown(source, name))?;
            out.card(&render::metrics(name, &metrics))?;
        }
        What::History { name } => history(source, name, out)?,
        What::Overrides { name } => {
            source.present("overrides")?;
            known(source, name)?;
            let page = |after: Option<_>| query::overrides(source, name, after.as_ref(), PAGE);
            pages(
                page,
                |(user, _)| *user,
                |(user, record)| out.row(Fields::new().text("user", user), render::user_switch(record)),
            )?;
        }
        What::Roles => {
            source.present("roles")?;
            let page = |after: Option<_>| query::roles(source, after.as_ref(), PAGE);
            pages(
                page,
                |(address, _)| *address,
                |(address, roles)| out.row(Fields::new().text("address", address), render::roles(*roles)),
            )?;
        }
        What::Schedule => {
            source.present("the schedule")?;
            let page = |after| query::schedule(source, after, PAGE);
            pages(
                page,
                |(at, id, _)| (*at, *id),
                |(at, id, entry)| out.row(Fields::new().with("at", *at).with("id", *id), render::scheduled(entry)),
            )?;
        }
        What::Global => {
            source.present("the global record")?;
            let global = query::global(source)?.ok_or_else(|| source.cannot("the store is empty"))?;
            out.card(&render::global(&global))?;
        }
        What::Feed => feed(source, out)?,
        What::Stale => stale(source, out)?,
        What::Plugins => plugins::plugins(source, out)?,
        What::Plugin { name } => plugins::plugin(source, name, out)?,
        What::PluginHistory { name } => plugins::history(source, name, out)?,
    }
    Ok(())
}

/// Visits the entries of all pages. `page` reads the entries behind a position, `position` tells that of an entry.
pub(super) fn pages<T, P>(
    mut page: impl FnMut(Option<P>) -> Result<Vec<T>, coalmine_core::Fault>,
    position: impl Fn(&T) -> P,
    mut visit: impl FnMut(&T) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let entries = page(after)?;
        entries.iter().try_for_each(&mut visit)?;
        match entries.last() {
            Some(last) if entries.len() == PAGE => after = Some(position(last)),
            Some(_) | None => return Ok(()),
        }
    }
}

fn unknown(source: &Source, name: &Name) -> Error {
    source.cannot(&format!("there is no feature {name}"))
}

fn known(source: &Source, name: &Name) -> Result<(), Error> {
    query::feature(source, name)?.map(|_| ()).ok_or_else(|| unknown(source, name))
}

/// Visits all features in name order.
fn each_feature(
    source: &impl Read,
    visit: impl FnMut(&coalmine_core::Feature) -> Result<(), Error>,
) -> Result<(), Error> {
    pages(|after: Option<Name>| query::features(source, after.as_ref(), PAGE), |feature| feature.name, visit)
}

fn features(source: &Source, out: &mut Output) -> Result<(), Error> {
    each_feature(source, |feature| {
        let now = Some((feature.status, feature.rollout_percent));
        let found = source.past.map_or(Ok(now), |at| query::feature_at(source, &feature.name, at))?;
        // A feature that was created later was not there yet.
        let Some((status, percent)) = found else { return Ok(()) };
        let rest = Fields::new().text("status", status).with("percent", percent.get());
        out.row(Fields::new().text("name", feature.name), rest)
    })
}

fn feature(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    let feature = query::feature(source, name)?.ok_or_else(|| unknown(source, name))?;
    if let Some(at) = source.past {
        let (status, percent) =
            query::feature_at(source, name, at)?.ok_or_else(|| source.cannot(&format!("{name} was created later")))?;
        let fields = Fields::new().text("name", name).text("status", status);
        return out.card(&fields.with("rollout_percent", percent.get()));
    }
    let height = source.tip()?.height.unwrap_or_default();
    let progress = query::progress(source, name, height)?;
    out.card(
        &render::feature(&feature)
            .with("blocks_to_step", progress.and_then(|progress| progress.blocks_to_step))
            .with("errors_left", progress.and_then(|progress| progress.errors_left))
            .with("step_due", query::due(source, name)?)
            .with("policy", render::policy(&query::policy(source, name)?)),
    )
}

fn history(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
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
            out.row(id, render::change(&entry.change))
        },
    )
}

/// The totals, then every item.
fn feed(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("the feed")?;
    out.row(Fields::new(), render::feed(&query::feed(source)?))?;
    for kind in FeedKind::ALL {
        pages(
            |after: Option<FeedId>| query::feed_items(source, *kind, after.as_ref(), PAGE),
            |(id, _)| *id,
            |(id, item)| out.row(render::feed_key(&FeedKey { kind: *kind, id: *id }), render::feed_item(item)),
        )?;
    }
    Ok(())
}

fn stale(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("stale")?;
    let height = source.tip()?.height.unwrap_or_default();
    each_feature(source, |feature| {
        let policy = query::policy(source, &feature.name)?;
        if policy.expires_at == 0 || policy.expires_at > height {
            return Ok(());
        }
        let rest = Fields::new()
            .text("status", feature.status)
            .with("percent", feature.rollout_percent.get())
            .text("lifetime", policy.lifetime)
            .with("expires_at", policy.expires_at);
        out.row(Fields::new().text("name", feature.name), rest)
    })
}

/// Tells whether a feature is on for an address, and why.
pub(crate) fn check(args: &CheckArgs, target: &Target) -> Result<(), Error> {
    let source = Source::open(&args.source, args.at)?;
    source.present("check")?;
    let verdict = query::check(&source, &args.name, &args.address);
    let verdict = verdict.map_err(|fault| Error::from(fault).in_source(&args.source))?;
    let inputs = input_files([args.source.as_str()]);
    let mut out = Output::open(target, inputs.iter().map(AsRef::as_ref))?;
    out.card(&render::verdict(&args.name, &args.address, &verdict).with("height", source.tip()?.height))?;
    out.finish()
}
