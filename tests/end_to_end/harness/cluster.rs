//! A real Redis Cluster for tests: its processes, what can be done to them, and what is in them.
//!
//! Launched by the same code as `cargo xtask cluster`. Nothing of it outlives the test, or the whole
//! run if it is [`shared`]: see [`xtask::guardian`]. Every wait has a limit and panics naming what
//! was waited for.

mod board;
mod slots;
mod tests;
pub mod wires;

use std::{
    net::SocketAddr,
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use xtask::{
    guardian::{Folder, Guardian},
    process::cpu_seconds,
    redis::{Connection, Member, Node, RedisCluster, Reply, slot_of},
};

use super::{PATIENCE, eventually, within};

/// Formation, failover and recovery, on a machine that is busy with other tests; they take 3 to 6 s.
pub const RECOVERY: Duration = Duration::from_secs(60);

/// Three masters, three replicas. Gone when dropped.
pub struct Cluster {
    redis: RedisCluster,
    // After the processes, whose files are in it.
    guardian: Guardian,
}

/// The cluster for every test that does no more than use it, under a board name of its own. Formed
/// by whoever asks first; ends with the process.
pub fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::start);
    &SHARED
}

impl Cluster {
    /// Forms a new one, which takes some three seconds.
    pub fn start() -> Self {
        // The guardian removes the folder, even when nobody is left to drop it.
        let folder =
            tempfile::Builder::new().prefix("redis-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        let folder = folder.map(TempDir::keep).expect("a folder for the cluster");
        let guardian = Guardian::over(&folder, Duration::ZERO, Folder::Remove).expect("sh runs");
        let redis = RedisCluster::start_anywhere(guardian.folder());
        let redis = redis.unwrap_or_else(|failure| panic!("no cluster: {failure:#}"));
        Self { redis, guardian }
    }

    /// Where everything that it writes is.
    pub fn folder(&self) -> &Path {
        self.guardian.folder()
    }

    /// As the benchmarks take it.
    pub fn redis(&self) -> &RedisCluster {
        &self.redis
    }

    /// Its six processes; the first three began as masters.
    pub fn nodes(&self) -> &[Node] {
        self.redis.nodes()
    }

    /// One of its processes.
    pub fn node(&self, index: usize) -> &Node {
        &self.nodes()[index]
    }

    /// Where its processes listen, all six.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.redis.addresses()
    }

    /// Runs a command on one node; the reply may be a refusal.
    pub fn command<W: AsRef<[u8]>>(&self, index: usize, words: &[W]) -> Reply {
        self.node(index).call(words).unwrap_or_else(|failure| panic!("{failure:#}"))
    }

    /// Waits until every replica has what its master had when this was called.
    pub fn wait_until_replicated(&self) {
        let members = self.members();
        let masters = members.iter().filter(|member| member.is_master() && !member.is_failing());
        for master in masters.map(|master| self.index_of(&master.address)) {
            let written = self.offset(master, "master_repl_offset");
            for replica in self.replicas_of(master) {
                eventually("a replica to catch up", || {
                    (self.offset(replica, "slave_repl_offset") >= written).then_some(())
                });
            }
        }
    }

    fn offset(&self, index: usize, field: &str) -> u64 {
        self.info(index, field).parse().expect("an offset is a number")
    }

    /// Runs a command where `key` is, as a client would: follows redirections, and waits for a new
    /// master if there is none just now. A refusal for any other reason panics.
    pub fn command_on<W: AsRef<[u8]>>(&self, key: &str, words: &[W]) -> Reply {
        within(RECOVERY, &format!("somebody who serves {key}"), || {
            let mut node = self.running()?;
            let mut connection = node.connect(PATIENCE).ok()?;
            loop {
                let reply = connection.call(words).ok()?;
                let Reply::Error(refusal) = &reply else { return Some(reply) };
                let mut said = refusal.split(' ');
                match (said.next(), said.nth(1)) {
                    (Some("MOVED"), Some(address)) => {
                        node = self.at(address)?;
                        connection = node.connect(PATIENCE).ok()?;
                    }
                    (Some("ASK"), Some(address)) => {
                        node = self.at(address)?;
                        connection = node.connect(PATIENCE).ok()?;
                        connection.call(&["ASKING"]).ok()?;
                    }
                    (Some("CLUSTERDOWN" | "TRYAGAIN" | "LOADING" | "MASTERDOWN"), _) => {
                        return None;
                    }
                    _ => panic!("{key}: {refusal}"),
                }
            }
        })
    }

    /// A connection to one node, for subscribing or for many commands.
    pub fn connect(&self, index: usize) -> Connection {
        self.node(index).connect(PATIENCE).expect("the node listens")
    }

    /// Whether a node takes itself for a master.
    pub fn is_master(&self, index: usize) -> bool {
        !eventually("a role", || self.node(index).is_replica().ok())
    }

