//! Who listens where. The same at every start, so that a kept Redis Cluster finds itself again and
//! people find their bookmarks.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use xtask::redis::{NODES, NodePorts, is_free};

/// From a node's players to its metrics.
const METRICS: u16 = 1000;
/// From a Redis process's clients to its bus.
const BUS: u16 = 100;
/// How long ports that are taken are looked at again.
const FREE_WITHIN: Duration = Duration::from_secs(1);

/// All ports of a cluster.
#[derive(Debug)]
pub struct Ports {
    /// nginx, for players.
    pub entrance: u16,
    /// The nodes.
    pub nodes: Vec<Listeners>,
    /// Redis.
    pub redis: [NodePorts; NODES],
}

/// Where one node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listeners {
    /// 1 for the first node.
    pub number: u16,
    /// For players.
    pub players: u16,
    /// For operators.
    pub admin: u16,
}

impl Ports {
    /// Nodes behind `entrance`, and Redis from `redis` on.
    pub fn new(entrance: u16, redis: u16, nodes: u16) -> Result<Self> {
        let last = entrance.checked_add(nodes).and_then(|last| last.checked_add(METRICS));
        ensure!(entrance > 0 && last.is_some(), "--port {entrance} leaves no room for the nodes");
        let last = redis.checked_add(NODES as u16).and_then(|last| last.checked_add(BUS));
        ensure!(redis > 0 && last.is_some(), "--redis-port {redis} leaves no room for Redis");
        let nodes = (1..=nodes).map(|number| {
            let players = entrance + number;
            Listeners { number, players, admin: players + METRICS }
        });
        let mut next = redis;
        let redis = [(); NODES].map(|()| {
            let clients = next;
            next += 1;
            NodePorts { clients, bus: clients + BUS }
        });
        Ok(Self { entrance, nodes: nodes.collect(), redis })
    }

    /// Everybody can have the ports, none of them twice.
    pub fn check(&self, redis_only: bool) -> Result<()> {
        let redis = self.redis.iter().flat_map(|ports| [ports.clients, ports.bus]);
        let nodes = self.nodes.iter().flat_map(|node| [node.players, node.admin]);
        let mut wanted: Vec<u16> = redis.collect();
        if !redis_only {
            wanted.extend(nodes.chain([self.entrance]));
        }
        wanted.sort_unstable();
        let twice = wanted.windows(2).find(|two| two[0] == two[1]);
        ensure!(
            twice.is_none(),
            "port {} is wanted twice: change --port",
            twice.context("one")?[0]
        );
        let taken = || -> Vec<String> {
            wanted.iter().filter(|port| !is_free(**port)).map(u16::to_string).collect()
        };
        // A child that somebody is just starting shares the sockets of its parent until it is the other
        // program: of 193,000 ports that were tried and let go, beside a thread that started children, 283
        // were still taken at the next try; without it, none of 246,000.
        let deadline = Instant::now() + FREE_WITHIN;
        let mut taken_now = taken();
        while !taken_now.is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(20));
            taken_now = taken();
        }
        ensure!(
            taken_now.is_empty(),
            "somebody listens on port {} already: stop them, or choose others with --port and \
             --redis-port",
            taken_now.join(", ")
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn everybody_has_ports_of_their_own() {
        let ports = Ports::new(8080, 7001, 3).unwrap();
        let third = Listeners { number: 3, players: 8083, admin: 9083 };
        assert_eq!(ports.nodes[2], third);
        assert_eq!(ports.redis[5], NodePorts { clients: 7006, bus: 7106 });
        assert!(Ports::new(65_000, 7001, 3).is_err());
        assert!(Ports::new(8080, 65_500, 3).is_err());
    }

    #[test]
    fn ports_that_cannot_be_had_are_named() {
        let overlap = Ports::new(6990, 6985, 10).unwrap().check(false).unwrap_err();
        assert!(overlap.to_string().contains("wanted twice"), "{overlap}");
        let somebody = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = somebody.local_addr().unwrap().port();
        let taken = Ports::new(8080, port - 3, 1).unwrap().check(true).unwrap_err();
        // Others may listen next to it.
        assert!(taken.to_string().contains(&port.to_string()), "{taken}");
    }
}
