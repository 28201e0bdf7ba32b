//! The `feed` binary.

fn main() {}
