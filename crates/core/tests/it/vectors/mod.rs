//! Every golden row of `fixtures/vectors` is what this build reads and writes.
//!
//! The rows come from a second writer of the format. Each is decoded, told as JSON and compared
//! with the fields of the row, then encoded and compared with its bytes. A type of row that is not
//! known here fails.

mod commands;
mod outcomes;
mod records;

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};

use coalmine_core::tree::{KeyChange as TreeChange, Tree};
use coalmine_core::{
    Address, Block, ChainId, Change, Command, Counts, Decode, DecodeError, Deployment, Encode, Event, Evidence, FORMAT,
    Feature, FeatureChanges, FeedBody, FeedEntry, FeedId, FeedItem, FeedKey, FeedTotals, Genesis, Global, Guardrails,
    Key, Manifest, Metrics, MetricsRecord, Name, OpenBreaker, Outcome, Override, Params, Payload, Plan, Plugin,
    PluginChange, PluginVersion, Policy, Pool, PoolEntry, Reader, Receipt, Registry, Reject, Roles, RollbackEvidence,
    Scheduled, Shortfall, Stage, State, Strategy, Transaction, TxCommand, bucket_first_byte, bucket_of_unit,
    bucket_sha256,
};
use serde_json::{Map, Value, json};

use crate::common::{FILES, Row, rows};

use commands::*;
use outcomes::*;
use records::*;

/// How many rows each file has at least: released rows never go away.
const ROWS: [(&str, usize); 6] =
    [("records", 241), ("commands", 295), ("events", 168), ("blocks", 85), ("roots", 17), ("buckets", 47)];

#[test]
fn every_row_of_every_file() {
    let directory = format!("{}/../../fixtures/vectors", env!("CARGO_MANIFEST_DIR"));
    let mut found: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json").map(String::from))
        .collect();
    found.sort();
    // Those of targeting keys are for coalmine-auth.
    let mut known = [&FILES[..], &["targeting"]].concat();
    known.sort_unstable();
    assert_eq!(found, known, "a file of vectors that nothing reads");
    for (file, least) in ROWS {
        let rows = rows(file);
        assert!(rows.len() >= least, "{file} has lost rows");
        rows.iter().for_each(check);
    }
    // A rule that no row breaks, or a state that no row has, would go unnoticed.
    for (file, id) in RULES_BROKEN.iter().map(|(id, _)| ("commands", *id)).chain(STATES.map(|id| ("roots", id))) {
        assert!(rows(file).iter().any(|row| row.id == format!("{file}/{id}")), "no row {id}");
    }
}

fn check(row: &Row) {
    let id = &row.id;
    match (id.split('/').next().unwrap(), row.kind.as_str()) {
        ("records", _) => check_record(row),
        ("commands", _) => check_command(row),
        ("events", kind) => {
            let event: Event = round_trip(row);
            assert_eq!(event.code().name(), kind, "{id}");
            assert_eq!(event_json(&event), row.fields, "{id}");
        }
        ("blocks", "transaction") => assert_eq!(transaction_json(&round_trip(row)), row.fields, "{id}"),
        ("blocks", "block") => assert_eq!(block_json(&round_trip(row)), row.fields, "{id}"),
        ("blocks", "genesis") => check_genesis(row),
        ("blocks", "receipt") => assert_eq!(receipt_json(&round_trip(row)), row.fields, "{id}"),
        ("blocks", "outcome") => check_outcome(row),
        ("roots", "root") => check_root(row),
        ("buckets", "bucket") => check_bucket(row),
        ("buckets", "route") => check_route(row),
        (_, kind) => panic!("{id}: unknown type {kind}"),
    }
}

fn round_trip<T: Decode + Encode>(row: &Row) -> T {
    let bytes = row.bytes();
    let value = T::from_bytes(&bytes).unwrap_or_else(|error| panic!("{}: {error}", row.id));
    assert_eq!(value.to_bytes(), bytes, "{}", row.id);
    value
}
