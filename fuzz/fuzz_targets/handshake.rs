//! Fuzzes heads of handshakes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| billion::fuzz::handshake::run(bytes));
