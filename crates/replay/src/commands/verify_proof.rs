//! `verify-proof`: what a proof proves, without a store.

use std::fmt;
use std::io::{self, Read as _};

use clap::Args;
use coalmine_answers::Answer;
use coalmine_core::{ChainId, Encode, Hash, Height, Key};
use coalmine_json::render::{self, Fields};
use coalmine_proof::{BUNDLE_SIZE_MAX, Bundle, Claim};

use crate::error::Error;
use crate::input::{Input, open_file};
use crate::output::{Output, Target};
use crate::source::Source;

/// Arguments of `verify-proof`.
#[derive(Debug, Args)]
#[command(after_help = "\
The root must come from a trusted source, such as a light client, or a SOURCE of one's own, which for a \
block file may be as of a height. The height in the file is a claim of the prover and is not proven. The \
exit code is 1 if anything in the file is wrong.

Example:
  replay verify-proof proof.json --root $ROOT
  replay verify-proof proof.json --source canary.json --at 150")]
pub(crate) struct VerifyProofArgs {
    /// What `prove` wrote; - is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// The state root
    #[arg(long, value_name = "HEX", required_unless_present = "source")]
    root: Option<Hash>,
    /// The block file, rocksdb:PATH or dump whose root it is
    #[arg(long, value_name = "SOURCE", conflicts_with = "root")]
    source: Option<String>,
    /// The root of the end of this height, of a block file
    #[arg(long, value_name = "HEIGHT", requires = "source")]
    at: Option<Height>,
}

/// Checks a bundle and says what it proves.
pub(crate) fn verify_proof(args: &VerifyProofArgs, target: &Target) -> Result<(), Error> {
    let (name, input) = open_file(&args.file)?;
    let root = match (&args.root, &args.source) {
        (Some(root), _) => *root,
        (None, Some(source)) if source == "-" && args.file == "-" => {
            return Err(Error::Input(
                "standard input is read once; name a file for the proof or for its source".into(),
            ));
        }
        (None, Some(source)) => Source::as_of(source, args.at)?.tip()?.root,
        (None, None) => return Err(Error::Input("verify-proof needs --root or --source".into())),
    };
    let fields = read(input).and_then(|bundle| describe(&bundle, &root)).map_err(|error| error.at(&name))?;
    let source = args.source.as_deref().map(Input::source);
    let mut out = Output::open(target, [Some(Input::File(args.file.as_ref())), source].into_iter().flatten())?;
    out.card(Answer::single("proven", fields))?;
    out.finish()
}

fn read(input: impl io::Read) -> Result<Bundle, Error> {
    let limit = u64::try_from(BUNDLE_SIZE_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // One byte more than a bundle can have, so that a longer file is refused and not cut off.
    let read = input.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| Error::Input(format!("cannot be read: {error}")))?;
    Bundle::from_json(&bytes).map_err(differs)
}

/// Verifies the answer to the question in a bundle. That it is the right question, its reader sees.
fn describe(bundle: &Bundle, root: &Hash) -> Result<Fields, Error> {
    let of = |kind: &str| Fields::new().text("root", root).with("proves", kind);
    let chain = bundle.chain.as_ref().map(ChainId::as_str);
    let record = |key: &[u8]| {
        let value = bundle.record(root, key).map_err(differs)?;
        let (of, record) = render::entry(key, value.as_deref());
        let fields = Fields::new().with("key", hex::encode(key)).with("is_present", value.is_some());
        Ok::<_, Error>(fields.with("value", value.map(hex::encode)).with("of", of).with("record", record))
    };
    Ok(match &bundle.claim {
        Claim::Key(key) => of("key").and(record(key)?),
        Claim::Feature(name) => of("feature").text("name", name).and(record(&Key::Feature(*name).to_bytes())?),
        Claim::Plugin(name) => of("plugin").text("name", name).and(record(&Key::Plugin(*name).to_bytes())?),
        Claim::IsEnabled { feature, user } => {
            let verdict = bundle.is_enabled(root, feature, user).map_err(differs)?;
            of("is_enabled").with("chain", chain).and(render::verdict(feature, user, &verdict))
        }
        Claim::Route { plugin, unit } => {
            let version = bundle.route(root, plugin, unit).map_err(differs)?;
            let fields = of("route").with("chain", chain).text("plugin", plugin);
            let fields = fields.with("unit", format!("0x{}", hex::encode(unit)));
            fields.with("version", version.map(|version| version.to_string()))
        }
    })
}

/// A bundle that does not prove what it says is no bad input: its claim did not hold.
fn differs(error: impl fmt::Display) -> Error {
    Error::Differs(error.to_string())
}
