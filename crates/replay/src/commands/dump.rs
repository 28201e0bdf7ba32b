//! `dump`: every record of a source.

use clap::Args;
use coalmine_core::Height;

use crate::dump as dumps;
use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::source::Source;

/// Arguments of `dump`.
#[derive(Debug, Args)]
#[command(after_help = "\
The first line has format, height and root; every further line is {\"key\":\"hex\",\"value\":\"hex\"}.
With --binary the records are in chunks behind a header with their hashes, the form of backups and snapshots: a third
of the size, and the same bytes on every node. Every command that reads a dump reads both.

Example:
  replay dump rocksdb:./state -o state.dump
  replay dump rocksdb:./state --binary -o state.dump
  replay dump canary.json --at 150 -o at-150.dump")]
pub(crate) struct DumpArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    /// As of the end of this height, of a block file
    #[arg(long, value_name = "HEIGHT")]
    at: Option<Height>,
    /// Write the binary form
    #[arg(long)]
    binary: bool,
}

/// Writes every record of a source.
pub(crate) fn dump(args: &DumpArgs, target: &Target) -> Result<(), Error> {
    let source = Source::as_of(&args.source, args.at)?;
    let mut out = Output::open(target, [Input::source(&args.source)])?;
    let written = if args.binary {
        dumps::write_binary(&source, &args.source, &mut out)
    } else {
        dumps::write(&source, &mut out)
    };
    out.end(written)
}
