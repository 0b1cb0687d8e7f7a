//! `billion --check`: what is wrong with the settings, as far as it can be told without starting.

use std::process::ExitCode;

use super::{BAD_SETTINGS, say};
use crate::{
    arguments::SettingsArguments,
    routes::page::Page,
    settings::{self, Settings},
};

/// 0: nothing is wrong; 2: what is wrong has been said, one line each.
pub fn run(arguments: &SettingsArguments) -> ExitCode {
    let loaded = Settings::load(&arguments.sources());
    for notice in &loaded.notices {
        eprintln!("note: {notice}");
    }
    let mut problems = Vec::new();
    match &loaded.settings {
        Ok(settings) => {
            // Rereading pages are not compressed, which is not needed to know that they are there.
            let page = settings::Page { reload: true, ..settings.page.clone() };
            if let Err(error) = Page::load(&page) {
                problems.push(format!("{}: page.path: {error:#}", loaded.place("page.path")));
            }
        }
        Err(wrong) => problems.extend(wrong.0.iter().cloned()),
    }
    if problems.is_empty() {
        let read = loaded.read.iter().map(|(place, count)| format!(", {count} from {place}"));
        let read: String = read.collect();
        return say(format!("OK: the settings can be used (defaults{read})\n").as_bytes());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    let noun = if problems.len() == 1 { "problem" } else { "problems" };
    eprintln!("{} {noun}", problems.len());
    ExitCode::from(BAD_SETTINGS)
}
