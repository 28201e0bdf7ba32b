//! What a command alone shows: values that break a limit, whatever the state.

use coalmine_core::{Address, Reject};

use crate::block::Source;
use crate::plugins::rules;
use crate::raw::{Changes, Command, is_feed_id, is_name};

/// The most blocks of a timelock, and of a round.
const BLOCKS_MAX: u32 = 1_000_000;

/// Checks the values of a command, which needs no state, in the order of its fields.
pub(crate) fn limits(source: Source, command: &Command) -> Result<(), Reject> {
    let check = |holds: bool, reject: Reject| if holds { Ok(()) } else { Err(reject) };
    let name = |name: &[u8]| check(is_name(name), Reject::InvalidName);
    let description = |text: &[u8]| check(text.len() <= 1_024, Reject::LimitExceeded);
    let id = |id: &[u8]| check(is_feed_id(id), Reject::InvalidFeedId);
    let body = |body: &[u8]| check(body.len() <= 4_096, Reject::FeedItemTooLarge);
    let percent = |percent: u8| check(percent <= 100, Reject::InvalidPercent);
    let settings = |changes: &Changes| {
        check(
            changes.increment_percent.is_none_or(|n| (1..=100).contains(&n))
                && changes.increment_blocks.is_none_or(|n| n >= 1)
                && changes.max_error_rate.is_none_or(|n| n <= 10_000),
            Reject::InvalidParameter,
        )
    };
    match command {
        Command::CreateFeature { name: n, description: text, changes } => {
            name(n)?;
            description(text)?;
            settings(changes)
        }
        Command::ConfigureFeature { name: n, description: text, changes } => {
            name(n)?;
            text.as_ref().map_or(Ok(()), |text| description(text))?;
            settings(changes)
        }
        Command::StartCanary { name: n, percent: p } | Command::StartRollout { name: n, target_percent: p } => {
            name(n)?;
            percent(*p)
        }
        Command::AdvanceRollout { name: n }
        | Command::Enable { name: n }
        | Command::Disable { name: n }
        | Command::Rollback { name: n, .. }
        | Command::PauseRollout { name: n }
        | Command::SetOverride { name: n, .. }
        | Command::ClearOverride { name: n, .. } => name(n),
        Command::Report { name: n, report, trial: _ } => {
            name(n)?;
            let no_operations = report.successes == 0 && report.errors == 0;
            let no_latency = report.latency_total == 0 && report.latency_peak == 0;
            let agrees = report.invariant_failures <= report.invariant_checks && (no_latency || !no_operations);
            check(agrees, Reject::InvalidParameter)
        }
        Command::Schedule { commands, .. } => commands.iter().try_for_each(|nested| {
            check(is_schedulable(nested), Reject::InvalidParameter)?;
            limits(Source::Scheduled, nested)
        }),
        Command::NestedSchedule { .. } => Err(Reject::InvalidParameter),
        Command::Plugin(command) => rules::limits(command),
        Command::SetParams { max_due_per_block, timelock, round_blocks, quorum, .. } => check(
            *max_due_per_block != Some(0)
                && [timelock, round_blocks].into_iter().all(|blocks| blocks.is_none_or(|n| n <= BLOCKS_MAX))
                && quorum.is_none_or(|quorum| (1..=64).contains(&quorum)),
            Reject::InvalidParameter,
        ),
        Command::SetRules { .. } => check(source == Source::Scheduled, Reject::NotScheduled),
        Command::GrantRole { address, .. } => check(*address != Address::ZERO, Reject::InvalidParameter),
        Command::FeedPut { lists, .. } => lists.iter().flatten().try_for_each(|entry| {
            id(&entry.id)?;
            body(&entry.body)
        }),
        Command::FeedPatch { id: i, body: b, .. } => {
            id(i)?;
            body(b)
        }
        Command::FeedDelete { id: i, .. } => id(i),
        Command::FeedForget { ids, .. } => ids.iter().try_for_each(|i| id(i)),
        Command::TripBreaker { .. }
        | Command::ResetBreaker
        | Command::CancelSchedule { .. }
        | Command::RevokeRole { .. } => Ok(()),
    }
}

/// Whether a command may stand in a schedule.
fn is_schedulable(command: &Command) -> bool {
    match command {
        Command::Plugin(command) => rules::is_schedulable(command),
        Command::CreateFeature { .. }
        | Command::ConfigureFeature { .. }
        | Command::StartCanary { .. }
        | Command::StartRollout { .. }
        | Command::AdvanceRollout { .. }
        | Command::Enable { .. }
        | Command::Disable { .. }
        | Command::Rollback { .. }
        | Command::SetOverride { .. }
        | Command::ClearOverride { .. }
        | Command::PauseRollout { .. }
        | Command::TripBreaker { .. }
        | Command::ResetBreaker
        | Command::GrantRole { .. }
        | Command::RevokeRole { .. }
        | Command::SetParams { .. }
        | Command::SetRules { .. } => true,
        Command::Report { .. }
        | Command::Schedule { .. }
        | Command::NestedSchedule { .. }
        | Command::CancelSchedule { .. }
        | Command::FeedPut { .. }
        | Command::FeedPatch { .. }
        | Command::FeedDelete { .. }
        | Command::FeedForget { .. } => false,
    }
}
