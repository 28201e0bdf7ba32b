//! One plot: axes, steps and areas, drawn by the plotting library.

use plotters::coord::Shift;
use plotters::coord::combinators::BindKeyPoints as _;
use plotters::coord::ranged1d::Ranged as _;
use plotters::coord::types::RangedCoordu64;
use plotters::prelude::{ChartBuilder, DrawingArea, IntoDrawingArea as _, IntoFont as _, PathElement, Polygon};
use plotters::style::{Color as _, ShapeStyle, TRANSPARENT};

use crate::ChartError;
use crate::canvas::{Canvas, Pen, Size, px};
use crate::palette::Ink;
use crate::text::{number, rate, width};
use crate::thin::Series;

/// The room for the numbers beside a plot.
pub(crate) const Y_AXIS: f64 = 46.0;
/// The room for the numbers below a plot.
pub(crate) const X_AXIS: f64 = 20.0;

/// Where a plot is, without its axes, in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// What a plot is of: heights from left to right, and values in basis points from 0 upwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) frame: Frame,
    from: u64,
    /// Where lines end.
    end: u32,
    /// Where the plot ends: behind that, so that what happens last is not at its edge.
    to: u64,
    max: u64,
}

impl Scale {
    /// At least one block wide and one basis point high.
    pub(crate) fn new(frame: Frame, (from, end): (u32, u32), max: u64) -> Self {
        let (from, end) = (from, end.max(from));
        let beyond = end.saturating_sub(from) / 40;
        let to = u64::from(end).saturating_add(u64::from(beyond)).max(u64::from(from).saturating_add(1));
        Self { frame, from: from.into(), end, to, max: max.max(1) }
    }

    pub(crate) fn right(&self) -> f64 {
        self.frame.left + self.frame.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.frame.top + self.frame.height
    }

    /// Where a height is; what lies outside of the plot is at its edge.
    pub(crate) fn x(&self, height: u32) -> f64 {
        let height = u64::from(height).clamp(self.from, self.to);
        let (left, right) = (px(self.frame.left), px(self.right()));
        RangedCoordu64::from(self.from..self.to).map(&height, (left, right)).into()
    }

    /// Where a value is.
    pub(crate) fn y(&self, value: u32) -> f64 {
        let value = u64::from(value).min(self.max);
        let (top, bottom) = (px(self.frame.top), px(self.bottom()));
        RangedCoordu64::from(0..self.max).map(&value, (bottom, top)).into()
    }

    fn at(&self, (height, value): (u32, u32)) -> (u64, u64) {
        (u64::from(height).clamp(self.from, self.to), u64::from(value).min(self.max))
    }
}

/// Which axes a plot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axes {
    /// Neither numbers nor a grid.
    None,
    /// Values beside it.
    Values,
    /// Heights below it.
    Heights,
    /// Values beside it and heights below.
    Both,
}

/// A line of a plot.
pub(crate) struct Line<'s> {
    pub(crate) series: &'s Series,
    pub(crate) ink: Ink,
    /// The ink of the area below it.
    pub(crate) area: Option<Ink>,
}

