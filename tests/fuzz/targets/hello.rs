//! See `city_fuzz::hello`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::hello::run(data));
