//! The part of the worlds that is about the ledger itself: breaker, schedule, roles, parameters, sequences.

use std::collections::BTreeMap;

use coalmine_core::Address;

use super::{ADDRESSES, Choices, Generator, Mix, NAMES};
use crate::raw::{self, Command, Params, PluginCommand, Sequence, Transaction};
use crate::schedule::target_rules;
use crate::{ADMIN, FEEDER, GUARDIAN, OPERATOR, REPORTER};

/// So many transactions of 16 commands at this price leave 16 such commands of a block's work.
const FILLERS: usize = 63;
const FILLER_PRICE: usize = 1_024;

impl Generator<'_> {
    pub(super) fn ledger_command(&mut self, kind: u8) -> Command {
        let choices = &mut self.choices;
        let h = self.height;
        match kind {
            30 => Command::TripBreaker {
                reason: choices.pick_or(&[0, 3, 4], &[6]),
                until: if choices.percent(30) { 0 } else { near(choices, h) },
                drain: choices.percent(60),
            },
            31 => Command::ResetBreaker,
            32 => {
                let commands: Vec<Command> =
                    (0..choices.pick_or(&[1, 1, 1, 2, 3], &[0, 16, 17])).map(|_| self.nested()).collect();
                Command::Schedule { at: self.height_for(&commands), commands }
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
                role: choices.pick_or(&[ADMIN, OPERATOR, REPORTER, GUARDIAN, FEEDER], &[0, 3, 32]),
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
            37 => Command::SetRules { rules: self.rules() },
            _ => Command::SetParams {
                max_due_per_block: choices.maybe(50, &[1, 1, 2, 1_000, u32::MAX], &[0]),
                breaker_rollbacks: choices.maybe(50, &[0, 1, 2, 3, u32::MAX], &[0]),
                breaker_window: choices.maybe(50, &[1, 2, 5, 30, u32::MAX], &[0]),
                timelock: choices.maybe(25, &[0, 0, 1, 2, 3, 1_000_000], &[1_000_001]),
                sequenced: choices.maybe(15, &[false, false, true], &[false]),
                round_blocks: choices.maybe(30, &[0, 1, 2, 3, 5, 1_000_000], &[1_000_001, u32::MAX]),
                quorum: choices.maybe(30, &[1, 1, 2, 2, 3, 4, 64], &[0, 65, 255]),
            },
        }
    }

    /// A command inside a schedule: mostly one that may be scheduled.
    fn nested(&mut self) -> Command {
        if self.is_about_plugins() {
            return Command::Plugin(self.nested_plugin_command());
        }
        let name = self.name();
        let kind = self.choices.pick_or(
            &[10, 11, 12, 12, 12, 13, 13, 14, 15, 15, 16, 17, 18, 19, 19, 21, 30, 31, 34, 35, 36, 37],
            &[20, 32, 33],
        );
        match kind {
            32 => {
                let at = near(&mut self.choices, self.height);
                let schedule = Command::Schedule { at, commands: vec![Command::Enable { name }] };
                Command::NestedSchedule { bytes: schedule.to_bytes() }
            }
            kind => self.command_of(kind, name),
        }
    }

    /// Rarely rules that nobody knows, at which a world ends.
    fn rules(&mut self) -> u16 {
        if self.choices.percent(3) { self.choices.pick(&[2, u16::MAX]) } else { self.choices.pick(&[0, 1]) }
    }

    /// A height for these commands to run at: mostly after the timelock, or the notice of a change of rules.
    fn height_for(&mut self, commands: &[Command]) -> u32 {
        let near = near(&mut self.choices, self.height);
        let mut wait = 0;
        if commands.iter().any(|command| self.model.is_raising(command)) {
            wait = self.model.params.timelock;
        }
        if commands.iter().any(|command| target_rules(command).is_some()) {
            wait = wait.max(600);
        }
        let earliest = self.height.saturating_add(wait);
        if self.choices.percent(85) {
            near.max(earliest)
        } else {
            self.choices.pick(&[near, earliest.saturating_sub(1)])
        }
    }

    /// What a timelock would refuse is mostly scheduled.
    pub(super) fn scheduled_if_it_must_wait(&mut self, commands: Vec<Command>) -> Vec<Command> {
        let must_wait = self.model.params.timelock > 0
            && (1..=16).contains(&commands.len())
            && commands.iter().any(|command| self.model.is_raising(command));
        if must_wait && self.choices.percent(70) {
            vec![Command::Schedule { at: self.height_for(&commands), commands }]
        } else {
            commands
        }
    }

    /// The bytes of a transaction, with a sequence where the ledger asks for one, and at times where it does not.
    pub(super) fn sealed(&mut self, signer: Address, commands: Vec<Command>) -> Vec<u8> {
        let asks = self.model.params.sequenced;
        let last = self.model.sequences.get(&signer).copied().unwrap_or(0);
        let last = *self.sequences.entry(signer).and_modify(|ours| *ours = last.max(*ours)).or_insert(last);
        if !self.choices.percent(if asks { 95 } else { 8 }) {
            return Transaction::unsequenced(signer, commands).to_bytes();
        }
        let (next, h) = (last.saturating_add(1), self.height);
        let number = self.choices.pick_or(
            &[next, next, next, next.saturating_add(1), next.saturating_add(1 << 32)],
            &[0, last, last.saturating_sub(1), u64::MAX - 1, u64::MAX],
        );
        let valid_until = self.choices.pick_or(&[0, 0, 0, h, h.saturating_add(1), u32::MAX], &[h.saturating_sub(1), 1]);
        // What is over stays over, so the last number of all is not taken for what follows.
        if number < u64::MAX - 1 {
            self.sequences.insert(signer, number.max(last));
        }
        Transaction { signer, sequence: Some(Sequence { number, valid_until }), commands }.to_bytes()
    }

    /// Transactions that take all the work of a block but very little, and change nothing; at times those that do so in
    /// a block to come, and leave somewhat more.
    pub(super) fn fillers(&mut self) -> Vec<Vec<u8>> {
        let version = self.model.registry.host_version.to_string().into_bytes();
        let signer = self.signer(ADMIN);
        let filler = Command::Plugin(PluginCommand::SetHostVersion { version });
        let mut fillers = vec![vec![filler.clone(); 16]; FILLERS];
        fillers.push(vec![filler.clone(); 15]);
        if self.choices.percent(40) {
            // More than one block can do.
            fillers.extend(vec![vec![filler.clone(); 16]; 2]);
            let at = self.height_for(&[filler]);
            let scheduled = fillers.into_iter().map(|commands| vec![Command::Schedule { at, commands }]);
            return scheduled.map(|commands| self.sealed(signer, commands)).collect();
        }
        // The prices of what follows, and one less.
        let mut left = FILLER_PRICE - self.choices.pick(&[0, 1, 2, 3, 15, 16, 16, 17, 31, 32, 63, 64]);
        let mut small = Vec::new();
        while left > 1 {
            let price = left.min(33);
            let ids = (1..price).map(|n| format!("none-{n:02}").into_bytes()).collect();
            small.push(Command::FeedForget { kind: 1, ids });
            left -= price;
        }
        fillers.extend(small.chunks(16).map(<[Command]>::to_vec));
        fillers.into_iter().map(|commands| self.sealed(signer, commands)).collect()
    }
}

