//! All entries of a range, one after the other, without holding more than a page of them.

use std::ops::ControlFlow;
use std::vec;

use coalmine_core::{Fault, Read};

/// How many entries are read at a time.
const PAGE: usize = 1_024;

/// A key and its value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// Iterates over a range of a view that does not change meanwhile. It ends after the first fault.
pub(crate) struct Entries<'v, V> {
    view: &'v V,
    /// Where the next page starts; none after the last.
    start: Option<Vec<u8>>,
    end: Vec<u8>,
    page: vec::IntoIter<Entry>,
}

impl<'v, V: Read> Entries<'v, V> {
    pub(crate) fn new(view: &'v V, start: &[u8], end: &[u8]) -> Self {
        Self { view, start: Some(start.into()), end: end.into(), page: Vec::new().into_iter() }
    }

    /// Reads the page at `start` and notes where the next one begins.
    fn read(&mut self, start: &[u8]) -> Result<(), Fault> {
        let mut page = Vec::with_capacity(PAGE);
        self.view.scan(start, &self.end, &mut |key, value| {
            page.push((key.to_vec(), value.to_vec()));
            if page.len() < PAGE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        // The least key above the last one read: that key and a zero byte.
        self.start = page.last().filter(|_| page.len() == PAGE).map(|(key, _)| [key.as_slice(), &[0]].concat());
        self.page = page.into_iter();
        Ok(())
    }
}

impl<V: Read> Iterator for Entries<'_, V> {
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
