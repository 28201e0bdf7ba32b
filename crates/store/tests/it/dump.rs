//! Binary dumps: their bytes, what is read back, and what is refused.

use std::path::{Path, PathBuf};
use std::{fs, io, iter};

use coalmine_core::{
    Address, Block, Command, Decode, Encode, FORMAT, Genesis, Hash, Height, Key, Read as _, Role, STATE_KEYS,
    Transaction, Writer,
};
use coalmine_store::conformance::ADMIN;
use coalmine_store::dump::{CHUNK_SIZE_MAX, CHUNKS_MAX, Dump, DumpError, HEADER_SIZE_MAX, Header, MAGIC, Part};
use coalmine_store::dump::{Restored, Restorer, read};
use coalmine_store::{Ledger, MemoryBatch, MemoryStore, OpenError, Snapshots, Staging, Store, Tip, View, Write};
use sha2::{Digest, Sha256};

use crate::common::{blocks, genesis};

fn sha256(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

/// A ledger after the blocks of the conformance suite.
fn lived() -> Ledger<MemoryStore> {
    let mut ledger = Ledger::create(MemoryStore::new(), &genesis()).unwrap();
    for block in blocks() {
        let execution = ledger.execute(&block).unwrap();
        ledger.commit(execution).unwrap();
    }
    ledger
}

fn dumped(store: &impl Store) -> Vec<u8> {
    let reader = store.reader();
    let dump = Dump::new(reader.snapshot()).unwrap();
    let mut file = Vec::new();
    dump.write_to(&mut file).unwrap();
    let parts = dump.chunks().map(Result::unwrap);
    assert_eq!(iter::once(dump.header().to_file_bytes()).chain(parts).collect::<Vec<_>>().concat(), file);
    file
}

// Bytes.

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/dumps").join(name)
}

/// Released bytes: written again as they are, and restored. A missing file is written, which fails once.
#[test]
fn the_bytes_are_those_of_the_fixtures() {
    let start = Genesis::new("", [(Address([0x11; 20]), Role::Admin.into())]).unwrap();
    let start = Ledger::create(MemoryStore::new(), &start).unwrap();
    for (name, ledger) in [("genesis.dump", start), ("lived.dump", lived())] {
        let (path, bytes) = (fixture(name), dumped(ledger.store()));
        if !path.exists() {
            fs::write(&path, &bytes).unwrap();
            panic!("{} has been written; commit it only if it is new", path.display());
        }
        assert_eq!(hex::encode(&bytes), hex::encode(fs::read(&path).unwrap()), "{}", path.display());
        let restored = read(bytes.as_slice()).unwrap();
        assert_eq!(restored.header().tip, ledger.last_committed());
        let copy = restored.into_ledger(MemoryStore::new()).unwrap();
        assert_eq!(copy.last_committed(), ledger.last_committed());
        assert_eq!(dumped(copy.store()), bytes, "a copy has the same dump");
        assert_eq!(dumped(Ledger::open(copy.into_store()).unwrap().store()), bytes, "also when it was reopened");
    }
}

#[test]
fn format_md_has_the_limits() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/FORMAT.md")).unwrap();
    let limits = [("chunk", CHUNK_SIZE_MAX), ("header", HEADER_SIZE_MAX), ("chunks", CHUNKS_MAX)];
    for (what, most) in limits {
        assert!(text.contains(&format!("| {what} of a dump | {most} |")), "{what} {most}");
    }
    const { assert!(HEADER_SIZE_MAX < 4_000_000, "state sync carries no more") };
    // With the longest chain id.
    let longest = file(&Parts { chain: &[b'c'; 64], ..Parts::of(&[]) }).len() + CHUNKS_MAX * 36;
    assert!(longest - 4 - 4 - 32 <= HEADER_SIZE_MAX, "{longest}");
}

// Files made by hand.

/// What a header says, and the chunks behind it.
#[derive(Clone)]
struct Parts<'p> {
    chain: &'p [u8],
    format: u16,
    rules: u16,
    height: Option<Height>,
    root: Hash,
    chunks: Vec<Vec<u8>>,
}

