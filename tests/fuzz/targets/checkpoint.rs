//! See `city_fuzz::checkpoint`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::checkpoint::run(data));
