//! Blocks of mixed traffic over 1 000 features: on the state alone, and as a ledger on the store in memory.
//!
//! Sketch for 1 000 transactions: about 1 350 changed records, each encoded and hashed once, and
//! the inner nodes above them. 65 536 transactions share the two records of each feature, but their
//! overrides and history entries are records of their own: about 0.2 a transaction.
//!
//! Traffic makes the state larger, so every few blocks it starts again, outside of the time.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use coalmine_core::{Block, Decode, Encode};
use coalmine_model::support::Random;
use coalmine_store::{Ledger, MemoryStore, Store};

use crate::case::{Case, Goal, Runner, Suite, feed};
use crate::clock::Clock;
use crate::limit::of_block;
use crate::workload::{Size, Traffic, block, commit, filled, filling, genesis, report};

pub(super) const FEATURES: u64 = 1_000;
pub(super) const BLOCK_SIZES: [(usize, &str); 2] = [(1_000, "1 000"), (65_536, "65 536")];

/// After how many blocks the state starts again.
pub(super) const fn blocks_at_once(txs: usize) -> u32 {
    if txs < 10_000 { 64 } else { 4 }
}

pub(super) fn suite() -> Suite {
    let cases = BLOCK_SIZES.into_iter().flat_map(|(txs, text)| {
        let units = txs as u64;
        [
            Case::new(format!("blocks of {text} tx, state"), Clock::Thread, units, move || {
                let base = filled(Size::features(FEATURES));
                from_start(Clock::Thread, txs, move || base.clone(), commit)
            })
            .goal(Goal::PerSecond(5e6))
            .limit(move || of_traffic(txs)),
            Case::new(format!("blocks of {text} tx, ledger in memory"), Clock::Thread, units, move || {
                from_start(Clock::Thread, txs, || filled_ledger(MemoryStore::new()), commit_to)
            })
            .limit(move || of_traffic(txs)),
            Case::new(format!("blocks of {text} reports, state"), Clock::Thread, units, move || {
                let state = filled(Size::features(FEATURES));
                let mut random = Random(9);
                let reports = (0..txs).map(|_| report(random.below(FEATURES), 1, 0)).collect();
                let block = block(state.tip().unwrap() + 1, reports);
                let fresh = move |_| state.clone();
                feed(Clock::Thread, 4, fresh, move |state| commit(state, black_box(&block)))
            }),
            Case::new(format!("blocks of {text} tx, decoding"), Clock::Thread, units, move || {
                let mut traffic = Traffic::new(FEATURES, txs, 0);
                let make = move |_| traffic.next().to_bytes();
                feed(Clock::Thread, blocks_at_once(txs), make, |bytes| {
                    drop(black_box(Block::from_bytes(bytes).unwrap()))
                })
            }),
        ]
    });
    Suite { name: "blocks", unit: "tx", cases: cases.collect(), ratios: Vec::new() }
}

/// The compressions of a block of traffic, at least.
pub(super) fn of_traffic(txs: usize) -> f64 {
    let state = filled(Size::features(FEATURES));
    of_block(&state, &Traffic::new(FEATURES, txs, state.tip().unwrap()).next())
}

/// A ledger of [`FEATURES`] in an empty store.
pub(super) fn filled_ledger<S: Store>(store: S) -> Ledger<S> {
    let mut ledger = Ledger::create(store, &genesis()).unwrap();
    for block in filling(Size::features(FEATURES)) {
        commit_to(&mut ledger, &block);
    }
    ledger
}

/// Executes and commits the next block.
pub(super) fn commit_to<S: Store>(ledger: &mut Ledger<S>, block: &Block) {
    let execution = ledger.execute(block).unwrap();
    ledger.commit(execution).unwrap();
}

/// Commits blocks of traffic to something that starts again every few blocks.
fn from_start<L: 'static>(
    clock: Clock,
    txs: usize,
    start: impl Fn() -> L + 'static,
    commit: fn(&mut L, &Block),
) -> Runner {
    let tip = filling(Size::features(FEATURES)).last().unwrap().height();
    let ledger = Rc::new(RefCell::new(start()));
    let mut traffic = Traffic::new(FEATURES, txs, tip);
    let make = {
        let ledger = ledger.clone();
        move |index| {
            if index == 0 {
                ledger.replace(start());
                traffic = Traffic::new(FEATURES, txs, tip);
            }
            traffic.next()
        }
    };
    feed(clock, blocks_at_once(txs), make, move |block| commit(&mut ledger.borrow_mut(), block))
}
