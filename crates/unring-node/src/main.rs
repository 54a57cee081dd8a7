//! The binary `unring`.

fn main() {}
