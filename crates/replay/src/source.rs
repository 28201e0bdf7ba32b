//! SOURCE: anything with a state. A block file that is run in memory, a dump, or a store.

use std::borrow::Cow;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use coalmine_core::query::{self, Entries, Entry, Visit};
#[cfg(feature = "rocksdb")]
use coalmine_core::{Encode as _, Key};
use coalmine_core::{Execution, Fault, Height, Name, Read, STATE_KEYS, State};
use coalmine_foresight::History;
use coalmine_json::blockfile::{BlockReader, Form, Limits};
#[cfg(feature = "rocksdb")]
use coalmine_store::RocksStore;
use coalmine_store::{Ledger, MemoryStore, StoreError, Tip, View};

use crate::commands::unknown;
use crate::dump::{self, Dumped};
use crate::error::Error;
#[cfg(not(feature = "rocksdb"))]
use crate::input::no_rocksdb;
use crate::input::{open_file, store_path};
use crate::runner::{self, BlockSource, Failure, Goal, Observer};
use crate::terminal::{Progress, Stop, warn};

/// How many bytes are enough to recognize a dump.
const START: u64 = 256;
/// How many entries are read at once.
const PAGE: usize = 1_024;

/// A state and the name of its origin.
pub(crate) struct Source {
    name: String,
    /// The height asked for, when the source has only a later state.
    pub(crate) past: Option<Height>,
    backing: Backing,
}

enum Backing {
    /// A block file run up to some height, or a dump.
    Memory(Box<Ledger<MemoryStore>>),
    /// A store whose state has not been loaded.
    #[cfg(feature = "rocksdb")]
    Store(Box<RocksStore>),
}

/// An opened argument. Block files have not been run yet.
pub(crate) enum Opened {
    /// A block file.
    Blocks(Box<BlockSource>),
    /// A dump or a store.
    State(Box<Source>),
}

/// Opens what an argument names.
pub(crate) fn open(argument: &str) -> Result<Opened, Error> {
    if let Some(path) = store_path(argument) {
        return open_store(path).map(|backing| Opened::State(Box::new(Source::new(argument, backing))));
    }
    let (name, input) = open_file(argument)?;
    let mut input = BufReader::new(input);
    let mut start = Vec::new();
    let read = input.by_ref().take(START).read_to_end(&mut start);
    read.map_err(|error| Error::Input(format!("{name}: cannot be read: {error}")))?;
    let is_dump = dump::is_dump(&start);
    let input = io::Cursor::new(start).chain(input);
    if is_dump {
        let ledger = Dumped::read(&name, BufReader::new(input))?.restore(MemoryStore::new());
        let ledger = ledger.map_err(|error| Error::from(error).in_source(&name))?;
        return Ok(Opened::State(Box::new(Source::new(&name, Backing::Memory(Box::new(ledger))))));
    }
    let reader = BlockReader::new(&name, input, Form::of(Path::new(argument)), Limits::default())?;
    warn(&reader.header().warnings);
    Ok(Opened::Blocks(Box::new(BlockSource::of(&name, reader))))
}

#[cfg(feature = "rocksdb")]
fn open_store(path: &Path) -> Result<Backing, Error> {
    let store = RocksStore::open(path, coalmine_store::Durability::Synced)?;
    // A store of other rules would look corrupt.
    if let Some(tip) = store.tip()?
        && let Some(global) = store.get(&Key::Global.to_bytes())?
    {
        coalmine_store::check_rules(&global, tip.height)?;
    }
    Ok(Backing::Store(Box::new(store)))
}

#[cfg(not(feature = "rocksdb"))]
fn open_store(_path: &Path) -> Result<Backing, Error> {
    Err(no_rocksdb())
}

impl Source {
    fn new(name: &str, backing: Backing) -> Self {
        Self { name: name.into(), past: None, backing }
    }

    /// Opens a source as of a height: a block file is run up to it, any other source must have reached it.
    ///
    /// If a store or dump is already above the height, `past` is set.
    pub(crate) fn open(argument: &str, at: Option<Height>) -> Result<Self, Error> {
        match open(argument)? {
            Opened::Blocks(blocks) => Self::run(argument, *blocks, at),
            Opened::State(source) => source.seen_from(at),
        }
    }

