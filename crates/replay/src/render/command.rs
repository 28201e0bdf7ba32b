//! Commands in the schedule.

use coalmine_core::Command;

use super::fields::Fields;
use super::plugin;

/// The fields of a command that can be scheduled. Others are never in a schedule, so their name suffices.
pub(super) fn command(command: &Command) -> Fields {
    let op = Fields::new().text("op", command.kind());
    match command {
        Command::StartCanary { name, percent } => op.text("name", name).with("percent", percent.get()),
        Command::StartRollout { name, target_percent } => {
            op.text("name", name).with("target_percent", target_percent.get())
        }
        Command::AdvanceRollout { name } | Command::Enable { name } | Command::Disable { name } => {
            op.text("name", name)
        }
        Command::Rollback { name, reason } => op.text("name", name).text("reason", reason),
        Command::SetOverride { name, user, enabled } => {
            op.text("name", name).text("user", user).with("enabled", *enabled)
        }
        Command::ClearOverride { name, user } => op.text("name", name).text("user", user),
        Command::Deploy { plugin, version, strategy } => op
            .text("plugin", plugin)
            .text("version", version)
            .and(plugin::strategy(strategy.strategy()))
            .and(plugin::guardrails(strategy.plan().guardrails())),
        Command::Pause { plugin }
        | Command::Resume { plugin }
        | Command::Promote { plugin }
        | Command::RollbackDeployment { plugin }
        | Command::Revert { plugin }
        | Command::Load { plugin } => op.text("plugin", plugin),
        Command::RetireVersion { plugin, version } => op.text("plugin", plugin).text("version", version),
        Command::Unload { plugin, force } => op.text("plugin", plugin).with("force", *force),
        Command::CreateFeature { .. }
        | Command::ConfigureFeature { .. }
        | Command::Report { .. }
        | Command::TripBreaker { .. }
        | Command::ResetBreaker
        | Command::Schedule { .. }
        | Command::CancelSchedule { .. }
        | Command::GrantRole { .. }
        | Command::RevokeRole { .. }
        | Command::SetParams { .. }
        | Command::RegisterVersion { .. }
        | Command::SetRule { .. }
        | Command::SetHostVersion { .. }
        | Command::SetRegistryParams { .. }
        | Command::ReportVersion { .. }
        | Command::AttestHealth { .. }
        | Command::ReportLoad { .. }
        | Command::ReportUnload { .. }
        | Command::FeedPut { .. }
        | Command::FeedPatch { .. }
        | Command::FeedDelete { .. }
        | Command::FeedForget { .. } => op,
    }
}
