//! `billion`: serve the board until told to stop.

use std::process::ExitCode;

use log::error;

use super::load;
use crate::{
    arguments::SettingsArguments,
    startup::{Application, Stopped},
};

/// Serves. 0: stopped as asked; 1: failed; 2: the settings are wrong.
pub fn run(arguments: &SettingsArguments) -> ExitCode {
    let settings = match load(arguments) {
        Ok(settings) => settings,
        Err(code) => return code,
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
