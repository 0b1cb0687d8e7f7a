//! Fuzzes messages of clients.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| billion::fuzz::message::run(bytes));
