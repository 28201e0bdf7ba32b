//! The binary codec: big-endian, slices only, exactly one encoding per value.
//!
//! Decoding rejects leftover bytes, short input, unknown tags and bools other than 0 and 1. Every
//! length is checked against the remaining input before anything is allocated for it.

use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use core::ops::RangeInclusive;

use crate::rules::RuleSet;
use crate::values::{Address, Bps, Hash, Name, Percent};

use byteorder::{BigEndian, ByteOrder};

/// What is wrong with some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The input ends before the value does.
    Short,
    /// Bytes remain after the value.
    Leftover,
    /// A tag, code or enum value that this build does not know.
    UnknownTag,
    /// Not the one encoding of the value, such as a bool other than 0 and 1 or a nonzero reserved byte.
    NotCanonical,
    /// A value outside its valid range.
    OutOfRange,
    /// A list that is not strictly ascending.
    Unsorted,
    /// A text that is not UTF-8.
    NotUtf8,
    /// A count or length above its limit.
    TooLarge,
    /// A record that contradicts its key or another record.
    Mismatch,
}

impl DecodeErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Short => "the input ends too early",
            Self::Leftover => "bytes are left over",
            Self::UnknownTag => "unknown tag",
            Self::NotCanonical => "not canonical",
            Self::OutOfRange => "value out of range",
            Self::Unsorted => "set not strictly ascending",
            Self::NotUtf8 => "text is not UTF-8",
            Self::TooLarge => "over the limit",
            Self::Mismatch => "contradicts its key or another record",
        }
    }
}

/// Bytes that do not decode: what is wrong, and how far before the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// The first problem found.
    pub kind: DecodeErrorKind,
    /// How many bytes of the input were still unread when it was found.
    pub remaining: usize,
}

impl DecodeError {
    /// An error about a value as a whole rather than a position in it.
    #[must_use]
    pub const fn whole(kind: DecodeErrorKind) -> Self {
        Self { kind, remaining: 0 }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes before the end)", self.kind.text(), self.remaining)
    }
}

impl core::error::Error for DecodeError {}

/// A value that has exactly one encoding.
pub trait Encode {
    /// Appends the encoding.
    fn encode(&self, out: &mut Writer);

    /// The encoding in a vector of its own.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.encode(&mut out);
        out.into_bytes()
    }
}

/// A value that can be decoded from its only encoding.
pub trait Decode: Sized {
    /// Reads the value from the front of `input` and leaves the rest.
    ///
    /// # Errors
    /// Any [`DecodeErrorKind`] but [`Leftover`](DecodeErrorKind::Leftover).
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Decodes `bytes`, all of which must belong to the value.
    ///
    /// # Errors
    /// Any [`DecodeErrorKind`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_whole(Reader::new(bytes))
    }

    /// Decodes what is left of `input`, all of which must belong to the value.
    ///
    /// # Errors
    /// Any [`DecodeErrorKind`].
    fn decode_whole(mut input: Reader<'_>) -> Result<Self, DecodeError> {
        let value = Self::decode(&mut input)?;
        input.finish()?;
        Ok(value)
    }
}

/// Appends encoded values to a vector.
#[derive(Debug, Default, Clone)]
pub struct Writer(Vec<u8>);

#[expect(clippy::len_without_is_empty, reason = "a length is an offset or a size here; no caller asks whether it is 0")]
impl Writer {
    /// A writer with room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Takes the bytes written so far.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// How many bytes have been written: the offset of the next one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Writes an optional number, with zero for `None`.
    pub fn nonzero_u16(&mut self, value: Option<NonZeroU16>) {
        self.u16(value.map_or(0, NonZeroU16::get));
    }

    /// Writes an optional number, with zero for `None`.
    pub fn nonzero_u32(&mut self, value: Option<NonZeroU32>) {
        self.u32(value.map_or(0, NonZeroU32::get));
    }

    /// Writes an optional number, with zero for `None`.
    pub fn nonzero_u64(&mut self, value: Option<NonZeroU64>) {
        self.u64(value.map_or(0, NonZeroU64::get));
    }

    /// Writes the length of a list that is limited to 255 entries.
    pub(crate) fn count_u8(&mut self, count: usize) {
        debug_assert!(u8::try_from(count).is_ok(), "a list of {count} is longer than its limit");
        self.u8(u8::try_from(count).unwrap_or(u8::MAX));
    }

