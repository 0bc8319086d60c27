//! See `city_fuzz::geojson`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::geojson::run(data));
