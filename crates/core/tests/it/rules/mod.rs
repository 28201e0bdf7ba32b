//! RULES.md and the code say the same.
//!
//! The tables of the document are read here. Every row of a guard table rejects, as its row says, a command that
//! nothing else stops; of two rows that fail at once, the upper one decides; and in random worlds no command meets
//! another reject, emits another event, or emits fewer. Roles, numbers and links are compared too.

mod guards;
mod worlds;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU32;
use std::sync::OnceLock;

use coalmine_core::{
    Address, BLOCK_WORK_MAX, Block, Command, CommandKind, DEPENDENTS_MAX, DEPLOYMENTS_MAX, Deployment, Encode, Event,
    FEED_RECORDS_MAX, FeatureChanges, FeedItem, FeedKey, FeedKind, FeedPart, FeedTotals, Gate, Global, Guardrails,
    Height, ItemState, Key, LOAD_PLUGINS_MAX, Manifest, Outcome, Params, ParamsChanges, Payload, Plugin, PluginVersion,
    Policy, RULES_NOTICE, Receipt, Reject, Report, Role, SCHEDULED_MAX, SCHEDULED_RESERVED, Stage, State, Status,
    Transaction, TxCommand, Writer,
};
use coalmine_model::generate::{Mix, RandomWorld};

use crate::common::document::{Document, Table};
use crate::common::plugins::*;
use crate::common::*;

use guards::{wrong_guards, wrong_pairs};
use worlds::{other_rejects, wrong_events};

// The document.

/// What the document says of a command.
struct Section {
    roles: Vec<String>,
    scheduled: String,
    /// Guard and rejects, in order.
    guards: Vec<(String, Vec<Reject>)>,
    events: BTreeSet<String>,
}

impl Section {
    fn rejects(&self) -> BTreeSet<Reject> {
        self.guards.iter().flat_map(|(_, rejects)| rejects).copied().collect()
    }
}

struct Rules {
    text: String,
    tables: Vec<Table>,
    sections: BTreeMap<&'static str, Section>,
}

fn path(file: &str) -> String {
    format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| read_rules(&fs::read_to_string(path("RULES.md")).unwrap()))
}

/// The words in backticks.
fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What follows `**label**`, up to the next label or the end of the paragraph.
fn labelled<'a>(section: &'a str, label: &str) -> &'a str {
    let start = format!("**{label}**");
    let mut found = section.match_indices(&start);
    let (at, _) = found.next().unwrap_or_else(|| panic!("no {start} in {section}"));
    assert!(found.next().is_none(), "two {start} in {section}");
    let rest = &section[at + start.len()..];
    let end = [rest.find("\n\n"), rest.find("**")].into_iter().flatten().min().unwrap_or(rest.len());
    rest[..end].trim().trim_end_matches('·').trim()
}

fn read_rules(text: &str) -> Rules {
    let Document { tables, .. } = Document::read(text);
    let mut sections = BTreeMap::new();
    for chapter in text.split("\n## ") {
        for section in chapter.split("\n### ").skip(1) {
            let Some((name, body)) = section.strip_prefix('`').and_then(|rest| rest.split_once('`')) else { continue };
            let kind = CommandKind::ALL.iter().find(|kind| kind.name() == name);
            let kind = kind.unwrap_or_else(|| panic!("{name} is no command"));
            let is_guards = |table: &&Table| table.heading == name && table.columns == ["guard", "passes if", "reject"];
            let found: Vec<&Table> = tables.iter().filter(is_guards).collect();
            assert_eq!(found.len(), 1, "tables of guards of {name}");
            let reject = |text: &str| Reject::from_name(text).unwrap_or_else(|| panic!("{name}: {text} is no reject"));
            let guards = found[0].rows.iter().map(|row| (row[0].clone(), row[2].split(", ").map(reject).collect()));
            let section = Section {
                roles: labelled(body, "Sent by").split(", ").map(str::to_owned).collect(),
                scheduled: labelled(body, "scheduled").into(),
                guards: guards.collect(),
                events: ticked(labelled(body, "Events")).map(str::to_owned).collect(),
            };
            assert!(sections.insert(kind.name(), section).is_none(), "two sections of {name}");
        }
    }
    Rules { text: text.into(), tables, sections }
}

