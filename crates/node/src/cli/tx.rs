//! `tx`: builds, previews, signs and sends a transaction, and waits for its receipt.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use coalmine_auth::{Domain, Envelope, SecretKey, Signer as _, check_grants, read_key};
use coalmine_core::{ChainId, Command, Encode as _, Hash, Height, Sequence, Transaction};
use coalmine_json::render::Value as Shown;
use coalmine_json::{Op, read_commands, write_command};
use serde_json::{Map, Value, json};

use crate::cli::client::{Answer, At, Client};
use crate::cli::error::Error;
use crate::cli::output::Format;
use crate::home::Home;

/// Commands in JSON are at most so long, in bytes.
const INPUT_SIZE_MAX: u64 = 4 << 20;
/// How long to wait for a receipt.
const SETTLED_MAX: Duration = Duration::from_secs(60);
/// What stands between two ops.
const AND: &str = "+";

/// Arguments of `tx`.
#[derive(Debug, Args)]
#[command(after_help = "\
An op with its fields, several with + between them, or commands as JSON: the text itself, @FILE, or - for standard \
input. They take effect together or not at all. `coalmine tx OP --help` shows the fields of an op, `coalmine tx --ops` \
lists the ops.

The preview says what the transaction would do in the next block. It is signed for the ledger of the genesis.json in \
the home, if there is one; else for that of the node, whose chain and genesis hash are shown.

Examples:
  coalmine tx start_canary --name search_v3 --percent 5
  coalmine tx create_feature --name search_v3 --description 'a new index' + enable --name search_v3
  coalmine tx --dry-run '{\"op\":\"rollback\",\"name\":\"search_v3\"}'")]
pub(super) struct TxArgs {
    #[command(flatten)]
    at: At,
    /// The key that signs [default: keys/admin.pem of the home]
    #[arg(long, env = "COALMINE_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Show the preview, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Send it without a preview
    #[arg(long, conflicts_with = "dry_run")]
    no_preview: bool,
    /// Do not wait for the receipt
    #[arg(long)]
    no_wait: bool,
    /// The sequence [default: the next free one]
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// The last height at which it may be executed [default: none]
    #[arg(long, value_name = "HEIGHT")]
    valid_until: Option<Height>,
    /// List the ops
    #[arg(long)]
    ops: bool,
    /// An op and its fields, or JSON
    #[arg(value_name = "OP", trailing_var_arg = true, allow_hyphen_values = true)]
    op: Vec<String>,
}

pub(super) fn tx(args: &TxArgs, home: &Home, out: Format) -> Result<(), Error> {
    if args.ops {
        return Op::all().try_for_each(|op| out.line(&op.usage()));
    }
    if let [op, help] = args.op.as_slice()
        && (help == "--help" || help == "-h")
    {
        return out.line(known(op)?.to_string().trim_end());
    }
    let commands = commands(&args.op)?;
    let key = args.key.clone().unwrap_or_else(|| home.keys().join("admin.pem"));
    let key = read_key(&key)?;
    let client = args.at.client();
    let domain = domain(&client, home)?;
    if !args.no_preview {
        preview(&client, &key, &commands, out)?;
        if args.dry_run {
            return Ok(());
        }
    }
    let address = key.public_key().address();
    let number = args.sequence.map_or_else(|| client.next_sequence(&address), Ok)?;
    let sequence = Sequence { number, valid_until: args.valid_until.and_then(std::num::NonZeroU32::new) };
    let tx = Transaction::new(address, commands).map_err(Error::input)?.with_sequence(sequence);
    check_grants(&tx).map_err(Error::input)?;
    let envelope = Envelope::sign(&domain, &tx, &key).map_err(Error::input)?.to_bytes();
    send(&client, &envelope, args.no_wait, out)
}

/// Reads ops and fields, or JSON.
fn commands(words: &[String]) -> Result<Vec<Command>, Error> {
    let mut all = Vec::new();
    for words in words.split(|word| word == AND) {
        let text = match words {
            [] => return Err(Error::Input("there is no op; coalmine tx --ops lists them".into())),
            [json] if json.trim_start().starts_with(['{', '[']) => json.clone(),
            [input] if input == "-" => read(&mut io::stdin(), "standard input")?,
            [file] if file.starts_with('@') => {
                let name = file.trim_start_matches('@');
                let mut file = File::open(name).map_err(|error| Error::Input(format!("{name}: {error}")))?;
                read(&mut file, name)?
            }
            [op, fields @ ..] => written(known(op)?, fields)?,
        };
        all.extend(read_commands(&text).map_err(Error::input)?);
    }
    Ok(all)
}

