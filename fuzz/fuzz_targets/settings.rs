//! Fuzzes settings files and `.env`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| billion::fuzz::settings::run(bytes));
