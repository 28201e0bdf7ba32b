//! The tip: the height and root that a store has committed, and the record that keeps them.
//!
//! The record lies outside the key range of the state and is not part of the root:
//!
//! | key | value |
//! |---|---|
//! | `00 74 69 70` (`00 ‖ "tip"`) | `format u16 ‖ height present u8 ‖ height u32 ‖ root 32` |
//!
//! Every block's batch writes it, so format, height and root always match the records in the store.
//! A store without it is empty. In every future format the format number comes first, so that any
//! build can read it.

use std::fmt;

use coalmine_core::{DecodeError, DecodeErrorKind, Hash, Height, Reader, Writer};

/// The format number that this build reads and writes.
pub const STORE_FORMAT: u16 = 1;

/// The key of the tip record.
pub const TIP_KEY: [u8; 4] = [0x00, b't', b'i', b'p'];

/// The reason that a tip record does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TipError {
    /// The store was written in another format.
    #[error(
        "the store has format {0}, this build knows format {STORE_FORMAT}; open it with the build that wrote it, or dump it there and restore it here"
    )]
    Format(u16),
    /// The bytes are not those of a tip.
    #[error("the record of the tip is damaged ({0}); restore the store from a copy")]
    Damaged(DecodeError),
}

/// The height and root that a store has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// The height of the last block; `None` if only the genesis is committed.
    pub height: Option<Height>,
    /// The root of the state.
    pub root: Hash,
}

impl Tip {
    /// Encodes the tip record.
    #[must_use]
    pub fn to_record(self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u16(STORE_FORMAT);
        out.bool(self.height.is_some());
        out.u32(self.height.unwrap_or_default());
        out.hash(&self.root);
        out.into_bytes()
    }

    /// Decodes the tip record.
    ///
    /// # Errors
    /// [`TipError`] for another format or a damaged record.
    pub fn from_record(bytes: &[u8]) -> Result<Self, TipError> {
        let mut input = Reader::new(bytes);
        let format = input.u16().map_err(TipError::Damaged)?;
        if format != STORE_FORMAT {
            return Err(TipError::Format(format));
        }
        let mut read = || {
            let (present, height) = (input.bool()?, input.u32()?);
            if !present && height != 0 {
                return Err(input.error(DecodeErrorKind::NotCanonical));
            }
            let root = input.hash()?;
            input.finish()?;
            Ok(Self { height: present.then_some(height), root })
        };
        read().map_err(TipError::Damaged)
    }
}

impl fmt::Display for Tip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.height {
            Some(height) => write!(f, "height {height}, root {}", self.root),
            None => write!(f, "genesis, root {}", self.root),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_pinned_and_canonical() {
        let tip = Tip { height: Some(0x0102_0304), root: Hash([0xab; 32]) };
        let record = tip.to_record();
        assert_eq!(record, [[0, 1, 1, 1, 2, 3, 4].as_slice(), &[0xab; 32]].concat());
        assert_eq!(Tip::from_record(&record).unwrap(), tip);

        let genesis = Tip { height: None, root: Hash([0xcd; 32]) };
        assert_eq!(genesis.to_record(), [[0, 1, 0, 0, 0, 0, 0].as_slice(), &[0xcd; 32]].concat());
        assert_eq!(Tip::from_record(&genesis.to_record()).unwrap(), genesis);

        for len in 0..record.len() {
            assert!(Tip::from_record(&record[..len]).is_err(), "{len}");
        }
        for (at, byte) in [(2, 2), (2, 0)] {
            let mut bad = record.clone();
            bad[at] = byte;
            assert!(matches!(Tip::from_record(&bad), Err(TipError::Damaged(_))), "{at} {byte}");
        }
        let mut other = record.clone();
        other[1] = 2;
        assert!(matches!(Tip::from_record(&other), Err(TipError::Format(2))));
        assert!(Tip::from_record(&[record.as_slice(), &[0]].concat()).is_err());
    }
}