impl Parts<'_> {
    fn of(chunks: &[Vec<u8>]) -> Self {
        let Tip { height, root } = lived().last_committed();
        Self { chain: b"example-1", format: FORMAT, rules: 1, height, root, chunks: chunks.to_vec() }
    }

    fn header(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.lp8(self.chain);
        out.u16(self.format);
        out.u16(self.rules);
        out.option(self.height, Writer::u32);
        out.hash(&self.root);
        out.u32(u32::try_from(self.chunks.len()).unwrap());
        for chunk in &self.chunks {
            out.u32(u32::try_from(chunk.len()).unwrap());
            out.hash(&sha256(chunk));
        }
        out.into_bytes()
    }
}

/// The file of a header in any bytes.
fn framed(header: &[u8], chunks: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Writer::default();
    out.raw(&MAGIC);
    out.lp32(header);
    out.hash(&sha256(header));
    chunks.iter().for_each(|chunk| out.raw(chunk));
    out.into_bytes()
}

fn file(parts: &Parts<'_>) -> Vec<u8> {
    framed(&parts.header(), &parts.chunks)
}

type Record = (Vec<u8>, Vec<u8>);

fn records(view: &impl View) -> Vec<Record> {
    let mut records = Vec::new();
    view.scan(&[STATE_KEYS.start], &[STATE_KEYS.end], &mut |key, value| {
        records.push((key.to_vec(), value.to_vec()));
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    records
}

fn chunk_of(records: &[Record]) -> Vec<u8> {
    let mut out = Writer::default();
    for (key, value) in records {
        out.lp8(key);
        out.lp32(value);
    }
    out.into_bytes()
}

fn refused(bytes: &[u8]) -> String {
    read(bytes).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_dump_made_by_hand_is_the_dump() {
    let ledger = lived();
    assert_eq!(file(&Parts::of(&[chunk_of(&records(ledger.store()))])), dumped(ledger.store()));
}

/// Each field of a header that is not what it was: by itself, and with the hash that goes with it. The height is in no
/// record, so that hash alone protects it.
#[test]
fn a_header_is_checked_field_by_field() {
    let chunk = chunk_of(&records(lived().store()));
    let len = u32::try_from(chunk.len()).unwrap();
    let good = Parts::of(&[chunk]);
    assert!(read(file(&good).as_slice()).is_ok());

    let bytes = file(&good);
    let header = 8..bytes.len() - good.chunks[0].len() - 32;
    for at in header.clone() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(refused(&damaged), DumpError::HeaderHash.to_string(), "byte {at} of the header");
    }
    type Change = fn(&mut Parts<'_>);
    let rows: [(&str, Change, &str); 7] = [
        (
            "chain",
            |parts| parts.chain = b"example-2",
            "the header says chain \"example-2\", but the records \"example-1\"",
        ),
        ("chain", |parts| parts.chain = b"no chain", "the header does not decode: value out of range"),
        ("chain", |parts| parts.chain = &[b'c'; 65], "the header does not decode: value out of range"),
        ("format", |parts| parts.format = 2, "the state has format 2 and rules 1, this build knows format 1"),
        ("rules", |parts| parts.rules = 2, "the state has format 1 and rules 2, this build knows format 1"),
        ("root", |parts| parts.root = Hash([7; 32]), "the records do not belong together: the store is at height 108"),
        ("chunks", |parts| parts.chunks.clear(), "contradicts its key or another record"),
    ];
    for (field, change, expected) in rows {
        let mut parts = good.clone();
        change(&mut parts);
        let error = refused(&file(&parts));
        assert!(error.contains(expected), "{field}: {error}");
    }

    // What only bytes can say. The list is the end of the header: its count, then length and hash of the chunk.
    let count = header.len() - 36 - 4;
    let rows: [(&str, usize, &[u8], &str); 8] = [
        ("an option is 0 or 1", 1 + 9 + 4, &[2], "not canonical"),
        ("no chunk", count, &0_u32.to_be_bytes(), "bytes are left over"),
        ("one more chunk", count, &2_u32.to_be_bytes(), "the input ends too early"),
        ("too many chunks", count, &100_001_u32.to_be_bytes(), "over the limit"),
        ("more than any", count, &u32::MAX.to_be_bytes(), "over the limit"),
        ("an empty chunk", count + 4, &0_u32.to_be_bytes(), "value out of range"),
        ("a long chunk", count + 4, &8_388_609_u32.to_be_bytes(), "over the limit"),
        ("a longer chunk", count + 4, &(len + 1).to_be_bytes(), "the dump is cut off: chunk 1 of 1 has"),
    ];
    for (what, at, patch, expected) in rows {
        let mut changed = good.header();
        changed[at..at + patch.len()].copy_from_slice(patch);
        let error = refused(&framed(&changed, &good.chunks));
        assert!(error.contains(expected), "{what}: {error}");
    }
    let long = framed(&[good.header(), vec![0]].concat(), &good.chunks);
    assert!(refused(&long).contains("bytes are left over"));
}

#[test]
fn a_file_is_whole_and_has_nothing_behind() {
    let bytes = dumped(lived().store());
    let header = u32::from_be_bytes(*bytes[4..].first_chunk().unwrap());
    let start = 4 + 4 + usize::try_from(header).unwrap() + 32;
    for len in 0..bytes.len() {
        let error = read(&bytes[..len]).map(|_| ()).unwrap_err();
        let expected = match len {
            0..4 => None,
            _ if len < start => Some(Part::Header),
            _ => Some(Part::Chunk { index: 0, count: 1 }),
        };
        match (error, expected) {
            (DumpError::Magic, None) => {}
            (DumpError::Cut { part, .. }, Some(expected)) => assert_eq!(part, expected, "up to {len}"),
            (error, _) => panic!("up to {len}: {error}"),
        }
    }
    assert_eq!(
        refused(&bytes[..start + 7]),
        format!("the dump is cut off: chunk 1 of 1 has 7 of its {} bytes; take a complete copy", bytes.len() - start)
    );
    assert_eq!(refused(&[bytes.as_slice(), &[0]].concat()), "bytes follow the last chunk; take another copy");
    assert_eq!(refused(b"CMB1"), "this is no binary dump: it does not begin with CMD1");
    let long = [MAGIC.as_slice(), &u32::MAX.to_be_bytes()].concat();
    assert!(refused(&long).contains("the header is damaged: it cannot have 4294967295 bytes, the most is 3600200"));
    for at in (start..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x80;
        assert!(refused(&damaged).starts_with("chunk 1 of 1 is damaged: its hash does not match"), "byte {at}");
    }
}

/// Chunks with the hashes that their header has, which are no dump all the same.
#[test]
fn records_are_checked_in_every_chunk() {
    let good = records(lived().store());
    let swapped = [&[good[1].clone(), good[0].clone()], &good[2..]].concat();
    let twice = [&good[..1], &good].concat();
    let with = |key: &[u8]| chunk_of(&[(key.to_vec(), Vec::new())]);
    let cut = |end: usize| {
        let chunk = chunk_of(&good);
        vec![chunk[..chunk.len() - end].to_vec()]
    };
    let first = good[0].0.len() + good[0].1.len() + 5;
    let rows: [(&str, Vec<Vec<u8>>, String); 10] = [
        ("order", vec![chunk_of(&swapped)], at(1, 1, good[1].0.len() + good[1].1.len() + 5, "the keys must ascend")),
        ("a key twice", vec![chunk_of(&twice)], at(1, 1, first, "the keys must ascend")),
        ("a key below the state", vec![with(&[0xcf])], at(1, 1, 0, "this is not a key of a state")),
        ("a key above the state", vec![with(&[0xe0])], at(1, 1, 0, "this is not a key of a state")),
        ("no key", vec![with(&[])], at(1, 1, 0, "this is not a key of a state")),
        ("a long key", vec![with(&[0xd0; 154])], at(1, 1, 0, "this is not a key of a state")),
        ("a value that is cut off", cut(1), "the record is cut off".into()),
        (
            "a small chunk",
            vec![chunk_of(&good[..2]), chunk_of(&good[2..])],
            at(2, 2, 0, "the record belongs into the chunk before"),
        ),
        ("a record less", vec![chunk_of(&good[1..])], "contradicts its key or another record".into()),
        ("another value", vec![chunk_of(&[(good[0].0.clone(), vec![1]), good[1].clone()])], "corrupt".into()),
    ];
    for (what, chunks, expected) in rows {
        let error = refused(&file(&Parts::of(&chunks)));
        assert!(error.contains(&expected), "{what}: {error}");
    }
}

fn at(index: usize, count: usize, offset: usize, problem: &str) -> String {
    format!("chunk {index} of {count}, byte {offset}: {problem}")
}

// Several chunks.

/// A store with large values, which are no state: what a dump of many chunks looks like.
fn large() -> MemoryStore {
    let mut store = MemoryStore::new();
    let global = lived().store().get(&Key::Global.to_bytes()).unwrap().unwrap();
    let value = |n: u8| vec![n; CHUNK_SIZE_MAX / 4 - 5 - 2];
    let mut records: Vec<Record> = (0..9).map(|n| (vec![0xd0, n], value(n))).collect();
    records.push((Key::Global.to_bytes(), global));
    let tip = lived().last_committed();
    store.commit(None, &tip, records.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())))).unwrap();
    store
}

