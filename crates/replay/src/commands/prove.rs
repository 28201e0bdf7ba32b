//! `prove` and `verify-proof`: statements about a state for somebody who has its root only.

use std::path::Path;

use coalmine_core::{Encode, Key};

use crate::bundle::{self, Bundle, Proven};
use crate::cli::{Claim, ProveArgs, VerifyProofArgs};
use crate::error::Error;
use crate::output::{Format, Output, Target};
use crate::render::{self, Fields};
use crate::source::{Source, input_files, open_file};

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
    let inputs = input_files([args.source.as_str()]);
    let mut out = Output::open(target, inputs.iter().map(AsRef::as_ref))?;
    match target.format {
        Format::Text => out.write(|out| {
            serde_json::to_writer_pretty(&mut *out, &bundle)?;
            writeln!(out)
        })?,
        Format::Json => out.json(&bundle)?,
    }
    out.finish()
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
