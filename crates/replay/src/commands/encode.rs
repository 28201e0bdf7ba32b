//! `encode`: commands and transactions in JSON as bytes.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::Args;
use coalmine_auth::{Domain, Envelope, SecretKey, SignError, Signer as _};
use coalmine_core::{Address, Command, Encode, Height, Payload, Sequence, Transaction, TxCommand};
use coalmine_json::render::Fields;
use coalmine_json::{JsonError, inspect_transaction, read_commands, read_transactions};

use super::bytes::{Encoding, read_text};
use super::signing::{self, at};
use crate::error::Error;
use crate::input::Input;
use crate::output::{Output, Target};

/// Arguments of `encode`.
#[derive(Debug, Args)]
#[command(after_help = "\
The input has one transaction, several, or an array of them, written as in a block file: an op with its fields, or \
commands for several in one. Prints the bytes of each on a line. What no ledger would accept, such as percent 101, is \
an error.

A signer comes from the transaction, else from --signer. --sequence is that of the first transaction; the next ones \
count on from it. With --bare the input has commands, and each is encoded by itself, without a signer.

With --key and --genesis each transaction is signed: what is printed is the envelope that a node takes. The key file is \
PKCS#8 PEM that nobody but its owner can read, as openssl genpkey -algorithm ed25519 makes them; the genesis is a block \
file's, or stands alone in a file. A signed transaction needs a sequence, and its signer is the address of the key.

Example:
  replay encode '{\"op\":\"enable\",\"name\":\"search_v3\"}' --signer $OPERATOR --sequence 7
  replay encode '{\"op\":\"enable\",\"name\":\"search_v3\"}' --sequence 7 --key operator.pem --genesis genesis.json")]
pub(crate) struct EncodeArgs {
    /// A file, - for standard input, or the JSON itself
    #[arg(value_name = "JSON")]
    json: String,
    /// Who signs transactions that name nobody
    #[arg(long, value_name = "ADDRESS", conflicts_with = "bare")]
    signer: Option<Address>,
    /// The sequence of the first transaction that has none
    #[arg(long, value_name = "N", conflicts_with = "bare")]
    sequence: Option<u64>,
    /// The last height at which the transactions are valid
    #[arg(long, value_name = "HEIGHT", requires = "sequence")]
    valid_until: Option<Height>,
    /// Sign with the key in this file
    #[arg(long, value_name = "FILE", requires = "genesis", conflicts_with = "bare")]
    key: Option<PathBuf>,
    /// The genesis of the ledger for which to sign: a block file, or a genesis alone
    #[arg(long, value_name = "FILE", requires = "key")]
    genesis: Option<String>,
    /// Encode commands instead of transactions
    #[arg(long)]
    bare: bool,
    /// How to write the bytes
    #[arg(long, value_enum, default_value_t = Encoding::Hex, value_name = "ENCODING")]
    to: Encoding,
}

/// Encodes transactions, or commands.
pub(crate) fn encode(args: &EncodeArgs, target: &Target) -> Result<(), Error> {
    let (name, text) = read_text(&args.json, |argument| argument.trim_start().starts_with(['{', '[']))?;
    let bad = |mut error: JsonError| {
        if error.message == "\"signer\" is missing" {
            error.message.push_str("; write it, or name one with --signer, or encode commands alone with --bare");
        }
        at(&name, error)
    };
    let mut found: Vec<(Vec<u8>, Fields)> = Vec::new();
    if args.bare {
        let of = |command: &Command| Fields::new().with("op", command.kind().name());
        found.extend(read_commands(&text).map_err(bad)?.iter().map(|command| (command.to_bytes(), of(command))));
    } else {
        let signing = Signing::of(args)?;
        let mut sequence = args.sequence;
        let signer = args.signer.or_else(|| signing.as_ref().map(|signing| signing.key.public_key().address()));
        for (index, payload) in read_transactions(&text, signer.as_ref()).map_err(bad)?.into_iter().enumerate() {
            let refused = |why: String| Error::Input(format!("{name}: transaction {index}: {why}"));
            let transaction = valid(payload).map_err(refused)?;
            let transaction = match (transaction.sequence(), sequence) {
                (None, Some(number)) => {
                    sequence = number.checked_add(1);
                    let valid_until = args.valid_until.and_then(NonZeroU32::new);
                    transaction.with_sequence(Sequence { number, valid_until })
                }
                (Some(_), _) | (None, None) => transaction,
            };
            let number = transaction.sequence().map(|sequence| sequence.number);
            let fields = Fields::new().text("signer", transaction.signer()).with("sequence", number);
            found.push(match &signing {
                None => (transaction.to_bytes(), fields),
                Some(signing) => {
                    let envelope = signing.sign(&transaction).map_err(refused)?;
                    (envelope.to_bytes(), fields.text("id", envelope.id()))
                }
            });
        }
    }
    if found.is_empty() {
        return Err(Error::Input(format!("{name}: there is nothing to encode")));
    }
    let files = [Some(Path::new(&args.json)), args.key.as_deref(), args.genesis.as_deref().map(Path::new)];
    let mut out = Output::open(target, files.into_iter().flatten().map(Input::File))?;
    for (bytes, of) in found {
        let text = args.to.encode(&bytes);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let fields = of.with("size", size).with("bytes", text.as_str());
        out.put("encoded", || text, fields)?;
    }
    out.finish()
}

/// A key, and the ledger for which it signs.
struct Signing {
    key: SecretKey,
    domain: Domain,
}

impl Signing {
    fn of(args: &EncodeArgs) -> Result<Option<Self>, Error> {
        let (Some(path), Some(genesis)) = (&args.key, &args.genesis) else { return Ok(None) };
        Ok(Some(Self { key: signing::key(path)?, domain: signing::domain(genesis)? }))
    }

    fn sign(&self, transaction: &Transaction) -> Result<Envelope, String> {
        let signed = Envelope::sign(&self.domain, transaction, &self.key);
        signed.map_err(|error| {
            let hint = if matches!(error, SignError::NotSequenced) { "; give it one with --sequence" } else { "" };
            format!("{error}{hint}")
        })
    }
}

/// A transaction that a ledger can accept.
fn valid(payload: Payload) -> Result<Transaction, String> {
    let transaction = match payload {
        Payload::Transaction(transaction) => transaction,
        Payload::Malformed(bytes) => {
            let malformed = inspect_transaction(&bytes).malformed;
            return Err(malformed.map_or_else(|| "malformed".into(), |malformed| format!("malformed: {malformed}")));
        }
    };
    let invalid = transaction.commands().iter().enumerate().find_map(|(index, command)| match command {
        TxCommand::Valid(_) => None,
        TxCommand::Invalid { kind, reject, .. } => {
            Some(format!("command {index}, {kind}: {reject}: {}", reject.reason()))
        }
    });
    invalid.map_or(Ok(transaction), Err)
}
