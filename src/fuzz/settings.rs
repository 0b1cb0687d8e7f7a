//! Settings: a settings file and, behind a zero byte, a `.env` file.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{
    admission,
    limits::{self, Counts},
    settings::{Loaded, Settings, Sources},
};

/// Stands in for secrets where settings are printed.
const MASK: &str = "***";

/// Settings are refused with lines that fit into a log, or everything can be built from them, and what is printed of
/// them says the same again.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static FOLDERS: [TempDir; 2] =
            [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
    }
    let zero = bytes.iter().position(|byte| *byte == 0);
    let (file, dotenv) = zero.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 1..]));
    FOLDERS.with(|[folder, other]| {
        let loaded = load(folder.path(), file, dotenv);
        let Ok(settings) = &loaded.settings else { return };
        build(settings);
        let printed = loaded.print();
        if printed.contains(MASK) {
            return;
        }
        match load(other.path(), printed.as_bytes(), b"").settings {
            Ok(again) => assert_eq!(format!("{again:?}"), format!("{settings:?}"), "{printed}"),
            Err(problems) => panic!("what is printed is refused: {problems}\n{printed}"),
        }
    });
}

fn load(folder: &Path, file: &[u8], dotenv: &[u8]) -> Loaded {
    for (name, content) in [("settings.toml", file), (".env", dotenv)] {
        fs::write(folder.join(name), content).expect("a writable file");
    }
    let loaded = Settings::load(&Sources { folder: folder.to_owned(), ..Sources::default() });
    let problems = loaded.settings.as_ref().err().map_or(&[][..], |problems| &problems.0[..]);
    for line in problems.iter().chain(&loaded.notices) {
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    assert!(loaded.settings.is_ok() || !problems.is_empty(), "refused without a reason");
    loaded
}

/// What the server builds from settings that it has accepted, as far as nothing but they decide.
fn build(settings: &Settings) {
    assert_eq!(settings.board().boxes(), settings.board.boxes);
    settings.node();
    settings.news_gather();
    if settings.redis.ca_file.as_os_str().is_empty() {
        settings.cluster().expect("addresses were judged when they were read");
    }
    limits::rules::Rules::new(settings, &Counts::default(), &std::sync::Arc::default());
    admission::Rules::new(&settings.server, settings.server.max_connections);
}