    /// Opens a source whose records as of a height are asked for: only a block file has those of the past.
    pub(crate) fn as_of(argument: &str, at: Option<Height>) -> Result<Self, Error> {
        let source = Self::open(argument, at)?;
        source.present("the state")?;
        Ok(source)
    }

    /// Opens a source as of a height for its state and what has been written: a block file is run without a store, so
    /// that it takes the memory of its state, whatever its length.
    pub(crate) fn state(argument: &str, at: Option<Height>, watch: &mut dyn History) -> Result<StateAt, Error> {
        match open(argument)? {
            Opened::Blocks(mut blocks) => {
                let mut observer =
                    Watching { watch, progress: Progress::new(false), stop: Stop::on_signal()?, blocks: 0 };
                let state = runner::run_state(&mut blocks, at, &mut observer);
                observer.progress.clear();
                Ok(StateAt::Run(Box::new(state?)))
            }
            Opened::State(source) => {
                let source = source.seen_from(at)?;
                source.present("this")?;
                source.tip()?;
                Ok(StateAt::Loaded(Box::new(source.load().map_err(|error| error.in_source(argument))?)))
            }
        }
    }

    /// Runs a block file in memory, up to a height or to its end.
    pub(crate) fn run(argument: &str, blocks: BlockSource, until: Option<Height>) -> Result<Self, Error> {
        Self::run_watched(argument, blocks, until, &mut ())
    }

    /// The same, watched.
    pub(crate) fn run_watched(
        argument: &str,
        mut blocks: BlockSource,
        until: Option<Height>,
        observer: &mut dyn Observer,
    ) -> Result<Self, Error> {
        let mut ledger = Ledger::create(MemoryStore::new(), blocks.genesis())?;
        runner::run(&mut ledger, &mut blocks, until, observer)?;
        Ok(Self::new(argument, Backing::Memory(Box::new(ledger))))
    }

    /// The same source as of a height, if it has come that far.
    pub(crate) fn seen_from(mut self, at: Option<Height>) -> Result<Self, Error> {
        let tip = self.tip()?.height;
        match (at, tip) {
            (Some(at), Some(tip)) if at < tip => self.past = Some(at),
            (Some(at), tip) if Some(at) > tip => {
                let tip = tip.map_or_else(|| "the genesis".into(), |tip| format!("height {tip}"));
                return Err(self.cannot(&format!("it ends at {tip}, before height {at}")));
            }
            (Some(_) | None, _) => {}
        }
        Ok(self)
    }

    /// An error that names this source.
    pub(crate) fn cannot(&self, why: &str) -> Error {
        Error::Input(format!("{}: {why}", self.name))
    }

    /// An error for a feature that is not there, with the nearest that is.
    pub(crate) fn no_feature(&self, name: &Name) -> Error {
        let page = |after: Option<Name>| query::features(self, after.as_ref(), PAGE);
        self.unknown("feature", name, pages(page, |feature| feature.name))
    }

    /// An error for a plugin that is not there, with the nearest that is.
    pub(crate) fn no_plugin(&self, name: &Name) -> Error {
        let page = |after: Option<Name>| query::plugins(self, after.as_ref(), PAGE);
        self.unknown("plugin", name, pages(page, |(name, _)| *name))
    }

    fn unknown(&self, what: &str, name: &Name, known: Result<Vec<Name>, Fault>) -> Error {
        let known = match known {
            Ok(known) => known,
            Err(fault) => return Error::from(fault).in_source(&self.name),
        };
        unknown(&self.name, what, name, known.iter().map(Name::as_str))
    }

    /// Refuses to show `what` as of a height that a store or dump has passed.
    pub(crate) fn present(&self, what: &str) -> Result<(), Error> {
        match (self.past, self.tip()?.height) {
            (Some(at), Some(tip)) => Err(self.cannot(&format!(
                "{what} as of height {at} is not known: a store or dump has its records as of its tip ({tip}), and of the \
                 past only the histories; name the block file with --at {at} instead"
            ))),
            (_, _) => Ok(()),
        }
    }

    /// The tip; an error if the store is empty.
    pub(crate) fn tip(&self) -> Result<Tip, Error> {
        View::tip(self)?.ok_or_else(|| self.cannot("the store is empty"))
    }

