//! Versions and constraints beside the crate `semver`, which answers alike.
//!
//! Sketch: reading a version is a few passes over 5 to 30 bytes and one allocation of its text, where the crate keeps
//! numbers and has no allocation for a release. Showing it is a copy of that text, where the crate formats. A command
//! reads its version once; each record that it touches is written with one to three of them.

use std::hint::black_box;

use coalmine_core::{Constraint, Version};
use semver::VersionReq;

use crate::case::{Case, Ratio, Suite, repeat};
use crate::clock::Clock;

const RELEASE: &str = "1.2.3";
const PRE_RELEASE: &str = "10.20.30-rc.11+build.5";
const CONSTRAINT: &str = ">=10.20.30-rc.2, <11";

pub(super) fn suite() -> Suite {
    let cases = [
        case("read a release", || black_box(RELEASE).parse::<Version>().is_ok()),
        case("read a release, semver", || black_box(RELEASE).parse::<semver::Version>().is_ok()),
        case("read a pre-release", || black_box(PRE_RELEASE).parse::<Version>().is_ok()),
        case("read a pre-release, semver", || black_box(PRE_RELEASE).parse::<semver::Version>().is_ok()),
        case("read a constraint", || black_box(CONSTRAINT).parse::<Constraint>().is_ok()),
        case("read a constraint, semver", || black_box(CONSTRAINT).parse::<VersionReq>().is_ok()),
        case("show", {
            let version: Version = PRE_RELEASE.parse().unwrap();
            move || black_box(&version).to_string().is_empty()
        }),
        case("show, semver", {
            let version: semver::Version = PRE_RELEASE.parse().unwrap();
            move || black_box(&version).to_string().is_empty()
        }),
        case("allow", {
            let (constraint, version): (Constraint, Version) =
                (CONSTRAINT.parse().unwrap(), PRE_RELEASE.parse().unwrap());
            move || black_box(&constraint).allows(black_box(&version))
        }),
        case("allow, semver", {
            let (constraint, version): (VersionReq, semver::Version) =
                (CONSTRAINT.parse().unwrap(), PRE_RELEASE.parse().unwrap());
            move || black_box(&constraint).matches(black_box(&version))
        }),
    ];
    let ratios = ["read a release", "read a pre-release", "read a constraint", "show", "allow"]
        .map(|ours| Ratio::new(format!("{ours}, core : semver"), &[ours], &[&format!("{ours}, semver")], None));
    Suite { name: "versions", unit: "call", cases: cases.into(), ratios: ratios.into() }
}

fn case(name: &str, answer: impl Fn() -> bool + 'static) -> Case {
    Case::new(name, Clock::Thread, 1, move || repeat(Clock::Thread, move || _ = black_box(answer())))
}
