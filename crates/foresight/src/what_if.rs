//! The same blocks with other settings: which decisions differ, and what the runs come to.
//!
//! All runs go through one pass over the blocks, side by side, so a source is read once, whatever it is. In memory are
//! their states and the block in hand.

use std::collections::BTreeMap;

use coalmine_core::{
    Block, BlockError, Bps, Command, Event, Execution, Genesis, GenesisError, Height, Hold, LimitError, Name, Payload,
    Percent, Receipt, State, Status, TxCommand, Version, tree::TreeError,
};

use crate::changes::{Changed, Changes};
use crate::history::Subject;
use crate::tally::Tally;

/// Why a replay with changes ends.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// A block cannot be executed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The genesis cannot be applied.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The genesis cannot have these parameters.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// A changed block is too large.
    #[error("block {height} with the changes: {error}")]
    Limit {
        /// The height of the block.
        height: Height,
        /// What is too large.
        error: LimitError,
    },
    /// A transaction to leave out is not there.
    #[error("there is no transaction {tx} at height {height} to leave out: {}", found(*.txs))]
    NoSuchTx {
        /// The height.
        height: Height,
        /// The index of the transaction, from 0.
        tx: usize,
        /// How many transactions the block has; `None` if there is no block of that height.
        txs: Option<usize>,
    },
    /// A transaction is to be added before the first block, or where no height is.
    #[error("height {height} is before the first block, at height {first}; nothing can be added there")]
    BeforeFirst {
        /// The height.
        height: Height,
        /// That of the first block.
        first: Height,
    },
}

fn found(txs: Option<usize>) -> String {
    match txs {
        None => "no block has that height".into(),
        Some(0) => "the block has none".into(),
        Some(txs) => format!("the block has transactions 0 to {}", txs.saturating_sub(1)),
    }
}

/// A height at which the decisions about a subject differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The height.
    pub height: Height,
    /// What they are about.
    pub subject: Subject,
    /// What happened.
    pub base: Side,
    /// What happens with the changes.
    pub changed: Side,
}

/// One side of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The events about the subject at this height; none if nothing is decided here.
    pub events: Vec<Event>,
    /// How the subject stands after the block; `None` of the ledger, and of what does not exist.
    pub figures: Option<Figures>,
}

/// The figures of a subject after a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Figures {
    /// Of a feature.
    Feature {
        /// Its status.
        status: Status,
        /// Its percentage.
        percent: Percent,
        /// Errors of the trial.
        errors: u64,
        /// Successes of the trial.
        successes: u64,
    },
    /// Of a plugin.
    Plugin {
        /// The version that serves everybody else.
        current: Version,
        /// The new version of a deployment, its share and hold, and requests and errors of it so far.
        canary: Option<(Version, Bps, Hold, u64, u64)>,
    },
}

/// A transaction with another receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptDifference {
    /// The height.
    pub height: Height,
    /// The index of the transaction in the block as it was; `None` of an added one.
    pub tx: Option<usize>,
    /// The receipt that it got; `None` of an added one.
    pub base: Option<Receipt>,
    /// The receipt with the changes; `None` of one that is left out.
    pub changed: Option<Receipt>,
    /// Whether it only reports, as most transactions do.
    pub is_report: bool,
}

/// Sees the differences of one pass. `run` counts the changed runs from 0.
pub trait Observer {
    /// Decisions about a subject differ.
    fn differs(&mut self, run: usize, difference: Difference);

    /// A transaction has another receipt.
    fn receipt(&mut self, run: usize, difference: ReceiptDifference);
}

/// Sees nothing.
impl Observer for () {
    fn differs(&mut self, _run: usize, _difference: Difference) {}

    fn receipt(&mut self, _run: usize, _difference: ReceiptDifference) {}
}

/// One run.
struct Run<'c> {
    state: State,
    changes: Changes<'c>,
    subject: Option<Subject>,
    tally: Tally,
    /// The block of the present goal, if this run has one there.
    block: Option<Aim>,
    /// The next execution on the way to the goal, not applied yet.
    next: Option<Execution>,
}

