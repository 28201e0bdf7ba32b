//! `completions` and `man`: what shells and readers of manuals need.

use std::path::PathBuf;
use std::{fs, io};

use clap::Args;
use clap_complete::Shell;

use crate::error::Error;
use crate::output::{Output, Target};

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  replay completions bash > ~/.local/share/bash-completion/completions/replay")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Writes replay.1 and a page for each command; files of these names are replaced.

Example:
  replay man ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The folder to write to, which is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes what completes the arguments of `tool` in a shell.
pub(crate) fn completions(args: &CompletionsArgs, mut tool: clap::Command, target: &Target) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut tool, "replay", &mut script);
    let mut out = Output::open(target, [])?;
    out.write(|out| out.write_all(&script))?;
    out.finish()
}

/// Writes the manual pages of `tool`.
pub(crate) fn man(args: &ManArgs, tool: clap::Command, target: &Target) -> Result<(), Error> {
    if target.file.is_some() {
        return Err(Error::Input("man writes into DIR, not to -o".into()));
    }
    let failed = |error: io::Error| Error::Output { to: args.folder.display().to_string(), error };
    fs::create_dir_all(&args.folder).map_err(failed)?;
    clap_mangen::generate_to(tool, &args.folder).map_err(failed)
}
