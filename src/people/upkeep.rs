//! Forgets what is kept of people for a time only: players without an account who do not come back, and reports that were
//! closed. Every node does it once an hour; whoever comes second finds nothing left.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    People,
    accounts::{AccountError, Accounts},
    groups::{GroupError, Groups},
};
use crate::{live::Following, wall::now_ms};

/// Time between two rounds. Days are counted, so an hour sooner or later is nothing.
const INTERVAL: Duration = Duration::from_secs(3600);

/// How long a report is kept after an operator has closed it: whoever complains about the decision does so within weeks.
const REPORTS_KEPT_DAYS: u64 = 90;

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Forgotten {
    players: u64,
    reports: u64,
}

/// Why not all were.
#[derive(Debug, thiserror::Error)]
enum UpkeepError {
    #[error("players without an account are not forgotten: {0}")]
    Players(#[from] AccountError),
    #[error("closed reports are not forgotten: {0}")]
    Reports(#[from] GroupError),
}

impl People {
    /// Forgets what is due once an hour, for as long as the process lives; `people.anonymous_days` as it is by then.
    pub async fn keep_up(self: Arc<Self>, live: Following) {
        let mut rounds = interval(INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let days = live.now().anonymous_days;
            match forget(&self.accounts, &self.groups, days, now_ms()).await {
                Ok(Forgotten { players: 0, reports: 0 }) => {}
                Ok(Forgotten { players, reports }) => {
                    log::info!("people: forgot {players} players and {reports} reports");
                }
                // The next round finds what this one has left.
                Err(error) => log::warn!("people: {error}"),
            }
        }
    }
}

/// Forgets players without an account who did not come for `anonymous_days`, and reports that were closed long ago.
///
/// # Errors
/// The database's trouble; batches before it are gone.
async fn forget(
    accounts: &Accounts,
    groups: &Groups,
    anonymous_days: u32,
    now_ms: u64,
) -> Result<Forgotten, UpkeepError> {
    let mut forgotten = Forgotten::default();
    while let batch @ 1.. = accounts.expire_anonymous(anonymous_days, now_ms).await? {
        forgotten.players += batch;
    }
    let before_ms = now_ms.saturating_sub(REPORTS_KEPT_DAYS * 86_400_000);
    while let batch @ 1.. = groups.forget_reports(before_ms).await? {
        forgotten.reports += batch;
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests;
