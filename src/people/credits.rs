//! Collects credits: brings the counters that the stores keep to where totals and leaderboards are made.
//!
//! Once a second the collector of a board reads the counters that this node's commits have changed and hands them to a
//! [`Sink`], until it has taken them. A sweep at the start and every ten minutes reads all counters, which finds what a
//! killed node, or this one when its memory was full, has not handed over. What is handed over is the value of a
//! counter, never a difference, so twice is as good as once.
//!
//! It is the only code that forgets counters: a sweep removes those of a day that is long over, after the sink has them.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use actors::{
    player::UserId,
    store::{
        BoxFuture, StoreError,
        credits::{Counted, CreditCursor, CreditKey, CreditPage, CreditRange, Credits, Day},
    },
};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::store::credits::Today;

/// Time between two rounds.
const ROUND: Duration = Duration::from_secs(1);

/// Time between two sweeps.
const SWEEP: Duration = Duration::from_secs(600);

/// Counters handed over at once: a millisecond of the embedded store's thread, one statement of SQL.
const PIECE: usize = 1000;

/// Pages of a sweep in one round, so that changed counters do not wait for it.
const PAGES: usize = 50;

/// Days that a counter is kept after its own. A node whose clock is wrong by less loses nothing.
const KEPT_DAYS: u32 = 2;

/// Longest time for what is left at the end.
const LAST_ROUND: Duration = Duration::from_secs(2);

/// How often somebody was the first to check a box of a range, on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// Of the board that is collected.
    pub range: CreditRange,
    /// Who.
    pub user: UserId,
    /// When.
    pub day: Day,
    /// So far. A later one for the same range, user and day is greater.
    pub count: u64,
}

/// Why credits were not taken.
#[derive(Debug, Clone, thiserror::Error)]
#[error("credits cannot be written down: {0}")]
pub struct Away(pub String);

/// Where credits are written down.
pub trait Sink: Send + Sync + 'static {
    /// Writes down credits. Of two counts of one counter the greater one wins, since they may come twice and in any order.
    ///
    /// # Errors
    /// If it is not certain that all of them are durable: they come again.
    fn take(&self, credits: Arc<[Credit]>) -> BoxFuture<Result<(), Away>>;
}

/// What collectors count. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct CreditStats {
    handed_over: Counter,
    waiting: Gauge,
    sweeps: Counter,
    failures: Counter,
    forgotten: Counter,
}

impl CreditStats {
    /// Adds the metrics to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let mut counter = |name, help, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("credits_collected", "Counters of credits handed over", &self.handed_over);
        counter("credits_sweeps", "Times all counters were read to the end", &self.sweeps);
        counter("credits_failures", "Rounds ended by the store or the database", &self.failures);
        counter("credits_forgotten", "Counters removed after their day", &self.forgotten);
        let help = "Counters changed and not handed over";
        registry.register("credits_waiting", help, self.waiting.clone());
    }
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sink(#[from] Away),
}

/// Collects the credits of one board.
pub struct Collector {
    store: Arc<dyn Credits>,
    sink: Arc<dyn Sink>,
    today: Today,
    stats: CreditStats,
    /// Changed and not taken by the sink. Filled only when it is empty, so the store's bound is its own, and what changes
    /// meanwhile is remembered there.
    waiting: BTreeSet<(CreditRange, CreditKey)>,
    /// Where the sweep under way goes on.
    sweeping: Option<(CreditRange, CreditCursor)>,
    /// More was changed than anybody remembers: a sweep begins when none is under way.
    is_sweep_needed: bool,
    sweep_at: Instant,
    /// So that an outage is one line of the log.
    is_failing: bool,
}

impl Collector {
    /// One that sweeps first.
    pub fn new(
        store: Arc<dyn Credits>,
        sink: Arc<dyn Sink>,
        today: Today,
        stats: CreditStats,
    ) -> Self {
        Self {
            store,
            sink,
            today,
            stats,
            waiting: BTreeSet::new(),
            sweeping: None,
            is_sweep_needed: false,
            sweep_at: Instant::now(),
            is_failing: false,
        }
    }