    /// The master that serves the slot of `key`, according to everybody who runs.
    pub fn master_of(&self, key: &str) -> usize {
        self.master_of_slot(slot_of(key))
    }

    /// The master that serves `slot`, according to everybody who runs.
    pub fn master_of_slot(&self, slot: u16) -> usize {
        self.wait_until_ok();
        let members = self.members();
        let master = members.iter().find(|member| member.is_master() && member.serves(slot));
        self.index_of(&master.expect("every slot has a master").address)
    }

    /// The nodes that replicate a master, according to whoever runs.
    pub fn replicas_of(&self, master: usize) -> Vec<usize> {
        let members = self.members();
        let id = self.id_of(master);
        let replicas = members.iter().filter(|member| member.master.as_ref() == Some(&id));
        replicas.map(|replica| self.index_of(&replica.address)).collect()
    }

    /// `kill -9`. What it had written before stays in its folder.
    pub fn kill(&self, index: usize) {
        assert!(self.node(index).pid().is_some(), "node {index} is there to be killed");
        self.node(index).kill();
    }

    /// SIGSTOP: its connections stay, and nothing comes out of them.
    pub fn pause(&self, index: usize) {
        self.node(index).pause().unwrap_or_else(|failure| panic!("{failure:#}"));
    }

    /// SIGCONT.
    pub fn resume(&self, index: usize) {
        self.node(index).resume().unwrap_or_else(|failure| panic!("{failure:#}"));
    }

    /// Starts a killed node again, on its ports and with what it had written.
    pub fn restart(&self, index: usize) {
        self.node(index).start().unwrap_or_else(|failure| panic!("{failure:#}"));
    }

    /// Kills every node.
    pub fn kill_all(&self) {
        for node in self.nodes() {
            node.kill();
        }
    }

    /// Starts every node that does not run, and waits until the cluster serves every slot again.
    pub fn restart_all(&self) {
        for (index, node) in self.nodes().iter().enumerate() {
            if node.pid().is_none() {
                self.restart(index);
            }
        }
        self.wait_until_whole();
    }

    /// Waits until everybody who runs knows the same running master for each of the 16384 slots.
    pub fn wait_until_ok(&self) {
        self.redis.wait_until_ok(RECOVERY).unwrap_or_else(|failure| panic!("{failure:#}"));
    }

    /// Waits, besides, until all six take part and every master has a replica that follows it.
    pub fn wait_until_whole(&self) {
        self.redis.wait_until_whole(RECOVERY).unwrap_or_else(|failure| panic!("{failure:#}"));
    }

    /// Waits until another node serves what `master`, killed or paused before, did serve, and every
    /// slot is served: who it is now, and how long that was waited for.
    pub fn wait_for_failover(&self, master: usize) -> (usize, Duration) {
        let began = Instant::now();
        let heirs = self.replicas_of(master);
        let heir = within(RECOVERY, &format!("an heir of node {master}"), || {
            heirs.iter().copied().find(|heir| self.node(*heir).is_replica().is_ok_and(|is| !is))
        });
        self.wait_until_ok();
        (heir, began.elapsed())
    }

    /// Ends every connection that has subscribed to something, on every node that runs: how many.
    pub fn kill_subscribers(&self) -> usize {
        let running = self.nodes().iter().filter(|node| node.is_running());
        let killed = running.map(|node| {
            let reply = node.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).and_then(Reply::integer);
            reply.expect("a count") as usize
        });
        killed.sum()
    }

    /// One field of `INFO`, such as `connected_clients`.
    pub fn info(&self, index: usize, field: &str) -> String {
        let info = self.command(index, &["INFO", "everything"]).text().expect("a text");
        let values = info.lines().filter_map(|line| line.split_once(':'));
        let value = values.into_iter().find(|(name, _)| *name == field);
        value.unwrap_or_else(|| panic!("INFO has no {field}")).1.to_owned()
    }

    /// CPU seconds that its processes have used, those that run now, since each was started.
    pub fn cpu_seconds(&self) -> f64 {
        let pids = self.nodes().iter().filter_map(Node::pid);
        cpu_seconds(pids).expect("they run")
    }

    /// Who is in the cluster, according to the first who runs.
    pub fn members(&self) -> Vec<Member> {
        eventually("the members", || self.running()?.members().ok())
    }

    fn id_of(&self, index: usize) -> String {
        let address = self.node(index).address();
        let members = self.members();
        members.into_iter().find(|member| member.is_at(address)).expect("a member").id
    }

    fn index_of(&self, address: &str) -> usize {
        let index = self.nodes().iter().position(|node| node.address().to_string() == address);
        index.unwrap_or_else(|| panic!("{address} is none of ours"))
    }

    fn at(&self, address: &str) -> Option<&Node> {
        self.nodes().iter().find(|node| node.address().to_string() == address)
    }

    fn running(&self) -> Option<&Node> {
        self.nodes().iter().find(|node| node.is_running())
    }
}
