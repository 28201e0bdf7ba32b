//! Any records as a whole state: refused, or a ledger of exactly these records that goes on.
//!
//! Bytes that begin with `{` are the text of a dump. All others are a plain list, which a fuzzer has
//! less trouble with: whether there is a height, the height, then keys and values behind their lengths.

use coalmine_core::query::Entry;
use coalmine_core::{DecodeError, Fault, Hash, Height, Reader, State, Writer};
use coalmine_replay::dump;
use coalmine_store::{Ledger, MemoryStore, Tip};

use crate::worlds::lived;

/// The worlds whose dumps are seeds.
const SEEDS: [u8; 6] = [1, 3, 5, 33, 195, 207];
/// Longer dumps are no seeds.
const DUMP_SIZE_MAX: usize = 24_000;

/// Restores the records of the bytes.
pub fn restore(bytes: &[u8]) {
    if bytes.first() != Some(&b'{') {
        if let Ok((height, records)) = list(bytes) {
            restore_records(height, &records);
        }
        return;
    }
    match dump::read("fuzz", bytes) {
        Ok((tip, records)) => {
            assert!(records.is_sorted_by(|(a, _), (b, _)| a < b), "keys rise");
            restore_records(tip.height, &records);
        }
        Err(error) => assert!(error.to_string().starts_with("fuzz:"), "{error}"),
    }
}

fn list(bytes: &[u8]) -> Result<(Option<Height>, Vec<Entry>), DecodeError> {
    let mut input = Reader::new(bytes);
    let height = input.option(Reader::u32)?;
    let mut records = Vec::new();
    while input.remaining() > 0 {
        records.push((input.lp8()?.to_vec(), input.lp16()?.to_vec()));
    }
    Ok((height, records))
}

fn restore_records(height: Option<Height>, records: &[Entry]) {
    let restored = |root| Ledger::restore(MemoryStore::new(), Tip { height, root }, records);
    let elsewhere = Hash([0xee; Hash::LEN]);
    assert!(restored(elsewhere).is_err(), "another root is refused");
    let Ok(state) = State::load(records.iter().map(|(key, value)| Ok::<_, Fault>((key, value))), height) else {
        return;
    };
    let tip = Tip { height, root: state.root() };
    let ledger = restored(state.root()).unwrap();
    assert_eq!(ledger.last_committed(), tip);
    let mut reopened = Ledger::open(ledger.into_store()).unwrap();
    assert_eq!(reopened.last_committed(), tip, "what was restored can be opened");
    if let Some(next) = height.unwrap_or_default().checked_add(1) {
        reopened.advance_to(next, |_| {}).unwrap();
        let tip = reopened.last_committed();
        assert_eq!(Ledger::open(reopened.into_store()).unwrap().last_committed(), tip, "and after the next block");
    }
}

/// Dumps of some worlds, in both forms.
pub fn dumps() -> impl Iterator<Item = Vec<u8>> {
    let worlds = SEEDS.into_iter().map(lived);
    let dumps = worlds.flat_map(|world| {
        let tip = world.state.tip().unwrap();
        let header = format!(r#"{{"format":"coalmine-dump/1","height":{tip},"root":"{}"}}"#, world.state.root());
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let lines = world.records.0.iter();
        let lines = lines.map(|(key, value)| format!(r#"{{"key":"{}","value":"{}"}}"#, hex(key), hex(value)));
        let text: String = [header].into_iter().chain(lines).map(|line| line + "\n").collect();
        let mut plain = Writer::default();
        plain.option(Some(tip), Writer::u32);
        for (key, value) in &world.records.0 {
            plain.lp8(key);
            plain.lp16(value);
        }
        [text.into_bytes(), plain.into_bytes()]
    });
    dumps.filter(|dump| dump.len() <= DUMP_SIZE_MAX)
}
