//! See `city_fuzz::equivocation`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| city_fuzz::equivocation::run(data));
