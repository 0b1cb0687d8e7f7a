//! What the nodes of a board do right now. Each node counts once a second and publishes it over the bus; each keeps the
//! last word of every other one.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actors::{node::Node, player::SessionId, store::StoreState, table::Table};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    admission::{Admission, Rules},
    telemetry::VERSION,
    usage,
    wall::now_ms,
};

/// Time between two counts.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// A node that was not heard for so long is gone, or does not reach the others.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Nodes that are remembered: more than any board has.
const NODES_MAX: usize = 1000;

/// One node, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeStats {
    /// Of this process: what ids of its connections begin with.
    pub id: String,
    /// Of the server, with its commit.
    pub version: String,
    /// When this was counted, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// Seconds since it was started.
    pub uptime_s: u64,
    /// WebSocket connections.
    pub connections: u64,
    /// Those that do not drain.
    pub lagging: i64,
    /// Checks that shards have taken in, a second.
    pub checks_per_s: f64,
    /// Updates that were put into outboxes, a second.
    pub updates_per_s: f64,
    /// Whether newcomers should be sent elsewhere, because it stops.
    pub draining: bool,
    /// WebSocket connections that may be open at once; 0 for a node of an earlier version.
    #[serde(default)]
    pub connections_max: u64,
    /// Resident memory, where the system says how much.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// From a shard's taking in a check until every thread has handed it to its sessions: the median of the last second's
    /// batches, each by its oldest check. `None` if there were none.
    #[serde(default)]
    pub to_screens_ms: Option<f64>,
    /// The slowest of them.
    #[serde(default)]
    pub to_screens_max_ms: Option<f64>,
    /// By board.
    pub boards: Vec<BoardStats>,
}

/// One board on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BoardStats {
    /// Its name.
    pub name: String,
    /// How many boxes it has.
    pub boxes: u32,
    /// How many of them are checked, as this node has announced.
    pub checked: i64,
    /// Connections to it.
    pub connections: u64,
    /// Whether checks are refused.
    pub read_only: bool,
    /// Why its store takes no checks, if it does not.
    pub store_problem: Option<String>,
    /// Checks a second that each of its shards has taken in.
    pub shards: Vec<f64>,
}

/// What was counted of one board a moment ago.
#[derive(Debug, Default)]
struct Before {
    updates: u64,
    shards: Vec<u64>,
}

/// Counts, and says how fast counters rise.
#[derive(Debug)]
pub struct Watch {
    at: Instant,
    /// By the names of boards.
    before: BTreeMap<String, Before>,
}

impl Watch {
    /// Begins to count.
    pub fn begin() -> Self {
        Self { at: Instant::now(), before: BTreeMap::new() }
    }

    /// What `node` does, with rates since the last look.
    pub fn look(&mut self, node: &Node, admission: &Admission, rules: &Rules) -> NodeStats {
        let seconds = self.at.elapsed().as_secs_f64().max(0.001);
        self.at = Instant::now();
        let mut before = std::mem::take(&mut self.before);
        let (mut boards, mut updates_per_s) = (Vec::new(), 0.0);
        let (mut to_screens, mut to_screens_max) = (None, None);
        let tables = node.tables();
        for table in &tables {
            let name = table.board.name();
            let now = counted(table);
            // A board that is seen for the first time has no rate yet.
            let last = before.remove(name).unwrap_or_else(|| counted(table));
            let rises = |now: u64, last: u64| now.saturating_sub(last) as f64 / seconds;
            updates_per_s += rises(now.updates, last.updates);
            let shards = now.shards.iter().zip(&last.shards).map(|(now, last)| rises(*now, *last));
            let store_problem = match table.store().state() {
                StoreState::Up => None,
                StoreState::Down(reason) => Some(reason.to_string()),
            };
            if let Some((median, slowest)) = table.stats.to_screens.take() {
                // Of several boards the slower one.
                to_screens = to_screens.max(Some(median));
                to_screens_max = to_screens_max.max(Some(slowest));
            }
            boards.push(BoardStats {
                name: name.to_owned(),
                boxes: table.board.boxes(),
                checked: table.stats.announced.get(),
                connections: table.stats.connections_now(),
                read_only: table.is_read_only(),
                store_problem,
                shards: shards.collect(),
            });
            self.before.insert(name.to_owned(), now);
        }
        NodeStats {
            id: SessionId::process(),
            version: VERSION.to_owned(),
            at_ms: now_ms(),
            uptime_s: u64::from(node.clock.now_s()).saturating_sub(1),
            connections: boards.iter().map(|board| board.connections).sum(),
            lagging: tables.iter().map(|table| table.stats.lagging.get()).sum(),
            checks_per_s: boards.iter().flat_map(|board| &board.shards).sum(),
            updates_per_s,
            draining: admission.is_ending(),
            connections_max: rules.connections_max() as u64,
            memory_bytes: usage::resident_bytes(),
            to_screens_ms: to_screens.map(in_ms),
            to_screens_max_ms: to_screens_max.map(in_ms),
            boards,
        }
    }
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn counted(table: &Table) -> Before {
    let shards = table.board.shard_indexes().map(|shard| table.shard(shard).gate.entered());
    Before { updates: table.stats.updates_delivered.get(), shards: shards.collect() }
}

/// The last word of every node.
#[derive(Debug, Default)]
pub struct Nodes(Mutex<BTreeMap<String, (Instant, NodeStats)>>);

impl Nodes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, NodeStats)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node has spoken.
    pub fn heard(&self, stats: NodeStats) {
        let mut nodes = self.lock();
        nodes.retain(|_, (at, _)| at.elapsed() < SILENCE_MAX);
        if nodes.len() < NODES_MAX || nodes.contains_key(&stats.id) {
            nodes.insert(stats.id.clone(), (Instant::now(), stats));
        }
    }

    /// Whether a node of this id was heard lately.
    pub fn knows(&self, id: &str) -> bool {
        self.lock().get(id).is_some_and(|(at, _)| at.elapsed() < SILENCE_MAX)
    }

    /// Those that were heard lately, by their ids.
    pub fn now(&self) -> Vec<NodeStats> {
        let nodes = self.lock();
        let present = nodes.values().filter(|(at, _)| at.elapsed() < SILENCE_MAX);
        present.map(|(_, stats)| stats.clone()).collect()
    }
}
