//! `billion`: serve the board until told to stop.

use std::{path::Path, process::ExitCode};

use log::error;

use crate::{
    settings::Settings,
    startup::{Application, Stopped},
};

/// Exit code for settings that cannot be used.
const BAD_SETTINGS: u8 = 2;

/// Serves. 0: stopped as asked; 1: failed; 2: the settings are wrong.
pub fn run(settings: Option<&Path>) -> ExitCode {
    let settings = match Settings::load(settings, std::env::vars().collect()) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems.0 {
                error!("{problem}");
            }
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    let ran = actix_rt::System::new()
        .block_on(async { Application::build(&settings).await?.run_until_stopped().await });
    match ran {
        Ok(Stopped::Asked) => ExitCode::SUCCESS,
        Ok(Stopped::Failed) => ExitCode::FAILURE,
        Err(failure) => {
            // One line: what failed and why.
            error!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}
