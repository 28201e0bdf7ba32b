//! Features: their records, lifecycle and guard, and the decision for whom one is on.

pub(crate) mod data;
pub(crate) mod decide;
pub(crate) mod guard;
pub(crate) mod lifecycle;
pub(crate) mod record;
pub(crate) mod report;
