//! Variables of the environment and of `.env`: our own `BILLION__…` names.

use config::ValueKind;

use super::{
    aliases::ALIASES,
    catalogue::{CATALOGUE, find, nearest},
    layers::{Findings, Given},
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

/// What the variables named `BILLION__SECTION__KEY` set.
pub fn read_ours(variables: &[Variable], findings: &mut Findings) -> Vec<Given> {
    let mut given = Vec::new();
    for Variable { place, name, value } in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            if let Some(meant) = misspelt(name) {
                findings.notices.push(format!("{place}: ignored (did you mean {meant}?)"));
            }
            continue;
        };
        let key = rest.to_lowercase().replace("__", ".");
        if find(&key).is_none() {
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

/// The variable meant by one like `BILLION_SERVER_ADDRESS` or `billion__server__address`.
fn misspelt(name: &str) -> Option<String> {
    let rest = name.to_lowercase();
    let rest = rest.strip_prefix("billion_")?;
    let squeezed = rest.trim_start_matches('_').replace("__", "_");
    let meant = CATALOGUE.iter().find(|entry| entry.key.replace('.', "_") == squeezed);
    if let Some(meant) = meant {
        return Some(variable(meant.key));
    }
    let key = rest.strip_prefix('_')?.replace("__", ".");
    let meant = nearest(&key, CATALOGUE.iter().map(|entry| entry.key));
    Some(meant.map_or_else(|| format!("{PREFIX}SECTION__KEY"), variable))
}
