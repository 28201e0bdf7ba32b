//! FORMAT.md and the code say the same.
//!
//! The tables of the document are read here. Numbers, keys, commands, limits and defaults are
//! compared with the code both ways; the layouts split every golden vector, field by field, into
//! what its row says; the examples decode and encode to themselves; the text of roots and buckets
//! is carried out. Nothing of this knows a layout of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::num::NonZeroU64;

use coalmine_core::{
    ARM_REQUESTS_MAX, Address, Advance, BLOCK_SIZE_MAX, BLOCK_TXS_MAX, BUCKETS, Block, BreakerClosedBy, Bucketing,
    COMMAND_SIZE_MAX, CONFIG_SIZE_MAX, Cause, Change, Command, CommandKind, Constraint, Counts, DEPENDENTS_MAX, Decode,
    DecodeErrorKind, Deployment, Description, DueKind, Encode, Event, EventCode, Evidence, FEED_FORGET_IDS_MAX,
    FEED_LIVE_MAX, FEED_PUT_IDS_MAX, FEED_RECORDS_MAX, FORMAT, Feature, FeedBody, FeedId, FeedItem, FeedKind, FeedPart,
    FeedState, Gate, Genesis, GenesisError, Global, Hold, ItemState, Key, KeyPrefix, LOAD_DEPTH_MAX, LOAD_PLUGINS_MAX,
    LOADED_MAX, Lack, Lifetime, LoadState, METADATA_MAX, MaxVersions, Metrics, Name, OnComplete, Override,
    PREREQUISITE_DEPTH_MAX, PREREQUISITES_MAX, Params, Plan, Plugin, PluginAction, PluginChange, PluginReason,
    PluginVersion, Policy, REQUIREMENTS_MAX, RULES, Reader, Reason, Receipt, Registry, Reject, Role, Roles,
    RollbackRule, SCHEDULE_COMMANDS_MAX, STAGES_MAX, STATE_KEYS, Scheduled, Stage, Status, Strategy, StrategyKind,
    TX_COMMANDS_MAX, Terms, Transaction, TxCommand, ValueError, Version, VersionStatus, Writer, tree,
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

// Numbers, keys, commands, limits, defaults: both ways.

#[test]
fn numbers_are_those_of_the_code() {
    fn code<T: Copy>(
        all: &[T],
        number: impl Fn(T) -> u64,
        name: impl Fn(T) -> &'static str,
    ) -> BTreeMap<u64, &'static str> {
        let found: BTreeMap<_, _> = all.iter().map(|value| (number(*value), name(*value))).collect();
        assert_eq!(found.len(), all.len(), "a number twice in the code");
        found
    }
    let expected: BTreeMap<&str, BTreeMap<u64, &str>> = [
        ("status", code(Status::ALL, |v| v.tag().into(), Status::name)),
        ("reason", code(Reason::ALL, |v| v.tag().into(), Reason::name)),
        ("cause", code(Cause::ALL, |v| v.tag().into(), Cause::name)),
        ("bucketing", code(Bucketing::ALL, |v| v.tag().into(), Bucketing::name)),
        ("advance", code(Advance::ALL, |v| v.tag().into(), Advance::name)),
        ("lifetime", code(Lifetime::ALL, |v| v.tag().into(), Lifetime::name)),
        ("rule", code(RollbackRule::ALL, |v| v.tag().into(), RollbackRule::name)),
        ("closed_by", code(BreakerClosedBy::ALL, |v| v.tag().into(), BreakerClosedBy::name)),
        ("strategy", code(StrategyKind::ALL, |v| v.tag().into(), StrategyKind::name)),
        ("gate", code(Gate::ALL, |v| v.tag().into(), Gate::name)),
        ("on_complete", code(OnComplete::ALL, |v| v.tag().into(), OnComplete::name)),
        ("hold", code(Hold::ALL, |v| v.tag().into(), Hold::name)),
        ("shortfall", code(Lack::ALL, |v| v.tag().into(), Lack::name)),
        ("load_state", code(LoadState::ALL, |v| v.tag().into(), LoadState::name)),
        ("version_status", code(VersionStatus::ALL, |v| v.tag().into(), VersionStatus::name)),
        ("action", code(PluginAction::ALL, |v| v.tag().into(), PluginAction::name)),
        ("plugin_reason", code(PluginReason::ALL, |v| v.tag().into(), PluginReason::name)),
        ("role", code(&Role::ALL, |v| v.mask().into(), Role::name)),
        ("reject", code(Reject::ALL, |v| v.code().into(), Reject::name)),
        ("feed_kind", code(FeedKind::ALL, |v| v.tag().into(), FeedKind::name)),
        ("feed_part", code(FeedPart::ALL, |v| v.tag().into(), FeedPart::name)),
        ("item_state", (0..).zip(ItemState::NAMES).collect()),
        // The code has a bool.
        ("breaker", [(0, "closed"), (1, "open")].into()),
    ]
    .into();
    assert_eq!(document().numbers(), expected);
}

