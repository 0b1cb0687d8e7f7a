//! A Redis Cluster of local processes: three masters and a replica of each, on loopback, everything
//! they write in one folder.
//!
//! Started by `cargo xtask cluster` for people and by the end-to-end tests. Knows nothing of boards.

mod members;
mod node;
mod ports;
mod resp;
mod slots;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

pub use members::{Member, members};
pub use node::{Node, spawn_server};
pub use ports::{NodePorts, claim_ports, free_ports, is_free};
pub use resp::{Connection, Reply};
pub use slots::{SLOTS, slot_of};

/// How many masters a cluster has; as many replicas follow.
pub const MASTERS: usize = 3;
/// How many processes a cluster is.
pub const NODES: usize = 2 * MASTERS;

/// Forming takes about three seconds on two idle cores; far more on busy ones.
const FORMED_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A running cluster. Dropped, its processes are killed; its folder is the caller's.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Node>,
}

impl RedisCluster {
    /// Starts a cluster in `folder`: a new one, or the one that was stopped there. The latter only
    /// finds itself again on the same ports.
    pub fn start(folder: &Path, ports: &[NodePorts; NODES]) -> Result<Self> {
        let nodes: Vec<Node> = ports.iter().map(|&ports| Node::new(folder, ports)).collect();
        let known = nodes.iter().all(Node::was_in_a_cluster);
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            node.spawn()?;
        }
        for node in &cluster.nodes {
            node.wait_until_it_answers()?;
        }
        if !known {
            cluster.form()?;
        }
        cluster.wait_until_whole(FORMED_WITHIN)?;
        Ok(cluster)
    }

    /// Starts a new cluster in `folder` on whatever ports are free.
    pub fn start_anywhere(folder: &Path) -> Result<Self> {
        // Somebody else may take a port between its being found free and its being used.
        for _ in 0..4 {
            match Self::start(folder, &free_ports()?) {
                Err(failure) if failure.is::<node::PortTaken>() => {
                    fs::remove_dir_all(folder).context("cannot clear the folder")?;
                }
                outcome => return outcome,
            }
        }
        bail!("no ports are free for long enough")
    }

    /// Its processes; the first three began as masters.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Where its processes listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// Waits until every process that is neither stopped nor paused knows a running master for
    /// every slot, the same one as the others do.
    pub fn wait_until_ok(&self, limit: Duration) -> Result<()> {
        poll(limit, || self.is_ok()).context("the cluster does not serve every slot")
    }

    /// Waits for [`Self::wait_until_ok`], and until every process takes part and every master has a
    /// replica that follows it.
    pub fn wait_until_whole(&self, limit: Duration) -> Result<()> {
        poll(limit, || self.is_whole()).context("the cluster is not whole")
    }

    /// Asks every process to end, which saves what they have, and waits until they have ended.
    pub fn stop(&self, limit: Duration) -> Result<()> {
        // A master waits for replicas that lag behind, so these go last.
        let (replicas, masters): (Vec<&Node>, Vec<&Node>) =
            self.nodes.iter().partition(|node| node.is_replica().unwrap_or(false));
        for nodes in [masters, replicas] {
            for node in &nodes {
                node.ask_to_end()?;
            }
            for node in &nodes {
                node.wait_for_its_end(limit)?;
            }
        }
        Ok(())
    }

    fn form(&self) -> Result<()> {
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]);
        command.args(self.nodes.iter().map(|node| node.address().to_string()));
        command.args(["--cluster-replicas", "1", "--cluster-yes"]);
        let output = command.output().map_err(node::cannot_run("redis-cli"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "redis-cli --cluster create: {}\n{said}", output.status);
        Ok(())
    }

    fn is_ok(&self) -> Result<()> {
        let nodes: Vec<&Node> = self.nodes.iter().filter(|node| node.is_running()).collect();
        let mut agreed: Option<(SocketAddr, Vec<String>)> = None;
        for node in &nodes {
            let address = node.address();
            let info = node.call(&["CLUSTER", "INFO"])?.text()?;
            for line in ["cluster_state:ok", &format!("cluster_slots_ok:{SLOTS}")] {
                ensure!(info.lines().any(|had| had == line), "{address} lacks {line}");
            }
            let masters = masters(&node.members()?);
            for master in &masters {
                let runs = nodes.iter().any(|node| master.starts_with(&node.name()));
                ensure!(runs, "{address} takes {master} for a master");
            }
            match &agreed {
                Some((other, theirs)) => {
                    ensure!(
                        *theirs == masters,
                        "{address} and {other} disagree: {masters:?}, {theirs:?}"
                    );
                }
                None => agreed = Some((address, masters)),
            }
        }
        ensure!(agreed.is_some(), "nobody runs");
        Ok(())
    }

    fn is_whole(&self) -> Result<()> {
        self.is_ok()?;
        for node in &self.nodes {
            let address = node.address();
            ensure!(node.is_running(), "{address} does not run");
            let members = node.members()?;
            ensure!(members.len() == NODES, "{address} knows {} members", members.len());
            for member in &members {
                ensure!(member.takes_part(), "{address} misses {}", member.address);
            }
            let alone = members.iter().filter(|member| member.is_master()).find(|master| {
                !members.iter().any(|member| member.master.as_ref() == Some(&master.id))
            });
            if let Some(master) = alone {
                bail!("{address} knows no replica of {}", master.address);
            }
            let replication = node.call(&["INFO", "replication"])?.text()?;
            let follows = replication.lines().any(|line| line == "master_link_status:up");
            ensure!(follows || replication.contains("role:master"), "{address} does not follow");
        }
        Ok(())
    }
}

impl Drop for RedisCluster {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.kill();
        }
    }
}

/// Address and slots of every master that has slots: what all members must agree on.
fn masters(members: &[Member]) -> Vec<String> {
    let masters = members.iter().filter(|member| member.is_master() && !member.slots.is_empty());
    let mut masters: Vec<String> =
        masters.map(|master| format!("{} {:?}", master.address, master.slots)).collect();
    masters.sort();
    masters
}

/// Tries until it succeeds; after `limit` its last failure is ours.
fn poll<T>(limit: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Err(failure) if Instant::now() > deadline => {
                return Err(failure.context(format!("waited {limit:?}")));
            }
            Err(_) => sleep(POLL),
            done => return done,
        }
    }
}
