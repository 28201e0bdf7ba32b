//! `plot`: a picture of a feature, a plugin or all of them over height.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use coalmine_answers::Answer;
use coalmine_chart::ledger::{LANES_MAX, Range, Recorder, feature_timeline, overview, plugin_timeline};
use coalmine_chart::{MarkKind, Options, Picture, Subject, Theme, page};
use coalmine_core::query::{self, Entry, Visit};
use coalmine_core::{BlockError, Execution, Fault, Height, Name, Read, State};
use coalmine_json::render::Fields;

use crate::commands;
use crate::error::Error;
use crate::input::Input;
use crate::kept::{HISTORIES_SIZE_MAX, Keep, Kept};
use crate::output::{Output, Target};
use crate::runner::{Failure, Goal, Observer, run_state};
use crate::source::{self, Opened, Source};
use crate::terminal::{Progress, Stop};

/// How many names are read at once.
const PAGE: usize = 1_024;

/// Arguments of `plot`.
#[derive(Debug, Args)]
#[command(after_help = "\
The name of the output says its form: .svg is a picture, .html is a page with the picture and a table of what happened. \
Both are single files without scripts, and follow the reader's choice of light or dark.

Error rates are drawn from a block file only: a store or a dump has the histories, with the figures of each rollback.

Example:
  replay plot canary.json feature vita_recovery_v2 -o canary.svg
  replay plot plugin-canary.json plugin api --from 10 --at 60 -o api.html
  replay plot rocksdb:./state overview -o overview.svg")]
pub(crate) struct PlotArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    #[command(subcommand)]
    what: What,
    /// Begin at this height
    #[arg(long, global = true, value_name = "HEIGHT")]
    from: Option<Height>,
    /// End with this height
    #[arg(long, global = true, value_name = "HEIGHT")]
    at: Option<Height>,
    /// Pixels from left to right
    #[arg(long, global = true, value_name = "PIXELS", default_value_t = Options::default().width,
          value_parser = clap::value_parser!(u32).range(i64::from(Options::WIDTH_MIN)..=i64::from(Options::WIDTH_MAX)))]
    width: u32,
    /// Colours of the picture
    #[arg(long, global = true, value_enum, default_value_t, value_name = "THEME")]
    theme: ThemeArg,
}

/// What a picture is of.
#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// One feature: its share of users, its error rates, and what happened
    Feature {
        /// The feature
        name: Name,
    },
    /// One plugin: the share of each deployment, the error rates of both versions, and what happened
    Plugin {
        /// The plugin
        name: Name,
    },
    /// All features and plugins in lanes, what is rolled back or on its way first
    Overview,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ThemeArg {
    /// As the reader prefers
    #[default]
    Auto,
    /// Dark on light
    Light,
    /// Light on dark
    Dark,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Svg,
    Html,
}

impl Form {
    fn of(file: Option<&Path>) -> Result<Self, Error> {
        let extension = file.and_then(Path::extension).map(|extension| extension.to_ascii_lowercase());
        match extension.as_deref().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("html" | "htm") => Ok(Self::Html),
            Some(_) | None if file == Some(Path::new("-")) => Ok(Self::Svg),
            Some(_) | None => {
                let name = file.map_or_else(String::new, |file| format!("{}: ", file.display()));
                Err(Error::Input(format!("{name}name a file that ends with .svg or .html: -o FILE")))
            }
        }
    }
}

/// Draws a picture.
pub(crate) fn plot(args: &PlotArgs, target: &Target) -> Result<(), Error> {
    let form = Form::of(target.file.as_deref())?;
    if let (Some(from), Some(at)) = (args.from, args.at)
        && from > at
    {
        return Err(Error::Input(format!(
            "--from {from} is above --at {at}: a picture ends where it begins, or later"
        )));
    }
    let mut out = Output::open(target, [Input::source(&args.source)])?;
    let drawn = draw(args, form).map_err(|error| error.in_source(&args.source)).and_then(|drawn| {
        out.write(|out| out.write_all(drawn.content.as_bytes()))?;
        Ok(drawn.summary)
    });
    let summary = match drawn {
        Ok(summary) => summary,
        Err(error) => return out.end(Err(error)),
    };
    out.finish()?;
    let Some(file) = target.file.as_deref().filter(|file| *file != Path::new("-")) else { return Ok(()) };
    // The picture is there: what was written is told on standard output.
    let mut told = Output::open(&Target { format: target.format, file: None }, [])?;
    told.card(Answer::single("plot", Fields::new().text("file", file.display()).and(summary)))?;
    told.finish()
}

