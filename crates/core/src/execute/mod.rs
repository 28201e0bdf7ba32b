//! Executes one block: due work, draining, transactions, and the resulting writes.
//!
//! Execution reads the committed state and changes nothing; [`State::apply`] makes its result the committed state. The
//! order of the guards of each command is consensus, since it decides which reject a receipt carries. RULES.md lists
//! it per command.

mod deployments;
mod executor;
mod features;
mod feed;
mod finish;
mod ledger;
mod loading;
mod versions;

use alloc::collections::BTreeSet;
use core::num::NonZeroU32;

use crate::block::{Block, Payload, Receipt};
use crate::command::tx::TxCommand;
use crate::command::{Command, CommandKind};
use crate::delta::Execution;
use crate::event::{BreakerClosedBy, Event};
use crate::execute::executor::{Budget, Executor, Output, Refusal};
use crate::ledger::OpenBreaker;
use crate::note::Note;
use crate::overlay::Overlay;
use crate::reject::Reject;
use crate::schedule::Scheduled;
use crate::state::State;
use crate::tree::TreeError;
use crate::values::{Address, Height, Name};

/// Why a block could not be executed. The state is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The block does not follow the tip.
    #[error("block {found} does not follow: the next height is {expected}")]
    Height {
        /// The height after the tip.
        expected: Height,
        /// The height of the block.
        found: Height,
    },
    /// There is no height after the tip, or the target is not above it.
    #[error("height {to} is not above the tip {tip}")]
    NotAbove {
        /// The tip.
        tip: Height,
        /// The height asked for.
        to: Height,
    },
    /// The tree is full or damaged. The node must stop.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// An invariant of the state does not hold, which only corrupt memory or a bug can cause. The node must stop.
    #[error("the state in memory is damaged: {0}; load it from the store again")]
    Broken(&'static str),
}

impl State {
    /// Executes the block after the tip and changes nothing.
    ///
    /// # Errors
    /// [`BlockError::Height`] for any other height; [`BlockError::Tree`] and [`BlockError::Broken`] when the
    /// node must stop.
    pub fn execute(&self, block: &Block) -> Result<Execution, BlockError> {
        if let Some(tip) = self.tip() {
            let expected = tip.checked_add(1).ok_or(BlockError::NotAbove { tip, to: block.height() })?;
            if block.height() != expected {
                return Err(BlockError::Height { expected, found: block.height() });
            }
        }
        self.run(block)
    }

    /// Executes the first height above the tip, up to `to`, at which something falls due, or `to`
    /// itself when nothing does. The heights in between are empty blocks that change nothing.
    ///
    /// Committing this until the tip is `to` equals feeding every empty block, and costs only the
    /// heights at which something is due.
    ///
    /// # Errors
    /// [`BlockError::NotAbove`] when `to` is not above the tip; [`BlockError::Tree`] and
    /// [`BlockError::Broken`] when the node must stop.
    pub fn advance(&self, to: Height) -> Result<Execution, BlockError> {
        let next = match self.tip() {
            Some(tip) if tip >= to => return Err(BlockError::NotAbove { tip, to }),
            Some(tip) => tip.saturating_add(1),
            // The first block may have any height, so there are no empty blocks before it.
            None => to,
        };
        let height = self.busy_from(next).map_or(to, |busy| busy.min(to));
        self.run(&Block::empty(height))
    }

    /// The first height from `next` on at which an empty block changes something.
    fn busy_from(&self, next: Height) -> Option<Height> {
        let schedule = self.first_scheduled();
        let due = match &self.global().breaker {
            None => [schedule, self.first_step(), self.first_check(), self.first_queued()],
            Some(breaker) if breaker.draining => return Some(next),
            Some(breaker) => [schedule, breaker.until.map(NonZeroU32::get), None, None],
        };
        due.into_iter().flatten().min().map(|height| height.max(next))
    }

    fn run(&self, block: &Block) -> Result<Execution, BlockError> {
        let mut executor = Executor { height: block.height(), overlay: Overlay::new(self), out: Output::default() };
        executor.expire_breaker();
        let mut budget = Budget(self.global().params.max_due_per_block);
        // A breaker that opens in this block drains from the next one on: each block decides this at its start.
        let is_draining = executor.overlay.global.breaker.is_some_and(|breaker| breaker.draining);
        executor.run_due(&mut budget);
        if is_draining {
            executor.drain(budget);
        }
        let payloads = block.payloads().enumerate();
        let receipts = payloads.map(|(tx, payload)| executor.run_payload(tx, &payload)).collect();
        executor.finish(receipts)
    }
}

