//! `preview`: what commands would do in the next block, and to whom.

use std::io::Read as _;

use clap::Args;
use coalmine_core::{Address, Block, Height, Percent, Role, State, Status, ValueError, Version};
use coalmine_foresight::{
    FeatureShift, Options, PluginShare, PluginShift, Preview, PreviewError, TxPreview, Upcoming, Users, event_sentence,
    preview as foresee,
};
use coalmine_json::render::{self, Fields, Value};

use crate::commands::calendar;
use crate::commands::run::described;
use crate::difference::Difference;
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
    let Preview { height, root, users, is_estimate, .. } = foretold;
    let about = if *is_estimate { "an estimate of derived addresses" } else { "each of the list" };
    let fields = Fields::new()
        .with("height", *height)
        .text("root", root)
        .with("users", *users)
        .with("is_estimate", *is_estimate);
    out.put("preview", || format!("block {height}, asked of {users} users: {about}"), fields)?;
    for (tx, preview) in (0_u64..).zip(&foretold.transactions) {
        transaction(tx, preview, out)?;
    }
    // What happens anyway comes first, as it does in the block.
    let due =
        foretold.events.iter().zip(&foretold.events_without).take_while(|(with, without)| with == without).count();
    for (index, event) in foretold.events.iter().enumerate() {
        let is_due = index < due;
        let fields = Fields::new().text("event", event.code()).and(render::event(event));
        let fields = fields.with("is_due", is_due).with("sentence", event_sentence(event));
        let anyway = if is_due { " (due anyway)" } else { "" };
        out.put("event", || format!("event: {}{anyway}", event_sentence(event)), fields)?;
    }
    for record in &foretold.records {
        let difference = Difference::new(record.key.clone(), record.before.clone(), record.after.clone());
        difference.put_as("record", out)?;
    }
    for shift in &foretold.features {
        feature(shift, foretold, out)?;
    }
    for shift in &foretold.plugins {
        plugin(shift, foretold, out)?;
    }
    upcoming(foretold, out)
}

fn transaction(tx: u64, preview: &TxPreview, out: &mut Output) -> Result<(), Error> {
    let (result, rest) = render::receipt(&preview.receipt);
    let notes: Vec<Value> = preview.notes.iter().map(|note| render::note(note).into()).collect();
    let fields = Fields::new().with("tx", tx);
    let fields = match &preview.rejection {
        None => fields.with("signer", preview.signer.map(|signer| signer.to_string())),
        Some(rejection) => fields.and(described(rejection)),
    };
    let fields = fields.and(result).and(rest).with("notes", notes);
    let text = || {
        let what = match &preview.rejection {
            None => format!("tx {tx} {}", preview.receipt.name()),
            Some(rejection) => rejection.to_string(),
        };
        let notes: String = preview.notes.iter().map(|note| format!(" [{}]", render::note(note).pairs())).collect();
        format!("{what}{notes}")
    };
    out.put("receipt", text, fields)
}

fn standing(standing: Option<(Status, Percent)>) -> String {
    standing.map_or_else(|| "none".into(), |(status, percent)| format!("{status} {percent} %"))
}

fn count(list: &[Address]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

/// The addresses of a list, which an estimate has none of.
fn listed(list: &[Address], is_estimate: bool) -> Value {
    if is_estimate {
        Value::None
    } else {
        list.iter().map(|address| address.to_string().into()).collect::<Vec<Value>>().into()
    }
}

fn feature(shift: &FeatureShift, foretold: &Preview, out: &mut Output) -> Result<(), Error> {
    let FeatureShift { name, before, after, on_before, on_after, switched_on, switched_off } = shift;
    let side = |side: &Option<(Status, Percent)>| {
        side.map(|(status, percent)| Fields::new().text("status", status).with("percent", percent.get()))
    };
    let fields = Fields::new()
        .text("name", name)
        .with("before", side(before))
        .with("after", side(after))
        .with("on_before", *on_before)
        .with("on_after", *on_after)
        .with("switched_on", count(switched_on))
        .with("switched_off", count(switched_off))
        .with("who_on", listed(switched_on, foretold.is_estimate))
        .with("who_off", listed(switched_off, foretold.is_estimate));
    let text = || {
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
    };
    out.put("feature", text, fields)
}

fn plugin(shift: &PluginShift, foretold: &Preview, out: &mut Output) -> Result<(), Error> {
    let PluginShift { name, before, after, moves } = shift;
    let side = |side: &Option<PluginShare>| {
        side.as_ref().map(|PluginShare { current, canary }| {
            let canary = canary.as_ref().map(|(version, share, hold)| {
                Fields::new().text("version", version).with("share_bps", share.get()).text("hold", hold)
            });
            Fields::new().text("current", current).with("canary", canary)
        })
    };
    let version = |version: &Option<Version>| version.as_ref().map(ToString::to_string);
    let list: Vec<Value> = moves
        .iter()
        .map(|one| {
            let fields = Fields::new().with("from", version(&one.from)).with("to", version(&one.to));
            fields.with("users", count(&one.users)).with("who", listed(&one.users, foretold.is_estimate)).into()
        })
        .collect();
    let fields = Fields::new().text("name", name).with("before", side(before)).with("after", side(after));
    let text = || {
        let shown = |side: &Option<PluginShare>| match side {
            None => "none".into(),
            Some(PluginShare { current, canary: None }) => current.to_string(),
            Some(PluginShare { current, canary: Some((new, share, hold)) }) => {
                format!("{current}, {new} at {share} bps ({hold})")
            }
        };
        let mut lines = vec![format!("plugin {name}: {} -> {}", shown(before), shown(after))];
        for one in moves {
            let shown = |side: &Option<Version>| version(side).unwrap_or_else(|| "none".into());
            let about = if foretold.is_estimate { "about " } else { "" };
            lines.push(format!(
                "  {} -> {}: {about}{} of {} users",
                shown(&one.from),
                shown(&one.to),
                one.users.len(),
                foretold.users
            ));
            if !foretold.is_estimate {
                lines.extend(one.users.iter().map(|user| format!("    {user}")));
            }
        }
        lines.join("\n")
    };
    out.put("plugin", text, fields.with("moves", list))
}

/// What falls due, with the commands and without, height by height.
fn upcoming(foretold: &Preview, out: &mut Output) -> Result<(), Error> {
    let find = |side: &[Upcoming], height: Height| side.iter().find(|one| one.height == height).cloned();
    let mut heights: Vec<Height> =
        foretold.upcoming.iter().chain(&foretold.upcoming_without).map(|one| one.height).collect();
    heights.sort_unstable();
    heights.dedup();
    for height in heights {
        let sides = [find(&foretold.upcoming_without, height), find(&foretold.upcoming, height)];
        let [without, with] = sides;
        let (mark, shown) = match (&without, &with) {
            (Some(without), Some(with)) if without == with => ("both", vec![(' ', with)]),
            (without, with) => {
                let sides = [without.as_ref().map(|one| ('-', one)), with.as_ref().map(|one| ('+', one))];
                ("differs", sides.into_iter().flatten().collect())
            }
        };
        let text = || {
            let lines: Vec<String> = shown
                .iter()
                .flat_map(|(mark, one)| {
                    calendar::lines(one, None).into_iter().map(move |line| format!("due {mark} {line}"))
                })
                .collect();
            lines.join("\n")
        };
        let fields = Fields::new().with("height", height).with("is_same", mark == "both");
        let fields = fields
            .with("without", without.as_ref().map(calendar::fields))
            .with("with", with.as_ref().map(calendar::fields));
        out.put("upcoming", text, fields)?;
    }
    Ok(())
}
