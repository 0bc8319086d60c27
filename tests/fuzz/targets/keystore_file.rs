//! See `city_fuzz::keystore_file`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::keystore_file::run(data));
