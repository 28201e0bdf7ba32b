//! The arithmetic of counters: how much they grew, from the samples that a server has of them.
//!
//! A counter that is lower than before has begun again from zero. Every sample counts once, by its time: what is read twice
//! is not counted twice, and what comes late is counted when it comes.

use std::collections::BTreeMap;

use coalmine_core::{DecodeError, DecodeErrorKind, Reader, Writer};
use sha2::{Digest as _, Sha256};

use crate::reporter::figures::{MICRO, wide};

/// No reporter follows more series.
pub(crate) const SERIES_MAX: usize = 20_000;

/// What names a series: a hash of what it counts and of its labels.
pub(crate) type SeriesId = [u8; 16];

/// A value at a time, in milliseconds since 1970; the value in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: u64,
    pub(crate) value: u128,
}

/// How far each series was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counters(BTreeMap<SeriesId, Sample>);

impl Counters {
    /// Takes samples of a series, in the order of their times, and returns by how much it grew. One that is new has counted
    /// from zero.
    pub(crate) fn take(&mut self, id: SeriesId, samples: impl IntoIterator<Item = Sample>) -> u128 {
        let mut last = self.0.get(&id).copied();
        let mut growth: u128 = 0;
        for sample in samples {
            if last.is_some_and(|last| sample.at <= last.at) {
                continue;
            }
            let before = last.map_or(0, |last| last.value);
            growth = growth.saturating_add(sample.value.checked_sub(before).unwrap_or(sample.value));
            last = Some(sample);
        }
        self.0.extend(last.map(|last| (id, last)));
        growth
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets series that have had no sample since a time.
    pub(crate) fn forget(&mut self, before: u64) {
        self.0.retain(|_, last| last.at >= before);
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        out.u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        for (id, Sample { at, value }) in &self.0 {
            out.raw(id);
            out.u64(*at);
            out.raw(&value.to_be_bytes());
        }
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
        if count > SERIES_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let mut series = BTreeMap::new();
        for _ in 0..count {
            let mut id = [0; 16];
            id.copy_from_slice(input.raw(16)?);
            if series.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(input.error(DecodeErrorKind::Unsorted));
            }
            series.insert(id, Sample { at: input.u64()?, value: wide(input)? });
        }
        Ok(Self(series))
    }
}

/// The id of a series.
pub(crate) fn series_id(counts: &str, labels: &BTreeMap<String, String>) -> SeriesId {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part(counts);
    for (name, value) in labels {
        part(name);
        part(value);
    }
    let mut id = [0; 16];
    id.iter_mut().zip(hash.finalize()).for_each(|(id, byte)| *id = byte);
    id
}

/// A value in millionths: whole numbers exactly, as far as a float has them. `None` for what no counter has.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "there is no other way from a float; both parts are checked to be in range"
)]
pub(crate) fn micros(value: f64) -> Option<u128> {
    if !(0.0..1e30).contains(&value) {
        return None;
    }
    let fraction = (value.fract() * 1e6).round() as u128;
    (value.trunc() as u128).checked_mul(MICRO)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: SeriesId = [7; 16];

    fn sample(at: u64, whole: u128) -> Sample {
        Sample { at, value: whole * MICRO }
    }

    #[test]
    fn growth_of_a_series() {
        for (samples, expected) in [
            (vec![], 0),
            (vec![(1, 5)], 5),
            (vec![(1, 5), (2, 5), (3, 9)], 9),
            (vec![(1, 5), (2, 2), (3, 3)], 8),
            (vec![(1, 5), (2, 0), (3, 5)], 10),
            (vec![(1, 5), (1, 7)], 5),
            (vec![(2, 5), (1, 100)], 5),
        ] {
            let mut counters = Counters::default();
            let taken = samples.iter().map(|(at, value)| sample(*at, *value));
            assert_eq!(counters.take(ID, taken.clone()), expected * MICRO, "{samples:?}");
            assert_eq!(counters.take(ID, taken), 0, "again: {samples:?}");
        }
    }

    #[test]
    fn floats_are_millionths() {
        for (value, expected) in [
            (0.0, Some(0)),
            (3.0, Some(3_000_000)),
            (0.25, Some(250_000)),
            (9_007_199_254_740_991.0, Some(9_007_199_254_740_991_000_000)),
            (-1.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (1e31, None),
        ] {
            assert_eq!(micros(value), expected, "{value}");
        }
    }

    proptest! {
        /// However the samples are cut into answers, some of them lost and asked for again, with restarts of the reporter
        /// between: the growth is that of the process, exactly.
        #[test]
        fn sums_are_exact(
            steps in prop::collection::vec((0_u128..1_000, prop::bool::weighted(0.1)), 1..200),
            answers in prop::collection::vec((0_usize..200, 0_usize..40, any::<bool>(), any::<bool>()), 0..60),
        ) {
            // What the process does. Where it restarts, its counter begins again; the scrape then finds it at zero.
            let (mut value, mut total, mut samples) = (0, 0, Vec::new());
            for (at, (more, restarts)) in (1_u64..).zip(&steps) {
                let more = if *restarts { 0 } else { *more };
                value = if *restarts { 0 } else { value + more };
                total += more;
                samples.push(sample(at, value));
            }
            let (mut counters, mut growth) = (Counters::default(), 0);
            let mut read_until = 0_usize;
            for (ahead, overlap, is_lost, restarts) in answers {
                let end = (read_until + ahead).min(samples.len());
                let answer = samples[read_until.saturating_sub(overlap)..end].to_vec();
                if is_lost {
                    continue;
                }
                growth += counters.take(ID, answer);
                read_until = end;
                if restarts {
                    let mut out = Writer::default();
                    counters.encode(&mut out);
                    let bytes = out.into_bytes();
                    counters = Counters::decode(&mut Reader::new(&bytes)).unwrap();
                }
            }
            growth += counters.take(ID, samples[read_until..].to_vec());
            prop_assert_eq!(growth, total * MICRO);
        }
    }
}
