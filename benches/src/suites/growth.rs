//! Does the size of the state matter to a block? It must not, but for the depth of the tree.
//!
//! Beside every figure of a whole block stands the part of the root, which grows with log n: what
//! is left must stay as it is. One feature all the time asks about the algorithms alone; another
//! one every time adds the misses of the caches.

use std::cell::{LazyCell, RefCell};
use std::hint::black_box;

use coalmine_core::{Block, Payload, State};
use coalmine_model::support::Random;

use super::single::prepare_root;
use super::{Shared, shared};
use crate::case::{Case, Ratio, Runner, Suite, feed, repeat};
use crate::clock::Clock;
use crate::workload::{Size, block, commit, filled, report};

const FEATURES: u64 = 100;
/// How much larger than at the smallest size a figure may be.
const FLAT: Option<f64> = Some(2.0);

pub(super) fn features() -> Suite {
    suite("growth in features", Size::features)
}

pub(super) fn overrides() -> Suite {
    suite("growth in overrides of one feature", |overrides| Size { overrides, ..Size::features(FEATURES) })
}

pub(super) fn history() -> Suite {
    suite("growth in history of one feature", |history| Size { history, ..Size::features(FEATURES) })
}

fn suite(name: &'static str, size: fn(u64) -> Size) -> Suite {
    let cases = [100, 10_000, 1_000_000].into_iter().flat_map(|count| {
        let state: Shared<RefCell<State>> = shared(move || RefCell::new(filled(size(count))));
        let features = size(count).features;
        let mut random = Random(11);
        [
            Case::new(format!("{count}: empty block"), Clock::Thread, 1, blocks(&state, Vec::new)),
            Case::new(format!("{count}: report"), Clock::Thread, 1, blocks(&state, || vec![report(0, 1, 0)])),
            Case::new(format!("{count}: root of a report"), Clock::Thread, 1, root(&state)),
            Case::new(
                format!("{count}: report, any feature"),
                Clock::Thread,
                1,
                blocks(&state, move || vec![report(random.below(features), 1, 0)]),
            ),
        ]
    });
    let ratios = vec![
        Ratio::new("empty block, 10^6 : 10^2", &["1000000: empty block"], &["100: empty block"], FLAT),
        Ratio::new(
            "report without its root, 10^6 : 10^2",
            &["1000000: report", "-1000000: root of a report"],
            &["100: report", "-100: root of a report"],
            FLAT,
        ),
        Ratio::new("report with its root, 10^6 : 10^2", &["1000000: report"], &["100: report"], None),
        Ratio::new(
            "report of any feature with its root, 10^6 : 10^2",
            &["1000000: report, any feature"],
            &["100: report, any feature"],
            None,
        ),
    ];
    Suite { name, unit: "block", cases: cases.collect(), ratios }
}

/// Blocks of these payloads, executed and applied.
fn blocks(
    state: &Shared<RefCell<State>>,
    mut payloads: impl FnMut() -> Vec<Payload> + 'static,
) -> impl FnOnce() -> Runner + 'static {
    let state = state.clone();
    move || {
        LazyCell::force(&state);
        let make = {
            let state = state.clone();
            move |index| block(state.borrow().tip().unwrap() + 1 + index, payloads())
        };
        feed(Clock::Thread, 1_024, make, move |block: &mut Block| commit(&mut state.borrow_mut(), black_box(block)))
    }
}

fn root(state: &Shared<RefCell<State>>) -> impl FnOnce() -> Runner + 'static {
    let state = state.clone();
    move || {
        let next = block(state.borrow().tip().unwrap() + 1, vec![report(0, 1, 0)]);
        let prepare = prepare_root(&state.borrow(), &next);
        repeat(Clock::Thread, move || prepare(&state.borrow()))
    }
}
