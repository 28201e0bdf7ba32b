//! The picture of one feature or plugin.

use std::collections::BTreeMap;

use crate::ChartError;
use crate::canvas::{Anchor, Canvas, Size, short};
use crate::input::{Kind, Mark, MarkKind, Options, Subject, Timeline};
use crate::labels::{Label, Spot, place};
use crate::palette::Ink;
use crate::panel::{self, Axes, Frame, Line, Scale, X_AXIS, Y_AXIS, axis_max};
use crate::text::{fit, number, rate, width, wrap};
use crate::thin::Series;

/// Around the picture.
const PAD: f64 = 16.0;
/// A row of labels.
const ROW: f64 = 15.0;
/// A line of a text inside a plot.
const LINE: f64 = 14.0;
/// The strip of symbols above the plot.
const SYMBOLS: f64 = 16.0;
/// The widest label.
const LABEL_MAX: f64 = 150.0;
/// How many rollbacks are explained inside the plot.
const EXPLAINED_MAX: usize = 3;
/// How many marks say by themselves what they are when pointed at.
const TITLED_MAX: usize = 250;
/// So many buckets of each line are drawn.
const BUCKETS: usize = 512;
/// So far apart are symbols but those of rollbacks, in pixels, when there are many.
const APART: f64 = 3.0;
/// More rollbacks than this are a crowd, which is drawn more lightly.
const CROWD: usize = 40;
/// How many rollbacks the description tells.
const TOLD_MAX: usize = 20;

/// Draws a feature or plugin over height, as SVG.
///
/// # Errors
/// [`ChartError`] if the plotting library refuses the layout.
pub fn timeline(picture: &Timeline, options: &Options) -> Result<String, ChartError> {
    let width = options.width.clamp(Options::WIDTH_MIN, Options::WIDTH_MAX);
    let mut drawing = Drawing::new(picture, width);
    drawing.heading();
    drawing.share_title();
    let labels = drawing.place_labels();
    let share = drawing.share(&labels)?;
    let rates = drawing.rates()?;
    drawing.marks(&labels, &share, rates.as_ref());
    drawing.explain(&share);
    let height = drawing.y + PAD;
    let id = format!("{}-{}", picture.subject.name(), picture.name);
    Ok(drawing.canvas.finish(height, options.theme, &id, (&title(picture), &description(picture))))
}

fn title(picture: &Timeline) -> String {
    let (subject, name) = (picture.subject.name(), &picture.name);
    format!("{subject} {name}, blocks {} to {}", number(picture.from.into()), number(picture.to.into()))
}

/// The picture in words.
fn description(picture: &Timeline) -> String {
    let mut text = vec![sentence(&picture.headline)];
    let counts = MarkKind::ALL.map(|kind| (kind, picture.marks.count(kind)));
    let counts = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{} {}", number(*count), kind.name()));
    let counts: Vec<String> = counts.collect();
    if !counts.is_empty() {
        text.push(format!("Marks: {}.", counts.join(", ")));
    }
    let told = picture.marks.of(MarkKind::Rollback).rev().take(TOLD_MAX);
    text.extend(told.map(|mark| format!("{}: {}", blocks(mark), sentence(&mark.sentence))));
    text.push(sentence(&picture.note));
    text.retain(|part| !part.is_empty());
    if text.is_empty() { "Nothing happened in these blocks.".into() } else { text.join(" ") }
}

/// The text with a full stop at its end.
fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with('.') { text.into() } else { format!("{text}.") }
}

/// The height of a mark, or the heights of several.
pub(crate) fn blocks(mark: &Mark) -> String {
    if mark.count <= 1 {
        return format!("Block {}", number(mark.height.into()));
    }
    let (first, last) = (number(mark.height.into()), number(mark.until.into()));
    format!("Blocks {first} to {last}, {} times, the last", number(mark.count))
}

/// A mark with its label where it has found room.
struct Labelled<'t> {
    mark: &'t Mark,
    x: f64,
    text: String,
    spot: Option<Spot>,
}

