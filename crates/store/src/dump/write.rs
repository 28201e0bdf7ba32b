//! Makes a dump from a view of a store: first the header, for which every record is read once, then any chunk on demand.

use std::io::Write;
use std::ops::ControlFlow;

use coalmine_core::{DecodeError, DecodeErrorKind, Encode as _, FORMAT, Fault, Key, Read, STATE_KEYS, Writer, query};

use super::error::DumpError;
use super::header::{CHUNK_SIZE_MAX, CHUNKS_MAX, Chunk, Header};
use crate::ledger::{OpenError, check_rules};
use crate::store::View;

/// A dump of a view, which must not change meanwhile: a snapshot, or a store that nothing commits to.
#[derive(Debug)]
pub struct Dump<V> {
    view: V,
    header: Header,
    /// The first key of each chunk.
    starts: Vec<Vec<u8>>,
}

impl<V: View> Dump<V> {
    /// Begins a dump: reads every record, and hashes the chunks.
    ///
    /// # Errors
    /// [`DumpError::Open`] if the view is empty, cannot be read, or has rules that this build does not know.
    pub fn new(view: V) -> Result<Self, DumpError> {
        let tip = view.tip()?.ok_or(OpenError::Empty)?;
        let key = Key::Global.to_bytes();
        if let Some(global) = view.get(&key)? {
            check_rules(&global, tip.height)?;
        }
        let cause = DecodeError::whole(DecodeErrorKind::Mismatch);
        let global = query::global(&view)?.ok_or(Fault::Corrupt { key, cause })?;
        let (mut chunks, mut starts) = (Vec::new(), Vec::new());
        let mut next = Some(vec![STATE_KEYS.start]);
        while let Some(start) = next {
            if chunks.len() == CHUNKS_MAX {
                return Err(DumpError::TooLarge);
            }
            let (bytes, after) = cut(&view, &start)?;
            chunks.push(Chunk::of(&bytes));
            starts.push(start);
            next = after;
        }
        let rules = global.rules.number();
        Ok(Self { view, header: Header { chain: global.chain, format: FORMAT, rules, tip, chunks }, starts })
    }

    /// The header, which has the hashes of all chunks.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// [`DumpError::NoChunk`], or [`DumpError::Changed`] if the view is no longer what it was.
    pub fn chunk(&self, index: usize) -> Result<Vec<u8>, DumpError> {
        let found = self.header.chunks.get(index).zip(self.starts.get(index));
        let (chunk, start) = found.ok_or(DumpError::NoChunk { index, count: self.starts.len() })?;
        let (bytes, _) = cut(&self.view, start)?;
        if Chunk::of(&bytes) == *chunk { Ok(bytes) } else { Err(DumpError::Changed) }
    }

    /// Reads all chunks, one after the other.
    ///
    /// # Errors
    /// Of each: as for [`Dump::chunk`].
    pub fn chunks(&self) -> impl Iterator<Item = Result<Vec<u8>, DumpError>> {
        (0..self.starts.len()).map(|index| self.chunk(index))
    }

    /// Writes the dump as a file.
    ///
    /// # Errors
    /// [`DumpError::Output`], or as for [`Dump::chunk`].
    pub fn write_to(&self, out: &mut (impl Write + ?Sized)) -> Result<(), DumpError> {
        out.write_all(&self.header.to_file_bytes()).map_err(DumpError::Output)?;
        for chunk in self.chunks() {
            out.write_all(&chunk?).map_err(DumpError::Output)?;
        }
        Ok(())
    }
}

/// The chunk that begins at a key, and the first key of the next one.
fn cut(view: &impl Read, start: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), DumpError> {
    let mut out = Writer::default();
    let (mut next, mut foreign) = (None, None);
    view.scan(start, &[STATE_KEYS.end], &mut |key, value| {
        let len = record_len(key, value);
        if key.len() > Key::LEN_MAX || len > CHUNK_SIZE_MAX {
            foreign = Some(hex::encode(key));
            return ControlFlow::Break(());
        }
        if out.len().saturating_add(len) > CHUNK_SIZE_MAX {
            next = Some(key.to_vec());
            return ControlFlow::Break(());
        }
        out.lp8(key);
        out.lp32(value);
        ControlFlow::Continue(())
    })?;
    foreign.map_or(Ok((out.into_bytes(), next)), |key| Err(DumpError::Foreign(key)))
}

/// The bytes that a record takes in a chunk.
pub(super) const fn record_len(key: &[u8], value: &[u8]) -> usize {
    let lengths = size_of::<u8>().saturating_add(size_of::<u32>());
    lengths.saturating_add(key.len()).saturating_add(value.len())
}
