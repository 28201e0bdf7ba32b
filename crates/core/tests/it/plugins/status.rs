//! What every command does from every status, hold and gate.

use super::*;

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
        // It binds what is being deployed.
        (set_rule("p", Some("^9")), [Stays, Stays, No(Reject::RuleViolated), Stays, Stays, Stays]),
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
    let terms = Guardrails {
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
                world.next(&[register_on("app", "1.0.0", &[("p", "^1")]), load("app")]);
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
    use Reject::{CircuitOpen, DependencyBroken, DeploymentInProgress, InvalidTransition, NoDeployment, NotWaiting};
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
        (Hold::Dependents, At::Time, [paused, runs, No(DependencyBroken), gone], by_itself),
        (Hold::Dependents, At::Manual, [paused, runs, No(DependencyBroken), gone], by_itself),
        (Hold::Dependents, At::Open, [paused, runs, No(DependencyBroken), gone], by_itself),
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
