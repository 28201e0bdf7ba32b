//! A genesis and a few blocks that put, replace and delete records of every kind.

use coalmine_core::{Address, Block, Command, Genesis, Height, Name, Percent, Reason, Report, Role, Transaction};

pub(crate) const ADMIN: Address = Address([0x11; 20]);
pub(crate) const USER: Address = Address([0xee; 20]);
pub(crate) const FIRST: Height = 100;

pub(crate) fn genesis() -> Genesis {
    Genesis::new("example-1", [(ADMIN, Role::Admin.into())]).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn report(name: Name, successes: u32, errors: u32) -> Command {
    let report =
        Report { successes, errors, latency_total: 0, latency_peak: 0, invariant_checks: 0, invariant_failures: 0 };
    Command::Report { name, report }
}

/// One transaction a block, from [`FIRST`] on.
pub(crate) fn blocks() -> Vec<Block> {
    let (a, ab) = (name("a"), name("a.b"));
    let percent = |percent| Percent::new(percent).unwrap();
    let create = |name| Command::create_feature(name, "made by hand").unwrap();
    let txs = [
        vec![create(a), create(ab), Command::StartCanary { name: a, percent: percent(5) }],
        vec![Command::SetOverride { name: a, user: USER, enabled: true }, report(a, 500, 1)],
        vec![Command::StartRollout { name: a, target_percent: percent(100) }],
        vec![Command::Schedule { at: FIRST + 5, commands: vec![Command::Enable { name: ab }] }],
        vec![Command::ClearOverride { name: a, user: USER }],
        vec![Command::GrantRole { address: USER, role: Role::Guardian }],
        vec![Command::Rollback { name: a, reason: Reason::Manual }],
        vec![Command::StartCanary { name: a, percent: percent(50) }, report(a, 0, 1_000)],
        vec![Command::RevokeRole { address: USER, role: Role::Guardian }],
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
