//! What each command is in JSON and in bytes, told once for both directions.
//!
//! [`fields`] is the table: per command its fields in the order of the encoding, each with its key,
//! its [`Kind`] and what happens when it is left out. A new command adds a row there and, if need
//! be, a [`Kind`]. Rules of values are not checked: whatever fits the width becomes bytes.

use std::collections::BTreeMap;

use coalmine_core::{
    Address, Advance, Bucketing, CommandKind, Decode, Encode, FeedKind, FeedPart, Gate, Hash, Lifetime, OnComplete,
    Payload, Reader, Reason, Role, Strategy, StrategyKind, Writer,
};

use super::json::{Entry, Object, Problem, Val, quoted};

/// The deepest schedule inside a schedule that has a JSON form.
const SCHEDULE_DEPTH_MAX: usize = 8;
/// The version byte in front of a policy.
const POLICY_VERSION: u8 = 1;
/// Shorthands for a report.
const SUGAR: [&str; 3] = ["record_success", "record_error", "record_invariant"];

/// The names of an enum and the bytes that stand for them.
#[derive(Debug)]
struct Tags {
    what: &'static str,
    tag: fn(&str) -> Option<u8>,
    name: fn(u8) -> Option<&'static str>,
    names: fn() -> Vec<&'static str>,
}

macro_rules! tags {
    ($type:ty, $what:literal) => {
        &Tags {
            what: $what,
            tag: |name| <$type>::from_name(name).map(<$type>::tag),
            name: |tag| <$type>::from_tag(tag).map(<$type>::name),
            names: || <$type>::ALL.iter().map(|value| value.name()).collect(),
        }
    };
}

const REASON: &Tags = tags!(Reason, "reason");
const BUCKETING: &Tags = tags!(Bucketing, "bucketing");
const ADVANCE: &Tags = tags!(Advance, "advance");
const LIFETIME: &Tags = tags!(Lifetime, "lifetime");
const STRATEGY: &Tags = tags!(StrategyKind, "strategy");
const GATE: &Tags = tags!(Gate, "gate");
const ON_COMPLETE: &Tags = tags!(OnComplete, "on_complete");
const FEED_KIND: &Tags = tags!(FeedKind, "kind");
const FEED_PART: &Tags = tags!(FeedPart, "part");
const ROLE: &Tags = &Tags {
    what: "role",
    tag: |name| Role::from_name(name).map(Role::mask),
    name: |mask| Role::from_mask(mask).map(Role::name),
    names: role_names,
};

pub(super) fn role_names() -> Vec<&'static str> {
    Role::ALL.into_iter().map(Role::name).collect()
}

