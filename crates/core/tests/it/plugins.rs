//! Plugins as a whole: what every command does from every status, hold and load state; every reject;
//! plans from their start to each of their ends; giving way, breaker, schedules and due work.
//!
//! Loading has its own file. The world of `common` checks after every block that records, indexes
//! and state agree.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::num::NonZeroU32;

use coalmine_core::{
    Address, Block, Bps, Command, CommandKind, Encode, Event, Gate, Height, Held, Hold, Lack, LoadState, OnComplete,
    Params, Payload, PluginAction, PluginReason, Receipt, Reject, Stage, Strategy, StrategyKind, Terms, VersionStatus,
    Writer,
};

use crate::common::plugins::*;
use crate::common::*;

// Status by command.

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then<T> {
    /// Its subject ends like this.
    To(T),
    /// Its subject stays as it is.
    Stays,
    /// The command is refused.
    No(Reject),
}

/// Runs a command behind others of the same block, by which nothing but receipts tells whether the
/// command was refused.
#[track_caller]
fn run_behind(world: &World, before: &[Command], command: &Command, what: &str) -> (Receipt, World) {
    let height = world.tip() + 1;
    let payloads: Vec<Payload> = before.iter().cloned().map(give).collect();
    let with = [payloads.clone(), vec![give(command.clone())]].concat();
    let mut after = world.clone();
    let execution = world.state.execute(&Block::from_payloads(height, with).unwrap()).unwrap();
    let without = world.state.execute(&Block::from_payloads(height, payloads).unwrap()).unwrap();
    let (receipt, first) = execution.outcome().receipts.split_last().unwrap();
    assert!(first.iter().all(|receipt| *receipt == Receipt::Ok), "{what}: {first:?}");
    if *receipt != Receipt::Ok {
        assert_eq!(execution.root(), without.root(), "{what}: a refused command changes the root");
        assert_eq!(execution.outcome().events, without.outcome().events, "{what}: a refused command tells something");
    }
    let receipt = *receipt;
    after.commit(execution);
    (receipt, after)
}

/// A world in which version 2.0.0 of `p` has this status.
fn bring_version(status: VersionStatus) -> World {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")]);
    match status {
        VersionStatus::Loading => {}
        VersionStatus::Active => drop(world.next(&[deploy_slowly("p", "2.0.0"), promote("p")])),
        VersionStatus::Canary => drop(world.next(&[deploy_slowly("p", "2.0.0")])),
        VersionStatus::Deprecated => {
            world.next(&[deploy_slowly("p", "2.0.0"), promote("p"), deploy_slowly("p", "3.0.0"), promote("p")]);
        }
        VersionStatus::Failed => drop(world.next(&[deploy_slowly("p", "2.0.0"), roll_back("p")])),
        VersionStatus::Retired => drop(world.next(&[retire("p", "2.0.0")])),
    }
    assert_eq!(world.version_status("p", "2.0.0"), Some(status));
    world
}

/// The table: a row for each command, a column for each of `VersionStatus::ALL`.
#[test]
fn version_status_by_command() {
    use Reject::{
        DeploymentInProgress, InvalidTransition, NoDeployment, NoPreviousVersion, NotLoaded, VersionAlreadyExists,
        VersionInUse,
    };
    use Then::{No, Stays, To};
    use VersionStatus::{Active, Canary, Failed, Loading, Retired};
    let other_code = {
        let mut other = manifest(&[]);
        other.code_hash.0[0] ^= 1;
        register_with("p", "2.0.0", other)
    };
    let (taken, none, busy) = (No(VersionAlreadyExists), No(NoDeployment), No(DeploymentInProgress));
    let (wrong, used, unloaded_it) = (No(InvalidTransition), No(VersionInUse), [No(NotLoaded); 6]);
    let rows = [
        //                               Loading, Active, Canary, Deprecated, Failed, Retired
        (register("p", "2.0.0"), [taken, taken, taken, taken, To(Loading), taken]),
        (register("p", "2.0.0+other"), [taken, taken, taken, taken, To(Loading), taken]),
        (other_code, [taken; 6]),
        (deploy_slowly("p", "2.0.0"), [To(Canary), used, busy, To(Canary), wrong, wrong]),
        (deploy_slowly("p", "2.0.0+other"), [To(Canary), used, busy, To(Canary), wrong, wrong]),
        (pause("p"), [none, none, Stays, none, none, none]),
        (resume("p"), [none, none, No(Reject::NotWaiting), none, none, none]),
        (promote("p"), [none, none, To(Active), none, none, none]),
        (roll_back("p"), [none, none, To(Failed), none, none, none]),
        (
            revert("p"),
            [No(NoPreviousVersion), To(Failed), busy, To(Active), No(NoPreviousVersion), No(NoPreviousVersion)],
        ),
        (retire("p", "2.0.0"), [To(Retired), used, used, To(Retired), To(Retired), wrong]),
        (tell_version("p", "2.0.0", 9, 1), [Stays; 6]),
        (attest("p", "2.0.0", true), [none, none, Stays, none, none, none]),
        (attest("p", "2.0.0", false), [none, none, To(Failed), none, none, none]),
        (loaded("p", "2.0.0", true), unloaded_it),
        (unloaded("p", "2.0.0", true), unloaded_it),
        (set_rule("p", Some("^9")), [Stays; 6]),
    ];
    for (column, status) in VersionStatus::ALL.iter().enumerate() {
        let world = bring_version(*status);
        for (command, row) in &rows {
            let what = format!("{command:?} where it is {status}");
            let (receipt, after) = run_behind(&world, &[], command, &what);
            let (expected, then) = match row[column] {
                To(then) => (Receipt::Ok, then),
                Stays => (Receipt::Ok, *status),
                No(reject) => (refused(reject), *status),
            };
            assert_eq!(receipt, expected, "{what}");
            assert_eq!(after.version_status("p", "2.0.0"), Some(then), "{what}");
        }
    }
}

// Holds and gates by command.

/// What stands at the gate of the only stage of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Time,
    Manual,
    Closed,
    Open,
}

/// A world in which the deployment of 2.0.0 of `p` has this hold at this gate, and what must run before
/// in the same block to get there.
fn bring_hold(hold: Hold, at: At) -> (World, Vec<Command>) {
    let gate = match at {
        At::Time => Gate::Time,
        At::Manual => Gate::Manual,
        At::Closed | At::Open => Gate::Health,
    };
    let ends = matches!(hold, Hold::ManualGate | Hold::Completed | Hold::Dependents);
    let blocks = if ends && gate != Gate::Health { 2 } else { 1_000 };
    let strategy = custom(&[Stage { gate, ..stage(1_000, blocks) }]);
    let terms = Terms {
        error_threshold_bps: Bps::ZERO,
        auto_promote: hold != Hold::Completed,
        auto_rollback: hold != Hold::PausedByRule,
        ..EASY
    };
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")]);
    world.next(&[deploy("p", "2.0.0", strategy, terms)]);
    let open = || attest("p", "2.0.0", true);
    let mut behind = Vec::new();
    match hold {
        Hold::Running if at == At::Open => behind.push(open()),
        Hold::Running => {}
        Hold::Paused | Hold::PausedByRule => {
            let stop = if hold == Hold::Paused { pause("p") } else { attest("p", "2.0.0", false) };
            world.next(&[stop]);
            if at == At::Open {
                world.next(&[open()]);
            }
        }
        Hold::ManualGate => world.advance(10),
        Hold::Completed | Hold::Dependents => {
            if hold == Hold::Dependents {
                world.next(&[set_rule("p", Some("^1"))]);
            }
            if at == At::Open {
                world.next(&[open()]);
            }
            world.advance(10);
            if at == At::Manual {
                world.next(&[resume("p")]);
            }
        }
    }
    assert_eq!(world.hold("p"), Some(hold), "at {at:?}");
    (world, behind)
}

#[test]
fn hold_and_gate_by_command() {
    use Reject::{CircuitOpen, DeploymentInProgress, InvalidTransition, NoDeployment, NotWaiting, RuleViolated};
    use Then::{No, Stays, To};
    /// A hold, or how the new version ends.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum End {
        Hold(Hold),
        Version(VersionStatus),
    }
    let paused = To(End::Hold(Hold::Paused));
    let runs = To(End::Hold(Hold::Running));
    let live = To(End::Version(VersionStatus::Active));
    let gone = To(End::Version(VersionStatus::Failed));
    let (idle, wrong) = (No(NotWaiting), No(InvalidTransition));
    // With the breaker open, what raises exposure is refused before the deployment is looked at.
    let commands = [
        (pause("p"), false),
        (resume("p"), true),
        (promote("p"), true),
        (roll_back("p"), false),
        (attest("p", "2.0.0", true), false),
        (attest("p", "2.0.0", false), false),
        (tell_version("p", "2.0.0", 1, 1), false),
        (tell_version("p", "1.0.0", 1, 1), false),
        (tell_version("p", "3.0.0", 1, 1), false),
        (attest("p", "1.0.0", true), false),
        (revert("p"), false),
        (deploy_slowly("p", "3.0.0"), true),
        (retire("p", "2.0.0"), false),
    ];
    let tail = |bad_attest: Then<End>, bad_report: Then<End>| {
        let none = No(NoDeployment);
        let busy = No(DeploymentInProgress);
        [Stays, bad_attest, bad_report, Stays, Stays, none, busy, busy, No(Reject::VersionInUse)]
    };
    let by_itself = tail(gone, gone);
    let told_already = tail(Stays, Stays);
    type Row = (Hold, At, [Then<End>; 4], [Then<End>; 9]);
    let rows: [Row; 19] = [
        //                       pause, resume, promote, rollback; the rest
        (Hold::Running, At::Time, [paused, idle, live, gone], by_itself),
        (Hold::Running, At::Manual, [paused, idle, live, gone], by_itself),
        (Hold::Running, At::Closed, [paused, idle, idle, gone], by_itself),
        (Hold::Running, At::Open, [paused, idle, live, gone], by_itself),
        (Hold::Paused, At::Time, [wrong, runs, live, gone], by_itself),
        (Hold::Paused, At::Manual, [wrong, runs, live, gone], by_itself),
        (Hold::Paused, At::Closed, [wrong, runs, idle, gone], by_itself),
        (Hold::Paused, At::Open, [wrong, runs, live, gone], by_itself),
        (Hold::PausedByRule, At::Time, [wrong, runs, live, gone], told_already),
        (Hold::PausedByRule, At::Manual, [wrong, runs, live, gone], told_already),
        (Hold::PausedByRule, At::Closed, [wrong, runs, idle, gone], told_already),
        (Hold::PausedByRule, At::Open, [wrong, runs, live, gone], told_already),
        (Hold::ManualGate, At::Manual, [paused, live, live, gone], by_itself),
        (Hold::Completed, At::Time, [paused, idle, live, gone], by_itself),
        (Hold::Completed, At::Manual, [paused, idle, live, gone], by_itself),
        (Hold::Completed, At::Open, [paused, idle, live, gone], by_itself),
        (Hold::Dependents, At::Time, [paused, runs, No(RuleViolated), gone], by_itself),
        (Hold::Dependents, At::Manual, [paused, runs, No(RuleViolated), gone], by_itself),
        (Hold::Dependents, At::Open, [paused, runs, No(RuleViolated), gone], by_itself),
    ];
    for (hold, at, head, rest) in rows {
        let (closed, behind) = bring_hold(hold, at);
        let mut open = closed.clone();
        open.next(&[trip(0, false)]);
        for ((command, raises), then) in commands.iter().zip(head.into_iter().chain(rest)) {
            for (world, breaker) in [(&closed, false), (&open, true)] {
                let what = format!("{command:?} in {hold} at {at:?}, breaker {breaker}");
                let then = if breaker && *raises { No(CircuitOpen) } else { then };
                let (receipt, after) = run_behind(world, &behind, command, &what);
                let stays = (Some(hold), Some(VersionStatus::Canary));
                let (expected, ends) = match then {
                    To(End::Hold(hold)) => (Receipt::Ok, (Some(hold), Some(VersionStatus::Canary))),
                    To(End::Version(status)) => (Receipt::Ok, (None, Some(status))),
                    Stays => (Receipt::Ok, stays),
                    No(reject) => (refused(reject), stays),
                };
                assert_eq!(receipt, expected, "{what}");
                assert_eq!((after.hold("p"), after.version_status("p", "2.0.0")), ends, "{what}");
            }
        }
    }
}

