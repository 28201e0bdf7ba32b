//! Which field of a command breaks which limit: for rejects that name a rule and not the field.
//!
//! What is looked up here is no part of consensus. A command that decodes but breaks a rule is read field by field, as
//! FORMAT.md has it.

use coalmine_core::{
    Address, Bps, CONFIG_SIZE_MAX, Command, CommandKind, DEPENDENTS_MAX, DEPLOYMENTS_MAX, Decode, DecodeError,
    Description, Guardrails, Height, LOAD_DEPTH_MAX, LOAD_PLUGINS_MAX, LOADED_MAX, MaxVersions, Name,
    PREREQUISITE_DEPTH_MAX, PREREQUISITES_BELOW_MAX, Params, Percent, Plan, Policy, Pool, Reader, Reject, Role,
    SCHEDULED_MAX, SCHEDULED_RESERVED, STAGES_MAX, Stage, Strategy, TxCommand,
};

use crate::found::Found;

/// The field of a command whose bytes decode but break a rule, with its value and its limit.
pub(crate) fn broken_field(kind: CommandKind, reject: Reject, bytes: &[u8]) -> Option<String> {
    let mut input = Reader::new(bytes.get(1..)?);
    let field = Broken { reject }.field(kind, &mut input);
    field.ok().flatten()
}

struct Broken {
    reject: Reject,
}

impl Broken {
    fn field(&self, kind: CommandKind, input: &mut Reader<'_>) -> Result<Option<String>, DecodeError> {
        if self.reject == Reject::InvalidName && has_name(kind) {
            let name = input.lp8()?;
            let shown = String::from_utf8_lossy(name.get(..80).unwrap_or(name)).escape_debug().to_string();
            return Ok(Some(format!("the name \"{shown}\" has {} bytes", name.len())));
        }
        Ok(match kind {
            CommandKind::StartCanary | CommandKind::StartRollout => {
                input.lp8()?;
                let field = if kind == CommandKind::StartCanary { "percent" } else { "target_percent" };
                above(field, input.u8()?, Percent::FULL.get())
            }
            CommandKind::CreateFeature => {
                input.lp8()?;
                let description = input.lp16()?.len();
                description_too_long(description).map_or_else(|| settings(input), |found| Ok(Some(found)))?
            }
            CommandKind::ConfigureFeature => {
                input.lp8()?;
                let description = input.option(|input| input.lp16().map(<[u8]>::len))?.unwrap_or_default();
                description_too_long(description).map_or_else(|| settings(input), |found| Ok(Some(found)))?
            }
            CommandKind::Report => {
                input.lp8()?;
                let operations = u64::from(input.u32()?).saturating_add(input.u32()?.into());
                let latency = [("latency_total", input.u64()?), ("latency_peak", input.u64()?)];
                let (checks, failures) = (input.u32()?, input.u32()?);
                if failures > checks {
                    Some(format!("invariant_failures {failures} is above invariant_checks {checks}"))
                } else {
                    without_operations(operations, &latency)
                }
            }
            CommandKind::ReportVersion => {
                input.lp8()?;
                input.lp8()?;
                let (requests, errors, latency) = (input.u32()?, input.u32()?, input.u64()?);
                if errors > requests {
                    Some(format!("errors {errors} is above requests {requests}"))
                } else {
                    without_operations(requests.into(), &[("latency_total", latency)])
                }
            }
            CommandKind::SetParams => params(input)?,
            CommandKind::SetRegistryParams => {
                let max = input.option(Reader::u16)?;
                max.map(|max| {
                    let (from, to) = (MaxVersions::MIN.get(), MaxVersions::MAX.get());
                    format!("max_versions {max} is not {from} to {to}")
                })
            }
            CommandKind::GrantRole => (input.address()? == Address::ZERO)
                .then(|| format!("address {} stands for what happens without a signer", Address::ZERO)),
            CommandKind::RegisterVersion => {
                input.lp8()?;
                input.lp8()?;
                input.hash()?;
                input.lp8()?;
                for _ in 0..input.u8()? {
                    input.lp8()?;
                    input.lp8()?;
                }
                too_long("config", input.lp16()?.len(), CONFIG_SIZE_MAX)
            }
            CommandKind::Deploy => {
                input.lp8()?;
                input.lp8()?;
                (self.reject == Reject::InvalidPlan).then(|| plan(input))
            }
            CommandKind::Schedule => {
                input.u32()?;
                self.scheduled(input)?
            }
            CommandKind::AdvanceRollout
            | CommandKind::Enable
            | CommandKind::Disable
            | CommandKind::Rollback
            | CommandKind::SetOverride
            | CommandKind::ClearOverride
            | CommandKind::PauseRollout
            | CommandKind::TripBreaker
            | CommandKind::ResetBreaker
            | CommandKind::CancelSchedule
            | CommandKind::RevokeRole
            | CommandKind::SetRules
            | CommandKind::Pause
            | CommandKind::Resume
            | CommandKind::Promote
            | CommandKind::RollbackDeployment
            | CommandKind::Revert
            | CommandKind::RetireVersion
            | CommandKind::SetRule
            | CommandKind::SetHostVersion
            | CommandKind::Load
            | CommandKind::Unload
            | CommandKind::AttestHealth
            | CommandKind::ReportLoad
            | CommandKind::ReportUnload
            | CommandKind::FeedPut
            | CommandKind::FeedPatch
            | CommandKind::FeedDelete
            | CommandKind::FeedForget => None,
        })
    }

