//! See `city_fuzz::envelope`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::envelope::run(data));
