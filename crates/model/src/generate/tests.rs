//! What random worlds reach, and what is true of the model in all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use coalmine_core::{EventCode, LoadState, Outcome, Receipt, Reject};

use super::*;
use crate::{FEEDER, GUARDIAN, OPERATOR};

const BLOCKS: usize = 60;

/// Runs the worlds of these seeds. Calls `visit` for every block in which something may happen: with the model before
/// it, the block, the model after it and what came of it.
fn run(mixes: &[Mix], seeds: Range<u64>, mut visit: impl FnMut(&Model, &Block, &Model, &Outcome)) {
    for (mix, seed) in mixes.iter().flat_map(|mix| seeds.clone().map(move |seed| (mix, seed))) {
        let (genesis, blocks) = Generator::world(*mix, Choices::Seed(Random(seed)), BLOCKS);
        let mut model = Model::of_raw(genesis);
        for block in blocks {
            let before_gap = model.clone();
            let empty = model.advance(block.height().saturating_sub(1)).unwrap();
            model = before_gap;
            let empty = empty.into_iter().map(|(height, _)| Block::empty(height));
            for block in empty.chain([block]) {
                model.advance(block.height().saturating_sub(1)).unwrap();
                let before = model.clone();
                let outcome = model.execute(&block).unwrap();
                visit(&before, &block, &model, &outcome);
            }
        }
    }
}

/// The transactions of a block, as far as they decode.
fn decoded(block: &Block) -> Vec<Option<Transaction>> {
    block.payloads().map(|payload| Transaction::from_bytes(&payload.to_bytes())).collect()
}

/// No build knows rules above 1, so none can be set.
#[test]
fn worlds_reach_everything_but_other_rules() {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    run(&Mix::ALL, 0..90, |_, _, _, outcome| {
        seen.extend(outcome.receipts.iter().map(Receipt::name));
        seen.extend(outcome.events.iter().map(|event| event.code().name()));
    });
    let all = Reject::ALL.iter().map(|reject| reject.name()).chain(EventCode::ALL.iter().map(|code| code.name()));
    let missing: Vec<&str> = all.filter(|name| !seen.contains(name)).collect();
    assert_eq!(missing, ["rules_set"]);
}

#[test]
fn to_advance_is_to_walk() {
    for (mix, seed) in Mix::ALL.into_iter().flat_map(|mix| (100..108).map(move |seed| (mix, seed))) {
        let (genesis, blocks) = Generator::world(mix, Choices::Seed(Random(seed)), BLOCKS);
        let (mut advanced, mut walked) = (Model::of_raw(genesis.clone()), Model::of_raw(genesis));
        for block in blocks {
            let mut busy: BTreeMap<u32, Outcome> =
                advanced.advance(block.height().saturating_sub(1)).unwrap().into_iter().collect();
            while let Some(next) = walked.tip().map(|tip| tip + 1).filter(|next| *next < block.height()) {
                let before = walked.entries();
                let outcome = walked.execute(&Block::empty(next)).unwrap();
                match busy.remove(&next) {
                    Some(expected) => assert_eq!(outcome, expected),
                    None => assert!(outcome == Outcome::default() && walked.entries() == before, "{next} is skipped"),
                }
            }
            assert_eq!(advanced.execute(&block), walked.execute(&block));
            assert_eq!(advanced, walked);
        }
    }
}

/// A transaction that is refused leaves nothing but its sequence: without it, everything else is as it was.
#[test]
fn what_is_refused_leaves_nothing() {
    let mut refused = 0;
    run(&Mix::ALL, 200..220, |before, block, after, outcome| {
        let rejects = |receipt: &Receipt, reject: Reject| receipt.code() == reject.code();
        // What is refused has paid, so others may be refused in turn.
        if outcome.receipts.iter().any(|receipt| rejects(receipt, Reject::BlockFull)) {
            return;
        }
        let mut kept = Vec::new();
        for (payload, receipt) in block.payloads().map(|payload| payload.to_bytes()).zip(&outcome.receipts) {
            let used_sequence = Transaction::from_bytes(&payload).is_some_and(|tx| tx.sequence.is_some());
            match receipt {
                Receipt::Ok => kept.push(payload),
                Receipt::Rejected { .. } if used_sequence => return,
                Receipt::Rejected { .. } => refused += 1,
            }
        }
        let mut without = before.clone();
        let got = without.execute(&Block::from_encoded(block.height(), kept).unwrap()).unwrap();
        assert_eq!(got.events, outcome.events);
        assert_eq!(without, *after);
    });
    assert!(refused > 500, "{refused}");
}

