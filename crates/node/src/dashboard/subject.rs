//! What the page of a feature and that of a plugin have in common: the picture, verdicts, and a history in pages.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use askama::Template;
use coalmine_chart::ledger::{Range, Recorder, feature_timeline, plugin_timeline};
use coalmine_chart::{Options, Subject, Theme, number, timeline};
use coalmine_core::{Event, Height, Name};

use crate::dashboard::overview::{NARROW, WIDE};
use crate::dashboard::page::Frame;
use crate::dashboard::view::{Failure, Query, View};
use crate::dashboard::words::{Badge, ErrorRate, Share};

/// How many entries of a history a page has.
const ENTRIES: usize = 25;
/// How many verdicts a page has: those before are in the history.
pub(super) const VERDICTS: usize = 10;
/// How many blocks a picture shows unless it is told, and what else may be chosen.
const BLOCKS: u32 = 1_000;
const RANGES: [u32; 4] = [100, 1_000, 10_000, 100_000];
/// How many samples are read at once.
const SAMPLES: usize = 4_096;
/// How many events are read for the marks of a picture, those of others included. A busy ledger has many of them: marks
/// of what was before come from the history alone.
const EVENTS_MAX: usize = 50_000;
/// How many blocks are read at once for them, from the last one backwards. Of a quiet ledger more at a time.
const WINDOW: u32 = 16;
/// So few events in a window make the next one longer.
const FEW: usize = 256;

/// What is said beside a label.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) words: String,
    pub(super) href: Option<String>,
}

/// An entry of a history.
pub(super) struct Entry {
    pub(super) height: String,
    pub(super) words: String,
}

/// A number of both arms of a deployment.
pub(super) struct ArmRow {
    pub(super) label: &'static str,
    pub(super) new: String,
    pub(super) old: String,
}

/// Both arms of a deployment.
pub(super) struct Arms {
    pub(super) new: String,
    pub(super) old: String,
    pub(super) rows: Vec<ArmRow>,
}

/// A stage of a plan.
pub(super) struct StageRow {
    pub(super) number: usize,
    pub(super) share: String,
    pub(super) blocks: String,
    pub(super) min_requests: String,
    pub(super) gate: String,
    pub(super) is_current: bool,
}

/// A version of a plugin.
pub(super) struct VersionRow {
    pub(super) version: String,
    pub(super) status: String,
    pub(super) registered: String,
    pub(super) rate: String,
}

/// A user's own switch of a feature.
pub(super) struct OverrideRow {
    pub(super) user: String,
    pub(super) is_on: bool,
    pub(super) since: String,
    pub(super) who: String,
}

/// A link to another range of blocks.
pub(super) struct RangeLink {
    pub(super) blocks: String,
    pub(super) href: String,
    pub(super) is_current: bool,
}

/// The picture for wide screens and the one for phones.
pub(super) struct Drawn {
    pub(super) wide: String,
    pub(super) narrow: String,
    pub(super) ranges: Vec<RangeLink>,
}

/// The page of a feature or plugin.
#[derive(Template)]
#[template(path = "subject.html")]
pub(super) struct SubjectPage {
    pub(super) frame: Frame,
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) badge: Badge,
    pub(super) description: String,
    pub(super) lead: String,
    pub(super) share: Share,
    pub(super) errors: Option<ErrorRate>,
    pub(super) next: String,
    pub(super) facts: Vec<Fact>,
    pub(super) drawn: Drawn,
    pub(super) arms: Option<Arms>,
    pub(super) stages: Vec<StageRow>,
    pub(super) versions: Vec<VersionRow>,
    pub(super) overrides: Vec<OverrideRow>,
    /// Whether there are more of them.
    pub(super) has_more_overrides: bool,
    pub(super) verdicts: Vec<Entry>,
    pub(super) verdicts_left: usize,
    pub(super) why: Vec<String>,
    pub(super) past: Past,
}

/// A page of a history, the latest entry first.
pub(super) struct Past {
    pub(super) entries: Vec<Entry>,
    /// The link to what was before.
    pub(super) older: Option<String>,
    /// The link to the first page, unless this is it.
    pub(super) newest: Option<String>,
}

/// Keeps the last entries before a place, as they come in order.
pub(super) struct Last<E> {
    before: Option<(Height, u32)>,
    entries: VecDeque<((Height, u32), E)>,
    has_older: bool,
}

