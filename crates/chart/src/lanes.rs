//! The picture of all features and plugins: a lane for each.

use crate::ChartError;
use crate::canvas::{Anchor, Canvas, Size, short};
use crate::input::{Lane, MarkKind, Options, Overview, Subject};
use crate::palette::Ink;
use crate::panel::{self, Axes, Frame, Line, Scale, X_AXIS};
use crate::text::{fit, number, width, wrap};
use crate::timeline::{Swatch, f64_of, symbol, symbol_ink};

const PAD: f64 = 16.0;
/// The kinds of marks that a lane shows.
const SHOWN: [MarkKind; 4] = [MarkKind::Rollback, MarkKind::Complete, MarkKind::Start, MarkKind::Hold];
/// So many lanes share the bytes of a picture; with fewer, each is drawn finer.
const LANES: usize = 40;
/// Of the share of each of [`LANES`] lanes, so many buckets are drawn.
const BUCKETS: usize = 32;
/// And so many symbols of rollbacks, which are the last to be thinned out, …
const ROLLBACKS: usize = 90;
/// … and of each other kind.
const SYMBOLS: usize = 20;
/// How many lanes the description tells.
const TOLD_MAX: usize = 40;

/// Draws all features and plugins over height, as SVG: what is rolled back or on its way first.
///
/// # Errors
/// [`ChartError`] if the plotting library refuses the layout.
pub fn overview(picture: &Overview, options: &Options) -> Result<String, ChartError> {
    let width = options.width.clamp(Options::WIDTH_MIN, Options::WIDTH_MAX);
    let mut drawing = Drawing { picture, canvas: Canvas::new(width), width: width.into(), y: PAD };
    drawing.heading();
    for lane in &picture.lanes {
        drawing.lane(lane)?;
    }
    drawing.foot()?;
    let height = drawing.y + PAD;
    let text = (title(picture), description(picture));
    Ok(drawing.canvas.finish(height, options.theme, "overview", (&text.0, &text.1)))
}

fn title(picture: &Overview) -> String {
    let (from, to) = (number(picture.from.into()), number(picture.to.into()));
    let chain = if picture.chain.is_empty() { String::new() } else { format!(" of {}", picture.chain) };
    format!("overview{chain}, blocks {from} to {to}")
}

fn description(picture: &Overview) -> String {
    let mut parts = vec![count(picture)];
    parts.extend(Some(picture.note.clone()).filter(|note| !note.is_empty()));
    let lanes = picture.lanes.iter().take(TOLD_MAX);
    parts.extend(lanes.map(|lane| format!("{} {}: {}", lane.subject.name(), lane.name, lane.sentence)));
    parts
        .iter()
        .map(|part| if part.ends_with('.') { part.clone() } else { format!("{part}.") })
        .collect::<Vec<_>>()
        .join(" ")
}

/// How many there are, and how many of them are shown.
fn count(picture: &Overview) -> String {
    let shown = u64::try_from(picture.lanes.len()).unwrap_or(u64::MAX);
    match picture.total {
        0 => "There are no features and no plugins yet".into(),
        total if total > shown => format!(
            "{} of {} features and plugins: what is rolled back or on its way first, by its last change",
            number(shown),
            number(total)
        ),
        1 => "1 feature or plugin".into(),
        total => format!("{} features and plugins", number(total)),
    }
}

struct Drawing<'o> {
    picture: &'o Overview,
    canvas: Canvas,
    width: f64,
    y: f64,
}

