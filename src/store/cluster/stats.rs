//! What a cluster store counts: for `/metrics`, and for tests to see that a fault took place. Decides
//! nothing.

use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU64},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};
use tokio::runtime::Handle;

/// Labels of a count that is split by reason, result or sender.
type Reason = [(&'static str, &'static str); 1];

type ByReason = Family<Reason, Counter>;

/// Time between two attempts of anything that failed.
pub const PAUSE: Duration = Duration::from_millis(100);

/// All counters. Field docs name the metric without its `billion_redis_` prefix.
#[derive(Debug)]
pub struct ClusterStats {
    /// `requests_total{result}`: requests of checks and polls, `ok` or `failed`.
    pub requests: ByReason,
    /// `request_seconds`: time of each.
    pub request_seconds: Histogram,
    /// `lines_replaced_total`: connections for checks that did not answer and were replaced.
    pub lines_replaced: Counter,
    /// `updates_total{from}`: messages of the feed, by `own` and `other` nodes.
    pub updates: ByReason,
    /// `boxes_learned_total`: boxes in messages of other nodes.
    pub boxes_learned: Counter,
    /// `gaps_total{reason}`: why a key range was found to lack messages: `chain`, `poll`, `overflow`,
    /// `merge`, `unknown`.
    pub gaps: ByReason,
    /// `resyncs_total{result}`: key ranges compared with memory bit by bit, `ok` or `failed`.
    pub resyncs: ByReason,
    /// `boxes_found_total`: boxes that a resync found in Redis and not in memory.
    pub boxes_found: Counter,
    /// `boxes_pushed_total`: boxes that a resync found in memory and put back into Redis.
    pub boxes_pushed: Counter,
    /// `feed_disconnects_total`: connections of the feed that broke.
    pub feed_disconnects: Counter,
    /// `feed_unsubscribed_total`: subscriptions that Redis ended because their slot moved.
    pub feed_unsubscribed: Counter,
    /// `feed_replaced_total`: feeds that were connected anew.
    pub feed_replaced: Counter,
    /// `feed_subscriptions`: key ranges whose messages come in.
    pub feed_subscriptions: Gauge,
    /// `shards_down`: key ranges whose checks are refused.
    pub shards_down: Gauge,
    /// `resets_total`: resets of the board that this node has followed.
    pub resets: Counter,
    /// `repairs_total`: key ranges that were missing in Redis and made again.
    pub repairs: Counter<u64, AtomicU64>,
    /// `epoch`: the board's, raised by each reset.
    pub epoch: Gauge<i64, AtomicI64>,
}

impl Default for ClusterStats {
    fn default() -> Self {
        // 100 µs doubling 16 times reaches 3.3 s: more than any request may take.
        let bounds = prometheus_client::metrics::histogram::exponential_buckets(100e-6, 2.0, 16);
        Self {
            requests: ByReason::default(),
            request_seconds: Histogram::new(bounds),
            lines_replaced: Counter::default(),
            updates: ByReason::default(),
            boxes_learned: Counter::default(),
            gaps: ByReason::default(),
            resyncs: ByReason::default(),
            boxes_found: Counter::default(),
            boxes_pushed: Counter::default(),
            feed_disconnects: Counter::default(),
            feed_unsubscribed: Counter::default(),
            feed_replaced: Counter::default(),
            feed_subscriptions: Gauge::default(),
            shards_down: Gauge::default(),
            resets: Counter::default(),
            repairs: Counter::default(),
            epoch: Gauge::default(),
        }
    }
}

impl ClusterStats {
    /// Counts one request.
    pub fn asked(&self, took: Duration, ok: bool) {
        self.request_seconds.observe(took.as_secs_f64());
        self.requests.get_or_create(&result(ok)).inc();
    }

    /// Counts one resync.
    pub fn resynced(&self, ok: bool) {
        self.resyncs.get_or_create(&result(ok)).inc();
    }

    /// Counts one message of the feed.
    pub fn updated(&self, own: bool) {
        let from = if own { "own" } else { "other" };
        self.updates.get_or_create(&[("from", from)]).inc();
    }

    /// Counts one gap.
    pub fn gap(&self, reason: &'static str) {
        self.gaps.get_or_create(&[("reason", reason)]).inc();
    }

    /// Adds all of them to `registry`, with `redis_` before their names, and how many tasks are alive
    /// on the store's thread.
    pub fn register(&self, registry: &mut Registry, thread: Handle) {
        let r = registry.sub_registry_with_prefix("redis");
        r.register_collector(Box::new(Tasks(thread)));
        r.register("requests", "Requests of checks and polls, by result", self.requests.clone());
        r.register("request_seconds", "Time of each", self.request_seconds.clone());
        r.register(
            "lines_replaced",
            "Connections for checks that did not answer and were replaced",
            self.lines_replaced.clone(),
        );
        r.register("updates", "Messages of the feed, by own and other nodes", self.updates.clone());
        r.register("boxes_learned", "Boxes in messages of other nodes", self.boxes_learned.clone());
        r.register("gaps", "Key ranges found to lack messages, by reason", self.gaps.clone());
        r.register(
            "resyncs",
            "Key ranges compared with memory bit by bit, by result",
            self.resyncs.clone(),
        );
        r.register(
            "boxes_found",
            "Boxes a resync found in Redis and not in memory",
            self.boxes_found.clone(),
        );
        r.register(
            "boxes_pushed",
            "Boxes a resync put back into Redis from memory",
            self.boxes_pushed.clone(),
        );
        r.register(
            "feed_disconnects",
            "Connections of the feed that broke",
            self.feed_disconnects.clone(),
        );
        r.register(
            "feed_unsubscribed",
            "Subscriptions that Redis ended because their slot moved",
            self.feed_unsubscribed.clone(),
        );
        r.register("feed_replaced", "Feeds connected anew", self.feed_replaced.clone());
        r.register(
            "feed_subscriptions",
            "Key ranges whose messages come in",
            self.feed_subscriptions.clone(),
        );
        r.register("shards_down", "Key ranges whose checks are refused", self.shards_down.clone());
        r.register("resets", "Resets of the board that were followed", self.resets.clone());
        r.register(
            "repairs",
            "Key ranges that were missing in Redis and made again",
            self.repairs.clone(),
        );
        r.register("epoch", "Epoch of the board, raised by each reset", self.epoch.clone());
    }
}

pub(super) fn result(ok: bool) -> Reason {
    [("result", if ok { "ok" } else { "failed" })]
}

/// Counted when scraped. A session's task is not among them: a `LocalSet` does not count its own.
#[derive(Debug)]
struct Tasks(Handle);

impl Collector for Tasks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tasks = ConstGauge::new(self.0.metrics().num_alive_tasks() as u64);
        let help = "Tasks of connections, feeds and key ranges";
        tasks.encode(encoder.encode_descriptor("tasks", help, None, tasks.metric_type())?)
    }
}
