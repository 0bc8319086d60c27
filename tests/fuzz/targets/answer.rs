//! See `city_fuzz::answer`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::answer::run(data));
