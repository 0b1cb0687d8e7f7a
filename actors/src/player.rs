//! A person, or a program, at the other end of a connection: who it is, as far as anybody knows, and what it may do.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU64,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::limits::bucket::TokenBucket;

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

    /// Tells this process from every other one.
    pub fn process() -> String {
        format!("{:08x}", Self::process_number())
    }

    /// The same as a number.
    pub fn process_number() -> u32 {
        // Chosen by chance at its start.
        static PROCESS: LazyLock<u32> = LazyLock::new(|| RandomState::new().hash_one(0) as u32);
        *PROCESS
    }

    /// Its number within its process.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl SessionId {
    /// Reads what `Display` has written: the process, and the session in it.
    pub fn read(text: &str) -> Option<(&str, Self)> {
        let (process, number) = text.split_once('-')?;
        let is_plain = process.len() == 8 && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.parse().ok().filter(|_| is_plain)?;
        Some((process, Self(number)))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", Self::process(), self.0)
    }
}

/// Bits of an IPv6 address that belong to one household at least. Counted singly nobody would ever reach a limit.
pub const IPV6_PREFIX: u8 = 64;

/// Where a client comes from, as far as it counts: an IPv4 address, or an IPv6 network of at most 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The upper half of an IPv6 address; an IPv4 one as `::ffff:a.b.c.d`, moved there.
    number: u64,
    /// Of the IPv6 network; 0 for IPv4.
    prefix: u8,
}

/// The upper half of what no IPv6 address begins with (RFC 4291 §2.5.5.2 has it in the lower one).
const IPV4: u64 = 0xFFFF << 32;

impl Address {
    /// Of a client at `ip`, where so many bits, at most 64, belong to one household.
    pub fn of(ip: IpAddr, ipv6_prefix: u8) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Self { number: IPV4 | u64::from(v4.to_bits()), prefix: 0 },
            IpAddr::V6(v6) => {
                let prefix = ipv6_prefix.clamp(1, IPV6_PREFIX);
                let upper = (v6.to_bits() >> 64) as u64;
                let below = u32::from(IPV6_PREFIX - prefix);
                Self { number: upper >> below << below, prefix }
            }
        }
    }

    /// Unlike that of any other address.
    pub fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            0 => Ipv4Addr::from_bits(self.number as u32).fmt(f),
            prefix => write!(f, "{}/{prefix}", Ipv6Addr::from_bits(u128::from(self.number) << 64)),
        }
    }
}

/// Somebody who has made themselves known, on whatever session: 63 bits of chance and never 0, so that databases without
/// unsigned numbers have room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(NonZeroU64);

impl UserId {
    /// The user of that number; `None` if it is 0 or has more than 63 bits.
    pub fn new(number: u64) -> Option<Self> {
        NonZeroU64::new(number).filter(|number| number.get() >> 63 == 0).map(Self)
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Reads what `Display` has written.
    pub fn read(text: &str) -> Option<Self> {
        let is_plain =
            text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(text, 16).ok().filter(|_| is_plain).and_then(Self::new)
    }
}

impl fmt::Display for UserId {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

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

/// Somebody, as far as others are counted with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// Where it comes from; none if that is not counted.
    pub address: Option<Address>,
    /// Who it is.
    pub user: Option<UserId>,
}

/// The token buckets of one connection.
#[derive(Debug, Default)]
pub struct Buckets {
    /// Of checks.
    pub checks: TokenBucket,
    /// Of range requests.
    pub ranges: TokenBucket,
    /// Of refusals: with none left, its sender is read more slowly.
    pub refusals: TokenBucket,
    /// Of Pings and Pongs.
    pub control_frames: TokenBucket,
    /// Of bytes received.
    pub bytes_in: TokenBucket,
    /// Of the part of its Pings, Pongs and bytes that its address has nothing to do with.
    pub quiet_control_frames: TokenBucket,
    /// The same for bytes.
    pub quiet_bytes_in: TokenBucket,
}

/// Somebody on a session.
#[derive(Debug)]
pub struct Player {
    /// The session.
    pub session: SessionId,
    /// Where it comes from, exactly.
    pub ip: IpAddr,
    /// The same as far as it is counted.
    pub address: Address,
    /// Whether what others of its address do counts for it, and the other way round.
    pub is_counted: bool,
    /// Number of the user it has proved to be, 0 as long as it has not; it may do so in the middle of a session.
    user: AtomicU64,
    /// What that was proved by, for whoever knows what it means: the game does not.
    proof: AtomicU64,
    /// What it may do.
    pub rights: Rights,
    /// How fast it may ask.
    pub buckets: Buckets,
}

impl Player {
    /// Somebody new at `ip`, which counts as `address`, of whom nothing else is known.
    pub fn anonymous(ip: IpAddr, address: Address) -> Self {
        Self {
            session: SessionId::next(),
            ip,
            address,
            is_counted: true,
            user: AtomicU64::new(0),
            proof: AtomicU64::new(0),
            rights: Rights::default(),
            buckets: Buckets::default(),
        }
    }

    /// As far as others are counted with it.
    pub fn who(&self) -> Who {
        Who { address: self.is_counted.then_some(self.address), user: self.user() }
    }

    /// Who it is, if it has said so and proved it.
    pub fn user(&self) -> Option<UserId> {
        UserId::new(self.user.load(Ordering::Relaxed))
    }

    /// It has proved to be `user`, or is nobody in particular any more.
    pub fn set_user(&self, user: Option<UserId>) {
        self.user.store(user.map_or(0, UserId::get), Ordering::Relaxed);
    }

    /// What it has proved that by; of who is nobody in particular this means nothing.
    pub fn proof(&self) -> u64 {
        self.proof.load(Ordering::Relaxed)
    }

    /// What it proves by who it is, set before [`set_user`](Self::set_user).
    pub fn set_proof(&self, proof: u64) {
        self.proof.store(proof, Ordering::Relaxed);
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
        let (process, read) = SessionId::read(&second).expect("as it was written");
        assert_eq!((process, read.to_string()), (&*SessionId::process(), second.clone()));
        for wrong in ["", "1", "0123456-1", "01234567-", "01234567-+1", "01234567-x"] {
            assert_eq!(SessionId::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_user_is_read_as_it_is_written() {
        let user = UserId::new(0x00ab_cdef_0123_4567).expect("not 0");
        assert_eq!(user.to_string(), "00abcdef01234567");
        assert_eq!(UserId::read(&user.to_string()), Some(user));
        for wrong in [
            "",
            "1",
            "0000000000000000",
            "8000000000000000",
            "00ABCDEF01234567",
            "+0abcdef01234567",
        ] {
            assert_eq!(UserId::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one_address() {
        let of = |text: &str| Address::of(text.parse().expect("an address"), IPV6_PREFIX);
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("2001:db8:0:1::1").to_string(), "2001:db8:0:1::/64");
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"), "however it is written");
        assert_eq!(of("192.0.2.1").to_string(), "192.0.2.1");
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn as_many_bits_count_as_the_operator_says() {
        let of = |text: &str, prefix| Address::of(text.parse().expect("an address"), prefix);
        assert_eq!(of("2001:db8:0:1ff::1", 56), of("2001:db8:0:100::", 56));
        assert_ne!(of("2001:db8:0:1ff::1", 56), of("2001:db8:0:200::", 56));
        assert_eq!(of("2001:db8:0:1ff::1", 48).to_string(), "2001:db8::/48");
        assert_ne!(of("2001:db8::1", 48), of("2001:db8::1", 56), "one is more than the other");
        assert_eq!(of("192.0.2.1", 48), of("192.0.2.1", 64));
    }
}
