//! The command line and its dispatch to the commands.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    bisect, calendar, check, convert, decode, diff, dump, encode, explain, generate, help, plan, plot, preview, prove,
    restore, route, run, schema, shell, show, verify, verify_proof, verify_store, what_if,
};
use crate::error::Error;
use crate::output::{Format, Target};
use crate::tool::run_tool;

/// Runs block files on coalmine, and checks, compares, shows and proves the result.
#[derive(Debug, Parser)]
#[command(
    name = "replay",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "\
SOURCE is a block file (which is run in memory first), rocksdb:PATH, or a dump. The name - stands \
for standard input.

Exit codes: 0 success, 1 an expectation, root or comparison failed, 2 bad usage or bad input file, \
3 the store failed or has a corrupt record, 4 rules that this build does not know, 130 interrupted (committed blocks stay), 141 the \
reader of standard output went away."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Form of the results
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORM")]
    format: Format,
    /// Write results to FILE instead of standard output; FILE is no input, and is replaced at the end
    #[arg(short = 'o', long = "output", global = true, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Execute block files in order and check what they expect
    Run(run::RunArgs),
    /// Run each file on several stores and compare them block by block
    Verify(verify::VerifyArgs),
    /// Read a store from end to end, decode every record and rebuild its root
    VerifyStore(verify_store::VerifyStoreArgs),
    /// Convert a block file to another form
    Convert(convert::ConvertArgs),
    /// Show records
    Show(show::ShowArgs),
    /// Show whether a feature is on for an address, and why
    Check(check::CheckArgs),
    /// Show which version of a plugin serves a unit
    Route(route::RouteArgs),
    /// Show what commands would do in the next block, and to whom
    Preview(preview::PreviewArgs),
    /// Tell what will happen without traffic, height by height
    Calendar(calendar::CalendarArgs),
    /// Explain what a feature or plugin is, since when and why, and what happens next
    Explain(explain::ExplainArgs),
    /// Replay the same blocks with other settings, and compare the decisions
    WhatIf(what_if::WhatIfArgs),
    /// Show what loading a plugin would do, in order, or why it would be rejected
    Plan(plan::PlanArgs),
    /// Draw a feature, a plugin or all of them over height, as SVG or HTML
    Plot(plot::PlotArgs),
    /// Write every key and value in key order
    Dump(dump::DumpArgs),
    /// Create a store from a dump and check its root
    Restore(restore::RestoreArgs),
    /// Compare the records of two sources
    Diff(diff::DiffArgs),
    /// Find the first height at which two runs disagree
    Bisect(bisect::BisectArgs),
    /// Prove that a record is, or is not, in the state
    Prove(prove::ProveArgs),
    /// Check a proof without a store and print what it proves
    VerifyProof(verify_proof::VerifyProofArgs),
    /// Generate a seeded synthetic workload
    Generate(generate::GenerateArgs),
    /// Encode commands and transactions in JSON as bytes
    Encode(encode::EncodeArgs),
    /// Take the bytes of a transaction apart, malformed ones too
    Decode(decode::DecodeArgs),
    /// Write the JSON Schema of block files, for editors
    Schema(schema::SchemaArgs),
    /// Write what completes commands and options in a shell
    Completions(shell::CompletionsArgs),
    /// Write the manual pages
    Man(shell::ManArgs),
    /// Show the help of a command, or of the ops of block files
    Help(help::HelpArgs),
}

/// Runs the tool and returns its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    run_tool("replay", arguments, Cli::execute)
}

impl Cli {
    fn execute(self) -> Result<(), Error> {
        let target = Target { format: self.format, file: self.output };
        if target.format == Format::Ics && !matches!(self.command, Command::Calendar(_)) {
            return Err(Error::Input("ics is a form of calendar alone; the others are text and json".into()));
        }
        match &self.command {
            Command::Run(args) => run::run(args, &target),
            Command::Verify(args) => verify::verify(args, &target),
            Command::VerifyStore(args) => verify_store::verify_store(args, &target),
            Command::Convert(args) => convert::convert(args, &target),
            Command::Show(args) => show::show(args, &target),
            Command::Check(args) => check::check(args, &target),
            Command::Route(args) => route::route(args, &target),
            Command::Preview(args) => preview::preview(args, &target),
            Command::Calendar(args) => calendar::calendar(args, &target),
            Command::Explain(args) => explain::explain(args, &target),
            Command::WhatIf(args) => what_if::what_if(args, &target),
            Command::Plan(args) => plan::plan(args, &target),
            Command::Plot(args) => plot::plot(args, &target),
            Command::Dump(args) => dump::dump(args, &target),
            Command::Restore(args) => restore::restore(args, &target),
            Command::Diff(args) => diff::diff(args, &target),
            Command::Bisect(args) => bisect::bisect(args, &target),
            Command::Prove(args) => prove::prove(args, &target),
            Command::VerifyProof(args) => verify_proof::verify_proof(args, &target),
            Command::Generate(args) => generate::generate(args, &target),
            Command::Encode(args) => encode::encode(args, &target),
            Command::Decode(args) => decode::decode(args, &target),
            Command::Schema(args) => schema::schema(args, &target),
            Command::Completions(args) => shell::completions(args, Self::command(), &target),
            Command::Man(args) => shell::man(args, Self::command(), &target),
            Command::Help(args) => help::help(args, Self::command(), &target),
        }
    }
}
