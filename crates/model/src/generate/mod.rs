//! Random worlds: a genesis and blocks that walk the edges of the rules.
//!
//! Few names, users and signers, and few numbers, each chosen because some rule has an edge there,
//! so that commands meet each other. The generator runs a model alongside and mostly makes commands that may succeed,
//! which is how a world gets anywhere. A world depends on its choices alone: a seed, or the bytes of a fuzzer or of
//! proptest.

use std::collections::BTreeMap;

use coalmine_core::{Address, Block, Decode, Encode, Genesis, Payload, Status};

use crate::authority::authority;
use crate::feature::Feature;
use crate::raw::{self, Changes, Command, FeedEntry, Params, Policy, Report, Transaction};
use crate::support::Random;
use crate::{ADMIN, FEEDER, GUARDIAN, Model, OPERATOR, REPORTER};

mod plugins;

pub use plugins::{PLUGINS, VERSIONS};

/// The valid names that worlds use: two are prefixes of another one, one has the maximum length.
pub const NAMES: [&str; 16] = [
    "a",
    "ab",
    "ab.c",
    "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
    "B",
    "0",
    "c0",
    "c1",
    "c2",
    "c3",
    "c4",
    "c5",
    "c6",
    "c7",
    "c8",
    "c9",
];
/// The names from this index on form a chain of prerequisites.
const CHAIN: usize = 6;

/// The addresses that sign, hold roles and are users.
pub const ADDRESSES: [Address; 9] = [
    Address([0x00; 20]),
    Address([0x11; 20]),
    Address([0x22; 20]),
    Address([0x31; 20]),
    Address([0x32; 20]),
    Address([0x63; 20]),
    Address([0x64; 20]),
    Address([0xc7; 20]),
    Address([0xff; 20]),
];

/// The valid ids that worlds use: one is a prefix of another, two are the ends of the alphabet, one has the maximum
/// length.
pub const FEED_IDS: [&[u8]; 7] = [b"a", b"ab", b"!", b"~", b"env-1", b"/x:y", &[b'z'; 128]];
/// Invalid ids.
const FEED_IDS_BROKEN: [&[u8]; 5] = [b"", b"a b", b"\x7f", b"\xc3\xa9", &[b'z'; 129]];
/// More ids than a put may list.
const FEED_IDS_TOO_MANY: usize = 4_097;

/// What the commands of a world are about, besides the ledger itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say it")]
pub enum Mix {
    Features,
    Plugins,
    Both,
}

impl Mix {
    /// Every mix.
    pub const ALL: [Self; 3] = [Self::Features, Self::Plugins, Self::Both];
}

/// A genesis and blocks of rising heights, with empty blocks wherever a height is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomWorld {
    /// The state before the first block.
    pub genesis: Genesis,
    /// The blocks.
    pub blocks: Vec<Block>,
}

impl RandomWorld {
    /// The world of features of a seed.
    #[must_use]
    pub fn from_seed(seed: u64, blocks: usize) -> Self {
        Self::of_seed(Mix::Features, seed, blocks)
    }

    /// The world of features of a fuzzer's bytes, which ends where they end.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], blocks: usize) -> Self {
        Self::of_bytes(Mix::Features, bytes, blocks)
    }

    /// The world of a seed.
    #[must_use]
    pub fn of_seed(mix: Mix, seed: u64, blocks: usize) -> Self {
        Generator::world(mix, Choices::Seed(Random(seed)), blocks)
    }

    /// The world of a fuzzer's bytes, which ends where they end.
    #[must_use]
    pub fn of_bytes(mix: Mix, bytes: &[u8], blocks: usize) -> Self {
        Generator::world(mix, Choices::Bytes(bytes), blocks)
    }

    /// Shrinks a world that `fails` by leaving out blocks, transactions and commands.
    #[must_use]
    pub fn shrink(mut self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        loop {
            let smaller = self.parts().into_iter().find(|world| fails(world));
            match smaller {
                Some(world) => self = world,
                None => return self,
            }
        }
    }

    /// Every world with one part left out, the largest parts first.
    fn parts(&self) -> Vec<Self> {
        let with = |blocks: Vec<Block>| Self { blocks, ..self.clone() };
        let mut parts: Vec<Self> = Vec::new();
        let mut size = self.blocks.len() / 2;
        while size > 0 {
            for start in (0..self.blocks.len()).rev().step_by(size) {
                let mut blocks = self.blocks.clone();
                blocks.drain(start..(start + size).min(self.blocks.len()));
                parts.push(with(blocks));
            }
            size /= 2;
        }
        for (index, block) in self.blocks.iter().enumerate() {
            for smaller in smaller_blocks(block) {
                let mut blocks = self.blocks.clone();
                blocks[index] = smaller;
                parts.push(with(blocks));
            }
        }
        parts.retain(|world| !world.blocks.is_empty());
        parts
    }
}

