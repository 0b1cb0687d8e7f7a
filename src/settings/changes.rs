//! What differs between the settings in force and those that were read again.

use config::Value;

use super::{
    Loaded,
    catalogue::{CATALOGUE, Change},
    show::{self, Setting},
};

/// The value in force of each setting, in the catalogue's order.
#[derive(Debug)]
pub struct InForce(Vec<Value>);

/// What was read and is not in force.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Taken over, as `key: old → new`; secrets masked.
    pub live: Vec<String>,
    /// The keys of those that need a restart.
    pub restart: Vec<&'static str>,
}

impl InForce {
    /// Those that a server was started with.
    pub fn of(loaded: &Loaded) -> Self {
        Self(loaded.values.clone())
    }

    /// Each of them as programs read it back; secrets masked.
    pub fn shown(&self) -> Vec<Setting> {
        CATALOGUE.iter().zip(&self.0).map(|(entry, value)| Setting::new(entry, value)).collect()
    }

    /// Takes over from `loaded` what may change while the server runs, and says what differs.
    pub fn take_over(&mut self, loaded: &Loaded) -> Changes {
        let mut changes = Changes::default();
        for ((entry, value), read) in CATALOGUE.iter().zip(&mut self.0).zip(&loaded.values) {
            if value.kind == read.kind {
                continue;
            }
            match entry.change {
                Change::Live => {
                    let (old, new) = (show::shown(entry, value), show::shown(entry, read));
                    changes.live.push(format!("{}: {old} → {new}", entry.key));
                    value.clone_from(read);
                }
                Change::Restart => changes.restart.push(entry.key),
            }
        }
        changes
    }
}