/// A name is read as what it is the name of, and nothing else is.
#[test]
fn names_of_numbers_are_read_back() {
    fn check<T: Copy + PartialEq + std::fmt::Debug>(
        all: &[T],
        name: fn(T) -> &'static str,
        read: fn(&str) -> Option<T>,
    ) {
        all.iter().for_each(|value| assert_eq!(read(name(*value)), Some(*value)));
        assert_eq!(read("nothing"), None);
    }
    check(Status::ALL, Status::name, Status::from_name);
    check(Reason::ALL, Reason::name, Reason::from_name);
    check(Cause::ALL, Cause::name, Cause::from_name);
    check(Hold::ALL, Hold::name, Hold::from_name);
    check(FeedKind::ALL, FeedKind::name, FeedKind::from_name);
    check(Reject::ALL, Reject::name, Reject::from_name);
}

#[test]
fn sizes_are_limited_as_the_text_says() {
    let kind = |bytes: &[u8]| TxCommand::from_bytes(bytes).unwrap_err().kind;
    let cut = [CommandKind::Schedule.tag(), 0, 0];
    let frame = nested(9, &[]).len();
    for (inside, expected) in [
        (vec![0; COMMAND_SIZE_MAX - frame], DecodeErrorKind::UnknownTag),
        (vec![0; COMMAND_SIZE_MAX - frame + 1], DecodeErrorKind::TooLarge),
        (cut.into(), DecodeErrorKind::Short),
    ] {
        assert_eq!(kind(&nested(9, &inside)), expected, "{} bytes", inside.len());
    }
    let describe = |len: usize| Command::create_feature("f".parse().unwrap(), &"d".repeat(len));
    assert!(describe(Description::LEN_MAX).is_ok());
    assert_eq!(describe(Description::LEN_MAX + 1), Err(ValueError::Description));
    let chain = |len: usize| Genesis::new(&"c".repeat(len), [(ADMIN, Role::Admin.into())]);
    assert!(chain(Name::LEN_MAX).is_ok());
    assert_eq!(chain(Name::LEN_MAX + 1), Err(GenesisError::Chain(ValueError::ChainId)));
}

#[test]
fn events_are_those_of_the_code() {
    let document = document();
    let told = two_columns(document.table(Some("event"), &["code", "event"]));
    let code: BTreeMap<u64, &str> = EventCode::ALL.iter().map(|event| (event.tag().into(), event.name())).collect();
    assert_eq!(told, code);
}

#[test]
fn commands_are_those_of_the_code() {
    let document = document();
    let table = document.table(Some("command"), &["tag", "command", "fields", "who", "scheduled"]);
    let told: Vec<(String, String, String, String)> =
        table.rows.iter().map(|row| (row[0].clone(), row[1].clone(), row[3].clone(), row[4].clone())).collect();
    let code: Vec<_> = CommandKind::ALL
        .iter()
        .map(|kind| {
            let who: Vec<&str> = kind.roles().iter().map(|role| role.name()).collect();
            let scheduled = if kind.is_schedulable() { "yes" } else { "no" };
            (kind.tag().to_string(), kind.name().to_owned(), who.join(", "), scheduled.to_owned())
        })
        .collect();
    assert_eq!(told, code);
}

