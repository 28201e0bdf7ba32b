//! `diff`: two states, record by record. `bisect`: two runs, up to where they part.

use std::cmp::Ordering;
use std::fmt;
use std::iter::{self, Peekable};

use coalmine_core::query::{Entries, Entry};
use coalmine_core::{Block, Decode, Fault, Height, Key, Outcome, Read};
use coalmine_store::{Ledger, MemoryStore};

use crate::cli::PairArgs;
use crate::error::Error;
use crate::output::{Output, Target};
use crate::render::{self, Fields, Value};
use crate::runner::{self, Feed, Goal};
use crate::source::{self, Opened, Source, input_files, records};

/// A record that is not the same in two states.
pub(crate) struct Difference {
    key: Vec<u8>,
    first: Option<Vec<u8>>,
    second: Option<Vec<u8>>,
}

/// The records that differ, in key order.
pub(crate) fn differences<'v>(first: &'v dyn Read, second: &'v dyn Read) -> Differences<'v> {
    Differences { first: records(first).peekable(), second: records(second).peekable() }
}

/// Walks through two states side by side.
pub(crate) struct Differences<'v> {
    first: Peekable<Entries<'v, dyn Read + 'v>>,
    second: Peekable<Entries<'v, dyn Read + 'v>>,
}

/// The entries of two states under one key, of which at least one is there.
type Pair = (Option<Entry>, Option<Entry>);

impl Differences<'_> {
    fn pair(&mut self) -> Result<Option<Pair>, Fault> {
        let order = match (self.first.peek(), self.second.peek()) {
            (None, None) => return Ok(None),
            (Some(Ok((first, _))), Some(Ok((second, _)))) => first.cmp(second),
            (Some(Err(_)), _) | (Some(Ok(_)), None) => Ordering::Less,
            (_, Some(Err(_))) | (None, Some(Ok(_))) => Ordering::Greater,
        };
        let first = if order.is_le() { self.first.next().transpose()? } else { None };
        let second = if order.is_ge() { self.second.next().transpose()? } else { None };
        Ok(Some((first, second)))
    }
}

impl Iterator for Differences<'_> {
    type Item = Result<Difference, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (first, second) = match self.pair() {
                Ok(pair) => pair?,
                Err(fault) => return Some(Err(fault)),
            };
            if first != second {
                let key = first.as_ref().or(second.as_ref()).map(|(key, _)| key.clone()).unwrap_or_default();
                let value = |entry: Option<Entry>| entry.map(|(_, value)| value);
                return Some(Ok(Difference { key, first: value(first), second: value(second) }));
            }
        }
    }
}

impl Difference {
    /// What the record is, and its fields on both sides.
    fn decoded(&self) -> (Fields, Option<Fields>, Option<Fields>) {
        let (what, first) = render::entry(&self.key, self.first.as_deref());
        let (_, second) = render::entry(&self.key, self.second.as_deref());
        (what, first, second)
    }

    fn put(&self, out: &mut Output) -> Result<(), Error> {
        let (what, first, second) = self.decoded();
        let differ = changes(first.as_ref(), second.as_ref()).into_iter().map(|(key, ..)| Value::from(key));
        let differ: Vec<Value> = differ.collect();
        out.put(|| self.to_string(), &what.with("first", first).with("second", second).with("differ", differ))
    }
}

/// The fields that differ between two sides that are both there.
fn changes(first: Option<&Fields>, second: Option<&Fields>) -> Vec<(String, String, String)> {
    let (Some(first), Some(second)) = (first, second) else { return Vec::new() };
    let (first, second) = (first.flat(), second.flat());
    let of = |side: &[(String, String)], key: &str| {
        side.iter().find(|(found, _)| found == key).map_or_else(|| "none".into(), |(_, value)| value.clone())
    };
    let added = second.iter().filter(|(key, _)| !first.iter().any(|(found, _)| found == key));
    let keys = first.iter().chain(added).map(|(key, _)| key.clone());
    keys.map(|key| (of(&first, &key), of(&second, &key), key))
        .filter(|(first, second, _)| first != second)
        .map(|(first, second, key)| (key, first, second))
        .collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, first, second) = self.decoded();
        match (&first, &second) {
            (Some(only), None) => f.write_str(format!("- {} {}", what.values(), only.pairs()).trim_end()),
            (None, Some(only)) => f.write_str(format!("+ {} {}", what.values(), only.pairs()).trim_end()),
            (first, second) => {
                let changes = changes(first.as_ref(), second.as_ref());
                let changes: Vec<String> =
                    changes.into_iter().map(|(key, first, second)| format!("{key}: {first} -> {second}")).collect();
                write!(f, "~ {} {}", what.values(), changes.join(", "))
            }
        }
    }
}

