//! Blocks: what was submitted is executed once, and everybody can see what came of it.

use std::num::NonZeroU32;
use std::time::Duration;

use coalmine_chart::Subject;
use coalmine_core::{Command, Reject, Role};
use coalmine_node::testing::{address, genesis, key, manual, running, signed};
use coalmine_node::{Options, Submitted, TxState};

fn create(name: &str) -> Vec<Command> {
    vec![Command::create_feature(name.parse().unwrap(), "").unwrap()]
}

#[test]
fn what_is_submitted_is_executed_once() {
    let (node, mut blocks) = manual(&genesis(), Options::default());
    let envelope = signed(&node, &key(1), 1, create("a"));
    let Submitted::Pending(id) = node.submit(&envelope).unwrap() else { panic!("it is new") };
    assert_eq!(node.submit(&envelope).unwrap(), Submitted::Pending(id));
    assert_eq!(blocks.block().unwrap(), 1);
    let TxState::Committed(record) = node.transaction(&id).unwrap() else { panic!("it is committed") };
    assert_eq!((record.height, record.index, record.receipt.code(), record.events.len()), (1, 0, 0, 1));
    assert_eq!(node.submit(&envelope).unwrap(), Submitted::Committed(record));
    assert_eq!(blocks.block().unwrap(), 2);
    assert_eq!(node.outcomes(0, 10).unwrap().len(), 1);
    let again = signed(&node, &key(1), 2, create("a"));
    node.submit(&again).unwrap();
    blocks.block().unwrap();
    assert_eq!(node.outcome(3).unwrap().unwrap().txs[0].receipt.code(), Reject::FeatureAlreadyExists.code());
}

#[tokio::test]
async fn a_node_that_runs_commits() {
    let running = running(&genesis(), Options::default(), Duration::from_millis(10));
    let node = running.node();
    let Submitted::Pending(id) = node.submit(&signed(node, &key(1), 1, create("a"))).unwrap() else { panic!() };
    let record = node.settled(id, Duration::from_secs(10)).await.unwrap();
    assert_eq!(record.receipt.code(), 0);
    assert!(node.wait_for(record.height + 3, Duration::from_secs(10)).await.is_ok());
}

#[test]
fn what_finds_no_room_waits_for_the_next_block() {
    let (node, mut blocks) = manual(&genesis(), Options::default());
    // 64 transactions of 16 sweeps each pay for a whole block, whatever becomes of them.
    let operator = Command::GrantRole { address: address(&key(3)), role: Role::Operator };
    node.submit(&signed(&node, &key(1), 1, vec![operator])).unwrap();
    blocks.block().unwrap();
    for sequence in 2..=65 {
        let sweeps = vec![Command::SetHostVersion { version: "1.0.0".parse().unwrap() }; 16];
        node.submit(&signed(&node, &key(1), sequence, sweeps)).unwrap();
    }
    for (sequence, name) in [(1, "a"), (2, "b")] {
        node.submit(&signed(&node, &key(3), sequence, vec![Command::Enable { name: name.parse().unwrap() }])).unwrap();
    }
    let codes = |height| -> Vec<u16> {
        node.outcome(height).unwrap().unwrap().txs.iter().map(|tx| tx.receipt.code()).collect()
    };
    let height = blocks.block().unwrap();
    assert_eq!((codes(height).len(), node.pending()), (64, 2), "{:?}", codes(height));
    let height = blocks.block().unwrap();
    assert_eq!((codes(height), node.pending()), (vec![Reject::FeatureNotFound.code(); 2], 0));
}

#[test]
fn what_is_old_is_pruned_and_the_state_is_not() {
    let options = Options { keep_blocks: NonZeroU32::new(3), ..Options::default() };
    let (node, mut blocks) = manual(&genesis(), options);
    let name = "a".parse().unwrap();
    let mut ids = Vec::new();
    for sequence in 1..=6 {
        let commands = match sequence {
            1 => create("a"),
            2 | 4 | 6 => vec![Command::Enable { name }],
            _ => vec![Command::Disable { name }],
        };
        let Submitted::Pending(id) = node.submit(&signed(&node, &key(1), sequence, commands)).unwrap() else {
            panic!()
        };
        ids.push(id);
        blocks.block().unwrap();
    }
    let kept = |height| node.outcome(height).unwrap().is_some();
    assert_eq!([1, 2, 3, 4, 5, 6].map(kept), [false, false, false, true, true, true]);
    assert_eq!(node.oldest_outcome(), 4);
    assert_eq!([3, 4].map(|height| node.envelopes(height).unwrap().len()), [0, 1]);
    let heights = |samples: Vec<(u32, _)>| -> Vec<u32> { samples.into_iter().map(|(height, _)| height).collect() };
    assert_eq!(heights(node.samples(Subject::Feature, &name, 0, u32::MAX, 10).unwrap()), [4, 5, 6]);
    assert_eq!(heights(node.samples(Subject::Feature, &name, 5, 6, 1).unwrap()), [5]);
    assert_eq!(node.samples(Subject::Plugin, &name, 0, u32::MAX, 10).unwrap(), []);
    assert_eq!(node.transaction(&ids[2]).unwrap(), TxState::Unknown(None));
    assert!(matches!(node.transaction(&ids[3]).unwrap(), TxState::Committed(_)));
    // What is forgotten is not executed again either.
    let again = signed(&node, &key(1), 1, create("a"));
    assert!(node.submit(&again).unwrap_err().to_string().contains("used up"));
    let changes = node.records(|records| coalmine_core::query::history(records, &name, None, 100).unwrap().len());
    assert_eq!(changes, 6, "the history of the state has all of it");
}

#[test]
fn marks_of_what_is_built_on_it_are_kept() {
    let (node, _blocks) = manual(&genesis(), Options::default());
    assert_eq!(node.meta_get("sink/a").unwrap(), None);
    node.meta_put("sink/a", Some(b"7")).unwrap();
    assert_eq!(node.meta_get("sink/a").unwrap(), Some(b"7".to_vec()));
    // The marks of the node itself are others.
    assert_eq!(node.meta_get("genesis").unwrap(), None);
    node.meta_put("sink/a", None).unwrap();
    assert_eq!(node.meta_get("sink/a").unwrap(), None);
}
