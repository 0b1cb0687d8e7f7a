//! The addresses and networks that operators have blocked, ready for a look-up at each request and handshake.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
};

use ipnet::IpNet;

use crate::wall::now_ms;

/// Blocked networks, by the length of their prefix: as many look-ups as there are lengths, not as there are blocks.
type Networks = Vec<(u8, HashMap<IpNet, u64>)>;

/// The blocks in force. Replaced as a whole; whoever looks takes a short lock.
#[derive(Debug, Default)]
pub struct Blocks(RwLock<Arc<Networks>>);

impl Blocks {
    /// Those from now on, each with when it ends, in milliseconds since 1970 (`u64::MAX`: it does not).
    pub fn replace(&self, blocks: impl IntoIterator<Item = (IpNet, u64)>) {
        let mut networks: HashMap<u8, HashMap<IpNet, u64>> = HashMap::new();
        for (network, until_ms) in blocks {
            networks.entry(network.prefix_len()).or_default().insert(network.trunc(), until_ms);
        }
        let networks = Arc::new(networks.into_iter().collect());
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = networks;
    }

    /// Whether `ip` is blocked now.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let networks = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        networks.iter().any(|(length, blocked)| {
            // Of the other family there may be no prefix of this length, or one that is not meant.
            let network = IpNet::new(ip, *length).ok().map(|network| network.trunc());
            network.and_then(|network| blocked.get(&network)).is_some_and(|until| now_ms() < *until)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_blocked_by_any_network_that_it_is_in_until_its_time() {
        let blocks = Blocks::default();
        let is_blocked = |ip: &str| blocks.contains(ip.parse().expect("an address"));
        assert!(!is_blocked("192.0.2.1"));
        let network = |text: &str| text.parse::<IpNet>().expect("a network");
        blocks.replace([
            (network("192.0.2.1/32"), u64::MAX),
            (network("198.51.100.0/24"), now_ms() + 60_000),
            (network("203.0.113.0/24"), now_ms()),
            (network("2001:db8:0:1::/64"), u64::MAX),
        ]);
        for (ip, wanted) in [
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("198.51.100.77", true),
            ("198.51.101.77", false),
            ("203.0.113.1", false),
            ("2001:db8:0:1:ffff::1", true),
            ("2001:db8:0:2::1", false),
        ] {
            assert_eq!(is_blocked(ip), wanted, "{ip}");
        }
        blocks.replace([(network("0.0.0.0/0"), u64::MAX)]);
        assert!(
            is_blocked("192.0.2.2") && !is_blocked("2001:db8:0:1::1"),
            "each family for itself"
        );
    }
}
