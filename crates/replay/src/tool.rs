//! The main function of a tool: parse the arguments, run, report an error, return an exit code.

use std::ffi::OsString;

use clap::Parser;

use crate::error::Error;

/// Parses the arguments of a tool, runs it, and returns its exit code. `name` begins its error messages.
pub fn run_tool<P: Parser>(
    name: &str,
    arguments: impl IntoIterator<Item = OsString>,
    execute: impl FnOnce(P) -> Result<(), Error>,
) -> u8 {
    let parsed = match P::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // If not even help can be written, nothing can be reported.
            let _printed = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    match execute(parsed) {
        Ok(()) => 0,
        Err(error) => {
            if !error.is_broken_pipe() {
                eprintln!("{name}: {error}");
            }
            error.exit_code()
        }
    }
}
