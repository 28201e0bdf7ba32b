//! Why a command is rejected: the check that fails, with the names and figures that decide.
//!
//! The reject alone is consensus; this looks up, in the state as the command found it, what the check looked at.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use coalmine_core::{
    Address, Command, CommandKind, Decode, Height, Name, OpenBreaker, Payload, Reject, Role, Sequence, State,
    Transaction, TxCommand,
};

use crate::found::Found;
use crate::limits::{broken_field, contradiction, limit};
use crate::nearest::nearest;
use crate::words::{list, rate};

/// Says why the command at `index` of a payload gets a reject in a block, on the state as the command found it: the
/// names and figures that decided, or what the reject means where nothing else is known.
#[must_use]
pub fn why(state: &State, height: Height, payload: &Payload, reject: Reject, index: u8) -> String {
    why_found(&Found::new(state), height, payload, reject, index)
}

/// The same with what the block has written by then.
pub(crate) fn why_found(state: &Found<'_>, height: Height, payload: &Payload, reject: Reject, index: u8) -> String {
    let detail = match payload {
        Payload::Malformed(bytes) => {
            Transaction::from_bytes(bytes).err().map(|error| format!("of {} bytes: {error}", bytes.len()))
        }
        Payload::Transaction(tx) => of_sequence(state, height, tx, reject).or_else(|| {
            let command = tx.commands().get(usize::from(index))?;
            Case { state, height, signer: tx.signer(), reject }.detail(command)
        }),
    };
    detail.unwrap_or_else(|| reject.reason().into())
}

/// What a command is.
pub(crate) fn kind(command: &TxCommand) -> CommandKind {
    match command {
        TxCommand::Valid(command) => command.kind(),
        TxCommand::Invalid { kind, .. } => *kind,
    }
}

/// The rejects of a transaction as a whole.
fn of_sequence(state: &Found<'_>, height: Height, tx: &Transaction, reject: Reject) -> Option<String> {
    let signer = tx.signer();
    let last = state.sequence_of(signer);
    match (reject, tx.sequence()) {
        (Reject::BadSequence, None) => Some("this ledger takes sequenced transactions only, and there is none".into()),
        (Reject::BadSequence, Some(Sequence { number, .. })) => {
            Some(format!("sequence {number} is not above {last}, the last one of {signer}"))
        }
        (Reject::Expired, Some(Sequence { valid_until, .. })) => {
            let until = valid_until.map_or(0, NonZeroU32::get);
            Some(format!("it is valid up to height {until}, and the block is at {height}"))
        }
        (_, _) => None,
    }
}

/// A reject of one command.
struct Case<'a> {
    state: &'a Found<'a>,
    height: Height,
    signer: &'a Address,
    reject: Reject,
}

