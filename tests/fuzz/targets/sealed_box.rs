//! See `city_fuzz::sealed_box`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::sealed_box::run(data));
