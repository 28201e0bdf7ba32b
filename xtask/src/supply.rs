//! The bans, licences and sources of everything that is linked are as deny.toml says, and planted
//! violations are refused. How many dependencies core has is counted by a test of the model crate.

use anyhow::{Context, Result, bail};
use std::path::Path;

use crate::{host, workspace};

const ARGUMENTS: [&str; 5] = ["--locked", "check", "bans", "licenses", "sources"];
const OK: &str = "bans ok, licenses ok, sources ok";

/// A violation, and what must be said of it.
struct Planted {
    file: &'static str,
    /// A text that is in the file once, and what it is replaced with.
    edit: (&'static str, &'static str),
    verdict: &'static str,
}

const PLANTED: [Planted; 4] = [
    Planted {
        file: "Cargo.toml",
        edit: ("\nhex = { version = \"0.4\"", "\nhex = { version = \"*\""),
        verdict: "bans FAILED, licenses ok, sources ok",
    },
    Planted {
        file: "Cargo.toml",
        edit: ("\nlicense = \"Apache-2.0 OR MIT\"", "\nlicense = \"GPL-3.0-only\""),
        verdict: "bans ok, licenses FAILED, sources ok",
    },
    Planted { file: "deny.toml", edit: ("\"MIT\", ", ""), verdict: "bans ok, licenses FAILED, sources ok" },
    Planted {
        file: "deny.toml",
        edit: ("\n[sources]\n", "\n[sources]\nallow-registry = []\n"),
        verdict: "bans ok, licenses ok, sources FAILED",
    },
];

/// Checks the workspace, then a copy of it with each violation.
pub(crate) fn run() -> Result<()> {
    host::tool("cargo-deny")?;
    expect(workspace::top(), OK)?;
    let copy = tempfile::tempdir()?;
    workspace::copy(workspace::top(), copy.path())?;
    for Planted { file, edit, verdict } in PLANTED {
        let path = copy.path().join(file);
        let text = workspace::read(&path)?;
        workspace::write(&path, &edited(&text, edit).with_context(|| format!("in {file}"))?)?;
        expect(copy.path(), verdict)
            .with_context(|| format!("planted in {file}: {:?} becomes {:?}", edit.0, edit.1))?;
        workspace::write(&path, &text)?;
    }
    println!("bans, licences and sources are as deny.toml says; {} planted violations are refused", PLANTED.len());
    Ok(())
}

/// A text with a violation.
fn edited(text: &str, (from, to): (&str, &str)) -> Result<String> {
    match text.matches(from).count() {
        1 => Ok(text.replacen(from, to, 1)),
        count => bail!("nothing can be planted: {from:?} is there {count} times"),
    }
}

/// Compares the last line of cargo-deny with a verdict.
fn expect(folder: &Path, verdict: &str) -> Result<()> {
    let mut deny = host::cargo();
    deny.args(["deny", "--color", "never"]).args(ARGUMENTS).current_dir(folder);
    let output = deny.output().context("cannot run cargo-deny")?;
    // The verdict is all that it prints; what is wrong is among the errors.
    let (printed, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let found = printed.trim();
    if found != verdict {
        let again = ARGUMENTS.join(" ");
        bail!("expected \"{verdict}\", found \"{found}\"; again: cargo deny {again}\n{log}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_violation_can_be_planted() {
        for Planted { file, edit, verdict } in PLANTED {
            let text = workspace::read(&workspace::top().join(file)).unwrap();
            assert_ne!(edited(&text, edit).unwrap(), text);
            assert_ne!(verdict, OK);
        }
    }

    #[test]
    fn nothing_is_planted_twice_or_never() {
        assert!(edited("a b", ("b", "c")).is_ok_and(|text| text == "a c"));
        assert!(edited("a b b", ("b", "c")).is_err());
        assert!(edited("a", ("b", "c")).is_err());
    }
}
