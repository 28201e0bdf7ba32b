//! Who is who in a world, and commands in short.

use coalmine_core::{
    Address, Advance, Command, CommandKind, Encode, FeatureChanges, FeedBody, FeedEntry, FeedId, FeedKind, FeedPart,
    Height, Name, ParamsChanges, Payload, Percent, Policy, Reason, Report, Role, Sequence, Transaction, Valid, Writer,
};
use std::num::NonZeroU32;

// Who is who in a world.

pub const ADMIN: Address = Address([0x11; 20]);
pub const OPERATOR: Address = Address([0x22; 20]);
pub const REPORTER: Address = Address([0x33; 20]);
pub const GUARDIAN: Address = Address([0x44; 20]);
pub const FEEDER: Address = Address([0x55; 20]);
pub const NOBODY: Address = Address([0x99; 20]);
pub const USER: Address = Address([0xee; 20]);

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn percent(percent: u8) -> Percent {
    Percent::new(percent).unwrap()
}

pub fn user(number: u32) -> Address {
    let mut bytes = [0x5a; 20];
    // The first byte takes all its values, for the bucketing by first byte alone.
    bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    Address(bytes)
}

// Commands in short.

pub fn create(feature: &str) -> Command {
    Command::create_feature(name(feature), "").unwrap()
}

pub fn create_with(feature: &str, changes: FeatureChanges) -> Command {
    let Command::CreateFeature { name, description, .. } = create(feature) else { unreachable!() };
    Command::CreateFeature { name, description, changes: Valid::new(changes).unwrap() }
}

/// A feature that rests on others.
pub fn create_on(feature: &str, prerequisites: &[&str]) -> Command {
    let prerequisites = prerequisites.iter().map(|text| name(text)).collect();
    create_with(feature, policy(Policy { prerequisites, ..Policy::default() }))
}

pub fn policy(policy: Policy) -> FeatureChanges {
    FeatureChanges { policy: Some(policy), ..FeatureChanges::default() }
}

/// Changes by which a canary may roll out at once, a step of 10 % every `increment_blocks`.
pub fn steps_every(increment_blocks: u32) -> FeatureChanges {
    FeatureChanges { increment_blocks: Some(increment_blocks), min_success_count: Some(0), ..FeatureChanges::default() }
}

pub fn manual(changes: FeatureChanges) -> FeatureChanges {
    let policy = Policy { advance: Advance::Manual, ..changes.policy.unwrap_or_default() };
    FeatureChanges { policy: Some(policy), ..changes }
}

pub fn configure(feature: &str, changes: FeatureChanges) -> Command {
    Command::ConfigureFeature { name: name(feature), description: None, changes: Valid::new(changes).unwrap() }
}

pub fn canary(feature: &str, share: u8) -> Command {
    Command::StartCanary { name: name(feature), percent: percent(share) }
}

pub fn rollout(feature: &str, target: u8) -> Command {
    Command::StartRollout { name: name(feature), target_percent: percent(target) }
}

pub fn advance(feature: &str) -> Command {
    Command::AdvanceRollout { name: name(feature) }
}

pub fn enable(feature: &str) -> Command {
    Command::Enable { name: name(feature) }
}

pub fn disable(feature: &str) -> Command {
    Command::Disable { name: name(feature) }
}

pub fn rollback(feature: &str) -> Command {
    Command::Rollback { name: name(feature), reason: Reason::ConsensusFailure }
}

pub fn set_override(feature: &str, user: Address, enabled: bool) -> Command {
    Command::SetOverride { name: name(feature), user, enabled }
}

pub fn clear_override(feature: &str, user: Address) -> Command {
    Command::ClearOverride { name: name(feature), user }
}

/// A report of nothing.
pub const SILENCE: Report =
    Report { successes: 0, errors: 0, latency_total: 0, latency_peak: 0, invariant_checks: 0, invariant_failures: 0 };

pub fn tell(feature: &str, report: Report) -> Command {
    Command::report(name(feature), report).unwrap()
}

