//! No command runs twice.

use super::*;

/// A number, an end, and what becomes of it behind those before.
#[test]
fn a_sequence_is_used_once_and_rises() {
    use Reject::{BadSequence, Expired, InvalidTransition, Unauthorized};
    let flip = |on| vec![if on { enable("f") } else { disable("f") }];
    // Signer, number, valid until, commands, receipt, the last number behind it.
    type Row = (&'static str, Address, u64, Height, Vec<Command>, Receipt, Option<u64>);
    let rows: Vec<Row> = vec![
        ("0 is above none", OPERATOR, 0, 0, flip(true), refused(BadSequence), None),
        ("the first", OPERATOR, 5, 0, flip(true), Receipt::Ok, Some(5)),
        ("again", OPERATOR, 5, 0, flip(false), refused(BadSequence), Some(5)),
        ("a lower one", OPERATOR, 4, 0, flip(false), refused(BadSequence), Some(5)),
        ("a gap", OPERATOR, 9, 0, flip(false), Receipt::Ok, Some(9)),
        ("of another signer", REPORTER, 5, 0, vec![grant(USER, Role::Admin)], refused(Unauthorized), Some(9)),
        ("used by what fails", OPERATOR, 10, 0, flip(false), refused(InvalidTransition), Some(10)),
        ("valid until now", OPERATOR, 11, 9, flip(true), Receipt::Ok, Some(11)),
        ("valid until the block before", OPERATOR, 12, 9, flip(false), refused(Expired), Some(11)),
        ("what has expired is not used", OPERATOR, 12, 0, flip(false), Receipt::Ok, Some(12)),
        ("the sequence before its end", OPERATOR, 12, 1, flip(true), refused(BadSequence), Some(12)),
        ("the last", OPERATOR, u64::MAX, 0, flip(true), Receipt::Ok, Some(u64::MAX)),
        ("none is above", OPERATOR, u64::MAX, 0, flip(false), refused(BadSequence), Some(u64::MAX)),
    ];
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let last = |world: &World, signer| {
        let value = world.records.0.get(&Key::Sequence(signer).to_bytes());
        value.map(|value| u64::from_be_bytes(value.as_slice().try_into().unwrap()))
    };
    for (height, (what, signer, number, until, commands, receipt, then)) in (2..).zip(rows) {
        let outcome = world.block(height, vec![sequenced(signer, number, until, &commands)]);
        assert_eq!(outcome.receipts, [receipt], "{what}");
        assert_eq!(last(&world, OPERATOR), then, "{what}");
    }
    assert_eq!(last(&world, REPORTER), Some(5), "a number is used whatever becomes of the commands");
}

/// Everything is undone but the number, in the middle of a block, too.
#[test]
fn a_transaction_that_fails_undoes_all_but_its_number() {
    let mut world = World::new();
    world.run(1, ADMIN, &[create("f")]);
    let fails = [enable("f"), set_override("f", USER, true), enable("nobody")];
    let mut other = world.clone();
    let outcome = world.block(2, vec![sequenced(OPERATOR, 7, 0, &fails), tx(OPERATOR, &[enable("f")])]);
    assert_eq!(outcome.receipts, [rejected(Reject::FeatureNotFound, 2), Receipt::Ok]);
    other.block(2, vec![tx(OPERATOR, &[enable("f")])]);
    let mut records = world.records.clone();
    assert_eq!(records.0.remove(&Key::Sequence(OPERATOR).to_bytes()), Some(7_u64.to_be_bytes().into()));
    assert_eq!(records, other.records);
}

#[test]
fn strangers_write_nothing_and_everybody_must_count_if_the_ledger_says_so() {
    let mut world = World::with_params(params(ParamsChanges { sequenced: Some(true), ..ParamsChanges::default() }));
    let create = |signer, number| sequenced(signer, number, 0, &[create("f")]);
    let payloads = vec![
        create(NOBODY, 1),
        tx(NOBODY, &[enable("f")]),
        tx(ADMIN, &[enable("f")]),
        create(OPERATOR, 1),
        create(ADMIN, 1),
        sequenced(OPERATOR, 2, 0, &[schedule(5, vec![enable("f")])]),
        Payload::from_bytes(b"?"),
    ];
    use Reject::{BadSequence, Malformed, Unauthorized};
    let expected = [
        refused(Unauthorized),
        refused(Unauthorized),
        refused(BadSequence),
        refused(Unauthorized),
        Receipt::Ok,
        Receipt::Ok,
        refused(Malformed),
    ];
    assert_eq!(world.block(1, payloads).receipts, expected);
    let signers: Vec<Key> = world.records.keys(KeyPrefix::Trust).collect();
    assert_eq!(signers, [Key::Sequence(ADMIN), Key::Sequence(OPERATOR)], "strangers cannot grow the state");
    // What is scheduled has no sequence, and needs none.
    assert_eq!(executed(&world.at(5, vec![]).events), [(0, 0)]);
}