#[test]
fn without_a_deployment_there_is_nothing_to_hold() {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    let mut open = world.clone();
    open.next(&[trip(0, false)]);
    use Reject::{CircuitOpen, NoDeployment, NoPreviousVersion};
    for (command, closed, with_breaker) in [
        (pause("p"), NoDeployment, NoDeployment),
        (resume("p"), NoDeployment, CircuitOpen),
        (promote("p"), NoDeployment, CircuitOpen),
        (roll_back("p"), NoDeployment, NoDeployment),
        (attest("p", "2.0.0", true), NoDeployment, NoDeployment),
        (revert("p"), NoPreviousVersion, NoPreviousVersion),
    ] {
        assert_eq!(world.try_next(&command), refused(closed), "{command:?}");
        assert_eq!(open.try_next(&command), refused(with_breaker), "{command:?}");
    }
    assert_eq!(world.try_next(&tell_version("p", "2.0.0", 1, 1)), Receipt::Ok);
}

// Every reject, and which comes first.

/// A command made of bytes that may break its rules.
fn raw(kind: CommandKind, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    kind.encode(&mut out);
    write(&mut out);
    out.into_bytes()
}

/// A register_version of anything.
#[derive(Clone, Copy)]
struct RawRegister<'a> {
    plugin: &'a str,
    version: &'a str,
    host: &'a str,
    requirements: &'a [(&'a str, &'a str)],
    config_len: usize,
    metadata: &'a [(&'a str, &'a [u8])],
}

/// One that is right.
const RAW: RawRegister<'_> =
    RawRegister { plugin: "p", version: "1.0.0", host: "", requirements: &[], config_len: 0, metadata: &[] };

impl RawRegister<'_> {
    fn bytes(self) -> Vec<u8> {
        raw(CommandKind::RegisterVersion, |out| {
            out.lp8(self.plugin.as_bytes());
            out.lp8(self.version.as_bytes());
            out.raw(&[0xc0; 32]);
            out.lp8(self.host.as_bytes());
            out.u8(u8::try_from(self.requirements.len()).unwrap());
            for (plugin, constraint) in self.requirements {
                out.lp8(plugin.as_bytes());
                out.lp8(constraint.as_bytes());
            }
            out.lp16(&vec![0xcf; self.config_len]);
            out.u8(u8::try_from(self.metadata.len()).unwrap());
            for (key, text) in self.metadata {
                out.lp8(key.as_bytes());
                out.lp8(text);
            }
        })
    }
}

/// A command of a plugin and a version, both as they are given, and what follows them.
fn raw_named(kind: CommandKind, plugin: &str, version: &str, rest: &[u8]) -> Vec<u8> {
    raw(kind, |out| {
        out.lp8(plugin.as_bytes());
        out.lp8(version.as_bytes());
        out.raw(rest);
    })
}

fn raw_report(plugin: &str, version: &str, requests: u32, errors: u32, latency_total: u64) -> Vec<u8> {
    let rest = [&requests.to_be_bytes()[..], &errors.to_be_bytes(), &latency_total.to_be_bytes()].concat();
    raw_named(CommandKind::ReportVersion, plugin, version, &rest)
}

/// The rest of a deploy behind plugin and version.
fn raw_plan(strategy: Strategy, terms: Terms) -> Vec<u8> {
    let whole = deploy_bytes("p", "1.0.0", &strategy, &terms);
    let head = 1 + (1 + "p".len()) + (1 + "1.0.0".len());
    whole[head..].to_vec()
}

fn raw_deploy(plugin: &str, version: &str, strategy: Strategy, terms: Terms) -> Vec<u8> {
    raw_named(CommandKind::Deploy, plugin, version, &raw_plan(strategy, terms))
}

fn ab(share_bps: u16, duration_blocks: u32) -> Strategy {
    Strategy::AbTest { share_bps: Bps::new(share_bps).unwrap(), duration_blocks }
}

struct Refusal {
    what: &'static str,
    /// Each in its own transaction, all in one block.
    before: Vec<Command>,
    signer: Address,
    last: Vec<u8>,
    reject: Reject,
}

/// Rejects that need a state: each by its shortest path.
fn refusals() -> Vec<Refusal> {
    use Reject::*;
    let row = |what, before: &[Command], last: Command, reject| Refusal {
        what,
        before: before.into(),
        signer: signer_of(&last),
        last: last.to_bytes(),
        reject,
    };
    let p = || register("p", "1.0.0");
    let p2 = || register("p", "2.0.0");
    let going = || [p(), p2(), deploy_slowly("p", "2.0.0")];
    let under_way = || [p(), load("p")];
    let live_for_host = || [register_for_host("p", "1.0.0", "^0"), load("p")];
    vec![
        row("a plugin that is none", &[], load("p"), PluginNotFound),
        row("a deployment of a plugin that is none", &[], pause("p"), PluginNotFound),
        row("a rule for a plugin that is none", &[], set_rule("p", None), PluginNotFound),
        row("a report for a version that is none", &[p()], tell_version("p", "1.0.1", 1, 0), VersionNotFound),
        row("a pre-release that is none", &[p()], tell_version("p", "1.0.0-rc.1", 1, 0), VersionNotFound),
        row("health of a version that is none", &[p()], attest("p", "2.0.0", true), VersionNotFound),
        row("a load of a version that is none", &[p()], loaded("p", "2.0.0", true), VersionNotFound),
        row("an unload of a version that is none", &[p()], unloaded("p", "2.0.0", true), VersionNotFound),
        row("retire a version that is none", &[p()], retire("p", "2.0.0"), VersionNotFound),
        row("deploy a version that is none", &[p()], deploy_slowly("p", "2.0.0"), VersionNotFound),
        row("register twice", &[p()], p(), VersionAlreadyExists),
        row("register twice, but for its build", &[p()], register("p", "1.0.0+2"), VersionAlreadyExists),
        row("deploy twice", &going(), deploy_slowly("p", "2.0.0"), DeploymentInProgress),
        row("revert during a deployment", &going(), revert("p"), DeploymentInProgress),
        row("pause nothing", &[p()], pause("p"), NoDeployment),
        row("health without a deployment", &[p()], attest("p", "1.0.0", true), NoDeployment),
        row("a requirement that is none", &[register_on("p", "1.0.0", &[("q", "*")])], load("p"), DependencyMissing),
        row("a self-requirement", &[register_on("p", "1.0.0", &[("p", "*")])], load("p"), DependencyCycle),
        row(
            "a cycle",
            &[register_on("p", "1.0.0", &[("q", "*")]), register_on("q", "1.0.0", &[("p", "*")])],
            load("p"),
            DependencyCycle,
        ),
        row(
            "a version outside a requirement",
            &[register_on("p", "1.0.0", &[("q", "^2")]), register("q", "1.0.0")],
            load("p"),
            DependencyBroken,
        ),
        row(
            "a pre-release outside of any",
            &[register_on("p", "1.0.0", &[("q", "*")]), register("q", "1.0.0-rc.1")],
            load("p"),
            DependencyBroken,
        ),
        row(
            "a promotion from under a dependent",
            &[register_on("q", "1.0.0", &[("p", "^1")]), p(), load("q"), p2(), deploy_slowly("p", "2.0.0")],
            promote("p"),
            DependencyBroken,
        ),
        row(
            "unload from under a dependent",
            &[p(), register_on("q", "1.0.0", &[("p", "*")]), load("q"), loaded("p", "1.0.0", true)],
            unload("p"),
            HasDependents,
        ),
        row("unload what is not loaded", &[p()], unload("p"), NotLoaded),
        row("attest what does not load", &[p()], loaded("p", "1.0.0", true), NotLoaded),
        row("load twice", &[p(), load("p")], load("p"), AlreadyLoaded),
        row("a host too old", &[register_for_host("p", "1.0.0", "^1")], load("p"), HostTooOld),
        row("a host that strands what is loading", &live_for_host(), set_host("1.0.0"), HostTooOld),
        row("a rule against what loads", &[p(), set_rule("p", Some("^2"))], load("p"), RuleViolated),
        row("a rule that strands what is loading", &under_way(), set_rule("p", Some("^2")), RuleViolated),
        row("resume what runs", &going(), resume("p"), NotWaiting),
        row("revert to nothing", &[p()], revert("p"), NoPreviousVersion),
        row("deploy the current version", &[p()], deploy_slowly("p", "1.0.0"), VersionInUse),
        row("retire the current version", &[p()], retire("p", "1.0.0"), VersionInUse),
        row("deploy with the breaker open", &[p(), trip(0, false)], deploy_slowly("p", "1.0.0"), CircuitOpen),
        row(
            "deploy what is retired",
            &[p(), p2(), retire("p", "2.0.0")],
            deploy_slowly("p", "2.0.0"),
            InvalidTransition,
        ),
        row("pause twice", &[p(), p2(), deploy_slowly("p", "2.0.0"), pause("p")], pause("p"), InvalidTransition),
        row(
            "load what is being unloaded",
            &[p(), load("p"), loaded("p", "1.0.0", true), unload("p")],
            load("p"),
            InvalidTransition,
        ),
        row(
            "no room for a fourth version in use",
            &[max_versions(3), p(), p2(), register("p", "3.0.0")],
            register("p", "4.0.0"),
            LimitExceeded,
        ),
    ]
}

