//! `bisect`: two runs, up to where they diverge.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use clap::Args;
use coalmine_answers::Answer;
use coalmine_core::{Block, Decode, Height, Key, Outcome};
use coalmine_json::render::{self, Fields, Value};
use coalmine_store::{Ledger, MemoryStore};

use crate::commands::pair::PairArgs;
use crate::difference::differences;
use crate::error::Error;
use crate::output::{Output, Target};
use crate::runner::{self, BlockSource, Goal};
use crate::source::{self, Opened, Source};
use crate::terminal::note;

/// Arguments of `bisect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Two block files are run side by side up to the first height at which blocks, receipts, events or roots \
differ. A store or dump has only the root of its tip, so a block file is compared with it there; if \
the histories differ from an earlier height on, it is printed, too. The exit code is 1 if they differ.

--outcomes looks for the first height at which receipts or events differ, whatever the blocks and roots: \
where a change of the blocks began to matter.

Example:
  replay bisect mine.blocks theirs.blocks
  replay bisect --outcomes before.json after.json")]
pub(crate) struct BisectArgs {
    #[command(flatten)]
    pair: PairArgs,
    /// Compare receipts and events alone, of two block files
    #[arg(long)]
    outcomes: bool,
}

/// Finds where two runs diverge.
pub(crate) fn bisect(BisectArgs { pair, outcomes }: &BisectArgs, target: &Target) -> Result<(), Error> {
    let (first, second) = (source::open(&pair.first)?, source::open(&pair.second)?);
    let mut out = pair.output(target)?;
    let parted = part(pair, *outcomes, first, second, &mut out);
    out.end(parted.and_then(|parted| {
        parted.map_or(Ok(()), |height| Err(Error::Differs(format!("they disagree at {}", shown(height)))))
    }))
}

fn part(
    pair: &PairArgs,
    outcomes: bool,
    first: Opened,
    second: Opened,
    out: &mut Output,
) -> Result<Option<Place>, Error> {
    match (first, second) {
        (Opened::Blocks(first), Opened::Blocks(second)) if outcomes => bisect_outcomes(*first, *second, out),
        (Opened::Blocks(first), Opened::Blocks(second)) => bisect_files(*first, *second, out),
        (Opened::Blocks(_) | Opened::State(_), _) if outcomes => {
            Err(Error::Input("--outcomes needs two block files: a store or dump keeps no receipts and events".into()))
        }
        (Opened::Blocks(first), Opened::State(second)) => {
            let first = Source::run(&pair.first, *first, second.tip()?.height)?;
            bisect_states(&first, &second, out)
        }
        (Opened::State(first), Opened::Blocks(second)) => {
            let second = Source::run(&pair.second, *second, first.tip()?.height)?;
            bisect_states(&first, &second, out)
        }
        (Opened::State(_), Opened::State(_)) => {
            Err(Error::Input("bisect needs a block file; compare two states with diff".into()))
        }
    }
}

/// A height, or `None` for the genesis.
type Place = Option<Height>;

fn shown(place: Place) -> String {
    place.map_or_else(|| "the genesis".into(), |height| format!("height {height}"))
}

/// A block file that is run block by block.
struct Side {
    blocks: BlockSource,
    ledger: Ledger<MemoryStore>,
    /// The next block that is not empty; an empty one is the same as a gap.
    block: Option<Block>,
}

impl Side {
    fn new(blocks: BlockSource) -> Result<Self, Error> {
        let ledger = Ledger::create(MemoryStore::new(), blocks.genesis())?;
        let mut side = Self { blocks, ledger, block: None };
        side.turn()?;
        Ok(side)
    }

    fn turn(&mut self) -> Result<(), Error> {
        self.block = loop {
            match self.blocks.next_block()? {
                Some(block) if block.block.is_empty() => {}
                block => break block.map(|block| block.block),
            }
        };
        Ok(())
    }

