//! `explain`: what a feature or plugin is, since when and why, what it waits for, and who could act.

use clap::{Args, Subcommand};
use coalmine_core::query::{HistoryEntry, PluginHistoryEntry};
use coalmine_core::{Height, MetricsRecord, Name};
use coalmine_foresight::{
    Could, ErrorsLeft, FeatureExplanation, FeatureHistory, Next, PluginExplanation, PluginHistory, explain_feature,
    explain_plugin,
};
use coalmine_json::render::{self, Fields, Value};

use crate::commands::unknown;
use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::source::{Source, StateAt};

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
The figures of a verdict are those of its entry in the history: the report that decided is in them. What happens next \
is found by running the state forward over empty blocks. The errors that it can still take count every rule: the trial, \
the window, the stage, and with rounds what a quorum of reporters would have to report.

A block file takes the memory of its state, whatever its length.

Example:
  replay explain canary.json feature vita_recovery_v2
  replay explain canary.json feature vita_recovery_v2 --at 102
  replay explain rocksdb:./state plugin api --format json")]
pub(crate) struct ExplainArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    #[command(subcommand)]
    what: What,
    /// As of the end of this height; needs a block file, or the height of the tip
    #[arg(long, global = true, value_name = "HEIGHT")]
    at: Option<Height>,
    /// How many blocks to look ahead for what happens next
    #[arg(long, global = true, default_value_t = 10_000, value_name = "N")]
    blocks: u32,
}

/// What `explain` can explain.
#[derive(Debug, Subcommand)]
enum What {
    /// A feature
    Feature {
        /// The feature
        name: Name,
    },
    /// A plugin and its deployment
    Plugin {
        /// The plugin
        name: Name,
    },
}

/// Explains a feature or plugin.
pub(crate) fn explain(args: &ExplainArgs, target: &Target) -> Result<(), Error> {
    match args.what {
        What::Feature { name } => feature(args, &name, target),
        What::Plugin { name } => plugin(args, &name, target),
    }
}

fn feature(args: &ExplainArgs, name: &Name, target: &Target) -> Result<(), Error> {
    let mut history = FeatureHistory::new(*name);
    let source = Source::state(&args.source, args.at, &mut history)?;
    if let StateAt::Loaded(loaded) = &source {
        let read = FeatureHistory::read(&**loaded, name, Height::MAX);
        history = read.map_err(|fault| Error::from(fault).in_source(&args.source))?;
    }
    let state = source.state();
    let names = || state.features().map(|feature| feature.name.as_str());
    let missing = || unknown(&args.source, "feature", name, names());
    state.feature(name).ok_or_else(missing)?;
    let explained = source.give(|state| explain_feature(state, history, args.blocks))?;
    // It was there before the state was given away.
    let Some(explained) = explained else { return Ok(()) };
    put(args, &explained.sentences(), of_feature(&explained), target)
}

fn plugin(args: &ExplainArgs, name: &Name, target: &Target) -> Result<(), Error> {
    let mut history = PluginHistory::new(*name);
    let source = Source::state(&args.source, args.at, &mut history)?;
    if let StateAt::Loaded(loaded) = &source {
        let read = PluginHistory::read(&**loaded, name, Height::MAX);
        history = read.map_err(|fault| Error::from(fault).in_source(&args.source))?;
    }
    let state = source.state();
    let names = || state.plugins().map(|(name, _)| name.as_str());
    let missing = || unknown(&args.source, "plugin", name, names());
    state.plugin(name).ok_or_else(missing)?;
    let explained = source.give(|state| explain_plugin(state, history, args.blocks))?;
    let Some(explained) = explained else { return Ok(()) };
    put(args, &explained.sentences(), of_plugin(&explained), target)
}

/// Writes the sentences, a line each, or all that they were made of as one object.
fn put(args: &ExplainArgs, sentences: &[String], fields: Fields, target: &Target) -> Result<(), Error> {
    let mut out = Output::open(target, [Input::source(&args.source)])?;
    let list: Vec<Value> = sentences.iter().map(|sentence| sentence.as_str().into()).collect();
    out.put("explanation", || sentences.join("\n"), fields.with("sentences", list))?;
    out.finish()
}