    /// The command of a schedule that breaks the rule, and how.
    fn scheduled(&self, input: &mut Reader<'_>) -> Result<Option<String>, DecodeError> {
        for number in 0..input.u8()? {
            let bytes = input.lp16()?;
            let kind = CommandKind::from_bytes(bytes.get(..1).unwrap_or_default())?;
            if !kind.is_schedulable() {
                return Ok(Some(format!("command {number} is {kind}, which cannot be scheduled")));
            }
            if let TxCommand::Invalid { kind, reject, bytes } = TxCommand::from_bytes(bytes)? {
                let field = broken_field(kind, reject, &bytes).map_or_else(String::new, |field| format!(": {field}"));
                return Ok(Some(format!("command {number}, {kind}{field}")));
            }
        }
        Ok(None)
    }
}

/// Whether the first field of a command is a name.
pub(crate) const fn has_name(kind: CommandKind) -> bool {
    !matches!(
        kind,
        CommandKind::TripBreaker
            | CommandKind::ResetBreaker
            | CommandKind::Schedule
            | CommandKind::CancelSchedule
            | CommandKind::GrantRole
            | CommandKind::RevokeRole
            | CommandKind::SetParams
            | CommandKind::SetRules
            | CommandKind::SetHostVersion
            | CommandKind::SetRegistryParams
            | CommandKind::FeedPut
            | CommandKind::FeedPatch
            | CommandKind::FeedDelete
            | CommandKind::FeedForget
    )
}

fn above<T: PartialOrd + std::fmt::Display>(field: &str, value: T, most: T) -> Option<String> {
    (value > most).then(|| format!("{field} {value} is above {most}"))
}

fn too_long(field: &str, len: usize, most: usize) -> Option<String> {
    (len > most).then(|| format!("{field} has {len} bytes, and at most {most}"))
}

fn description_too_long(len: usize) -> Option<String> {
    too_long("description", len, Description::LEN_MAX)
}

fn without_operations(operations: u64, latency: &[(&str, u64)]) -> Option<String> {
    let told = latency.iter().find(|(_, value)| operations == 0 && *value != 0)?;
    Some(format!("{} {} is not 0, and there are no operations", told.0, told.1))
}

fn settings(input: &mut Reader<'_>) -> Result<Option<String>, DecodeError> {
    let percent = input.option(Reader::u8)?.filter(|percent| !(1..=Percent::FULL.get()).contains(percent));
    let blocks = input.option(Reader::u32)?.filter(|blocks| *blocks == 0);
    let rate = input.option(Reader::u32)?.filter(|rate| *rate > Bps::FULL.get().into());
    Ok(percent
        .map(|percent| format!("increment_percent {percent} is not 1 to {}", Percent::FULL.get()))
        .or(blocks.map(|_| "increment_blocks 0 is not at least 1".into()))
        .or(rate.map(|rate| format!("max_error_rate {rate} is above {}", Bps::FULL.get()))))
}

