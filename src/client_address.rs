//! Which address a request comes from when proxies stand between: what `X-Forwarded-For` and
//! `Forwarded` (RFC 7239) say, as far as it was said by proxies named in `server.trusted_proxies`.
//!
//! Knows no HTTP library. It must never let a client choose the address that is found: a hop is believed
//! only because the next one, towards us, is trusted. So lists are read from their end, where our own
//! proxies write, and reading stops at the first word that is not an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// More proxies in a row than anybody has; what stands before them is not read.
const HOPS_MAX: usize = 32;

/// Longer than any element a proxy writes; an element above it is none.
const HOP_BYTES_MAX: usize = 256;

/// The networks whose word about the hop before them is taken.
#[derive(Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

/// The header lines of one request that may tell where it came from, in their order.
#[derive(Debug, Default)]
pub struct Hearsay<'a> {
    /// Values of `X-Forwarded-For`.
    pub x_forwarded_for: Vec<&'a [u8]>,
    /// Values of `Forwarded`.
    pub forwarded: Vec<&'a [u8]>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// From here.
    At(IpAddr),
    /// What was said about it is no address, or contradicts itself: it is anybody whom this proxy lets in.
    Behind {
        /// The nearest one of ours that did not say it clearly.
        proxy: IpAddr,
        /// Where each header leads to.
        said: [IpAddr; 2],
    },
}

impl Client {
    /// The address that is known for sure: that of a proxy, if need be.
    pub fn ip(self) -> IpAddr {
        match self {
            Self::At(ip) => ip,
            Self::Behind { proxy, .. } => proxy,
        }
    }
}

impl TrustedProxies {
    /// Trusts these networks and nobody else.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Where a request comes from that `peer` has handed to us.
    ///
    /// The hop farthest away that a chain of trusted proxies vouches for: the first one, counted from
    /// us, that is not trusted itself; or the last trusted one, if it does not say who asked it.
    ///
    /// A proxy writes one of the two headers and passes the other on as the client wrote it; which one,
    /// cannot be told. So where both are there they have to lead to the same address, or neither
    /// counts.
    pub fn client(&self, peer: IpAddr, hearsay: &Hearsay<'_>) -> Client {
        let peer = peer.to_canonical();
        let Hearsay { x_forwarded_for, forwarded } = hearsay;
        let by_x_forwarded_for = || self.farthest(peer, x_forwarded_for, address);
        let by_forwarded = || self.farthest(peer, forwarded, forwarded_for);
        match (x_forwarded_for.is_empty(), forwarded.is_empty()) {
            (true, true) => Client::At(peer),
            (false, true) => by_x_forwarded_for(),
            (true, false) => by_forwarded(),
            (false, false) => match (by_x_forwarded_for(), by_forwarded()) {
                (one, other) if one == other => one,
                (one, other) => Client::Behind { proxy: peer, said: [one.ip(), other.ip()] },
            },
        }
    }

    fn farthest(&self, peer: IpAddr, lines: &[&[u8]], read: fn(&str) -> Option<IpAddr>) -> Client {
        let mut hops = lines.iter().rev().flat_map(|line| from_the_end(line)).take(HOPS_MAX);
        let mut known = peer;
        while self.trusts(known) {
            let Some(hop) = hops.next() else { break };
            let hop = Some(hop).filter(|hop| hop.len() <= HOP_BYTES_MAX);
            let said = hop.and_then(|hop| str::from_utf8(hop).ok()).and_then(read);
            let Some(address) = said else {
                return Client::Behind { proxy: known, said: [known; 2] };
            };
            known = address;
        }
        Client::At(known)
    }

    /// Whether the word of `address` is taken.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The elements of a comma-separated list, last one first; a comma in quotes separates nothing.
///
/// Quotes are counted from the end as well: one that a client left open stands before whatever a
/// proxy has added, and cannot swallow it.
fn from_the_end(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let list = rest?;
        let mut quoted = false;
        let comma = list.iter().rev().take(HOP_BYTES_MAX).position(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let comma = comma.map(|back| list.len() - 1 - back);
        rest = comma.map(|at| &list[..at]);
        Some(comma.map_or(list, |at| &list[at + 1..]))
    })
}

