//! See `city_fuzz::gnss_framing`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::gnss_framing::run(data));
