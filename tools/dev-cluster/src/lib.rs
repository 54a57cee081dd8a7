#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod brute;
pub mod child;
pub mod http;
pub mod ports;
pub mod statusz;
pub mod topology;
mod topology_file;