/// Rejects that a command meets whatever the state is.
fn bad_commands() -> Vec<(&'static str, Address, Vec<u8>, Reject)> {
    use CommandKind::*;
    use Reject::*;
    let long_name: &'static str = "n".repeat(65).leak();
    let long_version: &'static str = format!("1.0.0-{}", "a".repeat(59)).leak();
    let long_constraint: &'static str = format!(">={}1.0.0", " ".repeat(122)).leak();
    let many: &'static [(&'static str, &'static str)] =
        (0..33).map(|n| (&*format!("q{n:02}").leak(), "*")).collect::<Vec<_>>().leak();
    let many_texts: &'static [(&'static str, &'static [u8])] =
        (0..17).map(|n| (&*format!("k{n:02}").leak(), &b""[..])).collect::<Vec<_>>().leak();
    let mut rows = Vec::new();
    for version in
        ["", "1", "1.2", "1.2.3.4", "v1.0.0", " 1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0+", long_version]
    {
        rows.push(("a version that is none", ADMIN, RawRegister { version, ..RAW }.bytes(), InvalidVersion));
        rows.push(("of a host", ADMIN, raw(SetHostVersion, |out| out.lp8(version.as_bytes())), InvalidVersion));
        for (kind, signer, rest) in [
            (RetireVersion, OPERATOR, vec![]),
            (AttestHealth, REPORTER, vec![1]),
            (ReportLoad, REPORTER, vec![1]),
            (ReportUnload, REPORTER, vec![0]),
            (Deploy, OPERATOR, raw_plan(ab(1, 1), EASY)),
        ] {
            rows.push((kind.name(), signer, raw_named(kind, "p", version, &rest), InvalidVersion));
        }
        rows.push(("of a report", REPORTER, raw_report("p", version, 1, 0, 0), InvalidVersion));
    }
    for text in ["||", "1.0.0 - 2.0.0", ">=", "abc", ">1 <2", "1.0.0, ", long_constraint] {
        rows.push(("of a host", ADMIN, RawRegister { host: text, ..RAW }.bytes(), InvalidConstraint));
        let requirements = &[("q", text)][..];
        rows.push(("of a requirement", ADMIN, RawRegister { requirements, ..RAW }.bytes(), InvalidConstraint));
        let rule = raw_named(SetRule, "p", text, &[]);
        rows.push(("a rule", ADMIN, rule, InvalidConstraint));
    }
    let none = &[("q", "")][..];
    rows.push(("a requirement of none", ADMIN, RawRegister { requirements: none, ..RAW }.bytes(), InvalidConstraint));
    for plugin in ["", "_p", "p q", "p/q", long_name] {
        rows.push(("a name that is none", ADMIN, RawRegister { plugin, ..RAW }.bytes(), InvalidName));
        rows.push((
            "of a requirement",
            ADMIN,
            RawRegister { requirements: &[(plugin, "*")], ..RAW }.bytes(),
            InvalidName,
        ));
        rows.push(("of metadata", ADMIN, RawRegister { metadata: &[(plugin, b"")], ..RAW }.bytes(), InvalidName));
        for kind in [Pause, Resume, Promote, RollbackDeployment, Revert, Load] {
            rows.push((kind.name(), OPERATOR, raw(kind, |out| out.lp8(plugin.as_bytes())), InvalidName));
        }
        rows.push(("of a rule", ADMIN, raw_named(SetRule, plugin, "*", &[]), InvalidName));
    }
    let shares = |shares: &[(u16, u32)]| custom(&shares.iter().map(|(share, n)| stage(*share, *n)).collect::<Vec<_>>());
    for (what, strategy) in [
        ("no stage", shares(&[])),
        ("33 stages", shares(&[(1, 1); 33])),
        ("falling shares", shares(&[(2, 1), (1, 1)])),
        ("a last share of none", shares(&[(0, 1)])),
        ("a stage of no blocks", shares(&[(1, 1), (2, 0)])),
        ("an A/B test of no blocks", ab(1, 0)),
        ("an A/B test of none", ab(0, 1)),
        ("no blocks of health", Strategy::BlueGreen { health_blocks: 0, bake_blocks: 1 }),
        ("no blocks of baking", Strategy::BlueGreen { health_blocks: 1, bake_blocks: 0 }),
        ("a canary from none", canary_of(0, 1, 1, 2, 1)),
        ("a canary above its maximum", canary_of(3, 1, 1, 2, 1)),
        ("a canary that does not grow", canary_of(1, 0, 1, 2, 1)),
        ("a canary of no blocks", canary_of(1, 1, 0, 2, 1)),
        ("a canary of 33 stages", canary_of(1, 1, 1, 33, 1)),
        ("rolling from none", Strategy::Rolling { initial_bps: Bps::ZERO, increment_bps: 1, increment_blocks: 1 }),
    ] {
        rows.push((what, OPERATOR, raw_deploy("p", "2.0.0", strategy, EASY), InvalidPlan));
    }
    // Shares and rates above the whole, which no strategy can hold: the last byte of a 10 000 is raised.
    let full = Terms { success_threshold_bps: Bps::FULL, error_threshold_bps: Bps::ZERO, ..EASY };
    for (what, strategy, terms) in [
        ("a share above all", shares(&[(10_000, 1)]), Terms { error_threshold_bps: Bps::ZERO, ..EASY }),
        ("a canary above all", canary_of(1, 9_999, 1, 10_000, 1), Terms { error_threshold_bps: Bps::ZERO, ..EASY }),
        ("an error rate above all", shares(&[(1, 1)]), EASY),
        ("a success rate above all", shares(&[(1, 1)]), full),
    ] {
        let mut bytes = raw_deploy("p", "2.0.0", strategy, terms);
        let places: Vec<usize> = (1..bytes.len()).filter(|at| bytes[at - 1..=*at] == [0x27, 0x10]).collect();
        let [at] = places[..] else { panic!("{what}: {places:?}") };
        bytes[at] += 1;
        rows.push((what, OPERATOR, bytes, InvalidPlan));
    }
    for (what, terms) in [
        ("a deadline in the last stage", Terms { max_blocks: NonZeroU32::new(9), ..EASY }),
        ("a deadline at its end", Terms { max_blocks: NonZeroU32::new(10), ..EASY }),
    ] {
        rows.push((what, OPERATOR, raw_deploy("p", "2.0.0", ab(1, 10), terms), InvalidPlan));
    }
    for (what, requests, errors, latency) in
        [("more errors than requests", 1, 2, 0), ("errors of no requests", 0, 1, 0), ("latency of none", 0, 0, 1)]
    {
        rows.push((what, REPORTER, raw_report("p", "1.0.0", requests, errors, latency), InvalidParameter));
    }
    for max in [0, 2, 65, u16::MAX] {
        rows.push(("max_versions", ADMIN, max_versions_bytes(max), InvalidParameter));
    }
    rows.push(("config", ADMIN, RawRegister { config_len: 4_097, ..RAW }.bytes(), LimitExceeded));
    let order = &[("q", "*"), ("a", "*")][..];
    let twice = &[("q", "*"), ("q", "*")][..];
    for (what, bytes) in [
        ("33 requirements", RawRegister { requirements: many, ..RAW }.bytes()),
        ("17 texts", RawRegister { metadata: many_texts, ..RAW }.bytes()),
        ("requirements out of order", RawRegister { requirements: order, ..RAW }.bytes()),
        ("a requirement twice", RawRegister { requirements: twice, ..RAW }.bytes()),
        ("texts out of order", RawRegister { metadata: &[("b", b""), ("a", b"")], ..RAW }.bytes()),
        ("a text twice", RawRegister { metadata: &[("a", b""), ("a", b"")], ..RAW }.bytes()),
        ("a text that is none", RawRegister { metadata: &[("a", b"\xff")], ..RAW }.bytes()),
        ("a leftover", [RAW.bytes(), vec![0]].concat()),
        ("cut short", RAW.bytes()[..40].to_vec()),
        ("a bool that is none", raw_named(AttestHealth, "p", "1.0.0", &[2])),
        ("a strategy that is none", raw_named(Deploy, "p", "1.0.0", &[5])),
        ("a gate that is none", {
            let mut bytes = raw_deploy("p", "2.0.0", custom(&[stage(1, 1)]), EASY);
            let terms = 2 + 2 + 8 + 4 + 1 + 1 + 2;
            let gate = bytes.len() - terms - 1;
            bytes[gate] = 3;
            bytes
        }),
    ] {
        rows.push((what, ADMIN, bytes, Malformed));
    }
    // What each command is, by one who may not give it.
    for (signer, command) in [
        (OPERATOR, register("p", "1.0.0")),
        (OPERATOR, set_rule("p", None)),
        (OPERATOR, set_host("1.0.0")),
        (OPERATOR, max_versions(3)),
        (REPORTER, deploy_slowly("p", "2.0.0")),
        (GUARDIAN, promote("p")),
        (GUARDIAN, load("p")),
        (REPORTER, roll_back("p")),
        (OPERATOR, attest("p", "2.0.0", true)),
        (GUARDIAN, loaded("p", "1.0.0", true)),
        (OPERATOR, unloaded("p", "1.0.0", true)),
        (OPERATOR, tell_version("p", "1.0.0", 1, 0)),
    ] {
        rows.push(("by another role", signer, command.to_bytes(), Unauthorized));
    }
    rows
}

fn canary_of(
    initial_bps: u16,
    increment_bps: u16,
    increment_blocks: u32,
    max_bps: u16,
    observation_blocks: u32,
) -> Strategy {
    Strategy::Canary {
        initial_bps: Bps::new(initial_bps).unwrap(),
        increment_bps,
        increment_blocks,
        max_bps: Bps::new(max_bps).unwrap(),
        observation_blocks,
    }
}

#[test]
fn every_reject_of_plugins_is_produced_and_changes_nothing() {
    let mut produced = BTreeSet::new();
    for Refusal { what, before, signer, last, reject } in refusals() {
        let mut world = World::new();
        world.next(&before);
        assert_eq!(world.probe(&raw_tx(signer, std::slice::from_ref(&last))), refused(reject), "{what}");
        produced.insert(reject);
        // Each command before is needed: without it this is no path to that reject.
        for left_out in 0..before.len() {
            let mut world = World::new();
            let others = before.iter().enumerate().filter(|(index, _)| *index != left_out);
            world.at(1, others.map(|(_, command)| give(command.clone())).collect());
            let receipt = world.probe(&raw_tx(signer, std::slice::from_ref(&last)));
            assert_ne!(receipt, refused(reject), "{what}, without step {left_out}");
        }
    }
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    for (what, signer, bytes, reject) in bad_commands() {
        assert_eq!(world.probe(&raw_tx(signer, std::slice::from_ref(&bytes))), refused(reject), "{what}: {bytes:02x?}");
        produced.insert(reject);
    }
    use Reject::*;
    let shared =
        [Unauthorized, InvalidName, InvalidParameter, LimitExceeded, CircuitOpen, InvalidTransition, Malformed];
    let of_plugins = Reject::ALL.iter().filter(|reject| (40..80).contains(&reject.code()));
    assert_eq!(of_plugins.clone().count(), 19);
    assert!(of_plugins.chain(&shared).all(|reject| produced.contains(reject)), "a reject that no row produces");
}

/// What lies just inside of the limits that `bad_commands` crosses.
#[test]
fn the_largest_commands_are_accepted() {
    let name_64: &'static str = "n".repeat(64).leak();
    let version_64: &'static str = format!("1.0.0-{}", "a".repeat(58)).leak();
    let constraint_128: &'static str = format!(">={}1.0.0", " ".repeat(121)).leak();
    let many: Vec<(String, &str)> = (0..32).map(|n| (format!("q{n:02}"), "*")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(plugin, text)| (plugin.as_str(), *text)).collect();
    let texts: Vec<(String, Vec<u8>)> = (0..16).map(|n| (format!("k{n:02}"), vec![b't'; 100])).collect();
    let texts: Vec<(&str, &[u8])> = texts.iter().map(|(key, text)| (key.as_str(), text.as_slice())).collect();
    let world = {
        let mut world = World::new();
        world.next(&[register("p", "0.1.0"), register("p", "2.0.0")]);
        world
    };
    let stages: Vec<Stage> = (1..=32).map(|share| stage(share, 1)).collect();
    for (what, signer, bytes) in [
        ("a name", ADMIN, RawRegister { plugin: name_64, ..RAW }.bytes()),
        ("a version", ADMIN, RawRegister { version: version_64, ..RAW }.bytes()),
        ("a host", ADMIN, RawRegister { host: constraint_128, ..RAW }.bytes()),
        ("requirements", ADMIN, RawRegister { requirements: &many, ..RAW }.bytes()),
        ("metadata", ADMIN, RawRegister { metadata: &texts, ..RAW }.bytes()),
        ("config", ADMIN, RawRegister { config_len: 4_096, ..RAW }.bytes()),
        ("stages", OPERATOR, raw_deploy("p", "2.0.0", custom(&stages), EASY)),
        ("stages of a canary", OPERATOR, raw_deploy("p", "2.0.0", canary_of(1, 1, 1, 32, 1), EASY)),
        (
            "a deadline behind the end",
            OPERATOR,
            raw_deploy("p", "2.0.0", ab(1, 10), Terms { max_blocks: NonZeroU32::new(11), ..EASY }),
        ),
        (
            "all thresholds",
            OPERATOR,
            raw_deploy(
                "p",
                "2.0.0",
                ab(10_000, 1),
                Terms {
                    success_threshold_bps: Bps::FULL,
                    regression_z_centi: NonZeroU16::new(u16::MAX),
                    min_requests: u64::MAX,
                    ..EASY
                },
            ),
        ),
        ("versions", ADMIN, max_versions(64).to_bytes()),
        ("few versions", ADMIN, max_versions(3).to_bytes()),
        ("a report", REPORTER, raw_report("p", "0.1.0", u32::MAX, u32::MAX, u64::MAX)),
        ("nothing told", REPORTER, raw_report("p", "0.1.0", 0, 0, 0)),
    ] {
        assert_eq!(world.probe(&raw_tx(signer, &[bytes])), Receipt::Ok, "{what}");
    }
}