/// How far each feature and new version is exposed, and to whom.
fn exposure(model: &Model) -> BTreeMap<(Vec<u8>, Address), u128> {
    let mut exposure = BTreeMap::new();
    for user in ADDRESSES {
        for name in model.names() {
            exposure.insert((name.to_vec(), user), u128::from(model.is_enabled(name, &user)));
        }
    }
    for f in model.features.values() {
        exposure.insert((f.name.clone(), Address([0xfe; 20])), f.rollout_percent);
    }
    for name in model.plugin_names() {
        let share = model.plugin_answer(name).map_or(0, |answer| answer.share_bps);
        exposure.insert((name.to_vec(), Address([0xfd; 20])), share.into());
    }
    exposure
}

/// Whatever a guardian sends, nothing is exposed further than it would have been without.
#[test]
fn a_guardian_never_raises_exposure() {
    const ONE: Address = Address([0x77; 20]);
    let mut taken: BTreeMap<u8, usize> = BTreeMap::new();
    run(&Mix::ALL, 300..312, |before, block, _, _| {
        let (mut without, mut with) = (before.clone(), before.clone());
        with.roles.insert(ONE, GUARDIAN);
        without.roles.insert(ONE, GUARDIAN);
        without.execute(&Block::empty(block.height())).unwrap();
        let mut sent: Vec<Command> = decoded(block).into_iter().flatten().flat_map(|tx| tx.commands).collect();
        let of_feature = |name: &[u8]| {
            let name = name.to_vec();
            [Command::PauseRollout { name: name.clone() }, Command::Rollback { name, reason: 0 }]
        };
        sent.extend(before.names().flat_map(of_feature));
        sent.extend(before.schedule.keys().map(|(at, id)| Command::CancelSchedule { at: *at as u32, id: *id as u64 }));
        sent.extend([false, true].map(|drain| Command::TripBreaker { reason: 0, until: 0, drain }));
        for command in sent {
            let mut with = with.clone();
            let payload = Transaction::unsequenced(ONE, vec![command.clone()]).to_bytes();
            let sequence = Some(raw::Sequence { number: 1, valid_until: 0 });
            let sequenced = Transaction { signer: ONE, sequence, commands: vec![command.clone()] }.to_bytes();
            let payload = if with.params.sequenced { sequenced } else { payload };
            let outcome = with.execute(&Block::from_encoded(block.height(), [payload]).unwrap()).unwrap();
            if outcome.receipts != [Receipt::Ok] {
                continue;
            }
            *taken.entry(command.tag()).or_default() += 1;
            let (lower, most) = (exposure(&with), exposure(&without));
            assert!(lower.iter().all(|(of, share)| share <= &most[of]), "{command:?}");
        }
    });
    assert_eq!(taken.keys().copied().collect::<Vec<_>>(), [17, 21, 30, 33, 45], "{taken:?}");
}

/// Behind a timelock no transaction raises exposure or gives power at once; what is due may.
#[test]
fn behind_a_timelock_nothing_raises_at_once() {
    let mut taken = 0;
    run(&Mix::ALL, 700..725, |before, block, after, outcome| {
        let mut without = before.clone();
        without.execute(&Block::empty(block.height())).unwrap();
        if without.params.timelock == 0 {
            return;
        }
        taken += outcome.receipts.iter().filter(|receipt| **receipt == Receipt::Ok).count();
        let (lower, most) = (exposure(after), exposure(&without));
        assert!(lower.iter().all(|(of, share)| share <= most.get(of).unwrap_or(&0)));
        assert_eq!((after.params, after.rules), (without.params, without.rules));
        assert_eq!(after.registry, without.registry);
        assert!(after.roles.iter().all(|(address, held)| held & !without.roles.get(address).unwrap_or(&0) == 0));
        let versions = |model: &Model| model.plugins.values().map(|plugin| plugin.versions.len()).sum::<usize>();
        assert!(versions(after) <= versions(&without));
    });
    assert!(taken > 200, "{taken}");
}

