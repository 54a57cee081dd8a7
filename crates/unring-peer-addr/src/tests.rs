mod bad_input;
mod calls;
mod conversions;
mod idle;
mod limits;
mod plaintext;
pub(crate) mod support;
mod upstreams;
