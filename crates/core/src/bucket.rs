//! Which share of the users a user belongs to.
//!
//! A bucket is a function of the ledger, the feature, its salt and the user alone, so raising a
//! percent never switches anybody off.

use sha2::{Digest, Sha256};

use crate::record::{Bucketing, Policy};
use crate::values::{Address, Bps, ChainId, Name, Percent};

/// How many buckets there are: a bucket is in `0..BUCKETS`.
pub const BUCKETS: u16 = 10_000;

const DOMAIN: &[u8] = b"coalmine/bucket/1";
/// The domain, two length-prefixed texts of at most 64 bytes, the salt and the user.
const MESSAGE_MAX: usize = DOMAIN.len() + 1 + Name::LEN_MAX + 1 + Name::LEN_MAX + 8 + Address::LEN;

/// The bucket by salted SHA-256: the first 8 bytes of the hash, scaled to 0..10 000.
#[must_use]
pub fn bucket_sha256(chain: &ChainId, name: &Name, salt: u64, user: &Address) -> Bps {
    let mut message = [0_u8; MESSAGE_MAX];
    let mut rest = message.as_mut_slice();
    let (chain, name) = (chain.as_bytes(), name.as_bytes());
    for part in [DOMAIN, &[len_byte(chain)], chain, &[len_byte(name)], name, &salt.to_be_bytes(), &user.0] {
        rest = match rest.split_at_mut_checked(part.len()) {
            Some((head, tail)) => {
                head.copy_from_slice(part);
                tail
            }
            None => return Bps::default(),
        };
    }
    let unused = rest.len();
    let used = message.len().saturating_sub(unused);
    let hash: [u8; 32] = Sha256::digest(message.get(..used).unwrap_or_default()).into();
    scale(hash.first_chunk().copied().unwrap_or_default())
}

fn len_byte(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or(u8::MAX)
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

/// The bucket of a user under a policy.
pub(crate) fn bucket(chain: &ChainId, name: &Name, policy: &Policy, user: &Address) -> Bps {
    match policy.bucketing {
        Bucketing::Sha256 => bucket_sha256(chain, name, policy.salt, user),
        Bucketing::FirstByte => bucket_first_byte(user),
    }
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
