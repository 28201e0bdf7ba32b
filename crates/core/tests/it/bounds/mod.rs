//! What a state weighs, and what an idle one costs.
//!
//! The size: spammers give every command there is, as large as it can be, and after each block every
//! kind of record stays under its row of the chapter on size in FORMAT.md. The same spam with one
//! leaked record in a block must be caught.
//!
//! The cost: an empty block over a state full of what waits for nothing takes less than twice the
//! instructions that it takes over a nearly empty one. `valgrind` counts them; without it the test
//! says that it is skipped. A block that looks at every feature must be caught.
//!
//! The long forms are 100 000 blocks, and a million features:
//! `COALMINE_BOUNDS_BLOCKS=100000 cargo test --release -p coalmine-core --test it bounds::size`
//! `COALMINE_BOUNDS_IDLE=1000000 cargo test --release -p coalmine-core --test it bounds::idle`
//! `COALMINE_BOUNDS_SEED` starts the spam from another seed.

mod idle;
mod size;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::process::Command as Process;
use std::sync::Arc;

use coalmine_core::{
    Address, Advance, Block, Bps, COMMAND_SIZE_MAX, ChainId, Command, CommandKind, Constraint, DEPLOYMENTS_MAX, Decode,
    Description, Encode, Event, FEED_FORGET_IDS_MAX, FEED_LIVE_MAX, FEED_RECORDS_MAX, Feature, FeatureChanges,
    FeedBody, FeedEntry, FeedId, FeedKey, FeedKind, FeedPart, FeedTotals, Genesis, Global, Guardrails, Hash, Height,
    Key, LOADED_MAX, Manifest, MaxVersions, MetricsRecord, Name, PREREQUISITES_MAX, Params, ParamsChanges, Payload,
    Policy, Pool, REQUIREMENTS_MAX, Reason, Receipt, Requirement, Role, SCHEDULED_MAX, STAGES_MAX, State, Status,
    Valid, Version, VersionReport,
};

use crate::common::document::{Document, document};
use crate::common::plugins::*;
use crate::common::*;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

// Formulas.

/// A sum: each term is added or not, and is the product of its words.
type Sum = Vec<(bool, Vec<String>)>;

fn sum(text: &str) -> Sum {
    let mut terms: Sum = Vec::new();
    for part in text.split(" + ").filter(|part| !part.is_empty()) {
        for (index, term) in part.split(" - ").enumerate() {
            terms.push((index == 0, term.split(" × ").map(str::to_owned).collect()));
        }
    }
    terms
}

/// The chapter on size.
struct Formula {
    limits: BTreeMap<String, i64>,
    /// Bytes of a record and how many there can be, in the order of the table.
    records: Vec<(String, (i64, Sum))>,
    /// What a command adds at most.
    commands: BTreeMap<String, Sum>,
}

impl Formula {
    fn of(document: &Document) -> Self {
        let table = |columns: &[&str]| document.table(None, columns).rows.iter();
        let limits = table(&["limit", "value"]).map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
        let record = |row: &Vec<String>| (row[0].clone(), (row[1].parse().unwrap(), sum(&row[2])));
        let records = table(&["record of a state", "bytes", "at most so many"]).map(record).collect();
        let commands = table(&["command of a growing state", "adds at most"]);
        let commands = commands.map(|row| (row[0].clone(), sum(&row[1]))).collect();
        Self { limits, records, commands }
    }

    fn evaluate(&self, sum: &Sum, word: &impl Fn(&str) -> Option<i64>) -> i64 {
        let number = |text: &String| {
            let known = text.parse().ok().or_else(|| self.limits.get(text).copied());
            known.or_else(|| word(text)).unwrap_or_else(|| panic!("FORMAT.md: what is {text}?"))
        };
        let term = |(is_added, words): &(bool, Vec<String>)| {
            let product = words.iter().map(number).product::<i64>();
            if *is_added { product } else { -product }
        };
        sum.iter().map(term).sum()
    }

