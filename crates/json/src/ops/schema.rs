//! The JSON Schema of block files, made of the table of ops and of those of records.
//!
//! It is of draft 7, which editors know best. It refuses what the reader refuses, as far as a schema can say it, and
//! takes all that the reader takes: what breaks a rule, such as percent 101, is no error of a file but a receipt, so
//! ranges stand in descriptions only.

use std::iter;

use coalmine_core::{
    BLOCK_TXS_MAX, CommandKind, EventCode, ItemState, Params, Reject, Status, StrategyKind, VersionStatus,
};

use super::help::{Group, Op};
use super::kind::{Absent, Field, Kind, role_names};
use super::table;
use crate::blockfile::{
    BREAKER_FIELDS, ENTRY_FIELDS, FEATURE_FIELDS, FORMAT, METRICS_FIELDS, OVERRIDE_FIELDS, PARAMS_FIELDS,
    PLUGIN_FIELDS, REGISTRY_FIELDS, RecordField, Shape,
};
use crate::fields::{AUTOMATIC, Fields, Value};

const ADDRESS: &str = "^0x[0-9a-fA-F]{40}$";
const HASH: &str = "^(0x)?[0-9a-fA-F]{64}$";
const HEX: &str = "^([0-9a-fA-F]{2})*$";
const PREFIXED_HEX: &str = "^0x([0-9a-fA-F]{2})*$";
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$";
const CHAIN: &str = "^[A-Za-z0-9_.:-]{0,64}$";

/// The JSON Schema of a `.json` block file.
///
/// Its definitions `header` and `block` are those of the first and of every further line of a `.jsonl` file.
#[must_use]
pub fn schema() -> Fields {
    let mut definitions = Fields::new()
        .with("header", document(None))
        .with("block", block())
        .with("transaction", transaction())
        .with("command", by_op(""))
        .with("op_transaction", by_op("tx."));
    for variant in variants() {
        let own = closed(variant.properties(), variant.required(), Fields::new());
        definitions = definitions.with(variant.name.clone(), own).with(format!("tx.{}", variant.name), variant.in_tx());
    }
    definitions = definitions.with("expect", expect(false)).with("final_expect", expect(true));
    let blocks = array(reference("block")).with("description", "The blocks, in ascending order of their heights.");
    Fields::new()
        .with("$schema", "http://json-schema.org/draft-07/schema#")
        .with("title", FORMAT)
        .with("description", "A block file of coalmine: a genesis, blocks, and what they are expected to do.")
        .and(document(Some(blocks)))
        .with("definitions", definitions)
}

/// An op, or a deploy by one strategy: a list of fields.
struct Variant {
    /// The name of its definition.
    name: String,
    op: Op,
    strategy: Option<StrategyKind>,
    fields: Vec<(&'static Field, Option<String>)>,
}

fn variants() -> Vec<Variant> {
    let of = |op: Op| -> Vec<Variant> {
        let own = op.own().fields;
        if !op.is_deploy() {
            return vec![Variant { name: op.name().into(), op, strategy: None, fields: own }];
        }
        let by = |kind: &StrategyKind| Variant {
            name: format!("{}.{}", op.name(), kind.name()),
            op,
            strategy: Some(*kind),
            fields: own
                .iter()
                .cloned()
                .chain(Group::strategy(*kind).into_iter().flat_map(|group| group.fields))
                .collect(),
        };
        StrategyKind::ALL.iter().map(by).collect()
    };
    Op::all().flat_map(of).collect()
}

impl Variant {
    fn properties(&self) -> Fields {
        let op = Fields::new().with("const", self.op.name()).with("description", self.op.about());
        self.fields.iter().fold(Fields::new().with("op", op), |fields, (field, default)| {
            let property = match self.strategy {
                Some(kind) if field.key == "strategy" => Fields::new().with("const", kind.name()),
                Some(_) | None => property(field, default.as_deref()),
            };
            fields.with(field.key, property)
        })
    }

    fn required(&self) -> Vec<&'static str> {
        let required = self.fields.iter().filter(|(field, _)| matches!(field.absent, Absent::Error));
        iter::once("op").chain(required.map(|(field, _)| field.key)).collect()
    }

