//! What a node keeps beside the ledger's records: blocks, what came of them, samples, where transactions are, and marks.
//!
//! | table | key | value |
//! |---|---|---|
//! | blocks | `height u32` | `count u32 ‖ count × lp32 envelope` |
//! | outcomes | `height u32` | `root 32 ‖ time u64 ‖ count u32 ‖ count × (id 32 ‖ receipt 3 ‖ events u32) ‖ count u32 ‖ count × lp16 event ‖ count u32 ‖ count × (subject u8 ‖ lp8 name)` |
//! | samples | `subject u8 ‖ lp8 name ‖ height u32` | a sample of coalmine-chart |
//! | transactions | `id 32` | `height u32 ‖ index u32` |
//! | meta | text | by key |
//! | raft | text | log and vote of the engine raft, in the form of coalmine-raft |
//!
//! Big-endian. One value has one encoding. Heights at which nothing happened have no rows.

use coalmine_chart::Subject;
use coalmine_core::{
    BLOCK_SIZE_MAX, BLOCK_TXS_MAX, Decode, DecodeError, DecodeErrorKind, Encode, Event, Hash, Height, Name, Reader,
    Receipt, Writer,
};

/// A table of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The envelopes of a block, by height.
    Blocks,
    /// What came of a block, by height.
    Outcomes,
    /// What a block left of a feature or deployment, by subject, name and height.
    Samples,
    /// Where a transaction is, by its id.
    Transactions,
    /// Marks of the node itself, and of what is built on it.
    Meta,
    /// Log and vote of a node that replicates.
    Raft,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 6] =
        [Self::Blocks, Self::Outcomes, Self::Samples, Self::Transactions, Self::Meta, Self::Raft];

    /// Its name, which is that of its column family.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Outcomes => "outcomes",
            Self::Samples => "samples",
            Self::Transactions => "transactions",
            Self::Meta => "meta",
            Self::Raft => "raft",
        }
    }
}

/// What became of one transaction of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxOutcome {
    /// The id: the SHA-256 of its envelope.
    pub id: Hash,
    /// Its receipt.
    pub receipt: Receipt,
    /// How many of the block's events are its own. Those of due work come first, then those of each transaction.
    pub events: u32,
}

/// What came of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRecord {
    /// The height.
    pub height: Height,
    /// The root after the block.
    pub root: Hash,
    /// When this node made or received it, in milliseconds since 1970. No part of the block.
    pub time: u64,
    /// Its transactions, in order.
    pub txs: Vec<TxOutcome>,
    /// All its events, in order.
    pub events: Vec<Event>,
    /// What it left a sample of, in order.
    pub(crate) sampled: Vec<(Subject, Name)>,
}

/// Where a transaction is, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxRecord {
    /// The id.
    pub id: Hash,
    /// The height of its block.
    pub height: Height,
    /// Its place in the block, from 0.
    pub index: u32,
    /// Its receipt.
    pub receipt: Receipt,
    /// Its own events.
    pub events: Vec<Event>,
}

