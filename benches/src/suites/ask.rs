//! Questions about names: what they take over states of several sizes, beside a bare lookup and the hash of the same
//! bytes.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::hint::black_box;

use coalmine_core::{Address, Name, State};
use sha2::{Digest, Sha256};

use super::Shared;
use crate::case::{Case, Goal, Ratio, Runner, Suite};
use crate::clock::Clock;
use crate::workload::genesis;

/// Enough questions to leave the first caches behind.
pub(super) const QUESTIONS: u64 = 8_192;
/// How many things a state has.
pub(super) const SIZES: [u64; 3] = [1, 1_000, 100_000];
/// The size that has a goal.
const GOAL_SIZE: u64 = 1_000;
const BARE: &str = "bare lookup and hash";

/// A state, the bare map of its names, and questions that are asked in turn.
pub(super) struct Asked<Q> {
    pub(super) state: State,
    pub(super) bare: BTreeMap<Name, u64>,
    pub(super) questions: Vec<Q>,
}

/// What is hashed to find a bucket.
pub(super) fn message(tag: &[u8], name: &Name, salt: u64, unit: &Address) -> Vec<u8> {
    let chain = genesis().chain().as_bytes().to_vec();
    let text = name.as_bytes();
    [tag, &[chain.len() as u8], &chain, &[text.len() as u8], text, &salt.to_be_bytes(), &unit.0].concat()
}

/// The case of a question over a state of some size.
pub(super) fn ask<Q: 'static>(
    asked: &Shared<Asked<Q>>,
    name: String,
    answer: impl Fn(&Asked<Q>, &Q) -> bool + 'static,
) -> Case {
    let asked = asked.clone();
    Case::new(name, Clock::Thread, 1, move || -> Runner {
        LazyCell::force(&asked);
        let mut next = 0;
        Box::new(move |times| {
            let asked: &Asked<Q> = &asked;
            Clock::Thread.time(|| {
                for _ in 0..times {
                    let question = &asked.questions[next];
                    black_box(answer(asked, black_box(question)));
                    next = if next + 1 == asked.questions.len() { 0 } else { next + 1 };
                }
            })
        })
    })
}

/// The case of the baseline.
pub(super) fn ask_bare<Q: 'static>(
    asked: &Shared<Asked<Q>>,
    label: fn(u64, &str) -> String,
    size: u64,
    of: fn(&Q) -> (&Name, &[u8]),
) -> Case {
    ask(asked, label(size, BARE), move |asked, question| {
        let (name, message) = of(question);
        let found = asked.bare.contains_key(name);
        let [first, ..]: [u8; 32] = Sha256::digest(message).into();
        found & (first < 128)
    })
}

/// The suite of these cases. The one called `first` has the goal and is compared with the baseline.
pub(super) fn suite(name: &'static str, mut cases: Vec<Case>, label: fn(u64, &str) -> String, first: &str) -> Suite {
    let ratio = |size: u64| {
        let of = |what: &str| label(size, what);
        Ratio::new(of(&format!("{first} : {BARE}")), &[&of(first)], &[&of(BARE)], None)
    };
    for case in cases.iter_mut().filter(|case| case.name == label(GOAL_SIZE, first)) {
        case.goal = Some(Goal::Nanoseconds(150.0));
    }
    Suite { name, unit: "answer", cases, ratios: SIZES.into_iter().map(ratio).collect() }
}
