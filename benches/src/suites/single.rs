//! One transaction: a block of its own, and its share of a large block.
//!
//! Sketch: a report looks up a feature, copies feature and metrics, adds, judges, encodes two
//! records of 130 and 170 bytes, hashes both, and about 11 inner nodes for each of them. The root
//! is a part of every execution; beside it stands the tree's share alone, and reports of one
//! feature in one block, which share one encoding and one update of the root.

use std::hint::black_box;

use coalmine_core::tree::{KeyChange, Path};
use coalmine_core::{Block, Payload, State};

use super::{Shared, shared};
use crate::case::{Case, Suite, feed, repeat};
use crate::clock::Clock;
use crate::limit::of_block;
use crate::workload::{Size, block, commit, filled, report, start_canary};

const FEATURES: u64 = 1_000;
const MANY: usize = 10_000;

pub(super) fn suite() -> Suite {
    let state = shared(|| filled(Size::features(FEATURES)));
    let cases = [("report", report_one as fn() -> Payload), ("start_canary", start_one)].into_iter().flat_map(
        |(name, payload)| {
            [
                execute(&state, format!("{name}, a block of its own, execute"), 1, payload),
                root(&state, format!("{name}, the root's part of that"), payload),
                whole(&state, format!("{name}, a block of its own, execute and apply"), payload),
                execute(&state, format!("{name}, one of {MANY} of one feature, execute"), MANY, payload),
            ]
        },
    );
    Suite { name: "one transaction", unit: "tx", cases: cases.collect(), ratios: Vec::new() }
}

fn report_one() -> Payload {
    report(500, 1, 0)
}

fn start_one() -> Payload {
    start_canary(500)
}

fn next_block(state: &State, payloads: Vec<Payload>) -> Block {
    block(state.tip().unwrap() + 1, payloads)
}

fn execute(state: &Shared<State>, name: String, count: usize, payload: fn() -> Payload) -> Case {
    let state = state.clone();
    Case::new(name, Clock::Thread, count as u64, move || {
        let block = next_block(&state, vec![payload(); count]);
        repeat(Clock::Thread, move || drop(black_box(state.execute(&block).unwrap())))
    })
}

fn whole(state: &Shared<State>, name: String, payload: fn() -> Payload) -> Case {
    let (state, limit) = (state.clone(), state.clone());
    Case::new(name, Clock::Thread, 1, move || {
        let mut state = State::clone(&state);
        let mut height = state.tip().unwrap();
        let make = move |_| {
            height += 1;
            block(height, vec![payload()])
        };
        feed(Clock::Thread, 256, make, move |block| commit(&mut state, block))
    })
    .limit(move || of_block(&limit, &next_block(&limit, vec![payload()])))
}

/// The update of the tree by the write set of a block of one transaction. The paths of records that
/// the state knows are known to it, too, so no path is hashed here.
fn root(state: &Shared<State>, name: String, payload: fn() -> Payload) -> Case {
    let state = state.clone();
    Case::new(name, Clock::Thread, 1, move || {
        let prepare = prepare_root(&state, &next_block(&state, vec![payload()]));
        repeat(Clock::Thread, move || prepare(&state))
    })
}

/// What updates the root by the write set of a block.
pub(super) fn prepare_root(state: &State, block: &Block) -> impl Fn(&State) + 'static {
    let execution = state.execute(block).unwrap();
    let writes: Vec<(Path, Vec<u8>, Option<Vec<u8>>)> =
        execution.writes().iter().map(|(key, value)| (Path::of(key), key.into(), value.map(<[u8]>::to_vec))).collect();
    move |state| {
        let changes: Vec<KeyChange<'_>> =
            writes.iter().map(|(path, key, value)| KeyChange::with_path(*path, key, value.as_deref())).collect();
        drop(black_box(state.tree().prepare(&changes).unwrap()));
    }
}
