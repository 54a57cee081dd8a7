//! See `unring_fuzz::trace`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unring_fuzz::trace::check(data));
