//! `what-if`: the same blocks with other settings, and which decisions differ.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use coalmine_core::{Address, Event, Height, Name, Payload, Receipt, Role, State};
use coalmine_foresight::{
    Changes, Comparison, Difference, Figures, Observer, ReceiptDifference, Side, Subject, Tally, Times, WhatIfError,
    event_sentence, nearest,
};
use coalmine_json::render::{self, Fields, Value};
use coalmine_json::{Applied, Setting, SettingOf};

use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::runner::BlockSource;
use crate::terminal::{Progress, Stop};

/// Arguments of `what-if`.
#[derive(Debug, Args)]
#[command(after_help = "\
The blocks are replayed as they were and with the changes, side by side. Wherever a command sets the field of a PATH, it \
gets the value instead; a feature is created with it. The reports stay those that there were: with a lower threshold a \
feature is rolled back sooner, but no other errors happen than did.

PATH is feature.NAME.FIELD (max_error_rate, min_success_count, increment_percent, increment_blocks), policy.NAME.FIELD \
(window_blocks, min_samples, max_latency, ...), deploy.NAME.FIELD (fields of the strategy and guardrails) or \
params.FIELD. A wrong one is answered by those that there are.

With --sweep there is a line for each value: when it was rolled back first and how often, when fully on, and the errors \
of the reports that were accepted, which users were served.

Example:
  replay what-if canary.json --set feature.vita_recovery_v2.max_error_rate=200
  replay what-if canary.json --sweep policy.vita_recovery_v2.window_blocks=0,10,50
  replay what-if canary.json --drop 120:0 --insert '130:{\"op\":\"enable\",\"name\":\"vita_recovery_v2\"}'")]
pub(crate) struct WhatIfArgs {
    /// Block files with the same genesis and rising heights; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Give a setting another value
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Add a transaction, in the JSON of block files, at the end of the block of HEIGHT
    #[arg(long, value_name = "HEIGHT:JSON")]
    insert: Vec<String>,
    /// Leave out the transaction TX of the block of HEIGHT, counted from 0
    #[arg(long, value_name = "HEIGHT:TX")]
    drop: Vec<String>,
    /// Try several values of a setting, up to 32
    #[arg(long, value_name = "PATH=VALUE,VALUE...")]
    sweep: Option<String>,
    /// Run up to HEIGHT, with empty blocks where the files have none
    #[arg(long, value_name = "HEIGHT")]
    until: Option<Height>,
}

/// All runs are in memory at the same time.
const SWEEP_MAX: usize = 32;

/// Replays with changes.
pub(crate) fn what_if(args: &WhatIfArgs, target: &Target) -> Result<(), Error> {
    let plan = Plan::read(args)?;
    let mut blocks = BlockSource::open(args.files.clone())?;
    let genesis = blocks.genesis().clone();
    let admin = genesis.roles().iter().find(|(_, roles)| roles.contains(Role::Admin)).map(|(address, _)| *address);
    let inserted = insertions(&args.insert, &admin.unwrap_or_default())?;
    let mut out = Output::open(target, args.files.iter().map(|file| Input::File(file)))?;

    let seen = Rc::new(RefCell::new(Seen::default()));
    let runs = plan.runs.iter().map(|settings| {
        let params = settings.iter().fold(*genesis.params(), |params, setting| setting.apply_to(&params));
        let seen = Rc::clone(&seen);
        Changes {
            params: Some(params),
            rewrite: (!settings.is_empty()).then(|| rewrite(settings, seen)),
            inserted: inserted.clone(),
            dropped: plan.dropped.clone(),
        }
    });
    let mut comparison = Comparison::new(&genesis, plan.subject, runs.collect()).map_err(refused)?;
    let (mut progress, stop) = (Progress::new(false), Stop::on_signal()?);
    let mut told = Told { is_sweep: plan.swept.is_some(), ..Told::default() };
    let mut count: u64 = 0;
    let compare = || -> Result<(Tally, Vec<Tally>), Error> {
        loop {
            let Some(block) = blocks.next_block()? else { break };
            if args.until.is_some_and(|until| block.block.height() > until) {
                break;
            }
            comparison.feed(&block.block, &mut told).map_err(refused)?;
            told.write(&mut out)?;
            count = count.saturating_add(1);
            progress.at(block.block.height(), count);
            if stop.is_set() {
                return Err(Error::Interrupted);
            }
        }
        names_exist(&plan, &seen.borrow(), comparison.base(), &args.files)?;
        let tallies = comparison.finish(args.until, &mut told).map_err(refused)?;
        told.write(&mut out)?;
        Ok(tallies)
    };
    let compared = compare();
    progress.clear();
    let ended = compared.and_then(|(base, changed)| summary(&plan, &base, &changed, &told, &mut out));
    out.end(ended)
}