fn smaller_blocks(block: &Block) -> Vec<Block> {
    let mut smaller = Vec::new();
    let payloads: Vec<Payload> = block.payloads().collect();
    for (index, payload) in payloads.iter().enumerate() {
        let mut without = payloads.clone();
        without.remove(index);
        smaller.push(without);
        if let Some(Transaction { signer, sequence, commands }) = raw::Transaction::from_bytes(&payload.to_bytes()) {
            for left_out in (0..commands.len()).filter(|_| commands.len() > 1) {
                let mut commands = commands.clone();
                commands.remove(left_out);
                let mut with = payloads.clone();
                with[index] = Payload::from_bytes(&Transaction { signer, sequence, commands }.to_bytes());
                smaller.push(with);
            }
        }
    }
    smaller.into_iter().map(|payloads| Block::from_payloads(block.height(), payloads).unwrap()).collect()
}

/// The source of the generator's decisions.
enum Choices<'a> {
    Seed(Random),
    Bytes(&'a [u8]),
}

impl Choices<'_> {
    /// Whether there is nothing left to decide by.
    fn is_over(&self) -> bool {
        matches!(self, Self::Bytes([]))
    }

    /// A number below `n`, which is at most 65 536.
    fn below(&mut self, n: usize) -> usize {
        match self {
            Self::Seed(random) => random.below(n as u64) as usize,
            Self::Bytes(bytes) => {
                let (head, tail) = bytes.split_at(bytes.len().min(if n > 256 { 2 } else { 1 }));
                *bytes = tail;
                head.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)) % n
            }
        }
    }

    fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// One of the usual values, rarely an invalid one.
    fn pick_or<T: Clone>(&mut self, usual: &[T], broken: &[T]) -> T {
        if self.percent(4) { self.pick(broken) } else { self.pick(usual) }
    }

    fn maybe<T: Clone>(&mut self, percent: usize, usual: &[T], broken: &[T]) -> Option<T> {
        self.percent(percent).then(|| self.pick_or(usual, broken))
    }
}

struct Generator<'a> {
    mix: Mix,
    choices: Choices<'a>,
    model: Model,
    height: u32,
}

impl<'a> Generator<'a> {
    fn world(mix: Mix, mut choices: Choices<'a>, count: usize) -> RandomWorld {
        let genesis = genesis(&mut choices);
        let height = choices.pick(&[0, 1, 100, 1_000_000, u32::MAX - 300, u32::MAX - 40, u32::MAX - 5]);
        let mut generator = Self { mix, choices, model: Model::genesis(&genesis), height };
        let mut blocks = Vec::new();
        while blocks.len() < count && (blocks.is_empty() || !generator.choices.is_over()) {
            let payloads = if blocks.is_empty() { generator.first_payloads() } else { generator.payloads(Vec::new()) };
            let block = Block::from_payloads(generator.height, payloads).unwrap();
            generator.model.execute(&block).unwrap();
            blocks.push(block);
            let Some(next) = generator.next_height() else { break };
            for gap in generator.height + 1..next {
                generator.model.execute(&Block::empty(gap)).unwrap();
            }
            generator.height = next;
        }
        RandomWorld { genesis, blocks }
    }