impl Case<'_> {
    fn detail(&self, command: &TxCommand) -> Option<String> {
        let state = self.state;
        let valid = match command {
            TxCommand::Valid(command) => Some(command),
            TxCommand::Invalid { .. } => None,
        };
        if let TxCommand::Invalid { kind, reject, bytes } = command
            && *reject == self.reject
        {
            return broken_field(*kind, *reject, bytes);
        }
        let feature = valid.and_then(feature_of);
        let plugin = valid.and_then(plugin_of);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the sentence of a reject is enough where nothing is looked up"
        )]
        match self.reject {
            Reject::Unauthorized => Some(self.unauthorized(kind(command))),
            Reject::FeatureNotFound | Reject::PrerequisiteNotFound => {
                let missing = match (self.reject, valid) {
                    (Reject::PrerequisiteNotFound, Some(command)) => missing_prerequisite(state, command)?,
                    (_, _) => *feature?,
                };
                Some(unknown("feature", &missing, &state.features()))
            }
            Reject::PluginNotFound => Some(unknown("plugin", plugin?, &state.plugins())),
            Reject::VersionNotFound => {
                let versions: Vec<_> = state.versions(plugin?).iter().map(ToString::to_string).collect();
                Some(format!("{} has {}", plugin?, list(&versions)))
            }
            Reject::FeatureDisabled | Reject::RolloutInProgress => self.standing(feature),
            Reject::InvalidTransition => {
                self.standing(feature).or_else(|| self.ledger_standing(valid?)).or_else(|| self.plugin_standing(plugin))
            }
            Reject::InsufficientData => {
                let feature = state.feature(feature?)?;
                let (has, needs) = (feature.success_count, feature.min_success_count);
                Some(format!("the trial of {} has {has} successes and needs {needs}", feature.name))
            }
            Reject::ErrorRateExceeded => {
                let feature = state.feature(feature?)?;
                let (errors, successes) = (feature.error_count, feature.success_count);
                let max = rate(feature.max_error_rate.into());
                Some(format!(
                    "{} has {errors} errors and {successes} successes in this trial, above max_error_rate {max}",
                    feature.name
                ))
            }
            Reject::LimitExceeded => limit(state, self.height, self.signer, valid?),
            Reject::InvalidParameter => contradiction(state, valid?),
            Reject::InvalidPercent => {
                let feature = state.feature(feature?)?;
                let percent = feature.rollout_percent;
                Some(format!("{} is at {percent} %, and a target is above that, or 100", feature.name))
            }
            Reject::CircuitOpen => Some(open(&state.global().breaker?)),
            Reject::PrerequisiteNotActive => {
                let policy = state.policy(feature?)?;
                let is_off = |name: &&Name| state.feature(name).is_none_or(|feature| !feature.status.is_on());
                let off = policy.prerequisites.iter().find(is_off)?;
                let status = state.feature(off).map_or("missing", |feature| feature.status.name());
                Some(format!("its prerequisite {off} is {status}"))
            }
            Reject::NotDue => {
                let feature = state.feature(feature?)?;
                let due = u64::from(feature.last_increment_block).saturating_add(feature.increment_blocks.into());
                Some(format!(
                    "the next step of {} is due at height {due}, and the block is at {}",
                    feature.name, self.height
                ))
            }
            Reject::HeightInPast => Some(format!("the block is at height {}", self.height)),
            Reject::TimelockRequired => {
                let timelock = state.global().params.timelock?;
                let earliest = u64::from(self.height).saturating_add(timelock.get().into());
                Some(format!("the timelock is {timelock} blocks, so height {earliest} is the earliest"))
            }
            Reject::StaleReport => match (feature, plugin) {
                (Some(name), _) => {
                    let start = state.feature(name)?.start_block;
                    Some(format!("the current trial of {name} is {start}"))
                }
                (None, Some(plugin)) => {
                    let number = state.plugin(plugin)?.deployments;
                    let running = state.deployment(plugin).is_some();
                    Some(if running { format!("deployment {number} is running") } else { "none is running".into() })
                }
                (None, None) => None,
            },
            Reject::DeploymentInProgress => {
                let deployment = state.deployment(plugin?)?;
                Some(format!("{} is being deployed since height {}", deployment.new, deployment.start))
            }
            Reject::NotWaiting => self.plugin_standing(plugin),
            Reject::VersionInUse => {
                Some(format!("the current version of {} is {}", plugin?, state.plugin(plugin?)?.current))
            }
            Reject::AlreadyLoaded | Reject::NotLoaded => {
                Some(format!("{} is {}", plugin?, state.plugin(plugin?)?.load_state))
            }
            Reject::RuleViolated => {
                let rule = state.plugin(plugin?)?.constraint?;
                Some(format!("the versions of {} must satisfy {rule}", plugin?))
            }
            Reject::HostTooOld => Some(format!("the host is at {}", state.registry().host_version)),
            Reject::BlockFull => Some("the transactions before it have paid for all work of the block".into()),
            _ => None,
        }
    }

    fn unauthorized(&self, kind: CommandKind) -> String {
        let roles = self.state.roles_of(self.signer);
        if kind.roles().iter().any(|role| roles.allows(*role)) {
            // The roles suffice for the command, and not for what is in it.
            let is_cancel = kind == CommandKind::CancelSchedule;
            let what = if is_cancel {
                "a guardian cancels only what raises exposure or power"
            } else {
                "a change of rules takes admin"
            };
            return what.into();
        }
        let held: Vec<&str> = roles.iter().map(Role::name).collect();
        let needed: Vec<&str> = kind.roles().iter().map(|role| role.name()).collect();
        let held = if held.is_empty() { "no role".into() } else { held.join(", ") };
        format!("holds {held}, needs {}", needed.join(" or "))
    }

    fn standing(&self, feature: Option<&Name>) -> Option<String> {
        let feature = self.state.feature(feature?)?;
        Some(format!("{} is {}", feature.name, feature.status))
    }

    /// The version, load state or breaker that a command does not lead on from.
    fn ledger_standing(&self, command: &Command) -> Option<String> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "what other commands are about is looked up elsewhere")]
        match command {
            Command::TripBreaker { .. } => {
                let breaker = self.state.global().breaker?;
                let drains = if breaker.draining { " and drains" } else { "" };
                Some(format!("the breaker is {}{drains}, which is no less than this", open(&breaker)))
            }
            Command::ResetBreaker => Some("the breaker is closed".into()),
            Command::Deploy { plugin, version, .. } | Command::RetireVersion { plugin, version } => {
                let status = self.state.version(plugin, version)?.status;
                Some(format!("{version} of {plugin} is {status}"))
            }
            Command::Load { plugin } | Command::Unload { plugin, .. } => {
                Some(format!("{plugin} is {}", self.state.plugin(plugin)?.load_state))
            }
            _ => None,
        }
    }

    fn plugin_standing(&self, plugin: Option<&Name>) -> Option<String> {
        let deployment = self.state.deployment(plugin?)?;
        Some(format!("the deployment of {} is {} in stage {}", deployment.new, deployment.hold, deployment.stage))
    }
}

