//! See `unring_fuzz::kad`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unring_fuzz::kad::check(data));
