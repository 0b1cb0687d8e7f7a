//! What the binary can be told to do, one file each, and what they share.

pub mod admin;
pub mod check;
pub mod completions;
pub mod health;
pub mod print_settings;
pub mod serve;
pub mod export;
pub mod import;
pub mod inspect;
pub mod reset;
pub mod limits;
pub mod people;
mod source;
mod cluster;
mod remote;
mod output;
mod progress;
mod interrupt;

use std::{
    fmt::Display,
    io::{ErrorKind, Write as _},
    process::ExitCode,
};

use log::warn;

use crate::{
    arguments::SettingsArguments,
    logging::{self, fatal},
    settings::Settings,
};

/// Exit code for settings that cannot be used.
pub const BAD_SETTINGS: u8 = 2;

/// Loads the settings. What is wrong with them is logged, and the exit code is given instead.
pub fn load(arguments: &SettingsArguments) -> Result<Settings, ExitCode> {
    let loaded = Settings::load(&arguments.sources());
    logging::follow(&loaded.log.format, &loaded.log.level);
    for notice in loaded.notices {
        warn!("{notice}");
    }
    loaded.settings.map_err(|problems| {
        for problem in problems.0 {
            fatal(problem);
        }
        ExitCode::from(BAD_SETTINGS)
    })
}

/// An argument that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongArgument(String);

/// Does `work` with the settings. 0: done; 1: failed; 2: the settings or an argument are wrong.
fn with_settings(
    arguments: &SettingsArguments,
    work: impl FnOnce(&Settings) -> anyhow::Result<()>,
) -> ExitCode {
    let settings = match load(arguments) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match interrupt::watch().and_then(|()| work(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // One line: what failed and why.
            fatal(format_args!("{failure:#}"));
            if failure.is::<WrongArgument>() {
                return ExitCode::from(BAD_SETTINGS);
            }
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output. A reader that had enough (`| head`) is no failure.
fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::anyhow!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Prints, for a command that does nothing else; its exit code.
fn say(text: &[u8]) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            fatal(failure);
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard error. Where that is closed or full nobody listens, and the exit code is left.
fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
