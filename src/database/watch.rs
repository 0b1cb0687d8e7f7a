//! Connects in the background, migrates, and finds out when the database goes away and comes back, so that nobody else
//! waits for it. Owns [`State`].

use std::{fmt, time::Duration};

use sea_orm::{DatabaseConnection, DbErr};
use tokio::time::{sleep, timeout};

use super::{Shared, State, Target, migrations, migrations::MigrationError};

/// Longest time to connect and to be answered once. A server that takes connections does it within ms.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest time of all migrations of one attempt; what was done by then is not done again.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(600);

/// How often it is asked whether it is there: one statement a second of some 10,000.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// A server that does not answer the simplest statement for so long answers nobody.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// The first attempt after a failure comes so soon, each later one after twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// And never later: 30 nodes try 15 times a second together.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Runs until the database is closed.
pub(super) async fn watch(shared: &Shared) {
    let mut backoff = BACKOFF_MIN;
    loop {
        match begin(&shared.target).await {
            Ok(watcher) => {
                backoff = BACKOFF_MIN;
                let pool = shared.target.pool(shared.connections);
                shared.is_up(pool.clone());
                let why = until_it_fails(shared, &watcher).await;
                shared.is_away(why);
                // Connections that hang would keep it open for as long.
                tokio::task::spawn_local(async move {
                    let _ = tokio::join!(pool.close(), watcher.close());
                });
            }
            Err(why) => shared.is_away(why),
        }
        // Half of it by chance: nodes that lost the same server do not come back at one instant.
        sleep(backoff.mul_f64(rand::random_range(0.5..1.0))).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Connects and migrates; returns a connection of our own, which no crowd keeps us from.
async fn begin(target: &Target) -> Result<DatabaseConnection, String> {
    target.prepare()?;
    match timeout(CONNECT_TIMEOUT, target.knock()).await {
        Err(_) => return Err(format!("it did not answer within {CONNECT_TIMEOUT:?}")),
        Ok(Err(error)) => return Err(first_line(&error)),
        Ok(Ok(())) => {}
    }
    let watcher = target.pool(1);
    let migrated = match timeout(MIGRATE_TIMEOUT, migrations::migrate(&watcher)).await {
        Err(_) => Err(format!("it was not migrated within {MIGRATE_TIMEOUT:?}")),
        Ok(Err(MigrationError::Database(error))) => {
            Err(format!("migrating: {}", first_line(&error)))
        }
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(_)) => {
            log::info!("the database was brought to version {}", migrations::VERSION);
            Ok(())
        }
    };
    match migrated {
        Ok(()) => Ok(watcher),
        Err(why) => {
            tokio::task::spawn_local(watcher.close());
            Err(why)
        }
    }
}

/// What an error says, as the log and answers have room for it.
pub(super) fn first_line(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

async fn ping(watcher: &DatabaseConnection) -> Result<(), DbErr> {
    watcher.ping().await
}

/// Returns why it is away.
async fn until_it_fails(shared: &Shared, watcher: &DatabaseConnection) -> String {
    loop {
        // Whoever had trouble with it has us look at once.
        let _ = timeout(PING_INTERVAL, shared.suspected.notified()).await;
        match timeout(PING_TIMEOUT, ping(watcher)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return first_line(&error),
            Err(_) => return format!("it did not answer within {PING_TIMEOUT:?}"),
        }
    }
}

impl Shared {
    fn is_up(&self, pool: DatabaseConnection) {
        log::info!("the database at {} is up", self.target.shown());
        self.state.send_replace(State::Up(pool));
    }

    /// Says it once, and again when the reason is another.
    fn is_away(&self, why: String) {
        let is_new = !matches!(&*self.state.borrow(), State::Away(before) if **before == *why);
        if is_new {
            let place = self.target.shown();
            log::warn!(
                "the database at {place} is away; the board plays on, accounts do not: {why}"
            );
            self.state.send_replace(State::Away(why.into()));
        }
    }
}