impl Rules {
    /// The rejects of the guards before the commands of a transaction.
    fn of_transactions(&self) -> BTreeSet<Reject> {
        let table = self.tables.iter().find(|table| table.columns[0] == "guard of a transaction").unwrap();
        table.rows.iter().map(|row| Reject::from_name(&row[2]).unwrap()).collect()
    }

    fn section(&self, kind: CommandKind) -> &Section {
        self.sections.get(kind.name()).unwrap_or_else(|| panic!("no section of {kind}"))
    }
}

/// Commands, roles and schedules that are not those of the code, and sections that are not in the order of the tags.
fn wrong_sections(rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut last = 0;
    for kind in CommandKind::ALL {
        let Section { roles, scheduled, guards, .. } = rules.section(*kind);
        let code: Vec<&str> = kind.roles().iter().map(|role| role.name()).collect();
        if *roles != code {
            wrong.push(format!("{kind} is sent by {code:?}"));
        }
        if scheduled != if kind.is_schedulable() { "yes" } else { "no" } {
            wrong.push(format!("{kind} scheduled: {scheduled}"));
        }
        let names: BTreeSet<&String> = guards.iter().map(|(guard, _)| guard).collect();
        if names.len() != guards.len() {
            wrong.push(format!("{kind} has a guard twice"));
        }
        let place = rules.text.find(&format!("\n### `{}`\n", kind.name())).unwrap();
        if place < last {
            wrong.push(format!("{kind} is out of order"));
        }
        last = place;
    }
    let roles: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
    let table = rules.tables.iter().find(|table| table.columns == ["role", "of which commands"]).unwrap();
    if table.rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>() != roles {
        wrong.push(format!("the roles are {roles:?}"));
    }
    wrong
}

/// Names in capitals that are no limit of FORMAT.md, or have another number before them.
fn wrong_numbers(rules: &Rules) -> Vec<String> {
    let format = Document::read(&fs::read_to_string(path("FORMAT.md")).unwrap());
    let limits = format.table(None, &["limit", "value"]);
    let limits: BTreeMap<&str, &str> = limits.rows.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let text = rules.text.replace(['\n', '|'], " ");
    let words: Vec<&str> = text.split(' ').collect();
    let mut wrong = Vec::new();
    for pair in words.windows(2) {
        let word = pair[1].trim_matches(|c: char| c.is_ascii_punctuation() && c != '_');
        let is_limit = word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if is_limit && limits.get(word) != Some(&pair[0]) {
            wrong.push(format!("{} {}", pair[0], pair[1]));
        }
    }
    wrong
}

/// One that may send a command and no more than it must.
fn sender(kind: CommandKind) -> Address {
    match kind.roles()[0] {
        Role::Admin => ADMIN,
        Role::Operator => OPERATOR,
        Role::Reporter => REPORTER,
        Role::Guardian => GUARDIAN,
        Role::Feeder => FEEDER,
    }
}

/// A heading as the part of a link behind the `#`.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches(['#', ' ']));
    let slug = |heading: &str| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    headings.map(slug).collect()
}