/// Draws a plot on a canvas that is `height` pixels high.
pub(crate) fn draw(
    canvas: &mut Canvas,
    height: f64,
    scale: &Scale,
    axes: Axes,
    lines: &[Line<'_>],
) -> Result<(), ChartError> {
    let Frame { left, top, width, height: plot_height } = scale.frame;
    let (y_axis, x_axis) = match axes {
        Axes::None => (0.0, 0.0),
        Axes::Values => (Y_AXIS, 0.0),
        Axes::Heights => (0.0, X_AXIS),
        Axes::Both => (Y_AXIS, X_AXIS),
    };
    let root: DrawingArea<Pen<'_>, Shift> = canvas.pen(u32::try_from(px(height)).unwrap_or(0)).into_drawing_area();
    let corner = (px(left - y_axis), px(top));
    let area = root.shrink(corner, (px(width + y_axis), px(plot_height + x_axis)));
    let x_ticks = if x_axis > 0.0 { ticks_of_heights(scale) } else { Vec::new() };
    let y_ticks = if y_axis > 0.0 { ticks_of_values(scale.max) } else { Vec::new() };
    let (x_count, y_count) = (x_ticks.len().max(1), y_ticks.len().max(1));
    let mut chart = ChartBuilder::on(&area)
        .y_label_area_size(px(y_axis))
        .x_label_area_size(px(x_axis))
        .build_cartesian_2d((scale.from..scale.to).with_key_points(x_ticks), (0..scale.max).with_key_points(y_ticks))
        .map_err(refused)?;
    if axes != Axes::None {
        let label = ("sans-serif", Size::Small.px()).into_font().color(&Ink::Muted.color());
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(x_count)
            .y_labels(y_count)
            .light_line_style(TRANSPARENT)
            .bold_line_style(Ink::Grid.color())
            .axis_style(Ink::Axis.color())
            .label_style(label)
            .x_label_formatter(&|height| number(*height))
            .y_label_formatter(&|value| rate(*value))
            .draw()
            .map_err(refused)?;
    }
    let plot = chart.plotting_area();
    for line in lines {
        for run in runs(line.series, scale.end) {
            let steps: Vec<(u64, u64)> = steps(&run).into_iter().map(|point| scale.at(point)).collect();
            if let (Some(ink), Some(first), Some(last)) = (line.area, steps.first(), steps.last()) {
                let mut outline = steps.clone();
                outline.extend([(last.0, 0), (first.0, 0)]);
                plot.draw(&Polygon::new(outline, ink.color().filled())).map_err(refused)?;
            }
            let style = ShapeStyle { color: line.ink.color().to_rgba(), filled: false, stroke_width: 2 };
            plot.draw(&PathElement::new(steps, style)).map_err(refused)?;
        }
    }
    Ok(())
}

/// Draws nothing but the heights below a scale.
pub(crate) fn draw_heights(canvas: &mut Canvas, height: f64, scale: &Scale) -> Result<(), ChartError> {
    draw(canvas, height, scale, Axes::Heights, &[])
}

fn refused(error: impl std::fmt::Display) -> ChartError {
    ChartError::Layout(error.to_string())
}

/// The uninterrupted parts of a series, each with the height at which it ends.
fn runs(series: &Series, end: u32) -> Vec<Vec<(u32, u32)>> {
    let mut runs: Vec<Vec<(u32, u32)>> = Vec::new();
    let mut run: Vec<(u32, u32)> = Vec::new();
    let until = |run: &mut Vec<(u32, u32)>, height: u32| {
        if let Some((_, value)) = run.last().copied() {
            run.push((height, value));
        }
    };
    for (height, value) in series.points() {
        match value {
            Some(value) => run.push((height, value)),
            None => {
                until(&mut run, height);
                runs.extend(Some(std::mem::take(&mut run)).filter(|run| !run.is_empty()));
            }
        }
    }
    let end = end.max(run.last().map_or(0, |(height, _)| *height));
    until(&mut run, end);
    runs.extend(Some(run).filter(|run| !run.is_empty()));
    runs
}

/// A value holds until the next one: two points for each change.
fn steps(run: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut steps: Vec<(u32, u32)> = Vec::with_capacity(run.len().saturating_mul(2));
    for (height, value) in run {
        if let Some((_, before)) = steps.last().copied() {
            steps.push((*height, before));
        }
        steps.push((*height, *value));
    }
    steps
}

/// Round heights whose numbers have room beside each other.
fn ticks_of_heights(scale: &Scale) -> Vec<u64> {
    let label = |height: u64| width(&number(height), Size::Small.px());
    let span = scale.to.saturating_sub(scale.from);
    let fits = |step: &u64, gap: f64| {
        let spaces = u32::try_from(span.div_ceil(*step)).map_or(f64::MAX, f64::from);
        scale.frame.width / spaces >= label(scale.to) + gap
    };
    // Numbers stand well apart, unless only one or two would be left of them.
    let roomy = steps_of_ten().find(|step| fits(step, 34.0)).filter(|step| span >= step.saturating_mul(2));
    let step = roomy.or_else(|| steps_of_ten().find(|step| fits(step, 2.0))).unwrap_or(span.max(1));
    let first = scale.from.div_ceil(step).saturating_mul(step);
    let mut ticks = Vec::new();
    let mut tick = first;
    while tick <= scale.to && ticks.len() < 100 {
        // A number in the middle below its tick must not stick out of the picture.
        let x = u32::try_from(tick).map_or(scale.right(), |height| scale.x(height));
        if x + label(tick) / 2.0 <= scale.right() + 14.0 {
            ticks.push(tick);
        }
        tick = tick.saturating_add(step);
    }
    if ticks.is_empty() { vec![scale.from] } else { ticks }
}

/// 1, 2, 5, 10, 20, 50, …
fn steps_of_ten() -> impl Iterator<Item = u64> {
    (0..10).flat_map(|power| [1, 2, 5].map(|digit: u64| digit.saturating_mul(10_u64.saturating_pow(power))))
}

/// The highest value of an axis that has room for `value`, in basis points.
pub(crate) fn axis_max(value: u32) -> u64 {
    let value = u64::from(value);
    let maxima = steps_of_ten().filter(|step| *step >= 20);
    maxima.take_while(|max| *max <= 10_000).find(|max| *max >= value).unwrap_or(10_000)
}

fn ticks_of_values(max: u64) -> Vec<u64> {
    let parts = if max.is_multiple_of(4) { 4 } else { 5 };
    (0..=parts).map(|part| max.saturating_mul(part).checked_div(parts).unwrap_or(max)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(width: f64, from: u32, to: u32) -> Scale {
        Scale::new(Frame { left: 60.0, top: 10.0, width, height: 100.0 }, (from, to), 10_000)
    }

    #[test]
    fn ticks_are_round_and_have_room() {
        for (width, from, to, ticks) in [
            (800.0, 100, 450, (100..=450).step_by(50).collect::<Vec<u64>>()),
            (280.0, 100, 450, vec![100, 200, 300, 400]),
            (800.0, 7, 7, vec![7, 8]),
            (280.0, 0, u32::MAX, vec![0, 2_000_000_000]),
        ] {
            assert_eq!(ticks_of_heights(&scale(width, from, to)), ticks, "{from}..{to}");
        }
    }

    #[test]
    fn the_axis_of_rates_has_room_for_them() {
        for (value, max) in
            [(0, 20), (20, 20), (21, 50), (118, 200), (5_001, 10_000), (10_000, 10_000), (u32::MAX, 10_000)]
        {
            assert_eq!(axis_max(value), max, "{value}");
        }
    }

    #[test]
    fn a_value_holds_until_the_next_and_stops_at_a_gap() {
        let mut series = Series::default();
        for (height, value) in [(1, Some(5)), (4, Some(7)), (6, None), (8, Some(1))] {
            series.push(height, value);
        }
        let drawn: Vec<Vec<(u32, u32)>> = runs(&series, 10).iter().map(|run| steps(run)).collect();
        assert_eq!(drawn, [vec![(1, 5), (4, 5), (4, 7), (6, 7), (6, 7)], vec![(8, 1), (10, 1), (10, 1)]]);
    }

    #[test]
    fn places_outside_are_at_the_edge() {
        let scale = scale(400.0, 100, 200);
        for (height, x) in [(0, 60.0), (100, 60.0), (141, 220.0), (200, 452.0), (900, 460.0)] {
            assert_eq!(scale.x(height), x);
        }
        for (value, y) in [(0, 110.0), (5_000, 60.0), (10_000, 10.0), (20_000, 10.0)] {
            assert_eq!(scale.y(value), y);
        }
    }
}
