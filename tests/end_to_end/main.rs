//! End to end: the real server as a process, real sockets, one file per capability.

mod harness;

mod bad_input;
mod board_model;
mod browser;
mod crash;
#[cfg(feature = "faults")]
mod faults;
mod health;
mod image;
mod manual;
mod nginx;
mod operating;
mod settings;
mod slow_clients;
mod storage;
