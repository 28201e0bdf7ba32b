//! `check`: is a feature on for an address, and why.

use clap::Args;
use coalmine_core::{Address, Height, Name, query};
use coalmine_json::render;

use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::source::Source;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
--at needs a block file: stores and dumps have no overrides and policies of the past.

Example:
  replay check canary.json vita_recovery_v2 0x1111111111111111111111111111111111111111 --at 150")]
pub(crate) struct CheckArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The feature
    name: Name,
    /// The user
    address: Address,
    /// As of the end of this height
    #[arg(long, value_name = "HEIGHT")]
    at: Option<Height>,
}

/// Shows whether a feature is on for an address, and why.
pub(crate) fn check(args: &CheckArgs, target: &Target) -> Result<(), Error> {
    let source = Source::open(&args.source, args.at)?;
    source.present("check")?;
    let verdict = query::check(&source, &args.name, &args.address);
    let verdict = verdict.map_err(|fault| Error::from(fault).in_source(&args.source))?;
    let mut out = Output::open(target, [Input::source(&args.source)])?;
    out.card("verdict", render::verdict(&args.name, &args.address, &verdict).with("height", source.tip()?.height))?;
    out.finish()
}