    /// The same as a whole transaction.
    fn in_tx(&self) -> Fields {
        let refer = |key: &str| Fields::new().with("$ref", format!("#/definitions/{}/properties/{key}", self.name));
        let keys = iter::once("op").chain(self.fields.iter().map(|(field, _)| field.key));
        let own = keys.fold(Fields::new(), |fields, key| fields.with(key, refer(key)));
        closed(own.and(envelope()), self.required(), sequenced())
    }
}

/// What a transaction has besides its commands.
fn envelope() -> Fields {
    let signer = text(ADDRESS).with("description", "Who signs it; the first admin of the genesis if left out.");
    let sequence = number(u64::MAX).with("description", "Above every earlier sequence of the signer.");
    let valid_until = number(u32::MAX.into()).with("description", "The last height at which it is valid; 0: any.");
    Fields::new()
        .with("signer", signer)
        .with("sequence", sequence)
        .with("valid_until", valid_until)
        .with("repeat", repeat())
}

fn repeat() -> Fields {
    let most = u64::try_from(BLOCK_TXS_MAX).unwrap_or(u64::MAX);
    number(most).with("default", 1_u8).with("description", "How often the transaction stands in the block.")
}

/// `valid_until` stands only beside `sequence`.
fn sequenced() -> Fields {
    Fields::new().with("dependencies", Fields::new().with("valid_until", strings(["sequence"])))
}

/// An object whose `op` decides which definition it must meet; a deploy's strategy decides, too.
fn by_op(prefix: &str) -> Fields {
    let rules = variants().into_iter().map(|variant| {
        let is = |text: &str| Fields::new().with("const", text);
        let mut properties = Fields::new().with("op", is(variant.op.name()));
        let mut required = vec!["op"];
        if let Some(kind) = variant.strategy {
            properties = properties.with("strategy", is(kind.name()));
            required.push("strategy");
        }
        let when = Fields::new().with("properties", properties).with("required", strings(required));
        Value::from(Fields::new().with("if", when).with("then", reference(&format!("{prefix}{}", variant.name))))
    });
    let is_deploy = Fields::new().with("op", Fields::new().with("const", CommandKind::Deploy.name()));
    let strategies = strings(StrategyKind::ALL.iter().map(|kind| kind.name()));
    let has_strategy = Fields::new()
        .with("required", strings(["strategy"]))
        .with("properties", Fields::new().with("strategy", Fields::new().with("enum", strategies)));
    let deploy = Fields::new()
        .with("if", Fields::new().with("properties", is_deploy).with("required", strings(["op"])))
        .with("then", has_strategy);
    let op = Fields::new().with("enum", strings(super::names())).with("description", "What to do.");
    Fields::new()
        .with("type", "object")
        .with("required", strings(["op"]))
        .with("properties", Fields::new().with("op", op))
        .with("allOf", rules.chain([deploy.into()]).collect::<Vec<_>>())
}

fn transaction() -> Fields {
    let has = |key: &'static str| Fields::new().with("required", strings([key]));
    let raw = text(HEX).with("description", "The bytes of a transaction that JSON cannot express, in hex.");
    let raw = closed(Fields::new().with("raw", raw).with("repeat", repeat()), vec!["raw"], Fields::new());
    let commands = array(reference("command")).with("maxItems", 127_u8);
    let commands = commands.with("description", "The commands of one transaction, which takes effect as a whole.");
    let list = closed(Fields::new().with("commands", commands).and(envelope()), vec!["commands"], sequenced());
    let no_op = Fields::new().with("if", has("raw")).with("then", raw).with("else", list);
    Fields::new()
        .with("type", "object")
        .with("if", has("op"))
        .with("then", reference("op_transaction"))
        .with("else", no_op)
}

fn block() -> Fields {
    let properties = Fields::new()
        .with(
            "height",
            number(u32::MAX.into()).with("description", "Above that of the block before; a gap is empty blocks."),
        )
        .with("txs", array(reference("transaction")))
        .with("expect", reference("expect"));
    closed(properties, vec!["height"], Fields::new())
}

/// A document, or without blocks the first line of a stream.
fn document(blocks: Option<Fields>) -> Fields {
    let plain = || Fields::new().with("type", "string");
    let schema = plain().with("description", "Where an editor finds this schema; nothing else reads it.");
    let mut properties = Fields::new()
        .with("$schema", schema)
        .with("format", Fields::new().with("const", FORMAT))
        .with("name", plain())
        .with("description", plain())
        .with("genesis", genesis());
    let mut required = vec!["format", "genesis"];
    if let Some(blocks) = blocks {
        properties = properties.with("blocks", blocks);
        required.push("blocks");
    }
    closed(properties.with("expect", reference("final_expect")), required, Fields::new())
}

