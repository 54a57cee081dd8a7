//! See `unring_fuzz::k3s_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unring_fuzz::k3s_request::check(data));
