//! Numbers that look random and are the same in every run and on every machine.

/// What is added to the state for each number.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64. Each seed is a sequence of its own, small seeds too.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The number at an index of the sequence of seed 0. No two indexes have the same.
    #[must_use]
    pub fn at(index: u64) -> u64 {
        Self(index.wrapping_mul(GAMMA)).next()
    }

    /// A number below `end`, or 0 if that is 0. The remainder is taken of 64 bits, so that it is the same on every
    /// target.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    /// Bytes that do not compress.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|_| self.next().to_be_bytes());
        words.take(len).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the reference implementation for seed 1234567.
    #[test]
    fn it_is_split_mix_64() {
        let mut random = Random(1_234_567);
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(first.map(|_| random.next()), first);
        let mut random = Random(0);
        assert_eq!([0, 1, 2].map(Random::at), [0; 3].map(|_| random.next()));
    }
}