impl BlockRecord {
    /// Whether anything happened that somebody may want to hear of.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.txs.is_empty() && self.events.is_empty()
    }

    /// The record of one transaction.
    #[must_use]
    pub fn tx(&self, index: u32) -> Option<TxRecord> {
        let place = usize::try_from(index).ok()?;
        let TxOutcome { id, receipt, events } = *self.txs.get(place)?;
        let after: usize = self.txs.iter().skip(place).map(|tx| usize::try_from(tx.events).unwrap_or(usize::MAX)).sum();
        let start = self.events.len().saturating_sub(after);
        let events = self.events.iter().skip(start).take(usize::try_from(events).ok()?).cloned().collect();
        Some(TxRecord { id, height: self.height, index, receipt, events })
    }

    /// The value of its row.
    #[must_use]
    pub fn to_row(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.hash(&self.root);
        out.u64(self.time);
        count(&mut out, self.txs.len());
        for TxOutcome { id, receipt, events } in &self.txs {
            out.hash(id);
            receipt.encode(&mut out);
            out.u32(*events);
        }
        count(&mut out, self.events.len());
        self.events.iter().for_each(|event| out.lp16(&event.to_bytes()));
        count(&mut out, self.sampled.len());
        for (subject, name) in &self.sampled {
            out.u8(subject_tag(*subject));
            out.name(name);
        }
        out.into_bytes()
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// The bytes are not those of a row.
    pub fn from_row(height: Height, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let (root, time) = (input.hash()?, input.u64()?);
        let mut txs = Vec::new();
        for _ in 0..counted(&mut input, 39)? {
            txs.push(TxOutcome { id: input.hash()?, receipt: Receipt::decode(&mut input)?, events: input.u32()? });
        }
        let mut events = Vec::new();
        for _ in 0..counted(&mut input, 3)? {
            events.push(Event::from_bytes(input.lp16()?)?);
        }
        let mut sampled = Vec::new();
        for _ in 0..counted(&mut input, 3)? {
            sampled.push((subject_of(&mut input)?, input.name()?));
        }
        let own: u64 = txs.iter().map(|tx| u64::from(tx.events)).sum();
        if own > u64::try_from(events.len()).unwrap_or(u64::MAX) {
            return Err(input.error(DecodeErrorKind::OutOfRange));
        }
        input.finish()?;
        Ok(Self { height, root, time, txs, events, sampled })
    }
}

/// The key of a height.
#[must_use]
pub const fn height_key(height: Height) -> [u8; 4] {
    height.to_be_bytes()
}

/// Reads the key of a height.
///
/// # Errors
/// It has another length.
pub fn read_height(key: &[u8]) -> Result<Height, DecodeError> {
    let mut input = Reader::new(key);
    let height = input.u32()?;
    input.finish()?;
    Ok(height)
}

/// The value of a row of blocks.
#[must_use]
pub fn block_row<E: AsRef<[u8]>>(envelopes: &[E]) -> Vec<u8> {
    let mut out = Writer::default();
    count(&mut out, envelopes.len());
    envelopes.iter().for_each(|envelope| out.lp32(envelope.as_ref()));
    out.into_bytes()
}

/// The envelopes of a row of blocks.
///
/// # Errors
/// The bytes are not those of a row.
pub fn read_block_row(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut input = Reader::new(bytes);
    if bytes.len() > BLOCK_SIZE_MAX.saturating_mul(2) {
        return Err(input.error(DecodeErrorKind::TooLarge));
    }
    let count = counted(&mut input, 4)?;
    if count > BLOCK_TXS_MAX {
        return Err(input.error(DecodeErrorKind::TooLarge));
    }
    let mut envelopes = Vec::new();
    for _ in 0..count {
        envelopes.push(input.lp32()?.to_vec());
    }
    input.finish()?;
    Ok(envelopes)
}

/// The value of a row of transactions.
#[must_use]
pub fn place_row(height: Height, index: u32) -> Vec<u8> {
    [height.to_be_bytes(), index.to_be_bytes()].concat()
}

/// Height and index of a row of transactions.
///
/// # Errors
/// The bytes are not those of a row.
pub fn read_place_row(bytes: &[u8]) -> Result<(Height, u32), DecodeError> {
    let mut input = Reader::new(bytes);
    let place = (input.u32()?, input.u32()?);
    input.finish()?;
    Ok(place)
}

/// The key of a sample.
#[must_use]
pub fn sample_key(subject: Subject, name: &Name, height: Height) -> Vec<u8> {
    let mut out = Writer::default();
    out.u8(subject_tag(subject));
    out.name(name);
    out.u32(height);
    out.into_bytes()
}

const fn subject_tag(subject: Subject) -> u8 {
    match subject {
        Subject::Feature => 0,
        Subject::Plugin => 1,
    }
}

fn subject_of(input: &mut Reader<'_>) -> Result<Subject, DecodeError> {
    match input.u8()? {
        0 => Ok(Subject::Feature),
        1 => Ok(Subject::Plugin),
        _ => Err(input.error(DecodeErrorKind::UnknownTag)),
    }
}

