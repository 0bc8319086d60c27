//! See `city_fuzz::officers_body`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::officers_body::run(data));
