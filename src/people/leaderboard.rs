//! Leaderboards in memory: each is read from SQL at most once in two seconds, whoever asks, and only the last ones asked
//! for are kept.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

use super::{
    model::{Leaderboard, Ranked},
    repository::credits::ranking,
};
use crate::database::{Database, Trouble};

/// Lines of one.
pub const LINES: u64 = 100;

/// How old one may be.
const FRESH: Duration = Duration::from_secs(2);

/// How many are kept: 16 days of both, of some 10 KB each.
const KEPT: usize = 32;

type Key = (Leaderboard, Option<i32>);

struct Read {
    key: Key,
    at: Instant,
    lines: Arc<[Ranked]>,
}

/// Those that were asked for last.
pub struct Leaderboards {
    database: Database,
    /// The last one asked for comes last. Held while one is read, so that a crowd makes one query.
    read: Mutex<Vec<Read>>,
}

impl Leaderboards {
    /// Of this database.
    pub fn new(database: Database) -> Self {
        Self { database, read: Mutex::default() }
    }

    /// The first of all days, or of one.
    ///
    /// # Errors
    /// The database's trouble.
    pub async fn show(&self, of: Leaderboard, day: Option<i32>) -> Result<Arc<[Ranked]>, Trouble> {
        let mut read = self.read.lock().await;
        let key = (of, day);
        if let Some(found) = read.iter().find(|found| found.key == key)
            && found.at.elapsed() < FRESH
        {
            return Ok(found.lines.clone());
        }
        let lines = self
            .database
            .read(async move |connection: &_| Ok(ranking(connection, of, day, LINES).await?));
        let lines: Result<Vec<Ranked>, Trouble> = lines.await;
        let lines: Arc<[Ranked]> = lines?.into();
        read.retain(|found| found.key != key);
        if read.len() >= KEPT {
            read.remove(0);
        }
        read.push(Read { key, at: Instant::now(), lines: lines.clone() });
        Ok(lines)
    }
}
