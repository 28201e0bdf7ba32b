//! The ledger as a whole: roles, the schedule, the global record, rules, rounds and the feed.

use coalmine_core::query::OpenRound;
use coalmine_core::{
    Address, Fault, FeedId, FeedItem, FeedKey, FeedKind, FeedTotals, Global, Height, PoolEntry, Read, Roles, RuleSet,
    Scheduled, ScheduledRules, query,
};
use coalmine_json::render::{self, Fields, Value};

use crate::answer::Answer;

/// An address with its roles and the last sequence that it has used.
///
/// # Errors
/// The records cannot be read or are corrupt.
pub fn role_holder(source: &impl Read, address: &Address, roles: Roles) -> Result<Answer, Fault> {
    let sequence = query::sequence_of(source, address)?;
    let sequence = sequence.map_or_else(Fields::new, |sequence| Fields::new().with("sequence", sequence.get()));
    Ok(Answer::new("roles", Fields::new().text("address", address), render::roles(roles).and(sequence)))
}

/// An entry of the schedule.
#[must_use]
pub fn scheduled(at: Height, id: u64, entry: &Scheduled) -> Answer {
    Answer::new("scheduled", Fields::new().with("at", at).with("id", id), render::scheduled(entry))
}

/// The global record.
#[must_use]
pub fn global(record: &Global) -> Answer {
    Answer::single("global", render::global(record))
}

/// The rules in force, those that this build knows, and the changes that are scheduled.
#[must_use]
pub fn rules(record: &Global, changes: &[ScheduledRules]) -> Answer {
    let known = RuleSet::ALL.iter().filter(|rules| **rules <= RuleSet::LATEST);
    let known = known.map(|rules| Value::from(rules.number()));
    let change = |change: &ScheduledRules| {
        let fields = Fields::new().with("at", change.at).with("id", change.id).with("rules", change.number);
        let is_known = change.rules.is_some_and(|rules| rules <= RuleSet::LATEST);
        Value::from(fields.with("is_known", is_known).text("actor", change.actor))
    };
    let fields = Fields::new().with("rules", record.rules.number()).with("known", known.collect::<Vec<_>>());
    Answer::single("rules", fields.with("scheduled", changes.iter().map(change).collect::<Vec<_>>()))
}

/// What a reporter has said in a round that has not ended.
#[must_use]
pub fn pool_entry(round: &OpenRound, reporter: &Address, said: &PoolEntry) -> Answer {
    let id = Fields::new().with("due", round.due).and(render::pool(&round.pool));
    Answer::new("pool", id, Fields::new().text("reporter", reporter).and(render::pool_entry(said)))
}

/// The totals of the feed.
#[must_use]
pub fn feed(totals: &FeedTotals) -> Answer {
    Answer::single("feed", render::feed(totals))
}

/// An item of the feed.
#[must_use]
pub fn feed_item(kind: FeedKind, id: FeedId, item: &FeedItem) -> Answer {
    Answer::new("feed_item", render::feed_key(&FeedKey { kind, id }), render::feed_item(item))
}
