//! The same blocks in every profile, on every target and in other environments, each seed in a process
//! of its own: every transcript is the committed one in `fixtures/transcripts.txt`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{host, workspace};

const SEEDS: std::ops::Range<u64> = 0..8;
/// What the transcript program can plant, with the builds in which it makes a difference to a release build.
const FAULTS: [(&str, &[&str]); 4] = [
    ("word", &["i686", "wasm32"]),
    ("order", &["s390x"]),
    ("profile", &["debug", "debug-opt3"]),
    ("environment", &["debug", "release-opt0", "debug-opt3", "i686", "wasm32", "s390x"]),
];

/// What to build and compare.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// 500 blocks of each seed in place of 10,000, and two builds less
    #[arg(long)]
    short: bool,
    /// Only this build, beside the release build that it is compared with
    #[arg(long, value_name = "NAME", value_parser = BUILDS.map(|build| build.name))]
    build: Option<String>,
    /// Only this seed
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// A build of the transcript program and the environment that it runs in, which no other has.
#[derive(Clone, Copy, Debug)]
struct Build {
    name: &'static str,
    profile: Profile,
    /// The short form does without.
    is_long: bool,
    place: &'static str,
    locale: &'static str,
    zone: &'static str,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Profile {
    /// On this machine: the profile of cargo, and the level of optimisation.
    Host(&'static str, u8),
    Foreign(Foreign),
}

/// A target that this machine may lack. Always the release profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Foreign {
    I686,
    Wasm32,
    S390x,
}

/// The release build is the first: the others are compared with it when something is wrong.
const BUILDS: [Build; 7] = [
    Build {
        name: "release",
        profile: Profile::Host("release", 3),
        is_long: false,
        place: "/",
        locale: "C",
        zone: "UTC",
    },
    Build {
        name: "debug",
        profile: Profile::Host("dev", 0),
        is_long: false,
        place: "/etc",
        locale: "de_DE.UTF-8",
        zone: "Europe/Berlin",
    },
    Build {
        name: "release-opt0",
        profile: Profile::Host("release", 0),
        is_long: true,
        place: "/usr",
        locale: "tr_TR.UTF-8",
        zone: "Asia/Kathmandu",
    },
    Build {
        name: "debug-opt3",
        profile: Profile::Host("dev", 3),
        is_long: true,
        place: "/var",
        locale: "ja_JP.eucJP",
        zone: "Pacific/Chatham",
    },
    Build {
        name: "i686",
        profile: Profile::Foreign(Foreign::I686),
        is_long: false,
        place: "/bin",
        locale: "ar_EG.UTF-8",
        zone: "America/St_Johns",
    },
    Build {
        name: "wasm32",
        profile: Profile::Foreign(Foreign::Wasm32),
        is_long: false,
        place: "/lib",
        locale: "zh_CN.GB18030",
        zone: "Australia/Lord_Howe",
    },
    Build {
        name: "s390x",
        profile: Profile::Foreign(Foreign::S390x),
        is_long: false,
        place: "/dev",
        locale: "POSIX",
        zone: "Africa/Monrovia",
    },
];

impl Foreign {
    fn triple(self) -> &'static str {
        match self {
            Self::I686 => "i686-unknown-linux-gnu",
            Self::Wasm32 => "wasm32-wasip1",
            Self::S390x => "s390x-unknown-linux-gnu",
        }
    }

    /// What its programs run under.
    fn runner(self) -> Vec<String> {
        match self {
            Self::I686 => Vec::new(),
            Self::Wasm32 => {
                let script = workspace::top().join("xtask/wasi.mjs");
                vec!["node".into(), "--no-warnings".into(), script.display().to_string()]
            }
            Self::S390x => ["qemu-s390x-static", "-L", "/usr/s390x-linux-gnu"].map(Into::into).into(),
        }
    }

    /// Installs what links and runs programs of the target.
    fn install(self, work: &Path) -> Result<()> {
        host::target(self.triple())?;
        match self {
            Self::I686 => {
                let program = work.join("proof").display().to_string();
                let proof = format!("echo 'int main(void) {{ return 0; }}' | cc -m32 -x c -o {program} - && {program}");
                // The package gcc-multilib cannot be installed beside a cross compiler; that of the version can.
                let version = host::output(Command::new("cc").arg("-dumpversion"))?;
                let major = version.trim().split('.').next().unwrap_or_default();
                host::packages(&proof, &[&format!("gcc-{major}-multilib")])
            }
            Self::Wasm32 => host::packages("node -e 'require(\"node:wasi\")'", &["nodejs"]),
            Self::S390x => host::packages(
                "command -v s390x-linux-gnu-gcc && command -v qemu-s390x-static",
                &["gcc-s390x-linux-gnu", "libc6-dev-s390x-cross", "qemu-user-static"],
            ),
        }
    }
}

