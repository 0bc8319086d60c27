//! See `city_fuzz::sync_frame`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::sync_frame::run(data));