#[test]
fn chunks_are_as_long_as_they_can_be_and_come_in_order() {
    let store = large();
    let dump = Dump::new(store.reader().snapshot()).unwrap();
    let header = Header::from_bytes(&dump.header().to_bytes()).unwrap();
    assert_eq!(&header, dump.header());
    assert_eq!(header.hash(), sha256(&header.to_bytes()));
    let lens: Vec<u32> = header.chunks().iter().map(|chunk| chunk.len()).collect();
    let rest = lens[2];
    assert_eq!(lens, [8_388_608, 8_388_608, rest], "four records fill a chunk to the last byte");

    let mut file = Vec::new();
    dump.write_to(&mut file).unwrap();
    let chunks: Vec<Vec<u8>> = dump.chunks().map(Result::unwrap).collect();
    for (index, chunk) in chunks.iter().enumerate() {
        let start = usize::try_from(header.offset(index).unwrap()).unwrap();
        assert_eq!(file[start..start + chunk.len()], *chunk);
        assert_eq!(header.chunks()[index].hash(), sha256(chunk));
    }
    assert_eq!(header.offset(3), None);
    assert!(matches!(dump.chunk(3), Err(DumpError::NoChunk { index: 3, count: 3 })));

    let mut restorer = Restorer::new(header).unwrap();
    for (index, chunk) in chunks.iter().enumerate() {
        // A chunk of another place, and one that was damaged on its way, may be followed by the right one.
        let other = chunks[(index + 1) % 3].clone();
        let mut damaged = chunk.clone();
        damaged[99] ^= 1;
        for wrong in [other, damaged, Vec::new(), chunk[1..].to_vec()] {
            let part = Part::Chunk { index, count: 3 };
            assert!(matches!(restorer.push(wrong), Err(DumpError::Hash(found)) if found == part));
        }
        assert_eq!(restorer.next_chunk().map(|next| (next.index, next.chunk.len())), Some((index, lens[index])));
        restorer.push(chunk.clone()).unwrap();
    }
    assert_eq!(restorer.next_chunk(), None);
    assert!(matches!(restorer.push(chunks[0].clone()), Err(DumpError::Leftover)));
    assert!(matches!(restorer.finish(), Err(DumpError::Open(OpenError::Fault(_)))), "it is no state");
    assert!(refused(&file).contains("corrupt"));
}