    /// Collects until `stop` is ready, and once more after it.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = rounds.tick() => {}
            }
            // Whatever a round is at when it is dropped, it is done again: by the next one, or at the next start.
            tokio::select! {
                () = &mut stop => break,
                () = self.round(Instant::now()) => {}
            }
        }
        // What is not handed over now is found by the first sweep of the next start.
        let _ = timeout(LAST_ROUND, self.changed()).await;
    }

    /// Hands over what has changed, and goes on with a sweep if one is due.
    async fn round(&mut self, now: Instant) {
        let ended = match self.changed().await {
            Ok(()) => self.sweep(now).await,
            Err(ended) => Err(ended),
        };
        match &ended {
            Ok(()) if self.is_failing => log::info!("credits are written down again"),
            Err(ended) if !self.is_failing => log::warn!("credits wait: {ended}"),
            _ => {}
        }
        self.is_failing = ended.is_err();
        self.stats.failures.inc_by(u64::from(self.is_failing));
    }

    async fn changed(&mut self) -> Result<(), Ended> {
        if self.waiting.is_empty() {
            let changed = self.store.changed_credits();
            self.waiting = changed.keys;
            self.is_sweep_needed |= changed.is_cut;
        }
        self.stats.waiting.set(self.waiting.len() as i64);
        while let Some((range, _)) = self.waiting.first().copied() {
            let of_range = self.waiting.iter().take_while(|(other, _)| *other == range);
            let keys: Vec<CreditKey> = of_range.map(|(_, key)| *key).take(PIECE).collect();
            let counts = self.store.credits(range, keys.clone()).await?;
            let counted: Vec<Counted> = keys.iter().copied().zip(counts).collect();
            self.hand_over(range, &counted).await?;
            keys.into_iter().for_each(|key| _ = self.waiting.remove(&(range, key)));
            self.stats.waiting.set(self.waiting.len() as i64);
        }
        Ok(())
    }

    /// A part of a sweep. A page whose credits were not taken is read again.
    async fn sweep(&mut self, now: Instant) -> Result<(), Ended> {
        if self.sweeping.is_none() && (self.is_sweep_needed || now >= self.sweep_at) {
            self.is_sweep_needed = false;
            self.sweep_at = now + SWEEP;
            self.sweeping = Some((CreditRange(0), CreditCursor::default()));
        }
        for _ in 0..PAGES {
            let Some((range, from)) = self.sweeping else { return Ok(()) };
            let CreditPage { counted, next } = self.store.all_credits(range, from).await?;
            self.hand_over(range, &counted).await?;
            self.forget(range, counted).await?;
            let last = range.0 + 1 >= self.store.credit_ranges();
            self.sweeping = match next {
                Some(next) => Some((range, next)),
                None if last => None,
                None => Some((CreditRange(range.0 + 1), CreditCursor::default())),
            };
            self.stats.sweeps.inc_by(u64::from(self.sweeping.is_none()));
        }
        Ok(())
    }

    async fn hand_over(&self, range: CreditRange, counted: &[Counted]) -> Result<(), Ended> {
        // A commit that never arrived has changed nothing.
        let counted = counted.iter().filter(|(_, count)| *count > 0);
        let credit = |(key, count): &Counted| {
            let CreditKey { day, user } = *key;
            Credit { range, user, day, count: *count }
        };
        let credits: Arc<[Credit]> = counted.map(credit).collect();
        if credits.is_empty() {
            return Ok(());
        }
        let count = credits.len() as u64;
        self.sink.take(credits).await?;
        self.stats.handed_over.inc_by(count);
        Ok(())
    }

    /// Removes those that the sink has and whose day is over for everybody.
    async fn forget(&self, range: CreditRange, mut counted: Vec<Counted>) -> Result<(), Ended> {
        let kept_from = (self.today)().before(KEPT_DAYS - 1);
        counted.retain(|(key, _)| key.day < kept_from);
        if !counted.is_empty() {
            let forgotten = self.store.forget_credits(range, counted).await?;
            self.stats.forgotten.inc_by(forgotten);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
