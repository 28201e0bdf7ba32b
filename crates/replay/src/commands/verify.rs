//! `verify`: one file on several stores, compared block by block.

use std::path::{Path, PathBuf};

use clap::Args;
use coalmine_answers::Answer;
use coalmine_core::{Encode, Execution};
use coalmine_json::render::{Fields, Value};
use coalmine_store::{Ledger, MemoryStore, Store};

use crate::difference::differences;
use crate::error::Error;
use crate::input::Input;
use crate::output::{Format, Output, Target};
use crate::runner::{self, BlockSource, Failure, Goal, Observer};
use crate::terminal::{Progress, Stop, note, warn};

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Every file runs on memory, on RocksDB in a temporary folder, and on RocksDB closed and reopened after \
every block. Roots, receipts and events are compared at every height, all records at the end, and \
every expectation is checked. A build without RocksDB compares memory with memory reopened.

Example:
  replay verify fixtures/scenarios/*.json")]
pub(crate) struct VerifyArgs {
    /// Block files, each run separately
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Verifies each file separately. A file that fails does not stop the others.
pub(crate) fn verify(args: &VerifyArgs, target: &Target) -> Result<(), Error> {
    let mut out = Output::open(target, args.files.iter().map(|file| Input::File(file)))?;
    let verified = verify_files(&args.files, &mut out);
    out.end(verified)
}

fn verify_files(files: &[PathBuf], out: &mut Output) -> Result<(), Error> {
    let stop = Stop::on_signal()?;
    if !cfg!(feature = "rocksdb") {
        note("this build has no RocksDB: memory is compared with memory reopened after every block");
    }
    let mut failed = 0_usize;
    for file in files {
        failed = failed.saturating_add(usize::from(!verify_file(file, &stop, out)?));
    }
    match failed {
        0 => Ok(()),
        failed => Err(Error::Differs(format!("{failed} of {} files failed", files.len()))),
    }
}

/// Returns whether a file passes every check.
fn verify_file(file: &Path, stop: &Stop, out: &mut Output) -> Result<bool, Error> {
    let mut blocks = BlockSource::open(vec![file.into()])?;
    warn(blocks.warnings());
    let folders = tempfile::tempdir().map_err(|error| Error::Input(format!("no temporary folder: {error}")))?;
    let name = file.display().to_string();
    let mut watch = Watch {
        file: &name,
        format: out.format(),
        replicas: replicas(&blocks, folders.path())?,
        stop,
        progress: Progress::new(false),
        blocks: 0,
        problems: 0,
    };
    let mut ledger = Ledger::create(MemoryStore::new(), blocks.genesis())?;
    let ran = runner::run(&mut ledger, &mut blocks, None, &mut watch);
    watch.progress.clear();
    match ran {
        // The difference has been reported; after it, nothing else can be compared.
        Err(Error::Differs(_)) => {}
        ran => {
            ran?;
            watch.compare_records(&ledger)?;
        }
    }
    let tip = ledger.last_committed();
    let is_held = watch.problems == 0;
    let runs: Vec<Value> =
        std::iter::once("memory").chain(watch.replicas.iter().map(|replica| replica.name())).map(Value::from).collect();
    let result = Fields::new().text("file", &name).with("result", if is_held { "held" } else { "failed" });
    let rest = Fields::new().with("height", tip.height).with("blocks", watch.blocks).text("root", tip.root);
    out.row(Answer::new("verified", result, rest.with("runs", runs)))?;
    Ok(is_held)
}

#[cfg(feature = "rocksdb")]
fn replicas(blocks: &BlockSource, folders: &Path) -> Result<Vec<Box<dyn Replica>>, Error> {
    use coalmine_store::{Durability, RocksStore};

    let create = |folder: &Path| -> Result<_, Error> {
        Ok(Some(Ledger::create(RocksStore::create(folder, Durability::Synced)?, blocks.genesis())?))
    };
    let (straight, reopened) = (folders.join("straight"), folders.join("reopened"));
    Ok(vec![
        Box::new(StoreReplica { name: "rocksdb", ledger: create(&straight)?, reopen: None }),
        Box::new(StoreReplica {
            name: "rocksdb-reopened",
            ledger: create(&reopened)?,
            reopen: Some(Box::new(move |store| {
                drop(store);
                Ok(RocksStore::open(&reopened, Durability::Synced)?)
            })),
        }),
    ])
}

#[cfg(not(feature = "rocksdb"))]
fn replicas(blocks: &BlockSource, _folders: &Path) -> Result<Vec<Box<dyn Replica>>, Error> {
    let ledger = Some(Ledger::create(MemoryStore::new(), blocks.genesis())?);
    Ok(vec![Box::new(StoreReplica { name: "memory-reopened", ledger, reopen: Some(Box::new(Ok)) })])
}

/// A run that must match the first one.
trait Replica {
    fn name(&self) -> &'static str;

    /// Executes and commits the same. Returns the difference, if any.
    fn execute(&mut self, goal: Goal<'_>, first: &Execution) -> Result<Option<String>, Error>;

    /// The first record that differs from the first run at the end.
    fn differing_record(&self, first: &Ledger<MemoryStore>) -> Result<Option<String>, Error>;
}

/// Closes a store and opens it again.
type Reopen<S> = Box<dyn FnMut(S) -> Result<S, Error>>;

struct StoreReplica<S> {
    name: &'static str,
    /// `None` only after an error or a difference.
    ledger: Option<Ledger<S>>,
    reopen: Option<Reopen<S>>,
}

impl<S: Store> Replica for StoreReplica<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn execute(&mut self, goal: Goal<'_>, first: &Execution) -> Result<Option<String>, Error> {
        let Some(mut ledger) = self.ledger.take() else { return Ok(Some("the run has ended".into())) };
        let Some(execution) = runner::next(ledger.state(), goal)? else {
            return Ok(Some("it has executed this height already".into()));
        };
        let difference = difference(first, &execution);
        if difference.is_none() {
            ledger.commit(execution)?;
            self.ledger = Some(match &mut self.reopen {
                Some(reopen) => Ledger::open(reopen(ledger.into_store())?)?,
                None => ledger,
            });
        }
        Ok(difference)
    }

    fn differing_record(&self, first: &Ledger<MemoryStore>) -> Result<Option<String>, Error> {
        let Some(ledger) = &self.ledger else { return Ok(None) };
        let difference = differences(first.store(), ledger.store()).next().transpose()?;
        Ok(difference.map(|difference| difference.to_string()))
    }
}

fn difference(first: &Execution, second: &Execution) -> Option<String> {
    if first.height() != second.height() {
        return Some(format!("height: {} and {}", first.height(), second.height()));
    }
    let (a, b) = (first.outcome(), second.outcome());
    if a.receipts != b.receipts {
        return Some("receipts".into());
    }
    if a.events != b.events {
        return Some("events".into());
    }
    if a.to_bytes() != b.to_bytes() {
        return Some("bytes of the outcome".into());
    }
    (first.root() != second.root()).then(|| format!("root: {} and {}", first.root(), second.root()))
}

/// Runs the other stores along with the first one and counts the problems.
struct Watch<'a> {
    file: &'a str,
    format: Format,
    replicas: Vec<Box<dyn Replica>>,
    stop: &'a Stop,
    progress: Progress,
    blocks: u64,
    problems: u64,
}

impl Watch<'_> {
    fn compare_records(&mut self, first: &Ledger<MemoryStore>) -> Result<(), Error> {
        for replica in &self.replicas {
            if let Some(record) = replica.differing_record(first)? {
                self.problems = self.problems.saturating_add(1);
                let text = format!("{}: end: memory and {} differ in a record: {record}", self.file, replica.name());
                let fields = Fields::new().with("file", self.file).with("block", None::<u32>);
                let fields = fields.with("run", replica.name()).with("differ", format!("record: {record}"));
                self.format.problem("mismatch", text, fields);
            }
        }
        Ok(())
    }
}

impl Observer for Watch<'_> {
    fn executed(&mut self, goal: Goal<'_>, execution: &Execution) -> Result<(), Error> {
        let is_block = matches!(goal, Goal::Block(block) if block.height() == execution.height());
        self.blocks = self.blocks.saturating_add(u64::from(is_block));
        let mut is_apart = false;
        for replica in &mut self.replicas {
            if let Some(difference) = replica.execute(goal, execution)? {
                is_apart = true;
                self.problems = self.problems.saturating_add(1);
                let (file, height, name) = (self.file, execution.height(), replica.name());
                let text = format!("{file}: block {height}: memory and {name} differ: {difference}");
                let fields = Fields::new().with("file", file).with("block", height);
                let fields = fields.with("run", name).with("differ", difference);
                self.format.problem("mismatch", text, fields);
            }
        }
        self.progress.at(execution.height(), self.blocks);
        // A failed expectation does not end the run, but runs that differ cannot be compared further.
        if is_apart { Err(Error::Differs("the runs differ".into())) } else { Ok(()) }
    }

    fn failed(&mut self, failure: Failure) {
        self.format.problem("failure", &failure, failure.fields());
        self.problems = self.problems.saturating_add(1);
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }
}
