//! Commands, transactions and the genesis as bytes say them, their values not yet checked.
//!
//! The format, written a second time: nothing here calls the codec of the state machine, so a
//! difference between the two shows as a difference of receipts or state. Whatever fits the widths
//! of the format can be written, a percent of 101 and a name of no characters too. What a decoded
//! command means, and which of its values break a rule, is `lib.rs`.

use std::collections::BTreeMap;

use coalmine_core::Address;

mod plugins;

pub use plugins::{METADATA_MAX, PluginCommand, REQUIREMENTS_MAX, Stage, Strategy, Terms, put_pairs, put_stages};

/// The most commands in a transaction or schedule.
pub const COMMANDS_MAX: usize = 16;
/// The longest command, in bytes.
pub const COMMAND_SIZE_MAX: usize = 8_192;
/// The most prerequisites of a policy.
pub const PREREQUISITES_MAX: usize = 16;

/// A policy; its tags are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// 0 sha256, 1 first_byte.
    pub bucketing: u8,
    /// 0 automatic, 1 manual.
    pub advance: u8,
    /// Shuffles the buckets.
    pub salt: u64,
    /// Operations below which the rate and latency rules do not judge.
    pub min_samples: u32,
    /// 0 = off.
    pub window_blocks: u32,
    /// Operations that a step asks for.
    pub step_min_operations: u64,
    /// Failures that a trial bears.
    pub max_invariant_failures: u64,
    /// 0 = off.
    pub max_latency: u64,
    /// 0 permanent, 1 release, 2 experiment, 3 ops.
    pub lifetime: u8,
    /// 0 = never.
    pub expires_at: u32,
    /// Ascending.
    pub prerequisites: Vec<Vec<u8>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            bucketing: 0,
            advance: 0,
            salt: 0,
            min_samples: 10,
            window_blocks: 0,
            step_min_operations: 0,
            max_invariant_failures: 0,
            max_latency: 0,
            lifetime: 0,
            expires_at: 0,
            prerequisites: Vec::new(),
        }
    }
}

/// The optional settings of create_feature and configure_feature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the specification")]
pub struct Changes {
    pub increment_percent: Option<u8>,
    pub increment_blocks: Option<u32>,
    pub max_error_rate: Option<u32>,
    pub min_success_count: Option<u64>,
    pub policy: Option<Policy>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "variants and fields are those of the specification")]
pub enum Command {
    CreateFeature {
        name: Vec<u8>,
        description: Vec<u8>,
        changes: Changes,
    },
    ConfigureFeature {
        name: Vec<u8>,
        description: Option<Vec<u8>>,
        changes: Changes,
    },
    StartCanary {
        name: Vec<u8>,
        percent: u8,
    },
    StartRollout {
        name: Vec<u8>,
        target_percent: u8,
    },
    AdvanceRollout {
        name: Vec<u8>,
    },
    Enable {
        name: Vec<u8>,
    },
    Disable {
        name: Vec<u8>,
    },
    Rollback {
        name: Vec<u8>,
        reason: u8,
    },
    SetOverride {
        name: Vec<u8>,
        user: Address,
        enabled: bool,
    },
    ClearOverride {
        name: Vec<u8>,
        user: Address,
    },
    Report {
        name: Vec<u8>,
        report: Report,
    },
    TripBreaker {
        reason: u8,
        until: u32,
        drain: bool,
    },
    ResetBreaker,
    Schedule {
        at: u32,
        commands: Vec<Command>,
    },
    /// A schedule inside a schedule, as it came: it is refused whatever it holds.
    NestedSchedule {
        bytes: Vec<u8>,
    },
    CancelSchedule {
        at: u32,
        id: u64,
    },
    GrantRole {
        address: Address,
        role: u8,
    },
    RevokeRole {
        address: Address,
        role: u8,
    },
    SetParams {
        max_due_per_block: Option<u32>,
        breaker_rollbacks: Option<u32>,
        breaker_window: Option<u32>,
    },
    Plugin(PluginCommand),
    FeedPut {
        part: u8,
        lists: [Vec<FeedEntry>; 2],
    },
    FeedPatch {
        kind: u8,
        id: Vec<u8>,
        version: u64,
        body: Vec<u8>,
    },
    FeedDelete {
        kind: u8,
        id: Vec<u8>,
        version: u64,
    },
    FeedForget {
        kind: u8,
        ids: Vec<Vec<u8>>,
    },
}

