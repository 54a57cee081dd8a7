//! See `unring_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unring_fuzz::config::check(data));
