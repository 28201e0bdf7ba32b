//! Damaged bytes: every flipped bit and every truncation of every file of a small store is refused
//! when it is opened or verified, or provably changes nothing: the tip, every record and the next
//! block are the same. It is never an older or another state.
//!
//! Harmless are the files that RocksDB never reads, its IDENTITY, and a COALMINE_TIP that is gone, empty
//! or tells of a lower height: less is asked of the log then, but the log is whole.
//!
//! `COALMINE_BIT_ROT` is `all` or how many cases lie between two that are tried;
//! `COALMINE_BIT_ROT_CASE` is one of them, as in `log/000004.log/flip/1234`.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use coalmine_core::Read as _;
use coalmine_store::{COLUMN, Durability, Ledger, RocksStore, StoreError, Tip, verify};
use tempfile::TempDir;

use crate::durability::child::commit;
use crate::durability::story::{Story, copy};
use crate::durability::{step, variable};

const SEED: u64 = 0;
const BLOCKS: usize = 3;
/// In the short form, one case in so many is tried.
const STEP: usize = 131;

/// No store of this size takes as long to open, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the names of files begin that RocksDB writes and never reads.
const UNREAD: [&str; 3] = ["LOG", "OPTIONS-", "LOCK"];

type Open = fn(&Path) -> Result<RocksStore, StoreError>;

fn open(folder: &Path) -> Result<RocksStore, StoreError> {
    RocksStore::open(folder, Durability::Synced)
}

/// A small closed store, and what it must be.
struct Whole {
    temp: TempDir,
    story: Story,
    tip: Tip,
    next: Tip,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Where the records of a store are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// In the log alone.
    Log,
    /// In a table, and the last block in the log.
    Table,
}

const SHAPES: [(Shape, &str); 2] = [(Shape::Log, "log"), (Shape::Table, "table")];

impl Whole {
    fn of_shape(shape: Shape) -> Self {
        let (temp, story) = (tempfile::tempdir().unwrap(), Story::of_seed(SEED));
        let folder = temp.path().join("whole");
        let store = RocksStore::create(&folder, Durability::Synced).unwrap();
        let mut ledger = Ledger::create(store, &story.genesis).unwrap();
        for (index, block) in story.blocks[..BLOCKS].iter().enumerate() {
            if shape == Shape::Table && index == BLOCKS - 1 {
                drop(ledger);
                ledger = Ledger::open(open(&folder).unwrap()).unwrap();
            }
            commit(&mut ledger, block).unwrap();
        }
        let tips = story.tips();
        let records = records(ledger.store());
        drop(ledger);
        fs::create_dir(temp.path().join("unread")).unwrap();
        for file in files(&folder).into_keys().filter(|name| UNREAD.iter().any(|start| name.starts_with(start))) {
            fs::rename(folder.join(&file), temp.path().join("unread").join(&file)).unwrap();
        }
        Self { temp, story, tip: tips[BLOCKS], next: tips[BLOCKS + 1], records }
    }

    fn folder(&self) -> PathBuf {
        self.temp.path().join("whole")
    }

    /// A copy to be damaged, without the files that are never read.
    fn copied(&self) -> PathBuf {
        let copied = self.temp.path().join("copy");
        copy(&self.folder(), &copied);
        copied
    }

    /// What becomes of a damaged store.
    fn look(&self, folder: &Path, open: Open) -> Result<Seen, String> {
        let store = match open(folder) {
            Ok(store) => store,
            Err(error) => return Ok(Seen::Refused(error.to_string())),
        };
        let found = match verify(&store) {
            Ok(verified) => verified.tip,
            Err(error) => return Ok(Seen::Found(error.to_string())),
        };
        if found != self.tip || records(&store) != self.records {
            return Err(format!("silently at {found} instead of {}", self.tip));
        }
        let mut ledger = Ledger::open_at(store, self.tip).map_err(|error| error.to_string())?;
        commit(&mut ledger, &self.story.blocks[BLOCKS]).map_err(|error| format!("no further block: {error}"))?;
        drop(ledger);
        let store = RocksStore::open(folder, Durability::Synced).map_err(|error| format!("not again: {error}"))?;
        Ledger::open_at(store, self.next).map_err(|error| error.to_string())?;
        Ok(Seen::Harmless)
    }
}