#[test]
fn keys_are_those_of_the_code() {
    let document = document();
    let table = document.table(Some("Keys"), &["prefix", "record"]);
    let told: BTreeSet<String> = table.rows.iter().map(|row| row[0].clone()).collect();
    let code: BTreeSet<String> = KeyPrefix::ALL.iter().map(|prefix| format!("{:02X}", prefix.byte())).collect();
    assert_eq!(told, code);
    assert_eq!((STATE_KEYS.start, STATE_KEYS.end), (0xd0, 0xe0), "as the text says");
    let kinds: Vec<u8> = table
        .rows
        .iter()
        .filter(|row| row[0] == "D7")
        .map(|row| unhex(row[2].split(", ").next().unwrap().strip_prefix("kind =").unwrap())[0])
        .collect();
    assert_eq!(kinds, DueKind::ALL.map(DueKind::byte));
    for row in &table.rows {
        let example = unhex(&row[4]);
        let key = Key::from_bytes(&example).unwrap_or_else(|error| panic!("{}: {error}", row[4]));
        assert_eq!(key.to_bytes(), example);
        assert_eq!(format!("{:02X}", key.prefix().byte()), row[0]);
    }
}

#[test]
fn limits_and_defaults_are_those_of_the_code() {
    let document = document();
    let pairs = |column: &str| -> BTreeMap<String, u64> {
        let table = document.table(None, &[column, "value"]);
        let pairs: BTreeMap<_, _> = table.rows.iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
        assert_eq!(pairs.len(), table.rows.len(), "a {column} twice");
        pairs
    };
    let size = |size: usize| u64::try_from(size).unwrap();
    let expected = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    let limits = [
        ("FORMAT", FORMAT.into()),
        ("RULES", RULES.into()),
        ("NAME_LEN_MAX", size(Name::LEN_MAX)),
        ("DESCRIPTION_LEN_MAX", size(Description::LEN_MAX)),
        ("KEY_LEN_MAX", size(Key::LEN_MAX)),
        ("COMMAND_SIZE_MAX", size(COMMAND_SIZE_MAX)),
        ("TX_COMMANDS_MAX", size(TX_COMMANDS_MAX)),
        ("SCHEDULE_COMMANDS_MAX", size(SCHEDULE_COMMANDS_MAX)),
        ("BLOCK_TXS_MAX", size(BLOCK_TXS_MAX)),
        ("BLOCK_SIZE_MAX", size(BLOCK_SIZE_MAX)),
        // The width of the count.
        ("GENESIS_ADDRESSES_MAX", u16::MAX.into()),
        ("PREREQUISITES_MAX", size(PREREQUISITES_MAX)),
        ("PREREQUISITE_DEPTH_MAX", PREREQUISITE_DEPTH_MAX.into()),
        ("VERSION_LEN_MAX", size(Version::LEN_MAX)),
        ("CONSTRAINT_LEN_MAX", size(Constraint::LEN_MAX)),
        ("COMPARATORS_MAX", size(Constraint::COMPARATORS_MAX)),
        ("VERSIONS_MIN", MaxVersions::MIN.get().into()),
        ("VERSIONS_MAX", MaxVersions::MAX.get().into()),
        ("REQUIREMENTS_MAX", size(REQUIREMENTS_MAX)),
        ("METADATA_MAX", size(METADATA_MAX)),
        ("CONFIG_SIZE_MAX", size(CONFIG_SIZE_MAX)),
        ("STAGES_MAX", size(STAGES_MAX)),
        ("ARM_REQUESTS_MAX", ARM_REQUESTS_MAX),
        ("DEPENDENTS_MAX", size(DEPENDENTS_MAX)),
        ("LOADED_MAX", size(LOADED_MAX)),
        ("LOAD_PLUGINS_MAX", size(LOAD_PLUGINS_MAX)),
        ("LOAD_DEPTH_MAX", size(LOAD_DEPTH_MAX)),
        ("FEED_ID_LEN_MAX", size(FeedId::LEN_MAX)),
        ("FEED_BODY_LEN_MAX", size(FeedBody::LEN_MAX)),
        ("FEED_FORGET_IDS_MAX", size(FEED_FORGET_IDS_MAX)),
        ("FEED_PUT_IDS_MAX", FEED_PUT_IDS_MAX.into()),
        ("FEED_LIVE_MAX", FEED_LIVE_MAX.into()),
        ("FEED_RECORDS_MAX", FEED_RECORDS_MAX.into()),
        ("BUCKETS", BUCKETS.into()),
        ("DEPTH_MAX", tree::DEPTH_MAX.into()),
    ];
    assert_eq!(pairs("limit"), expected(&limits));

    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let feature = world.feature("f");
    let policy = Policy::default();
    let params = Params::default();
    let registry = Registry::default();
    assert_eq!(registry.host_version.to_string(), "0.0.0", "as the text says");
    assert!(policy.prerequisites.is_empty(), "as the table, which has no list");
    let defaults = [
        ("target_percent", feature.target_percent.get().into()),
        ("increment_percent", feature.increment_percent.get().into()),
        ("increment_blocks", feature.increment_blocks.into()),
        ("max_error_rate", feature.max_error_rate.into()),
        ("min_success_count", feature.min_success_count),
        ("bucketing", policy.bucketing.tag().into()),
        ("advance", policy.advance.tag().into()),
        ("salt", policy.salt),
        ("min_samples", policy.min_samples.into()),
        ("window_blocks", policy.window_blocks.map_or(0, NonZeroU32::get).into()),
        ("step_min_operations", policy.step_min_operations),
        ("max_invariant_failures", policy.max_invariant_failures),
        ("max_latency", policy.max_latency.map_or(0, NonZeroU64::get)),
        ("lifetime", policy.lifetime.tag().into()),
        ("expires_at", policy.expires_at.map_or(0, NonZeroU32::get).into()),
        ("max_due_per_block", params.max_due_per_block.into()),
        ("breaker_rollbacks", params.breaker_rollbacks.map_or(0, NonZeroU32::get).into()),
        ("breaker_window", params.breaker_window.into()),
        ("max_versions", registry.max_versions.get().into()),
        ("auto_load", registry.auto_load.into()),
    ];
    assert_eq!(pairs("default"), expected(&defaults));
}

