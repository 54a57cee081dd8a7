//! Real processes, one test each.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod attacks;
mod certificates;
mod disk;
mod drain;
mod garbage;
mod identity;
mod load;
mod membership;
mod reload;
mod restarts;
mod rings;