/// A height to come, rarely one that has passed, or 0.
fn near(choices: &mut Choices<'_>, h: u32) -> u32 {
    let next = |n| h.saturating_add(n);
    choices.pick_or(&[next(1), next(1), next(2), next(3), next(10), u32::MAX], &[h, h.saturating_sub(1), 0])
}

pub(super) fn genesis(choices: &mut Choices<'_>, mix: Mix) -> raw::Genesis {
    let masks =
        [OPERATOR | REPORTER, REPORTER, GUARDIAN, OPERATOR, FEEDER | REPORTER, ADMIN | GUARDIAN, REPORTER | GUARDIAN];
    // The zero address, which is the first, holds no role; the second is always an admin.
    let mut roles = BTreeMap::from([(ADDRESSES[1], ADMIN)]);
    for (address, mask) in ADDRESSES[2..].iter().zip(masks) {
        if choices.percent(80) {
            roles.insert(*address, mask);
        }
    }
    let [max_due_per_block, breaker_rollbacks, breaker_window] =
        choices.pick(&[[1_000, 0, 0], [1, 1, 5], [1, 2, 30], [2, 3, u32::MAX], [5, 1, 1], [1_000, 2, 30]]);
    let rounds = choices.percent(30);
    let params = Params {
        max_due_per_block,
        breaker_rollbacks,
        breaker_window,
        // What a world of plugins starts with would have to wait.
        timelock: if mix == Mix::Features { choices.pick(&[0, 0, 0, 0, 1, 3]) } else { 0 },
        sequenced: choices.percent(12),
        round_blocks: if rounds { choices.pick(&[1, 2, 3, 10]) } else { 0 },
        quorum: if rounds { choices.pick(&[1, 2, 2, 3]) } else { 1 },
    };
    raw::Genesis { rules: 1, chain: choices.pick(&["", "c", "vita:main.2", NAMES[3]]).into(), roles, params }
}