/// A report about the trial that started at a height.
pub fn report_of_trial(feature: &str, trial: Height, successes: u32, errors: u32) -> Command {
    let report = Valid::new(Report { successes, errors, ..SILENCE }).unwrap();
    Command::Report { name: name(feature), report, trial: Some(trial) }
}

pub fn report(feature: &str, successes: u32, errors: u32) -> Command {
    tell(feature, Report { successes, errors, ..SILENCE })
}

/// A report on which the guard rolls back, whatever was reported before.
pub fn bad_report(feature: &str) -> Command {
    tell(feature, Report { invariant_checks: u32::MAX, invariant_failures: u32::MAX, ..SILENCE })
}

pub fn trip(until: Height, drain: bool) -> Command {
    Command::TripBreaker { reason: Reason::ConsensusFailure, until: NonZeroU32::new(until), drain }
}

pub fn schedule(at: Height, commands: Vec<Command>) -> Command {
    Command::Schedule { at, commands: Valid::new(commands).unwrap() }
}

pub fn cancel(at: Height, id: u64) -> Command {
    Command::CancelSchedule { at, id }
}

pub fn grant(address: Address, role: Role) -> Command {
    Command::GrantRole { address, role }
}

pub fn revoke(address: Address, role: Role) -> Command {
    Command::RevokeRole { address, role }
}

pub fn set_params(max_due: Option<u32>, rollbacks: Option<u32>, window: Option<u32>) -> Command {
    change_params(ParamsChanges {
        max_due_per_block: max_due,
        breaker_rollbacks: rollbacks,
        breaker_window: window,
        ..ParamsChanges::default()
    })
}

pub fn change_params(changes: ParamsChanges) -> Command {
    Command::SetParams { changes: Valid::new(changes).unwrap() }
}

pub fn pause_rollout(feature: &str) -> Command {
    Command::PauseRollout { name: name(feature) }
}

pub fn set_rules(rules: u16) -> Command {
    Command::SetRules { rules }
}

// The feed.

pub fn feed_id(id: &str) -> FeedId {
    id.parse().unwrap()
}

pub fn body(bytes: &[u8]) -> FeedBody {
    FeedBody::new(bytes).unwrap()
}

/// Items of a put by id and version; the body is the version.
fn entries(items: &[(&str, u64)]) -> Vec<FeedEntry> {
    let entry = |(id, version): &(&str, u64)| FeedEntry {
        id: feed_id(id),
        version: *version,
        body: body(&version.to_be_bytes()),
    };
    items.iter().map(entry).collect()
}

pub fn put(part: FeedPart, environments: &[(&str, u64)], filters: &[(&str, u64)]) -> Command {
    Command::FeedPut {
        part,
        environments: Valid::new(entries(environments)).unwrap(),
        filters: Valid::new(entries(filters)).unwrap(),
    }
}

pub fn patch(kind: FeedKind, id: &str, version: u64, bytes: &[u8]) -> Command {
    Command::FeedPatch { kind, id: feed_id(id), version, body: body(bytes) }
}

pub fn gone(kind: FeedKind, id: &str, version: u64) -> Command {
    Command::FeedDelete { kind, id: feed_id(id), version }
}

pub fn forget(kind: FeedKind, ids: &[&str]) -> Command {
    Command::FeedForget { kind, ids: Valid::new(ids.iter().map(|id| feed_id(id)).collect()).unwrap() }
}

/// The parts of a put of so many environments, from number `first` on; the last part is left to the test.
pub fn flood(first: u32, count: u32) -> Vec<Command> {
    let ids: Vec<String> = (first..first + count).map(|n| format!("{n:05}")).collect();
    let ids: Vec<(&str, u64)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
    let parts = ids.chunks(300).enumerate();
    parts.map(|(n, ids)| put(if n == 0 { FeedPart::First } else { FeedPart::More }, ids, &[])).collect()
}

/// A feed_patch of an id that may be none, with a body of so many bytes.
pub fn patch_bytes(id: &[u8], body_len: usize) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::FeedPatch.encode(&mut out);
    FeedKind::Environment.encode(&mut out);
    out.lp8(id);
    out.u64(1);
    out.lp16(&vec![0xbb; body_len]);
    out.into_bytes()
}

