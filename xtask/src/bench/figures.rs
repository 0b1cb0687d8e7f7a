//! What a run of the cluster benchmark found, and how it is told.

use std::{fmt, time::Duration};

/// Goals, as promised in `docs/BENCHMARKS.md`.
const RATE_TIMES: f64 = 10.;
const CPU_TIMES: f64 = 10.;
const RELAY_P99_MS: f64 = 60.;
const READY: Duration = Duration::from_secs(2);

/// Checks one way or the other, over some time.
#[derive(Debug, Default, Clone, Copy)]
pub struct Load {
    /// Checks that were measured.
    pub checks: f64,
    /// The time they took.
    pub seconds: f64,
    /// All checks, those before and after that time included: what the CPU seconds were spent on.
    pub checks_in_all: f64,
    /// CPU seconds of all six processes of Redis.
    pub redis_cpu_s: f64,
    /// CPU seconds of all nodes.
    pub nodes_cpu_s: f64,
    /// Milliseconds until a check was acknowledged: median and 99 %, the worst of several swarms.
    pub ack_ms: Option<(f64, f64)>,
    /// Checks in one request to Redis.
    pub batch: Option<f64>,
}

impl Load {
    /// Checks a second.
    pub fn rate(&self) -> f64 {
        self.checks / self.seconds
    }

    /// CPU seconds of Redis for a million checks.
    pub fn redis_cpu(&self) -> f64 {
        self.redis_cpu_s / self.checks_in_all * 1e6
    }

    fn nodes_cpu(&self) -> f64 {
        self.nodes_cpu_s / self.checks_in_all * 1e6
    }
}

/// From a check on one node to its update on another.
#[derive(Debug, Clone, Copy)]
pub struct Relay {
    /// Checks a second.
    pub rate: f64,
    /// Milliseconds.
    pub p50_ms: f64,
    /// Milliseconds.
    pub p99_ms: f64,
    /// Milliseconds.
    pub max_ms: f64,
}

/// Everything.
#[derive(Debug)]
pub struct Figures {
    /// The Go server's way, each round.
    pub baseline: Vec<Load>,
    /// One node, each round.
    pub one_node: Vec<Load>,
    /// Three nodes.
    pub three_nodes: Load,
    /// Two nodes.
    pub relay: Relay,
    /// From the start of a node's process until it is ready, on an empty and on a full board.
    pub ready: [Vec<Duration>; 2],
    /// Boxes of the board.
    pub boxes: u32,
    /// Whether goals apply.
    pub judged: bool,
    /// Processes that wanted a core, on average over a minute, before and after.
    pub machine_load: [f64; 2],
}

impl Figures {
    /// How many times the baseline's rate one node reaches.
    pub fn rate_times(&self) -> f64 {
        median(&self.one_node, Load::rate) / median(&self.baseline, Load::rate)
    }

    /// How many times less CPU Redis spends on a check of one node.
    pub fn cpu_times(&self) -> f64 {
        median(&self.baseline, Load::redis_cpu) / median(&self.one_node, Load::redis_cpu)
    }

    fn goal(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        found: &str,
        goal: &str,
        met: bool,
    ) -> fmt::Result {
        write!(f, "{what:<34} {found}")?;
        if self.judged {
            write!(f, " (goal {goal}: {})", if met { "met" } else { "NOT MET" })?;
        }
        writeln!(f)
    }
}

/// The middle one; the upper of two.
fn median(loads: &[Load], figure: impl Fn(&Load) -> f64) -> f64 {
    let mut figures: Vec<f64> = loads.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<34} {:>10} {:>14} {:>14} {:>8} {:>18}",
            "", "checks/s", "Redis CPU-s/M", "nodes CPU-s/M", "batch", "ack p50, p99 ms"
        )?;
        for load in &self.baseline {
            row(f, "ZADD + INCR + PUBLISH per check", load)?;
        }
        for load in &self.one_node {
            row(f, "one node", load)?;
        }
        row(f, "three nodes", &self.three_nodes)?;
        writeln!(f)?;
        let (rate, cpu) = (self.rate_times(), self.cpu_times());
        let found = format!("{rate:.1} times");
        self.goal(f, "one node's rate", &found, "10 times", rate >= RATE_TIMES)?;
        let found = format!("1/{cpu:.1}");
        self.goal(f, "Redis CPU per check", &found, "1/10", cpu >= CPU_TIMES)?;
        let Relay { rate, p50_ms, p99_ms, max_ms } = self.relay;
        let what = format!("node to node at {rate:.0} checks/s");
        let found = format!("p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, max {max_ms:.1} ms");
        self.goal(f, &what, &found, "p99 60 ms", p99_ms <= RELAY_P99_MS)?;
        for (board, ready) in ["empty", "full"].iter().zip(&self.ready) {
            let what = format!("ready, {board} board of {}", self.boxes);
            let each = ready.iter().map(|took| format!("{:.2} s", took.as_secs_f64()));
            let found = each.collect::<Vec<_>>().join(", ");
            self.goal(f, &what, &found, "2 s", ready.iter().all(|took| *took <= READY))?;
        }
        let [before, after] = self.machine_load;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        writeln!(
            f,
            "\nLoad generator, nodes and Redis share {cores} cores; load average before {before}, \
             after {after}."
        )
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, load: &Load) -> fmt::Result {
    let known = |figure: Option<String>| figure.unwrap_or_else(|| "-".to_owned());
    writeln!(
        f,
        "{name:<34} {:>10.0} {:>14.2} {:>14} {:>8} {:>18}",
        load.rate(),
        load.redis_cpu(),
        known((load.nodes_cpu_s > 0.).then(|| format!("{:.2}", load.nodes_cpu()))),
        known(load.batch.map(|batch| format!("{batch:.0}"))),
        known(load.ack_ms.map(|(p50, p99)| format!("{p50:.1}, {p99:.1}"))),
    )
}
