//! What commands cost. A block has so much work to give; a command pays for its own at its turn, whatever becomes of it.

use coalmine_core::Reject;

use crate::raw::{Command, PluginCommand};
use crate::{Model, Planted};

/// The work of a block: as many commands as it can hold, at a price of 1 each.
pub(crate) const BLOCK_WORK: u128 = 65_536 * 16;

impl Model {
    /// Takes the price of a command, or 1 if the command alone shows that it is refused.
    pub(crate) fn pay(&mut self, command: &Command, is_refused: bool) -> Result<(), Reject> {
        let emergency = self.off_by(Planted::EmergencyPays);
        if is_free(command) && emergency == 0 {
            return Ok(());
        }
        let price = if is_refused { 1 } else { self.price(command).max(emergency) };
        self.work_left = self.work_left.checked_sub(price).ok_or(Reject::BlockFull)?;
        Ok(())
    }

    fn price(&self, command: &Command) -> u128 {
        match command {
            Command::CreateFeature { .. }
            | Command::StartCanary { .. }
            | Command::StartRollout { .. }
            | Command::AdvanceRollout { .. }
            | Command::Enable { .. }
            | Command::SetOverride { .. } => 16,
            Command::Schedule { commands, .. } => 1 + commands.len() as u128,
            Command::FeedPut { part, lists } => {
                let lists: usize = lists.iter().map(Vec::len).sum();
                1 + (lists + self.feed.items_of_put(*part)) as u128
            }
            Command::FeedForget { ids, .. } => 1 + ids.len() as u128,
            Command::Plugin(command) => self.price_of_plugin_command(command),
            Command::ConfigureFeature { .. }
            | Command::ClearOverride { .. }
            | Command::Report { .. }
            | Command::ResetBreaker
            | Command::NestedSchedule { .. }
            | Command::GrantRole { .. }
            | Command::SetParams { .. }
            | Command::SetRules { .. }
            | Command::FeedPatch { .. }
            | Command::FeedDelete { .. } => 1,
            Command::Disable { .. }
            | Command::Rollback { .. }
            | Command::PauseRollout { .. }
            | Command::TripBreaker { .. }
            | Command::CancelSchedule { .. }
            | Command::RevokeRole { .. } => 0,
        }
    }

    fn price_of_plugin_command(&self, command: &PluginCommand) -> u128 {
        // An unknown plugin has no record in which to count what waits for it.
        let dependents =
            |plugin: &[u8]| if self.plugins.contains_key(plugin) { self.dependents_count(plugin) as u128 } else { 0 };
        match command {
            PluginCommand::RegisterVersion { plugin, .. }
            | PluginCommand::Deploy { plugin, .. }
            | PluginCommand::Promote { plugin }
            | PluginCommand::Resume { plugin }
            | PluginCommand::Revert { plugin } => 16 + dependents(plugin),
            PluginCommand::ReportLoad { plugin, .. } | PluginCommand::ReportUnload { plugin, ok: true, .. } => {
                1 + dependents(plugin)
            }
            PluginCommand::ReportUnload { ok: false, .. }
            | PluginCommand::SetHostVersion { .. }
            | PluginCommand::SetRule { .. } => 1_024,
            PluginCommand::Load { .. } | PluginCommand::Unload { force: true, .. } => 64,
            PluginCommand::RetireVersion { .. } => 16,
            PluginCommand::Unload { force: false, .. }
            | PluginCommand::SetRegistryParams { .. }
            | PluginCommand::ReportVersion { .. }
            | PluginCommand::AttestHealth { .. } => 1,
            PluginCommand::Pause { .. } | PluginCommand::RollbackDeployment { .. } => 0,
        }
    }
}

/// Whether a command is one of an emergency, in front of which nobody can buy the block.
pub(crate) fn is_free(command: &Command) -> bool {
    match command {
        Command::Disable { .. }
        | Command::Rollback { .. }
        | Command::PauseRollout { .. }
        | Command::TripBreaker { .. }
        | Command::CancelSchedule { .. }
        | Command::RevokeRole { .. }
        | Command::Plugin(PluginCommand::Pause { .. } | PluginCommand::RollbackDeployment { .. }) => true,
        Command::CreateFeature { .. }
        | Command::ConfigureFeature { .. }
        | Command::StartCanary { .. }
        | Command::StartRollout { .. }
        | Command::AdvanceRollout { .. }
        | Command::Enable { .. }
        | Command::SetOverride { .. }
        | Command::ClearOverride { .. }
        | Command::Report { .. }
        | Command::ResetBreaker
        | Command::Schedule { .. }
        | Command::NestedSchedule { .. }
        | Command::GrantRole { .. }
        | Command::SetParams { .. }
        | Command::SetRules { .. }
        | Command::Plugin(_)
        | Command::FeedPut { .. }
        | Command::FeedPatch { .. }
        | Command::FeedDelete { .. }
        | Command::FeedForget { .. } => false,
    }
}
