//! Which ports a cluster listens on.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    ops::Range,
    sync::{Mutex, PoisonError},
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

/// Ports for all Redis processes of a cluster, claimed in pairs.
pub fn free_ports() -> Result<[NodePorts; NODES]> {
    let mut ports = [NodePorts { clients: 0, bus: 0 }; NODES];
    for node in &mut ports {
        let clients = claim_ports(&[0, 1])?;
        *node = NodePorts { clients, bus: clients + 1 };
    }
    Ok(ports)
}

/// A number that makes a port, free a moment ago, with each of the `offsets` (0: itself). This process
/// is never given a port twice, so that its threads do not get into each other's way before they listen.
///
/// # Errors
///
/// If there is none, which takes other programs with thousands of ports.
pub fn claim_ports(offsets: &[u16]) -> Result<u16> {
    static CLAIMED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let furthest = offsets.iter().copied().max().unwrap_or(0);
    for _ in 0..10_000 {
        let first = rand::random_range(RANGE.start..RANGE.end - furthest);
        let wanted = || offsets.iter().map(|offset| first + offset);
        if wanted().all(|port| !claimed.contains(&port) && is_free(port)) {
            claimed.extend(wanted());
            return Ok(first);
        }
    }
    bail!("not {} ports are free together from {} to {}", offsets.len(), RANGE.start, RANGE.end)
}

/// Whether nobody on this machine listens there.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut given = BTreeSet::new();
        for _ in 0..500 {
            let first = claim_ports(&[0, 100]).unwrap();
            assert!(RANGE.contains(&first) && RANGE.contains(&(first + 100)));
            assert!(given.insert(first) && given.insert(first + 100), "{first}");
        }
    }
}
