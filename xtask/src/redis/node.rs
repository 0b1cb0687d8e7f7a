//! One process of a cluster: started, asked, hurt and ended.

use std::{
    error::Error,
    fmt, fs,
    io::{self, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{Connection, Member, NodePorts, Reply, members, poll};

const SERVER: &str = "redis-server";
/// The very same program under another name; it becomes what it is called. Debian has it in
/// `redis-tools`, while its package `redis-server` starts a service on port 6379, now and at every
/// boot, which nobody who runs tests has asked for.
const SAME_PROGRAM: &str = "redis-check-rdb";

/// Starts a Redis server that `prepare` has given its arguments, whatever Debian calls it.
///
/// # Errors
/// If it cannot be run.
pub fn spawn_server(prepare: impl Fn(&mut Command) -> io::Result<()>) -> io::Result<Child> {
    let run = |program| {
        let mut command = Command::new(program);
        command.arg0(SERVER);
        prepare(&mut command)?;
        command.spawn()
    };
    match run(SERVER) {
        Err(error) if error.kind() == ErrorKind::NotFound => run(SAME_PROGRAM),
        ran => ran,
    }
}

/// How long a reply may take when it is only asked how things are.
const PATIENCE: Duration = Duration::from_secs(5);
/// A board of a billion boxes is read back within a second or two.
const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// One process of a cluster.
#[derive(Debug)]
pub struct Node {
    ports: NodePorts,
    folder: PathBuf,
    process: Mutex<Process>,
}

#[derive(Debug, Default)]
struct Process {
    child: Option<Child>,
    paused: bool,
}

/// Somebody else listens where a node was to listen.
#[derive(Debug)]
pub(super) struct PortTaken(NodePorts);

impl fmt::Display for PortTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NodePorts { clients, bus } = self.0;
        write!(f, "port {clients} or {bus} is taken by somebody else")
    }
}

impl Error for PortTaken {}

impl Node {
    /// A node that keeps what it writes inside `folder`; not started yet.
    pub(super) fn new(folder: &Path, ports: NodePorts) -> Self {
        let folder = folder.join(format!("redis-{}", ports.clients));
        Self { ports, folder, process: Mutex::default() }
    }

