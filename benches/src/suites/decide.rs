//! Is a feature on for a user?
//!
//! Sketch: one lookup by name in a BTreeMap, one of the user in the overrides, one SHA-256 of
//! about 75 bytes (two compressions). The baseline is a bare lookup and the hash of the same bytes.

use coalmine_core::{Address, Handle, Name};
use coalmine_model::support::Random;

use super::ask::{Asked, QUESTIONS, SIZES, ask, ask_bare, message};
use super::shared;
use crate::case::Suite;
use crate::workload::{Size, commit, filled, name, overrides, user};

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

fn asked(features: u64) -> Asked<Question> {
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
        let message = message(b"coalmine/bucket/1", &name, 0, &miss);
        Question { name, handle: state.resolve(&name).unwrap(), miss, hit, message }
    };
    let questions = (0..QUESTIONS).map(question).collect();
    let bare = (0..features).map(|feature| (name(feature), feature)).collect();
    Asked { state, bare, questions }
}

pub(super) fn suite() -> Suite {
    let cases = SIZES.into_iter().flat_map(|features| {
        let world = shared(move || asked(features));
        let of = |what: &str| label(features, what);
        [
            ask(&world, of("miss"), |world, question| world.state.is_enabled(&question.name, &question.miss)),
            ask(&world, of("override"), |world, question| world.state.is_enabled(&question.name, &question.hit)),
            ask(&world, of("handle"), |world, question| world.state.is_enabled_by(question.handle, &question.miss)),
            ask_bare(&world, label, features, |question| (&question.name, &question.message)),
        ]
    });
    super::ask::suite("is_enabled", cases.collect(), label, "miss")
}

fn label(features: u64, what: &str) -> String {
    format!("{features} feature{}, {what}", if features == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use coalmine_core::bucket_sha256;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::workload::genesis;

    #[test]
    fn the_baseline_hashes_what_decides() {
        let world = asked(10);
        for Question { name, handle, miss, hit, message } in &world.questions {
            let hash: [u8; 32] = Sha256::digest(message).into();
            let head = u64::from_be_bytes(*hash.first_chunk().unwrap());
            let bucket = bucket_sha256(genesis().chain(), name, 0, miss).get();
            assert_eq!((u128::from(head) * 10_000) >> 64, u128::from(bucket));
            assert_eq!(world.state.is_enabled_by(*handle, miss), bucket < 5_000);
            assert!(world.state.is_enabled(name, hit), "the override decides");
        }
    }
}
