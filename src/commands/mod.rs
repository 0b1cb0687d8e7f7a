//! What the binary can be told to do, one file each, and what the commands share.

pub mod serve;
pub mod health;
pub mod export;
pub mod import;
pub mod inspect;
mod source;
mod remote;
mod output;
mod progress;
mod interrupt;

use std::{path::Path, process::ExitCode};

use log::error;

use crate::settings::Settings;

/// Does `work` with the settings. 0: done; 1: failed; 2: the settings are wrong.
fn with_settings(
    settings: Option<&Path>,
    work: impl FnOnce(&Settings) -> anyhow::Result<()>,
) -> ExitCode {
    let settings = match Settings::load(settings, serve::environment()) {
        Ok(settings) => settings,
        Err(problems) => {
            for problem in problems.0 {
                error!("{problem}");
            }
            return ExitCode::from(serve::BAD_SETTINGS);
        }
    };
    match interrupt::watch().and_then(|()| work(&settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // One line: what failed and why.
            error!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}
