//! Takes a dump in, chunk by chunk or as a file, and makes a ledger of it when all of it has been checked.

use std::collections::BTreeMap;
use std::io::Read;

use coalmine_core::query::Entries;
use coalmine_core::{Decode as _, Encode as _, FORMAT, Global, Key, Reader, STATE_KEYS, State};

use super::error::{DumpError, Part};
use super::header::{CHUNK_SIZE_MAX, Chunk, HEADER_SIZE_MAX, Header, MAGIC, sha256};
use super::write::record_len;
use crate::ledger::{Ledger, OpenError, Replacement, check_numbers, compare_root};
use crate::store::{Staging, Store};

/// Collects the chunks of a dump. Each is checked when it comes; nothing is written before all are there.
#[derive(Debug)]
pub struct Restorer {
    header: Header,
    chunks: Vec<Vec<u8>>,
    /// The last key so far.
    last: Vec<u8>,
}

/// The chunk that a [`Restorer`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextChunk {
    /// Its place, from 0.
    pub index: usize,
    /// What it must be.
    pub chunk: Chunk,
}

/// A dump that is complete and whose records are the state of its tip.
#[derive(Debug)]
pub struct Restored {
    header: Header,
    chunks: Vec<Vec<u8>>,
    state: State,
}

/// Reads a dump to its end, which is the end of the input.
///
/// # Errors
/// The first problem. Nothing has been written anywhere.
pub fn read(mut input: impl Read) -> Result<Restored, DumpError> {
    let mut restorer = Restorer::new(read_header(&mut input)?)?;
    while let Some(next) = restorer.next_chunk() {
        let part = restorer.part(next.index);
        restorer.push(read_part(&mut input, next.chunk.len.into(), part)?)?;
    }
    let more = input.read(&mut [0]).map_err(DumpError::Input)?;
    if more > 0 {
        return Err(DumpError::Leftover);
    }
    restorer.finish()
}

fn read_header(input: &mut impl Read) -> Result<Header, DumpError> {
    let mut magic = Vec::new();
    input.take(4).read_to_end(&mut magic).map_err(DumpError::Input)?;
    if magic != MAGIC {
        return Err(DumpError::Magic);
    }
    let len = read_part(input, 4, Part::Header)?;
    let len = Reader::new(&len).u32().map_err(DumpError::Header)?;
    if usize::try_from(len).map_or(true, |len| len > HEADER_SIZE_MAX) {
        return Err(DumpError::HeaderSize(len));
    }
    let bytes = read_part(input, len.into(), Part::Header)?;
    if read_part(input, 32, Part::Header)? != sha256(&bytes).0 {
        return Err(DumpError::HeaderHash);
    }
    Header::from_bytes(&bytes).map_err(DumpError::Header)
}

/// Reads as many bytes. The buffer grows with what comes, whatever was announced.
fn read_part(input: &mut impl Read, expected: u64, part: Part) -> Result<Vec<u8>, DumpError> {
    let mut bytes = Vec::new();
    input.take(expected).read_to_end(&mut bytes).map_err(DumpError::Input)?;
    let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if found < expected {
        return Err(DumpError::Cut { part, found, expected });
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}

impl Restorer {
    /// Begins with a header.
    ///
    /// # Errors
    /// [`OpenError::Rules`] if this build does not know the rules of the state.
    pub fn new(header: Header) -> Result<Self, DumpError> {
        check_numbers(header.format, header.rules, header.tip.height)?;
        Ok(Self { header, chunks: Vec::new(), last: Vec::new() })
    }

    /// The header that it began with.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The chunk to [`push`](Self::push) next; `None` when all are there.
    #[must_use]
    pub fn next_chunk(&self) -> Option<NextChunk> {
        let index = self.chunks.len();
        self.header.chunks.get(index).map(|chunk| NextChunk { index, chunk: *chunk })
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`DumpError::Hash`] if it is not the chunk that the header names, which may then be given; any other error
    /// says that the dump is none, whoever sends it.
    pub fn push(&mut self, bytes: Vec<u8>) -> Result<(), DumpError> {
        let next = self.next_chunk().ok_or(DumpError::Leftover)?;
        let part = self.part(next.index);
        if Chunk::of(&bytes) != next.chunk {
            return Err(DumpError::Hash(part));
        }
        self.last = self.last_key(&bytes, part)?.to_vec();
        self.chunks.push(bytes);
        Ok(())
    }

    /// Checks the records of a chunk, and returns the last key.
    fn last_key<'b>(&self, bytes: &'b [u8], part: Part) -> Result<&'b [u8], DumpError> {
        let wrong =
            |rest: usize, problem| DumpError::Record { part, offset: bytes.len().saturating_sub(rest), problem };
        let mut last: Option<&[u8]> = None;
        let mut input = Reader::new(bytes);
        while input.remaining() > 0 {
            let rest = input.remaining();
            let (key, value) = record(&mut input).ok_or_else(|| wrong(rest, "the record is cut off"))?;
            if key.len() > Key::LEN_MAX || !key.first().is_some_and(|first| STATE_KEYS.contains(first)) {
                return Err(wrong(rest, "this is not a key of a state"));
            }
            if last.unwrap_or(&self.last) >= key {
                return Err(wrong(rest, "the keys must ascend, but this one is not above the one before"));
            }
            // Otherwise one state would have many dumps.
            let before = self.chunks.last().filter(|_| last.is_none()).map_or(CHUNK_SIZE_MAX, Vec::len);
            if before.saturating_add(record_len(key, value)) <= CHUNK_SIZE_MAX {
                return Err(wrong(rest, "the record belongs into the chunk before, which has room for it"));
            }
            last = Some(key);
        }
        Ok(last.unwrap_or_default())
    }

    fn part(&self, index: usize) -> Part {
        Part::Chunk { index, count: self.header.chunks.len() }
    }

    /// Checks that all chunks are there and that their records are the state of the header's tip.
    ///
    /// # Errors
    /// A chunk is missing, the header contradicts the records, or [`DumpError::Open`].
    pub fn finish(self) -> Result<Restored, DumpError> {
        let Self { header, chunks, .. } = self;
        if chunks.len() < header.chunks.len() {
            return Err(DumpError::Incomplete { found: chunks.len(), count: header.chunks.len() });
        }
        check_global(&header, &chunks)?;
        let state = State::load(records(&chunks).map(Ok), header.tip.height)?;
        compare_root(&state, header.tip)?;
        Ok(Restored { header, chunks, state })
    }
}