fn genesis() -> Fields {
    let rules = number(u16::MAX.into()).with("default", 1_u8).with("description", "The rule set of the first block.");
    let chain = text(CHAIN).with("description", "The id of the ledger, which decides which users are drawn.");
    let roles = array(Fields::new().with("enum", strings(role_names()))).with("minItems", 1_u8);
    let roles = keyed(ADDRESS, roles).with("minProperties", 1_u8);
    let roles =
        roles.with("description", "The roles of each address; one is an admin, and the first signs by default.");
    let defaults: Fields = RecordField::all(PARAMS_FIELDS, &Params::default());
    let params = table::command(CommandKind::SetParams).fields.iter().fold(Fields::new(), |fields, field| {
        let default = defaults.get(field.key).cloned().unwrap_or(Value::None);
        fields.with(field.key, property(field, None).with("default", default))
    });
    let properties = Fields::new()
        .with("rules", rules)
        .with("chain", chain)
        .with("roles", roles)
        .with("params", closed(params, Vec::new(), Fields::new()));
    closed(properties, vec!["roles"], Fields::new())
}

fn property(field: &Field, default: Option<&str>) -> Fields {
    let word = || Fields::new().with("type", "string").with("maxLength", u8::MAX);
    let fields = match field.kind {
        Kind::Word(_) => word(),
        Kind::Text => Fields::new().with("type", "string").with("maxLength", u16::MAX),
        Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => number(field.kind.max().unwrap_or(u64::MAX)),
        Kind::Bool => Fields::new().with("type", "boolean"),
        Kind::Hash => text(HASH),
        Kind::Bytes => text(HEX),
        Kind::Address => text(ADDRESS),
        Kind::Tag(tags) => Fields::new().with("enum", strings((tags.names)())),
        Kind::Words(_) => array(word()).with("maxItems", u8::MAX),
        Kind::Pairs(_) => {
            Fields::new().with("type", "object").with("maxProperties", u8::MAX).with("additionalProperties", word())
        }
        Kind::Policy => group(&Group::policy()),
        Kind::Stages => array(group(&Group::stage())).with("maxItems", u8::MAX),
        Kind::Commands => array(reference("command")).with("maxItems", u8::MAX),
        Kind::FeedItems => Fields::new()
            .with("type", "object")
            .with("maxProperties", u16::MAX)
            .with("additionalProperties", group(&Group::feed_item())),
    };
    let range = field.range().map_or_else(String::new, |range| format!("; {range}"));
    let fields = fields.with("description", format!("{}: {}{range}", field.kind.about(), field.about));
    match default {
        Some(default) => fields.with("default", serde_json::from_str::<Value>(default).unwrap_or(Value::None)),
        None => fields,
    }
}

fn group(group: &Group) -> Fields {
    let properties = group
        .fields
        .iter()
        .fold(Fields::new(), |fields, (field, default)| fields.with(field.key, property(field, default.as_deref())));
    let required = group.fields.iter().filter(|(field, _)| matches!(field.absent, Absent::Error));
    closed(properties, required.map(|(field, _)| field.key).collect(), Fields::new())
}

// Expectations.

/// The expectations of a block, or at the end of a file.
fn expect(is_final: bool) -> Fields {
    let first = if is_final {
        Fields::new().with("height", number(u32::MAX.into()))
    } else {
        let receipts = strings(iter::once("ok").chain(Reject::ALL.iter().map(|reject| reject.name())));
        let events = strings(EventCode::ALL.iter().map(|code| code.name()));
        Fields::new()
            .with("receipts", array(Fields::new().with("enum", receipts)))
            .with("events", array(Fields::new().with("enum", events)))
    };
    closed(first.and(state()), Vec::new(), Fields::new())
}

