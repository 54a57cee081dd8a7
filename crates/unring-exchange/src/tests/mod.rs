//! One engine under test: each rule of the protocol, and what happens at each bound.

mod support;
mod trace_rules;