/// The content of the file, and what is told about it.
struct Drawn {
    content: String,
    summary: Fields,
}

fn draw(args: &PlotArgs, form: Form) -> Result<Drawn, Error> {
    let options = Options { width: args.width, theme: args.theme.into() };
    match args.what {
        What::Feature { name } => draw_one(args, (Subject::Feature, name), (form, &options)),
        What::Plugin { name } => draw_one(args, (Subject::Plugin, name), (form, &options)),
        What::Overview => draw_overview(args, (form, &options)),
    }
}

fn range(args: &PlotArgs) -> Range {
    Range { from: args.from, to: args.at }
}

fn draw_overview(args: &PlotArgs, (form, options): (Form, &Options)) -> Result<Drawn, Error> {
    let mut stop = None;
    let mut drawing = Drawing::of(
        args,
        &mut stop,
        None,
        Keep::All { histories_size_max: is_file(&args.source).then_some(HISTORIES_SIZE_MAX) },
    )?;
    let mut picture = overview(&drawing.records, (range(args), drawing.tip), LANES_MAX)?;
    if drawing.records.is_partial() {
        // Which lanes there are is known now, so their histories alone are kept, whatever the length of all.
        let names = picture.lanes.iter().filter_map(|lane| lane.name.parse().ok()).collect();
        drawing = Drawing::of(args, &mut stop, None, Keep::Named(names))?;
        let lanes = picture.lanes.len();
        let total = picture.total;
        picture = overview(&drawing.records, (range(args), drawing.tip), lanes)?;
        picture.total = total;
    }
    let content = content(Picture::Overview(&picture), options, form)?;
    let lanes = u64::try_from(picture.lanes.len()).unwrap_or(u64::MAX);
    let summary = Fields::new()
        .with("kind", "overview")
        .with("from", u64::from(picture.from))
        .with("to", u64::from(picture.to))
        .with("shown", lanes)
        .with("total", picture.total);
    Ok(Drawn { summary: sized(summary, &content), content })
}

fn draw_one(args: &PlotArgs, one: (Subject, Name), (form, options): (Form, &Options)) -> Result<Drawn, Error> {
    let (subject, name) = one;
    let Drawing { records, tip, recorder } = Drawing::of(args, &mut None, Some(one), Keep::Named([name].into()))?;
    let picture = match subject {
        Subject::Feature => feature_timeline(&records, &name, (range(args), tip), recorder)?,
        Subject::Plugin => plugin_timeline(&records, &name, (range(args), tip), recorder)?,
    };
    let Some(picture) = picture else { return Err(unknown(&args.source, &records, subject, &name)?) };
    let content = content(Picture::Timeline(&picture), options, form)?;
    let marks = MarkKind::ALL.iter().fold(0_u64, |sum, kind| sum.saturating_add(picture.marks.count(*kind)));
    let summary = Fields::new()
        .with("kind", subject.name())
        .with("name", name.as_str())
        .with("from", u64::from(picture.from))
        .with("to", u64::from(picture.to))
        .with("marks", marks)
        .with("rollbacks", picture.marks.count(MarkKind::Rollback))
        .text("now", picture.headline.replace('\u{a0}', " "));
    Ok(Drawn { summary: sized(summary, &content), content })
}

fn sized(summary: Fields, content: &str) -> Fields {
    summary.with("bytes", u64::try_from(content.len()).unwrap_or(u64::MAX))
}

fn content(picture: Picture<'_>, options: &Options, form: Form) -> Result<String, Error> {
    let content = match form {
        Form::Svg => picture.svg(options),
        Form::Html => page(picture, options),
    };
    content.map_err(|error| Error::Input(error.to_string()))
}

/// What a picture is drawn from.
struct Drawing {
    records: Records,
    tip: Option<Height>,
    recorder: Option<Recorder>,
}

/// Where the records of a picture are.
enum Records {
    /// In a store or dump.
    Source(Source),
    /// Kept while a block file ran.
    Kept(Kept),
}