/// Counts stay far below this limit: a block has at most 65 536 transactions in 16 MiB.
fn count(out: &mut Writer, count: usize) {
    out.u32(u32::try_from(count).unwrap_or(u32::MAX));
}

/// A count of things that take `size` bytes at least.
fn counted(input: &mut Reader<'_>, size: usize) -> Result<usize, DecodeError> {
    let count = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
    if count > input.remaining().checked_div(size).unwrap_or_default() {
        return Err(input.error(DecodeErrorKind::TooLarge));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> Hash {
        Hash([byte; 32])
    }

    fn record() -> BlockRecord {
        let name: Name = "a".parse().unwrap();
        let created = |name: &str| Event::FeatureCreated { name: name.parse().unwrap() };
        let tx = |byte, receipt, events| TxOutcome { id: hash(byte), receipt, events };
        BlockRecord {
            height: 7,
            root: hash(9),
            time: 1_800_000_000_000,
            txs: vec![
                tx(1, Receipt::Ok, 2),
                tx(2, Receipt::Rejected { reject: coalmine_core::Reject::Unauthorized, index: 1 }, 0),
                tx(3, Receipt::Ok, 1),
            ],
            events: ["due", "b", "c", "d"].map(created).into(),
            sampled: vec![(Subject::Feature, name), (Subject::Plugin, name)],
        }
    }

    #[test]
    fn a_transaction_has_its_own_events() {
        let events = |index| record().tx(index).unwrap().events;
        let all = record().events;
        assert_eq!([events(0), events(1), events(2)], [all[1..3].to_vec(), vec![], all[3..].to_vec()]);
        assert_eq!(record().tx(3), None);
        let TxRecord { id, height, index, receipt, .. } = record().tx(1).unwrap();
        assert_eq!((id, height, index, receipt.code(), receipt.index()), (hash(2), 7, 1, 2, 1));
    }

    #[test]
    fn rows_have_one_encoding() {
        let row = record().to_row();
        assert_eq!(BlockRecord::from_row(7, &row), Ok(record()));
        let empty = BlockRecord { txs: vec![], events: vec![], sampled: vec![], ..record() };
        assert_eq!(empty.to_row(), [&[9; 32][..], &1_800_000_000_000_u64.to_be_bytes(), &[0; 12]].concat());
        assert!(empty.is_quiet() && !record().is_quiet());
        assert!((0..row.len()).all(|len| BlockRecord::from_row(7, &row[..len]).is_err()));
        assert!(BlockRecord::from_row(7, &[row.as_slice(), &[0]].concat()).is_err());
        // Counts that cannot be: of transactions, of events of one, of events, of samples.
        for (at, kind) in [(40, DecodeErrorKind::TooLarge), (44 + 35, DecodeErrorKind::OutOfRange)] {
            let mut bad = row.clone();
            bad[at] = 0xff;
            assert_eq!(BlockRecord::from_row(7, &bad).map_err(|error| error.kind), Err(kind), "byte {at}");
        }

        let block = block_row(&[b"one".as_slice(), b""]);
        assert_eq!(block, [0, 0, 0, 2, 0, 0, 0, 3, b'o', b'n', b'e', 0, 0, 0, 0]);
        assert_eq!(read_block_row(&block), Ok(vec![b"one".to_vec(), vec![]]));
        assert!((0..block.len()).all(|len| read_block_row(&block[..len]).is_err()));
        assert!(read_block_row(&[0xff; 8]).is_err());
        assert_eq!(place_row(7, 2), [0, 0, 0, 7, 0, 0, 0, 2]);
        assert_eq!(read_place_row(&place_row(7, 2)), Ok((7, 2)));
        assert!(read_place_row(&[0; 7]).is_err() && read_place_row(&[0; 9]).is_err());
        assert_eq!(read_height(&height_key(7)), Ok(7));
        assert!(read_height(&[0; 3]).is_err() && read_height(&[0; 5]).is_err());
        let name: Name = "ab".parse().unwrap();
        assert_eq!(sample_key(Subject::Plugin, &name, 7), [1, 2, b'a', b'b', 0, 0, 0, 7]);
    }
}