/// Two rules broken at once: the order of the checks, from one to the next.
#[test]
fn of_two_rejects_of_plugins_the_earlier_check_wins() {
    use CommandKind::*;
    use Reject::*;
    let falling = || custom(&[stage(2, 1), stage(1, 1)]);
    let unordered = &[("q", "*"), ("a", "*")][..];
    let bad_name = &[("_q", "||")][..];
    let bad_text = &[("q", "||")][..];
    let world = {
        let mut world = World::new();
        world.next(&[max_versions(3), set_host("0.5.0")]);
        world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")]);
        // `old` has everything against it but the breaker.
        world.next(&[register("old", "1.0.0"), register_for_host("old", "2.0.0", "^9"), register("old", "3.0.0")]);
        world.next(&[set_rule("old", Some("^1")), deploy_slowly("old", "2.0.0"), retire("old", "3.0.0")]);
        world.next(&[register_on("deep", "1.0.0", &[("gone", "*")]), set_rule("deep", Some("^2"))]);
        world.next(&[register_with(
            "both",
            "1.0.0",
            coalmine_core::Manifest { host: Some(constraint("^9")), ..manifest(&[("gone", "*")]) },
        )]);
        world.next(&[set_rule("both", Some("^2"))]);
        world
    };
    let open = {
        let mut world = world.clone();
        world.next(&[trip(0, false)]);
        world
    };
    for (what, is_open, signer, bytes, reject) in [
        ("decode before authority", false, NOBODY, RawRegister { requirements: unordered, ..RAW }.bytes(), Malformed),
        ("authority before name", false, NOBODY, RawRegister { plugin: "", ..RAW }.bytes(), Unauthorized),
        ("name before version", false, ADMIN, RawRegister { plugin: "", version: "x", ..RAW }.bytes(), InvalidName),
        (
            "all names before version",
            false,
            ADMIN,
            RawRegister { version: "x", requirements: bad_name, ..RAW }.bytes(),
            InvalidName,
        ),
        (
            "version before constraint",
            false,
            ADMIN,
            RawRegister { version: "x", host: "||", ..RAW }.bytes(),
            InvalidVersion,
        ),
        (
            "constraint before size",
            false,
            ADMIN,
            RawRegister { requirements: bad_text, config_len: 4_097, ..RAW }.bytes(),
            InvalidConstraint,
        ),
        ("size before existence", false, ADMIN, RawRegister { config_len: 4_097, ..RAW }.bytes(), LimitExceeded),
        ("name before constraint", false, ADMIN, raw_named(SetRule, "", "||", &[]), InvalidName),
        ("version before plan", false, OPERATOR, raw_deploy("p", "x", falling(), EASY), InvalidVersion),
        ("plan before plugin", false, OPERATOR, raw_deploy("none", "9.0.0", falling(), EASY), InvalidPlan),
        ("numbers before plugin", false, REPORTER, raw_report("none", "9.0.0", 0, 1, 0), InvalidParameter),
        ("version before numbers", false, REPORTER, raw_report("p", "x", 0, 1, 0), InvalidVersion),
        ("plugin before version", false, OPERATOR, retire("none", "9.0.0").to_bytes(), PluginNotFound),
        ("plugin before breaker", true, OPERATOR, promote("none").to_bytes(), PluginNotFound),
        ("version before breaker", true, OPERATOR, deploy_slowly("p", "9.0.0").to_bytes(), VersionNotFound),
        ("breaker before deployment", true, OPERATOR, deploy_slowly("old", "1.0.0").to_bytes(), CircuitOpen),
        ("breaker before hold", true, OPERATOR, resume("old").to_bytes(), CircuitOpen),
        ("deployment before status", false, OPERATOR, deploy_slowly("old", "1.0.0").to_bytes(), DeploymentInProgress),
        ("deployment before no previous", false, OPERATOR, revert("old").to_bytes(), DeploymentInProgress),
        ("existence before room", false, ADMIN, register("p", "2.0.0").to_bytes(), VersionAlreadyExists),
        ("rule before host", false, OPERATOR, promote("old").to_bytes(), RuleViolated),
        ("rule before requirements", false, OPERATOR, load("deep").to_bytes(), RuleViolated),
        ("rule before host and requirements", false, OPERATOR, load("both").to_bytes(), RuleViolated),
    ] {
        let world = if is_open { &open } else { &world };
        assert_eq!(world.probe(&raw_tx(signer, &[bytes])), refused(reject), "{what}");
    }
    assert_eq!(open.try_next(&load("p")), Receipt::Ok, "a load heeds no breaker");
}

// Plans from start to end.

/// A strategy at work: `p` goes from 1.0.0 to 2.0.0, deployed at height 10.
struct Story {
    what: &'static str,
    strategy: Strategy,
    terms: Terms,
    /// Commands with their heights. Those of one height are transactions of one block.
    script: Vec<(Height, Command)>,
    /// The last block.
    end: Height,
    /// All that is told from height 11 on, and what is refused.
    told: &'static [&'static str],
}

/// The world after a story, and what was told of it.
fn play(strategy: Strategy, terms: Terms, script: &[(Height, Command)], end: Height) -> (World, Vec<String>) {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    world.all_at(10, &[deploy("p", "2.0.0", strategy, terms)]);
    let mut refusals = Vec::new();
    for height in script.iter().map(|(height, _)| *height).collect::<BTreeSet<_>>() {
        let commands: Vec<&Command> = script.iter().filter(|(at, _)| *at == height).map(|(_, one)| one).collect();
        let outcome = world.at(height, commands.iter().map(|command| give((*command).clone())).collect());
        for receipt in outcome.receipts {
            if let Receipt::Rejected { reject, .. } = receipt {
                refusals.push(format!("{height} refused {reject}"));
            }
        }
    }
    world.advance(end);
    let told = [world.lines_from(11), refusals].concat();
    (world, told)
}

fn check(stories: Vec<Story>) {
    for Story { what, strategy, terms, script, end, told } in stories {
        assert_eq!(play(strategy, terms, &script, end).1, told, "{what}");
    }
}

/// A report of the new version.
fn new(requests: u32, errors: u32) -> Command {
    tell_version("p", "2.0.0", requests, errors)
}

/// A report of the old version.
fn old(requests: u32, errors: u32) -> Command {
    tell_version("p", "1.0.0", requests, errors)
}

fn healthy() -> Command {
    attest("p", "2.0.0", true)
}

/// The terms of a strategy where nothing is said.
fn defaults(strategy: &Strategy) -> Terms {
    strategy.default_terms()
}

#[test]
fn each_strategy_succeeds_and_fails() {
    let canary = || canary_of(1_000, 2_000, 5, 4_000, 8);
    let rolling =
        || Strategy::Rolling { initial_bps: Bps::new(5_000).unwrap(), increment_bps: 5_000, increment_blocks: 5 };
    let blue_green = || Strategy::BlueGreen { health_blocks: 5, bake_blocks: 4 };
    let gates = || {
        let manual = Stage { gate: Gate::Manual, ..stage(100, 3) };
        let health = Stage { gate: Gate::Health, ..stage(200, 3) };
        custom(&[manual, health, stage(10_000, 2)])
    };
    let of = |what, strategy: Strategy, script: Vec<(Height, Command)>, end, told| {
        let terms = defaults(&strategy);
        Story { what, strategy, terms, script, end, told }
    };
    check(vec![
        of(
            "a canary grows by its increments, and is observed at its maximum",
            canary(),
            vec![(12, new(100, 1)), (16, new(100, 0)), (21, new(100, 0))],
            40,
            &["15 p staged 1 3000", "20 p staged 2 4000", "28 p promoted 1.0.0 2.0.0"],
        ),
        of(
            "a canary with too many errors",
            canary(),
            vec![(12, new(100, 2))],
            40,
            &["12 p deployment_rolled_back 2.0.0 error_rate 2/100 0/0 100 by itself"],
        ),
        of(
            "rolling to everybody",
            rolling(),
            vec![(11, new(50, 0)), (16, new(50, 0))],
            30,
            &["15 p staged 1 10000", "20 p promoted 1.0.0 2.0.0"],
        ),
        of(
            "rolling, and worse in its second stage alone",
            rolling(),
            vec![(11, new(1_000, 0)), (16, new(50, 3))],
            30,
            &["15 p staged 1 10000", "16 p deployment_rolled_back 2.0.0 error_rate 3/50 0/0 500 by itself"],
        ),
        of(
            "blue and green: healthy, switched and baked",
            blue_green(),
            vec![(12, healthy())],
            30,
            &["12 p health_attested 2.0.0 true", "13 p staged 1 10000", "17 p promoted 1.0.0 2.0.0"],
        ),
        of(
            "blue and green: never healthy",
            blue_green(),
            vec![],
            30,
            &["15 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself"],
        ),
        of(
            "blue and green: worse when it bakes",
            blue_green(),
            vec![(12, healthy()), (15, new(50, 3))],
            30,
            &[
                "12 p health_attested 2.0.0 true",
                "13 p staged 1 10000",
                "15 p deployment_rolled_back 2.0.0 error_rate 3/50 0/0 500 by itself",
            ],
        ),
        of(
            "an A/B test that the new version wins, which promotes nothing by itself",
            ab(5_000, 10),
            vec![(12, new(1_000, 10)), (12, old(1_000, 50))],
            30,
            &["20 p concluded 2.0.0 canary 10/1000 50/1000 196"],
        ),
        of(
            "an A/B test that the old version wins",
            ab(5_000, 10),
            vec![(12, new(1_000, 40)), (12, old(1_000, 10))],
            30,
            &["20 p concluded 2.0.0 production 40/1000 10/1000 196"],
        ),
        of(
            "an A/B test in vain",
            ab(5_000, 10),
            vec![(12, new(999, 10)), (12, old(1_000, 50))],
            30,
            &["20 p concluded 2.0.0 inconclusive 10/999 50/1000 196"],
        ),
        of(
            "a plan with a gate of each kind",
            gates(),
            vec![(20, resume("p")), (22, healthy())],
            40,
            &[
                "13 p waiting manual_gate",
                "20 p resumed",
                "20 p staged 1 200",
                "22 p health_attested 2.0.0 true",
                "23 p staged 2 10000",
                "25 p promoted 1.0.0 2.0.0",
            ],
        ),
        of(
            "a plan with a gate of each kind, unhealthy at the second",
            gates(),
            vec![(20, resume("p")), (22, attest("p", "2.0.0", false))],
            40,
            &[
                "13 p waiting manual_gate",
                "20 p resumed",
                "20 p staged 1 200",
                "22 p health_attested 2.0.0 false",
                "22 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself",
            ],
        ),
    ]);
}

