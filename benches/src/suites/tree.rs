//! The root of 100 000 keys after 1 000 of them have changed, beside the `jmt` crate.
//!
//! Sketch: each changed key is two hashes for its leaf (five compressions) and its share of the
//! inner nodes above it, about 8.5 of them (two compressions each). Paths are known on both sides.

use std::mem;

use coalmine_core::tree::{KeyChange, Path, Tree};
use coalmine_model::support::Random;
use jmt::mock::MockTreeStore;
use jmt::storage::TreeWriter;
use jmt::{KeyHash, Sha256Jmt};

use crate::case::{Case, Goal, Ratio, Suite, feed};
use crate::clock::Clock;
use crate::limit::inner_nodes;

const KEYS: u64 = 100_000;
const CHANGED: u64 = 1_000;
/// Between the two records of a feature.
const VALUE_SIZE: usize = 150;
/// Batches that are made ahead of a measurement.
const AT_ONCE: u32 = 16;

type Entry = (Path, [u8; 16], Vec<u8>);

fn entry(key: u64, random: &mut Random) -> Entry {
    let mut bytes = [0xd0; 16];
    bytes[8..].copy_from_slice(&key.to_be_bytes());
    (Path::of(&bytes), bytes, random.bytes(VALUE_SIZE))
}

fn all(random: &mut Random) -> Vec<Entry> {
    (0..KEYS).map(|key| entry(key, random)).collect()
}

/// New values of different keys.
fn some(random: &mut Random) -> Vec<Entry> {
    let first = random.below(KEYS);
    (0..CHANGED).map(|step| entry((first + step * (KEYS / CHANGED)) % KEYS, random)).collect()
}

pub(super) fn suite() -> Suite {
    let cases = vec![
        Case::new("1 000 of 100 000 keys, prepare", Clock::Thread, CHANGED, || {
            let mut random = Random(3);
            let tree = tree_of(&all(&mut random));
            feed(
                Clock::Thread,
                AT_ONCE,
                move |_| some(&mut random),
                move |entries| {
                    tree.prepare(&changes(entries)).unwrap();
                },
            )
        }),
        Case::new("1 000 of 100 000 keys, prepare and apply", Clock::Thread, CHANGED, || {
            let mut random = Random(3);
            let mut tree = tree_of(&all(&mut random));
            feed(
                Clock::Thread,
                AT_ONCE,
                move |_| some(&mut random),
                move |entries| {
                    let patch = tree.prepare(&changes(entries)).unwrap();
                    tree.apply(patch).unwrap();
                },
            )
        })
        .goal(Goal::Nanoseconds(2_500.0))
        // Three compressions of a value, two of a leaf.
        .limit(|| CHANGED as f64 * 5.0 + 2.0 * inner_nodes(KEYS as f64, CHANGED as f64)),
        Case::new("jmt on its MockTreeStore, update and write", Clock::Thread, CHANGED, || {
            let mut random = Random(3);
            let store = MockTreeStore::default();
            let mut version = 0;
            let mut update = move |values: &mut Vec<(KeyHash, Option<Vec<u8>>)>| {
                let (_, batch) = Sha256Jmt::new(&store).put_value_set(mem::take(values), version).unwrap();
                store.write_node_batch(&batch.node_batch).unwrap();
                version += 1;
            };
            update(&mut values(all(&mut random)));
            feed(Clock::Thread, AT_ONCE, move |_| values(some(&mut random)), update)
        }),
    ];
    let ratios = vec![Ratio::new(
        "jmt : prepare and apply",
        &["jmt on its MockTreeStore, update and write"],
        &["1 000 of 100 000 keys, prepare and apply"],
        None,
    )];
    Suite { name: "root", unit: "changed key", cases, ratios }
}

fn tree_of(entries: &[Entry]) -> Tree {
    Tree::from_entries(entries.iter().map(|(_, key, value)| (key, value))).unwrap()
}

fn changes(entries: &[Entry]) -> Vec<KeyChange<'_>> {
    entries.iter().map(|(path, key, value)| KeyChange::with_path(*path, key, Some(value))).collect()
}

fn values(entries: Vec<Entry>) -> Vec<(KeyHash, Option<Vec<u8>>)> {
    entries.into_iter().map(|(path, _, value)| (KeyHash(*path.as_bytes()), Some(value))).collect()
}
