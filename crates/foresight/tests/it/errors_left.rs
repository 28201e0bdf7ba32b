//! That many errors are borne, and one more is not: under every rule, with windows and with quorums.

use coalmine_core::{
    Address, Block, BlockError, Command, Event, Name, PluginReason, Pool, PoolKind, Receipt, Reject, Report, Role,
    RollbackRule, Sequence, State, Transaction, VersionReport,
};
use coalmine_foresight::ErrorsLeft;

use crate::stories::{Story, all, walk};

/// Rounds that close later are not run.
const ROUND_MAX: u32 = 60;

fn signed(state: &State, signer: Address, command: &Command) -> Transaction {
    let tx = Transaction::new(signer, vec![command.clone()]).unwrap();
    match state.sequence_of(&signer).map_or(Some(1), |last| last.get().checked_add(1)) {
        Some(number) if state.global().params.sequenced => tx.with_sequence(Sequence { number, valid_until: None }),
        _ => tx,
    }
}

fn is_verdict(event: &Event, name: &Name) -> bool {
    match event {
        Event::RolledBack { name: of, rule, .. } => {
            of == name && !matches!(rule, RollbackRule::Command | RollbackRule::Breaker)
        }
        Event::DeploymentRolledBack { plugin, reason, .. } | Event::Paused { plugin, reason, .. } => {
            plugin == name && matches!(reason, PluginReason::ErrorRate | PluginReason::Regression)
        }
        _ => false,
    }
}

/// Whether what is due in the next block leaves no room for a report, so that none can act there.
fn is_full(state: &State, pool: &Pool, report: &Command) -> bool {
    let next = state.tip().unwrap() + 1;
    let holders = state.roles().map(|(address, _)| *address).filter(|one| state.roles_of(one).allows(Role::Reporter));
    let txs: Vec<_> = holders.take(1).map(|reporter| signed(state, reporter, report)).collect();
    let execution = state.execute(&Block::new(next, txs).unwrap()).unwrap();
    let full = |receipt: &Receipt| matches!(receipt, Receipt::Rejected { reject: Reject::BlockFull, .. });
    let is_full = execution.outcome().receipts.iter().any(full);
    assert!(!is_full || !rolls_back(state, pool, report).unwrap());
    is_full
}

/// Whether these reports in the next block, and empty blocks until their round has closed, have a verdict.
fn rolls_back(state: &State, pool: &Pool, command: &Command) -> Result<bool, BlockError> {
    let mut state = state.clone();
    let next = state.tip().unwrap() + 1;
    let mut settled = state.clone();
    settled.apply(settled.execute(&Block::empty(next))?).unwrap();
    let has_rounds = settled.global().params.round_blocks.is_some();
    let quorum = if has_rounds { settled.global().params.quorum.into() } else { 1 };
    let spoke: Vec<Address> = settled
        .rounds()
        .filter(|(_, open, _)| *open == pool && has_rounds)
        .flat_map(|(.., said)| said.iter().map(|(address, _)| *address))
        .collect();
    let others = settled.roles().map(|(address, _)| *address).filter(|address| !spoke.contains(address));
    let reporters = spoke.iter().copied().chain(others).filter(|one| settled.roles_of(one).allows(Role::Reporter));
    // Whoever has used up all sequences reports no more.
    let reporters = reporters.filter(|one| {
        !settled.global().params.sequenced || settled.sequence_of(one).is_none_or(|last| last.get() < u64::MAX)
    });
    let txs: Vec<_> = reporters.take(quorum).map(|reporter| signed(&settled, reporter, command)).collect();
    let execution = state.execute(&Block::new(next, txs).unwrap())?;
    let without = state.execute(&Block::empty(next))?.outcome().events.len();
    if !has_rounds {
        // What is due in the block comes before its transactions.
        return Ok(execution.outcome().events.iter().skip(without).any(|event| is_verdict(event, pool.subject())));
    }
    state.apply(execution).unwrap();
    while state.rounds().any(|(_, open, _)| open == pool) {
        let Some(height) = state.tip().unwrap().checked_add(1) else { return Ok(false) };
        let execution = state.execute(&Block::empty(height))?;
        let mut ended = false;
        for event in &execution.outcome().events {
            match event {
                Event::RoundClosed { pool: of, .. } | Event::RoundShort { pool: of, .. } => ended = of == pool,
                event if ended && is_verdict(event, pool.subject()) => return Ok(true),
                _ => {}
            }
        }
        state.apply(execution).unwrap();
    }
    Ok(false)
}

