//! What a command pays, so that its cost is bounded by its price even if it fails or is undone.
//!
//! A block has a fixed number of units for sent and scheduled commands together. Commands that make things safer pay
//! nothing: nobody can buy the block in front of an emergency.

use crate::block::{BLOCK_TXS_MAX, TX_COMMANDS_MAX};
use crate::command::{Command, CommandKind, SCHEDULE_COMMANDS_MAX};
use crate::execute::executor::Executor;
use crate::feed::record::{FeedPart, FeedTotals};
use crate::reject::Reject;

/// The units of work of a block: one for each command that a block can have.
pub const BLOCK_WORK_MAX: u32 = 1_048_576;

const _: () = {
    assert!(BLOCK_TXS_MAX * TX_COMMANDS_MAX == 1_048_576, "each command can pay one unit");
    assert!(SCHEDULE_COMMANDS_MAX <= TX_COMMANDS_MAX, "a scheduled entry pays no more than a transaction");
};

/// A command that changes nothing else but a few records.
const PLAIN: u32 = 1;
/// A record or history entry that stays for ever.
const LASTING: u32 = 16;
/// A walk over a bounded part of the graph of requirements.
const WALK: u32 = 64;
/// A question to every loaded plugin, or to every plugin that could be reached.
const SWEEP: u32 = 1_024;

impl CommandKind {
    /// Whether the command pays nothing, because it only ever makes things safer.
    #[must_use]
    pub const fn is_free(self) -> bool {
        match self {
            Self::Disable
            | Self::Rollback
            | Self::PauseRollout
            | Self::RollbackDeployment
            | Self::Pause
            | Self::TripBreaker
            | Self::RevokeRole
            | Self::CancelSchedule => true,
            Self::CreateFeature
            | Self::ConfigureFeature
            | Self::StartCanary
            | Self::StartRollout
            | Self::AdvanceRollout
            | Self::Enable
            | Self::SetOverride
            | Self::ClearOverride
            | Self::Report
            | Self::ResetBreaker
            | Self::Schedule
            | Self::GrantRole
            | Self::SetParams
            | Self::SetRules
            | Self::RegisterVersion
            | Self::Deploy
            | Self::Resume
            | Self::Promote
            | Self::Revert
            | Self::RetireVersion
            | Self::SetRule
            | Self::SetHostVersion
            | Self::SetRegistryParams
            | Self::Load
            | Self::Unload
            | Self::ReportVersion
            | Self::AttestHealth
            | Self::ReportLoad
            | Self::ReportUnload
            | Self::FeedPut
            | Self::FeedPatch
            | Self::FeedDelete
            | Self::FeedForget => false,
        }
    }
}

impl Executor<'_> {
    /// Takes the price of a command from what is left of the block. Nothing gives it back.
    pub(super) fn pay(&mut self, command: Result<&Command, CommandKind>) -> Result<(), Reject> {
        let price = match command {
            Ok(command) => self.price(command),
            // What is refused for what it alone shows costs no more than reading it.
            Err(kind) if kind.is_free() => 0,
            Err(_) => PLAIN,
        };
        self.work_left = self.work_left.checked_sub(price).ok_or(Reject::BlockFull)?;
        Ok(())
    }

    fn price(&self, command: &Command) -> u32 {
        match command {
            Command::Disable { .. }
            | Command::Rollback { .. }
            | Command::PauseRollout { .. }
            | Command::RollbackDeployment { .. }
            | Command::Pause { .. }
            | Command::TripBreaker { .. }
            | Command::RevokeRole { .. }
            | Command::CancelSchedule { .. } => 0,
            Command::CreateFeature { .. }
            | Command::StartCanary { .. }
            | Command::StartRollout { .. }
            | Command::AdvanceRollout { .. }
            | Command::Enable { .. }
            | Command::SetOverride { .. }
            | Command::RetireVersion { .. } => LASTING,
            Command::ConfigureFeature { .. }
            | Command::ClearOverride { .. }
            | Command::Report { .. }
            | Command::ResetBreaker
            | Command::GrantRole { .. }
            | Command::SetParams { .. }
            | Command::SetRules { .. }
            | Command::SetRegistryParams { .. }
            | Command::Unload { force: false, .. }
            | Command::ReportVersion { .. }
            | Command::AttestHealth { .. }
            | Command::FeedPatch { .. }
            | Command::FeedDelete { .. } => PLAIN,
            Command::Schedule { commands, .. } => PLAIN.saturating_add(count(commands.len())),
            Command::RegisterVersion { plugin, .. }
            | Command::Deploy { plugin, .. }
            | Command::Resume { plugin }
            | Command::Promote { plugin }
            | Command::Revert { plugin } => LASTING.saturating_add(self.overlay.dependent_count(plugin)),
            Command::ReportLoad { plugin, .. } | Command::ReportUnload { plugin, ok: true, .. } => {
                PLAIN.saturating_add(self.overlay.dependent_count(plugin))
            }
            Command::Load { .. } | Command::Unload { force: true, .. } => WALK,
            Command::SetRule { .. } | Command::SetHostVersion { .. } | Command::ReportUnload { ok: false, .. } => SWEEP,
            Command::FeedPut { part, environments, filters } => {
                let items = count(environments.len()).saturating_add(count(filters.len()));
                PLAIN.saturating_add(items).saturating_add(walk_of_put(*part, &self.overlay.feed.state))
            }
            Command::FeedForget { ids, .. } => PLAIN.saturating_add(count(ids.len())),
        }
    }
}

/// What a part of a put visits besides its items: the ids listed so far if it drops them, and every record if it ends.
fn walk_of_put(part: FeedPart, totals: &FeedTotals) -> u32 {
    let listed = if part.is_begin() { totals.listed } else { 0 };
    let records = if part.is_end() { totals.environments.saturating_add(totals.filters) } else { 0 };
    listed.saturating_add(records)
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
