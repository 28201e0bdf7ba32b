//! The machine: running commands, and installing what a harness needs.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Cargo at the top of the checkout. By name and not `$CARGO`, because only the command of rustup
/// understands `+nightly`.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace::top());
    cargo
}

/// Cargo of the nightly that `fuzz/` names, with every component in it.
pub(crate) fn nightly_cargo(components: &[&str]) -> Result<Command> {
    let channel = workspace::nightly()?;
    let toolchain = format!("+{channel}");
    if !succeeds(Command::new("cargo").args([&toolchain, "--version"])) {
        run(Command::new("rustup").args(["toolchain", "install", &channel, "--profile", "minimal"]))?;
    }
    for component in components {
        run(Command::new("rustup").args(["component", "add", "--toolchain", &channel, component]))?;
    }
    let mut cargo = cargo();
    cargo.arg(toolchain);
    Ok(cargo)
}

/// Runs a command, whose output is shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if !status.success() {
        bail!("{status}: {}", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it prints, even if it fails: the caller judges it. Its errors are shown.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run {}", line(command)))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a command succeeds. Its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A command as it is typed, with the variables that it was given.
pub(crate) fn line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let (name, value) = (name.to_string_lossy(), value?.to_string_lossy());
        Some(format!("{name}={value}"))
    });
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy);
    variables.chain(words.map(Into::into)).collect::<Vec<String>>().join(" ")
}

/// Installs packages of Debian unless the shell command `proof` succeeds.
pub(crate) fn packages(proof: &str, packages: &[&str]) -> Result<()> {
    let is_proven = || succeeds(Command::new("sh").args(["-c", proof]));
    if is_proven() {
        return Ok(());
    }
    let names = packages.join(" ");
    if !is_command("apt-get") {
        bail!("missing: {names} (these are Debian's names)");
    }
    eprintln!("installing {names}");
    let sudo = if is_command("sudo") { "sudo" } else { "env" };
    run(Command::new(sudo).args(["apt-get", "update", "-qq"]))?;
    let install = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"];
    run(Command::new(sudo).args(install).args(packages).stdout(Stdio::null()))?;
    if !is_proven() {
        bail!("{names} is installed, and still this fails: {proof}");
    }
    Ok(())
}

/// Installs a command of cargo unless it is there. It is not optimised, which compiles much faster.
pub(crate) fn tool(name: &str) -> Result<()> {
    if is_command(name) {
        return Ok(());
    }
    eprintln!("installing {name}, which takes some minutes");
    run(cargo().args(["install", "--quiet", "--locked", "--debug", name]))
}

/// Installs a target of the toolchain of the workspace.
pub(crate) fn target(triple: &str) -> Result<()> {
    let output = Command::new("rustup").args(["target", "add", triple]).current_dir(workspace::top()).output()?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        bail!("no Rust target {triple}: {}", log.lines().last().unwrap_or_default());
    }
    Ok(())
}

fn is_command(name: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_is_typed() {
        let mut command = Command::new("cargo");
        command.args(["test", "--release"]).env("COALMINE_KILLS", "1000").env_remove("LANG");
        assert_eq!(line(&command), "COALMINE_KILLS=1000 cargo test --release");
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        assert!(run(Command::new("true").arg("1")).is_ok());
        let error = run(Command::new("false").arg("1")).unwrap_err().to_string();
        assert_eq!(error, "exit status: 1: false 1");
        assert!(run(&mut Command::new("coalmine-is-no-command")).is_err());
        assert!(succeeds(&mut Command::new("true")) && !succeeds(&mut Command::new("false")));
    }

    #[test]
    fn what_is_there_is_not_installed() {
        assert!(packages("true", &["coalmine-is-no-package"]).is_ok());
        assert!(is_command("sh") && !is_command("coalmine-is-no-command"));
    }
}
