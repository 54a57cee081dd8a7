//! The documents say what the program does: a key, metric, command, file or test that they name exists, and what exists
//! is documented.

mod architecture;
mod commands;
mod config_keys;
mod markdown;
mod served;