impl<'c> Run<'c> {
    fn new(genesis: &Genesis, subject: Option<Subject>, changes: Changes<'c>) -> Result<Self, WhatIfError> {
        let (state, _) = match changes.params {
            None => State::genesis(genesis)?,
            Some(params) => {
                let (rules, chain, roles) = (genesis.rules(), *genesis.chain(), genesis.roles().clone());
                State::genesis(&Genesis::with_params(rules, chain, roles, params)?)?
            }
        };
        Ok(Self { state, changes, subject, tally: Tally::default(), block: None, next: None })
    }

    /// Takes up a goal: a height, and the block that was there.
    fn aim(&mut self, height: Height, block: Option<&Block>) -> Result<(), WhatIfError> {
        let changed = self.changes.apply(height, block).map_err(|error| WhatIfError::Limit { height, error })?;
        self.block = changed.map(Aim::Changed).or_else(|| block.cloned().map(Aim::Same));
        Ok(())
    }

    /// Executes the next block on the way to the goal that does anything, if none waits.
    fn look(&mut self, goal: Height) -> Result<(), WhatIfError> {
        if self.next.is_some() || self.state.tip().is_some_and(|tip| tip >= goal) {
            return Ok(());
        }
        let follows = self.state.tip().is_none_or(|tip| tip.checked_add(1) == Some(goal));
        self.next = match &self.block {
            Some(aim) if follows => Some(self.state.execute(aim.block())?),
            Some(_) => Some(self.state.advance(goal.saturating_sub(1))?),
            // Before its first block a run has no empty ones.
            None if self.state.tip().is_none() => None,
            None => Some(self.state.advance(goal)?),
        };
        Ok(())
    }

    /// Applies the execution that waits, if it is that of the height.
    fn step(&mut self, height: Height) -> Option<Step> {
        let execution = self.next.take_if(|next| next.height() == height)?;
        self.tally.add(self.subject.as_ref(), &self.state, &execution);
        let (events, receipts) = (execution.outcome().events.clone(), execution.outcome().receipts.clone());
        let receipts = match &self.block {
            Some(Aim::Changed(changed)) => changed.origins.iter().copied().zip(receipts).collect(),
            Some(Aim::Same(_)) | None => {
                receipts.into_iter().enumerate().map(|(tx, receipt)| (Some(tx), receipt)).collect()
            }
        };
        let applied = self.state.apply(execution);
        debug_assert!(applied.is_ok(), "it was executed on this state");
        Some(Step { events, receipts })
    }
}

/// The block of a goal.
enum Aim {
    /// As it was.
    Same(Block),
    Changed(Changed),
}

impl Aim {
    const fn block(&self) -> &Block {
        match self {
            Self::Same(block) => block,
            Self::Changed(changed) => &changed.block,
        }
    }
}

/// What a run did at a height.
struct Step {
    events: Vec<Event>,
    receipts: Vec<(Option<usize>, Receipt)>,
}

/// Replays blocks as they were and with changes, side by side.
pub struct Comparison<'c> {
    base: Run<'c>,
    runs: Vec<Run<'c>>,
    first: Option<Height>,
}

impl std::fmt::Debug for Comparison<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Comparison").field("runs", &self.runs.len()).field("tip", &self.base.state.tip()).finish()
    }
}

impl<'c> Comparison<'c> {
    /// Begins before the first block. `subject` is what the tallies count; all features and plugins if it is none.
    ///
    /// # Errors
    /// A genesis cannot be applied, or not with these parameters.
    pub fn new(genesis: &Genesis, subject: Option<Subject>, runs: Vec<Changes<'c>>) -> Result<Self, WhatIfError> {
        let base = Run::new(genesis, subject, Changes::default())?;
        let runs = runs.into_iter().map(|changes| Run::new(genesis, subject, changes)).collect::<Result<_, _>>()?;
        Ok(Self { base, runs, first: None })
    }

