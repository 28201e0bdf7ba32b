//! `run`: block files on one store, their expectations checked.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use coalmine_answers::{self as answers, Answer};
use coalmine_core::{Execution, Height, Note};
use coalmine_foresight::Rejection;
use coalmine_json::render::{self, Fields, Value};
#[cfg(feature = "rocksdb")]
use coalmine_store::{Durability, OpenError, RocksStore};
use coalmine_store::{Ledger, MemoryStore, Store, Tip};

use crate::error::Error;
use crate::input::{Input, store_path};
use crate::output::{Output, Target};
use crate::runner::{self, BlockSource, Failure, Goal, Observer};
use crate::terminal::{Progress, Stop, note, warn};

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
On rocksdb:PATH a run continues from the tip of the store, which is created if it does not exist. \
Blocks at or below the tip are skipped if they are those that the store has executed. As a store \
does not keep blocks, they are executed again in memory, from the genesis on, and must give the root \
of the store: name all files, from the first one on. If no file has a block at or below the tip, only \
the id of the ledger is compared.

Rejected transactions are listed with who, what and why; with --receipts that stands beside their \
receipts. They are results, not failures, unless --fail-on-reject makes the exit code 1. Expectations \
that fail are listed on standard error.

Example:
  replay run --events --until 5000 canary.json
  replay run --fail-on-reject deploy.json
  replay run --store rocksdb:./state january.blocks february.blocks")]
pub(crate) struct RunArgs {
    /// Block files with the same genesis and rising heights; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// memory, or rocksdb:PATH
    #[arg(long, default_value = "memory", value_name = "STORE")]
    store: String,
    /// Run up to HEIGHT and stop, with empty blocks where the files have none
    #[arg(long, value_name = "HEIGHT")]
    until: Option<Height>,
    /// Print every event
    #[arg(long)]
    events: bool,
    /// Print every receipt
    #[arg(long)]
    receipts: bool,
    /// Print the root after every N-th block of the files
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    root_every: Option<u64>,
    /// End with exit code 1 if a transaction was rejected
    #[arg(long)]
    fail_on_reject: bool,
    /// Print no rejected transactions, no summary, no rates and no progress
    #[arg(long)]
    quiet: bool,
}

/// Runs files on the store that `--store` names.
pub(crate) fn run(args: &RunArgs, target: &Target) -> Result<(), Error> {
    let mut blocks = BlockSource::open(args.files.clone())?;
    warn(blocks.warnings());
    let session = Session::open(args, target)?;
    match store_path(&args.store) {
        None if args.store == "memory" => {
            let ledger = Ledger::create(MemoryStore::new(), blocks.genesis())?;
            session.run(ledger, &mut blocks)
        }
        None => Err(Error::Input(format!("--store {}: it is memory, or rocksdb:PATH", args.store))),
        Some(path) => run_on_disk(path, session, &mut blocks),
    }
}

#[cfg(feature = "rocksdb")]
fn run_on_disk(path: &std::path::Path, mut session: Session<'_>, blocks: &mut BlockSource) -> Result<(), Error> {
    let open = if RocksStore::exists(path) { RocksStore::open } else { RocksStore::create };
    let ledger = Ledger::open_or_create(open(path, Durability::Synced)?, blocks.genesis());
    let ledger = ledger.map_err(|error| refused(error, &session.args.store))?;
    session.skip(&ledger, blocks)?;
    session.run(ledger, blocks)
}

#[cfg(not(feature = "rocksdb"))]
fn run_on_disk(_path: &std::path::Path, _session: Session<'_>, _blocks: &mut BlockSource) -> Result<(), Error> {
    Err(crate::input::no_rocksdb())
}

/// What a run counts and prints.
struct Session<'a> {
    args: &'a RunArgs,
    out: Output,
    stop: Stop,
    progress: Progress,
    started: Instant,
    /// Whether the blocks that run are those that the store has already: they are checked, not counted.
    is_skipping: bool,
    skipped: u64,
    blocks: u64,
    transactions: u64,
    rejected: u64,
    /// The rejected transactions of the block in hand.
    rejections: Vec<Rejection>,
    events: u64,
    failures: u64,
}

