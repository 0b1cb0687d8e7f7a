//! Runs the load generator and reads its figures. Books that do not balance are an error, whatever
//! the figures.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Programs;
use crate::process::Running;

/// Beyond connecting, load and verification of any run here.
const PATIENCE: Duration = Duration::from_secs(300);

/// A swarm under way.
#[derive(Debug)]
pub struct Swarm {
    process: Running,
    report: PathBuf,
}

/// What a swarm has told.
#[derive(Debug)]
pub struct Told(Value);

impl Swarm {
    /// Starts `swarm` with these words against the node at `address`; `index` tells it from others
    /// that run at the same time.
    pub fn start(
        programs: &Programs,
        folder: &Path,
        index: usize,
        address: SocketAddr,
        words: &[String],
    ) -> Result<Self> {
        let report = folder.join(format!("swarm-{index}.json"));
        let mut command = Command::new(&programs.swarm);
        command.args(words).arg("--url").arg(format!("ws://{address}"));
        command.arg("--json").arg(&report).current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { process: Running::start(&mut command)?, report })
    }

    /// Lets its load end now; it still waits for what is under way, and reports.
    pub fn end_load(&self) -> Result<()> {
        // It was not waited for, so the id cannot be somebody else's.
        kill_process(Pid::from_child(&self.process.0), Signal::INT).context("swarm has ended")
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Result<Told> {
        let status = self.process.wait(PATIENCE).context("swarm")?;
        let report = fs::read(&self.report).with_context(|| format!("swarm ended, {status}"))?;
        let told = Told(serde_json::from_slice(&report)?);
        ensure!(
            status.success() && told.0["balanced"] == true,
            "the books do not balance: {}",
            told.0["discrepancies"]
        );
        Ok(told)
    }
}

impl Told {
    /// One of its figures.
    pub fn figure(&self, name: &str) -> Result<f64> {
        self.0["figures"][name].as_f64().with_context(|| format!("swarm tells no {name}"))
    }
}
