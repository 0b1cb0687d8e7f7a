//! What the binary can be told to do, one file each, and what the commands share.

pub mod serve;
mod export;
mod import;
mod inspect;
mod interrupt;
mod output;
mod progress;
mod remote;
mod source;

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use log::error;

use crate::settings::Settings;

/// Exit code for settings or arguments that cannot be used; clap's own.
const BAD_USAGE: u8 = 2;

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Copy the board into a file, also from a running server
    Export(export::Arguments),
    /// Merge a file into the board, also of a running server; boxes are only ever added
    Import(import::Arguments),
    /// Verify a store, a file or a running server's board, and say what is in it
    Inspect(inspect::Arguments),
}

/// Does `command`, or serves. 0: done; 1: failed; 2: the settings are wrong.
pub fn run(command: Option<Command>, settings: Option<&Path>) -> ExitCode {
    let Some(command) = command else { return serve::run(settings) };
    let settings = match Settings::load(settings, serve::environment()) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems.0 {
                error!("{problem}");
            }
            return ExitCode::from(BAD_USAGE);
        }
    };
    let done = interrupt::watch().and_then(|()| match command {
        Command::Export(arguments) => export::run(&arguments, &settings),
        Command::Import(arguments) => import::run(&arguments, &settings),
        Command::Inspect(arguments) => inspect::run(&arguments, &settings),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // One line: what failed and why.
            error!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}
