//! One node's own lines to Redis, so that it alone can be cut off.

use std::net::SocketAddr;

use super::{
    super::proxy::{Line, Proxy},
    Cluster,
};

/// A proxy in front of each process of a cluster, for one node of the server.
pub struct Wires {
    /// In the cluster's order: where a process announces itself, and the line to it.
    lines: Vec<(SocketAddr, Proxy)>,
}

impl Wires {
    /// Lines to every process of `cluster`.
    pub fn to(cluster: &Cluster) -> Self {
        let announced = cluster.addresses().into_iter();
        Self { lines: announced.map(|at| (at, Proxy::start(at, Line::default()))).collect() }
    }

    /// Where the lines begin.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.lines.iter().map(|(_, line)| line.address).collect()
    }

    /// What `REDIS_ADDRESSES_REMAP` has to be: `announced|reachable,…`.
    pub fn remap(&self) -> String {
        let pairs = self.lines.iter().map(|(announced, line)| {
            let reachable = line.address;
            format!("{announced}|{reachable}")
        });
        pairs.collect::<Vec<_>>().join(",")
    }

    /// The line to one process of the cluster.
    pub fn line(&self, index: usize) -> &Proxy {
        &self.lines[index].1
    }

    /// Resets every connection, and new ones as soon as they come.
    pub fn cut(&self) {
        self.lines.iter().for_each(|(_, line)| line.cut());
    }

    /// From now on nothing arrives any more, and nobody is told.
    pub fn go_silent(&self) {
        self.lines.iter().for_each(|(_, line)| line.go_silent());
    }

    /// The lines are back; connections that were silent go on.
    pub fn mend(&self) {
        self.lines.iter().for_each(|(_, line)| line.mend());
    }
}
