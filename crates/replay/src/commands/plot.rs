//! `plot`: a picture of a feature, a plugin or all of them over height.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use coalmine_answers::Answer;
use coalmine_chart::ledger::{LANES_MAX, Range, Recorder, feature_timeline, overview, plugin_timeline};
use coalmine_chart::{MarkKind, Options, Picture, Subject, Theme, page};
use coalmine_core::{Execution, Height, Name, Read, query};
use coalmine_foresight::nearest;
use coalmine_json::render::Fields;

use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::runner::{Failure, Goal, Observer};
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
    let subject = match args.what {
        What::Feature { name } => Some((Subject::Feature, name)),
        What::Plugin { name } => Some((Subject::Plugin, name)),
        What::Overview => None,
    };
    let range = Range { from: args.from, to: args.at };
    let (source, recorder) = run(args, subject, range)?;
    let tip = source.tip()?.height;
    if let (Some(from), Some(tip)) = (args.from, tip)
        && from > tip
    {
        return Err(source.cannot(&format!("it ends at height {tip}, before --from {from}")));
    }
    let options = Options { width: args.width, theme: args.theme.into() };
    let Some((subject, name)) = subject else {
        source.present("an overview")?;
        let picture = overview(&source, (range, tip), LANES_MAX)?;
        let content = content(Picture::Overview(&picture), &options, form)?;
        let lanes = u64::try_from(picture.lanes.len()).unwrap_or(u64::MAX);
        let summary = Fields::new()
            .with("kind", "overview")
            .with("from", u64::from(picture.from))
            .with("to", u64::from(picture.to))
            .with("shown", lanes)
            .with("total", picture.total);
        return Ok(Drawn { summary: sized(summary, &content), content });
    };
    let picture = match subject {
        Subject::Feature => feature_timeline(&source, &name, (range, tip), recorder)?,
        Subject::Plugin => plugin_timeline(&source, &name, (range, tip), recorder)?,
    };
    let Some(picture) = picture else { return Err(unknown(&source, subject, &name)?) };
    let content = content(Picture::Timeline(&picture), &options, form)?;
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

/// Opens the source; a block file is run, and what it says about the subject is recorded.
fn run(args: &PlotArgs, subject: Option<(Subject, Name)>, range: Range) -> Result<(Source, Option<Recorder>), Error> {
    match source::open(&args.source)? {
        Opened::State(source) => Ok((source.seen_from(args.at)?, None)),
        Opened::Blocks(blocks) => {
            let recorder = subject.map(|(subject, name)| Recorder::new(subject, name, range));
            let (stop, progress) = (Stop::on_signal()?, Progress::new(false));
            let mut watch = Watch { recorder, stop, progress, blocks: 0 };
            let source = Source::run_watched(&args.source, *blocks, args.at, &mut watch);
            watch.progress.clear();
            Ok((source?, watch.recorder))
        }
    }
}

/// Watches the run of a block file.
struct Watch {
    recorder: Option<Recorder>,
    stop: Stop,
    progress: Progress,
    blocks: u64,
}

impl Observer for Watch {
    fn executed(&mut self, _goal: Goal<'_>, execution: &Execution) -> Result<(), Error> {
        if let Some(recorder) = &mut self.recorder {
            recorder.execution(execution);
        }
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
fn unknown(source: &Source, subject: Subject, name: &Name) -> Result<Error, Error> {
    let names = names(source, subject)?;
    let what = subject.name();
    if names.contains(name) {
        return Ok(source.cannot(&format!("{what} {name} is not there yet at that height")));
    }
    Ok(source.cannot(&match nearest(name.as_str(), names.iter().map(Name::as_str)) {
        Some(near) => format!("there is no {what} {name}; the nearest is {near}"),
        None if names.is_empty() => format!("there is no {what} {name}, and no other"),
        None => format!("there is no {what} {name}"),
    }))
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
