//! What waits for a block: a row for each refusal, the order, the limits, and what leaves without a block.

use std::num::NonZeroU32;

use coalmine_auth::{Envelope, SMALL_ORDER, SecretKey};
use coalmine_core::{
    Address, Command, Encode as _, Genesis, Hash, Height, Reason, Role, Sequence, Transaction, TxCommand,
};
use coalmine_node::database::Sync;
use coalmine_node::testing::{Manual, address, key, manual};
use coalmine_node::{Limits, Node, NotSettled, Options, Refusal, SubmitError, Submitted, TxState};

/// Key 1 is the admin, 2 and 3 are operators, 4 holds no role.
fn genesis() -> Genesis {
    let admin = (address(&key(1)), Role::Admin.into());
    let operators = [2, 3].map(|number| (address(&key(number)), Role::Operator.into()));
    Genesis::new("pool-1", operators.into_iter().chain([admin])).unwrap()
}

fn start(limits: Limits) -> (Node, Manual) {
    manual(&genesis(), Options { limits, ..Options::default() })
}

fn transaction(key: &SecretKey, number: u64, valid_until: Height, commands: Vec<Command>) -> Transaction {
    let sequence = Sequence { number, valid_until: NonZeroU32::new(valid_until) };
    Transaction::new(address(key), commands).unwrap().with_sequence(sequence)
}

fn envelope(node: &Node, number: u8, sequence: u64, commands: Vec<Command>) -> Vec<u8> {
    valid_until(node, number, sequence, 0, commands)
}

fn valid_until(node: &Node, number: u8, sequence: u64, height: Height, commands: Vec<Command>) -> Vec<u8> {
    let tx = transaction(&key(number), sequence, height, commands);
    Envelope::sign(node.domain(), &tx, &key(number)).unwrap().to_bytes()
}

/// Waits for a block like others do.
fn plain() -> Vec<Command> {
    vec![Command::Enable { name: "a".parse().unwrap() }]
}

/// Goes first.
fn urgent() -> Vec<Command> {
    vec![Command::Rollback { name: "a".parse().unwrap(), reason: Reason::Manual }]
}

fn submitted(node: &Node, envelope: &[u8]) -> Hash {
    match node.submit(envelope).unwrap() {
        Submitted::Pending(id) => id,
        Submitted::Committed(record) => panic!("{record:?}"),
    }
}

/// The refusal of an envelope, in words.
fn refused(node: &Node, envelope: &[u8]) -> String {
    let (before, error) = (node.pending(), node.submit(envelope).unwrap_err());
    assert_eq!(node.pending(), before, "nothing was taken");
    error.to_string()
}

#[test]
fn what_cannot_be_executed_is_refused() {
    let (node, mut blocks) = start(Limits::default());
    submitted(&node, &envelope(&node, 2, 5, plain()));
    blocks.block_at(10).unwrap();
    submitted(&node, &envelope(&node, 2, 9, plain()));

    let other = Genesis::new("pool-2", [(address(&key(2)), Role::Admin.into())]).unwrap();
    let (elsewhere, _) = manual(&other, Options::default());
    let mut forged = envelope(&node, 2, 20, plain());
    *forged.last_mut().unwrap() ^= 1;
    let mut no_transaction = envelope(&node, 2, 20, plain());
    // The length of the command in the transaction.
    no_transaction[39] = 0xff;
    let unsequenced = {
        let tx = Transaction::new(address(&key(2)), plain()).unwrap().to_bytes();
        let proof = envelope(&node, 2, 20, plain());
        [&[1][..], &u32::try_from(tx.len()).unwrap().to_be_bytes(), &tx, &proof[proof.len() - 97..]].concat()
    };
    let reserved = Command::GrantRole { address: SMALL_ORDER[0].address(), role: Role::Operator };
    for (about, envelope, why) in [
        ("nothing", Vec::new(), "this is no envelope"),
        ("no envelope", b"hello".to_vec(), "this is no envelope"),
        ("an endless one", vec![1; 1 << 20], "an envelope has at most"),
        ("no transaction", no_transaction, "the envelope holds no transaction"),
        ("no sequence", unsequenced, "the transaction has no sequence"),
        ("forged", forged, "the signature of key"),
        ("of another ledger", envelope(&elsewhere, 2, 20, plain()), "another transaction, chain or genesis was signed"),
        ("of nobody", envelope(&node, 4, 20, plain()), "holds no role"),
        ("used", envelope(&node, 2, 5, urgent()), "sequence 5 is used up: the last one of this signer is 5"),
        ("below", envelope(&node, 2, 4, plain()), "sequence 4 is used up"),
        ("pending", envelope(&node, 2, 9, urgent()), "another transaction with sequence 9 waits; sign it anew with 10"),
        (
            "late",
            valid_until(&node, 2, 20, 10, plain()),
            "it was good until height 10, and the next block has height 11",
        ),
        ("a role for all", envelope(&node, 1, 20, vec![reserved]), "anybody"),
    ] {
        let found = refused(&node, &envelope);
        assert!(found.contains(why), "{about}: {found}");
    }
    // Good until the next block, and between two that are used.
    submitted(&node, &valid_until(&node, 2, 20, 11, plain()));
    submitted(&node, &envelope(&node, 2, 7, plain()));
    node.begin_stop();
    assert!(refused(&node, &envelope(&node, 2, 30, plain())).contains("takes no transactions: it stops"));
}

