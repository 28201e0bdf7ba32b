//! Features: their records, lifecycle and guard, and for whom they are on.

pub(crate) mod data;
pub(crate) mod decide;
pub(crate) mod guard;
pub(crate) mod lifecycle;
pub(crate) mod record;
