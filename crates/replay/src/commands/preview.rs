//! `preview`: what commands would do in the next block, and to whom.

use std::io::Read as _;

use clap::Args;
use coalmine_answers as answers;
use coalmine_core::{Address, Block, Height, Percent, Role, State, Status, ValueError, Version};
use coalmine_foresight::{
    FeatureShift, Options, PluginShare, PluginShift, Preview, PreviewError, RecordChange, TxPreview, Upcoming, Users,
    event_sentence, preview as foresee,
};
use coalmine_json::render;

use crate::commands::calendar;
use crate::difference::shown;
use crate::error::Error;
use crate::input::{Input, open_file};
use crate::output::{Output, Target};
use crate::source::{Loaded, Source};
use crate::users::each_line;

/// Arguments of `preview`.
#[derive(Debug, Args)]
#[command(after_help = "\
COMMANDS is a file, - for standard input, or the JSON itself: a transaction of a block file (an object with op and its \
fields, or with commands for several in one atomic transaction), or a list of them. Nothing is changed.

It prints the receipt of each transaction and why it would be rejected, the events of the block, each record that \
changes, the share of every feature and plugin that is touched, who is switched on and off, and what falls due in the \
blocks that follow: + only with the commands, - only without them.

With --users each address of a file, one a line, is asked, so the answer is exact; without, derived addresses are, and the \
answer is an estimate.

Example:
  replay preview canary.json '{\"op\":\"start_rollout\",\"name\":\"vita_recovery_v2\",\"target_percent\":100}' --at 110
  replay preview rocksdb:./state commands.json --signer 0x2222222222222222222222222222222222222222 --users users.txt")]
pub(crate) struct PreviewArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The transactions, as JSON or as the name of a file of it
    #[arg(value_name = "COMMANDS")]
    commands: String,
    /// Who signs what names no signer; without it the first admin
    #[arg(long, value_name = "ADDRESS")]
    signer: Option<Address>,
    /// On the state at the end of this height; needs a block file, or the height of the tip
    #[arg(long, value_name = "HEIGHT")]
    at: Option<Height>,
    /// A file of addresses, one a line: who of them is switched on or off
    #[arg(long, value_name = "FILE", conflicts_with = "sample")]
    users: Option<String>,
    /// How many derived addresses an estimate takes
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sample: u32,
    /// How many blocks to look ahead
    #[arg(long, default_value_t = 100, value_name = "N")]
    blocks: u32,
}

/// A text of commands may be as long as a block in JSON.
const COMMANDS_SIZE_MAX: u64 = 64 * 1_024 * 1_024;

/// Shows what commands would do.
pub(crate) fn preview(args: &PreviewArgs, target: &Target) -> Result<(), Error> {
    let users = match &args.users {
        Some(file) => Users::List(addresses(file)?),
        None => Users::Sample(args.sample),
    };
    let source = Source::open(&args.source, args.at)?;
    source.present("a preview")?;
    let loaded = source.load().map_err(|error| error.in_source(&args.source))?;
    let state = loaded.state();
    let height = match state.tip() {
        Some(tip) => {
            tip.checked_add(1).ok_or_else(|| Error::Input(format!("{}: there is no next height", args.source)))?
        }
        None => 0,
    };
    let block = block(args, state, height)?;
    let foretold = foretell(&loaded, &block, &Options { users, blocks: args.blocks })?;

    let files = [
        Some(args.source.as_str()),
        inline(&args.commands).is_none().then_some(args.commands.as_str()),
        args.users.as_deref(),
    ];
    let mut out = Output::open(target, files.into_iter().flatten().map(Input::source))?;
    put(&foretold, &mut out)?;
    out.finish()
}

fn foretell(loaded: &Loaded, block: &Block, options: &Options) -> Result<Preview, Error> {
    foresee(loaded.state(), loaded, block, options).map_err(|error| match error {
        PreviewError::Block(error) => error.into(),
        PreviewError::Fault(fault) => fault.into(),
    })
}

/// The text of commands that are given as such.
fn inline(commands: &str) -> Option<&str> {
    commands.trim_start().starts_with(['{', '[']).then_some(commands)
}

/// The next block, with the commands.
fn block(args: &PreviewArgs, state: &State, height: Height) -> Result<Block, Error> {
    let (name, text) = match inline(&args.commands) {
        Some(text) => ("COMMANDS".to_owned(), text.to_owned()),
        None => read(&args.commands)?,
    };
    let admin = state.roles().find(|(_, roles)| roles.contains(Role::Admin)).map(|(address, _)| *address);
    let signer = args.signer.or(admin);
    let payloads = coalmine_json::read_transactions(&text, signer.as_ref());
    let payloads = payloads.map_err(|error| Error::Input(format!("{name}: {error}")))?;
    Block::from_payloads(height, payloads).map_err(|error| Error::Input(format!("{name}: {error}")))
}

