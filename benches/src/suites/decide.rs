//! Is a feature on for a user?
//!
//! Sketch: one lookup by name in a BTreeMap, one of the user in the overrides, one SHA-256 of
//! about 75 bytes (two compressions). The baseline is a bare lookup and the hash of the same bytes.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::hint::black_box;

use coalmine_core::{Address, Handle, Name, State};
use coalmine_model::support::Random;
use sha2::{Digest, Sha256};

use super::{Shared, shared};
use crate::case::{Case, Goal, Ratio, Runner, Suite};
use crate::clock::Clock;
use crate::workload::{Size, commit, filled, genesis, name, overrides, user};

/// Enough questions to leave the first caches behind.
const QUESTIONS: u64 = 8_192;
const SIZES: [u64; 3] = [1, 1_000, 100_000];

struct World {
    state: State,
    bare: BTreeMap<Name, u64>,
    questions: Vec<Question>,
}

struct Question {
    name: Name,
    handle: Handle,
    /// Has no override.
    miss: Address,
    /// Has one.
    hit: Address,
    /// What is hashed for `miss`.
    message: Vec<u8>,
}

impl World {
    fn new(features: u64) -> Self {
        let mut state = filled(Size::features(features));
        let step = features.div_ceil(QUESTIONS);
        let asked: Vec<u64> = (0..features).step_by(step as usize).collect();
        let hits = user;
        let height = state.tip().unwrap() + 1;
        commit(&mut state, &overrides(height, asked.iter().map(|&feature| (feature, hits(feature)))));
        let mut random = Random(7);
        let question = |_| {
            let feature = asked[random.below(asked.len() as u64) as usize];
            let hit = hits(feature);
            let (name, miss) = (name(feature), user(random.next()));
            let chain = genesis().chain().as_bytes().to_vec();
            let text = name.as_bytes();
            let message = [
                b"coalmine/bucket/1".as_slice(),
                &[chain.len() as u8],
                &chain,
                &[text.len() as u8],
                text,
                &[0; 8],
                &miss.0,
            ]
            .concat();
            Question { name, handle: state.resolve(&name).unwrap(), miss, hit, message }
        };
        let questions = (0..QUESTIONS).map(question).collect();
        let bare = (0..features).map(|feature| (name(feature), feature)).collect();
        Self { state, bare, questions }
    }
}

pub(super) fn suite() -> Suite {
    let cases = SIZES.into_iter().flat_map(|features| {
        let world = shared(move || World::new(features));
        [
            ask(&world, features, "miss", |world, question| world.state.is_enabled(&question.name, &question.miss)),
            ask(&world, features, "override", |world, question| world.state.is_enabled(&question.name, &question.hit)),
            ask(&world, features, "handle", |world, question| {
                world.state.is_enabled_at(question.handle, &question.miss)
            }),
            ask(&world, features, "bare lookup and hash", |world, question| {
                let found = world.bare.contains_key(&question.name);
                let [first, ..]: [u8; 32] = Sha256::digest(&question.message).into();
                found & (first < 128)
            }),
        ]
    });
    let ratio = |features: u64| {
        let of = |what: &str| label(features, what);
        Ratio::new(of("miss : bare lookup and hash"), &[&of("miss")], &[&of("bare lookup and hash")], None)
    };
    let ratios = SIZES.into_iter().map(ratio).collect();
    let mut cases: Vec<Case> = cases.collect();
    for case in cases.iter_mut().filter(|case| case.name == label(1_000, "miss")) {
        case.goal = Some(Goal::Nanoseconds(150.0));
    }
    Suite { name: "is_enabled", unit: "answer", cases, ratios }
}

fn label(features: u64, what: &str) -> String {
    format!("{features} feature{}, {what}", if features == 1 { "" } else { "s" })
}

fn ask(world: &Shared<World>, features: u64, what: &str, answer: impl Fn(&World, &Question) -> bool + 'static) -> Case {
    let world = world.clone();
    Case::new(label(features, what), Clock::Thread, 1, move || -> Runner {
        LazyCell::force(&world);
        let mut next = 0;
        Box::new(move |times| {
            let world: &World = &world;
            Clock::Thread.time(|| {
                for _ in 0..times {
                    let question = &world.questions[next];
                    black_box(answer(world, black_box(question)));
                    next = if next + 1 == world.questions.len() { 0 } else { next + 1 };
                }
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use coalmine_core::bucket_sha256;

    use super::*;

    #[test]
    fn the_baseline_hashes_what_decides() {
        let world = World::new(10);
        for Question { name, handle, miss, hit, message } in &world.questions {
            let hash: [u8; 32] = Sha256::digest(message).into();
            let head = u64::from_be_bytes(*hash.first_chunk().unwrap());
            let bucket = bucket_sha256(genesis().chain(), name, 0, miss).get();
            assert_eq!((u128::from(head) * 10_000) >> 64, u128::from(bucket));
            assert_eq!(world.state.is_enabled_at(*handle, miss), bucket < 5_000);
            assert!(world.state.is_enabled(name, hit), "the override decides");
        }
    }
}
