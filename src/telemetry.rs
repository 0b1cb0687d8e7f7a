//! What operators see beside the log: the metrics registry, and panics in both. Reads counters, owns none.

use std::{fmt, sync::Arc};

use actors::{limits::Limits, stats::Metrics};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::Gauge, info::Info},
    registry::Registry,
};

use crate::{
    limits::shared::SharedStats, logging, store::Opened, traffic::Traffic, usage::Process,
};

/// Version and commit, as `billion --version` says them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BILLION_COMMIT"), ")");

/// Counts every panic, wherever it is caught, and logs where it came from.
pub fn count_panics(metrics: Arc<Metrics>) {
    std::panic::set_hook(Box::new(move |panic| {
        metrics.panics.inc();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        logging::fatal(format_args!("panic in thread {name} at {place}: {message}"));
        // A second one while the stack is unwound aborts.
        logging::settle();
    }));
}

/// The registry that `/metrics` encodes. Names get the prefix `billion_`, but for those that every
/// process has.
pub fn registry(
    metrics: &Metrics,
    store: &Opened,
    http_connections: &Gauge,
    connections_max: &Gauge,
) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    let r = registry.sub_registry_with_prefix("billion");
    let version = [("version", env!("CARGO_PKG_VERSION")), ("commit", env!("BILLION_COMMIT"))];
    r.register("build", "Version of the server and commit it was built from", Info::new(version));
    let s = metrics;
    r.register("connections", "WebSocket sessions open now", s.connections.clone());
    r.register(
        "connections_max",
        "WebSocket sessions that may be open at once",
        connections_max.clone(),
    );
    r.register("connections_opened", "Sessions ever started", s.connections_opened.clone());
    r.register(
        "connections_closed",
        "Sessions ended, by close code; client: by the client's Close, none: without one",
        s.connections_closed.clone(),
    );
    r.register("checks_received", "Checks accepted from clients", s.checks_received.clone());
    r.register(
        "checks_committed",
        "Checks made durable, those of the same box at the same time included",
        s.checks_committed.clone(),
    );
    r.register(
        "checks_duplicate",
        "Checks of boxes that were checked already",
        s.checks_duplicate.clone(),
    );
    r.register("ranges", "Range requests answered", s.ranges.clone());
    r.register(
        "refusals",
        "Checks, messages and connections turned away, by reason",
        s.refusals.clone(),
    );
    r.register("updates_flushed", "Newly checked boxes announced", s.updates_flushed.clone());
    r.register(
        "updates_delivered",
        "Update frames queued to sessions",
        s.updates_delivered.clone(),
    );
    r.register("sent_bytes", "Bytes written to WebSockets", s.bytes_sent.clone());
    r.register("socket_writes", "Writes that WebSockets' sockets took", s.socket_writes.clone());
    r.register(
        "batches_dropped",
        "Batches not delivered because the session lagged",
        s.batches_dropped.clone(),
    );
    r.register("lagging", "Sessions lagging now", s.lagging.clone());
    r.register("lags", "Times a session began to lag", s.lags.clone());
    r.register("resyncs", "Lagging sessions brought up to date again", s.resyncs.clone());
    r.register("batch_updates", "Updates per flushed batch", s.batch_updates.clone());
    r.register(
        "flush_seconds",
        "From encoding a batch until every hub has handed it out",
        s.flush_seconds.clone(),
    );
    r.register("store_commit_seconds", "One shard's commit", s.store_commit_seconds.clone());
    r.register("store_commits", "Commits by result", s.store_commits.clone());
    r.register(
        "shard_queue_checks",
        "Checks held by shards and not yet announced",
        s.shard_queue.clone(),
    );
    r.register(
        "broadcast_queue_updates",
        "Updates waiting for the next flush",
        s.broadcast_queue.clone(),
    );
    r.register("sessions_paused", "Sessions not read: a shard is full", s.sessions_paused.clone());
    r.register(
        "sessions_throttled",
        "Sessions not read: over their rate",
        s.sessions_throttled.clone(),
    );
    r.register("announced_boxes", "Checked boxes announced to players", s.announced.clone());
    r.register("panics", "Panics caught", s.panics.clone());
    r.register(
        "http_connections",
        "Connections of players' listener that are no sessions, or not yet",
        http_connections.clone(),
    );
    r.register(
        "log_lines_dropped",
        "Lines of the log that were given up because stderr did not take them",
        logging::dropped(),
    );
    store.register(r);
    registry
}

/// Adds what limits have decided.
pub fn register_limits(limits: &Arc<Limits>, registry: &mut Registry) {
    let r = registry.sub_registry_with_prefix("billion");
    r.register(
        "limit_decisions",
        "What limits decided, by rule and kind of key: allowed, near (allowed with less than a fifth left), \
         refused, shadow (would be refused)",
        limits.decisions.clone(),
    );
    r.register_collector(Box::new(Overflow(limits.clone())));
}

/// Adds what the HTTP listeners have counted.
pub fn register_traffic(traffic: &Traffic, registry: &mut Registry) {
    traffic.register(registry.sub_registry_with_prefix("billion"));
}

/// Adds what the sharing of limits has counted.
pub fn register_shared(stats: &SharedStats, registry: &mut Registry) {
    stats.register(registry.sub_registry_with_prefix("billion"));
}

/// How often keys had to share a bucket for want of room, asked at each scrape.
#[derive(Debug)]
struct Overflow(Arc<Limits>);

impl Collector for Overflow {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let overflowed = ConstCounter::new(self.0.overflowed());
        let help = "Decisions by a bucket that several keys shared because the table was full";
        let kind = overflowed.metric_type();
        overflowed.encode(encoder.encode_descriptor("limit_overflow", help, None, kind)?)
    }
}

/// A number as metrics have it.
pub fn gauge_of(number: usize) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
