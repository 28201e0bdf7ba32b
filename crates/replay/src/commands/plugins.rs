//! `route`: which version serves a unit. `plan`: what a load would do. And what `show` has of plugins.

use coalmine_core::{Height, Name, Standing, bucket_of_unit, query};

use super::show::{PAGE, pages};
use crate::blockfile::PluginFacts;
use crate::cli::{Bytes, PlanArgs, RouteArgs};
use crate::error::Error;
use crate::output::{Output, Target};
use crate::render::{self, Fields};
use crate::source::{Source, input_files};

/// Every plugin.
pub(super) fn plugins(source: &Source, out: &mut Output) -> Result<(), Error> {
    source.present("plugins")?;
    pages(
        |after: Option<Name>| query::plugins(source, after.as_ref(), PAGE),
        |(name, _)| *name,
        |(name, plugin)| {
            let standing = Standing::of(query::deployment(source, name)?.as_ref());
            let facts = PluginFacts { plugin: plugin.clone(), standing };
            out.row(Fields::new().text("name", name), render::plugin::summary(name, &facts))
        },
    )
}

/// One plugin.
pub(super) fn plugin(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    source.present("plugin")?;
    let plugin = query::plugin(source, name)?.ok_or_else(|| unknown(source, name))?;
    let deployment = query::deployment(source, name)?;
    let versions = query::plugin_versions(source, name)?;
    out.card(&render::plugin::card(name, &plugin, deployment.as_ref(), &versions))
}

/// What happened to a plugin.
pub(super) fn history(source: &Source, name: &Name, out: &mut Output) -> Result<(), Error> {
    query::plugin(source, name)?.ok_or_else(|| unknown(source, name))?;
    let until = source.past.unwrap_or(Height::MAX);
    pages(
        |after| query::plugin_history(source, name, after, PAGE),
        |entry| (entry.height, entry.seq),
        |entry| {
            if entry.height > until {
                return Ok(());
            }
            let id = Fields::new().with("height", entry.height).with("seq", entry.seq);
            out.row(id, render::plugin::change(&entry.change))
        },
    )
}

fn unknown(source: &Source, name: &Name) -> Error {
    source.cannot(&format!("there is no plugin {name}"))
}

/// Tells which version serves a unit, and why.
pub(crate) fn route(args: &RouteArgs, target: &Target) -> Result<(), Error> {
    let source = Source::open(&args.source, args.at)?;
    source.present("route")?;
    let fields = routed(&source, args).map_err(|error| error.in_source(&args.source))?;
    let inputs = input_files([args.source.as_str()]);
    let mut out = Output::open(target, inputs.iter().map(AsRef::as_ref))?;
    out.card(&fields)?;
    out.finish()
}

fn routed(source: &Source, RouteArgs { plugin, unit: Bytes(unit), .. }: &RouteArgs) -> Result<Fields, Error> {
    let version = query::route(source, plugin, unit)?.ok_or_else(|| unknown(source, plugin))?;
    let deployment = query::deployment(source, plugin)?;
    let bucket = match (&deployment, query::global(source)?) {
        (Some(deployment), Some(global)) => Some(bucket_of_unit(&global.chain, plugin, deployment.salt, unit).get()),
        (Some(_) | None, _) => None,
    };
    Ok(Fields::new()
        .text("plugin", plugin)
        .with("unit", format!("0x{}", hex::encode(unit)))
        .text("version", version)
        .with("bucket", bucket)
        .with("share_bps", deployment.map(|deployment| deployment.share().get()))
        .with("height", source.tip()?.height))
}

/// Tells what a load would do.
pub(crate) fn plan(args: &PlanArgs, target: &Target) -> Result<(), Error> {
    let source = Source::open(&args.source, args.at)?;
    source.present("plan")?;
    let loaded = source.load().map_err(|error| error.in_source(&args.source))?;
    let inputs = input_files([args.source.as_str()]);
    let mut out = Output::open(target, inputs.iter().map(AsRef::as_ref))?;
    match loaded.state().plan_load(&args.plugin) {
        Ok(plan) => {
            for planned in plan {
                let rest = Fields::new().text("version", planned.version).text("load_state", planned.state);
                out.row(Fields::new().text("plugin", planned.plugin), rest)?;
            }
        }
        Err(refusal) => {
            out.card(&Fields::new().text("refused", refusal.reject).text("plugin", refusal.plugin))?;
        }
    }
    out.finish()
}