#[test]
fn there_is_room_for_so_many() {
    let limits = Limits { transactions: 3, per_signer: 2, bytes: 1 << 20 };
    let (node, mut blocks) = start(limits);
    submitted(&node, &envelope(&node, 2, 1, plain()));
    submitted(&node, &envelope(&node, 2, 2, plain()));
    assert!(refused(&node, &envelope(&node, 2, 3, urgent())).contains("2 transactions of this signer wait"));
    submitted(&node, &envelope(&node, 3, 1, plain()));
    assert!(refused(&node, &envelope(&node, 1, 1, urgent())).contains("too many transactions wait"));
    blocks.block().unwrap();
    submitted(&node, &envelope(&node, 1, 1, plain()));

    let (node, _blocks) = start(Limits { bytes: 400, ..Limits::default() });
    submitted(&node, &envelope(&node, 2, 1, plain()));
    submitted(&node, &envelope(&node, 3, 1, plain()));
    assert!(refused(&node, &envelope(&node, 1, 1, plain())).contains("too many transactions wait"));
    assert_eq!(Limits::default().transactions, 5_000);
    assert_eq!(Limits::default().per_signer, 64);
}

/// Who goes in which order: (key, sequence, whether it is urgent) as they come, and as the block has them.
#[test]
fn what_makes_things_safer_goes_first() {
    for (about, come, go) in [
        ("by arrival", vec![(2, 1, false), (3, 1, false), (1, 1, false)], vec![(2, 1), (3, 1), (1, 1)]),
        ("urgent ones first", vec![(2, 1, false), (3, 1, true), (1, 1, true)], vec![(3, 1), (1, 1), (2, 1)]),
        ("by sequence of one signer", vec![(2, 9, false), (2, 3, false), (3, 1, false)], vec![(2, 3), (2, 9), (3, 1)]),
        (
            "nobody shuts out what it sent before",
            vec![(3, 1, false), (2, 1, false), (2, 2, true), (2, 3, false)],
            vec![(2, 1), (2, 2), (3, 1), (2, 3)],
        ),
    ] {
        let (node, mut blocks) = start(Limits::default());
        for (number, sequence, is_urgent) in come {
            submitted(&node, &envelope(&node, number, sequence, if is_urgent { urgent() } else { plain() }));
        }
        let height = blocks.block().unwrap();
        let found = node.envelopes(height).unwrap();
        let found: Vec<(Address, u64)> = found.iter().map(|envelope| of(envelope)).collect();
        let expected: Vec<(Address, u64)> =
            go.iter().map(|(number, sequence)| (address(&key(*number)), *sequence)).collect();
        assert_eq!(found, expected, "{about}");
        assert_eq!(node.pending(), 0, "{about}");
    }
}

fn of(envelope: &[u8]) -> (Address, u64) {
    use coalmine_core::Decode as _;

    let envelope = Envelope::from_bytes(envelope).unwrap();
    let tx = Transaction::from_bytes(envelope.transaction()).unwrap();
    assert!(tx.commands().iter().all(|command| matches!(command, TxCommand::Valid(_))));
    (*tx.signer(), tx.sequence().unwrap().number)
}

#[tokio::test]
async fn what_can_no_longer_be_executed_leaves() {
    let (node, mut blocks) = start(Limits::default());
    blocks.block().unwrap();
    let expiring = submitted(&node, &valid_until(&node, 2, 1, 5, plain()));
    let revoked = submitted(&node, &envelope(&node, 3, 7, plain()));
    assert_eq!((node.sequence(&address(&key(3))).last, node.sequence(&address(&key(3))).next), (0, 8));

    // A block that others have made has neither of them, and takes the role of key 3.
    let revoke = Command::RevokeRole { address: address(&key(3)), role: Role::Operator };
    let foreign = envelope(&node, 1, 1, vec![revoke]);
    let stamp = coalmine_node::Stamp::default();
    blocks.chain().commit(6, &[(Hash([7; 32]), &foreign)], &stamp, Sync::Now).unwrap();
    assert_eq!(node.pending(), 0);
    let why = |id| match node.transaction(&id).unwrap() {
        TxState::Unknown(Some(refusal)) => refusal,
        other @ (TxState::Pending | TxState::Committed(_) | TxState::Unknown(None)) => panic!("{other:?}"),
    };
    assert_eq!(why(expiring), Refusal::Expired { valid_until: 5, next: 6 });
    assert_eq!(why(revoked), Refusal::NoRole(address(&key(3))));
    let settled = node.settled(expiring, std::time::Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(settled, NotSettled::Gone(Some(Refusal::Expired { .. }))), "{settled}");
    assert_eq!(node.transaction(&Hash([9; 32])).unwrap(), TxState::Unknown(None));

    // A sequence that a foreign block has used.
    let mine = submitted(&node, &envelope(&node, 2, 3, plain()));
    let foreign = envelope(&node, 2, 4, plain());
    blocks.chain().commit(7, &[(Hash([8; 32]), &foreign)], &stamp, Sync::Now).unwrap();
    assert_eq!(why(mine), Refusal::SequenceUsed { sequence: 3, last: 4 });
    assert!(matches!(node.submit(&envelope(&node, 2, 3, plain())), Err(SubmitError::Refused(_))));
}
