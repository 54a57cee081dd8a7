#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod brute;
pub mod topology;
mod topology_file;
