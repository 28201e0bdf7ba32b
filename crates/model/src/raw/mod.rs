//! Commands, transactions and the genesis as their bytes have them; their values are not checked yet.
//!
//! This is a second implementation of FORMAT.md. Nothing here calls the codec of core, so a difference between the two
//! shows in receipts or state. Whatever fits the widths of the format can be written, such as a percent of 101 or an
//! empty name. What a command does, and which values it rejects, is in `command.rs`.

use std::collections::BTreeMap;

use coalmine_core::Address;

mod plugins;
mod read;
#[cfg(test)]
mod tests;

pub use plugins::{Guardrails, METADATA_MAX, PluginCommand, REQUIREMENTS_MAX, Stage, Strategy, put_pairs, put_stages};

use crate::RULES_KNOWN;
use read::Input;

/// The most commands in a transaction or schedule.
pub const COMMANDS_MAX: usize = 16;
/// The longest command, in bytes.
pub const COMMAND_SIZE_MAX: usize = 8_192;
/// The most prerequisites of a policy.
pub const PREREQUISITES_MAX: usize = 16;

/// A policy, with tags as plain bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// 0 sha256, 1 first_byte.
    pub bucketing: u8,
    /// 0 automatic, 1 manual.
    pub advance: u8,
    /// Chooses another assignment of users to buckets.
    pub salt: u64,
    /// The rules on rates and latency need so many operations.
    pub min_samples: u32,
    /// 0 = off.
    pub window_blocks: u32,
    /// A step needs so many operations since the last one.
    pub step_min_operations: u64,
    /// A trial may have so many failures.
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
#[expect(missing_docs, reason = "the fields are those of FORMAT.md")]
pub struct Changes {
    pub increment_percent: Option<u8>,
    pub increment_blocks: Option<u32>,
    pub max_error_rate: Option<u32>,
    pub min_success_count: Option<u64>,
    pub policy: Option<Policy>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "variants and fields are those of FORMAT.md")]
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
    PauseRollout {
        name: Vec<u8>,
    },
    Report {
        name: Vec<u8>,
        report: Report,
        /// The start_block of the trial that it is about.
        trial: Option<u32>,
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
    /// A schedule inside a schedule, as its bytes: it is rejected whatever they are.
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
        timelock: Option<u32>,
        sequenced: Option<bool>,
        round_blocks: Option<u32>,
        quorum: Option<u8>,
    },
    SetRules {
        rules: u16,
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
#[expect(missing_docs, reason = "the fields are those of FORMAT.md")]
pub struct FeedEntry {
    pub id: Vec<u8>,
    pub version: u64,
    pub body: Vec<u8>,
}

/// The numbers of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of FORMAT.md")]
pub struct Report {
    pub successes: u32,
    pub errors: u32,
    pub latency_total: u64,
    pub latency_peak: u64,
    pub invariant_checks: u32,
    pub invariant_failures: u32,
}

/// What keeps a signed transaction from running twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// Above that of the signer's last transaction.
    pub number: u64,
    /// The last height at which the transaction may run; 0 = no end.
    pub valid_until: u32,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The address that signed.
    pub signer: Address,
    /// Its sequence, if it has one.
    pub sequence: Option<Sequence>,
    /// They all take effect, or none does.
    pub commands: Vec<Command>,
}

/// The parameters of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of FORMAT.md")]
pub struct Params {
    pub max_due_per_block: u32,
    /// 0 = off.
    pub breaker_rollbacks: u32,
    pub breaker_window: u32,
    /// 0 = off.
    pub timelock: u32,
    pub sequenced: bool,
    /// 0 = off.
    pub round_blocks: u32,
    pub quorum: u8,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            max_due_per_block: 1_000,
            breaker_rollbacks: 0,
            breaker_window: 0,
            timelock: 0,
            sequenced: false,
            round_blocks: 0,
            quorum: 1,
        }
    }
}

/// The state before the first block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// The rule set.
    pub rules: u16,
    /// The id of the ledger.
    pub chain: Vec<u8>,
    /// The role bits of each address.
    pub roles: BTreeMap<Address, u8>,
    /// The parameters.
    pub params: Params,
}

/// The second tag of disable under [`TEST_RULES`](crate::TEST_RULES).
pub(crate) const TEST_TAG: u8 = 0x7F;

/// In the byte that counts the commands of a transaction, this bit says that there is a sequence.
const SEQUENCED: u8 = 0x80;

impl Transaction {
    /// A transaction without a sequence.
    #[must_use]
    pub fn unsequenced(signer: Address, commands: Vec<Command>) -> Self {
        Self { signer, sequence: None, commands }
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.signer.0.to_vec();
        let Some(Sequence { number, valid_until }) = self.sequence else {
            put_commands(&mut out, &self.commands);
            return out;
        };
        out.push(SEQUENCED + self.commands.len() as u8);
        out.extend(number.to_be_bytes());
        out.extend(valid_until.to_be_bytes());
        self.commands.iter().for_each(|command| put_lp16(&mut out, &command.to_bytes()));
        out
    }

