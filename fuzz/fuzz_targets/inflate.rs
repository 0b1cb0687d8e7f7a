//! Fuzzes unpacking of compressed messages.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| billion::fuzz::inflate::run(bytes));
