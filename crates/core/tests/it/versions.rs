//! Versions and constraints beside the crate `semver`, whose answers ours were when the rules were made: all short
//! texts of the characters that matter, all comparators of small numbers, and random texts near the grammar.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use coalmine_core::{Constraint, Version};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use proptest::sample::{Index, select};
use semver::{BuildMetadata, VersionReq};

// One question to both.

/// Reads a version both ways.
fn version(text: &str) -> Option<(Version, semver::Version)> {
    let ours = Version::new(text.as_bytes()).ok();
    let theirs = semver::Version::parse(text).ok().filter(|_| text.len() <= Version::LEN_MAX);
    assert_eq!(ours.is_some(), theirs.is_some(), "{text:?}");
    let (ours, theirs) = (ours?, theirs?);
    assert_eq!((ours.as_str(), theirs.to_string().as_str()), (text, text));
    assert_eq!([format!("{ours}"), format!("{ours:>9}")], [format!("{theirs}"), format!("{theirs:>9}")]);
    assert_eq!(ours.has_no_build(), theirs.build.is_empty(), "{text}");
    let without_build = semver::Version { build: BuildMetadata::EMPTY, ..theirs.clone() };
    assert_eq!(ours.without_build(), Version::new(without_build.to_string().as_bytes()).unwrap());
    Some((ours, theirs))
}

fn constraint(text: &str) -> Option<(Constraint, VersionReq)> {
    let ours = Constraint::new(text.as_bytes()).ok();
    let theirs = VersionReq::parse(text).ok().filter(|_| text.len() <= Constraint::LEN_MAX);
    assert_eq!(ours.is_some(), theirs.is_some(), "{text:?}");
    let (ours, theirs) = (ours?, theirs?);
    assert_eq!([ours.as_str(), &ours.to_string()], [text, text]);
    Some((ours, theirs))
}

fn check_order((a, their_a): &(Version, semver::Version), (b, their_b): &(Version, semver::Version)) {
    let hash = |version: &Version| BuildHasherDefault::<DefaultHasher>::default().hash_one(version);
    assert_eq!(a.cmp_precedence(b), their_a.cmp_precedence(their_b), "{a} {b}");
    assert_eq!(a.is_same(b), their_a.cmp_precedence(their_b).is_eq(), "{a} {b}");
    assert_eq!(a.cmp(b), their_a.cmp(their_b), "{a} {b}");
    assert_eq!(a == b, their_a == their_b, "{a} {b}");
    assert_eq!(a == b, hash(a) == hash(b), "{a} {b}");
}

fn check_allows(
    (constraint, requirement): &(Constraint, VersionReq),
    (version, their_version): &(Version, semver::Version),
) {
    assert_eq!(constraint.allows(version), requirement.matches(their_version), "{constraint} {version}");
}

// Everything that is short or small.

/// All texts of at most `len` of the characters.
fn all_texts(characters: &str, len: usize, check: &mut impl FnMut(&str)) {
    fn extend(text: &mut String, characters: &str, len: usize, check: &mut impl FnMut(&str)) {
        check(text);
        if len > 0 {
            for character in characters.chars() {
                text.push(character);
                extend(text, characters, len - 1, check);
                text.pop();
            }
        }
    }
    extend(&mut String::new(), characters, len, check);
}

/// How many of the texts, each behind the prefix, both read.
fn count_read<T>(prefix: &str, characters: &str, len: usize, read: fn(&str) -> Option<T>) -> u32 {
    let mut count = 0;
    all_texts(characters, len, &mut |text| count += u32::from(read(&format!("{prefix}{text}")).is_some()));
    count
}

#[test]
fn short_versions_are_read_alike() {
    for (prefix, characters, len, expected) in [
        ("", "01.", 7, 104),
        ("0.0.0", "0-+é ", 5, 76),
        ("0.0.0", "01.-+aZ", 5, 2342),
        ("1.0.0-", "01.-+a", 5, 3186),
        ("1.0.0-0+", "01.a-", 5, 2340),
        ("0.0.1844674407370955161", "56 ", 2, 2),
    ] {
        assert_eq!(count_read(prefix, characters, len, version), expected, "{prefix} {characters}");
    }
}

