//! The state machine against the plain model, in lockstep, on random worlds.
//!
//! After every block both agree on receipts, events, every key and value, the root, who is in, and
//! the history; executing changes nothing; advancing is feeding empty blocks; a state that is loaded
//! from its records goes on like the one that wrote them.
//!
//! `COALMINE_MODEL_WORLDS` sets how many seeds each mix of worlds runs, `COALMINE_MODEL_SEED` runs one of
//! them. The long form, of about a million transactions and two million blocks:
//! `COALMINE_MODEL_WORLDS=3200 cargo test --release -p coalmine-core --test it model::worlds_of_ -- --nocapture`.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use coalmine_core::{Block, BlockError, EventCode, FeatureChanges, Outcome, Params, Policy, Receipt, Reject, RuleSet};
use coalmine_model::generate::{Mix, RandomWorld};
use coalmine_model::support::{Lockstep, assert_same};
use coalmine_model::{Model, Planted, TEST_RULES};
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};

use crate::common::*;

/// Seeds that are run when nothing else is said.
pub(crate) const WORLDS: u64 = 300;
/// The same of worlds that change the rules, each of which walks the blocks of the notice.
pub(crate) const RULES_WORLDS: u64 = 40;
/// Blocks of a world, without the empty ones between them.
pub(crate) const BLOCKS: usize = 30;

/// What is routed: nothing, a byte, an address, and more than fits into a few blocks of the hash.
const UNITS: [&[u8]; 5] = [b"", b"a", b"b", &[0x31; 20], &[0xc7; 200]];

/// What has been fed to both: a block or a transaction is a step.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    blocks: usize,
    transactions: usize,
}

/// Feeds a block to both, and to an equal state from its records.
fn feed(both: &mut Lockstep, block: &Block) -> Outcome {
    let before = (block.height().is_multiple_of(8)).then(|| format!("{:?}", both.state));
    let root_before = both.state.root();
    let execution = both.state.execute(block).unwrap();
    assert_same(&execution, &both.state.execute(block).unwrap());
    assert_same(&execution, &both.reloaded().execute(block).unwrap());
    assert_eq!(both.state.root(), root_before, "execute changed the root");
    if let Some(before) = before {
        assert!(format!("{:?}", both.state) == before, "execute changed the state");
    }
    both.commit_alike(execution, block)
}

fn refuses_other_heights(both: &Lockstep) {
    let tip = both.state.tip().unwrap();
    for height in [Some(tip), tip.checked_sub(1), tip.checked_add(2), Some(u32::MAX)].into_iter().flatten() {
        if Some(height) != tip.checked_add(1) {
            let refused = matches!(
                both.state.execute(&Block::empty(height)),
                Err(BlockError::Height { .. } | BlockError::NotAbove { .. })
            );
            assert!(refused, "block {height} after {tip}");
            assert!(both.model.clone().execute(&Block::empty(height)).is_err(), "block {height} after {tip}");
        }
    }
}

