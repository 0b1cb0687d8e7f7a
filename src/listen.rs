//! Opens the ports that players and operators come to: of both families where no address is named, and
//! every failure with its way out.

use std::{
    io::{Error, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use log::warn;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel may hold for us before they are accepted: everybody, if all come back at
/// once. The kernel allows no more than `net.core.somaxconn`, 4,096 unless an operator raises it.
pub const BACKLOG: u32 = 65_535;

/// How long a name is looked up again and again: at boot the resolver may come up after us.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Between two attempts.
const RESOLVE_PAUSE: Duration = Duration::from_secs(1);

/// Listens on `address`, which the setting `key` has.
///
/// # Errors
/// If its name is not known for [`RESOLVE_TIMEOUT`] or the port cannot be had; the error says what to do.
pub async fn listen(key: &str, address: &str) -> Result<TcpListener> {
    let addresses = resolved(key, address, RESOLVE_TIMEOUT).await?;
    first_that_opens(&addresses, open).map_err(|error| {
        let way_out = way_out(&error, key).map(|way_out| format!(": {way_out}"));
        anyhow!("cannot listen on {address} ({key}): {error}{}", way_out.unwrap_or_default())
    })
}

/// How the listener is reached from this machine, and from where else.
pub fn reached(bound: SocketAddr) -> (String, &'static str) {
    match bound {
        bound if !bound.ip().is_unspecified() => (bound.to_string(), ""),
        SocketAddr::V4(_) => (format!("localhost:{}", bound.port()), " (every IPv4 interface)"),
        SocketAddr::V6(_) => {
            (format!("localhost:{}", bound.port()), " (every interface, IPv4 and IPv6)")
        }
    }
}

/// The addresses to try, one after the other.
async fn resolved(key: &str, address: &str, patience: Duration) -> Result<Vec<SocketAddr>> {
    if let Some(port) = address.strip_prefix(':') {
        let port = port.parse()?;
        // The first one takes IPv4 in as well; the second is for machines without IPv6.
        return Ok(vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ]);
    }
    let deadline = Instant::now() + patience;
    let mut told = false;
    loop {
        let error = match tokio::net::lookup_host(address).await {
            Ok(found) => return Ok(found.collect()),
            Err(error) => error,
        };
        if Instant::now() >= deadline {
            bail!(
                "cannot listen on {address} ({key}): {error}: set {key} to an address of this \
                 machine, or to :PORT for all of them"
            );
        }
        if !told {
            warn!("{key} = {address:?}: {error}: trying for {} s", patience.as_secs());
            told = true;
        }
        tokio::time::sleep(RESOLVE_PAUSE).await;
    }
}

/// What `open` makes of the first address that can be had. One that somebody else has, or that we may
/// not have, is the answer: another one would only hide that.
fn first_that_opens<T>(
    addresses: &[SocketAddr],
    open: impl Fn(SocketAddr) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut last = ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match open(*address) {
            Ok(opened) => return Ok(opened),
            Err(error) => last = error,
        }
        if matches!(last.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) {
            break;
        }
    }
    Err(last)
}

fn open(address: SocketAddr) -> Result<TcpListener, Error> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // After a stop, connections of before linger on the port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    // std listens with a backlog of 128.
    socket.listen(BACKLOG as i32)?;
    Ok(socket.into())
}

/// What to do about `error`.
fn way_out(error: &Error, key: &str) -> Option<String> {
    Some(match error.kind() {
        ErrorKind::AddrInUse => format!(
            "stop the process that listens there (ss -ltnp names it), or set {key} to another port"
        ),
        ErrorKind::AddrNotAvailable => format!(
            "this machine has no such address (ip address lists those it has): set {key} to one of \
             them, or to :PORT for all"
        ),
        ErrorKind::PermissionDenied => format!(
            "ports below 1024 need CAP_NET_BIND_SERVICE: set {key} to a port from 1024 on, with a \
             proxy in front"
        ),
        _ if Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT) => {
            format!("this machine has no IPv6: set {key} to an address of IPv4, or to :PORT")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// The address that was opened, where each of these `fails`.
    fn opened(addresses: &[SocketAddr], fails: &[(&str, Errno)]) -> Result<String, Error> {
        first_that_opens(addresses, |address| {
            let failure = fails.iter().find(|(failing, _)| address.to_string() == *failing);
            failure.map_or(Ok(address.to_string()), |(_, errno)| Err((*errno).into()))
        })
    }

    #[actix_rt::test]
    async fn a_port_alone_is_both_families_or_ipv4_where_there_is_no_ipv6() {
        let both = resolved("server.address", ":80", Duration::ZERO).await.expect("no name in it");
        assert_eq!(opened(&both, &[]).expect("it opens"), "[::]:80");
        for missing in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            assert_eq!(opened(&both, &[("[::]:80", missing)]).expect("it opens"), "0.0.0.0:80");
        }
        // Half of what was asked for would be worse than nothing.
        for taken in [Errno::ADDRINUSE, Errno::ACCESS] {
            let refused = opened(&both, &[("[::]:80", taken)]).expect_err("it is not to be had");
            assert_eq!(refused.raw_os_error(), Some(taken.raw_os_error()));
        }
    }

    #[actix_rt::test]
    async fn a_port_alone_is_reached_over_both_families() {
        let listener = listen("server.address", ":0").await.expect("a free port");
        let bound = listener.local_addr().expect("it is bound");
        TcpStream::connect((Ipv4Addr::LOCALHOST, bound.port())).expect("over IPv4");
        if bound.is_ipv6() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, bound.port())).expect("over IPv6");
        }
        let (shown, from) = reached(bound);
        assert_eq!(shown, format!("localhost:{}", bound.port()));
        assert!(from.contains("every"), "{from}");
        assert_eq!(reached("192.0.2.1:80".parse().expect("valid")), ("192.0.2.1:80".into(), ""));
    }

    #[actix_rt::test]
    async fn every_refusal_names_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").and_then(|taken| {
            let address = taken.local_addr()?;
            Ok((taken, address.to_string()))
        });
        let (_taken, address) = taken.expect("a free port");
        // 192.0.2.0/24 is for documentation: no machine has it.
        for (address, told) in [
            (address.as_str(), "in use (os error 98): stop the process that listens there"),
            ("192.0.2.1:8080", "(os error 99): this machine has no such address"),
        ] {
            let refused = listen("admin.address", address).await.expect_err("not to be had");
            let refused = refused.to_string();
            let start = format!("cannot listen on {address} (admin.address): ");
            assert!(refused.starts_with(&start) && refused.contains(told), "{refused}");
            assert!(refused.contains("set admin.address to "), "{refused}");
        }
        for errno in [Errno::ACCESS, Errno::AFNOSUPPORT] {
            let told = way_out(&errno.into(), "server.address").expect("a way out");
            assert!(told.contains("set server.address to "), "{told}");
        }
    }

    #[actix_rt::test]
    async fn a_name_that_nobody_knows_is_refused_in_the_end() {
        let refused = resolved("server.address", "nowhere.invalid:80", Duration::ZERO).await;
        let refused = refused.expect_err("RFC 6761 keeps .invalid free").to_string();
        assert!(refused.starts_with("cannot listen on nowhere.invalid:80 (server.address): "));
        assert!(refused.ends_with("or to :PORT for all of them"), "{refused}");
    }
}
