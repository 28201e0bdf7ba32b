//! Plugins: records and versions, and the plans, deployments and engine that replace one version by another.

pub(crate) mod compare;
pub(crate) mod data;
pub(crate) mod deployment;
pub(crate) mod engine;
pub(crate) mod manifest;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod requirements;
pub(crate) mod version;
