//! One engine under test: each rule of the protocol, and what happens at each bound.

mod answers;
mod book;
mod deadlines;
mod heartbeats;
mod looks;
mod members;
mod own_record;
mod records;
mod renewals;
mod restore;
mod resume;
mod rings;
mod slots;
mod slow_readers;
mod streams;
mod support;
mod trace_rules;
mod upstreams;
