//! A genesis and a few blocks that put, replace and delete records of every kind.

use coalmine_core::{Block, Command, Genesis, Height, Reason, Role, Transaction};
use coalmine_model::support::commands::{canary, clear_override, enable, grant, report, revoke, rollout, set_override};

pub(crate) use coalmine_model::support::commands::{ADMIN, USER, name};

pub(crate) const FIRST: Height = 100;

pub(crate) fn genesis() -> Genesis {
    Genesis::new("example-1", [(ADMIN, Role::Admin.into())]).unwrap()
}

/// One transaction a block, from [`FIRST`] on.
pub(crate) fn blocks() -> Vec<Block> {
    let create = |feature| Command::create_feature(name(feature), "made by hand").unwrap();
    let rollback = Command::Rollback { name: name("a"), reason: Reason::Manual };
    let txs = [
        vec![create("a"), create("a.b"), canary("a", 5)],
        vec![set_override("a", USER, true), report("a", 500, 1)],
        vec![rollout("a", 100)],
        vec![Command::Schedule { at: FIRST + 5, commands: coalmine_core::Valid::new(vec![enable("a.b")]).unwrap() }],
        vec![clear_override("a", USER)],
        vec![grant(USER, Role::Guardian)],
        vec![rollback],
        vec![canary("a", 50), report("a", 0, 1_000)],
        vec![revoke(USER, Role::Guardian)],
    ];
    let block = |(height, commands)| Block::new(height, vec![Transaction::new(ADMIN, commands).unwrap()]).unwrap();
    (FIRST..).zip(txs).map(block).collect()
}

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
