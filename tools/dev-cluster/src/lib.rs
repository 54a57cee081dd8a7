#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod brute;
pub mod child;
pub mod http;
pub mod logs;
pub mod messages;
pub mod node_config;
pub mod ports;
pub mod statusz;
pub mod topology;
mod topology_file;
pub mod usage;
