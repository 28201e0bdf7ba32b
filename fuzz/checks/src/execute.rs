//! Any bytes as a block, on ledgers that have lived a little: no panic, a receipt for each transaction, and no
//! trace of a transaction that was rejected.

use std::collections::BTreeMap;

use coalmine_core::{Block, BlockError, Decode, Encode, Execution, Height, Key, Payload, Receipt, Reject};

use crate::worlds::lived;

/// The worlds that are tried: of features, of the feed, and of plugins with something deployed. All that can wait waits
/// in one of them.
pub const EXECUTE_WORLDS: [u8; 8] = [1, 2, 9, 33, 207, 231, 242, 255];

/// Executes the bytes as a block. The height in them chooses the world, where it becomes the next one.
pub fn execute(bytes: &[u8]) {
    let Ok(given) = Block::from_bytes(bytes) else { return };
    let chosen = usize::try_from(given.height()).unwrap() % EXECUTE_WORLDS.len();
    let state = &lived(EXECUTE_WORLDS[chosen]).state;
    let height = state.tip().unwrap() + 1;
    let block = Block::from_bytes(&at(height, bytes)).unwrap();
    let execution = match state.execute(&block) {
        Err(BlockError::UnknownRules { .. }) => {
            let idle = state.execute(&Block::empty(height));
            return assert!(
                matches!(idle, Err(BlockError::UnknownRules { .. })),
                "no transaction stops a node: {idle:?}"
            );
        }
        execution => execution.unwrap(),
    };
    let outcome = execution.outcome();
    assert_eq!(outcome.receipts.len(), block.payloads().count(), "a receipt for each transaction");
    for (payload, receipt) in block.payloads().zip(&outcome.receipts) {
        let is_malformed = *receipt == Receipt::Rejected { reject: Reject::Malformed, index: 0 };
        assert_eq!(matches!(payload, Payload::Malformed(_)), is_malformed, "{payload:?}");
    }
    if !outcome.receipts.contains(&Receipt::Ok) {
        let idle = state.execute(&Block::empty(height)).unwrap();
        assert_eq!(unnumbered(&execution), unnumbered(&idle), "what is written without a transaction that took effect");
        let has_sequence = |payload| matches!(payload, Payload::Transaction(tx) if tx.sequence().is_some());
        if !block.payloads().any(has_sequence) {
            assert_eq!(execution.root(), idle.root(), "the root without one");
        }
        assert_eq!(outcome.events, idle.outcome().events, "the events without one");
    }
    let root = execution.root();
    let mut next = state.clone();
    next.apply(execution).unwrap();
    assert_eq!(next.root(), root, "the root of the execution");
}

/// What an execution writes but for the sequences, which a transaction uses up whatever becomes of it.
fn unnumbered(execution: &Execution) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    let mut writes = BTreeMap::new();
    for (key, value) in execution.writes().iter() {
        if !matches!(Key::from_bytes(key), Ok(Key::Sequence(_))) {
            writes.insert(key.to_vec(), value.map(<[u8]>::to_vec));
        }
    }
    writes
}

/// The blocks that these worlds have lived through, under the heights that choose them.
pub fn lived_blocks() -> impl Iterator<Item = Vec<u8>> {
    (0..).zip(EXECUTE_WORLDS).flat_map(|(number, seed)| {
        let blocks = lived(seed).blocks.iter().filter(|block| !block.is_empty());
        blocks.map(move |block| at(number, &block.to_bytes()))
    })
}

/// The block at another height, which is what its bytes begin with.
fn at(height: Height, block: &[u8]) -> Vec<u8> {
    [&height.to_be_bytes(), &block[4..]].concat()
}