/// The fields of a default deploy, read by the layouts from what the code writes.
#[test]
fn defaults_of_a_deploy_are_those_of_the_code() {
    let document = document();
    let layouts = Layouts::of(&document);
    let names: Vec<&str> = StrategyKind::ALL.iter().map(|kind| kind.name()).collect();
    let table = document.table(None, &[&["deploy"], names.as_slice()].concat());
    for (column, kind) in StrategyKind::ALL.iter().enumerate() {
        let strategy = Strategy::with_defaults(*kind);
        let terms = strategy.default_terms();
        let bytes = deploy_bytes("p", "1.0.0", &strategy, &terms);
        let Value::Object(read) = layouts.whole(&Type::Named("command".into()), &bytes, kind.name()) else { panic!() };
        let figure = |value: &Value| match value {
            Value::Bool(flag) => u64::from(*flag).to_string(),
            Value::Array(pair) => pair[0].to_string(),
            value => value.to_string(),
        };
        let told = table.rows.iter().map(|row| (row[0].clone(), row[column + 1].clone()));
        let told: BTreeMap<String, String> = told.filter(|(_, cell)| !cell.is_empty()).collect();
        let without = ["op", "plugin", "version", "strategy", "stages"];
        let code = read.iter().filter(|(field, _)| !without.contains(&field.as_str()));
        let code: BTreeMap<String, String> = code.map(|(field, value)| (field.clone(), figure(value))).collect();
        assert_eq!(told, code, "{}", kind.name());
    }
}

