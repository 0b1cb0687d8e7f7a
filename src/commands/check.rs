//! `billion --check`: what is wrong with the settings, as far as it can be told without starting.

use std::{fs, io::ErrorKind, path::Path, process::ExitCode};

use super::{BAD_SETTINGS, say};
use crate::{
    arguments::SettingsArguments,
    routes::page::Page,
    settings::{self, Loaded, Settings, masked_text},
};

/// 0: nothing is wrong; 2: what is wrong has been said, one line each.
pub fn run(arguments: &SettingsArguments) -> ExitCode {
    let loaded = Settings::load(&arguments.sources());
    for notice in &loaded.notices {
        eprintln!("note: {notice}");
    }
    let problems = problems(&loaded);
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

/// Everything that keeps a server from starting with these settings; changes nothing.
pub fn problems(loaded: &Loaded) -> Vec<String> {
    let settings = match &loaded.settings {
        Ok(settings) => settings,
        Err(wrong) => return wrong.0.clone(),
    };
    // Rereading pages are not compressed, which is not needed to know that they are there.
    let page = settings::Page { reload: true, ..settings.page.clone() };
    let page = Page::load(&page).err().map(|error| ("page.path", format!("{error:#}")));
    let store = if settings.redis.is_used() {
        settings.redis.access().err().map(|error| ("redis.ca_file", format!("{error:#}")))
    } else {
        folder(&settings.store.path).map(|problem| ("store.path", problem))
    };
    let found = page.into_iter().chain(store);
    found.map(|(key, told)| masked_text(&format!("{}: {key}: {told}", loaded.place(key)))).collect()
}

/// What keeps `path` from being a folder, or from becoming one.
fn folder(path: &Path) -> Option<String> {
    let problem = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return None,
        Ok(_) => "is not a folder: choose a folder for the data".to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if !path.is_symlink() {
                return None;
            }
            "is a link to a folder that does not exist".to_owned()
        }
        Err(error) => error.to_string(),
    };
    Some(format!("{}: {problem}", path.display()))
}
