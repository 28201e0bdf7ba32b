//! FORMAT.md and the code say the same.
//!
//! The tables of the document are read here. Numbers, keys, commands, limits and defaults are
//! compared with the code both ways; the layouts split every golden vector, field by field, into
//! what its row says; the examples decode and encode to themselves; the text of roots and buckets
//! is carried out. Nothing of this knows a layout of its own.

mod examples;
mod layouts;
mod numbers;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::num::NonZeroU64;

use coalmine_core::{
    ARM_REQUESTS_MAX, Address, Advance, BLOCK_SIZE_MAX, BLOCK_TXS_MAX, BLOCK_WORK_MAX, BUCKETS, Block, BreakerClosedBy,
    Bucketing, COMMAND_SIZE_MAX, CONFIG_SIZE_MAX, Cause, Change, Command, CommandKind, Constraint, Counts,
    DEPENDENTS_MAX, DEPLOYMENTS_MAX, Decode, DecodeErrorKind, Deployment, Description, DueKind, Encode, Event,
    EventCode, Evidence, FEED_FORGET_IDS_MAX, FEED_LIVE_MAX, FEED_LIVE_OPEN_MAX, FEED_PUT_IDS_MAX, FEED_RECORDS_MAX,
    FEED_UNBORN_MAX, FORMAT, Feature, FeedBody, FeedId, FeedItem, FeedKind, FeedPart, FeedTotals, Gate, Genesis,
    GenesisError, Global, Guardrails, Hold, ItemState, Key, KeyPrefix, LOAD_DEPTH_MAX, LOAD_PLUGINS_MAX, LOADED_MAX,
    Lifetime, LoadState, METADATA_MAX, MaxVersions, MetricsRecord, Name, OnComplete, Override, PREREQUISITE_DEPTH_MAX,
    PREREQUISITES_BELOW_MAX, PREREQUISITES_MAX, Params, Plan, Plugin, PluginAction, PluginChange, PluginReason,
    PluginVersion, Policy, Pool, PoolEntry, PoolKind, REQUIREMENTS_MAX, RULES_NOTICE, Reader, Reason, Receipt,
    Registry, Reject, Role, Roles, RollbackEvidence, RollbackRule, SCHEDULE_COMMANDS_MAX, SCHEDULED_MAX,
    SCHEDULED_RESERVED, STAGES_MAX, STATE_KEYS, Scheduled, Shortfall, Stage, Status, Strategy, StrategyKind,
    TX_COMMANDS_MAX, Transaction, TxCommand, ValueError, Version, VersionStatus, tree,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::common::document::{Document, Table, document, unhex};
use crate::common::{ADMIN, Row, World, create, nested, rows};
use coalmine_model::support::plugins::deploy_bytes;

impl Document {
    /// The tables of numbers, by name.
    fn numbers(&self) -> BTreeMap<&str, BTreeMap<u64, &str>> {
        let tables = self.tables.iter().filter(|table| table.columns.starts_with(&["number".into(), "name".into()]));
        tables.map(|table| (table.heading.as_str(), two_columns(table))).collect()
    }
}

/// Number and name of each row; neither comes twice.
fn two_columns(table: &Table) -> BTreeMap<u64, &str> {
    let mut found = BTreeMap::new();
    for row in &table.rows {
        let number = row[0].parse().unwrap_or_else(|_| panic!("{}: {} is no number", table.heading, row[0]));
        assert_eq!(found.insert(number, row[1].as_str()), None, "{}: {number} twice", table.heading);
    }
    let names: BTreeSet<&&str> = found.values().collect();
    assert_eq!(names.len(), found.len(), "{}: a name twice", table.heading);
    found
}

/// A type, as the notation of the document has it.
#[derive(Debug, Clone)]
enum Type {
    Unsigned(usize),
    Bool,
    Address,
    Hash,
    Rest,
    Constant(u8),
    Optional(Box<Type>),
    List(usize, Box<Type>),
    Bytes(usize),
    Framed(usize, Box<Type>),
    /// A table of numbers, one byte.
    Number(String),
    /// The same, and the fields of its row.
    Tagged(String),
    /// A list behind a count that may announce a sequence.
    Sequenced(Box<Type>),
    /// A value that is there if another field has one of these numbers.
    If(String, Vec<u64>, Box<Type>),
    /// A layout, a text of the root's table, `command`, `event`.
    Named(String),
}

/// The fields of a layout, in order; one without a name stands for the fields of its layout.
type Fields = Vec<(String, Type)>;

/// Everything that the document says about how bytes are put together.
struct Layouts {
    numbers: BTreeMap<String, BTreeMap<u64, String>>,
    fields: BTreeMap<String, Fields>,
    /// Name and fields by tag, of commands, events and strategies.
    tagged: BTreeMap<&'static str, BTreeMap<u8, (String, Fields)>>,
    texts: BTreeMap<String, Vec<u8>>,
    /// Prefix, type of record, fields of the key, layout of the value.
    keys: Vec<(u8, String, Fields, String)>,
}

fn is_layout(table: &&Table) -> bool {
    table.columns == ["field", "type", "example", "meaning"]
}

impl Layouts {
    fn of(document: &Document) -> Self {
        let numbers = document.numbers();
        let numbers: BTreeMap<String, BTreeMap<u64, String>> = numbers
            .into_iter()
            .map(|(name, table)| (name.to_owned(), table.into_iter().map(|(n, v)| (n, v.to_owned())).collect()))
            .collect();
        let mut layouts = Self {
            numbers,
            fields: BTreeMap::new(),
            tagged: BTreeMap::new(),
            texts: BTreeMap::new(),
            keys: Vec::new(),
        };
        for row in &document.table(Some("State root"), &["text", "bytes"]).rows {
            layouts.texts.insert(row[0].clone(), row[1].clone().into_bytes());
        }
        for table in document.tables.iter().filter(is_layout) {
            let fields = table.rows.iter().map(|row| (row[0].clone(), layouts.parse(&row[1]))).collect();
            assert!(layouts.fields.insert(table.heading.clone(), fields).is_none(), "{} twice", table.heading);
        }
        for (kind, columns) in [
            ("command", ["tag", "command", "fields"]),
            ("event", ["code", "event", "fields"]),
            ("strategy", ["number", "name", "fields"]),
            ("pool_kind", ["number", "name", "fields"]),
        ] {
            let table = document.table(Some(kind), &columns);
            let rows = table.rows.iter().map(|row| (row[0].parse().unwrap(), (row[1].clone(), layouts.list(&row[2]))));
            let rows = rows.collect();
            layouts.tagged.insert(kind, rows);
        }
        for row in &document.table(Some("Keys"), &["prefix", "record"]).rows {
            let fields = layouts.list(&row[2]);
            layouts.keys.push((unhex(&row[0])[0], row[1].clone(), fields, row[3].clone()));
        }
        layouts
    }

    /// `name type, name type, layout`.
    fn list(&self, text: &str) -> Fields {
        let field = |text: &str| match text.split_once(' ') {
            Some(("tag", table)) => (table.to_owned(), Type::Tagged(table.to_owned())),
            Some((name, of)) => (name.to_owned(), self.parse(of)),
            None => (String::new(), self.parse(text)),
        };
        text.split(", ").filter(|text| !text.is_empty()).map(field).collect()
    }

    fn parse(&self, text: &str) -> Type {
        let (word, rest) = text.split_once(' ').map_or((text, None), |(word, rest)| (word, Some(rest)));
        let width = |word: &str, prefix: &str| match word.strip_prefix(prefix)? {
            "8" => Some(1),
            "16" => Some(2),
            "32" => Some(4),
            "64" => Some(8),
            _ => None,
        };
        match (word, rest) {
            ("bool", None) => Type::Bool,
            ("address", None) => Type::Address,
            ("hash", None) => Type::Hash,
            ("rest", None) => Type::Rest,
            ("tag", Some(table)) => Type::Tagged(table.to_owned()),
            ("opt", Some(rest)) => Type::Optional(self.parse(rest).into()),
            ("seq8", Some(rest)) => Type::Sequenced(self.parse(rest).into()),
            ("if", Some(rest)) => {
                let [field, numbers, of] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                    panic!("no type: {text}")
                };
                let numbers = numbers.split(',').map(|number| number.parse().unwrap()).collect();
                Type::If(field.to_owned(), numbers, self.parse(of).into())
            }
            (word, Some(rest)) if width(word, "n").is_some() => {
                Type::List(width(word, "n").unwrap(), self.parse(rest).into())
            }
            (word, Some(rest)) => {
                let width = width(word, "lp").unwrap_or_else(|| panic!("no type: {text}"));
                Type::Framed(width, self.parse(rest).into())
            }
            (word, None) => match (width(word, "u"), width(word, "lp"), word.strip_prefix('=')) {
                (Some(width), _, _) => Type::Unsigned(width),
                (_, Some(width), _) => Type::Bytes(width),
                (_, _, Some(byte)) => Type::Constant(unhex(byte)[0]),
                (None, None, None) if self.numbers.contains_key(word) => Type::Number(word.to_owned()),
                (None, None, None) => Type::Named(word.to_owned()),
            },
        }
    }

    /// Reads a value of a type from the front of the bytes. Numbers of a table become a pair of
    /// number and name, what is absent null, layouts objects; `None` where the bytes are no such value.
    fn read(&self, of: &Type, bytes: &mut &[u8]) -> Option<Value> {
        Some(match of {
            Type::Unsigned(width) => json!(unsigned(*width, bytes)?),
            Type::Bool => match unsigned(1, bytes)? {
                0 => json!(false),
                1 => json!(true),
                _ => return None,
            },
            Type::Address => json!(format!("0x{}", hex::encode(take(20, bytes)?))),
            Type::Hash => json!(hex::encode(take(32, bytes)?)),
            Type::Rest => text(take(bytes.len(), bytes)?),
            Type::Constant(byte) => json!(unsigned(1, bytes).filter(|found| *found == u64::from(*byte))?),
            Type::Optional(of) => match unsigned(1, bytes)? {
                0 => Value::Null,
                1 => self.read(of, bytes)?,
                _ => return None,
            },
            Type::List(width, of) => {
                let count = unsigned(*width, bytes)?;
                (0..count).map(|_| self.read(of, bytes)).collect::<Option<Vec<Value>>>()?.into()
            }
            Type::Bytes(width) => {
                let len = usize::try_from(unsigned(*width, bytes)?).unwrap();
                text(take(len, bytes)?)
            }
            Type::Framed(width, of) => {
                let len = usize::try_from(unsigned(*width, bytes)?).unwrap();
                let framed = take(len, bytes)?;
                let mut inside = framed;
                let found = self.read(of, &mut inside).filter(|_| inside.is_empty());
                match (found, &**of) {
                    // A transaction that does not decode stays in its place.
                    (None, Type::Named(name)) if name == "transaction" => json!({ "malformed": hex::encode(framed) }),
                    (found, _) => found?,
                }
            }
            Type::Sequenced(of) => {
                let counted = unsigned(1, bytes)?;
                let mut found = Map::new();
                if counted >= 0x80 {
                    found.insert("sequence".into(), unsigned(8, bytes)?.into());
                    found.insert("valid_until".into(), unsigned(4, bytes)?.into());
                }
                let commands = (0..counted & 0x7f).map(|_| self.read(of, bytes)).collect::<Option<Vec<Value>>>()?;
                found.insert("commands".into(), commands.into());
                found.into()
            }
            // Alone, as in an example, it is there.
            Type::If(_, _, of) => self.read(of, bytes)?,
            Type::Number(table) => {
                let number = unsigned(1, bytes)?;
                json!([number, self.numbers[table].get(&number)?])
            }
            Type::Tagged(table) => {
                let number = unsigned(1, bytes)?;
                let (word, fields) = self.tagged[table.as_str()].get(&u8::try_from(number).unwrap())?;
                let mut found = self.read_fields(fields, bytes)?;
                found.insert(table.clone(), json!([number, word]));
                found.into()
            }
            Type::Named(name) => self.read_named(name, bytes)?,
        })
    }

    fn read_named(&self, name: &str, bytes: &mut &[u8]) -> Option<Value> {
        if let Some(tagged) = self.tagged.get(name) {
            let (word, fields) = tagged.get(&u8::try_from(unsigned(1, bytes)?).unwrap())?;
            let mut found = self.read_fields(fields, bytes)?;
            if name == "command" {
                found.insert("op".into(), word.as_str().into());
                return Some(found.into());
            }
            return Some(json!({ "type": word, "fields": found }));
        }
        match name {
            "magic" => self.read_text("magic", bytes),
            "dump_magic" => self.read_text("dump", bytes),
            "domain" => self.read_text("bucket", bytes),
            "route_domain" => self.read_text("route", bytes),
            _ => {
                let fields = self.fields.get(name).unwrap_or_else(|| panic!("no layout {name}"));
                Some(self.read_fields(fields, bytes)?.into())
            }
        }
    }

    fn read_text(&self, name: &str, bytes: &mut &[u8]) -> Option<Value> {
        let expected = &self.texts[name];
        (take(expected.len(), bytes)? == expected.as_slice()).then(|| text(expected))
    }

    fn read_fields(&self, fields: &[(String, Type)], bytes: &mut &[u8]) -> Option<Map<String, Value>> {
        let mut found = Map::new();
        for (name, of) in fields {
            let of = match of {
                Type::If(field, numbers, of) => {
                    // A number of a table, and its name.
                    let is_there = found[field][0].as_u64().is_some_and(|number| numbers.contains(&number));
                    if !is_there {
                        continue;
                    }
                    of
                }
                of => of,
            };
            match self.read(of, bytes)? {
                Value::Object(inside) if name.is_empty() || matches!(of, Type::Tagged(_)) => found.extend(inside),
                value => {
                    found.insert(name.clone(), value);
                }
            }
        }
        Some(found)
    }

    /// Reads a whole value.
    fn whole(&self, of: &Type, bytes: &[u8], what: &str) -> Value {
        let mut rest = bytes;
        let found = self.read(of, &mut rest).unwrap_or_else(|| panic!("{what} is no {of:?}: {}", hex::encode(bytes)));
        assert!(rest.is_empty(), "{what}: {} bytes left over by {of:?}", rest.len());
        found
    }
}

fn take<'a>(len: usize, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(len)?;
    *bytes = tail;
    Some(head)
}

fn unsigned(width: usize, bytes: &mut &[u8]) -> Option<u64> {
    Some(take(width, bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// Bytes as text, or as hex when they are none.
fn text(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| hex::encode(bytes), str::to_owned).into()
}