fn of_feature(explained: &FeatureExplanation) -> Fields {
    let FeatureExplanation { height, feature, metrics, policy, history, next, errors_left, could, .. } = explained;
    let entry = |entry: &HistoryEntry| {
        Fields::new().with("height", entry.height).with("seq", entry.seq).and(render::change(&entry.change))
    };
    let off = explained.prerequisites_off.iter();
    let off: Vec<Value> =
        off.map(|(name, status)| Fields::new().text("name", name).text("status", status).into()).collect();
    Fields::new()
        .with("height", *height)
        .with("subject", "feature")
        .text("name", feature.name)
        .with("feature", render::feature(feature))
        .with("metrics", render::metrics(&MetricsRecord { name: feature.name, metrics: *metrics }))
        .with("policy", render::policy(policy))
        .with("created", history.created.as_ref().map(entry))
        .with("status_since", history.status_since.as_ref().map(entry))
        .with("percent_since", history.last.as_ref().map(entry))
        .with("verdicts", history.verdicts.iter().map(|(verdict, _)| entry(verdict).into()).collect::<Vec<Value>>())
        .with("prerequisites_off", off)
        .and(common(explained.breaker.is_some(), &explained.planned, &explained.rounds, next, errors_left, could))
}

fn of_plugin(explained: &PluginExplanation) -> Fields {
    let PluginExplanation { height, name, plugin, deployment, history, next, errors_left, could, .. } = explained;
    let entry = |entry: &PluginHistoryEntry| {
        Fields::new().with("height", entry.height).with("seq", entry.seq).and(render::plugin::change(&entry.change))
    };
    Fields::new()
        .with("height", *height)
        .with("subject", "plugin")
        .text("name", name)
        .with("plugin", render::plugin::plugin(plugin))
        .with("deployment", deployment.as_ref().map(render::plugin::deployment))
        .with("created", history.created.as_ref().map(entry))
        .with("current_since", history.current_since.as_ref().map(entry))
        .with("verdicts", history.verdicts.iter().map(|verdict| entry(verdict).into()).collect::<Vec<Value>>())
        .and(common(explained.breaker.is_some(), &explained.planned, &explained.rounds, next, errors_left, could))
}

fn common(
    is_breaker_open: bool,
    planned: &[coalmine_foresight::Planned],
    rounds: &[coalmine_foresight::OpenRound],
    next: &Next,
    errors_left: &ErrorsLeft,
    could: &[Could],
) -> Fields {
    let names =
        |kinds: &[coalmine_core::CommandKind]| -> Vec<Value> { kinds.iter().map(|kind| kind.name().into()).collect() };
    let planned: Vec<Value> = planned
        .iter()
        .map(|one| Fields::new().with("at", one.at).with("id", one.id).with("commands", names(&one.commands)).into())
        .collect();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let rounds: Vec<Value> = rounds
        .iter()
        .map(|one| {
            let fields = Fields::new().text("kind", one.kind).with("closes", one.closes);
            fields.with("reporters", count(one.reporters)).with("quorum", one.quorum).into()
        })
        .collect();
    let could: Vec<Value> = could
        .iter()
        .map(|one| {
            let who: Vec<Value> = one.who.iter().map(|address| address.to_string().into()).collect();
            Fields::new().with("commands", names(&one.commands)).with("who", who).into()
        })
        .collect();
    let round = errors_left.rounds.map(|rounds| {
        let fields = Fields::new().with("quorum", rounds.quorum).with("reporters", count(rounds.reporters));
        fields.with("closes", rounds.closes)
    });
    Fields::new()
        .with("breaker_open", is_breaker_open)
        .with("scheduled", planned)
        .with("rounds", rounds)
        .with("next", next.upcoming.as_ref().map(|upcoming| coalmine_answers::upcoming(upcoming).fields()))
        .with("looked_until", next.until)
        .with("errors_left", errors_left.errors)
        .with("errors_left_round", round)
        .with("could", could)
}