/// Compares two states.
pub(crate) fn diff(args: &PairArgs, target: &Target) -> Result<(), Error> {
    let (first, second) = (Source::open(&args.first, None)?, Source::open(&args.second, None)?);
    let mut out = open_output(args, target)?;
    let mut count = 0_u64;
    for difference in differences(&first, &second) {
        difference?.put(&mut out)?;
        count = count.saturating_add(1);
    }
    out.finish()?;
    match count {
        0 => Ok(()),
        1 => Err(Error::Differs("1 record differs".into())),
        count => Err(Error::Differs(format!("{count} records differ"))),
    }
}

fn open_output(args: &PairArgs, target: &Target) -> Result<Output, Error> {
    let inputs = input_files([args.first.as_str(), args.second.as_str()]);
    Output::open(target, inputs.iter().map(AsRef::as_ref))
}

/// Finds where two runs part.
pub(crate) fn bisect(args: &PairArgs, target: &Target) -> Result<(), Error> {
    let (first, second) = (source::open(&args.first)?, source::open(&args.second)?);
    let mut out = open_output(args, target)?;
    let parted = match (first, second) {
        (Opened::Blocks(first), Opened::Blocks(second)) => bisect_files(*first, *second, &mut out)?,
        (Opened::Blocks(first), Opened::State(second)) => {
            let first = Source::run(&args.first, *first, second.tip()?.height)?;
            bisect_states(&first, &second, &mut out)?
        }
        (Opened::State(first), Opened::Blocks(second)) => {
            let second = Source::run(&args.second, *second, first.tip()?.height)?;
            bisect_states(&first, &second, &mut out)?
        }
        (Opened::State(_), Opened::State(_)) => {
            return Err(Error::Input("bisect needs a block file; compare two states with diff".into()));
        }
    };
    out.finish()?;
    parted.map_or(Ok(()), |height| Err(Error::Differs(format!("they disagree at {}", shown(height)))))
}

/// A height, or the state before the first block.
type Place = Option<Height>;

fn shown(place: Place) -> String {
    place.map_or_else(|| "the genesis".into(), |height| format!("height {height}"))
}

/// A block file that is run a block at a time.
struct Side {
    feed: Feed,
    ledger: Ledger<MemoryStore>,
    /// The next block that is not empty; empty ones are no more than gaps.
    block: Option<Block>,
}

impl Side {
    fn new(feed: Feed) -> Result<Self, Error> {
        let ledger = Ledger::create(MemoryStore::new(), feed.genesis())?;
        let mut side = Self { feed, ledger, block: None };
        side.turn()?;
        Ok(side)
    }

    fn turn(&mut self) -> Result<(), Error> {
        self.block = loop {
            match self.feed.next_block()? {
                Some(block) if block.block.is_empty() => {}
                block => break block.map(|block| block.block),
            }
        };
        Ok(())
    }

    /// Runs to a height at or below the next block, and returns that block if it is there.
    fn step(&mut self, to: Height) -> Result<(Option<Block>, Outcome), Error> {
        let block = self.block.take_if(|block| block.height() == to);
        let goal = block.as_ref().map_or(Goal::Height(to), Goal::Block);
        let mut outcome = Outcome::default();
        runner::advance(&mut self.ledger, goal, &mut (), |execution| outcome = execution.outcome().clone())?;
        if block.is_some() {
            self.turn()?;
        }
        Ok((block, outcome))
    }
}

fn bisect_files(first: Feed, second: Feed, out: &mut Output) -> Result<Option<Place>, Error> {
    let (mut first, mut second) = (Side::new(first)?, Side::new(second)?);
    if first.ledger.state().root() != second.ledger.state().root() {
        tell(None, &["root"], None, [&first.ledger, &second.ledger], out)?;
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
            tell(Some(height), &differ, names, [a, b], out)?;
            return Ok(Some(Some(height)));
        }
    }
    agree(first.ledger.state().tip().max(second.ledger.state().tip()), out)?;
    Ok(None)
}

fn first_difference<T: PartialEq>(a: impl IntoIterator<Item = T>, b: impl IntoIterator<Item = T>) -> Option<usize> {
    let (mut a, mut b) = (a.into_iter().fuse(), b.into_iter().fuse());
    let pairs = iter::from_fn(|| Some((a.next(), b.next())).filter(|(a, b)| a.is_some() || b.is_some()));
    pairs.enumerate().find(|(_, (a, b))| a != b).map(|(at, _)| at)
}

/// A transaction, and its receipts on both sides.
type TxReceipts = (usize, Option<&'static str>, Option<&'static str>);

fn tell(
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
    out.card(&fields.text("first_root", first.state().root()).text("second_root", second.state().root()))?;
    match differences(first.store(), second.store()).next() {
        Some(difference) => difference?.put(out),
        None => Ok(()),
    }
}

fn agree(height: Place, out: &mut Output) -> Result<(), Error> {
    out.card(&Fields::new().with("height", height).with("differ", Vec::new()))
}

/// Two states at the same height, of which one has no earlier roots.
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
    out.card(&fields.text("first_root", a.root).text("second_root", b.root))?;
    if let Some(difference) = shown_first {
        difference.put(out)?;
    }
    super::note("compared at the tip: a store or dump keeps no roots of earlier heights");
    Ok(Some(a.height))
}