impl<E> Last<E> {
    pub(super) fn new(query: &Query) -> Result<Self, Failure> {
        Ok(Self { before: query.place("before")?, entries: VecDeque::new(), has_older: false })
    }

    pub(super) fn push(&mut self, place: (Height, u32), entry: E) {
        if self.before.is_none_or(|before| place < before) {
            self.entries.push_back((place, entry));
        }
        if self.entries.len() > ENTRIES {
            self.entries.pop_front();
            self.has_older = true;
        }
    }

    pub(super) fn finish(self, href: &str, words: impl Fn(&E) -> String) -> Past {
        let oldest = self.entries.front().map(|((height, seq), _)| format!("{href}?before={height}-{seq}#history"));
        let entry =
            |((height, _), entry): &((Height, u32), E)| Entry { height: number((*height).into()), words: words(entry) };
        Past {
            entries: self.entries.iter().rev().map(entry).collect(),
            older: oldest.filter(|_| self.has_older),
            newest: self.before.map(|_| format!("{href}#history")),
        }
    }
}

/// Draws a feature or plugin over its last blocks, from the height on at which it began.
pub(super) fn draw(
    view: &View<'_>,
    (subject, name): (Subject, &Name),
    began: Height,
    href: &str,
    query: &Query,
) -> Result<Drawn, Failure> {
    let most = RANGES.last().copied().unwrap_or(BLOCKS);
    let blocks = query.number("blocks", 1, most)?.unwrap_or(BLOCKS);
    let from = view.height.saturating_sub(blocks).max(began);
    let range = Range { from: Some(from), to: None };
    let mut recorder = Recorder::new(subject, *name, range);
    // Rates hold until the next sample, so what was before the picture is read, too.
    let mut next = from.saturating_sub(blocks);
    let mut events = events(view, (subject, name), from)?.into_iter().peekable();
    loop {
        let samples = view.node.samples(subject, name, next, view.height, SAMPLES)?;
        for (height, sample) in &samples {
            // The sample of a block comes before its events.
            while let Some((at, event)) = events.next_if(|(at, _)| at < height) {
                recorder.event(at, &event);
            }
            recorder.sample(*height, sample);
        }
        match samples.last() {
            Some((last, _)) if samples.len() == SAMPLES => next = last.saturating_add(1),
            Some(_) | None => break,
        }
    }
    events.for_each(|(height, event)| recorder.event(height, &event));
    let place = (range, Some(view.height));
    let picture = match subject {
        Subject::Feature => feature_timeline(view.records, name, place, Some(recorder))?,
        Subject::Plugin => plugin_timeline(view.records, name, place, Some(recorder))?,
    };
    let svg = |width| match &picture {
        Some(picture) => {
            let drawn = timeline(picture, &Options { width, theme: Theme::Page });
            drawn.map_err(|error| Failure::Page(error.to_string()))
        }
        None => Ok(String::new()),
    };
    let ranges = RANGES.iter().map(|range| RangeLink {
        blocks: number(u64::from(*range)),
        href: format!("{href}?blocks={range}"),
        is_current: *range == blocks,
    });
    Ok(Drawn { wide: svg(WIDE)?, narrow: svg(NARROW)?, ranges: ranges.collect() })
}

/// The events from a height on that a picture may show, ascending; of a busy ledger the last ones.
fn events(view: &View<'_>, (subject, name): (Subject, &Name), from: Height) -> Result<Vec<(Height, Event)>, Failure> {
    let is_shown = |event: &Event| {
        let about = match subject {
            Subject::Feature => event.feature(),
            Subject::Plugin => event.plugin(),
        };
        about == Some(name) || (event.feature().is_none() && event.plugin().is_none())
    };
    let (mut found, mut read) = (Vec::new(), 0_usize);
    let (mut below, mut window) = (view.height.saturating_add(1), WINDOW);
    while below > from && read < EVENTS_MAX {
        let start = below.saturating_sub(window).max(from);
        let (mut in_window, mut read_here) = (Vec::new(), 0_usize);
        view.node.inner().each_outcome(start, below, &mut |record| {
            read_here = read_here.saturating_add(record.events.len());
            let shown = record.events.into_iter().filter(is_shown);
            in_window.extend(shown.map(|event| (record.height, event)));
            ControlFlow::Continue(())
        })?;
        if read_here <= FEW {
            window = window.saturating_mul(4);
        } else {
            window = WINDOW;
        }
        read = read.saturating_add(read_here);
        in_window.append(&mut found);
        found = in_window;
        below = start;
    }
    Ok(found)
}