/// At, just below and just above each threshold.
#[test]
fn a_tie_at_every_threshold() {
    let one = |blocks| custom(&[stage(1_000, blocks)]);
    let errors = Terms { error_threshold_bps: Bps::new(100).unwrap(), min_requests: 100, ..EASY };
    let success = Terms { success_threshold_bps: Bps::new(9_900).unwrap(), ..EASY };
    let z = Terms { regression_z_centi: NonZeroU16::new(200), min_requests: 2, ..EASY };
    let z_higher = Terms { regression_z_centi: NonZeroU16::new(201), ..z };
    let deadline = Terms { max_blocks: NonZeroU32::new(6), auto_promote: false, ..EASY };
    let requests = || custom(&[Stage { min_requests: 10, ..stage(1_000, 5) }]);
    let gated = || custom(&[Stage { gate: Gate::Health, ..stage(1_000, 5) }]);
    let story = |what, strategy, terms, script, end, told| Story { what, strategy, terms, script, end, told };
    let kept: &[&str] = &["15 p promoted 1.0.0 2.0.0"];
    check(vec![
        story("errors at the threshold", one(5), errors, vec![(12, new(100, 1))], 20, kept),
        story(
            "errors above it",
            one(5),
            errors,
            vec![(12, new(10_000, 101))],
            20,
            &["12 p deployment_rolled_back 2.0.0 error_rate 101/10000 0/0 100 by itself"],
        ),
        story("one request short of a judgement", one(5), errors, vec![(12, new(99, 99))], 20, kept),
        story(
            "just enough requests for one",
            one(5),
            errors,
            vec![(12, new(99, 99)), (13, new(1, 0))],
            20,
            &["13 p deployment_rolled_back 2.0.0 error_rate 99/100 0/0 100 by itself"],
        ),
        story(
            "no requests needed are one at least",
            one(5),
            Terms { min_requests: 0, ..errors },
            vec![(12, old(5, 5)), (13, new(0, 0)), (14, new(1, 1))],
            20,
            &["14 p deployment_rolled_back 2.0.0 error_rate 1/1 0/0 100 by itself"],
        ),
        story("all may fail", one(5), EASY, vec![(12, new(7, 7))], 20, kept),
        story("success at the threshold", one(5), success, vec![(12, new(100, 1))], 20, kept),
        story(
            "success below it",
            one(5),
            success,
            vec![(12, new(10_000, 101))],
            20,
            &["15 p stage_held success_rate 101/10000"],
        ),
        story(
            "no requests are a success",
            one(5),
            Terms { success_threshold_bps: Bps::FULL, ..EASY },
            vec![],
            20,
            kept,
        ),
        story("just enough requests for the stage", requests(), EASY, vec![(12, new(10, 0))], 20, kept),
        story(
            "one too few",
            requests(),
            EASY,
            vec![(12, new(9, 0)), (14, old(99, 0))],
            20,
            &["15 p stage_held requests 0/9"],
        ),
        story(
            "z exactly there: 2 of 2 against 0 of 2",
            one(5),
            z,
            vec![(12, old(2, 0)), (13, new(2, 2))],
            20,
            &["13 p deployment_rolled_back 2.0.0 regression 2/2 0/2 200 by itself"],
        ),
        story("z a hundredth short", one(5), z_higher, vec![(12, old(2, 0)), (13, new(2, 2))], 20, kept),
        story("z exactly there, for the better", one(5), z, vec![(12, old(2, 2)), (13, new(2, 0))], 20, kept),
        story("production lacks requests", one(5), z, vec![(12, old(1, 0)), (13, new(200, 200))], 20, kept),
        story("the canary lacks requests", one(5), z, vec![(12, old(200, 0)), (13, new(1, 1))], 20, kept),
        story(
            "a report of production decides",
            one(5),
            z,
            vec![(12, new(2, 2)), (13, old(2, 0))],
            20,
            &["13 p deployment_rolled_back 2.0.0 regression 2/2 0/2 200 by itself"],
        ),
        story(
            "the last block before the deadline",
            one(5),
            deadline,
            vec![(15, promote("p"))],
            20,
            &["15 p waiting completed", "15 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "the deadline",
            one(5),
            deadline,
            vec![(16, promote("p"))],
            20,
            &[
                "15 p waiting completed",
                "16 p deployment_rolled_back 2.0.0 timeout 0/0 0/0 6 by itself",
                "16 refused no_deployment",
            ],
        ),
        story(
            "healthy in the last block of the gate",
            gated(),
            EASY,
            vec![(14, healthy())],
            20,
            &["14 p health_attested 2.0.0 true", "15 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "healthy one block late",
            gated(),
            EASY,
            vec![(15, healthy())],
            20,
            &["15 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself", "15 refused no_deployment"],
        ),
    ]);
}

#[test]
fn verdicts_with_their_figures() {
    let terms = Terms { success_threshold_bps: Bps::new(9_000).unwrap(), min_requests: 2, auto_promote: true, ..EASY };
    let z = |centi| Terms { regression_z_centi: centi, ..terms };
    let none_fails = Terms { success_threshold_bps: Bps::FULL, ..z(NonZeroU16::new(1)) };
    // Requests and errors of the new version and the old one.
    type Row = (&'static str, Terms, (u32, u32), (u32, u32), &'static [&'static str]);
    let rows: [Row; 10] = [
        (
            "|z| exactly there: the new one",
            z(NonZeroU16::new(200)),
            (2, 0),
            (2, 2),
            &["15 p concluded 2.0.0 canary 0/2 2/2 200", "15 p promoted 1.0.0 2.0.0"],
        ),
        (
            "|z| a hundredth short",
            z(NonZeroU16::new(201)),
            (2, 0),
            (2, 2),
            &["15 p concluded 2.0.0 inconclusive 0/2 2/2 201"],
        ),
        (
            "off means 1.96",
            terms,
            (100, 0),
            (100, 4),
            &["15 p concluded 2.0.0 canary 0/100 4/100 196", "15 p promoted 1.0.0 2.0.0"],
        ),
        (
            "off, and just short of it",
            terms,
            (100, 0),
            (100, 3),
            &["15 p concluded 2.0.0 inconclusive 0/100 3/100 196"],
        ),
        ("the old one", terms, (100, 4), (100, 0), &["15 p concluded 2.0.0 production 4/100 0/100 196"]),
        (
            "no difference",
            z(NonZeroU16::new(1)),
            (100, 4),
            (200, 8),
            &["15 p concluded 2.0.0 inconclusive 4/100 8/200 1"],
        ),
        (
            "nothing told",
            Terms { min_requests: 0, ..terms },
            (0, 0),
            (0, 0),
            &["15 p concluded 2.0.0 inconclusive 0/0 0/0 196"],
        ),
        ("one request short", terms, (100, 0), (1, 1), &["15 p concluded 2.0.0 inconclusive 0/100 1/1 196"]),
        (
            "better, but not good",
            none_fails,
            (100, 1),
            (100, 50),
            &["15 p concluded 2.0.0 inconclusive 1/100 50/100 1"],
        ),
        (
            "good as asked",
            z(NonZeroU16::new(1)),
            (100, 10),
            (100, 50),
            &["15 p concluded 2.0.0 canary 10/100 50/100 1", "15 p promoted 1.0.0 2.0.0"],
        ),
    ];
    for (what, terms, of_new, of_old, told) in rows {
        let script = [(12, new(of_new.0, of_new.1)), (12, old(of_old.0, of_old.1))];
        let (world, lines) = play(concluding(&[stage(5_000, 5)]), terms, &script, 30);
        assert_eq!(lines, told, "{what}");
        let is_promoted = told.len() == 2;
        let status = if is_promoted { VersionStatus::Active } else { VersionStatus::Loading };
        assert_eq!(world.version_status("p", "2.0.0"), Some(status), "{what}");
        assert!(world.deployment("p").is_none());
    }
    // What was in vain may be deployed again.
    let (world, _) = play(ab(5_000, 5), EASY, &[], 30);
    assert_eq!(world.try_next(&deploy_slowly("p", "2.0.0")), Receipt::Ok);
}

#[test]
fn a_lack_is_told_once_in_each_stage_and_looked_at_after_a_report() {
    let plan = || {
        let stages = [1_000, 2_000].map(|share| Stage { min_requests: 10, ..stage(share, 3) });
        custom(&stages)
    };
    let terms = Terms { success_threshold_bps: Bps::new(9_000).unwrap(), ..EASY };
    let manual = || custom(&[Stage { min_requests: 10, gate: Gate::Manual, ..stage(1_000, 3) }]);
    let story = |what, strategy, terms, script, end, told| Story { what, strategy, terms, script, end, told };
    check(vec![
        story(
            "requests, then the rate, then again in the next stage",
            plan(),
            terms,
            vec![
                (15, new(1, 0)),
                (16, new(8, 4)),
                (17, old(100, 0)),
                (18, new(1, 1)),
                (19, new(40, 0)),
                (30, new(40, 9)),
                (31, new(50, 0)),
            ],
            40,
            &[
                "13 p stage_held requests 0/0",
                // Looked at after the report of 15: nothing new to tell. After that of 16 the rate lacks too.
                "17 p stage_held success_rate 4/9",
                "20 p staged 1 2000",
                "23 p stage_held requests 0/0",
                "31 p stage_held success_rate 9/40",
                "32 p promoted 1.0.0 2.0.0",
            ],
        ),
        story(
            "both at once",
            plan(),
            terms,
            vec![(12, new(9, 9))],
            20,
            &["13 p stage_held requests 9/9", "13 p stage_held success_rate 9/9"],
        ),
        story(
            "a manual gate first fulfils the same",
            manual(),
            terms,
            vec![(20, resume("p")), (21, new(10, 0)), (30, resume("p"))],
            40,
            &[
                "13 p stage_held requests 0/0",
                "22 p waiting manual_gate",
                "30 p resumed",
                "30 p promoted 1.0.0 2.0.0",
                "20 refused not_waiting",
            ],
        ),
        story(
            "a verdict asks for nothing",
            concluding(&[Stage { min_requests: 10, ..stage(1_000, 3) }]),
            Terms { success_threshold_bps: Bps::FULL, ..EASY },
            vec![(12, new(1, 1))],
            20,
            &["13 p concluded 2.0.0 inconclusive 1/1 0/0 196"],
        ),
        story(
            "the stage before a verdict asks for its own",
            concluding(&[Stage { min_requests: 10, ..stage(1_000, 3) }, stage(2_000, 3)]),
            EASY,
            vec![(20, new(10, 0))],
            30,
            &["13 p stage_held requests 0/0", "21 p staged 1 2000", "24 p concluded 2.0.0 inconclusive 0/10 0/0 196"],
        ),
    ]);
}

#[test]
fn holds_and_the_clock() {
    let one = |blocks| custom(&[stage(1_000, blocks)]);
    let gated = |blocks| custom(&[Stage { gate: Gate::Health, ..stage(0, blocks) }, stage(1_000, 2)]);
    let by_hand = Terms { auto_promote: false, ..EASY };
    let patient = Terms { error_threshold_bps: Bps::new(100).unwrap(), auto_rollback: false, ..EASY };
    let story = |what, strategy, terms, script, end, told| Story { what, strategy, terms, script, end, told };
    let manual = "p paused manual 0/0 0/0 0";
    assert_eq!(play(one(9), EASY, &[(11, pause("p"))], 12).1, [format!("11 {manual}")]);
    check(vec![
        story(
            "the clock of a stage goes on in a pause",
            one(5),
            EASY,
            vec![(12, pause("p")), (13, resume("p"))],
            20,
            &["12 p paused manual 0/0 0/0 0", "13 p resumed", "15 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "resumed behind its end, it is looked at in the next block",
            one(5),
            EASY,
            vec![(12, pause("p")), (18, resume("p"))],
            30,
            &["12 p paused manual 0/0 0/0 0", "18 p resumed", "19 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "a deadline heeds no pause",
            one(5),
            Terms { max_blocks: NonZeroU32::new(8), auto_rollback: false, ..EASY },
            vec![(12, pause("p")), (18, resume("p"))],
            30,
            &[
                "12 p paused manual 0/0 0/0 0",
                "18 p deployment_rolled_back 2.0.0 timeout 0/0 0/0 8 by itself",
                "18 refused no_deployment",
            ],
        ),
        story(
            "a deadline comes before everything else that is due",
            one(5),
            Terms { max_blocks: NonZeroU32::new(6), ..EASY },
            vec![(12, pause("p")), (15, resume("p"))],
            30,
            &[
                "12 p paused manual 0/0 0/0 0",
                "15 p resumed",
                "16 p deployment_rolled_back 2.0.0 timeout 0/0 0/0 6 by itself",
            ],
        ),
        story(
            "a rule pauses where it may not roll back, tells it once, and holds again",
            one(20),
            patient,
            vec![
                (12, new(100, 2)),
                (13, new(0, 0)),
                (14, resume("p")),
                (15, old(1, 0)),
                (16, resume("p")),
                (17, new(300, 0)),
            ],
            40,
            &[
                "12 p paused error_rate 2/100 0/0 100",
                "14 p resumed",
                "15 p paused error_rate 2/100 0/0 100",
                "16 p resumed",
                "30 p promoted 1.0.0 2.0.0",
            ],
        ),
        story(
            "a rule takes the place of another hold",
            one(20),
            patient,
            vec![(12, pause("p")), (13, new(100, 2)), (14, pause("p"))],
            20,
            &["12 p paused manual 0/0 0/0 0", "13 p paused error_rate 2/100 0/0 100", "14 refused invalid_transition"],
        ),
        story(
            "unhealthy pauses where it may not roll back",
            one(20),
            patient,
            vec![(12, attest("p", "2.0.0", false)), (13, attest("p", "2.0.0", false)), (14, promote("p"))],
            20,
            &[
                "12 p health_attested 2.0.0 false",
                "12 p paused unhealthy 0/0 0/0 0",
                "13 p health_attested 2.0.0 false",
                "14 p promoted 1.0.0 2.0.0",
            ],
        ),
        story(
            "a gate that is not opened rolls back whatever the plan says",
            gated(5),
            patient,
            vec![],
            20,
            &["15 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself"],
        ),
        story(
            "a gate is opened in a pause and left after it",
            gated(5),
            EASY,
            vec![(12, pause("p")), (13, healthy()), (20, resume("p"))],
            30,
            &[
                "12 p paused manual 0/0 0/0 0",
                "13 p health_attested 2.0.0 true",
                "20 p resumed",
                "21 p staged 1 1000",
                "23 p promoted 1.0.0 2.0.0",
            ],
        ),
        story(
            "an attestation opens one gate",
            custom(&[1, 2].map(|share| Stage { gate: Gate::Health, ..stage(share, 5) })),
            EASY,
            vec![(12, healthy())],
            30,
            &[
                "12 p health_attested 2.0.0 true",
                "13 p staged 1 2",
                "18 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself",
            ],
        ),
        story(
            "health of a stage without such a gate is told only",
            one(5),
            EASY,
            vec![(12, healthy())],
            20,
            &["12 p health_attested 2.0.0 true", "15 p promoted 1.0.0 2.0.0"],
        ),
        story(
            "an opened gate is closed by the opposite",
            gated(5),
            patient,
            vec![(12, pause("p")), (13, healthy()), (14, attest("p", "2.0.0", false)), (20, resume("p"))],
            30,
            &[
                "12 p paused manual 0/0 0/0 0",
                "13 p health_attested 2.0.0 true",
                "14 p health_attested 2.0.0 false",
                "14 p paused unhealthy 0/0 0/0 0",
                "20 p resumed",
                "21 p deployment_rolled_back 2.0.0 unhealthy 0/0 0/0 0 by itself",
            ],
        ),
        story(
            "a complete plan waits for promote, and may be paused and resumed to complete again",
            one(5),
            by_hand,
            vec![(16, resume("p")), (17, pause("p")), (18, resume("p")), (30, promote("p"))],
            40,
            &[
                "15 p waiting completed",
                "17 p paused manual 0/0 0/0 0",
                "18 p resumed",
                "19 p waiting completed",
                "30 p promoted 1.0.0 2.0.0",
                "16 refused not_waiting",
            ],
        ),
        story(
            "no hold hides a broken rule: a complete plan is rolled back",
            one(5),
            Terms { error_threshold_bps: Bps::new(100).unwrap(), ..by_hand },
            vec![(20, new(1, 1))],
            30,
            &["15 p waiting completed", "20 p deployment_rolled_back 2.0.0 error_rate 1/1 0/0 100 by itself"],
        ),
        story(
            "a rollback by command tells the counts",
            one(50),
            EASY,
            vec![(12, new(10, 1)), (13, old(20, 2)), (14, roll_back("p"))],
            20,
            &["14 p deployment_rolled_back 2.0.0 manual 1/10 0/0 0 by command"],
        ),
    ]);
}

/// A resume at a manual gate leaves the stage in that very command, whatever comes then.
#[test]
fn a_resume_at_the_last_gate_completes() {
    let gate = Stage { gate: Gate::Manual, ..stage(1_000, 3) };
    let by_hand = Terms { auto_promote: false, ..EASY };
    let told_better = [(12, new(100, 0)), (12, old(100, 50))];
    let story = |what, strategy, terms, script: &[(Height, Command)], end, told| Story {
        what,
        strategy,
        terms,
        script: script.into(),
        end,
        told,
    };
    check(vec![
        story(
            "and waits for promote",
            custom(&[gate]),
            by_hand,
            &[(20, resume("p"))],
            30,
            &["13 p waiting manual_gate", "20 p resumed", "20 p waiting completed"],
        ),
        story(
            "and is too late behind a deadline that an open breaker has hidden",
            custom(&[gate]),
            Terms { max_blocks: NonZeroU32::new(6), ..EASY },
            &[(14, trip(0, false)), (20, Command::ResetBreaker), (20, resume("p"))],
            30,
            &[
                "13 p waiting manual_gate",
                "14 breaker_tripped consensus_failure",
                "20 breaker_closed",
                "20 p resumed",
                "20 p deployment_rolled_back 2.0.0 timeout 0/0 0/0 6 by itself",
            ],
        ),
        story(
            "and is stopped by a rule until that is gone",
            custom(&[gate]),
            EASY,
            &[(19, set_rule("p", Some("^1"))), (20, resume("p")), (25, set_rule("p", None)), (26, resume("p"))],
            40,
            &[
                "13 p waiting manual_gate",
                "20 p resumed",
                "20 p paused dependents 0/0 0/0 55",
                "26 p resumed",
                // The gate stands where it stood, and asks again.
                "27 p waiting manual_gate",
            ],
        ),
        story(
            "with a verdict",
            concluding(&[gate]),
            by_hand,
            &[told_better.as_slice(), &[(20, resume("p"))]].concat(),
            30,
            &["13 p waiting manual_gate", "20 p resumed", "20 p concluded 2.0.0 canary 0/100 50/100 196"],
        ),
        story(
            "with a verdict that promotes, once nothing stops it",
            concluding(&[stage(1_000, 3)]),
            EASY,
            &[told_better.as_slice(), &[(12, set_rule("p", Some("^1"))), (20, set_rule("p", None)), (20, resume("p"))]]
                .concat(),
            30,
            &[
                "13 p paused dependents 0/0 0/0 55",
                "20 p resumed",
                "21 p concluded 2.0.0 canary 0/100 50/100 196",
                "21 p promoted 1.0.0 2.0.0",
            ],
        ),
    ]);
}

/// The history of whole deployments: what each entry says of share, duration, reason and actor.
#[test]
fn the_history_tells_share_duration_reason_and_actor() {
    use PluginAction::*;
    use PluginReason::{Canary, Dependents, ErrorRate, Inconclusive, Manual, None as NoReason};
    const BY_ITSELF: Address = Address::ZERO;
    let entry = |height, action, version: &str, reason, success, share, duration, actor| {
        (height, action, version.to_string(), reason, success, share, duration, actor)
    };
    let first = [
        entry(1, Registered, "1.0.0", NoReason, true, 0, 0, ADMIN),
        entry(1, Registered, "2.0.0", NoReason, true, 0, 0, ADMIN),
    ];
    let stages = custom(&[Stage { gate: Gate::Manual, ..stage(100, 5) }, stage(2_000, 5)]);
    let check = |what: &str, world: &World, rest: Vec<Entry>| {
        assert_eq!(world.plugin_history("p"), [&first[..], &rest].concat(), "{what}");
    };

    let script =
        [(12, pause("p")), (13, resume("p")), (20, resume("p")), (30, revert("p")), (31, retire("p", "2.0.0"))];
    let (world, _) = play(stages.clone(), EASY, &script, 40);
    check(
        "promoted and reverted",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 100, 0, OPERATOR),
            entry(12, Paused, "2.0.0", Manual, true, 100, 2, OPERATOR),
            entry(13, Resumed, "2.0.0", Manual, true, 100, 3, OPERATOR),
            entry(20, Resumed, "2.0.0", Manual, true, 100, 10, OPERATOR),
            entry(20, Staged, "2.0.0", Manual, true, 2_000, 10, OPERATOR),
            entry(25, Promoted, "2.0.0", NoReason, true, 2_000, 15, BY_ITSELF),
            entry(30, Reverted, "1.0.0", Manual, false, 0, 0, OPERATOR),
            entry(31, Retired, "2.0.0", Manual, true, 0, 0, OPERATOR),
        ],
    );

    let terms = Terms { error_threshold_bps: Bps::ZERO, auto_rollback: false, ..EASY };
    let (world, _) = play(stages.clone(), terms, &[(12, new(1, 1)), (13, roll_back("p"))], 20);
    check(
        "paused by a rule and rolled back",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 100, 0, OPERATOR),
            entry(12, Paused, "2.0.0", ErrorRate, false, 100, 2, BY_ITSELF),
            entry(13, RolledBack, "2.0.0", Manual, false, 100, 3, GUARDIAN),
        ],
    );

    let terms = Terms { error_threshold_bps: Bps::ZERO, ..EASY };
    let (world, _) = play(stages, terms, &[(12, new(1, 1)), (20, register("p", "2.0.0"))], 20);
    check(
        "rolled back by itself and registered again",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 100, 0, OPERATOR),
            entry(12, RolledBack, "2.0.0", ErrorRate, false, 100, 2, BY_ITSELF),
            entry(20, Registered, "2.0.0", NoReason, true, 0, 0, ADMIN),
        ],
    );

    let (world, _) = play(ab(700, 5), EASY, &[], 20);
    check(
        "inconclusive",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 700, 0, OPERATOR),
            entry(15, Concluded, "2.0.0", Inconclusive, false, 700, 5, BY_ITSELF),
        ],
    );

    let (world, _) = play(ab(700, 5), EASY, &[(12, new(100, 0)), (12, old(100, 50))], 20);
    check(
        "won",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 700, 0, OPERATOR),
            entry(15, Concluded, "2.0.0", Canary, true, 700, 5, BY_ITSELF),
            entry(15, Promoted, "2.0.0", NoReason, true, 700, 5, BY_ITSELF),
        ],
    );

    let (world, _) =
        play(ab(700, 5), EASY, &[(12, new(100, 0)), (12, old(100, 50)), (13, set_rule("p", Some("^1")))], 20);
    check(
        "won, but kept back",
        &world,
        vec![
            entry(10, Deployed, "2.0.0", Manual, true, 700, 0, OPERATOR),
            entry(15, Paused, "2.0.0", Dependents, false, 700, 5, BY_ITSELF),
        ],
    );
}

