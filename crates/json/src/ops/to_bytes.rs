//! JSON to bytes.

use std::collections::BTreeMap;
use std::iter;

use coalmine_core::{
    Address, CommandKind, Decode, DecodeError, Encode, Hash, Policy, Reader, Strategy, StrategyKind, Writer,
};

use super::kind::{Absent, Field, Kind, Word};
use super::table::{
    FEED_ITEM, GUARDRAILS, POLICY, Row, SCHEDULE_DEPTH_MAX, STAGE, Shorthand, command as row, strategy_fields,
};
use crate::json::{Entry, Object, Problem, Val};

/// The bit of the count of commands that says that the transaction has a sequence.
pub(crate) const SEQUENCED: u8 = 0x80;
pub(super) const SEQUENCE: &str = "sequence";
pub(super) const VALID_UNTIL: &str = "valid_until";

/// The bytes of an entry of `txs`, and how often they are repeated.
pub(crate) fn transaction_bytes(tx: Val<'_>, signer: &Address) -> Result<(Vec<u8>, u32), Problem> {
    const REPEAT: &str = "repeat";
    const SIGNER: &str = "signer";
    const COMMANDS: &str = "commands";
    const RAW: &str = "raw";

    let tx = tx.object()?;
    let repeat = tx.get(REPEAT).map_or(Ok(1), |repeat| repeat.u32().map_err(|problem| problem.in_key(REPEAT)))?;
    if let Some(raw) = tx.get(RAW) {
        tx.only("a raw transaction", [RAW, REPEAT].into_iter())?;
        return raw.hex().map(|bytes| (bytes, repeat)).map_err(|problem| problem.in_key(RAW));
    }
    let signer = match tx.get(SIGNER) {
        Some(signer) => signer.parse().map_err(|problem| problem.in_key(SIGNER))?,
        None => *signer,
    };
    let (count, commands) = if tx.get("op").is_some() {
        let mut list = Writer::default();
        list.lp16(&command_bytes(&tx, &[SIGNER, SEQUENCE, VALID_UNTIL, REPEAT], 0)?);
        (1, list)
    } else if let Some(commands) = tx.get(COMMANDS) {
        let keys = [SIGNER, SEQUENCE, VALID_UNTIL, COMMANDS, REPEAT];
        tx.only("a transaction without \"op\"", keys.into_iter())?;
        // The first bit of the count says whether there is a sequence.
        commands_bytes(commands, !SEQUENCED, 0).map_err(|problem| problem.in_key(COMMANDS))?
    } else {
        return Err(tx.problem("a transaction needs \"op\", \"commands\" or \"raw\""));
    };
    let mut out = Writer::default();
    out.address(&signer);
    match sequence(&tx)? {
        None => out.u8(count),
        Some((sequence, valid_until)) => {
            out.u8(SEQUENCED | count);
            out.u64(sequence);
            out.u32(valid_until);
        }
    }
    out.raw(commands.as_bytes());
    Ok((out.into_bytes(), repeat))
}

/// The sequence of a transaction, and the last height at which it is valid; 0 is none.
fn sequence(tx: &Object<'_>) -> Result<Option<(u64, u32)>, Problem> {
    let valid_until = tx.get(VALID_UNTIL);
    let Some(sequence) = tx.get(SEQUENCE) else {
        let alone = |value: Val<'_>| value.problem(format!("{VALID_UNTIL:?} stands only beside {SEQUENCE:?}"));
        return valid_until.map_or(Ok(None), |value| Err(alone(value)));
    };
    let sequence = sequence.integer(u64::MAX).map_err(|problem| problem.in_key(SEQUENCE))?;
    let valid_until = valid_until.map_or(Ok(0), |value| value.u32().map_err(|problem| problem.in_key(VALID_UNTIL)))?;
    Ok(Some((sequence, valid_until)))
}

