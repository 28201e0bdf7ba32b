//! Where labels go: above the plot in a few rows, each at the line that leads down to its mark.
//!
//! Invariant: no label overlaps another one, and no line crosses a label. A label that finds no room is left out; its
//! mark stays.

/// A label that wants a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Label {
    /// Where its mark is, in pixels from the left.
    pub x: f64,
    /// The width of its text in pixels.
    pub width: f64,
    /// Lower ranks are placed first; of equal ones the first.
    pub rank: u32,
}

/// The place of a label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// The row, from 0, which is next to the plot.
    pub row: usize,
    /// The left end of the text.
    pub left: f64,
    /// The right end of the text.
    pub right: f64,
}

/// Between a line and the text that belongs to it.
const TO_LINE: f64 = 4.0;
/// Between a text and the line of another label.
const LINE_GAP: f64 = 3.0;
/// Between two texts.
const GAP: f64 = 6.0;

/// With more labels than this one way to place them is tried: most find no room in any case.
const TRIED_MAX: usize = 200;

/// Places labels between `left` and `right` in at most `rows` rows; `None` for those that find no room.
///
/// Several ways are tried: that which places most labels is taken, and of equals that with the fewest rows.
#[must_use]
pub fn place(labels: &[Label], left: f64, right: f64, rows: usize) -> Vec<Option<Spot>> {
    let mut order: Vec<(usize, &Label)> = labels.iter().enumerate().collect();
    order.sort_by_key(|(index, label)| (label.rank, *index));
    let fewest = if labels.len() > TRIED_MAX { rows } else { 1 };
    let mut best: Vec<Option<Spot>> = vec![None; labels.len()];
    let mut best_count = 0;
    for rows in fewest..=rows {
        for from in [First::Near, First::Far] {
            let spots = place_in(&order, (left, right), rows, from);
            let count = spots.iter().flatten().count();
            if count > best_count {
                (best, best_count) = (spots, count);
            }
        }
    }
    best
}

/// Which row is tried first: the one next to the plot, or the one farthest from it.
#[derive(Clone, Copy)]
enum First {
    Near,
    Far,
}

fn place_in(order: &[(usize, &Label)], (left, right): (f64, f64), rows: usize, from: First) -> Vec<Option<Spot>> {
    let mut placed = Placed { rows: vec![Row::default(); rows] };
    let mut spots = vec![None; order.len()];
    let tried: Vec<usize> = match from {
        First::Near => (0..rows).collect(),
        First::Far => (0..rows).rev().collect(),
    };
    for (index, label) in order {
        let sides = [label.x + TO_LINE, label.x - TO_LINE - label.width];
        let is_inside = |start: &f64| *start >= left && start + label.width <= right;
        let candidates =
            tried.iter().flat_map(|row| sides.into_iter().filter(is_inside).map(move |start| (*row, start)));
        let spot = candidates
            .map(|(row, start)| Spot { row, left: start, right: start + label.width })
            .find(|spot| placed.has_room(spot, label.x));
        if let Some(spot) = spot {
            placed.put(spot, label.x);
        }
        if let Some(place) = spots.get_mut(*index) {
            *place = spot;
        }
    }
    spots
}

/// The texts of a row, and the lines that pass through it.
#[derive(Clone, Default)]
struct Row {
    texts: Vec<(f64, f64)>,
    lines: Vec<f64>,
}

struct Placed {
    rows: Vec<Row>,
}

impl Placed {
    /// The line of a label passes through its own row and all that are nearer to the plot.
    fn has_room(&self, spot: &Spot, x: f64) -> bool {
        let is_clear = |row: &Row| row.texts.iter().all(|(left, right)| x < left - LINE_GAP || right + LINE_GAP < x);
        let Some(row) = self.rows.get(spot.row) else { return false };
        row.texts.iter().all(|(left, right)| spot.right < left - GAP || right + GAP < spot.left)
            && row.lines.iter().all(|line| *line < spot.left - LINE_GAP || spot.right + LINE_GAP < *line)
            && self.rows.iter().take(spot.row.saturating_add(1)).all(is_clear)
    }

    fn put(&mut self, spot: Spot, x: f64) {
        self.rows.iter_mut().take(spot.row.saturating_add(1)).for_each(|row| row.lines.push(x));
        if let Some(row) = self.rows.get_mut(spot.row) {
            row.texts.push((spot.left, spot.right));
        }
    }
}