#[test]
fn promote_rollback_and_revert_move_current_and_previous() {
    use VersionStatus::{Active, Canary, Deprecated, Failed, Loading};
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0+b"), register("p", "3.0.0")]);
    let mut step = |command: Command, current: &str, previous: Option<&str>, statuses: [VersionStatus; 3]| {
        world.next(std::slice::from_ref(&command));
        let plugin = world.plugin("p");
        let previous_is = plugin.previous.as_ref().map(ToString::to_string);
        assert_eq!((plugin.current.to_string().as_str(), previous_is.as_deref()), (current, previous), "{command:?}");
        let now: Vec<_> = world.versions("p").into_iter().map(|(_, status)| status).collect();
        assert_eq!(now, statuses, "{command:?}");
    };
    // Commands may name a version without its build metadata, or with another; the records keep what was registered.
    step(deploy_slowly("p", "2.0.0"), "1.0.0", None, [Active, Canary, Loading]);
    step(promote("p"), "2.0.0+b", Some("1.0.0"), [Deprecated, Active, Loading]);
    step(revert("p"), "1.0.0", None, [Active, Failed, Loading]);
    step(register("p", "2.0.0+c"), "1.0.0", None, [Active, Loading, Loading]);
    step(deploy_slowly("p", "2.0.0"), "1.0.0", None, [Active, Canary, Loading]);
    step(promote("p"), "2.0.0+c", Some("1.0.0"), [Deprecated, Active, Loading]);
    step(deploy_slowly("p", "3.0.0"), "2.0.0+c", Some("1.0.0"), [Deprecated, Active, Canary]);
    step(roll_back("p"), "2.0.0+c", Some("1.0.0"), [Deprecated, Active, Failed]);
    // Deploying the previous version leaves nothing to revert to.
    step(deploy_slowly("p", "1.0.0"), "2.0.0+c", None, [Canary, Active, Failed]);
    step(roll_back("p"), "2.0.0+c", None, [Failed, Active, Failed]);
    step(register("p", "3.0.0"), "2.0.0+c", None, [Failed, Active, Loading]);
    step(deploy_slowly("p", "3.0.0"), "2.0.0+c", None, [Failed, Active, Canary]);
    step(promote("p"), "3.0.0", Some("2.0.0+c"), [Failed, Deprecated, Active]);
    // And so does retiring it.
    step(retire("p", "2.0.0"), "3.0.0", None, [Failed, VersionStatus::Retired, Active]);
    assert_eq!(world.try_next(&revert("p")), refused(Reject::NoPreviousVersion));
    assert_eq!(world.plugin("p").deployments, 5);
}

