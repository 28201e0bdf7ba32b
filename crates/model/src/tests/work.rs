//! What commands pay, and what nobody can buy.

use super::*;
use crate::raw::FeedEntry;
use crate::work::BLOCK_WORK;

/// What a command pays in the next block.
#[track_caller]
fn check(model: &Model, signer: Address, command: &Command, price: u128, receipt: &str) {
    let paid_with = |left: u128| {
        let mut model = model.clone();
        model.work_left = left;
        let tx = Transaction::unsequenced(signer, vec![command.clone()]);
        let receipt = model.payload(10, &tx.to_bytes());
        (left - model.work_left, receipt.name())
    };
    assert_eq!(paid_with(BLOCK_WORK), (price, receipt), "{command:?}");
    assert_eq!(paid_with(price), (price, receipt), "{command:?}");
    if let Some(less) = price.checked_sub(1) {
        assert_eq!(paid_with(less), (0, "block_full"), "{command:?}");
    }
}

fn put(part: u8, environments: &[&str]) -> Command {
    let entry = |id: &&str| FeedEntry { id: (*id).into(), version: 9, body: Vec::new() };
    Command::FeedPut { part, lists: [environments.iter().map(entry).collect(), Vec::new()] }
}

fn set_host(version: &str) -> Command {
    Command::Plugin(PluginCommand::SetHostVersion { version: version.into() })
}

#[test]
fn prices_of_features_and_the_ledger() {
    let mut model = plain();
    model.execute(&Block::empty(10)).unwrap();
    let mut model = {
        all(&mut model, 11, &[(A, create("f"))]);
        model
    };
    check(&model, A, &create("g"), 16, "ok");
    check(&model, A, &create("f"), 16, "feature_already_exists");
    check(&model, A, &create(""), 1, "invalid_name");
    check(&model, NOBODY, &create("g"), 0, "unauthorized");
    check(&model, O, &canary("f"), 16, "ok");
    check(&model, O, &Command::StartCanary { name: b"f".to_vec(), percent: 101 }, 1, "invalid_percent");
    check(&model, O, &rollout("f"), 16, "feature_disabled");
    check(&model, O, &Command::AdvanceRollout { name: b"f".to_vec() }, 16, "feature_disabled");
    check(&model, O, &enable("f"), 16, "ok");
    check(&model, O, &set_override("f", false), 16, "ok");
    check(&model, O, &clear_override("f"), 1, "override_not_found");
    check(&model, R, &report("f", 1, 0), 1, "feature_disabled");
    check(&model, A, &params(set_params()), 1, "ok");
    check(&model, A, &Command::SetRules { rules: 2 }, 1, "not_scheduled");
    check(&model, A, &Command::ResetBreaker, 1, "invalid_transition");
    check(&model, O, &schedule(20, &[disable("f")]), 2, "ok");
    check(&model, O, &schedule(20, &vec![enable("f"); 16]), 17, "ok");
    check(&model, O, &schedule(20, &[enable("f"), enable("")]), 1, "invalid_name");
    check(&model, O, &schedule(20, &[report("f", 1, 0)]), 1, "invalid_parameter");
    check(&model, O, &schedule(1, &[disable("f")]), 2, "height_in_past");
    all(&mut model, 12, &[(O, enable("f"))]);
    check(&model, R, &report("f", 1, 0), 1, "ok");
}

#[test]
fn nobody_buys_the_block_in_front_of_an_emergency() {
    let mut model = plain();
    all(&mut model, 10, &[(A, create("f")), (O, canary("f")), (O, schedule(20, &[enable("f")]))]);
    let free = [
        (O, disable("f"), "ok"),
        (O, disable(""), "invalid_name"),
        (G, rollback("f"), "ok"),
        (G, rollback(""), "invalid_name"),
        (G, pause_rollout("f"), "invalid_transition"),
        (G, pause_rollout("-"), "invalid_name"),
        (G, on_plugin(45, "p"), "plugin_not_found"),
        (O, on_plugin(42, "p"), "plugin_not_found"),
        (O, on_plugin(42, ""), "invalid_name"),
        (G, trip(0, true), "ok"),
        (A, Command::RevokeRole { address: O, role: OPERATOR }, "ok"),
        (O, Command::CancelSchedule { at: 20, id: 1 }, "ok"),
        (G, Command::CancelSchedule { at: 20, id: 1 }, "ok"),
        (NOBODY, disable("f"), "unauthorized"),
    ];
    for (signer, command, receipt) in free {
        check(&model, signer, &command, 0, receipt);
    }
}

