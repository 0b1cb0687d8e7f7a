//! Counters that every actor bumps and telemetry reads. They decide nothing.
//!
//! One [`Stats`] is shared by all actors of a board in play; [`Metrics`] are those of all boards. Counters are atomic;
//! the histograms, and counts by reason, take a short lock and are touched once per flush or commit, never per check
//! that is taken.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};

use crate::recent::Recent;

/// Which board a count is of.
pub type OfBoard = [(&'static str, Arc<str>); 1];

/// The same for a count that is split by reason, result or code.
pub type OfReason = [(&'static str, Arc<str>); 2];

/// Makes a histogram's buckets.
pub type Buckets = fn() -> Histogram;

/// Counts of one board that are split by a reason, which is one of a few fixed words.
#[derive(Debug)]
pub struct ByReason {
    family: Family<OfReason, Counter>,
    label: &'static str,
    board: Arc<str>,
    /// By reason, those there are; `None` once the board is closed, so that none comes back.
    counters: Mutex<Option<Vec<(&'static str, Counter)>>>,
}

impl ByReason {
    fn new(family: &Family<OfReason, Counter>, label: &'static str, board: &Arc<str>) -> Self {
        let counters = Mutex::new(Some(Vec::new()));
        Self { family: family.clone(), label, board: board.clone(), counters }
    }

    fn of(&self, reason: &'static str) -> OfReason {
        [("board", self.board.clone()), (self.label, reason.into())]
    }

    fn counters(&self) -> MutexGuard<'_, Option<Vec<(&'static str, Counter)>>> {
        // Nothing panics under this lock.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    pub fn inc(&self, reason: &'static str) {
        let mut counters = self.counters();
        let Some(counters) = &mut *counters else { return };
        if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == reason) {
            counter.inc();
            return;
        }
        let counter = self.family.get_or_create_owned(&self.of(reason));
        counter.inc();
        counters.push((reason, counter));
    }

    /// How many there were.
    pub fn get(&self, reason: &'static str) -> u64 {
        let counters = self.counters();
        let mut known = counters.iter().flatten();
        known.find(|(known, _)| *known == reason).map_or(0, |(_, counter)| counter.get())
    }

    /// All that there were, by reason.
    pub fn all(&self) -> Vec<(&'static str, u64)> {
        let counters = self.counters();
        let known = counters.iter().flatten();
        known.map(|(reason, counter)| (*reason, counter.get())).collect()
    }

    fn forget(&self) {
        for (reason, _) in self.counters().take().into_iter().flatten() {
            self.family.remove(&self.of(reason));
        }
    }
}

/// What there is of a count in [`Metrics`]: for each board one.
macro_rules! family {
    (Gauge) => { Family<OfBoard, Gauge> };
    (Counter) => { Family<OfBoard, Counter> };
    (Histogram $buckets:ident) => { Family<OfBoard, Histogram, Buckets> };
    (ByReason $label:literal) => { Family<OfReason, Counter> };
}

/// Makes that.
macro_rules! new_family {
    (Histogram $buckets:ident) => {
        Family::new_with_constructor($buckets)
    };
    ($($kind:tt)*) => {
        Family::default()
    };
}

/// What there is of it in [`Stats`].
macro_rules! of_one_board {
    (Histogram $buckets:ident) => {
        Histogram
    };
    (ByReason $label:literal) => {
        ByReason
    };
    ($kind:ident) => {
        $kind
    };
}

/// Takes that out of its family for the board `$board`.
macro_rules! take {
    ($family:expr, $board:expr, ByReason $label:literal) => {
        ByReason::new(&$family, $label, $board)
    };
    ($family:expr, $board:expr, $($kind:tt)*) => {
        $family.get_or_create_owned(&of_board($board))
    };
}

/// Gives it back.
macro_rules! give_back {
    ($family:expr, $taken:expr, $board:expr, ByReason $label:literal) => {
        $taken.forget()
    };
    ($family:expr, $taken:expr, $board:expr, $($kind:tt)*) => {
        _ = $family.remove(&of_board($board))
    };
}

/// Declares every count that is kept for each board.
macro_rules! counts {
    ($($(#[doc = $doc:literal])+ $name:ident: [$($kind:tt)+],)+) => {
        /// What all boards of a node have counted. Field docs name the Prometheus metric without its `billion_`
        /// prefix; all but the last carry the label `board`.
        #[derive(Debug)]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $name: family!($($kind)+),)+
            /// `panics_total`: panics caught anywhere in the process.
            pub panics: Counter,
        }

        impl Default for Metrics {
            fn default() -> Self {
                Self { $($name: new_family!($($kind)+),)+ panics: Counter::default() }
            }
        }

        /// All counters of one board.
        #[derive(Debug)]
        pub struct Stats {
            metrics: Arc<Metrics>,
            board: Arc<str>,
            /// No metric: times from a shard's taking in the oldest check of a batch until every hub has handed the batch
            /// to its sessions, for whoever shows them.
            pub to_screens: Recent,
            $($(#[doc = $doc])+ pub $name: of_one_board!($($kind)+),)+
        }

        impl Metrics {
            /// The counters of the board `name`, from 0.
            pub fn board(self: &Arc<Self>, name: &str) -> Stats {
                let board: Arc<str> = name.into();
                Stats {
                    metrics: self.clone(),
                    to_screens: Recent::default(),
                    $($name: take!(self.$name, &board, $($kind)+),)+
                    board,
                }
            }
        }

        impl Stats {
            /// Gives the counters back to the node's metrics: nobody is told of them any more.
            pub(crate) fn forget(&self) {
                $(give_back!(self.metrics.$name, self.$name, &self.board, $($kind)+);)+
            }
        }
    };
}

counts! {
    /// `connections`: WebSocket sessions open now.
    connections: [Gauge],
    /// `connections_opened_total`: sessions ever started.
    connections_opened: [Counter],
    /// `connections_closed_total{code}`: sessions ended, by close code (`none`: without a Close).
    connections_closed: [ByReason "code"],
    /// `checks_received_total`: check messages accepted from clients.
    checks_received: [Counter],
    /// `checks_committed_total`: checks made durable, those of the same box at the same time included.
    checks_committed: [Counter],
    /// `checks_duplicate_total`: checks of a box that was checked already.
    checks_duplicate: [Counter],
    /// `ranges_total`: range requests answered by shards.
    ranges: [Counter],
    /// `refusals_total{reason}`: checks, connections and messages turned away.
    refusals: [ByReason "reason"],
    /// `updates_flushed_total`: newly checked boxes announced.
    updates_flushed: [Counter],
    /// `updates_delivered_total`: 8-byte update frames put into outboxes.
    updates_delivered: [Counter],
    /// `sent_bytes_total`: bytes written to WebSockets.
    bytes_sent: [Counter],
    /// `socket_writes_total`: writes that a WebSocket's socket took.
    socket_writes: [Counter],
    /// `batches_dropped_total`: batches not delivered to a lagging session.
    batches_dropped: [Counter],
    /// `lagging`: sessions lagging now.
    lagging: [Gauge],
    /// `lags_total`: times a session began to lag.
    lags: [Counter],
    /// `resyncs_total`: lagging sessions brought up to date again.
    resyncs: [Counter],
    /// `batch_updates`: updates per flushed batch.
    batch_updates: [Histogram updates],
    /// `flush_seconds`: time from encoding a batch until every hub has handed it to its sessions.
    flush_seconds: [Histogram seconds],
    /// `store_commit_seconds`: time of one shard's commit.
    store_commit_seconds: [Histogram seconds],
    /// `store_commits_total{result}`: commits by result, `ok` or `failed`.
    store_commits: [ByReason "result"],
    /// `shard_queue_checks`: checks accepted by shards and not yet handed to the broadcaster.
    shard_queue: [Gauge],
    /// `broadcast_queue_updates`: updates numbered and not yet flushed.
    broadcast_queue: [Gauge],
    /// `sessions_paused`: sessions that are not being read because a shard is full.
    sessions_paused: [Gauge],
    /// `sessions_throttled`: sessions that are not being read because they are over their rate.
    sessions_throttled: [Gauge],
    /// `announced_boxes`: checked boxes announced to players.
    announced: [Gauge],
}

fn of_board(board: &Arc<str>) -> OfBoard {
    [("board", board.clone())]
}

/// 50 µs doubling 18 times reaches 6.5 s: from an idle flush to a stalled disk.
fn seconds() -> Histogram {
    Histogram::new(buckets(50e-6, 2.0, 18))
}

fn updates() -> Histogram {
    Histogram::new(buckets(1.0, 4.0, 10))
}

/// Bucket bounds from `first` upwards, each `factor` times the one before.
fn buckets(first: f64, factor: f64, count: u16) -> impl Iterator<Item = f64> {
    prometheus_client::metrics::histogram::exponential_buckets(first, factor, count)
}

/// The counters of a board that nobody asks about.
#[cfg(test)]
impl Default for Stats {
    fn default() -> Self {
        Arc::new(Metrics::default()).board("test")
    }
}

/// One in a gauge, for as long as it is kept.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// One more in `gauge`.
    pub fn one(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What one thread has delivered and not counted yet: all threads share the counters, and would pass
/// their cache lines to and fro at every write.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Update frames queued to sessions.
    pub updates: u64,
    /// Writes that sockets took.
    pub writes: u64,
    /// What they took.
    pub bytes: u64,
}

impl Tally {
    /// Counts one write to a socket, and the bytes that it took; none: it had no room.
    pub fn wrote(&mut self, bytes: usize) {
        self.writes += u64::from(bytes > 0);
        self.bytes += bytes as u64;
    }
}

impl Stats {
    /// Counts one refusal. Reasons are few and fixed: `rate`, `busy`, `storage`, `origin`, …
    pub fn refused(&self, reason: &'static str) {
        self.refusals.inc(reason);
    }

    /// Counts one ended session by its close code.
    pub fn closed(&self, code: &'static str) {
        self.connections_closed.inc(code);
    }

    /// Records one commit of a shard.
    pub fn committed(&self, took: Duration, ok: bool) {
        self.store_commit_seconds.observe(took.as_secs_f64());
        let result = if ok { "ok" } else { "failed" };
        self.store_commits.inc(result);
    }

    /// Counts what was delivered.
    pub fn delivered(&self, tally: &mut Tally) {
        let Tally { updates, writes, bytes } = std::mem::take(tally);
        self.updates_delivered.inc_by(updates);
        self.socket_writes.inc_by(writes);
        self.bytes_sent.inc_by(bytes);
    }

    /// Sessions open now.
    pub fn connections_now(&self) -> u64 {
        u64::try_from(self.connections.inner().load(Ordering::Relaxed)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_of_a_closed_board_comes_back() {
        let metrics = Arc::new(Metrics::default());
        let (closed, other) = (metrics.board("closed"), metrics.board("other"));
        for board in [&closed, &other] {
            board.closed("1001");
            board.refused("busy");
            board.checks_received.inc();
        }
        closed.forget();
        // One that ends late, and one that is turned away for another reason than any before.
        closed.closed("1001");
        closed.refused("storage");
        closed.checks_received.inc();
        let mut text = String::new();
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register("closed", "", metrics.connections_closed.clone());
        registry.register("refusals", "", metrics.refusals.clone());
        registry.register("received", "", metrics.checks_received.clone());
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        assert!(!text.contains("board=\"closed\""), "{text}");
        assert_eq!(text.matches("board=\"other\"").count(), 3, "{text}");
        assert_eq!((closed.refusals.get("storage"), other.refusals.get("busy")), (0, 1));
    }
}