#[test]
fn a_failed_version_registered_again_is_a_new_one() {
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    world.next(&[deploy_slowly("p", "2.0.0"), new(10, 3), roll_back("p"), new(5, 0)]);
    let record = |world: &World| world.state.plugin_version(&name("p"), &version("2.0.0")).unwrap().clone();
    let old_record = record(&world);
    assert_eq!(
        (old_record.counts.requests, old_record.counts.errors, old_record.reported),
        (15, 3, NonZeroU32::new(2))
    );
    let mut again = manifest(&[("q", "^1")]);
    again.config = vec![1, 2, 3];
    world.all_at(9, &[register_with("p", "2.0.0+again", again.clone())]);
    let new_record = record(&world);
    assert_eq!((new_record.registered, new_record.reported, new_record.counts), (9, None, Default::default()));
    assert_eq!((new_record.version.to_string().as_str(), &*new_record.manifest), ("2.0.0+again", &again));
    assert_eq!(world.plugin("p").versions, 2);
}

#[test]
fn the_oldest_versions_out_of_use_give_way() {
    use VersionStatus::{Failed, Retired};
    let mut world = World::new();
    world.next(&[max_versions(6), register("p", "1.0.0")]);
    // Six versions out of use but for the current one, told at different heights.
    let versions = ["0.1.0", "0.2.0", "0.3.0", "0.4.0-rc.1", "0.4.0"];
    let all: Vec<Command> = versions.iter().map(|one| register("p", one)).collect();
    world.next(&all);
    let all: Vec<Command> = versions.iter().map(|one| retire("p", one)).collect();
    world.next(&all);
    // 0.1.0 was told last, so it goes last; 0.3.0 before; the others never, and 0.4.0-rc.1 precedes 0.4.0.
    world.all_at(10, &[tell_version("p", "0.3.0", 1, 0)]);
    world.all_at(11, &[tell_version("p", "0.1.0", 1, 0)]);
    let mut gone = Vec::new();
    for (height, text) in (20..).zip(["1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0"]) {
        let told = world.all_at(height, &[register("p", text)]);
        gone.push(told[0].clone());
        assert_eq!(told[1..], [format!("p version_registered {text}")]);
    }
    let order = ["0.2.0", "0.4.0-rc.1", "0.4.0", "0.3.0", "0.1.0"];
    assert_eq!(gone, order.map(|text| format!("p version_evicted {text}")));
    assert_eq!(world.try_next(&register("p", "1.6.0")), refused(Reject::LimitExceeded));

    // A lower limit lets several go at once, or none at all if that is not enough.
    world.next(&[retire("p", "1.1.0"), deploy_slowly("p", "1.2.0"), roll_back("p"), max_versions(5)]);
    assert_eq!(world.version_status("p", "1.1.0"), Some(Retired));
    assert_eq!(world.version_status("p", "1.2.0"), Some(Failed));
    assert_eq!(
        world.next(&[register("p", "1.6.0")]),
        ["p version_evicted 1.1.0", "p version_evicted 1.2.0", "p version_registered 1.6.0"]
    );
    world.next(&[retire("p", "1.3.0"), max_versions(4)]);
    assert_eq!(world.try_next(&register("p", "1.7.0")), refused(Reject::LimitExceeded));
    assert_eq!(world.plugin("p").versions, 5);

    // Neither the previous version nor a Failed one that is registered again makes anything go.
    world.next(&[max_versions(5), deploy_slowly("p", "1.4.0"), promote("p")]);
    assert_eq!(world.next(&[register("p", "1.8.0")])[0], "p version_evicted 1.3.0");
    assert_eq!(world.try_next(&register("p", "1.9.0")), refused(Reject::LimitExceeded), "1.0.0 is the previous one");
    world.next(&[max_versions(3), deploy_slowly("p", "1.5.0"), roll_back("p")]);
    assert_eq!(world.next(&[register("p", "1.5.0")]), ["p version_registered 1.5.0"]);
}

// The breaker, schedules and due work.

#[test]
fn automatic_rollbacks_of_deployments_open_the_breaker() {
    // The terms and the command behind the deployment; what it is rolled back for; the reason of the breaker.
    let long = || custom(&[stage(1_000, 1_000)]);
    let gate = || custom(&[Stage { gate: Gate::Health, ..stage(1_000, 5) }]);
    let strict = Terms { error_threshold_bps: Bps::ZERO, ..EASY };
    let z = Terms { regression_z_centi: NonZeroU16::new(200), ..EASY };
    let late = Terms { max_blocks: NonZeroU32::new(1_001), ..EASY };
    type Row = (&'static str, Strategy, Terms, Vec<Command>, Height, Option<&'static str>);
    let rows: [Row; 7] = [
        ("error rate", long(), strict, vec![new(1, 1)], 3, Some("error_rate")),
        ("regression", long(), z, vec![old(2, 0), new(2, 2)], 3, Some("error_rate")),
        ("unhealthy", long(), EASY, vec![attest("p", "2.0.0", false)], 3, Some("invariant_violation")),
        ("unhealthy in the end", gate(), EASY, vec![], 10, Some("invariant_violation")),
        ("timeout", long(), late, vec![pause("p")], 1_100, Some("performance")),
        ("by command", long(), EASY, vec![roll_back("p")], 3, None),
        ("paused only", long(), Terms { auto_rollback: false, ..strict }, vec![new(1, 1)], 3, None),
    ];
    for (what, strategy, terms, commands, end, reason) in rows {
        let params = Params { max_due_per_block: 1_000, breaker_rollbacks: NonZeroU32::new(1), breaker_window: 100 };
        let mut world = World::with_params(params);
        world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
        world.next(&[deploy("p", "2.0.0", strategy, terms)]);
        if !commands.is_empty() {
            world.next(&commands);
        }
        if world.tip() < end {
            world.advance(end);
        }
        let told = world.lines_from(3);
        let tripped: Vec<_> = told.iter().filter_map(|line| line.split_once(" breaker_tripped ")).collect();
        assert_eq!(
            tripped.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(),
            Vec::from_iter(reason),
            "{what}: {told:?}"
        );
        assert_eq!(world.state.global().breaker.is_some(), reason.is_some(), "{what}");
    }
}

fn three(deployed: bool) -> World {
    let mut world = World::new();
    for plugin in ["a", "b", "c"] {
        world.next(&[register(plugin, "1.0.0"), register(plugin, "2.0.0")]);
        if deployed {
            world.next(&[deploy_slowly(plugin, "2.0.0")]);
        }
    }
    world
}

#[test]
fn a_draining_breaker_rolls_deployments_back_after_the_features() {
    let mut world = three(true);
    world.next(&[create("f"), canary("f", 5)]);
    world.next(&[set_params(Some(2), None, None), pause("b"), trip(0, true)]);
    let first = world.tip() + 1;
    assert!(world.deployment("a").is_some(), "a trip drains from the next block on");
    world.advance(first + 4);
    let gone = |height, plugin: &str| {
        format!("{height} {plugin} deployment_rolled_back 2.0.0 circuit_breaker 0/0 0/0 0 by itself")
    };
    let expected = [
        format!("{first} rolled_back"),
        gone(first, "a"),
        gone(first + 1, "b"),
        gone(first + 1, "c"),
        format!("{} breaker_drained", first + 1),
    ];
    assert_eq!(world.lines_from(first), expected);
    assert_eq!(world.version_status("b", "2.0.0"), Some(VersionStatus::Failed));
    // Draining is no rollback that counts.
    assert_eq!(world.state.global().rollbacks_in_window, 0);
}

