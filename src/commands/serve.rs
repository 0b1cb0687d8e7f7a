//! `billion`: serve the board until told to stop.

use std::process::ExitCode;

use log::warn;

use super::{BAD_SETTINGS, check};
use crate::{
    arguments::SettingsArguments,
    logging::{self, fatal},
    settings::{InForce, Settings},
    signals::Signals,
    startup::{Application, Stopped},
};

/// Serves. 0: stopped as asked; 1: failed; 2: the settings are wrong.
pub fn run(arguments: &SettingsArguments) -> ExitCode {
    // First: SIGHUP, which asks for settings to be read again, ends a process that does not listen for it yet.
    let system = actix_rt::System::new();
    logging::hand_over();
    let signals = match system.block_on(async { Signals::new() }) {
        Ok(signals) => signals,
        Err(failure) => {
            fatal(format_args!("{failure:#}"));
            return ExitCode::FAILURE;
        }
    };
    let sources = arguments.sources();
    let loaded = Settings::load(&sources);
    logging::follow(&loaded.log.format, &loaded.log.level);
    for notice in check::notices(&loaded) {
        warn!("{notice}");
    }
    let problems = check::problems(&loaded);
    for problem in &problems {
        fatal(problem);
    }
    let in_force = InForce::of(&loaded);
    let Ok(settings) = loaded.settings else { return ExitCode::from(BAD_SETTINGS) };
    if !problems.is_empty() {
        return ExitCode::from(BAD_SETTINGS);
    }
    let ran = system.block_on(async {
        match Application::build(&settings, in_force, sources, signals).await? {
            Some(application) => application.run_until_stopped().await,
            None => Ok(Stopped::Asked),
        }
    });
    match ran {
        Ok(Stopped::Asked) => ExitCode::SUCCESS,
        Ok(Stopped::Failed) => ExitCode::FAILURE,
        Err(failure) => {
            // One line: what failed and why.
            fatal(format_args!("{failure:#}"));
            ExitCode::FAILURE
        }
    }
}
