//! `route`: which version serves a unit. `plan`: what a load would do. And what `show` has of plugins.

use coalmine_core::{Height, Name, Standing, query};

use super::show::{PAGE, pages};
use crate::blockfile::PluginFacts;
use crate::cli::{PlanArgs, RouteArgs};
use crate::error::Error;
use crate::output::{Output, Target};
use crate::render::{self, Fields, Value};
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
    let versions = versions.iter().map(|version| {
        let health = version.counts.health_score().get();
        Value::from(render::plugin::version(version).with("health_bps", health))
    });
    out.card(
        &Fields::new()
            .text("name", name)
            .and(render::plugin::plugin(&plugin))
            .with("deployment", deployment.as_ref().map(render::plugin::deployment))
            .with("version", versions.collect::<Vec<_>>()),
    )
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

/// Tells which version serves a unit.
pub(crate) fn route(args: &RouteArgs, target: &Target) -> Result<(), Error> {
    let source = Source::open(&args.source, args.at)?;
    source.present("route")?;
    let version = query::route(&source, &args.plugin, &args.unit.0);
    let version = version.map_err(|fault| Error::from(fault).in_source(&args.source))?;
    let version = version.ok_or_else(|| unknown(&source, &args.plugin))?;
    let inputs = input_files([args.source.as_str()]);
    let mut out = Output::open(target, inputs.iter().map(AsRef::as_ref))?;
    out.card(
        &Fields::new()
            .text("plugin", args.plugin)
            .with("unit", format!("0x{}", hex::encode(&args.unit.0)))
            .text("version", version)
            .with("height", source.tip()?.height),
    )?;
    out.finish()
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
