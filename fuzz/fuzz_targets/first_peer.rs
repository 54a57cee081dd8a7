//! See `unring_fuzz::first_peer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| unring_fuzz::first_peer::check(data));