#[test]
fn ids_are_as_the_text_says() {
    let inside: Vec<u8> = (0..=u8::MAX).filter(|byte| FeedId::new(&[*byte]).is_ok()).collect();
    assert_eq!(inside, (b'!'..=b'~').collect::<Vec<u8>>());
    for (len, fits) in [(0, false), (1, true), (128, true), (129, false), (255, false)] {
        assert_eq!(FeedId::new(&vec![b'e'; len]).is_ok(), fits, "{len}");
    }
}

#[test]
fn names_are_as_the_text_says() {
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(byte);
    let inside: Vec<u8> = (0..=u8::MAX).filter(|byte| Name::new(&[b'a', *byte]).is_ok()).collect();
    assert_eq!(inside, (0..=u8::MAX).filter(alphabet).collect::<Vec<u8>>());
    let first: Vec<u8> = (0..=u8::MAX).filter(|byte| Name::new(&[*byte]).is_ok()).collect();
    assert_eq!(first, (0..=u8::MAX).filter(u8::is_ascii_alphanumeric).collect::<Vec<u8>>());
}

// Layouts: the tables as a reader of bytes.

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

/// Compares what a golden row says with what the layout has read.
fn same(layouts: &Layouts, row: &Value, read: &Value, what: &str) {
    match (row, read) {
        (Value::Object(row), Value::Object(read)) => {
            for (name, row) in row {
                let read = read.get(name).unwrap_or_else(|| panic!("{what}: the layout has no {name}"));
                same(layouts, row, read, &format!("{what}.{name}"));
            }
            for (name, read) in read {
                // What the row does not tell is absent, empty, zero or fixed.
                let fixed = ["version", "reserved", "domain"].contains(&name.as_str());
                let absent = read.is_null() || *read == 0 || *read == "" || *read == json!([]);
                assert!(row.contains_key(name) || absent || fixed, "{what}: no {name} in the row");
            }
        }
        // Items of the feed are an object by id in the rows, a list in the bytes.
        (Value::Object(row), Value::Array(read))
            if ["environments", "filters"].iter().any(|list| what.ends_with(list)) =>
        {
            assert_eq!(row.len(), read.len(), "{what}");
            for item in read {
                let id = item["id"].as_str().unwrap();
                let fields = json!({ "version": item["version"], "body": item["body"] });
                same(layouts, &row[id], &fields, &format!("{what}.{id}"));
            }
        }
        // So are requirements and metadata, by name.
        (Value::Object(row), Value::Array(read))
            if ["requirements", "metadata"].iter().any(|list| what.ends_with(list)) =>
        {
            let text = |pair: &Value, names: [&str; 2]| names.iter().find_map(|name| pair.get(name).cloned()).unwrap();
            let pair = |pair: &Value| {
                (text(pair, ["plugin", "key"]).as_str().unwrap().to_owned(), text(pair, ["constraint", "text"]))
            };
            assert_eq!(*row, read.iter().map(pair).collect::<Map<_, _>>(), "{what}");
        }
        // Roles are an object in the rows, a list in the bytes.
        (Value::Object(row), Value::Array(read)) => {
            let masks = layouts.numbers["role"].iter();
            let read: Map<String, Value> = read
                .iter()
                .map(|grant| {
                    let mask = grant["mask"].as_u64().unwrap();
                    let names = masks.clone().filter(|(bit, _)| mask & **bit != 0).map(|(_, name)| name.as_str());
                    (grant["address"].as_str().unwrap().to_owned(), names.collect::<Vec<_>>().into())
                })
                .collect();
            assert_eq!(*row, read, "{what}");
        }
        (Value::Array(row), Value::Array(read)) => {
            assert_eq!(row.len(), read.len(), "{what}");
            row.iter().zip(read).for_each(|(row, read)| same(layouts, row, read, what));
        }
        // A number of a table, which rows give by number or by name.
        (row, Value::Array(pair)) => assert!(pair.contains(row), "{what}: {row} is not {pair:?}"),
        // Bytes that mean nothing here are hex in the rows, whether they are text or not.
        (Value::String(row), Value::String(read))
            if [".body", ".config", ".unit"].iter().any(|field| what.ends_with(field)) =>
        {
            assert!(row == read || *row == hex::encode(read), "{what}: {row} is not {read}");
        }
        (row, read) => assert_eq!(row, read, "{what}"),
    }
}

