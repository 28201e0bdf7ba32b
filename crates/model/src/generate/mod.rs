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
use crate::raw::{self, Changes, Command, PluginCommand, TEST_TAG, Transaction, put_lp16};
use crate::schedule::RULES_NOTICE;
use crate::support::Random;
use crate::work::BLOCK_WORK;
use crate::{ADMIN, Model, REPORTER, TEST_RULES};

mod features;
mod feed;
mod ledger;
mod plugins;
#[cfg(test)]
mod tests;

pub use feed::FEED_IDS;
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
/// More features than may lie below one, in groups: the last of each group rests on the others.
const CROWD: usize = 65;
const CROWD_GROUP: usize = 13;

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
        Self::of_raw(Generator::world(mix, Choices::Seed(Random(seed)), blocks))
    }

    /// The world of a fuzzer's bytes, which ends where they end.
    #[must_use]
    pub fn of_bytes(mix: Mix, bytes: &[u8], blocks: usize) -> Self {
        Self::of_raw(Generator::world(mix, Choices::Bytes(bytes), blocks))
    }

    /// A world that changes to the [rules for tests](crate::TEST_RULES) half-way, for whoever knows them.
    #[must_use]
    pub fn of_rules(seed: u64, blocks: usize) -> Self {
        Self::of_raw(Generator::changing_world(Choices::Seed(Random(seed)), blocks))
    }

    fn of_raw((genesis, blocks): (raw::Genesis, Vec<Block>)) -> Self {
        Self { genesis: Genesis::from_bytes(&genesis.to_bytes()).unwrap(), blocks }
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
    /// The last sequence that each signer was given.
    sequences: BTreeMap<Address, u64>,
    /// The height of the block that changes to the rules for tests.
    change: Option<u32>,
}

impl<'a> Generator<'a> {
    /// A genesis, and blocks up to so many, or up to a change to rules that nobody knows.
    fn world(mix: Mix, mut choices: Choices<'a>, count: usize) -> (raw::Genesis, Vec<Block>) {
        let genesis = ledger::genesis(&mut choices, mix);
        let height = choices.pick(&[0, 1, 100, 1_000_000, u32::MAX - 300, u32::MAX - 40, u32::MAX - 5]);
        let model = Model::of_raw(genesis.clone());
        let blocks = Self { mix, choices, model, height, sequences: BTreeMap::new(), change: None }.blocks(count);
        (genesis, blocks)
    }

    /// The same, of features, with a change to the rules for tests.
    fn changing_world(mut choices: Choices<'a>, count: usize) -> (raw::Genesis, Vec<Block>) {
        let mix = Mix::Features;
        let genesis = ledger::genesis(&mut choices, mix);
        let height = choices.pick(&[0, 1, 100, 1_000_000]);
        let change = Some(height + RULES_NOTICE as u32 + choices.pick(&[0, 0, 3]));
        let model = Model::of_raw(genesis.clone()).with_test_rules();
        let blocks = Self { mix, choices, model, height, sequences: BTreeMap::new(), change }.blocks(count);
        (genesis, blocks)
    }

