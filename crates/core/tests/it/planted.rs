//! The worlds see every rule that the model gets wrong on purpose.

use coalmine_core::{ARM_REQUESTS_MAX, Block, Params, RuleSet};
use coalmine_model::generate::{Mix, RandomWorld};
use coalmine_model::support::Lockstep;
use coalmine_model::{Planted, TEST_RULES};

use crate::common::plugins::*;
use crate::common::*;
use crate::model::{BLOCKS, RULES_WORLDS, WORLDS, agree, caught, check_seeds};

/// Each planted fault shows in some world of the mix that has its rule.
#[test]
fn worlds_show_every_planted_fault() {
    let mut unseen = Vec::new();
    for planted in Planted::ALL {
        let (mix, test) = match planted {
            Planted::RateAtThreshold
            | Planted::StepEarly
            | Planted::BreakerLate
            | Planted::RejectLeaves
            | Planted::GuardianStarts
            | Planted::RoundOfAnybody
            | Planted::RoundOfOne
            | Planted::ShortRoundGrows
            | Planted::SequenceTwice
            | Planted::ExpiredRuns
            | Planted::TimelockShort
            | Planted::GuardianCancelsAll
            | Planted::UndoRefunds
            | Planted::EmergencyPays
            | Planted::DrainLast
            | Planted::OpenBreakerStays
            | Planted::ResetKeepsCount
            | Planted::StepIgnoresPrerequisite
            | Planted::HeldStepStays
            | Planted::PauseLosesPercent
            | Planted::StaleReportCounts
            | Planted::HistoryWithoutFigures => (Mix::Features, "worlds_of_seeds"),
            Planted::StageEarly
            | Planted::DeadlineLate
            | Planted::LoadEarly
            | Planted::DeadlineWaits
            | Planted::DeadlineCounts
            | Planted::DeployOfForbidden => (Mix::Plugins, "worlds_of_plugins"),
            // They have tests of their own.
            Planted::UnknownRulesSkipped | Planted::RulesAtOnce | Planted::FullArmRefuses => continue,
        };
        let Err(told) = check_seeds(mix, Some(planted), 0..WORLDS, test) else {
            unseen.push(planted);
            continue;
        };
        let (found, again) = told.rsplit_once("repeat: COALMINE_MODEL_SEED=").unwrap();
        assert!(again.ends_with(&format!(" cargo test --release -p coalmine-core --test it model::{test}")), "{told}");
        println!("{planted:?}: seed {again}, shrunk to {} blocks", found.matches("\n  block ").count());
    }
    assert!(unseen.is_empty(), "no world shows {unseen:?}");
}

/// A build that knows the rules for tests sees that they are in force from the next block on, and no sooner; any other sees
/// that a model goes on where it stops.
#[test]
fn worlds_of_rules_show_their_planted_fault() {
    let is_known = RuleSet::from_number(TEST_RULES).is_some();
    let planted = if is_known { Planted::RulesAtOnce } else { Planted::UnknownRulesSkipped };
    let is_seen = |seed| caught(|| agree(&RandomWorld::of_rules(seed, BLOCKS), Some(planted))).is_err();
    assert!((0..RULES_WORLDS).any(is_seen), "no world shows {planted:?}");
}

/// An arm that is as full as 65 536 reports make it, and the report that is too much: both halve it, and a model that takes no
/// more is seen.
#[test]
fn a_full_arm_is_halved_alike() {
    let fill = |planted: Option<Planted>| {
        let mut both = Lockstep::genesis(&coalmine_model::support::genesis(Params::default()), planted);
        let report = |errors: u32| tell_version("p", "2.0.0", u32::MAX, errors);
        let block = |height, payloads| Block::from_payloads(height, payloads).unwrap();
        both.feed(&block(1, vec![give(register("p", "1.0.0")), give(register("p", "2.0.0"))]));
        both.feed(&block(2, vec![give(deploy_slowly("p", "2.0.0"))]));
        both.feed(&block(3, vec![tx(REPORTER, &vec![report(1); 16]); 4_096]));
        let counts = |both: &Lockstep| both.state.deployment(&name("p")).unwrap().canary;
        let full = counts(&both);
        assert!(full.requests + u64::from(u32::MAX) > ARM_REQUESTS_MAX);
        both.feed(&block(4, vec![give(report(7))]));
        assert_eq!(counts(&both).errors, full.errors / 2 + 7);
    };
    fill(None);
    assert!(caught(|| fill(Some(Planted::FullArmRefuses))).is_err(), "a full arm is not seen");
}
