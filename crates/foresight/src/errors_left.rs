//! How many errors a feature or deployment still bears, under every rule.
//!
//! The question is asked of the next block: after what is due in it, with the window that holds its height, and with
//! rounds on, of the round that its reports join. Where reports act at once it is put to the guard of core; where they
//! are pooled, the round is run.

use std::num::NonZeroU64;

use coalmine_core::{
    Address, Block, BlockError, Command, Event, Execution, Height, Hold, Name, PluginReason, Pool, PoolKind, Progress,
    Report, Role, RollbackRule, Sequence, State, Transaction, VersionReport, deployment_errors_left,
};

use crate::found::Found;

/// How many errors a feature or deployment still bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorsLeft {
    /// The most errors that a report of the next block may bring, if it brings nothing else, without a rollback (or a
    /// pause, where a deployment does not roll back by itself) by any rule: one more does it. With rounds, the most that
    /// each of a quorum of reporters may report there. 0 also if a report without errors would do it; `None` if no
    /// number of errors would, or if nothing is on that could be reported about. Where reports act at once, it is said of a
    /// report that gets into a block, also when what is due in the next one leaves no room for any.
    pub errors: Option<u32>,
    /// The round in which reports of the next block are pooled; `None` where they act at once.
    pub rounds: Option<Rounds>,
}

/// The round that reports of the next block join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounds {
    /// How many reporters it takes.
    pub quorum: u8,
    /// How many addresses may report: those with the role, and admins, who have a sequence left.
    pub reporters: usize,
    /// The height at which the round closes and acts; `None`: beyond the last height, so it takes no reports.
    pub closes: Option<Height>,
}

const NOTHING: ErrorsLeft = ErrorsLeft { errors: None, rounds: None };

impl ErrorsLeft {
    /// Of a feature.
    ///
    /// # Errors
    /// The next blocks cannot be executed: the state in memory is damaged, or the rules of one are unknown.
    pub fn of_feature(state: &State, name: &Name) -> Result<Self, BlockError> {
        let Some((last, execution)) = settle(state)? else { return Ok(NOTHING) };
        let found = Found::after(state, &execution);
        let (Some(feature), Some(metrics), Some(policy)) =
            (found.feature(name), found.metrics(name), found.policy(name))
        else {
            return Ok(NOTHING);
        };
        if !feature.status.is_on() {
            return Ok(NOTHING);
        }
        if found.global().params.round_blocks.is_none() {
            // Asked of the last block, the guard answers for the next one.
            let errors = Progress::of(&feature, &metrics, &policy, last).errors_left;
            return Ok(Self { errors, rounds: None });
        }
        let (pool, settled) = (Pool::of_feature(*name), Settled::of(state, execution));
        let Some(rounds) = settled.rounds(&pool) else { return Ok(NOTHING) };
        let report = |errors: u32| {
            let report = Report { errors, ..Report::default() };
            Command::report(*name, report).ok()
        };
        // As in the guard: the latency rule fires at the first number that is samples enough, if at all.
        let samples = u64::from(policy.min_samples).saturating_sub(metrics.trial_operations);
        let errors = settled.search(&pool, rounds, u32::try_from(samples).unwrap_or(u32::MAX), &report)?;
        Ok(Self { errors, rounds: Some(rounds) })
    }

    /// Of the deployment of a plugin: errors of its new version.
    ///
    /// # Errors
    /// As for a feature.
    pub fn of_plugin(state: &State, name: &Name) -> Result<Self, BlockError> {
        let Some((_, execution)) = settle(state)? else { return Ok(NOTHING) };
        let found = Found::after(state, &execution);
        let Some(deployment) = found.deployment(name) else { return Ok(NOTHING) };
        if found.global().params.round_blocks.is_none() {
            return Ok(Self { errors: deployment_errors_left(&deployment), rounds: None });
        }
        let pool = Pool::of_version(PoolKind::VersionReport, *name, &deployment.new);
        let settled = Settled::of(state, execution);
        let Some(rounds) = settled.rounds(&pool) else { return Ok(NOTHING) };
        let report = |errors: u32| {
            let report = VersionReport { requests: errors, errors, latency_total: 0 };
            Command::report_version(*name, deployment.new.clone(), report).ok()
        };
        let errors = if deployment.hold == Hold::Paused && !deployment.plan.guardrails().auto_rollback {
            // A rule that breaks in a pause says nothing, so there is no event to look for.
            deployment_errors_left(&deployment)
        } else {
            settled.search(&pool, rounds, 0, &report)?
        };
        Ok(Self { errors, rounds: Some(rounds) })
    }
}

/// The last height, and what is due in the next block.
fn settle(state: &State) -> Result<Option<(Height, Execution)>, BlockError> {
    let Some((last, next)) = state.tip().and_then(|tip| Some((tip, tip.checked_add(1)?))) else { return Ok(None) };
    Ok(Some((last, state.execute(&Block::empty(next))?)))
}

/// The state as the transactions of the next block find it: what is due there has been done. Only rounds need it whole.
struct Settled<'s> {
    before: &'s State,
    state: State,
    next: Height,
}

impl<'s> Settled<'s> {
    fn of(before: &'s State, execution: Execution) -> Self {
        let (mut state, next) = (before.clone(), execution.height());
        let applied = state.apply(execution);
        debug_assert!(applied.is_ok(), "it was executed on this state");
        Self { before, state, next }
    }

