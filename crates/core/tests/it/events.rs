//! Which events are of which transaction.

use coalmine_core::Block;

use crate::common::{ADMIN, World, create, enable, schedule, tx};

#[test]
fn events_are_of_due_work_or_of_one_transaction() {
    let mut world = World::new();
    world.next(&[create("a")]);
    let next = world.tip() + 2;
    world.next(&[schedule(next, vec![enable("a")])]);
    let txs = vec![
        tx(ADMIN, &[create("b")]),
        // Undone, with its events.
        tx(ADMIN, &[enable("b"), create("a")]),
        tx(ADMIN, &[enable("b"), create("c")]),
    ];
    let execution = world.state.execute(&Block::from_payloads(next, txs).unwrap()).unwrap();
    let names = |tx: usize| execution.events_of(tx).iter().map(|event| event.code().name()).collect::<Vec<_>>();
    let found: Vec<_> = (0..4).map(names).collect();
    assert_eq!(found, [vec!["feature_created"], vec![], vec!["status_changed", "feature_created"], vec![]]);
    assert_eq!(execution.outcome().events.len(), 5, "two are of due work");
}
