//! Bytes to JSON. `None` is what JSON cannot express.

use coalmine_core::{Address, CommandKind, Decode, Policy, Reader, StrategyKind, Writer};

use super::kind::{Absent, Field, Kind, Word};
use super::table::{FEED_ITEM, GUARDRAILS, POLICY, SCHEDULE_DEPTH_MAX, STAGE, command as row, strategy_fields};
use super::to_bytes::{SEQUENCE, SEQUENCED, VALID_UNTIL};
use crate::json::quoted;

/// Writes the fields of a transaction, without the closing brace.
pub(super) fn transaction_fields(bytes: &[u8], default: &Address, out: &mut String) -> Option<()> {
    let mut input = Reader::new(bytes);
    out.push('{');
    let signer = input.address().ok()?;
    if signer != *default {
        push_key(out, "signer");
        out.push_str(&quoted(&signer.to_string()));
    }
    let mut count = input.u8().ok()?;
    if count & SEQUENCED != 0 {
        count &= !SEQUENCED;
        push_key(out, SEQUENCE);
        out.push_str(&input.u64().ok()?.to_string());
        let valid_until = input.u32().ok()?;
        if valid_until != 0 {
            push_key(out, VALID_UNTIL);
            out.push_str(&valid_until.to_string());
        }
    }
    if count == 1 {
        command_fields(input.lp16().ok()?, 0, out)?;
    } else {
        push_key(out, "commands");
        commands_json(count, &mut input, 0, out)?;
    }
    input.finish().ok()
}

fn commands_json(count: u8, input: &mut Reader<'_>, depth: usize, out: &mut String) -> Option<()> {
    out.push('[');
    for index in 0..count {
        out.push_str(if index == 0 { "{" } else { ",{" });
        command_fields(input.lp16().ok()?, depth, out)?;
        out.push('}');
    }
    out.push(']');
    Some(())
}

/// Writes the fields of a command, without the closing brace.
pub(super) fn command_fields(bytes: &[u8], depth: usize, out: &mut String) -> Option<()> {
    if depth > SCHEDULE_DEPTH_MAX {
        return None;
    }
    let mut input = Reader::new(bytes);
    let kind = CommandKind::decode(&mut input).ok()?;
    push_key(out, "op");
    out.push_str(&quoted(kind.name()));
    if kind == CommandKind::Deploy {
        deploy_fields(&mut input, depth, out)?;
    } else {
        object_fields(row(kind).fields, &mut input, depth, out)?;
    }
    input.finish().ok()
}

fn deploy_fields(input: &mut Reader<'_>, depth: usize, out: &mut String) -> Option<()> {
    let own = strategy_fields(strategy_ahead(input)?);
    [row(CommandKind::Deploy).fields, own, GUARDRAILS]
        .into_iter()
        .try_for_each(|fields| object_fields(fields, input, depth, out))
}

/// The strategy of a deploy that is read on from its tag.
fn strategy_ahead(input: &Reader<'_>) -> Option<StrategyKind> {
    let mut ahead = input.clone();
    ahead.lp8().ok()?;
    ahead.lp8().ok()?;
    StrategyKind::decode(&mut ahead).ok()
}

/// Writes the fields of a list.
pub(super) fn object_fields(fields: &[Field], input: &mut Reader<'_>, depth: usize, out: &mut String) -> Option<()> {
    for Field { key, kind, absent, .. } in fields {
        match absent {
            Absent::Flag(_) if !input.bool().ok()? => continue,
            Absent::Silent(write) => {
                let mut ahead = input.clone();
                let mut default = Writer::default();
                write(&mut default);
                if ahead.raw(default.len()).ok() == Some(default.as_bytes()) {
                    *input = ahead;
                    continue;
                }
            }
            Absent::Flag(_) | Absent::Error | Absent::Default(_) | Absent::Standard => {}
        }
        push_key(out, key);
        kind.json(input, depth, out)?;
    }
    Some(())
}

