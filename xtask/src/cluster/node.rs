//! A node of the cluster: the server itself, on the Redis Cluster's board.

use std::{
    env::vars_os,
    fmt,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use xtask::{http, redis::RedisCluster};

use super::{POLL, ports::Listeners};
use crate::process::Running;

/// Reading a board of a billion boxes takes a second.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// More than its server.shutdown_timeout_s.
const ENDS_WITHIN: Duration = Duration::from_secs(12);

/// A node that was started. Killed when dropped.
pub struct Node {
    command: Command,
    process: Running,
    at: Listeners,
    log: PathBuf,
    over: bool,
}

impl Node {
    /// Starts one in a folder of its own inside `folder`.
    pub fn start(
        program: &Path,
        folder: &Path,
        at: Listeners,
        redis: &RedisCluster,
    ) -> Result<Self> {
        let folder = folder.join(format!("node-{}", at.number));
        fs::create_dir_all(&folder)?;
        let log = folder.join("billion.log");
        let addresses: Vec<_> = redis.addresses().iter().map(ToString::to_string).collect();
        let mut command = Command::new(program);
        for (name, _) in vars_os() {
            let known = name.to_str().unwrap_or_default();
            if known.starts_with("REDIS_") || known.starts_with("BILLION__REDIS__") {
                command.env_remove(name);
            }
        }
        command
            .env("BILLION__SERVER__ADDRESS", format!("127.0.0.1:{}", at.players))
            .env("BILLION__ADMIN__ADDRESS", format!("127.0.0.1:{}", at.admin))
            .env("BILLION__SERVER__TRUSTED_PROXIES", "127.0.0.1")
            .env("REDIS_ADDRESSES", addresses.join(","));
        command.current_dir(&folder).stdin(Stdio::null());
        command.stdout(File::create(&log)?).stderr(File::options().append(true).open(&log)?);
        let process = Running::start_apart(&mut command)?;
        Ok(Self { command, process, at, log, over: false })
    }

    /// Which one it is, from 1.
    pub fn number(&self) -> u16 {
        self.at.number
    }

    /// Starts it once more as it was started, if it has ended.
    pub fn start_again(&mut self) -> Result<()> {
        if self.over {
            self.process = Running::start_apart(&mut self.command)?;
            self.over = false;
            println!("node {}  started again", self.at.number);
        }
        Ok(())
    }

    /// Waits until it takes players.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !self.is_ready() {
            let number = self.at.number;
            if let Some(status) = self.process.0.try_wait()? {
                bail!("node {number} ended, {status}:\n{}", self.last_words());
            }
            if Instant::now() > deadline {
                bail!("node {number} is not ready after {READY_WITHIN:?}:\n{}", self.last_words());
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Says so once, if it has ended.
    pub fn tell_if_ended(&mut self) -> Result<()> {
        if self.over {
            return Ok(());
        }
        if let Some(status) = self.process.0.try_wait()? {
            self.over = true;
            let number = self.at.number;
            println!("node {number}  ended, {status}; its log: {}", self.log.display());
            println!("        again: cargo xtask cluster start {number}");
        }
        Ok(())
    }

    /// Whether it was told to have ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// It saves what it has, tells its players and ends.
    pub fn ask_to_end(&self) -> Result<()> {
        if self.over { Ok(()) } else { self.process.ask_to_end() }
    }

    /// Waits for that; says so if it takes too long, in which case it is going to be killed.
    pub fn wait_for_its_end(&mut self) {
        if let Err(failure) = self.process.wait(ENDS_WITHIN) {
            println!("node {}: {failure:#}; its log: {}", self.at.number, self.log.display());
        }
    }

    fn is_ready(&self) -> bool {
        http::is_ready(SocketAddr::from((Ipv4Addr::LOCALHOST, self.at.players)))
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).context("no log").unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listeners { number, players, admin } = self.at;
        write!(
            f,
            "node {number}  http://127.0.0.1:{players}/  log {}\n        metrics \
             http://127.0.0.1:{admin}/metrics",
            self.log.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_was_killed_can_be_started_again() -> Result<()> {
        let mut command = Command::new("sleep");
        command.arg("600");
        let process = Running::start_apart(&mut command)?;
        let at = Listeners { number: 1, players: 0, admin: 0 };
        let mut node = Node { command, process, at, log: PathBuf::new(), over: false };
        let first = node.process.0.id();
        node.start_again()?;
        assert_eq!(node.process.0.id(), first, "it has not ended");
        node.process.0.kill()?;
        node.process.0.wait()?;
        node.tell_if_ended()?;
        assert!(node.is_over());
        node.start_again()?;
        assert!(!node.is_over() && node.process.0.try_wait()?.is_none());
        assert_ne!(node.process.0.id(), first);
        Ok(())
    }
}
