//! How many nodes and Redis masters carry a crowd, and what ends first.

use super::{
    Assumptions,
    costs::{
        BOARD_MB, EMBEDDED_CHECK, FANOUT_MESSAGE, FEED_MESSAGE, HANDSHAKE, KERNEL_KB, MASTER_BATCH,
        OWN_BATCH, PAGE, PAGE_BYTES, PLAIN_FLUSH, PULSE, RANGE, REPLICA_BATCH, SCOPED_FLUSH,
        SEGMENT_BYTES, SERVER_KB, TILE_BYTES, UPDATE_BYTES,
    },
    crowd::{self, Habits, KEY_RANGES, Second},
    dice::Dice,
    lane::{BATCH_MAX, batch_size},
};

/// A core has a second's worth of these a second.
const MICROS: f64 = 1e6;

/// Cores that the feed may take: a node reads it by one connection, hence by one task.
const FEED_CORES_MAX: f64 = 1.;

/// How long a relay between regions gathers.
const RELAY_LINGER_S: f64 = 0.1;

/// Most tiles that a pulse tells of, and its bytes without them.
const PULSE_TILES: f64 = 128.;
const PULSE_BYTES: f64 = 17.;

/// What more nodes are not tried beyond.
const NODES_MAX: f64 = 5_000.;

/// What an operator turns when a crowd outgrows the defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// `broadcaster.interval_ms`.
    pub interval_ms: f64,
    /// `shards.gather_ms`.
    pub gather_ms: f64,
    /// Redis Clusters, each with nodes of its own, that exchange batches.
    pub regions: f64,
}

/// The defaults, then what is tried, in this order, if the one before does not do.
pub const STEPS: [Step; 7] = [
    Step { interval_ms: 20., gather_ms: 20., regions: 1. },
    Step { interval_ms: 50., gather_ms: 50., regions: 1. },
    Step { interval_ms: 100., gather_ms: 100., regions: 1. },
    Step { interval_ms: 100., gather_ms: 100., regions: 3. },
    Step { interval_ms: 100., gather_ms: 100., regions: 6. },
    Step { interval_ms: 250., gather_ms: 250., regions: 6. },
    Step { interval_ms: 250., gather_ms: 250., regions: 12. },
];

/// Cores for what sessions of a region cost, wherever they are connected.
#[derive(Debug, Clone, Copy)]
pub struct Sessions {
    pub flushes: f64,
    pub pulses: f64,
    pub plain: f64,
    /// Pages, handshakes and range answers.
    pub visits: f64,
    pub gigabits: f64,
}

impl Sessions {
    fn cores(&self) -> f64 {
        self.flushes + self.pulses + self.plain + self.visits
    }
}

/// Cores and messages for what is checked, of one region.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// Cores of all nodes.
    pub own: f64,
    /// Cores of each node.
    pub feed: f64,
    /// Messages a second to each node.
    pub messages: f64,
    /// Boxes in a batch of this region's nodes.
    pub batch: f64,
    pub masters: f64,
    pub replicas: f64,
}

/// A crowd, carried.
#[derive(Debug)]
pub struct Plan {
    pub players: f64,
    pub step: Step,
    pub second: Second,
    pub sessions: Sessions,
    pub checks: Checks,
    /// In each region.
    pub nodes: f64,
    pub masters: f64,
    /// What does not fit, or what needs most of the nodes.
    pub ends_first: &'static str,
    pub fits: bool,
}

impl Plan {
    /// Seconds until everybody is back after all nodes were restarted: handshake, overview and tiles.
    pub fn back_after_s(&self, assumed: &Assumptions) -> f64 {
        let here = self.players / self.step.regions / self.nodes;
        let tiles = assumed.watching as f64;
        let cores = here * (HANDSHAKE.value + RANGE.value * (tiles + 1.)) / MICROS;
        let bits = here * TILE_BYTES.value * (tiles + 1.) * 8.;
        (cores / assumed.cores_per_node).max(bits / assumed.gbits_per_node / 1e9)
    }

