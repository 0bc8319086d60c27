//! See `city_fuzz::vertex`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::vertex::run(data));