#[test]
fn every_golden_vector_is_split_by_the_layouts() {
    let document = document();
    let layouts = Layouts::of(&document);
    for row in rows("records") {
        let (key, value) = (row.hex("key"), row.bytes());
        let of_prefix = layouts.keys.iter().filter(|(prefix, ..)| *prefix == key[0]);
        let mut read: Vec<(&str, Map<String, Value>)> = Vec::new();
        for (_, record, fields, of) in of_prefix {
            let mut rest = &key[1..];
            let Some(mut found) = layouts.read_fields(fields, &mut rest).filter(|_| rest.is_empty()) else { continue };
            // The rest of a key has one byte at least.
            if fields.iter().any(|(name, of)| matches!(of, Type::Rest) && found[name] == "") {
                continue;
            }
            if of == "empty" {
                assert!(value.is_empty(), "{}", row.id);
            } else {
                let Value::Object(inside) = layouts.whole(&Type::Named(of.clone()), &value, &row.id) else { panic!() };
                for (name, inside) in inside {
                    assert!(found.get(&name).is_none_or(|outside| *outside == inside), "{}: {name}", row.id);
                    found.insert(name, inside);
                }
            }
            read.push((record.as_str(), found));
        }
        let [(record, read)] = &read[..] else { panic!("{}: {} readings", row.id, read.len()) };
        // The released rows call the index of active features by another name.
        let kind = if row.kind == "index" { "active" } else { row.kind.as_str() };
        assert_eq!(*record, kind, "{}", row.id);
        same(&layouts, &row.fields, &read.clone().into(), &row.id);
    }
    let check = |row: &Row, of: &str| {
        let read = layouts.whole(&Type::Named(of.into()), &row.bytes(), &row.id);
        if of == "event" {
            assert_eq!(read["type"], row.kind.as_str(), "{}", row.id);
            same(&layouts, &row.fields, &read["fields"], &row.id);
        } else {
            same(&layouts, &row.fields, &read, &row.id);
        }
    };
    rows("commands").iter().for_each(|row| check(row, "command"));
    rows("events").iter().for_each(|row| check(row, "event"));
    rows("blocks").iter().for_each(|row| check(row, &row.kind));
    rows("buckets").iter().for_each(|row| check(row, &row.kind));
}

// Examples.

/// Reads bytes as the code does, and writes them again; none where the code has no such type.
fn by_the_code(of: &str, bytes: &[u8]) -> Option<Result<Vec<u8>, String>> {
    fn codec<T: Decode + Encode>(bytes: &[u8]) -> Result<Vec<u8>, String> {
        T::from_bytes(bytes).map(|value| value.to_bytes()).map_err(|error| error.to_string())
    }
    Some(match of {
        "feature" => codec::<Feature>(bytes),
        "metrics" => {
            let mut input = Reader::new(bytes);
            let decoded = Metrics::decode(&mut input).and_then(|decoded| input.finish().map(|()| decoded));
            decoded.map_err(|error| error.to_string()).map(|(name, metrics)| {
                let mut out = Writer::default();
                metrics.encode(&name, &mut out);
                out.into_bytes()
            })
        }
        "change" => codec::<Change>(bytes),
        "override" => codec::<Override>(bytes),
        "global" => codec::<Global>(bytes),
        "params" => codec::<Params>(bytes),
        "policy" => codec::<Policy>(bytes),
        "roles" => codec::<Roles>(bytes),
        "scheduled" => codec::<Scheduled>(bytes),
        "registry" => codec::<Registry>(bytes),
        "plugin" => codec::<Plugin>(bytes),
        "plugin_version" => codec::<PluginVersion>(bytes),
        "counts" => codec::<Counts>(bytes),
        "deployment" => codec::<Deployment>(bytes),
        "plan" => codec::<Plan>(bytes),
        "guardrails" => codec::<Terms>(bytes),
        "stage" => codec::<Stage>(bytes),
        "plugin_change" => codec::<PluginChange>(bytes),
        "feed" => codec::<FeedState>(bytes),
        "feed_item" => codec::<FeedItem>(bytes),
        "command" => TxCommand::from_bytes(bytes).map(|c| c.to_bytes()).map_err(|error| error.to_string()),
        "transaction" => codec::<Transaction>(bytes),
        "block" => codec::<Block>(bytes),
        "genesis" => codec::<Genesis>(bytes),
        "receipt" => codec::<Receipt>(bytes),
        "event" => codec::<Event>(bytes),
        "evidence" => codec::<Evidence>(bytes),
        // Parts of others, what is written only, and what is no value of the core.
        "settings" | "feed_entry" | "grant" | "manifest" | "requirement" | "metadatum" => return None,
        "outcome" | "blocks_file" | "frame" | "bucket" | "route" => return None,
        other => panic!("an example of {other}"),
    })
}

