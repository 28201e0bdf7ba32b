//! A canvas that the plotting library draws on, and that becomes an SVG document with classes in place of colours.

use std::convert::Infallible;
use std::fmt::Write as _;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};
use svg::Document;
use svg::node::Text as TextNode;
use svg::node::element::{Circle, Description, Group, Path, Rectangle, Style, Text, Title};

use crate::input::Theme;
use crate::palette::{self, Ink};
use crate::text::{clean, width};

/// The font sizes in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// A heading.
    Large,
    /// What is read first.
    Medium,
    /// Labels.
    Small,
    /// Notes.
    Tiny,
}

impl Size {
    pub(crate) const fn px(self) -> f64 {
        match self {
            Self::Large => 18.0,
            Self::Medium => 13.0,
            Self::Small => 11.0,
            Self::Tiny => 10.0,
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Large => "f1",
            Self::Medium => "f2",
            Self::Small => "f3",
            Self::Tiny => "f4",
        }
    }
}

/// Which end of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    const fn class(self) -> &'static str {
        match self {
            Self::Start => "",
            Self::Middle => " d",
            Self::End => " e",
        }
    }
}

/// An SVG in the making. Coordinates are in pixels.
pub(crate) struct Canvas {
    width: u32,
    body: Group,
}

impl Canvas {
    pub(crate) fn new(width: u32) -> Self {
        Self { width, body: Group::new() }
    }

    /// A text whose baseline is at `y`.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), (ink, size, anchor): (Ink, Size, Anchor), text: &str) {
        let class = format!("{} {}{}", ink.class(), size.class(), anchor.class());
        self.add(Text::new(clean(text)).set("x", short(x)).set("y", short(y)).set("class", class));
    }

    /// A path in the syntax of SVG.
    pub(crate) fn path(&mut self, ink: Ink, data: String) {
        if !data.is_empty() {
            self.add(Path::new().set("class", ink.class()).set("d", data));
        }
    }

    /// A filled rectangle.
    pub(crate) fn rect(&mut self, ink: Ink, (x, y): (f64, f64), (width, height): (f64, f64), opacity: &str) {
        let rect = Rectangle::new().set("class", ink.class()).set("x", short(x)).set("y", short(y));
        let rect = rect.set("width", short(width.max(0.0))).set("height", short(height.max(0.0)));
        self.add(if opacity.is_empty() { rect } else { rect.set("opacity", opacity) });
    }

    /// What is drawn by `draw` belongs together, and shows `title` when it is pointed at.
    pub(crate) fn group(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        let mut inner = Self { width: self.width, body: Group::new().add(Title::new(clean(title))) };
        draw(&mut inner);
        self.body = std::mem::replace(&mut self.body, Group::new()).add(inner.body);
    }

    /// What the plotting library draws on.
    pub(crate) const fn pen(&mut self, height: u32) -> Pen<'_> {
        Pen { canvas: self, height }
    }

    fn add(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        svg::Node::append(&mut self.body, node);
    }

    /// The document, with its text for those who do not see it.
    ///
    /// `id` begins the ids in it, so that several pictures can stand on one page.
    pub(crate) fn finish(self, height: f64, theme: Theme, id: &str, (title, description): (&str, &str)) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
        let id: String = id.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
        let id = format!("{id}-{}", self.width);
        let (width, height) = (self.width, short(height));
        let ground = Rectangle::new().set("class", Ink::Ground.class()).set("width", "100%").set("height", "100%");
        let scheme = match theme {
            Theme::Auto => Some("light dark"),
            Theme::Light => Some("light"),
            Theme::Dark => Some("dark"),
            Theme::Page => None,
        };
        let mut document = Document::new()
            .set("viewBox", format!("0 0 {width} {height}"))
            .set("width", width)
            .set("height", height)
            .set("role", "img")
            .set("class", "coalmine")
            .set("aria-labelledby", format!("{id}-title {id}-desc"))
            .add(Title::new(clean(title)).set("id", format!("{id}-title")))
            .add(Description::new().set("id", format!("{id}-desc")).add(TextNode::new(clean(description))));
        if let Some(scheme) = scheme {
            document = document
                .set("style", format!("color-scheme:{scheme};max-width:100%;height:auto"))
                .add(Style::new(palette::sheet(theme)));
        }
        format!("{}\n", document.add(ground).add(self.body))
    }
}

/// A number with at most one decimal, so that it takes few bytes and every machine writes the same.
pub(crate) fn short(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    if rounded == 0.0 { "0".into() } else { rounded.to_string() }
}

