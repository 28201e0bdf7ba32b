//! Blocks: what was submitted is executed once, and everybody can see what came of it.

use std::time::Duration;

use coalmine_core::{Command, Reject};
use coalmine_node::testing::{genesis, key, manual, running, signed};
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
