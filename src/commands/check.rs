//! `billion --check`: what is wrong with the settings, as far as it can be told without starting.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::Path,
    process::ExitCode,
};

use super::{BAD_SETTINGS, complain, say};
use crate::{
    admin::tokens::Tokens,
    arguments::SettingsArguments,
    routes::page::{self, Page},
    settings::{self, Loaded, Settings, masked_text},
    store::embedded::{file_of, place::nearest_existing, snapshot},
};
use actors::store::StoreError;

/// Room that a store takes which is still to be made: 1 MB.
const NEW_STORE_BYTES: usize = 1024 * 1024;

/// 0: nothing is wrong; 2: what is wrong has been said, one line each.
pub fn run(arguments: &SettingsArguments) -> ExitCode {
    let loaded = Settings::load(&arguments.sources());
    for notice in notices(&loaded) {
        complain(format_args!("note: {notice}"));
    }
    let mut problems = problems(&loaded);
    if let Ok(settings) = &loaded.settings
        && problems.is_empty()
        && !settings.redis.is_used()
        && let Some(problem) = store(settings)
    {
        problems.push(told(&loaded, "store.path", &problem));
    }
    if problems.is_empty() {
        let read = loaded.read.iter().map(|(place, count)| format!(", {count} from {place}"));
        let read: String = read.collect();
        return say(format!("OK: the settings can be used (defaults{read})\n").as_bytes());
    }
    for problem in &problems {
        complain(problem);
    }
    let noun = if problems.len() == 1 { "problem" } else { "problems" };
    complain(format_args!("{} {noun}", problems.len()));
    ExitCode::from(BAD_SETTINGS)
}

/// What was ignored, is hardly meant or may be missed; one line each.
pub fn notices(loaded: &Loaded) -> impl Iterator<Item = &str> {
    let page = loaded.settings.as_ref().ok().and_then(|settings| page::notice(&settings.page));
    loaded.notices.iter().map(String::as_str).chain(page)
}

/// Everything that keeps a server from starting with these settings; changes nothing.
pub fn problems(loaded: &Loaded) -> Vec<String> {
    let settings = match &loaded.settings {
        Ok(settings) => settings,
        Err(wrong) => return wrong.0.clone(),
    };
    // Rereading pages are not compressed, which is not needed to know that they are there.
    let page = settings::Page { reload: true, ..settings.page.clone() };
    let page = Page::load(&page, settings.server.base(), settings.people.chat)
        .err()
        .map(|error| ("page.path", format!("{error:#}")));
    let token_file = &settings.admin.token_file;
    let tokens = (!token_file.as_os_str().is_empty())
        .then(|| Tokens::read(token_file).err())
        .flatten()
        .map(|problem| ("admin.token_file", problem));
    let store = if settings.redis.is_used() {
        settings.redis.access().err().map(|error| ("redis.ca_file", format!("{error:#}")))
    } else {
        folder(&settings.store.path).map(|problem| ("store.path", problem))
    };
    let found = page.into_iter().chain(tokens).chain(store);
    found.map(|(key, problem)| told(loaded, key, &problem)).collect()
}

fn told(loaded: &Loaded, key: &str, problem: &str) -> String {
    masked_text(&format!("{}: {key}: {problem}", loaded.place(key)))
}

/// What keeps this process from opening the store or making one, as far as that is known in a moment. A server may
/// be running on it; nothing is changed, and nothing left behind.
fn store(settings: &Settings) -> Option<String> {
    let (folder, board) = (&settings.store.path, settings.board());
    let file = file_of(folder, board.name());
    let new = match fs::symlink_metadata(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        _ => {
            if let Err(error) = OpenOptions::new().read(true).write(true).open(&file) {
                return Some(format!("{} cannot be read and written: {error}", file.display()));
            }
            match snapshot::check(&file, &board) {
                Ok(()) | Err(StoreError::InUse(_)) => {}
                Err(error) => return Some(error.to_string()),
            }
            false
        }
    };
    let nearest = nearest_existing(folder);
    let bytes = vec![0; if new { NEW_STORE_BYTES } else { 0 }];
    // Has no name, or has lost it before this returns.
    let written = tempfile::tempfile_in(nearest).and_then(|mut file| file.write_all(&bytes));
    let error = written.err()?;
    Some(format!(
        "nothing can be written in {}: {error}: choose a folder that this process's user may write to",
        nearest.display()
    ))
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
