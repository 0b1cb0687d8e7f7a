//! A person, or a program, at the other end of a connection: who it is, as far as anybody knows, and what it may do.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::limits::TokenBucket;

/// Tells a session from every other there has been: within its process by a counter that is never reused, outside
/// of it, as `Display` writes it, by the process besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// The next one.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Chosen by chance at the start of the process.
        static PROCESS: LazyLock<u32> = LazyLock::new(|| RandomState::new().hash_one(0) as u32);
        write!(f, "{:08x}-{}", *PROCESS, self.0)
    }
}

/// Where a client comes from, as far as it counts: an IPv4 address, or an IPv6 network of 64 bits. That much belongs
/// to one household at least, and counted singly nobody would ever reach a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(IpAddr);

impl Address {
    /// Of a client at `ip`.
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            v4 @ IpAddr::V4(_) => v4,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Somebody who has made themselves known, on whatever session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(pub u64);

/// What somebody may do besides looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Check boxes.
    pub check: bool,
}

impl Default for Rights {
    /// Those of everybody.
    fn default() -> Self {
        Self { check: true }
    }
}

/// The token buckets of one connection.
#[derive(Debug, Default)]
pub struct Buckets {
    /// Of checks.
    pub checks: TokenBucket,
    /// Of range requests.
    pub ranges: TokenBucket,
}

/// Somebody on a session.
#[derive(Debug)]
pub struct Player {
    /// The session.
    pub session: SessionId,
    /// Where it comes from.
    pub address: Address,
    /// Who it is, if it has said so and proved it.
    pub user: Option<UserId>,
    /// What it may do.
    pub rights: Rights,
    /// How fast it may ask.
    pub buckets: Buckets,
}

impl Player {
    /// Somebody new from `address`, of whom nothing else is known.
    pub fn anonymous(address: Address) -> Self {
        Self {
            session: SessionId::next(),
            address,
            user: None,
            rights: Rights::default(),
            buckets: Buckets::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_its_id_for_itself() {
        let (first, second) = (SessionId::next(), SessionId::next());
        assert!(first < second);
        let [first, second] = [first, second].map(|id| id.to_string());
        assert_eq!(first[..9], second[..9], "of one process");
        assert_ne!(first, second);
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let of = |text: &str| Address::of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("2001:db8:0:1::1").to_string(), "2001:db8:0:1::/64");
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"), "however it is written");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
