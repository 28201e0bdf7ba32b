//! What is to come: the schedule, as people have entered it, and the calendar, as it will be without traffic.

use askama::Template;
use coalmine_chart::number;
use coalmine_core::{Height, Scheduled};
use coalmine_foresight::{Upcoming, event_sentence, stale_features};
use coalmine_json::render;

use crate::dashboard::page::{Frame, write};
use crate::dashboard::view::{Failure, Query, View, foretell};
use crate::dashboard::words::{actor, away, feature_href, sentence};

/// How many entries of the schedule a page has.
const ENTRIES_MAX: usize = 100;
/// At how many heights the calendar says what happens.
const HEIGHTS_MAX: usize = 200;
/// How many sentences a height has.
const SENTENCES_MAX: usize = 50;
/// How far the calendar looks ahead unless it is told.
const BLOCKS: u32 = 10_000;
const BLOCKS_MAX: u32 = 1_000_000;

/// What happens at a height.
pub(super) struct DueRow {
    pub(super) away: String,
    pub(super) sentences: Vec<String>,
}

/// What happens at a height, in sentences.
pub(super) fn due_row(upcoming: &Upcoming, now: Height) -> DueRow {
    let Upcoming { height, events, scheduled: _, stale, unknown_rules } = upcoming;
    let mut sentences: Vec<String> =
        events.iter().map(|event| sentence(&event_sentence(event), event.feature().or(event.plugin()))).collect();
    sentences.extend(stale.iter().map(|name| format!("{name} was meant to be gone by then.")));
    sentences.extend(unknown_rules.map(|rules| {
        format!("Rule set {rules} is needed, which this build does not know: this node stops before this block.")
    }));
    let left = sentences.len().saturating_sub(SENTENCES_MAX);
    sentences.truncate(SENTENCES_MAX);
    if left > 0 {
        sentences.push(format!("And {} more.", number(u64::try_from(left).unwrap_or(u64::MAX))));
    }
    DueRow { away: away(*height, now), sentences }
}

struct EntryRow {
    away: String,
    id: String,
    who: String,
    commands: Vec<String>,
}

fn entry_row(at: Height, id: u64, entry: &Scheduled, now: Height) -> EntryRow {
    let words = |command: render::Value| {
        let words = command.to_string();
        words.strip_prefix("op=").map(str::to_owned).unwrap_or(words)
    };
    let commands = render::scheduled_commands(entry).into_iter().map(words);
    EntryRow { away: away(at, now), id: number(id), who: actor(&entry.actor), commands: commands.collect() }
}

struct RulesRow {
    away: String,
    number: u16,
    is_known: bool,
}

struct RoundRow {
    what: String,
    closes: String,
    reporters: String,
}

#[derive(Template)]
#[template(path = "schedule.html")]
struct SchedulePage {
    frame: Frame,
    entries: Vec<EntryRow>,
    /// The id of the entry behind which the next page begins.
    next: Option<u64>,
    is_later: bool,
    total: String,
    rules: Vec<RulesRow>,
    rounds: Vec<RoundRow>,
}

/// The page of the schedule.
pub(super) fn schedule(view: &View<'_>, query: &Query) -> Result<String, Failure> {
    let state = view.state();
    let after: Option<u64> = match query.text("after") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Failure::Parameter {
            parameter: "after",
            problem: format!("it is the id of an entry, not {text:?}"),
        })?),
    };
    let all = || state.schedule();
    let start =
        after.map_or(0, |after| all().position(|(_, id, _)| id == after).map_or(0, |place| place.saturating_add(1)));
    let shown: Vec<(Height, u64, &Scheduled)> = all().skip(start).take(ENTRIES_MAX.saturating_add(1)).collect();
    let next = shown.get(ENTRIES_MAX.saturating_sub(1)).filter(|_| shown.len() > ENTRIES_MAX).map(|(_, id, _)| *id);
    let rules = state.scheduled_rules().into_iter().map(|change| RulesRow {
        away: away(change.at, view.height),
        number: change.number,
        is_known: change.rules.is_some_and(|rules| rules <= coalmine_core::RuleSet::LATEST),
    });
    let quorum = state.global().params.quorum;
    let rounds = state.rounds().take(ENTRIES_MAX).map(|(closes, pool, said)| RoundRow {
        what: format!("{} about {}", pool.kind().name().replace('_', " "), pool.subject()),
        closes: away(closes, view.height),
        reporters: format!("{} so far, it takes {quorum}", said.len()),
    });
    write(&SchedulePage {
        frame: Frame::new(view, "/schedule"),
        entries: shown
            .iter()
            .take(ENTRIES_MAX)
            .map(|(at, id, entry)| entry_row(*at, *id, entry, view.height))
            .collect(),
        next,
        is_later: start > 0,
        total: number(state.global().scheduled.into()),
        rules: rules.collect(),
        rounds: rounds.collect(),
    })
}

struct StaleRow {
    name: String,
    href: String,
    since: String,
}

#[derive(Template)]
#[template(path = "calendar.html")]
struct CalendarPage {
    frame: Frame,
    blocks: u32,
    blocks_max: u32,
    due: Vec<DueRow>,
    until: String,
    /// Whether there is more before the last height that was asked for.
    is_cut: bool,
    stale: Vec<StaleRow>,
}

/// The page of the calendar.
pub(super) fn calendar(view: &View<'_>, query: &Query) -> Result<String, Failure> {
    let blocks = query.number("blocks", 1, BLOCKS_MAX)?.unwrap_or(BLOCKS);
    let due = foretell(view.state(), blocks, HEIGHTS_MAX)?;
    let stale = stale_features(view.state()).take(ENTRIES_MAX).map(|(at, name)| StaleRow {
        name: name.to_string(),
        href: feature_href(&name),
        since: number(at.into()),
    });
    write(&CalendarPage {
        frame: Frame::new(view, "/calendar"),
        blocks,
        blocks_max: BLOCKS_MAX,
        is_cut: due.upcoming.len() >= HEIGHTS_MAX,
        due: due.upcoming.iter().map(|one| due_row(one, view.height)).collect(),
        until: number(due.until.into()),
        stale: stale.collect(),
    })
}
