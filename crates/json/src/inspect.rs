//! What bytes say: a transaction or a command, taken apart, and where they stop being one.

use std::fmt;

use coalmine_core::{
    Address, COMMAND_SIZE_MAX, CommandKind, Decode, DecodeError, DecodeErrorKind, Payload, Reader, Reject,
    TX_COMMANDS_MAX, TxCommand,
};

use crate::fields::{Fields, Value};
use crate::ops;

/// Why bytes are malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The offset at which reading stopped.
    pub offset: usize,
    /// What is wrong there.
    pub reason: String,
    /// The field of the command that is read there, if it is one.
    pub field: Option<&'static str>,
}

/// `at byte 29: the input ends too early, in the field percent`.
impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, reason, field } = self;
        write!(f, "at byte {offset}: {reason}")?;
        field.map_or(Ok(()), |field| write!(f, ", in the field {field}"))
    }
}

/// Bytes, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// What they say, as far as they can be read.
    pub fields: Fields,
    /// Why they are malformed, if they are.
    pub malformed: Option<Malformed>,
    /// The first reject that a command meets whoever signs it and whatever the state is.
    pub reject: Option<Reject>,
}

/// Takes a transaction apart.
#[must_use]
pub fn inspect_transaction(bytes: &[u8]) -> Inspection {
    let mut parts = Parts { whole: bytes.len(), commands: Vec::new(), reject: None };
    let mut head = Fields::new();
    let mut read = || -> Result<(), Malformed> {
        let mut input = Reader::new(bytes);
        let at = |error: DecodeError| fault(bytes.len(), &error);
        head = std::mem::take(&mut head).text("signer", input.address().map_err(at)?);
        let counted = input.u8().map_err(at)?;
        let count = counted & !ops::SEQUENCED;
        if counted & ops::SEQUENCED != 0 {
            let (sequence, valid_until) = (input.u64().map_err(at)?, input.u32().map_err(at)?);
            let valid_until = if valid_until == 0 { Value::None } else { valid_until.into() };
            head = std::mem::take(&mut head).with("sequence", sequence).with("valid_until", valid_until);
        } else {
            head = std::mem::take(&mut head).with("sequence", Value::None).with("valid_until", Value::None);
        }
        if count == 0 || usize::from(count) > TX_COMMANDS_MAX {
            let reason = format!("a transaction has 1 to {TX_COMMANDS_MAX} commands, not {count}");
            return Err(Malformed { offset: Address::LEN, reason, field: None });
        }
        for _ in 0..count {
            let command = input.lp16().map_err(at)?;
            let start = bytes.len().saturating_sub(input.remaining()).saturating_sub(command.len());
            parts.command(command, start)?;
        }
        input.finish().map_err(at)
    };
    let malformed = read().err();
    // This walk and core must agree; should they ever not, core is right.
    let malformed = malformed.or_else(|| match Payload::from_bytes(bytes) {
        Payload::Transaction(_) => None,
        Payload::Malformed(_) => {
            let reason = "the bytes do not decode as a transaction".into();
            Some(Malformed { offset: bytes.len(), reason, field: None })
        }
    });
    parts.finish(head, malformed)
}

/// Takes a single command apart.
#[must_use]
pub fn inspect_command(bytes: &[u8]) -> Inspection {
    let mut parts = Parts { whole: bytes.len(), commands: Vec::new(), reject: None };
    let malformed = parts.command(bytes, 0).err();
    parts.finish(Fields::new(), malformed)
}

/// Why a command is malformed; `None` if it is not.
pub(crate) fn command_fault(bytes: &[u8]) -> Option<Malformed> {
    TxCommand::from_bytes(bytes).err().map(|error| locate(bytes, 0, &error))
}

/// The commands that have been read.
struct Parts {
    whole: usize,
    commands: Vec<Value>,
    reject: Option<Reject>,
}

impl Parts {
    fn command(&mut self, bytes: &[u8], start: usize) -> Result<(), Malformed> {
        let decoded = TxCommand::from_bytes(bytes).map_err(|error| locate(bytes, start, &error))?;
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let json = ops::command_json(bytes).and_then(|json| serde_json::from_str::<Value>(&json).ok());
        let reject = match &decoded {
            TxCommand::Valid(_) => None,
            TxCommand::Invalid { reject, .. } => Some(*reject),
        };
        self.reject = self.reject.or(reject);
        let fields = Fields::new()
            .with("offset", number(start))
            .with("size", number(bytes.len()))
            .with("command", json.unwrap_or_else(|| hex::encode(bytes).into()))
            .with("reject", reject.map(Reject::name));
        self.commands.push(fields.into());
        Ok(())
    }

