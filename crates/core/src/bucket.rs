//! Buckets: where a user falls in the rollout of a feature, and a unit in a deployment.
//!
//! A bucket depends only on the chain id, the feature or plugin, its salt and the user or unit. So
//! raising a percentage never switches a user off, and raising a share never moves a unit back.

use sha2::{Digest, Sha256};

use crate::hash::{Hash32, hash_padded};
use crate::invariant::promised;
use crate::values::{Address, Bps, ChainId, Name, Percent};

/// The number of buckets: a bucket is in `0..BUCKETS`, one per basis point.
pub const BUCKETS: u16 = Bps::FULL.get();

const BUCKET_DOMAIN: &[u8; 17] = b"coalmine/bucket/1";
const ROUTE_DOMAIN: &[u8; 16] = b"coalmine/route/1";

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

    /// Whatever is copied has a length that the compiler knows.
    fn new<const LEN: usize>(domain: &[u8; LEN], chain: &ChainId, name: &Name, salt: u64) -> Self {
        let mut prefix = Self { blocks: [[0; BLOCK_LEN]; BLOCKS], len: 0 };
        prefix.push(domain, LEN);
        for (padded, len) in [chain.padded(), name.padded()] {
            prefix.push(&[len], 1);
            prefix.push(padded, len.into());
        }
        prefix.push(&salt.to_be_bytes(), size_of::<u64>());
        prefix
    }

    /// Appends bytes, of which all behind the first `len` are zeros.
    fn push<const LEN: usize>(&mut self, bytes: &[u8; LEN], len: usize) {
        let place = self.blocks.as_flattened_mut().get_mut(self.len..).and_then(<[u8]>::first_chunk_mut);
        debug_assert!(place.is_some(), "domain, chain id, name and salt take at most 155 bytes of 192");
        if let Some(place) = place {
            *place = *bytes;
        }
        self.len = self.len.saturating_add(len);
    }

    /// The bucket of a unit.
    pub(crate) fn bucket(&self, unit: &[u8]) -> Bps {
        scale(&self.hash(unit))
    }

    fn hash(&self, unit: &[u8]) -> Hash32 {
        hash_with_unit(self.blocks, self.len, unit).unwrap_or_else(|| {
            let message =
                promised(self.blocks.as_flattened().get(..self.len), "a message of at most 155 bytes fits 192");
            Sha256::new().chain_update(message).chain_update(unit).finalize().into()
        })
    }
}

/// A prefix for buckets of users that is short, as most are, beside values that are needed with it: so that all of it
/// takes two lines of the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShortPrefix {
    message: [u8; ShortPrefix::MAX],
    len: u8,
}

impl ShortPrefix {
    const MAX: usize = 104;

    /// `None` if there is no room for the message.
    pub(crate) fn of(prefix: &BucketPrefix) -> Option<Self> {
        let message = prefix.blocks.as_flattened().first_chunk()?;
        let len = u8::try_from(prefix.len).ok()?;
        (prefix.len <= Self::MAX).then_some(Self { message: *message, len })
    }

    /// The bucket of a user; `None` if the message with its padding is too long for two blocks.
    pub(crate) fn bucket(&self, user: &Address) -> Option<Bps> {
        let mut blocks = [[0; BLOCK_LEN]; 2];
        *blocks.as_flattened_mut().first_chunk_mut()? = self.message;
        hash_with_unit(blocks, self.len.into(), &user.0).map(|hash| scale(&hash))
    }
}

/// Hashes what is in the blocks and a unit behind it, without an allocation; `None` if the unit is too long for the
/// blocks.
fn hash_with_unit<const BLOCKS: usize>(
    mut blocks: [[u8; BLOCK_LEN]; BLOCKS],
    len: usize,
    unit: &[u8],
) -> Option<Hash32> {
    let end = len.checked_add(unit.len())?;
    let count = end.checked_add(PADDING_MIN)?.div_ceil(BLOCK_LEN);
    let padded = blocks.as_flattened_mut().get_mut(..count.checked_mul(BLOCK_LEN)?)?;
    padded.get_mut(len..end)?.copy_from_slice(unit);
    *padded.get_mut(end)? = 0x80;
    *padded.last_chunk_mut()? = u64::try_from(end).ok()?.checked_mul(8)?.to_be_bytes();
    Some(hash_padded(blocks.get(..count)?))
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

/// Scales the first 8 bytes of a hash, read as a fraction of 2^64, to `0..BUCKETS`, rounding down.
fn scale([a, b, c, d, e, f, g, h, ..]: &Hash32) -> Bps {
    let first = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
    let product = u128::from(first).saturating_mul(u128::from(BUCKETS));
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
    use alloc::vec::Vec;

    use super::*;
    use crate::codec::Writer;

    #[test]
    fn every_scaled_hash_is_a_bucket() {
        for (first, bucket) in [(0, 0), (u64::MAX, 9_999), (u64::MAX / 2, 4_999), (1 << 63, 5_000)] {
            let mut hash = [0xff; 32];
            hash[..8].copy_from_slice(&u64::to_be_bytes(first));
            assert_eq!(scale(&hash).get(), bucket);
        }
    }

    #[test]
    fn a_unit_of_any_length_is_hashed_as_it_is() {
        let long = "a".repeat(64);
        for (chain, plugin, salt) in [(long.as_str(), long.as_str(), u64::MAX), ("", "a", 0), ("c-1", "plugin", 7)] {
            let (chain, plugin) = (ChainId::new(chain.as_bytes()).unwrap(), plugin.parse().unwrap());
            let mut message = Writer::default();
            message.raw(ROUTE_DOMAIN);
            message.lp8(chain.as_bytes());
            message.name(&plugin);
            message.u64(salt);
            for len in 0..=300 {
                let unit = [0xa5; 300];
                let expected: [u8; 32] = Sha256::digest([message.as_bytes(), &unit[..len]].concat()).into();
                let found = BucketPrefix::of_deployment(&chain, &plugin, salt).hash(&unit[..len]);
                assert_eq!(found, expected, "{len}");
            }
        }
    }

    #[test]
    fn a_short_prefix_gives_the_same_buckets() {
        let chain = ChainId::new(b"").unwrap();
        let users: Vec<Address> = (0..100).map(|byte| Address([byte; 20])).collect();
        for len in 1..=64 {
            let name: Name = "a".repeat(len).parse().unwrap();
            for chain in [chain, ChainId::new("c".repeat(len).as_bytes()).unwrap()] {
                let prefix = BucketPrefix::of_feature(&chain, &name, 7);
                let short = ShortPrefix::of(&prefix);
                assert_eq!(short.is_some(), prefix.len <= 104, "{name} of {chain:?}");
                for user in &users {
                    let bucket = short.and_then(|short| short.bucket(user));
                    assert_eq!(bucket.is_some(), prefix.len + 20 + 9 <= 128, "{name} of {chain:?}");
                    assert_eq!(bucket.unwrap_or(prefix.bucket(&user.0)), bucket_sha256(&chain, &name, 7, user));
                }
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
