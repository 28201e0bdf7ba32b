//! The HTTP API: called in the process, over sockets, and by real clients.

mod answers;
mod document;
mod web;