/// Links that lead nowhere, and links of a word in backticks to a file that has no function or command of that name.
fn wrong_links(rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    let links: Vec<(&str, &str)> = rules.text.split("](").zip(rules.text.split("](").skip(1)).collect();
    for (before, after) in links {
        let target = after.split(')').next().unwrap();
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let of_file = if file.is_empty() { Ok(rules.text.clone()) } else { fs::read_to_string(path(file)) };
        let Ok(of_file) = of_file else {
            wrong.push(format!("no file {target}"));
            continue;
        };
        if !anchor.is_empty() && !anchors(&of_file).contains(anchor) {
            wrong.push(format!("no heading {target}"));
        }
        let word = before.rsplit('[').next().and_then(|word| word.strip_prefix('`')?.strip_suffix('`'));
        let has = |start: &str, word: &str, end: &str| of_file.contains(&format!("{start}{word}{end}"));
        let is_there = |word: &str| {
            file.ends_with(word) || has("fn ", word, "(") || has("fn ", word, "<") || has("Command::", word, " ")
        };
        wrong.extend(word.filter(|word| !is_there(word)).map(|word| format!("{file} has no {word}")));
    }
    wrong
}

// The tests.

fn none() -> Vec<String> {
    Vec::new()
}

#[test]
fn commands_numbers_and_links_are_those_of_the_code() {
    for check in [wrong_sections, wrong_numbers, wrong_links] {
        assert_eq!(check(rules()), none());
    }
}

#[test]
fn every_guard_rejects_as_its_row_says() {
    CommandKind::ALL.iter().for_each(|kind| assert_eq!(wrong_guards(rules(), *kind), none()));
}

#[test]
fn of_two_guards_the_upper_one_decides() {
    let mut pairs = 0;
    for kind in CommandKind::ALL {
        let (wrong, of_kind) = wrong_pairs(rules(), *kind);
        assert_eq!(wrong, none());
        pairs += of_kind;
    }
    println!("{pairs} pairs");
    assert!(pairs >= 700, "{pairs}");
}

#[test]
fn random_worlds_show_no_other_reject_and_no_other_event() {
    assert_eq!(other_rejects(rules()), none());
    assert_eq!(wrong_events(rules()), none());
}

/// A document with a mistake is found out.
#[test]
fn a_wrong_document_is_found() {
    let pairs = |rules: &Rules| wrong_pairs(rules, CommandKind::Enable).0;
    let guards = |rules: &Rules| wrong_guards(rules, CommandKind::Disable);
    let is_off = "| status | not disabled | invalid_transition |\n";
    let (is_closed, is_not_on) =
        ("| breaker | closed | circuit_open |\n", "| status | not enabled | invalid_transition |\n");
    let swapped = (format!("{is_closed}{is_not_on}"), format!("{is_not_on}{is_closed}"));
    type Check<'a> = &'a dyn Fn(&Rules) -> Vec<String>;
    let rows: [(&str, &str, Check<'_>); 13] = [
        ("**Sent by** guardian, operator", "**Sent by** operator, guardian", &wrong_sections),
        ("**Sent by** feeder · **scheduled** no", "**Sent by** feeder · **scheduled** yes", &wrong_sections),
        ("| guardian | only", "| guard | only", &wrong_sections),
        ("at most 8 (PREREQUISITE_DEPTH_MAX)", "at most 9 (PREREQUISITE_DEPTH_MAX)", &wrong_numbers),
        ("(LOADED_MAX)", "(HOSTED_MAX)", &wrong_numbers),
        ("[`disable`](src/", "[`disabled`](src/", &wrong_links),
        ("(#the-guard)", "(#the-guards)", &wrong_links),
        (is_off, "| status | not disabled | feature_disabled |\n", &guards),
        (&swapped.0, &swapped.1, &pairs),
        (is_off, "", &other_rejects),
        ("**Events** `override_set`", "**Events** none", &wrong_events),
        ("**Events** `override_set`", "**Events** `override_set`, `override_cleared`", &wrong_events),
        ("| `step_blocked`, `step_held`", "| `step_held`", &wrong_events),
    ];
    for (right, wrong, check) in rows {
        assert!(rules().text.contains(right), "{right}");
        let document = read_rules(&rules().text.replace(right, wrong));
        assert_ne!(check(&document), none(), "{wrong} in place of {right}");
    }
}
