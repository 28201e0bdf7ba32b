//! The header of a dump: what it is of, and the length and hash of each chunk.

use coalmine_core::{ChainId, Decode, DecodeError, DecodeErrorKind, Encode, Hash, Reader, Writer};
use sha2::{Digest, Sha256};

use crate::tip::Tip;

/// The first bytes of a dump.
pub const MAGIC: [u8; 4] = *b"CMD1";
/// The longest chunk, in bytes. A chunk ends where the next record would make it longer.
pub const CHUNK_SIZE_MAX: usize = 8 << 20;
/// The most chunks of a dump, so that a header stays below 4 MB, which is what state sync carries.
pub const CHUNKS_MAX: usize = 100_000;
/// The longest header, in bytes, without what stands around it in a file.
pub const HEADER_SIZE_MAX: usize = 200 + CHUNKS_MAX * CHUNK_LEN;

const CHUNK_LEN: usize = size_of::<u32>() + Hash::LEN;

/// What a dump is of, and its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The chain.
    pub chain: ChainId,
    /// The number of the format of the records.
    pub format: u16,
    /// The number of the rule set of the next block.
    pub rules: u16,
    /// Height and root of the state.
    pub tip: Tip,
    pub(super) chunks: Vec<Chunk>,
}

/// Length and hash of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    pub(super) len: u32,
    pub(super) hash: Hash,
}

impl Chunk {
    /// The chunk with these bytes, of which there are at most [`CHUNK_SIZE_MAX`].
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { len: u32::try_from(bytes.len()).unwrap_or(u32::MAX), hash: sha256(bytes) }
    }

    /// How many bytes it has, at least 1 and at most [`CHUNK_SIZE_MAX`].
    #[must_use]
    pub const fn len(self) -> u32 {
        self.len
    }

    /// Always false: a chunk has at least one record.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The SHA-256 of its bytes.
    #[must_use]
    pub const fn hash(self) -> Hash {
        self.hash
    }
}

impl Header {
    /// The chunks, in order.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The SHA-256 of the encoded header, which names the whole dump.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&self.to_bytes())
    }

    /// What stands before the first chunk in a file: the magic, the header behind its length, and its hash.
    #[must_use]
    pub fn to_file_bytes(&self) -> Vec<u8> {
        let header = self.to_bytes();
        let mut out = Writer::default();
        out.raw(&MAGIC);
        out.lp32(&header);
        out.hash(&sha256(&header));
        out.into_bytes()
    }

    /// Where a chunk begins in a file, in bytes from its start; `None` if there is no such chunk.
    #[must_use]
    pub fn offset(&self, index: usize) -> Option<u64> {
        let before = self.chunks.get(..index).filter(|_| index < self.chunks.len())?;
        let start = u64::try_from(self.to_file_bytes().len()).ok()?;
        before.iter().try_fold(start, |at, chunk| at.checked_add(chunk.len.into()))
    }
}

impl Encode for Header {
    fn encode(&self, out: &mut Writer) {
        out.lp8(self.chain.as_bytes());
        out.u16(self.format);
        out.u16(self.rules);
        out.option(self.tip.height, Writer::u32);
        out.hash(&self.tip.root);
        out.u32(u32::try_from(self.chunks.len()).unwrap_or(u32::MAX));
        for Chunk { len, hash } in &self.chunks {
            out.u32(*len);
            out.hash(hash);
        }
    }
}

impl Decode for Header {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let chain = ChainId::new(input.lp8()?).map_err(|_| input.error(DecodeErrorKind::OutOfRange))?;
        let (format, rules) = (input.u16()?, input.u16()?);
        let tip = Tip { height: input.option(Reader::u32)?, root: input.hash()? };
        let count = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
        if count > CHUNKS_MAX {
            return Err(input.error(DecodeErrorKind::TooLarge));
        }
        // So that nothing is allocated for chunks that are not there.
        if input.remaining() < count.saturating_mul(CHUNK_LEN) {
            return Err(input.error(DecodeErrorKind::Short));
        }
        let mut chunks = Vec::with_capacity(count);
        for _ in 0..count {
            let len = input.u32()?;
            match usize::try_from(len) {
                Ok(1..=CHUNK_SIZE_MAX) => chunks.push(Chunk { len, hash: input.hash()? }),
                Ok(0) => return Err(input.error(DecodeErrorKind::OutOfRange)),
                Ok(_) | Err(_) => return Err(input.error(DecodeErrorKind::TooLarge)),
            }
        }
        Ok(Self { chain, format, rules, tip, chunks })
    }
}

pub(super) fn sha256(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}
