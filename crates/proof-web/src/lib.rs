//! `coalmine-proof` for browsers: whether a feature is on for a user, verified against a root.
//!
//! A page calls [`clear`], then [`push`] for each byte of the question, then [`verify`]; [`answer`] gives the words of the
//! result byte by byte. The question is the root, the feature and the user, each on a line of its own, and then the bundle
//! as a node sends it. No pointer crosses the border, so there is nothing to get wrong on the other side of it.
//!
//! There is no rule here and no proof: both are those of `coalmine-proof`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use coalmine_core::{Address, Hash, Name, Verdict};
use coalmine_proof::{Bundle, BundleError, BundleJsonError};

/// The longest question in bytes. Bundles have a few kilobytes.
pub const QUESTION_SIZE_MAX: usize = 4 << 20;

/// [`verify`]: the bundle does not prove an answer to the question. That is not "off".
pub const REFUSED: u32 = 0;
/// [`verify`]: the feature is off for the user, and that is proven.
pub const OFF: u32 = 1;
/// [`verify`]: the feature is on for the user, and that is proven.
pub const ON: u32 = 2;
/// [`answer`]: there are no more bytes.
pub const END: u32 = 256;

/// The question and the answer in hand. A page has one thread.
static DESK: Mutex<Desk> = Mutex::new(Desk { question: Vec::new(), answer: Vec::new(), is_too_long: false });

struct Desk {
    question: Vec<u8>,
    answer: Vec<u8>,
    is_too_long: bool,
}

fn desk() -> MutexGuard<'static, Desk> {
    DESK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a question has no proven answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There are too many bytes.
    #[error("the bundle is longer than {QUESTION_SIZE_MAX} bytes")]
    TooLong,
    /// A line is missing, or is no text.
    #[error("the question has no line for the {0}")]
    Line(&'static str),
    /// A line does not have the form of its value.
    #[error("the {line} is not valid: {problem}")]
    Value {
        /// What the line is for.
        line: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The bundle cannot be read.
    #[error("the bundle cannot be read: {0}")]
    Json(#[from] BundleJsonError),
    /// The bundle does not prove the answer.
    #[error("the bundle does not prove it: {0}")]
    Bundle(#[from] BundleError),
}

/// Answers a question: see [the crate](crate).
///
/// # Errors
/// The bundle does not prove an answer to this question under this root.
pub fn ask(question: &[u8]) -> Result<Verdict, Refusal> {
    let mut rest = question;
    let mut line = |line: &'static str| {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(Refusal::Line(line))?;
        let (text, behind) = rest.split_at_checked(end).ok_or(Refusal::Line(line))?;
        rest = behind.get(1..).unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| Refusal::Line(line))
    };
    let wrong = |line: &'static str, problem: String| Refusal::Value { line, problem };
    let root: Hash = line("root")?.parse().map_err(|error| wrong("root", format!("{error}")))?;
    let feature: Name = line("feature")?.parse().map_err(|error| wrong("feature", format!("{error}")))?;
    let user: Address = line("user")?.parse().map_err(|error| wrong("user", format!("{error}")))?;
    Ok(Bundle::from_json(rest)?.is_enabled(&root, &feature, &user)?)
}

/// Forgets the question and the answer.
#[expect(unsafe_code, reason = "an export is found by its name; no other symbol of a page's module has it")]
#[unsafe(no_mangle)]
pub extern "C" fn clear() {
    let mut desk = desk();
    desk.question = Vec::new();
    desk.answer = Vec::new();
    desk.is_too_long = false;
}

/// Adds a byte to the question. Higher bits do not count.
#[expect(unsafe_code, reason = "as for clear")]
#[unsafe(no_mangle)]
pub extern "C" fn push(byte: u32) {
    let mut desk = desk();
    let [.., byte] = byte.to_be_bytes();
    if desk.question.len() < QUESTION_SIZE_MAX {
        desk.question.push(byte);
    } else {
        desk.is_too_long = true;
    }
}

/// Answers the question: [`OFF`], [`ON`] or [`REFUSED`].
#[expect(unsafe_code, reason = "as for clear")]
#[unsafe(no_mangle)]
pub extern "C" fn verify() -> u32 {
    let mut desk = desk();
    let answer = if desk.is_too_long { Err(Refusal::TooLong) } else { ask(&desk.question) };
    let (result, words) = match answer {
        Ok(verdict) => (if verdict.on { ON } else { OFF }, verdict.to_string()),
        Err(refusal) => (REFUSED, refusal.to_string()),
    };
    desk.answer = words.into_bytes();
    result
}

/// The byte of the words of the answer at a place, UTF-8; [`END`] behind the last one.
#[expect(unsafe_code, reason = "as for clear")]
#[unsafe(no_mangle)]
pub extern "C" fn answer(at: u32) -> u32 {
    let byte = usize::try_from(at).ok().and_then(|at| desk().answer.get(at).copied());
    byte.map_or(END, u32::from)
}
