//! The `feed` binary: parse, run, exit code.

use std::process::ExitCode;

use coalmine_feed::cli;

fn main() -> ExitCode {
    ExitCode::from(cli::main(std::env::args_os()))
}