/// An item of the feed as a put lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the specification")]
pub struct FeedEntry {
    pub id: Vec<u8>,
    pub version: u64,
    pub body: Vec<u8>,
}

/// The numbers of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the specification")]
pub struct Report {
    pub successes: u32,
    pub errors: u32,
    pub latency_total: u64,
    pub latency_peak: u64,
    pub invariant_checks: u32,
    pub invariant_failures: u32,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Who signed.
    pub signer: Address,
    /// All of them, or none.
    pub commands: Vec<Command>,
}

/// The state before the first block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The id of the ledger.
    pub chain: Vec<u8>,
    /// The masks, by address.
    pub roles: BTreeMap<Address, u8>,
    /// max_due_per_block, breaker_rollbacks, breaker_window.
    pub params: [u32; 3],
}

impl Transaction {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.signer.0.to_vec();
        put_commands(&mut out, &self.commands);
        out
    }

    /// Reads the whole of `bytes`; `None` is malformed.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let tx = Self {
            signer: input.address()?,
            commands: input.list()?.iter().map(|bytes| Command::from_bytes(bytes)).collect::<Option<_>>()?,
        };
        input.0.is_empty().then_some(tx)
    }
}

impl Genesis {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_lp8(&mut out, &self.chain);
        out.extend((self.roles.len() as u16).to_be_bytes());
        for (address, mask) in &self.roles {
            out.extend(address.0);
            out.push(*mask);
        }
        self.params.iter().for_each(|param| out.extend(param.to_be_bytes()));
        out
    }

    /// Reads what [`Genesis::to_bytes`] writes; the rules are not checked.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let chain = input.lp8()?;
        let count = input.u16()?;
        let roles = (0..count).map(|_| Some((input.address()?, input.u8()?))).collect::<Option<_>>()?;
        Some(Self { chain, roles, params: [input.u32()?, input.u32()?, input.u32()?] })
    }
}

impl Policy {
    /// The bytes of the record.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![1, self.bucketing, self.advance];
        out.extend(self.salt.to_be_bytes());
        out.extend(self.min_samples.to_be_bytes());
        out.extend(self.window_blocks.to_be_bytes());
        out.extend(self.step_min_operations.to_be_bytes());
        out.extend(self.max_invariant_failures.to_be_bytes());
        out.extend(self.max_latency.to_be_bytes());
        out.push(self.lifetime);
        out.extend(self.expires_at.to_be_bytes());
        out.push(self.prerequisites.len() as u8);
        self.prerequisites.iter().for_each(|name| put_lp8(&mut out, name));
        out
    }
}

