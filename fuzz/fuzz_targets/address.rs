//! Fuzzes addresses of clients behind proxies.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| billion::fuzz::address::run(bytes));
