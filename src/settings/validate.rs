//! What a value must be beyond its kind, and what two settings mean to each other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use actors::board::Board;
use ipnet::IpNet;
use url::Url;

use super::{Settings, show::masked};
use crate::origin::Origin;

/// Messages a session may get beside the answers to its ranges before it counts as lagging.
const MAILBOX_ROOM: usize = 16;

/// What an address must look like.
const ADDRESS: &str = "write host:port, as in 127.0.0.1:8080, or :port for every interface";

/// `host:port`, or `:port` for every interface, to the addresses to connect to or to bind.
pub fn resolve(address: &str) -> Result<Vec<SocketAddr>, String> {
    match host_and_port(address)?.to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(format!("{error}: {ADDRESS}")),
    }
}

/// `address` with its host, if it has the form of one; whether the host exists is not asked.
pub fn host_and_port(address: &str) -> Result<String, String> {
    self::address(address)?;
    Ok(if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() })
}

/// Whether `text` has the form of an address to listen on. A name in it is not looked up: a machine may
/// start before it can.
pub fn address(text: &str) -> Result<(), String> {
    let is_port = |text: &str| text.parse::<u16>().is_ok() && !text.starts_with('+');
    let Some((host, _)) = text.rsplit_once(':').filter(|(_, port)| is_port(port)) else {
        return Err(format!("no port from 0 to 65535: {ADDRESS}"));
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(_) => text.parse::<SocketAddr>().is_ok(),
        None => {
            // The last part of a name is no number (RFC 3696), so such a host must be IPv4.
            let last = host.rsplit_once('.').map_or(host, |(_, last)| last);
            let is_number = !last.is_empty() && last.chars().all(|c| c.is_ascii_digit());
            host.chars().all(legal) && (!is_number || host.parse::<Ipv4Addr>().is_ok())
        }
    };
    if is_host { Ok(()) } else { Err(format!("no host before its port: {ADDRESS}")) }
}

/// Whether both would listen on one port of one interface, as far as can be told without looking names
/// up.
fn overlap(one: &str, other: &str) -> bool {
    let interfaces = |text: &str| -> Vec<SocketAddr> {
        match text.rsplit_once(':') {
            Some(("" | "[::]", port)) => ["[::]", "0.0.0.0"]
                .iter()
                .filter_map(|host| format!("{host}:{port}").parse().ok())
                .collect(),
            Some(("localhost", port)) => ["[::1]", "127.0.0.1"]
                .iter()
                .filter_map(|host| format!("{host}:{port}").parse().ok())
                .collect(),
            _ => text.parse().into_iter().collect(),
        }
    };
    let same = |one: SocketAddr, other: SocketAddr| {
        let (ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
        let all = ip.is_unspecified() || other_ip.is_unspecified();
        one.port() == other.port()
            && one.port() != 0
            && (ip == other_ip || (all && ip.is_ipv4() == other_ip.is_ipv4()))
    };
    let (ours, theirs) = (interfaces(one), interfaces(other));
    let found = ours.iter().any(|one| theirs.iter().any(|other| same(*one, *other)));
    found || (one == other && !one.ends_with(":0"))
}

/// What cannot be printed in `text` and so was hardly meant.
pub fn unprintable(text: &str) -> Option<&'static str> {
    if text.ends_with('\n') {
        return Some("ends in a line break: remove it");
    }
    if text.ends_with('\r') {
        return Some("ends in a carriage return, as lines of Windows do: remove it");
    }
    text.contains(char::is_control).then_some("has a control character in it: remove it")
}

/// What stands around `text` that is no part of it.
pub fn wrapped(text: &str) -> Option<&'static str> {
    if let Some(found) = text.ends_with(['\n', '\r']).then(|| unprintable(text)) {
        return found;
    }
    let blank = |c: char| {
        let invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
        c.is_whitespace() || c.is_control() || invisible
    };
    if text.starts_with(blank) || text.ends_with(blank) {
        return Some("begins or ends with a blank or something invisible: remove it");
    }
    let pairs = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];
    let between = |(open, close)| text.starts_with(open) && text.ends_with(close);
    // One alone at an end is what is left of a pair that somebody has torn apart.
    let alone = text.matches('"').count() == 1 && (text.starts_with('"') || text.ends_with('"'));
    if alone || pairs.into_iter().any(between) {
        return Some("has quotes around it, which nobody takes away here: remove them");
    }
    None
}