#[test]
fn prices_of_plugins() {
    let mut model = plain();
    let registered = [
        (A, register("lib", "1.0.0", &[])),
        (A, register("lib", "2.0.0", &[])),
        (A, register("a", "1.0.0", &["lib"])),
        (A, register("b", "1.0.0", &["lib"])),
        (O, on_plugin(51, "a")),
        (O, on_plugin(51, "b")),
    ];
    all(&mut model, 10, &registered);
    check(&model, A, &register("lib", "3.0.0", &[]), 18, "ok");
    check(&model, A, &register("new", "3.0.0", &["lib"]), 16, "ok");
    check(&model, A, &register("lib", "3", &[]), 1, "invalid_version");
    check(&model, O, &deploy("lib", "2.0.0", 0, 5, 0, true), 18, "ok");
    check(&model, O, &deploy("lib", "2.0.0", 0, 5, 5, true), 1, "invalid_plan");
    check(&model, O, &on_plugin(44, "lib"), 18, "no_deployment");
    check(&model, O, &on_plugin(43, "lib"), 18, "no_deployment");
    check(&model, O, &on_plugin(46, "lib"), 18, "no_previous_version");
    check(&model, O, &on_plugin(46, "unknown"), 16, "plugin_not_found");
    check(&model, O, &on_plugin(51, "unknown"), 64, "plugin_not_found");
    check(&model, O, &unload("lib", false), 1, "not_loaded");
    check(&model, O, &unload("lib", true), 64, "not_loaded");
    check(&model, A, &set_host("1.0.0"), 1_024, "ok");
    check(&model, A, &set_host("1"), 1, "invalid_version");
    check(
        &model,
        A,
        &Command::Plugin(PluginCommand::SetRule { plugin: b"a".to_vec(), constraint: vec![] }),
        1_024,
        "ok",
    );
    let retire = PluginCommand::RetireVersion { plugin: b"lib".to_vec(), version: b"2.0.0".to_vec() };
    check(&model, O, &Command::Plugin(retire), 16, "ok");
    check(&model, R, &attest(55, "lib", true), 3, "ok");
    check(&model, R, &attest(55, "lib", false), 3, "ok");
    check(&model, R, &attest(56, "lib", true), 3, "not_loaded");
    check(&model, R, &attest(56, "lib", false), 1_024, "not_loaded");
    check(&model, R, &attest(54, "lib", false), 1, "no_deployment");
    check(&model, R, &report_version("lib", "1.0.0", 1, 0), 1, "ok");
    let registry = PluginCommand::SetRegistryParams { max_versions: None, auto_load: None };
    check(&model, A, &Command::Plugin(registry), 1, "ok");
}

#[test]
fn prices_of_the_feed() {
    let mut model = plain();
    all(&mut model, 10, &[(F, put(0, &["a", "b", "c"]))]);
    let delete = |id: &str| Command::FeedDelete { kind: 1, id: id.into(), version: 1 };
    all(&mut model, 11, &[(F, delete("unborn"))]);
    check(&model, F, &put(0, &["a"]), 1 + 1 + 4, "ok");
    check(&model, F, &put(1, &["a", "b"]), 1 + 2, "ok");
    check(&model, F, &put(2, &["a"]), 1 + 1, "feed_put_not_open");
    check(&model, F, &put(3, &[]), 1 + 4, "feed_put_not_open");
    check(&model, F, &put(0, &["a b"]), 1, "invalid_feed_id");
    all(&mut model, 12, &[(F, put(1, &["a", "b"]))]);
    check(&model, F, &put(1, &["c"]), 1 + 1 + 2, "ok");
    check(&model, F, &put(2, &["c"]), 1 + 1, "ok");
    check(&model, F, &put(3, &["c"]), 1 + 1 + 4, "ok");
    check(&model, F, &put(0, &["c"]), 1 + 1 + 4 + 2, "ok");
    check(&model, F, &delete("x"), 1, "ok");
    check(&model, A, &Command::FeedForget { kind: 0, ids: vec![b"a".to_vec(), b"x".to_vec()] }, 3, "ok");
}

#[test]
fn what_is_undone_stays_paid() {
    let mut model = plain();
    model.work_left = 100;
    let tx = Transaction::unsequenced(A, vec![create("f"), create("f"), create("g")]);
    assert_eq!(model.payload(10, &tx.to_bytes()).name(), "feature_already_exists");
    assert_eq!((model.work_left, model.features.len()), (100 - 32, 0));
    let malformed = [&A.0[..], &[1, 0]].concat();
    assert_eq!(model.payload(10, &malformed).name(), "malformed");
    let sequence = Some(Sequence { number: 0, valid_until: 0 });
    let stale = Transaction { signer: A, sequence, commands: vec![create("f")] };
    assert_eq!(model.payload(10, &stale.to_bytes()).name(), "bad_sequence");
    assert_eq!(model.work_left, 68);
}

/// An entry that finds no work left stays first in its kind; those behind it have their turns.
#[test]
fn a_scheduled_entry_waits_for_work() {
    let mut model = plain();
    all(&mut model, 10, &[(A, create("f"))]);
    let filler = schedule(20, &vec![set_host("1.0.0"); 16]);
    all(&mut model, 11, &vec![(A, filler); 65]);
    all(&mut model, 12, &[(O, schedule(20, &[disable("f")])), (O, schedule(20, &[enable("f")]))]);
    let (receipts, events) = at(&mut model, 20, &[(O, enable("f")), (O, disable("f")), (NOBODY, disable("f"))]);
    assert_eq!(receipts, ["block_full", "invalid_transition", "unauthorized"]);
    // 64 fillers take all; the 65th and the enable stay, and the disable of what is disabled fails for its own reason.
    assert_eq!(events, vec!["schedule_executed"; 65]);
    assert_eq!(model.schedule.keys().copied().collect::<Vec<_>>(), [(20, 65), (20, 67)]);
    assert_eq!(all(&mut model, 21, &[]), ["schedule_executed", "status_changed", "schedule_executed"]);
}
