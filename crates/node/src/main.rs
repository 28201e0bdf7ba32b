//! The `coalmine` binary.

fn main() {}
