//! Rule sets, sequences, the timelock, and the schedule.

use super::*;

fn sequenced(number: u64, valid_until: u32, signer: Address, commands: &[Command]) -> Transaction {
    Transaction { signer, sequence: Some(Sequence { number, valid_until }), commands: commands.to_vec() }
}

#[test]
fn a_sequence_is_used_once() {
    let mut model = plain();
    let rows = [
        (sequenced(0, 0, A, &[create("f")]), "bad_sequence"),
        (sequenced(5, 9, A, &[create("f")]), "expired"),
        (sequenced(5, 10, A, &[create("f")]), "ok"),
        (sequenced(5, 0, A, &[create("g")]), "bad_sequence"),
        (sequenced(4, 9, A, &[create("g")]), "bad_sequence"),
        (sequenced(6, 0, A, &[create("g"), create("g")]), "feature_already_exists"),
        (sequenced(6, 0, A, &[create("g")]), "bad_sequence"),
        (sequenced(9, 0, A, &[create("g")]), "ok"),
        (sequenced(1, 0, NOBODY, &[create("h")]), "unauthorized"),
        (sequenced(1, 0, O, &[create("h")]), "unauthorized"),
        (sequenced(1, 0, O, &[enable("g")]), "bad_sequence"),
        (sequenced(u64::MAX, 0, O, &[enable("g")]), "ok"),
        (sequenced(u64::MAX, 0, O, &[disable("g")]), "bad_sequence"),
        (Transaction::unsequenced(A, vec![create("i")]), "ok"),
    ];
    let outcome = run(&mut model, 10, &rows.clone().map(|(tx, _)| tx)).unwrap();
    let got: Vec<&str> = outcome.receipts.iter().map(|receipt| receipt.name()).collect();
    assert_eq!(got, rows.map(|(_, receipt)| receipt));
    assert_eq!(model.sequences, [(A, 9), (O, u64::MAX)].into());
}

#[test]
fn a_ledger_may_ask_for_sequences() {
    let mut model = ledger(Params { sequenced: true, ..Params::default() });
    let txs = [
        Transaction::unsequenced(NOBODY, vec![create("f")]),
        Transaction::unsequenced(A, vec![create("f")]),
        sequenced(1, 0, A, &[create("f"), schedule(12, &[enable("f")])]),
    ];
    let outcome = run(&mut model, 10, &txs).unwrap();
    let got: Vec<&str> = outcome.receipts.iter().map(|receipt| receipt.name()).collect();
    assert_eq!(got, ["unauthorized", "bad_sequence", "ok"]);
    assert_eq!(all(&mut model, 12, &[]), ["status_changed", "schedule_executed"]);
}

/// A ledger with a timelock of 3 blocks and overrides of `on` and `off`.
fn locked() -> Model {
    let mut model = plain();
    all(&mut model, 10, &[(A, create("on")), (A, create("off")), (A, create("f")), (A, register("p", "1.0.0", &[]))]);
    all(&mut model, 11, &[(O, set_override("on", true)), (O, set_override("off", false)), (O, canary("f"))]);
    all(&mut model, 12, &[(A, params([None, None, Some(3), None]))]);
    model
}

