//! `cargo xtask cluster`: several nodes that share one board, on this machine, for people. A Redis
//! Cluster, nodes built from this workspace, nginx in front; everything in one folder, all of it gone
//! when the command ends.

mod entrance;
mod node;
mod ports;

use std::{
    fs::{self, File, TryLockError},
    path::PathBuf,
    process::{ExitCode, id},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};
use xtask::{
    guardian::{Folder, Guardian},
    redis::{NODES, RedisCluster},
};

use self::{entrance::Entrance, node::Node, ports::Ports};
use crate::{
    process::{self, Workspace},
    tools::{self, FOR_CLUSTER, FOR_REDIS, Tool},
};

/// What Redis may take to save and end.
const REDIS_ENDS_WITHIN: Duration = Duration::from_secs(15);
/// What is left when this command is killed is asked to end, and killed after so long: more than a
/// node's server.shutdown_timeout_s.
const GRACE: Duration = Duration::from_secs(12);
/// What `down` waits for at most: nodes, nginx and Redis, one after the other.
const DOWN_WITHIN: Duration = Duration::from_secs(60);
/// `up` looks for requests every [`POLL`], and may be busy with a node that starts.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Starts a Redis Cluster, nodes that share a board in it, and nginx in front of them
    ///
    /// Runs until Ctrl-C (or `down` in another terminal), then stops everything in order: nodes
    /// first, which tell their players, Redis last. Needs redis-server, redis-cli and nginx; on
    /// Debian: apt-get install redis-tools nginx-light.
    ///
    /// Settings in the environment (BILLION__SECTION__KEY) reach every node, except those that
    /// tell the nodes apart.
    Up(Up),
    /// Starts a node again that has ended, in the cluster that is up, from another terminal
    Start {
        /// The number of the node, from 1
        node: u16,
    },
    /// Stops the cluster that is up, from another terminal, and whatever a killed one left
    Down,
}

#[derive(Debug, Args)]
pub struct Up {
    /// How many nodes to start
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    nodes: u16,
    /// Where nginx listens for players; nodes take the ports behind it, 8081, 8082, ..., and for
    /// their metrics those a thousand further, 9081, 9082, ...
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The first of the six ports of Redis; for its bus those a hundred further, 7101, 7102, ...
    #[arg(long, value_name = "PORT", default_value_t = 7001)]
    redis_port: u16,
    /// Only the Redis Cluster: for nodes that you start yourself
    #[arg(long)]
    redis_only: bool,
    /// Keep the board: continue the one that was kept before, on the same ports. Without this the
    /// board is new and gone at the end, and a kept one stays as it is
    #[arg(long)]
    keep: bool,
    /// Build the nodes with optimizations, to measure rather than to try
    #[arg(long)]
    release: bool,
}

/// Runs the command to its end.
pub fn run(workspace: &Workspace, command: Command) -> Result<ExitCode> {
    let place = Place::new(workspace)?;
    match command {
        Command::Up(up) => up.run(workspace, &place)?,
        Command::Start { node } => place.ask_for(node)?,
        Command::Down => place.down()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Where everything is kept; at most one cluster at a time.
struct Place {
    folder: PathBuf,
    lock: File,
}

impl Place {
    fn new(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("cluster");
        let failed = || format!("cannot write into {}", folder.display());
        fs::create_dir_all(&folder).with_context(failed)?;
        let mut options = File::options();
        let lock = options.create(true).truncate(false).read(true).write(true);
        let lock = lock.open(folder.join("lock")).with_context(failed)?;
        Ok(Self { folder, lock })
    }

    /// The folder of a board.
    fn board(&self, keep: bool) -> PathBuf {
        self.folder.join(if keep { "kept" } else { "new" })
    }

    /// Takes the place; false if somebody has it. It is released when the last copy of the lock is
    /// closed, and the guardian has one: after `kill -9` there is nobody else until it is done.
    fn take(&self) -> Result<bool> {
        match self.lock.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock"),
        }
    }

    /// Leaves a request for whoever has the place to start a node again, and waits until it is taken.
    fn ask_for(&self, node: u16) -> Result<()> {
        ensure!(self.holder().is_some(), "no cluster is up: cargo xtask cluster up");
        let request = self.request(node);
        fs::write(&request, "")?;
        let deadline = Instant::now() + TAKEN_WITHIN;
        while request.exists() {
            if Instant::now() > deadline {
                fs::remove_file(&request)?;
                bail!("the cluster that is up has no node {node} that has ended");
            }
            sleep(POLL);
        }
        println!("node {node} is started again");
        Ok(())
    }

    /// Exists while somebody wants that node started again.
    fn request(&self, node: u16) -> PathBuf {
        self.folder.join(format!("start-{node}"))
    }

    /// Asks whoever has the place to end, and waits until everything has.
    fn down(&self) -> Result<()> {
        let deadline = Instant::now() + DOWN_WITHIN;
        let (mut told, mut waited) = (false, false);
        while !self.take()? {
            waited = true;
            if let (false, Some(holder)) = (told, self.holder()) {
                kill_process(holder, Signal::TERM).context("the cluster cannot be stopped")?;
                println!("stopping the cluster of process {}", holder.as_raw_nonzero());
                told = true;
            }
            ensure!(Instant::now() < deadline, "it has not ended within {DOWN_WITHIN:?}");
            sleep(POLL);
        }
        self.sweep()?;
        println!("{}", if waited { "everything has ended" } else { "no cluster was up" });
        Ok(())
    }

    /// The process of `up`, if it is the one that wrote its id: that has our lock open.
    fn holder(&self) -> Option<Pid> {
        let lock = self.folder.join("lock").canonicalize().ok()?;
        let written = fs::read_to_string(self.folder.join("up.pid")).ok()?;
        let pid: i32 = written.trim().parse().ok()?;
        let mut files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(Result::ok);
        let opened = |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|to| to == lock);
        files.any(opened).then(|| Pid::from_raw(pid))?
    }

    /// Ends what works in the folders though nobody watches over it. With the place taken only a
    /// killed guardian can have left something.
    fn sweep(&self) -> Result<()> {
        for (keep, at_end) in [(false, Folder::Remove), (true, Folder::Keep)] {
            let folder = self.board(keep);
            if folder.exists() {
                drop(Guardian::over(&folder, GRACE, at_end)?);
            }
        }
        Ok(())
    }
}

