//! Reading and writing of bytes: big-endian, slices only, one value has one encoding.
//!
//! `decode` refuses leftovers, short input, unknown tags and bools other than 0 and 1. Every
//! length is checked against the bytes at hand before anything is allocated for it.

use alloc::vec::Vec;
use core::fmt;
use core::num::{NonZeroU16, NonZeroU32, NonZeroU64};

use crate::values::{Address, Bps, Hash, Name, Percent};

use byteorder::{BigEndian, ByteOrder};

/// What is wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The input ends too early.
    Short,
    /// Bytes are left over.
    Leftover,
    /// A tag, code or enum value that this build does not know.
    UnknownTag,
    /// A bool other than 0 and 1, or a reserved byte that is not zero.
    NotCanonical,
    /// A value outside its rule.
    OutOfRange,
    /// A set that is not strictly ascending.
    Unsorted,
    /// Text that is not UTF-8.
    NotUtf8,
    /// More or larger than the limit.
    TooLarge,
    /// A value that contradicts its key or another record.
    Mismatch,
}

impl DecodeErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Short => "the input ends too early",
            Self::Leftover => "bytes are left over",
            Self::UnknownTag => "unknown tag",
            Self::NotCanonical => "not canonical",
            Self::OutOfRange => "value out of its range",
            Self::Unsorted => "set not strictly ascending",
            Self::NotUtf8 => "text is not UTF-8",
            Self::TooLarge => "over the limit",
            Self::Mismatch => "contradicts its key or another record",
        }
    }
}

/// Bytes that do not decode: what is wrong, and how many bytes before the end of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// How many bytes of the input had not been read when it was noticed.
    pub remaining: usize,
}

impl DecodeError {
    /// An error about the value as a whole.
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

/// A value with one canonical encoding.
pub trait Encode {
    /// Appends the encoding.
    fn encode(&self, out: &mut Writer);

    /// The encoding as a vector.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.encode(&mut out);
        out.into_bytes()
    }
}

/// A value that is read back from its canonical encoding.
pub trait Decode: Sized {
    /// Reads the value from the front of the input.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Reads the value from the whole of `bytes`.
    ///
    /// # Errors
    /// What is wrong with the bytes, leftovers included.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let value = Self::decode(&mut input)?;
        input.finish()?;
        Ok(value)
    }
}

/// Appends big-endian values to a vector.
#[derive(Debug, Default, Clone)]
pub struct Writer(Vec<u8>);

#[expect(
    clippy::len_without_is_empty,
    reason = "a length is an offset or a size here, and nobody asks whether it is 0"
)]
impl Writer {
    /// The bytes written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The number of bytes written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A number that may be missing, for which zero stands.
    pub fn nonzero_u16(&mut self, value: Option<NonZeroU16>) {
        self.u16(value.map_or(0, NonZeroU16::get));
    }

    /// A number that may be missing, for which zero stands.
    pub fn nonzero_u32(&mut self, value: Option<NonZeroU32>) {
        self.u32(value.map_or(0, NonZeroU32::get));
    }

    /// A number that may be missing, for which zero stands.
    pub fn nonzero_u64(&mut self, value: Option<NonZeroU64>) {
        self.u64(value.map_or(0, NonZeroU64::get));
    }

    /// A count of at most 255.
    pub(crate) fn count_u8(&mut self, count: usize) {
        debug_assert!(u8::try_from(count).is_ok(), "a list of {count} is longer than its limit");
        self.u8(u8::try_from(count).unwrap_or(u8::MAX));
    }

    /// A count of at most 65 535.
    pub(crate) fn count_u16(&mut self, count: usize) {
        debug_assert!(u16::try_from(count).is_ok(), "a list of {count} is longer than its limit");
        self.u16(u16::try_from(count).unwrap_or(u16::MAX));
    }

