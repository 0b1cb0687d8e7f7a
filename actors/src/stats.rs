//! Counters that every actor bumps and telemetry reads. They decide nothing.
//!
//! One [`Stats`] is shared by all actors of a node. Counters are atomic; the histograms take a short
//! lock and are touched once per flush or commit, never per check.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};

/// Labels of a count that is split by reason.
pub type Reason = [(&'static str, &'static str); 1];

/// A counter per reason.
pub type ByReason = Family<Reason, Counter>;

/// All counters of one node. Field docs name the Prometheus metric without its `billion_` prefix.
#[derive(Debug)]
pub struct Stats {
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
    pub announced: Gauge<i64, AtomicI64>,
    /// `panics_total`: panics caught anywhere in the process.
    pub panics: Counter<u64, AtomicU64>,
}

/// Bucket bounds from `first` upwards, each `factor` times the one before.
fn buckets(first: f64, factor: f64, count: u16) -> impl Iterator<Item = f64> {
    prometheus_client::metrics::histogram::exponential_buckets(first, factor, count)
}

impl Default for Stats {
    fn default() -> Self {
        // 50 µs doubling 18 times reaches 6.5 s: from an idle flush to a stalled disk.
        let seconds = || Histogram::new(buckets(50e-6, 2.0, 18));
        Self {
            connections: Gauge::default(),
            connections_opened: Counter::default(),
            connections_closed: ByReason::default(),
            checks_received: Counter::default(),
            checks_committed: Counter::default(),
            checks_duplicate: Counter::default(),
            ranges: Counter::default(),
            refusals: ByReason::default(),
            updates_flushed: Counter::default(),
            updates_delivered: Counter::default(),
            bytes_sent: Counter::default(),
            socket_writes: Counter::default(),
            batches_dropped: Counter::default(),
            lagging: Gauge::default(),
            lags: Counter::default(),
            resyncs: Counter::default(),
            batch_updates: Histogram::new(buckets(1.0, 4.0, 10)),
            flush_seconds: seconds(),
            store_commit_seconds: seconds(),
            store_commits: ByReason::default(),
            shard_queue: Gauge::default(),
            broadcast_queue: Gauge::default(),
            sessions_paused: Gauge::default(),
            sessions_throttled: Gauge::default(),
            announced: Gauge::default(),
            panics: Counter::default(),
        }
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
        self.refusals.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts one ended session by its close code.
    pub fn closed(&self, code: &'static str) {
        self.connections_closed.get_or_create(&[("code", code)]).inc();
    }

    /// Records one commit of a shard.
    pub fn committed(&self, took: Duration, ok: bool) {
        self.store_commit_seconds.observe(took.as_secs_f64());
        let result = if ok { "ok" } else { "failed" };
        self.store_commits.get_or_create(&[("result", result)]).inc();
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