/// The folder of the store. What is on the disk there is not asked.
pub fn folder(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("write the name of a folder, as in data".into());
    }
    // It would become a folder of that name, here.
    if text == "~" || text.starts_with("~/") {
        return Err("~ stands for the home folder in shells only: write out its name".into());
    }
    Ok(())
}

/// Whether `text` is an origin: scheme, host, maybe a port.
pub fn origin(text: &str) -> Result<(), String> {
    let wanted = || {
        format!(
            "{:?} is no origin: write scheme://host[:port], as in https://example.org",
            masked(text)
        )
    };
    Origin::parse(text).filter(|_| !text.contains(['*', ','])).map(|_| ()).ok_or_else(wanted)
}

/// The name of a host, without its port.
pub fn host(text: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && text.chars().all(legal) {
        return Ok(());
    }
    let wanted = "write a name without port, as in node-1.example.org (addresses need no entry)";
    Err(format!("{:?}: {wanted}", masked(text)))
}

/// First parts of the paths that the players' listener serves.
const OWN_PATHS: [&str; 8] = [
    "ws",
    "overview",
    "static",
    "healthz",
    "readyz",
    "favicon.ico",
    "robots.txt",
    "manifest.webmanifest",
];

/// A path of a site, which becomes part of addresses on the page.
pub fn base_path(text: &str) -> Result<(), String> {
    let wanted = || "write a path as in /boxes, of letters, digits and - . _ ~, or nothing".into();
    let Some(inner) = text.strip_prefix('/') else {
        return if text.is_empty() { Ok(()) } else { Err(wanted()) };
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let part =
        |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(legal);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if !inner.is_empty() && !inner.split('/').all(part) {
        return Err(wanted());
    }
    // Below such a path a request could mean either, once a proxy has stripped it.
    match inner.split('/').next() {
        Some(first) if OWN_PATHS.contains(&first) => {
            Err(format!("/{first} is a path of the server's own: choose another, as in /boxes"))
        }
        _ => Ok(()),
    }
}

/// An address, or a network as in `10.0.0.0/8`. Names are not looked up: what they lead to may change
/// while the server runs.
pub fn network(text: &str) -> Result<IpNet, String> {
    let wrong = |why: &str| {
        let wanted = "write an address, as in 10.0.0.7, or a network, as in 10.0.0.0/8 or fd00::/8";
        Err(format!("{:?} {why}: {wanted}", masked(text)))
    };
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return wrong("does not begin with an IP address (names are not looked up)");
    };
    if address != address.to_canonical() {
        return wrong("is IPv4 written as IPv6; clients of either kind match the IPv4 form");
    }
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match prefix.map(str::parse::<u8>) {
        None => most,
        Some(Ok(bits)) if bits <= most => bits,
        Some(_) => return wrong(&format!("has no prefix length from 0 to {most} after its /")),
    };
    let network = IpNet::new(address, bits).expect("the length was checked");
    if network != network.trunc() {
        let (first, only) = (network.trunc(), network.addr());
        let why =
            format!("has bits set behind its prefix (the network is {first}, the address {only})");
        return wrong(&why);
    }
    Ok(network)
}

/// Proxies whose word is taken: a [`network`], but not that of everybody.
pub fn proxies(text: &str) -> Result<(), String> {
    match network(text)?.prefix_len() {
        0 => Err(format!("{text:?} trusts everybody, who could then choose their address")),
        _ => Ok(()),
    }
}

/// A link on the page: empty, or an `http(s)://` URL.
pub fn link(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    public_url(
        text,
        ["http", "https"],
        "write an http:// or https:// URL, as in https://example.org/me",
    )
    .map(|_| ())
}

/// Where the database is: empty, or a URL of one of those there are.
pub fn database(text: &str) -> Result<(), String> {
    let wanted = "write sqlite:///path/to/file, mysql://user:password@host/name or postgres://user:password@host/name";
    if text.is_empty() {
        return Ok(());
    }
    let (scheme, rest) = text.split_once("://").ok_or(wanted)?;
    let is_named = match scheme {
        // A path from here, which no URL is.
        "sqlite" => !rest.is_empty() && !rest.contains(['?', '#']),
        "mysql" | "postgres" => Url::parse(text).is_ok_and(|url| {
            url.host_str().is_some_and(|host| !host.is_empty()) && url.path().len() > 1
        }),
        _ => false,
    };
    if is_named { Ok(()) } else { Err(wanted.to_owned()) }
}

