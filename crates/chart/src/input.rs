//! What is drawn, as plain values.

use std::collections::BTreeMap;
use std::mem;

use crate::thin::Series;

/// How a picture looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Its width in pixels, 320 to 1 600; others are brought into that range. The height follows from the content.
    pub width: u32,
    /// Light, dark, or as the reader has it.
    pub theme: Theme,
}

impl Options {
    /// The narrowest picture: that of a small phone.
    pub const WIDTH_MIN: u32 = 320;
    /// The widest picture.
    pub const WIDTH_MAX: u32 = 1_600;
}

impl Default for Options {
    fn default() -> Self {
        Self { width: 960, theme: Theme::Auto }
    }
}

/// The colours of a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    /// As the reader prefers (`prefers-color-scheme`); light where that is not known.
    #[default]
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
    /// As the page has it that the picture is put into: the picture has no style of its own, and the page has
    /// [`style_sheet`](crate::style_sheet). For pages whose policy allows no styles inside of them.
    Page,
}

/// What a timeline or lane is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A feature, which is on for a share of users.
    Feature,
    /// A plugin, of which a new version serves a share of units.
    Plugin,
}

impl Subject {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Feature => "feature",
            Self::Plugin => "plugin",
        }
    }
}

/// One feature or plugin over height. Shares and rates are in basis points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// What it is about.
    pub subject: Subject,
    /// Its name.
    pub name: String,
    /// What it is now, in words.
    pub headline: String,
    /// The first height of the picture.
    pub from: u32,
    /// The last one.
    pub to: u32,
    /// The share of users, or of units that the new version serves.
    pub share: Series,
    /// Which version serves the rest; none for a feature.
    pub versions: Vec<Span>,
    /// Error rates.
    pub rates: Vec<Curve>,
    /// The rate above which the subject is rolled back.
    pub threshold: Series,
    /// The blocks over which a sliding rate was last judged.
    pub window: Option<Span>,
    /// What happened.
    pub marks: Marks,
    /// What the picture cannot show, and why; empty if there is nothing to say.
    pub note: String,
}

impl Timeline {
    /// A timeline with nothing on it yet.
    #[must_use]
    pub fn new(subject: Subject, name: impl Into<String>, from: u32, to: u32) -> Self {
        Self {
            subject,
            name: name.into(),
            headline: String::new(),
            from,
            to,
            share: Series::default(),
            versions: Vec::new(),
            rates: Vec::new(),
            threshold: Series::default(),
            window: None,
            marks: Marks::default(),
            note: String::new(),
        }
    }
}

/// What a line of error rates is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The rate that is judged first: of the trial, or of the new version.
    Main,
    /// The same while there are too few operations for a judgement.
    Unjudged,
    /// The rate of the window, or of the stage.
    Recent,
    /// The rate of the version in production.
    Production,
}

/// A line of error rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curve {
    /// What it is about.
    pub kind: Kind,
    /// Its name in the legend.
    pub name: String,
    /// Rates in basis points.
    pub series: Series,
}

/// A range of heights with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The first height.
    pub from: u32,
    /// The height at which it ends; `None`: it goes on.
    pub to: Option<u32>,
    /// What it is.
    pub name: String,
}

/// What a mark is about, the most important first: labels of those go first where there is no room for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    /// A rollback, or another verdict against the change.
    Rollback,
    /// The change is complete: fully on, promoted, won.
    Complete,
    /// A start: of a canary, a rollout, a deployment.
    Start,
    /// Something keeps it where it is.
    Hold,
    /// The share has grown.
    Step,
    /// Anything else.
    Note,
}

impl MarkKind {
    /// All of them, the most important first.
    pub const ALL: [Self; 6] = [Self::Rollback, Self::Complete, Self::Start, Self::Hold, Self::Step, Self::Note];

    /// What the symbol means, for the legend.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rolled back",
            Self::Complete => "complete",
            Self::Start => "start",
            Self::Hold => "held",
            Self::Step => "step",
            Self::Note => "other",
        }
    }
}

/// Something that happened at a height; of a long history several of one kind, close to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The height of the first.
    pub height: u32,
    /// The height of the last.
    pub until: u32,
    /// How many there are.
    pub count: u64,
    /// Their kind.
    pub kind: MarkKind,
    /// A word or two, of the last.
    pub label: String,
    /// What happened, in a sentence without its height, of the last.
    pub sentence: String,
}

impl Mark {
    /// A single mark.
    #[must_use]
    pub fn new(height: u32, kind: MarkKind, label: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { height, until: height, count: 1, kind, label: label.into(), sentence: sentence.into() }
    }
}

/// Marks, of which those of one kind are counted together when there are many. None is ever dropped, and those of one
/// kind never cost those of another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    kinds: BTreeMap<MarkKind, KindMarks>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct KindMarks {
    /// A group has this power of two of heights; of none, every mark is by itself.
    shift: Option<u32>,
    marks: Vec<Mark>,
}

