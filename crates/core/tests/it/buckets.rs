//! Buckets as a crowd sees them: every share gets its share, grows without losing anybody, and says
//! nothing about another feature.
//!
//! The short form runs with the other tests. The long form is 10^6 units and 100 features:
//!
//! `COALMINE_BUCKETS=long cargo test --release -p coalmine-core --test it buckets:: -- --nocapture`
//!
//! Everything is decided in integers. The bounds of the two forms are the same in sigma: 4 for the
//! size of a share, and 5 for a correlation, which is 0.005 for 10^6 units.

use std::sync::Arc;

use coalmine_core::{
    Address, Block, Bps, ChainId, Command, Description, FeatureChanges, Gate, Genesis, Hash, Manifest, Name,
    OnComplete, Percent, Policy, Receipt, Role, Stage, State, Strategy, Transaction, Valid, Version, bucket_first_byte,
    bucket_of_unit, bucket_sha256,
};
use coalmine_model::support::Random;

const PERCENTS: [u8; 6] = [0, 1, 10, 50, 99, 100];
const SIGMA_MAX: u128 = 4;
const CORRELATION_SIGMA_MAX: u128 = 5;
const ADMIN: Address = Address([0x11; 20]);

/// How many units, and how many features or deployments.
#[derive(Clone, Copy)]
struct Size {
    units: u64,
    subjects: usize,
}

const SHORT: Size = Size { units: 100_000, subjects: 10 };
const LONG: Size = Size { units: 1_000_000, subjects: 100 };

fn size() -> Size {
    match std::env::var("COALMINE_BUCKETS").as_deref() {
        Ok("long") => LONG,
        Ok(other) => panic!("COALMINE_BUCKETS is {other:?}; the only value it knows is \"long\""),
        Err(_) => SHORT,
    }
}

fn chain() -> ChainId {
    ChainId::new(b"buckets").unwrap()
}

/// Two subjects in a row share a name and differ in the salt.
fn subject(index: usize) -> (Name, u64) {
    (format!("subject-{}", index / 2).parse().unwrap(), index as u64 % 2)
}

/// The address of a unit: mixed, so that the first byte alone has a fair chance, and never one twice.
fn address(unit: u64) -> Address {
    let mut address = Address::ZERO;
    address.0[..8].copy_from_slice(&Random::at(unit).to_be_bytes());
    address.0[12..].copy_from_slice(&unit.to_be_bytes());
    address
}

/// Who is in: one bit for each unit.
struct Members(Vec<u64>);

impl Members {
    fn count(&self) -> u128 {
        self.0.iter().map(|word| u128::from(word.count_ones())).sum()
    }

    fn in_both(&self, other: &Self) -> u128 {
        self.0.iter().zip(&other.0).map(|(a, b)| u128::from((a & b).count_ones())).sum()
    }

    fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }
}

/// Who is in at each of the percents.
type Crowd = [Members; PERCENTS.len()];

fn crowd(units: u64, bucket: impl Fn(u64) -> Bps) -> Crowd {
    let words = units.div_ceil(64) as usize;
    let mut crowd = PERCENTS.map(|_| Members(vec![0; words]));
    for unit in 0..units {
        let bucket = bucket(unit);
        for (percent, members) in PERCENTS.iter().zip(&mut crowd) {
            let is_in = bucket < Percent::new(*percent).unwrap().bps();
            members.0[(unit / 64) as usize] |= u64::from(is_in) << (unit % 64);
        }
    }
    crowd
}

/// What is wrong with the buckets of these subjects; prints the worst figures.
fn faults(what: &str, Size { units, subjects }: Size, bucket: impl Fn(usize, u64) -> Bps) -> Vec<String> {
    let crowds: Vec<Crowd> = (0..subjects).map(|index| crowd(units, |unit| bucket(index, unit))).collect();
    faults_of(what, units, &crowds)
}

