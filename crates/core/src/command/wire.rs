//! The encoding of commands.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::{Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};
use crate::command::{Command, CommandKind, SCHEDULE_COMMANDS_MAX};
use crate::feature::record::{FeatureChanges, Reason};
use crate::feature::report::Report;
use crate::feed::record::{FeedEntry, FeedKind, FeedPart, body_field, id_field, id_list};
use crate::ledger::ParamsChanges;
use crate::plugin::manifest::RawManifest;
use crate::plugin::plan::CompiledStrategy;
use crate::plugin::record::{MaxVersions, VersionReport};
use crate::plugin::version::{Constraint, Version};
use crate::reject::{Checked, Reject};
use crate::rules::RuleSet;
use crate::valid::Valid;
use crate::values::{Address, Description, Hash, Name, Percent, Role};

impl Command {
    /// A count, then each command behind a u16 length.
    pub(crate) fn encode_list(commands: &[Self], out: &mut Writer) {
        out.count_u8(commands.len());
        commands.iter().for_each(|command| out.lp16(&command.to_bytes()));
    }

    /// Decodes the fields of a command, then checks the rules of its values.
    pub(crate) fn decode(kind: CommandKind, input: &mut Reader<'_>) -> Result<Checked<Self>, DecodeError> {
        Ok(match kind {
            CommandKind::CreateFeature => {
                let name = name_field(input)?;
                let description = description_field(input)?;
                let changes = FeatureChanges::decode(input)?;
                create(name, description, changes)
            }
            CommandKind::ConfigureFeature => {
                let name = name_field(input)?;
                let description = input.option(description_field)?;
                let changes = FeatureChanges::decode(input)?;
                configure(name, description, changes)
            }
            CommandKind::StartCanary => {
                let (name, percent) = (name_field(input)?, input.u8()?);
                name.and_then(|name| Ok(Self::StartCanary { name, percent: Percent::new(percent)? }))
            }
            CommandKind::StartRollout => {
                let (name, percent) = (name_field(input)?, input.u8()?);
                name.and_then(|name| Ok(Self::StartRollout { name, target_percent: Percent::new(percent)? }))
            }
            CommandKind::AdvanceRollout => name_field(input)?.map(|name| Self::AdvanceRollout { name }),
            CommandKind::Enable => name_field(input)?.map(|name| Self::Enable { name }),
            CommandKind::Disable => name_field(input)?.map(|name| Self::Disable { name }),
            CommandKind::Rollback => {
                let (name, reason) = (name_field(input)?, Reason::decode(input)?);
                name.map(|name| Self::Rollback { name, reason })
            }
            CommandKind::SetOverride => {
                let (name, user, enabled) = (name_field(input)?, input.address()?, input.bool()?);
                name.map(|name| Self::SetOverride { name, user, enabled })
            }
            CommandKind::ClearOverride => {
                let (name, user) = (name_field(input)?, input.address()?);
                name.map(|name| Self::ClearOverride { name, user })
            }
            CommandKind::Report => {
                let name = name_field(input)?;
                let report = Report {
                    successes: input.u32()?,
                    errors: input.u32()?,
                    latency_total: input.u64()?,
                    latency_peak: input.u64()?,
                    invariant_checks: input.u32()?,
                    invariant_failures: input.u32()?,
                };
                let trial = input.option(Reader::u32)?;
                name.and_then(|name| Ok(Self::Report { name, report: Valid::new(report)?, trial }))
            }
            CommandKind::PauseRollout => name_field(input)?.map(|name| Self::PauseRollout { name }),
            CommandKind::TripBreaker => Ok(Self::TripBreaker {
                reason: Reason::decode(input)?,
                until: input.nonzero_u32()?,
                drain: input.bool()?,
            }),
            CommandKind::ResetBreaker => Ok(Self::ResetBreaker),
            CommandKind::Schedule => {
                let at = input.u32()?;
                let commands = decode_schedule(input)?;
                commands.map(|commands| Self::Schedule { at, commands })
            }
            CommandKind::CancelSchedule => Ok(Self::CancelSchedule { at: input.u32()?, id: input.u64()? }),
            CommandKind::GrantRole => match (input.address()?, role_field(input)?) {
                // It stands for what happens without a signer, so it never has a role.
                (Address::ZERO, _) => Err(Reject::InvalidParameter),
                (address, role) => Ok(Self::GrantRole { address, role }),
            },
            CommandKind::RevokeRole => Ok(Self::RevokeRole { address: input.address()?, role: role_field(input)? }),
            CommandKind::SetParams => {
                let changes = ParamsChanges::decode(input)?;
                Valid::new(changes).map(|changes| Self::SetParams { changes }).map_err(Reject::from)
            }
            CommandKind::SetRules => Ok(Self::SetRules { rules: input.u16()? }),
            CommandKind::RegisterVersion => {
                let (plugin, version, code_hash) = (name_field(input)?, input.lp8()?, input.hash()?);
                register(plugin, version, code_hash, RawManifest::decode(input)?)
            }
            CommandKind::Deploy => {
                let (name, version) = (name_field(input)?, input.lp8()?);
                let strategy = CompiledStrategy::decode(input)?;
                plugin_and_version(name, version)
                    .and_then(|(plugin, version)| Ok(Self::Deploy { plugin, version, strategy: strategy? }))
            }
            CommandKind::Pause => name_field(input)?.map(|plugin| Self::Pause { plugin }),
            CommandKind::Resume => name_field(input)?.map(|plugin| Self::Resume { plugin }),
            CommandKind::Promote => name_field(input)?.map(|plugin| Self::Promote { plugin }),
            CommandKind::RollbackDeployment => name_field(input)?.map(|plugin| Self::RollbackDeployment { plugin }),
            CommandKind::Revert => name_field(input)?.map(|plugin| Self::Revert { plugin }),
            CommandKind::RetireVersion => plugin_and_version(name_field(input)?, input.lp8()?)
                .map(|(plugin, version)| Self::RetireVersion { plugin, version }),
            CommandKind::SetRule => {
                let (name, constraint) = (name_field(input)?, input.lp8()?);
                name.and_then(|plugin| Ok(Self::SetRule { plugin, constraint: Constraint::new_option(constraint)? }))
            }
            CommandKind::SetHostVersion => {
                Version::new(input.lp8()?).map(|version| Self::SetHostVersion { version }).map_err(Reject::from)
            }
            CommandKind::SetRegistryParams => {
                let (max_versions, auto_load) = (input.option(Reader::u16)?, input.option(Reader::bool)?);
                let max_versions = max_versions.map(MaxVersions::new).transpose();
                max_versions
                    .map(|max_versions| Self::SetRegistryParams { max_versions, auto_load })
                    .map_err(Reject::from)
            }
            CommandKind::Load => name_field(input)?.map(|plugin| Self::Load { plugin }),
            CommandKind::Unload => {
                let (name, force) = (name_field(input)?, input.bool()?);
                name.map(|plugin| Self::Unload { plugin, force })
            }
            CommandKind::ReportVersion => {
                let (name, version) = (name_field(input)?, input.lp8()?);
                let report =
                    VersionReport { requests: input.u32()?, errors: input.u32()?, latency_total: input.u64()? };
                let deployment = input.option(Reader::u32)?;
                plugin_and_version(name, version).and_then(|(plugin, version)| {
                    Ok(Self::ReportVersion { plugin, version, report: Valid::new(report)?, deployment })
                })
            }
            CommandKind::AttestHealth => {
                let (named, healthy) = (plugin_and_version(name_field(input)?, input.lp8()?), input.bool()?);
                named.map(|(plugin, version)| Self::AttestHealth { plugin, version, healthy })
            }
            CommandKind::ReportLoad => {
                let (named, ok) = (plugin_and_version(name_field(input)?, input.lp8()?), input.bool()?);
                named.map(|(plugin, version)| Self::ReportLoad { plugin, version, ok })
            }
            CommandKind::ReportUnload => {
                let (named, ok) = (plugin_and_version(name_field(input)?, input.lp8()?), input.bool()?);
                named.map(|(plugin, version)| Self::ReportUnload { plugin, version, ok })
            }
            CommandKind::FeedPut => {
                let part = FeedPart::decode(input)?;
                let environments = FeedEntry::decode_list(input)?;
                let filters = FeedEntry::decode_list(input)?;
                environments.and_then(|environments| Ok(Self::FeedPut { part, environments, filters: filters? }))
            }
            CommandKind::FeedPatch => {
                let kind = FeedKind::decode(input)?;
                let (id, version, body) = (id_field(input)?, input.u64()?, body_field(input)?);
                id.and_then(|id| Ok(Self::FeedPatch { kind, id, version, body: body? }))
            }
            CommandKind::FeedDelete => {
                let kind = FeedKind::decode(input)?;
                let (id, version) = (id_field(input)?, input.u64()?);
                id.map(|id| Self::FeedDelete { kind, id, version })
            }
            CommandKind::FeedForget => {
                let kind = FeedKind::decode(input)?;
                id_list(input)?.map(|ids| Self::FeedForget { kind, ids })
            }
        })
    }
}

