//! The commands: each module has the arguments of one command and the function that runs it.
//! Several share [`bytes`], [`pair`] or [`write_blocks`].

pub(crate) mod bisect;
mod bytes;
pub(crate) mod calendar;
pub(crate) mod check;
pub(crate) mod convert;
pub(crate) mod decode;
pub(crate) mod diff;
pub(crate) mod dump;
pub(crate) mod encode;
pub(crate) mod explain;
pub(crate) mod generate;
pub(crate) mod help;
mod pair;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod preview;
pub(crate) mod prove;
pub(crate) mod restore;
pub(crate) mod route;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod shell;
pub(crate) mod show;
mod signing;
pub(crate) mod verify;
pub(crate) mod verify_proof;
pub(crate) mod verify_store;
pub(crate) mod what_if;
mod write_blocks;

use coalmine_core::Name;

use crate::error::Error;

/// Names that are listed when none is near.
const LISTED_MAX: usize = 8;

/// The error for a name that does not exist in a source, with the nearest that does, or all if they are few.
pub(crate) fn unknown<'n>(source: &str, what: &str, name: &Name, known: impl Iterator<Item = &'n str>) -> Error {
    let known: Vec<&str> = known.collect();
    let instead = match (coalmine_foresight::nearest(name.as_str(), known.iter().copied()), known.as_slice()) {
        (Some(nearest), _) => format!("; the nearest is {nearest}"),
        (None, []) => format!(", and no other {what}"),
        (None, [one]) => format!("; there is only {one}"),
        (None, few) if few.len() <= LISTED_MAX => format!("; there are {}", few.join(", ")),
        (None, many) => format!("; there are {} others", many.len()),
    };
    Error::Input(format!("{source}: there is no {what} {name}{instead}"))
}
