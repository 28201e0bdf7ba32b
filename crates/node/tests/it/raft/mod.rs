//! Nodes that replicate: openraft's own suite, clusters over sockets, and simulations with faults.

mod check;
mod planted;
mod simulation;
mod sockets;
mod suite;
mod world;
