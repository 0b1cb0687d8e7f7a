//! Benchmarks of whole servers: real programs, a real Redis Cluster where it takes part, everything on
//! one machine.
//!
//! `cargo xtask bench …` runs them with release builds. Each has a quick form that the end-to-end
//! tests run, so that none can rot; it says nothing about speed.

mod baseline;
mod boards;
pub mod cluster;
pub mod fanout;
pub mod crowd;
mod figures;
mod server;
mod swarm;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

/// What is run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The server.
    pub billion: PathBuf,
    /// The load generator.
    pub swarm: PathBuf,
    /// Fan-out as plain tokio does it.
    pub plain: PathBuf,
    /// Fan-out with an actor per connection and a message per update.
    pub naive: PathBuf,
}

/// Processes that wanted a core, on average over the last minute.
fn machine_load() -> Result<f64> {
    let loads = fs::read_to_string("/proc/loadavg")?;
    loads.split(' ').next().context("a load average")?.parse().context("a number")
}

/// `/proc/PID/stat` counts in USER_HZ, which is 100 wherever Linux runs.
const TICKS_PER_SECOND: f64 = 100.;

/// CPU seconds that these processes have used since each was started.
fn cpu_seconds(pids: impl IntoIterator<Item = u32>) -> Result<f64> {
    let mut sum = 0.;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        let stat = stat.with_context(|| format!("process {pid} has ended"))?;
        // The name before may hold spaces; user and system time are the 12th and 13th field after it.
        let (_, fields) = stat.rsplit_once(')').context("a name")?;
        for ticks in fields.split_ascii_whitespace().skip(11).take(2) {
            sum += ticks.parse::<f64>().context("a number of ticks")? / TICKS_PER_SECOND;
        }
    }
    Ok(sum)
}
