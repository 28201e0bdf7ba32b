//! The HTTP API: called in the process, over sockets, and by real clients.

mod answers;
pub(crate) mod clients;
mod configuration;
mod document;
mod events;
mod metrics;
mod ofrep;
mod robust;
mod submission;
mod web;