    /// Runs to a height at or below the next block, and returns that block if it is at the height, with what came of it.
    fn step(&mut self, to: Height) -> Result<(Option<Block>, Outcome), Error> {
        let (block, mut outcomes) = self.steps(to)?;
        Ok((block, outcomes.remove(&to).unwrap_or_default()))
    }

    /// The same with what came of every height on the way, if anything did.
    fn steps(&mut self, to: Height) -> Result<(Option<Block>, BTreeMap<Height, Outcome>), Error> {
        let block = self.block.take_if(|block| block.height() == to);
        let goal = block.as_ref().map_or(Goal::Height(to), Goal::Block);
        let mut outcomes = BTreeMap::new();
        runner::advance(&mut self.ledger, goal, &mut (), |execution| {
            if *execution.outcome() != Outcome::default() {
                outcomes.insert(execution.height(), execution.outcome().clone());
            }
        })?;
        if block.is_some() {
            self.turn()?;
        }
        Ok((block, outcomes))
    }
}

fn bisect_files(first: BlockSource, second: BlockSource, out: &mut Output) -> Result<Option<Place>, Error> {
    let (mut first, mut second) = (Side::new(first)?, Side::new(second)?);
    if first.ledger.state().root() != second.ledger.state().root() {
        report(None, &["root"], None, [&first.ledger, &second.ledger], out)?;
        return Ok(Some(None));
    }
    let heights = |side: &Side| side.block.as_ref().map(Block::height);
    while let Some(height) = [heights(&first), heights(&second)].into_iter().flatten().min() {
        let ((block_a, outcome_a), (block_b, outcome_b)) = (first.step(height)?, second.step(height)?);
        let (a, b) = (&first.ledger, &second.ledger);
        let compared = [
            ("blocks", block_a != block_b),
            ("receipts", outcome_a.receipts != outcome_b.receipts),
            ("events", outcome_a.events != outcome_b.events),
            ("root", a.state().root() != b.state().root()),
        ];
        let differ: Vec<&str> = compared.into_iter().filter_map(|(what, differs)| differs.then_some(what)).collect();
        if !differ.is_empty() {
            let [txs_a, txs_b] = [&block_a, &block_b].map(|block| block.iter().flat_map(Block::payloads));
            let tx = first_difference(txs_a, txs_b);
            let tx = tx.or_else(|| first_difference(&outcome_a.receipts, &outcome_b.receipts));
            let names = tx.map(|tx| {
                let name = |outcome: &Outcome| outcome.receipts.get(tx).map(|receipt| receipt.name());
                (tx, name(&outcome_a), name(&outcome_b))
            });
            report(Some(height), &differ, names, [a, b], out)?;
            return Ok(Some(Some(height)));
        }
    }
    agree(first.ledger.state().tip().max(second.ledger.state().tip()), out)?;
    Ok(None)
}

/// Finds the first height at which receipts or events differ, whatever the blocks.
fn bisect_outcomes(first: BlockSource, second: BlockSource, out: &mut Output) -> Result<Option<Place>, Error> {
    let (mut first, mut second) = (Side::new(first)?, Side::new(second)?);
    let heights = |side: &Side| side.block.as_ref().map(Block::height);
    while let Some(to) = [heights(&first), heights(&second)].into_iter().flatten().min() {
        let ((_, mut a), (_, mut b)) = (first.steps(to)?, second.steps(to)?);
        let all: BTreeSet<Height> = a.keys().chain(b.keys()).copied().collect();
        for height in all {
            let (a, b) = (a.remove(&height).unwrap_or_default(), b.remove(&height).unwrap_or_default());
            if a != b {
                report_outcomes(height, &a, &b, out)?;
                return Ok(Some(Some(height)));
            }
        }
    }
    agree(first.ledger.state().tip().max(second.ledger.state().tip()), out)?;
    Ok(None)
}

