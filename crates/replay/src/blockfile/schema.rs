//! What each command is in JSON and in bytes, told once for both directions.
//!
//! [`fields`] is the table: per command its fields in the order of the encoding, each with its key,
//! its [`Kind`] and what happens when it is left out. A new command adds a row there and, if need
//! be, a [`Kind`]. Rules of values are not checked: whatever fits the width becomes bytes.

use std::collections::BTreeMap;

use coalmine_core::{
    Address, Advance, Bucketing, CommandKind, Decode, Encode, FeedKind, FeedPart, Gate, Hash, Lifetime, OnComplete,
    Payload, Policy, Reader, Reason, Role, Strategy, StrategyKind, Writer,
};

use super::json::{Entry, Object, Problem, Val, quoted};

/// The deepest schedule inside a schedule that has a JSON form.
const SCHEDULE_DEPTH_MAX: usize = 8;

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
    /// The value that core's default of this record has there; the writer names it all the same.
    Standard,
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

const fn standard(key: &'static str, kind: Kind) -> Field {
    Field { key, kind, absent: Absent::Standard }
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

/// The fields of a deploy in front of those of its strategy.
const DEPLOY: &[Field] = &[PLUGIN, VERSION, required("strategy", Kind::Tag(STRATEGY))];

/// The fields of a strategy behind its tag. Their defaults are those of [`Strategy::with_defaults`].
///
/// [`Strategy::with_defaults`]: coalmine_core::Strategy::with_defaults
const fn strategy_fields(kind: StrategyKind) -> &'static [Field] {
    match kind {
        StrategyKind::Canary => {
            const {
                &[
                    standard("initial_bps", Kind::U16),
                    standard("increment_bps", Kind::U16),
                    standard("increment_blocks", Kind::U32),
                    standard("max_bps", Kind::U16),
                    standard("observation_blocks", Kind::U32),
                ]
            }
        }
        StrategyKind::Rolling => {
            const {
                &[
                    standard("initial_bps", Kind::U16),
                    standard("increment_bps", Kind::U16),
                    standard("increment_blocks", Kind::U32),
                ]
            }
        }
        StrategyKind::BlueGreen => {
            const { &[standard("health_blocks", Kind::U32), standard("bake_blocks", Kind::U32)] }
        }
        StrategyKind::AbTest => const { &[standard("share_bps", Kind::U16), standard("duration_blocks", Kind::U32)] },
        StrategyKind::Custom => {
            const { &[standard("on_complete", Kind::Tag(ON_COMPLETE)), required("stages", Kind::Stages)] }
        }
    }
}

/// The terms of a deploy. Their defaults are those of [`Strategy::default_terms`].
///
/// [`Strategy::default_terms`]: coalmine_core::Strategy::default_terms
const TERMS: &[Field] = &[
    standard("error_threshold_bps", Kind::U16),
    standard("success_threshold_bps", Kind::U16),
    standard("min_requests", Kind::U64),
    standard("max_blocks", Kind::U32),
    standard("auto_promote", Kind::Bool),
    standard("auto_rollback", Kind::Bool),
    standard("regression_z_centi", Kind::U16),
];

/// The fields of a policy behind its version. Their defaults are those of `Policy::default()`.
const POLICY: &[Field] = &[
    standard("bucketing", Kind::Tag(BUCKETING)),
    standard("advance", Kind::Tag(ADVANCE)),
    standard("salt", Kind::U64),
    standard("min_samples", Kind::U32),
    standard("window_blocks", Kind::U32),
    standard("step_min_operations", Kind::U64),
    standard("max_invariant_failures", Kind::U64),
    standard("max_latency", Kind::U64),
    standard("lifetime", Kind::Tag(LIFETIME)),
    standard("expires_at", Kind::U32),
    standard("prerequisites", Kind::Names),
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
        // The fields of its strategy follow, and its terms.
        CommandKind::Deploy => DEPLOY,
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

// JSON to bytes.

/// Shorthands for a report.
const SUGAR: [&str; 3] = ["record_success", "record_error", "record_invariant"];

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
        let also = [&["op"], also].concat();
        if kind == CommandKind::Deploy {
            deploy_bytes(command, kind.name(), &also, depth, &mut out)?;
        } else {
            object_bytes(command, kind.name(), fields(kind), &also, depth, &mut out)?;
        }
    }
    fits("a command", out.len(), u16::MAX.into()).map_err(|message| command.problem(message))?;
    Ok(out.into_bytes())
}

