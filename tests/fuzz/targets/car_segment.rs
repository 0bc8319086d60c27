//! See `city_fuzz::car_segment`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::car_segment::run(data));
