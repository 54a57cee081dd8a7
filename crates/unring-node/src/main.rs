//! The binary `unring`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    unring_node::cli::run(std::env::args_os())
}