    fn finish(self, head: Fields, malformed: Option<Malformed>) -> Inspection {
        let Self { whole, commands, reject } = self;
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let shown = malformed.as_ref().map(|Malformed { offset, reason, field }| {
            Fields::new().with("offset", number(*offset)).with("reason", reason.as_str()).with("field", *field)
        });
        let fields =
            Fields::new().with("size", number(whole)).and(head).with("commands", commands).with("malformed", shown);
        Inspection { fields, malformed, reject }
    }
}

/// A decode error in an input of `len` bytes that begins at 0.
fn fault(len: usize, error: &DecodeError) -> Malformed {
    let text = error.to_string();
    let reason = text.rsplit_once(" (").map_or(&*text, |(reason, _)| reason);
    Malformed { offset: len.saturating_sub(error.remaining), reason: reason.into(), field: None }
}

/// The place of an error in a command that begins at `start`. Errors count from the end of the command that is
/// innermost, and schedules have commands inside.
fn locate(bytes: &[u8], start: usize, error: &DecodeError) -> Malformed {
    if bytes.len() > COMMAND_SIZE_MAX {
        let reason = format!("a command has at most {COMMAND_SIZE_MAX} bytes, not {}", bytes.len());
        return Malformed { offset: start, reason, field: None };
    }
    let mut input = Reader::new(bytes);
    if CommandKind::decode(&mut input) == Ok(CommandKind::Schedule) {
        let mut inner = || {
            input.u32().ok()?;
            for _ in 0..input.u8().ok()? {
                let command = input.lp16().ok()?;
                let at = bytes.len().saturating_sub(input.remaining()).saturating_sub(command.len());
                if let Err(error) = TxCommand::from_bytes(command) {
                    return Some(locate(command, start.saturating_add(at), &error));
                }
            }
            None
        };
        if let Some(found) = inner() {
            return found;
        }
    }
    let found = fault(bytes.len(), error);
    let is_inside = error.kind != DecodeErrorKind::Leftover;
    let field = if is_inside { ops::field_at(bytes, found.offset) } else { None };
    Malformed { offset: start.saturating_add(found.offset), field, ..found }
}

#[cfg(test)]
mod tests {
    use coalmine_core::Encode;

    use super::*;
    use crate::command::read_transactions;

    /// The bytes of a transaction, with one range replaced, are malformed there.
    #[track_caller]
    fn check(json: &str, from: usize, with: &str, expected: Option<(usize, &str, Option<&str>)>) {
        let payloads = read_transactions(json, Some(&Address([1; 20]))).unwrap();
        let mut bytes = payloads.first().unwrap().to_bytes();
        let with = hex::decode(with).unwrap();
        bytes.splice(from..from.saturating_add(with.len()).min(bytes.len()), with);
        let found = inspect_transaction(&bytes).malformed;
        let found = found.as_ref().map(|found| (found.offset, found.reason.as_str(), found.field));
        assert_eq!(found, expected, "{json} {}", hex::encode(&bytes));
        assert_eq!(found.is_some(), matches!(Payload::from_bytes(&bytes), Payload::Malformed(_)));
    }

    #[test]
    fn malformed_bytes_have_a_place_and_a_reason() {
        // 20 bytes of signer, the count, the length, the tag; the name from 24 on, behind its length.
        let canary = r#"{"op":"start_canary","name":"abc","percent":5}"#;
        check(canary, 0, "02", None);
        check(canary, 20, "00", Some((20, "a transaction has 1 to 16 commands, not 0", None)));
        check(canary, 20, "02", Some((29, "the input ends too early", None)));
        check(canary, 22, "05", Some((28, "the input ends too early", Some("percent"))));
        check(canary, 23, "ff", Some((24, "unknown tag", None)));
        check(canary, 24, "09", Some((25, "the input ends too early", Some("name"))));
        let policy = r#"{"op":"create_feature","name":"a","description":"","policy":{}}"#;
        check(policy, 32, "07", Some((33, "not canonical", Some("policy"))));
        check(policy, 33, "07", Some((34, "unknown tag", Some("policy"))));
        check(
            r#"{"op":"create_feature","name":"a","description":"","policy":{"prerequisites":["b","b"]}}"#,
            0,
            "01",
            Some((86, "set not strictly ascending", Some("policy"))),
        );
        let schedule = r#"{"op":"schedule","at":9,"commands":[{"op":"enable","name":"a"},{"op":"enable","name":"b"}]}"#;
        check(schedule, 36, "ff", Some((37, "unknown tag", None)));
        let sequenced = r#"{"op":"enable","name":"abc","sequence":7,"valid_until":9}"#;
        check(sequenced, 35, "ff", Some((36, "unknown tag", None)));
    }
}
