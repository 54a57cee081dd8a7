//! The program from outside: what it does with bad input. Each case ends in an error that says what is wrong, where,
//! and what to do; none in a panic, none in a loss.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails fails its test")]

mod bad_config;
mod bad_requests;
mod bad_upstreams;
mod commands;
mod database;
mod dht;
mod disk;
mod first_peer;
mod k3s;
mod raw_grpc;
mod reload;
mod start_failures;
mod support;