/// Since when and until when the breaker is open, and why.
fn open(breaker: &OpenBreaker) -> String {
    let until = breaker.until.map_or_else(|| "it is reset".into(), |until| format!("height {until}"));
    format!("open since height {} ({}), until {until}", breaker.since, breaker.reason)
}

fn unknown(what: &str, name: &Name, known: &BTreeSet<Name>) -> String {
    match nearest(name.as_str(), known.iter().map(Name::as_str)) {
        Some(nearest) => format!("there is no {what} {name}; the nearest is {nearest}"),
        None => format!("there is no {what} {name}"),
    }
}

fn missing_prerequisite(state: &Found<'_>, command: &Command) -> Option<Name> {
    let Command::CreateFeature { changes, .. } = command else { return None };
    let policy = changes.policy.as_ref()?;
    policy.prerequisites.iter().find(|name| state.feature(name).is_none()).copied()
}

/// The feature that a command is about.
pub(crate) const fn feature_of(command: &Command) -> Option<&Name> {
    match command {
        Command::CreateFeature { name, .. }
        | Command::ConfigureFeature { name, .. }
        | Command::StartCanary { name, .. }
        | Command::StartRollout { name, .. }
        | Command::AdvanceRollout { name }
        | Command::Enable { name }
        | Command::Disable { name }
        | Command::Rollback { name, .. }
        | Command::SetOverride { name, .. }
        | Command::ClearOverride { name, .. }
        | Command::PauseRollout { name }
        | Command::Report { name, .. } => Some(name),
        Command::TripBreaker { .. }
        | Command::ResetBreaker
        | Command::Schedule { .. }
        | Command::CancelSchedule { .. }
        | Command::GrantRole { .. }
        | Command::RevokeRole { .. }
        | Command::SetParams { .. }
        | Command::SetRules { .. }
        | Command::RegisterVersion { .. }
        | Command::Deploy { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Promote { .. }
        | Command::RollbackDeployment { .. }
        | Command::Revert { .. }
        | Command::RetireVersion { .. }
        | Command::SetRule { .. }
        | Command::SetHostVersion { .. }
        | Command::SetRegistryParams { .. }
        | Command::Load { .. }
        | Command::Unload { .. }
        | Command::ReportVersion { .. }
        | Command::AttestHealth { .. }
        | Command::ReportLoad { .. }
        | Command::ReportUnload { .. }
        | Command::FeedPut { .. }
        | Command::FeedPatch { .. }
        | Command::FeedDelete { .. }
        | Command::FeedForget { .. } => None,
    }
}

/// The plugin that a command is about.
pub(crate) const fn plugin_of(command: &Command) -> Option<&Name> {
    match command {
        Command::RegisterVersion { plugin, .. }
        | Command::Deploy { plugin, .. }
        | Command::Pause { plugin }
        | Command::Resume { plugin }
        | Command::Promote { plugin }
        | Command::RollbackDeployment { plugin }
        | Command::Revert { plugin }
        | Command::RetireVersion { plugin, .. }
        | Command::SetRule { plugin, .. }
        | Command::Load { plugin }
        | Command::Unload { plugin, .. }
        | Command::ReportVersion { plugin, .. }
        | Command::AttestHealth { plugin, .. }
        | Command::ReportLoad { plugin, .. }
        | Command::ReportUnload { plugin, .. } => Some(plugin),
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
        | Command::Report { .. }
        | Command::TripBreaker { .. }
        | Command::ResetBreaker
        | Command::Schedule { .. }
        | Command::CancelSchedule { .. }
        | Command::GrantRole { .. }
        | Command::RevokeRole { .. }
        | Command::SetParams { .. }
        | Command::SetRules { .. }
        | Command::SetHostVersion { .. }
        | Command::SetRegistryParams { .. }
        | Command::FeedPut { .. }
        | Command::FeedPatch { .. }
        | Command::FeedDelete { .. }
        | Command::FeedForget { .. } => None,
    }
}
