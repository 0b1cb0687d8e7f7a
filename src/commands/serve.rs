//! `billion`: serve the board until told to stop.

use std::{collections::HashMap, ffi::OsString, path::Path, process::ExitCode};

use log::error;

use crate::{
    settings::Settings,
    startup::{Application, Stopped},
};

/// Exit code for settings that cannot be used.
pub const BAD_SETTINGS: u8 = 2;

/// The environment, without what is not text: no setting of ours can be among that.
pub fn environment() -> HashMap<String, String> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Serves. 0: stopped as asked; 1: failed; 2: the settings are wrong.
pub fn run(settings: Option<&Path>) -> ExitCode {
    let settings = match Settings::load(settings, environment()) {
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
