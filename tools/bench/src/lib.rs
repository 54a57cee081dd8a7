#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a tool speaks to whoever runs it")]

pub mod alloc;
mod benches;
pub mod chart;
mod cli;
mod cycle;
mod dedup;
mod governor;
mod growth;
mod machine;
mod page;
mod report;
mod rounds;
mod run;
mod storm;

pub use self::benches::{BENCHES, Bench};
pub use self::cli::Args;
pub use self::report::Report;
pub use self::rounds::{Contender, Measured, Spread, median};
pub use self::run::Run;
