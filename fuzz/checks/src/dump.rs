//! Any bytes as a binary dump: refused, or a ledger whose dump has these bytes.
//!
//! Hashes keep a fuzzer from everything behind them. So bytes that do not begin as a dump are taken for the records of
//! one, behind whether there is a height and the height, and get the header that fits them.

use coalmine_core::{Decode, DecodeError, Encode, FORMAT, Fault, Global, Hash, Height, Key, Reader, State, Writer};
use coalmine_store::dump::{Dump, Header, MAGIC, Restored, Restorer, read};
use coalmine_store::{MemoryStore, Snapshots, Store};
use sha2::{Digest, Sha256};

use crate::decode::round_trip;
use crate::worlds::lived;

/// The worlds whose dumps are seeds.
const SEEDS: [u8; 7] = [1, 3, 5, 9, 33, 195, 207];
/// Longer dumps are no seeds.
const SIZE_MAX: usize = 24_000;

type Record<'b> = (&'b [u8], &'b [u8]);

/// Restores what the bytes are.
pub fn dump(bytes: &[u8]) {
    round_trip::<Header>(bytes);
    if bytes.starts_with(&MAGIC) {
        if let Ok(restored) = read(bytes) {
            assert_eq!(again(restored), bytes);
        }
        return;
    }
    let mut input = Reader::new(bytes);
    let Ok(height) = input.option(Reader::u32) else { return };
    let chunk = input.rest().to_vec();
    let records = list(&chunk);
    let state = records.as_ref().ok().and_then(|records| {
        let ascend = records.is_sorted_by(|(a, _), (b, _)| a < b);
        State::load(records.iter().map(|record| Ok::<_, Fault>(*record)), height).ok().filter(|_| ascend)
    });
    let global = records.iter().flatten().find(|(key, _)| *key == Key::Global.to_bytes());
    let global = global.and_then(|(_, value)| Global::from_bytes(value).ok());
    let root = state.as_ref().map_or(Hash([0; Hash::LEN]), State::root);
    let restored = restore(global.as_ref(), height, root, &chunk);
    assert_eq!(restored.is_some(), state.is_some(), "taken if it is a state in order");
    if let Some(restored) = restored {
        let file = again(restored);
        assert!(file.ends_with(&chunk));
        let mut longer = file.clone();
        longer.push(0);
        assert!(read(longer.as_slice()).is_err(), "nothing may follow");
        assert!(read(&file[..file.len() - 1]).is_err(), "nothing may be missing");
        assert_eq!(again(read(file.as_slice()).unwrap()), file);
    }
}

fn list(bytes: &[u8]) -> Result<Vec<Record<'_>>, DecodeError> {
    let mut input = Reader::new(bytes);
    let mut records = Vec::new();
    while input.remaining() > 0 {
        records.push((input.lp8()?, input.lp32()?));
    }
    Ok(records)
}

/// Restores one chunk behind the header that fits it.
fn restore(global: Option<&Global>, height: Option<Height>, root: Hash, chunk: &[u8]) -> Option<Restored> {
    let mut out = Writer::default();
    out.lp8(global.map_or(b"", |global| global.chain.as_bytes()));
    out.u16(FORMAT);
    out.u16(global.map_or(1, |global| global.rules.number()));
    out.option(height, Writer::u32);
    out.hash(&root);
    out.u32(1);
    out.u32(u32::try_from(chunk.len()).unwrap());
    out.hash(&Hash(Sha256::digest(chunk).into()));
    // An empty chunk is in no header.
    let header = Header::from_bytes(out.as_bytes()).ok()?;
    let mut restorer = Restorer::new(header).ok()?;
    restorer.push(chunk.to_vec()).ok()?;
    restorer.finish().ok()
}

/// The dump of what was restored.
fn again(restored: Restored) -> Vec<u8> {
    let tip = restored.header().tip;
    let ledger = restored.into_ledger(MemoryStore::new()).unwrap();
    assert_eq!(ledger.last_committed(), tip);
    let mut file = Vec::new();
    Dump::new(ledger.store().reader().snapshot()).unwrap().write_to(&mut file).unwrap();
    file
}

/// Binary dumps of some worlds, as files and as plain records.
pub fn binary_dumps() -> impl Iterator<Item = Vec<u8>> {
    let dumps = SEEDS.into_iter().map(lived).flat_map(|world| {
        let tip = world.state.tip();
        let mut plain = Writer::default();
        plain.option(tip, Writer::u32);
        let start = plain.len();
        for (key, value) in &world.records.0 {
            plain.lp8(key);
            plain.lp32(value);
        }
        let plain = plain.into_bytes();
        let file = again(restore(Some(world.state.global()), tip, world.state.root(), &plain[start..]).unwrap());
        [file, plain]
    });
    dumps.filter(|dump| dump.len() <= SIZE_MAX)
}