    /// Mostly the next height, at times one a few blocks later, or one near a height at which something is due.
    fn next_height(&mut self) -> Option<u32> {
        let h = u128::from(self.height);
        let next = match self.choices.below(100) {
            0..75 => h + 1,
            75..85 => h + 1 + self.choices.below(5) as u128,
            85..88 => h + 1 + self.choices.below(60) as u128,
            _ => {
                let m = &self.model;
                let mut heights: Vec<u128> = m.schedule.keys().map(|(at, _)| *at).collect();
                heights.extend(m.features.values().filter_map(Feature::step_due));
                heights.extend(m.breaker.map(|breaker| breaker.until));
                heights.extend(self.plugin_heights());
                heights.push(m.rollback_window_start + u128::from(m.params.breaker_window));
                heights.sort();
                heights.retain(|height| *height > h && *height <= h + 9_000);
                let near = heights.first().copied().unwrap_or(h + 1);
                (near + self.choices.below(3) as u128).saturating_sub(1).max(h + 1)
            }
        };
        u32::try_from(next).ok()
    }

    /// What a world starts with, and some more that follows on it.
    fn first_payloads(&mut self) -> Vec<Payload> {
        let first = match self.mix {
            Mix::Features => self.first_features(),
            Mix::Plugins => self.first_plugins(),
            Mix::Both => [self.first_features(), self.first_plugins()].concat(),
        };
        self.payloads(first)
    }

    /// A world with features starts with some, at times with a chain of prerequisites.
    fn first_features(&mut self) -> Vec<Payload> {
        let signer = self.signer(ADMIN);
        let chain = self.choices.percent(20);
        let mut creations = Vec::new();
        for index in 0..if chain { 16 } else { 2 + self.choices.below(4) } {
            let name = NAMES[index].as_bytes().to_vec();
            let mut changes = self.changes();
            if index > CHAIN {
                let prerequisites = vec![NAMES[index - 1].as_bytes().to_vec()];
                changes.policy = Some(Policy { prerequisites, ..changes.policy.unwrap_or_default() });
            }
            creations.push(Command::CreateFeature { name, description: b"first".to_vec(), changes });
        }
        creations.into_iter().map(|command| encoded(signer, vec![command])).collect()
    }

    /// These payloads, and some more that follow on them.
    fn payloads(&mut self, mut payloads: Vec<Payload>) -> Vec<Payload> {
        let (before, h) = (self.model.clone(), u128::from(self.height));
        for payload in &payloads {
            self.model.payload(h, &payload.to_bytes());
        }
        let transactions = if self.mix == Mix::Features { 7 } else { 10 };
        for _ in 0..self.choices.below(transactions) {
            if self.choices.percent(22) {
                let payload = self.feed_payload();
                self.model.payload(h, &payload.to_bytes());
                payloads.push(payload);
                continue;
            }
            let count = self.choices.pick_or(&[1, 1, 1, 1, 1, 1, 2, 3], &[0, 16, 17]);
            let commands: Vec<Command> = (0..count).map(|_| self.command()).collect();
            let signer = match commands.first() {
                Some(command) if self.choices.percent(85) => self.signer(authority(command)),
                Some(_) | None => self.choices.pick(&ADDRESSES),
            };
            let mut payload = encoded(signer, commands);
            if self.choices.percent(3) {
                payload = self.damaged(&payload);
            }
            self.model.payload(h, &payload.to_bytes());
            payloads.push(payload);
        }
        self.model = before;
        payloads
    }

    /// Messages of the feed in one transaction, rarely more than a put may list.
    fn feed_payload(&mut self) -> Payload {
        // Not 0, which is what bytes that are over give: this one takes long.
        if self.choices.below(400) == 1 {
            return self.feed_flood();
        }
        let count = self.choices.pick(&[1, 1, 1, 1, 2, 3]);
        let commands: Vec<Command> = (0..count).map(|_| self.feed_command()).collect();
        let signer = match commands.first() {
            Some(command) if self.choices.percent(90) => self.signer(authority(command)),
            Some(_) | None => self.choices.pick(&ADDRESSES),
        };
        let payload = encoded(signer, commands);
        if self.choices.percent(2) { self.damaged(&payload) } else { payload }
    }