fn report_outcomes(height: Height, a: &Outcome, b: &Outcome, out: &mut Output) -> Result<(), Error> {
    let number = |at: usize| u64::try_from(at).unwrap_or(u64::MAX);
    let (tx, event) = (first_difference(&a.receipts, &b.receipts), first_difference(&a.events, &b.events));
    let differ =
        [("receipts", tx), ("events", event)].into_iter().filter_map(|(what, at)| at.map(|_| Value::from(what)));
    let mut fields = Fields::new().with("height", height).with("differ", differ.collect::<Vec<_>>());
    if let Some(tx) = tx {
        let name = |outcome: &Outcome| outcome.receipts.get(tx).map(|receipt| receipt.name());
        fields = fields.with("transaction", number(tx)).with("first_receipt", name(a)).with("second_receipt", name(b));
    }
    if let Some(event) = event {
        let shown = |outcome: &Outcome| {
            let event = outcome.events.get(event)?;
            Some([event.code().name().to_owned(), render::event(event).pairs()].join(" ").trim_end().to_owned())
        };
        fields = fields.with("event", number(event)).with("first_event", shown(a)).with("second_event", shown(b));
    }
    out.card(Answer::single("bisected", fields))
}

fn first_difference<T: PartialEq>(a: impl IntoIterator<Item = T>, b: impl IntoIterator<Item = T>) -> Option<usize> {
    let (mut a, mut b) = (a.into_iter().fuse(), b.into_iter().fuse());
    let pairs = iter::from_fn(|| Some((a.next(), b.next())).filter(|(a, b)| a.is_some() || b.is_some()));
    pairs.enumerate().find(|(_, (a, b))| a != b).map(|(at, _)| at)
}

/// The index of a transaction, and its receipts on both sides.
type TxReceipts = (usize, Option<&'static str>, Option<&'static str>);

fn report(
    height: Place,
    differ: &[&str],
    tx: Option<TxReceipts>,
    sides: [&Ledger<MemoryStore>; 2],
    out: &mut Output,
) -> Result<(), Error> {
    let differ: Vec<Value> = differ.iter().map(|what| Value::from(*what)).collect();
    let mut fields = Fields::new().with("height", height).with("differ", differ);
    if let Some((tx, first, second)) = tx {
        fields = fields.with("transaction", u64::try_from(tx).unwrap_or(u64::MAX));
        fields = fields.with("first_receipt", first).with("second_receipt", second);
    }
    let [first, second] = sides;
    out.card(Answer::single(
        "bisected",
        fields.text("first_root", first.state().root()).text("second_root", second.state().root()),
    ))?;
    match differences(first.store(), second.store()).next() {
        Some(difference) => difference?.put(out),
        None => Ok(()),
    }
}

fn agree(height: Place, out: &mut Output) -> Result<(), Error> {
    out.card(Answer::single("bisected", Fields::new().with("height", height).with("differ", Vec::new())))
}

/// Compares two states at the same height, of which one has no earlier roots.
fn bisect_states(first: &Source, second: &Source, out: &mut Output) -> Result<Option<Place>, Error> {
    let (a, b) = (first.tip()?, second.tip()?);
    if a == b {
        agree(a.height, out)?;
        return Ok(None);
    }
    let mut shown_first = None;
    let mut earliest: Option<Height> = None;
    for difference in differences(first, second) {
        let difference = difference?;
        if let Ok(Key::Change { height, .. }) = Key::from_bytes(&difference.key) {
            earliest = Some(earliest.map_or(height, |earliest| earliest.min(height)));
        }
        shown_first.get_or_insert(difference);
    }
    let fields = Fields::new().with("height", a.height).with("differ", vec![Value::from("root")]);
    let fields = fields.with("histories_differ_from", earliest);
    out.card(Answer::single("bisected", fields.text("first_root", a.root).text("second_root", b.root)))?;
    if let Some(difference) = shown_first {
        difference.put(out)?;
    }
    note("compared at the tip: a store or dump keeps no roots of earlier heights");
    Ok(Some(a.height))
}
