//! Runs the blocks of files on a ledger, gaps included, and checks what the files expect.
//!
//! A gap between two blocks stands for empty blocks, of which only those with due work are executed.
//! Expectations are compared after their block is committed; a failed one is reported to the
//! [`Observer`] and does not end the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use coalmine_core::{Block, BlockError, Event, Execution, Genesis, Height, RuleSet, State};
use coalmine_foresight::{Rejection, rejections};
use coalmine_json::blockfile::{BlockReader, FileBlock, FileError, FinalExpect, Header, Limits, Place};
use coalmine_store::{Ledger, Store};

use crate::error::Error;
pub use crate::expect::Failure;
use crate::expect::{self, Failures};

/// The next target of a run.
#[derive(Debug, Clone, Copy)]
pub enum Goal<'b> {
    /// Execute this block.
    Block(&'b Block),
    /// Reach this height with empty blocks.
    Height(Height),
}

impl Goal<'_> {
    /// The height of the goal.
    #[must_use]
    pub const fn height(&self) -> Height {
        match self {
            Self::Block(block) => block.height(),
            Self::Height(height) => *height,
        }
    }
}

/// The next execution on the way to a goal: a height with due work, or the goal itself. `None` if
/// the tip is at the goal or above.
///
/// # Errors
/// The node must stop.
pub fn next(state: &State, goal: Goal<'_>) -> Result<Option<Execution>, BlockError> {
    let to = goal.height();
    let execution = match (goal, state.tip()) {
        (_, Some(tip)) if tip >= to => return Ok(None),
        (Goal::Block(block), tip) if tip.is_none_or(|tip| tip.checked_add(1) == Some(to)) => state.execute(block)?,
        (Goal::Block(_), _) => state.advance(to.saturating_sub(1))?,
        (Goal::Height(_), _) => state.advance(to)?,
    };
    refuse_test_rules(&execution).map(|()| Some(execution))
}

/// Core may be built with rules for its own tests. A tool does not know them, however it is built.
fn refuse_test_rules(execution: &Execution) -> Result<(), BlockError> {
    let height = execution.height();
    let unknown = execution.outcome().events.iter().find_map(|event| {
        let Event::RulesSet { to, .. } = event else { return None };
        (*to > RuleSet::LATEST.number()).then_some(*to)
    });
    unknown.map_or(Ok(()), |rules| Err(BlockError::UnknownRules { rules, height }))
}

