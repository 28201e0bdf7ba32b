//! Read access to records by key, and decoding of records and lists.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::codec::{Decode, DecodeError, Encode};
use crate::fault::Fault;
use crate::key::{Key, KeyRange};

/// Read access to records by key, in key order.
pub trait Read {
    /// Returns the value of a key.
    ///
    /// # Errors
    /// [`Fault::Store`] when the store fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Calls `visit` for the entries with `start <= key < end` in ascending order until it breaks.
    ///
    /// # Errors
    /// [`Fault::Store`] when the store fails.
    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault>;

    /// Returns the entry with the greatest key in `start <= key < end`.
    ///
    /// # Errors
    /// [`Fault::Store`] when the store fails.
    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault>;
}

impl<R: Read + ?Sized> Read for &R {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        (**self).get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
        (**self).scan(start, end, visit)
    }

    fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault> {
        (**self).last(start, end)
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// The callback of a scan, called with key and value.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// The number of entries that [`Entries`] reads at a time.
const PAGE: usize = 1_024;

/// An iterator over the entries of a range that holds at most one page of them.
///
/// The source must not change during the iteration. The iterator ends after the first fault.
#[derive(Debug)]
pub struct Entries<'v, V: ?Sized> {
    view: &'v V,
    /// The start of the next page; `None` after the last one.
    start: Option<Vec<u8>>,
    end: Vec<u8>,
    page: vec::IntoIter<Entry>,
}

impl<'v, V: Read + ?Sized> Entries<'v, V> {
    /// Iterates over the entries with `start <= key < end`, ascending.
    pub fn new(view: &'v V, start: &[u8], end: &[u8]) -> Self {
        Self { view, start: Some(start.into()), end: end.into(), page: Vec::new().into_iter() }
    }

    /// Reads the page at `start` and stores the start of the next one.
    fn read(&mut self, start: &[u8]) -> Result<(), Fault> {
        let mut page = Vec::with_capacity(PAGE);
        self.view.scan(start, &self.end, &mut |key, value| {
            page.push((key.to_vec(), value.to_vec()));
            if page.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        // The least key above the last one read is that key followed by a zero byte.
        self.start = page.last().filter(|_| page.len() == PAGE).map(|(key, _)| [key.as_slice(), &[0]].concat());
        self.page = page.into_iter();
        Ok(())
    }
}

impl<V: Read + ?Sized> Iterator for Entries<'_, V> {
    type Item = Result<Entry, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.as_slice().is_empty()
            && let Some(start) = self.start.take()
            && let Err(fault) = self.read(&start)
        {
            return Some(Err(fault));
        }
        self.page.next().map(Ok)
    }
}

impl KeyRange {
    /// Returns the part of the range behind a key.
    pub(crate) fn after(mut self, key: Option<Key>) -> Self {
        if let Some(key) = key {
            self.start = key.to_bytes();
            self.start.push(0);
        }
        self
    }
}

pub(crate) fn record<T: Decode>(source: &impl Read, key: &Key) -> Result<Option<T>, Fault> {
    let key = key.to_bytes();
    let value = source.get(&key)?;
    value.map(|value| T::from_bytes(&value).map_err(|cause| corrupt(&key, cause))).transpose()
}

pub(crate) fn list<T>(
    source: &impl Read,
    range: &KeyRange,
    limit: usize,
    mut decode: impl FnMut(Key, &[u8]) -> Result<T, DecodeError>,
) -> Result<Vec<T>, Fault> {
    let mut found = Ok(Vec::new());
    if limit == 0 {
        return found;
    }
    source.scan(&range.start, &range.end, &mut |key, value| {
        let Ok(entries) = &mut found else { return ControlFlow::Break(()) };
        match Key::from_bytes(key).and_then(|decoded| decode(decoded, value)) {
            Ok(entry) => {
                entries.push(entry);
                if entries.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }
            Err(cause) => {
                found = Err(corrupt(key, cause));
                ControlFlow::Break(())
            }
        }
    })?;
    found
}

/// Returns the last entry of a range.
pub(crate) fn last<T>(
    source: &impl Read,
    range: &KeyRange,
    decode: impl FnOnce(Key, &[u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, Fault> {
    let Some((key, value)) = source.last(&range.start, &range.end)? else { return Ok(None) };
    let entry = Key::from_bytes(&key).and_then(|decoded| decode(decoded, &value));
    entry.map(Some).map_err(|cause| corrupt(&key, cause))
}

pub(crate) fn corrupt(key: &[u8], cause: DecodeError) -> Fault {
    Fault::Corrupt { key: key.into(), cause }
}