    /// GB of memory a node takes.
    pub fn memory_gb(&self) -> f64 {
        let here = self.players / self.step.regions / self.nodes;
        (BOARD_MB.value + here * (SERVER_KB.value + KERNEL_KB.value) / 1e3) / 1e3
    }
}

/// The first step that carries `players`, and before it the defaults if they do not.
pub fn plans(players: f64, assumed: &Assumptions) -> Vec<Plan> {
    let mut tried = Vec::new();
    for step in STEPS {
        let plan = carry(players, step, assumed);
        let fits = plan.fits;
        if tried.is_empty() || fits || step == STEPS[STEPS.len() - 1] {
            tried.push(plan);
        }
        if fits {
            break;
        }
    }
    tried
}

/// Adds nodes until they carry the crowd, or until it shows that they never will.
pub fn carry(players: f64, step: Step, assumed: &Assumptions) -> Plan {
    let mut dice = Dice::new(assumed.seed);
    let rate = players * assumed.checks_per_player;
    let habits = Habits {
        checks: rate,
        own_checks: assumed.checks_per_player,
        watching: assumed.watching,
        zipf: assumed.zipf,
        interval_s: step.interval_ms / 1e3,
        session_s: assumed.session_s,
    };
    let second = crowd::play(&habits, &mut dice);
    let here = players / step.regions;
    let sessions = sessions(here, rate, step, &second, assumed);
    let usable = assumed.cores_per_node * assumed.used;
    let mut nodes = (sessions.cores() / usable).ceil();
    loop {
        let checks = checks(nodes, rate, step, assumed);
        let by_cores = (sessions.cores() + checks.own + nodes * checks.feed) / usable;
        let by_descriptors = here / assumed.players_per_node;
        let by_network = sessions.gigabits / assumed.gbits_per_node / assumed.used;
        let needed = by_cores.max(by_descriptors).max(by_network).ceil();
        let broken = broken(&checks, second.busiest, assumed);
        if broken.is_none() && needed > nodes && nodes < NODES_MAX {
            // In small steps: more nodes make the feed of each dearer.
            nodes = needed.min((nodes * 1.1).ceil());
            continue;
        }
        let largest = if by_descriptors.max(by_network) > by_cores {
            if by_descriptors > by_network { "descriptors" } else { "network" }
        } else {
            largest_share(&sessions, &checks, nodes)
        };
        let masters = match checks.masters {
            0. => 0.,
            cores => (cores / assumed.used).ceil().max(3.),
        };
        let ends_first = broken.unwrap_or(largest);
        let fits = broken.is_none() && needed <= nodes;
        return Plan { players, step, second, sessions, checks, nodes, masters, ends_first, fits };
    }
}

/// What no further node helps against.
fn broken(checks: &Checks, busiest: f64, assumed: &Assumptions) -> Option<&'static str> {
    if checks.feed > FEED_CORES_MAX {
        Some("feed into each node")
    } else if checks.masters * busiest > assumed.used {
        // A key range is in one slot, on one master, which has one thread for commands.
        Some("master of the busiest key range")
    } else {
        None
    }
}

fn largest_share(sessions: &Sessions, checks: &Checks, nodes: f64) -> &'static str {
    let shares = [
        (sessions.flushes, "CPU: flushes"),
        (sessions.pulses, "CPU: pulses"),
        (sessions.plain, "CPU: plain `/ws`"),
        (sessions.visits, "CPU: pages and ranges"),
        (checks.own, "CPU: own checks"),
        (checks.feed * nodes, "CPU: feed"),
    ];
    let most = shares.into_iter().max_by(|left, right| left.0.total_cmp(&right.0));
    most.map_or("CPU", |(_, name)| name)
}

