//! A hundred thousand players at once, over several nodes that share one board in a Redis Cluster: all
//! connected, each hears the checks in its view, and what that costs each node.

use std::{
    fmt,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{Programs, server::Server, swarm::Swarm};
use crate::redis::RedisCluster;

/// Between two looks at how many are connected.
const LOOK: Duration = Duration::from_millis(500);

/// How large a crowd.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Nodes, each with a swarm of its own: 20,000 descriptors are often all that a process may have.
    pub nodes: usize,
    /// Connections to each node that listen.
    pub connections: usize,
    /// Boxes of the board.
    pub boxes: u32,
    /// Connections opened a second at each node.
    pub connect_rate: u32,
    /// Seconds over which CPU is measured once all are there; then they go.
    pub measure_s: u32,
    /// Longest time until all are there.
    pub patience_s: u32,
}

impl Scale {
    /// What `docs/BENCHMARKS.md` tells.
    pub const FULL: Self = Self {
        nodes: 6,
        connections: 16_667,
        boxes: 1_000_000_000,
        connect_rate: 800,
        measure_s: 20,
        patience_s: 600,
    };

    /// A few seconds, for tests.
    pub const QUICK: Self = Self {
        nodes: 2,
        connections: 50,
        boxes: 1_000_000,
        connect_rate: 1000,
        measure_s: 2,
        patience_s: 60,
    };
}

/// What one node had to bear while all were there.
#[derive(Debug)]
pub struct Load {
    /// WebSockets.
    pub connections: f64,
    /// Resident memory in bytes.
    pub resident_bytes: f64,
    /// Cores that were busy with it.
    pub cores: f64,
    /// From the first handshake until all of its own were greeted and answered.
    pub there_s: f64,
    /// Fewest updates that one of its listeners has heard.
    pub heard_min: f64,
}

/// What came out.
#[derive(Debug)]
pub struct Figures {
    /// One for each node.
    pub nodes: Vec<Load>,
}

/// Lets the crowd come, play and go. Books that do not balance are an error.
pub fn run(
    programs: &Programs,
    redis: &RedisCluster,
    folder: &Path,
    scale: &Scale,
) -> Result<Figures> {
    let start = |_| Server::start(programs, redis, folder, "crowd", scale.boxes);
    let servers = (0..scale.nodes).map(start).collect::<Result<Vec<_>>>()?;
    println!("{} nodes are ready", servers.len());
    let words = words(scale);
    let send = |(index, server): (usize, &Server)| {
        Swarm::start(programs, folder, index, server.address, &words)
    };
    let swarms = servers.iter().enumerate().map(send).collect::<Result<Vec<_>>>()?;
    all_there(&servers, scale)?;
    let before = cpu_seconds(&servers)?;
    let began = Instant::now();
    sleep(Duration::from_secs(scale.measure_s.into()));
    let after = cpu_seconds(&servers)?;
    let seconds = began.elapsed().as_secs_f64();
    let mut nodes = Vec::new();
    for (server, cpu_s) in servers.iter().zip(after.iter().zip(before).map(|(a, b)| a - b)) {
        nodes.push(Load {
            connections: server.metric("billion_connections")?,
            resident_bytes: server.metric("process_resident_memory_bytes")?,
            cores: cpu_s / seconds,
            there_s: 0.,
            heard_min: 0.,
        });
    }
    swarms.iter().try_for_each(Swarm::end_load)?;
    for (load, swarm) in nodes.iter_mut().zip(swarms) {
        let told = swarm.finish()?;
        load.there_s = told.figure("all_there_s")?;
        load.heard_min = told.figure("updates_heard_min")?;
    }
    servers.into_iter().try_for_each(Server::stop)?;
    Ok(Figures { nodes })
}

/// The crowd of one node: `v=2`, each with a tile of its own choice among the first ten in view; held until
/// it is told to go.
fn words(scale: &Scale) -> Vec<String> {
    let Scale { nodes, connections, connect_rate, patience_s, .. } = scale;
    // All swarms share the ports of these addresses. Each has 28,000, but once half of them, those of one
    // parity, are taken, the kernel walks over all of those for each further one: 100,000 connections
    // from 6 addresses came to a standstill at 14,100 each.
    let sources = (nodes * connections).div_ceil(8000);
    let words = format!(
        "storm --cuts 0 --v2 --boxes 1000000 --exclusive false --checkers 1 --rate 1 --settle 60 \
         --connect-timeout 60 --threads 1 --listeners {connections} --connect-rate {connect_rate} \
         --hold 1800 --patience {patience_s} --sources {sources}"
    );
    words.split(' ').map(str::to_owned).collect()
}

/// Waits until as many are connected as there should be.
fn all_there(servers: &[Server], scale: &Scale) -> Result<()> {
    let wanted = (scale.nodes * (scale.connections + 1)) as f64;
    let deadline = Instant::now() + Duration::from_secs(scale.patience_s.into());
    loop {
        let there = servers.iter().map(|server| server.metric("billion_connections"));
        let there: f64 = there.sum::<Result<f64>>()?;
        if there >= wanted {
            println!("{there} connections are open");
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("only {there} of {wanted} connections are open after {} s", scale.patience_s);
        }
        sleep(LOOK);
    }
}

fn cpu_seconds(servers: &[Server]) -> Result<Vec<f64>> {
    let asked = servers.iter().map(|server| server.metric("process_cpu_seconds_total"));
    asked.collect::<Result<_>>().context("CPU time")
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "node  connections   MiB  cores  there after s  updates heard by each")?;
        for (number, load) in self.nodes.iter().enumerate() {
            let mib = load.resident_bytes / f64::from(1 << 20);
            writeln!(
                f,
                "{:>4}  {:>11}  {mib:>4.0}  {:>5.2}  {:>13.1}  {:>10} and more",
                number + 1,
                load.connections,
                load.cores,
                load.there_s,
                load.heard_min
            )?;
        }
        let all: f64 = self.nodes.iter().map(|load| load.connections).sum();
        writeln!(f, "{all} connections at once, every book balanced")
    }
}