/// Watches a run.
pub trait Observer {
    /// A height was executed on the way to a goal, and is about to be committed.
    ///
    /// # Errors
    /// Ends the run before the commit.
    fn executed(&mut self, goal: Goal<'_>, execution: &Execution) -> Result<(), Error>;

    /// Whether it is to be told why transactions are rejected, for which some are executed once more.
    fn asks_why(&self) -> bool {
        false
    }

    /// The rejected transactions of the block that comes to [`executed`](Self::executed) next.
    fn rejected(&mut self, _rejections: Vec<Rejection>) {}

    /// An expectation failed.
    fn failed(&mut self, failure: Failure);

    /// Whether the run should end after the current block.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Ignores everything.
impl Observer for () {
    fn executed(&mut self, _goal: Goal<'_>, _execution: &Execution) -> Result<(), Error> {
        Ok(())
    }

    fn failed(&mut self, _failure: Failure) {}
}

/// The blocks and expectations of files, one file after the other.
pub struct BlockSource {
    files: vec::IntoIter<PathBuf>,
    genesis: Genesis,
    warnings: Vec<FileError>,
    reader: Option<BlockReader>,
    file: Arc<str>,
    peeked: Option<Item>,
}

/// An item of a block source.
#[derive(Debug, Clone)]
struct Item {
    file: Arc<str>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Block(FileBlock),
    /// What a file expects after its last block.
    End(FinalExpect),
}

impl Item {
    /// Whether a run up to `until` comes to this item. What a file expects at its end belongs to its last block.
    fn is_due(&self, until: Height) -> bool {
        match &self.what {
            What::Block(block) => block.block.height() <= until,
            What::End(_) => true,
        }
    }

    fn place(&self) -> String {
        match &self.what {
            What::Block(block) => place(&self.file, block.place),
            What::End(end) => place(&self.file, end.place),
        }
    }
}

/// The name of a file in messages.
fn name(path: &Path) -> String {
    if path.as_os_str() == "-" { "<stdin>".into() } else { path.display().to_string() }
}

/// A file and a place in it.
fn place(file: &str, place: Place) -> String {
    match place {
        Place::Text { line, .. } => format!("{file}:{line}"),
        Place::File | Place::Frame { .. } => format!("{file}{place}"),
    }
}

impl BlockSource {
    /// Opens the first of the files; `-` is standard input.
    ///
    /// # Errors
    /// No file is given, or the first is bad.
    pub fn open(files: Vec<PathBuf>) -> Result<Self, Error> {
        let mut files = files.into_iter();
        let first = files.next().ok_or_else(|| Error::Input("name at least one block file".into()))?;
        let reader = BlockReader::open(&first, Limits::default())?;
        Ok(Self { files, ..Self::of(&name(&first), reader) })
    }

    /// The blocks of an open file.
    #[must_use]
    pub fn of(file: &str, reader: BlockReader) -> Self {
        let Header { genesis, warnings, .. } = reader.header().clone();
        Self { files: Vec::new().into_iter(), genesis, warnings, reader: Some(reader), file: file.into(), peeked: None }
    }

    /// What in the first file is allowed, but is likely to be a mistake.
    #[must_use]
    pub fn warnings(&self) -> &[FileError] {
        &self.warnings
    }

    /// The genesis, which all files share.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The next block of any file.
    ///
    /// # Errors
    /// A bad file.
    pub fn next_block(&mut self) -> Result<Option<FileBlock>, Error> {
        while let Some(item) = self.next_until(None)? {
            if let What::Block(block) = item.what {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// The next item, if it is due at `until` or below.
    fn next_until(&mut self, until: Option<Height>) -> Result<Option<Item>, Error> {
        let is_due = |item: &Item| until.is_none_or(|until| item.is_due(until));
        Ok(if self.peek()?.is_some_and(is_due) { self.peeked.take() } else { None })
    }

    fn peek(&mut self) -> Result<Option<&Item>, Error> {
        if self.peeked.is_none() {
            self.peeked = self.read()?;
        }
        Ok(self.peeked.as_ref())
    }

    fn read(&mut self) -> Result<Option<Item>, Error> {
        while let Some(reader) = &mut self.reader {
            let file = Arc::clone(&self.file);
            if let Some(block) = reader.next() {
                return Ok(Some(Item { file, what: What::Block(block?) }));
            }
            let end = reader.header().expect.clone();
            self.open_next()?;
            if let Some(end) = end {
                return Ok(Some(Item { file, what: What::End(end) }));
            }
        }
        Ok(None)
    }

    fn open_next(&mut self) -> Result<(), Error> {
        self.reader = None;
        let Some(path) = self.files.next() else { return Ok(()) };
        let reader = BlockReader::open(&path, Limits::default())?;
        self.file = name(&path).into();
        if reader.header().genesis != self.genesis {
            let message = "its genesis is not that of the first file; run it by itself";
            return Err(Error::Input(format!("{}: {message}", self.file)));
        }
        self.reader = Some(reader);
        Ok(())
    }
}

/// Runs all blocks, or those up to `until` and then empty blocks up to it.
///
/// Blocks above `until` stay in the source. Each block is committed before the next is executed.
///
/// # Errors
/// A bad file, a block that does not follow the tip, a store that fails, [`Error::Interrupted`] when
/// the observer stops the run, or an error of the observer.
pub fn run<S: Store>(
    ledger: &mut Ledger<S>,
    blocks: &mut BlockSource,
    until: Option<Height>,
    observer: &mut dyn Observer,
) -> Result<(), Error> {
    while let Some(item) = blocks.next_until(until)? {
        run_item(ledger, &item, observer)?;
        if observer.is_stopped() {
            return Err(Error::Interrupted);
        }
    }
    match until {
        Some(until) => advance(ledger, Goal::Height(until), observer, |_| {}),
        None => Ok(()),
    }
}

/// Runs all blocks, or those up to `until` and then empty blocks up to it, without a store: what is kept is the state,
/// however long its history. What the files expect is not compared.
///
/// # Errors
/// As for [`run`].
pub(crate) fn run_state(
    blocks: &mut BlockSource,
    until: Option<Height>,
    observer: &mut dyn Observer,
) -> Result<State, Error> {
    let (mut state, _) = State::genesis(blocks.genesis()).map_err(BlockError::from)?;
    while let Some(item) = blocks.next_until(until)? {
        let What::Block(FileBlock { block, .. }) = &item.what else { continue };
        let height = block.height();
        if let Some(tip) = state.tip().filter(|tip| *tip >= height) {
            return Err(Error::from(BlockError::NotAbove { tip, to: height }).at(item.place()));
        }
        advance_state(&mut state, Goal::Block(block), observer)?;
        if observer.is_stopped() {
            return Err(Error::Interrupted);
        }
    }
    if let Some(until) = until {
        advance_state(&mut state, Goal::Height(until), observer)?;
    }
    Ok(state)
}

fn advance_state(state: &mut State, goal: Goal<'_>, observer: &mut dyn Observer) -> Result<(), Error> {
    while let Some(execution) = next(state, goal)? {
        observer.executed(goal, &execution)?;
        let applied = state.apply(execution);
        debug_assert!(applied.is_ok(), "it was executed on this state");
        if observer.is_stopped() && state.tip() != Some(goal.height()) {
            return Err(Error::Interrupted);
        }
    }
    Ok(())
}

fn run_item<S: Store>(ledger: &mut Ledger<S>, item: &Item, observer: &mut dyn Observer) -> Result<(), Error> {
    let mut failures = Failures::default();
    match &item.what {
        What::Block(FileBlock { block, expect, .. }) => {
            let height = block.height();
            if let Some(tip) = ledger.state().tip().filter(|tip| *tip >= height) {
                return Err(Error::from(BlockError::NotAbove { tip, to: height }).at(item.place()));
            }
            failures.block = Some(height);
            if let Some(expect) = expect {
                failures.place = place(&item.file, expect.place);
            }
            advance(ledger, Goal::Block(block), observer, |execution| {
                if let Some(expect) = expect.as_ref().filter(|_| execution.height() == height) {
                    expect::outcome(expect, execution.outcome(), &mut failures);
                }
            })?;
            if let Some(expect) = expect {
                expect::state(&expect.state, ledger, &mut failures)?;
            }
        }
        What::End(end) => {
            failures.place = place(&item.file, end.place);
            let shown = |height: Option<Height>| height.map_or_else(|| "none".into(), |height| height.to_string());
            if end.height.is_some() {
                failures.compare(|| "height".into(), shown(end.height), shown(ledger.state().tip()));
            }
            expect::state(&end.state, ledger, &mut failures)?;
        }
    }
    failures.found.into_iter().for_each(|failure| observer.failed(failure));
    Ok(())
}

/// Executes and commits everything on the way to a goal.
pub(crate) fn advance<S: Store>(
    ledger: &mut Ledger<S>,
    goal: Goal<'_>,
    observer: &mut dyn Observer,
    mut see: impl FnMut(&Execution),
) -> Result<(), Error> {
    while let Some(execution) = next(ledger.state(), goal)? {
        see(&execution);
        if let Goal::Block(block) = goal
            && block.height() == execution.height()
            && observer.asks_why()
        {
            observer.rejected(rejections(ledger.state(), block, &execution)?);
        }
        observer.executed(goal, &execution)?;
        let is_there = execution.height() == goal.height();
        ledger.commit(execution)?;
        if !is_there && observer.is_stopped() {
            return Err(Error::Interrupted);
        }
    }
    Ok(())
}