impl Encode for Command {
    fn encode(&self, out: &mut Writer) {
        self.kind().encode(out);
        match self {
            Self::CreateFeature { name, description, changes } => {
                out.name(name);
                out.lp16(description.as_str().as_bytes());
                changes.encode(out);
            }
            Self::ConfigureFeature { name, description, changes } => {
                out.name(name);
                out.option(description.as_ref(), |out, text| out.lp16(text.as_str().as_bytes()));
                changes.encode(out);
            }
            Self::StartCanary { name, percent } | Self::StartRollout { name, target_percent: percent } => {
                out.name(name);
                out.u8(percent.get());
            }
            Self::AdvanceRollout { name }
            | Self::Enable { name }
            | Self::Disable { name }
            | Self::PauseRollout { name } => out.name(name),
            Self::Rollback { name, reason } => {
                out.name(name);
                reason.encode(out);
            }
            Self::SetOverride { name, user, enabled } => {
                out.name(name);
                out.address(user);
                out.bool(*enabled);
            }
            Self::ClearOverride { name, user } => {
                out.name(name);
                out.address(user);
            }
            Self::Report { name, report, trial } => {
                out.name(name);
                out.u32(report.successes);
                out.u32(report.errors);
                out.u64(report.latency_total);
                out.u64(report.latency_peak);
                out.u32(report.invariant_checks);
                out.u32(report.invariant_failures);
                out.option(*trial, Writer::u32);
            }
            Self::TripBreaker { reason, until, drain } => {
                reason.encode(out);
                out.nonzero_u32(*until);
                out.bool(*drain);
            }
            Self::ResetBreaker => {}
            Self::Schedule { at, commands } => {
                out.u32(*at);
                Self::encode_list(commands, out);
            }
            Self::CancelSchedule { at, id } => {
                out.u32(*at);
                out.u64(*id);
            }
            Self::GrantRole { address, role } | Self::RevokeRole { address, role } => {
                out.address(address);
                out.u8(role.mask());
            }
            Self::SetParams { changes } => changes.encode(out),
            Self::SetRules { rules } => out.u16(*rules),
            Self::RegisterVersion { plugin, version, manifest } => {
                out.name(plugin);
                version.encode(out);
                out.hash(&manifest.code_hash);
                manifest.encode_rest(out);
            }
            Self::Deploy { plugin, version, strategy } => {
                out.name(plugin);
                version.encode(out);
                strategy.strategy().encode(out);
                strategy.plan().guardrails().encode(out);
            }
            Self::Pause { plugin }
            | Self::Resume { plugin }
            | Self::Promote { plugin }
            | Self::RollbackDeployment { plugin }
            | Self::Revert { plugin }
            | Self::Load { plugin } => out.name(plugin),
            Self::RetireVersion { plugin, version } => {
                out.name(plugin);
                version.encode(out);
            }
            Self::SetRule { plugin, constraint } => {
                out.name(plugin);
                Constraint::encode_option(constraint.as_ref(), out);
            }
            Self::SetHostVersion { version } => version.encode(out),
            Self::SetRegistryParams { max_versions, auto_load } => {
                out.option(*max_versions, |out, max| out.u16(max.get()));
                out.option(*auto_load, Writer::bool);
            }
            Self::Unload { plugin, force } => {
                out.name(plugin);
                out.bool(*force);
            }
            Self::ReportVersion { plugin, version, report, deployment } => {
                out.name(plugin);
                version.encode(out);
                out.u32(report.requests);
                out.u32(report.errors);
                out.u64(report.latency_total);
                out.option(*deployment, Writer::u32);
            }
            Self::AttestHealth { plugin, version, healthy: flag }
            | Self::ReportLoad { plugin, version, ok: flag }
            | Self::ReportUnload { plugin, version, ok: flag } => {
                out.name(plugin);
                version.encode(out);
                out.bool(*flag);
            }
            Self::FeedPut { part, environments, filters } => {
                part.encode(out);
                FeedEntry::encode_list(environments, out);
                FeedEntry::encode_list(filters, out);
            }
            Self::FeedPatch { kind, id, version, body } => {
                kind.encode(out);
                out.lp8(id.as_bytes());
                out.u64(*version);
                out.lp16(body.as_bytes());
            }
            Self::FeedDelete { kind, id, version } => {
                kind.encode(out);
                out.lp8(id.as_bytes());
                out.u64(*version);
            }
            Self::FeedForget { kind, ids } => {
                kind.encode(out);
                out.count_u8(ids.len());
                ids.iter().for_each(|id| out.lp8(id.as_bytes()));
            }
        }
    }
}