fn faults_of(what: &str, units: u64, crowds: &[Crowd]) -> Vec<String> {
    let n = u128::from(units);
    let mut faults = Vec::new();
    for (step, percent) in PERCENTS.into_iter().enumerate() {
        let k = u128::from(percent);
        let (mut sigma, mut correlation) = (0.0_f64, 0.0_f64);
        for (index, crowd) in crowds.iter().enumerate() {
            // |count - n·p| <= 4·sqrt(n·p·(1 - p)), squared and times 100^2. At 0 and 100 % it is exact.
            let members = &crowd[step];
            let off = (100 * members.count()).abs_diff(n * k);
            let variance = n * k * (100 - k);
            if off.pow(2) > SIGMA_MAX.pow(2) * variance {
                faults.push(format!("share: {percent} % of subject {index} are {} of {units}", members.count()));
            }
            sigma = sigma.max(off as f64 / (variance.max(1) as f64).sqrt());
            if step > 0 && !crowd[step - 1].is_within(members) {
                faults.push(format!("monotone: subject {index} loses somebody on the way to {percent} %"));
            }
            for (other_index, other) in crowds[..index].iter().enumerate() {
                // |r| < 5/sqrt(n), with r = (n·both - a·b) / sqrt(a·(n - a)·b·(n - b)), squared.
                let (a, b) = (members.count(), other[step].count());
                let off = (n * members.in_both(&other[step])).abs_diff(a * b);
                let spread = a * (n - a) * b * (n - b);
                if spread > 0 && off.pow(2) * n >= CORRELATION_SIGMA_MAX.pow(2) * spread {
                    faults.push(format!("correlation: {percent} % of subjects {other_index} and {index}"));
                }
                correlation = correlation.max(off as f64 / (spread.max(1) as f64).sqrt());
            }
        }
        println!("{what}: {} × {units} at {percent:3} %: {sigma:.2} sigma, |r| {correlation:.5} at most", crowds.len());
    }
    faults
}

#[test]
fn features_have_fair_and_independent_buckets() {
    let subjects: Vec<(Name, u64)> = (0..size().subjects).map(subject).collect();
    let faults = faults("features", size(), |index, unit| {
        let (name, salt) = &subjects[index];
        bucket_sha256(&chain(), name, *salt, &address(unit))
    });
    assert_eq!(faults, [""; 0]);
}

/// Units of routes are mere numbers, one after the other.
#[test]
fn routes_have_fair_and_independent_buckets() {
    let subjects: Vec<(Name, u64)> = (0..size().subjects).map(subject).collect();
    let faults = faults("routes", size(), |index, unit| {
        let (name, salt) = &subjects[index];
        bucket_of_unit(&chain(), name, *salt, &unit.to_be_bytes())
    });
    assert_eq!(faults, [""; 0]);
}

/// A feature and a plugin of one name and one salt tell nothing about each other.
#[test]
fn a_feature_and_a_plugin_of_one_name_are_independent() {
    let size = Size { subjects: 4, ..size() };
    let faults = faults("both", size, |index, unit| {
        let ((name, salt), user) = (subject(index / 2), address(unit));
        if index % 2 == 0 {
            bucket_sha256(&chain(), &name, salt, &user)
        } else {
            bucket_of_unit(&chain(), &name, salt, &user.0)
        }
    });
    assert_eq!(faults, [""; 0]);
}

/// The bucketing of the reference implementation is neither fair nor independent, and that is seen.
#[test]
fn the_first_byte_fails() {
    let faults = faults("first byte", SHORT, |_, unit| bucket_first_byte(&address(unit)));
    let found =
        |kind: &str, percent: u8| faults.iter().any(|fault| fault.starts_with(&format!("{kind}: {percent} % ")));
    for (kind, percent, expected) in [
        ("share", 0, false),
        ("share", 1, true),
        ("share", 10, true),
        ("share", 50, true),
        ("share", 99, true),
        ("share", 100, false),
        ("correlation", 0, false),
        ("correlation", 1, true),
        ("correlation", 10, true),
        ("correlation", 50, true),
        ("correlation", 99, true),
        ("correlation", 100, false),
    ] {
        assert_eq!(found(kind, percent), expected, "{kind} at {percent} %");
    }
    assert!(!faults.iter().any(|fault| fault.starts_with("monotone")));
}

