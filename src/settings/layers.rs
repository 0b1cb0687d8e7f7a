//! Where settings come from, lowest first: the compiled-in defaults, the settings file, `.env`, the
//! environment, the command line. Knows what each of them says and at which place it says it.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::{
    aliases,
    catalogue::{CATALOGUE, Notation, find, nearest},
    dotenv,
    show::masked,
    variables::{self, Variable},
    written,
};
use crate::reading;

/// Where the settings file is looked for when none is named.
const FILE: &str = "settings.toml";

/// Where variables are looked for that the environment does not have.
const DOTENV: &str = ".env";

/// The defaults, with their documentation.
pub const DEFAULTS: &str = include_str!("../../settings.toml");

/// What the settings are made of.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Folder in which `settings.toml` and `.env` are looked for; empty: the working directory.
    pub folder: PathBuf,
    /// Settings file that was named, which must exist.
    pub file: Option<PathBuf>,
    /// The environment's variables; U+FFFD stands for what is not UTF-8.
    pub environment: Vec<(String, String)>,
    /// The command line's: what was written, which setting it means and what it sets it to.
    pub flags: Vec<Flag>,
}

/// One setting given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As it was written, `--address`.
    pub name: String,
    /// `section.key`.
    pub key: String,
    /// Not judged yet.
    pub value: String,
}

/// One setting as one source has it.
#[derive(Debug)]
pub struct Given {
    /// The place, as in `settings.toml:12`.
    pub origin: String,
    pub key: String,
    pub value: ValueKind,
}

/// Values of one source, lowest to highest within it.
#[derive(Debug, Clone, Default)]
pub struct Layer(Vec<(&'static str, Value)>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }
}

/// What was found while reading.
#[derive(Debug, Default)]
pub struct Findings {
    /// What keeps the server from starting.
    pub problems: Vec<String>,
    /// Settings that have a problem already, so that nothing is built upon their values.
    pub doubtful: Vec<String>,
    /// What was ignored or is hardly meant, and why.
    pub notices: Vec<String>,
    /// What was read, with the number of settings it has.
    pub read: Vec<(String, usize)>,
}

impl Sources {
    /// Every layer, lowest first.
    pub fn layers(&self, findings: &mut Findings) -> Vec<Layer> {
        let mut layers = Vec::new();
        let defaults = written::parse("default", DEFAULTS).expect("the defaults are valid TOML");
        let defaults =
            defaults.into_iter().map(|given| Given { origin: "default".into(), ..given });
        layers.push(layer(defaults.collect(), Notation::Toml, findings));

        let file = self.file.clone().unwrap_or_else(|| self.folder.join(FILE));
        if self.file.is_some() || there(&file) {
            // Whoever names a file may mean a pipe.
            let read = if self.file.is_some() { reading::named } else { reading::found };
            let given = read_file(&file, read, findings);
            add(&mut layers, file.display().to_string(), given, Notation::Toml, findings);
        }
        let file = self.folder.join(DOTENV);
        let place = file.display().to_string();
        if there(&file) {
            let variables = dotenv::read(&file, &place, &self.environment, findings);
            add(&mut layers, place, given_by(&variables, findings), Notation::Text, findings);
        }
        let environment = self.environment.iter().map(|(name, value)| Variable {
            place: format!("environment {name}"),
            name: name.clone(),
            value: value.clone(),
        });
        let given = given_by(&environment.collect::<Vec<_>>(), findings);
        add(&mut layers, "environment".into(), given, Notation::Text, findings);
        let flags = self.flags.iter().map(|flag| Given {
            origin: format!("flag {}", flag.name),
            key: flag.key.clone(),
            value: ValueKind::String(flag.value.clone()),
        });
        add(&mut layers, "flags".into(), flags.collect(), Notation::Text, findings);
        layers
    }
}

fn add(
    layers: &mut Vec<Layer>,
    place: String,
    given: Vec<Given>,
    notation: Notation,
    findings: &mut Findings,
) {
    findings.read.push((place, given.len()));
    layers.push(layer(given, notation, findings));
}

impl Findings {
    /// Puts problems and notices into the order in which the places are read, and within a file into that
    /// of its lines: they are found step by step, and mended from top to bottom.
    pub fn sort(&mut self) {
        let read: Vec<&str> = self.read.iter().map(|(place, _)| place.as_str()).collect();
        let order = |told: &String| {
            let found = read.iter().enumerate().find_map(|(rank, place)| {
                let rest = told.strip_prefix(place)?;
                rest.starts_with([':', ' ']).then(|| (rank, rest.strip_prefix(':').unwrap_or("")))
            });
            // Those of flags, and what comes from nowhere in particular.
            let (rank, after) = found.unwrap_or((read.len(), ""));
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            (rank, after[..digits].parse::<usize>().unwrap_or(0))
        };
        self.problems.sort_by_key(order);
        self.notices.sort_by_key(order);
    }
}

/// What is set by variables: the older server's names first, so that ours win.
fn given_by(variables: &[Variable], findings: &mut Findings) -> Vec<Given> {
    for Variable { place, name, value } in variables {
        let is_ours = variables::is_read(name) && name != aliases::LOG;
        if value.contains(char::REPLACEMENT_CHARACTER) && is_ours {
            findings.problems.push(format!("{place}: is not text in UTF-8"));
        }
    }
    let mut given = aliases::read(variables, findings);
    given.extend(variables::read_ours(variables, findings));
    given
}

/// Whether there is anything at `path`. What cannot be looked at counts: ignoring it would mean
/// to serve with other settings than were meant.
fn there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// How the bytes of a file are read.
type Read = fn(&Path) -> std::io::Result<Vec<u8>>;

/// All of a file, or what is wrong with it.
pub fn read_text(path: &Path, place: &str, read: Read) -> Result<String, String> {
    let bytes = read(path).map_err(|error| {
        if error.kind() == ErrorKind::NotFound && path.is_symlink() {
            return format!("{place}: cannot be read: it is a link to a file that does not exist");
        }
        format!("{place}: cannot be read: {error}")
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..good];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = good - start + 1;
        format!("{place}:{line}: is not text in UTF-8 (byte {column} of the line)")
    })
}