fn read(from: &mut impl io::Read, name: &str) -> Result<String, Error> {
    let mut text = String::new();
    let read = from.take(INPUT_SIZE_MAX.saturating_add(1)).read_to_string(&mut text);
    read.map_err(|error| Error::Input(format!("{name}: {error}")))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > INPUT_SIZE_MAX {
        return Err(Error::Input(format!("{name}: commands have at most {INPUT_SIZE_MAX} bytes")));
    }
    Ok(text)
}

fn known(name: &str) -> Result<Op, Error> {
    Op::from_name(name).ok_or_else(|| {
        let nearest = coalmine_foresight::nearest(name, Op::all().map(Op::name));
        let nearest = nearest.map_or_else(String::new, |nearest| format!("; the nearest is {nearest}"));
        Error::Input(format!("there is no op {name}{nearest}; coalmine tx --ops lists them"))
    })
}

/// An op with its fields as JSON, by what the table of ops says of each field.
fn written(op: Op, words: &[String]) -> Result<String, Error> {
    let mut object = Map::from_iter([("op".to_owned(), Value::from(op.name()))]);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let field = word.strip_prefix("--").ok_or_else(|| {
            Error::Input(format!("{word}: a field is written as --FIELD VALUE; {AND} stands between two ops"))
        })?;
        let (field, value) = match field.split_once('=') {
            Some((field, value)) => (field, value.to_owned()),
            None => {
                let value = words.next().ok_or_else(|| Error::Input(format!("--{field} lacks its value")))?;
                (field, value.clone())
            }
        };
        let field = field.replace('-', "_");
        let Some(kind) = kind(op, &field) else {
            let (op, usage) = (op.name(), op.usage());
            return Err(Error::Input(format!("{op} has no field {field}; it is written as: {usage}")));
        };
        if object.insert(field.clone(), typed(&kind, &value)).is_some() {
            return Err(Error::Input(format!("--{field} stands twice")));
        }
    }
    Ok(Value::Object(object).to_string())
}

/// What the table of ops says of a field.
fn kind(op: Op, field: &str) -> Option<String> {
    let described = op.describe();
    let Some(Shown::List(groups)) = described.get("fields") else { return None };
    groups.iter().find_map(|group| {
        let Shown::Fields(group) = group else { return None };
        // Those of stages and items stand within their field.
        if matches!(group.get("of"), Some(Shown::Text(of)) if of == "a stage" || of == "an item" || of == "policy") {
            return None;
        }
        let Some(Shown::List(fields)) = group.get("fields") else { return None };
        fields.iter().find_map(|found| {
            let Shown::Fields(found) = found else { return None };
            let Some(Shown::Text(kind)) = found.get("kind") else { return None };
            (found.get("field") == Some(&Shown::from(field))).then(|| kind.clone())
        })
    })
}

/// A value as its field wants it: what is no text in JSON is JSON here, and lists of words may stand with commas.
fn typed(kind: &str, value: &str) -> Value {
    let is_json =
        ["integer", "true or false", "list of", "object", "policy"].iter().any(|start| kind.starts_with(start));
    if !is_json {
        return value.into();
    }
    match serde_json::from_str(value) {
        Ok(json) => json,
        Err(_) if kind.starts_with("list of") => value.split(',').map(str::trim).collect(),
        Err(_) => value.into(),
    }
}

/// What is signed for: the ledger of the home, or that of the node.
fn domain(client: &Client, home: &Home) -> Result<Domain, Error> {
    if home.genesis_file().exists() {
        return Ok(Domain::of(&home.genesis()?));
    }
    let status = client.get("/v1/status")?;
    let text = |key: &str| status.text(key).ok_or_else(|| client.senseless("its status"));
    let chain = ChainId::new(text("chain")?.as_bytes()).map_err(Error::input)?;
    let genesis: Hash = text("genesis")?.parse().map_err(Error::input)?;
    eprintln!("coalmine: signing for chain {:?} with genesis {genesis}, as the node says", chain.as_str());
    Ok(Domain::new(chain, genesis))
}