impl<'a> Session<'a> {
    fn open(args: &'a RunArgs, target: &Target) -> Result<Self, Error> {
        let files = args.files.iter().map(|file| Input::File(file));
        Ok(Self {
            args,
            out: Output::open(target, files.chain(store_path(&args.store).map(Input::Store)))?,
            stop: Stop::on_signal()?,
            progress: Progress::new(args.quiet),
            started: Instant::now(),
            is_skipping: false,
            skipped: 0,
            blocks: 0,
            transactions: 0,
            rejected: 0,
            rejections: Vec::new(),
            events: 0,
            failures: 0,
        })
    }

    /// Executes in memory what the store has executed already, and compares the tips.
    #[cfg_attr(not(feature = "rocksdb"), expect(dead_code, reason = "memory has nothing to continue"))]
    fn skip<S: Store>(&mut self, ledger: &Ledger<S>, blocks: &mut BlockSource) -> Result<(), Error> {
        let tip = ledger.last_committed();
        let mut shadow = Ledger::create(MemoryStore::new(), blocks.genesis())?;
        if let Some(height) = tip.height {
            self.is_skipping = true;
            runner::run(&mut shadow, blocks, Some(height), self)?;
            self.is_skipping = false;
            if self.skipped == 0 {
                // Files that begin above a store have only its chain in common with it.
                return Ok(());
            }
        }
        let found = shadow.last_committed();
        if found != tip {
            return Err(Error::Differs(format!(
                "{}: the store is at {tip}, but these files give root {} there: they are not its blocks, or not all \
                 of them; name every file from the genesis on",
                self.args.store, found.root
            )));
        }
        if self.skipped > 0 {
            note(format!("{}: {} blocks skipped, the store is at {tip}", self.args.store, self.skipped));
        }
        Ok(())
    }

    fn run<S: Store>(mut self, mut ledger: Ledger<S>, blocks: &mut BlockSource) -> Result<(), Error> {
        self.started = Instant::now();
        let ended = runner::run(&mut ledger, blocks, self.args.until, &mut self);
        self.progress.clear();
        if matches!(ended, Ok(()) | Err(Error::Interrupted)) && !self.args.quiet {
            self.summary(&ledger.last_committed())?;
        }
        let Self { out, failures, rejected, args, .. } = self;
        let rejected = if args.fail_on_reject { rejected } else { 0 };
        out.end(ended.and_then(|()| match (failures, rejected) {
            (0, 0) => Ok(()),
            (0, 1) => Err(Error::Differs("1 transaction was rejected".into())),
            (0, rejected) => Err(Error::Differs(format!("{rejected} transactions were rejected"))),
            (1, _) => Err(Error::Differs("1 expectation failed".into())),
            (failures, _) => Err(Error::Differs(format!("{failures} expectations failed"))),
        }))
    }

    fn summary(&mut self, tip: &Tip) -> Result<(), Error> {
        let fields = Fields::new()
            .with("height", tip.height)
            .with("blocks", self.blocks)
            .with("transactions", self.transactions)
            .with("ok", self.transactions.saturating_sub(self.rejected))
            .with("rejected", self.rejected)
            .with("events", self.events)
            .text("root", tip.root);
        self.out.card(Answer::single("summary", fields))?;
        let micros = self.started.elapsed().as_micros().max(1);
        let rate = |count: u64| u128::from(count).saturating_mul(1_000_000).checked_div(micros).unwrap_or_default();
        let (blocks, transactions) = (rate(self.blocks), rate(self.transactions));
        note(format!("{} ms, {blocks} blocks/s, {transactions} transactions/s", micros / 1_000));
        Ok(())
    }

