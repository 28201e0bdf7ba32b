//! What `diff` and `bisect` share: two sources.

use clap::Args;

use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};

/// The two sources of `diff` and `bisect`.
#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    pub(super) first: String,
    /// The source to compare it with
    #[arg(value_name = "SOURCE")]
    pub(super) second: String,
}

impl PairArgs {
    /// Opens the output, which must be neither source.
    pub(crate) fn output(&self, target: &Target) -> Result<Output, Error> {
        Output::open(target, [&self.first, &self.second].map(|source| Input::source(source)))
    }
}
