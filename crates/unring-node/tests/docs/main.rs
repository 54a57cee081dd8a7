//! The documents say what the program does: a key, metric, command, file or test that they name exists, and what exists
//! is documented.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod architecture;
mod commands;
mod config_keys;
mod markdown;
mod security;
mod served;
