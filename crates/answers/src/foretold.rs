//! What a block would do.

use coalmine_core::{Address, Event, Height, Percent, Status, Version};
use coalmine_foresight::{
    FeatureShift, PluginShare, PluginShift, Preview, Rejection, TxPreview, Upcoming, event_sentence,
};
use coalmine_json::render::{self, Fields, Value};

use crate::answer::Answer;
use crate::upcoming::upcoming;

/// The block as a whole.
#[must_use]
pub fn preview(foretold: &Preview) -> Answer {
    let Preview { height, root, users, is_estimate, .. } = foretold;
    let rest = Fields::new().text("root", root).with("users", *users).with("is_estimate", *is_estimate);
    Answer::new("preview", Fields::new().with("height", *height), rest)
}

/// Who, what and why of a rejected transaction.
#[must_use]
pub fn rejection(Rejection { tx: _, index: _, signer, op, subject, reject: _, why }: &Rejection) -> Fields {
    let mut fields = Fields::new();
    if let Some(op) = op {
        fields = fields.text("op", op);
    }
    if let Some(subject) = subject {
        fields = fields.text("subject", subject);
    }
    if let Some(signer) = signer {
        fields = fields.text("signer", signer);
    }
    fields.with("why", why.as_str())
}

/// What becomes of a transaction.
#[must_use]
pub fn receipt(tx: u64, preview: &TxPreview) -> Answer {
    let (result, rest) = render::receipt(&preview.receipt);
    let notes: Vec<Value> = preview.notes.iter().map(|note| render::note(note).into()).collect();
    let who = match &preview.rejection {
        None => Fields::new().with("signer", preview.signer.map(|signer| signer.to_string())),
        Some(rejection) => self::rejection(rejection),
    };
    Answer::new("receipt", Fields::new().with("tx", tx), who.and(result).and(rest).with("notes", notes))
}

/// The events of the block in order, each with whether it happens without the transactions, too. What is due anyway comes
/// first, as it does in the block.
#[must_use]
pub fn events(foretold: &Preview) -> Vec<(&Event, bool)> {
    let due =
        foretold.events.iter().zip(&foretold.events_without).take_while(|(with, without)| with == without).count();
    foretold.events.iter().enumerate().map(|(index, event)| (event, index < due)).collect()
}

/// An event of the block; `is_due` if it happens without the transactions, too.
#[must_use]
pub fn event(event: &Event, is_due: bool) -> Answer {
    let rest = render::event(event).with("is_due", is_due).with("sentence", event_sentence(event));
    Answer::new("event", Fields::new().text("event", event.code()), rest)
}

fn count(list: &[Address]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

/// The addresses of a list, which an estimate has none of.
fn listed(list: &[Address], is_estimate: bool) -> Value {
    if is_estimate {
        Value::None
    } else {
        list.iter().map(|address| address.to_string().into()).collect::<Vec<Value>>().into()
    }
}

/// What becomes of a feature, and who is switched.
#[must_use]
pub fn feature_shift(shift: &FeatureShift, is_estimate: bool) -> Answer {
    let FeatureShift { name, before, after, on_before, on_after, switched_on, switched_off } = shift;
    let side = |side: &Option<(Status, Percent)>| {
        side.map(|(status, percent)| Fields::new().text("status", status).with("percent", percent.get()))
    };
    let rest = Fields::new()
        .with("before", side(before))
        .with("after", side(after))
        .with("on_before", *on_before)
        .with("on_after", *on_after)
        .with("switched_on", count(switched_on))
        .with("switched_off", count(switched_off))
        .with("who_on", listed(switched_on, is_estimate))
        .with("who_off", listed(switched_off, is_estimate));
    Answer::new("feature", Fields::new().text("name", name), rest)
}

/// What becomes of a plugin, and who moves from which version to which.
#[must_use]
pub fn plugin_shift(shift: &PluginShift, is_estimate: bool) -> Answer {
    let PluginShift { name, before, after, moves } = shift;
    let side = |side: &Option<PluginShare>| {
        side.as_ref().map(|PluginShare { current, canary }| {
            let canary = canary.as_ref().map(|(version, share, hold)| {
                Fields::new().text("version", version).with("share_bps", share.get()).text("hold", hold)
            });
            Fields::new().text("current", current).with("canary", canary)
        })
    };
    let version = |version: &Option<Version>| version.as_ref().map(ToString::to_string);
    let list: Vec<Value> = moves
        .iter()
        .map(|one| {
            let fields = Fields::new().with("from", version(&one.from)).with("to", version(&one.to));
            fields.with("users", count(&one.users)).with("who", listed(&one.users, is_estimate)).into()
        })
        .collect();
    let rest = Fields::new().with("before", side(before)).with("after", side(after)).with("moves", list);
    Answer::new("plugin", Fields::new().text("name", name), rest)
}

/// The heights at which something falls due after the block, ascending, each without it and with it.
#[must_use]
pub fn upcoming_pairs(foretold: &Preview) -> Vec<(Height, Option<&Upcoming>, Option<&Upcoming>)> {
    let find = |side: &'_ [Upcoming], height: Height| side.iter().position(|one| one.height == height);
    let mut heights: Vec<Height> =
        foretold.upcoming.iter().chain(&foretold.upcoming_without).map(|one| one.height).collect();
    heights.sort_unstable();
    heights.dedup();
    let pair = |height| {
        let without = find(&foretold.upcoming_without, height).and_then(|at| foretold.upcoming_without.get(at));
        let with = find(&foretold.upcoming, height).and_then(|at| foretold.upcoming.get(at));
        (height, without, with)
    };
    heights.into_iter().map(pair).collect()
}

/// What falls due at a height without the block, and with it.
#[must_use]
pub fn upcoming_pair(height: Height, without: Option<&Upcoming>, with: Option<&Upcoming>) -> Answer {
    let side = |side: Option<&Upcoming>| side.map(|one| upcoming(one).fields());
    let rest = Fields::new().with("is_same", without == with).with("without", side(without)).with("with", side(with));
    Answer::new("upcoming", Fields::new().with("height", height), rest)
}
