//! `billion --print-settings`: every setting, its value and where it comes from.

use std::process::ExitCode;

use super::{BAD_SETTINGS, complain, say};
use crate::{arguments::SettingsArguments, settings::Settings};

/// 0: printed; 2: printed without the values that cannot be used, which are told instead.
pub fn run(arguments: &SettingsArguments) -> ExitCode {
    let loaded = Settings::load(&arguments.sources());
    let said = say(loaded.print().as_bytes());
    for notice in &loaded.notices {
        complain(format_args!("note: {notice}"));
    }
    match loaded.settings {
        Ok(_) => said,
        Err(problems) => {
            complain(problems);
            ExitCode::from(BAD_SETTINGS)
        }
    }
}
