//! Layers, places, refusals and aliases; and that the documentation tells what is.

mod aliases;
mod changes;
mod documentation;
mod layering;
mod refusals;
mod values;

use std::fs;

use super::{Flag, Loaded, Problems, Settings, Sources};

/// A folder with these files, an environment and flags.
#[derive(Default)]
struct Case<'a> {
    file: &'a str,
    dotenv: &'a str,
    environment: &'a [(&'a str, &'a str)],
    flags: &'a [(&'a str, &'a str, &'a str)],
}

impl Case<'_> {
    /// What is loaded, with the places relative to the folder.
    fn load(&self) -> Loaded {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = |text: &&str| (*text).to_owned();
        for (name, content) in [("settings.toml", self.file), (".env", self.dotenv)] {
            if !content.is_empty() {
                fs::write(folder.path().join(name), content).expect("a writable file");
            }
        }
        let sources = Sources {
            folder: folder.path().to_owned(),
            file: None,
            environment: self.environment.iter().map(|(k, v)| (text(k), text(v))).collect(),
            flags: self
                .flags
                .iter()
                .map(|(name, key, value)| Flag {
                    name: text(name),
                    key: text(key),
                    value: text(value),
                })
                .collect(),
        };
        let mut loaded = Settings::load(&sources);
        let prefix = format!("{}/", folder.path().display());
        let relative = |line: &mut String| *line = line.replace(&prefix, "");
        loaded.notices.iter_mut().for_each(relative);
        if let Err(problems) = &mut loaded.settings {
            problems.0.iter_mut().for_each(relative);
        }
        loaded
    }

    fn settings(&self) -> Settings {
        self.load().settings.expect("nothing is wrong")
    }

    fn problems(&self) -> Vec<String> {
        let Problems(problems) = self.load().settings.expect_err("something is wrong");
        problems
    }

    /// The one thing that is wrong.
    fn problem(&self) -> String {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].clone()
    }
}

fn file(file: &str) -> Case<'_> {
    Case { file, ..Case::default() }
}

fn environment<'a>(environment: &'a [(&'a str, &'a str)]) -> Case<'a> {
    Case { environment, ..Case::default() }
}