/// A change that does not fit the blocks is bad usage.
fn refused(error: WhatIfError) -> Error {
    match error {
        WhatIfError::Block(error) => error.into(),
        WhatIfError::Tree(error) => coalmine_core::BlockError::from(error).into(),
        WhatIfError::Genesis(error) => Error::Input(error.to_string()),
        error @ (WhatIfError::Limit { .. } | WhatIfError::NoSuchTx { .. } | WhatIfError::BeforeFirst { .. }) => {
            Error::Input(error.to_string())
        }
    }
}

/// What is asked.
struct Plan {
    /// The settings of each run.
    runs: Vec<Vec<Setting>>,
    /// The path and the values of a sweep.
    swept: Option<(String, Vec<String>)>,
    dropped: BTreeSet<(Height, usize)>,
    /// What the tallies count.
    subject: Option<Subject>,
}

impl Plan {
    fn read(args: &WhatIfArgs) -> Result<Self, Error> {
        let wrong = |option: &str, why: String| Error::Input(format!("--{option} {why}"));
        let mut settings = Vec::new();
        for text in &args.set {
            let (path, value) =
                text.split_once('=').ok_or_else(|| wrong("set", format!("{text}: write PATH=VALUE")))?;
            settings.push(Setting::new(path, value).map_err(|why| wrong("set", why))?);
        }
        let mut dropped = BTreeSet::new();
        for text in &args.drop {
            let parsed = text.split_once(':').and_then(|(height, tx)| Some((height.parse().ok()?, tx.parse().ok()?)));
            dropped.insert(parsed.ok_or_else(|| wrong("drop", format!("{text}: write HEIGHT:TX, such as 120:0")))?);
        }
        let mut runs = vec![settings.clone()];
        let mut swept = None;
        if let Some(text) = &args.sweep {
            let pair = text.split_once('=').ok_or_else(|| wrong("sweep", format!("{text}: write PATH=VALUE,VALUE")))?;
            let (path, values) = pair;
            let values: Vec<String> = values.split(',').map(str::to_owned).collect();
            if values.len() > SWEEP_MAX {
                return Err(wrong(
                    "sweep",
                    format!("{path}: {} values are too many; give {SWEEP_MAX} at most", values.len()),
                ));
            }
            runs.clear();
            for value in &values {
                let setting = Setting::new(path, value).map_err(|why| wrong("sweep", why))?;
                runs.push(settings.iter().cloned().chain([setting]).collect());
            }
            swept = Some((path.to_owned(), values));
        } else if args.set.is_empty() && args.drop.is_empty() && args.insert.is_empty() {
            return Err(Error::Input("nothing is changed: give --set, --insert, --drop or --sweep".into()));
        }
        let of = runs.first().and_then(|settings| settings.last()).map(|setting| *setting.of());
        let is_of_one = swept.is_some() || settings.len() == 1;
        let subject = of.filter(|_| is_of_one).and_then(|of| match of {
            SettingOf::Feature(name) | SettingOf::Policy(name) => Some(Subject::Feature(name)),
            SettingOf::Deploy(name) => Some(Subject::Plugin(name)),
            SettingOf::Params => None,
        });
        Ok(Self { runs, swept, dropped, subject })
    }
}

fn insertions(texts: &[String], signer: &Address) -> Result<BTreeMap<Height, Vec<Payload>>, Error> {
    let mut inserted: BTreeMap<Height, Vec<Payload>> = BTreeMap::new();
    for text in texts {
        let wrong = |why: String| Error::Input(format!("--insert {text}: {why}"));
        let (height, json) = text.split_once(':').ok_or_else(|| wrong("write HEIGHT:JSON".into()))?;
        let height: Height = height.parse().map_err(|_| wrong(format!("{height} is no height")))?;
        let payloads =
            coalmine_json::read_transactions(json, Some(signer)).map_err(|error| wrong(error.to_string()))?;
        inserted.entry(height).or_default().extend(payloads);
    }
    Ok(inserted)
}

/// Which settings have met their commands.
#[derive(Debug, Default)]
struct Seen {
    /// Those that a command was about, by their text.
    met: BTreeSet<String>,
    /// Those that a command had the field of.
    set: BTreeSet<String>,
}

type Rewrite<'c> = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + 'c>;

fn rewrite(settings: &[Setting], seen: Rc<RefCell<Seen>>) -> Rewrite<'_> {
    Box::new(move |command| {
        let mut changed: Option<Vec<u8>> = None;
        for setting in settings {
            match setting.apply(changed.as_deref().unwrap_or(command)) {
                Applied::Other => {}
                Applied::Unset => {
                    seen.borrow_mut().met.insert(setting.to_string());
                }
                Applied::Set(bytes) => {
                    let mut seen = seen.borrow_mut();
                    seen.met.insert(setting.to_string());
                    seen.set.insert(setting.to_string());
                    changed = Some(bytes);
                }
            }
        }
        changed
    })
}