fn sessions(
    players: f64,
    rate: f64,
    step: Step,
    second: &Second,
    assumed: &Assumptions,
) -> Sessions {
    let plain = players * assumed.plain_share;
    let scoped = players - plain;
    let to_plain = crowd::flushes(rate, step.interval_ms / 1e3);
    let (loads, ranges) = (players / assumed.session_s, players * assumed.ranges_per_player);
    let pulse_bytes = PULSE_BYTES + 6. * second.changed.min(PULSE_TILES);
    let bytes = scoped
        * (second.flushes * SEGMENT_BYTES.value
            + second.updates * UPDATE_BYTES.value
            + SEGMENT_BYTES.value
            + pulse_bytes)
        + plain * (to_plain * SEGMENT_BYTES.value + rate * UPDATE_BYTES.value)
        + ranges * TILE_BYTES.value
        + loads * PAGE_BYTES.value;
    let flush = second.flushes * SCOPED_FLUSH.value + second.updates * SCOPED_FLUSH.each;
    let visits = loads * (PAGE.value + HANDSHAKE.value) + ranges * RANGE.value;
    Sessions {
        flushes: scoped * flush / MICROS,
        pulses: scoped * PULSE.value / MICROS,
        plain: plain * (to_plain * PLAIN_FLUSH.value + rate * PLAIN_FLUSH.each) / MICROS,
        visits: visits / MICROS,
        gigabits: bytes * 8. / 1e9,
    }
}

fn checks(nodes: f64, rate: f64, step: Step, assumed: &Assumptions) -> Checks {
    if nodes * step.regions < 2. {
        let own = rate * EMBEDDED_CHECK.value / MICROS;
        return Checks { own, feed: 0., messages: 0., batch: 0., masters: 0., replicas: 0. };
    }
    let own_rate = rate / step.regions;
    let lane = own_rate / nodes / KEY_RANGES as f64;
    let (gather_s, round_trip_s) = (step.gather_ms / 1e3, assumed.round_trip_ms / 1e3);
    let batch = batch_size(lane, gather_s, round_trip_s);
    // Each other region's relay gathers for a key range and writes it as a node would.
    let relayed = rate - own_rate;
    let relay_batch = (1. + own_rate / KEY_RANGES as f64 * RELAY_LINGER_S).min(BATCH_MAX);
    let messages = own_rate / batch + relayed / relay_batch;
    let hears = nodes + step.regions - 1.;
    let fanout = messages * FANOUT_MESSAGE.value + rate * FANOUT_MESSAGE.each;
    let write = messages * MASTER_BATCH.value + rate * MASTER_BATCH.each;
    Checks {
        own: (own_rate / batch * OWN_BATCH.value + own_rate * OWN_BATCH.each) / MICROS,
        feed: (messages * FEED_MESSAGE.value + rate * FEED_MESSAGE.each) / MICROS,
        messages,
        batch,
        masters: (write + hears * fanout) / MICROS,
        replicas: (messages * REPLICA_BATCH.value + rate * REPLICA_BATCH.each) / MICROS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks_of(nodes: f64, rate: f64) -> Checks {
        checks(nodes, rate, STEPS[0], &Assumptions::default())
    }

    #[test]
    fn one_node_needs_no_redis() {
        let plan = carry(1_000., STEPS[0], &Assumptions::default());
        assert_eq!((plan.nodes, plan.masters, plan.fits), (1., 0., true));
    }

    #[test]
    fn redis_costs_what_its_benchmark_found() {
        // One node at saturation: 151 to 181 checks a request, 2.43 to 2.66 CPU-s per million.
        let checks = checks_of(2., 1e6);
        let per_check = checks.masters + checks.replicas;
        assert!(checks.batch > 20. && (2.3..4.).contains(&per_check), "{checks:?}");
    }

    #[test]
    fn smaller_shares_of_the_rate_make_smaller_batches_and_a_dearer_feed() {
        let (few, many) = (checks_of(4., 1e5), checks_of(64., 1e5));
        assert!(many.batch < few.batch && many.feed > few.feed && many.masters > few.masters);
    }

    #[test]
    fn more_players_never_need_fewer_nodes() {
        let nodes = |players| {
            let plans = plans(players, &Assumptions::default());
            plans.last().map_or(0., |plan| plan.nodes * plan.step.regions)
        };
        assert!(nodes(1e3) <= nodes(1e4) && nodes(1e4) <= nodes(1e5));
        assert!(nodes(1e5) <= nodes(1e6) && nodes(1e6) <= nodes(1e7));
    }
}