    /// The state of the run without changes.
    #[must_use]
    pub const fn base(&self) -> &State {
        &self.base.state
    }

    /// Takes the next block. Heights rise; those between are empty blocks.
    ///
    /// # Errors
    /// A block cannot be executed or made, or a change does not fit the blocks. After an error the comparison is over.
    pub fn feed(&mut self, block: &Block, observer: &mut impl Observer) -> Result<(), WhatIfError> {
        let height = block.height();
        self.first.get_or_insert(height);
        self.go(height, Some(block), observer)
    }

    /// Ends with empty blocks up to a height, or up to the last transaction that is added, if that is later. The tallies
    /// are those of the run as it was, then of the changed ones.
    ///
    /// # Errors
    /// As for a block.
    pub fn finish(
        mut self,
        until: Option<Height>,
        observer: &mut impl Observer,
    ) -> Result<(Tally, Vec<Tally>), WhatIfError> {
        let last_inserted = self.runs.iter().filter_map(|run| run.changes.inserted.keys().last()).max().copied();
        let end = until.into_iter().chain(last_inserted).chain(self.base.state.tip()).max();
        if let Some(end) = end {
            self.go(end, None, observer)?;
        }
        for run in &self.runs {
            if let Some((height, tx)) = run.changes.dropped.first() {
                return Err(WhatIfError::NoSuchTx { height: *height, tx: *tx, txs: None });
            }
        }
        Ok((self.base.tally, self.runs.into_iter().map(|run| run.tally).collect()))
    }

    /// Goes to a height, by way of those at which something is added.
    fn go(&mut self, height: Height, block: Option<&Block>, observer: &mut impl Observer) -> Result<(), WhatIfError> {
        let next_inserted = |runs: &[Run<'_>]| {
            let heights = runs.iter().filter_map(|run| run.changes.inserted.keys().next().copied());
            heights.min().filter(|at| *at < height)
        };
        while let Some(at) = next_inserted(&self.runs) {
            let first = self.first.unwrap_or(height);
            if at < first || self.base.state.tip().is_some_and(|tip| at <= tip) {
                return Err(WhatIfError::BeforeFirst { height: at, first });
            }
            self.reach(at, None, observer)?;
        }
        self.reach(height, block, observer)
    }

    /// Lets all runs reach a height, at which the blocks as they were may have one.
    fn reach(&mut self, goal: Height, block: Option<&Block>, observer: &mut impl Observer) -> Result<(), WhatIfError> {
        let mut reports = None;
        for run in std::iter::once(&mut self.base).chain(&mut self.runs) {
            let has_dropped = run.changes.dropped.first().is_some_and(|(height, _)| *height <= goal);
            let txs = block.filter(|_| has_dropped).map(|block| block.payloads().count());
            run.aim(goal, block)?;
            // Taken out one by one, what is left at the end was never there.
            while let Some((height, tx)) = run.changes.dropped.first().copied().filter(|(height, _)| *height <= goal) {
                if height < goal || txs.is_none_or(|txs| tx >= txs) {
                    return Err(WhatIfError::NoSuchTx { height, tx, txs: txs.filter(|_| height == goal) });
                }
                run.changes.dropped.pop_first();
            }
        }
        loop {
            let mut height: Option<Height> = None;
            for run in std::iter::once(&mut self.base).chain(&mut self.runs) {
                run.look(goal)?;
                let next = run.next.as_ref().map(Execution::height);
                height = height.into_iter().chain(next).min();
            }
            let Some(height) = height else { return Ok(()) };
            let base = self.base.step(height);
            for (number, run) in self.runs.iter_mut().enumerate() {
                let changed = run.step(height);
                let sides = [(base.as_ref(), &self.base.state), (changed.as_ref(), &run.state)];
                differences(height, sides, |difference| observer.differs(number, difference));
                let is_report = |tx: Option<usize>| {
                    let reports: &Vec<bool> = reports.get_or_insert_with(|| only_reports(block));
                    tx.is_some_and(|tx| reports.get(tx).copied().unwrap_or_default())
                };
                receipts(height, base.as_ref(), changed.as_ref(), is_report, |found| observer.receipt(number, found));
            }
        }
    }
}

