//! The genesis and the blocks of the conformance suite, and larger ones.

#[allow(dead_code, reason = "most of it is for the example rule_sets, which is this file, too")]
pub(crate) mod rules;

#[cfg(feature = "rocksdb")]
use coalmine_core::{Block, Command, Height, Transaction};
#[cfg(feature = "rocksdb")]
pub(crate) use coalmine_model::support::commands::{ADMIN, name};
pub(crate) use coalmine_store::conformance::{FIRST, blocks, genesis};

/// A block that creates features with descriptions that hardly compress.
#[cfg(feature = "rocksdb")]
pub(crate) fn large_block(height: Height) -> Block {
    let mut random = u64::from(height);
    let mut digits = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        format!("{random:016x}")
    };
    let mut create = |number: u32| {
        let description: String = (0..60).map(|_| digits()).collect();
        Command::create_feature(name(&format!("f{height}.{number}")), &description).unwrap()
    };
    let txs = (0..32).map(|tx| Transaction::new(ADMIN, (0..16).map(|n| create(16 * tx + n)).collect()).unwrap());
    Block::new(height, txs.collect()).unwrap()
}
