//! `verify-proof`: what a proof proves, without a store.

use std::path::Path;

use clap::Args;
use coalmine_core::{Encode, Hash, Key};

use crate::bundle::{self, Bundle, Proven};
use crate::error::Error;
use crate::input::open_file;
use crate::output::{Output, Target};
use crate::render::{self, Fields};

/// Arguments of `verify-proof`.
#[derive(Debug, Args)]
#[command(after_help = "\
The root comes from somebody who is trusted, such as a light client; the height in the file is what the \
prover says, and is not proven. Exit code 1 when anything in the file does not hold.

Example:
  replay verify-proof proof.json --root $ROOT")]
pub(crate) struct VerifyProofArgs {
    /// What `prove` wrote; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// The state root
    #[arg(long, value_name = "HEX")]
    root: Hash,
}

/// Checks a bundle and tells what it proves.
pub(crate) fn verify_proof(args: &VerifyProofArgs, target: &Target) -> Result<(), Error> {
    let (name, input) = open_file(&args.file)?;
    let proven = Bundle::verify(input, args.root).map_err(|error| error.at(&name))?;
    let fields = describe(&proven).map_err(|error| error.at(&name))?;
    let mut out = Output::open(target, [Path::new(&args.file)])?;
    out.card(&fields)?;
    out.finish()
}

fn describe(proven: &Proven) -> Result<Fields, Error> {
    let fields = Fields::new().text("root", proven.root);
    let record = |key: &[u8]| {
        let value = proven.value(key);
        let (what, record) = render::entry(key, value);
        let fields = Fields::new().with("key", hex::encode(key)).with("is_present", value.is_some());
        fields.with("value", value.map(hex::encode)).with("of", what).with("record", record)
    };
    Ok(match &proven.claim {
        bundle::Claim::Key(key) => fields.with("proves", "key").and(record(key)),
        bundle::Claim::Feature(name) => {
            fields.with("proves", "feature").text("name", name).and(record(&Key::Feature(*name).to_bytes()))
        }
        bundle::Claim::Plugin(name) => {
            fields.with("proves", "plugin").text("name", name).and(record(&Key::Plugin(*name).to_bytes()))
        }
        bundle::Claim::IsEnabled(name, user) => {
            let (chain, verdict) = proven.verdict(name, user)?;
            let fields = fields.with("proves", "is_enabled").with("chain", chain.as_str());
            fields.and(render::verdict(name, user, &verdict))
        }
    })
}
