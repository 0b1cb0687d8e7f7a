//! What it costs that nodes share limits: calls and CPU time of Redis, and tokens that are drawn in vain.

use std::{
    fmt,
    io::{ErrorKind, Read},
    net::Ipv4Addr,
    path::Path,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Programs, line::Line, server::Server, swarm::Swarm};
use crate::{
    process::cpu_seconds,
    redis::{Node, RedisCluster},
};

const NODES: usize = 3;

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Addresses that check, each on every node.
    pub keys: u32,
    /// Checks a second of each, on all nodes together.
    pub per_key: f64,
    /// Seconds of each load.
    pub seconds: f64,
    /// Boxes of a board.
    pub boxes: u32,
}

impl Scale {
    /// What `docs/BENCHMARKS.md` tells.
    pub const FULL: Self = Self { keys: 1000, per_key: 5., seconds: 20., boxes: 100_000_000 };

    /// A few seconds, for tests.
    pub const QUICK: Self = Self { keys: 20, per_key: 5., seconds: 2., boxes: 1_000_000 };
}

/// What came out.
#[derive(Debug)]
pub struct Figures {
    /// Calls to Redis a second, of all nodes.
    pub calls_per_s: f64,
    /// Checks a second that were let pass.
    pub allowed_per_s: f64,
    /// Checks that were refused or held: none should be.
    pub refused: f64,
    /// Tokens drawn and neither used nor given back.
    pub wasted: f64,
    /// Of all that were drawn.
    pub drawn: f64,
    /// Redis CPU for a million checks, and checks a second: without limits and with them.
    pub without: (f64, f64),
    /// With them.
    pub with: (f64, f64),
}

/// Runs everything on `redis`, under names that nobody else uses.
///
/// # Errors
/// If anything cannot be run, or a player is turned away.
pub fn run(
    programs: &Programs,
    redis: &RedisCluster,
    folder: &Path,
    scale: &Scale,
) -> Result<Figures> {
    let name = format!("leases-{}", std::process::id());
    // Whoever is on this machine is believed about the address it speaks for.
    let rates =
        [("LIMITS__ADDRESS_CHECKS", "10-S burst 48"), ("SERVER__TRUSTED_PROXIES", "127.0.0.1")];
    let start = |_| guarded(programs, redis, folder, &name, scale.boxes, &rates);
    let nodes: Vec<_> = (0..NODES).map(start).collect::<Result<_>>()?;
    println!("{} addresses on {NODES} nodes", scale.keys);
    let sum = |metric: &str| -> Result<f64> { nodes.iter().map(|node| node.metric(metric)).sum() };
    let decided = |decision: &str| {
        sum(&format!(
            "billion_limit_decisions_total{{rule=\"checks\",key=\"address\",decision=\"{decision}\"}}"
        ))
    };
    let took = play(&nodes, scale, || sum("billion_limit_calls_total"))?;
    let allowed = decided("allowed")? + decided("near")?;
    let drawn = sum("billion_limit_tokens_drawn_total")?;
    let back = sum("billion_limit_tokens_given_back_total")?;
    let refused = decided("refused")?;
    nodes.into_iter().try_for_each(Server::stop)?;

    let rates = [("LIMITS__ADDRESS_CHECKS", "100000000-S burst 100000000")];
    let with = checks(programs, redis, folder, scale, &format!("{name}-with"), &rates)?;
    let off = [("LIMITS__ADDRESS", "off")];
    let without = checks(programs, redis, folder, scale, &format!("{name}-without"), &off)?;
    Ok(Figures {
        calls_per_s: took.calls / took.seconds,
        allowed_per_s: allowed / took.seconds,
        refused,
        wasted: (drawn - back - allowed).max(0.),
        drawn,
        without,
        with,
    })
}

/// A node with limits of its board's own.
fn guarded(
    programs: &Programs,
    redis: &RedisCluster,
    folder: &Path,
    board: &str,
    boxes: u32,
    rates: &[(&str, &str)],
) -> Result<Server> {
    let always = [
        ("LIMITER__LIMIT", "1000000000"),
        ("LIMITER__BURST", "4000000000"),
        ("LIMITS__ADDRESS", "on"),
        ("LIMITS__PREFIX", board),
    ];
    let all: Vec<_> = always.iter().chain(rates).copied().collect();
    Server::start_with(programs, redis, folder, board, boxes, &all)
}

