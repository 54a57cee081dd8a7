//! See `unring_fuzz::messages`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unring_fuzz::messages::check(data));