    /// The round that a report joins; `None` where reports act at once.
    fn rounds(&self, pool: &Pool) -> Option<Rounds> {
        let params = self.state.global().params;
        let length = params.round_blocks?;
        let open = self.state.rounds().find(|(_, open, _)| *open == pool).map(|(due, ..)| due);
        let elapsed = self.next.checked_rem(length.get()).unwrap_or_default();
        let closes = open.or_else(|| self.next.saturating_sub(elapsed).checked_add(length.get()));
        let reporters = self.state.roles().filter(|(address, _)| self.may_report(address)).count();
        Some(Rounds { quorum: params.quorum, reporters, closes })
    }

    /// The number of errors that is borne where one more is not, if each of a quorum reports it.
    fn search(
        &self,
        pool: &Pool,
        rounds: Rounds,
        samples: u32,
        report: &dyn Fn(u32) -> Option<Command>,
    ) -> Result<Option<u32>, BlockError> {
        let Some(closes) = rounds.closes else { return Ok(None) };
        let reporters = self.quorum(pool, rounds.quorum);
        // What somebody has said counts when the round closes, also if they have lost the role since.
        let silent = self.spoke(pool).filter(|address| !self.may_report(address)).count();
        if reporters.len().saturating_add(silent) < usize::from(rounds.quorum) {
            return Ok(None);
        }
        let stops = |errors: u32| match report(errors) {
            Some(command) => self.stops(pool, closes, &reporters, &command),
            None => Ok(false),
        };
        let (mut low, mut high) = if stops(samples)? { (0, samples) } else { (samples, u32::MAX) };
        if !stops(high)? {
            return Ok(None);
        }
        while low < high {
            let middle = low.midpoint(high);
            if stops(middle)? {
                high = middle;
            } else {
                low = middle.saturating_add(1);
            }
        }
        Ok(Some(low.saturating_sub(1)))
    }

    /// Whether an address holds the role, and has a sequence left where it takes one.
    fn may_report(&self, address: &Address) -> bool {
        let is_spent = self.state.sequence_of(address).is_some_and(|last| last == NonZeroU64::MAX);
        let may_sign = !self.state.global().params.sequenced || !is_spent;
        may_sign && self.state.roles_of(address).allows(Role::Reporter)
    }

    /// Who has said something in the open round.
    fn spoke(&self, pool: &Pool) -> impl Iterator<Item = &Address> {
        let open = self.state.rounds().find(|(_, open, _)| *open == pool);
        open.into_iter().flat_map(|(.., said)| said).map(|(address, _)| address)
    }

    /// As many reporters as a round needs: those who have said something in it already come first.
    fn quorum(&self, pool: &Pool, quorum: u8) -> Vec<Address> {
        let spoke: Vec<Address> = self.spoke(pool).copied().collect();
        let others = self.state.roles().map(|(address, _)| *address).filter(|address| !spoke.contains(address));
        spoke
            .iter()
            .copied()
            .chain(others)
            .filter(|address| self.may_report(address))
            .take(usize::from(quorum))
            .collect()
    }

    /// Whether the round rolls back or pauses its subject if these reporters all say this in the next block.
    fn stops(&self, pool: &Pool, closes: Height, reporters: &[Address], command: &Command) -> Result<bool, BlockError> {
        let txs: Option<Vec<Transaction>> = reporters.iter().map(|reporter| self.signed(reporter, command)).collect();
        let Some(Ok(block)) = txs.map(|txs| Block::new(self.next, txs)) else { return Ok(false) };
        let mut state = self.before.clone();
        let mut execution = state.execute(&block)?;
        loop {
            let height = execution.height();
            // A round that was open before may close in the block of the reports: that is another one.
            let mut events = execution.outcome().events.iter().skip_while(|event| !ends_round(event, pool));
            if height > self.next && events.next().is_some() {
                return Ok(events.take_while(|event| !ends_any_round(event)).any(|event| is_verdict(event, pool)));
            }
            let applied = state.apply(execution);
            debug_assert!(applied.is_ok(), "it was executed on this state");
            // A rollback or a new trial drops the pool, and what it has collected never acts.
            if height == Height::MAX || !state.rounds().any(|(_, open, _)| open == pool) {
                return Ok(false);
            }
            // Past its end the round waits for the budget of due work.
            execution = state.advance(closes.max(height.saturating_add(1)))?;
        }
    }

    fn signed(&self, reporter: &Address, command: &Command) -> Option<Transaction> {
        let tx = Transaction::new(*reporter, vec![command.clone()]).ok()?;
        let last = self.state.sequence_of(reporter).map_or(0, NonZeroU64::get);
        let number = last.checked_add(1).filter(|_| self.state.global().params.sequenced);
        Some(match number {
            Some(number) => tx.with_sequence(Sequence { number, valid_until: None }),
            None => tx,
        })
    }
}

fn ends_round(event: &Event, pool: &Pool) -> bool {
    matches!(event, Event::RoundClosed { pool: of, .. } | Event::RoundShort { pool: of, .. } if of == pool)
}

fn ends_any_round(event: &Event) -> bool {
    matches!(event, Event::RoundClosed { .. } | Event::RoundShort { .. })
}

/// Whether a rule has decided against the subject of a pool.
fn is_verdict(event: &Event, pool: &Pool) -> bool {
    match (pool.kind(), event) {
        (PoolKind::Report, Event::RolledBack { name, rule, .. }) => {
            name == pool.subject() && !matches!(rule, RollbackRule::Command | RollbackRule::Breaker)
        }
        (
            PoolKind::VersionReport,
            Event::DeploymentRolledBack { plugin, reason, .. } | Event::Paused { plugin, reason, .. },
        ) => plugin == pool.subject() && matches!(reason, PluginReason::ErrorRate | PluginReason::Regression),
        (_, _) => false,
    }
}
