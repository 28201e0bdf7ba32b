//! Executes one block: due work, draining, transactions, and the resulting writes.
//!
//! Execution reads the committed state and changes nothing; [`State::apply`] makes its result the committed state. The
//! order of the guards of each command is consensus, since it decides which reject a receipt carries. RULES.md lists
//! it per command.

mod deployments;
mod error;
mod executor;
mod features;
mod feed;
mod finish;
mod ledger;
mod loading;
pub(crate) mod price;
mod rounds;
mod trust;
mod versions;

use core::num::NonZeroU32;

use crate::block::{Block, Payload, Receipt};
use crate::command::tx::TxCommand;
use crate::command::wire::schedule_has;
use crate::command::{Command, CommandKind};
use crate::delta::Execution;
use crate::event::{BreakerClosedBy, Event};
pub use crate::execute::error::BlockError;
use crate::execute::executor::{Budget, Executor, Origin, Output, Refusal};
use crate::execute::price::BLOCK_WORK_MAX;
use crate::ledger::OpenBreaker;
use crate::note::Note;
use crate::overlay::Overlay;
use crate::reject::Reject;
use crate::schedule::Scheduled;
use crate::state::State;
use crate::values::{Address, Height, Role};

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
        let always = [self.first_round(), self.first_deadline(), self.first_scheduled()];
        let unless_open = match &self.global().breaker {
            None => [self.first_step(), self.first_check(), self.first_queued()],
            Some(breaker) if breaker.draining => return Some(next),
            Some(breaker) => [breaker.until.map(NonZeroU32::get), None, None],
        };
        always.into_iter().chain(unless_open).flatten().min().map(|height| height.max(next))
    }

    fn run(&self, block: &Block) -> Result<Execution, BlockError> {
        let mut executor = Executor {
            height: block.height(),
            overlay: Overlay::new(self),
            out: Output::default(),
            work_left: BLOCK_WORK_MAX,
            due_max: self.global().params.max_due_per_block,
        };
        executor.expire_breaker();
        // A breaker that opens in this block drains from the next one on: each block decides this at its start.
        if executor.overlay.global.breaker.is_some_and(|breaker| breaker.draining) {
            executor.drain();
        }
        executor.run_due();
        let payloads = block.payloads_under(executor.rules()).enumerate();
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

    /// Does the due work of each kind, within a budget for each: no kind can starve another. The order is consensus:
    /// rounds, deadlines, scheduled commands, steps, checks of deployments, the load queue; within a kind that of the
    /// keys.
    ///
    /// What is due at the end of a round, at a deadline or on a schedule does not wait for the breaker.
    fn run_due(&mut self) {
        let (base, height) = (self.overlay.base, self.height);
        self.for_each_due(base.rounds_until(height), |executor, (at, pool)| executor.close_round(pool, *at));
        self.for_each_due(self.deadlines_now(), |executor, (at, plugin)| executor.meet_deadline(&plugin, at));
        self.for_each_due(base.scheduled_until(height), |executor, (at, id, entry)| {
            executor.run_scheduled(at, id, entry);
            true
        });
        self.for_each_due_unless_open(base.steps_until(height), |executor, (at, name)| executor.step_if_due(&name, at));
        self.for_each_due_unless_open(base.checks_until(height), |executor, (at, plugin)| {
            executor.check_if_due(&plugin, at)
        });
        self.for_each_due_unless_open(base.queued_until(height), |executor, (at, plugin)| {
            executor.take_load_turn(&plugin, at);
            true
        });
    }

    /// Does due work of one kind within its budget. An entry that this block has removed is not counted: `run` returns
    /// false for it.
    fn for_each_due<T>(&mut self, entries: impl IntoIterator<Item = T>, run: impl Fn(&mut Self, T) -> bool) {
        let mut budget = Budget(self.due_max);
        for entry in entries {
            if budget.is_spent() {
                return;
            }
            if run(self, entry) {
                budget.spend();
            }
        }
    }

    /// The same for a kind that waits while the breaker is open, as it stands when the turn of the kind comes.
    fn for_each_due_unless_open<T>(&mut self, entries: impl Iterator<Item = T>, run: impl Fn(&mut Self, T) -> bool) {
        if self.overlay.global.breaker.is_none() {
            self.for_each_due(entries, run);
        }
    }

    /// Runs an entry of the schedule and consumes it, unless the block has no work left for it: then it waits for the
    /// next one.
    fn run_scheduled(&mut self, at: Height, id: u64, entry: &Scheduled) {
        if self.out.stopped.is_some() {
            return;
        }
        let commands = match entry.commands_under(self.rules()) {
            Ok(commands) => commands,
            // It was scheduled under rules that had a command which these no longer have.
            Err(_) => {
                let (reject, index) = (Reject::Malformed, 0);
                self.overlay.set_scheduled(at, id, None);
                return self.out.schedule_executed(id, Receipt::Rejected { reject, index });
            }
        };
        if let Some(rules) = self.unknown_rules(&entry.actor, &commands) {
            return self.out.stop(BlockError::UnknownRules { rules, height: self.height });
        }
        let start = self.begin();
        self.overlay.set_scheduled(at, id, None);
        match self.try_commands(Origin::Schedule, &entry.actor, commands.iter().map(Ok)) {
            Ok(()) => {
                self.overlay.keep();
                self.out.schedule_executed(id, Receipt::Ok);
            }
            Err((Refusal { reject: Reject::BlockFull, .. }, _)) => self.undo(start),
            Err((Refusal { reject, .. }, index)) => {
                self.undo(start);
                self.overlay.set_scheduled(at, id, None);
                self.overlay.keep();
                self.out.schedule_executed(id, Receipt::Rejected { reject, index });
            }
        }
    }

    /// Rolls back what is under way, features and deployments each within a budget of their own.
    fn drain(&mut self) {
        let (mut features, mut deployments) = (Budget(self.due_max), Budget(self.due_max));
        let (features_done, deployments_done) =
            (self.drain_features(&mut features), self.drain_deployments(&mut deployments));
        if features_done && deployments_done {
            let breaker = &mut self.overlay.global.breaker;
            *breaker = breaker.map(|breaker| OpenBreaker { draining: false, ..breaker });
            self.out.event(Event::BreakerDrained);
        }
    }

    // Transactions.

    fn run_payload(&mut self, tx: usize, payload: &Payload) -> Receipt {
        self.out.tx = tx;
        self.out.events_before.push(self.out.events.len());
        match payload {
            Payload::Malformed(_) => Receipt::Rejected { reject: Reject::Malformed, index: 0 },
            Payload::Transaction(tx) => {
                if let Err(reject) = self.check_sequence(tx.signer(), tx.sequence()) {
                    return Receipt::Rejected { reject, index: 0 };
                }
                let commands = tx.commands().iter().map(checked);
                // A single command writes only after all its guards, so it needs no way to undo.
                let start = (tx.commands().len() > 1).then(|| self.begin());
                let Err((Refusal { reject, plugin }, index)) = self.try_commands(Origin::Sent, tx.signer(), commands)
                else {
                    self.overlay.keep();
                    return Receipt::Ok;
                };
                if let Some(start) = start {
                    self.undo(start);
                }
                if let Some(plugin) = plugin {
                    self.out.note(Note::Refused { plugin });
                }
                Receipt::Rejected { reject, index }
            }
        }
    }

    /// Runs the commands of one atomic transaction up to the first that is rejected. Returns the reject and its index.
    fn try_commands<'c>(
        &mut self,
        origin: Origin,
        signer: &Address,
        commands: impl Iterator<Item = Result<&'c Command, Refused>>,
    ) -> Result<(), (Refusal, u8)> {
        for (index, command) in (0..=u8::MAX).zip(commands) {
            self.run_command(origin, signer, command).map_err(|refusal| (refusal, index))?;
        }
        Ok(())
    }

    fn run_command(
        &mut self,
        origin: Origin,
        signer: &Address,
        command: Result<&Command, Refused>,
    ) -> Result<(), Refusal> {
        let (kind, sets_rules) = match &command {
            Ok(command) => (command.kind(), schedules_rules(command)),
            Err(refused) => (refused.kind, refused.sets_rules),
        };
        let roles = self.overlay.roles_of(signer);
        let has_authority = kind.roles().iter().any(|role| roles.allows(*role));
        // Only an admin schedules a change of rules, whatever else is wrong with the schedule.
        if !has_authority || (sets_rules && !roles.allows(Role::Admin)) {
            return Err(Reject::Unauthorized.into());
        }
        self.pay(command.map_err(|refused| refused.kind))?;
        let command = command.map_err(|refused| refused.reject)?;
        if origin == Origin::Sent {
            self.check_wait(command)?;
        }
        let done = match command {
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
            Command::ClearOverride { name, user } => self.clear_user(origin, *name, *user),
            Command::Report { name, report, trial } => self.report(signer, name, report, *trial),
            Command::PauseRollout { name } => self.pause_rollout(signer, name),
            Command::TripBreaker { reason, until, drain } => self.trip_breaker(signer, *reason, *until, *drain),
            Command::ResetBreaker => self.reset_breaker(),
            Command::Schedule { at, commands } => self.schedule(signer, *at, commands),
            Command::CancelSchedule { at, id } => self.cancel_schedule(signer, *at, *id),
            Command::GrantRole { address, role } => self.grant_role(*address, *role),
            Command::RevokeRole { address, role } => self.revoke_role(*address, *role),
            Command::SetParams { changes } => self.set_params(changes),
            Command::SetRules { rules } => self.set_rules(*rules),
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
            Command::Unload { plugin, force: false } => self.unload(signer, plugin),
            Command::Unload { plugin, force: true } => self.unload_forced(signer, plugin),
            Command::ReportVersion { plugin, version, report, deployment } => {
                self.report_version(signer, plugin, version, report, *deployment)
            }
            Command::AttestHealth { plugin, version, healthy } => self.attest_health(signer, plugin, version, *healthy),
            Command::ReportLoad { plugin, version, ok } => self.report_load(signer, plugin, version, *ok),
            Command::ReportUnload { plugin, version, ok } => self.report_unload(signer, plugin, version, *ok),
        };
        done.map_err(Refusal::from)
    }
}

/// A command that is rejected for what it alone shows, once its signer has the authority.
#[derive(Debug, Clone, Copy)]
struct Refused {
    kind: CommandKind,
    reject: Reject,
    /// Whether it schedules a change of rules, for which it takes another authority.
    sets_rules: bool,
}

fn checked(command: &TxCommand) -> Result<&Command, Refused> {
    match command {
        TxCommand::Valid(command) => Ok(command),
        TxCommand::Invalid { kind, reject, bytes } => {
            let sets_rules = *kind == CommandKind::Schedule && schedule_has(CommandKind::SetRules, bytes);
            Err(Refused { kind: *kind, reject: *reject, sets_rules })
        }
    }
}

/// Whether the command schedules a change of rules.
fn schedules_rules(command: &Command) -> bool {
    let Command::Schedule { commands, .. } = command else { return false };
    commands.iter().any(|command| command.kind() == CommandKind::SetRules)
}
