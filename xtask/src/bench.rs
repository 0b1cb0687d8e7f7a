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
pub mod door;
mod figures;
pub mod group;
pub mod leases;
mod line;
mod people;
mod server;
mod spread;
mod swarm;

use std::path::PathBuf;

use anyhow::Result;
use procfs::{Current, LoadAverage};

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
    Ok(LoadAverage::current()?.one.into())
}
