//! Sequences, the timelock, and changes of the rules.

use core::num::NonZeroU64;

use crate::block::Sequence;
use crate::command::{Command, CommandKind};
use crate::event::Event;
use crate::execute::executor::Executor;
use crate::reject::Reject;
use crate::rules::{RULES_NOTICE, RuleSet};
use crate::values::{Address, Height, Role};

impl Executor<'_> {
    /// Checks what keeps the transaction from being executed twice, and uses its number up, whatever becomes of its
    /// commands. Strangers write nothing, so they cannot grow the state.
    pub(super) fn check_sequence(&mut self, signer: &Address, sequence: Option<&Sequence>) -> Result<(), Reject> {
        let is_needed = self.overlay.global.params.sequenced;
        if (sequence.is_some() || is_needed) && self.overlay.roles_of(signer).is_empty() {
            return Err(Reject::Unauthorized);
        }
        let Some(Sequence { number, valid_until }) = sequence else {
            return if is_needed { Err(Reject::BadSequence) } else { Ok(()) };
        };
        let number = NonZeroU64::new(*number).filter(|number| Some(*number) > self.overlay.sequence_of(signer));
        let number = number.ok_or(Reject::BadSequence)?;
        if valid_until.is_some_and(|last| self.height > last.get()) {
            return Err(Reject::Expired);
        }
        // From here on the number is used.
        self.overlay.set_sequence(*signer, number);
        self.overlay.keep();
        Ok(())
    }

    /// Checks that a command which was sent, not scheduled, need not wait.
    pub(super) fn check_wait(&self, command: &Command) -> Result<(), Reject> {
        if let Command::SetRules { .. } = command {
            return Err(Reject::NotScheduled);
        }
        let Some(earliest) = self.timelock_end() else { return Ok(()) };
        let must_wait = if let Command::Schedule { at, commands } = command {
            u64::from(*at) < earliest && commands.iter().any(|command| self.is_raising(command))
        } else {
            // Whether an override may be cleared depends on its record, which is looked up later.
            command.kind() != CommandKind::ClearOverride && self.is_raising(command)
        };
        if must_wait { Err(Reject::TimelockRequired) } else { Ok(()) }
    }

    /// The first height at which a command that is scheduled now may raise exposure or power; `None`: it need not wait.
    pub(super) fn timelock_end(&self) -> Option<u64> {
        let timelock = self.overlay.global.params.timelock?;
        Some(u64::from(self.height).saturating_add(timelock.get().into()))
    }

    /// Whether a command raises exposure or power, and so waits for the timelock.
    pub(super) fn is_raising(&self, command: &Command) -> bool {
        match command {
            Command::StartCanary { .. }
            | Command::StartRollout { .. }
            | Command::AdvanceRollout { .. }
            | Command::Enable { .. }
            | Command::ConfigureFeature { .. }
            | Command::ResetBreaker
            | Command::GrantRole { .. }
            | Command::SetParams { .. }
            | Command::SetRules { .. }
            | Command::RegisterVersion { .. }
            | Command::Deploy { .. }
            | Command::Resume { .. }
            | Command::Promote { .. }
            | Command::SetRule { .. }
            | Command::SetHostVersion { .. }
            | Command::SetRegistryParams { .. }
            | Command::Load { .. } => true,
            Command::SetOverride { enabled, .. } => *enabled,
            Command::ClearOverride { name, user } => {
                self.overlay.override_of(name, user).is_some_and(|record| !record.enabled)
            }
            // A stolen key of an admin must not be alone before anybody can answer.
            Command::RevokeRole { role, .. } => *role == Role::Admin,
            Command::CreateFeature { .. }
            | Command::Disable { .. }
            | Command::Rollback { .. }
            | Command::PauseRollout { .. }
            | Command::Report { .. }
            | Command::TripBreaker { .. }
            | Command::Schedule { .. }
            | Command::CancelSchedule { .. }
            | Command::Pause { .. }
            | Command::RollbackDeployment { .. }
            | Command::Revert { .. }
            | Command::RetireVersion { .. }
            | Command::Unload { .. }
            | Command::ReportVersion { .. }
            | Command::AttestHealth { .. }
            | Command::ReportLoad { .. }
            | Command::ReportUnload { .. }
            | Command::FeedPut { .. }
            | Command::FeedPatch { .. }
            | Command::FeedDelete { .. }
            | Command::FeedForget { .. } => false,
        }
    }

    /// Checks that a change of rules is announced early enough for every node to be upgraded.
    pub(super) fn check_notice(&self, at: Height, commands: &[Command]) -> Result<(), Reject> {
        let sets_rules = commands.iter().any(|command| matches!(command, Command::SetRules { .. }));
        let earliest = u64::from(self.height).saturating_add(RULES_NOTICE.into());
        if sets_rules && u64::from(at) < earliest { Err(Reject::HeightInPast) } else { Ok(()) }
    }

    /// Changes the rules from the next block on.
    pub(super) fn set_rules(&mut self, rules: u16) -> Result<(), Reject> {
        let from = self.overlay.global.rules;
        // A build that does not know the rules has stopped before this block.
        let known = RuleSet::from_number(rules).filter(|rules| *rules > from);
        let to = known.ok_or(Reject::InvalidParameter)?;
        // From here on the command succeeds.
        self.overlay.global.rules = to;
        self.out.event(Event::RulesSet { from: from.number(), to: to.number() });
        Ok(())
    }

    /// The rule set that the entry would change to, if this build does not know it and the entry has the authority.
    pub(super) fn unknown_rules(&self, actor: &Address, commands: &[Command]) -> Option<u16> {
        let target = |command: &Command| if let Command::SetRules { rules } = command { Some(*rules) } else { None };
        let mut targets = commands.iter().filter_map(target);
        let unknown = targets
            .find(|rules| *rules > self.overlay.global.rules.number() && RuleSet::from_number(*rules).is_none())?;
        self.overlay.roles_of(actor).allows(Role::Admin).then_some(unknown)
    }
}
