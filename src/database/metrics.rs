//! What operators see of the database.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use sea_orm::DbBackend;

use super::{Database, Shared, State, Trouble};

/// Counts of one database.
#[derive(Debug)]
pub(super) struct Metrics {
    errors: Family<ErrorLabels, Counter>,
    /// Of pieces of work, the wait for a connection included.
    pub(super) seconds: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
enum Kind {
    away,
    busy,
    refused,
}

impl Default for Metrics {
    fn default() -> Self {
        // From a read of SQLite to the limit of a piece of work.
        let seconds = Histogram::new([0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0]);
        Self { errors: Family::default(), seconds }
    }
}

impl Metrics {
    pub(super) fn count(&self, trouble: &Trouble) {
        let kind = match trouble {
            Trouble::Away(_) => Kind::away,
            Trouble::Busy => Kind::busy,
            Trouble::Refused(_) => Kind::refused,
        };
        self.errors.get_or_create(&ErrorLabels { kind }).inc();
    }
}

impl Database {
    /// Adds what it counts to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let metrics = &self.shared.metrics;
        // There from the start, so that a rate of them is 0 and not missing.
        for kind in [Kind::away, Kind::busy, Kind::refused] {
            drop(metrics.errors.get_or_create(&ErrorLabels { kind }));
        }
        registry.register(
            "database_errors",
            "Work that the database did not do, by kind: away, busy (too much waits), refused (a statement)",
            metrics.errors.clone(),
        );
        registry.register_with_unit(
            "database_work",
            "Pieces of work of the database, with the wait for a connection",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register_collector(Box::new(Connections(Arc::clone(&self.shared))));
    }
}

/// Whether it is up and what its connections do, asked at each scrape.
struct Connections(Arc<Shared>);

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connections to {}", self.0.target.shown())
    }
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (open, idle) = self.0.connections_now().unwrap_or_default();
        let is_up = i64::from(matches!(&*self.0.state.borrow(), State::Up(_)));
        for (name, help, value) in [
            ("database_up", "1 while the database takes work", is_up),
            ("database_connections", "Connections to the database that are open", open),
            ("database_connections_used", "Those that somebody uses", open - idle),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

impl Shared {
    /// Open ones and idle ones among them.
    fn connections_now(&self) -> Option<(i64, i64)> {
        let state = self.state.borrow();
        let State::Up(pool) = &*state else { return None };
        let (open, idle) = match self.backend() {
            DbBackend::Sqlite => {
                let pool = pool.get_sqlite_connection_pool();
                (pool.size(), pool.num_idle())
            }
            DbBackend::MySql => {
                let pool = pool.get_mysql_connection_pool();
                (pool.size(), pool.num_idle())
            }
            _ => {
                let pool = pool.get_postgres_connection_pool();
                (pool.size(), pool.num_idle())
            }
        };
        let open = i64::from(open);
        Some((open, i64::try_from(idle).unwrap_or(open).min(open)))
    }
}
