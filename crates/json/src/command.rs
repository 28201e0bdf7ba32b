//! Commands and transactions from JSON and to JSON, for hosts.
//!
//! A text may hold one value, several one behind the other, or an array of them. What block files take is taken here:
//! an object with `op` and its fields, with `commands`, or with `raw`; with `signer`, `sequence`, `valid_until` and
//! `repeat`.

use coalmine_core::{Address, BLOCK_TXS_MAX, Command, CommandError, Encode, Payload, Transaction};

use crate::error::JsonError;
use crate::inspect::{self, Malformed};
use crate::json::{Problem, Val};
use crate::ops;

/// Reads a command.
///
/// ```
/// use coalmine_core::{Command, Percent};
///
/// let command = coalmine_json::read_command(r#"{"op":"start_canary","name":"search_v3","percent":5}"#)?;
/// assert_eq!(command, Command::StartCanary { name: "search_v3".parse()?, percent: Percent::new(5)? });
///
/// let error = coalmine_json::read_command("{\"op\":\"start_canary\",\n\"name\":7}").unwrap_err();
/// assert_eq!(error.to_string(), "line 2, column 8: name: expected a string, found a number");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`JsonError`] if the text is no command, or a value breaks its rule.
pub fn read_command(text: &str) -> Result<Command, JsonError> {
    let mut commands = read_commands(text)?;
    match (commands.pop(), commands.is_empty()) {
        (Some(command), true) => Ok(command),
        (Some(_), false) => Err(Problem::new(0, "there is more than one command").into_json_error(text)),
        (None, _) => Err(Problem::new(0, "there is no command").into_json_error(text)),
    }
}

/// Reads all commands of a text.
///
/// # Errors
/// As for [`read_command`].
pub fn read_commands(text: &str) -> Result<Vec<Command>, JsonError> {
    let read = |value: Val<'_>| {
        let bytes = ops::command_bytes(&value.object()?, &[], 0)?;
        Command::from_bytes(&bytes).map_err(|error| match error {
            CommandError::Malformed(_) => match inspect::command_fault(&bytes) {
                Some(fault) => malformed(value, &fault),
                None => value.problem(error.to_string()),
            },
            CommandError::Invalid(reject) => value.problem(format!("{reject}: {}", reject.reason())),
        })
    };
    let commands = Val::all_of(text).and_then(|values| values.into_iter().map(read).collect());
    commands.map_err(|problem| problem.into_json_error(text))
}

/// Reads all transactions of a text, each as often as its `repeat` says. `signer` signs those that name nobody.
///
/// Values are checked as in a block, when they are executed: a transaction with a wrong one is returned.
///
/// # Errors
/// [`JsonError`] if the text has something else, or nobody signs.
pub fn read_transactions(text: &str, signer: Option<&Address>) -> Result<Vec<Payload>, JsonError> {
    let read = || {
        let mut found = Vec::new();
        for value in Val::all_of(text)? {
            let object = value.object()?;
            if signer.is_none() && object.get("signer").is_none() && object.get("raw").is_none() {
                return Err(object.problem("\"signer\" is missing"));
            }
            let (bytes, repeat) = ops::transaction_bytes(value, signer.unwrap_or(&Address::ZERO))?;
            let repeat = usize::try_from(repeat).unwrap_or(usize::MAX);
            if found.len().saturating_add(repeat) > BLOCK_TXS_MAX {
                return Err(value.problem(format!("there are more than {BLOCK_TXS_MAX} transactions")));
            }
            found.extend(std::iter::repeat_n(Payload::from_bytes(&bytes), repeat));
        }
        Ok(found)
    };
    read().map_err(|problem: Problem| problem.into_json_error(text))
}

/// A problem with the bytes that a value gives.
fn malformed(value: Val<'_>, fault: &Malformed) -> Problem {
    let field = fault.field.map_or_else(String::new, |field| format!("{field}: "));
    value.problem(format!("{field}{}", fault.reason))
}

/// Writes a command as a compact object; none if JSON cannot express it, as schedules that are nested too deep.
#[must_use]
pub fn write_command(command: &Command) -> Option<String> {
    ops::command_json(&command.to_bytes())
}

/// Writes a transaction as a compact object, with its signer.
#[must_use]
pub fn write_transaction(transaction: &Transaction) -> String {
    let payload = Payload::Transaction(transaction.clone());
    // Nobody is named by leaving the signer out.
    let nobody = if *transaction.signer() == Address::ZERO { Address([0xff; Address::LEN]) } else { Address::ZERO };
    ops::transaction_json(&payload, &nobody) + "}"
}
