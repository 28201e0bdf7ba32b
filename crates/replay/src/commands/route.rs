//! `route`: which version of a plugin serves a unit, or each of a list.

use clap::Args;
use coalmine_answers as answers;
use coalmine_core::{Height, Name, State, query};

use crate::commands::bytes::{Bytes, unit};
use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::source::Source;
use crate::users::each_line;

/// Arguments of `route`.
#[derive(Debug, Args)]
#[command(after_help = "\
UNIT is what requests are routed by, always in the same form: an account, a request id. 0x and hex \
digits are bytes, anything else is text. During a deployment, units whose bucket is below share_bps \
get its new version. --at needs a block file.

--users gives a line for each unit of a file, which has one a line, and runs the source once.

Example:
  replay route plugin-canary.json api 0x1111111111111111111111111111111111111111 --at 30
  replay route rocksdb:./state api order-4711
  replay route rocksdb:./state api --users orders.txt")]
pub(crate) struct RouteArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The plugin
    plugin: Name,
    /// The unit
    #[arg(value_parser = unit, required_unless_present = "users")]
    unit: Option<Bytes>,
    /// A file with a unit a line; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "unit")]
    users: Option<String>,
    /// As of the end of this height
    #[arg(long, value_name = "HEIGHT")]
    at: Option<Height>,
}

/// Shows which version serves a unit, and why.
pub(crate) fn route(args: &RouteArgs, target: &Target) -> Result<(), Error> {
    if args.source == "-" && args.users.as_deref() == Some("-") {
        return Err(Error::Input("standard input is read once; name a file for the source or for the units".into()));
    }
    let source = Source::open(&args.source, args.at)?;
    source.present("route")?;
    let in_source = |error: Error| error.in_source(&args.source);
    let known = query::plugin(&source, &args.plugin).map_err(|fault| in_source(fault.into()))?;
    if known.is_none() {
        return Err(source.no_plugin(&args.plugin));
    }
    let users = args.users.as_deref().map(|users| Input::File(users.as_ref()));
    let mut out = Output::open(target, [Some(Input::source(&args.source)), users].into_iter().flatten())?;
    if let Some(Bytes(unit)) = &args.unit {
        let routing = query::routing(&source, &args.plugin, unit).map_err(|fault| in_source(fault.into()))?;
        let routing = routing.ok_or_else(|| source.no_plugin(&args.plugin))?;
        out.card(answers::route(&args.plugin, unit, &routing, source.tip()?.height))?;
        return out.finish();
    }
    let loaded = source.load().map_err(in_source)?;
    let routed = route_units(loaded.state(), args, &mut out);
    out.end(routed)
}

/// A line for each unit.
fn route_units(state: &State, args: &RouteArgs, out: &mut Output) -> Result<(), Error> {
    let plugin = &args.plugin;
    each_line(args.users.as_deref().unwrap_or("-"), unit, |Bytes(unit)| {
        let Some(routing) = answers::routing(state, plugin, &unit) else { return Ok(()) };
        out.row(answers::route(plugin, &unit, &routing, state.tip()))
    })
}