    /// Writes what happened at a height: in text the height, what it is, and the rest.
    fn line(&mut self, kind: &'static str, id: Fields, rest: Fields) -> Result<(), Error> {
        let (values, pairs) = (id.values(), rest.pairs());
        let text = || {
            let (height, values) = values.split_once(' ').unwrap_or((&values, ""));
            [height, kind, values, &pairs].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        };
        self.out.put(kind, text, id.and(rest))
    }

    fn print(&mut self, execution: &Execution) -> Result<(), Error> {
        let at = || Fields::new().with("height", execution.height());
        let outcome = execution.outcome();
        let rejections = std::mem::take(&mut self.rejections);
        if !self.args.receipts {
            for rejection in &rejections {
                let id = at().with("tx", number(rejection.tx)).text("result", rejection.reject);
                let fields = id.with("command", rejection.index).and(answers::rejection(rejection));
                self.out.put("rejected", || format!("{} {rejection}", execution.height()), fields)?;
            }
        }
        if self.args.receipts {
            let mut rejections = rejections.iter().peekable();
            let mut notes = execution.notes();
            for ((index, tx), receipt) in (0_usize..).zip(0_u64..).zip(&outcome.receipts) {
                let (result, mut rest) = render::receipt(receipt);
                if let Some(rejection) = rejections.next_if(|rejection| rejection.tx == index) {
                    rest = rest.and(answers::rejection(rejection));
                }
                let (own, others) = notes.split_at(notes.partition_point(|(of, _)| *of <= index));
                if !own.is_empty() {
                    let note = |(_, note): &(usize, Note)| Value::from(render::note(note));
                    rest = rest.with("notes", own.iter().map(note).collect::<Vec<_>>());
                }
                notes = others;
                self.line("receipt", at().with("tx", tx).and(result), rest)?;
            }
        }
        if self.args.events {
            for event in &outcome.events {
                self.line("event", at().text("event", event.code()), render::event(event))?;
            }
        }
        Ok(())
    }
}

impl Observer for Session<'_> {
    fn executed(&mut self, goal: Goal<'_>, execution: &Execution) -> Result<(), Error> {
        // A block of the files is executed at the height of its goal; below it, a gap is filled.
        let is_block = matches!(goal, Goal::Block(block) if block.height() == execution.height());
        if self.is_skipping {
            self.skipped = self.skipped.saturating_add(u64::from(is_block));
            return Ok(());
        }
        let outcome = execution.outcome();
        let rejected = outcome.receipts.iter().filter(|receipt| receipt.code() != 0).count();
        self.transactions = self.transactions.saturating_add(number(outcome.receipts.len()));
        self.rejected = self.rejected.saturating_add(number(rejected));
        self.events = self.events.saturating_add(number(outcome.events.len()));
        self.print(execution)?;
        if is_block {
            self.blocks = self.blocks.saturating_add(1);
            let number = self.skipped.saturating_add(self.blocks);
            if self.args.root_every.is_some_and(|every| number.is_multiple_of(every)) {
                let id = Fields::new().with("height", execution.height()).text("root", execution.root());
                self.line("root", id, Fields::new())?;
            }
        }
        self.progress.at(execution.height(), self.blocks);
        Ok(())
    }

    fn asks_why(&self) -> bool {
        !self.is_skipping && (self.args.receipts || !self.args.quiet)
    }

    fn rejected(&mut self, rejections: Vec<Rejection>) {
        self.rejections = rejections;
    }

    fn failed(&mut self, failure: Failure) {
        self.failures = self.failures.saturating_add(1);
        self.out.format().problem("failure", &failure, failure.fields());
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(feature = "rocksdb")]
fn refused(error: OpenError, store: &str) -> Error {
    if let OpenError::Chain { expected, found } = &error {
        let (found, expected) = (found.as_str(), expected.as_str());
        return Error::Differs(format!("the store is of chain {found:?}, the files are of {expected:?}")).at(store);
    }
    Error::from(error).in_source(store)
}