/// Reads the tag of a command.
pub(crate) fn kind_field(input: &mut Reader<'_>) -> Result<CommandKind, DecodeError> {
    match input.rules() {
        RuleSet::One => CommandKind::decode(input),
        #[cfg(feature = "test-rules")]
        RuleSet::Test => match input.clone().u8()? {
            RuleSet::TEST_TAG => input.u8().map(|_| CommandKind::Disable),
            _ => CommandKind::decode(input),
        },
    }
}

fn create(
    name: Checked<Name>,
    description: Checked<Description>,
    changes: Checked<Valid<FeatureChanges>>,
) -> Checked<Command> {
    Ok(Command::CreateFeature { name: name?, description: description?, changes: changes? })
}

fn configure(
    name: Checked<Name>,
    description: Option<Checked<Description>>,
    changes: Checked<Valid<FeatureChanges>>,
) -> Checked<Command> {
    Ok(Command::ConfigureFeature { name: name?, description: description.transpose()?, changes: changes? })
}

fn name_field(input: &mut Reader<'_>) -> Result<Checked<Name>, DecodeError> {
    Ok(Name::new(input.lp8()?).map_err(Reject::from))
}

fn description_field(input: &mut Reader<'_>) -> Result<Checked<Description>, DecodeError> {
    let bytes = input.lp16()?;
    Ok(Description::new(input.text(bytes)?).map_err(Reject::from))
}