#[test]
fn a_deployment_that_due_work_has_rolled_back_is_not_drained_again() {
    let mut world = three(true);
    let height = world.tip() + 2;
    world.next(&[schedule(height, vec![roll_back("b")]), trip(0, true)]);
    world.advance(height);
    let drained =
        |plugin| format!("{height} {plugin} deployment_rolled_back 2.0.0 circuit_breaker 0/0 0/0 0 by itself");
    let expected = [
        format!("{height} b deployment_rolled_back 2.0.0 manual 0/0 0/0 0 by command"),
        format!("{height} schedule_executed 1 0"),
        drained("a"),
        drained("c"),
        format!("{height} breaker_drained"),
    ];
    assert_eq!(world.lines_from(height), expected);
}

#[test]
fn a_breaker_that_due_work_opens_stops_it_and_drains_from_the_next_block_on() {
    let params = Params { max_due_per_block: 1_000, breaker_rollbacks: NonZeroU32::new(1), breaker_window: 9 };
    let mut world = World::with_params(params);
    for plugin in ["a", "b", "c"] {
        world.next(&[register(plugin, "1.0.0"), register(plugin, "2.0.0")]);
    }
    let brief =
        |plugin| deploy(plugin, "2.0.0", custom(&[stage(1, 3)]), Terms { max_blocks: NonZeroU32::new(4), ..EASY });
    world.all_at(10, &[brief("a"), brief("b"), brief("c"), auto_load(true)]);
    world.all_at(11, &[pause("a"), pause("b"), pause("c")]);
    world.all_at(13, &[register("d", "1.0.0")]);
    world.advance(30);
    let drained = |plugin| format!("15 {plugin} deployment_rolled_back 2.0.0 circuit_breaker 0/0 0/0 0 by itself");
    let expected = [
        "14 a deployment_rolled_back 2.0.0 timeout 0/0 0/0 4 by itself".to_string(),
        "14 breaker_tripped performance".into(),
        drained("b"),
        drained("c"),
        "15 breaker_drained".into(),
    ];
    assert_eq!(world.lines_from(14), expected);
    let height = world.tip() + 1;
    world.run(height, ADMIN, &[Command::ResetBreaker]);
    world.advance(height + 1);
    assert_eq!(world.load_state("d"), LoadState::Loading, "it has waited for the breaker");
}

#[test]
fn an_open_breaker_parks_looks_and_loads() {
    let mut world = three(false);
    let lenient = Terms { max_blocks: NonZeroU32::new(4), ..EASY };
    let strict = Terms { error_threshold_bps: Bps::ZERO, ..EASY };
    let brief = || custom(&[stage(1, 3)]);
    world.next(&[deploy("a", "2.0.0", brief(), lenient), deploy("b", "2.0.0", brief(), EASY)]);
    world.next(&[deploy("c", "2.0.0", brief(), strict), auto_load(true), register("d", "1.0.0"), trip(20, false)]);
    let start = world.tip();
    world.advance(15);
    assert!(world.lines_from(start + 1).is_empty());
    // What lowers exposure goes on.
    let told = ["c deployment_rolled_back 2.0.0 error_rate 1/1 0/0 0 by itself"];
    assert_eq!(world.next(&[tell_version("c", "2.0.0", 1, 1)]), told);
    world.advance(30);
    let expected = [
        "breaker_closed",
        "a deployment_rolled_back 2.0.0 timeout 0/0 0/0 4 by itself",
        "b promoted 1.0.0 2.0.0",
        "d load_planned 1.0.0 loading",
    ];
    assert_eq!(world.lines_from(17), expected.map(|line| format!("20 {line}")));
}

#[test]
fn due_work_has_one_budget_in_the_order_of_its_kinds() {
    let mut world = three(false);
    world.next(&[create_with("f", steps_every(1)), auto_load(true)]);
    world.next(&[canary("f", 5)]);
    let at = world.tip() + 3;
    let plan = || custom(&[stage(1, 2)]);
    let load_c = schedule(at, vec![load("c")]);
    world.next(&[deploy("b", "2.0.0", plan(), EASY), deploy("a", "2.0.0", plan(), EASY), load_c]);
    world.next(&[set_params(Some(1), None, None), rollout("f", 100), register("d", "1.0.0"), register("e", "1.0.0")]);
    assert_eq!(world.tip() + 1, at);
    world.advance(at + 5);
    let expected = [
        // Kind 0, then kind 1 (whose step comes again in each block), and the others only once it has ended.
        (at, "c load_planned 1.0.0 loading"),
        (at, "schedule_executed 1 0"),
        (at + 1, "stepped"),
        (at + 2, "stepped"),
        (at + 3, "stepped"),
        (at + 4, "stepped"),
        (at + 5, "stepped"),
    ];
    assert_eq!(world.lines_from(at), expected.map(|(height, line)| format!("{height} {line}")));
    world.next(&[disable("f")]);
    let after = world.tip();
    world.advance(after + 4);
    let expected = [
        (after + 1, "a promoted 1.0.0 2.0.0"),
        (after + 2, "b promoted 1.0.0 2.0.0"),
        (after + 3, "d load_planned 1.0.0 loading"),
        (after + 4, "e load_planned 1.0.0 loading"),
    ];
    let told: Vec<String> = world.lines_from(after + 1);
    assert_eq!(told, expected.map(|(height, line)| format!("{height} {line}")));
}

#[test]
fn plugin_commands_by_schedule() {
    use CommandKind::*;
    let nine = [Deploy, Pause, Resume, Promote, RollbackDeployment, Revert, RetireVersion, Load, Unload];
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), register("p", "3.0.0")]);
    let commands = [
        register("q", "1.0.0"),
        deploy_slowly("p", "2.0.0"),
        pause("p"),
        resume("p"),
        promote("p"),
        roll_back("p"),
        revert("p"),
        retire("p", "3.0.0"),
        set_rule("p", None),
        set_host("1.0.0"),
        max_versions(3),
        load("p"),
        unload("p"),
        tell_version("p", "1.0.0", 1, 0),
        attest("p", "1.0.0", true),
        loaded("p", "1.0.0", true),
        unloaded("p", "1.0.0", true),
    ];
    for command in &commands {
        let may = nine.contains(&command.kind());
        let expected = if may { Receipt::Ok } else { refused(Reject::InvalidParameter) };
        let payload = raw_tx(ADMIN, &[schedule_bytes(99, std::slice::from_ref(command))]);
        assert_eq!(world.probe(&payload), expected, "{command:?}");
    }
    // Their own rules are checked at once, everything else when they run.
    let nest = |bytes: &[u8]| world.probe(&raw_tx(OPERATOR, &[nested(99, bytes)]));
    assert_eq!(nest(&raw_deploy("p", "x", ab(1, 1), EASY)), refused(Reject::InvalidVersion));
    assert_eq!(nest(&raw_deploy("p", "9.0.0", ab(1, 0), EASY)), refused(Reject::InvalidPlan));
    assert_eq!(nest(&raw_deploy("none", "9.0.0", ab(1, 1), EASY)), Receipt::Ok);

    let all = |commands: &[Command]| schedule(5, commands.to_vec());
    let deployed = [deploy_slowly("p", "2.0.0"), pause("p"), resume("p"), promote("p")];
    let undone = [deploy_slowly("p", "3.0.0"), resume("p")];
    world.run(4, OPERATOR, &[all(&deployed), all(&undone), all(&[revert("p"), load("p")])]);
    world.advance(5);
    let not_waiting = Reject::NotWaiting.code();
    let expected = [
        "p deployed 2.0.0 custom".to_string(),
        "p paused manual 0/0 0/0 0".into(),
        "p resumed".into(),
        "p promoted 1.0.0 2.0.0".into(),
        "schedule_executed 1 0".into(),
        format!("schedule_executed 2 {not_waiting}"),
        "p reverted 2.0.0 1.0.0".into(),
        "p load_planned 1.0.0 loading".into(),
        "schedule_executed 3 0".into(),
    ];
    assert_eq!(world.lines_from(5), expected.map(|line| format!("5 {line}")));
    assert_eq!(world.plugin("p").deployments, 1, "what failed counts nothing");
    // The history of one height counts on through transactions, and through what was undone.
    let entries: Vec<_> = world.plugin_history("p").iter().filter(|entry| entry.0 == 5).map(|entry| entry.1).collect();
    use PluginAction::{Deployed, Paused, Promoted, Resumed, Reverted};
    assert_eq!(entries, [Deployed, Paused, Resumed, Promoted, Reverted]);
}

/// Salt and record of a deployment, and what a plan without a deadline leaves due.
#[test]
fn a_deployment_keeps_what_it_started_with() {
    let strategy = Strategy::with_defaults(StrategyKind::Canary);
    let terms = defaults(&strategy);
    let mut world = World::new();
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
    world.all_at(10, &[deploy("p", "2.0.0", strategy, terms), old(3, 1), new(2, 1)]);
    let deployment = world.deployment("p").unwrap();
    assert_eq!((deployment.salt, deployment.start, deployment.due), (10 << 32 | 1, 10, NonZeroU32::new(70)));
    assert_eq!((deployment.canary.requests, deployment.canary.errors), (2, 1));
    assert_eq!((deployment.production.requests, deployment.production.errors), (3, 1));
    assert_eq!((deployment.stage_requests, deployment.stage_errors), (2, 1));
    assert_eq!((deployment.plan.terms(), deployment.plan.on_complete()), (&terms, OnComplete::Promote));
    // A stage that ends beyond all heights is never due, its deadline is.
    let far = |max_blocks| deploy("p", "2.0.0", custom(&[stage(1, u32::MAX - 1)]), Terms { max_blocks, ..EASY });
    for (max_blocks, due) in [(0, 0), (u32::MAX, 0)] {
        let mut world = World::new();
        world.next(&[register("p", "1.0.0"), register("p", "2.0.0")]);
        world.all_at(10, &[far(NonZeroU32::new(max_blocks))]);
        assert_eq!(world.deployment("p").unwrap().due, NonZeroU32::new(due));
        world.advance(u32::MAX - 5);
        assert_eq!(world.hold("p"), Some(Hold::Running));
    }
    let event = world.events.iter().rev().find_map(|(at, event)| match event {
        Event::Deployed { strategy, .. } => Some((*at, *strategy)),
        _ => None,
    });
    assert_eq!(event, Some((10, StrategyKind::Canary)));
}

#[test]
fn a_due_pause_does_not_hide_a_deadline_that_has_passed() {
    let mut world = World::new();
    let plan = custom(&[stage(100, 5)]);
    let terms = Terms { max_blocks: NonZeroU32::new(10), min_requests: 0, ..plan.default_terms() };
    world.next(&[register("p", "1.0.0"), register("p", "2.0.0"), deploy("p", "2.0.0", plan, terms)]);
    let start = world.tip();
    // Parked behind an open breaker beyond its stage and its deadline.
    world.next(&[trip(start + 20, false), schedule(start + 20, vec![pause("p")])]);
    world.advance(start + 21);
    let lines = world.lines_from(start + 20);
    let at = start + 20;
    assert!(lines.contains(&format!("{at} p deployment_rolled_back 2.0.0 timeout 0/0 0/0 10 by itself")), "{lines:?}");
}

#[test]
fn a_lack_is_told_once() {
    let told = Held::default().with(Lack::Requests);
    assert_eq!(told.with(Lack::Requests), told);
    assert_eq!([Lack::Requests, Lack::SuccessRate].map(|lack| told.has_told(lack)), [true, false]);
    assert_eq!((told.is_empty(), Held::default().is_empty()), (false, true));
}