    fn feed_command(&mut self) -> Command {
        let kind = self.choices.pick_or(&[0, 0, 1], &[2]);
        let version = self.feed_version();
        match self.choices.below(20) {
            0..8 => Command::FeedPatch { kind, id: self.feed_id(), version, body: self.feed_body() },
            8..13 => Command::FeedDelete { kind, id: self.feed_id(), version },
            13..19 => {
                // A part goes with what is open, mostly.
                let parts: &[u8] = if self.model.feed.is_open() { &[2, 2, 3, 3, 0, 1] } else { &[0, 0, 1, 1, 2, 3] };
                let part = self.choices.pick_or(parts, &[4]);
                Command::FeedPut { part, lists: [self.feed_list(), self.feed_list()] }
            }
            _ => {
                let mut ids: Vec<Vec<u8>> = (0..=self.choices.below(4)).map(|_| self.feed_id()).collect();
                ids.sort();
                ids.dedup();
                if self.choices.percent(4) {
                    ids.push(ids[0].clone());
                }
                Command::FeedForget { kind, ids }
            }
        }
    }

    fn feed_list(&mut self) -> Vec<FeedEntry> {
        let mut entries: BTreeMap<Vec<u8>, FeedEntry> = BTreeMap::new();
        for _ in 0..self.choices.below(5) {
            let entry = FeedEntry { id: self.feed_id(), version: self.feed_version(), body: self.feed_body() };
            entries.insert(entry.id.clone(), entry);
        }
        let mut entries: Vec<FeedEntry> = entries.into_values().collect();
        if self.choices.percent(2) {
            entries.reverse();
        }
        entries
    }

    fn feed_id(&mut self) -> Vec<u8> {
        self.choices.pick_or(&FEED_IDS, &FEED_IDS_BROKEN).into()
    }

    fn feed_version(&mut self) -> u64 {
        self.choices.pick(&[0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 1 << 63, u64::MAX - 1, u64::MAX])
    }

    fn feed_body(&mut self) -> Vec<u8> {
        match self.choices.below(100) {
            0 => vec![0xbb; 4_096],
            1 => vec![0xbb; 4_097],
            n => vec![0xb0; n % 4],
        }
    }

    /// A put of one id too many, in the parts of one transaction.
    fn feed_flood(&mut self) -> Payload {
        let characters = b'!'..=b'~';
        let ids = characters.clone().flat_map(|first| characters.clone().map(move |second| vec![first, second]));
        let entries: Vec<FeedEntry> =
            ids.take(FEED_IDS_TOO_MANY).map(|id| FeedEntry { id, version: 1, body: Vec::new() }).collect();
        let parts = entries.chunks(600).enumerate();
        let commands = parts.map(|(index, entries)| {
            let part = if index == 0 { 1 } else { self.choices.pick(&[2, 2, 2, 2, 2, 2, 2, 2, 3]) };
            Command::FeedPut { part, lists: [entries.to_vec(), Vec::new()] }
        });
        let commands = commands.collect();
        encoded(self.signer(FEEDER), commands)
    }

    /// Somebody who holds one of the roles, if anybody does.
    fn signer(&mut self, roles: u8) -> Address {
        let holders = |roles: u8| -> Vec<Address> {
            self.model.roles.iter().filter(|(_, held)| *held & roles != 0).map(|(address, _)| *address).collect()
        };
        let holders = if holders(roles).is_empty() { holders(ADMIN) } else { holders(roles) };
        self.choices.pick(&holders)
    }

    /// Bytes that mostly do not decode any more.
    fn damaged(&mut self, payload: &Payload) -> Payload {
        let mut bytes = payload.to_bytes();
        match self.choices.below(6) {
            0 => bytes.truncate(self.choices.below(bytes.len())),
            1 => bytes.push(0),
            2 => {
                let index = self.choices.below(bytes.len());
                bytes[index] ^= 1 << self.choices.below(8);
            }
            3 => bytes.clear(),
            // At the size that a command may have, and above it.
            4 => {
                let name = b"a".to_vec();
                let command = |size: usize| {
                    let empty =
                        Command::CreateFeature { name: name.clone(), description: vec![], changes: Changes::default() };
                    let description = vec![b'd'; size - empty.to_bytes().len()];
                    Command::CreateFeature { name: name.clone(), description, changes: Changes::default() }
                };
                let size = self.choices.pick(&[raw::COMMAND_SIZE_MAX, raw::COMMAND_SIZE_MAX + 1]);
                let command = command(size);
                return encoded(self.signer(ADMIN), vec![command]);
            }
            _ => {
                let (name, description) = (b"a".to_vec(), vec![0xff]);
                let changes = Changes::default();
                return encoded(self.signer(ADMIN), vec![Command::CreateFeature { name, description, changes }]);
            }
        }
        Payload::from_bytes(&bytes)
    }