impl Command {
    /// The byte that stands for the kind.
    #[must_use]
    pub fn tag(&self) -> u8 {
        match self {
            Self::CreateFeature { .. } => 10,
            Self::ConfigureFeature { .. } => 11,
            Self::StartCanary { .. } => 12,
            Self::StartRollout { .. } => 13,
            Self::AdvanceRollout { .. } => 14,
            Self::Enable { .. } => 15,
            Self::Disable { .. } => 16,
            Self::Rollback { .. } => 17,
            Self::SetOverride { .. } => 18,
            Self::ClearOverride { .. } => 19,
            Self::Report { .. } => 20,
            Self::TripBreaker { .. } => 30,
            Self::ResetBreaker => 31,
            Self::Schedule { .. } | Self::NestedSchedule { .. } => 32,
            Self::CancelSchedule { .. } => 33,
            Self::GrantRole { .. } => 34,
            Self::RevokeRole { .. } => 35,
            Self::SetParams { .. } => 36,
            Self::Plugin(command) => command.tag(),
            Self::FeedPut { .. } => 80,
            Self::FeedPatch { .. } => 81,
            Self::FeedDelete { .. } => 82,
            Self::FeedForget { .. } => 83,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![self.tag()];
        match self {
            Self::CreateFeature { name, description, changes } => {
                put_lp8(&mut out, name);
                put_lp16(&mut out, description);
                put_changes(&mut out, changes);
            }
            Self::ConfigureFeature { name, description, changes } => {
                put_lp8(&mut out, name);
                put_option(
                    &mut out,
                    description.as_ref().map(|text| [&(text.len() as u16).to_be_bytes(), &text[..]].concat()),
                );
                put_changes(&mut out, changes);
            }
            Self::StartCanary { name, percent } | Self::StartRollout { name, target_percent: percent } => {
                put_lp8(&mut out, name);
                out.push(*percent);
            }
            Self::AdvanceRollout { name } | Self::Enable { name } | Self::Disable { name } => put_lp8(&mut out, name),
            Self::Rollback { name, reason } => {
                put_lp8(&mut out, name);
                out.push(*reason);
            }
            Self::SetOverride { name, user, enabled } => {
                put_lp8(&mut out, name);
                out.extend(user.0);
                out.push(u8::from(*enabled));
            }
            Self::ClearOverride { name, user } => {
                put_lp8(&mut out, name);
                out.extend(user.0);
            }
            Self::Report { name, report } => {
                put_lp8(&mut out, name);
                out.extend(report.successes.to_be_bytes());
                out.extend(report.errors.to_be_bytes());
                out.extend(report.latency_total.to_be_bytes());
                out.extend(report.latency_peak.to_be_bytes());
                out.extend(report.invariant_checks.to_be_bytes());
                out.extend(report.invariant_failures.to_be_bytes());
            }
            Self::TripBreaker { reason, until, drain } => {
                out.push(*reason);
                out.extend(until.to_be_bytes());
                out.push(u8::from(*drain));
            }
            Self::ResetBreaker => {}
            Self::Schedule { at, commands } => {
                out.extend(at.to_be_bytes());
                put_commands(&mut out, commands);
            }
            Self::NestedSchedule { bytes } => out.clone_from(bytes),
            Self::CancelSchedule { at, id } => {
                out.extend(at.to_be_bytes());
                out.extend(id.to_be_bytes());
            }
            Self::GrantRole { address, role } | Self::RevokeRole { address, role } => {
                out.extend(address.0);
                out.push(*role);
            }
            Self::SetParams { max_due_per_block, breaker_rollbacks, breaker_window } => {
                for param in [max_due_per_block, breaker_rollbacks, breaker_window] {
                    put_option(&mut out, param.map(u32::to_be_bytes));
                }
            }
            Self::Plugin(command) => command.put(&mut out),
            Self::FeedPut { part, lists } => {
                out.push(*part);
                for list in lists {
                    out.extend((list.len() as u16).to_be_bytes());
                    for entry in list {
                        put_lp8(&mut out, &entry.id);
                        out.extend(entry.version.to_be_bytes());
                        put_lp16(&mut out, &entry.body);
                    }
                }
            }
            Self::FeedPatch { kind, id, version, body } => {
                out.push(*kind);
                put_lp8(&mut out, id);
                out.extend(version.to_be_bytes());
                put_lp16(&mut out, body);
            }
            Self::FeedDelete { kind, id, version } => {
                out.push(*kind);
                put_lp8(&mut out, id);
                out.extend(version.to_be_bytes());
            }
            Self::FeedForget { kind, ids } => {
                out.extend([*kind, ids.len() as u8]);
                ids.iter().for_each(|id| put_lp8(&mut out, id));
            }
        }
        out
    }

    /// Reads the whole of `bytes`; `None` is malformed.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > COMMAND_SIZE_MAX {
            return None;
        }
        let mut input = Input(bytes);
        let command = input.command()?;
        input.0.is_empty().then_some(command)
    }

    /// Reads a command inside a schedule.
    fn nested(bytes: Vec<u8>) -> Option<Self> {
        if bytes.first() != Some(&32) {
            return Self::from_bytes(&bytes);
        }
        // All of it must decode, however deep it is, which may be deeper than the stack.
        let mut pending = vec![bytes.clone()];
        while let Some(bytes) = pending.pop() {
            if bytes.first() == Some(&32) {
                let mut input = Input(&bytes[1..]);
                input.u32()?;
                pending.extend(input.list()?);
                input.0.is_empty().then_some(())?;
            } else {
                Self::from_bytes(&bytes)?;
            }
        }
        Some(Self::NestedSchedule { bytes })
    }
}

/// A count, and each command behind a u16 length; also the form of a scheduled entry.
pub fn put_commands(out: &mut Vec<u8>, commands: &[Command]) {
    out.push(commands.len() as u8);
    commands.iter().for_each(|command| put_lp16(out, &command.to_bytes()));
}

/// Bytes behind a u8 length.
pub fn put_lp8(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(bytes.len() as u8);
    out.extend(bytes);
}

pub(crate) fn put_lp16(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u16).to_be_bytes());
    out.extend(bytes);
}

fn put_option(out: &mut Vec<u8>, bytes: Option<impl AsRef<[u8]>>) {
    out.push(u8::from(bytes.is_some()));
    out.extend(bytes.iter().flat_map(|bytes| bytes.as_ref()));
}

