//! `show`: records of a source.

mod feature;
mod feed;
mod ledger;
mod pages;
mod plugin;

use clap::{Args, Subcommand};
use coalmine_core::{Height, Name};

use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::source::Source;

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --at, a block file is run up to that height. Of the past, a store or a dump knows only \
what is in its histories: features and feature (status and percent), history and plugin-history.

Example:
  replay show canary.json feature vita_recovery_v2 --at 150
  replay show rocksdb:./state history vita_recovery_v2
  replay show plugin-canary.json plugin api --at 30")]
pub(crate) struct ShowArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    #[command(subcommand)]
    what: What,
    /// As of the end of this height
    #[arg(long, global = true, value_name = "HEIGHT")]
    at: Option<Height>,
}

/// The records that `show` can show.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Every feature with status and percent
    Features,
    /// One feature with its policy and the progress of its rollout
    Feature {
        /// The feature
        name: Name,
    },
    /// The reported metrics of a feature
    Metrics {
        /// The feature
        name: Name,
    },
    /// Every change of status or percent
    History {
        /// The feature
        name: Name,
    },
    /// Overrides of a feature for single users
    Overrides {
        /// The feature
        name: Name,
    },
    /// Addresses with their roles and the last sequence that each has used
    Roles,
    /// Commands scheduled for a later height
    Schedule,
    /// The ledger: id, parameters, circuit breaker
    Global,
    /// The rules in force, those that this build knows, and scheduled changes
    Rules,
    /// What reporters have said in rounds that have not ended
    Pools,
    /// The config feed: its totals and its items
    Feed,
    /// Features that are past their expires_at
    Stale,
    /// Every plugin with its current version and a summary of its deployment
    Plugins,
    /// One plugin with its deployment, plan and versions
    Plugin {
        /// The plugin
        name: Name,
    },
    /// The history of a plugin
    PluginHistory {
        /// The plugin
        name: Name,
    },
}

/// Shows records of a source.
pub(crate) fn show(args: &ShowArgs, target: &Target) -> Result<(), Error> {
    let source = Source::open(&args.source, args.at)?;
    let mut out = Output::open(target, [Input::source(&args.source)])?;
    let shown = show_what(&args.what, &source, &mut out).map_err(|error| error.in_source(&args.source));
    out.end(shown)
}

fn show_what(what: &What, source: &Source, out: &mut Output) -> Result<(), Error> {
    match what {
        What::Features => feature::features(source, out),
        What::Feature { name } => feature::feature(source, name, out),
        What::Metrics { name } => feature::metrics(source, name, out),
        What::History { name } => feature::history(source, name, out),
        What::Overrides { name } => feature::overrides(source, name, out),
        What::Roles => ledger::roles(source, out),
        What::Schedule => ledger::schedule(source, out),
        What::Global => ledger::global(source, out),
        What::Rules => ledger::rules(source, out),
        What::Pools => ledger::pools(source, out),
        What::Feed => feed::feed(source, out),
        What::Stale => feature::stale(source, out),
        What::Plugins => plugin::plugins(source, out),
        What::Plugin { name } => plugin::plugin(source, name, out),
        What::PluginHistory { name } => plugin::history(source, name, out),
    }
}
