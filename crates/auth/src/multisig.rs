//! Multisignatures: how several people hold one role.

use coalmine_core::{Address, Decode, DecodeError, DecodeErrorKind, Encode, Reader, Writer};

use crate::address::address_of;
use crate::key::PublicKey;
use crate::reserved::SMALL_ORDER;

/// The fewest keys of a multisignature.
pub const KEYS_MIN: usize = 2;
/// The most keys of a multisignature.
pub const KEYS_MAX: usize = 16;
/// What the preimage of its address begins with.
const DOMAIN: &[u8] = b"coalmine/multisig/1";

/// Why keys are no multisignature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MultisigError {
    /// Too few or too many keys.
    #[error("a multisignature has {KEYS_MIN} to {KEYS_MAX} keys, not {0}")]
    Keys(usize),
    /// The same key twice.
    #[error("key {0} is there twice")]
    Repeated(PublicKey),
    /// A threshold that no signatures or all keys together cannot reach.
    #[error("the threshold is 1 to the number of keys ({keys}), not {threshold}")]
    Threshold {
        /// The threshold given.
        threshold: u8,
        /// How many keys there are.
        keys: usize,
    },
    /// A key for which anybody may sign.
    #[error("key {0} is of small order: anybody may sign for it")]
    SmallOrder(PublicKey),
}

/// Keys of which so many must sign together. The order in which they were given does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multisig {
    threshold: u8,
    /// Ascending, none twice.
    keys: Vec<PublicKey>,
}

impl Multisig {
    /// Makes a multisignature.
    ///
    /// # Errors
    /// See [`MultisigError`].
    pub fn new(threshold: u8, mut keys: Vec<PublicKey>) -> Result<Self, MultisigError> {
        keys.sort_unstable();
        if keys.len() < KEYS_MIN || keys.len() > KEYS_MAX {
            return Err(MultisigError::Keys(keys.len()));
        }
        if let Some(repeated) = keys.windows(2).find_map(|pair| pair.first().filter(|key| pair.last() == Some(key))) {
            return Err(MultisigError::Repeated(*repeated));
        }
        if threshold == 0 || usize::from(threshold) > keys.len() {
            return Err(MultisigError::Threshold { threshold, keys: keys.len() });
        }
        if let Some(key) = keys.iter().find(|key| SMALL_ORDER.contains(key)) {
            return Err(MultisigError::SmallOrder(*key));
        }
        Ok(Self { threshold, keys })
    }

    /// How many must sign.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }

    /// The keys, ascending.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The address that they sign for.
    #[must_use]
    pub fn address(&self) -> Address {
        let mut preimage = Writer::default();
        preimage.raw(DOMAIN);
        self.encode(&mut preimage);
        address_of(preimage.as_bytes())
    }
}

impl Encode for Multisig {
    fn encode(&self, out: &mut Writer) {
        out.u8(self.threshold);
        out.u8(u8::try_from(self.keys.len()).unwrap_or(u8::MAX));
        self.keys.iter().for_each(|key| out.raw(&key.0));
    }
}

impl Decode for Multisig {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (threshold, count) = (input.u8()?, usize::from(input.u8()?));
        if !(KEYS_MIN..=KEYS_MAX).contains(&count) {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(PublicKey(input.hash()?.0));
        }
        if !keys.is_sorted_by(|a, b| a < b) {
            return Err(input.error(DecodeErrorKind::Unsorted));
        }
        Self::new(threshold, keys).map_err(|_| input.error(DecodeErrorKind::OutOfRange))
    }
}