/// Who is first to report in a block makes no difference, as long as the reporters are others.
#[test]
fn rounds_have_no_order() {
    let mut pooled = 0;
    run(&Mix::ALL, 400..425, |before, block, _, _| {
        if !before.has_rounds() {
            return;
        }
        let mut signers = BTreeSet::new();
        let mut reports: Vec<Transaction> = decoded(block).into_iter().flatten().collect();
        reports
            .retain(|tx| tx.commands.iter().all(|command| authority(command) == REPORTER) && signers.insert(tx.signer));
        pooled += reports.len();
        let mut one = before.clone();
        let mut other = before.clone();
        let block = |reports: &[Transaction]| {
            Block::from_encoded(block.height(), reports.iter().map(Transaction::to_bytes)).unwrap()
        };
        one.execute(&block(&reports)).unwrap();
        reports.reverse();
        other.execute(&block(&reports)).unwrap();
        assert_eq!(one, other);
    });
    assert!(pooled > 100, "{pooled}");
}

/// What is stored of trust fits together in every state.
#[test]
fn pools_sequences_and_schedule_are_within_their_limits() {
    let mut pools = 0;
    run(&Mix::ALL, 500..520, |before, block, after, outcome| {
        let h = u128::from(block.height());
        pools += after.pools.len();
        for (key, pool) in &after.pools {
            assert!((1..=64).contains(&pool.entries.len()), "{key:?}");
            let is_backlog = pool.due <= h;
            assert!(!is_backlog || after.params.max_due_per_block < 1_000 || before.params.max_due_per_block < 1_000);
            let is_there = if key.version.is_empty() {
                after.features.contains_key(&key.subject)
            } else {
                after.plugins.contains_key(&key.subject)
            };
            assert!(is_there, "{key:?}");
        }
        assert!(after.schedule.len() <= 4_096);
        assert!(after.schedule.keys().all(|(_, id)| *id < after.next_schedule_id));
        for (signer, last) in &after.sequences {
            let earlier = before.sequences.get(signer).copied().unwrap_or(0);
            assert!(*last > 0 && *last >= earlier);
        }
        assert!(!after.roles.contains_key(&Address::ZERO));
        assert!(after.roles.values().any(|held| held & ADMIN != 0));
        let used = [OPERATOR, REPORTER, GUARDIAN, FEEDER, ADMIN].iter().fold(0, |all, role| all | role);
        assert!(after.roles.values().all(|held| *held != 0 && held & !used == 0));
        assert!(outcome.receipts.len() == block.payloads().count());
    });
    assert!(pools > 100, "{pools}");
}

/// What is loaded or on its way fits together in every state.
#[test]
fn load_states_fit_together() {
    let mut loaded = 0;
    run(&[Mix::Plugins, Mix::Both], 600..620, |_, _, after, _| {
        for (name, plugin) in &after.plugins {
            let is_unloaded = plugin.load_state == LoadState::Unloaded;
            assert_eq!(plugin.loaded.as_ref(), (!is_unloaded).then_some(&plugin.current));
            assert!(is_unloaded || !plugin.waits);
            assert!(after.dependents_count(name) <= 256);
            if plugin.load_state == LoadState::Unloading {
                // What requires it goes first, so it is on its way, too.
                let dependents = after.plugins.values().filter(|other| !other.waits && other.requires(name));
                assert!(dependents.into_iter().all(|other| other.load_state == LoadState::Unloading));
            }
            loaded += usize::from(plugin.load_state == LoadState::Loaded);
        }
    });
    assert!(loaded > 200, "{loaded}");
}
