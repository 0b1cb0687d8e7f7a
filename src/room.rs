//! How many connections the open files of this process leave room for. One player is one file.

use anyhow::{Result, bail};
use log::warn;

use crate::{http, settings::Settings, usage};

/// Descriptors for everything but players: listeners, store, workers, page requests.
const DESCRIPTORS_RESERVED: usize = 256;

/// Descriptors that are open before anybody comes: so many, of which 14 are those of the database's thread and its
/// first three connections to SQLite, and 6 more for others of them …
const DESCRIPTORS_OWN: usize = 46;

/// … and so many for each worker and each thread of shards (both counted in /proc/self/fd).
const DESCRIPTORS_PER_THREAD: usize = 4;

/// What the process may open, and what its threads need of that.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    files: usize,
    workers: usize,
    /// Players whom there are files for.
    players_max: usize,
}

impl Room {
    /// Raises the limit of open files as far as it goes, and sees what it leaves.
    ///
    /// # Errors
    /// If there is no room for a single player.
    pub fn make(settings: &Settings, workers: usize) -> Result<Self> {
        let files = usage::raise_descriptors_max().unwrap_or(usize::MAX);
        let threads = workers + settings.shards.threads;
        let needed = DESCRIPTORS_OWN + DESCRIPTORS_PER_THREAD * threads;
        let players_max = files.saturating_sub(needed.max(DESCRIPTORS_RESERVED.min(files / 2)));
        if players_max == 0 {
            bail!(
                "only {files} files may be open, and {threads} threads of server.workers and \
                 shards.threads need {needed} before the first player comes: raise the limit with \
                 ulimit -n or LimitNOFILE, or take fewer threads"
            );
        }
        Ok(Self { files, workers, players_max })
    }

    /// How many players are taken where `wanted` are wanted; fewer, with a warning, if there is no room for more.
    pub fn connections_max(&self, wanted: usize) -> usize {
        let Self { files, players_max, .. } = self;
        if *players_max < wanted {
            warn!(
                "server.max_connections = {wanted}, but only {files} files may be open: taking \
                 {players_max} players (raise the limit with ulimit -n or LimitNOFILE)"
            );
        }
        wanted.min(*players_max)
    }

    /// Idle HTTP connections that a worker may keep beside so many players.
    pub fn kept_max(&self, connections_max: usize) -> usize {
        http::kept_max(self.files.saturating_sub(connections_max), self.workers)
    }
}

#[cfg(test)]
impl Room {
    /// For more players than any test wants.
    pub fn endless() -> Self {
        Self { files: 1 << 20, workers: 1, players_max: 1 << 20 }
    }
}