#[test]
fn what_raises_waits() {
    let model = locked();
    let grant = Command::GrantRole { address: NOBODY, role: REPORTER };
    let revoke = |role| Command::RevokeRole { address: A, role };
    let p = || b"p".to_vec();
    let raising = [
        (O, canary("f")),
        (O, rollout("f")),
        (O, Command::AdvanceRollout { name: b"f".to_vec() }),
        (O, enable("f")),
        (O, enable("unknown")),
        (A, Command::ConfigureFeature { name: b"f".to_vec(), description: None, changes: Changes::default() }),
        (O, set_override("f", true)),
        (O, clear_override("off")),
        (A, Command::ResetBreaker),
        (A, grant),
        (A, params(set_params())),
        (A, revoke(ADMIN)),
        (A, register("p", "2.0.0", &[])),
        (O, deploy("p", "1.0.0", 0, 5, 0, true)),
        (O, on_plugin(43, "p")),
        (O, on_plugin(44, "p")),
        (O, on_plugin(51, "p")),
        (A, Command::Plugin(PluginCommand::SetRule { plugin: p(), constraint: vec![] })),
        (A, Command::Plugin(PluginCommand::SetHostVersion { version: b"1.0.0".to_vec() })),
        (A, Command::Plugin(PluginCommand::SetRegistryParams { max_versions: None, auto_load: None })),
    ];
    for (signer, command) in raising {
        assert_eq!(answer(&model, 13, signer, &command), "timelock_required", "{command:?}");
        for (at, receipt) in [(0, "timelock_required"), (15, "timelock_required"), (16, "ok")] {
            assert_eq!(
                answer(&model, 13, signer, &schedule(at, &[disable("f"), command.clone()])),
                receipt_of(signer, receipt)
            );
        }
    }
    let neutral = [
        (O, disable("f"), "ok"),
        (G, rollback("f"), "ok"),
        (G, pause_rollout("f"), "invalid_transition"),
        (O, set_override("f", false), "ok"),
        (O, clear_override("on"), "ok"),
        (O, clear_override("f"), "override_not_found"),
        (O, clear_override("unknown"), "feature_not_found"),
        (A, create("g"), "ok"),
        (G, trip(0, false), "ok"),
        (A, revoke(OPERATOR), "role_not_found"),
        (O, on_plugin(42, "p"), "no_deployment"),
        (O, on_plugin(45, "p"), "no_deployment"),
        (O, on_plugin(46, "p"), "no_previous_version"),
        (O, unload("p", true), "not_loaded"),
        (A, Command::SetRules { rules: 2 }, "not_scheduled"),
        (O, Command::StartCanary { name: b"f".to_vec(), percent: 101 }, "invalid_percent"),
        (NOBODY, enable("f"), "unauthorized"),
    ];
    for (signer, command, receipt) in neutral {
        assert_eq!(answer(&model, 13, signer, &command), receipt, "{command:?}");
    }
    assert_eq!(answer(&model, 13, O, &schedule(14, &[disable("f"), clear_override("unknown")])), "ok");
}

