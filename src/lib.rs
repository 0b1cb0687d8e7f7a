//! The server `billion` as a library, so that fuzzing reaches its modules: `main.rs` is the program. No API: nothing
//! here is promised to anybody, and all of it may change with any commit.

// A closed pipe or a full disk at the other end must not be a panic: `commands` has functions for both streams.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod admin;
mod admission;
mod arguments;
mod backup;
mod client_address;
mod commands;
mod database;
#[cfg(feature = "echo")]
mod echo;
mod extensions;
mod followed;
mod handshake;
mod hex;
mod http;
mod limits;
mod line;
mod listen;
mod live;
mod logging;
mod numbers;
mod object;
mod operators;
mod origin;
mod people;
mod places;
mod problem;
mod reading;
mod reload;
mod room;
mod routes;
mod settings;
mod signals;
mod startup;
mod store;
mod telemetry;
mod traffic;
mod unread;
mod usage;
mod wall;
mod ws;

/// What fuzzing and its corpus run; no part of the program.
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;

use std::process::ExitCode;

use arguments::{Arguments, Command};

/// Parses the command line and does what was asked for.
pub fn run() -> ExitCode {
    let arguments = Arguments::read();
    // Dropped at the end, whatever that is.
    let _ending = logging::start();
    if arguments.check {
        return commands::check::run(&arguments.settings);
    }
    if arguments.print_settings {
        return commands::print_settings::run(&arguments.settings);
    }
    match arguments.command {
        None => commands::serve::run(&arguments.settings),
        Some(Command::Admin(admin)) => commands::admin::run(&admin, &arguments.settings),
        Some(Command::Health(health)) => commands::health::run(&health, &arguments.settings),
        Some(Command::Completions { shell }) => commands::completions::run(shell),
        Some(Command::Export(export)) => commands::export::run(&export, &arguments.settings),
        Some(Command::Import(import)) => commands::import::run(&import, &arguments.settings),
        Some(Command::Inspect(inspect)) => commands::inspect::run(&inspect, &arguments.settings),
        Some(Command::Limits(limits)) => commands::limits::run(&limits, &arguments.settings),
        Some(Command::People(people)) => commands::people::run(&people, &arguments.settings),
        Some(Command::Reset(reset)) => commands::reset::run(&reset, &arguments.settings),
    }
}
