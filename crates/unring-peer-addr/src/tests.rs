mod bad_input;
mod calls;
mod conversions;
mod idle;
mod limits;
mod plaintext;
mod readers;
pub(crate) mod support;
mod upstreams;
