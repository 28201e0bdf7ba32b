//! `decode`: the bytes of transactions and commands, taken apart.

use clap::Args;
use coalmine_answers::Answer;
use coalmine_auth::{Domain, Envelope, Proof};
use coalmine_core::Decode as _;
use coalmine_json::render::{Fields, Value};
use coalmine_json::{inspect_command, inspect_transaction};

use super::bytes::{Encoding, is_file, read_text};
use super::signing;
use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};

/// Arguments of `decode`.
#[derive(Debug, Args)]
#[command(after_help = "\
Shows the signer, the sequence, and each command with its offset and size, all its fields, and the reject that its \
values meet whoever signs. Malformed bytes are shown as far as they can be read, with the offset and the reason; the \
exit code is 2 then. A file may have several, one a line.

Hex may have its 0x. Bytes that could be hex are taken for hex. A signed envelope is shown with its id, its keys and \
its transaction; with --genesis its signatures are checked, and the exit code is 1 if they are not good for that ledger.

Example:
  replay decode 0x11111111111111111111111111111111111111110100050f03666f6f
  replay decode envelope.hex --genesis genesis.json")]
pub(crate) struct DecodeArgs {
    /// The bytes in hex or base64, a file of them, or - for standard input
    #[arg(value_name = "BYTES")]
    bytes: String,
    /// Take the bytes for commands instead of transactions
    #[arg(long)]
    bare: bool,
    /// Check the signatures of envelopes for the ledger of this genesis: a block file, or a genesis alone
    #[arg(long, value_name = "FILE", conflicts_with = "bare")]
    genesis: Option<String>,
    /// How the bytes are written [default: what they look like]
    #[arg(long, value_enum, value_name = "ENCODING")]
    from: Option<Encoding>,
}

/// Takes bytes apart.
pub(crate) fn decode(args: &DecodeArgs, target: &Target) -> Result<(), Error> {
    let (name, text) = read_text(&args.bytes, |argument| !is_file(argument))?;
    let domain = args.genesis.as_deref().map(signing::domain).transpose()?;
    let files = [Some(args.bytes.as_str()), args.genesis.as_deref()];
    let mut out = Output::open(target, files.into_iter().flatten().map(|file| Input::File(file.as_ref())))?;
    let decoded = decode_lines(args, (&name, &text), domain.as_ref(), &mut out);
    out.end(decoded)
}

fn decode_lines(
    args: &DecodeArgs,
    (name, text): (&str, &str),
    domain: Option<&Domain>,
    out: &mut Output,
) -> Result<(), Error> {
    let lines: Vec<(usize, &str)> =
        (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err(Error::Input(format!("{name}: there is nothing to decode")));
    }
    let (mut problems, mut bad) = (Vec::new(), Vec::new());
    for (number, line) in &lines {
        let place = if lines.len() == 1 { name.to_owned() } else { format!("{name}:{number}") };
        let encoding = args.from.unwrap_or_else(|| Encoding::of(line));
        let bytes = encoding.decode(line).map_err(|error| {
            let what = args.from.map_or("hex or base64", |from| if from == Encoding::Hex { "hex" } else { "base64" });
            Error::Input(format!("{place}: it is not {what}: {error}"))
        })?;
        // Lengths are part of an envelope, so no transaction is taken for one.
        let envelope = if args.bare { None } else { Envelope::from_bytes(&bytes).ok() };
        let (kind, found) = match &envelope {
            Some(envelope) => ("envelope", inspect_transaction(envelope.transaction())),
            None if args.bare => ("command", inspect_command(&bytes)),
            None => ("transaction", inspect_transaction(&bytes)),
        };
        let index = if lines.len() == 1 { Fields::new() } else { Fields::new().with("line", to_u64(*number)) };
        let around = envelope.as_ref().map_or_else(Fields::new, |envelope| {
            let checked = domain.map(|domain| envelope.verify(domain));
            bad.extend(checked.and_then(Result::err).map(|error| format!("{place}: {error}")));
            signed(envelope, checked.map(|checked| checked.is_ok()))
        });
        if envelope.is_none() && domain.is_some() {
            bad.push(format!("{place}: this is no envelope, so it has no signature to check"));
        }
        out.card(Answer::single(kind, index.and(around).and(found.fields)))?;
        problems.extend(found.malformed.map(|malformed| format!("{place}: malformed: {malformed}")));
    }
    match (problems.is_empty(), bad.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(Error::Differs(bad.join("\n"))),
        (false, _) => Err(Error::Input([problems, bad].concat().join("\n"))),
    }
}

/// What is around the transaction of an envelope.
fn signed(envelope: &Envelope, is_good: Option<bool>) -> Fields {
    let (scheme, threshold, keys) = match envelope.proof() {
        Proof::Single { key, .. } => ("single", None, vec![key]),
        Proof::Multi { multisig, .. } => ("multisig", Some(multisig.threshold()), multisig.keys().iter().collect()),
    };
    let signers = envelope.proof().signatures();
    let keys = keys.into_iter().map(|key| {
        let has_signed = signers.iter().any(|(signer, _)| *signer == key);
        Value::from(Fields::new().text("key", key).with("signed", has_signed))
    });
    let fields = Fields::new().text("id", envelope.id()).with("scheme", scheme);
    let fields = match threshold {
        Some(threshold) => fields.with("threshold", threshold),
        None => fields,
    };
    let fields = fields.with("keys", keys.collect::<Vec<_>>());
    match is_good {
        Some(is_good) => fields.with("signatures_good", is_good),
        None => fields,
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