impl Tags {
    fn read(&self, value: Val<'_>) -> Result<u8, Problem> {
        value.one_of(self.what, self.tag, self.names)
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Text behind a u8 length; the rule of names or ids is not checked.
    Name,
    /// Text behind a u16 length.
    Text,
    U8,
    U16,
    U32,
    U64,
    Bool,
    /// 32 bytes, hex in JSON.
    Hash,
    /// Bytes behind a u16 length, hex in JSON.
    Bytes,
    /// 20 bytes, `0x` and hex in JSON.
    Address,
    /// One byte, a name in JSON.
    Tag(&'static Tags),
    /// A u8 count, then names, in the order given.
    Names,
    /// A u8 count, then pairs of texts behind u8 lengths, ascending; an object in JSON.
    Pairs,
    /// The version byte and the fields of a policy.
    Policy,
    /// A u8 count, then the fields of stages.
    Stages,
    /// A u8 count, then commands, each behind a u16 length.
    Commands,
    /// A u16 count, then items of the feed by id, ascending; an object in JSON.
    FeedItems,
}

/// What it means that a field is left out.
#[derive(Debug, Clone, Copy)]
enum Absent {
    /// A mistake.
    Error,
    /// The flag byte 0 in place of 1 and the value.
    Flag,
    /// This value, in JSON; the writer names it all the same.
    Default(&'static str),
    /// This value, in JSON; the writer leaves it out too.
    Silent(&'static str),
    /// The deadline that follows from the strategy in the bytes so far; the writer names it all the same.
    Deadline,
}

#[derive(Debug)]
struct Field {
    key: &'static str,
    kind: Kind,
    absent: Absent,
}

const fn required(key: &'static str, kind: Kind) -> Field {
    Field { key, kind, absent: Absent::Error }
}

const fn optional(key: &'static str, kind: Kind) -> Field {
    Field { key, kind, absent: Absent::Flag }
}

const fn default(key: &'static str, kind: Kind, value: &'static str) -> Field {
    Field { key, kind, absent: Absent::Default(value) }
}

const fn silent(key: &'static str, kind: Kind, value: &'static str) -> Field {
    Field { key, kind, absent: Absent::Silent(value) }
}

const NAME: Field = required("name", Kind::Name);
const PLUGIN: Field = required("plugin", Kind::Name);
const VERSION: Field = required("version", Kind::Name);

const STAGE: &[Field] = &[
    required("share_bps", Kind::U16),
    required("blocks", Kind::U32),
    default("min_requests", Kind::U64, "0"),
    default("gate", Kind::Tag(GATE), "\"time\""),
];

/// The fields of a deploy: those of its strategy, and the terms with the defaults of the strategy.
macro_rules! deploy {
    ([$($own:expr,)*], success $success:literal, error $error:literal, min_requests $min:literal, promote $promote:literal) => {
        const {
            &[
                PLUGIN,
                VERSION,
                required("strategy", Kind::Tag(STRATEGY)),
                $($own,)*
                default("error_threshold_bps", Kind::U16, $error),
                default("success_threshold_bps", Kind::U16, $success),
                default("min_requests", Kind::U64, $min),
                Field { key: "max_blocks", kind: Kind::U32, absent: Absent::Deadline },
                default("auto_promote", Kind::Bool, $promote),
                default("auto_rollback", Kind::Bool, "true"),
                default("regression_z_centi", Kind::U16, "0"),
            ]
        }
    };
}

const fn deploy_fields(strategy: StrategyKind) -> &'static [Field] {
    match strategy {
        StrategyKind::Canary => deploy!(
            [
                default("initial_bps", Kind::U16, "500"),
                default("increment_bps", Kind::U16, "500"),
                default("increment_blocks", Kind::U32, "60"),
                default("max_bps", Kind::U16, "5000"),
                default("observation_blocks", Kind::U32, "180"),
            ],
            success "9900", error "100", min_requests "100", promote "true"
        ),
        StrategyKind::Rolling => deploy!(
            [
                default("initial_bps", Kind::U16, "1000"),
                default("increment_bps", Kind::U16, "1000"),
                default("increment_blocks", Kind::U32, "30"),
            ],
            success "9500", error "500", min_requests "50", promote "true"
        ),
        StrategyKind::BlueGreen => deploy!(
            [default("health_blocks", Kind::U32, "60"), default("bake_blocks", Kind::U32, "60"),],
            success "0", error "500", min_requests "50", promote "true"
        ),
        StrategyKind::AbTest => deploy!(
            [default("share_bps", Kind::U16, "5000"), default("duration_blocks", Kind::U32, "8640"),],
            success "9500", error "500", min_requests "1000", promote "false"
        ),
        StrategyKind::Custom => deploy!(
            [default("on_complete", Kind::Tag(ON_COMPLETE), "\"promote\""), required("stages", Kind::Stages),],
            success "9500", error "500", min_requests "100", promote "true"
        ),
    }
}

const POLICY: &[Field] = &[
    default("bucketing", Kind::Tag(BUCKETING), "\"sha256\""),
    default("advance", Kind::Tag(ADVANCE), "\"automatic\""),
    default("salt", Kind::U64, "0"),
    default("min_samples", Kind::U32, "10"),
    default("window_blocks", Kind::U32, "0"),
    default("step_min_operations", Kind::U64, "0"),
    default("max_invariant_failures", Kind::U64, "0"),
    default("max_latency", Kind::U64, "0"),
    default("lifetime", Kind::Tag(LIFETIME), "\"permanent\""),
    default("expires_at", Kind::U32, "0"),
    default("prerequisites", Kind::Names, "[]"),
];

/// An item of the feed behind its id.
const FEED_ITEM: &[Field] = &[required("version", Kind::U64), required("body", Kind::Bytes)];

/// The fields of a command behind its tag, in the order of the encoding.
const fn fields(kind: CommandKind) -> &'static [Field] {
    match kind {
        CommandKind::CreateFeature => {
            const {
                &[
                    NAME,
                    required("description", Kind::Text),
                    optional("increment_percent", Kind::U8),
                    optional("increment_blocks", Kind::U32),
                    optional("max_error_rate", Kind::U32),
                    optional("min_success_count", Kind::U64),
                    optional("policy", Kind::Policy),
                ]
            }
        }
        CommandKind::ConfigureFeature => {
            const {
                &[
                    NAME,
                    optional("description", Kind::Text),
                    optional("increment_percent", Kind::U8),
                    optional("increment_blocks", Kind::U32),
                    optional("max_error_rate", Kind::U32),
                    optional("min_success_count", Kind::U64),
                    optional("policy", Kind::Policy),
                ]
            }
        }
        CommandKind::StartCanary => const { &[NAME, required("percent", Kind::U8)] },
        CommandKind::StartRollout => const { &[NAME, required("target_percent", Kind::U8)] },
        CommandKind::AdvanceRollout | CommandKind::Enable | CommandKind::Disable => const { &[NAME] },
        CommandKind::Rollback => const { &[NAME, required("reason", Kind::Tag(REASON))] },
        CommandKind::SetOverride => const { &[NAME, required("user", Kind::Address), required("enabled", Kind::Bool)] },
        CommandKind::ClearOverride => const { &[NAME, required("user", Kind::Address)] },
        CommandKind::Report => {
            const {
                &[
                    NAME,
                    required("successes", Kind::U32),
                    required("errors", Kind::U32),
                    required("latency_total", Kind::U64),
                    required("latency_peak", Kind::U64),
                    required("invariant_checks", Kind::U32),
                    required("invariant_failures", Kind::U32),
                ]
            }
        }
        CommandKind::TripBreaker => {
            const { &[required("reason", Kind::Tag(REASON)), silent("until", Kind::U32, "0"), required("drain", Kind::Bool)] }
        }
        CommandKind::ResetBreaker => &[],
        CommandKind::Schedule => const { &[required("at", Kind::U32), required("commands", Kind::Commands)] },
        CommandKind::CancelSchedule => const { &[required("at", Kind::U32), required("id", Kind::U64)] },
        CommandKind::GrantRole | CommandKind::RevokeRole => {
            const { &[required("address", Kind::Address), required("role", Kind::Tag(ROLE))] }
        }
        CommandKind::SetParams => {
            const {
                &[
                    optional("max_due_per_block", Kind::U32),
                    optional("breaker_rollbacks", Kind::U32),
                    optional("breaker_window", Kind::U32),
                ]
            }
        }
        CommandKind::RegisterVersion => {
            const {
                &[
                    PLUGIN,
                    VERSION,
                    required("code_hash", Kind::Hash),
                    silent("host", Kind::Name, "\"\""),
                    silent("requirements", Kind::Pairs, "{}"),
                    silent("config", Kind::Bytes, "\"\""),
                    silent("metadata", Kind::Pairs, "{}"),
                ]
            }
        }
        // What follows depends on the strategy.
        CommandKind::Deploy => const { &[PLUGIN, VERSION, required("strategy", Kind::Tag(STRATEGY))] },
        CommandKind::Pause
        | CommandKind::Resume
        | CommandKind::Promote
        | CommandKind::RollbackDeployment
        | CommandKind::Revert
        | CommandKind::Load => const { &[PLUGIN] },
        CommandKind::RetireVersion => const { &[PLUGIN, VERSION] },
        CommandKind::SetRule => const { &[PLUGIN, silent("constraint", Kind::Name, "\"\"")] },
        CommandKind::SetHostVersion => const { &[VERSION] },
        CommandKind::SetRegistryParams => {
            const { &[optional("max_versions", Kind::U16), optional("auto_load", Kind::Bool)] }
        }
        CommandKind::Unload => const { &[PLUGIN, default("force", Kind::Bool, "false")] },
        CommandKind::ReportVersion => {
            const {
                &[
                    PLUGIN,
                    VERSION,
                    required("requests", Kind::U32),
                    default("errors", Kind::U32, "0"),
                    default("latency_total", Kind::U64, "0"),
                ]
            }
        }
        CommandKind::AttestHealth => const { &[PLUGIN, VERSION, required("healthy", Kind::Bool)] },
        CommandKind::ReportLoad | CommandKind::ReportUnload => const { &[PLUGIN, VERSION, required("ok", Kind::Bool)] },
        CommandKind::FeedPut => {
            const {
                &[
                    default("part", Kind::Tag(FEED_PART), "\"only\""),
                    default("environments", Kind::FeedItems, "{}"),
                    default("filters", Kind::FeedItems, "{}"),
                ]
            }
        }
        CommandKind::FeedPatch => {
            const {
                &[
                    required("kind", Kind::Tag(FEED_KIND)),
                    required("id", Kind::Name),
                    required("version", Kind::U64),
                    required("body", Kind::Bytes),
                ]
            }
        }
        CommandKind::FeedDelete => {
            const { &[required("kind", Kind::Tag(FEED_KIND)), required("id", Kind::Name), required("version", Kind::U64)] }
        }
        CommandKind::FeedForget => const { &[required("kind", Kind::Tag(FEED_KIND)), required("ids", Kind::Names)] },
    }
}

/// The fields of the command in this object.
fn fields_of_object(kind: CommandKind, command: &Object<'_>) -> Result<&'static [Field], Problem> {
    if kind != CommandKind::Deploy {
        return Ok(fields(kind));
    }
    let names = || StrategyKind::ALL.iter().map(|strategy| strategy.name()).collect();
    let strategy = command.need("strategy").map_err(|problem| problem.in_key(kind.name()))?;
    let strategy = strategy.one_of("strategy", StrategyKind::from_name, names);
    Ok(deploy_fields(strategy.map_err(|problem| problem.in_key("strategy"))?))
}

/// The fields of the command in these bytes, behind its tag.
fn fields_of_bytes(kind: CommandKind, input: &Reader<'_>) -> Option<&'static [Field]> {
    if kind != CommandKind::Deploy {
        return Some(fields(kind));
    }
    let mut input = input.clone();
    input.lp8().ok()?;
    input.lp8().ok()?;
    Some(deploy_fields(StrategyKind::decode(&mut input).ok()?))
}

/// The default deadline of the deploy in these bytes.
fn deadline(bytes: &[u8]) -> u32 {
    let mut input = Reader::new(bytes);
    let mut strategy = || {
        input.u8()?;
        input.lp8()?;
        input.lp8()?;
        Strategy::decode(&mut input)
    };
    strategy().map_or(0, |strategy| strategy.default_terms().max_blocks)
}

// JSON to bytes.

/// The bytes of an entry of `txs`, and how many times they stand there.
pub(super) fn transaction_bytes(tx: Val<'_>, signer: &Address) -> Result<(Vec<u8>, u32), Problem> {
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
    let mut out = Writer::default();
    out.address(&signer);
    if tx.get("op").is_some() {
        out.u8(1);
        out.lp16(&command_bytes(&tx, &[SIGNER, REPEAT], 0)?);
    } else if let Some(commands) = tx.get(COMMANDS) {
        tx.only("a transaction without \"op\"", [SIGNER, COMMANDS, REPEAT].into_iter())?;
        commands_bytes(commands, 0, &mut out).map_err(|problem| problem.in_key(COMMANDS))?;
    } else {
        return Err(tx.problem("a transaction needs \"op\", \"commands\" or \"raw\""));
    }
    Ok((out.into_bytes(), repeat))
}

/// A count, then each command behind its length.
fn commands_bytes(commands: Val<'_>, depth: usize, out: &mut Writer) -> Result<(), Problem> {
    let mut count: u8 = 0;
    let mut list = Writer::default();
    for command in commands.elements()? {
        let command = command?;
        count = count.checked_add(1).ok_or_else(|| command.problem("the count of commands has room for 255"))?;
        list.lp16(&command_bytes(&command.object()?, &[], depth)?);
    }
    out.u8(count);
    out.raw(list.as_bytes());
    Ok(())
}

/// The bytes of a command. `also` are keys of the transaction that stand beside its own.
fn command_bytes(command: &Object<'_>, also: &[&str], depth: usize) -> Result<Vec<u8>, Problem> {
    if depth > SCHEDULE_DEPTH_MAX {
        return Err(command.problem(format!("schedules are nested more than {SCHEDULE_DEPTH_MAX} deep")));
    }
    let op = command.need("op")?;
    let name = op.string()?;
    let mut out = Writer::default();
    if SUGAR.contains(&&*name) {
        sugar_bytes(&name, command, also, &mut out)?;
    } else {
        let names = || CommandKind::ALL.iter().map(|kind| kind.name()).chain(SUGAR).collect();
        let kind = op.one_of("op", CommandKind::from_name, names)?;
        out.u8(kind.tag());
        let fields = fields_of_object(kind, command)?;
        object_bytes(command, kind.name(), fields, &[&["op"], also].concat(), depth, &mut out)?;
    }
    fits("a command", out.len(), u16::MAX.into()).map_err(|message| command.problem(message))?;
    Ok(out.into_bytes())
}

/// The fields of an object that is `what`, in the order of the table.
fn object_bytes(
    object: &Object<'_>,
    what: &str,
    fields: &[Field],
    also: &[&str],
    depth: usize,
    out: &mut Writer,
) -> Result<(), Problem> {
    object.only(what, also.iter().copied().chain(fields.iter().map(|field| field.key)))?;
    for Field { key, kind, absent } in fields {
        let value = match (object.get(key), absent) {
            (Some(value), Absent::Flag) => {
                out.bool(true);
                value
            }
            (Some(value), Absent::Error | Absent::Default(_) | Absent::Silent(_) | Absent::Deadline) => value,
            (None, Absent::Flag) => {
                out.bool(false);
                continue;
            }
            (None, Absent::Default(value) | Absent::Silent(value)) => Val::document(value),
            (None, Absent::Deadline) => {
                out.u32(deadline(out.as_bytes()));
                continue;
            }
            (None, Absent::Error) => object.need(key).map_err(|problem| problem.in_key(what))?,
        };
        kind.bytes(value, depth, out).map_err(|problem| problem.in_key(key))?;
    }
    Ok(())
}

/// A report from one of its shorthands.
fn sugar_bytes(name: &str, command: &Object<'_>, also: &[&str], out: &mut Writer) -> Result<(), Problem> {
    let is_invariant = name == "record_invariant";
    let own = if is_invariant { ["op", "name", "ok", "count"] } else { ["op", "name", "count", "latency"] };
    command.only(name, own.into_iter().chain(also.iter().copied()))?;

    let feature = command.need("name").map_err(|problem| problem.in_key(name))?;
    let count = command.get("count").map_or(Ok(1), |count| count.u32().map_err(|problem| problem.in_key("count")))?;
    let ok = match name {
        "record_success" => true,
        "record_error" => false,
        _ => {
            let ok = command.need("ok").map_err(|problem| problem.in_key(name))?;
            ok.bool().map_err(|problem| problem.in_key("ok"))?
        }
    };
    let mut latencies = (0, 0);
    if let Some(latency) = command.get("latency") {
        let peak = latency.integer(u64::MAX).map_err(|problem| problem.in_key("latency"))?;
        let total = u64::from(count).checked_mul(peak).ok_or_else(|| {
            let max = u64::MAX;
            latency.problem(format!("latency: {count} times {peak} is out of range; the total must be 0 to {max}"))
        })?;
        latencies = (total, if count > 0 { peak } else { 0 });
    }

    out.u8(CommandKind::Report.tag());
    Kind::Name.bytes(feature, 0, out).map_err(|problem| problem.in_key("name"))?;
    let of = |counted: bool| if counted { count } else { 0 };
    out.u32(of(!is_invariant && ok));
    out.u32(of(!is_invariant && !ok));
    out.u64(latencies.0);
    out.u64(latencies.1);
    out.u32(of(is_invariant));
    out.u32(of(is_invariant && !ok));
    Ok(())
}

fn fits(what: &str, len: usize, max: usize) -> Result<(), String> {
    if len > max { Err(format!("{len} bytes; the length of {what} has room for {max}")) } else { Ok(()) }
}

impl Kind {
    fn bytes(self, value: Val<'_>, depth: usize, out: &mut Writer) -> Result<(), Problem> {
        match self {
            Self::Name => {
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
            Self::Pairs => {
                let object = value.object()?;
                let count = u8::try_from(object.len());
                out.u8(count.map_err(|_| value.problem("the count of pairs has room for 255"))?);
                let mut entries: Vec<Entry<'_>> = object.entries().collect();
                entries.sort_by(|a, b| a.key.cmp(&b.key));
                for entry in entries {
                    fits("a name", entry.key.len(), u8::MAX.into()).map_err(|message| entry.key_problem(message))?;
                    out.lp8(entry.key.as_bytes());
                    Self::Name.bytes(entry.value, depth, out).map_err(|problem| problem.in_key(&entry.key))?;
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
            Self::Names => {
                let mut count: u8 = 0;
                let mut list = Writer::default();
                for name in value.elements()? {
                    let name = name?;
                    count = count.checked_add(1).ok_or_else(|| name.problem("the count of names has room for 255"))?;
                    Self::Name.bytes(name, depth, &mut list)?;
                }
                out.u8(count);
                out.raw(list.as_bytes());
            }
            Self::Policy => {
                out.u8(POLICY_VERSION);
                object_bytes(&value.object()?, "policy", POLICY, &[], depth, out)?;
            }
            Self::Commands => commands_bytes(value, depth.saturating_add(1), out)?,
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

// Bytes to JSON. `None` is what JSON cannot express, or not with the same bytes.

/// A payload as an entry of `txs`, compact, without its closing brace.
pub(super) fn transaction_json(payload: &Payload, signer: &Address) -> String {
    let bytes = payload.to_bytes();
    let mut out = String::new();
    let is_written = transaction_fields(&bytes, signer, &mut out).is_some_and(|()| {
        out.push('}');
        let again = transaction_bytes(Val::document(&out), signer);
        out.pop();
        again.is_ok_and(|(again, _)| again == bytes)
    });
    if is_written { out } else { format!("{{\"raw\":\"{}\"", hex::encode(&bytes)) }
}

fn transaction_fields(bytes: &[u8], default: &Address, out: &mut String) -> Option<()> {
    let mut input = Reader::new(bytes);
    out.push('{');
    let signer = input.address().ok()?;
    if signer != *default {
        push_key(out, "signer");
        out.push_str(&quoted(&signer.to_string()));
    }
    if bytes.get(Address::LEN) == Some(&1) {
        input.u8().ok()?;
        command_fields(input.lp16().ok()?, 0, out)?;
    } else {
        push_key(out, "commands");
        commands_json(&mut input, 0, out)?;
    }
    input.finish().ok()
}

fn commands_json(input: &mut Reader<'_>, depth: usize, out: &mut String) -> Option<()> {
    out.push('[');
    for index in 0..input.u8().ok()? {
        out.push_str(if index == 0 { "{" } else { ",{" });
        command_fields(input.lp16().ok()?, depth, out)?;
        out.push('}');
    }
    out.push(']');
    Some(())
}

fn command_fields(bytes: &[u8], depth: usize, out: &mut String) -> Option<()> {
    if depth > SCHEDULE_DEPTH_MAX {
        return None;
    }
    let mut input = Reader::new(bytes);
    let kind = CommandKind::decode(&mut input).ok()?;
    push_key(out, "op");
    out.push_str(&quoted(kind.name()));
    object_fields(fields_of_bytes(kind, &input)?, &mut input, depth, out)?;
    input.finish().ok()
}

fn object_fields(fields: &[Field], input: &mut Reader<'_>, depth: usize, out: &mut String) -> Option<()> {
    for Field { key, kind, absent } in fields {
        if matches!(absent, Absent::Flag) && !input.bool().ok()? {
            continue;
        }
        let before = out.len();
        push_key(out, key);
        let start = out.len();
        kind.json(input, depth, out)?;
        if matches!(absent, Absent::Silent(value) if out.get(start..) == Some(*value)) {
            out.truncate(before);
        }
    }
    Some(())
}

/// Begins an entry of an object.
fn push_key(out: &mut String, key: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&quoted(key));
    out.push(':');
}

impl Kind {
    fn json(self, input: &mut Reader<'_>, depth: usize, out: &mut String) -> Option<()> {
        match self {
            Self::Name => out.push_str(&quoted(str::from_utf8(input.lp8().ok()?).ok()?)),
            Self::Text => out.push_str(&quoted(str::from_utf8(input.lp16().ok()?).ok()?)),
            Self::U8 => out.push_str(&input.u8().ok()?.to_string()),
            Self::U16 => out.push_str(&input.u16().ok()?.to_string()),
            Self::Hash => out.push_str(&quoted(&input.hash().ok()?.to_string())),
            Self::Bytes => out.push_str(&quoted(&hex::encode(input.lp16().ok()?))),
            Self::Pairs => {
                out.push('{');
                for _ in 0..input.u8().ok()? {
                    push_key(out, str::from_utf8(input.lp8().ok()?).ok()?);
                    Self::Name.json(input, depth, out)?;
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
            Self::Names => {
                out.push('[');
                for index in 0..input.u8().ok()? {
                    if index > 0 {
                        out.push(',');
                    }
                    Self::Name.json(input, depth, out)?;
                }
                out.push(']');
            }
            Self::Policy => {
                if input.u8().ok()? != POLICY_VERSION {
                    return None;
                }
                out.push('{');
                object_fields(POLICY, input, depth, out)?;
                out.push('}');
            }
            Self::Commands => commands_json(input, depth.saturating_add(1), out)?,
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
