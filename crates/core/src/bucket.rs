//! Which share of the users a user belongs to.
//!
//! A bucket is a function of the ledger, the feature, its salt and the user alone, so raising a
//! percent never switches anybody off.

use crate::codec::Writer;
use crate::tree::hash_padded;
use crate::values::{Address, Bps, ChainId, Name, Percent};

/// How many buckets there are: a bucket is in `0..BUCKETS`.
pub const BUCKETS: u16 = 10_000;

const DOMAIN: &[u8] = b"coalmine/bucket/1";

/// The domain, two length-prefixed texts of at most 64 bytes, the salt, the user and the padding of SHA-256.
const BLOCKS_MAX: usize = 3;

/// The padded message of a feature, ready for a user to be filled in and hashed.
#[derive(Debug, Clone)]
pub(crate) struct BucketPrefix {
    blocks: [[u8; 64]; BLOCKS_MAX],
    /// How many of the blocks the message takes.
    count: u8,
    /// Where the user begins.
    user: u8,
}

impl BucketPrefix {
    pub(crate) fn new(chain: &ChainId, name: &Name, salt: u64) -> Self {
        let mut message = Writer::default();
        message.raw(DOMAIN);
        message.lp8(chain.as_bytes());
        message.name(name);
        message.u64(salt);
        let user = message.len();
        message.address(&Address::ZERO);
        let bits = u64::try_from(message.len()).unwrap_or_default().saturating_mul(8);
        message.u8(0x80);
        while message.len() % 64 != 56 {
            message.u8(0);
        }
        message.u64(bits);
        let (padded, _) = message.as_bytes().as_chunks();
        let mut blocks = [[0; 64]; BLOCKS_MAX];
        blocks.iter_mut().zip(padded).for_each(|(block, padded)| *block = *padded);
        let small = |n: usize| u8::try_from(n).unwrap_or_default();
        Self { blocks, count: small(padded.len()), user: small(user) }
    }

    /// The first 8 bytes of the hash, scaled to 0..10 000.
    pub(crate) fn bucket(&self, user: &Address) -> Bps {
        let mut blocks = self.blocks;
        let place = blocks.as_flattened_mut().get_mut(usize::from(self.user)..);
        if let Some(place) = place.and_then(<[u8]>::first_chunk_mut) {
            *place = user.0;
        }
        let hash = hash_padded(blocks.get(..usize::from(self.count)).unwrap_or(&blocks));
        scale(hash.first_chunk().copied().unwrap_or_default())
    }
}

/// The bucket by salted SHA-256: the first 8 bytes of the hash, scaled to 0..10 000.
#[must_use]
pub fn bucket_sha256(chain: &ChainId, name: &Name, salt: u64, user: &Address) -> Bps {
    BucketPrefix::new(chain, name, salt).bucket(user)
}

/// The first 8 bytes of a hash as a fraction of 2^64, times 10 000, rounded down.
fn scale(first: [u8; 8]) -> Bps {
    let product = u128::from(u64::from_be_bytes(first)).saturating_mul(u128::from(BUCKETS));
    u16::try_from(product >> 64).ok().and_then(|bucket| Bps::new(bucket).ok()).unwrap_or_default()
}

/// The bucket as the reference implementation has it: the first byte modulo 100.
#[must_use]
pub fn bucket_first_byte(user: &Address) -> Bps {
    let [first, ..] = user.0;
    Percent::new(first % 100).unwrap_or_default().bps()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scaled_hash_is_a_bucket() {
        for (first, bucket) in [(0, 0), (u64::MAX, 9_999), (u64::MAX / 2, 4_999), (1 << 63, 5_000)] {
            assert_eq!(scale(first.to_be_bytes()).get(), bucket);
        }
    }

    #[test]
    fn every_first_byte_is_a_whole_percent() {
        for byte in 0..=u8::MAX {
            let mut user = Address::ZERO;
            user.0[0] = byte;
            assert_eq!(bucket_first_byte(&user).get(), u16::from(byte % 100) * 100);
        }
    }
}