    /// How many records of each kind there can be after what was told.
    fn counts(&self, told: &BTreeMap<&'static str, i64>) -> BTreeMap<&str, i64> {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for (record, (_, sum)) in &self.records {
            let count = self.evaluate(sum, &|word| told.get(word).or_else(|| counts.get(word)).copied());
            counts.insert(record, count);
        }
        counts
    }

    /// How many records of a kind a command adds at most.
    fn adds(&self, command: CommandKind, record: &str) -> i64 {
        let is_record = |word: &str| self.records.iter().any(|(name, _)| name == word);
        self.evaluate(&self.commands[command.name()], &|word| is_record(word).then_some(i64::from(word == record)))
    }
}

/// The row of a record in the table.
fn row_of(key: &[u8]) -> &'static str {
    match Key::from_bytes(key).unwrap() {
        Key::Global => "global",
        Key::Roles(_) => "roles",
        Key::Feature(_) => "feature",
        Key::Metrics(_) => "metrics",
        Key::Policy(_) => "policy",
        Key::Active(_) => "active",
        Key::Change { .. } => "change",
        Key::Override { .. } => "override",
        Key::Schedule { .. } => "due 0",
        Key::Step { .. } => "due 1",
        Key::DeploymentDue { .. } => "due 2",
        Key::LoadDue { .. } => "due 3",
        Key::Round { .. } => "due 4",
        Key::Deadline { .. } => "due 5",
        Key::Registry => "registry",
        Key::Plugin(_) => "plugin",
        Key::PluginVersion { .. } => "plugin_version",
        Key::Deployment(_) => "deployment",
        Key::PluginChange { .. } => "plugin_change",
        Key::Dependent { .. } => "dependent",
        Key::Feed => "feed",
        Key::FeedItem(_) => "feed_item",
        Key::FeedIndex(_) => "feed_index",
        Key::FeedListed(_) => "feed_listed",
        Key::Sequence(_) => "sequence",
        Key::PoolEntry { .. } => "pool_entry",
    }
}

/// What the records of one row are.
#[derive(Debug, Clone, Copy, Default)]
struct Mass {
    count: i64,
    bytes: i64,
    /// The largest record there ever was.
    largest: i64,
}

/// The sizes of the records of a state, and what was told while it grew.
#[derive(Default)]
struct Scales {
    records: BTreeMap<Vec<u8>, i64>,
    masses: BTreeMap<&'static str, Mass>,
    told: BTreeMap<&'static str, i64>,
}

impl Scales {
    /// Weighs what is written; gives how many records of each row are new.
    fn write<'w>(
        &mut self,
        writes: impl IntoIterator<Item = (&'w [u8], Option<&'w [u8]>)>,
    ) -> BTreeMap<&'static str, i64> {
        let mut new = BTreeMap::new();
        for (key, value) in writes {
            let row = row_of(key);
            let before = self.records.remove(key);
            let mass = self.masses.entry(row).or_default();
            mass.count -= i64::from(before.is_some());
            mass.bytes -= before.unwrap_or_default();
            if let Some(value) = value {
                let size = i64::try_from(key.len() + value.len()).unwrap();
                mass.count += 1;
                mass.bytes += size;
                mass.largest = mass.largest.max(size);
                *new.entry(row).or_default() += i64::from(before.is_none());
                self.records.insert(key.into(), size);
            }
        }
        new
    }

    fn tell(&mut self, events: &[Event]) {
        for event in events {
            *self.told.entry(event.code().name()).or_default() += 1;
        }
    }

    /// The rows of the table that do not hold.
    fn faults(&self, formula: &Formula) -> Vec<String> {
        let counts = formula.counts(&self.told);
        let mut faults = Vec::new();
        for (record, (bytes, _)) in &formula.records {
            let Mass { count, largest, .. } = self.masses.get(record.as_str()).copied().unwrap_or_default();
            if count > counts[record.as_str()] {
                faults.push(format!("{count} records of {record} are more than {}", counts[record.as_str()]));
            }
            if largest > *bytes {
                faults.push(format!("a record of {record} has {largest} bytes, more than {bytes}"));
            }
        }
        faults
    }
}

/// A constraint as long as constraints can be.
fn any() -> Constraint {
    constraint(&format!(">={:>width$}", "1.0.0-0", width = Constraint::LEN_MAX - ">=".len()))
}

fn long_address(number: u64) -> Address {
    let mut address = Address([0xaa; 20]);
    address.0[..8].copy_from_slice(&number.to_be_bytes());
    address
}
