//! What was measured, in one place: every figure that the model multiplies, with where it is from.
//!
//! After a benchmark has changed, its line here is the only one to change; the tables of
//! `docs/SCALING.md` are then printed again with `cargo xtask scaling`.

/// How a figure is known.
#[derive(Debug, Clone, Copy)]
pub enum Known {
    /// By a measurement.
    Measured,
    /// By arithmetic on measurements.
    Derived,
}

/// One cost.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub what: &'static str,
    pub value: f64,
    pub unit: &'static str,
    /// What each of the things in it adds: how much, and for what.
    pub each: f64,
    pub of: &'static str,
    pub known: Known,
    pub from: &'static str,
}

use Known::{Derived, Measured};

/// Shorter than a literal of the struct for each of the lines below.
const fn figure(
    what: &'static str,
    value: f64,
    unit: &'static str,
    known: Known,
    from: &'static str,
) -> Figure {
    Figure { what, value, unit, each: 0., of: "", known, from }
}

impl Figure {
    const fn and_each(self, of: &'static str, each: f64) -> Self {
        Self { each, of, ..self }
    }
}

pub const SERVER_KB: Figure =
    figure("idle connection, server", 1.5, "KB", Measured, "BENCHMARKS, Memory");
pub const KERNEL_KB: Figure = figure(
    "idle connection, kernel",
    5.,
    "KB",
    Measured,
    "slab with 8,000 loopback connections, both ends: 3.7 to 4.9 a socket",
);
pub const BOARD_MB: Figure =
    figure("a board of a billion in RAM", 300., "MB", Derived, "OPERATING, Sizing");
pub const PLAIN_FLUSH: Figure = figure(
    "flush to one plain session",
    7.,
    "µs",
    Measured,
    "BENCHMARKS, Fan-out; mostly the kernel's",
)
.and_each("update", 0.006);
pub const SCOPED_FLUSH: Figure = figure(
    "flush to one `v=2` session",
    9.,
    "µs",
    Measured,
    "BENCHMARKS, Fan-out: 9.0 with everything else at 10,000 checks/s",
)
.and_each("update", 0.06);
pub const PULSE: Figure = figure(
    "pulse to one `v=2` session",
    12.,
    "µs",
    Measured,
    "BENCHMARKS, A hundred thousand at once",
);
pub const RANGE: Figure = figure("range answer", 9.5, "µs", Measured, "BENCHMARKS, Range answers");
pub const HANDSHAKE: Figure = figure(
    "accepting a WebSocket",
    90.,
    "µs",
    Measured,
    "`swarm connect -n 8000 --connect-rate 4000`, /proc",
);
pub const PAGE: Figure = figure(
    "the page with all its files",
    2_000.,
    "µs",
    Derived,
    "`curl`, connections kept: 280 for the page, 45 files at 36, and accepting",
);
pub const EMBEDDED_CHECK: Figure =
    figure("own check, embedded store", 0.9, "µs", Measured, "BENCHMARKS, Durable checks");
pub const OWN_BATCH: Figure = figure(
    "own batch to Redis, node",
    50.,
    "µs",
    Measured,
    "node with 1 to 145 boxes a batch: 51 to 185",
)
.and_each("check", 0.9);
pub const FEED_MESSAGE: Figure = figure(
    "message of another node",
    24.,
    "µs",
    Measured,
    "second node, 1 to 145 boxes a message: 25 to 37 when busy, up to 67 when not",
)
.and_each("box", 0.1);
pub const MASTER_BATCH: Figure = figure(
    "batch, Redis master",
    25.,
    "µs",
    Measured,
    "2 nodes, batches of 19 to 122; twice as much when rarely woken",
)
.and_each("box", 1.6);
pub const REPLICA_BATCH: Figure =
    figure("batch, replica", 10., "µs", Measured, "the same").and_each("box", 0.7);
pub const FANOUT_MESSAGE: Figure = figure(
    "message to one more subscriber, master",
    3.,
    "µs",
    Measured,
    "2, 6 and 12 nodes: 72, 95, 102 a batch of 19; 216, 247, 282 of 120",
)
.and_each("box", 0.03);
pub const UPDATE_BYTES: Figure = figure("update on the wire", 10., "bytes", Derived, "PROTOCOL");
pub const SEGMENT_BYTES: Figure =
    figure("TCP and IP around each write", 52., "bytes", Derived, "headers with timestamps");
pub const TILE_BYTES: Figure =
    figure("range answer on the wire", 13_000., "bytes", Derived, "PROTOCOL, and nine segments");
pub const PAGE_BYTES: Figure =
    figure("the page with all its files", 85_000., "bytes", Measured, "BENCHMARKS, The page");

/// In the order of the document.
pub const ALL: [Figure; 19] = [
    SERVER_KB,
    KERNEL_KB,
    BOARD_MB,
    PLAIN_FLUSH,
    SCOPED_FLUSH,
    PULSE,
    RANGE,
    HANDSHAKE,
    PAGE,
    EMBEDDED_CHECK,
    OWN_BATCH,
    FEED_MESSAGE,
    MASTER_BATCH,
    REPLICA_BATCH,
    FANOUT_MESSAGE,
    UPDATE_BYTES,
    SEGMENT_BYTES,
    TILE_BYTES,
    PAGE_BYTES,
];
