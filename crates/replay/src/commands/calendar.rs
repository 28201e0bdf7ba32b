//! `calendar`: what will happen without traffic, height by height.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use coalmine_answers as answers;
use coalmine_core::{Event, Execution, Height, Scheduled};
use coalmine_foresight::{Calendar, History, Upcoming, event_sentence, stale_features};
use icalendar::{Component as _, EventLike as _};

use crate::error::Error;
use crate::input::Input;
use crate::output::{Format, Output, Target};
use crate::source::Source;
use crate::terminal::note;

/// Arguments of `calendar`.
#[derive(Debug, Args)]
#[command(after_help = "\
The state is run forward over empty blocks, so this is what will be if nobody sends anything: steps, scheduled commands \
and whether they would succeed, ends of stages, gates and deadlines, rounds as far as they have reports, the breaker, \
features that pass their expires_at. Only heights at which something happens cost time.

With --block-time each height has a time: that of --now for the last block, and so many seconds for each block after it. \
The form ics is a calendar for other programs, with an entry for each height.

Example:
  replay calendar canary.json --blocks 1000
  replay calendar canary.json --block-time 6 --now 2026-12-01T08:00:00Z
  replay calendar rocksdb:./state --block-time 6 --format ics -o due.ics")]
pub(crate) struct CalendarArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    /// As of the end of this height; needs a block file, or the height of the tip
    #[arg(long, value_name = "HEIGHT")]
    at: Option<Height>,
    /// How many blocks to look ahead
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    blocks: u32,
    /// Seconds from one block to the next, such as 6 or 0.5
    #[arg(long, value_name = "SECONDS", value_parser = block_time)]
    block_time: Option<TimeDelta>,
    /// The time of the last block, as 2026-12-01T08:00:00Z; without it the clock is asked
    #[arg(long, value_name = "TIME", requires = "block_time", value_parser = time)]
    now: Option<DateTime<Utc>>,
}

/// The longest time between two blocks, in seconds: a year.
const BLOCK_TIME_MAX: i64 = 31_536_000;

fn block_time(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("{text} is no number of seconds above 0 and up to {BLOCK_TIME_MAX}, such as 6 or 0.5");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(part) || part.len() > 3 {
        return Err(wrong());
    }
    let whole: i64 = whole.parse().map_err(|_| wrong())?;
    let part: i64 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
    let millis = whole.checked_mul(1_000).and_then(|millis| millis.checked_add(part));
    let time = millis.and_then(TimeDelta::try_milliseconds).ok_or_else(wrong)?;
    if time <= TimeDelta::zero() || time.num_seconds() > BLOCK_TIME_MAX { Err(wrong()) } else { Ok(time) }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let parsed = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    parsed.map_err(|error| format!("{error}; write it as 2026-12-01T08:00:00Z"))
}

/// A calendar needs no history.
struct NoHistory;

impl History for NoHistory {
    fn watch(&mut self, _execution: &Execution) -> Result<(), coalmine_core::DecodeError> {
        Ok(())
    }
}

/// Writes what will happen.
pub(crate) fn calendar(args: &CalendarArgs, target: &Target) -> Result<(), Error> {
    if target.format == Format::Ics && args.block_time.is_none() {
        return Err(Error::Input(
            "--format ics needs --block-time, and --now if the last block was not just now".into(),
        ));
    }
    let source = Source::state(&args.source, args.at, &mut NoHistory)?;
    let state = source.state();
    let Some(tip) = state.tip() else {
        return Err(Error::Input(format!("{}: it has no block yet, so no height is next", args.source)));
    };
    let clock = args.block_time.map(|each| Clock { tip, now: args.now.unwrap_or_else(Utc::now), each });
    let mut out = Output::open(target, [Input::source(&args.source)])?;
    let mut ics = Ics::default();
    for (at, name) in stale_features(state) {
        if target.format != Format::Ics {
            out.answer(answers::past_expiry(&name, at), || format!("stale {name}: its expires_at was height {at}"))?;
        }
    }
    let until = tip.saturating_add(args.blocks);
    let found = source.give(|state| -> Result<u64, Error> {
        let mut found = 0_u64;
        for upcoming in Calendar::of(state, args.blocks) {
            let upcoming = upcoming?;
            found = found.saturating_add(1);
            let time = clock.as_ref().and_then(|clock| clock.time(upcoming.height));
            match target.format {
                Format::Text | Format::Json => {
                    let mut answer = answers::upcoming(&upcoming);
                    answer.rest = answer.rest.with("time", time.map(shown));
                    out.answer(answer, || lines(&upcoming, time).join("\n"))?;
                }
                Format::Ics => ics.push(&args.source, &upcoming, time, clock.as_ref()),
            }
        }
        Ok(found)
    })?;
    if found == 0 && target.format == Format::Text {
        note(format_args!("nothing happens by itself after height {tip} up to height {until}"));
    }
    if target.format == Format::Ics {
        out.write(|to| write!(to, "{}", ics.calendar))?;
    }
    out.finish()
}

