//! The main function of a tool: parse the arguments, run, report an error, return an exit code.

use std::ffi::OsString;

use clap::Parser;
use coalmine_json::render::Fields;

use crate::error::Error;
use crate::output::Format;

/// Parses the arguments of a tool, runs it, and returns its exit code. `name` begins its error messages, which are
/// objects if the arguments have `--format json`.
pub fn run_tool<P: Parser>(
    name: &str,
    arguments: impl IntoIterator<Item = OsString>,
    execute: impl FnOnce(P) -> Result<(), Error>,
) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let format = if asks_for_json(&arguments) { Format::Json } else { Format::Text };
    let parsed = match P::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) if error.use_stderr() => {
            let fields = Fields::new().with("message", error.to_string().trim_end()).with("exit_code", USAGE);
            match format {
                // With its colours.
                Format::Text | Format::Ics => drop(error.print()),
                Format::Json => format.problem("error", "", fields),
            }
            return USAGE;
        }
        Err(error) => {
            // If not even help can be written, nothing can be reported.
            let _printed = error.print();
            return 0;
        }
    };
    match execute(parsed) {
        Ok(()) => 0,
        Err(error) => {
            if !error.is_broken_pipe() {
                format.problem("error", format!("{name}: {error}"), error.fields());
            }
            error.exit_code()
        }
    }
}

/// Bad usage.
const USAGE: u8 = 2;

/// Whether the results are to be objects, as far as can be seen before the arguments are parsed.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let is_pair = |pair: &[OsString]| matches!(pair, [option, form] if option == "--format" && form == "json");
    arguments.iter().any(|argument| argument == "--format=json") || arguments.windows(2).any(is_pair)
}
