//! See `city_fuzz::receipt`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::receipt::run(data));