/// A name that no command is about is a slip.
fn names_exist(plan: &Plan, seen: &Seen, state: &State, files: &[PathBuf]) -> Result<(), Error> {
    let file = files.first().map_or_else(String::new, |file| file.display().to_string());
    for setting in plan.runs.iter().flatten() {
        let (met, set) = (seen.met.contains(&setting.to_string()), seen.set.contains(&setting.to_string()));
        let missing = |what: &str, name: &Name, known: Vec<&str>| {
            let nearest =
                nearest(name.as_str(), known).map_or_else(String::new, |name| format!("; the nearest is {name}"));
            Error::Input(format!("{file}: no command {what} {name}{nearest}"))
        };
        match setting.of() {
            SettingOf::Feature(name) | SettingOf::Policy(name) if !met => {
                return Err(missing("creates", name, state.features().map(|feature| feature.name.as_str()).collect()));
            }
            SettingOf::Deploy(name) if !met => {
                return Err(missing("deploys", name, state.plugins().map(|(name, _)| name.as_str()).collect()));
            }
            SettingOf::Deploy(name) if !set => {
                return Err(Error::Input(format!(
                    "{file}: no deployment of {name} has the field of {setting}; its strategy is another one"
                )));
            }
            SettingOf::Feature(_) | SettingOf::Policy(_) | SettingOf::Deploy(_) | SettingOf::Params => {}
        }
    }
    Ok(())
}

/// Collects the differences of a block, which are written when it is over.
#[derive(Debug, Default)]
struct Told {
    is_sweep: bool,
    differences: Vec<Difference>,
    receipts: Vec<ReceiptDifference>,
    /// How many differences there were, and how many reports have other receipts.
    total: u64,
    reports: u64,
}

impl Observer for Told {
    fn differs(&mut self, _run: usize, difference: Difference) {
        self.total = self.total.saturating_add(1);
        if !self.is_sweep {
            self.differences.push(difference);
        }
    }

    fn receipt(&mut self, _run: usize, difference: ReceiptDifference) {
        if difference.is_report {
            self.reports = self.reports.saturating_add(1);
        } else if !self.is_sweep {
            self.receipts.push(difference);
        }
    }
}

impl Told {
    fn write(&mut self, out: &mut Output) -> Result<(), Error> {
        for receipt in self.receipts.drain(..) {
            let ReceiptDifference { height, tx, base, changed, .. } = receipt;
            let name = |receipt: Option<Receipt>, none: &'static str| receipt.map_or(none, |receipt| receipt.name());
            let (base, changed) = (name(base, "not sent"), name(changed, "not sent"));
            let tx = tx.and_then(|tx| u64::try_from(tx).ok());
            let fields = Fields::new().with("height", height).with("tx", tx);
            let text = || {
                let which = tx.map_or_else(|| "added".to_owned(), |tx| format!("tx {tx}"));
                format!("{height} {which}: {base} -> {changed}")
            };
            out.put("receipt", text, fields.with("base", base).with("changed", changed))?;
        }
        for difference in self.differences.drain(..) {
            let Difference { height, subject, base, changed } = &difference;
            let (kind, name) = shown(subject);
            let text = || {
                let head =
                    name.as_ref().map_or_else(|| format!("{height} {kind}"), |name| format!("{height} {kind} {name}"));
                format!("{head}\n  was:  {}\n  then: {}", side_text(base), side_text(changed))
            };
            let fields = Fields::new().with("height", *height).with("subject", kind);
            let fields = fields.with("name", name.clone()).with("base", side(base)).with("changed", side(changed));
            out.put("difference", text, fields)?;
        }
        Ok(())
    }
}

fn shown(subject: &Subject) -> (&'static str, Option<String>) {
    match subject {
        Subject::Feature(name) => ("feature", Some(name.to_string())),
        Subject::Plugin(name) => ("plugin", Some(name.to_string())),
        Subject::Ledger => ("ledger", None),
    }
}

fn side_text(side: &Side) -> String {
    let events: Vec<String> = side.events.iter().map(event_sentence).collect();
    let events = if events.is_empty() { "nothing".into() } else { events.join("; ") };
    match &side.figures {
        None => events,
        Some(Figures::Feature { status, percent, errors, successes }) => {
            format!("{events} [{status} {percent} %, {errors} errors, {successes} successes]")
        }
        Some(Figures::Plugin { current, canary: None }) => format!("{events} [{current}]"),
        Some(Figures::Plugin { current, canary: Some((new, share, hold, requests, errors)) }) => {
            format!("{events} [{current}, {new} at {share} bps {hold}, {errors} errors in {requests} requests]")
        }
    }
}