struct Played {
    calls: f64,
    seconds: f64,
}

/// Every address checks at its pace, on each node a third of it.
fn play(nodes: &[Server], scale: &Scale, calls: impl Fn() -> Result<f64>) -> Result<Played> {
    let lines: Vec<Vec<Line>> =
        nodes.iter().map(|node| crowd(node, scale.keys)).collect::<Result<_>>()?;
    let (before, began) = (calls()?, Instant::now());
    let time = Duration::from_secs_f64(scale.seconds);
    let pace = Duration::from_secs_f64(NODES as f64 / scale.per_key / f64::from(scale.keys));
    let count = nodes.len() as u32;
    scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(lines)
            .map(|(node, lines)| scope.spawn(move || check(lines, node, count, pace, time)))
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it ends"))
    })?;
    Ok(Played { calls: calls()? - before, seconds: began.elapsed().as_secs_f64() })
}

/// A connection for each address, which a proxy would name.
fn crowd(node: &Server, keys: u32) -> Result<Vec<Line>> {
    let connect = |key: u32| {
        let address = Ipv4Addr::from_bits(0xCB00_7100 - (key << 8));
        let more = format!("X-Forwarded-For: {address}\r\n");
        let line = Line::connect(Ipv4Addr::LOCALHOST, node.address, &more)?;
        let line = line.context("an address was turned away")?;
        line.stream.set_nonblocking(true)?;
        Ok(line)
    };
    (0..keys).map(connect).collect()
}

/// Checks boxes that nobody else does, one line after the other, and reads what comes.
fn check(
    mut lines: Vec<Line>,
    node: u32,
    nodes: u32,
    pace: Duration,
    time: Duration,
) -> Result<()> {
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < time {
        sleep((pace * sent).saturating_sub(began.elapsed()));
        let at = sent as usize % lines.len();
        let line = &mut lines[at];
        line.check(1 + sent * nodes + node)?;
        let mut buffer = [0; 4096];
        match line.stream.read(&mut buffer) {
            Ok(read) => ensure!(read > 0, "a connection has ended"),
            Err(error) => ensure!(error.kind() == ErrorKind::WouldBlock, "{error}"),
        }
        sent += 1;
    }
    Ok(())
}

/// Redis CPU seconds for a million checks, and checks a second, of one node that takes as many as it can.
fn checks(
    programs: &Programs,
    redis: &RedisCluster,
    folder: &Path,
    scale: &Scale,
    board: &str,
    rates: &[(&str, &str)],
) -> Result<(f64, f64)> {
    println!("as many checks as one node takes: {rates:?}");
    let node = guarded(programs, redis, folder, board, scale.boxes, rates)?;
    let cpu = || cpu_seconds(redis.nodes().iter().filter_map(Node::pid));
    let before = cpu()?;
    let words = format!(
        "checks --boxes {} --seconds {} --warmup 1 --connections 15 --window 2048",
        scale.boxes, scale.seconds
    );
    let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
    let told = Swarm::start(programs, folder, 0, node.address, &words)?.finish()?;
    let spent = cpu()? - before;
    node.stop()?;
    let checks = told.figure("checks_acknowledged")?;
    Ok((spent / checks * 1e6, told.figure("acknowledged_per_s")?))
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls_per_s, allowed_per_s, refused, wasted, drawn, without, with } = self;
        writeln!(
            f,
            "{calls_per_s:.0} calls a second to Redis (goal: at most 150) for {allowed_per_s:.0} checks a second, {refused} refused"
        )?;
        writeln!(
            f,
            "{wasted:.0} of {drawn:.0} tokens drawn in vain ({:.1} %)",
            100. * wasted / drawn.max(1.)
        )?;
        writeln!(
            f,
            "Redis CPU-s for a million checks: {:.2} without limits at {:.0}/s, {:.2} with them at {:.0}/s",
            without.0, without.1, with.0, with.1
        )
    }
}
