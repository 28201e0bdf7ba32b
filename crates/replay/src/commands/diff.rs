//! `diff`: two states, record by record.

use clap::Args;
use coalmine_core::Height;

use crate::difference::differences;
use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};
use crate::source::Source;

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints a line per record: - only in the first source, + only in the second, ~ in both, with the fields \
that differ as FIRST -> SECOND. The exit code is 1 if anything differs.

One block file is compared with itself at two heights by --at and --and. --at alone is the height of \
both sources; a store or dump has only that of its tip.

Example:
  replay diff canary.json rocksdb:./state
  replay diff canary.json --at 100 --and 150")]
pub(crate) struct DiffArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    first: String,
    /// The source to compare it with; without it, the first at the height of --and
    #[arg(value_name = "SOURCE", required_unless_present = "and")]
    second: Option<String>,
    /// As of the end of this height
    #[arg(long, value_name = "HEIGHT")]
    at: Option<Height>,
    /// Compare it with the end of this height, of the second source if there is one
    #[arg(long, value_name = "HEIGHT", requires = "at")]
    and: Option<Height>,
}

/// Compares two states.
pub(crate) fn diff(args: &DiffArgs, target: &Target) -> Result<(), Error> {
    let second = args.second.as_deref().unwrap_or(&args.first);
    if args.second.is_none() && args.first == "-" {
        return Err(Error::Input("standard input is read once; name a file to compare two of its heights".into()));
    }
    let (first, second) = (Source::as_of(&args.first, args.at)?, Source::as_of(second, args.and.or(args.at))?);
    let inputs = [Some(&args.first), args.second.as_ref()];
    let mut out = Output::open(target, inputs.into_iter().flatten().map(|source| Input::source(source)))?;
    let compared = compare(&first, &second, &mut out);
    out.end(compared)
}

fn compare(first: &Source, second: &Source, out: &mut Output) -> Result<(), Error> {
    let mut count = 0_u64;
    for difference in differences(first, second) {
        difference?.put(out)?;
        count = count.saturating_add(1);
    }
    match count {
        0 => Ok(()),
        1 => Err(Error::Differs("1 record differs".into())),
        count => Err(Error::Differs(format!("{count} records differ"))),
    }
}