    /// A count of at most 4 294 967 295.
    pub(crate) fn count_u32(&mut self, count: usize) {
        debug_assert!(u32::try_from(count).is_ok(), "a list of {count} is longer than its limit");
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// A bool as 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    /// Two bytes.
    pub fn u16(&mut self, value: u16) {
        let mut bytes = [0; size_of::<u16>()];
        BigEndian::write_u16(&mut bytes, value);
        self.raw(&bytes);
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        let mut bytes = [0; size_of::<u32>()];
        BigEndian::write_u32(&mut bytes, value);
        self.raw(&bytes);
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        let mut bytes = [0; size_of::<u64>()];
        BigEndian::write_u64(&mut bytes, value);
        self.raw(&bytes);
    }

    /// The bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The bytes behind a u8 length. What does not fit the length is cut; callers hold shorter values.
    pub fn lp8(&mut self, bytes: &[u8]) {
        debug_assert!(u8::try_from(bytes.len()).is_ok(), "{} bytes behind a u8 length", bytes.len());
        let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.u8(len);
        self.raw(bytes.get(..usize::from(len)).unwrap_or(bytes));
    }

    /// The bytes behind a u16 length. What does not fit the length is cut; callers hold shorter values.
    pub fn lp16(&mut self, bytes: &[u8]) {
        debug_assert!(u16::try_from(bytes.len()).is_ok(), "{} bytes behind a u16 length", bytes.len());
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(len);
        self.raw(bytes.get(..usize::from(len)).unwrap_or(bytes));
    }

    /// The bytes behind a u32 length; callers hold values that fit it.
    pub fn lp32(&mut self, bytes: &[u8]) {
        debug_assert!(u32::try_from(bytes.len()).is_ok(), "{} bytes behind a u32 length", bytes.len());
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.raw(bytes);
    }

    /// 0, or 1 and the value.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// An address.
    pub fn address(&mut self, address: &Address) {
        self.raw(&address.0);
    }

    /// A hash.
    pub fn hash(&mut self, hash: &Hash) {
        self.raw(&hash.0);
    }

    /// A name behind a u8 length.
    pub fn name(&mut self, name: &Name) {
        self.lp8(name.as_bytes());
    }
}

/// Reads big-endian values from the front of a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.0.len()
    }

    /// An error at this place.
    #[must_use]
    pub const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, remaining: self.0.len() }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Leftover`] when bytes are left.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(self.error(DecodeErrorKind::Leftover)) }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`] when there are fewer.
    pub fn raw(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(self.error(DecodeErrorKind::Short))?;
        self.0 = tail;
        Ok(head)
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(self.error(DecodeErrorKind::Short))?;
        self.0 = tail;
        Ok(*head)
    }

    /// A number that is missing if it is zero.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn nonzero_u16(&mut self) -> Result<Option<NonZeroU16>, DecodeError> {
        self.u16().map(NonZeroU16::new)
    }

    /// A number that is missing if it is zero.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn nonzero_u32(&mut self) -> Result<Option<NonZeroU32>, DecodeError> {
        self.u32().map(NonZeroU32::new)
    }

    /// A number that is missing if it is zero.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn nonzero_u64(&mut self) -> Result<Option<NonZeroU64>, DecodeError> {
        self.u64().map(NonZeroU64::new)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array::<{ size_of::<u16>() }>().map(|bytes| BigEndian::read_u16(&bytes))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array::<{ size_of::<u32>() }>().map(|bytes| BigEndian::read_u32(&bytes))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array::<{ size_of::<u64>() }>().map(|bytes| BigEndian::read_u64(&bytes))
    }

    /// A bool.
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

    /// A percent in a byte.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] above 100.
    pub fn percent(&mut self) -> Result<Percent, DecodeError> {
        let percent = self.u8()?;
        Percent::new(percent).map_err(|_| self.error(DecodeErrorKind::OutOfRange))
    }

    /// Basis points in two bytes.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] above 10 000.
    pub fn bps(&mut self) -> Result<Bps, DecodeError> {
        let bps = self.u16()?;
        Bps::new(bps).map_err(|_| self.error(DecodeErrorKind::OutOfRange))
    }

    /// Bytes behind a u8 length.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn lp8(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u8()?;
        self.raw(usize::from(len))
    }

    /// Bytes behind a u16 length.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn lp16(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.raw(usize::from(len))
    }

    /// Bytes behind a u32 length.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn lp32(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u32()?;
        // Where a word is shorter than the length, no input is that long.
        self.raw(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// 0, or 1 and a value.
    ///
    /// # Errors
    /// What `read` gives, or a flag other than 0 and 1.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// An address.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn address(&mut self) -> Result<Address, DecodeError> {
        self.array().map(Address)
    }

    /// A hash.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Short`].
    pub fn hash(&mut self) -> Result<Hash, DecodeError> {
        self.array().map(Hash)
    }

    /// A valid name behind a u8 length.
    ///
    /// # Errors
    /// [`DecodeErrorKind::OutOfRange`] for a name that breaks its rule.
    pub fn name(&mut self) -> Result<Name, DecodeError> {
        let bytes = self.lp8()?;
        Name::new(bytes).map_err(|_| self.error(DecodeErrorKind::OutOfRange))
    }

    /// Text behind a length that has been read with its bytes.
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
            (DecodeErrorKind::OutOfRange, "value out of its range"),
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
