//! A preview is the block that really holds those commands.

use std::collections::BTreeSet;

use coalmine_core::Block;
use coalmine_foresight::{Calendar, Options, Users, preview, sample};
use coalmine_model::generate::ADDRESSES;

use crate::stories::{all, walk};

#[test]
fn a_preview_is_the_block_that_holds_the_commands() {
    let (mut switched, mut moved, mut rejected, mut ahead) = (0, 0, 0, 0);
    for story in all() {
        walk(&story, |node, block| {
            let place = format!("{} block {}", story.name, block.height());
            let options = Options { users: Users::List(ADDRESSES.to_vec()), blocks: 5 };
            let Ok(foretold) = preview(&node.state, &node.records, block, &options) else { return };
            let mut after = node.clone();
            let execution = after.feed(block);
            assert_eq!(foretold.height, block.height(), "{place}");
            assert_eq!(foretold.root, after.state.root(), "{place}");
            assert_eq!(foretold.events, execution.outcome().events, "{place}");
            let receipts: Vec<_> = foretold.transactions.iter().map(|tx| tx.receipt).collect();
            assert_eq!(receipts, execution.outcome().receipts, "{place}");
            for tx in &foretold.transactions {
                assert_eq!(tx.rejection.is_some(), tx.receipt.code() != 0, "{place}");
                rejected += usize::from(tx.receipt.code() != 0);
            }

            // The records: what they were, and what they become.
            let mut records = node.records.clone();
            for change in &foretold.records {
                assert_eq!(records.0.get(&change.key), change.before.as_ref(), "{place}");
                assert_ne!(change.before, change.after, "{place}");
                match &change.after {
                    Some(value) => drop(records.0.insert(change.key.clone(), value.clone())),
                    None => drop(records.0.remove(&change.key)),
                }
            }
            assert!(records == after.records, "{place}");
            assert!(foretold.records.is_sorted_by(|a, b| a.key < b.key));

            // Who is on: whoever changes sides is told, of whatever feature or plugin.
            for feature in after.state.features() {
                let shift = foretold.features.iter().find(|shift| shift.name == feature.name);
                for user in &ADDRESSES {
                    let (was, is) =
                        (node.state.is_enabled(&feature.name, user), after.state.is_enabled(&feature.name, user));
                    let told_on = shift.is_some_and(|shift| shift.switched_on.contains(user));
                    let told_off = shift.is_some_and(|shift| shift.switched_off.contains(user));
                    assert_eq!((told_on, told_off), (!was && is, was && !is), "{place}: {} {user}", feature.name);
                    switched += usize::from(was != is);
                }
            }
            for (plugin, _) in after.state.plugins() {
                let shift = foretold.plugins.iter().find(|shift| shift.name == *plugin);
                for user in &ADDRESSES {
                    let (was, is) = (node.state.route(plugin, &user.0), after.state.route(plugin, &user.0));
                    let told = shift.and_then(|shift| shift.moves.iter().find(|moved| moved.users.contains(user)));
                    assert_eq!(told.is_some(), was != is, "{place}: {plugin} {user}");
                    if let Some(told) = told {
                        assert_eq!((told.from.as_ref(), told.to.as_ref()), (was, is), "{place}: {plugin} {user}");
                        moved += 1;
                    }
                }
            }

            // What falls due, with the commands and without.
            let with: Vec<_> = Calendar::new(&after.state, 5).map(Result::unwrap).collect();
            assert_eq!(foretold.upcoming, with, "{place}");
            let mut empty = node.clone();
            let execution = empty.feed(&Block::empty(block.height()));
            assert_eq!(foretold.events_without, execution.outcome().events, "{place}");
            if node.state.tip().is_some() {
                let without: Vec<_> = Calendar::new(&empty.state, 5).map(Result::unwrap).collect();
                assert_eq!(foretold.upcoming_without, without, "{place}");
            }
            ahead += foretold.upcoming.len();
        });
    }
    assert!(switched > 200 && moved > 100 && rejected > 300 && ahead > 100, "{switched} {moved} {rejected} {ahead}");
}

/// The sample is the same everywhere, has nobody twice, and stands for all.
#[test]
fn the_sample_is_spread_evenly() {
    let users: Vec<_> = sample(10_000).collect();
    assert_eq!(users.iter().collect::<BTreeSet<_>>().len(), users.len());
    assert_eq!(users[1].to_string(), sample(2).last().unwrap().to_string());
    let low = users.iter().filter(|user| user.0[0] < 128).count();
    assert!((4_800..5_200).contains(&low), "{low}");
    for byte in 0..20 {
        let sum: u64 = users.iter().map(|user| u64::from(user.0[byte])).sum();
        assert!((1_240_000..1_310_000).contains(&sum), "byte {byte}: {sum}");
    }
}
