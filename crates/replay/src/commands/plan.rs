//! `plan`: what loading a plugin would do.

use clap::Args;
use coalmine_answers::Answer;
use coalmine_core::{Height, Name, query};
use coalmine_json::render::Fields;

use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::source::Source;

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints a line per plugin, in the order in which hosts load them; or the reject of the command, and the \
plugin at which it fails. --at needs a block file.

Example:
  replay plan plugin-load-diamond.json shop --at 10")]
pub(crate) struct PlanArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The plugin
    plugin: Name,
    /// As of the end of this height
    #[arg(long, value_name = "HEIGHT")]
    at: Option<Height>,
}

/// Shows what a load would do.
pub(crate) fn plan(args: &PlanArgs, target: &Target) -> Result<(), Error> {
    let source = Source::open(&args.source, args.at)?;
    source.present("plan")?;
    if query::plugin(&source, &args.plugin).map_err(|fault| Error::from(fault).in_source(&args.source))?.is_none() {
        return Err(source.no_plugin(&args.plugin));
    }
    let loaded = source.load().map_err(|error| error.in_source(&args.source))?;
    let mut out = Output::open(target, [Input::source(&args.source)])?;
    match loaded.state().plan_load(&args.plugin) {
        Ok(plan) => {
            for planned in plan {
                let rest = Fields::new().text("version", planned.version).text("load_state", planned.state);
                out.row(Answer::new("planned", Fields::new().text("plugin", planned.plugin), rest))?;
            }
        }
        Err(refusal) => {
            out.card(Answer::single(
                "refused",
                Fields::new().text("refused", refusal.reject).text("plugin", refusal.plugin),
            ))?;
        }
    }
    out.finish()
}
