//! Who may send what.

use coalmine_core::{Address, Reject};

use crate::plugins::rules;
use crate::raw::Command;
use crate::schedule::target_rules;
use crate::{ADMIN, FEEDER, GUARDIAN, Model, OPERATOR, Planted, REPORTER};

impl Model {
    /// Whether an address holds one of these roles.
    pub(crate) fn is_any_of(&self, address: &Address, roles: u8) -> bool {
        self.roles.get(address).is_some_and(|held| held & roles != 0)
    }

    pub(crate) fn is_authorized(&self, actor: &Address, command: &Command) -> Result<(), Reject> {
        let guardian_starts = self.has(Planted::GuardianStarts) && matches!(command, Command::StartCanary { .. });
        let allowed = authority(command) | ADMIN | if guardian_starts { GUARDIAN } else { 0 };
        if self.is_any_of(actor, allowed) { Ok(()) } else { Err(Reject::Unauthorized) }
    }
}

/// The roles that may send a command, besides Admin.
pub(crate) fn authority(command: &Command) -> u8 {
    match command {
        Command::CreateFeature { .. }
        | Command::ConfigureFeature { .. }
        | Command::ResetBreaker
        | Command::GrantRole { .. }
        | Command::RevokeRole { .. }
        | Command::SetParams { .. }
        | Command::SetRules { .. }
        | Command::FeedForget { .. } => ADMIN,
        Command::Schedule { commands, .. } if commands.iter().any(|nested| target_rules(nested).is_some()) => ADMIN,
        Command::StartCanary { .. }
        | Command::StartRollout { .. }
        | Command::AdvanceRollout { .. }
        | Command::Enable { .. }
        | Command::Disable { .. }
        | Command::SetOverride { .. }
        | Command::ClearOverride { .. }
        | Command::Schedule { .. }
        | Command::NestedSchedule { .. } => OPERATOR,
        Command::Rollback { .. }
        | Command::PauseRollout { .. }
        | Command::TripBreaker { .. }
        | Command::CancelSchedule { .. } => GUARDIAN | OPERATOR,
        Command::Report { .. } => REPORTER,
        Command::Plugin(command) => rules::authority(command),
        Command::FeedPut { .. } | Command::FeedPatch { .. } | Command::FeedDelete { .. } => FEEDER,
    }
}
