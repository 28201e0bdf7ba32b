//! Series of values over height that stay small however long they are.
//!
//! Heights are put into buckets of equal width. Of each bucket a few points are kept that give the same picture: the
//! first and the last, the lowest and the highest, and whether the line is interrupted. When there are too many buckets
//! their width doubles. So a series takes bounded memory while it is recorded, and is as fine as a screen at the end.

use std::mem;

/// More buckets than a picture has columns.
const BUCKETS_MAX: usize = 2_048;
/// How many points a bucket may have before it is thinned.
const POINTS_MAX: usize = 16;

/// A value from a height on; `None` where there is none.
pub(crate) type Point = (u32, Option<u32>);

/// A value over height that holds until the next one, thinned as it grows.
///
/// It may begin at a height: of what was before, only the value that holds there is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    start: u32,
    /// The value that holds at the start.
    before: Option<u32>,
    /// A bucket has this power of two of heights.
    shift: u32,
    buckets: Vec<Bucket>,
    last: Option<Option<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bucket {
    index: u32,
    points: Vec<Point>,
}

impl Series {
    /// A series that begins at a height.
    #[must_use]
    pub fn starting_at(start: u32) -> Self {
        Self { start, ..Self::default() }
    }

    /// Adds the value from `height` on. Heights never fall; a value that is the last one already adds nothing.
    pub fn push(&mut self, height: u32, value: Option<u32>) {
        if self.last.is_none() && value.is_none() || self.last == Some(value) {
            return;
        }
        self.last = Some(value);
        if height < self.start {
            self.before = value;
            return;
        }
        let index = self.index_of(height);
        match self.buckets.last_mut() {
            Some(bucket) if bucket.index >= index => bucket.push((height, value)),
            Some(_) | None => self.buckets.push(Bucket { index, points: vec![(height, value)] }),
        }
        while self.buckets.len() > BUCKETS_MAX {
            self.halve();
        }
    }

    /// The value that holds at the end.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.last.flatten()
    }

    /// The last value that there was.
    #[must_use]
    pub fn last_value(&self) -> Option<u32> {
        let points = self.buckets.iter().rev().flat_map(|bucket| bucket.points.iter().rev());
        points.copied().find_map(|(_, value)| value).or(self.before)
    }

    /// The points that are kept, by height.
    pub fn points(&self) -> impl Iterator<Item = (u32, Option<u32>)> {
        let first = self.before.map(|value| (self.start, Some(value)));
        first.into_iter().chain(self.buckets.iter().flat_map(|bucket| bucket.points.iter().copied()))
    }

    /// Whether there is no value at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.before.is_none() && self.buckets.is_empty()
    }

    /// The highest value.
    #[must_use]
    pub fn max(&self) -> Option<u32> {
        self.points().filter_map(|(_, value)| value).max()
    }

    /// The series in at most so many buckets of at most five points.
    pub(crate) fn coarse(&self, buckets_max: usize) -> Self {
        let mut coarse = self.clone();
        while coarse.buckets.len() > buckets_max.max(1) {
            coarse.halve();
        }
        coarse.buckets.iter_mut().for_each(|bucket| bucket.points = thinned(&bucket.points));
        coarse
    }

    fn index_of(&self, height: u32) -> u32 {
        height.checked_shr(self.shift).unwrap_or(0)
    }

    fn halve(&mut self) {
        self.shift = self.shift.saturating_add(1);
        let mut merged: Vec<Bucket> = Vec::with_capacity(BUCKETS_MAX);
        for bucket in mem::take(&mut self.buckets) {
            let index = bucket.points.first().map_or(0, |(height, _)| self.index_of(*height));
            match merged.last_mut() {
                Some(last) if last.index == index => {
                    last.points.extend(bucket.points);
                    last.points = thinned(&last.points);
                }
                Some(_) | None => merged.push(Bucket { index, ..bucket }),
            }
        }
        self.buckets = merged;
    }
}

impl Bucket {
    fn push(&mut self, point: Point) {
        self.points.push(point);
        if self.points.len() > POINTS_MAX {
            self.points = thinned(&self.points);
        }
    }
}

/// The points of a bucket that make its picture, in order.
fn thinned(points: &[Point]) -> Vec<Point> {
    let values = || points.iter().enumerate().filter_map(|(index, (_, value))| value.map(|value| (value, index)));
    let gap = points.iter().position(|(_, value)| value.is_none());
    let lowest = values().min().map(|(_, index)| index);
    let highest = values().max().map(|(_, index)| index);
    let last = points.len().saturating_sub(1);
    let mut kept: Vec<usize> = [Some(0), gap, lowest, highest, Some(last)].into_iter().flatten().collect();
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().filter_map(|index| points.get(index).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: impl IntoIterator<Item = Point>) -> Series {
        let mut series = Series::default();
        points.into_iter().for_each(|(height, value)| series.push(height, value));
        series
    }

    #[test]
    fn short_series_keep_every_change() {
        let points = [(1, Some(5)), (2, Some(7)), (2, Some(6)), (9, None), (12, Some(6))];
        assert_eq!(series(points).points().collect::<Vec<_>>(), points);
        let repeated = [(1, None), (3, Some(5)), (4, Some(5)), (7, Some(5))];
        assert_eq!(series(repeated).points().collect::<Vec<_>>(), [(3, Some(5))]);
    }

    #[test]
    fn long_series_keep_ends_extremes_and_gaps_in_bounded_memory() {
        let spike = |height: u32| match height {
            777_777 => Some(9_999),
            888_888 => None,
            _ => Some(100 + height % 2),
        };
        let long = series((0..1_000_000).map(|height| (height, spike(height))));
        let points: Vec<Point> = long.points().collect();
        assert!(points.len() <= BUCKETS_MAX * POINTS_MAX, "{}", points.len());
        assert!(points.is_sorted_by_key(|(height, _)| *height));
        assert_eq!((points[0], points[points.len() - 1]), ((0, Some(100)), (999_999, Some(101))));
        assert!(points.contains(&(777_777, Some(9_999))));
        assert!(points.contains(&(888_888, None)));
        assert_eq!(long.max(), Some(9_999));
    }

    #[test]
    fn what_was_before_the_start_is_one_value() {
        for (pushed, points) in [
            (vec![(1, Some(5)), (4, Some(7))], vec![(10, Some(7))]),
            (vec![(1, Some(5)), (4, None)], vec![]),
            (vec![(1, Some(5)), (12, Some(7))], vec![(10, Some(5)), (12, Some(7))]),
            (vec![(1, Some(5)), (12, None)], vec![(10, Some(5)), (12, None)]),
            (vec![(10, Some(5))], vec![(10, Some(5))]),
        ] {
            let mut series = Series::starting_at(10);
            pushed.iter().for_each(|(height, value)| series.push(*height, *value));
            assert_eq!(series.points().collect::<Vec<_>>(), points, "{pushed:?}");
            assert_eq!(series.is_empty(), points.is_empty());
        }
    }

    #[test]
    fn heights_up_to_the_last_one_fit() {
        let long = series((0..5_000).map(|step| (u32::MAX - 5_000 * 800_000 + step * 800_000, Some(step))));
        assert!(long.buckets.len() <= BUCKETS_MAX);
        assert_eq!(long.last(), Some(4_999));
    }
}
