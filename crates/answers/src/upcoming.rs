//! What happens without traffic.

use coalmine_core::{Event, Height, Name, Reject, Scheduled};
use coalmine_foresight::{Upcoming, event_sentence};
use coalmine_json::render::{self, Fields, Value};

use crate::answer::Answer;

/// An event with its name, its fields and a sentence.
#[must_use]
pub fn event_with_sentence(event: &Event) -> Fields {
    Fields::new().text("event", event.code()).and(render::event(event)).with("sentence", event_sentence(event))
}

/// A feature that is past its `expires_at`, as a calendar lists it.
#[must_use]
pub fn past_expiry(name: &Name, at: Height) -> Answer {
    Answer::new("stale", Fields::new().text("name", name), Fields::new().with("expires_at", at))
}

/// What happens at a height.
#[must_use]
pub fn upcoming(upcoming: &Upcoming) -> Answer {
    let Upcoming { height, events, scheduled, stale, unknown_rules } = upcoming;
    let entry = |(id, entry): &(u64, Scheduled)| {
        let executed = events.iter().find_map(|event| {
            let Event::ScheduleExecuted { id: of, code, .. } = event else { return None };
            (of == id).then_some(*code)
        });
        let result = executed.map(|code| match Reject::from_code(code) {
            None => "ok".into(),
            Some(reject) => reject.name().to_owned(),
        });
        Value::from(Fields::new().with("id", *id).with("result", result).and(render::scheduled(entry)))
    };
    let id = Fields::new().with("height", *height);
    let rest = Fields::new()
        .with("events", events.iter().map(|event| event_with_sentence(event).into()).collect::<Vec<Value>>())
        .with("scheduled", scheduled.iter().map(entry).collect::<Vec<_>>())
        .with("stale", stale.iter().map(|name| name.as_str().into()).collect::<Vec<Value>>())
        .with("unknown_rules", *unknown_rules);
    Answer::new("upcoming", id, rest)
}