fn params(input: &mut Reader<'_>) -> Result<Option<String>, DecodeError> {
    let due = input.option(Reader::u32)?.filter(|due| *due == 0);
    input.option(Reader::u32)?;
    input.option(Reader::u32)?;
    let timelock = input.option(Reader::u32)?.and_then(|blocks| above("timelock", blocks, Params::BLOCKS_MAX));
    input.option(Reader::bool)?;
    let rounds = input.option(Reader::u32)?.and_then(|blocks| above("round_blocks", blocks, Params::BLOCKS_MAX));
    let quorum = input.option(Reader::u8)?.filter(|quorum| !(1..=Params::QUORUM_MAX).contains(quorum));
    Ok(due
        .map(|_| "max_due_per_block 0 is not at least 1".into())
        .or(timelock)
        .or(rounds)
        .or(quorum.map(|quorum| format!("quorum {quorum} is not 1 to {}", Params::QUORUM_MAX))))
}

/// Which rule of plans a strategy and its guardrails break.
fn plan(input: &mut Reader<'_>) -> String {
    let read = |input: &mut Reader<'_>| Ok::<_, DecodeError>((Strategy::decode(input)?, Guardrails::decode(input)?));
    let Ok((strategy, guardrails)) = read(input) else {
        return format!("a share or threshold is above {} basis points", Bps::FULL.get());
    };
    // Without a deadline only the stages are left to be wrong.
    if let Ok(plan) = Plan::compile(&strategy, &Guardrails { max_blocks: None, ..guardrails }) {
        let total: u64 = plan.stages().iter().map(|stage| u64::from(stage.blocks)).sum();
        let max_blocks = guardrails.max_blocks.map_or(0, std::num::NonZeroU32::get);
        return format!("max_blocks {max_blocks} is not above {total}, the blocks of its stages");
    }
    match &strategy {
        Strategy::Custom { stages, .. } => stages_problem(stages),
        Strategy::Canary { initial_bps, increment_bps, max_bps, increment_blocks, .. } => {
            ramp_problem(*initial_bps, *increment_bps, *max_bps, *increment_blocks)
        }
        Strategy::Rolling { initial_bps, increment_bps, increment_blocks } => {
            ramp_problem(*initial_bps, *increment_bps, Bps::FULL, *increment_blocks)
        }
        Strategy::BlueGreen { health_blocks, .. } => {
            let field = if *health_blocks == 0 { "health_blocks" } else { "bake_blocks" };
            format!("{field} 0 is not at least 1")
        }
        Strategy::AbTest { share_bps, .. } => {
            let field = if *share_bps == Bps::ZERO { "share_bps" } else { "duration_blocks" };
            format!("{field} 0 is not at least 1")
        }
    }
}

fn ramp_problem(initial: Bps, increment: u16, max: Bps, blocks: u32) -> String {
    let (initial, max) = (initial.get(), max.get());
    if initial == 0 {
        "initial_bps 0 is not at least 1".into()
    } else if initial > max {
        format!("initial_bps {initial} is above max_bps {max}")
    } else if blocks == 0 {
        "increment_blocks 0 is not at least 1".into()
    } else {
        format!("from {initial} to {max} by {increment} takes more than {STAGES_MAX} stages")
    }
}

fn stages_problem(stages: &[Stage]) -> String {
    let falls = stages.windows(2).position(|pair| matches!(pair, [one, next] if one.share_bps > next.share_bps));
    if stages.is_empty() || stages.len() > STAGES_MAX {
        format!("stages are {}, and there are 1 to {STAGES_MAX}", stages.len())
    } else if let Some(stage) = stages.iter().position(|stage| stage.blocks == 0) {
        format!("stages[{stage}]: blocks 0 is not at least 1")
    } else if let Some(stage) = falls {
        format!("stages[{}]: share_bps is below that of the stage before it", stage.saturating_add(1))
    } else {
        "the last of the stages has share_bps 0".into()
    }
}