impl Drawing<'_> {
    /// Whether names stand above their lanes, not beside them.
    const fn is_narrow(&self) -> bool {
        self.width < 720.0
    }

    fn heading(&mut self) {
        let title = if self.picture.chain.is_empty() { "Features and plugins" } else { &self.picture.chain };
        for (text, ink, size, lines_max) in [
            (title, Ink::Text, Size::Large, 3),
            (count(self.picture).as_str(), Ink::Text, Size::Medium, 4),
            (self.picture.note.as_str(), Ink::Rollback, Size::Medium, 3),
        ] {
            let step = size.px() * 1.3;
            for line in wrap(text, size.px(), self.width - 2.0 * PAD, lines_max) {
                self.y += step;
                self.canvas.text((PAD, self.y - step * 0.25), (ink, size, Anchor::Start), &line);
            }
        }
        let used = SHOWN.into_iter().filter(|kind| self.picture.lanes.iter().any(|lane| lane.marks.count(*kind) > 0));
        let mut x = PAD;
        self.y += 20.0;
        for kind in used {
            Swatch::Symbol(kind).draw(&mut self.canvas, (x, self.y - 4.0));
            self.canvas.text((x + 14.0, self.y), (Ink::Muted, Size::Small, Anchor::Start), kind.name());
            x += 26.0 + width(kind.name(), Size::Small.px());
        }
        self.y += 12.0;
    }

    fn frame(&self, top: f64, height: f64) -> Frame {
        let (left, right) = if self.is_narrow() { (PAD, PAD) } else { (self.width * 0.27, self.width * 0.2) };
        Frame { left, top, width: self.width - left - right, height }
    }

    fn scale(&self, top: f64, height: f64) -> Scale {
        Scale::new(self.frame(top, height), (self.picture.from, self.picture.to), 10_000)
    }

    fn lane(&mut self, lane: &Lane) -> Result<(), ChartError> {
        let (height, gap) = (22.0, 14.0);
        let is_narrow = self.is_narrow();
        if is_narrow {
            self.y += 16.0;
        }
        let top = self.y + if is_narrow { 12.0 } else { 0.0 };
        let scale = self.scale(top, height);
        let (name_x, name_room) = (PAD, if is_narrow { self.width * 0.5 } else { scale.frame.left - PAD - 10.0 });
        let plugin_room = if lane.subject == Subject::Plugin { 44.0 } else { 0.0 };
        let name_y = if is_narrow { self.y - 4.0 } else { top + height - 7.0 };
        let ink = if lane.is_rolled_back { Ink::Rollback } else { Ink::Text };
        let now_room = if is_narrow { self.width * 0.5 - PAD * 2.0 } else { self.width - scale.right() - PAD - 10.0 };
        let now = fit(&lane.now, Size::Small.px(), now_room);
        let (now_x, anchor) =
            if is_narrow { (self.width - PAD, Anchor::End) } else { (scale.right() + 10.0, Anchor::Start) };
        let name = fit(&lane.name, Size::Small.px(), name_room - plugin_room);
        let title = format!("{} {}: {}", lane.subject.name(), lane.name, lane.sentence);
        self.canvas.group(&title, |canvas| {
            canvas.text((name_x, name_y), (Ink::Text, Size::Small, Anchor::Start), &name);
            if plugin_room > 0.0 {
                let x = name_x + width(&name, Size::Small.px()) + 6.0;
                canvas.text((x, name_y), (Ink::Muted, Size::Tiny, Anchor::Start), "plugin");
            }
            canvas.text((now_x, name_y), (ink, Size::Small, anchor), &now);
        });
        let (left, right, bottom) = (short(scale.frame.left), short(scale.right()), short(scale.bottom()));
        self.canvas.path(Ink::Grid, format!("M{left} {bottom}H{right}"));
        let finer = LANES.checked_div(self.picture.lanes.len()).unwrap_or(1).clamp(1, 16);
        let line = Line {
            series: &lane.share.coarse(BUCKETS.saturating_mul(finer)),
            ink: Ink::Share,
            area: Some(Ink::ShareArea),
        };
        panel::draw(&mut self.canvas, top + 400.0, &scale, Axes::None, &[line])?;
        for kind in SHOWN.into_iter().rev() {
            let symbols_max = if kind == MarkKind::Rollback { ROLLBACKS } else { SYMBOLS }.saturating_mul(finer);
            let apart = (scale.frame.width / f64_of(symbols_max)).max(1.0);
            let mut data = String::new();
            let mut next = f64::MIN;
            for mark in lane.marks.of(kind) {
                let x = scale.x(mark.height);
                if x >= next {
                    data.push_str(&symbol(kind, (x, top - 4.0)));
                    next = x + apart;
                }
            }
            self.canvas.path(symbol_ink(kind), data);
        }
        self.y = top + height + gap;
        Ok(())
    }

    fn foot(&mut self) -> Result<(), ChartError> {
        if self.picture.lanes.is_empty() {
            return Ok(());
        }
        self.y -= 12.0;
        let scale = self.scale(self.y, 1.0);
        panel::draw_heights(&mut self.canvas, self.y + 400.0, &scale)?;
        self.y += X_AXIS + 12.0;
        self.canvas.text((scale.right(), self.y), (Ink::Muted, Size::Small, Anchor::End), "block height");
        Ok(())
    }
}
