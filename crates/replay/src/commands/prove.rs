//! `prove`: a statement about a state for somebody who knows only its root.

use clap::{Args, Subcommand};
use coalmine_core::{Address, Height, Name};
use coalmine_proof::{Bundle, Claim};

use crate::commands::bytes::{Bytes, bytes, unit};
use crate::error::Error;
use crate::input::Input;
use crate::output::{Format, Output, Target};
use crate::source::Source;

/// Arguments of `prove`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes JSON with root, height and ICS-23 proofs in base64. --at needs a block file.

Example:
  replay prove state.dump is-enabled top 0x1111111111111111111111111111111111111111 -o proof.json
  replay prove plugin-canary.json plugin api -o proof.json
  replay prove canary.json --at 150 feature vita_recovery_v2 -o proof.json")]
pub(crate) struct ProveArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    #[command(subcommand)]
    question: Question,
    /// As of the end of this height
    #[arg(long, global = true, value_name = "HEIGHT")]
    at: Option<Height>,
}

/// A [`Claim`] on the command line.
#[derive(Debug, Subcommand)]
enum Question {
    /// The value of a key, or its absence
    Key {
        /// The key in hex
        #[arg(value_parser = bytes)]
        key: Bytes,
    },
    /// The record of a feature, or its absence
    Feature {
        /// The feature
        name: Name,
    },
    /// The record of a plugin with its current version, or its absence
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
    /// Everything that decides which version of a plugin serves a unit
    Route {
        /// The plugin
        plugin: Name,
        /// The unit: 0x and hex digits are bytes, anything else is text
        #[arg(value_parser = unit)]
        unit: Bytes,
    },
}

impl Question {
    fn claim(&self) -> Claim {
        match self {
            Self::Key { key } => Claim::Key(key.0.clone()),
            Self::Feature { name } => Claim::Feature(*name),
            Self::Plugin { name } => Claim::Plugin(*name),
            Self::IsEnabled { name, address } => Claim::IsEnabled { feature: *name, user: *address },
            Self::Route { plugin, unit } => Claim::Route { plugin: *plugin, unit: unit.0.clone() },
        }
    }
}

/// Writes a bundle of proofs.
pub(crate) fn prove(args: &ProveArgs, target: &Target) -> Result<(), Error> {
    let loaded = Source::as_of(&args.source, args.at)?.load().map_err(|error| error.in_source(&args.source))?;
    let bundle = Bundle::prove(args.question.claim(), loaded.state(), &loaded)?;
    let mut out = Output::open(target, [Input::source(&args.source)])?;
    match target.format {
        Format::Text | Format::Ics => out.write(|out| {
            serde_json::to_writer_pretty(&mut *out, &bundle)?;
            writeln!(out)
        })?,
        Format::Json => out.json(&bundle)?,
    }
    out.finish()
}