impl Executor<'_> {
    // Due work.

    fn expire_breaker(&mut self) {
        let height = self.height;
        let expired =
            |breaker: &OpenBreaker| breaker.until.is_some_and(|until| height >= until.get()) && !breaker.draining;
        if self.overlay.global.breaker.as_ref().is_some_and(expired) {
            self.overlay.global.breaker = None;
            self.out.event(Event::BreakerClosed { by: BreakerClosedBy::Expiry });
        }
    }

    /// Does due work within the budget. The order is consensus: scheduled commands, steps, checks of deployments, the load
    /// queue; within a kind by height, then by id or name.
    ///
    /// Due work that this block adds is due after it at the earliest, and no due work removes another entry of its own
    /// kind, so it is enough to iterate over the indexes of the state.
    fn run_due(&mut self, budget: &mut Budget) {
        let base = self.overlay.base;
        for (at, id, entry) in base.scheduled_until(self.height) {
            if budget.is_spent() {
                return;
            }
            self.run_scheduled(at, id, entry);
            budget.spend();
        }
        for (at, name) in base.steps_until(self.height) {
            // Earlier due work of this block may have opened the breaker, which stops the rest.
            if budget.is_spent() || self.overlay.global.breaker.is_some() {
                return;
            }
            if self.step_if_due(&name, at) {
                budget.spend();
            }
        }
        // A scheduled command may have moved a check to a height that has already been reached.
        let moved = self.overlay.plugins.touched().filter_map(|copy| Some((copy.data.check_due()?, copy.data.name)));
        let moved = moved.filter(|(at, _)| *at <= self.height);
        let checks: BTreeSet<(Height, Name)> = base.checks_until(self.height).chain(moved).collect();
        for (at, plugin) in checks {
            if budget.is_spent() || self.overlay.global.breaker.is_some() {
                return;
            }
            if self.check_if_due(&plugin, at) {
                budget.spend();
            }
        }
        for (at, plugin) in base.queued_until(self.height) {
            if budget.is_spent() || self.overlay.global.breaker.is_some() {
                return;
            }
            self.take_load_turn(&plugin, at);
            budget.spend();
        }
    }

    fn run_scheduled(&mut self, at: Height, id: u64, entry: &Scheduled) {
        self.overlay.set_scheduled(at, id, None);
        let (receipt, _) = self.run_commands(&entry.actor, entry.commands.iter().map(Ok));
        self.out.event(Event::ScheduleExecuted { id, code: receipt.code(), index: receipt.index() });
    }

    /// Rolls back everything that is under way, features before deployments, with the budget that due work has left.
    fn drain(&mut self, mut budget: Budget) {
        if self.drain_features(&mut budget) && self.drain_deployments(&mut budget) {
            let breaker = &mut self.overlay.global.breaker;
            *breaker = breaker.map(|breaker| OpenBreaker { draining: false, ..breaker });
            self.out.event(Event::BreakerDrained);
        }
    }

    // Transactions.

    fn run_payload(&mut self, tx: usize, payload: &Payload) -> Receipt {
        self.out.tx = tx;
        match payload {
            Payload::Malformed(_) => Receipt::Rejected { reject: Reject::Malformed, index: 0 },
            Payload::Transaction(tx) => {
                let (receipt, refused) = self.run_commands(tx.signer(), tx.commands().iter().map(checked));
                if let Some(plugin) = refused {
                    self.out.note(Note::Refused { plugin });
                }
                receipt
            }
        }
    }

    /// Runs the commands of one atomic transaction. Returns the receipt, and the plugin that made a load fail.
    fn run_commands<'c>(
        &mut self,
        signer: &Address,
        commands: impl ExactSizeIterator<Item = Result<&'c Command, (CommandKind, Reject)>>,
    ) -> (Receipt, Option<Name>) {
        // A single command writes only after all its guards, so it needs no way to undo.
        let start = (commands.len() > 1).then(|| self.begin());
        for (index, command) in (0..=u8::MAX).zip(commands) {
            if let Err(Refusal { reject, plugin }) = self.run_command(signer, command) {
                if let Some(start) = start {
                    self.undo(start);
                }
                return (Receipt::Rejected { reject, index }, plugin);
            }
        }
        self.overlay.keep();
        (Receipt::Ok, None)
    }

    fn run_command(
        &mut self,
        signer: &Address,
        command: Result<&Command, (CommandKind, Reject)>,
    ) -> Result<(), Refusal> {
        let kind = match &command {
            Ok(command) => command.kind(),
            Err((kind, _)) => *kind,
        };
        let roles = self.overlay.roles_of(signer);
        if !kind.roles().iter().any(|role| roles.allows(*role)) {
            return Err(Reject::Unauthorized.into());
        }
        let done = match command.map_err(|(_, reject)| reject)? {
            Command::CreateFeature { name, description, changes } => {
                self.create_feature(signer, *name, description, changes)
            }
            Command::ConfigureFeature { name, description, changes } => {
                self.configure_feature(name, description.as_ref(), changes)
            }
            Command::StartCanary { name, percent } => self.start_canary(signer, name, *percent),
            Command::StartRollout { name, target_percent } => self.start_rollout(signer, name, *target_percent),
            Command::AdvanceRollout { name } => self.advance_rollout(signer, name),
            Command::Enable { name } => self.enable(signer, name),
            Command::Disable { name } => self.disable(signer, name),
            Command::Rollback { name, reason } => self.rollback(signer, name, *reason),
            Command::SetOverride { name, user, enabled } => self.set_user(signer, *name, *user, *enabled),
            Command::ClearOverride { name, user } => self.clear_user(*name, *user),
            Command::Report { name, report, trial } => self.report(name, report, *trial),
            Command::PauseRollout { name } => self.pause_rollout(signer, name),
            Command::TripBreaker { reason, until, drain } => self.trip_breaker(signer, *reason, *until, *drain),
            Command::ResetBreaker => self.reset_breaker(),
            Command::Schedule { at, commands } => self.schedule(signer, *at, commands),
            Command::CancelSchedule { at, id } => self.cancel_schedule(*at, *id),
            Command::GrantRole { address, role } => self.grant_role(*address, *role),
            Command::RevokeRole { address, role } => self.revoke_role(*address, *role),
            Command::SetParams { changes } => self.set_params(changes),
            Command::SetRules { rules: _ } => Err(Reject::NotScheduled),
            Command::FeedPut { part, environments, filters } => self.feed_put(*part, environments, filters),
            Command::FeedPatch { kind, id, version, body } => self.feed_patch(*kind, *id, *version, body),
            Command::FeedDelete { kind, id, version } => self.feed_delete(*kind, *id, *version),
            Command::FeedForget { kind, ids } => self.feed_forget(*kind, ids),
            Command::RegisterVersion { plugin, version, manifest } => {
                self.register_version(signer, *plugin, version, manifest)
            }
            Command::Deploy { plugin, version, strategy } => self.deploy(signer, plugin, version, strategy),
            Command::Pause { plugin } => self.pause(signer, plugin),
            Command::Resume { plugin } => self.resume(signer, plugin),
            Command::Promote { plugin } => self.promote(signer, plugin),
            Command::RollbackDeployment { plugin } => self.rollback_deployment(signer, plugin),
            Command::Revert { plugin } => self.revert(signer, plugin),
            Command::RetireVersion { plugin, version } => self.retire_version(signer, plugin, version),
            Command::SetRule { plugin, constraint } => self.set_rule(plugin, constraint.as_ref()),
            Command::SetHostVersion { version } => self.set_host_version(version),
            Command::SetRegistryParams { max_versions, auto_load } => {
                self.set_registry_params(*max_versions, *auto_load);
                Ok(())
            }
            Command::Load { plugin } => return self.load(plugin),
            Command::Unload { plugin, force: false } => self.unload(plugin),
            Command::Unload { plugin, force: true } => self.unload_forced(plugin),
            Command::ReportVersion { plugin, version, report, deployment } => {
                self.report_version(plugin, version, report, *deployment)
            }
            Command::AttestHealth { plugin, version, healthy } => self.attest_health(plugin, version, *healthy),
            Command::ReportLoad { plugin, version, ok } => self.report_load(signer, plugin, version, *ok),
            Command::ReportUnload { plugin, version, ok } => self.report_unload(signer, plugin, version, *ok),
        };
        done.map_err(Refusal::from)
    }
}

fn checked(command: &TxCommand) -> Result<&Command, (CommandKind, Reject)> {
    match command {
        TxCommand::Valid(command) => Ok(command),
        TxCommand::Invalid { kind, reject, bytes: _ } => Err((*kind, *reject)),
    }
}
