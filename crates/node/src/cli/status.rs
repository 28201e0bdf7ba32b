//! `status`: how a node is.

use clap::Args;

use crate::cli::client::At;
use crate::cli::error::Error;
use crate::cli::output::Format;

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    at: At,
}

pub(super) fn status(args: &StatusArgs, out: Format) -> Result<(), Error> {
    out.fields(&args.at.client().get("/v1/status")?.0)
}