/// The name is checked before the version.
fn plugin_and_version(name: Checked<Name>, version: &[u8]) -> Checked<(Name, Version)> {
    Ok((name?, Version::new(version)?))
}

/// All names are checked before the version, and the version before the constraints.
fn register(name: Checked<Name>, version: &[u8], code_hash: Hash, raw: RawManifest<'_>) -> Checked<Command> {
    let plugin = name?;
    let named = raw.check_names()?;
    let version = Version::new(version)?;
    // Counts, order and lengths were checked when the bytes were read.
    Ok(Command::RegisterVersion { plugin, version, manifest: Valid::trusted(Arc::new(named.check(code_hash)?)) })
}

fn role_field(input: &mut Reader<'_>) -> Result<Role, DecodeError> {
    let mask = input.u8()?;
    Role::from_mask(mask).ok_or(input.error(DecodeErrorKind::UnknownTag))
}

/// Every nested command must decode; the first one that may not be scheduled or breaks a rule decides the reject.
fn decode_schedule(input: &mut Reader<'_>) -> Result<Checked<Valid<Vec<Command>>>, DecodeError> {
    let (rules, mut commands) = (input.rules(), Ok(Vec::new()));
    // A schedule inside a schedule is rejected, but its commands must still decode, to any
    // depth. A list of pending commands replaces recursion, so input cannot exhaust the stack.
    let mut refused = Vec::new();
    for bytes in schedule_frame(input)? {
        match (&mut commands, decode_nested(rules, bytes, &mut refused)?) {
            (Ok(commands), Ok(command)) => commands.push(command),
            (Ok(_), Err(reject)) => commands = Err(reject),
            (Err(_), _) => {}
        }
    }
    while let Some(bytes) = refused.pop() {
        let _refused_already = decode_nested(rules, bytes, &mut refused)?;
    }
    // Kinds are checked as each command is decoded, so that the first wrong one decides.
    Ok(commands.map(Valid::trusted))
}

/// Decodes one command of a schedule, and adds the commands of a nested schedule to the list.
fn decode_nested<'a>(
    rules: RuleSet,
    bytes: &'a [u8],
    refused: &mut Vec<&'a [u8]>,
) -> Result<Checked<Command>, DecodeError> {
    let mut input = Reader::under(rules, bytes);
    let kind = kind_field(&mut input)?;
    let command = if kind == CommandKind::Schedule {
        input.u32()?;
        refused.extend(schedule_frame(&mut input)?);
        Err(Reject::InvalidParameter)
    } else {
        Command::decode(kind, &mut input)?
    };
    input.finish()?;
    Ok(if kind.is_schedulable() { command } else { Err(Reject::InvalidParameter) })
}

fn schedule_frame<'a>(input: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, DecodeError> {
    let count = input.count_u8(1..=SCHEDULE_COMMANDS_MAX)?;
    (0..count).map(|_| input.lp16()).collect()
}

/// Whether an encoded schedule, which has been decoded before, holds a command of a kind.
pub(crate) fn schedule_has(kind: CommandKind, bytes: &[u8]) -> bool {
    // Behind the tag and the height.
    let mut input = Reader::new(bytes.get(5..).unwrap_or_default());
    let commands = schedule_frame(&mut input);
    commands.is_ok_and(|commands| commands.iter().any(|command| command.first() == Some(&kind.tag())))
}
