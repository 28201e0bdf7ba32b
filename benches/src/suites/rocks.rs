//! RocksDB: what a commit costs beside a bare synced batch, and blocks of mixed traffic.
//!
//! Sketch: a commit is one batch of all records and the tip, and one fsync of the log. The baseline
//! is a batch of the same keys and values in a plain database, synced. The wall clock is what counts
//! here, and the disk moves it: compare only what the same run has measured side by side.

use coalmine_core::{Hash, Height};
use coalmine_model::support::Random;
use coalmine_store::{Durability, RocksStore};
use coalmine_store::{Store, Tip};
use rocksdb::{DB, Options, WriteBatch, WriteOptions};
use tempfile::TempDir;

use super::block::{BLOCK_SIZES, FEATURES, blocks_at_once, commit_to, filled_ledger};
use crate::case::{Case, Ratio, Suite, feed};
use crate::clock::Clock;
use crate::workload::Traffic;

const RECORDS: u64 = 1_000;
const VALUE_SIZE: usize = 150;
const WRITE_BUFFER: usize = 16 << 20;

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn records(random: &mut Random) -> Records {
    let record = |_| {
        let key = [&[0xd0], format!("feature_{:07}", random.below(10 * RECORDS)).as_bytes()].concat();
        (key, random.bytes(VALUE_SIZE))
    };
    (0..RECORDS).map(record).collect()
}

pub(super) fn commits() -> Suite {
    let cases = [("synced", Durability::Synced), ("not synced", Durability::Unsynced)].into_iter().flat_map(
        |(text, durability)| {
            let synced = matches!(durability, Durability::Synced);
            [
                Case::new(format!("commit of 1 000 records, {text}"), Clock::Wall, 1, move || {
                    let folder = TempDir::new().unwrap();
                    let mut store = RocksStore::create(folder.path().join("db"), durability).unwrap();
                    let mut random = Random(5);
                    let mut tip: Option<Tip> = None;
                    feed(
                        Clock::Wall,
                        32,
                        move |_| records(&mut random),
                        move |records| {
                            let _kept = &folder;
                            let height = tip.and_then(|tip| tip.height).map_or(1, |height: Height| height + 1);
                            let next = Tip { height: Some(height), root: Hash([7; 32]) };
                            let writes = records.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())));
                            store.commit(tip.as_ref(), &next, writes).unwrap();
                            tip = Some(next);
                        },
                    )
                }),
                Case::new(format!("bare batch of the same, {text}"), Clock::Wall, 1, move || {
                    let folder = TempDir::new().unwrap();
                    let mut options = Options::default();
                    options.create_if_missing(true);
                    // As the store has it: a smaller buffer is a faster one.
                    options.set_write_buffer_size(WRITE_BUFFER);
                    let db = DB::open(&options, folder.path().join("db")).unwrap();
                    let mut random = Random(5);
                    feed(
                        Clock::Wall,
                        32,
                        move |_| records(&mut random),
                        move |records| {
                            let _kept = &folder;
                            let mut batch = WriteBatch::default();
                            records.iter().for_each(|(key, value)| batch.put(key, value));
                            let mut write = WriteOptions::default();
                            write.set_sync(synced);
                            db.write_opt(batch, &write).unwrap();
                        },
                    )
                }),
            ]
        },
    );
    let ratio = |text: &str, at_most| {
        let of = |what: &str| format!("{what}, {text}");
        let (commit, bare) = (of("commit of 1 000 records"), of("bare batch of the same"));
        Ratio::new(of("commit : bare batch"), &[&commit], &[&bare], at_most)
    };
    let ratios = vec![ratio("synced", Some(1.5)), ratio("not synced", None)];
    Suite { name: "RocksDB commit", unit: "block", cases: cases.collect(), ratios }
}

pub(super) fn blocks() -> Suite {
    let clocks = [Clock::Process, Clock::Wall];
    let cases = BLOCK_SIZES.into_iter().flat_map(|(txs, text)| {
        clocks.map(|clock| {
            Case::new(format!("blocks of {text} tx, ledger on RocksDB, synced"), clock, txs as u64, move || {
                let folder = TempDir::new().unwrap();
                let store = RocksStore::create(folder.path().join("db"), Durability::Synced).unwrap();
                let mut ledger = filled_ledger(store);
                let mut traffic = Traffic::new(FEATURES, txs, ledger.last_committed().height.unwrap());
                feed(
                    clock,
                    blocks_at_once(txs),
                    move |_| traffic.next(),
                    move |block| {
                        let _kept = &folder;
                        commit_to(&mut ledger, block);
                    },
                )
            })
        })
    });
    Suite { name: "RocksDB blocks", unit: "tx", cases: cases.collect(), ratios: Vec::new() }
}
