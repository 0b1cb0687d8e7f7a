//! Fuzzes messages of nodes and answers of Redis.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| billion::fuzz::feed::run(bytes));
