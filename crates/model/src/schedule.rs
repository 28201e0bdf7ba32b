//! What waits: scheduled commands, the timelock of those that raise exposure, and changes of rules.

use coalmine_core::{Address, Event, Reject};

use crate::block::{Refused, Source};
use crate::raw::{Command, PluginCommand};
use crate::{ADMIN, Model, OPERATOR, Planted};

/// The most entries that wait, and the most that do when a signer without Admin adds one.
const ENTRIES_MAX: usize = 4_096;
const ENTRIES_MAX_OPERATOR: usize = 4_032;
/// The blocks between the schedule of a change of rules and its height.
pub(crate) const RULES_NOTICE: u128 = 600;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scheduled {
    pub(crate) actor: Address,
    pub(crate) commands: Vec<Command>,
}

impl Model {
    pub(crate) fn schedule(&mut self, h: u128, actor: Address, at: u128, commands: &[Command]) -> Result<(), Reject> {
        if at <= h {
            return Err(Reject::HeightInPast);
        }
        if commands.iter().any(|command| target_rules(command).is_some()) && at < h + RULES_NOTICE {
            return Err(Reject::HeightInPast);
        }
        let most = if self.is_any_of(&actor, ADMIN) { ENTRIES_MAX } else { ENTRIES_MAX_OPERATOR };
        if self.schedule.len() >= most {
            return Err(Reject::LimitExceeded);
        }
        let id = self.next_schedule_id;
        self.next_schedule_id += 1;
        self.schedule.insert((at, id), Scheduled { actor, commands: commands.to_vec() });
        self.events.push(Event::Scheduled { id: id as u64, at: at as u32 });
        Ok(())
    }

    /// Who is neither Operator nor Admin may only cancel what raises exposure.
    pub(crate) fn cancel_schedule(&mut self, actor: &Address, at: u32, id: u64) -> Result<(), Reject> {
        let key = (u128::from(at), u128::from(id));
        let entry = self.schedule.get(&key).ok_or(Reject::ScheduleNotFound)?;
        let raises = entry.commands.iter().any(|command| self.is_raising(command));
        if !raises && !self.is_any_of(actor, OPERATOR | ADMIN) && !self.has(Planted::GuardianCancelsAll) {
            return Err(Reject::Unauthorized);
        }
        self.schedule.remove(&key);
        self.events.push(Event::ScheduleCancelled { id });
        Ok(())
    }

    /// Runs at most so many entries that are due. The whole block is refused at an entry that would change to rules
    /// that this model does not know.
    pub(crate) fn run_schedule(&mut self, h: u128, most: usize) -> Result<(), Refused> {
        let due: Vec<(u128, u128)> = self.schedule.keys().copied().filter(|(at, _)| *at <= h).take(most).collect();
        for key in due {
            let Scheduled { actor, commands } = self.schedule[&key].clone();
            let unknown =
                commands.iter().filter_map(target_rules).find(|rules| *rules > self.rules && !self.knows(*rules));
            if let Some(rules) = unknown
                && self.is_any_of(&actor, ADMIN)
                && !self.has(Planted::UnknownRulesSkipped)
            {
                return Err(Refused::UnknownRules { rules, height: h as u32 });
            }
            let entry = self.schedule.remove(&key).unwrap();
            let receipt = self.transaction(h, actor, Source::Scheduled, &commands);
            if receipt.code() == Reject::BlockFull.code() {
                self.schedule.insert(key, entry);
                continue;
            }
            let (code, index) = (receipt.code(), receipt.index());
            self.events.push(Event::ScheduleExecuted { id: key.1 as u64, code, index });
        }
        Ok(())
    }

    /// Power waits: a command that raises exposure is scheduled, long enough before it runs. `clear_override` is judged
    /// where its record is found.
    pub(crate) fn timelock_allows(&self, h: u128, source: Source, command: &Command) -> Result<(), Reject> {
        let timelock = u128::from(self.params.timelock);
        let is_too_early = if let Command::Schedule { at, commands } = command {
            u128::from(*at) < h + timelock - self.off_by(Planted::TimelockShort).min(timelock)
                && commands.iter().any(|command| self.is_raising(command))
        } else {
            self.is_raising(command) && !matches!(command, Command::ClearOverride { .. })
        };
        if timelock > 0 && source == Source::Sent && is_too_early { Err(Reject::TimelockRequired) } else { Ok(()) }
    }

    /// Whether a command raises exposure, or gives power that may. To clear an override does if it is one to off.
    pub(crate) fn is_raising(&self, command: &Command) -> bool {
        match command {
            Command::ClearOverride { name, user } => {
                let own = self.features.get(name).and_then(|f| f.overrides.get(user));
                own.is_some_and(|own| !own.enabled)
            }
            Command::SetOverride { enabled, .. } => *enabled,
            Command::RevokeRole { role, .. } => *role == ADMIN,
            Command::ConfigureFeature { .. }
            | Command::StartCanary { .. }
            | Command::StartRollout { .. }
            | Command::AdvanceRollout { .. }
            | Command::Enable { .. }
            | Command::ResetBreaker
            | Command::GrantRole { .. }
            | Command::SetParams { .. }
            | Command::SetRules { .. }
            | Command::Plugin(
                PluginCommand::RegisterVersion { .. }
                | PluginCommand::Deploy { .. }
                | PluginCommand::Resume { .. }
                | PluginCommand::Promote { .. }
                | PluginCommand::SetRule { .. }
                | PluginCommand::SetHostVersion { .. }
                | PluginCommand::SetRegistryParams { .. }
                | PluginCommand::Load { .. },
            ) => true,
            Command::CreateFeature { .. }
            | Command::Disable { .. }
            | Command::Rollback { .. }
            | Command::PauseRollout { .. }
            | Command::Report { .. }
            | Command::TripBreaker { .. }
            | Command::Schedule { .. }
            | Command::NestedSchedule { .. }
            | Command::CancelSchedule { .. }
            | Command::Plugin(
                PluginCommand::Pause { .. }
                | PluginCommand::RollbackDeployment { .. }
                | PluginCommand::Revert { .. }
                | PluginCommand::RetireVersion { .. }
                | PluginCommand::Unload { .. }
                | PluginCommand::ReportVersion { .. }
                | PluginCommand::AttestHealth { .. }
                | PluginCommand::ReportLoad { .. }
                | PluginCommand::ReportUnload { .. },
            )
            | Command::FeedPut { .. }
            | Command::FeedPatch { .. }
            | Command::FeedDelete { .. }
            | Command::FeedForget { .. } => false,
        }
    }
}

/// The rules that a command changes to, if it is set_rules.
pub(crate) fn target_rules(command: &Command) -> Option<u16> {
    if let Command::SetRules { rules } = command { Some(*rules) } else { None }
}