#[test]
fn short_constraints_are_read_alike() {
    for (prefix, characters, len, expected) in [
        ("", "01.*x-+a<>=~^, ", 4, 396),
        ("", "1.X>=, ", 6, 757),
        ("1.", "01.*xX-, ", 5, 510),
        (">=1.0.0", "01-+.a, ", 5, 1616),
        ("<=", "1.* \t\n", 5, 63),
    ] {
        assert_eq!(count_read(prefix, characters, len, constraint), expected, "{prefix} {characters}");
    }
}

/// Versions of numbers up to 2, each as a release and as some pre-releases.
fn small_versions() -> Vec<String> {
    let numbers = (0..27).map(|n| format!("{}.{}.{}", n / 9, n / 3 % 3, n % 3));
    numbers.flat_map(|numbers| ["", "-0", "-a", "-a.0", "+b"].map(|rest| format!("{numbers}{rest}"))).collect()
}

#[test]
fn small_versions_are_ordered_alike() {
    let versions: Vec<_> = small_versions().iter().map(|text| version(text).unwrap()).collect();
    for a in &versions {
        versions.iter().for_each(|b| check_order(a, b));
    }
}

/// From least to largest, so that each pair is one of the rules.
const ASCENDING: [&str; 24] = [
    "1.0.0-0",
    "1.0.0-0.0",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-99999999999999999999",
    "1.0.0-100000000000000000000",
    "1.0.0--",
    "1.0.0--1",
    "1.0.0-0a",
    "1.0.0-A",
    "1.0.0-Z.0",
    "1.0.0-a",
    "1.0.0-a.0",
    "1.0.0-a.b",
    "1.0.0-aa",
    "1.0.0",
    "1.0.0+0",
    "1.0.0+00",
    "1.0.0+1",
    "1.0.0+01",
    "1.0.0+01.0",
    "1.0.0+2",
    "1.0.0+-",
    "1.0.0+a",
];

#[test]
fn identifiers_are_ordered_alike() {
    let versions: Vec<_> = ASCENDING.iter().map(|text| version(text).unwrap()).collect();
    for (place, a) in versions.iter().enumerate() {
        for (other, b) in versions.iter().enumerate() {
            check_order(a, b);
            assert_eq!(a.0.cmp(&b.0), place.cmp(&other), "{} {}", a.0, b.0);
        }
    }
}

const OPERATORS: [&str; 8] = ["", "=", ">", ">=", "<", "<=", "~", "^"];

/// Every operator before every version of numbers up to 2, and before every front part of one.
fn small_comparators() -> Vec<String> {
    let of_one = (0..3).flat_map(|n| ["", ".*", ".*.*"].map(|rest| format!("{n}{rest}")));
    let of_two = (0..9).flat_map(|n| ["", ".x"].map(|rest| format!("{}.{}{rest}", n / 3, n % 3)));
    let bodies: Vec<String> = of_one.chain(of_two).chain(small_versions()).collect();
    OPERATORS.iter().flat_map(|operator| bodies.iter().map(move |body| format!("{operator}{body}"))).collect()
}

#[test]
fn small_comparators_allow_alike() {
    let versions: Vec<_> = small_versions().iter().map(|text| version(text).unwrap()).collect();
    // Alone, and beside one that asks for pre-releases and decides nothing else: so each answer is seen.
    for comparator in small_comparators() {
        for beside in ["", ", >=1.1.1-0", ", >=0.0.0-0, <=2"] {
            let constraint = constraint(&format!("{comparator}{beside}")).unwrap();
            versions.iter().for_each(|version| check_allows(&constraint, version));
        }
    }
}

#[test]
fn the_limits_are_the_crates_or_ours() {
    for count in [1, 31, 32, 33, 64] {
        let list = vec!["1"; count].join(",");
        assert_eq!(constraint(&list).is_some(), count <= Constraint::COMPARATORS_MAX, "{count} comparators");
        assert!(constraint(&format!("{list},")).is_none(), "{count} comparators and a comma");
    }
    for len in [63, 64, 65, 255, 256, 320] {
        for front in ["1.0.0-", "1.0.0+", "1.0.0-a+"] {
            let text = format!("{front}{}", "a".repeat(len - front.len()));
            assert_eq!(version(&text).is_some(), len <= Version::LEN_MAX, "{len} bytes");
        }
        let text = format!("{}1", " ".repeat(len - 1));
        assert_eq!(constraint(&text).is_some(), len <= Constraint::LEN_MAX, "{len} bytes");
    }
    assert!(constraint(&format!(">={:>126}", "1.0.0")).is_some(), "of the longest length");
    assert!(constraint(&format!(">={:>127}", "1.0.0")).is_none());
}