fn put_changes(out: &mut Vec<u8>, changes: &Changes) {
    put_option(out, changes.increment_percent.map(u8::to_be_bytes));
    put_option(out, changes.increment_blocks.map(u32::to_be_bytes));
    put_option(out, changes.max_error_rate.map(u32::to_be_bytes));
    put_option(out, changes.min_success_count.map(u64::to_be_bytes));
    put_option(out, changes.policy.as_ref().map(Policy::to_bytes));
}

/// `[A-Za-z0-9][A-Za-z0-9_.:-]*`, 1 to 64 bytes.
#[must_use]
pub fn is_name(bytes: &[u8]) -> bool {
    matches!(bytes.len(), 1..=64)
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(byte))
}

/// Printable ASCII without space, 1 to 128 bytes.
#[must_use]
pub fn is_feed_id(bytes: &[u8]) -> bool {
    matches!(bytes.len(), 1..=128) && bytes.iter().all(|byte| (0x21..=0x7E).contains(byte))
}

/// The bytes still to be read. Every method gives `None` for bytes that are malformed.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head.to_vec())
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn bool(&mut self) -> Option<bool> {
        self.u8().filter(|byte| *byte <= 1).map(|byte| byte == 1)
    }

    fn tag(&mut self, max: u8) -> Option<u8> {
        self.u8().filter(|tag| *tag <= max)
    }

    fn address(&mut self) -> Option<Address> {
        self.array().map(Address)
    }

    fn lp8(&mut self) -> Option<Vec<u8>> {
        let len = self.u8()?;
        self.take(len.into())
    }

    fn lp16(&mut self) -> Option<Vec<u8>> {
        let len = self.u16()?;
        self.take(len.into())
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        self.lp16().filter(|bytes| std::str::from_utf8(bytes).is_ok())
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.bool()? { read(self).map(Some) } else { Some(None) }
    }

    /// The commands of a transaction or schedule, not yet read.
    fn list(&mut self) -> Option<Vec<Vec<u8>>> {
        let count = usize::from(self.u8()?);
        if count == 0 || count > COMMANDS_MAX {
            return None;
        }
        (0..count).map(|_| self.lp16()).collect()
    }

    /// The items of one kind in a put.
    fn feed_entries(&mut self) -> Option<Vec<FeedEntry>> {
        let count = self.u16()?;
        let entry = |_| Some(FeedEntry { id: self.lp8()?, version: self.u64()?, body: self.lp16()? });
        let entries: Vec<FeedEntry> = (0..count).map(entry).collect::<Option<_>>()?;
        entries.is_sorted_by(|a, b| a.id < b.id).then_some(entries)
    }

    fn feed_ids(&mut self) -> Option<Vec<Vec<u8>>> {
        let count = self.u8().filter(|count| (1..=32).contains(count))?;
        let ids: Vec<Vec<u8>> = (0..count).map(|_| self.lp8()).collect::<Option<_>>()?;
        ids.is_sorted_by(|a, b| a < b).then_some(ids)
    }

    fn role(&mut self) -> Option<u8> {
        self.u8().filter(|mask| [1, 2, 4, 8, 16].contains(mask))
    }

    fn policy(&mut self) -> Option<Policy> {
        if self.u8()? != 1 {
            return None;
        }
        let mut policy = Policy {
            bucketing: self.tag(1)?,
            advance: self.tag(1)?,
            salt: self.u64()?,
            min_samples: self.u32()?,
            window_blocks: self.u32()?,
            step_min_operations: self.u64()?,
            max_invariant_failures: self.u64()?,
            max_latency: self.u64()?,
            lifetime: self.tag(3)?,
            expires_at: self.u32()?,
            prerequisites: Vec::new(),
        };
        let count = usize::from(self.u8()?);
        policy.prerequisites = (0..count).map(|_| self.lp8()).collect::<Option<_>>()?;
        let names = &policy.prerequisites;
        let canonical =
            count <= PREREQUISITES_MAX && names.iter().all(|name| is_name(name)) && names.is_sorted_by(|a, b| a < b);
        canonical.then_some(policy)
    }

    fn changes(&mut self) -> Option<Changes> {
        Some(Changes {
            increment_percent: self.option(Self::u8)?,
            increment_blocks: self.option(Self::u32)?,
            max_error_rate: self.option(Self::u32)?,
            min_success_count: self.option(Self::u64)?,
            policy: self.option(Self::policy)?,
        })
    }

    fn command(&mut self) -> Option<Command> {
        Some(match self.u8()? {
            10 => Command::CreateFeature { name: self.lp8()?, description: self.text()?, changes: self.changes()? },
            11 => Command::ConfigureFeature {
                name: self.lp8()?,
                description: self.option(Self::text)?,
                changes: self.changes()?,
            },
            12 => Command::StartCanary { name: self.lp8()?, percent: self.u8()? },
            13 => Command::StartRollout { name: self.lp8()?, target_percent: self.u8()? },
            14 => Command::AdvanceRollout { name: self.lp8()? },
            15 => Command::Enable { name: self.lp8()? },
            16 => Command::Disable { name: self.lp8()? },
            17 => Command::Rollback { name: self.lp8()?, reason: self.tag(5)? },
            18 => Command::SetOverride { name: self.lp8()?, user: self.address()?, enabled: self.bool()? },
            19 => Command::ClearOverride { name: self.lp8()?, user: self.address()? },
            20 => Command::Report {
                name: self.lp8()?,
                report: Report {
                    successes: self.u32()?,
                    errors: self.u32()?,
                    latency_total: self.u64()?,
                    latency_peak: self.u64()?,
                    invariant_checks: self.u32()?,
                    invariant_failures: self.u32()?,
                },
            },
            30 => Command::TripBreaker { reason: self.tag(5)?, until: self.u32()?, drain: self.bool()? },
            31 => Command::ResetBreaker,
            32 => {
                let (at, list) = (self.u32()?, self.list()?);
                Command::Schedule { at, commands: list.into_iter().map(Command::nested).collect::<Option<_>>()? }
            }
            33 => Command::CancelSchedule { at: self.u32()?, id: self.u64()? },
            34 => Command::GrantRole { address: self.address()?, role: self.role()? },
            35 => Command::RevokeRole { address: self.address()?, role: self.role()? },
            36 => Command::SetParams {
                max_due_per_block: self.option(Self::u32)?,
                breaker_rollbacks: self.option(Self::u32)?,
                breaker_window: self.option(Self::u32)?,
            },
            80 => Command::FeedPut { part: self.tag(3)?, lists: [self.feed_entries()?, self.feed_entries()?] },
            81 => Command::FeedPatch { kind: self.tag(1)?, id: self.lp8()?, version: self.u64()?, body: self.lp16()? },
            82 => Command::FeedDelete { kind: self.tag(1)?, id: self.lp8()?, version: self.u64()? },
            83 => Command::FeedForget { kind: self.tag(1)?, ids: self.feed_ids()? },
            tag => Command::Plugin(self.plugin_command(tag)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(levels: usize, innermost: u8, decodes: bool) {
        let bytes = (0..levels).fold(vec![innermost], |nested, _| {
            let mut out = vec![32, 0, 0, 0, 9, 1];
            put_lp16(&mut out, &nested);
            out
        });
        let command = Command::from_bytes(&bytes);
        assert_eq!(command.map(|command| command.to_bytes()), decodes.then_some(bytes));
    }

    #[test]
    fn a_schedule_decodes_if_all_of_it_does() {
        check(1, 31, true);
        check(1, 99, false);
        check(2, 31, true);
        check(2, 99, false);
        check(1_023, 31, true);
        check(1_023, 99, false);
        check(1_024, 31, false);
    }

    #[track_caller]
    fn check_plugin_command(command: PluginCommand, decodes: bool) {
        let command = Command::Plugin(command);
        assert_eq!(Command::from_bytes(&command.to_bytes()), decodes.then_some(command));
    }

    fn registration(requirements: Vec<(Vec<u8>, Vec<u8>)>, metadata: Vec<(Vec<u8>, Vec<u8>)>) -> PluginCommand {
        PluginCommand::RegisterVersion {
            plugin: b"p".to_vec(),
            version: b"1.0.0".to_vec(),
            code_hash: [3; 32],
            host: b"^1".to_vec(),
            requirements,
            config: vec![1, 2],
            metadata,
        }
    }

    fn deployment(strategy: Strategy) -> PluginCommand {
        let terms = Terms {
            error_threshold_bps: 1,
            success_threshold_bps: 2,
            min_requests: 3,
            max_blocks: 4,
            auto_promote: true,
            auto_rollback: false,
            regression_z_centi: 5,
        };
        PluginCommand::Deploy { plugin: b"p".to_vec(), version: b"2.0.0".to_vec(), strategy, terms }
    }

    #[test]
    fn a_registration_decodes_if_its_pairs_ascend_and_are_few() {
        let pair = |key: u8, value: &[u8]| (vec![key], value.to_vec());
        let many = |count: u8| (0..count).map(|key| pair(key, b"*")).collect::<Vec<_>>();
        check_plugin_command(registration(vec![], vec![]), true);
        check_plugin_command(registration(many(32), many(16)), true);
        check_plugin_command(registration(many(33), vec![]), false);
        check_plugin_command(registration(vec![], many(17)), false);
        check_plugin_command(registration(vec![pair(b'b', b""), pair(b'a', b"")], vec![]), false);
        check_plugin_command(registration(vec![pair(b'a', b"1"), pair(b'a', b"2")], vec![]), false);
        check_plugin_command(registration(vec![], vec![pair(b'a', b"1"), pair(b'a', b"2")]), false);
        check_plugin_command(registration(vec![], vec![pair(b'a', &[0xff])]), false);
        check_plugin_command(registration(vec![pair(0xff, &[0xff])], vec![pair(0xff, b"")]), true);
    }

    #[test]
    fn a_deployment_decodes_with_any_stages_and_known_tags() {
        let custom = |on_complete, stages| deployment(Strategy::Custom { on_complete, stages });
        let stage = |gate| Stage { share_bps: u16::MAX, blocks: 0, min_requests: u64::MAX, gate };
        check_plugin_command(custom(0, vec![]), true);
        check_plugin_command(custom(1, vec![stage(2); 255]), true);
        check_plugin_command(custom(2, vec![]), false);
        check_plugin_command(custom(0, vec![stage(3)]), false);
        check_plugin_command(deployment(Strategy::AbTest { share_bps: 7, duration_blocks: 8 }), true);
        check_plugin_command(deployment(Strategy::BlueGreen { health_blocks: 7, bake_blocks: 8 }), true);
        let (initial_bps, increment_bps, increment_blocks) = (1, 2, 3);
        check_plugin_command(deployment(Strategy::Rolling { initial_bps, increment_bps, increment_blocks }), true);
        let (max_bps, observation_blocks) = (4, 5);
        check_plugin_command(
            deployment(Strategy::Canary { initial_bps, increment_bps, increment_blocks, max_bps, observation_blocks }),
            true,
        );
        let unknown_strategy = [&[41, 1, b'p', 1, b'1', 5][..], &[0; 18]].concat();
        assert_eq!(Command::from_bytes(&unknown_strategy), None);
    }

    #[test]
    fn the_other_commands_on_plugins_decode() {
        let (plugin, version) = (b"p".to_vec(), b"1.0.0".to_vec());
        let command = |tag: u8, fields: &[u8]| [&[tag], &[1, b'p'][..], fields].concat();
        for tag in [42, 43, 44, 45, 46, 51] {
            assert_eq!(Command::from_bytes(&command(tag, &[])).map(|command| command.tag()), Some(tag));
            assert_eq!(Command::from_bytes(&command(tag, &[0])), None);
        }
        check_plugin_command(PluginCommand::RetireVersion { plugin: plugin.clone(), version: version.clone() }, true);
        check_plugin_command(PluginCommand::SetRule { plugin: plugin.clone(), constraint: vec![] }, true);
        check_plugin_command(PluginCommand::SetHostVersion { version: version.clone() }, true);
        check_plugin_command(PluginCommand::SetRegistryParams { max_versions: None, auto_load: None }, true);
        check_plugin_command(PluginCommand::SetRegistryParams { max_versions: Some(7), auto_load: Some(true) }, true);
        check_plugin_command(PluginCommand::Unload { plugin: plugin.clone(), force: true }, true);
        let (requests, errors, latency_total) = (1, 2, 3);
        let report = PluginCommand::ReportVersion { plugin, version, requests, errors, latency_total };
        check_plugin_command(report, true);
        for tag in [54, 55, 56] {
            for (flag, decodes) in [(0, true), (1, true), (2, false)] {
                let bytes = command(tag, &[1, b'1', flag]);
                assert_eq!(Command::from_bytes(&bytes).map(|command| command.to_bytes()), decodes.then_some(bytes));
            }
        }
        assert_eq!(Command::from_bytes(&command(52, &[2])), None);
        assert_eq!(Command::from_bytes(&command(57, &[])), None);
        assert_eq!(Command::from_bytes(&[50, 2, 0]), None);
    }
}
