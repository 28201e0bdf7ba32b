//! SHA-256: of bytes, of messages that are already padded, and of many messages at once.
//!
//! The hashes of a tree do not depend on each other within a level. With the feature `simd` they are computed several
//! at a time, by the crate `p3-sha256`; without it one by one, by `sha2`. The hashes are the same.

use alloc::vec::Vec;

use sha2::block_api::compress256;

/// A SHA-256 hash as the tree uses it: bytes to be hashed again, without the text forms of [`Hash`].
///
/// [`Hash`]: crate::Hash
pub type Hash32 = [u8; 32];

const BLOCK_LEN: usize = 64;
/// The bytes of the length of a message, at the end of its padding.
const LENGTH_LEN: usize = 8;

type Words = [u32; 8];
const INITIAL: Words =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Hashes a message that already has SHA-256's padding.
///
/// Gives the same hash as the `Digest` interface in three quarters of the time: nothing is copied into
/// a buffer, and consecutive calls overlap in the processor.
pub(crate) fn hash_padded(blocks: &[[u8; BLOCK_LEN]]) -> Hash32 {
    let mut state = INITIAL;
    compress256(&mut state, blocks);
    bytes_of(state)
}

/// Hashes bytes of any length.
pub(crate) fn hash(bytes: &[u8]) -> Hash32 {
    let (blocks, rest) = bytes.as_chunks();
    let mut state = INITIAL;
    if !blocks.is_empty() {
        compress256(&mut state, blocks);
    }
    // The rest, the bit that ends a message, and its length fit one block or two.
    let mut tail = [[0; BLOCK_LEN]; 2];
    if let Some((start, padding)) = tail.as_flattened_mut().split_at_mut_checked(rest.len()) {
        start.copy_from_slice(rest);
        padding.iter_mut().take(1).for_each(|first| *first = 0x80);
    }
    let is_long = rest.len() >= BLOCK_LEN.saturating_sub(LENGTH_LEN);
    let padded = if is_long { tail.as_mut_slice() } else { tail.split_at_mut(1).0 };
    if let Some(length) = padded.as_flattened_mut().last_chunk_mut() {
        *length = u64::try_from(bytes.len()).unwrap_or(u64::MAX).wrapping_mul(8).to_be_bytes();
    }
    compress256(&mut state, padded);
    bytes_of(state)
}

fn bytes_of(state: Words) -> Hash32 {
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// Hashes messages of any lengths, and returns their hashes in order.
pub(crate) fn hash_each<'a>(messages: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Hash32> {
    match many::at_once(messages.len()) {
        Some(hasher) => hasher.hash_each(messages),
        None => messages.map(hash).collect(),
    }
}

/// Several messages at a time.
#[cfg(feature = "simd")]
pub(crate) mod many {
    use alloc::vec;

    use p3_sha256::Sha256;
    use p3_symmetric::CryptographicHasher;

    use super::{Hash32, Vec, hash};

    /// Fewer messages are hashed one by one, which the processor overlaps by itself.
    const AT_ONCE_MIN: usize = 4;

    /// Hashes several messages at a time.
    #[derive(Clone, Copy)]
    pub(crate) struct Hasher(());

    /// The hasher for so many messages, if they are enough for it.
    pub(crate) fn at_once(messages: usize) -> Option<Hasher> {
        (messages >= AT_ONCE_MIN).then_some(Hasher(()))
    }

    impl Hasher {
        /// Hashes messages of one length, and leaves their hashes in `hashes`, in order.
        pub(crate) fn hash_equal<const LEN: usize>(self, messages: &[[u8; LEN]], hashes: &mut Vec<Hash32>) {
            self.hash_flat(messages.as_flattened(), messages.len(), hashes);
        }

        /// The same for messages that lie end to end.
        fn hash_flat(self, messages: &[u8], count: usize, hashes: &mut Vec<Hash32>) {
            hashes.clear();
            hashes.resize(count, Hash32::default());
            Sha256.hash_many(messages, hashes);
        }