// Random texts.

/// Pieces of which versions and constraints are made, and some of which they are not.
const PIECES: [&str; 40] = [
    "0",
    "1",
    "2",
    "3",
    "10",
    "01",
    "00",
    "18446744073709551615",
    "18446744073709551616",
    ".",
    ".",
    ".",
    ".",
    ".",
    "-",
    "-",
    "+",
    "a",
    "rc",
    "Z",
    "alpha.1",
    "0a",
    "*",
    "x",
    "X",
    ">",
    ">=",
    "<",
    "<=",
    "=",
    "~",
    "^",
    ",",
    ", ",
    " ",
    "\t",
    "\u{a0}",
    "é",
    "||",
    "v",
];

fn any_text() -> impl Strategy<Value = String> {
    vec(select(&PIECES[..]), 0..14).prop_map(|pieces| pieces.concat())
}

fn any_identifiers() -> impl Strategy<Value = String> {
    vec(select(&["0", "1", "9", "10", "a", "b", "rc", "A", "-", "0a", "9999999999999999999999"][..]), 1..4)
        .prop_map(|identifiers| identifiers.join("."))
}

fn any_number() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..3_u64, 1 => 0..=u64::MAX]
}

/// A valid version, as a rule short enough.
fn any_version() -> impl Strategy<Value = String> {
    let numbers = (any_number(), any_number(), any_number()).prop_map(|(a, b, c)| format!("{a}.{b}.{c}"));
    let part = |sign: &'static str| prop_oneof![2 => Just(String::new()), 1 => any_identifiers().prop_map(move |part| format!("{sign}{part}"))];
    (numbers, part("-"), part("+")).prop_map(|(numbers, pre, build)| format!("{numbers}{pre}{build}"))
}

fn any_comparator() -> impl Strategy<Value = String> {
    let front = (any_number(), option::of(any_number()), select(&["", ".x", ".*"][..]));
    let front = front.prop_map(|(major, minor, rest)| {
        let minor = minor.map_or(String::new(), |minor| format!(".{minor}"));
        format!("{major}{minor}{rest}")
    });
    let body = prop_oneof![3 => any_version(), 2 => front];
    let space = || select(&["", "", "", " ", "  "][..]);
    (space(), select(&OPERATORS[..]), space(), body, space())
        .prop_map(|(before, operator, between, body, behind)| format!("{before}{operator}{between}{body}{behind}"))
}

fn any_constraint() -> impl Strategy<Value = String> {
    vec(any_comparator(), 1..5).prop_map(|comparators| comparators.join(","))
}

/// The text with some characters replaced, removed, or put in.
fn damaged(text: &str, edits: &[(Index, u8, &str)]) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    for (place, kind, piece) in edits {
        let at = place.index(characters.len() + 1);
        let end = (at + usize::from(*kind % 3)).min(characters.len());
        let with = if *kind < 3 { piece.chars().collect() } else { Vec::new() };
        characters.splice(at..end, with);
    }
    characters.into_iter().collect()
}

fn any_edits() -> impl Strategy<Value = Vec<(Index, u8, &'static str)>> {
    vec((proptest::arbitrary::any::<Index>(), 0..6_u8, select(&PIECES[..])), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_alike(text in any_text()) {
        version(&text);
        constraint(&text);
    }

    #[test]
    fn damaged_versions_are_read_alike(text in any_version(), edits in any_edits()) {
        version(&text);
        version(&damaged(&text, &edits));
        constraint(&damaged(&text, &edits));
    }

    #[test]
    fn damaged_constraints_are_read_alike(text in any_constraint(), edits in any_edits()) {
        constraint(&text);
        constraint(&damaged(&text, &edits));
    }

    #[test]
    fn versions_are_ordered_alike(versions in vec(any_version(), 2..5)) {
        let versions: Vec<_> = versions.iter().filter_map(|text| version(text)).collect();
        for a in &versions {
            versions.iter().for_each(|b| check_order(a, b));
        }
    }

    #[test]
    fn constraints_allow_alike(text in any_constraint(), versions in vec(any_version(), 1..5)) {
        let versions: Vec<_> = versions.iter().filter_map(|text| version(text)).collect();
        let Some(constraint) = constraint(&text) else { return Ok(()) };
        versions.iter().for_each(|version| check_allows(&constraint, version));
    }
}