/// The number of commands, at most `max`, and each command after its length.
fn commands_bytes(commands: Val<'_>, max: u8, depth: usize) -> Result<(u8, Writer), Problem> {
    let mut count: u8 = 0;
    let mut list = Writer::default();
    for command in commands.elements()? {
        let command = command?;
        let next = count.checked_add(1).filter(|count| *count <= max);
        count = next.ok_or_else(|| command.problem(format!("the count of commands has room for {max}")))?;
        list.lp16(&command_bytes(&command.object()?, &[], depth)?);
    }
    Ok((count, list))
}

/// The bytes of a command. `also` are keys of the transaction that may be in the same object.
pub(crate) fn command_bytes(command: &Object<'_>, also: &[&str], depth: usize) -> Result<Vec<u8>, Problem> {
    if depth > SCHEDULE_DEPTH_MAX {
        return Err(command.problem(format!("schedules are nested more than {SCHEDULE_DEPTH_MAX} deep")));
    }
    let op = command.need("op")?;
    let name = op.string()?;
    let mut out = Writer::default();
    if let Some(shorthand) = Shorthand::from_name(&name) {
        shorthand_bytes(shorthand, command, also, &mut out)?;
    } else {
        let kind = op.one_of("op", CommandKind::from_name, super::names)?;
        out.u8(kind.tag());
        let also = [&["op"], also].concat();
        if kind == CommandKind::Deploy {
            deploy_bytes(command, kind.name(), &also, depth, &mut out)?;
        } else {
            object_bytes(command, kind.name(), row(kind).fields, &also, depth, &mut out)?;
        }
    }
    fits("a command", out.len(), u16::MAX.into()).map_err(|message| command.problem(message))?;
    Ok(out.into_bytes())
}

/// The bytes of an object whose fields are all in one list, none with a default of core. `what` names it in errors.
pub(super) fn object_bytes(
    object: &Object<'_>,
    what: &str,
    fields: &[Field],
    also: &[&str],
    depth: usize,
    out: &mut Writer,
) -> Result<(), Problem> {
    object.only(what, also.iter().copied().chain(fields.iter().map(|field| field.key)))?;
    fields_bytes(object, what, fields, &[], depth, out)
}

/// The bytes of a deploy, whose strategy decides which fields it has and the defaults of its guardrails.
fn deploy_bytes(object: &Object<'_>, what: &str, also: &[&str], depth: usize, out: &mut Writer) -> Result<(), Problem> {
    let names = || StrategyKind::ALL.iter().map(|strategy| strategy.name()).collect();
    let kind = object.need("strategy").map_err(|problem| problem.in_key(what))?;
    let kind = kind.one_of("strategy", StrategyKind::from_name, names).map_err(|problem| problem.in_key("strategy"))?;
    let (first, own) = (row(CommandKind::Deploy).fields, strategy_fields(kind));
    object.only(
        what,
        also.iter().copied().chain([first, own, GUARDRAILS].into_iter().flatten().map(|field| field.key)),
    )?;

    fields_bytes(object, what, first, &[], depth, out)?;
    let standard = Strategy::with_defaults(kind);
    let mut strategy = Writer::default();
    kind.encode(&mut strategy);
    let tag_len = strategy.len();
    fields_bytes(object, what, own, standard.to_bytes().get(tag_len..).unwrap_or_default(), depth, &mut strategy)?;
    out.raw(strategy.as_bytes().get(tag_len..).unwrap_or_default());
    // The deadline depends on the stages. A strategy that does not decode gets the standard deadline.
    let strategy = Strategy::from_bytes(strategy.as_bytes()).unwrap_or(standard);
    fields_bytes(object, what, GUARDRAILS, &strategy.default_guardrails().to_bytes(), depth, out)
}

