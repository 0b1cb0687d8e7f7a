//! Counters that every actor bumps and telemetry reads. They decide nothing.
//!
//! One [`Stats`] is shared by all actors of a board in play; [`Metrics`] are those of all boards. Counters are atomic; the histograms take a short
//! lock and are touched once per flush or commit, never per check.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};

/// Which board a count is of.
pub type OfBoard = [(&'static str, Arc<str>); 1];

/// The same for a count that is split by reason, result or code.
pub type OfReason = [(&'static str, Arc<str>); 2];

/// Makes a histogram's buckets.
pub type Buckets = fn() -> Histogram;

/// What all boards of a node have counted. Field docs name the Prometheus metric without its `billion_` prefix; all
/// but the last carry the label `board`.
#[derive(Debug)]
pub struct Metrics {
    /// `connections`: WebSocket sessions open now.
    pub connections: Family<OfBoard, Gauge>,
    /// `connections_opened_total`: sessions ever started.
    pub connections_opened: Family<OfBoard, Counter>,
    /// `connections_closed_total{code}`: sessions ended, by close code (`none`: without a Close).
    pub connections_closed: Family<OfReason, Counter>,
    /// `checks_received_total`: check messages accepted from clients.
    pub checks_received: Family<OfBoard, Counter>,
    /// `checks_committed_total`: checks made durable, duplicates included.
    pub checks_committed: Family<OfBoard, Counter>,
    /// `checks_duplicate_total`: checks of a box that was checked already.
    pub checks_duplicate: Family<OfBoard, Counter>,
    /// `ranges_total`: range requests answered by shards.
    pub ranges: Family<OfBoard, Counter>,
    /// `refusals_total{reason}`: checks, connections and messages turned away.
    pub refusals: Family<OfReason, Counter>,
    /// `updates_flushed_total`: newly checked boxes announced.
    pub updates_flushed: Family<OfBoard, Counter>,
    /// `updates_delivered_total`: 8-byte update frames put into outboxes.
    pub updates_delivered: Family<OfBoard, Counter>,
    /// `sent_bytes_total`: bytes written to WebSockets.
    pub bytes_sent: Family<OfBoard, Counter>,
    /// `socket_writes_total`: writes that a WebSocket's socket took.
    pub socket_writes: Family<OfBoard, Counter>,
    /// `batches_dropped_total`: batches not delivered to a lagging session.
    pub batches_dropped: Family<OfBoard, Counter>,
    /// `lagging`: sessions lagging now.
    pub lagging: Family<OfBoard, Gauge>,
    /// `lags_total`: times a session began to lag.
    pub lags: Family<OfBoard, Counter>,
    /// `resyncs_total`: lagging sessions brought up to date again.
    pub resyncs: Family<OfBoard, Counter>,
    /// `batch_updates`: updates per flushed batch.
    pub batch_updates: Family<OfBoard, Histogram, Buckets>,
    /// `flush_seconds`: time from encoding a batch until every hub has handed it to its sessions.
    pub flush_seconds: Family<OfBoard, Histogram, Buckets>,
    /// `store_commit_seconds`: time of one shard's commit.
    pub store_commit_seconds: Family<OfBoard, Histogram, Buckets>,
    /// `store_commits_total{result}`: commits by result, `ok` or `failed`.
    pub store_commits: Family<OfReason, Counter>,
    /// `shard_queue_checks`: checks accepted by shards and not yet handed to the broadcaster.
    pub shard_queue: Family<OfBoard, Gauge>,
    /// `broadcast_queue_updates`: updates numbered and not yet flushed.
    pub broadcast_queue: Family<OfBoard, Gauge>,
    /// `sessions_paused`: sessions that are not being read because a shard is full.
    pub sessions_paused: Family<OfBoard, Gauge>,
    /// `sessions_throttled`: sessions that are not being read because they are over their rate.
    pub sessions_throttled: Family<OfBoard, Gauge>,
    /// `announced_boxes`: checked boxes announced to players.
    pub announced: Family<OfBoard, Gauge>,
    /// `panics_total`: panics caught anywhere in the process.
    pub panics: Counter<u64, AtomicU64>,
}

/// Counts of one board that are split by a reason, which is one of a few fixed words.
#[derive(Debug)]
pub struct ByReason {
    family: Family<OfReason, Counter>,
    label: &'static str,
    board: Arc<str>,
    /// Those there are.
    known: Mutex<Vec<&'static str>>,
}

impl ByReason {
    fn new(family: &Family<OfReason, Counter>, label: &'static str, board: &Arc<str>) -> Self {
        Self { family: family.clone(), label, board: board.clone(), known: Mutex::default() }
    }

    fn of(&self, reason: &'static str) -> OfReason {
        [("board", self.board.clone()), (self.label, reason.into())]
    }

    /// One more.
    pub fn inc(&self, reason: &'static str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&reason) {
            known.push(reason);
        }
        self.family.get_or_create(&self.of(reason)).inc();
    }

    /// How many there were.
    pub fn get(&self, reason: &'static str) -> u64 {
        self.family.get(&self.of(reason)).map_or(0, |counter| counter.get())
    }

    fn forget(&self) {
        for reason in self.known.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.family.remove(&self.of(reason));
        }
    }
}

/// All counters of one board.
#[derive(Debug)]
pub struct Stats {
    metrics: Arc<Metrics>,
    board: Arc<str>,
    /// `connections`: WebSocket sessions open now.
    pub connections: Gauge,
    /// `connections_opened_total`: sessions ever started.
    pub connections_opened: Counter,
    /// `connections_closed_total{code}`: sessions ended, by close code (`none`: without a Close).
    pub connections_closed: ByReason,
    /// `checks_received_total`: check messages accepted from clients.
    pub checks_received: Counter,
    /// `checks_committed_total`: checks made durable, duplicates included.
    pub checks_committed: Counter,
    /// `checks_duplicate_total`: checks of a box that was checked already.
    pub checks_duplicate: Counter,
    /// `ranges_total`: range requests answered by shards.
    pub ranges: Counter,
    /// `refusals_total{reason}`: checks, connections and messages turned away.
    pub refusals: ByReason,
    /// `updates_flushed_total`: newly checked boxes announced.
    pub updates_flushed: Counter,
    /// `updates_delivered_total`: 8-byte update frames put into outboxes.
    pub updates_delivered: Counter,
    /// `sent_bytes_total`: bytes written to WebSockets.
    pub bytes_sent: Counter,
    /// `socket_writes_total`: writes that a WebSocket's socket took.
    pub socket_writes: Counter,
    /// `batches_dropped_total`: batches not delivered to a lagging session.
    pub batches_dropped: Counter,
    /// `lagging`: sessions lagging now.
    pub lagging: Gauge,
    /// `lags_total`: times a session began to lag.
    pub lags: Counter,
    /// `resyncs_total`: lagging sessions brought up to date again.
    pub resyncs: Counter,
    /// `batch_updates`: updates per flushed batch.
    pub batch_updates: Histogram,
    /// `flush_seconds`: time from encoding a batch until every hub has handed it to its sessions.
    pub flush_seconds: Histogram,
    /// `store_commit_seconds`: time of one shard's commit.
    pub store_commit_seconds: Histogram,
    /// `store_commits_total{result}`: commits by result, `ok` or `failed`.
    pub store_commits: ByReason,
    /// `shard_queue_checks`: checks accepted by shards and not yet handed to the broadcaster.
    pub shard_queue: Gauge,
    /// `broadcast_queue_updates`: updates numbered and not yet flushed.
    pub broadcast_queue: Gauge,
    /// `sessions_paused`: sessions that are not being read because a shard is full.
    pub sessions_paused: Gauge,
    /// `sessions_throttled`: sessions that are not being read because they are over their rate.
    pub sessions_throttled: Gauge,
    /// `announced_boxes`: checked boxes announced to players.
    pub announced: Gauge,
}

/// Bucket bounds from `first` upwards, each `factor` times the one before.
fn buckets(first: f64, factor: f64, count: u16) -> impl Iterator<Item = f64> {
    prometheus_client::metrics::histogram::exponential_buckets(first, factor, count)
}

impl Default for Metrics {
    fn default() -> Self {
        // 50 µs doubling 18 times reaches 6.5 s: from an idle flush to a stalled disk.
        let seconds: Buckets = || Histogram::new(buckets(50e-6, 2.0, 18));
        let updates: Buckets = || Histogram::new(buckets(1.0, 4.0, 10));
        Self {
            connections: Family::default(),
            connections_opened: Family::default(),
            connections_closed: Family::default(),
            checks_received: Family::default(),
            checks_committed: Family::default(),
            checks_duplicate: Family::default(),
            ranges: Family::default(),
            refusals: Family::default(),
            updates_flushed: Family::default(),
            updates_delivered: Family::default(),
            bytes_sent: Family::default(),
            socket_writes: Family::default(),
            batches_dropped: Family::default(),
            lagging: Family::default(),
            lags: Family::default(),
            resyncs: Family::default(),
            batch_updates: Family::new_with_constructor(updates),
            flush_seconds: Family::new_with_constructor(seconds),
            store_commit_seconds: Family::new_with_constructor(seconds),
            store_commits: Family::default(),
            shard_queue: Family::default(),
            broadcast_queue: Family::default(),
            sessions_paused: Family::default(),
            sessions_throttled: Family::default(),
            announced: Family::default(),
            panics: Counter::default(),
        }
    }
}

impl Metrics {
    /// The counters of the board `name`, from 0.
    pub fn board(self: &Arc<Self>, name: &str) -> Stats {
        let board: Arc<str> = name.into();
        let of = [("board", board.clone())];
        Stats {
            metrics: self.clone(),
            connections: self.connections.get_or_create_owned(&of),
            connections_opened: self.connections_opened.get_or_create_owned(&of),
            connections_closed: ByReason::new(&self.connections_closed, "code", &board),
            checks_received: self.checks_received.get_or_create_owned(&of),
            checks_committed: self.checks_committed.get_or_create_owned(&of),
            checks_duplicate: self.checks_duplicate.get_or_create_owned(&of),
            ranges: self.ranges.get_or_create_owned(&of),
            refusals: ByReason::new(&self.refusals, "reason", &board),
            updates_flushed: self.updates_flushed.get_or_create_owned(&of),
            updates_delivered: self.updates_delivered.get_or_create_owned(&of),
            bytes_sent: self.bytes_sent.get_or_create_owned(&of),
            socket_writes: self.socket_writes.get_or_create_owned(&of),
            batches_dropped: self.batches_dropped.get_or_create_owned(&of),
            lagging: self.lagging.get_or_create_owned(&of),
            lags: self.lags.get_or_create_owned(&of),
            resyncs: self.resyncs.get_or_create_owned(&of),
            batch_updates: self.batch_updates.get_or_create_owned(&of),
            flush_seconds: self.flush_seconds.get_or_create_owned(&of),
            store_commit_seconds: self.store_commit_seconds.get_or_create_owned(&of),
            store_commits: ByReason::new(&self.store_commits, "result", &board),
            shard_queue: self.shard_queue.get_or_create_owned(&of),
            broadcast_queue: self.broadcast_queue.get_or_create_owned(&of),
            sessions_paused: self.sessions_paused.get_or_create_owned(&of),
            sessions_throttled: self.sessions_throttled.get_or_create_owned(&of),
            announced: self.announced.get_or_create_owned(&of),
            board,
        }
    }
}

impl Stats {
    /// Gives the counters back to the node's metrics: nobody is told of them any more.
    pub(crate) fn forget(&self) {
        let (metrics, of) = (&self.metrics, [("board", self.board.clone())]);
        metrics.connections.remove(&of);
        metrics.connections_opened.remove(&of);
        self.connections_closed.forget();
        metrics.checks_received.remove(&of);
        metrics.checks_committed.remove(&of);
        metrics.checks_duplicate.remove(&of);
        metrics.ranges.remove(&of);
        self.refusals.forget();
        metrics.updates_flushed.remove(&of);
        metrics.updates_delivered.remove(&of);
        metrics.bytes_sent.remove(&of);
        metrics.socket_writes.remove(&of);
        metrics.batches_dropped.remove(&of);
        metrics.lagging.remove(&of);
        metrics.lags.remove(&of);
        metrics.resyncs.remove(&of);
        metrics.batch_updates.remove(&of);
        metrics.flush_seconds.remove(&of);
        metrics.store_commit_seconds.remove(&of);
        self.store_commits.forget();
        metrics.shard_queue.remove(&of);
        metrics.broadcast_queue.remove(&of);
        metrics.sessions_paused.remove(&of);
        metrics.sessions_throttled.remove(&of);
        metrics.announced.remove(&of);
    }
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
