//! Events, receipts, notes and verdicts.

use std::mem;

use coalmine_core::{Address, Event, Name, Note, Receipt, Verdict, Why};

use crate::fields::Fields;

/// The fields of an event, without its name.
pub fn event(event: &Event) -> Fields {
    let mut fields = Fields::new();
    event.visit_fields(&mut |name, value| fields = mem::take(&mut fields).with(name, value));
    fields
}

/// A note on a transaction.
pub fn note(note: &Note) -> Fields {
    match note {
        Note::Feed { kind, id, action } => {
            Fields::new().text("kind", kind).text("id", id).with("action", action.name())
        }
        Note::Refused { plugin } => Fields::new().text("plugin", plugin),
    }
}

/// The result of a receipt: `ok`, or the reject and the index of the failing command.
pub fn receipt(receipt: &Receipt) -> (Fields, Fields) {
    let result = Fields::new().with("result", receipt.name());
    match receipt {
        Receipt::Ok => (result, Fields::new()),
        Receipt::Rejected { index, .. } => (result, Fields::new().with("command", *index)),
    }
}

/// Why a feature is on or off for a user.
pub fn verdict(name: &Name, user: &Address, verdict: &Verdict) -> Fields {
    let fields = Fields::new()
        .text("name", name)
        .text("user", user)
        .with("on", verdict.on)
        .text("decided_by", verdict.decided_by)
        .with("is_prerequisite", verdict.decided_by != *name);
    match verdict.why {
        Why::Unknown => fields.with("why", "unknown"),
        Why::Status(status) => fields.with("why", "status").text("status", status),
        Why::Override => fields.with("why", "override"),
        Why::Bucket { bucket, share } => {
            fields.with("why", "bucket").with("bucket", bucket.get()).with("share", share.get())
        }
    }
}