struct Drawing<'t> {
    picture: &'t Timeline,
    canvas: Canvas,
    width: f64,
    /// How far down the picture goes so far.
    y: f64,
}

impl<'t> Drawing<'t> {
    fn new(picture: &'t Timeline, width: u32) -> Self {
        Self { picture, canvas: Canvas::new(width), width: width.into(), y: PAD }
    }

    const fn is_narrow(&self) -> bool {
        self.width < 560.0
    }

    fn frame(&self, top: f64, height: f64) -> Frame {
        let left = PAD + Y_AXIS;
        Frame { left, top, width: self.width - PAD - left, height }
    }

    fn scale(&self, top: f64, height: f64, max: u64) -> Scale {
        Scale::new(self.frame(top, height), (self.picture.from, self.picture.to), max)
    }

    /// Lines of text over the whole width.
    fn lines(&mut self, ink: Ink, size: Size, text: &str, lines_max: usize) {
        let step = size.px() * 1.3;
        for line in wrap(text, size.px(), self.width - 2.0 * PAD, lines_max) {
            self.y += step;
            self.canvas.text((PAD, self.y - step * 0.25), (ink, size, Anchor::Start), &line);
        }
    }

    fn heading(&mut self) {
        self.lines(Ink::Text, Size::Large, &self.picture.name, 4);
        self.y += 2.0;
        self.lines(Ink::Text, Size::Medium, &self.picture.headline, 6);
        self.lines(Ink::Muted, Size::Small, &self.picture.note, 4);
        self.y += 8.0;
    }

    /// A title above a plot, and a legend behind it or below.
    fn plot_title(&mut self, title: &str, legend: &[(Swatch, String)]) {
        self.y += 16.0;
        let mut x = PAD;
        self.canvas.text((x, self.y), (Ink::Muted, Size::Medium, Anchor::Start), title);
        x += width(title, Size::Medium.px()) + 8.0;
        for (swatch, name) in legend {
            let room = self.width - 2.0 * PAD - 24.0;
            let name = fit(name, Size::Small.px(), room);
            let entry = 24.0 + width(&name, Size::Small.px());
            if x + entry > self.width - PAD {
                (x, self.y) = (PAD, self.y + 16.0);
            }
            swatch.draw(&mut self.canvas, (x, self.y - 4.0));
            let place = (x + swatch.width() + 4.0, self.y);
            self.canvas.text(place, (Ink::Muted, Size::Small, Anchor::Start), &name);
            x += swatch.width() + 14.0 + width(&name, Size::Small.px());
        }
        self.y += 6.0;
    }

    fn share_title(&mut self) {
        let title = match self.picture.subject {
            Subject::Feature => "Share of users",
            Subject::Plugin => "Share of units on the new version",
        };
        let used = MarkKind::ALL.into_iter().filter(|kind| self.picture.marks.count(*kind) > 0);
        let legend: Vec<(Swatch, String)> = used.map(|kind| (Swatch::Symbol(kind), kind.name().into())).collect();
        self.plot_title(title, &legend);
    }