impl Restored {
    /// The header of the dump.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The number of records.
    #[must_use]
    pub fn records(&self) -> u64 {
        u64::try_from(records(&self.chunks).count()).unwrap_or(u64::MAX)
    }

    /// Puts this state in the place of that of a ledger: the records that differ, and its tip, go into the batch of the
    /// host, which is written whole or not at all. [`Ledger::replaced`] takes the token when it was.
    ///
    /// # Errors
    /// As for [`Ledger::stage`]; the batch is left as it was.
    pub fn stage<S: Staging>(self, ledger: &mut Ledger<S>, batch: &mut S::Batch) -> Result<Replacement, OpenError> {
        let mut writes: BTreeMap<Vec<u8>, Option<&[u8]>> = BTreeMap::new();
        for entry in Entries::new(ledger.store(), &[STATE_KEYS.start], &[STATE_KEYS.end]) {
            writes.insert(entry?.0, None);
        }
        for (key, value) in records(&self.chunks) {
            if ledger.store().get(key)?.as_deref() == Some(value) {
                writes.remove(key);
            } else {
                writes.insert(key.to_vec(), Some(value));
            }
        }
        let writes = writes.iter().map(|(key, value)| (key.as_slice(), *value));
        Ok(ledger.stage_state(self.state, writes, batch)?)
    }

    /// Writes the records into an empty store, in one batch, and returns the ledger on it.
    ///
    /// # Errors
    /// The store is not empty, or fails.
    pub fn into_ledger<S: Store>(self, store: S) -> Result<Ledger<S>, OpenError> {
        Ledger::fill(store, self.state, records(&self.chunks))
    }
}

/// Compares the header with the global record. If there is none, or it does not decode, the state does not load.
fn check_global(header: &Header, chunks: &[Vec<u8>]) -> Result<(), DumpError> {
    let key = Key::Global.to_bytes();
    let global = records(chunks).find(|(found, _)| *found == key);
    let Some(Ok(global)) = global.map(|(_, value)| Global::from_bytes(value)) else { return Ok(()) };
    let pairs = [
        ("format", header.format.to_string(), FORMAT.to_string()),
        ("rules", header.rules.to_string(), global.rules.number().to_string()),
        ("chain", format!("{:?}", header.chain), format!("{:?}", global.chain)),
    ];
    match pairs.into_iter().find(|(_, header, records)| header != records) {
        Some((what, header, records)) => Err(DumpError::Contradiction { what, header, records }),
        None => Ok(()),
    }
}

/// The records of chunks that have been checked.
fn records(chunks: &[Vec<u8>]) -> impl Iterator<Item = (&[u8], &[u8])> {
    chunks.iter().flat_map(|chunk| {
        let mut input = Reader::new(chunk);
        std::iter::from_fn(move || record(&mut input))
    })
}

fn record<'b>(input: &mut Reader<'b>) -> Option<(&'b [u8], &'b [u8])> {
    input.lp8().ok().zip(input.lp32().ok())
}
