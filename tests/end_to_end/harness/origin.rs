//! Clients that come from an address of their own: every one of 127.0.0.0/8 is this machine's.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use super::client::Client;

/// Connects from `from`.
pub fn stream_from(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// A player at `from`, unless it is turned away.
pub fn client_from(from: Ipv4Addr, to: SocketAddr, path: &str) -> Option<Client> {
    Client::try_over(stream_from(from, to).ok()?, to, path)
}
