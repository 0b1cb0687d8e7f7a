//! Which ports a cluster listens on.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    ops::Range,
};

use anyhow::{Result, bail};

use super::NODES;

/// Below the ports that the kernel gives to outgoing connections (from 32768 on): a node that is
/// down for a while would not get one of those back while somebody's connection holds it.
const RANGE: Range<u16> = 12_000..32_000;

/// Where one node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePorts {
    /// For clients.
    pub clients: u16,
    /// For the other nodes.
    pub bus: u16,
}

/// Ports that were free a moment ago, different ones whenever asked.
pub fn free_ports() -> Result<[NodePorts; NODES]> {
    // The standard library's only source of chance.
    let mut chance = RandomState::new().hash_one(std::process::id());
    let mut found = BTreeSet::new();
    for _ in 0..1000 {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let port = RANGE.start + (chance >> 33) as u16 % (RANGE.end - RANGE.start);
        if is_free(port) {
            found.insert(port);
        }
        if found.len() == 2 * NODES {
            let mut ports = found.into_iter();
            let mut next = || ports.next().expect("there are two for every node");
            return Ok([(); NODES].map(|()| NodePorts { clients: next(), bus: next() }));
        }
    }
    bail!("no {} ports are free from {} to {}", 2 * NODES, RANGE.start, RANGE.end)
}

/// Whether nobody on this machine listens there.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
