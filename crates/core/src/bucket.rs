//! Buckets: where a user falls in the rollout of a feature, and a unit in a deployment.
//!
//! A bucket depends only on the chain id, the feature or plugin, its salt and the user or unit. So
//! raising a percentage never switches a user off, and raising a share never moves a unit back.

use sha2::{Digest, Sha256};

use crate::codec::Writer;
use crate::hash::hash_padded;
use crate::invariant::promised;
use crate::values::{Address, Bps, ChainId, Name, Percent};

/// The number of buckets: a bucket is in `0..BUCKETS`, one per basis point.
pub const BUCKETS: u16 = Bps::FULL.get();

const BUCKET_DOMAIN: &[u8] = b"coalmine/bucket/1";
const ROUTE_DOMAIN: &[u8] = b"coalmine/route/1";

/// SHA-256 blocks of a message. After the domain, two length-prefixed texts of at most 64 bytes and
/// the salt, they leave room for a unit of at least 28 bytes and the padding.
const BLOCKS: usize = 3;
const BLOCK_LEN: usize = 64;
/// Padding of SHA-256: at least one byte, and the length of the message in bits.
const PADDING_MIN: usize = 1 + 8;

/// The message up to the unit, laid out so that a unit can be filled in and hashed.
#[derive(Debug, Clone)]
pub(crate) struct BucketPrefix {
    /// The message, followed by zeros.
    blocks: [[u8; BLOCK_LEN]; BLOCKS],
    len: usize,
}

impl BucketPrefix {
    /// The prefix for buckets of users in a feature.
    pub(crate) fn of_feature(chain: &ChainId, name: &Name, salt: u64) -> Self {
        Self::new(BUCKET_DOMAIN, chain, name, salt)
    }

    /// The prefix for buckets of units in a deployment.
    pub(crate) fn of_deployment(chain: &ChainId, plugin: &Name, salt: u64) -> Self {
        Self::new(ROUTE_DOMAIN, chain, plugin, salt)
    }

    fn new(domain: &[u8], chain: &ChainId, name: &Name, salt: u64) -> Self {
        let mut message = Writer::default();
        message.raw(domain);
        message.lp8(chain.as_bytes());
        message.name(name);
        message.u64(salt);
        let mut blocks = [[0; BLOCK_LEN]; BLOCKS];
        blocks.as_flattened_mut().iter_mut().zip(message.as_bytes()).for_each(|(place, byte)| *place = *byte);
        Self { blocks, len: message.len() }
    }

    /// The bucket of a unit: the first 8 bytes of the hash, scaled to `0..BUCKETS`.
    pub(crate) fn bucket(&self, unit: &[u8]) -> Bps {
        let [a, b, c, d, e, f, g, h, ..] = self.hash(unit);
        scale([a, b, c, d, e, f, g, h])
    }

    fn hash(&self, unit: &[u8]) -> [u8; 32] {
        self.hash_in_place(unit).unwrap_or_else(|| {
            let message =
                promised(self.blocks.as_flattened().get(..self.len), "a message of at most 164 bytes fits 192");
            Sha256::new().chain_update(message).chain_update(unit).finalize().into()
        })
    }

    /// Hashes without an allocation; `None` if the unit is too long for the blocks.
    fn hash_in_place(&self, unit: &[u8]) -> Option<[u8; 32]> {
        let mut blocks = self.blocks;
        let end = self.len.checked_add(unit.len())?;
        let count = end.checked_add(PADDING_MIN)?.div_ceil(BLOCK_LEN);
        let padded = blocks.as_flattened_mut().get_mut(..count.checked_mul(BLOCK_LEN)?)?;
        padded.get_mut(self.len..end)?.copy_from_slice(unit);
        *padded.get_mut(end)? = 0x80;
        *padded.last_chunk_mut()? = u64::try_from(end).ok()?.checked_mul(8)?.to_be_bytes();
        Some(hash_padded(blocks.get(..count)?))
    }
}

/// The bucket of a user in a feature: salted SHA-256, its first 8 bytes scaled to `0..BUCKETS`.
#[must_use]
pub fn bucket_sha256(chain: &ChainId, name: &Name, salt: u64, user: &Address) -> Bps {
    BucketPrefix::of_feature(chain, name, salt).bucket(&user.0)
}

/// The bucket of a unit in a deployment with this salt, computed the same way under a domain of its own.
#[must_use]
pub fn bucket_of_unit(chain: &ChainId, plugin: &Name, salt: u64, unit: &[u8]) -> Bps {
    BucketPrefix::of_deployment(chain, plugin, salt).bucket(unit)
}

/// Scales 8 bytes, read as a fraction of 2^64, to `0..BUCKETS`, rounding down.
fn scale(first: [u8; 8]) -> Bps {
    let product = u128::from(u64::from_be_bytes(first)).saturating_mul(u128::from(BUCKETS));
    let bucket = u16::try_from(product >> 64).ok().and_then(|bucket| Bps::new(bucket).ok());
    promised(bucket, "a fraction below 1 of 10 000 is below 10 000")
}

/// The bucket as the reference implementation computes it: the first byte modulo 100, in whole percent.
#[must_use]
pub fn bucket_first_byte(user: &Address) -> Bps {
    let [first, ..] = user.0;
    promised(Percent::new(first % 100).ok(), "a remainder by 100 is below 100").bps()
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
    fn a_unit_of_any_length_is_hashed_as_it_is() {
        let long = "a".repeat(64);
        let (chain, plugin) = (ChainId::new(long.as_bytes()).unwrap(), long.parse().unwrap());
        for prefix in [
            BucketPrefix::of_deployment(&chain, &plugin, u64::MAX),
            BucketPrefix::of_deployment(&ChainId::new(b"").unwrap(), &"a".parse().unwrap(), 0),
        ] {
            let message = &prefix.blocks.as_flattened()[..prefix.len];
            for len in 0..=300 {
                let unit = [0xa5; 300];
                let expected: [u8; 32] = Sha256::digest([message, &unit[..len]].concat()).into();
                assert_eq!(prefix.hash(&unit[..len]), expected, "{len}");
            }
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