/// The bytes of a command with a byte put in another's place: values that no [`Command`] can hold.
pub fn with_byte(command: &Command, from_end: usize, byte: u8) -> Vec<u8> {
    let mut bytes = command.to_bytes();
    let at = bytes.len() - 1 - from_end;
    bytes[at] = byte;
    bytes
}

/// An enable of a name that may be none.
pub fn enable_bytes(name: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::Enable.encode(&mut out);
    out.lp8(name);
    out.into_bytes()
}

/// A create_feature with a description of so many bytes.
pub fn create_bytes(feature: &str, description_len: usize) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::CreateFeature.encode(&mut out);
    out.lp8(feature.as_bytes());
    out.lp16(&vec![b'd'; description_len]);
    out.raw(&[0; 5]);
    out.into_bytes()
}

/// A schedule of one encoded command, however wrong.
pub fn nested(at: Height, command: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::Schedule.encode(&mut out);
    out.u32(at);
    out.u8(1);
    out.lp16(command);
    out.into_bytes()
}

// Commands whose values may break their rules, as bytes.

/// A report, whatever its numbers.
pub fn tell_bytes(feature: &str, report: Report) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::Report.encode(&mut out);
    out.name(&name(feature));
    out.u32(report.successes);
    out.u32(report.errors);
    out.u64(report.latency_total);
    out.u64(report.latency_peak);
    out.u32(report.invariant_checks);
    out.u32(report.invariant_failures);
    out.option(None, Writer::u32);
    out.into_bytes()
}

/// A create_feature of any settings.
pub fn create_with_bytes(feature: &str, description: &str, changes: &FeatureChanges) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::CreateFeature.encode(&mut out);
    out.name(&name(feature));
    out.lp16(description.as_bytes());
    changes.encode(&mut out);
    out.into_bytes()
}

/// A configure_feature of any settings, with or without a new description.
pub fn configure_bytes(feature: &str, description: Option<&str>, changes: &FeatureChanges) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::ConfigureFeature.encode(&mut out);
    out.name(&name(feature));
    out.option(description, |out, text| out.lp16(text.as_bytes()));
    changes.encode(&mut out);
    out.into_bytes()
}

/// A schedule of any commands.
pub fn schedule_bytes(at: Height, commands: &[Command]) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::Schedule.encode(&mut out);
    out.u32(at);
    out.u8(u8::try_from(commands.len()).unwrap());
    commands.iter().for_each(|command| out.lp16(&command.to_bytes()));
    out.into_bytes()
}

/// A set_params of any numbers.
pub fn set_params_bytes(max_due: Option<u32>, rollbacks: Option<u32>, window: Option<u32>) -> Vec<u8> {
    change_params_bytes(&ParamsChanges {
        max_due_per_block: max_due,
        breaker_rollbacks: rollbacks,
        breaker_window: window,
        ..ParamsChanges::default()
    })
}

/// The same with any of the parameters.
pub fn change_params_bytes(changes: &ParamsChanges) -> Vec<u8> {
    let mut out = Writer::default();
    CommandKind::SetParams.encode(&mut out);
    changes.encode(&mut out);
    out.into_bytes()
}

/// A transaction of encoded commands, however wrong.
pub fn raw_tx(signer: Address, commands: &[Vec<u8>]) -> Payload {
    let mut out = Writer::default();
    out.address(&signer);
    out.u8(u8::try_from(commands.len()).unwrap());
    commands.iter().for_each(|command| out.lp16(command));
    Payload::from_bytes(&out.into_bytes())
}

pub fn tx(signer: Address, commands: &[Command]) -> Payload {
    Payload::Transaction(Transaction::new(signer, commands.to_vec()).unwrap())
}

/// A transaction with a sequence; a `valid_until` of 0 is none.
pub fn sequenced(signer: Address, number: u64, valid_until: Height, commands: &[Command]) -> Payload {
    let sequence = Sequence { number, valid_until: NonZeroU32::new(valid_until) };
    Payload::Transaction(Transaction::new(signer, commands.to_vec()).unwrap().with_sequence(sequence))
}