    fn name(&mut self) -> Vec<u8> {
        let existing: Vec<Vec<u8>> = self.model.features.keys().cloned().collect();
        match self.choices.below(100) {
            2..10 => self.choices.pick(&NAMES).into(),
            0 => self.choices.pick(&[&b""[..], b"-a", b"a b", b"\xc3\xa9", &[b'z'; 65], &[b'z'; 255]]).into(),
            _ if existing.is_empty() => NAMES[0].into(),
            _ => self.choices.pick(&existing),
        }
    }

    fn command(&mut self) -> Command {
        let name = self.name();
        if let Some(breaker) = self.model.breaker
            && self.choices.percent(if self.mix != Mix::Features {
                20
            } else if breaker.until == 0 {
                8
            } else {
                3
            })
        {
            return Command::ResetBreaker;
        }
        if self.is_about_plugins() {
            return Command::Plugin(self.plugin_command());
        }
        // What may succeed in the status of the feature, twice as often as anything.
        let kinds: &[u8] = match (self.choices.percent(65), self.model.features.get(&name).map(|f| f.status)) {
            (true, None) => &[10],
            (true, Some(Status::Disabled | Status::RolledBack)) => &[11, 12, 12, 12, 15],
            (true, Some(Status::Canary)) => &[20, 20, 20, 13, 13, 12],
            (true, Some(Status::RollingOut)) => &[20, 20, 20, 14, 14],
            (true, Some(Status::Enabled)) => &[20, 20, 16, 17],
            (false, _) => &[
                10, 10, 11, 12, 12, 13, 14, 15, 15, 16, 17, 18, 18, 18, 19, 19, 20, 20, 30, 31, 32, 32, 32, 33, 33, 34,
                34, 35, 35, 36,
            ],
        };
        let kind = self.choices.pick(kinds);
        self.command_of(kind, name)
    }

    /// Whether the next command is about plugins; in a world of plugins all but those on the ledger itself are.
    fn is_about_plugins(&mut self) -> bool {
        match self.mix {
            Mix::Features => false,
            Mix::Plugins => self.choices.percent(93),
            Mix::Both => self.choices.percent(65),
        }
    }