impl Up {
    fn run(&self, workspace: &Workspace, place: &Place) -> Result<()> {
        let ports = Ports::new(self.port, self.redis_port, self.nodes)?;
        ensure!(
            place.take()?,
            "a cluster is up already, or is just being ended: cargo xtask cluster down"
        );
        place.sweep()?;
        ports.check(self.redis_only)?;
        let wanted: &[Tool] = if self.redis_only { &FOR_REDIS } else { &FOR_CLUSTER };
        tools::require(wanted)?;
        let program = match self.redis_only {
            true => None,
            false => Some(build(workspace, self.release)?),
        };
        fs::write(place.folder.join("up.pid"), id().to_string())?;
        let at_end = if self.keep { Folder::Keep } else { Folder::Remove };
        let folder = place.board(self.keep);
        let guardian = Guardian::with_lock(&folder, GRACE, at_end, &place.lock)?;
        self.run_guarded(workspace, place, &ports, program, &guardian)
    }

    /// Everything from here on ends with us, whatever happens.
    fn run_guarded(
        &self,
        workspace: &Workspace,
        place: &Place,
        ports: &Ports,
        program: Option<PathBuf>,
        guardian: &Guardian,
    ) -> Result<()> {
        let folder = guardian.folder();
        println!("starting {NODES} Redis processes in {}", folder.display());
        let redis = RedisCluster::start(folder, &ports.redis)?;
        let mut nodes = Vec::new();
        if let Some(program) = program {
            println!("starting {} nodes", self.nodes);
            for node in &ports.nodes {
                nodes.push(Node::start(&program, folder, *node, &redis)?);
            }
            for node in &mut nodes {
                node.wait_until_ready()?;
            }
        }
        let entrance = match self.redis_only {
            true => None,
            false => Entrance::start(workspace, folder, ports)?,
        };
        // Until here a signal ends this process, and the guardian the others; from here on it ends
        // them in order. A second Ctrl-C is for the impatient.
        let asked = Arc::new(AtomicBool::new(false));
        flag::register_conditional_shutdown(SIGINT, 1, asked.clone())?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register(signal, asked.clone())?;
        }
        self.tell(&redis, &nodes, entrance.as_ref(), guardian);
        watch(&redis, &mut nodes, place, &asked)?;
        println!("\nstopping");
        stop(&redis, nodes, entrance)
    }

    fn tell(
        &self,
        redis: &RedisCluster,
        nodes: &[Node],
        entrance: Option<&Entrance>,
        guardian: &Guardian,
    ) {
        println!();
        for redis in redis.nodes() {
            println!("redis   {:<23} log {}", redis.address(), redis.log_file().display());
        }
        let addresses: Vec<_> = redis.addresses().iter().map(ToString::to_string).collect();
        println!("        REDIS_ADDRESSES={}", addresses.join(","));
        for node in nodes {
            println!("{node}");
        }
        match entrance {
            Some(entrance) => println!("{entrance}"),
            None if self.redis_only => {}
            None => println!("nginx   not started: there is no {}", entrance::CONFIGURATION),
        }
        let folder = guardian.folder().display();
        match self.keep {
            true => println!("board   kept in {folder}"),
            false => println!("board   in {folder}, gone at the end (--keep keeps one)"),
        }
        println!("\nCtrl-C, or `cargo xtask cluster down`, stops everything.");
    }
}

/// The server, from this workspace.
fn build(workspace: &Workspace, release: bool) -> Result<PathBuf> {
    let mut command = workspace.cargo(&["build", "--locked", "--bin", "billion"]);
    if release {
        command.arg("--release");
    }
    process::run(&mut command)?;
    let profile = if release { "release" } else { "debug" };
    Ok(workspace.target.join(profile).join("billion"))
}

/// Waits until somebody asks for the end, and says what ends before. That may be meant: a killed
/// Redis process is what a cluster is for.
fn watch(
    redis: &RedisCluster,
    nodes: &mut [Node],
    place: &Place,
    asked: &AtomicBool,
) -> Result<()> {
    while !asked.load(Relaxed) {
        for node in redis.nodes() {
            if let Some(how) = node.has_ended()? {
                println!("redis   {} ended, {how}; the others go on", node.address());
            }
        }
        for node in &mut *nodes {
            node.tell_if_ended()?;
            let request = place.request(node.number());
            if node.is_over() && request.exists() {
                fs::remove_file(&request)?;
                node.start_again()?;
            }
        }
        if !nodes.is_empty() && nodes.iter().all(Node::is_over) {
            bail!("no node is left");
        }
        sleep(POLL);
    }
    Ok(())
}

/// Nodes first, which save and tell their players; nginx, through which they are told; Redis last.
fn stop(redis: &RedisCluster, mut nodes: Vec<Node>, entrance: Option<Entrance>) -> Result<()> {
    for node in &nodes {
        node.ask_to_end()?;
    }
    for node in &mut nodes {
        node.wait_for_its_end();
    }
    drop(nodes);
    drop(entrance);
    redis.stop(REDIS_ENDS_WITHIN)
}