    /// Where clients reach it.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.clients).into()
    }

    /// Where clients reach it, followed by a space, as no other name begins with it.
    pub(super) fn name(&self) -> String {
        format!("{} ", self.address())
    }

    /// What it has logged, the file.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("redis.log")
    }

    /// Its process, if it was started and neither killed nor stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process().child.as_ref().map(Child::id)
    }

    /// Whether it is started and not paused.
    pub fn is_running(&self) -> bool {
        let process = self.process();
        process.child.is_some() && !process.paused
    }

    /// Whether it has been part of a cluster, which it will look for when it starts.
    pub(super) fn was_in_a_cluster(&self) -> bool {
        self.folder.join("nodes.conf").exists()
    }

    /// Starts it, on the same ports and with the same data as before, and waits until it answers.
    pub fn start(&self) -> Result<()> {
        self.spawn()?;
        self.wait_until_it_answers()
    }

    pub(super) fn spawn(&self) -> Result<()> {
        let mut process = self.process();
        ensure!(process.child.is_none(), "{} runs already", self.address());
        fs::create_dir_all(&self.folder)?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let (out, errors) = (log.try_clone()?, log);
        let child = spawn_server(|command| {
            self.prepare(command);
            command.stdout(out.try_clone()?).stderr(errors.try_clone()?);
            Ok(())
        });
        process.child = Some(child.map_err(cannot_run(SERVER))?);
        Ok(())
    }

    fn prepare(&self, command: &mut Command) {
        let (port, bus) = (self.ports.clients.to_string(), self.ports.bus.to_string());
        for (name, value) in [
            ("bind", "127.0.0.1"),
            ("port", &port),
            // The default, ten thousand above the other, may be anybody's.
            ("cluster-port", &bus),
            ("cluster-enabled", "yes"),
            ("cluster-config-file", "nodes.conf"),
            ("cluster-node-timeout", "2000"),
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
            // The log has everything; a snapshot beside it would only cost.
            ("save", ""),
            // Nobody else is going to ask for the same copy a moment later.
            ("repl-diskless-sync-delay", "0"),
        ] {
            command.arg(format!("--{name}")).arg(value);
        }
        // A group of its own: the Ctrl-C that ends us is not for it, we end it in our order.
        command.current_dir(&self.folder).process_group(0).stdin(Stdio::null());
    }

    pub(super) fn wait_until_it_answers(&self) -> Result<()> {
        let answer = poll(STARTED_WITHIN, || {
            if let Some(status) = self.ended()? {
                // No use in waiting; what it says is read below.
                return Ok(Err(status));
            }
            let pong = self.call(&["PING"])?;
            ensure!(pong == Reply::Status("PONG".into()), "{}: {pong:?}", self.address());
            Ok(Ok(()))
        })?;
        let Err(status) = answer else { return Ok(()) };
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        if log.contains("Could not create server TCP listening socket") {
            return Err(PortTaken(self.ports).into());
        }
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(10)..].join("\n");
        bail!("redis-server at {} ended, {status}:\n{last}", self.address())
    }

    /// `kill -9`, and waits until it is gone. It may be gone already.
    pub fn kill(&self) {
        let mut process = self.process();
        if let Some(mut child) = process.child.take() {
            // Neither fails for a child that was not waited for.
            let _ = child.kill();
            let _ = child.wait();
        }
        *process = Process::default();
    }

    /// SIGSTOP: it keeps its connections and does nothing any more.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        self.process().paused = true;
        Ok(())
    }

    /// SIGCONT: it goes on.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)?;
        self.process().paused = false;
        Ok(())
    }

    /// SIGTERM: it saves what it has and ends.
    pub(super) fn ask_to_end(&self) -> Result<()> {
        if self.pid().is_none() {
            return Ok(());
        }
        self.signal(Signal::TERM)
    }

    /// Waits for its end, if it was started.
    pub(super) fn wait_for_its_end(&self, limit: Duration) -> Result<()> {
        poll(limit, || {
            ensure!(self.ended()?.is_some(), "{} does not end", self.address());
            Ok(())
        })
    }

    /// One command on a connection of its own. A refusal is a reply, too.
    pub fn call<W: AsRef<[u8]>>(&self, words: &[W]) -> Result<Reply> {
        self.connect(PATIENCE)?.call(words)
    }

    /// A connection for several commands, or for subscribing.
    pub fn connect(&self, patience: Duration) -> Result<Connection> {
        Connection::open(self.address(), patience)
    }

    /// How it ended by itself, told once.
    pub fn has_ended(&self) -> Result<Option<String>> {
        if self.pid().is_none() { Ok(None) } else { self.ended() }
    }

    /// Who is in the cluster, as it sees it.
    pub fn members(&self) -> Result<Vec<Member>> {
        members(&self.call(&["CLUSTER", "NODES"])?.text()?)
    }

    /// Whether it takes itself for a replica.
    pub fn is_replica(&self) -> Result<bool> {
        let role = self.call(&["ROLE"])?.array()?;
        Ok(role.first() == Some(&Reply::Bytes(b"slave".to_vec())))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process();
        let child = process.child.as_ref();
        let child = child.ok_or_else(|| anyhow!("{} does not run", self.address()))?;
        // It was not waited for, so the id cannot be somebody else's.
        Ok(kill_process(Pid::from_child(child), signal)?)
    }

    /// How it ended, if it did.
    fn ended(&self) -> Result<Option<String>> {
        let mut process = self.process();
        let Some(child) = &mut process.child else { return Ok(Some("not started".into())) };
        let Some(status) = child.try_wait()? else { return Ok(None) };
        // From here on its id may become somebody else's.
        *process = Process::default();
        Ok(Some(status.to_string()))
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        // Whoever panicked left a child in it or none; both are right.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names what is missing, and where it comes from.
pub(super) fn cannot_run(program: &'static str) -> impl Fn(io::Error) -> anyhow::Error {
    move |error| match error.kind() {
        ErrorKind::NotFound => {
            anyhow!("{program} is not installed; on Debian: apt-get install redis-tools")
        }
        _ => anyhow!("cannot run {program}: {error}"),
    }
}
