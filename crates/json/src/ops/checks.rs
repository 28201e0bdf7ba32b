//! What RULES.md of core says of a command: what it does, what is checked in which order, and its events.
//!
//! That document is the one place where the order of the checks is written down, and the tests of core hold it to the
//! code. Here it is only read.

use coalmine_core::CommandKind;

const RULES: &str = include_str!("../../../core/RULES.md");

/// A check of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// What it looks at.
    pub(super) guard: String,
    /// When it passes.
    pub(super) passes_if: String,
    /// The rejects if it does not.
    pub(super) rejects: Vec<String>,
}

/// The section of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// What the command does.
    pub(super) about: String,
    /// The checks, in their order.
    pub(super) checks: Vec<Check>,
    /// Its events, in words.
    pub(super) events: String,
}

/// The section of a command; an empty one if there is none, which the tests refuse.
pub(super) fn section(kind: CommandKind) -> Section {
    let heading = format!("\n### `{}`\n", kind.name());
    let Some((_, rest)) = RULES.split_once(&heading) else { return Section::default() };
    let end = [rest.find("\n### "), rest.find("\n## ")].into_iter().flatten().min();
    let body = end.and_then(|end| rest.get(..end)).unwrap_or(rest).trim_start();
    let rows = body.lines().skip_while(|line| !line.starts_with("| guard |")).skip(2);
    let checks = rows.map_while(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [guard, passes_if, rejects] = cells.try_into().ok()?;
        let rejects = rejects.split(", ").map(str::to_owned).collect();
        Some(Check { guard: plain(guard), passes_if: plain(passes_if), rejects })
    });
    let events = body.split_once("**Events**").map_or("", |(_, rest)| paragraph(rest));
    Section { about: plain(paragraph(body)), checks: checks.collect(), events: plain(events) }
}

/// The text up to the first blank line.
fn paragraph(text: &str) -> &str {
    text.split_once("\n\n").map_or(text, |(first, _)| first).trim()
}

/// Markdown without links, marks and the names of limits, on one line.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        let link = after.split_once("](").and_then(|(shown, after)| Some((shown, after.split_once(')')?.1)));
        let Some((shown, after)) = link else {
            out.push('[');
            rest = after;
            continue;
        };
        out.push_str(shown);
        rest = after;
    }
    out.push_str(rest);
    let is_limit = |word: &str| {
        let name = word.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or("", |(name, _)| name);
        name.len() > 1 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    let mut words: Vec<String> = Vec::new();
    for word in out.replace('`', "").split_whitespace() {
        // What stands behind the bracket, such as a comma, belongs to the word before.
        match (is_limit(word), words.last_mut()) {
            (true, Some(last)) => last.push_str(word.split_once(')').map_or("", |(_, rest)| rest)),
            (true, None) | (false, _) => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use coalmine_core::Reject;

    use super::*;

    #[test]
    fn every_command_has_a_section() {
        for kind in CommandKind::ALL {
            let Section { about, checks, events } = section(*kind);
            assert!(about.ends_with('.') && !events.is_empty(), "{kind}: {about:?} {events:?}");
            assert_eq!(checks.first().map(|check| check.guard.as_str()), Some("signer"), "{kind}");
            for reject in checks.iter().flat_map(|check| &check.rejects) {
                assert!(Reject::from_name(reject).is_some(), "{kind}: {reject}");
            }
        }
    }

    #[test]
    fn a_section_is_read_to_its_end() {
        let Section { about, checks, events } = section(CommandKind::ClearOverride);
        assert_eq!(about, "Removes one user's own switch.");
        let guards: Vec<&str> = checks.iter().map(|check| check.guard.as_str()).collect();
        assert_eq!(guards, ["signer", "price", "name", "existence", "override", "wait"]);
        assert_eq!(events, "override_cleared");
        assert_eq!(plain("it [runs](#a) in `f` [1, 2]\n and"), "it runs in f [1, 2] and");
        assert_eq!(plain("at most 64 (NAME_LEN_MAX), 1 (one) and 2 (A)"), "at most 64, 1 (one) and 2 (A)");
    }
}