fn read_file(path: &Path, read: Read, findings: &mut Findings) -> Vec<Given> {
    let place = path.display().to_string();
    let text = match read_text(path, &place, read) {
        Ok(text) => text,
        Err(problem) => {
            findings.problems.push(problem);
            return Vec::new();
        }
    };
    match written::parse(&place, &text) {
        Ok(given) => given,
        Err(mistakes) => {
            // A half-understood file would only yield problems that are not there.
            findings.problems.extend(mistakes);
            Vec::new()
        }
    }
}

/// Takes what is known and fits, and says what is wrong with the rest.
fn layer(given: Vec<Given>, notation: Notation, findings: &mut Findings) -> Layer {
    let mut layer = Layer::default();
    for Given { origin, key, value } in given {
        let Some(entry) = find(&key) else {
            findings.problems.push(format!("{origin}: {}", unknown(&key)));
            continue;
        };
        match entry.fit(value, notation) {
            Ok(value) => layer.0.push((entry.key, Value::new(Some(&origin), value))),
            Err(problem) => {
                findings.problems.push(format!("{origin}: {problem}"));
                findings.doubtful.push(key);
            }
        }
    }
    layer
}

/// What to say of a setting that does not exist.
fn unknown(key: &str) -> String {
    // Whatever was taken for a name may be an address with a password in it.
    let told = masked(key);
    let keys = CATALOGUE.iter().map(|entry| entry.key);
    if let Some(section) = key.strip_suffix(".*") {
        let sections = keys.filter_map(|key| Some(key.split_once('.')?.0));
        let hint = match nearest(section, sections) {
            Some(section) => format!(" (did you mean [{section}]?)"),
            None => " (--print-settings lists all there is)".to_owned(),
        };
        return format!("unknown section [{}]{hint}", masked(section));
    }
    if keys.clone().any(|known| known.split_once('.').is_some_and(|(section, _)| section == key)) {
        return format!("{key} is a section: name a setting in it, as {key}.…");
    }
    match nearest(key, keys) {
        Some(nearest) => format!("{told}: unknown setting (did you mean {nearest}?)"),
        None => format!("{told}: unknown setting (--print-settings lists all there is)"),
    }
}
