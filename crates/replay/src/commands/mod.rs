//! The commands: each module has the arguments of one command and the function that runs it.
//! Several share [`bytes`], [`pair`] or [`write_blocks`].

pub(crate) mod bisect;
mod bytes;
pub(crate) mod check;
pub(crate) mod convert;
pub(crate) mod decode;
pub(crate) mod diff;
pub(crate) mod dump;
pub(crate) mod encode;
pub(crate) mod generate;
pub(crate) mod help;
mod pair;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod prove;
pub(crate) mod restore;
pub(crate) mod route;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod shell;
pub(crate) mod show;
pub(crate) mod verify;
pub(crate) mod verify_proof;
pub(crate) mod verify_store;
mod write_blocks;