/// Some fields of an object, in the order of the table. `standard` is the concatenation of core's defaults of those
/// fields that have one.
fn fields_bytes(
    object: &Object<'_>,
    what: &str,
    fields: &[Field],
    standard: &[u8],
    depth: usize,
    out: &mut Writer,
) -> Result<(), Problem> {
    let mut standard = Reader::new(standard);
    for Field { key, kind, absent, .. } in fields {
        // Read even if the object has the field, because the default of the next field follows it.
        let mut default = String::new();
        if matches!(absent, Absent::Standard) {
            let is_read = kind.json(&mut standard, depth, &mut default).is_some();
            debug_assert!(is_read, "the table and the encoding of core have the same fields");
        }
        let value = match (object.get(key), absent) {
            (Some(value), Absent::Flag(_)) => {
                out.bool(true);
                value
            }
            (Some(value), Absent::Error | Absent::Default(_) | Absent::Silent(_) | Absent::Standard) => value,
            (None, Absent::Flag(_)) => {
                out.bool(false);
                continue;
            }
            (None, Absent::Default(write) | Absent::Silent(write)) => {
                write(out);
                continue;
            }
            (None, Absent::Standard) => Val::document(&default),
            (None, Absent::Error) => object.need(key).map_err(|problem| problem.in_key(what))?,
        };
        kind.bytes(value, depth, out).map_err(|problem| problem.in_key(key))?;
    }
    Ok(())
}

/// The bytes of a report, from one of its shorthands.
fn shorthand_bytes(shorthand: Shorthand, command: &Object<'_>, also: &[&str], out: &mut Writer) -> Result<(), Problem> {
    let what = shorthand.name();
    let Row { fields, .. } = shorthand.row();
    command.only(what, iter::once("op").chain(fields.iter().map(|field| field.key)).chain(also.iter().copied()))?;
    // The values behind each other, as if they were the encoding of a command.
    let mut values = Writer::default();
    fields_bytes(command, what, fields, &[], 0, &mut values)?;
    let read = Values::read(shorthand, values.as_bytes()).map_err(|error| command.problem(error.to_string()))?;
    let Values { feature, ok, count, latency } = read;
    let latency_total = u64::from(count).checked_mul(latency).ok_or_else(|| {
        // Whoever leaves the latency out has none.
        let at = command.get("latency").map_or_else(|| command.problem(""), |latency| latency.problem(""));
        let (max, message) = (u64::MAX, format!("latency: {count} times {latency} is out of range"));
        Problem { message: format!("{message}; the total must be 0 to {max}"), ..at }
    })?;

    out.u8(CommandKind::Report.tag());
    out.lp8(feature);
    let is_invariant = shorthand == Shorthand::Invariant;
    let of = |counted: bool| if counted { count } else { 0 };
    out.u32(of(!is_invariant && ok));
    out.u32(of(!is_invariant && !ok));
    out.u64(latency_total);
    out.u64(if count > 0 { latency } else { 0 });
    out.u32(of(is_invariant));
    out.u32(of(is_invariant && !ok));
    // About whichever trial is current.
    out.bool(false);
    Ok(())
}

/// The values of a shorthand.
struct Values<'a> {
    feature: &'a [u8],
    ok: bool,
    count: u32,
    latency: u64,
}

impl<'a> Values<'a> {
    fn read(shorthand: Shorthand, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let feature = input.lp8()?;
        match shorthand {
            Shorthand::Success => Ok(Self { feature, ok: true, count: input.u32()?, latency: input.u64()? }),
            Shorthand::Error => Ok(Self { feature, ok: false, count: input.u32()?, latency: input.u64()? }),
            Shorthand::Invariant => Ok(Self { feature, ok: input.bool()?, count: input.u32()?, latency: 0 }),
        }
    }
}

fn fits(what: &str, len: usize, max: usize) -> Result<(), String> {
    if len > max { Err(format!("{len} bytes; the length of {what} has room for {max}")) } else { Ok(()) }
}

/// Any short text.
const NAME: Kind = Kind::Word(Word::Name);

