//! `help`: of a command of the tool, or of an op of block files.

use clap::Args;
use coalmine_foresight::nearest;
use coalmine_json::Op;
use coalmine_json::render::Fields;

use crate::error::Error;
use crate::output::{Output, Target};

/// Arguments of `help`.
#[derive(Debug, Args)]
#[command(after_help = "\
ops are what transactions do. Without a name, help ops lists them, each with the fields that it takes; those in \
brackets may be left out. With a name it shows the fields with types, limits and defaults, who may send it, the \
checks in their order with the reject of each, and an example.

Example:
  replay help ops start_canary")]
pub(crate) struct HelpArgs {
    /// A command of the tool, or ops
    #[arg(value_name = "TOPIC")]
    topic: Option<String>,
    /// The op, or a subcommand
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Shows help. `tool` is the whole command line.
pub(crate) fn help(args: &HelpArgs, tool: clap::Command, target: &Target) -> Result<(), Error> {
    let mut out = Output::open(target, [])?;
    match (args.topic.as_deref(), args.name.as_deref()) {
        (Some("ops"), None) => list(&mut out)?,
        (Some("ops"), Some(name)) => {
            let op = Op::from_name(name).ok_or_else(|| unknown("op", name, Op::all().map(Op::name), "help ops"))?;
            out.put("op", || op.to_string(), op.describe())?;
        }
        (topic, name) => page(tool, topic.into_iter().chain(name), &mut out)?,
    }
    out.finish()
}

/// Every op: in text its usage and what it does, else all of it.
fn list(out: &mut Output) -> Result<(), Error> {
    Op::all().try_for_each(|op| out.put("op", || format!("{}\n    {}", op.usage(), op.about()), op.describe()))
}

/// The help of the tool, of a command or of a subcommand.
fn page<'a>(mut tool: clap::Command, path: impl Iterator<Item = &'a str>, out: &mut Output) -> Result<(), Error> {
    tool.build();
    let mut found = &mut tool;
    let mut names = Vec::new();
    for name in path {
        names.push(name);
        found = found.find_subcommand_mut(name).ok_or_else(|| {
            Error::Input(format!("there is no command {:?}; help lists all of them", names.join(" ")))
        })?;
    }
    let text = found.render_long_help().to_string();
    let fields = Fields::new().with("command", names.join(" ")).with("text", text.as_str());
    out.put("help", || text.trim_end().to_owned(), fields)
}

/// The error about a name that is not there, with the nearest that is.
fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str>, lists: &str) -> Error {
    let hint = match nearest(name, known) {
        Some(near) => format!("the nearest is {near}"),
        None => format!("{lists} lists all of them"),
    };
    Error::Input(format!("there is no {what} {name:?}; {hint}"))
}