/// What can be expected of the state.
pub(super) fn state() -> Fields {
    let statuses = strings(Status::ALL.iter().map(|status| status.name()));
    let change = Fields::new()
        .with("height", number(u32::MAX.into()))
        .with("status", Fields::new().with("enum", statuses))
        .with("percent", number(100));
    let change = closed(change, vec!["height", "status", "percent"], Fields::new());
    let enabled = Fields::new()
        .with("name", text(NAME))
        .with("user", text(ADDRESS))
        .with("value", Fields::new().with("type", "boolean"));
    let enabled = closed(enabled, vec!["name", "user", "value"], Fields::new());
    let version = || or_null(Fields::new().with("type", "string"));
    let route = Fields::new().with("plugin", text(NAME)).with("unit", text(PREFIXED_HEX)).with("version", version());
    let route = closed(route, vec!["plugin", "unit", "version"], Fields::new());
    let statuses = strings(VersionStatus::ALL.iter().map(|status| status.name()));
    let versions = Fields::new()
        .with("type", "object")
        .with("additionalProperties", or_null(Fields::new().with("enum", statuses)));
    let plugin = closed(records(PLUGIN_FIELDS).with("versions", versions), Vec::new(), Fields::new());
    let item = Fields::new()
        .with("version", number(u64::MAX))
        .with("state", Fields::new().with("enum", strings(ItemState::NAMES)))
        .with("body", text(HEX));
    let items = Fields::new()
        .with("type", "object")
        .with("additionalProperties", or_null(closed(item, Vec::new(), Fields::new())));
    let feed = Fields::new().with("environments", items.clone()).with("filters", items);
    let roles = array(Fields::new().with("enum", strings(role_names())));
    let entry = records(ENTRY_FIELDS).with("commands", array(reference("command")));
    Fields::new()
        .with("root", text(HASH))
        .with("features", keyed(NAME, record(FEATURE_FIELDS)))
        .with("metrics", keyed(NAME, record(METRICS_FIELDS)))
        .with("history", keyed(NAME, array(change)))
        .with("enabled", array(enabled))
        .with("plugins", keyed(NAME, plugin))
        .with("routes", array(route))
        .with("feed", closed(feed, Vec::new(), Fields::new()))
        .with("breaker", or_null(record(BREAKER_FIELDS)))
        .with("roles", keyed(ADDRESS, roles))
        .with("overrides", keyed(NAME, keyed(ADDRESS, or_null(record(OVERRIDE_FIELDS)))))
        .with("schedule", array(closed(entry, Vec::new(), Fields::new())))
        .with("params", record(PARAMS_FIELDS))
        .with("registry", record(REGISTRY_FIELDS))
}

fn record<R>(table: &[RecordField<R>]) -> Fields {
    closed(records(table), Vec::new(), Fields::new())
}

fn records<R>(table: &[RecordField<R>]) -> Fields {
    table.iter().fold(Fields::new(), |fields, field| {
        let shape = match field.shape {
            Shape::Number(max) => number(max),
            Shape::Text | Shape::Version => Fields::new().with("type", "string"),
            Shape::Bool => Fields::new().with("type", "boolean"),
            Shape::Address => text(ADDRESS),
            Shape::Actor => any_of([text(ADDRESS), Fields::new().with("const", AUTOMATIC)]),
            Shape::OneOf(_, names) => Fields::new().with("enum", strings(names())),
        };
        fields.with(field.key, if field.is_nullable { or_null(shape) } else { shape })
    })
}

// Parts of any schema.

/// An object with these properties and no others, and with `more` to say about it.
fn closed(properties: Fields, required: Vec<&str>, more: Fields) -> Fields {
    let fields = Fields::new().with("type", "object").with("properties", properties);
    let fields = if required.is_empty() { fields } else { fields.with("required", strings(required)) };
    fields.with("additionalProperties", false).and(more)
}

/// An object with keys of this pattern.
fn keyed(pattern: &str, values: Fields) -> Fields {
    Fields::new()
        .with("type", "object")
        .with("propertyNames", Fields::new().with("pattern", pattern))
        .with("additionalProperties", values)
}

fn array(items: Fields) -> Fields {
    Fields::new().with("type", "array").with("items", items)
}

fn text(pattern: &str) -> Fields {
    Fields::new().with("type", "string").with("pattern", pattern)
}

fn number(max: u64) -> Fields {
    Fields::new().with("type", "integer").with("minimum", 0_u8).with("maximum", max)
}

fn or_null(schema: Fields) -> Fields {
    any_of([schema, Fields::new().with("type", "null")])
}

fn any_of(schemas: [Fields; 2]) -> Fields {
    Fields::new().with("anyOf", schemas.into_iter().map(Value::from).collect::<Vec<_>>())
}

fn reference(definition: &str) -> Fields {
    Fields::new().with("$ref", format!("#/definitions/{definition}"))
}

fn strings<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
    names.into_iter().map(Value::from).collect()
}