/// What a valid command runs into: the limit, and what of it is used.
pub(crate) fn limit(state: &Found<'_>, height: Height, signer: &Address, command: &Command) -> Option<String> {
    let params = state.global().params;
    match command {
        Command::CreateFeature { .. } => Some(format!(
            "its prerequisites are more than {PREREQUISITE_DEPTH_MAX} deep, or more than {PREREQUISITES_BELOW_MAX} lie below it"
        )),
        Command::Schedule { .. } => {
            let waiting = state.global().scheduled;
            let reserved = if state.roles_of(signer).allows(Role::Admin) { 0 } else { SCHEDULED_RESERVED };
            Some(format!("{waiting} entries wait, and at most {}", SCHEDULED_MAX.saturating_sub(reserved)))
        }
        Command::RegisterVersion { plugin, .. } => {
            let versions = state.versions(plugin).len();
            let max = state.registry().max_versions.get();
            Some(format!("{plugin} has {versions} versions of max_versions {max}, and none that may give way"))
        }
        Command::Deploy { plugin, .. } => {
            let running = state.plugins().iter().filter(|name| state.deployment(name).is_some()).count();
            Some(if running >= DEPLOYMENTS_MAX {
                format!("{running} deployments run, and at most {DEPLOYMENTS_MAX}")
            } else {
                dependents(plugin)
            })
        }
        Command::Promote { plugin } | Command::Revert { plugin } => Some(dependents(plugin)),
        Command::Load { plugin } => Some(format!(
            "it takes more than {LOAD_PLUGINS_MAX} plugins, a path of more than {LOAD_DEPTH_MAX}, more than {LOADED_MAX} \
             loaded ones, or more than {DEPENDENTS_MAX} dependents of one, to load {plugin}"
        )),
        Command::Unload { plugin, .. } => {
            Some(format!("{plugin} and all that depends on it are more than {LOAD_PLUGINS_MAX} plugins"))
        }
        Command::Report { .. }
        | Command::ReportVersion { .. }
        | Command::AttestHealth { .. }
        | Command::ReportLoad { .. }
        | Command::ReportUnload { .. } => {
            let blocks = params.round_blocks?;
            let last = height.checked_div(blocks.get())?.checked_add(1)?.checked_mul(blocks.get());
            Some(match last {
                Some(_) => format!("the round has {} reporters, the most that it takes", Pool::REPORTERS_MAX),
                None => format!("a round of {blocks} blocks would end above the last height"),
            })
        }
        Command::ConfigureFeature { .. }
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
        | Command::CancelSchedule { .. }
        | Command::GrantRole { .. }
        | Command::RevokeRole { .. }
        | Command::SetParams { .. }
        | Command::SetRules { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::RollbackDeployment { .. }
        | Command::RetireVersion { .. }
        | Command::SetRule { .. }
        | Command::SetHostVersion { .. }
        | Command::SetRegistryParams { .. }
        | Command::FeedPut { .. }
        | Command::FeedPatch { .. }
        | Command::FeedDelete { .. }
        | Command::FeedForget { .. } => None,
    }
}

fn dependents(plugin: &Name) -> String {
    format!("a plugin that {plugin} requires would have more than {DEPENDENTS_MAX} dependents")
}

/// The parameter of a valid command that contradicts the state.
pub(crate) fn contradiction(state: &Found<'_>, command: &Command) -> Option<String> {
    if let Command::ConfigureFeature { name, changes, .. } = command {
        let names =
            |policy: &Policy| policy.prerequisites.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let has = |names: String| if names.is_empty() { "none".into() } else { names };
        let (old, new) = (names(&state.policy(name)?), names(changes.policy.as_ref()?));
        return Some(format!("prerequisites never change: {} has {}, the policy says {}", name, has(old), has(new)));
    }
    if let Command::SetParams { .. } = command {
        return Some("breaker_window 0 while breaker_rollbacks is not 0".into());
    }
    let Command::SetRules { rules } = command else { return None };
    Some(format!("rules {rules} is not above {}, the current ones", state.global().rules.number()))
}