/// Counts of what was checked: with and without a limit, at once and in rounds.
#[derive(Debug, Default)]
struct Checked {
    limited: usize,
    unlimited: usize,
    rounds: usize,
    plugins: usize,
    windows: usize,
    /// In blocks that were full before any report.
    full: usize,
}

fn check(
    story: &Story,
    state: &State,
    pool: &Pool,
    left: ErrorsLeft,
    report: &dyn Fn(u32) -> Command,
    count: &mut Checked,
) {
    let tip = state.tip().unwrap();
    if left.rounds.is_some_and(|rounds| rounds.closes.is_none_or(|closes| closes > tip.saturating_add(ROUND_MAX))) {
        return;
    }
    let place = || format!("{} after block {tip}: {} {left:?}", story.name, pool.subject());
    count.rounds += usize::from(left.rounds.is_some() && left.errors.is_some());
    match left.errors {
        None => {
            count.unlimited += 1;
            assert!(!rolls_back(state, pool, &report(u32::MAX)).unwrap(), "{}", place());
        }
        Some(errors) if left.rounds.is_none() && is_full(state, pool, &report(errors)) => count.full += 1,
        Some(errors) => {
            count.limited += 1;
            // If a report without errors would do it, none is left.
            assert!(errors == 0 || !rolls_back(state, pool, &report(errors)).unwrap(), "{}", place());
            let one_more = rolls_back(state, pool, &report(errors + 1)).unwrap();
            let none = errors == 0 && rolls_back(state, pool, &report(0)).unwrap();
            assert!(one_more || none, "{}", place());
        }
    }
}

#[test]
fn that_many_errors_are_borne_and_one_more_is_not() {
    let mut count = Checked::default();
    for story in all() {
        walk(&story, |node, _| {
            let state = &node.state;
            let Some(next) = state.tip().and_then(|tip| tip.checked_add(1)) else { return };
            let Ok(settled) = state.execute(&Block::empty(next)) else { return };
            let mut after = state.clone();
            after.apply(settled).unwrap();
            for feature in after.features().filter(|feature| feature.status.is_on()) {
                let name = feature.name;
                let report = |errors| Command::report(name, Report { errors, ..Report::default() }).unwrap();
                let left = match ErrorsLeft::of_feature(state, &name) {
                    Ok(left) => left,
                    Err(BlockError::UnknownRules { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                check(&story, state, &Pool::of_feature(name), left, &report, &mut count);
                count.windows += usize::from(after.policy(&name).unwrap().window_blocks.is_some());
            }
            let plugins: Vec<Name> = after.plugins().map(|(name, _)| *name).collect();
            for name in plugins {
                let Some(deployment) = after.deployment(&name) else { continue };
                let new = deployment.new.clone();
                // A rule that breaks in a pause says nothing.
                if !deployment.plan.guardrails().auto_rollback && deployment.hold != coalmine_core::Hold::Running {
                    continue;
                }
                let report = |errors| {
                    let report = VersionReport { requests: errors, errors, latency_total: 0 };
                    Command::report_version(name, new.clone(), report).unwrap()
                };
                let left = match ErrorsLeft::of_plugin(state, &name) {
                    Ok(left) => left,
                    Err(BlockError::UnknownRules { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                let pool = Pool::of_version(PoolKind::VersionReport, name, &new);
                check(&story, state, &pool, left, &report, &mut count);
                count.plugins += 1;
            }
        });
    }
    let Checked { limited, unlimited, rounds, plugins, windows, full } = count;
    assert!(limited > 300 && unlimited > 20 && rounds > 20 && plugins > 50 && windows > 20, "{count:?}");
    assert!((1..limited / 20).contains(&full), "{count:?}");
}