#[test]
fn a_dump_with_a_chunk_missing_is_not_restored() {
    let dump = Dump::new(large()).unwrap();
    let mut restorer = Restorer::new(dump.header().clone()).unwrap();
    restorer.push(dump.chunk(0).unwrap()).unwrap();
    let error = restorer.finish().map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "the dump is incomplete: 1 of 3 chunks are there");
}

/// A state of several chunks, from file to ledger.
#[test]
fn a_large_state_is_restored() {
    let mut ledger = Ledger::create(MemoryStore::new(), &genesis()).unwrap();
    for height in 1..=9 {
        let create = |tx: u32| {
            let name = |n| format!("f{height}.{tx}.{n}").parse().unwrap();
            let commands = (0..16).map(|n| Command::create_feature(name(n), &"d".repeat(1_024)).unwrap());
            Transaction::new(ADMIN, commands.collect()).unwrap()
        };
        let block = Block::new(height, (0..64).map(create).collect()).unwrap();
        let execution = ledger.execute(&block).unwrap();
        ledger.commit(execution).unwrap();
    }
    let bytes = dumped(ledger.store());
    let restored: Restored = read(bytes.as_slice()).unwrap();
    assert!(restored.header().chunks().len() >= 2, "{}", bytes.len());
    assert_eq!(restored.records(), u64::try_from(records(ledger.store()).len()).unwrap());
    let copy = restored.into_ledger(MemoryStore::new()).unwrap();
    assert_eq!(copy.last_committed(), ledger.last_committed());
    assert_eq!(records(copy.store()), records(ledger.store()));
}