    /// Writes the length of a list that is limited to 65 535 entries.
    pub(crate) fn count_u16(&mut self, count: usize) {
        debug_assert!(u16::try_from(count).is_ok(), "a list of {count} is longer than its limit");
        self.u16(u16::try_from(count).unwrap_or(u16::MAX));
    }

    /// Writes the length of a list that is limited to 4 294 967 295 entries.
    pub(crate) fn count_u32(&mut self, count: usize) {
        debug_assert!(u32::try_from(count).is_ok(), "a list of {count} is longer than its limit");
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Writes one byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Writes a bool as 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    /// Writes two bytes, big-endian.
    pub fn u16(&mut self, value: u16) {
        let mut bytes = [0; size_of::<u16>()];
        BigEndian::write_u16(&mut bytes, value);
        self.raw(&bytes);
    }

    /// Writes four bytes, big-endian.
    pub fn u32(&mut self, value: u32) {
        let mut bytes = [0; size_of::<u32>()];
        BigEndian::write_u32(&mut bytes, value);
        self.raw(&bytes);
    }

    /// Writes eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) {
        let mut bytes = [0; size_of::<u64>()];
        BigEndian::write_u64(&mut bytes, value);
        self.raw(&bytes);
    }

    /// Writes the bytes without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Writes a u8 length and the bytes. Callers pass at most 255; more would be cut, so that the output still parses.
    pub fn lp8(&mut self, bytes: &[u8]) {
        debug_assert!(u8::try_from(bytes.len()).is_ok(), "{} bytes do not fit a u8 length", bytes.len());
        let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.u8(len);
        self.raw(bytes.get(..usize::from(len)).unwrap_or(bytes));
    }

    /// Writes a u16 length and the bytes. Callers pass at most 65 535; more would be cut, as in [`Writer::lp8`].
    pub fn lp16(&mut self, bytes: &[u8]) {
        debug_assert!(u16::try_from(bytes.len()).is_ok(), "{} bytes do not fit a u16 length", bytes.len());
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(len);
        self.raw(bytes.get(..usize::from(len)).unwrap_or(bytes));
    }

    /// Writes a u32 length and the bytes. Callers pass values far below 4 GiB; nothing is cut here.
    pub fn lp32(&mut self, bytes: &[u8]) {
        debug_assert!(u32::try_from(bytes.len()).is_ok(), "{} bytes do not fit a u32 length", bytes.len());
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.raw(bytes);
    }

    /// Writes 0 for `None`, or 1 and then the value.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Writes the 20 bytes of an address.
    pub fn address(&mut self, address: &Address) {
        self.raw(&address.0);
    }

    /// Writes the 32 bytes of a hash.
    pub fn hash(&mut self, hash: &Hash) {
        self.raw(&hash.0);
    }

    /// Writes a u8 length and the name.
    pub fn name(&mut self, name: &Name) {
        self.lp8(name.as_bytes());
    }
}