impl Records {
    fn view(&self) -> &dyn Read {
        match self {
            Self::Source(source) => source,
            Self::Kept(kept) => kept,
        }
    }

    const fn is_partial(&self) -> bool {
        match self {
            Self::Source(_) => false,
            Self::Kept(kept) => kept.is_partial,
        }
    }
}

impl Read for Records {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.view().get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        self.view().scan(start, end, visit)
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault> {
        self.view().last(start, end)
    }
}

impl Drawing {
    /// Opens the source; a block file is run, and what it says about the subject is recorded.
    ///
    /// A process has one handler of signals, which `stop` keeps for the next run.
    fn of(args: &PlotArgs, stop: &mut Option<Stop>, one: Option<(Subject, Name)>, keep: Keep) -> Result<Self, Error> {
        let drawing = match source::open(&args.source)? {
            Opened::State(source) => {
                let source = source.seen_from(args.at)?;
                if one.is_none() {
                    source.present("an overview")?;
                }
                Self { tip: source.tip()?.height, records: Records::Source(source), recorder: None }
            }
            Opened::Blocks(mut blocks) => {
                let recorder = one.map(|(subject, name)| Recorder::new(subject, name, range(args)));
                let mut kept = Kept::new(keep);
                let (_, genesis) = State::genesis(blocks.genesis()).map_err(BlockError::from)?;
                kept.write(&genesis);
                let stop = match stop {
                    Some(stop) => stop.clone(),
                    None => stop.insert(Stop::on_signal()?).clone(),
                };
                let progress = Progress::new(false);
                let mut watch = Watch { recorder, kept, stop, progress, blocks: 0 };
                let state = run_state(&mut blocks, args.at, &mut watch);
                watch.progress.clear();
                Self { tip: state?.tip(), records: Records::Kept(watch.kept), recorder: watch.recorder }
            }
        };
        if let (Some(from), Some(tip)) = (args.from, drawing.tip)
            && from > tip
        {
            return Err(cannot(&args.source, &format!("it ends at height {tip}, before --from {from}")));
        }
        Ok(drawing)
    }
}

/// Whether a block file can be read once more.
fn is_file(argument: &str) -> bool {
    argument != "-" && Path::new(argument).is_file()
}

fn cannot(source: &str, why: &str) -> Error {
    Error::Input(format!("{source}: {why}"))
}

/// Watches the run of a block file.
struct Watch {
    recorder: Option<Recorder>,
    kept: Kept,
    stop: Stop,
    progress: Progress,
    blocks: u64,
}

impl Observer for Watch {
    fn executed(&mut self, _goal: Goal<'_>, execution: &Execution) -> Result<(), Error> {
        if let Some(recorder) = &mut self.recorder {
            recorder.execution(execution);
        }
        self.kept.write(execution.writes());
        self.blocks = self.blocks.saturating_add(1);
        self.progress.at(execution.height(), self.blocks);
        Ok(())
    }

    fn failed(&mut self, _failure: Failure) {}

    fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }
}

/// The error about a name that is not there, with the nearest that is.
fn unknown(source: &str, records: &Records, subject: Subject, name: &Name) -> Result<Error, Error> {
    let names = names(records, subject)?;
    let what = subject.name();
    if names.contains(name) {
        return Ok(cannot(source, &format!("{what} {name} is not there yet at that height")));
    }
    Ok(commands::unknown(source, what, name, names.iter().map(Name::as_str)))
}

fn names(source: &impl Read, subject: Subject) -> Result<Vec<Name>, Error> {
    let mut names: Vec<Name> = Vec::new();
    loop {
        let after = names.last();
        let page: Vec<Name> = match subject {
            Subject::Feature => query::features(source, after, PAGE)?.iter().map(|feature| feature.name).collect(),
            Subject::Plugin => query::plugins(source, after, PAGE)?.iter().map(|(name, _)| *name).collect(),
        };
        let is_last = page.len() < PAGE;
        names.extend(page);
        if is_last {
            return Ok(names);
        }
    }
}

impl From<ThemeArg> for Theme {
    fn from(theme: ThemeArg) -> Self {
        match theme {
            ThemeArg::Auto => Self::Auto,
            ThemeArg::Light => Self::Light,
            ThemeArg::Dark => Self::Dark,
        }
    }
}
