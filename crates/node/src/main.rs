//! The `coalmine` binary: parse, run, exit code.

use std::process::ExitCode;

use coalmine_node::cli;

fn main() -> ExitCode {
    ExitCode::from(cli::main(std::env::args_os()))
}