fn side(side: &Side) -> Fields {
    let event = |event: &Event| {
        Value::from(
            Fields::new().text("event", event.code()).and(render::event(event)).with("sentence", event_sentence(event)),
        )
    };
    let figures = side.figures.as_ref().map(|figures| match figures {
        Figures::Feature { status, percent, errors, successes } => Fields::new()
            .text("status", status)
            .with("percent", percent.get())
            .with("errors", *errors)
            .with("successes", *successes),
        Figures::Plugin { current, canary } => {
            let canary = canary.as_ref().map(|(version, share, hold, requests, errors)| {
                let fields = Fields::new().text("version", version).with("share_bps", share.get()).text("hold", hold);
                fields.with("requests", *requests).with("errors", *errors)
            });
            Fields::new().text("current", current).with("canary", canary)
        }
    });
    Fields::new().with("events", side.events.iter().map(event).collect::<Vec<_>>()).with("figures", figures)
}

/// The figures of one run.
fn tally(tally: &Tally) -> Fields {
    let times =
        |times: &Times| Fields::new().with("first", times.first).with("last", times.last).with("count", times.count);
    Fields::new()
        .with("rolled_back", times(&tally.rolled_back))
        .with("fully_on", times(&tally.fully_on))
        .with("breaker_tripped", times(&tally.breaker_tripped))
        .with("errors_served", tally.errors_served)
}

/// Columns of figures: `HEIGHT`, with how often if more than once.
fn columns(tally: &Tally) -> [String; 4] {
    let times = |times: &Times| match (times.first, times.count) {
        (None, _) => "-".into(),
        (Some(first), 1) => first.to_string(),
        (Some(first), count) => format!("{first} ({count} times)"),
    };
    let Tally { rolled_back, fully_on, breaker_tripped, errors_served } = tally;
    [times(rolled_back), times(fully_on), times(breaker_tripped), errors_served.to_string()]
}

const COLUMNS: [&str; 4] = ["rolled back at", "fully on at", "breaker at", "errors served"];

fn summary(plan: &Plan, base: &Tally, changed: &[Tally], told: &Told, out: &mut Output) -> Result<(), Error> {
    let (kind, name) = plan.subject.as_ref().map_or(("all", None), shown);
    let (path, names): (&str, Vec<&str>) = match &plan.swept {
        Some((path, values)) => (path, values.iter().map(String::as_str).collect()),
        None => ("", vec!["then"]),
    };
    let labels = ["was"].into_iter().chain(names.iter().copied());
    let tallies = std::iter::once(base).chain(changed);
    let rows: Vec<Vec<String>> = labels
        .clone()
        .zip(tallies.clone())
        .map(|(label, tally)| [label.to_owned()].into_iter().chain(columns(tally)).collect())
        .collect();
    let head: Vec<String> = [path].into_iter().chain(COLUMNS).map(str::to_owned).collect();
    let lines = table(std::iter::once(&head).chain(&rows));
    if plan.swept.is_some() {
        let mut lines = lines.into_iter();
        if let Some(head) = lines.next() {
            out.text(&head)?;
        }
        for ((label, tally_of), line) in labels.zip(tallies).zip(lines) {
            let value = if label == "was" { Value::None } else { label.into() };
            let fields = Fields::new().with("path", path).with("value", value);
            out.put("sweep", || line, fields.with("subject", kind).with("name", name.clone()).and(tally(tally_of)))?;
        }
        return Ok(());
    }
    let Some(then) = changed.first() else { return Ok(()) };
    let text = || {
        let verdict = match (told.total, told.reports) {
            (0, 0) => "no decision differs".to_owned(),
            (decisions, reports) => {
                format!("decisions that differ: {decisions}; reports with other receipts: {reports}")
            }
        };
        format!("{}\n{verdict}", lines.join("\n"))
    };
    let fields = Fields::new().with("subject", kind).with("name", name.clone());
    let fields = fields.with("differences", told.total).with("reports", told.reports);
    out.put("summary", text, fields.with("base", tally(base)).with("changed", tally(then)))
}

/// Lines with columns of even width.
fn table<'r>(rows: impl Iterator<Item = &'r Vec<String>> + Clone) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows.clone() {
        for (column, cell) in row.iter().enumerate() {
            match widths.get_mut(column) {
                Some(width) => *width = (*width).max(cell.len()),
                None => widths.push(cell.len()),
            }
        }
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.map(line).collect()
}
