//! Lines of text are read as versions and as constraints, and answer, as they are by the crate `semver`.

use coalmine_core::{Constraint, Version};
use semver::VersionReq;

/// More lines of a kind have no more pairs to show.
const LINES_MAX: usize = 8;

/// Reads every line both ways, and compares every version with every other and with every constraint.
///
/// # Panics
/// When the crate answers otherwise.
pub fn version(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        assert!(Version::new(bytes).is_err() && Constraint::new(bytes).is_err(), "no text, and read");
        return;
    };
    let versions: Vec<_> = text.split('\n').filter_map(read_version).take(LINES_MAX).collect();
    let constraints: Vec<_> = text.split('\n').filter_map(read_constraint).take(LINES_MAX).collect();
    for (a, their_a) in &versions {
        for (b, their_b) in &versions {
            assert_eq!(a.cmp_precedence(b), their_a.cmp_precedence(their_b), "{a} {b}");
            assert_eq!(a.cmp(b), their_a.cmp(their_b), "{a} {b}");
            assert_eq!(a == b, their_a == their_b, "{a} {b}");
        }
        for (constraint, requirement) in &constraints {
            assert_eq!(constraint.allows(a), requirement.matches(their_a), "{constraint} {a}");
        }
    }
}

fn read_version(text: &str) -> Option<(Version, semver::Version)> {
    let ours = Version::new(text.as_bytes()).ok();
    let theirs = semver::Version::parse(text).ok().filter(|_| text.len() <= Version::LEN_MAX);
    assert_eq!(ours.is_some(), theirs.is_some(), "{text:?}");
    let (ours, theirs) = (ours?, theirs?);
    assert_eq!(ours.as_str(), text, "a version is shown as it was given");
    Some((ours, theirs))
}

fn read_constraint(text: &str) -> Option<(Constraint, VersionReq)> {
    let ours = Constraint::new(text.as_bytes()).ok();
    let theirs = VersionReq::parse(text).ok().filter(|_| text.len() <= Constraint::LEN_MAX);
    assert_eq!(ours.is_some(), theirs.is_some(), "{text:?}");
    let (ours, theirs) = (ours?, theirs?);
    assert_eq!(ours.as_str(), text, "a constraint is shown as it was given");
    Some((ours, theirs))
}