/// Shows what the commands would do.
fn preview(client: &Client, key: &SecretKey, commands: &[Command], out: Format) -> Result<(), Error> {
    let json_of = |command: &Command| {
        let json =
            write_command(command).ok_or_else(|| Error::Input("a command is nested too deep for JSON".into()))?;
        serde_json::from_str::<Value>(&json).map_err(Error::input)
    };
    let commands = commands.iter().map(json_of).collect::<Result<Vec<_>, _>>()?;
    let signer = key.public_key().address().to_string();
    let answer = client.post_json("/v1/preview", &json!({ "commands": commands, "signer": signer }))?;
    match out {
        Format::Json => out.fields(&answer.0),
        Format::Text => in_words(&answer).iter().try_for_each(|line| out.line(line)),
    }
}

/// A preview for people; `--format json` has all of it.
fn in_words(answer: &Answer) -> Vec<String> {
    let preview = answer.object("preview");
    let height = preview.as_ref().and_then(|preview| preview.number("height"));
    let mut lines = Vec::new();
    let mut say = |what: String| lines.push(format!("preview: {what}"));
    for receipt in answer.objects("receipts") {
        let at = height.map_or_else(String::new, |height| format!(" in block {height}"));
        let why = receipt.text("why").map_or_else(String::new, |why| format!(": {why}"));
        say(format!("{}{at}{why}", receipt.text("result").unwrap_or("no receipt")));
    }
    answer.objects("events").iter().filter_map(|event| event.text("sentence")).for_each(|words| say(words.into()));
    for feature in answer.objects("features") {
        let side = |key: &str| {
            let side = feature.object(key)?;
            Some(format!("{} {} %", side.text("status")?, side.number("percent")?))
        };
        let (name, before, after) = (feature.text("name").unwrap_or("?"), side("before"), side("after"));
        let users = preview.as_ref().and_then(|preview| preview.number("users")).unwrap_or_default();
        let (on, off) = (feature.number("switched_on"), feature.number("switched_off"));
        say(format!(
            "{name}: {} -> {}; of {users} users {} are switched on, {} off",
            before.unwrap_or_else(|| "nothing".into()),
            after.unwrap_or_else(|| "nothing".into()),
            on.unwrap_or_default(),
            off.unwrap_or_default(),
        ));
    }
    for due in answer.objects("upcoming") {
        if let (Some(height), Some(words)) = (due.number("height"), due.text("sentence")) {
            say(format!("then at height {height}: {words}"));
        }
    }
    lines
}

/// What became of it: its fields, and each event in a sentence.
fn shown(answer: &Answer, out: Format) -> Result<(), Error> {
    if out == Format::Json {
        return out.fields(&answer.0);
    }
    for key in ["id", "state", "height", "index", "result", "code"] {
        match (answer.text(key), answer.number(key)) {
            (Some(text), _) => out.line(&format!("{key} {text}"))?,
            (None, Some(number)) => out.line(&format!("{key} {number}"))?,
            (None, None) => {}
        }
    }
    let events = answer.objects("events");
    events.iter().filter_map(|event| event.text("sentence")).try_for_each(|words| out.line(&format!("event {words}")))
}

fn send(client: &Client, envelope: &[u8], no_wait: bool, out: Format) -> Result<(), Error> {
    let path = if no_wait { "/v1/transactions?wait=none" } else { "/v1/transactions?wait=commit" };
    let until = Instant::now().checked_add(SETTLED_MAX);
    loop {
        // The same envelope again gets the same answer, so a wait that was too short is simply gone on with.
        let answer = client.post_bytes(path, envelope)?;
        let code = answer.number("code");
        if code.is_none() && !no_wait && until.is_some_and(|until| Instant::now() < until) {
            continue;
        }
        shown(&answer, out)?;
        return match code {
            Some(0) => Ok(()),
            Some(_) => Err(Error::Rejected("the transaction was rejected".into())),
            None if no_wait => Ok(()),
            None => Err(Error::Rejected("it still waits for a block; ask again with its id, or send it again".into())),
        };
    }
}
