//! The page of a feature.

use std::borrow::Cow;

use coalmine_chart::{Subject, number};
use coalmine_core::query::HistoryEntry;
use coalmine_core::{Address, Change, Feature, Height, Name, Override, Policy, query};
use coalmine_foresight::{FeatureHistory, Next, explain_feature, feature_change_sentence};

use crate::dashboard::page::{Frame, write};
use crate::dashboard::subject::{Entry, Fact, Last, OverrideRow, SubjectPage, VERDICTS, draw};
use crate::dashboard::view::{Failure, Query, View};
use crate::dashboard::words::{actor, away, feature_href, feature_row, sentence, tidy};

/// How many entries of a history are read at once.
const PAGE: usize = 1_024;
/// How many overrides a page has; the API lists all.
const OVERRIDES_MAX: usize = 50;

/// The page.
pub(super) fn page(view: &View<'_>, asked: &str, query: &Query) -> Result<String, Failure> {
    let state = view.state();
    let missing = || Failure::missing("feature", asked, state.features().map(|feature| &feature.name));
    let name: Name = asked.parse().map_err(|_| missing())?;
    let (Some(feature), Some(metrics), Some(policy)) =
        (state.feature(&name), state.metrics(&name), state.policy(&name))
    else {
        return Err(missing());
    };
    let href = feature_href(&name);
    let (mut history, past) = read(view, &name, query)?;
    let verdicts: Vec<_> = std::mem::take(&mut history.verdicts);
    // Those that nobody sent a command for.
    let verdicts: Vec<_> = verdicts.iter().filter(|(entry, _)| entry.change.actor == Address::ZERO).collect();
    let began = history.created.map_or(0, |entry| entry.height);
    let mut explanation = explain_feature(Cow::Borrowed(state), history, 0)?.ok_or_else(missing)?;
    let (upcoming, until) = view.moment.next(|event| event.feature() == Some(&name))?;
    explanation.next = Next { upcoming: upcoming.cloned(), until };
    let overrides = query::overrides(view.records, &name, None, OVERRIDES_MAX.saturating_add(1))?;
    let mut sentences = explanation.sentences().into_iter().map(|words| tidy(&words));
    let row = feature_row(feature, metrics, policy, view.height);
    write(&SubjectPage {
        frame: Frame::new(view, ""),
        kind: "feature",
        name: row.name,
        badge: row.badge,
        description: feature.description.as_str().into(),
        lead: sentences.next().unwrap_or_default(),
        share: row.share,
        errors: row.errors,
        next: row.next,
        facts: facts(feature, policy, view.height),
        drawn: draw(view, (Subject::Feature, &name), began, &href, query)?,
        arms: None,
        stages: Vec::new(),
        versions: Vec::new(),
        has_more_overrides: overrides.len() > OVERRIDES_MAX,
        overrides: overrides.iter().take(OVERRIDES_MAX).map(override_row).collect(),
        verdicts: verdicts.iter().rev().take(VERDICTS).map(|(entry, before)| verdict(entry, before.as_ref())).collect(),
        verdicts_left: verdicts.len().saturating_sub(VERDICTS),
        why: sentences.collect(),
        past,
    })
}

/// Reads the history once: what explains the feature, and the page of it that is asked for.
fn read(
    view: &View<'_>,
    name: &Name,
    query: &Query,
) -> Result<(FeatureHistory, crate::dashboard::subject::Past), Failure> {
    let mut history = FeatureHistory::new(*name);
    let mut last = Last::new(query)?;
    loop {
        let after = history.last.map(|entry| (entry.height, entry.seq));
        let entries = query::history(view.records, name, after, PAGE)?;
        for entry in &entries {
            history.push(*entry);
            last.push((entry.height, entry.seq), entry.change);
        }
        if entries.len() < PAGE {
            break;
        }
    }
    let past = last.finish(&feature_href(name), |change| sentence(&feature_change_sentence(change), None));
    Ok((history, past))
}

fn override_row((user, switch): &(Address, Override)) -> OverrideRow {
    OverrideRow {
        user: user.to_string(),
        is_on: switch.enabled,
        since: number(switch.since.into()),
        who: actor(&switch.actor),
    }
}

fn verdict(entry: &HistoryEntry, before: Option<&Change>) -> Entry {
    let from = before.map_or_else(String::new, |before| format!("At {}\u{a0}% of users: ", before.percent));
    Entry {
        height: number(entry.height.into()),
        words: sentence(&format!("{from}{}", feature_change_sentence(&entry.change)), None),
    }
}

fn facts(feature: &Feature, policy: &Policy, now: Height) -> Vec<Fact> {
    let fact = |label, words: String| Fact { label, words, href: None };
    let mut facts = vec![
        fact("Target", format!("{}\u{a0}% of users", feature.target_percent)),
        fact(
            "Steps",
            format!("{}\u{a0}% every {} blocks", feature.increment_percent, number(feature.increment_blocks.into())),
        ),
        fact("Reported in this trial", {
            let (errors, successes) = (number(feature.error_count), number(feature.success_count));
            format!("{errors} errors, {successes} successes")
        }),
        fact("Created by", actor(&feature.enabled_by)),
    ];
    if let Some(window) = policy.window_blocks {
        facts.push(fact("Sliding window", format!("{} blocks and the ones before", number(window.get().into()))));
    }
    if let Some(at) = policy.expires_at {
        facts.push(fact("Meant to be gone by", away(at.get(), now)));
    }
    let prerequisites = policy.prerequisites.iter().map(|name| Fact {
        label: "Rests on",
        words: name.to_string(),
        href: Some(feature_href(name)),
    });
    facts.extend(prerequisites);
    facts
}