/// For each transaction of a block, whether it only reports.
fn only_reports(block: Option<&Block>) -> Vec<bool> {
    let is_report = |command: &TxCommand| {
        matches!(command, TxCommand::Valid(Command::Report { .. } | Command::ReportVersion { .. }))
    };
    let payloads = block.into_iter().flat_map(Block::payloads);
    payloads
        .map(|payload| match payload {
            Payload::Transaction(tx) => tx.commands().iter().all(is_report),
            Payload::Malformed(_) => false,
        })
        .collect()
}

fn subject(event: &Event) -> Subject {
    match (event.feature(), event.plugin()) {
        (Some(name), _) => Subject::Feature(*name),
        (None, Some(name)) => Subject::Plugin(*name),
        (None, None) => Subject::Ledger,
    }
}

/// Compares the events of two sides, subject by subject.
fn differences(height: Height, sides: [(Option<&Step>, &State); 2], mut see: impl FnMut(Difference)) {
    let [(base, base_state), (changed, changed_state)] = sides;
    let events = |step: Option<&Step>| -> Vec<Event> { step.map(|step| step.events.clone()).unwrap_or_default() };
    let (base, changed) = (events(base), events(changed));
    if base == changed {
        return;
    }
    let mut subjects: BTreeMap<Subject, [Vec<Event>; 2]> = BTreeMap::new();
    for event in base {
        let [side, _] = subjects.entry(subject(&event)).or_default();
        side.push(event);
    }
    for event in changed {
        let [_, side] = subjects.entry(subject(&event)).or_default();
        side.push(event);
    }
    for (subject, [base, changed]) in subjects {
        if base != changed {
            let base = Side { events: base, figures: figures(base_state, &subject) };
            let changed = Side { events: changed, figures: figures(changed_state, &subject) };
            see(Difference { height, subject, base, changed });
        }
    }
}

fn receipts(
    height: Height,
    base: Option<&Step>,
    changed: Option<&Step>,
    mut is_report: impl FnMut(Option<usize>) -> bool,
    mut see: impl FnMut(ReceiptDifference),
) {
    let of = |step: Option<&Step>| -> Vec<(Option<usize>, Receipt)> {
        step.map(|step| step.receipts.clone()).unwrap_or_default()
    };
    let (base, changed) = (of(base), of(changed));
    if base == changed {
        return;
    }
    let of_origin: BTreeMap<usize, Receipt> =
        changed.iter().filter_map(|(origin, receipt)| Some(((*origin)?, *receipt))).collect();
    let mut report = |tx: Option<usize>, base: Option<Receipt>, changed: Option<Receipt>| {
        if base != changed {
            see(ReceiptDifference { height, tx, base, changed, is_report: is_report(tx) });
        }
    };
    for (tx, receipt) in &base {
        report(*tx, Some(*receipt), tx.and_then(|tx| of_origin.get(&tx).copied()));
    }
    for (_, receipt) in changed.iter().filter(|(origin, _)| origin.is_none()) {
        report(None, None, Some(*receipt));
    }
}

/// How a subject stands in a state.
fn figures(state: &State, subject: &Subject) -> Option<Figures> {
    match subject {
        Subject::Feature(name) => state.feature(name).map(|feature| Figures::Feature {
            status: feature.status,
            percent: feature.rollout_percent,
            errors: feature.error_count,
            successes: feature.success_count,
        }),
        Subject::Plugin(name) => state
            .plugin(name)
            .map(|plugin| Figures::Plugin { current: plugin.current.clone(), canary: canary(state, name) }),
        Subject::Ledger => None,
    }
}

fn canary(state: &State, name: &Name) -> Option<(Version, Bps, Hold, u64, u64)> {
    let deployment = state.deployment(name)?;
    let counts = deployment.canary;
    Some((deployment.new.clone(), deployment.share(), deployment.hold, counts.requests, counts.errors))
}