// What a store can be.

#[test]
fn what_cannot_be_dumped_says_why() {
    assert!(matches!(Dump::new(MemoryStore::new()), Err(DumpError::Open(OpenError::Empty))));

    let tip = lived().last_committed();
    let with = |records: &[(&[u8], &[u8])]| {
        let mut store = MemoryStore::new();
        store.commit(None, &tip, records.iter().map(|(key, value)| (*key, Some(*value)))).unwrap();
        Dump::new(store).map(|_| ()).unwrap_err().to_string()
    };
    let key = Key::Global.to_bytes();
    let global = lived().store().get(&key).unwrap().unwrap();
    let large = vec![0; CHUNK_SIZE_MAX];
    let rules = [&[0, 1, 0, 2], &global[4..]].concat();
    type Stored<'r> = (&'r [u8], &'r [u8]);
    let rows: [(&str, &[Stored<'_>], &str); 5] = [
        ("no global record", &[(&[0xd0, 1], &[])], "contradicts its key or another record"),
        ("no global record that decodes", &[(&key, &global[..9])], "the input ends too early"),
        ("other rules", &[(&key, &rules)], "the state has format 1 and rules 2"),
        ("a long key", &[(&key, &global), (&[0xd9; 154], &[])], "d9d9d9 is in no state: its key is too long"),
        ("a long value", &[(&key, &global), (&[0xd9], &large)], "the record with key d9 is in no state"),
    ];
    for (what, records, expected) in rows {
        let error = with(records);
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn a_store_that_changes_is_noticed() {
    let mut store = lived().into_store();
    let (handle, tip) = (store.handle(), store.tip().unwrap());
    let mut batch = MemoryBatch::default();
    let write: Write<'_> = (&[0xd0, b'z'], Some(b"new"));
    store.stage(tip.as_ref(), &tip.unwrap(), [write], &mut batch).unwrap();
    let snapshot = Dump::new(store.reader().snapshot()).unwrap().header().clone();
    let dump = Dump::new(store).unwrap();
    assert_eq!(*dump.header(), snapshot);
    handle.write(batch);
    assert!(matches!(dump.chunk(0), Err(DumpError::Changed)));
    assert!(matches!(dump.write_to(&mut io::sink()), Err(DumpError::Changed)));
}

/// Input and output that fail.
struct Failing;

impl io::Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("no tape"))
    }
}

impl io::Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("no tape"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn failures_of_input_and_output_are_passed_on() {
    let bytes = dumped(lived().store());
    for len in [0, 3, 7, 60, bytes.len() - 1, bytes.len()] {
        let error = read(io::Read::chain(&bytes[..len], Failing)).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "cannot be read: no tape", "after {len}");
    }
    let dump = Dump::new(lived().into_store()).unwrap();
    assert_eq!(dump.write_to(&mut Failing).unwrap_err().to_string(), "cannot be written: no tape");
    // Room for a header only.
    let mut little = vec![0; dump.header().to_file_bytes().len()];
    assert!(matches!(dump.write_to(&mut little.as_mut_slice()), Err(DumpError::Output(_))));
}

#[test]
fn a_used_store_is_not_overwritten() {
    let bytes = dumped(lived().store());
    let error = read(bytes.as_slice()).unwrap().into_ledger(lived().into_store()).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::NotEmpty(_)), "{error}");
}