    fn blocks(self, count: usize) -> Vec<Block> {
        let mut generator = self;
        let mut blocks = Vec::new();
        while blocks.len() < count && (blocks.is_empty() || !generator.choices.is_over()) {
            let transactions =
                if blocks.is_empty() { generator.first_transactions() } else { generator.transactions(Vec::new()) };
            let block = Block::from_encoded(generator.height, transactions).unwrap();
            if generator.model.execute(&block).is_err() {
                break;
            }
            blocks.push(block);
            let Some(mut next) = generator.next_height() else { break };
            if let Some(change) = generator.change
                && blocks.len() == count / 2
            {
                next = next.max(change - generator.choices.pick(&[0, 0, 1]));
            }
            if generator.model.advance(next - 1).is_err() {
                break;
            }
            generator.height = next;
        }
        blocks
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
                heights.extend(m.pools.values().map(|pool| pool.due));
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
    fn first_transactions(&mut self) -> Vec<Vec<u8>> {
        let mut first = match self.mix {
            Mix::Features => self.first_features(),
            Mix::Plugins => self.first_plugins(),
            Mix::Both => [self.first_features(), self.first_plugins()].concat(),
        };
        if let Some(at) = self.change {
            let commands = vec![Command::SetRules { rules: TEST_RULES }];
            first.push(self.sealed_by_admin(Command::Schedule { at, commands }));
        }
        self.transactions(first)
    }

    /// These transactions, and some more that follow on them.
    fn transactions(&mut self, first: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let (before, h) = (self.model.clone(), u128::from(self.height));
        self.model.work_left = BLOCK_WORK;
        let mut transactions = Vec::new();
        let mut next = first;
        // Not 0, which is what bytes that are over give: these take long.
        if self.choices.below(100) == 1 {
            next.extend(self.fillers());
        }
        for _ in 0..self.choices.below(if self.mix == Mix::Features { 7 } else { 10 }) {
            for bytes in std::mem::take(&mut next) {
                self.model.payload(h, &bytes);
                transactions.push(bytes);
            }
            next = if self.choices.percent(22) { vec![self.feed_payload()] } else { self.some_commands() };
        }
        transactions.extend(next);
        self.model = before;
        transactions
    }

    /// A transaction of commands, and what other reporters have to say if it is a report.
    fn some_commands(&mut self) -> Vec<Vec<u8>> {
        let count = self.choices.pick_or(&[1, 1, 1, 1, 1, 1, 2, 3], &[0, 16, 17]);
        let mut commands: Vec<Command> = (0..count).map(|_| self.command()).collect();
        if self.mix != Mix::Features && self.choices.percent(4) {
            commands.extend(self.deployments_at_once());
        }
        let commands = self.scheduled_if_it_must_wait(commands);
        let signer = match commands.first() {
            Some(command) if self.choices.percent(85) => self.signer(authority(command)),
            Some(_) | None => self.choices.pick(&ADDRESSES),
        };
        let others = match &commands[..] {
            [command] if self.model.has_rounds() && authority(command) == REPORTER => self.others_on(command),
            _ => Vec::new(),
        };
        let mut transactions = vec![self.sealed(signer, commands)];
        if self.change.is_some() {
            self.retag(&mut transactions[0]);
        }
        if self.choices.percent(3) {
            transactions = vec![self.damaged(transactions.remove(0))];
        }
        for (reporter, command) in others {
            transactions.push(self.sealed(reporter, vec![command]));
        }
        transactions
    }

    /// Gives a command that disables, sent or scheduled, mostly its second tag, which is malformed under the first rules.
    fn retag(&mut self, bytes: &mut [u8]) {
        for name in NAMES {
            let mut disable = Vec::new();
            put_lp16(&mut disable, &Command::Disable { name: name.into() }.to_bytes());
            if let Some(at) = bytes.windows(disable.len()).position(|window| *window == disable)
                && self.choices.percent(70)
            {
                bytes[at + 2] = TEST_TAG;
            }
        }
    }

    /// What some of the other reporters say about the subject of a report.
    fn others_on(&mut self, command: &Command) -> Vec<(Address, Command)> {
        let mut others = Vec::new();
        let holders = self.model.roles.iter().filter(|(_, held)| *held & (REPORTER | ADMIN) != 0);
        for reporter in holders.map(|(address, _)| *address).collect::<Vec<_>>() {
            if self.choices.percent(60) {
                others.push((reporter, self.said_by_another(command)));
            }
        }
        others
    }

    /// The same as a report, mostly with other numbers, or now and then the opposite.
    fn said_by_another(&mut self, command: &Command) -> Command {
        let mut command = command.clone();
        let differs = self.choices.percent(60);
        if let Command::Report { report, .. } = &mut command
            && differs
        {
            *report = self.report();
        }
        if let Command::Plugin(PluginCommand::ReportVersion { requests, errors, latency_total, .. }) = &mut command
            && differs
        {
            *requests = self.choices.pick(&[0, 1, 10, 11, 50, 1_000]);
            *errors = self.choices.pick(&[0, 0, 1, 5]).min(*requests);
            *latency_total = if *requests == 0 { 0 } else { self.choices.pick(&[0, 7, 500, u64::MAX]) };
        }
        if let Command::Plugin(
            PluginCommand::AttestHealth { healthy: vote, .. }
            | PluginCommand::ReportLoad { ok: vote, .. }
            | PluginCommand::ReportUnload { ok: vote, .. },
        ) = &mut command
        {
            *vote ^= self.choices.percent(20);
        }
        command
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
    fn damaged(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
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
                return self.sealed_by_admin(command);
            }
            _ => {
                let (name, description) = (b"a".to_vec(), vec![0xff]);
                let changes = Changes::default();
                return self.sealed_by_admin(Command::CreateFeature { name, description, changes });
            }
        }
        bytes
    }

