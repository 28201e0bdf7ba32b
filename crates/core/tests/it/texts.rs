//! How events, answers and rejects read, and what an event is about.

use std::num::NonZeroU32;

use coalmine_core::{
    Bps, BreakerClosedBy, Cause, Event, EventCode, Evidence, FeedId, FeedKind, Hold, LoadState, Name, Percent,
    PluginReason, Pool, PoolKind, Reason, Reject, Report, Role, RollbackRule, Shortfall, Status, StrategyKind,
    Threshold, Valid, Verdict, Version, VersionReport, Why,
};

use crate::common::*;

/// What an event is about.
enum About {
    Feature,
    Plugin,
    Other,
}

#[test]
fn an_event_is_one_line_and_says_what_it_is_about() {
    use About::{Feature, Other, Plugin};
    let (feature, plugin, user) = (name("f"), name("p"), USER);
    let version: Version = "1.0.0-rc.1+b".parse().unwrap();
    let (from, to): (Version, Version) = ("1.0.0".parse().unwrap(), "2.0.0".parse().unwrap());
    let percent = |percent| Percent::new(percent).unwrap();
    let id = |id: &str| FeedId::new(id.as_bytes()).unwrap();
    let evidence = |threshold| Evidence {
        requests: 1_000,
        errors: 51,
        production_requests: 2_000,
        production_errors: 3,
        threshold,
    };
    let figures = "requests=1000 errors=51 production_requests=2000 production_errors=3";
    let rows: Vec<(Event, About, String)> = vec![
        (Event::FeatureCreated { name: feature }, Feature, "feature_created name=f".into()),
        (Event::FeatureConfigured { name: feature }, Feature, "feature_configured name=f".into()),
        (
            Event::StatusChanged {
                name: feature,
                from: Status::Disabled,
                to: Status::Canary,
                percent: percent(5),
                cause: Cause::CanaryStarted,
                actor: OPERATOR,
            },
            Feature,
            format!("status_changed name=f from=disabled to=canary percent=5 cause=canary_started actor={OPERATOR}"),
        ),
        (
            Event::Stepped { name: feature, from_percent: percent(5), to_percent: percent(15) },
            Feature,
            "stepped name=f from_percent=5 to_percent=15".into(),
        ),
        (
            Event::StepHeld { name: feature, operations: 9, needed: 10 },
            Feature,
            "step_held name=f operations=9 needed=10".into(),
        ),
        (
            Event::RolledBack {
                name: feature,
                rule: RollbackRule::ErrorRate,
                reason: Reason::ErrorRate,
                errors: 2,
                successes: 98,
                value: 200,
                threshold: 100,
                actor: ADMIN,
            },
            Feature,
            format!(
                "rolled_back name=f rule=error_rate reason=error_rate errors=2 successes=98 value=200 threshold=100 \
                 actor={ADMIN}"
            ),
        ),
        (
            Event::OverrideSet { name: feature, user, enabled: true },
            Feature,
            format!("override_set name=f user={user} enabled=true"),
        ),
        (Event::OverrideCleared { name: feature, user }, Feature, format!("override_cleared name=f user={user}")),
        (
            Event::BreakerTripped {
                reason: Reason::Manual,
                until: NonZeroU32::new(70),
                draining: false,
                actor: GUARDIAN,
            },
            Other,
            format!("breaker_tripped reason=manual until=70 draining=false actor={GUARDIAN}"),
        ),
        (
            Event::BreakerTripped { reason: Reason::Manual, until: None, draining: true, actor: GUARDIAN },
            Other,
            format!("breaker_tripped reason=manual until=0 draining=true actor={GUARDIAN}"),
        ),
        (Event::BreakerClosed { by: BreakerClosedBy::Expiry }, Other, "breaker_closed by=expiry".into()),
        (Event::BreakerDrained, Other, "breaker_drained".into()),
        (Event::Scheduled { id: 7, at: 100 }, Other, "scheduled id=7 at=100".into()),
        (Event::ScheduleCancelled { id: 7 }, Other, "schedule_cancelled id=7".into()),
        (
            Event::ScheduleExecuted { id: 7, code: 0, index: 0 },
            Other,
            "schedule_executed id=7 result=ok index=0".into(),
        ),
        (
            Event::ScheduleExecuted { id: 7, code: 18, index: 1 },
            Other,
            "schedule_executed id=7 result=not_due index=1".into(),
        ),
        (
            Event::RoleGranted { address: user, role: Role::Guardian },
            Other,
            format!("role_granted address={user} role=guardian"),
        ),
        (
            Event::RoleRevoked { address: user, role: Role::Guardian },
            Other,
            format!("role_revoked address={user} role=guardian"),
        ),
        (Event::ParamsSet, Other, "params_set".into()),
        (Event::RulesSet { from: 1, to: 2 }, Other, "rules_set from=1 to=2".into()),
        (
            Event::RoundClosed { pool: Pool::of_feature(feature), reporters: 3, acted: true },
            Feature,
            "round_closed kind=report subject=f version= reporters=3 acted=true".into(),
        ),
        (
            Event::RoundShort { pool: pool_of_version(PoolKind::VersionReport, "p", "1.0.0"), reporters: 2, quorum: 3 },
            Plugin,
            "round_short kind=report_version subject=p version=1.0.0 reporters=2 quorum=3".into(),
        ),
        (
            Event::StepBlocked { name: feature, prerequisite: plugin },
            Feature,
            "step_blocked name=f prerequisite=p".into(),
        ),
        (
            Event::VersionRegistered { plugin, version: version.clone() },
            Plugin,
            "version_registered plugin=p version=1.0.0-rc.1+b".into(),
        ),
        (
            Event::VersionEvicted { plugin, version: from.clone() },
            Plugin,
            "version_evicted plugin=p version=1.0.0".into(),
        ),
        (
            Event::Deployed { plugin, version: to.clone(), strategy: StrategyKind::BlueGreen },
            Plugin,
            "deployed plugin=p version=2.0.0 strategy=blue_green".into(),
        ),
        (
            Event::Staged { plugin, stage: 1, share: Bps::new(1_000).unwrap() },
            Plugin,
            "staged plugin=p stage=1 share_bps=1000".into(),
        ),
        (
            Event::StageHeld { plugin, reason: Shortfall::Requests, requests: 9, errors: 1 },
            Plugin,
            "stage_held plugin=p reason=requests requests=9 errors=1".into(),
        ),
        (Event::Waiting { plugin, hold: Hold::ManualGate }, Plugin, "waiting plugin=p hold=manual_gate".into()),
        (
            Event::Paused {
                plugin,
                reason: PluginReason::Dependents,
                evidence: evidence(Threshold::Reject(Reject::HostTooOld)),
            },
            Plugin,
            format!("paused plugin=p reason=dependents {figures} threshold=54"),
        ),
        (Event::Resumed { plugin }, Plugin, "resumed plugin=p".into()),
        (
            Event::Promoted { plugin, from: from.clone(), to: to.clone() },
            Plugin,
            "promoted plugin=p from=1.0.0 to=2.0.0".into(),
        ),
        (
            Event::DeploymentRolledBack {
                plugin,
                version: to.clone(),
                reason: PluginReason::Timeout,
                evidence: evidence(Threshold::Blocks(60)),
                actor: ADMIN,
            },
            Plugin,
            format!(
                "deployment_rolled_back plugin=p version=2.0.0 reason=timeout {figures} threshold=60 actor={ADMIN}"
            ),
        ),
        (
            Event::Reverted { plugin, from: to.clone(), to: from },
            Plugin,
            "reverted plugin=p from=2.0.0 to=1.0.0".into(),
        ),
        (
            Event::Concluded {
                plugin,
                version: to.clone(),
                winner: PluginReason::Canary,
                evidence: evidence(Threshold::Z(196)),
            },
            Plugin,
            format!("concluded plugin=p version=2.0.0 winner=canary {figures} threshold=196"),
        ),
        (
            Event::VersionRetired { plugin, version: to.clone() },
            Plugin,
            "version_retired plugin=p version=2.0.0".into(),
        ),
        (
            Event::HealthAttested { plugin, version: to.clone(), healthy: false },
            Plugin,
            "health_attested plugin=p version=2.0.0 healthy=false".into(),
        ),
        (
            Event::LoadPlanned { plugin, version: to.clone(), state: LoadState::Pending },
            Plugin,
            "load_planned plugin=p version=2.0.0 load_state=pending".into(),
        ),
        (Event::Loaded { plugin, version: to.clone() }, Plugin, "loaded plugin=p version=2.0.0".into()),
        (
            Event::LoadFailed { plugin, version: to.clone(), code: 0 },
            Plugin,
            "load_failed plugin=p version=2.0.0 why=load_error".into(),
        ),
        (
            Event::LoadFailed { plugin, version: to.clone(), code: 50 },
            Plugin,
            "load_failed plugin=p version=2.0.0 why=dependency_broken".into(),
        ),
        (
            Event::LoadDisputed { plugin, version: to.clone(), ok: true },
            Plugin,
            "load_disputed plugin=p version=2.0.0 ok=true".into(),
        ),
        (Event::Unloaded { plugin, version: to }, Plugin, "unloaded plugin=p version=2.0.0".into()),
        (
            Event::FeedInsert { kind: FeedKind::Environment, id: id("e-1"), version: 1 },
            Other,
            "feed_insert kind=environment id=e-1 version=1".into(),
        ),
        // An id that could be taken for more than one field stands in quotes.
        (
            Event::FeedUpdated { kind: FeedKind::Filter, id: id(r#"a=b"\"#), version: 2 },
            Other,
            r#"feed_updated kind=filter id="a=b\"\\" version=2"#.into(),
        ),
        (
            Event::FeedDelete { kind: FeedKind::Filter, id: id("a,b"), version: 3 },
            Other,
            r#"feed_delete kind=filter id="a,b" version=3"#.into(),
        ),
        (Event::FeedReceivedAll, Other, "feed_received_all".into()),
    ];
    for (event, about, text) in &rows {
        let about: (Option<&Name>, Option<&Name>) = match about {
            Feature => (Some(&feature), None),
            Plugin => (None, Some(&plugin)),
            Other => (None, None),
        };
        assert_eq!((event.feature(), event.plugin()), about, "{text}");
        assert_eq!(event.to_string(), *text);
    }
    let missing = EventCode::ALL.iter().find(|code| !rows.iter().any(|(event, ..)| event.code() == **code));
    assert_eq!(missing, None, "every event has a row");
}

#[test]
fn an_answer_says_why() {
    let bps = |bps| Bps::new(bps).unwrap();
    for (on, why, text) in [
        (false, Why::Unknown, "off, decided by f: there is no such feature"),
        (false, Why::Status(Status::RolledBack), "off, decided by f: it is rolled_back"),
        (true, Why::Status(Status::Enabled), "on, decided by f: it is enabled"),
        (true, Why::Override, "on, decided by f: the user has an override"),
        (
            false,
            Why::Bucket { bucket: bps(500), share: bps(500) },
            "off, decided by f: bucket 500 against a share of 500",
        ),
    ] {
        assert_eq!(Verdict { on, decided_by: name("f"), why }.to_string(), text);
    }
}

/// A sentence of its own for each: what is wrong and, behind a semicolon or colon, what to do.
#[test]
fn a_reject_has_a_name_and_a_sentence() {
    let mut sentences: Vec<&str> = Reject::ALL.iter().map(|reject| reject.reason()).collect();
    for (reject, sentence) in Reject::ALL.iter().zip(&sentences) {
        assert_eq!(reject.to_string(), reject.name());
        assert!(sentence.contains([';', ':']), "{reject}: {sentence}");
        assert!(sentence.is_ascii() && sentence.len() > 40 && !sentence.ends_with('.'), "{reject}: {sentence}");
        assert!(sentence.starts_with(|first: char| first.is_ascii_lowercase()), "{reject}: {sentence}");
    }
    sentences.sort_unstable();
    assert!(sentences.windows(2).all(|pair| pair[0] != pair[1]), "two rejects read alike");
}

#[test]
fn a_report_of_nothing_is_the_default() {
    assert_eq!(Valid::new(Report::default()).map(|report| report.operations()), Ok(0));
    assert_eq!(Valid::new(VersionReport::default()).map(|report| report.requests), Ok(0));
}
