//! See `city_fuzz::crl`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::crl::run(data));