/// Where the page finds its WebSocket: empty, an absolute path, or a `ws(s)://` URL.
pub fn socket(text: &str) -> Result<(), String> {
    let wanted = "write a path as in /ws, or a ws:// or wss:// URL as in wss://play.example.org/ws";
    if text.is_empty() {
        return Ok(());
    }
    if text.starts_with('/') {
        // Browsers read //host and /\host as another host.
        let own =
            !text.starts_with("//") && text.chars().all(|c| c.is_ascii_graphic() && c != '\\');
        return if own && !text.contains('#') { Ok(()) } else { Err(wanted.to_owned()) };
    }
    let url = public_url(text, ["ws", "wss"], wanted)?;
    // It becomes part of the Content-Security-Policy, where a ; would start something else.
    let legal = |c: char| c.is_ascii_alphanumeric() || ".:-_[]".contains(c);
    if !url.host_str().is_some_and(|host| host.chars().all(legal)) {
        return Err(format!("no usable host: {wanted}"));
    }
    if url.fragment().is_some() {
        return Err("browsers refuse a WebSocket URL with a #fragment: remove it".to_owned());
    }
    Ok(())
}

/// A URL that everybody may see.
fn public_url(text: &str, schemes: [&str; 2], wanted: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}: {wanted}"))?;
    if !schemes.contains(&url.scheme()) || !text.contains("://") {
        return Err(wanted.to_owned());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("it has spaces in it: {wanted}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "it carries a user or password, which every visitor could read: remove it".into()
        );
    }
    Ok(url)
}

/// The name of a board.
pub fn name(text: &str) -> Result<(), String> {
    // The board's own words repeat the name, which is told already, masked.
    Board::new(text, 1, 1).map(|_| ()).map_err(|_| "write 1 to 64 letters, digits, - or _".into())
}

/// What is wrong with settings that are fine each for itself: which ones, and why.
///
/// Those that are judged together change alike, live or with a restart: or what is in force might not fit together.
pub fn relations(settings: &Settings) -> Vec<([&'static str; 2], String)> {
    let session = &settings.session;
    let mut problems = Vec::new();
    let room = session.ranges_outstanding + MAILBOX_ROOM;
    if session.mailbox < room {
        problems.push((
            ["session.mailbox", "session.ranges_outstanding"],
            format!(
                "session.mailbox = {}: must be at least session.ranges_outstanding + \
                 {MAILBOX_ROOM} = {room}, or answers alone would overflow it",
                session.mailbox
            ),
        ));
    }
    if session.idle_timeout_s <= session.ping_interval_s {
        problems.push((
            ["session.idle_timeout_s", "session.ping_interval_s"],
            format!(
                "session.idle_timeout_s = {}: must be more than session.ping_interval_s = {}, or \
                 quiet clients are thrown out before their first ping",
                session.idle_timeout_s, session.ping_interval_s
            ),
        ));
    }
    let (players, operators) = (&settings.server.address, &settings.admin.address);
    if overlap(players, operators) {
        problems.push((
            ["server.address", "admin.address"],
            format!(
                "server.address = {players:?} and admin.address = {operators:?}: both would listen on \
                 one port: give one of them another"
            ),
        ));
    }
    if settings.page.reload && settings.page.folder().is_none() {
        problems.push((
            ["page.reload", "page.path"],
            "page.reload = true: nothing can be read anew of the page that is compiled in: set page.path to \
             the folder that holds templates/ and static/, or page.reload = false"
                .to_owned(),
        ));
    }
    if let Some(problem) = settings.redis.relation() {
        problems.push((["redis.addresses", "redis.ca_file"], problem));
    }
    problems
}

/// What is allowed and hardly meant: which ones, and why.
pub fn advice(settings: &Settings) -> Vec<([&'static str; 2], String)> {
    let (gather_ms, interval_ms) = (settings.shards.gather_ms, settings.broadcaster.interval_ms);
    // More than 1000 cannot be gathered: that is the most the setting takes.
    if gather_ms == 0 || gather_ms >= interval_ms.min(1000) {
        return Vec::new();
    }
    let told = format!(
        "shards.gather_ms = {gather_ms}: less than broadcaster.interval_ms = {interval_ms}, so that \
         checks are gathered more often than told, for CPU and no less delay: set it to \
         {} or more, or to 0",
        interval_ms.min(1000)
    );
    vec![(["shards.gather_ms", "broadcaster.interval_ms"], told)]
}
