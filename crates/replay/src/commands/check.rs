//! `check`: is a feature on for an address, or for each of a list, and why.

use clap::Args;
use coalmine_answers as answers;
use coalmine_core::{Address, Height, Name, State, Verdict, Why, query};

use crate::error::Error;
use crate::input::Input;
use crate::output::{Format, Output, Target};
use crate::source::Source;
use crate::terminal::note;
use crate::users::each_line;

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
--users gives a line for each address of a file, which has one a line, and runs the source once. How \
many have it on is told on standard error.

--at needs a block file: stores and dumps have no overrides and policies of the past.

Example:
  replay check canary.json vita_recovery_v2 0x1111111111111111111111111111111111111111 --at 150
  replay check canary.json vita_recovery_v2 --users staff.txt")]
pub(crate) struct CheckArgs {
    /// A block file, rocksdb:PATH or a dump
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The feature
    name: Name,
    /// The user
    #[arg(required_unless_present = "users")]
    address: Option<Address>,
    /// A file with an address a line; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "address")]
    users: Option<String>,
    /// As of the end of this height
    #[arg(long, value_name = "HEIGHT")]
    at: Option<Height>,
}

/// Shows whether a feature is on, and why.
pub(crate) fn check(args: &CheckArgs, target: &Target) -> Result<(), Error> {
    if args.source == "-" && args.users.as_deref() == Some("-") {
        return Err(Error::Input("standard input is read once; name a file for the source or for the users".into()));
    }
    let source = Source::open(&args.source, args.at)?;
    source.present("check")?;
    let in_source = |error: Error| error.in_source(&args.source);
    if query::feature(&source, &args.name).map_err(|fault| in_source(fault.into()))?.is_none() {
        return Err(source.no_feature(&args.name));
    }
    let users = args.users.as_deref().map(|users| Input::File(users.as_ref()));
    let mut out = Output::open(target, [Some(Input::source(&args.source)), users].into_iter().flatten())?;
    let (Some(address), None) = (&args.address, &args.users) else {
        let loaded = source.load().map_err(in_source)?;
        let checked = check_users(loaded.state(), args, &mut out);
        return out.end(checked);
    };
    let verdict = query::check(&source, &args.name, address).map_err(|fault| in_source(fault.into()))?;
    out.card(answers::verdict(&args.name, address, &verdict, source.tip()?.height))?;
    out.finish()
}

/// A line for each user. There may be a million of them, so each is written as it comes and nothing is looked up twice.
fn check_users(state: &State, args: &CheckArgs, out: &mut Output) -> Result<(), Error> {
    let (mut users, mut on) = (0_u64, 0_u64);
    let (name, height) = (&args.name, state.tip());
    let is_text = match out.format() {
        Format::Text | Format::Ics => true,
        Format::Json => false,
    };
    let parse = |text: &str| text.parse::<Address>().map_err(|error| error.to_string());
    each_line(args.users.as_deref().unwrap_or("-"), parse, |user| {
        let verdict = state.check(name, &user);
        users = users.saturating_add(1);
        on = on.saturating_add(u64::from(verdict.on));
        if is_text {
            out.write(|out| write_verdict(out, name, &user, &verdict))
        } else {
            out.answer(answers::verdict(name, &user, &verdict, height), String::new)
        }
    })?;
    note(format!("{name} is on for {on} of {users}"));
    Ok(())
}

/// What `answers::verdict` has, on a line.
fn write_verdict(out: &mut dyn std::io::Write, name: &Name, user: &Address, verdict: &Verdict) -> std::io::Result<()> {
    let Verdict { on, decided_by, why } = verdict;
    let mut hex = [0; Address::LEN * 2];
    // The buffer has room for twice the bytes of an address.
    let _ = hex::encode_to_slice(user.0, &mut hex);
    out.write_all(b"0x")?;
    out.write_all(&hex)?;
    write!(out, " on={on} decided_by={decided_by} is_prerequisite={}", decided_by != name)?;
    match why {
        Why::Unknown => writeln!(out, " why=unknown"),
        Why::Status(status) => writeln!(out, " why=status status={status}"),
        Why::Override => writeln!(out, " why=override"),
        Why::Bucket { bucket, share } => writeln!(out, " why=bucket bucket={} share={}", bucket.get(), share.get()),
    }
}