/// Draws for the plotting library.
pub(crate) struct Pen<'c> {
    canvas: &'c mut Canvas,
    height: u32,
}

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Pen<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.canvas.width, self.height)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.canvas.rect(Ink::of_color(color.rgb), (x.into(), y.into()), (1.0, 1.0), "");
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, _fill: bool) -> Drawn {
        let (left, top, right, bottom) = (f64::from(from.0), f64::from(from.1), f64::from(to.0), f64::from(to.1));
        let (x, y) = (left.min(right), top.min(bottom));
        let size = ((right - left).abs(), (bottom - top).abs());
        self.canvas.rect(Ink::of_color(style.color().rgb), (x, y), size, "");
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        if style.color().alpha > 0.0 {
            self.canvas.path(Ink::of_color(style.color().rgb), path_data(path, ""));
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, (x, y): BackendCoord, radius: u32, style: &S, _fill: bool) -> Drawn {
        let circle = Circle::new().set("class", Ink::of_color(style.color().rgb).class());
        self.canvas.add(circle.set("cx", x).set("cy", y).set("r", radius));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        self.canvas.path(Ink::of_color(style.color().rgb), path_data(path, "z"));
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let anchor = match style.anchor().h_pos {
            HPos::Left => Anchor::Start,
            HPos::Center => Anchor::Middle,
            HPos::Right => Anchor::End,
        };
        let baseline = match style.anchor().v_pos {
            VPos::Top => 0.8,
            VPos::Center => 0.36,
            VPos::Bottom => -0.2,
        };
        let place = (x.into(), f64::from(y) + baseline * Size::Small.px());
        self.canvas.text(place, (Ink::of_color(style.color().rgb), Size::Small, anchor), text);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        _style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let pixels = u32::try_from(px(width(text, Size::Small.px()).ceil())).unwrap_or(0);
        Ok((pixels, 13))
    }
}

/// The nearest pixel.
#[expect(clippy::as_conversions, reason = "a cast of a float saturates")]
pub(crate) const fn px(value: f64) -> i32 {
    value.round() as i32
}

/// The data of a path, in as few bytes as it takes. Of the points of one column only those are kept that change the
/// picture: the first and the last, the highest and the lowest.
fn path_data(points: impl IntoIterator<Item = BackendCoord>, end: &str) -> String {
    let mut columns: Vec<(i32, Vec<i32>)> = Vec::new();
    for (x, y) in points {
        match columns.last_mut() {
            Some((column, ys)) if *column == x => {
                ys.push(y);
                if ys.len() > 8 {
                    *ys = column_points(ys);
                }
            }
            Some(_) | None => columns.push((x, vec![y])),
        }
    }
    let points = columns.iter().flat_map(|(x, ys)| column_points(ys).into_iter().map(|y| (*x, y)));
    let mut data = String::new();
    let mut at: Option<(i32, i32)> = None;
    for (x, y) in points {
        // Writing to a string cannot fail.
        let _written = match at {
            None => write!(data, "M{x} {y}"),
            Some(last) if last == (x, y) => Ok(()),
            Some((last, _)) if last == x => write!(data, "V{y}"),
            Some((_, last)) if last == y => write!(data, "H{x}"),
            Some(_) => write!(data, "L{x} {y}"),
        };
        at = Some((x, y));
    }
    data.push_str(if data.is_empty() { "" } else { end });
    data
}

fn column_points(ys: &[i32]) -> Vec<i32> {
    let (first, last) = (ys.first().copied(), ys.last().copied());
    let (low, high) = (ys.iter().min().copied(), ys.iter().max().copied());
    let mut kept: Vec<i32> = [first, low, high, last].into_iter().flatten().collect();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_short() {
        for (points, end, data) in [
            (vec![], "z", ""),
            (vec![(1, 2)], "", "M1 2"),
            (vec![(1, 2), (5, 2), (5, 9), (7, 8)], "", "M1 2H5V9L7 8"),
            (vec![(1, 2), (1, 9), (1, 0), (1, 4), (2, 4)], "z", "M1 2V0V9V4H2z"),
        ] {
            assert_eq!(path_data(points, end), data);
        }
    }

    #[test]
    fn numbers_are_short_and_never_minus_zero() {
        for (value, text) in [(0.0, "0"), (-0.04, "0"), (1.25, "1.3"), (12.0, "12"), (-3.24, "-3.2")] {
            assert_eq!(short(value), text);
        }
    }
}
