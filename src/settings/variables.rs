//! Variables of the environment and of `.env`: reads the file, and our own `BILLION__…` names.

use std::{
    cell::Cell,
    io::{BufRead as _, Read},
    path::Path,
    rc::Rc,
};

use config::ValueKind;

use super::{
    aliases::ALIASES,
    catalogue::{CATALOGUE, find, nearest},
    layers::{Findings, Given, NO_REDIS},
};

const PREFIX: &str = "BILLION__";

/// One variable.
#[derive(Debug)]
pub struct Variable {
    /// Where it is set, as in `.env:3 LIMITER_LIMIT`.
    pub place: String,
    pub name: String,
    pub value: String,
}

/// The variables in a `.env` file. The process's own environment stays as it is.
pub fn read_dotenv(path: &Path, place: &str, findings: &mut Findings) -> Vec<Variable> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            findings.problems.push(format!("{place}: cannot be read: {error}"));
            return Vec::new();
        }
    };
    let line = Rc::new(Cell::new(0));
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).as_bytes();
    let lines = dotenvy::from_read_iter(Lines { text, line: line.clone() });
    let mut variables = Vec::new();
    for item in lines {
        let line = line.get();
        match item {
            Ok((name, value)) => {
                variables.push(Variable { place: format!("{place}:{line} {name}"), name, value });
            }
            // Without the line itself: it may hold a secret.
            Err(_) => findings.problems.push(format!(
                "{place}:{line}: no variable can be read here: write NAME=value, in quotes if the \
                 value has spaces or quotes in it"
            )),
        }
    }
    variables
}

/// Hands out one line a read, so that whoever parses them can be asked for the line it is at.
struct Lines<'a> {
    text: &'a [u8],
    line: Rc<Cell<usize>>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let room = buffer.len().min(self.text.len());
        let wanted =
            self.text[..room].iter().position(|byte| *byte == b'\n').map_or(room, |at| at + 1);
        let read = (&mut self.text).take(wanted as u64).read(buffer)?;
        if buffer[..read].ends_with(b"\n") || (read > 0 && self.text.fill_buf()?.is_empty()) {
            self.line.set(self.line.get() + 1);
        }
        Ok(read)
    }
}

/// What the variables named `BILLION__SECTION__KEY` set.
pub fn read_ours(variables: &[Variable], findings: &mut Findings) -> Vec<Given> {
    let mut given = Vec::new();
    for Variable { place, name, value } in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            if let Some(meant) = with_too_few_underscores(name) {
                findings.notices.push(format!("{place}: ignored (did you mean {meant}?)"));
            }
            continue;
        };
        let key = rest.to_lowercase().replace("__", ".");
        if key == "redis" || key.starts_with("redis.") {
            findings.problems.push(format!("{place}: {NO_REDIS}"));
        } else if find(&key).is_none() {
            let keys = CATALOGUE.iter().map(|entry| entry.key);
            let hint = match nearest(&key, keys) {
                Some(nearest) => format!("did you mean {}?", variable(nearest)),
                None => "--print-settings lists all there is".to_owned(),
            };
            findings.problems.push(format!("{place}: unknown setting ({hint})"));
        } else {
            let value = ValueKind::String(value.clone());
            given.push(Given { origin: place.clone(), key, value });
        }
    }
    given
}

/// Whether a variable of that name can set anything.
pub fn is_read(name: &str) -> bool {
    name.starts_with(PREFIX) || ALIASES.iter().any(|(known, _)| *known == name)
}

/// The variable that sets `key`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// The variable meant by one like `BILLION_SERVER_ADDRESS`.
fn with_too_few_underscores(name: &str) -> Option<String> {
    let rest = name.strip_prefix("BILLION_")?.trim_start_matches('_').to_lowercase();
    let squeezed = rest.replace("__", "_");
    let meant = CATALOGUE.iter().find(|entry| entry.key.replace('.', "_") == squeezed)?;
    Some(variable(meant.key))
}