    /// Reads the whole of `bytes`, under the rules of a new ledger; `None` is malformed.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::under(RULES_KNOWN, bytes)
    }

    /// The same, under the rules of a block.
    #[must_use]
    pub fn under(rules: u16, bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let signer = input.address()?;
        let count = input.u8()?;
        let sequence =
            if count < SEQUENCED { None } else { Some(Sequence { number: input.u64()?, valid_until: input.u32()? }) };
        let commands = input.list_of(count % SEQUENCED)?;
        let commands = commands.iter().map(|bytes| Command::under(rules, bytes)).collect::<Option<_>>()?;
        input.0.is_empty().then_some(Self { signer, sequence, commands })
    }
}

impl Genesis {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.rules.to_be_bytes().to_vec();
        put_lp8(&mut out, &self.chain);
        out.extend((self.roles.len() as u16).to_be_bytes());
        for (address, mask) in &self.roles {
            out.extend(address.0);
            out.push(*mask);
        }
        self.params.put(&mut out);
        out
    }

    /// Reads what [`Genesis::to_bytes`] writes. Values are not checked.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let rules = input.u16()?;
        let chain = input.lp8()?;
        let count = input.u16()?;
        let roles = (0..count).map(|_| Some((input.address()?, input.u8()?))).collect::<Option<_>>()?;
        let params = Params {
            max_due_per_block: input.u32()?,
            breaker_rollbacks: input.u32()?,
            breaker_window: input.u32()?,
            timelock: input.u32()?,
            sequenced: input.bool()?,
            round_blocks: input.u32()?,
            quorum: input.u8()?,
        };
        Some(Self { rules, chain, roles, params })
    }
}

impl Params {
    /// The bytes, in a genesis and in the record of the ledger.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.max_due_per_block.to_be_bytes());
        out.extend(self.breaker_rollbacks.to_be_bytes());
        out.extend(self.breaker_window.to_be_bytes());
        out.extend(self.timelock.to_be_bytes());
        out.push(u8::from(self.sequenced));
        out.extend(self.round_blocks.to_be_bytes());
        out.push(self.quorum);
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
            Self::PauseRollout { .. } => 21,
            Self::TripBreaker { .. } => 30,
            Self::ResetBreaker => 31,
            Self::Schedule { .. } | Self::NestedSchedule { .. } => 32,
            Self::CancelSchedule { .. } => 33,
            Self::GrantRole { .. } => 34,
            Self::RevokeRole { .. } => 35,
            Self::SetParams { .. } => 36,
            Self::SetRules { .. } => 37,
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
            Self::AdvanceRollout { name }
            | Self::Enable { name }
            | Self::Disable { name }
            | Self::PauseRollout { name } => put_lp8(&mut out, name),
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
            Self::Report { name, report, trial } => {
                put_lp8(&mut out, name);
                out.extend(report.successes.to_be_bytes());
                out.extend(report.errors.to_be_bytes());
                out.extend(report.latency_total.to_be_bytes());
                out.extend(report.latency_peak.to_be_bytes());
                out.extend(report.invariant_checks.to_be_bytes());
                out.extend(report.invariant_failures.to_be_bytes());
                put_option(&mut out, trial.map(u32::to_be_bytes));
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
            Self::SetParams {
                max_due_per_block,
                breaker_rollbacks,
                breaker_window,
                timelock,
                sequenced,
                round_blocks,
                quorum,
            } => {
                for param in [max_due_per_block, breaker_rollbacks, breaker_window, timelock] {
                    put_option(&mut out, param.map(u32::to_be_bytes));
                }
                put_option(&mut out, sequenced.map(|sequenced| [u8::from(sequenced)]));
                put_option(&mut out, round_blocks.map(u32::to_be_bytes));
                put_option(&mut out, quorum.map(u8::to_be_bytes));
            }
            Self::SetRules { rules } => out.extend(rules.to_be_bytes()),
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

    /// Reads the whole of `bytes`, under the rules of a new ledger; `None` is malformed.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::under(RULES_KNOWN, bytes)
    }

    /// The same, under the rules of a block.
    #[must_use]
    pub fn under(rules: u16, bytes: &[u8]) -> Option<Self> {
        if bytes.len() > COMMAND_SIZE_MAX {
            return None;
        }
        let mut input = Input(bytes);
        let command = input.command(rules)?;
        input.0.is_empty().then_some(command)
    }

    /// Reads a command of a schedule.
    fn nested(rules: u16, bytes: Vec<u8>) -> Option<Self> {
        if bytes.first() != Some(&32) {
            return Self::under(rules, &bytes);
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
                Self::under(rules, &bytes)?;
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
