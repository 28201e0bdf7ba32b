//! `decode`: the bytes of transactions and commands, taken apart.

use clap::Args;
use coalmine_answers::Answer;
use coalmine_json::render::Fields;
use coalmine_json::{inspect_command, inspect_transaction};

use super::bytes::{Encoding, is_file, read_text};
use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};

/// Arguments of `decode`.
#[derive(Debug, Args)]
#[command(after_help = "\
Shows the signer, the sequence, and each command with its offset and size, all its fields, and the reject that its \
values meet whoever signs. Malformed bytes are shown as far as they can be read, with the offset and the reason; the \
exit code is 2 then. A file may have several, one a line.

Hex may have its 0x. Bytes that could be hex are taken for hex.

Example:
  replay decode 0x11111111111111111111111111111111111111110100050f03666f6f")]
pub(crate) struct DecodeArgs {
    /// The bytes in hex or base64, a file of them, or - for standard input
    #[arg(value_name = "BYTES")]
    bytes: String,
    /// Take the bytes for commands instead of transactions
    #[arg(long)]
    bare: bool,
    /// How the bytes are written [default: what they look like]
    #[arg(long, value_enum, value_name = "ENCODING")]
    from: Option<Encoding>,
}

/// Takes bytes apart.
pub(crate) fn decode(args: &DecodeArgs, target: &Target) -> Result<(), Error> {
    let (name, text) = read_text(&args.bytes, |argument| !is_file(argument))?;
    let mut out = Output::open(target, [Input::File(args.bytes.as_ref())])?;
    let decoded = decode_lines(args, &name, &text, &mut out);
    out.end(decoded)
}

fn decode_lines(args: &DecodeArgs, name: &str, text: &str, out: &mut Output) -> Result<(), Error> {
    let lines: Vec<(usize, &str)> =
        (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err(Error::Input(format!("{name}: there is nothing to decode")));
    }
    let mut problems = Vec::new();
    for (number, line) in &lines {
        let place = if lines.len() == 1 { name.to_owned() } else { format!("{name}:{number}") };
        let encoding = args.from.unwrap_or_else(|| Encoding::of(line));
        let bytes = encoding.decode(line).map_err(|error| {
            let what = args.from.map_or("hex or base64", |from| if from == Encoding::Hex { "hex" } else { "base64" });
            Error::Input(format!("{place}: it is not {what}: {error}"))
        })?;
        let (kind, found) =
            if args.bare { ("command", inspect_command(&bytes)) } else { ("transaction", inspect_transaction(&bytes)) };
        let index = if lines.len() == 1 { Fields::new() } else { Fields::new().with("line", to_u64(*number)) };
        out.card(Answer::single(kind, index.and(found.fields)))?;
        problems.extend(found.malformed.map(|malformed| format!("{place}: malformed: {malformed}")));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Input(problems.join("\n"))) }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
