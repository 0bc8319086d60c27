//! See `city_fuzz::certificate`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::certificate::run(data));
