//! The book of a reporter: what it owes to the ledger, and the report that is under way.
//!
//! A report is written here, signed, before it is sent. Until it is known whether a block has executed it, nothing else is
//! sent, and what it says stays owed; then both are struck out in one write, or the report alone. So a report and the book
//! cannot disagree, whenever the node stops.

use coalmine_core::{
    Command, DecodeError, DecodeErrorKind, Hash, Height, Reader, Receipt, Reject, TX_COMMANDS_MAX, Valid, Writer,
};

use crate::reporter::figures::{Figures, Owed};
use crate::reporter::subject::{Subject, Trial};

/// No book has more subjects.
pub(crate) const SUBJECTS_MAX: usize = 1_000;

/// What is owed about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    subject: Subject,
    trial: Trial,
    owed: Owed,
}

/// A part of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) subject: Subject,
    pub(crate) trial: Trial,
    pub(crate) figures: Figures,
}

/// A report under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    /// The signed transaction, the same however often it is sent.
    pub(crate) envelope: Vec<u8>,
    /// Its id.
    pub(crate) id: Hash,
    /// Its sequence.
    pub(crate) sequence: u64,
    /// The last height at which it can be executed.
    pub(crate) valid_until: Height,
    /// The height of the tip when it was signed.
    pub(crate) made: Height,
    /// What it says.
    pub(crate) parts: Vec<Part>,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A block has executed it.
    Executed(Receipt),
    /// No block will.
    Never,
}

/// The book.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Book {
    accounts: Vec<Account>,
    pending: Option<Pending>,
}

impl Book {
    /// Adds what was seen of a subject in a trial. What is owed about another trial judges nobody any more, and is
    /// dropped. Returns false if there is no room for another subject.
    pub(crate) fn add(&mut self, subject: &Subject, trial: Trial, seen: &Owed) -> bool {
        if let Some(account) = self.accounts.iter_mut().find(|account| account.subject == *subject) {
            account.owed = if account.trial == trial { account.owed.with(seen) } else { *seen };
            account.trial = trial;
            return true;
        }
        if self.accounts.len() >= SUBJECTS_MAX {
            // What owes nothing is not needed.
            self.accounts.retain(|account| account.owed != Owed::default());
        }
        let has_room = self.accounts.len() < SUBJECTS_MAX;
        if has_room {
            self.accounts.push(Account { subject: subject.clone(), trial, owed: *seen });
        }
        has_room
    }

    /// The report under way.
    pub(crate) const fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// What the next report says, about as many subjects as a transaction takes.
    pub(crate) fn propose(&self) -> Vec<Part> {
        let part = |account: &Account| {
            let figures = account.owed.figures()?;
            Some(Part { subject: account.subject.clone(), trial: account.trial, figures })
        };
        self.accounts.iter().filter_map(part).take(TX_COMMANDS_MAX).collect()
    }

    /// Writes down a report that is about to be sent.
    pub(crate) fn sign(&mut self, pending: Pending) {
        self.pending = Some(pending);
    }

    /// Strikes out the report under way and, if it counted, what it has said. Returns why it did not, for messages.
    pub(crate) fn settle(&mut self, fate: Fate) -> Option<(Subject, Reject)> {
        let pending = self.pending.take()?;
        match fate {
            Fate::Never => None,
            Fate::Executed(Receipt::Ok) => {
                pending.parts.iter().for_each(|part| self.strike(part));
                // If there are more subjects than one report takes, the others come first in the next one.
                self.accounts.sort_by_key(|account| pending.parts.iter().any(|part| part.subject == account.subject));
                None
            }
            Fate::Executed(Receipt::Rejected { reject, index }) => {
                let part = pending.parts.get(usize::from(index))?;
                if is_of_nothing(reject) {
                    self.strike(part);
                }
                Some((part.subject.clone(), reject))
            }
        }
    }

    fn strike(&mut self, part: &Part) {
        let account = self.accounts.iter_mut().find(|account| account.subject == part.subject);
        if let Some(account) = account.filter(|account| account.trial == part.trial) {
            account.owed = account.owed.without(&part.figures);
        }
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        count(out, self.accounts.len());
        for Account { subject, trial, owed } in &self.accounts {
            subject.encode(out);
            trial.encode(out);
            owed.encode(out);
        }
        out.option(self.pending.as_ref(), |out, pending| {
            let Pending { envelope, id, sequence, valid_until, made, parts } = pending;
            out.lp32(envelope);
            out.hash(id);
            out.u64(*sequence);
            out.u32(*valid_until);
            out.u32(*made);
            count(out, parts.len());
            for Part { subject, trial, figures } in parts {
                subject.encode(out);
                trial.encode(out);
                figures.encode(out);
            }
        });
    }

    pub(crate) fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut accounts = Vec::new();
        for _ in 0..counted(input, SUBJECTS_MAX)? {
            let (subject, trial) = (Subject::decode(input)?, Trial::decode(input)?);
            accounts.push(Account { subject, trial, owed: Owed::decode(input)? });
        }
        let pending = input.option(|input| {
            let (envelope, id) = (input.lp32()?.to_vec(), input.hash()?);
            let (sequence, valid_until, made) = (input.u64()?, input.u32()?, input.u32()?);
            let mut parts = Vec::new();
            for _ in 0..counted(input, TX_COMMANDS_MAX)? {
                let (subject, trial) = (Subject::decode(input)?, Trial::decode(input)?);
                parts.push(Part { subject, trial, figures: Figures::decode(input)? });
            }
            Ok(Pending { envelope, id, sequence, valid_until, made, parts })
        })?;
        Ok(Self { accounts, pending })
    }
}

impl Part {
    /// The command that says it; none for figures that break a rule, of which there are none.
    pub(crate) fn command(&self) -> Option<Command> {
        let (figures, id) = (&self.figures, self.trial.id);
        match &self.subject {
            Subject::Feature(name) => {
                Some(Command::Report { name: *name, report: Valid::new(figures.of_feature()).ok()?, trial: id })
            }
            Subject::Version(plugin, version) => Some(Command::ReportVersion {
                plugin: *plugin,
                version: version.clone(),
                report: Valid::new(figures.of_version()).ok()?,
                deployment: id,
            }),
        }
    }
}

/// Whether a report is rejected because there is nothing that it could judge, now or later.
const fn is_of_nothing(reject: Reject) -> bool {
    let code = reject.code();
    code == Reject::StaleReport.code()
        || code == Reject::FeatureDisabled.code()
        || code == Reject::FeatureNotFound.code()
        || code == Reject::PluginNotFound.code()
        || code == Reject::VersionNotFound.code()
}

fn count(out: &mut Writer, count: usize) {
    out.u32(u32::try_from(count).unwrap_or(u32::MAX));
}

fn counted(input: &mut Reader<'_>, max: usize) -> Result<usize, DecodeError> {
    let count = usize::try_from(input.u32()?).unwrap_or(usize::MAX);
    if count > max { Err(input.error(DecodeErrorKind::TooLarge)) } else { Ok(count) }
}
