//! Where the players connect to, and from which addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result, bail};

/// Ports per source address are about 28,000 on Linux; some linger after an earlier run, so use fewer.
const CONNECTIONS_PER_SOURCE: usize = 10_000;

/// A server to play on, resolved once.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    /// `Host` header.
    pub(crate) host: String,
    pub(crate) origin: String,
    path: String,
    sources: u8,
}

impl Target {
    /// From `ws://host:port[/path]`; the path is `/ws` if there is none.
    pub(crate) fn resolve(
        url: &str,
        origin: Option<&str>,
        sources: Option<u8>,
        connections: usize,
    ) -> Result<Self> {
        let rest = url
            .strip_prefix("ws://")
            .with_context(|| format!("--url {url}: only ws:// is spoken here"))?;
        let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if path.contains('?') {
            bail!("--url {url}: leave the query away, it is added where needed");
        }
        let with_port =
            if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
                host.to_owned()
            } else {
                format!("{host}:80")
            };
        let addr = with_port
            .to_socket_addrs()
            .with_context(|| format!("--url {url}: cannot resolve {with_port}"))?
            .next()
            .with_context(|| format!("--url {url}: {with_port} has no address"))?;
        Ok(Self {
            addr,
            host: host.to_owned(),
            origin: origin.map_or_else(|| format!("http://{host}"), str::to_owned),
            path: if path.is_empty() || path == "/" { "/ws".into() } else { path.into() },
            sources: sources.unwrap_or_else(|| {
                connections.div_ceil(CONNECTIONS_PER_SOURCE).clamp(1, 250) as u8
            }),
        })
    }

    pub(crate) fn path(&self, v2: bool) -> String {
        if v2 { format!("{}?v=2", self.path) } else { self.path.clone() }
    }

    /// The address that connection `index` comes from; `None` leaves it to the system, which is right for any server
    /// that is not on loopback, where we have only one address.
    pub(crate) fn source(&self, index: usize) -> Option<SocketAddr> {
        let IpAddr::V4(server) = self.addr.ip() else { return None };
        (server.is_loopback() && self.sources > 1).then(|| {
            let last = (index % usize::from(self.sources)) as u8 + 1;
            SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_as_whom() {
        let target = Target::resolve("ws://127.0.0.1:8080", None, None, 100).unwrap();
        assert_eq!((target.addr.port(), target.origin.as_str()), (8080, "http://127.0.0.1:8080"));
        assert_eq!((target.path(false), target.path(true)), ("/ws".into(), "/ws?v=2".into()));
        let target =
            Target::resolve("ws://127.0.0.1:8080/game/ws", Some("http://x"), None, 1).unwrap();
        assert_eq!(
            (target.path(true), target.origin.as_str()),
            ("/game/ws?v=2".into(), "http://x")
        );
        assert_eq!(Target::resolve("ws://127.0.0.1", None, None, 1).unwrap().addr.port(), 80);
        for bad in ["http://127.0.0.1", "ws://127.0.0.1:1/ws?v=2", "ws://"] {
            assert!(Target::resolve(bad, None, None, 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn many_connections_come_from_several_addresses() {
        let target = Target::resolve("ws://127.0.0.1:1", None, None, 19_000).unwrap();
        assert_eq!(target.source(0).unwrap().ip().to_string(), "127.0.0.1");
        assert_eq!(target.source(1).unwrap().ip().to_string(), "127.0.0.2");
        assert_eq!(target.source(2), target.source(0));
        assert_eq!(Target::resolve("ws://127.0.0.1:1", None, None, 10).unwrap().source(0), None);
        assert_eq!(Target::resolve("ws://192.0.2.1:1", None, Some(9), 10).unwrap().source(0), None);
    }
}
