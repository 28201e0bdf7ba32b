//! `prove`: a statement about a state for somebody who has its root only.

use clap::{Args, Subcommand};
use coalmine_core::{Address, Name};

use crate::bundle::{self, Bundle};
use crate::commands::bytes::{Bytes, bytes};
use crate::error::Error;
use crate::output::{Format, Output, Target};
use crate::source::Source;

/// Arguments of `prove`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes JSON with root, height and ICS-23 proofs in base64.

Example:
  replay prove state.dump is-enabled top 0x1111111111111111111111111111111111111111 -o proof.json
  replay prove plugin-canary.json plugin api -o proof.json")]
pub(crate) struct ProveArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    #[command(subcommand)]
    what: Claim,
}

/// What `prove` proves.
#[derive(Debug, Subcommand)]
pub(crate) enum Claim {
    /// The value of a key, or that there is none
    Key {
        /// The key in hex
        #[arg(value_parser = bytes)]
        key: Bytes,
    },
    /// The record of a feature, or that there is none
    Feature {
        /// The feature
        name: Name,
    },
    /// The record of a plugin with its current version, or that there is none
    Plugin {
        /// The plugin
        name: Name,
    },
    /// Everything that decides whether a feature is on for an address
    IsEnabled {
        /// The feature
        name: Name,
        /// The user
        address: Address,
    },
}

/// Proves what is asked for.
pub(crate) fn prove(args: &ProveArgs, target: &Target) -> Result<(), Error> {
    let claim = match &args.what {
        Claim::Key { key } => bundle::Claim::Key(key.0.clone()),
        Claim::Feature { name } => bundle::Claim::Feature(*name),
        Claim::Plugin { name } => bundle::Claim::Plugin(*name),
        Claim::IsEnabled { name, address } => bundle::Claim::IsEnabled(*name, *address),
    };
    let loaded = Source::open(&args.source, None)?.load().map_err(|error| error.in_source(&args.source))?;
    let bundle = Bundle::prove(&claim, &loaded)?;
    let mut out = Output::for_sources(target, [args.source.as_str()])?;
    match target.format {
        Format::Text => out.write(|out| {
            serde_json::to_writer_pretty(&mut *out, &bundle)?;
            writeln!(out)
        })?,
        Format::Json => out.json(&bundle)?,
    }
    out.finish()
}