/// Runs a world through both.
pub(crate) fn agree(world: &RandomWorld, planted: Option<Planted>) -> Steps {
    let mut both = Lockstep::genesis(&world.genesis, planted);
    let mut steps = Steps::default();
    for block in &world.blocks {
        // A world may go further than this build knows the rules.
        if both.agree_on_unknown_rules_until(block.height()) {
            return steps;
        }
        if let Some(tip) = both.state.tip() {
            both.advance(block.height() - 1);
            steps.blocks += usize::try_from(block.height() - 1 - tip).unwrap();
        }
        steps.transactions += feed(&mut both, block).receipts.len();
        steps.blocks += 1;
        both.agree_on_answers(&UNITS);
        refuses_other_heights(&both);
    }
    both.agree_on_unknown_rules();
    steps
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Catches a panic, which is not told then; those of other tests are.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                hook(info)
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    QUIET.set(false);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// Runs a world through both; if they disagree, shrinks it and says how to see it again.
fn check(world: RandomWorld, planted: Option<Planted>, again: &str) -> Result<Steps, String> {
    let run = |world: &RandomWorld| caught(|| agree(world, planted));
    run(&world).map_err(|_| {
        let smallest = world.shrink(|world| run(world).is_err());
        let why = run(&smallest).err().unwrap_or_default();
        let lines =
            |block: &Block| -> String { block.payloads().map(|payload| format!("\n    {payload:?}")).collect() };
        let blocks: String =
            smallest.blocks.iter().map(|block| format!("\n  block {}{}", block.height(), lines(block))).collect();
        format!("core and model disagree: {why}\nafter {:?}{blocks}\nrepeat: {again}", smallest.genesis)
    })
}

/// The steps of the worlds of these seeds, or what the first one shows that does not agree.
pub(crate) fn check_seeds(mix: Mix, planted: Option<Planted>, seeds: Range<u64>, test: &str) -> Result<Steps, String> {
    let mut steps = Steps::default();
    for seed in seeds {
        let again = format!("COALMINE_MODEL_SEED={seed} cargo test --release -p coalmine-core --test it model::{test}");
        let Steps { blocks, transactions } = check(RandomWorld::of_seed(mix, seed, BLOCKS), planted, &again)?;
        steps.blocks += blocks;
        steps.transactions += transactions;
    }
    Ok(steps)
}

#[track_caller]
fn check_mix(mix: Mix, test: &str) {
    let seeds = match variable("COALMINE_MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("COALMINE_MODEL_WORLDS").unwrap_or(WORLDS),
    };
    let worlds = seeds.end - seeds.start;
    let Steps { blocks, transactions } =
        check_seeds(mix, None, seeds, test).unwrap_or_else(|difference| panic!("{difference}"));
    println!("{worlds} worlds: {} steps, {blocks} blocks and {transactions} transactions", blocks + transactions);
}

#[test]
fn worlds_of_seeds() {
    check_mix(Mix::Features, "worlds_of_seeds");
}

#[test]
fn worlds_of_plugins() {
    check_mix(Mix::Plugins, "worlds_of_plugins");
}

#[test]
fn worlds_of_both() {
    check_mix(Mix::Both, "worlds_of_both");
}

/// Worlds that change to the rules for tests half-way: a build that has them goes on, and any other stops before that block.
#[test]
fn worlds_of_rules() {
    let is_known = RuleSet::from_number(TEST_RULES).is_some();
    let mut changed = 0;
    let worlds = variable("COALMINE_MODEL_WORLDS").unwrap_or(RULES_WORLDS);
    for seed in 0..worlds {
        let world = RandomWorld::of_rules(seed, BLOCKS);
        let again = format!("seed {seed} of the worlds of rules");
        check(world.clone(), None, &again).unwrap_or_else(|difference| panic!("{difference}"));
        let mut model = Model::genesis(&world.genesis).with_test_rules();
        world.blocks.iter().for_each(|block| {
            model.advance(block.height().saturating_sub(1)).unwrap();
            model.execute(block).unwrap();
        });
        changed += u64::from(model.rules() == TEST_RULES);
    }
    println!("{changed} worlds change to rules that are known: {is_known}");
    assert!(changed > worlds / 3, "{changed} of {worlds} worlds change the rules");
}

/// Bytes that print as hex.
struct Hex(Vec<u8>);

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

proptest! {
    // The world shrinks better than its bytes.
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn worlds_of_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..2_000).prop_map(Hex)) {
        check(RandomWorld::from_bytes(&bytes.0, BLOCKS), None, "the bytes below").unwrap_or_else(|difference| panic!("{difference}"));
    }
}

#[test]
fn worlds_reach_every_reject_and_event() {
    let (mut rejects, mut events) = (BTreeSet::new(), BTreeSet::new());
    for (mix, seed) in Mix::ALL.iter().flat_map(|mix| (0..WORLDS).map(|seed| (*mix, seed))) {
        let world = RandomWorld::of_seed(mix, seed, BLOCKS);
        let mut model = Model::genesis(&world.genesis);
        for block in &world.blocks {
            for gap in model.tip().map_or(block.height(), |tip| tip + 1)..block.height() {
                model.execute(&Block::empty(gap)).unwrap();
            }
            let outcome = model.execute(block).unwrap();
            rejects.extend(outcome.receipts.iter().map(Receipt::code).filter(|code| *code != 0));
            events.extend(outcome.events.iter().map(|event| event.code().tag()));
        }
    }
    // Rarer than any of the seeds: a rollout whose prerequisite goes off.
    let above = Policy { prerequisites: vec![name("base")], ..Policy::default() };
    let story = [
        vec![create("base"), create_with("f", FeatureChanges { policy: Some(above), ..steps_every(1) })],
        vec![enable("base"), canary("f", 5), rollout("f", 100), disable("base")],
        vec![],
    ];
    let mut model = Model::genesis(&coalmine_model::support::genesis(Params::default()));
    for (height, commands) in (1..).zip(story) {
        let payloads = commands.iter().map(|command| tx(ADMIN, std::slice::from_ref(command))).collect();
        let outcome = model.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap();
        events.extend(outcome.events.iter().map(|event| event.code().tag()));
    }
    let missing: Vec<_> = Reject::ALL.iter().filter(|reject| !rejects.contains(&reject.code())).collect();
    assert!(missing.is_empty(), "no world has {missing:?}");
    // No build knows other rules to change to.
    let reached = EventCode::ALL.iter().filter(|code| **code != EventCode::RulesSet);
    let missing: Vec<_> = reached.filter(|code| !events.contains(&code.tag())).collect();
    assert!(missing.is_empty(), "no world has {missing:?}");
}
