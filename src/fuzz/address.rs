//! The address of a client behind proxies.
//!
//! A byte of options: two bits for the headers that our proxies write, two for how many there are, two for how they
//! spell addresses, one for whether each adds a line. Then lines: after an `F` one of `Forwarded`, else of
//! `X-Forwarded-For`, as the client has sent them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Input;
use crate::client_address::{Client, Hearsay, TrustedProxies};

/// Who asks, in the networks of documentation.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// Somebody else who is no proxy of ours.
const STRANGER: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 7));

/// Ours, the nearest one to the client first.
const PROXIES: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 2)),
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)),
];

fn ours() -> TrustedProxies {
    TrustedProxies::new(["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().expect("a network")))
}

/// Lines of both headers.
#[derive(Clone)]
struct Lines {
    x_forwarded_for: Vec<Vec<u8>>,
    forwarded: Vec<Vec<u8>>,
}

/// What is found is the peer or what a proxy of ours vouches for, whatever the client says.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let options = input.byte();
    let (forwarded, plain): (Vec<_>, Vec<_>) = input
        .0
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .partition(|line| line[0] == b'F');
    let lies = Lines {
        x_forwarded_for: plain.into_iter().map(<[u8]>::to_vec).collect(),
        forwarded: forwarded.into_iter().map(|line| line[1..].to_vec()).collect(),
    };
    assert_eq!(found(STRANGER, &lies), Client::At(STRANGER), "nobody vouches for what it says");
    for peer in PROXIES {
        let found = found(peer, &lies).ip();
        assert!(found == peer || mentioned(&lies).contains(&found), "{found} came from nowhere");
        assert_eq!(found, found.to_canonical());
    }
    behind_proxies(options, &lies);
}

/// Proxies of ours, one behind the other, each add whom they were asked by.
fn behind_proxies(options: u8, lies: &Lines) {
    let (writes_plain, writes_forwarded) = match options & 3 {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    };
    let proxies = &PROXIES[..1 + usize::from(options >> 2 & 3) % PROXIES.len()];
    let own_line = options & 64 != 0;
    let mut lines = lies.clone();
    let mut from = CLIENT;
    for proxy in proxies {
        let said = spelt(from, options >> 4 & 3);
        if writes_plain {
            add(&mut lines.x_forwarded_for, &said, own_line);
        }
        if writes_forwarded {
            add(&mut lines.forwarded, &format!("proto=https;for=\"{said}\""), own_line);
        }
        from = *proxy;
    }
    let found = found(from, &lines);
    // With the header that our proxies do not write a client only hides itself among those that the nearest proxy
    // is taken for.
    let hides = !writes_plain && !lies.x_forwarded_for.is_empty()
        || !writes_forwarded && !lies.forwarded.is_empty();
    let is_hidden = matches!(found, Client::Behind { proxy, .. } if proxy == from);
    assert!(found == Client::At(CLIENT) || (hides && is_hidden), "{found:?} instead of {CLIENT}");
}

fn found(peer: IpAddr, lines: &Lines) -> Client {
    let hearsay = Hearsay {
        x_forwarded_for: lines.x_forwarded_for.iter().map(Vec::as_slice).collect(),
        forwarded: lines.forwarded.iter().map(Vec::as_slice).collect(),
    };
    ours().client(peer, &hearsay)
}

fn spelt(address: IpAddr, spelling: u8) -> String {
    match address {
        IpAddr::V4(v4) if spelling == 2 => format!("[{}]", v4.to_ipv6_mapped()),
        _ if spelling == 1 => SocketAddr::new(address, 4711).to_string(),
        _ => address.to_string(),
    }
}

/// Adds to the last line, or as a line of its own.
fn add(lines: &mut Vec<Vec<u8>>, element: &str, own_line: bool) {
    match lines.last_mut() {
        Some(line) if !own_line => line.extend_from_slice(format!(", {element}").as_bytes()),
        _ => lines.push(element.into()),
    }
}

/// Every address that stands anywhere in the lines.
fn mentioned(lines: &Lines) -> Vec<IpAddr> {
    let all = lines.x_forwarded_for.iter().chain(&lines.forwarded);
    let words = all.flat_map(|line| {
        line.split(|byte| !byte.is_ascii_hexdigit() && *byte != b':' && *byte != b'.')
    });
    let read = |word: &[u8]| {
        let word = str::from_utf8(word).ok()?;
        // The name of a port may stand behind an address.
        let before = word.rsplit_once(':').map_or(word, |(before, _)| before);
        word.parse().or_else(|_| before.parse()).ok().map(|address: IpAddr| address.to_canonical())
    };
    words.filter_map(read).collect()
}
