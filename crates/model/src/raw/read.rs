//! Reading commands and their values. Malformed bytes give `None`.

use coalmine_core::Address;

use crate::TEST_RULES;
use crate::raw::{COMMANDS_MAX, Changes, Command, FeedEntry, PREREQUISITES_MAX, Policy, Report, TEST_TAG, is_name};

/// The bytes still to be read.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl Input<'_> {
    pub(crate) fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head.to_vec())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn bool(&mut self) -> Option<bool> {
        self.u8().filter(|byte| *byte <= 1).map(|byte| byte == 1)
    }

    pub(crate) fn tag(&mut self, max: u8) -> Option<u8> {
        self.u8().filter(|tag| *tag <= max)
    }

    pub(crate) fn address(&mut self) -> Option<Address> {
        self.array().map(Address)
    }

    pub(crate) fn lp8(&mut self) -> Option<Vec<u8>> {
        let len = self.u8()?;
        self.take(len.into())
    }

    pub(crate) fn lp16(&mut self) -> Option<Vec<u8>> {
        let len = self.u16()?;
        self.take(len.into())
    }

    pub(crate) fn text(&mut self) -> Option<Vec<u8>> {
        self.lp16().filter(|bytes| std::str::from_utf8(bytes).is_ok())
    }

    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.bool()? { read(self).map(Some) } else { Some(None) }
    }

    /// The commands of a transaction or schedule, not yet read.
    pub(crate) fn list(&mut self) -> Option<Vec<Vec<u8>>> {
        let count = self.u8()?;
        self.list_of(count)
    }

    /// So many commands, not yet read.
    pub(crate) fn list_of(&mut self, count: u8) -> Option<Vec<Vec<u8>>> {
        if count == 0 || usize::from(count) > COMMANDS_MAX {
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

    pub(crate) fn role(&mut self) -> Option<u8> {
        self.u8().filter(|mask| [1, 2, 4, 8, 16].contains(mask))
    }

    pub(crate) fn policy(&mut self) -> Option<Policy> {
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

    pub(crate) fn changes(&mut self) -> Option<Changes> {
        Some(Changes {
            increment_percent: self.option(Self::u8)?,
            increment_blocks: self.option(Self::u32)?,
            max_error_rate: self.option(Self::u32)?,
            min_success_count: self.option(Self::u64)?,
            policy: self.option(Self::policy)?,
        })
    }

    pub(crate) fn command(&mut self, rules: u16) -> Option<Command> {
        Some(match self.u8()? {
            TEST_TAG if rules == TEST_RULES => Command::Disable { name: self.lp8()? },
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
                trial: self.option(Self::u32)?,
            },
            21 => Command::PauseRollout { name: self.lp8()? },
            30 => Command::TripBreaker { reason: self.tag(5)?, until: self.u32()?, drain: self.bool()? },
            31 => Command::ResetBreaker,
            32 => {
                let (at, list) = (self.u32()?, self.list()?);
                Command::Schedule {
                    at,
                    commands: list.into_iter().map(|bytes| Command::nested(rules, bytes)).collect::<Option<_>>()?,
                }
            }
            33 => Command::CancelSchedule { at: self.u32()?, id: self.u64()? },
            34 => Command::GrantRole { address: self.address()?, role: self.role()? },
            35 => Command::RevokeRole { address: self.address()?, role: self.role()? },
            36 => Command::SetParams {
                max_due_per_block: self.option(Self::u32)?,
                breaker_rollbacks: self.option(Self::u32)?,
                breaker_window: self.option(Self::u32)?,
                timelock: self.option(Self::u32)?,
                sequenced: self.option(Self::bool)?,
                round_blocks: self.option(Self::u32)?,
                quorum: self.option(Self::u8)?,
            },
            37 => Command::SetRules { rules: self.u16()? },
            80 => Command::FeedPut { part: self.tag(3)?, lists: [self.feed_entries()?, self.feed_entries()?] },
            81 => Command::FeedPatch { kind: self.tag(1)?, id: self.lp8()?, version: self.u64()?, body: self.lp16()? },
            82 => Command::FeedDelete { kind: self.tag(1)?, id: self.lp8()?, version: self.u64()? },
            83 => Command::FeedForget { kind: self.tag(1)?, ids: self.feed_ids()? },
            tag => Command::Plugin(self.plugin_command(tag)?),
        })
    }
}
