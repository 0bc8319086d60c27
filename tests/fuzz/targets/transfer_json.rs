//! See `city_fuzz::transfer_json`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::transfer_json::run(data));
