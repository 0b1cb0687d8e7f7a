//! Fuzzes the reader of backups.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| billion::fuzz::backup::run(bytes));