/// Whom one element of `Forwarded` is for, as in `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    // An escaped quote is one that was not counted rightly from the end, and no address needs it.
    if element.contains('\\') {
        return None;
    }
    let mut quoted = false;
    let pairs = element.split(|c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    });
    let is_for = |(name, _): &(&str, &str)| name.trim().eq_ignore_ascii_case("for");
    let mut given = pairs.filter_map(|pair| pair.split_once('=')).filter(is_for);
    let (_, value) = given.next()?;
    let value = value.trim();
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    // Twice is forbidden, and there is no telling which one the proxy meant.
    if given.next().is_none() { address(bare) } else { None }
}

/// An address, with its port or without. `unknown` and `_hidden` (RFC 7239 §6.2 and §6.3) are none.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
            IpAddr::from(address.parse::<Ipv6Addr>().ok().filter(|_| whole)?)
        }
        None => match text.split_once(':') {
            Some((address, port)) if is_port(port) && address.contains('.') => {
                IpAddr::from(address.parse::<Ipv4Addr>().ok()?)
            }
            _ => text.parse().ok()?,
        },
    };
    Some(address.to_canonical())
}

/// A number, or a name that hides it.
fn is_port(text: &str) -> bool {
    let hidden = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.chars().all(hidden),
        None => text.parse::<u16>().is_ok() && !text.starts_with('+'),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Trusts 10.0.0.0/8 and fd00::/8.
    fn ours() -> TrustedProxies {
        TrustedProxies::new(["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("valid")))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// Found behind the trusted 10.0.0.1 that sends these lines.
    fn found(x_forwarded_for: &[&str], forwarded: &[&str]) -> String {
        found_by("10.0.0.1", x_forwarded_for, forwarded)
    }

    fn found_by(peer: &str, x_forwarded_for: &[&str], forwarded: &[&str]) -> String {
        let hearsay = Hearsay {
            x_forwarded_for: x_forwarded_for.iter().map(|line| line.as_bytes()).collect(),
            forwarded: forwarded.iter().map(|line| line.as_bytes()).collect(),
        };
        ours().client(ip(peer), &hearsay).ip().to_string()
    }

    #[test]
    fn a_stranger_is_who_it_is_whatever_it_says() {
        for peer in ["203.0.113.7", "2001:db8::7", "11.0.0.1"] {
            assert_eq!(found_by(peer, &["192.0.2.1"], &[]), peer);
            assert_eq!(found_by(peer, &[], &["for=192.0.2.1"]), peer);
            assert_eq!(found_by(peer, &["192.0.2.1"], &["for=192.0.2.1"]), peer);
        }
        let nobody = TrustedProxies::default();
        let hearsay = Hearsay { x_forwarded_for: vec![b"192.0.2.1"], ..Hearsay::default() };
        assert_eq!(nobody.client(ip("10.0.0.1"), &hearsay), Client::At(ip("10.0.0.1")));
    }

    #[test]
    fn the_last_hop_that_is_not_trusted_is_the_client() {
        assert_eq!(found(&["192.0.2.1"], &[]), "192.0.2.1");
        assert_eq!(found(&["6.6.6.6, 192.0.2.1"], &[]), "192.0.2.1");
        assert_eq!(found(&["6.6.6.6, 192.0.2.1, 10.0.0.3 ,10.0.0.2"], &[]), "192.0.2.1");
        assert_eq!(found(&["6.6.6.6", "192.0.2.1", "10.0.0.2"], &[]), "192.0.2.1", "lines");
        assert_eq!(found(&[], &["for=6.6.6.6, for=192.0.2.1;by=10.0.0.2"]), "192.0.2.1");
        assert_eq!(found(&[], &["for=6.6.6.6", "For = 192.0.2.1 ; proto=https"]), "192.0.2.1");
        assert_eq!(found(&[], &["for=192.0.2.1, for=\"[fd00::3]:99\""]), "192.0.2.1");
    }

    #[test]
    fn without_a_stranger_among_the_hops_the_farthest_one_is_the_client() {
        assert_eq!(found(&[], &[]), "10.0.0.1");
        assert_eq!(found(&["10.9.9.9, 10.0.0.2"], &[]), "10.9.9.9");
        assert_eq!(found(&[], &["for=10.9.9.9"]), "10.9.9.9");
    }

    #[test]
    fn addresses_are_read_in_all_their_spellings() {
        for (said, address) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:1", "192.0.2.1"),
            ("\t192.0.2.1  ", "192.0.2.1"),
        ] {
            assert_eq!(found(&[said], &[]), address, "{said}");
            assert_eq!(found(&[], &[&format!("proto=http;for=\"{said}\"")]), address, "{said}");
        }
        for hidden in ["for=\"192.0.2.1:_p.o-r_t\"", "for=192.0.2.1;host=\"a, for=6.6.6.6;for=7\""]
        {
            assert_eq!(found(&[], &[hidden]), "192.0.2.1", "{hidden}");
        }
    }

    #[test]
    fn a_peer_that_speaks_ipv4_through_ipv6_is_the_same_peer() {
        assert_eq!(found_by("::ffff:10.0.0.1", &["192.0.2.1"], &[]), "192.0.2.1");
        assert_eq!(found_by("::ffff:10.0.0.1", &["192.0.2.1, ::ffff:10.0.0.2"], &[]), "192.0.2.1");
        assert_eq!(found_by("::ffff:203.0.113.7", &["192.0.2.1"], &[]), "203.0.113.7");
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_whoever_said_it() {
        for garbage in [
            "",
            " ",
            "unknown",
            "_gazonk",
            "unix:",
            "example.org",
            "192.0.2",
            "192.0.2.01",
            "192.0.2.256",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "192.0.2.1:_",
            "192.0.2.1 192.0.2.2",
            "[192.0.2.1]",
            "[2001:db8::1",
            "[2001:db8::1]4711",
            "2001:db8::1]",
            "fe80::1%eth0",
            "2001:db8:::1",
            "\u{661}92.0.2.1",
            "for=192.0.2.1",
            "\"192.0.2.1\"",
        ] {
            assert_eq!(found(&[&format!("6.6.6.6, {garbage}")], &[]), "10.0.0.1", "{garbage}");
            let behind = format!("6.6.6.6, {garbage}, 10.0.0.2");
            assert_eq!(found(&[&behind], &[]), "10.0.0.2", "{garbage}");
        }
        for garbage in [
            "",
            "for",
            "for=",
            "for=unknown",
            "for=_gazonk",
            "for=\"_gazonk:80\"",
            "192.0.2.1",
            "by=192.0.2.1;proto=http",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.1",
            "for=192.0.2.1\"",
            "for=\"192.0.2.1\\\"\"",
            "for=192.0.2.1;host=\"\\\"\"",
        ] {
            let line = format!("for=6.6.6.6, {garbage}");
            assert_eq!(found(&[], &[&line]), "10.0.0.1", "{garbage}");
            assert_eq!(found(&[], &[&format!("{line}, for=10.0.0.2")]), "10.0.0.2", "{garbage}");
        }
        let bytes = Hearsay { x_forwarded_for: vec![b"6.6.6.6, \xFF"], ..Hearsay::default() };
        assert_eq!(ours().client(ip("10.0.0.1"), &bytes).ip(), ip("10.0.0.1"));
    }

    #[test]
    fn what_a_client_leaves_open_does_not_swallow_what_a_proxy_adds() {
        for open in
            ["\"", "for=\"", "for=\"6.6.6.6", "\\", "for=\"a\\", "for=6.6.6.6;", "for=\"\"\""]
        {
            for added in ["for=192.0.2.1", "for=\"192.0.2.1\"", "for=\"192.0.2.1:80\";by=\"a,b\""] {
                let appended = format!("{open}, {added}");
                assert_eq!(found(&[], &[&appended]), "192.0.2.1", "{appended}");
                assert_eq!(found(&[], &[open, added]), "192.0.2.1", "{open} and {added}");
            }
        }
        // A proxy that writes the Host it was asked for, escaped as it should be.
        for host in [
            r#""a, for=6.6.6.6""#,
            r#""a\", for=6.6.6.6\"""#,
            r#""\", for=6.6.6.6, \"""#,
            r#""\", for=6.6.6.6;a=\"""#,
        ] {
            let said = found(&[], &[&format!("for=192.0.2.1;host={host}")]);
            assert!(said == "192.0.2.1" || said == "10.0.0.1", "{host}: {said}");
        }
    }

    #[test]
    fn two_headers_count_only_if_they_agree() {
        assert_eq!(found(&["192.0.2.1"], &["for=192.0.2.1"]), "192.0.2.1");
        assert_eq!(found(&["6.6.6.6, 192.0.2.1"], &["for=192.0.2.1"]), "192.0.2.1");
        assert_eq!(found(&["192.0.2.1"], &["for=6.6.6.6"]), "10.0.0.1");
        assert_eq!(found(&["192.0.2.1"], &["for=unknown"]), "10.0.0.1");
        assert_eq!(found(&[""], &["for=192.0.2.1"]), "10.0.0.1");
    }

    /// Whoever sends a header that the proxy does not write must not be taken for the proxy itself.
    #[test]
    fn who_hides_behind_a_proxy_is_told_from_the_proxy() {
        let client = |x_forwarded_for: &[&str], forwarded: &[&str]| {
            let lines = |lines: &[&str]| lines.iter().map(|line| line.to_string()).collect();
            let (x, f): (Vec<String>, Vec<String>) = (lines(x_forwarded_for), lines(forwarded));
            ours().client(
                ip("10.0.0.1"),
                &Hearsay {
                    x_forwarded_for: x.iter().map(|line| line.as_bytes()).collect(),
                    forwarded: f.iter().map(|line| line.as_bytes()).collect(),
                },
            )
        };
        let behind =
            |proxy: &str, said: [&str; 2]| Client::Behind { proxy: ip(proxy), said: said.map(ip) };
        assert_eq!(client(&[], &[]), Client::At(ip("10.0.0.1")));
        assert_eq!(client(&["10.0.0.9"], &[]), Client::At(ip("10.0.0.9")));
        assert_eq!(client(&["x"], &[]), behind("10.0.0.1", ["10.0.0.1"; 2]));
        assert_eq!(client(&["x, 10.0.0.2"], &[]), behind("10.0.0.2", ["10.0.0.2"; 2]));
        let both = behind("10.0.0.1", ["192.0.2.1", "10.0.0.1"]);
        assert_eq!(client(&["192.0.2.1"], &["x"]), both);
        let both = behind("10.0.0.1", ["192.0.2.1", "6.6.6.6"]);
        assert_eq!(client(&["192.0.2.1"], &["for=6.6.6.6"]), both);
    }

    #[test]
    fn however_long_the_headers_little_of_them_is_read() {
        let proxies = "10.0.0.2,".repeat(HOPS_MAX);
        assert_eq!(found(&[&format!("192.0.2.1,{proxies}10.0.0.3")], &[]), "10.0.0.2");
        let padded = |spaces: usize| format!("6.6.6.6,{}192.0.2.1", " ".repeat(spaces));
        assert_eq!(found(&[&padded(100)], &[]), "192.0.2.1");
        assert_eq!(found(&[&padded(100_000)], &[]), "10.0.0.1");
        assert_eq!(found(&[padded(100_000).trim_start_matches("6.6.6.6,")], &[]), "10.0.0.1");
        let lines = vec!["10.0.0.2"; 50_000];
        assert_eq!(found(&lines, &[]), "10.0.0.2");
        assert_eq!(found(&[&"\"".repeat(1 << 20)], &[&",".repeat(1 << 20)]), "10.0.0.1");
    }

    /// How a proxy of ours tells who asked it.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Habit {
        XForwardedFor,
        Forwarded,
        Both,
    }

    /// Adds to the last line, or as a line of its own.
    fn add(lines: &mut Vec<String>, element: String, own_line: bool) {
        match lines.last_mut() {
            Some(line) if !own_line => *line = format!("{line}, {element}"),
            _ => lines.push(element),
        }
    }

    fn spelt(address: IpAddr, spelling: usize) -> String {
        match (address, spelling % 3) {
            (_, 0) => address.to_string(),
            (IpAddr::V4(v4), 1) => format!("{v4}:4711"),
            (IpAddr::V4(v4), _) => format!("[{}]", v4.to_ipv6_mapped()),
            (IpAddr::V6(v6), 1) => format!("[{v6}]:4711"),
            (IpAddr::V6(v6), _) => format!("[{v6}]"),
        }
    }

    /// Anything, of the pieces that such headers are made of.
    fn lies() -> impl Strategy<Value = Vec<String>> {
        let piece = prop_oneof![
            3 => prop::sample::select(vec![
                "for=", "by=", "FOR = ", "\"", "\"", ",", ", ", ";", "\\", "\\\"", "[", "]", ":80",
                "unknown", "_x", "6.6.6.6", "10.0.0.9", "fd00::9", "2001:db8::666", "192.0.2.1",
                "::ffff:10.0.0.9", " ", "=",
            ]).prop_map(ToOwned::to_owned),
            1 => "[ -~]{0,3}",
            1 => "[\\PC]{0,2}",
        ];
        let line = proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
        proptest::collection::vec(line, 0..3)
    }

    fn hop() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
            any::<[u8; 8]>().prop_map(|low| {
                let mut bytes = [0; 16];
                bytes[0] = 0xFD;
                bytes[8..].copy_from_slice(&low);
                IpAddr::from(bytes)
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_client_cannot_choose_its_address(
            client in any::<IpAddr>(),
            proxies in proptest::collection::vec((hop(), 0_usize..3, any::<bool>()), 1..4),
            habit in prop::sample::select(vec![Habit::XForwardedFor, Habit::Forwarded, Habit::Both]),
            (mut x_forwarded_for, mut forwarded) in (lies(), lies()),
        ) {
            let client = client.to_canonical();
            prop_assume!(!ours().trusts(client));
            let mut from = client;
            let other_header = match habit {
                Habit::XForwardedFor => !forwarded.is_empty(),
                Habit::Forwarded => !x_forwarded_for.is_empty(),
                Habit::Both => false,
            };
            for (proxy, spelling, own_line) in &proxies {
                let said = spelt(from, *spelling);
                if habit != Habit::Forwarded {
                    add(&mut x_forwarded_for, said.clone(), *own_line);
                }
                if habit != Habit::XForwardedFor {
                    add(&mut forwarded, format!("proto=https;for=\"{said}\""), *own_line);
                }
                from = *proxy;
            }
            let found = ours().client(from, &Hearsay {
                x_forwarded_for: x_forwarded_for.iter().map(|line| line.as_bytes()).collect(),
                forwarded: forwarded.iter().map(|line| line.as_bytes()).collect(),
            });
            // By sending the header that our proxies do not write, a client only hides itself
            // among those that the nearest proxy is taken for.
            let hides = matches!(found, Client::Behind { proxy, .. } if proxy == from);
            prop_assert!(found == Client::At(client) || (other_header && hides), "{found:?}");
        }
    }
}
