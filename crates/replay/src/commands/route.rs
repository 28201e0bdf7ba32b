//! `route`: which version of a plugin serves a unit.

use clap::Args;
use coalmine_core::query::{self, Routing};
use coalmine_core::{Bps, Height, Name};
use coalmine_json::render::Fields;

use crate::commands::bytes::{Bytes, unit};
use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::source::Source;

/// Arguments of `route`.
#[derive(Debug, Args)]
#[command(after_help = "\
UNIT is what requests are routed by, always in the same form: an account, a request id. 0x and hex \
digits are bytes, anything else is text. During a deployment, units whose bucket is below share_bps \
get its new version. --at needs a block file.

Example:
  replay route plugin-canary.json api 0x1111111111111111111111111111111111111111 --at 30
  replay route rocksdb:./state api order-4711")]
pub(crate) struct RouteArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The plugin
    plugin: Name,
    /// The unit
    #[arg(value_parser = unit)]
    unit: Bytes,
    /// As of the end of this height
    #[arg(long, value_name = "HEIGHT")]
    at: Option<Height>,
}

/// Shows which version serves a unit, and why.
pub(crate) fn route(args: &RouteArgs, target: &Target) -> Result<(), Error> {
    let source = Source::open(&args.source, args.at)?;
    source.present("route")?;
    let fields = routed(&source, args).map_err(|error| error.in_source(&args.source))?;
    let mut out = Output::open(target, [Input::source(&args.source)])?;
    out.card("route", fields)?;
    out.finish()
}

fn routed(source: &Source, RouteArgs { plugin, unit: Bytes(unit), .. }: &RouteArgs) -> Result<Fields, Error> {
    let Routing { version, bucket_and_share } =
        query::routing(source, plugin, unit)?.ok_or_else(|| source.cannot(&format!("there is no plugin {plugin}")))?;
    let (bucket, share) = bucket_and_share.unzip();
    Ok(Fields::new()
        .text("plugin", plugin)
        .with("unit", format!("0x{}", hex::encode(unit)))
        .text("version", version)
        .with("bucket", bucket.map(Bps::get))
        .with("share_bps", share.map(Bps::get))
        .with("height", source.tip()?.height))
}