/// Only an operator or an admin schedules at all.
fn receipt_of(signer: Address, receipt: &'static str) -> &'static str {
    if signer == A || signer == O { receipt } else { "unauthorized" }
}

#[test]
fn lowering_the_timelock_waits_for_the_old_one() {
    let mut model = locked();
    all(&mut model, 13, &[(A, schedule(16, &[params([None, None, Some(0), None])]))]);
    assert_eq!(answer(&model, 15, O, &enable("f")), "timelock_required");
    assert_eq!(answer(&model, 16, O, &enable("f")), "ok");
}

#[test]
fn a_clear_that_came_to_raise_runs() {
    let mut model = locked();
    all(&mut model, 13, &[(O, schedule(15, &[clear_override("on")])), (O, set_override("on", false))]);
    assert_eq!(all(&mut model, 15, &[]), ["override_cleared", "schedule_executed"]);
}

#[test]
fn a_guardian_cancels_what_raises() {
    for timelock in [0, 3] {
        let mut model = locked();
        model.params.timelock = timelock;
        let entries = [
            schedule(30, &[enable("f")]),
            schedule(30, &[disable("f")]),
            schedule(30, &[disable("f"), set_override("f", true)]),
            schedule(30, &[clear_override("on")]),
            schedule(30, &[clear_override("off")]),
            schedule(30, &[clear_override("unknown")]),
            schedule(30, &[create("x"), trip(0, true), on_plugin(46, "p")]),
        ];
        all(&mut model, 13, &entries.map(|entry| (O, entry)));
        let cancels = |signer, id| answer(&model, 14, signer, &Command::CancelSchedule { at: 30, id });
        let by_guardian = ["ok", "unauthorized", "ok", "unauthorized", "ok", "unauthorized", "unauthorized"];
        for (id, receipt) in (1..).zip(by_guardian) {
            assert_eq!(cancels(G, id), receipt, "{id}");
            assert_eq!((cancels(O, id), cancels(A, id), cancels(R, id)), ("ok", "ok", "unauthorized"));
        }
        assert_eq!(cancels(G, 8), "schedule_not_found");
    }
}

#[test]
fn rules_change_after_a_notice() {
    let model = plain();
    let change = |at, rules| schedule(at, &[Command::SetRules { rules }]);
    let rows = [
        (A, Command::SetRules { rules: 2 }, "not_scheduled"),
        (O, Command::SetRules { rules: 2 }, "unauthorized"),
        (O, change(610, 2), "unauthorized"),
        (O, schedule(610, &[enable(""), Command::SetRules { rules: 2 }]), "unauthorized"),
        (A, schedule(610, &[enable(""), Command::SetRules { rules: 2 }]), "invalid_name"),
        (A, change(609, 2), "height_in_past"),
        (A, change(610, 2), "ok"),
        (A, change(610, 0), "ok"),
    ];
    for (signer, command, receipt) in rows {
        assert_eq!(answer(&model, 10, signer, &command), receipt, "{command:?}");
    }
}

#[test]
fn a_build_stops_before_rules_that_it_does_not_know() {
    let change = |rules| schedule(700, &[disable("f"), Command::SetRules { rules }]);
    let mut model = ledger(max_due(1));
    all(&mut model, 10, &[(A, create("f")), (A, schedule(700, &[enable("f")])), (A, change(1)), (A, change(3))]);
    model.advance(701).unwrap();
    assert_eq!(model.schedule.len(), 1);
    let before = model.clone();
    let unknown = Refused::UnknownRules { rules: 3, height: 702 };
    assert_eq!(run(&mut model, 702, &[]), Err(unknown));
    assert_eq!(model.advance(710), Err(unknown));
    assert_eq!(model, before);
    // Whoever has lost the role stops nobody, and a guardian may cancel in time.
    let mut revoked = before.clone();
    revoked.roles.insert(A, REPORTER);
    revoked.roles.insert(O, ADMIN);
    assert_eq!(all(&mut revoked, 702, &[]), ["schedule_executed"]);
    let mut model = ledger(max_due(1));
    all(&mut model, 10, &[(A, create("f")), (A, change(3))]);
    assert_eq!(all(&mut model, 11, &[(G, Command::CancelSchedule { at: 700, id: 1 })]), ["schedule_cancelled"]);
    all(&mut model, 800, &[]);
}

#[test]
fn the_schedule_has_a_limit_and_an_admin_some_room() {
    let mut model = plain();
    let fill = |model: &mut Model, h: u32, signer: Address, count: usize| {
        let txs = vec![Transaction::unsequenced(signer, vec![schedule(100, &[disable("f")]); 16]); count / 16];
        run(model, h, &txs).unwrap().receipts.iter().filter(|receipt| receipt.name() == "ok").count() * 16
    };
    assert_eq!(fill(&mut model, 10, O, 4_096), 4_032);
    assert_eq!(answer(&model, 11, O, &schedule(50, &[disable("f")])), "limit_exceeded");
    assert_eq!(fill(&mut model, 11, A, 96), 64);
    assert_eq!(model.schedule.len(), 4_096);
    assert_eq!(answer(&model, 12, A, &schedule(50, &[disable("f")])), "limit_exceeded");
}

#[test]
fn the_zero_address_holds_no_role() {
    let grant = Command::GrantRole { address: Address::ZERO, role: REPORTER };
    assert_eq!(answer(&plain(), 10, A, &grant), "invalid_parameter");
    assert_eq!(answer(&plain(), 10, A, &schedule(20, &[grant])), "invalid_parameter");
    let revoke = Command::RevokeRole { address: Address::ZERO, role: REPORTER };
    assert_eq!(answer(&plain(), 10, A, &revoke), "role_not_found");
}
