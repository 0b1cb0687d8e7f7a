//! A node under measurement: started with a board in Redis, asked how it is, ended in order.

use std::{
    env::vars_os,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::Programs;
use crate::{
    http::{get, is_ready},
    process::Running,
    redis::RedisCluster,
};

/// Far more than anything takes here, so that only a hang fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two questions whether it is ready: what readiness is measured with.
const POLL: Duration = Duration::from_millis(1);

/// A running node; killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Running,
    /// Where players connect.
    pub address: SocketAddr,
    /// Where its metrics are.
    pub admin: SocketAddr,
    /// From the start of its process until it was ready.
    pub ready_after: Duration,
}

impl Server {
    /// Starts a node of the board `board` with `boxes` boxes, without rate limits, and waits until it
    /// is ready.
    pub fn start(
        programs: &Programs,
        redis: &RedisCluster,
        folder: &Path,
        board: &str,
        boxes: u32,
    ) -> Result<Self> {
        Self::start_with(programs, redis, folder, board, boxes, &[])
    }

    /// The same with other settings, `SECTION__KEY` and value.
    pub fn start_with(
        programs: &Programs,
        redis: &RedisCluster,
        folder: &Path,
        board: &str,
        boxes: u32,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let addresses: Vec<_> = redis.addresses().iter().map(ToString::to_string).collect();
        let mut command = billion(programs, folder, boxes);
        command.env("BILLION__BOARD__NAME", board);
        command.env("BILLION__REDIS__ADDRESSES", addresses.join(","));
        command.envs(settings.iter().map(|(key, value)| (format!("BILLION__{key}"), value)));
        Self::launch(&mut command)
    }

    /// Starts a node with a store of its own, empty, in `folder`, else as above.
    pub fn start_alone(programs: &Programs, folder: &Path, boxes: u32) -> Result<Self> {
        Self::start_alone_with(programs, folder, boxes, &[])
    }

    /// The same with other settings, `SECTION__KEY` and value, and with what an earlier one left in `folder`.
    pub fn start_alone_with(
        programs: &Programs,
        folder: &Path,
        boxes: u32,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let mut command = billion(programs, folder, boxes);
        command.env("BILLION__STORE__PATH", ".");
        command.envs(settings.iter().map(|(key, value)| (format!("BILLION__{key}"), value)));
        Self::launch(&mut command)
    }

    /// The same with the limits that a server has by default.
    pub fn start_guarded(programs: &Programs, folder: &Path, boxes: u32) -> Result<Self> {
        let mut command = billion(programs, folder, boxes);
        for name in ["LIMITER__LIMIT", "LIMITER__RANGE_LIMIT", "LIMITS__ADDRESS"] {
            command.env_remove(format!("BILLION__{name}"));
        }
        Self::launch(command.env("BILLION__STORE__PATH", "."))
    }

    /// Starts a program that speaks like a node, to be compared with one.
    pub fn start_baseline(program: &Path, folder: &Path, boxes: u32) -> Result<Self> {
        let mut command = Command::new(program);
        command.current_dir(folder).arg("--boxes").arg(boxes.to_string());
        Self::launch(&mut command)
    }

    fn launch(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut process = Running::start(command)?;
        let lines = read_lines(process.0.stderr.take().context("stderr is piped")?);
        let (address, admin) = announced(&lines, began + PATIENCE)?;
        while !is_ready(admin) {
            ensure!(began.elapsed() < PATIENCE, "the node does not get ready");
            sleep(POLL);
        }
        Ok(Self { process, address, admin, ready_after: began.elapsed() })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The value of a metric, `name` with its labels as in the text format; 0 if absent, as counters
    /// with labels are until they count something.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let (_, body) = get(self.admin, "/metrics")?;
        let value = body.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?;
            // A node has one board here.
            let of_the_board =
                || rest.strip_prefix("{board=\"")?.split_once('"')?.1.strip_prefix("} ");
            rest.strip_prefix(' ').or_else(of_the_board)
        });
        value.map_or(Ok(0.), |value| value.parse().context("a metric is a number"))
    }

    /// Ends it in order.
    pub fn stop(mut self) -> Result<()> {
        // It was not waited for, so the id cannot be somebody else's.
        kill_process(Pid::from_child(&self.process.0), Signal::TERM)?;
        let status = self.process.wait(PATIENCE)?;
        ensure!(status.success(), "the node ended with {status}");
        Ok(())
    }
}

/// The server with what all runs have in common, and nothing of what is set around us.
fn billion(programs: &Programs, folder: &Path, boxes: u32) -> Command {
    let mut command = Command::new(&programs.billion);
    for (name, _) in vars_os() {
        let known = name.to_str().unwrap_or_default();
        if ["BILLION_", "REDIS_", "LIMITER_", "WEBSOCKET_", "SERVER_"]
            .iter()
            .any(|prefix| known.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
        .current_dir(folder)
        .env("BILLION__SERVER__ADDRESS", "127.0.0.1:0")
        .env("BILLION__ADMIN__ADDRESS", "127.0.0.1:0")
        .env("BILLION__BOARD__BOXES", boxes.to_string())
        .env("BILLION__LIMITER__LIMIT", "0")
        .env("BILLION__LIMITER__RANGE_LIMIT", "0")
        .env("BILLION__LIMITS__ADDRESS", "off");
    command
}

/// What it says, line by line. Read to its end, so that it never waits to be read.
fn read_lines(from: impl Read + Send + 'static) -> Receiver<String> {
    // A listening server has said a handful of lines; later ones go nowhere but to the screen.
    let (said, lines) = sync_channel(64);
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if line.contains(" WARN ") || line.contains(" ERROR ") {
                eprintln!("billion: {line}");
            }
            let _ = said.try_send(line);
        }
    });
    lines
}

/// Where it listens for players and for operators, which it tells when it does.
fn announced(lines: &Receiver<String>, deadline: Instant) -> Result<(SocketAddr, SocketAddr)> {
    let (mut players, mut operators) = (None, None);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else { bail!("the node does not listen") };
        let address = |prefix| Some(line.split_once(prefix)?.1.split('/').next()?.trim().parse());
        players = players.or(address("listening on http://").transpose()?);
        operators = operators.or(address("metrics on http://").transpose()?);
        if let (Some(players), Some(operators)) = (players, operators) {
            return Ok((players, operators));
        }
    }
}