/// Reads values from the front of a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    rules: RuleSet,
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`, under the rules of a new ledger.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self::under(RuleSet::LATEST, bytes)
    }

    /// Starts at the front of `bytes`, which were written under these rules.
    pub(crate) const fn under(rules: RuleSet, bytes: &'a [u8]) -> Self {
        Self { bytes, rules }
    }

    /// The rules under which the bytes are read: a tag or field may exist under one rule set only.
    pub(crate) const fn rules(&self) -> RuleSet {
        self.rules
    }

    /// How many bytes are still unread.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Makes an error that points to the current position.
    #[must_use]
    pub const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, remaining: self.bytes.len() }
    }

    /// Checks that the whole input has been read.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Leftover`] if bytes remain.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::Leftover)) }
    }

    /// Reads the next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`] if fewer remain.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(len).ok_or(self.error(DecodeErrorKind::Short))?;
        self.bytes = tail;
        Ok(head)
    }

    /// Reads all remaining bytes: the variable part at the end of a key.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or(self.error(DecodeErrorKind::Short))?;
        self.bytes = tail;
        Ok(*head)
    }

    /// Reads an optional number; zero is `None`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn nonzero_u16(&mut self) -> Result<Option<NonZeroU16>, DecodeError> {
        self.u16().map(NonZeroU16::new)
    }

    /// Reads an optional number; zero is `None`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn nonzero_u32(&mut self) -> Result<Option<NonZeroU32>, DecodeError> {
        self.u32().map(NonZeroU32::new)
    }

    /// Reads an optional number; zero is `None`.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn nonzero_u64(&mut self) -> Result<Option<NonZeroU64>, DecodeError> {
        self.u64().map(NonZeroU64::new)
    }

    /// Reads a count from `counts`.
    pub(crate) fn count_u8(&mut self, counts: RangeInclusive<usize>) -> Result<usize, DecodeError> {
        let count = self.u8()?;
        self.count_within(count, counts)
    }

    /// Checks a count that has just been read.
    pub(crate) fn count_within(&self, count: u8, counts: RangeInclusive<usize>) -> Result<usize, DecodeError> {
        let count = usize::from(count);
        if count > *counts.end() {
            return Err(self.error(DecodeErrorKind::TooLarge));
        }
        if count < *counts.start() {
            return Err(self.error(DecodeErrorKind::OutOfRange));
        }
        Ok(count)
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// Reads two bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array::<{ size_of::<u16>() }>().map(|bytes| BigEndian::read_u16(&bytes))
    }

    /// Reads four bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array::<{ size_of::<u32>() }>().map(|bytes| BigEndian::read_u32(&bytes))
    }

    /// Reads eight bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array::<{ size_of::<u64>() }>().map(|bytes| BigEndian::read_u64(&bytes))
    }

    /// Reads a bool.
    ///
    /// # Errors
    /// [`DecodeErrorKind::NotCanonical`] for a byte other than 0 and 1.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.error(DecodeErrorKind::NotCanonical)),
        }
    }

    /// Reads one byte as a percentage.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] if it is above 100.
    pub fn percent(&mut self) -> Result<Percent, DecodeError> {
        let percent = self.u8()?;
        Percent::new(percent).map_err(|_| self.error(DecodeErrorKind::OutOfRange))
    }

    /// Reads two bytes as basis points.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] if it is above 10 000.
    pub fn bps(&mut self) -> Result<Bps, DecodeError> {
        let bps = self.u16()?;
        Bps::new(bps).map_err(|_| self.error(DecodeErrorKind::OutOfRange))
    }

    /// Reads a u8 length and that many bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn lp8(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u8()?;
        self.raw(usize::from(len))
    }

    /// Reads a u16 length and that many bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn lp16(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.raw(usize::from(len))
    }

    /// Reads a u32 length and that many bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn lp32(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u32()?;
        // Where a word is shorter than the length, no input is that long.
        self.raw(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Reads 0 as `None`, or 1 and then a value.
    ///
    /// # Errors
    /// An error of `read`, or a flag other than 0 and 1.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Reads the 20 bytes of an address.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn address(&mut self) -> Result<Address, DecodeError> {
        self.array().map(Address)
    }

    /// Reads the 32 bytes of a hash.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn hash(&mut self) -> Result<Hash, DecodeError> {
        self.array().map(Hash)
    }

    /// Reads a u8 length and a valid name.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] if the bytes are not a valid name.
    pub fn name(&mut self) -> Result<Name, DecodeError> {
        let bytes = self.lp8()?;
        Name::new(bytes).map_err(|_| self.error(DecodeErrorKind::OutOfRange))
    }

    /// Checks that bytes which have just been read are UTF-8.
    ///
    /// # Errors
    /// [`DecodeErrorKind::NotUtf8`].
    pub fn text(&self, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(bytes).map_err(|_| self.error(DecodeErrorKind::NotUtf8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        for (kind, text) in [
            (DecodeErrorKind::Short, "the input ends too early"),
            (DecodeErrorKind::Leftover, "bytes are left over"),
            (DecodeErrorKind::UnknownTag, "unknown tag"),
            (DecodeErrorKind::NotCanonical, "not canonical"),
            (DecodeErrorKind::OutOfRange, "value out of range"),
            (DecodeErrorKind::Unsorted, "set not strictly ascending"),
            (DecodeErrorKind::NotUtf8, "text is not UTF-8"),
            (DecodeErrorKind::TooLarge, "over the limit"),
            (DecodeErrorKind::Mismatch, "contradicts its key or another record"),
        ] {
            let error = Reader::new(&[0; 3]).error(kind);
            assert_eq!(error.to_string(), alloc::format!("{text} (3 bytes before the end)"));
        }
    }
}