/// An object that is `what`, all of whose fields are in one list and none has a default of core.
fn object_bytes(
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

/// A deploy: its strategy says which fields it has and which defaults its terms have.
fn deploy_bytes(object: &Object<'_>, what: &str, also: &[&str], depth: usize, out: &mut Writer) -> Result<(), Problem> {
    let names = || StrategyKind::ALL.iter().map(|strategy| strategy.name()).collect();
    let kind = object.need("strategy").map_err(|problem| problem.in_key(what))?;
    let kind = kind.one_of("strategy", StrategyKind::from_name, names).map_err(|problem| problem.in_key("strategy"))?;
    let own = strategy_fields(kind);
    object.only(what, also.iter().copied().chain([DEPLOY, own, TERMS].into_iter().flatten().map(|field| field.key)))?;

    fields_bytes(object, what, DEPLOY, &[], depth, out)?;
    let standard = Strategy::with_defaults(kind);
    let mut strategy = Writer::default();
    kind.encode(&mut strategy);
    let tag_len = strategy.len();
    fields_bytes(object, what, own, standard.to_bytes().get(tag_len..).unwrap_or_default(), depth, &mut strategy)?;
    out.raw(strategy.as_bytes().get(tag_len..).unwrap_or_default());
    // The deadline depends on the stages; of a strategy that cannot be read, the defaults have to do.
    let strategy = Strategy::from_bytes(strategy.as_bytes()).unwrap_or(standard);
    fields_bytes(object, what, TERMS, &strategy.default_terms().to_bytes(), depth, out)
}

/// Some fields of an object, in the order of the table. `standard` has core's default of every field that needs one,
/// behind each other.
fn fields_bytes(
    object: &Object<'_>,
    what: &str,
    fields: &[Field],
    standard: &[u8],
    depth: usize,
    out: &mut Writer,
) -> Result<(), Problem> {
    let mut standard = Reader::new(standard);
    for Field { key, kind, absent } in fields {
        // Read even where the object has the field, as the default of the next one stands behind it.
        let mut default = String::new();
        if matches!(absent, Absent::Standard) {
            let is_read = kind.json(&mut standard, depth, &mut default).is_some();
            debug_assert!(is_read, "the table and the encoding of core have the same fields");
        }
        let value = match (object.get(key), absent) {
            (Some(value), Absent::Flag) => {
                out.bool(true);
                value
            }
            (Some(value), Absent::Error | Absent::Default(_) | Absent::Silent(_) | Absent::Standard) => value,
            (None, Absent::Flag) => {
                out.bool(false);
                continue;
            }
            (None, Absent::Default(value) | Absent::Silent(value)) => Val::document(value),
            (None, Absent::Standard) => Val::document(&default),
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
                let (what, object) = ("policy", value.object()?);
                object.only(what, POLICY.iter().map(|field| field.key))?;
                out.u8(Policy::VERSION);
                let standard = Policy::default().to_bytes();
                fields_bytes(&object, what, POLICY, standard.get(1..).unwrap_or_default(), depth, out)?;
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

/// Writes the fields of a transaction, without the closing brace.
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
    if kind == CommandKind::Deploy {
        deploy_fields(&mut input, depth, out)?;
    } else {
        object_fields(fields(kind), &mut input, depth, out)?;
    }
    input.finish().ok()
}

fn deploy_fields(input: &mut Reader<'_>, depth: usize, out: &mut String) -> Option<()> {
    let mut ahead = input.clone();
    ahead.lp8().ok()?;
    ahead.lp8().ok()?;
    let own = strategy_fields(StrategyKind::decode(&mut ahead).ok()?);
    [DEPLOY, own, TERMS].into_iter().try_for_each(|fields| object_fields(fields, input, depth, out))
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
                if input.u8().ok()? != Policy::VERSION {
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
