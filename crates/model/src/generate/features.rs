//! The part of the worlds that is about features.

use coalmine_core::Address;

use super::{ADDRESSES, CHAIN, CROWD, CROWD_GROUP, Choices, Generator, NAMES};
use crate::ADMIN;
use crate::raw::{self, Changes, Command, Policy, Report};

impl Generator<'_> {
    /// A world with features starts with some, at times with a chain of prerequisites.
    pub(super) fn first_features(&mut self) -> Vec<Vec<u8>> {
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
        // Not 0, which is what bytes that are over give.
        if self.choices.below(40) == 1 {
            creations.extend(self.crowd());
        }
        creations.into_iter().map(|command| self.sealed(signer, vec![command])).collect()
    }

    /// Features of which some rest on as many as may lie below one, or on one more.
    fn crowd(&mut self) -> Vec<Command> {
        let names: Vec<Vec<u8>> = (0..CROWD).map(|n| format!("w{n:02}").into_bytes()).collect();
        let create = |name: &[u8], prerequisites: Vec<Vec<u8>>| {
            let changes = Changes { policy: Some(Policy { prerequisites, ..Policy::default() }), ..Changes::default() };
            Command::CreateFeature { name: name.to_vec(), description: Vec::new(), changes }
        };
        let mut creations = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let is_top = index % CROWD_GROUP == CROWD_GROUP - 1;
            let below = if is_top { names[index + 1 - CROWD_GROUP..index].to_vec() } else { Vec::new() };
            creations.push(create(name, below));
        }
        let (groups, rest) = names.split_at(CROWD - CROWD_GROUP);
        let tops = groups.iter().skip(CROWD_GROUP - 1).step_by(CROWD_GROUP);
        let count = CROWD_GROUP - self.choices.pick(&[1, 1, 2]);
        creations.push(create(b"wx", tops.chain(&rest[..count]).cloned().collect()));
        let tops = names.iter().skip(CROWD_GROUP - 1).step_by(CROWD_GROUP).cloned();
        creations.push(create(b"wy", tops.collect()));
        creations
    }

    pub(super) fn command_of(&mut self, kind: u8, name: Vec<u8>) -> Command {
        let choices = &mut self.choices;
        match kind {
            10 => {
                let len = choices.pick_or(&[0, 7, 1_024], &[1_025, 8_000]);
                let mut changes = self.changes();
                if self.choices.percent(45) {
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
                let with_overrides: Vec<Vec<u8>> =
                    self.model.features.values().filter(|f| !f.overrides.is_empty()).map(|f| f.name.clone()).collect();
                let is_set = !with_overrides.is_empty() && choices.percent(60);
                let name = if is_set { choices.pick(&with_overrides) } else { name };
                let set: Vec<Address> =
                    self.model.features.get(&name).map_or(Vec::new(), |f| f.overrides.keys().copied().collect());
                let user =
                    if set.is_empty() || choices.percent(20) { choices.pick(&ADDRESSES) } else { choices.pick(&set) };
                Command::ClearOverride { name, user }
            }
            20 => {
                let trial = self.trial(&name);
                Command::Report { name, report: self.report(), trial }
            }
            21 => Command::PauseRollout { name },
            _ => self.ledger_command(kind),
        }
    }

    /// At times the trial that is running, rarely another one.
    fn trial(&mut self, name: &[u8]) -> Option<u32> {
        let running = self.model.features.get(name).map_or(0, |f| f.start_block as u32);
        self.choices.maybe(25, &[running], &[0, running.wrapping_add(1), running.wrapping_sub(1)])
    }

    pub(super) fn changes(&mut self) -> Changes {
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

    pub(super) fn report(&mut self) -> Report {
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
