//! The least that a case has to do: compressions of SHA-256, one after the other.
//!
//! The root is a function of hashes, so no code computes it with fewer. Where the CPU interleaves several messages
//! (feature `simd`) the time of one compression is not the last word, and a figure may come closer than it should.

use std::hint::black_box;

use coalmine_core::{Block, KeyPrefix, State};
use sha2::{Digest, Sha256};

use crate::clock::Clock;

/// The compressions of a message of so many bytes, with its padding.
const fn of_message(len: usize) -> f64 {
    (len + 9).div_ceil(64) as f64
}

/// The compressions of a block on a state, at least: what it writes, and the inner nodes above.
pub(crate) fn of_block(state: &State, block: &Block) -> f64 {
    let execution = state.execute(block).unwrap();
    let mut total = 0.0;
    for (key, value) in execution.writes().iter() {
        // The state knows the paths of these.
        let is_known =
            [KeyPrefix::Feature, KeyPrefix::Metrics].iter().any(|prefix| key.first() == Some(&prefix.byte()));
        total += if is_known { 0.0 } else { of_message(key.len()) };
        total += value.map_or(0.0, |value| of_message(value.len()) + 2.0);
    }
    total + 2.0 * inner_nodes(state.tree().len() as f64, execution.writes().len() as f64)
}

/// How many inner nodes of a tree of random paths are above some of its leaves: at each depth those places that have a
/// changed leaf below them, less those where it is the only leaf.
pub(crate) fn inner_nodes(leaves: f64, changed: f64) -> f64 {
    let at = |depth: i32| {
        let others = 1.0 - 0.5_f64.powi(depth);
        0.5_f64.powi(-depth) * (1.0 - others.powf(changed)) - changed * others.powf(leaves - 1.0)
    };
    (0..64).map(at).map(|nodes| nodes.max(0.0)).sum()
}

/// The time of one compression, in nanoseconds: that of a long message.
#[must_use]
pub fn compression() -> f64 {
    const LEN: usize = 1 << 16;
    let message = vec![0xa5; LEN];
    let mut times: Vec<f64> = (0..31)
        .map(|_| {
            let time = Clock::Thread.time(|| {
                black_box(Sha256::digest(black_box(&message)));
            });
            time.as_secs_f64() * 1e9 / of_message(LEN)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Size, block, filled, report};

    #[test]
    fn the_inner_nodes_above_all_leaves_are_those_of_the_tree() {
        // Of n random leaves there are n / ln 2 inner nodes; above one of them log2 n and a third.
        for leaves in [1_000.0, 100_000.0] {
            let all = inner_nodes(leaves, leaves) / leaves;
            assert!((all - 1.0 / std::f64::consts::LN_2).abs() < 0.02, "{all}");
            let one = inner_nodes(leaves, 1.0) - leaves.log2();
            assert!((one - 1.33).abs() < 0.1, "{one}");
        }
    }

    #[test]
    fn a_report_hashes_two_records_and_what_is_above() {
        let state = filled(Size::features(100));
        let found = of_block(&state, &block(state.tip().unwrap() + 1, vec![report(1, 1, 0)]));
        let above = 2.0 * inner_nodes(state.tree().len() as f64, 2.0);
        // The records, of 119 and 174 bytes, take two compressions and three, and their leaves two each.
        assert!((found - above - 9.0).abs() < 1e-9, "{found} with {above}");
    }
}