        /// Messages of one length are laid end to end, as [`Hasher::hash_flat`] wants them.
        pub(super) fn hash_each<'a>(self, messages: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Hash32> {
            let mut by_length: Vec<(usize, usize, &[u8])> =
                messages.enumerate().map(|(at, message)| (message.len(), at, message)).collect();
            let mut hashes = vec![Hash32::default(); by_length.len()];
            by_length.sort_unstable_by_key(|(len, at, _)| (*len, *at));
            let (mut laid, mut hashed) = (Vec::new(), Vec::new());
            for run in by_length.chunk_by(|(a, ..), (b, ..)| a == b) {
                match at_once(run.len()) {
                    Some(hasher) => {
                        laid.clear();
                        run.iter().for_each(|(.., message)| laid.extend_from_slice(message));
                        hasher.hash_flat(&laid, run.len(), &mut hashed);
                    }
                    None => {
                        hashed.clear();
                        hashed.extend(run.iter().map(|(.., message)| hash(message)));
                    }
                }
                for ((_, at, _), hash) in run.iter().zip(&hashed) {
                    if let Some(place) = hashes.get_mut(*at) {
                        *place = *hash;
                    }
                }
            }
            hashes
        }
    }
}

/// One message after the other: no hasher takes several at a time.
#[cfg(not(feature = "simd"))]
pub(crate) mod many {
    use super::{Hash32, Vec};

    #[derive(Clone, Copy)]
    pub(crate) enum Hasher {}

    pub(crate) const fn at_once(_: usize) -> Option<Hasher> {
        None
    }

    impl Hasher {
        pub(crate) const fn hash_equal<const LEN: usize>(self, _: &[[u8; LEN]], _: &mut Vec<Hash32>) {
            match self {}
        }

        pub(super) fn hash_each<'a>(self, _: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Hash32> {
            match self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn expected(message: &[u8]) -> Hash32 {
        Sha256::digest(message).into()
    }

    #[test]
    fn a_hash_is_sha256() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_100).collect();
        for len in (0..300).chain(1_000..1_100) {
            assert_eq!(hash(&bytes[..len]), expected(&bytes[..len]), "{len} bytes");
        }
    }

    fn check_equal<const LEN: usize>() {
        let message = |index: usize| core::array::from_fn(|at| (index * 31 + at * 7) as u8);
        let mut hashes = alloc::vec![[1; 32]];
        for count in (0..70).chain([128, 1_000]) {
            let messages: Vec<[u8; LEN]> = (0..count).map(message).collect();
            match many::at_once(count) {
                Some(hasher) => hasher.hash_equal(&messages, &mut hashes),
                None => hashes = messages.iter().map(|message| hash(message)).collect(),
            }
            let each = hash_each(messages.iter().map(<[u8; LEN]>::as_slice));
            let expected: Vec<Hash32> = messages.iter().map(|message| expected(message)).collect();
            assert_eq!((&hashes, &each), (&expected, &expected), "{count} messages of {LEN} bytes");
        }
    }

    #[test]
    fn many_hashes_are_sha256() {
        check_equal::<1>();
        check_equal::<55>();
        check_equal::<56>();
        check_equal::<63>();
        check_equal::<64>();
        check_equal::<65>();
        check_equal::<77>();
        check_equal::<80>();
        check_equal::<119>();
        check_equal::<120>();
        check_equal::<500>();
    }

    #[test]
    fn messages_of_any_lengths_keep_their_order() {
        let bytes: Vec<u8> = (0..=255).cycle().take(4_000).collect();
        for count in [0, 1, 3, 4, 5, 200, 2_000] {
            let messages: Vec<&[u8]> = (0..count).map(|index| &bytes[index..][..index * 37 % 150]).collect();
            let expected: Vec<Hash32> = messages.iter().map(|message| expected(message)).collect();
            assert_eq!(hash_each(messages.iter().copied()), expected, "{count} messages");
        }
    }
}