    fn sealed_by_admin(&mut self, command: Command) -> Vec<u8> {
        let signer = self.signer(ADMIN);
        self.sealed(signer, vec![command])
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
        let mut name = self.name();
        // Nothing starts over a prerequisite that is off, so that one mostly comes first.
        while self.model.features.contains_key(&name)
            && let Some(dead) = self.model.dead_prerequisite(&name)
            && self.choices.percent(70)
        {
            name = dead;
        }
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
        if self.model.params.timelock > 0 && self.choices.percent(5) {
            let kind = self.choices.pick(&[18, 19, 19]);
            return self.command_of(kind, name);
        }
        if self.change.is_some() && self.choices.percent(12) {
            let kind = self.choices.pick(&[10, 16, 16]);
            return self.command_of(kind, name);
        }
        if !self.model.schedule.is_empty() && self.choices.percent(5) {
            return self.ledger_command(33);
        }
        if self.is_about_plugins() {
            return Command::Plugin(self.plugin_command());
        }
        if let Some(prerequisite) = self.prerequisite_of_rollout()
            && self.choices.percent(12)
        {
            let kind = self.choices.pick(&[16, 17]);
            return self.command_of(kind, prerequisite);
        }
        // What may succeed in the status of the feature, twice as often as anything.
        let kinds: &[u8] = match (self.choices.percent(65), self.model.features.get(&name).map(|f| f.status)) {
            (true, None) => &[10],
            (true, Some(Status::Disabled | Status::RolledBack)) => &[11, 12, 12, 12, 15],
            (true, Some(Status::Canary)) => &[20, 20, 20, 13, 13, 12],
            (true, Some(Status::RollingOut)) => &[20, 20, 20, 20, 14, 14, 14, 21],
            (true, Some(Status::Enabled)) => &[20, 20, 16, 17],
            (false, _) => &[
                10, 10, 11, 12, 12, 13, 14, 15, 15, 16, 17, 18, 18, 18, 19, 19, 20, 20, 21, 30, 30, 31, 32, 32, 32, 33,
                33, 34, 34, 35, 35, 36, 36, 37,
            ],
        };
        let kind = self.choices.pick(kinds);
        self.command_of(kind, name)
    }

    /// A prerequisite of the first feature that is rolling out and has one.
    fn prerequisite_of_rollout(&self) -> Option<Vec<u8>> {
        let rolling = self.model.features.values().filter(|f| f.status == Status::RollingOut);
        rolling.flat_map(|f| f.policy.prerequisites.first()).next().cloned()
    }

    /// Whether the next command is about plugins; in a world of plugins all but those on the ledger itself are.
    fn is_about_plugins(&mut self) -> bool {
        match self.mix {
            Mix::Features => false,
            Mix::Plugins => self.choices.percent(93),
            Mix::Both => self.choices.percent(65),
        }
    }
}