/// Starts an entry of an object.
fn push_key(out: &mut String, key: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&quoted(key));
    out.push(':');
}

impl Kind {
    pub(super) fn json(self, input: &mut Reader<'_>, depth: usize, out: &mut String) -> Option<()> {
        match self {
            Self::Word(_) => out.push_str(&quoted(str::from_utf8(input.lp8().ok()?).ok()?)),
            Self::Text => out.push_str(&quoted(str::from_utf8(input.lp16().ok()?).ok()?)),
            Self::U8 => out.push_str(&input.u8().ok()?.to_string()),
            Self::U16 => out.push_str(&input.u16().ok()?.to_string()),
            Self::Hash => out.push_str(&quoted(&input.hash().ok()?.to_string())),
            Self::Bytes => out.push_str(&quoted(&hex::encode(input.lp16().ok()?))),
            Self::Pairs(_) => {
                out.push('{');
                for _ in 0..input.u8().ok()? {
                    push_key(out, str::from_utf8(input.lp8().ok()?).ok()?);
                    Self::Word(Word::Name).json(input, depth, out)?;
                }
                out.push('}');
            }
            Self::Stages => {
                out.push('[');
                for index in 0..input.u8().ok()? {
                    out.push_str(if index == 0 { "{" } else { ",{" });
                    object_fields(STAGE, input, depth, out)?;
                    out.push('}');
                }
                out.push(']');
            }
            Self::U32 => out.push_str(&input.u32().ok()?.to_string()),
            Self::U64 => out.push_str(&input.u64().ok()?.to_string()),
            Self::Bool => out.push_str(if input.bool().ok()? { "true" } else { "false" }),
            Self::Address => out.push_str(&quoted(&input.address().ok()?.to_string())),
            Self::Tag(tags) => out.push_str(&quoted((tags.name)(input.u8().ok()?)?)),
            Self::Words(_) => {
                out.push('[');
                for index in 0..input.u8().ok()? {
                    if index > 0 {
                        out.push(',');
                    }
                    Self::Word(Word::Name).json(input, depth, out)?;
                }
                out.push(']');
            }
            Self::Policy => {
                if input.u8().ok()? != Policy::VERSION {
                    return None;
                }
                out.push('{');
                object_fields(POLICY, input, depth, out)?;
                out.push('}');
            }
            Self::Commands => commands_json(input.u8().ok()?, input, depth.saturating_add(1), out)?,
            Self::FeedItems => {
                out.push('{');
                for _ in 0..input.u16().ok()? {
                    push_key(out, str::from_utf8(input.lp8().ok()?).ok()?);
                    out.push('{');
                    object_fields(FEED_ITEM, input, depth, out)?;
                    out.push('}');
                }
                out.push('}');
            }
        }
        Some(())
    }
}

/// The field of a command that is read where its bytes stop being one.
pub(crate) fn field_at(bytes: &[u8], offset: usize) -> Option<&'static str> {
    let mut input = Reader::new(bytes);
    let kind = CommandKind::decode(&mut input).ok()?;
    let of_strategy = if kind == CommandKind::Deploy { strategy_ahead(&input) } else { None };
    let more = of_strategy.map(|kind| [strategy_fields(kind), GUARDRAILS]);
    let mut around = None;
    for field in [row(kind).fields].into_iter().chain(more.into_iter().flatten()).flatten() {
        let start = bytes.len().saturating_sub(input.remaining());
        let is_there = match field.absent {
            Absent::Flag(_) => input.bool(),
            Absent::Error | Absent::Default(_) | Absent::Silent(_) | Absent::Standard => Ok(true),
        };
        let is_read = match is_there {
            Ok(true) => field.kind.json(&mut input, 0, &mut String::new()).is_some(),
            Ok(false) => true,
            Err(_) => false,
        };
        let end = bytes.len().saturating_sub(input.remaining());
        if !is_read {
            return Some(field.key);
        }
        // What can be read and breaks a rule: an error points behind it.
        if start < offset && offset <= end {
            around = Some(field.key);
        }
    }
    around
}