    /// Places the labels of marks, the latest of each kind first.
    fn place_labels(&self) -> Vec<Labelled<'t>> {
        let scale = self.scale(0.0, 1.0, 1);
        let mut labels: Vec<Labelled<'t>> = Vec::new();
        for mark in self.picture.marks.all().into_iter().rev() {
            let label = fit(&mark.label, Size::Small.px(), LABEL_MAX);
            let text = if mark.count > 1 { format!("{label} ×{}", number(mark.count)) } else { label };
            labels.push(Labelled { mark, x: scale.x(mark.height), text, spot: None });
        }
        let rank = |kind: MarkKind| MarkKind::ALL.iter().position(|other| *other == kind);
        let wanted: Vec<Label> = labels
            .iter()
            .map(|label| Label {
                x: label.x,
                width: width(&label.text, Size::Small.px()),
                rank: rank(label.mark.kind).and_then(|rank| u32::try_from(rank).ok()).unwrap_or(u32::MAX),
            })
            .collect();
        let spots = place(&wanted, PAD, self.width - PAD, if self.is_narrow() { 4 } else { 5 });
        labels.iter_mut().zip(spots).for_each(|(label, spot)| label.spot = spot);
        labels
    }

    fn share(&mut self, labels: &[Labelled<'t>]) -> Result<Scale, ChartError> {
        let rows = labels.iter().filter_map(|label| label.spot).map(|spot| spot.row.saturating_add(1)).max();
        self.y += ROW * f64_of(rows.unwrap_or(0)) + SYMBOLS;
        let scale = self.scale(self.y, if self.is_narrow() { 150.0 } else { 180.0 }, 10_000);
        let line = Line { series: &self.picture.share.coarse(BUCKETS), ink: Ink::Share, area: Some(Ink::ShareArea) };
        let has_rates = self.has_rates();
        let axes = if has_rates || !self.picture.versions.is_empty() { Axes::Values } else { Axes::Both };
        panel::draw(&mut self.canvas, self.y + 400.0, &scale, axes, &[line])?;
        if self.picture.share.is_empty() {
            let place = (scale.frame.left + scale.frame.width / 2.0, scale.frame.top + scale.frame.height / 2.0);
            self.canvas.text(place, (Ink::Muted, Size::Medium, Anchor::Middle), "never started");
        }
        self.y = scale.bottom();
        if !self.picture.versions.is_empty() {
            self.versions(&scale);
        }
        if axes == Axes::Both {
            self.y += X_AXIS;
            self.axis_name(&scale);
        } else if !has_rates {
            // The strip of versions stands between the plot and its heights.
            let empty = self.scale(self.y, 1.0, 1);
            panel::draw_heights(&mut self.canvas, self.y + 400.0, &empty)?;
            self.y += X_AXIS;
            self.axis_name(&scale);
        }
        Ok(scale)
    }

    /// The versions that serve the rest of the units, as a strip below the share.
    fn versions(&mut self, scale: &Scale) {
        self.y += 5.0;
        let top = self.y;
        let mut lines = String::new();
        for span in &self.picture.versions {
            let (from, to) = (scale.x(span.from), span.to.map_or(scale.right(), |to| scale.x(to)));
            if to - from < 1.0 {
                continue;
            }
            lines.push_str(&format!("M{} {}h{}v15h{}z", short(from), short(top), short(to - from), short(from - to)));
            let name = fit(&span.name, Size::Tiny.px(), to - from - 6.0);
            if width(&name, Size::Tiny.px()) <= to - from - 6.0 {
                let place = (from + 4.0, top + 11.0);
                self.canvas.text(place, (Ink::Muted, Size::Tiny, Anchor::Start), &name);
            }
        }
        self.canvas.path(Ink::Axis, lines);
        let place = (scale.frame.left - 6.0, top + 11.0);
        self.canvas.text(place, (Ink::Muted, Size::Tiny, Anchor::End), "current");
        self.y += 15.0;
    }

    fn axis_name(&mut self, scale: &Scale) {
        self.y += 11.0;
        self.canvas.text((scale.right(), self.y), (Ink::Muted, Size::Small, Anchor::End), "block height");
    }

    fn has_rates(&self) -> bool {
        self.picture.rates.iter().any(|curve| !curve.series.is_empty())
    }

    fn rates(&mut self) -> Result<Option<Scale>, ChartError> {
        if !self.has_rates() {
            return Ok(None);
        }
        self.y += 8.0;
        let ink = |kind| match kind {
            Kind::Main => Ink::Main,
            Kind::Unjudged => Ink::Unjudged,
            Kind::Recent => Ink::Recent,
            Kind::Production => Ink::Production,
        };
        let drawn = || self.picture.rates.iter().filter(|curve| !curve.series.is_empty());
        let mut legend: Vec<(Swatch, String)> =
            drawn().map(|curve| (Swatch::Line(ink(curve.kind)), curve.name.clone())).collect();
        if let Some(threshold) = self.picture.threshold.last_value() {
            legend.push((Swatch::Line(Ink::Threshold), format!("threshold {}", rate(threshold.into()))));
        }
        if let Some(window) = &self.picture.window {
            legend.push((Swatch::Area(Ink::Window), window.name.clone()));
        }
        self.plot_title("Error rate", &legend);
        // A rate of few operations says little, and would make the others flat.
        let judged = drawn().filter(|curve| curve.kind != Kind::Unjudged).filter_map(|curve| curve.series.max()).max();
        let any = judged.or(drawn().filter_map(|curve| curve.series.max()).max()).unwrap_or(0);
        let threshold = self.picture.threshold.max().unwrap_or(0);
        let max = axis_max(any.saturating_add(any / 10).max(threshold.saturating_add(threshold / 3)));
        self.y += 4.0;
        let scale = self.scale(self.y, if self.is_narrow() { 110.0 } else { 130.0 }, max);
        if let Some(window) = &self.picture.window {
            let (left, right) = (scale.x(window.from), window.to.map_or(scale.right(), |to| scale.x(to)));
            let size = ((right - left).max(2.0), scale.frame.height);
            self.canvas.rect(Ink::Window, (left, scale.frame.top), size, "");
        }
        let curves = self.picture.rates.iter().map(|curve| (curve.series.coarse(BUCKETS), ink(curve.kind)));
        let threshold = [(self.picture.threshold.coarse(BUCKETS), Ink::Threshold)];
        let series: Vec<(Series, Ink)> = threshold.into_iter().chain(curves).collect();
        let lines: Vec<Line<'_>> = series.iter().map(|(series, ink)| Line { series, ink: *ink, area: None }).collect();
        panel::draw(&mut self.canvas, self.y + 400.0, &scale, Axes::Both, &lines)?;
        self.judged(&scale);
        self.y = scale.bottom() + X_AXIS;
        self.axis_name(&scale);
        Ok(Some(scale))
    }

    /// The rates on which something was rolled back, as points; those of the last rollbacks as numbers, too.
    fn judged(&mut self, scale: &Scale) {
        let rollbacks: Vec<&Mark> = self.picture.marks.of(MarkKind::Rollback).rev().collect();
        let is_judged = |kind| matches!(kind, Kind::Main | Kind::Recent);
        let mut at: BTreeMap<u32, u32> = BTreeMap::new();
        for curve in self.picture.rates.iter().filter(|curve| is_judged(curve.kind)) {
            for (height, value) in curve.series.points() {
                if let Some(value) = value {
                    at.entry(height).and_modify(|highest| *highest = value.max(*highest)).or_insert(value);
                }
            }
        }
        let is_crowd = rollbacks.len() > CROWD;
        let mut points = String::new();
        let mut last_column = None;
        let mut right = f64::MAX;
        for (index, mark) in rollbacks.iter().enumerate() {
            let Some(value) = at.get(&mark.until).copied() else { continue };
            let (x, y) = (scale.x(mark.until), scale.y(value));
            if last_column != Some(short(x)) {
                points.push_str(&if is_crowd {
                    format!("M{} {}h3v3h-3z", short(x - 1.5), short(y - 1.5))
                } else {
                    format!("M{} {}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0", short(x - 3.5), short(y))
                });
            }
            last_column = Some(short(x));
            let text = rate(value.into());
            let left = x - 8.0 - width(&text, Size::Small.px());
            if index < EXPLAINED_MAX && !is_crowd && left >= scale.frame.left && x < right {
                let y = (y - 4.0).max(scale.frame.top + 9.0);
                self.canvas.text((x - 8.0, y), (Ink::Rollback, Size::Small, Anchor::End), &text);
                right = left;
            }
        }
        self.canvas.path(Ink::Rollback, points);
    }

    /// Symbols above the share, labels with their lines, and the lines of rollbacks through all plots.
    fn marks(&mut self, labels: &[Labelled<'t>], share: &Scale, rates: Option<&Scale>) {
        let base = share.frame.top - SYMBOLS / 2.0;
        let mut through = String::new();
        let mut last_column = None;
        // Many lines would hide what they are about: then only those of the last rollbacks are drawn.
        let rollbacks = || labels.iter().filter(|label| label.mark.kind == MarkKind::Rollback);
        let shown = if rollbacks().count() > CROWD { EXPLAINED_MAX } else { CROWD };
        for label in rollbacks().take(shown) {
            if last_column == Some(short(label.x)) {
                continue;
            }
            last_column = Some(short(label.x));
            through.push_str(&format!("M{} {}V{}", short(label.x), short(share.frame.top), short(share.bottom())));
            if let Some(rates) = rates {
                through.push_str(&format!("M{} {}V{}", short(label.x), short(rates.frame.top), short(rates.bottom())));
            }
        }
        self.canvas.path(Ink::RollbackLine, through);
        let mut leaders = String::new();
        for label in labels {
            if let Some(spot) = label.spot {
                let top = base - SYMBOLS / 2.0 - ROW * f64_of(spot.row.saturating_add(1)) + 3.0;
                leaders.push_str(&format!("M{} {}V{}", short(label.x), short(top), short(base)));
            }
        }
        self.canvas.path(Ink::Leader, leaders);
        for kind in MarkKind::ALL.into_iter().rev() {
            let of_kind = labels.iter().filter(|label| label.mark.kind == kind);
            let apart = if kind == MarkKind::Rollback { 1.0 } else { APART };
            let mut data = String::new();
            // From right to left, as labels are.
            let mut next = f64::MAX;
            for label in of_kind {
                if label.x <= next {
                    data.push_str(&symbol(kind, (label.x, base)));
                    next = label.x - apart;
                }
            }
            self.canvas.path(symbol_ink(kind), data);
        }
        let mut titled = 0_usize;
        for label in labels {
            let Some(spot) = label.spot else { continue };
            let y = base - SYMBOLS / 2.0 - ROW * f64_of(spot.row) - 3.0;
            let ink = if label.mark.kind == MarkKind::Rollback { Ink::Rollback } else { Ink::Text };
            let draw = |canvas: &mut Canvas| {
                canvas.text((spot.left, y), (ink, Size::Small, Anchor::Start), &label.text);
            };
            titled = titled.saturating_add(1);
            if titled <= TITLED_MAX {
                let title = format!("{}: {}", blocks(label.mark), label.mark.sentence);
                self.canvas.group(&title, draw);
            } else {
                draw(&mut self.canvas);
            }
        }
    }

    /// The last rollbacks in words, beside their lines.
    fn explain(&mut self, share: &Scale) {
        let size = Size::Small;
        let room = (share.frame.width * if self.is_narrow() { 0.62 } else { 0.34 }).min(270.0);
        let mut taken: Vec<Frame> = Vec::new();
        for (index, mark) in self.picture.marks.of(MarkKind::Rollback).rev().take(EXPLAINED_MAX).enumerate() {
            let x = share.x(mark.height);
            let is_free = |(frame, _): &(Frame, Vec<String>)| {
                frame.left >= share.frame.left
                    && frame.left + frame.width <= share.right()
                    && frame.top + frame.height <= share.bottom()
                    && !taken.iter().any(|other| overlap(frame, other))
            };
            let free: Vec<(Frame, Vec<String>)> = [1.0, 0.7, 0.45, 0.3]
                .into_iter()
                .flat_map(|part| blocks_of_text(share, x, wrap(&mark.sentence, size.px(), room * part, 9)))
                .filter(is_free)
                .collect();
            let clear = free.iter().find(|(frame, _)| !self.crosses_share(share, frame));
            // The last one is told in any case, over the line of the share if need be.
            let place = clear.or(free.first().filter(|_| index == 0)).cloned();
            let Some((frame, lines)) = place else { continue };
            taken.push(frame);
            self.canvas.rect(Ink::Ground, (frame.left, frame.top), (frame.width, frame.height), ".85");
            for (index, line) in lines.iter().enumerate() {
                let y = frame.top + LINE * f64_of(index) + 13.0;
                self.canvas.text((frame.left + 4.0, y), (Ink::Rollback, size, Anchor::Start), line);
            }
        }
    }

    /// Whether the line of the share runs through a frame.
    fn crosses_share(&self, scale: &Scale, frame: &Frame) -> bool {
        let mut before: Option<u32> = None;
        let mut at = scale.frame.left;
        let hits = |left: f64, right: f64, low: u32, high: u32| {
            left <= frame.left + frame.width
                && right >= frame.left
                && scale.y(high) <= frame.top + frame.height
                && scale.y(low) >= frame.top
        };
        for (height, value) in self.picture.share.points() {
            let x = scale.x(height);
            if let Some(before) = before {
                let after = value.unwrap_or(before);
                if hits(at, x, before, before) || hits(x, x, before.min(after), before.max(after)) {
                    return true;
                }
            }
            (before, at) = (value, x);
        }
        before.is_some_and(|value| hits(at, scale.right(), value, value))
    }
}

/// The places of a text beside a line at `x`: on its right and left, from the top down.
fn blocks_of_text(scale: &Scale, x: f64, lines: Vec<String>) -> Vec<(Frame, Vec<String>)> {
    let widths = lines.iter().map(|line| width(line, Size::Small.px()));
    let Some(widest) = widths.reduce(f64::max) else { return Vec::new() };
    let (width, height) = (widest + 8.0, LINE * f64_of(lines.len()) + 6.0);
    let slack = scale.frame.height - height - 8.0;
    let tops = [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| scale.frame.top + 4.0 + slack * part);
    let lefts = [x + 4.0, x - 4.0 - width];
    let frames = lefts.into_iter().flat_map(|left| tops.map(|top| Frame { left, top, width, height }));
    frames.filter(|frame| frame.top >= scale.frame.top).map(|frame| (frame, lines.clone())).collect()
}

fn overlap(a: &Frame, b: &Frame) -> bool {
    a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height
}

/// A count in pixels.
pub(crate) fn f64_of(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}

/// A sample in a legend.
pub(crate) enum Swatch {
    Symbol(MarkKind),
    Line(Ink),
    Area(Ink),
}

impl Swatch {
    pub(crate) const fn width(&self) -> f64 {
        match self {
            Self::Symbol(_) => 10.0,
            Self::Line(_) => 22.0,
            Self::Area(_) => 14.0,
        }
    }

    pub(crate) fn draw(&self, canvas: &mut Canvas, (x, y): (f64, f64)) {
        match self {
            Self::Symbol(kind) => canvas.path(symbol_ink(*kind), symbol(*kind, (x + 5.0, y))),
            Self::Line(ink) => canvas.path(*ink, format!("M{} {}h22", short(x), short(y))),
            Self::Area(ink) => canvas.rect(*ink, (x, y - 5.0), (14.0, 10.0), ""),
        }
    }
}

pub(crate) const fn symbol_ink(kind: MarkKind) -> Ink {
    match kind {
        MarkKind::Rollback => Ink::Rollback,
        MarkKind::Complete => Ink::Complete,
        MarkKind::Start => Ink::Start,
        MarkKind::Hold => Ink::Hold,
        MarkKind::Step | MarkKind::Note => Ink::Muted,
    }
}

/// The symbol of a kind of mark around a place: each has a shape of its own.
pub(crate) fn symbol(kind: MarkKind, (x, y): (f64, f64)) -> String {
    let at = |dx: f64, dy: f64| format!("M{} {}", short(x + dx), short(y + dy));
    match kind {
        MarkKind::Rollback => format!("{}h10l-5 9z", at(-5.0, -4.0)),
        MarkKind::Complete => format!("{}a4 4 0 1 0 8 0a4 4 0 1 0-8 0", at(-4.0, 0.0)),
        MarkKind::Start => format!("{}h10l-5-9z", at(-5.0, 5.0)),
        MarkKind::Hold => format!("{}h3v9h-3zm5 0h3v9h-3z", at(-4.0, -4.0)),
        MarkKind::Step => format!("{}h2v7h-2z", at(-1.0, -2.0)),
        MarkKind::Note => format!("{}l3 4-3 4-3-4z", at(0.0, -4.0)),
    }
}