impl Kind {
    pub(super) fn bytes(self, value: Val<'_>, depth: usize, out: &mut Writer) -> Result<(), Problem> {
        match self {
            Self::Word(_) => {
                let text = value.string()?;
                fits("a name", text.len(), u8::MAX.into()).map_err(|message| value.problem(message))?;
                out.lp8(text.as_bytes());
            }
            Self::Text => {
                let text = value.string()?;
                fits("a text", text.len(), u16::MAX.into()).map_err(|message| value.problem(message))?;
                out.lp16(text.as_bytes());
            }
            Self::U8 => out.u8(value.u8()?),
            Self::U16 => out.u16(value.u16()?),
            Self::Hash => out.hash(&value.parse::<Hash>()?),
            Self::Bytes => {
                let bytes = value.hex()?;
                fits("bytes", bytes.len(), u16::MAX.into()).map_err(|message| value.problem(message))?;
                out.lp16(&bytes);
            }
            Self::Pairs(_) => {
                let object = value.object()?;
                let count = u8::try_from(object.len());
                out.u8(count.map_err(|_| value.problem("the count of pairs has room for 255"))?);
                let mut entries: Vec<Entry<'_>> = object.entries().collect();
                entries.sort_by(|a, b| a.key.cmp(&b.key));
                for entry in entries {
                    fits("a name", entry.key.len(), u8::MAX.into()).map_err(|message| entry.key_problem(message))?;
                    out.lp8(entry.key.as_bytes());
                    NAME.bytes(entry.value, depth, out).map_err(|problem| problem.in_key(&entry.key))?;
                }
            }
            Self::Stages => {
                let mut count: u8 = 0;
                let mut list = Writer::default();
                for stage in value.elements()? {
                    let stage = stage?;
                    count =
                        count.checked_add(1).ok_or_else(|| stage.problem("the count of stages has room for 255"))?;
                    object_bytes(&stage.object()?, "a stage", STAGE, &[], depth, &mut list)?;
                }
                out.u8(count);
                out.raw(list.as_bytes());
            }
            Self::U32 => out.u32(value.u32()?),
            Self::U64 => out.u64(value.integer(u64::MAX)?),
            Self::Bool => out.bool(value.bool()?),
            Self::Address => out.address(&value.parse()?),
            Self::Tag(tags) => out.u8(tags.read(value)?),
            Self::Words(_) => {
                let mut words = Vec::new();
                for word in value.elements()? {
                    let word = word?;
                    if words.len() == usize::from(u8::MAX) {
                        return Err(word.problem("the count of names has room for 255"));
                    }
                    let mut bytes = Writer::default();
                    NAME.bytes(word, depth, &mut bytes)?;
                    words.push(bytes.into_bytes());
                }
                // The text after the length: the order of the encoding is that of the texts.
                words.sort_by(|a, b| a.get(1..).cmp(&b.get(1..)));
                out.u8(u8::try_from(words.len()).unwrap_or(u8::MAX));
                words.iter().for_each(|word| out.raw(word));
            }
            Self::Policy => {
                let (what, object) = ("policy", value.object()?);
                object.only(what, POLICY.iter().map(|field| field.key))?;
                out.u8(Policy::VERSION);
                let standard = Policy::default().to_bytes();
                fields_bytes(&object, what, POLICY, standard.get(1..).unwrap_or_default(), depth, out)?;
            }
            Self::Commands => {
                let (count, list) = commands_bytes(value, u8::MAX, depth.saturating_add(1))?;
                out.u8(count);
                out.raw(list.as_bytes());
            }
            Self::FeedItems => {
                let mut items = BTreeMap::new();
                for entry in value.object()?.entries() {
                    fits("an id", entry.key.len(), u8::MAX.into()).map_err(|message| entry.key_problem(message))?;
                    let mut item = Writer::default();
                    item.lp8(entry.key.as_bytes());
                    let fields = entry.value.object().map_err(|problem| problem.in_key(&entry.key))?;
                    object_bytes(&fields, "an item", FEED_ITEM, &[], depth, &mut item)
                        .map_err(|problem| problem.in_key(&entry.key))?;
                    items.insert(entry.key, item);
                }
                let count = u16::try_from(items.len())
                    .map_err(|_| value.problem(format!("the count of items has room for {}", u16::MAX)))?;
                out.u16(count);
                items.values().for_each(|item| out.raw(item.as_bytes()));
            }
        }
        Ok(())
    }
}
