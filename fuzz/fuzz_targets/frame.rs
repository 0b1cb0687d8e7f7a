//! Fuzzes the decoder of WebSocket frames.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| billion::fuzz::frame::run(bytes));
