//! See `unring_fuzz::record`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unring_fuzz::record::check(data));
