#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod baseline;
pub mod brute;
pub mod child;
pub mod cluster;
mod compare;
pub mod dir;
mod error_chain;
pub mod http;
pub mod k3s;
pub mod logs;
pub mod messages;
pub mod mixed;
pub mod netns;
pub mod node_config;
pub mod node_process;
pub mod partition;
pub mod plan;
pub mod ports;
pub mod providers;
pub mod report;
pub mod run;
pub mod screen;
pub mod statusz;
pub mod table;
pub mod talk;
pub mod topology;
pub mod topology_file;
pub mod trigger;
pub mod usage;
pub mod verdict;
pub mod watch;

pub use error_chain::error_chain;
