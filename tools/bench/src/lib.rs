#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a tool speaks to whoever runs it")]

pub mod alloc;
mod bare;
mod benches;
pub mod chart;
mod cli;
mod cpu;
mod cycle;
mod dedup;
mod dht;
mod exchange;
mod fanout;
mod fit;
mod governor;
mod growth;
mod h2;
mod load;
mod machine;
mod node;
mod page;
mod report;
mod rounds;
mod run;
mod seed;
mod storm;

pub use self::benches::{BENCHES, Bench};
pub use self::cli::Args;
pub use self::report::Report;
pub use self::rounds::{Contender, Measured, Spread, median};
pub use self::run::Run;