#[test]
fn every_example_decodes_and_encodes_to_itself() {
    let document = document();
    let layouts = Layouts::of(&document);
    let mut examples: Vec<(String, Vec<u8>)> = document.examples.clone();
    for table in document.tables.iter().filter(is_layout) {
        for row in &table.rows {
            layouts.whole(&layouts.parse(&row[1]), &unhex(&row[2]), &format!("{}.{}", table.heading, row[0]));
        }
        let whole: String = table.rows.iter().map(|row| row[2].as_str()).collect();
        examples.push((table.heading.clone(), unhex(&whole)));
    }
    for (of, bytes) in &examples {
        layouts.whole(&Type::Named(of.clone()), bytes, of);
        if let Some(again) = by_the_code(of, bytes) {
            assert_eq!(again.as_ref(), Ok(bytes), "the example of {of}");
        }
    }
    // Each layout, each kind of command's table, each kind of event's has one.
    let told: BTreeSet<&str> = examples.iter().map(|(of, _)| of.as_str()).collect();
    let known: BTreeSet<&str> = layouts.fields.keys().map(String::as_str).chain(["command", "event"]).collect();
    assert_eq!(told, known);
    let example = |of: &str| examples.iter().find(|(name, _)| name == of).unwrap().1.clone();
    // Settings are the end of a configure_feature; a grant is that of a genesis; a manifest is the end
    // of a version and has its parts; an outcome is written.
    let configure = [&[11, 1, b'f', 0], example("settings").as_slice()].concat();
    assert!(matches!(TxCommand::from_bytes(&configure), Ok(TxCommand::Valid(Command::ConfigureFeature { .. }))));
    let feed_put = [&[80, 0, 0, 1], example("feed_entry").as_slice(), &[0, 0]].concat();
    assert!(matches!(TxCommand::from_bytes(&feed_put), Ok(TxCommand::Valid(Command::FeedPut { .. }))));
    assert!(example("genesis").windows(21).any(|window| window == example("grant")));
    assert!(example("plugin_version").ends_with(&example("manifest")));
    for part in ["requirement", "metadatum"] {
        let part = example(part);
        assert!(example("manifest").windows(part.len()).any(|window| window == part));
    }
    let outcome = coalmine_core::Outcome { receipts: Vec::new(), events: vec![Event::BreakerDrained] };
    assert_eq!(outcome.to_bytes(), example("outcome"));
}

/// The reflected polynomial of CRC-32C.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0x82f6_3b78 };
        }
    }
    !crc
}