    fn command_of(&mut self, kind: u8, name: Vec<u8>) -> Command {
        let choices = &mut self.choices;
        let h = self.height;
        match kind {
            10 => {
                let len = choices.pick_or(&[0, 7, 1_024], &[1_025, 8_000]);
                let mut changes = self.changes();
                if self.choices.percent(35) {
                    let prerequisites = self.prerequisites(&name);
                    changes.policy = Some(Policy { prerequisites, ..changes.policy.unwrap_or_default() });
                }
                Command::CreateFeature { name, description: vec![b'd'; len], changes }
            }
            11 => {
                let len = choices.maybe(30, &[0, 3, 1_024], &[1_025]);
                let mut changes = self.changes();
                if let (Some(policy), Some(f)) = (&mut changes.policy, self.model.features.get(&name))
                    && self.choices.percent(95)
                {
                    policy.prerequisites.clone_from(&f.policy.prerequisites);
                }
                Command::ConfigureFeature { name, description: len.map(|len| vec![b'e'; len]), changes }
            }
            12 => Command::StartCanary { name, percent: choices.pick_or(&[0, 1, 5, 49, 50, 99, 100], &[101, 255]) },
            13 => Command::StartRollout {
                name,
                target_percent: choices.pick_or(&[0, 1, 50, 51, 99, 100, 100], &[101, 255]),
            },
            14 => Command::AdvanceRollout { name },
            15 => Command::Enable { name },
            16 => Command::Disable { name },
            17 => Command::Rollback { name, reason: choices.pick_or(&[0, 1, 2, 3, 4, 5], &[6]) },
            18 => Command::SetOverride { name, user: choices.pick(&ADDRESSES), enabled: choices.percent(50) },
            19 => {
                let set: Vec<Address> =
                    self.model.features.get(&name).map_or(Vec::new(), |f| f.overrides.keys().copied().collect());
                let user =
                    if set.is_empty() || choices.percent(20) { choices.pick(&ADDRESSES) } else { choices.pick(&set) };
                Command::ClearOverride { name, user }
            }
            20 => Command::Report { name, report: self.report(), trial: None },
            30 => Command::TripBreaker {
                reason: choices.pick_or(&[0, 3, 4], &[6]),
                until: near(choices, h),
                drain: choices.percent(60),
            },
            31 => Command::ResetBreaker,
            32 => {
                let at = near(choices, h);
                let count = choices.pick_or(&[1, 1, 1, 2, 3], &[0, 16, 17]);
                let commands = (0..count).map(|_| self.nested()).collect();
                Command::Schedule { at, commands }
            }
            33 => {
                let pending: Vec<(u128, u128)> = self.model.schedule.keys().copied().collect();
                let (at, id) = if pending.is_empty() { (0, 1) } else { choices.pick(&pending) };
                let (at, id) = (at as u32, id as u64);
                if choices.percent(10) {
                    Command::CancelSchedule { at, id: id + 1 }
                } else {
                    Command::CancelSchedule { at, id }
                }
            }
            34 => Command::GrantRole {
                address: choices.pick(&ADDRESSES),
                role: choices.pick_or(&[ADMIN, OPERATOR, REPORTER, GUARDIAN, 16], &[0, 3, 32]),
            },
            35 => {
                let held: Vec<(Address, u8)> =
                    self.model.roles.iter().map(|(address, held)| (*address, *held)).collect();
                let (address, held) = choices.pick(&held);
                let bit = held & held.wrapping_neg();
                Command::RevokeRole {
                    address,
                    role: if choices.percent(80) { bit } else { choices.pick(&[1, 2, 4, 8, 16]) },
                }
            }
            _ => Command::SetParams {
                max_due_per_block: choices.maybe(50, &[1, 1, 2, 1_000, u32::MAX], &[0]),
                breaker_rollbacks: choices.maybe(50, &[0, 1, 2, 3, u32::MAX], &[0]),
                breaker_window: choices.maybe(50, &[1, 2, 5, 30, u32::MAX], &[0]),
                timelock: None,
                sequenced: None,
                round_blocks: None,
                quorum: None,
            },
        }
    }

    /// A command inside a schedule: mostly one that may be scheduled.
    fn nested(&mut self) -> Command {
        if self.is_about_plugins() {
            return Command::Plugin(self.nested_plugin_command());
        }
        let name = self.name();
        let kind =
            self.choices.pick_or(&[12, 12, 13, 14, 15, 16, 17, 18, 19], &[10, 11, 20, 30, 31, 32, 33, 34, 35, 36]);
        match kind {
            32 => {
                let at = near(&mut self.choices, self.height);
                let schedule = Command::Schedule { at, commands: vec![Command::Enable { name }] };
                Command::NestedSchedule { bytes: schedule.to_bytes() }
            }
            kind => self.command_of(kind, name),
        }
    }

    fn changes(&mut self) -> Changes {
        let choices = &mut self.choices;
        Changes {
            increment_percent: choices.maybe(70, &[1, 10, 25, 33, 50, 99, 100], &[0, 101, 255]),
            increment_blocks: choices.maybe(90, &[1, 1, 2, 3, 5, 10, 40, 8_640, u32::MAX], &[0]),
            max_error_rate: choices.maybe(60, &[0, 1, 99, 100, 500, 5_000, 9_999, 10_000], &[10_001, u32::MAX]),
            min_success_count: choices.maybe(85, &[0, 0, 0, 1, 5, 100, u64::MAX], &[0]),
            policy: choices.percent(60).then(|| policy(choices)),
        }
    }

