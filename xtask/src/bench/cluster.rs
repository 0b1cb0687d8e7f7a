//! A board in a Redis Cluster: checks a second and what they cost Redis, beside the older server's way
//! on the same cluster in the same run; how soon other nodes know; how soon a node is ready.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};

pub use super::figures::{Figures, Load, Relay};
use super::{
    Programs, baseline, boards,
    boards::Routes,
    machine_load,
    server::Server,
    swarm::{Swarm, Told},
};
use crate::{
    process::cpu_seconds,
    redis::{Node, RedisCluster},
};

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Boxes of a board.
    pub boxes: u32,
    /// Seconds of each load.
    pub seconds: f64,
    /// Seconds of load before, not measured.
    pub warmup: f64,
    /// How often baseline and one node take turns, and how often readiness is measured.
    pub rounds: usize,
    /// Connections of the baseline.
    pub baseline_connections: usize,
    /// Connections that check, a multiple of three.
    pub connections: usize,
    /// Checks that each keeps unacknowledged: enough of them, and something is at its limit.
    pub window: u32,
    /// Checks a second from node to node.
    pub relay_rate: f64,
    /// Whether goals apply.
    pub judged: bool,
}

impl Scale {
    /// What `docs/BENCHMARKS.md` tells.
    pub const FULL: Self = Self {
        boxes: 1_000_000_000,
        seconds: 10.,
        warmup: 1.,
        rounds: 3,
        baseline_connections: 100,
        connections: 15,
        window: 2048,
        relay_rate: 1000.,
        judged: true,
    };

    /// A few seconds, for tests.
    pub const QUICK: Self = Self {
        boxes: 1_000_000,
        seconds: 0.5,
        warmup: 0.1,
        rounds: 1,
        baseline_connections: 10,
        connections: 3,
        window: 64,
        relay_rate: 200.,
        judged: false,
    };
}

/// A run under way.
struct Bench<'b> {
    programs: &'b Programs,
    redis: &'b RedisCluster,
    folder: &'b Path,
    scale: &'b Scale,
    routes: Routes,
}

/// Runs everything on `redis`, under names that nobody else uses. `folder` is for small files.
pub fn run(
    programs: &Programs,
    redis: &RedisCluster,
    folder: &Path,
    scale: &Scale,
) -> Result<Figures> {
    let bench = Bench { programs, redis, folder, scale, routes: Routes::ask(redis)? };
    let before = machine_load()?;
    let (mut baseline, mut one_node) = (Vec::new(), Vec::new());
    for round in 1..=scale.rounds {
        println!("round {round} of {}: ZADD, INCR, PUBLISH", scale.rounds);
        baseline.push(bench.baseline(round).context("ZADD, INCR, PUBLISH")?);
        println!("round {round} of {}: one node", scale.rounds);
        one_node.push(bench.checks(1, round).context("one node")?);
    }
    println!("three nodes");
    let three_nodes = bench.checks(3, 1).context("three nodes")?;
    println!("node to node");
    let relay = bench.relay().context("node to node")?;
    println!("readiness");
    let ready = bench.readiness().context("readiness")?;
    let machine_load = [before, machine_load()?];
    let Scale { boxes, judged, .. } = *scale;
    Ok(Figures { baseline, one_node, three_nodes, relay, ready, boxes, judged, machine_load })
}

