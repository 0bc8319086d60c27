//! See `city_fuzz::gnss_framing::run_nmea`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::gnss_framing::run_nmea(data));