    fn prerequisites(&mut self, own: &[u8]) -> Vec<Vec<u8>> {
        let existing: Vec<Vec<u8>> = self.model.features.keys().cloned().collect();
        let mut names = match self.choices.below(20) {
            0 => vec![own.to_vec()],
            1 => vec![b"unknown".to_vec()],
            2 => vec![own.to_vec(), b"unknown".to_vec()],
            3 => existing.iter().take(raw::PREREQUISITES_MAX).cloned().collect(),
            4 => existing.last().cloned().into_iter().collect(),
            _ if existing.is_empty() => Vec::new(),
            _ => (0..1 + self.choices.below(2)).map(|_| self.choices.pick(&existing)).collect(),
        };
        names.retain(|name| raw::is_name(name));
        names.sort();
        names.dedup();
        names
    }

    fn report(&mut self) -> Report {
        let choices = &mut self.choices;
        let mut report = Report {
            successes: choices.pick(&[0, 1, 9, 10, 99, 100, 1_000, 10_000, u32::MAX]),
            errors: choices.pick(&[0, 0, 0, 0, 0, 1, 1, 10, 100, u32::MAX]),
            latency_total: choices.pick(&[0, 0, 1, 10, 1_000, 100_000, u64::MAX / 2, u64::MAX]),
            latency_peak: choices.pick(&[0, 0, 1, 10, u64::MAX]),
            invariant_checks: choices.pick(&[0, 0, 0, 1, 5, u32::MAX]),
            invariant_failures: choices.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 2, u32::MAX]),
        };
        if choices.percent(96) {
            report.invariant_failures = report.invariant_failures.min(report.invariant_checks);
            if report.successes == 0 && report.errors == 0 {
                (report.latency_total, report.latency_peak) = (0, 0);
            }
        }
        report
    }
}

fn encoded(signer: Address, commands: Vec<Command>) -> Payload {
    Payload::from_bytes(&Transaction::unsequenced(signer, commands).to_bytes())
}

/// A height to come, rarely one that has passed, or 0.
fn near(choices: &mut Choices<'_>, h: u32) -> u32 {
    let next = |n| h.saturating_add(n);
    choices.pick_or(&[next(1), next(1), next(2), next(3), next(10), u32::MAX], &[h, h.saturating_sub(1), 0])
}

fn policy(choices: &mut Choices<'_>) -> Policy {
    Policy {
        bucketing: choices.pick_or(&[0, 1], &[2]),
        advance: choices.pick_or(&[0, 0, 1], &[2]),
        salt: choices.pick(&[0, 1, u64::MAX]),
        min_samples: choices.pick(&[0, 1, 10, 100, u32::MAX]),
        window_blocks: choices.pick(&[0, 0, 1, 2, 3, 10, u32::MAX]),
        step_min_operations: choices.pick(&[0, 0, 0, 1, 10, 500, u64::MAX]),
        max_invariant_failures: choices.pick(&[0, 0, 1, 2, u64::MAX]),
        max_latency: choices.pick(&[0, 0, 1, 10, 1_000, u64::MAX]),
        lifetime: choices.pick_or(&[0, 1, 2, 3], &[4]),
        expires_at: choices.pick(&[0, 1, u32::MAX]),
        prerequisites: Vec::new(),
    }
}

fn genesis(choices: &mut Choices<'_>) -> Genesis {
    let masks = [OPERATOR, ADMIN, REPORTER, GUARDIAN, OPERATOR | REPORTER, 16, ADMIN | GUARDIAN];
    let mut roles = BTreeMap::from([(ADDRESSES[1], ADMIN)]);
    for (address, mask) in ADDRESSES.iter().zip(masks) {
        if choices.percent(80) {
            roles.insert(*address, mask);
        }
    }
    roles.insert(ADDRESSES[1], ADMIN);
    let [max_due_per_block, breaker_rollbacks, breaker_window] =
        choices.pick(&[[1_000, 0, 0], [1, 1, 5], [1, 2, 30], [2, 3, u32::MAX], [5, 1, 1], [1_000, 2, 30]]);
    let params = Params { max_due_per_block, breaker_rollbacks, breaker_window, ..Params::default() };
    let genesis =
        raw::Genesis { rules: 1, chain: choices.pick(&["", "c", "vita:main.2", NAMES[3]]).into(), roles, params };
    Genesis::from_bytes(&genesis.to_bytes()).unwrap()
}