#[test]
fn the_block_file_holds_a_genesis_and_blocks() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
    let document = document();
    let layouts = Layouts::of(&document);
    let cells: Vec<Vec<u8>> =
        document.table(Some("blocks_file"), &["field"]).rows.iter().map(|row| unhex(&row[2])).collect();
    let [magic, frames @ ..] = cells.as_slice() else { panic!() };
    assert_eq!(magic, &layouts.texts["magic"]);
    let alone = document.table(Some("frame"), &["field"]).rows.iter().map(|row| row[2].as_str()).collect::<String>();
    assert_eq!(frames.last(), Some(&unhex(&alone)));
    let mut inside = frames.iter().map(|frame| {
        let bytes = &frame[4..frame.len() - 4];
        assert_eq!(frame[..4], u32::try_from(bytes.len()).unwrap().to_be_bytes());
        assert_eq!(frame[frame.len() - 4..], crc32c(bytes).to_be_bytes());
        bytes
    });
    assert!(Genesis::from_bytes(inside.next().unwrap()).is_ok());
    assert!(inside.all(|bytes| Block::from_bytes(bytes).is_ok()));
}

// Roots and buckets, as the text says.

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// The root of leaves, each with its path, below a depth.
fn root_of(texts: &BTreeMap<String, Vec<u8>>, leaves: &[([u8; 32], [u8; 32])], depth: usize) -> [u8; 32] {
    match leaves {
        [] => texts["empty"].as_slice().try_into().unwrap(),
        [(_, leaf)] => *leaf,
        leaves => {
            let is_right = |path: &[u8; 32]| path[depth / 8] << (depth % 8) & 0x80 != 0;
            let side = |right| leaves.iter().filter(|(path, _)| is_right(path) == right).copied().collect::<Vec<_>>();
            let (left, right) = (root_of(texts, &side(false), depth + 1), root_of(texts, &side(true), depth + 1));
            sha256(&[&texts["inner"], &left, &right])
        }
    }
}

#[test]
fn roots_are_as_the_text_says() {
    let document = document();
    let texts = Layouts::of(&document).texts;
    assert_eq!(texts["empty"], tree::EMPTY_ROOT);
    let leaf = |key: &[u8], value: &[u8]| {
        let path = sha256(&[key]);
        (path, sha256(&[&texts["leaf"], &path, &sha256(&[value])]))
    };
    for row in rows("roots") {
        let pairs = row.fields["pairs"].as_array().unwrap();
        let leaves: Vec<_> = pairs
            .iter()
            .map(|pair| leaf(&unhex(pair[0].as_str().unwrap()), &unhex(pair[1].as_str().unwrap())))
            .collect();
        assert_eq!(root_of(&texts, &leaves, 0).as_slice(), row.hex("root"), "{}", row.id);
    }
    // The worked example.
    let (one, two) = (leaf(&[0xd0, b'a'], b"one"), leaf(&[0xd0, b'b'], b"two"));
    let expected = [
        ("path of d061", one.0),
        ("leaf of d061", one.1),
        ("path of d062", two.0),
        ("leaf of d062", two.1),
        ("root", root_of(&texts, &[one, two], 0)),
    ];
    let told = &document.table(Some("State root"), &["what", "hash"]).rows;
    let told: Vec<(&str, Vec<u8>)> = told.iter().map(|row| (row[0].as_str(), unhex(&row[1]))).collect();
    assert_eq!(told, expected.map(|(what, hash)| (what, hash.to_vec())));
    let tree = tree::Tree::from_entries([([0xd0, b'a'], b"one"), ([0xd0, b'b'], b"two")]).unwrap();
    assert_eq!(tree.root(), expected[4].1);
}

#[test]
fn buckets_are_as_the_text_says() {
    for row in rows("buckets") {
        let hash = sha256(&[&row.bytes()]);
        let first = u128::from(u64::from_be_bytes(*hash.first_chunk().unwrap()));
        let number = if row.kind == "route" { "bucket" } else { "sha256" };
        assert_eq!((first * u128::from(BUCKETS)) >> 64, u128::from(row.number(number)), "{}", row.id);
        if row.kind == "route" {
            continue;
        }
        let user: Address = row.fields["user"].as_str().unwrap().parse().unwrap();
        assert_eq!(u64::from(user.0[0]) % 100 * 100, row.number("first_byte"), "{}", row.id);
    }
}