fn records(store: &RocksStore) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        records.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    };
    store.scan(&[0], &[0xff], &mut visit).unwrap();
    records
}

/// The files of a folder and their lengths.
fn files(folder: &Path) -> BTreeMap<String, usize> {
    let file = |file: std::io::Result<fs::DirEntry>| {
        let file = file.unwrap();
        (file.file_name().into_string().unwrap(), usize::try_from(file.metadata().unwrap().len()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(file).collect()
}

/// What became of a damaged store.
#[derive(Debug)]
enum Seen {
    /// It does not open.
    Refused(String),
    /// It opens and does not verify.
    Found(String),
    /// It is as before.
    Harmless,
}

#[derive(Debug, Clone)]
struct Case {
    shape: Shape,
    file: String,
    damage: Damage,
}

#[derive(Debug, Clone, Copy)]
enum Damage {
    /// One bit of the file is another.
    Flip(usize),
    /// The file ends after so many bytes.
    Cut(usize),
    /// The file is gone.
    Gone,
}

impl Case {
    fn damage(&self, folder: &Path) {
        let path = folder.join(&self.file);
        let mut bytes = fs::read(&path).unwrap();
        match self.damage {
            Damage::Flip(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
            Damage::Cut(len) => bytes.truncate(len),
            Damage::Gone => return fs::remove_file(&path).unwrap(),
        }
        fs::write(&path, bytes).unwrap();
    }

    /// The file without its number, and the kind of damage.
    fn kind(&self) -> String {
        let file = self.file.trim_start_matches(|c: char| c.is_ascii_digit());
        let file = file.split('-').next().unwrap();
        let damage = match self.damage {
            Damage::Flip(_) => "flip",
            Damage::Cut(_) => "cut",
            Damage::Gone => "gone",
        };
        format!("{file} {damage}")
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shape = SHAPES.iter().find(|(shape, _)| *shape == self.shape).unwrap().1;
        match self.damage {
            Damage::Flip(bit) => write!(f, "{shape}/{}/flip/{bit}", self.file),
            Damage::Cut(len) => write!(f, "{shape}/{}/cut/{len}", self.file),
            Damage::Gone => write!(f, "{shape}/{}/gone/0", self.file),
        }
    }
}

impl std::str::FromStr for Case {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<_> = text.split('/').collect();
        let [shape, file, kind, number] = words[..] else { return Err(()) };
        let number = number.parse().map_err(drop)?;
        let damage = match kind {
            "flip" => Damage::Flip(number),
            "cut" => Damage::Cut(number),
            "gone" => Damage::Gone,
            _ => return Err(()),
        };
        let shape = SHAPES.iter().find(|(_, name)| *name == shape).ok_or(())?.0;
        Ok(Self { shape, file: file.into(), damage })
    }
}

/// How often each kind of damage was refused, found, and harmless.
type Figures = BTreeMap<String, [usize; 3]>;

fn rot(open: Open, shape: Shape, step: usize) -> Result<Figures, String> {
    let (whole, mut figures) = (Arc::new(Whole::of_shape(shape)), Figures::new());
    let chosen: Vec<_> = match variable::<Case>("COALMINE_BIT_ROT_CASE") {
        Some(case) => [case].into_iter().filter(|case| case.shape == shape).collect(),
        None => cases(shape, &whole).step_by(step).collect(),
    };
    for case in chosen {
        rot_once(open, &whole, &case, &mut figures)?;
    }
    Ok(figures)
}

fn cases(shape: Shape, whole: &Whole) -> impl Iterator<Item = Case> {
    files(&whole.folder()).into_iter().flat_map(move |(file, len)| {
        let damages = (0..len * 8).map(Damage::Flip).chain((0..len).map(Damage::Cut)).chain([Damage::Gone]);
        damages.map(move |damage| Case { shape, file: file.clone(), damage })
    })
}

fn rot_once(open: Open, whole: &Arc<Whole>, case: &Case, figures: &mut Figures) -> Result<(), String> {
    let folder = whole.copied();
    case.damage(&folder);
    let again = || format!("repeat: COALMINE_BIT_ROT_CASE={case} {}", super::command("bit_rot"));
    let seen = look_in_time(open, whole, folder).map_err(|why| format!("{case}: {why}\n{}", again()))?;
    let column = match &seen {
        Seen::Refused(text) | Seen::Found(text) if text.is_empty() => return Err(format!("{case}: no reason")),
        Seen::Refused(_) => 0,
        Seen::Found(_) => 1,
        Seen::Harmless => 2,
    };
    figures.entry(case.kind()).or_default()[column] += 1;
    if variable::<String>("COALMINE_BIT_ROT_CASE").is_some() {
        println!("{case}: {seen:?}");
    }
    Ok(())
}

/// Looks on a thread of its own, which is left to itself when it does not come back.
fn look_in_time(open: Open, whole: &Arc<Whole>, folder: PathBuf) -> Result<Seen, String> {
    let (whole, (sender, receiver)) = (Arc::clone(whole), mpsc::channel());
    std::thread::spawn(move || sender.send(whole.look(&folder, open)));
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|error| Err(format!("does not open and does not fail: {error}")))
}

fn is_never_another_state(shape: Shape) {
    let started = Instant::now();
    let figures = rot(open, shape, step("COALMINE_BIT_ROT", STEP)).unwrap_or_else(|why| panic!("{why}"));
    let lines: String = figures.iter().map(|(kind, counts)| format!("\n{kind}: {counts:?}")).collect();
    println!("{shape:?} [refused, found, harmless] in {:.1?}{lines}", started.elapsed());
}

#[test]
fn bit_rot_in_a_log_is_never_another_state() {
    is_never_another_state(Shape::Log);
}

#[test]
fn bit_rot_in_a_table_is_never_another_state() {
    is_never_another_state(Shape::Table);
}

#[test]
fn bit_rot_of_a_file_that_is_never_read_is_harmless() {
    for (shape, _) in SHAPES {
        let whole = Whole::of_shape(shape);
        let unread = whole.temp.path().join("unread");
        for (file, len) in files(&unread) {
            let inverted: Vec<_> = fs::read(unread.join(&file)).unwrap().iter().map(|byte| !byte).collect();
            for bytes in [&inverted[..], &inverted[..len / 2], &[]] {
                let folder = whole.copied();
                fs::write(folder.join(&file), bytes).unwrap();
                let seen = whole.look(&folder, open);
                assert!(matches!(seen, Ok(Seen::Harmless)), "{file} in {} bytes: {seen:?}", bytes.len());
            }
        }
    }
}

/// What RocksDB does by itself: it opens at the last block before the damage.
#[test]
fn bit_rot_finds_a_store_that_opens_silently_at_an_older_block() {
    let why = rot(|folder| RocksStore::salvage(folder, Durability::Synced), Shape::Log, STEP).unwrap_err();
    assert!(why.contains("silently at"), "{why}");
}

/// A record that was changed with all of RocksDB's checksums right is another root.
#[test]
fn bit_rot_finds_another_value_behind_right_checksums() {
    let whole = Whole::of_shape(Shape::Table);
    for (key, value) in &whole.records {
        for at in (0..value.len()).step_by(STEP) {
            let folder = whole.copied();
            let mut value = value.clone();
            value[at] ^= 1;
            let store = open(&folder).unwrap();
            store.db().put_cf(store.db().cf_handle(COLUMN).unwrap(), key, value).unwrap();
            drop(store);
            let seen = whole.look(&folder, open);
            assert!(matches!(seen, Ok(Seen::Found(_))), "{key:02x?} byte {at}: {seen:?}");
        }
    }
}