impl Marks {
    /// How many groups of one kind are kept apart.
    pub const GROUPS_MAX: usize = 1_024;

    /// Adds a mark. Heights never fall within a kind.
    pub fn push(&mut self, mark: Mark) {
        self.kinds.entry(mark.kind).or_default().push(mark);
    }

    /// Adds other marks, which may be of any height.
    pub fn merge(&mut self, other: Self) {
        for (kind, KindMarks { marks, .. }) in other.kinds {
            let mut all = self.kinds.remove(&kind).unwrap_or_default().marks;
            all.extend(marks);
            all.sort_by_key(|mark| mark.height);
            let mut merged = KindMarks::default();
            all.into_iter().for_each(|mark| merged.push(mark));
            self.kinds.insert(kind, merged);
        }
    }

    /// All marks of a kind by height.
    pub fn of(&self, kind: MarkKind) -> impl DoubleEndedIterator<Item = &Mark> {
        self.kinds.get(&kind).into_iter().flat_map(|marks| marks.marks.iter())
    }

    /// How many marks of a kind there have been.
    #[must_use]
    pub fn count(&self, kind: MarkKind) -> u64 {
        self.of(kind).fold(0, |sum, mark| sum.saturating_add(mark.count))
    }

    /// All marks by height, and at one height the most important first.
    #[must_use]
    pub fn all(&self) -> Vec<&Mark> {
        let mut all: Vec<&Mark> = self.kinds.values().flat_map(|kind| kind.marks.iter()).collect();
        all.sort_by_key(|mark| (mark.height, mark.kind));
        all
    }
}

impl KindMarks {
    fn push(&mut self, mark: Mark) {
        match (self.shift, self.marks.last_mut()) {
            (Some(shift), Some(last)) if is_one_group(last, &mark, shift) => last.take(mark),
            (_, _) => self.marks.push(mark),
        }
        while self.marks.len() > Marks::GROUPS_MAX {
            let shift = self.shift.map_or(0, |shift| shift.saturating_add(1));
            self.shift = Some(shift);
            for mark in mem::take(&mut self.marks) {
                match self.marks.last_mut() {
                    Some(last) if is_one_group(last, &mark, shift) => last.take(mark),
                    Some(_) | None => self.marks.push(mark),
                }
            }
        }
    }
}

fn is_one_group(a: &Mark, b: &Mark, shift: u32) -> bool {
    let group = |mark: &Mark| mark.height.checked_shr(shift).unwrap_or(0);
    group(a) == group(b)
}

impl Mark {
    /// Counts a later mark together with this one.
    fn take(&mut self, later: Self) {
        let Self { until, count, label, sentence, .. } = later;
        self.until = until;
        self.count = self.count.saturating_add(count);
        (self.label, self.sentence) = (label, sentence);
    }
}

/// All features and plugins of a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// The id of the ledger; may be empty.
    pub chain: String,
    /// The first height of the picture.
    pub from: u32,
    /// The last one.
    pub to: u32,
    /// Those that are shown.
    pub lanes: Vec<Lane>,
    /// How many there are, with those that are not shown.
    pub total: u64,
    /// What holds for all of them, such as an open breaker; may be empty.
    pub note: String,
}

/// One feature or plugin of an overview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// What it is about.
    pub subject: Subject,
    /// Its name.
    pub name: String,
    /// What it is now, in a few words.
    pub now: String,
    /// The same in a sentence.
    pub sentence: String,
    /// Whether the last thing that happened to it was a rollback.
    pub is_rolled_back: bool,
    /// The share of users or units, in basis points.
    pub share: Series,
    /// What happened; steps need no marks here.
    pub marks: Marks,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_together_and_never_lost() {
        let mut marks = Marks::default();
        for height in 0..100_000 {
            marks.push(Mark::new(height, MarkKind::Step, format!("{height}"), ""));
            if height % 25_000 == 7 {
                marks.push(Mark::new(height, MarkKind::Rollback, "rolled back", format!("{height}")));
            }
        }
        assert_eq!(marks.count(MarkKind::Step), 100_000);
        assert!(marks.of(MarkKind::Step).count() <= Marks::GROUPS_MAX);
        let rollbacks: Vec<u32> = marks.of(MarkKind::Rollback).map(|mark| mark.height).collect();
        assert_eq!(rollbacks, [7, 25_007, 50_007, 75_007]);
        let last = marks.of(MarkKind::Step).next_back().unwrap();
        assert_eq!((last.until, last.label.as_str()), (99_999, "99999"));
        assert!(marks.all().is_sorted_by_key(|mark| mark.height));
    }

    #[test]
    fn many_marks_of_one_block_are_one_group() {
        let mut marks = Marks::default();
        (0..5_000).for_each(|_| marks.push(Mark::new(9, MarkKind::Note, "override", "")));
        assert_eq!(marks.of(MarkKind::Note).map(|mark| mark.count).collect::<Vec<_>>(), [5_000]);
    }
}
