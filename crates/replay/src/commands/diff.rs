//! `diff`: two states, record by record.

use clap::Args;

use crate::commands::pair::PairArgs;
use crate::difference::differences;
use crate::error::Error;
use crate::output::{Output, Target};
use crate::source::Source;

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints a line per record: - only in the first source, + only in the second, ~ in both, with the fields \
that differ as FIRST -> SECOND. The exit code is 1 if anything differs.

Example:
  replay diff canary.json rocksdb:./state")]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pair: PairArgs,
}

/// Compares two states.
pub(crate) fn diff(DiffArgs { pair }: &DiffArgs, target: &Target) -> Result<(), Error> {
    let (first, second) = (Source::open(&pair.first, None)?, Source::open(&pair.second, None)?);
    let mut out = pair.output(target)?;
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