/// Builds, compares every transcript, and plants every fault.
pub(crate) fn run(args: &Args) -> Result<()> {
    let blocks = if args.short { 500 } else { 10_000 };
    let seeds: Vec<u64> = args.seed.map_or_else(|| SEEDS.collect(), |seed| vec![seed]);
    host::packages("command -v cc", &["gcc", "libc6-dev"])?;
    let programs = Programs { folder: tempfile::tempdir()? };
    let mut built = Vec::new();
    for build in BUILDS.iter().filter(|build| args.wants(build)) {
        let is_there = match build.profile {
            Profile::Host(..) => Ok(()),
            Profile::Foreign(foreign) => foreign.install(programs.folder.path()),
        };
        match is_there {
            Ok(()) => {
                programs.build(build, args.short)?;
                built.push(build);
            }
            Err(error) => eprintln!("SKIPPED: {}: {error:#}", build.name),
        }
    }
    let names: Vec<&str> = built.iter().map(|build| build.name).collect();
    println!("builds: {}", names.join(" "));

    let committed = workspace::read(&workspace::top().join("fixtures/transcripts.txt"))?;
    let mut faults = Vec::new();
    for build in &built {
        for seed in &seeds {
            if let Err(error) = programs.compare(build, blocks, *seed, &committed) {
                let form = if args.short { " --short" } else { "" };
                let again = format!("cargo evidence builds{form} --build {} --seed {seed}", build.name);
                faults.push(format!("{}: seed {seed}: {error:#}; again: {again}", build.name));
            }
        }
        println!("compared {}: {blocks} blocks of each of {} seeds", build.name, seeds.len());
    }
    for build in built.iter().skip(1) {
        for (fault, differs_in) in FAULTS {
            if programs.differs(build, fault)? != differs_in.contains(&build.name) {
                faults.push(format!("{}: the planted fault \"{fault}\" shows where it must not, or not", build.name));
            }
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("all transcripts are the committed ones, and every planted fault was found");
    Ok(())
}

impl Args {
    /// The short form.
    pub(crate) fn short() -> Self {
        Self { short: true, ..Self::default() }
    }

    fn wants(&self, build: &Build) -> bool {
        match &self.build {
            Some(name) => build.name == name || build.name == "release",
            None => !(self.short && build.is_long),
        }
    }
}

/// The programs that are built, by the names of their builds.
struct Programs {
    folder: TempDir,
}

impl Programs {
    /// Builds a program and puts it aside: another level of optimisation takes its place.
    fn build(&self, build: &Build, is_short: bool) -> Result<()> {
        let (profile, level, foreign) = match build.profile {
            Profile::Host(profile, level) => (profile, level, None),
            // Less optimised, it compiles faster.
            Profile::Foreign(foreign) => ("release", if is_short { 1 } else { 3 }, Some(foreign)),
        };
        let mut cargo = host::cargo();
        cargo.args(["build", "--quiet", "--locked", "-p", "coalmine-model", "--bin", "transcript"]);
        cargo.args(["--profile", profile]);
        let mut program = workspace::target();
        if let Some(foreign) = foreign {
            cargo.args(["--target", foreign.triple()]);
            program.push(foreign.triple());
        }
        program.push(if profile == "dev" { "debug" } else { profile });
        program.push("transcript");
        if foreign == Some(Foreign::Wasm32) {
            program.set_extension("wasm");
        }
        let variable = format!("CARGO_PROFILE_{}_OPT_LEVEL", profile.to_uppercase());
        cargo.env(variable, level.to_string()).env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "0");
        cargo.env("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER", "s390x-linux-gnu-gcc");
        host::run(&mut cargo)?;
        fs::copy(&program, self.path(build)).with_context(|| format!("cannot copy {}", program.display()))?;
        Ok(())
    }

    fn path(&self, build: &Build) -> PathBuf {
        self.folder.path().join(build.name)
    }

    /// What a build prints of a seed, in its environment and with one more variable.
    fn transcript(&self, build: &Build, blocks: u64, seed: u64, variable: Option<(&str, &str)>) -> Result<String> {
        let mut words = match build.profile {
            Profile::Host(..) => Vec::new(),
            Profile::Foreign(foreign) => foreign.runner(),
        };
        words.extend([self.path(build).display().to_string(), blocks.to_string(), seed.to_string()]);
        let (program, arguments) = words.split_first().context("no program")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(build.place).env_clear();
        command.env("PATH", env::var_os("PATH").unwrap_or_default()).env("PWD", build.place);
        command.env("LANG", build.locale).env("LC_ALL", build.locale).env("TZ", build.zone).envs(variable);
        host::output(&mut command)
    }

    /// Compares a transcript with the committed one.
    fn compare(&self, build: &Build, blocks: u64, seed: u64, committed: &str) -> Result<()> {
        let expected = committed_line(committed, blocks, seed)
            .with_context(|| format!("no transcript of {blocks} blocks of seed {seed} is committed"))?;
        if self.transcript(build, blocks, seed, None)?.trim_end() == expected {
            return Ok(());
        }
        let told = Some(("COALMINE_TRANSCRIPT_BLOCKS", "1"));
        let [release, ..] = &BUILDS;
        let of_release = self.transcript(release, blocks, seed, told)?;
        let of_this = self.transcript(build, blocks, seed, told)?;
        bail!("another transcript{}", first_difference(&of_release, &of_this));
    }

    /// Whether a planted fault makes the transcript of a build another than that of the release build.
    fn differs(&self, build: &Build, fault: &str) -> Result<bool> {
        let planted = Some(("COALMINE_TRANSCRIPT_FAULT", fault));
        let [release, ..] = &BUILDS;
        let found = [release, build].map(|build| self.transcript(build, 10, 0, planted));
        let [ours, theirs] = found;
        let (ours, theirs) = (ours?, theirs?);
        if ours.is_empty() || theirs.is_empty() {
            bail!("{}: no transcript with the planted fault \"{fault}\"", build.name);
        }
        Ok(ours != theirs)
    }
}

/// The line of a seed among the committed ones.
fn committed_line(committed: &str, blocks: u64, seed: u64) -> Option<&str> {
    let start = format!("seed {seed} blocks {blocks} ");
    committed.lines().find(|line| line.starts_with(&start))
}

/// The first lines that are not the same.
fn first_difference(release: &str, other: &str) -> String {
    let mut lines = (release.lines(), other.lines());
    loop {
        match (lines.0.next(), lines.1.next()) {
            (None, None) => return String::new(),
            (release, other) if release == other => {}
            (release, other) => {
                let [release, other] = [release, other].map(|line| line.unwrap_or("nothing"));
                return format!("\n  release: {release}\n  here:    {other}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_build_has_an_environment_of_its_own() {
        let check = |of: fn(&Build) -> &str| {
            assert_eq!(BUILDS.iter().map(of).collect::<BTreeSet<_>>().len(), BUILDS.len());
        };
        check(|build| build.name);
        check(|build| build.place);
        check(|build| build.locale);
        check(|build| build.zone);
        assert_eq!(BUILDS[0].name, "release");
    }

    #[test]
    fn every_fault_shows_in_some_build_of_the_short_form() {
        for (fault, differs_in) in FAULTS {
            let shows = |build: &Build| !build.is_long && differs_in.contains(&build.name);
            assert!(BUILDS.iter().any(shows), "{fault}");
            let is_known = |name: &&str| BUILDS.iter().any(|build| build.name == *name);
            assert!(differs_in.iter().all(is_known), "{fault}");
        }
    }

    #[test]
    fn arguments_choose_builds() {
        let check = |args: Args, expected: &[&str]| {
            let found: Vec<&str> = BUILDS.iter().filter(|build| args.wants(build)).map(|build| build.name).collect();
            assert_eq!(found, expected);
        };
        check(Args::default(), &BUILDS.map(|build| build.name));
        check(Args { short: true, ..Args::default() }, &["release", "debug", "i686", "wasm32", "s390x"]);
        let only = Args { short: true, build: Some("debug-opt3".into()), seed: None };
        check(only, &["release", "debug-opt3"]);
    }

    #[test]
    fn every_seed_has_a_committed_transcript() {
        let committed = workspace::read(&workspace::top().join("fixtures/transcripts.txt")).unwrap();
        for seed in SEEDS {
            for blocks in [500, 10_000] {
                assert!(committed_line(&committed, blocks, seed).is_some(), "{blocks} {seed}");
            }
        }
        assert_eq!(committed_line(&committed, 50, 0), None);
        assert_eq!(committed_line(&committed, 500, 80), None);
    }

    #[test]
    fn the_first_difference_is_shown() {
        let check = |release: &str, other: &str, expected: &str| {
            assert_eq!(first_difference(release, other), expected);
        };
        check("a\nb", "a\nb", "");
        check("a\nb\nc", "a\nx\ny", "\n  release: b\n  here:    x");
        check("a\nb", "a", "\n  release: b\n  here:    nothing");
    }
}