impl Bench<'_> {
    fn redis_cpu(&self) -> Result<f64> {
        cpu_seconds(self.redis.nodes().iter().filter_map(Node::pid))
    }

    /// A name that nothing else in the cluster has.
    fn name(&self, what: &str, round: usize) -> String {
        format!("bench-{}-{what}-{round}", std::process::id())
    }

    fn start(&self, board: &str) -> Result<Server> {
        Server::start(self.programs, self.redis, self.folder, board, self.scale.boxes)
    }

    fn baseline(&self, round: usize) -> Result<Load> {
        let Scale { boxes, baseline_connections, seconds, .. } = *self.scale;
        let name = self.name("sorted-sets", round);
        let time = Duration::from_secs_f64(seconds);
        let redis_before = self.redis_cpu()?;
        let done = baseline::run(&self.routes, &name, boxes, baseline_connections, time)?;
        Ok(Load {
            checks: done.checks as f64,
            seconds: done.took.as_secs_f64(),
            checks_in_all: done.checks as f64,
            redis_cpu_s: self.redis_cpu()? - redis_before,
            ..Load::default()
        })
    }

    /// As many checks as `count` nodes of one board take, each from a swarm of its own.
    fn checks(&self, count: usize, round: usize) -> Result<Load> {
        let board = self.name(&format!("{count}-nodes"), round);
        let servers: Vec<_> = (0..count).map(|_| self.start(&board)).collect::<Result<_>>()?;
        let cpu = || cpu_seconds(servers.iter().map(Server::pid));
        let requests =
            || -> Result<f64> { servers.iter().map(|server| server.metric(REQUESTS)).sum() };
        let (redis_before, nodes_before) = (self.redis_cpu()?, cpu()?);
        let requests_before = requests()?;
        let swarms = servers.iter().enumerate().map(|(index, server)| {
            let words = self.checks_words(count);
            Swarm::start(self.programs, self.folder, index, server.address, &words)
        });
        let swarms: Vec<_> = swarms.collect::<Result<_>>()?;
        let told: Vec<_> = swarms.into_iter().map(Swarm::finish).collect::<Result<_>>()?;
        let (redis_after, nodes_after) = (self.redis_cpu()?, cpu()?);
        let requests_made = requests()? - requests_before;
        for server in servers {
            server.stop()?;
        }
        boards::remove(&self.routes, &board)?;
        let sum =
            |figure: &str| -> Result<f64> { told.iter().map(|told| told.figure(figure)).sum() };
        let most = |figure: &str| -> Result<f64> {
            let mut figures = told.iter().map(|told| told.figure(figure));
            figures.try_fold(0., |most: f64, figure| Ok(most.max(figure?)))
        };
        let checks_in_all = sum("checks_acknowledged")?;
        ensure!(checks_in_all > 0., "no check was acknowledged");
        Ok(Load {
            checks: sum("acknowledged_per_s")? * self.scale.seconds,
            seconds: self.scale.seconds,
            checks_in_all,
            redis_cpu_s: redis_after - redis_before,
            nodes_cpu_s: nodes_after - nodes_before,
            ack_ms: Some((most("ack_latency_p50_ms")?, most("ack_latency_p99_ms")?)),
            batch: Some(checks_in_all / requests_made),
        })
    }

    fn checks_words(&self, nodes: usize) -> Vec<String> {
        let Scale { connections, window, .. } = *self.scale;
        let mut words = self.words("checks");
        words.extend(["--connections".into(), (connections / nodes).to_string()]);
        words.extend(["--window".into(), window.to_string()]);
        // Several swarms do not know of each other's checks.
        words.extend(["--exclusive".into(), (nodes == 1).to_string()]);
        words
    }

    /// What every swarm is told.
    fn words(&self, command: &str) -> Vec<String> {
        let Scale { boxes, seconds, warmup, .. } = *self.scale;
        let mut words = vec![command.to_owned()];
        words.extend(["--boxes".into(), boxes.to_string()]);
        words.extend(["--seconds".into(), seconds.to_string()]);
        words.extend(["--warmup".into(), warmup.to_string()]);
        words
    }

    fn relay(&self) -> Result<Relay> {
        let board = self.name("relay", 1);
        let (from, to) = (self.start(&board)?, self.start(&board)?);
        let mut words = self.words("relay");
        words.extend(["--rate".into(), self.scale.relay_rate.to_string()]);
        words.extend(["--to".into(), format!("ws://{}", to.address)]);
        let told = Swarm::start(self.programs, self.folder, 0, from.address, &words)?.finish()?;
        from.stop()?;
        to.stop()?;
        boards::remove(&self.routes, &board)?;
        Self::relayed(&told)
    }

    fn relayed(told: &Told) -> Result<Relay> {
        Ok(Relay {
            rate: told.figure("checks_relayed_per_s")?,
            p50_ms: told.figure("relay_latency_p50_ms")?,
            p99_ms: told.figure("relay_latency_p99_ms")?,
            max_ms: told.figure("relay_latency_max_ms")?,
        })
    }

    /// Starts on a board that is there and empty, and on one with every box checked.
    fn readiness(&self) -> Result<[Vec<Duration>; 2]> {
        let board = self.name("ready", 1);
        // Makes it.
        self.start(&board)?.stop()?;
        let empty = self.starts(&board, 0)?;
        boards::fill(&self.routes, &board, self.scale.boxes)?;
        let full = self.starts(&board, self.scale.boxes)?;
        boards::remove(&self.routes, &board)?;
        Ok([empty, full])
    }

    /// Starts a node again and again; it must know of `checked` boxes as soon as it is ready.
    fn starts(&self, board: &str, checked: u32) -> Result<Vec<Duration>> {
        let start = |_| {
            let server = self.start(board)?;
            let (took, known) = (server.ready_after, server.metric(ANNOUNCED)?);
            server.stop()?;
            ensure!(known == f64::from(checked), "ready with {known} of {checked} boxes");
            Ok(took)
        };
        (0..self.scale.rounds).map(start).collect()
    }
}

/// Boxes that a node has announced.
const ANNOUNCED: &str = "billion_announced_boxes";

/// Requests that a node has made to Redis for checks and for looking after them.
const REQUESTS: &str = "billion_redis_requests_total{result=\"ok\"}";
