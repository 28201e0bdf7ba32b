//! The `replay` binary: parse, dispatch, exit code.

use std::process::ExitCode;

use coalmine_replay::cli;

fn main() -> ExitCode {
    ExitCode::from(cli::main(std::env::args_os()))
}