/// The other faults: somebody leaves when a share grows, or is left out at 100 %.
#[test]
fn every_fault_is_seen() {
    const UNITS: u64 = 6_400;
    let even = || crowd(UNITS, |unit| Bps::new((unit % 100 * 100) as u16).unwrap());
    let without_first = |steps: &[usize]| {
        let mut crowd = even();
        steps.iter().for_each(|step| crowd[*step].0[0] &= !1);
        faults_of("even", UNITS, &[crowd])
    };
    assert_eq!(without_first(&[]), [""; 0]);
    assert_eq!(without_first(&[3]), ["monotone: subject 0 loses somebody on the way to 50 %"]);
    assert_eq!(without_first(&[1, 2, 3, 4, 5]), ["share: 100 % of subject 0 are 6399 of 6400"]);
    // Two that are alike; of 0 and 100 % no correlation can be told.
    let alike = [1, 10, 50, 99].map(|percent| format!("correlation: {percent} % of subjects 0 and 1"));
    assert_eq!(faults_of("alike", UNITS, &[even(), even()]), alike);
}

/// A state after one transaction of these commands.
fn state_after(commands: Vec<Command>) -> State {
    let genesis = Genesis::new("buckets", [(ADMIN, Role::Admin.into())]).unwrap();
    let (mut state, _) = State::genesis(&genesis).unwrap();
    let tx = Transaction::new(ADMIN, commands).unwrap();
    let execution = state.execute(&Block::new(1, vec![tx]).unwrap()).unwrap();
    assert_eq!(execution.outcome().receipts, [Receipt::Ok]);
    state.apply(execution).unwrap();
    state
}

/// What the state machine answers is the bucket against the percent, at every percent.
#[test]
fn features_are_on_for_whom_the_bucket_says() {
    let name: Name = "feature".parse().unwrap();
    for percent in PERCENTS.map(|percent| Percent::new(percent).unwrap()) {
        for salt in [0, 1, u64::MAX] {
            let changes = FeatureChanges { policy: Some(Policy { salt, ..Policy::default() }), ..Default::default() };
            let state = state_after(vec![
                Command::CreateFeature {
                    name,
                    description: Description::new("").unwrap(),
                    changes: Valid::new(changes).unwrap(),
                },
                Command::StartCanary { name, percent },
            ]);
            for user in (0..2_000).map(address) {
                let is_in = bucket_sha256(&chain(), &name, salt, &user) < percent.bps();
                assert_eq!(state.is_enabled(&name, &user), is_in, "{percent:?}, salt {salt}, {user}");
            }
        }
    }
}

/// Likewise for a deployment, whose salt the ledger chooses.
#[test]
fn the_new_version_serves_whom_the_bucket_says() {
    let plugin: Name = "plugin".parse().unwrap();
    let (old, new): (Version, Version) = ("1.0.0".parse().unwrap(), "2.0.0".parse().unwrap());
    for share in PERCENTS.map(|percent| Percent::new(percent).unwrap().bps()) {
        // The last stage of a plan serves somebody; this one is never reached.
        let stages = [share, Bps::FULL].map(|share| Stage {
            share_bps: Bps::new(share.get()).unwrap(),
            blocks: 100,
            min_requests: 0,
            gate: Gate::Manual,
        });
        let strategy = Strategy::Custom { on_complete: OnComplete::Promote, stages: stages.into() };
        let terms = strategy.default_guardrails();
        let register = |version: &Version, code| {
            let manifest = Valid::new(Arc::new(Manifest::of_code(Hash([code; 32])))).unwrap();
            Command::RegisterVersion { plugin, version: version.clone(), manifest }
        };
        let deploy = Command::deploy(plugin, new.clone(), strategy, &terms).unwrap();
        let state = state_after(vec![register(&old, 1), register(&new, 2), deploy]);
        let salt = state.deployment(&plugin).unwrap().salt;
        for unit in (0..2_000).map(u64::to_be_bytes) {
            let is_in = bucket_of_unit(&chain(), &plugin, salt, &unit) < share;
            assert_eq!(state.route(&plugin, &unit), Some(if is_in { &new } else { &old }), "{share:?}, {unit:?}");
        }
    }
}
