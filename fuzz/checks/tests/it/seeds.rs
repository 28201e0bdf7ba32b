//! Every committed seed of every target holds on stable, and so does damage to it.
//!
//! The long form is `cargo evidence fuzz`. In between, `COALMINE_FUZZ_RUNS` is how many random changes are tried on each
//! target; a failure tells the command that repeats just it.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use coalmine_core::{Decode, DecodeError, Encode, OnComplete, Reader, Writer};
use coalmine_fuzz_checks::{Check, EXECUTE_WORLDS, TARGETS, kind_of_record, lived_keys, round_trip};
use coalmine_model::support::Random;

/// A panic names the seed.
fn check(check: Check, seed: &Path, what: &str, bytes: &[u8]) {
    assert!(catch_unwind(|| check(bytes)).is_ok(), "{}{what} does not hold: {bytes:02x?}", seed.display());
}

fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_seed_holds() {
    for (target, function) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 10, "few seeds of {target}");
        for seed in seeds {
            check(function, &seed, "", &fs::read(&seed).unwrap());
        }
    }
}

/// Seeds that have grown old would pass as bundles that are refused.
#[test]
fn every_genuine_bundle_holds() {
    for bundle in coalmine_fuzz_checks::genuine_bundles() {
        coalmine_fuzz_checks::proof(&[&[0], bundle.as_slice()].concat());
    }
}

/// Every kind of record, as keys begin, but for votes on health and unloads, which hardly any world has at its end; they
/// are as those on loads.
const KINDS: [&str; 30] = [
    "d0", "d1", "d2", "d3", "d4", "d5", "d6", "d700", "d701", "d702", "d703", "d704", "d705", "d8", "d9", "da", "db",
    "dc", "dd", "de", "de00", "de01", "de02", "de03", "de04", "de05", "df01", "df0200", "df0201", "df0203",
];

/// Worlds change with their generator. Each kind of record is there to be damaged, and blocks meet all that waits.
#[test]
fn the_worlds_have_every_kind_of_record() {
    let kinds = |seeds: &mut dyn Iterator<Item = u8>| -> BTreeSet<String> {
        seeds.flat_map(lived_keys).map(|key| hex::encode(kind_of_record(key))).collect()
    };
    let every = BTreeSet::from(KINDS.map(str::to_owned));
    assert_eq!(kinds(&mut (0..=u8::MAX)), every, "of `load`");
    assert_eq!(kinds(&mut EXECUTE_WORLDS.into_iter()), every, "of `execute`");
}

/// Some of what a fuzzer does first, so that a check that can not fail does not go unnoticed.
#[test]
fn every_seed_holds_when_it_is_damaged() {
    for (target, function) in TARGETS {
        for seed in seeds(target) {
            let bytes = fs::read(&seed).unwrap();
            for at in (0..bytes.len()).step_by(bytes.len() / 8 + 1) {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                check(function, &seed, &format!(" with byte {at} changed"), &flipped);
                check(function, &seed, &format!(" up to byte {at}"), &bytes[..at]);
            }
        }
    }
}

/// Random changes of each target when nothing else is said.
const RUNS: u64 = 300;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// A number below `n`, of the upper bits.
fn below(random: &mut Random, n: usize) -> usize {
    usize::try_from(random.next() >> 8).unwrap() % n.max(1)
}

/// One of the seeds with up to eight changes: bits flipped, bytes set to the edges of a number, parts cut out,
/// doubled, or taken from another seed.
fn changed(seeds: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut below = |n| below(&mut random, n);
    let mut bytes = seeds[below(seeds.len())].clone();
    for _ in 0..=below(8) {
        let at = below(bytes.len());
        let end = (at + 1 + below(16)).min(bytes.len());
        match below(5) {
            _ if bytes.is_empty() => bytes.push(0),
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b','][below(8)],
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let other = &seeds[below(seeds.len())];
                let from = below(other.len());
                bytes.splice(at..end, other[from..(from + 16).min(other.len())].iter().copied());
            }
        }
    }
    bytes
}

/// The first of these seeds whose change makes the check fail.
fn first_failure(check: Check, seeds: &[Vec<u8>], mut tried: Range<u64>) -> Option<u64> {
    tried.find(|seed| {
        let bytes = changed(seeds, *seed);
        catch_unwind(|| check(&bytes)).is_err()
    })
}

#[test]
fn changed_seeds_hold() {
    let tried = match number("COALMINE_FUZZ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("COALMINE_FUZZ_RUNS").unwrap_or(RUNS),
    };
    for (target, function) in TARGETS {
        if env::var("COALMINE_FUZZ_TARGET").is_ok_and(|only| only != target) {
            continue;
        }
        let seeds: Vec<Vec<u8>> = seeds(target).iter().map(|path| fs::read(path).unwrap()).collect();
        if let Some(seed) = first_failure(function, &seeds, tried.clone()) {
            panic!(
                "{target} does not hold for {:02x?}\nrepeat: COALMINE_FUZZ_TARGET={target} COALMINE_FUZZ_SEED={seed} \
                 cargo test --release -p coalmine-fuzz-checks --test it seeds::changed_seeds_hold",
                changed(&seeds, seed)
            );
        }
    }
}

/// A flag that any byte but zero sets: one value, many spellings.
#[derive(Debug, PartialEq)]
struct LaxFlag(bool);

impl Decode for LaxFlag {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.u8().map(|byte| Self(byte != 0))
    }
}

impl Encode for LaxFlag {
    fn encode(&self, out: &mut Writer) {
        out.bool(self.0);
    }
}

#[test]
fn a_planted_fault_is_found() {
    let seeds = [vec![0], vec![1], vec![0, 1]];
    let first = first_failure(round_trip::<LaxFlag>, &seeds, 0..RUNS).expect("a flag of two spellings is found");
    assert_eq!(first_failure(round_trip::<LaxFlag>, &seeds, first..first + 1), Some(first), "and found again");
    assert_eq!(first_failure(round_trip::<OnComplete>, &seeds, 0..RUNS), None, "a flag of one spelling holds");
}

#[test]
fn every_target_has_its_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        let program = fs::read_to_string(folder.join("fuzz_targets").join(target).with_extension("rs")).unwrap();
        assert!(program.contains(&format!("coalmine_fuzz_checks::{target}(bytes)")), "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
    assert_eq!(fs::read_dir(folder.join("fuzz_targets")).unwrap().count(), TARGETS.len());
}
