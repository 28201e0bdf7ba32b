//! Any bytes as a block, on ledgers that have lived a little: no panic, a receipt for each transaction, and no
//! trace of a transaction that was rejected.

use coalmine_core::{Block, Decode, Encode, Height, Payload, Receipt, Reject};

use crate::worlds::lived;

/// The worlds that are tried: of features, of the feed, and of plugins with something deployed.
const SEEDS: [u8; 8] = [1, 2, 7, 33, 200, 231, 240, 255];

/// Executes the bytes as a block. The height in them chooses the world, where it becomes the next one.
pub fn execute(bytes: &[u8]) {
    let Ok(given) = Block::from_bytes(bytes) else { return };
    let chosen = usize::try_from(given.height()).unwrap() % SEEDS.len();
    let state = &lived(SEEDS[chosen]).state;
    let height = state.tip().unwrap() + 1;
    let block = Block::from_bytes(&at(height, bytes)).unwrap();
    let execution = state.execute(&block).unwrap();
    let outcome = execution.outcome();
    assert_eq!(outcome.receipts.len(), block.payloads().count(), "a receipt for each transaction");
    for (payload, receipt) in block.payloads().zip(&outcome.receipts) {
        let is_malformed = *receipt == Receipt::Rejected { reject: Reject::Malformed, index: 0 };
        assert_eq!(matches!(payload, Payload::Malformed(_)), is_malformed, "{payload:?}");
    }
    if !outcome.receipts.contains(&Receipt::Ok) {
        let idle = state.execute(&Block::empty(height)).unwrap();
        assert_eq!(execution.root(), idle.root(), "the root without a transaction that took effect");
        assert_eq!(outcome.events, idle.outcome().events, "the events without one");
    }
    let root = execution.root();
    let mut next = state.clone();
    next.apply(execution).unwrap();
    assert_eq!(next.root(), root, "the root of the execution");
}

/// The blocks that these worlds have lived through, under the heights that choose them.
pub fn lived_blocks() -> impl Iterator<Item = Vec<u8>> {
    (0..).zip(SEEDS).flat_map(|(number, seed)| {
        let blocks = lived(seed).blocks.iter().filter(|block| !block.is_empty());
        blocks.map(move |block| at(number, &block.to_bytes()))
    })
}

/// The block at another height, which is what its bytes begin with.
fn at(height: Height, block: &[u8]) -> Vec<u8> {
    [&height.to_be_bytes(), &block[4..]].concat()
}