/// The times of heights.
struct Clock {
    tip: Height,
    now: DateTime<Utc>,
    each: TimeDelta,
}

impl Clock {
    /// `None` beyond what a date can say.
    fn time(&self, height: Height) -> Option<DateTime<Utc>> {
        let blocks = i64::from(height.saturating_sub(self.tip));
        let millis = self.each.num_milliseconds().checked_mul(blocks)?;
        self.now.checked_add_signed(TimeDelta::try_milliseconds(millis)?)
    }
}

fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// What happens at a height, in sentences.
fn sentences(upcoming: &Upcoming) -> Vec<String> {
    let mut sentences: Vec<String> = upcoming.events.iter().map(|event| sentence(event, &upcoming.scheduled)).collect();
    sentences.extend(upcoming.stale.iter().map(|name| format!("{name} passes its expires_at")));
    let unknown =
        |rules: &u16| format!("rule set {rules} is needed, which this build does not know; it stops before this block");
    sentences.extend(upcoming.unknown_rules.iter().map(unknown));
    sentences
}

/// An event as a sentence; that of a scheduled entry says what was in it.
fn sentence(event: &Event, scheduled: &[(u64, Scheduled)]) -> String {
    let Event::ScheduleExecuted { id, .. } = event else { return event_sentence(event) };
    let entry = scheduled.iter().find(|(known, _)| known == id);
    let commands = entry.map_or_else(String::new, |(_, entry)| {
        let kinds =
            entry.commands().map(|commands| commands.iter().map(|command| command.kind().name()).collect::<Vec<_>>());
        format!(" ({} by {})", kinds.unwrap_or_default().join(", "), entry.actor)
    });
    format!("{}{commands}", event_sentence(event))
}

pub(crate) fn lines(upcoming: &Upcoming, time: Option<DateTime<Utc>>) -> Vec<String> {
    let time = time.map_or_else(String::new, |time| format!("{} ", shown(time)));
    sentences(upcoming).into_iter().map(|sentence| format!("{} {time}{sentence}", upcoming.height)).collect()
}

/// A calendar for other programs.
struct Ics {
    calendar: icalendar::Calendar,
}

impl Default for Ics {
    fn default() -> Self {
        let mut calendar = icalendar::Calendar::new();
        calendar.name("coalmine");
        Self { calendar: calendar.done() }
    }
}

impl Ics {
    /// Adds an entry for a height. It is the same entry, by its UID, in a calendar that is made later.
    fn push(&mut self, source: &str, upcoming: &Upcoming, time: Option<DateTime<Utc>>, clock: Option<&Clock>) {
        let (Some(time), Some(clock)) = (time, clock) else { return };
        let sentences = sentences(upcoming);
        let more = sentences.len().saturating_sub(1);
        let first = sentences.first().cloned().unwrap_or_default();
        let summary = if more == 0 { first } else { format!("{first}, and {more} more") };
        let event = icalendar::Event::new()
            .uid(&format!("height-{}@coalmine", upcoming.height))
            .timestamp(clock.now)
            .starts(time)
            .ends(time)
            .summary(&summary)
            .description(&format!("height {} of {source}\n{}", upcoming.height, sentences.join("\n")))
            .done();
        self.calendar.push(event);
    }
}