    /// Decodes the state and builds its tree, for which a store is read from end to end.
    pub(crate) fn load(self) -> Result<Loaded, Error> {
        match self.backing {
            Backing::Memory(ledger) => Ok(Loaded::Memory(ledger)),
            #[cfg(feature = "rocksdb")]
            Backing::Store(store) => Ok(Loaded::Store(Box::new(Ledger::open(*store)?))),
        }
    }

    fn view(&self) -> &dyn Read {
        match &self.backing {
            Backing::Memory(ledger) => ledger.store(),
            #[cfg(feature = "rocksdb")]
            Backing::Store(store) => &**store,
        }
    }
}

/// The state of a source. What a block file has written was watched, a store or dump has it still.
pub(crate) enum StateAt {
    Run(Box<State>),
    Loaded(Box<Loaded>),
}

impl StateAt {
    /// The state.
    pub(crate) fn state(&self) -> &State {
        match self {
            Self::Run(state) => state,
            Self::Loaded(loaded) => loaded.state(),
        }
    }

    /// Gives the state away where nobody else needs it, so that a look ahead clones none.
    pub(crate) fn give<T>(self, take: impl FnOnce(Cow<'_, State>) -> T) -> T {
        match self {
            Self::Run(state) => take(Cow::Owned(*state)),
            Self::Loaded(loaded) => take(Cow::Borrowed(loaded.state())),
        }
    }
}

/// Watches a run for the history of something, and shows its progress.
struct Watching<'w> {
    watch: &'w mut dyn History,
    progress: Progress,
    stop: Stop,
    blocks: u64,
}

impl Observer for Watching<'_> {
    fn executed(&mut self, goal: Goal<'_>, execution: &Execution) -> Result<(), Error> {
        self.blocks = self.blocks.saturating_add(u64::from(matches!(goal, Goal::Block(_))));
        self.progress.at(execution.height(), self.blocks);
        self.watch.watch(execution).map_err(|cause| Error::from(Fault::Corrupt { key: Vec::new(), cause }))
    }

    fn failed(&mut self, _failure: Failure) {}

    fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }
}

/// A source with its state decoded.
pub(crate) enum Loaded {
    Memory(Box<Ledger<MemoryStore>>),
    #[cfg(feature = "rocksdb")]
    Store(Box<Ledger<RocksStore>>),
}

impl Loaded {
    /// The state.
    pub(crate) fn state(&self) -> &State {
        match self {
            Self::Memory(ledger) => ledger.state(),
            #[cfg(feature = "rocksdb")]
            Self::Store(ledger) => ledger.state(),
        }
    }

    fn view(&self) -> &dyn Read {
        match self {
            Self::Memory(ledger) => ledger.store(),
            #[cfg(feature = "rocksdb")]
            Self::Store(ledger) => ledger.store(),
        }
    }
}

macro_rules! read_through_view {
    ($type:ty) => {
        impl Read for $type {
            fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
                self.view().get(key)
            }

            fn scan(&self, start: &[u8], end: &[u8], visit: &mut Visit<'_>) -> Result<(), Fault> {
                self.view().scan(start, end, visit)
            }

            fn last(&self, start: &[u8], end: &[u8]) -> Result<Option<Entry>, Fault> {
                self.view().last(start, end)
            }
        }
    };
}

read_through_view!(Source);
read_through_view!(Loaded);

impl View for Source {
    fn tip(&self) -> Result<Option<Tip>, StoreError> {
        match &self.backing {
            Backing::Memory(ledger) => Ok(Some(ledger.last_committed())),
            #[cfg(feature = "rocksdb")]
            Backing::Store(store) => store.tip(),
        }
    }
}

/// The names of all entries, which are read a page at a time.
fn pages<T>(
    mut page: impl FnMut(Option<Name>) -> Result<Vec<T>, Fault>,
    name: impl Fn(&T) -> Name,
) -> Result<Vec<Name>, Fault> {
    let mut names: Vec<Name> = Vec::new();
    loop {
        let entries = page(names.last().copied())?;
        names.extend(entries.iter().map(&name));
        if entries.len() < PAGE {
            return Ok(names);
        }
    }
}

/// All records of a view in key order.
pub(crate) fn records<'v>(view: &'v (dyn Read + 'v)) -> Entries<'v, dyn Read + 'v> {
    Entries::new(view, &[STATE_KEYS.start], &[STATE_KEYS.end])
}