fn read(file: &str) -> Result<(String, String), Error> {
    let (name, input) = open_file(file)?;
    let mut text = String::new();
    let read = input.take(COMMANDS_SIZE_MAX.saturating_add(1)).read_to_string(&mut text);
    read.map_err(|error| Error::Input(format!("{name}: cannot be read: {error}")))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > COMMANDS_SIZE_MAX {
        return Err(Error::Input(format!("{name}: more than {COMMANDS_SIZE_MAX} bytes are no commands of a block")));
    }
    Ok((name, text))
}

/// The addresses of a file, one a line.
fn addresses(file: &str) -> Result<Vec<Address>, Error> {
    let mut found = Vec::new();
    let parse = |text: &str| text.parse().map_err(|error: ValueError| error.to_string());
    each_line(file, parse, |address: Address| {
        found.push(address);
        Ok(())
    })?;
    if found.is_empty() {
        return Err(Error::Input(format!("{file}: there is no address in it")));
    }
    Ok(found)
}

fn put(foretold: &Preview, out: &mut Output) -> Result<(), Error> {
    let Preview { height, users, is_estimate, .. } = foretold;
    let about = if *is_estimate { "an estimate of derived addresses" } else { "each of the list" };
    out.answer(answers::preview(foretold), || format!("block {height}, asked of {users} users: {about}"))?;
    for (tx, preview) in (0_u64..).zip(&foretold.transactions) {
        out.answer(answers::receipt(tx, preview), || transaction(tx, preview))?;
    }
    for (event, is_due) in answers::events(foretold) {
        let anyway = if is_due { " (due anyway)" } else { "" };
        out.answer(answers::event(event, is_due), || format!("event: {}{anyway}", event_sentence(event)))?;
    }
    for RecordChange { key, before, after } in &foretold.records {
        let differing = answers::differing(key, before.as_deref(), after.as_deref());
        let text = shown(&differing);
        out.answer(differing.answer("record"), || text)?;
    }
    for shift in &foretold.features {
        out.answer(answers::feature_shift(shift, *is_estimate), || feature(shift, foretold))?;
    }
    for shift in &foretold.plugins {
        out.answer(answers::plugin_shift(shift, *is_estimate), || plugin(shift, foretold))?;
    }
    for (height, without, with) in answers::upcoming_pairs(foretold) {
        out.answer(answers::upcoming_pair(height, without, with), || upcoming(without, with))?;
    }
    Ok(())
}

fn transaction(tx: u64, preview: &TxPreview) -> String {
    let what = match &preview.rejection {
        None => format!("tx {tx} {}", preview.receipt.name()),
        Some(rejection) => rejection.to_string(),
    };
    let notes: String = preview.notes.iter().map(|note| format!(" [{}]", render::note(note).pairs())).collect();
    format!("{what}{notes}")
}

fn standing(standing: Option<(Status, Percent)>) -> String {
    standing.map_or_else(|| "none".into(), |(status, percent)| format!("{status} {percent} %"))
}

fn feature(shift: &FeatureShift, foretold: &Preview) -> String {
    let FeatureShift { name, before, after, on_before, on_after, switched_on, switched_off } = shift;
    let users = foretold.users;
    let about = if foretold.is_estimate { "about " } else { "" };
    let (on, off) = (switched_on.len(), switched_off.len());
    let mut lines = vec![format!(
        "feature {name}: {} -> {}; on for {about}{on_before} -> {on_after} of {users} users: {on} switched on, {off} off",
        standing(*before),
        standing(*after)
    )];
    if !foretold.is_estimate {
        lines.extend(switched_on.iter().map(|user| format!("  on {user}")));
        lines.extend(switched_off.iter().map(|user| format!("  off {user}")));
    }
    lines.join("\n")
}

fn plugin(shift: &PluginShift, foretold: &Preview) -> String {
    let PluginShift { name, before, after, moves } = shift;
    let share = |side: &Option<PluginShare>| match side {
        None => "none".into(),
        Some(PluginShare { current, canary: None }) => current.to_string(),
        Some(PluginShare { current, canary: Some((new, share, hold)) }) => {
            format!("{current}, {new} at {share} bps ({hold})")
        }
    };
    let version = |version: &Option<Version>| version.as_ref().map_or_else(|| "none".into(), ToString::to_string);
    let mut lines = vec![format!("plugin {name}: {} -> {}", share(before), share(after))];
    for one in moves {
        let about = if foretold.is_estimate { "about " } else { "" };
        let (from, to, count) = (version(&one.from), version(&one.to), one.users.len());
        lines.push(format!("  {from} -> {to}: {about}{count} of {} users", foretold.users));
        if !foretold.is_estimate {
            lines.extend(one.users.iter().map(|user| format!("    {user}")));
        }
    }
    lines.join("\n")
}

/// What falls due at a height, with the commands and without.
fn upcoming(without: Option<&Upcoming>, with: Option<&Upcoming>) -> String {
    let shown = match (without, with) {
        (Some(without), Some(with)) if without == with => vec![(' ', with)],
        (without, with) => [without.map(|one| ('-', one)), with.map(|one| ('+', one))].into_iter().flatten().collect(),
    };
    let of = |(mark, one)| calendar::lines(one, None).into_iter().map(move |line| format!("due {mark} {line}"));
    shown.into_iter().flat_map(of).collect::<Vec<_>>().join("\n")
}
