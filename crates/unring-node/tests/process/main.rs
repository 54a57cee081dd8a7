//! The program from outside: what it does with bad input. Each case ends in an error that says what is wrong, where,
//! and what to do; none in a panic, none in a loss.

mod bad_config;
mod commands;
mod disk;
mod start_failures;
mod support;
